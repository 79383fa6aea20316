"""Clips as pictures."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from echoclip_r.search.pictures import film_strip, half_blocks, moving


def test_a_film_strip_goes_over_the_whole_clip(frames: NDArray[np.uint8]) -> None:
    """First frame first, last frame last."""
    strip = np.asarray(film_strip(frames, num=2, side_px=64))
    assert strip.shape == (64, 128, 3)
    assert (strip[:, :64] == frames[0]).all()
    assert (strip[:, 64:] == frames[-1]).all()


def test_half_blocks_show_two_pixels_a_character() -> None:
    """Three frames side by side, eleven lines of characters."""
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    frames[:, :4] = 255
    lines = half_blocks(frames).plain.splitlines()
    assert [len(line) for line in lines] == [66] * 11


def test_a_clip_plays_with_all_its_frames(frames: NDArray[np.uint8]) -> None:
    """Ten frames that differ, each for some time; a long clip is thinned."""
    kind, _, content = moving(frames).partition(",")
    assert kind == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        pictures = [np.asarray(one.convert("RGB")) for one in ImageSequence.Iterator(image)]
        assert image.info["loop"] == 0
    assert len(pictures) == 10
    assert pictures[0].shape == (64, 64, 3)
    assert (pictures[0] != pictures[5]).any()
    content = moving(np.concatenate([frames] * 5), max_frames=20).partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.n_frames <= 20
