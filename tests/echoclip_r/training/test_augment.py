"""Random changes of frames."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from echoclip_r.training.augment import Augmentation

STILL = Augmentation(min_crop=1.0, max_gain=0.0)


@pytest.fixture
def picture() -> Image.Image:
    """A white square in the middle of a grey frame."""
    pixels = np.full((64, 64, 3), 90, np.uint8)
    pixels[28:36, 28:36] = 255
    return Image.fromarray(pixels)


def test_nothing_is_changed_where_nothing_is_allowed(picture: Image.Image) -> None:
    """A frame of the model's size comes back bit for bit."""
    for seed in range(10):
        frame, gain = STILL.apply(picture, random.Random(seed), size_px=64)
        np.testing.assert_array_equal(frame, np.asarray(picture))
        assert gain == 1


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(min_crop=0.5, max_gain=0.0),
        Augmentation(min_crop=1.0, max_gain=0.0, max_shift_px=5),
        Augmentation(min_crop=1.0, max_gain=0.0, max_rotation_deg=20.0),
    ],
)
def test_crops_shifts_and_turns_change_the_frame(
    picture: Image.Image, augmentation: Augmentation
) -> None:
    """By the item's own chance, to the model's size; the same chance gives the same frame."""
    frames = []
    for seed in range(8):
        frame, _ = augmentation.apply(picture, random.Random(seed), size_px=64)
        again, _ = augmentation.apply(picture, random.Random(seed), size_px=64)
        np.testing.assert_array_equal(frame, again)
        assert frame.shape == (64, 64, 3)
        frames.append(frame.tobytes())
    assert len(set(frames)) > 4


def test_a_shift_moves_by_no_more_than_asked_and_leaves_black(picture: Image.Image) -> None:
    """The white square keeps its form; the strip that becomes free is black."""
    augmentation = Augmentation(min_crop=1.0, max_gain=0.0, max_shift_px=3)
    corners = set()
    for seed in range(200):
        frame, _ = augmentation.apply(picture, random.Random(seed), size_px=64)
        rows, columns = np.nonzero(frame[..., 0] == 255)
        assert (len(set(rows)), len(set(columns))) == (8, 8)
        down, right = rows.min() - 28, columns.min() - 28
        corners.add((down, right))
        assert (frame == 0).all(axis=-1).sum() == 64 * 64 - (64 - abs(down)) * (64 - abs(right))
    assert corners == {(down, right) for down in range(-3, 4) for right in range(-3, 4)}


def test_gains_lie_in_their_range(picture: Image.Image) -> None:
    """On both sides of 1."""
    augmentation = Augmentation(min_crop=1.0, max_gain=0.3)
    gains = [augmentation.apply(picture, random.Random(n), size_px=64).gain for n in range(200)]
    assert 0.7 <= min(gains) < 0.75
    assert 1.25 < max(gains) <= 1.3


def test_other_sizes_are_resized(picture: Image.Image) -> None:
    """To the model's side, even where nothing is cropped."""
    frame, _ = STILL.apply(picture, random.Random(0), size_px=32)
    assert frame.shape == (32, 32, 3)
