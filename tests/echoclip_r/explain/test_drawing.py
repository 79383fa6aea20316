"""Heat laid over frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from echoclip_r.explain.drawing import draw_prompt_cam, heatmaps, overlay
from echoclip_r.model.trained import TrainedModel

FRAMES = np.full((2, 32, 32, 3), 100, np.uint8)


def test_overlay_brightens_where_heat_is() -> None:
    """A hot spot glows, what is cold stays as it was, and no heat changes nothing."""
    heat = np.zeros((1, 8, 8), np.float32)
    heat[0, 2, 5] = 3
    shown = heatmaps(heat, 32)
    assert np.unravel_index(shown[0].argmax(), (32, 32)) in {(9, 21), (9, 22), (10, 21), (10, 22)}
    drawn = overlay(FRAMES[:1], shown)
    assert drawn[0, 9, 21].astype(int).sum() > 450
    assert (drawn[0, 30, 2] == 100).all()
    assert (overlay(FRAMES[:1], np.zeros((1, 32, 32), np.float32)) == FRAMES[:1]).all()


def test_heat_stays_inside() -> None:
    """Outside of the given pixels the frames are as they were, and do not set the scale."""
    heat = np.ones((2, 32, 32), np.float32)
    heat[:, 0, 0] = 100
    inside = np.zeros((32, 32), bool)
    inside[8:20, 8:20] = True
    drawn = overlay(FRAMES, heat, inside=inside)
    assert (drawn[:, ~inside] == FRAMES[:, ~inside]).all()
    assert (drawn[:, inside].astype(int).sum(axis=-1) > 500).all()
    assert (overlay(FRAMES, heat, inside=inside, highest=1e9) == FRAMES).all()


def draw(model: TrainedModel, archive: Path, out: Path, *prompts: str) -> NDArray[np.uint8]:
    draw_prompt_cam(model, archive / "clip-03.avi", out, prompts=prompts, num_frames=5)
    with Image.open(out) as image:
        return np.asarray(image.convert("RGB"))


def test_picture_has_heat_in_the_sector_the_prompt_and_a_scale(
    untrained: TrainedModel, archive: Path, tmp_path: Path
) -> None:
    """The lower row is the upper one with colours in its sector; words above, numbers beside."""
    sheet = draw(untrained, archive, tmp_path / "heat.png", "A lead.")
    top = len(sheet) - 2 * 320
    plain, heated = sheet[top : top + 320, :1600], sheet[top + 320 :, :1600]
    # The frames were masked when they were smaller: an edge may be two pixels off.
    outside = ~ndimage.binary_dilation(plain.any(axis=-1), iterations=2)
    assert 0.2 < outside.mean() < 0.8
    assert not heated[outside].any()
    coloured = np.ptp(heated.astype(int), axis=-1) > 30
    assert coloured.sum() > 500
    assert (np.ptp(plain.astype(int), axis=-1) < 5).all()
    head, scale = sheet[:top], sheet[top : top + 320, 1600:]
    assert (head.min(axis=-1) > 200).sum() > 100
    assert (np.ptp(scale.astype(int), axis=-1) > 60).sum() > 500
    assert (scale[:, 50:].min(axis=-1) > 200).sum() > 100
    other = draw(untrained, archive, tmp_path / "other.png", "No lead.")
    assert (other[:30] != head[:30]).any()


def test_a_long_prompt_is_broken_into_lines_and_never_cut(
    untrained: TrainedModel, archive: Path, tmp_path: Path
) -> None:
    """The picture grows, and no letter touches its edge."""
    short = draw(untrained, archive, tmp_path / "short.png", "A lead.")
    long = draw(untrained, archive, tmp_path / "long.png", *["A lead in the heart. " * 20] * 2)
    assert long.shape[0] >= short.shape[0] + 2 * 22
    assert not long[: len(long) - 640, -8:].any()
