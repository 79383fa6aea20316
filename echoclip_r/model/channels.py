"""What an image tower's three channels show: the colours of one frame, or one colour of three.

    color    red, green and blue of a frame, as any CLIP model reads a picture
    cine     the brightness of three frames of the clip, a third of it apart

B-mode has no colour, and a single frame no motion: how far a ventricle empties is told by how it
looks full beside how it looks empty. A cine picture shows both to the same tower at the same cost,
and a checkpoint stays one that open_clip loads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["CHANNELS", "cine", "cine_frames", "shown"]

CHANNELS = ("color", "cine")


def cine_frames(number: int, num_frames: int) -> tuple[int, int, int]:
    """The frames of the cine picture of frame `number`, in the order of the channels.

    A clip is read as a loop, so that there are as many cine pictures as frames.

    Example:
        >>> cine_frames(0, 6), cine_frames(5, 10), cine_frames(0, 1)
        ((0, 2, 4), (5, 8, 2), (0, 0, 0))
    """
    first, second = round(num_frames / 3), round(2 * num_frames / 3)
    return number, (number + first) % num_frames, (number + second) % num_frames


def cine(pictures: Sequence[Image.Image]) -> Image.Image:
    """Three pictures as the channels of one of the first's size, each by its brightness."""
    size = pictures[0].size
    grey = (picture.convert("L") for picture in pictures)
    return Image.merge("RGB", [one if one.size == size else one.resize(size) for one in grey])


def shown(
    frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], channels: str
) -> list[NDArray[np.uint8]]:
    """A clip's frames as pictures for the image tower, one for each.

    Args:
        frames: uint8 RGB (H, W, 3) each, all frames of one clip in their order.
        channels: one of `CHANNELS`.
    """
    if channels == "color":
        return list(frames)
    pictures = [Image.fromarray(frame) for frame in frames]
    return [
        np.asarray(cine([pictures[one] for one in cine_frames(number, len(frames))]))
        for number in range(len(frames))
    ]
