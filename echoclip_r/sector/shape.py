"""The shape of an ultrasound picture: a piece of a ring (phased and curved probes) or a rectangle.

    region (what moves) -> fit_shape -> SectorShape -> mask at any resolution

For a given apex, the piece of a ring that fits a region best is found exactly: every pixel carries
a gain, positive in the region and negative outside, and the best range of angles, then of radii,
is the run of histogram bins with the largest sum. Only the apex has to be searched. A rectangle is
the same with columns and rows for angles and radii.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize
from scipy.spatial import ConvexHull, QhullError

__all__ = ["SectorShape", "fill_hull", "fit_shape"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# What a pixel outside the region costs, against the gain of 1 for one inside: a strip is taken in
# when more than about a third of it moves, since far corners of a sector are often black.
_COST_OUTSIDE = 0.5
# Gaps between parts that move are shadows and blood pools, and cost little.
_COST_GAP = 0.15
_NUM_BINS = 192
# Cutting the sides or the bottom off a fan must be worth this share of the region.
_CLIP_WORTH = 0.015
_FIT_SIDE_PX = 80
_GRID_SIDE_PX = 48


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

    def near_part(self) -> SectorShape:
        """The quarter of a fan that is nearest to the probe; a rectangle stays whole."""
        inner, outer = self.radii
        return replace(self, radii=(inner, inner + 0.25 * (outer - inner)))

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
        radius = np.hypot(dx, dy)
        inside &= (radius - self.radii[0] * scale >= margin_px) & (
            self.radii[1] * scale - radius >= margin_px
        )
        # Signed distances from the two straight edges.
        first, last = self.angles
        inside &= dx * np.cos(first) - dy * np.sin(first) >= margin_px
        inside &= dy * np.sin(last) - dx * np.cos(last) >= margin_px
        return inside


def fill_hull(region: Mask) -> Mask:
    """The convex hull of a region, filled; the region itself where it has no area.

    Args:
        region: bool, shape (height, width).
    """
    points = np.argwhere(region & ~ndimage.binary_erosion(region))
    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError):
        return region.copy()
    # Each edge bounds the row's first or last column, so no edge looks at every pixel.
    normal_y, normal_x, offset = hull.equations.T[..., None]
    reach = 1e-6 - offset - normal_y * np.arange(region.shape[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = reach / normal_x
    first = np.where(normal_x < 0, bound, -np.inf).max(axis=0)
    last = np.where(normal_x > 0, bound, np.inf).min(axis=0)
    # An edge along a row bounds the rows alone.
    last[((normal_x == 0) & (reach < 0)).any(axis=0)] = -np.inf
    x = np.arange(region.shape[1])
    filled: Mask = (x >= first[:, None]) & (x <= last[:, None])
    return filled


def fit_shape(region: Mask, unknown: Mask) -> SectorShape:
    """Fit a piece of a ring or a rectangle to a region.

    Args:
        region: bool, shape (height, width), not empty.
        unknown: bool, same shape; pixels that speak neither for nor against a shape.
    """
    scale = float(max(region.shape))
    grid, step = (max(1, round(scale / side)) for side in (_GRID_SIDE_PX, _FIT_SIDE_PX))
    worth = np.where(region, 1.0, np.where(fill_hull(region), -_COST_GAP, -_COST_OUTSIDE))
    worth[unknown] = 0.0
    fine = _gains(region, worth, 1)
    rectangle = _best_ranges(fine, fine.x, fine.y)
    apex = _search_apex(_gains(region, worth, grid), _gains(region, worth, step))
    fan = _fan(fine, apex)
    if rectangle.gain >= 0.995 * fan.gain:
        left, right = rectangle.first
        top, bottom = rectangle.second
        return SectorShape(
            apex=None,
            angles=(0.0, 0.0),
            radii=(0.0, 0.0),
            box=(left / scale, top / scale, right / scale, bottom / scale),
        )
    shape = SectorShape(
        apex=(apex[0] / scale, apex[1] / scale),
        angles=fan.first,
        radii=(fan.second[0] / scale, fan.second[1] / scale),
        box=(0.0, 0.0, region.shape[1] / scale, region.shape[0] / scale),
    )
    return _clip(shape, fine, region)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gains:
    """Pixels of the region's surroundings: where they are, what they are worth, and their size."""

    x: Floats
    y: Floats
    gain: Floats
    width_px: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ranges:
    """The best range of each of two coordinates, and the gain of the pixels in both."""

    first: tuple[float, float]
    second: tuple[float, float]
    gain: float


def _gains(region: Mask, gain: Floats, step: int) -> _Gains:
    """Every ``step``-th pixel of the region's bounding box and a margin, with its gain."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    margin = max(2, round(0.08 * max(region.shape)))
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    y, x = np.mgrid[
        top : min(rows[-1] + 1 + margin, region.shape[0]) : step,
        left : min(columns[-1] + 1 + margin, region.shape[1]) : step,
    ]
    return _Gains(
        x=x.ravel() + 0.5,
        y=y.ravel() + 0.5,
        gain=gain[y, x].ravel() * step**2,
        width_px=float(step),
    )


def _search_apex(coarse: _Gains, pixels: _Gains) -> tuple[float, float]:
    """The apex with the largest gain: a grid over few pixels, then downhill from its best point."""
    held = pixels.gain > 0
    left, right = pixels.x[held].min(), pixels.x[held].max()
    top, bottom = pixels.y[held].min(), pixels.y[held].max()
    width, height = right - left + 1.0, bottom - top + 1.0

    # Heights above the region on a scale that is fine near it: far away they hardly differ.
    def place(point: Floats) -> tuple[float, float]:
        return left + point[0] * width, top - height * (np.exp(point[1]) - 1.2)

    def loss(point: Floats, pixels: _Gains) -> float:
        if not (-0.5 <= point[0] <= 1.5 and -3.0 <= point[1] <= 2.5):
            return 0.0
        return -_fan(pixels, place(point)).gain

    grid = [np.array([x, y]) for x in np.linspace(0.1, 0.9, 9) for y in np.linspace(-0.3, 2.0, 9)]
    start = min(grid, key=lambda point: loss(point, coarse))
    found = optimize.minimize(
        loss,
        start,
        args=(pixels,),
        method="Nelder-Mead",
        options={
            "initial_simplex": start + np.array([[0.0, 0.0], [0.06, 0.0], [0.0, 0.15]]),
            "maxfev": 80,
            "xatol": 1e-3,
            "fatol": 1.0,
        },
    )
    return place(found.x)


def _fan(pixels: _Gains, apex: tuple[float, float]) -> _Ranges:
    """The best piece of a ring about an apex."""
    below = pixels.y > apex[1]
    dx, dy = pixels.x[below] - apex[0], pixels.y[below] - apex[1]
    part = _Gains(x=dx, y=dy, gain=pixels.gain[below], width_px=pixels.width_px)
    return _best_ranges(part, np.arctan2(dx, dy), np.hypot(dx, dy))


def _best_ranges(pixels: _Gains, first: Floats, second: Floats) -> _Ranges:
    """Ranges of two coordinates that hold the largest gain, found in turns."""
    held = pixels.gain > 0.0
    if not held.any():
        return _Ranges(first=(0.0, 0.0), second=(0.0, 0.0), gain=0.0)
    first_bins, first_edge = _bins(first)
    second_bins, second_edge = _bins(second)
    low, high, gain = 0, _NUM_BINS, 0.0
    # From all the radii that the region has: the whole of a thin band would be worth nothing.
    start, stop = int(second_bins[held].min()), int(second_bins[held].max()) + 1
    for _ in range(3):
        before = start, stop
        inside = (second_bins >= start) & (second_bins < stop)
        low, high, _ignored = _best_run(first_bins, pixels.gain * inside)
        inside = (first_bins >= low) & (first_bins < high)
        start, stop, gain = _best_run(second_bins, pixels.gain * inside)
        if (start, stop) == before:  # so would be all that follows
            break
    return _Ranges(
        first=(first_edge(low), first_edge(high)),
        second=(second_edge(start), second_edge(stop)),
        gain=gain,
    )


def _bins(values: Floats) -> tuple[NDArray[np.intp], Callable[[int], float]]:
    """The bin of each value, and the function from a bin's number to its lower edge."""
    low, high = float(values.min()), float(values.max())
    width = max(high - low, 1e-9) / (_NUM_BINS - 1)
    return np.rint((values - low) / width).astype(np.intp), partial(_edge, low, width)


def _edge(low: float, width: float, number: int) -> float:
    return low + (number - 0.5) * width


def _best_run(bins: NDArray[np.intp], gain: Floats) -> tuple[int, int, float]:
    """First bin, end bin and sum of the shortest run of bins with the largest sum."""
    sums = np.zeros(_NUM_BINS + 1)
    np.cumsum(np.bincount(bins, gain, minlength=_NUM_BINS), out=sums[1:])
    rise = sums - np.minimum.accumulate(sums)
    stop = int(rise.argmax())
    # The last of equal minima: bins that are worth nothing stay outside.
    start = stop - int(sums[stop::-1].argmin())
    return start, stop, float(rise[stop])


def _clip(shape: SectorShape, pixels: _Gains, region: Mask) -> SectorShape:
    """Cut a fan's sides or ends off where the display did so, if that is worth it."""
    scale = float(max(region.shape))
    held = shape.mask(*region.shape)[
        (pixels.y - 0.5).astype(np.intp), (pixels.x - 0.5).astype(np.intp)
    ]
    # What is unknown stays: a trace laid over the bottom of a fan must not cut it off.
    gain = np.where(pixels.gain == 0.0, 1e-6, pixels.gain)
    inside = _Gains(x=pixels.x[held], y=pixels.y[held], gain=gain[held], width_px=pixels.width_px)
    cut = _best_ranges(inside, inside.x, inside.y)
    if cut.gain - float(inside.gain.sum()) < _CLIP_WORTH * float(region.sum()):
        return shape
    (left, right), (top, bottom) = cut.first, cut.second
    return replace(shape, box=(left / scale, top / scale, right / scale, bottom / scale))
