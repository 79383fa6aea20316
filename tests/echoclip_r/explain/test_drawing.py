"""Heat laid over frames."""

from __future__ import annotations

import numpy as np

from echoclip_r.explain.drawing import heatmaps, overlay

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
