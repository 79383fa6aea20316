"""Clips as pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoclip_r.search.pictures import film_strip, half_blocks


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
