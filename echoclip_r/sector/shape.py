"""The shape of an ultrasound picture: a piece of a ring (phased and curved probes) or a rectangle.

It is said in units of the picture's longer side, so that it holds at any resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SectorShape"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class SectorShape:
    """A piece of a ring, or a rectangle where ``apex`` is None, within a box.

    Lengths are in units of the picture's longer side, angles in radians from straight down,
    growing to the right, so that a shape holds at any resolution.

    Attributes:
        apex: (x, y) of the centre of the ring, or None for a rectangle.
        angles: the left and the right edge of the ring's piece.
        radii: its inner and outer radius.
        box: left, top, right and bottom that cut the shape off.
    """

    apex: tuple[float, float] | None
    angles: tuple[float, float]
    radii: tuple[float, float]
    box: tuple[float, float, float, float]

    def mask(self, height: int, width: int, *, margin_px: float = 0.0) -> Mask:
        """Draw the shape.

        Args:
            height: rows of the mask.
            width: columns of the mask.
            margin_px: how far inside its edges the mask stays.

        Returns:
            bool, shape (height, width).
        """
        scale = float(max(height, width))
        y, x = (np.arange(height) + 0.5)[:, None], (np.arange(width) + 0.5)[None, :]
        left, top, right, bottom = (edge * scale for edge in self.box)
        inside: Mask = (
            (x - left >= margin_px)
            & (right - x >= margin_px)
            & (y - top >= margin_px)
            & (bottom - y >= margin_px)
        )
        if self.apex is None:
            return inside
        dx, dy = x - self.apex[0] * scale, y - self.apex[1] * scale
        squared = dx * dx + dy * dy
        inner = self.radii[0] * scale + margin_px
        outer = max(self.radii[1] * scale - margin_px, 0.0)
        inside &= (squared >= inner * inner) & (squared <= outer * outer)
        # Signed distances from the two straight edges.
        first, last = self.angles
        inside &= dx * np.cos(first) - dy * np.sin(first) >= margin_px
        inside &= dy * np.sin(last) - dx * np.cos(last) >= margin_px
        return inside
