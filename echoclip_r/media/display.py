"""How stored frames are to be shown: upright, unmirrored, on square pixels.

Phones store a turned picture and say so beside it; recorders and some scanners store pixels that
are wider than high. A player obeys both, and so does everything here, in this one place: a fan on
its side or squeezed by a quarter is not what a network should learn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Box", "Display", "display_of_matrix", "display_of_orientation"]

Box = tuple[int, int, int, int]

# Below it, spacings that were rounded would cost every frame a resampling and gain nothing.
_LEAST_STRETCH = 1.01
_MOST_STRETCH = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """What is done to stored frames before anybody sees them, in this order.

    Attributes:
        pixel_aspect: width of a stored pixel over its height; the shorter side is resampled.
        transpose: swap rows and columns.
        flip_x: then mirror left and right.
        flip_y: then mirror top and bottom.
    """

    pixel_aspect: float = 1.0
    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def size(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Rows and columns of a shown frame."""
        height_px, width_px = self._stretched(height_px, width_px)
        return (width_px, height_px) if self.transpose else (height_px, width_px)

    def box(self, box: Box, *, height_px: int, width_px: int) -> Box:
        """Where a box of a stored frame (left, top, right, bottom) lies in the shown frame."""
        height, width = self._stretched(height_px, width_px)
        xs = [round(x * width / width_px) for x in box[::2]]
        ys = [round(y * height / height_px) for y in box[1::2]]
        if self.transpose:
            xs, ys, height, width = ys, xs, width, height
        if self.flip_x:
            xs = [width - x for x in reversed(xs)]
        if self.flip_y:
            ys = [height - y for y in reversed(ys)]
        return xs[0], ys[0], xs[1], ys[1]

    def frames(self, stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Stored frames (N, H, W, 3) as they are to be shown."""
        height, width = self._stretched(*stored.shape[1:3])
        if (height, width) != stored.shape[1:3]:
            square = np.empty((len(stored), height, width, 3), np.uint8)
            for frame, out in zip(stored, square, strict=True):
                size = (width, height)
                picture = Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR)
                out[:] = np.asarray(picture)
            stored = square
        if self.transpose:
            stored = stored.swapaxes(1, 2)
        if self.flip_x:
            stored = stored[:, :, ::-1]
        if self.flip_y:
            stored = stored[:, ::-1]
        return np.ascontiguousarray(stored)

    @property
    def notes(self) -> tuple[str, ...]:
        """What this changes, in sentences; nothing for a picture that is shown as it is stored."""
        notes = []
        if self.transpose or self.flip_x or self.flip_y:
            notes.append("it is stored turned or mirrored, says so, and was set upright")
        if self._stretch() != 1.0:
            notes.append(
                f"its pixels are {self.pixel_aspect:.3g} times as wide as they are high, and were "
                "made square"
            )
        elif not 1 / _LEAST_STRETCH < self.pixel_aspect < _LEAST_STRETCH:
            notes.append(
                f"it states pixels {self.pixel_aspect:.3g} times as wide as they are high, which "
                "no clip has; they were taken as square"
            )
        return tuple(notes)

    def _stretched(self, height_px: int, width_px: int) -> tuple[int, int]:
        stretch = self._stretch()
        if stretch > 1.0:
            return height_px, round(width_px * stretch)
        return round(height_px / stretch), width_px

    def _stretch(self) -> float:
        size = max(self.pixel_aspect, 1.0 / self.pixel_aspect)
        return self.pixel_aspect if _LEAST_STRETCH < size <= _MOST_STRETCH else 1.0


def display_of_matrix(matrix: Sequence[int], *, pixel_aspect: float) -> Display:
    """The display of the nine numbers that MP4 and FFmpeg call a display matrix.

    Stored (x, y) is shown at (a x + c y, b x + d y), where a, b are the first two numbers and
    c, d the fourth and fifth.

    Raises:
        ValueError: it turns the picture by something else than quarters; the message is the angle
            in degrees.
    """
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if a * d == b * c:  # no picture would be left; players pass over it
        return Display(pixel_aspect=pixel_aspect)
    straight, turned = max(abs(a), abs(d)), max(abs(b), abs(c))
    if min(straight, turned) > 0.02 * max(straight, turned):
        raise ValueError(f"{math.degrees(math.atan2(b, a)):.0f}")
    if turned > straight:
        return Display(pixel_aspect=pixel_aspect, transpose=True, flip_x=c < 0, flip_y=b < 0)
    return Display(pixel_aspect=pixel_aspect, flip_x=a < 0, flip_y=d < 0)


def display_of_orientation(orientation: int, *, pixel_aspect: float) -> Display:
    """The display of EXIF's and TIFF's orientation, 1 to 8; any other number is passed over."""
    return Display(
        pixel_aspect=pixel_aspect,
        transpose=orientation in (5, 6, 7, 8),
        flip_x=orientation in (2, 3, 6, 7),
        flip_y=orientation in (3, 4, 7, 8),
    )
