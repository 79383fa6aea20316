"""Fits an ultrasound picture's outline to the pixels that are lit and change.

    region -> first and last pixel of each row -> the two straight edges, as supporting lines
           -> apex -> first and last pixel along each ray -> the two arcs (or flat ends)

A probe's picture stands upright and symmetric about the apex: both edges lean by the same angle,
and nothing of the picture lies beyond them. So an edge is the line that the region touches over
the longest stretch without crossing it. A dark half touches it near the probe alone; there the
lit half says how much it leans. Fans, curved probes and linear probes (edges that lean by
nothing) are one family; edges that lean apart are taken only where both of them are long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from echoclip_r.sector.motion import Region
from echoclip_r.sector.shape import SectorShape

__all__ = ["Fit", "fit_sector", "turned"]

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

# Half the opening of the widest probe, and how finely angles are tried at first and at last.
_MAX_LEAN_DEG = 62.0
_LEAN_STEPS_DEG = (0.5, 0.1)
# Edges that lean less are those of a linear probe.
_MIN_LEAN_DEG = 0.75
# A line is moved in steps of this many pixels of the work picture,
_BIN_PX = 0.5
# touches what is this near to it, and is crossed by what lies farther beyond it.
_TOUCH_PX = 1.0
_CROSS_PX = 2.0
# What a row beyond a line costs, against the gain of 1 for a row that touches it.
_COST_BEYOND = 3.0
# And a ray beyond an end: the deepest tissue is seldom broad.
_COST_BEYOND_END = 4.0
# This share of the rows, next to the probe, counts this much.
_NEAR = 0.2
_NEAR_WEIGHT = 2.0
# Edges of their own, not symmetric, must touch this much more and be this long.
_FREE_WORTH = 1.25
_FREE_LENGTH = 0.45
# Some machines draw their fans a degree or two askew.
_SLIGHT_DEG = 4.0
_SLIGHT_WORTH = 1.08
# Edges touched so many times as much as the best are rivals; where their widths are compared.
_RIVALS = (0.9, 0.7)
_SETTLED_DEPTH = 0.7
# A fan that is turned is touched so much more along its true edges, and these converge.
_TURNED_WORTH = 1.1
_TURNED_LEAN_DEG = 12.0
# An arc that is hardly touched moves, so far at most, to hold so much of what is seen.
_HARDLY_TOUCHED = 0.25
_DEEPER = 1.15
_DEPTH_SEEN = 0.998
_NUM_RAYS = 96
# A side cut off by the display: so much of the picture's height stands on one column.
_CUT_HEIGHT = 0.15
_CUT_STRAIGHT = 0.75
_CUT_AREA = 0.015
_CUT_LIT = 0.004


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """An outline and how much of it the region bears out.

    Attributes:
        shape: the outline, in units of the picture's longer side.
        touched: shares of the left edge, the right edge, the outer and the inner end that the
            region touches; an end that the picture's border cuts off counts as touched.
        near: shares of the left and the right edge's part next to the probe that are touched.
        face: how wide the near end is, against the far end.
        lean_deg: by how much the edges' own best angles differ, where both are long; else 0.
        settled: how much of the width is common to all pairs of edges that are touched at least
            0.9 times as much, and 0.7 times as much; 1 where the edges are certain.
        score: pixels of edge and ends touched, less those crossed.
    """

    shape: SectorShape
    touched: tuple[float, float, float, float]
    near: tuple[float, float]
    face: float
    lean_deg: float
    settled: tuple[float, float]
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """Points of one side's boundary: how far inward and down, whether free, what they count."""

    inward: Floats
    down: Floats
    free: Floats
    weight: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edges:
    """Supporting lines of one side, one for each angle tried: score, offset, length touched."""

    score: Floats
    offset: Floats
    touched: Floats
    near: Floats


def fit_sector(region: Region, bound: tuple[int, int, int, int] | None = None) -> Fit:
    """Fit a fan, a curved probe's picture or a linear probe's.

    Args:
        region: what belongs to the picture.
        bound: left, top, right, bottom that the picture cannot leave; None for the whole frame.
    """
    height, width = region.thick.shape
    left, top, right, bottom = bound or (0, 0, width, height)
    edges = _find_edges(region.thick, left, right)
    return _find_ends(region, edges, (left, top, right, bottom))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wedge:
    """Two straight edges: angles (rad, left and right, both positive), offsets, lengths touched."""

    leans: tuple[float, float]
    offsets: tuple[float, float]
    touched: tuple[float, float]
    near: tuple[float, float]
    lean_deg: float
    settled: tuple[float, float]


def _sides(region: Mask, left: int, right: int) -> tuple[_Side, _Side]:
    """The boundary of a region on the left and on the right, a point for each row."""
    width = region.shape[1]
    rows = np.flatnonzero(region.any(axis=1))
    first = region[rows].argmax(axis=1).astype(float)
    last = (width - region[rows, ::-1].argmax(axis=1)).astype(float)
    down = rows + 0.5
    # Near the probe all is lit, so the edges show there if anywhere.
    near = down - down[0] < _NEAR * (down[-1] - down[0])
    weight = np.where(near, _NEAR_WEIGHT, 1.0)
    return (
        _Side(inward=first, down=down, free=(first > left + 1).astype(float), weight=weight),
        _Side(inward=width - last, down=down, free=(last < right - 1).astype(float), weight=weight),
    )


def _find_edges(region: Mask, left: int, right: int) -> _Wedge:
    width = region.shape[1]
    sides = _sides(region, left, right)
    down = sides[0].down
    coarse = np.deg2rad(np.arange(0.0, _MAX_LEAN_DEG, _LEAN_STEPS_DEG[0]))
    tables = [_support(side, coarse) for side in sides]
    own = [int(table.score.argmax()) for table in tables]
    both = tables[0].score + tables[1].score
    best = int(both.argmax())
    long_enough = _FREE_LENGTH * len(down)
    lean_steps = abs(own[0] - own[1])
    worth = _FREE_WORTH if lean_steps * _LEAN_STEPS_DEG[0] > _SLIGHT_DEG else _SLIGHT_WORTH
    gain = sum(float(table.score[i]) for table, i in zip(tables, own, strict=True))
    free = gain > worth * both[best] and all(
        table.touched[i] > long_enough for table, i in zip(tables, own, strict=True)
    )
    starts = own if free else [best, best]
    fine = np.deg2rad(np.arange(-0.6, 0.61, _LEAN_STEPS_DEG[1]))
    leans, offsets, touched, close = [], [], [], []
    offset = [table.offset for table in tables]
    own_scores = [table.score for table in tables]
    if free:
        for side, start in zip(sides, starts, strict=True):
            angles = np.maximum(coarse[start] + fine, 0.0)
            table = _support(side, angles)
            i = int(table.score.argmax())
            leans.append(float(angles[i]))
            offsets.append(float(table.offset[i]))
            touched.append(float(table.touched[i]))
            close.append(float(table.near[i]))
    else:
        angles = np.maximum(coarse[best] + fine, 0.0)
        tables = [_support(side, angles) for side in sides]
        i = int((tables[0].score + tables[1].score).argmax())
        for table in tables:
            leans.append(float(angles[i]))
            offsets.append(float(table.offset[i]))
            touched.append(float(table.touched[i]))
            close.append(float(table.near[i]))
    lean = abs(leans[0] - leans[1])
    rivals = own_scores if free else [both, both]
    low = down[0] + _SETTLED_DEPTH * (down[-1] - down[0])
    return _Wedge(
        leans=(leans[0], leans[1]),
        offsets=(offsets[0], offsets[1]),
        touched=(touched[0], touched[1]),
        near=(close[0], close[1]),
        lean_deg=float(np.rad2deg(lean)),
        settled=(
            _in_common(coarse, offset, rivals, low, width, _RIVALS[0]),
            _in_common(coarse, offset, rivals, low, width, _RIVALS[1]),
        ),
    )


def _in_common(
    angles: Floats,
    offsets: Sequence[Floats],
    scores: Sequence[Floats],
    row: float,
    width: int,
    share: float,
) -> float:
    """The least overlap, in one row, of the best edges with those that are touched nearly as much.

    Args:
        angles: tried, shape (angles,).
        offsets: of the left and of the right edge at each angle.
        scores: of the left and of the right edge at each angle.
        row: where the widths are compared.
        width: of the picture.
        share: of the best score, that makes a rival.
    """
    in_least, out_most = float(width), float(width)
    for offset, score in zip(offsets, scores, strict=True):
        # How far the edge lies from its side of the picture.
        place = (offset - row * np.sin(angles)) / np.cos(angles)
        best = place[score.argmax()]
        rivals = place[score >= share * score.max()]
        in_least -= max(best, float(rivals.max()))
        out_most -= min(best, float(rivals.min()))
    return max(in_least, 0.0) / max(out_most, 1.0)


def turned(region: Mask) -> str:
    """How a fan is turned, if it does not stand upright: in words, else nothing.

    Edges that converge and are touched over a greater length than those of the picture as it
    stands tell so. A rectangle looks alike both ways and is never called turned.
    """
    angles = np.deg2rad(np.arange(0.0, _MAX_LEAN_DEG, _LEAN_STEPS_DEG[0]))
    lengths, leans = [], []
    for quarters in range(4):
        upright = np.rot90(region, quarters)
        sides = _sides(upright, 0, upright.shape[1])
        tables = [_lines(side, angles) for side in sides]
        best = int((tables[0][1] + tables[1][1]).argmax())
        touched = [
            (np.abs(across[best] - offset[best]) <= _TOUCH_PX + 0.5 * _BIN_PX) @ side.free
            for side, (across, _, offset, _) in zip(sides, tables, strict=True)
        ]
        lengths.append(float(sum(touched) / np.cos(angles[best])))
        leans.append(float(np.rad2deg(angles[best])))
    most = int(np.argmax(lengths))
    if lengths[most] < _TURNED_WORTH * lengths[0] or leans[most] < _TURNED_LEAN_DEG:
        return ""
    return "upside down" if most == 2 else "on its side"


def _lines(side: _Side, angles: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """How far across each line the points lie, and each angle's best score, offset and touch."""
    across = side.inward * np.cos(angles)[:, None] + side.down * np.sin(angles)[:, None]
    # Each row is a longer piece of an edge the more that leans.
    length = 1.0 / np.cos(angles)[:, None]
    return across, *_supporting(across, side.weight * side.free * length, side.weight * length)


def _support(side: _Side, angles: Floats) -> _Edges:
    """For each angle, the line that touches most of a side's boundary and is crossed by little."""
    across, score, offset, _ = _lines(side, angles)
    length = 1.0 / np.cos(angles)[:, None]
    touches = np.abs(across - offset[:, None]) <= _TOUCH_PX + 0.5 * _BIN_PX
    touched = (touches * side.free).sum(axis=1) * length[:, 0]
    near = side.weight > 1.0
    free_near = np.maximum((side.free * near).sum(), 1.0)
    close = (touches * side.free * near).sum(axis=1) / free_near
    return _Edges(score=score, offset=offset, touched=touched, near=close)


def _supporting(
    across: Floats, gain: Floats, cost: Floats, price: float = _COST_BEYOND
) -> tuple[Floats, Floats, Floats]:
    """The best offset for each row of distances, shape (lines, points): score, offset, touched."""
    num_lines = len(across)
    low = float(across.min()) - 2 * _CROSS_PX
    bins = ((across - low) / _BIN_PX).astype(np.intp)
    num_bins = int(bins.max()) + 2 + round(2 * _CROSS_PX / _BIN_PX)
    flat = (bins + num_bins * np.arange(num_lines)[:, None]).ravel()
    sums = [
        np.cumsum(
            np.bincount(flat, weights.ravel(), num_lines * num_bins).reshape(num_lines, num_bins),
            axis=1,
        )
        for weights in (gain, cost)
    ]
    touch, cross = round(_TOUCH_PX / _BIN_PX), round(_CROSS_PX / _BIN_PX)
    places = np.arange(cross + 1, num_bins - touch)
    # The line lies at the lower border of its bin.
    near = sums[0][:, places + touch - 1] - sums[0][:, places - touch - 1]
    beyond = sums[1][:, places - cross - 1]
    total = near - price * beyond
    best = total.argmax(axis=1)
    lines = np.arange(num_lines)
    return total[lines, best], low + _BIN_PX * places[best], near[lines, best]


def _find_ends(region: Region, wedge: _Wedge, bound: tuple[int, int, int, int]) -> Fit:
    height, width = region.thick.shape
    scale = float(max(height, width))
    leans, offsets = wedge.leans, wedge.offsets
    linear = max(leans) < np.deg2rad(_MIN_LEAN_DEG)
    y, x = (np.arange(height) + 0.5)[:, None], (np.arange(width) + 0.5)[None, :]
    slack = 1.0
    between = (x * np.cos(leans[0]) + y * np.sin(leans[0]) >= offsets[0] - slack) & (
        (width - x) * np.cos(leans[1]) + y * np.sin(leans[1]) >= offsets[1] - slack
    )
    if linear:
        apex = None
        sides = (offsets[0], width - offsets[1])
        along = np.broadcast_to(y, between.shape)
        ray = (x - sides[0]) / max(sides[1] - sides[0], 1.0)
        ray = np.broadcast_to(ray, between.shape)
    else:
        apex = _apex(leans, offsets, width)
        dx, dy = x - apex[0], y - apex[1]
        between &= dy > 0
        along = np.hypot(dx, dy)
        ray = (np.arctan2(dx, np.maximum(dy, 1e-6)) + leans[0]) / (leans[0] + leans[1])
    inside = region.thick & between
    if not inside.any():
        inside = region.thick
    deep = _joined((region.loose & between) | inside, inside)
    outer = _End.measure(deep, along, ray, x, y, bound, last=True)
    # Still tissue near the probe belongs to it, a mark that stands apart does not.
    close = _joined((region.lit & between) | inside, inside)
    inner = _End.measure(close, along, ray, x, y, bound, last=False)
    left, top, right, bottom = (float(edge) for edge in bound)
    radii = (inner.arc, outer.arc)
    if outer.touched < _HARDLY_TOUCHED:
        radii = (inner.arc, _deepest(along[inside], outer.arc))
    if linear:
        left, right = max(left, sides[0]), min(right, sides[1])
        top, bottom = max(top, inner.arc), min(bottom, outer.arc)
        shape = SectorShape(
            apex=None,
            angles=(0.0, 0.0),
            radii=(0.0, 0.0),
            box=(left / scale, top / scale, right / scale, bottom / scale),
        )
    else:
        assert apex is not None
        if inner.flat_is_better:
            top, radii = max(top, inner.flat), (0.0, radii[1])
        if outer.flat_is_better:
            bottom = min(bottom, outer.flat)
            radii = (radii[0], float(along[deep].max()) + 1.0)
        shape = SectorShape(
            apex=(apex[0] / scale, apex[1] / scale),
            angles=(-leans[0], leans[1]),
            radii=(radii[0] / scale, radii[1] / scale),
            box=(left / scale, top / scale, right / scale, bottom / scale),
        )
        shape = _cut_sides(shape, deep, region.lit, bound)
    lengths = _edge_lengths(shape, height, width)
    touched = (
        min(1.0, wedge.touched[0] / max(lengths[0], 1.0)),
        min(1.0, wedge.touched[1] / max(lengths[1], 1.0)),
        outer.touched,
        inner.touched,
    )
    score = sum(wedge.touched) + (outer.touched * outer.length) + (inner.touched * inner.length)
    return Fit(
        shape=shape,
        touched=touched,
        near=wedge.near,
        face=_face(shape, height, width),
        lean_deg=wedge.lean_deg,
        settled=wedge.settled,
        score=float(score),
    )


def _deepest(depths: Floats, arc: float) -> float:
    """How deep anything is seen, if that is a little beyond an arc: specks of a dark far field."""
    near = depths[depths < _DEEPER * arc]
    return max(arc, float(np.quantile(near, _DEPTH_SEEN)) + 1.0) if len(near) else arc


def _joined(pixels: Mask, seed: Mask) -> Mask:
    """The parts of a mask that hold any of another."""
    labels, _ = ndimage.label(pixels)
    belongs = np.zeros(labels.max() + 1, bool)
    belongs[labels[seed]] = True
    belongs[0] = False
    joined: Mask = belongs[labels]
    return joined


def _apex(
    leans: tuple[float, float], offsets: tuple[float, float], width: int
) -> tuple[float, float]:
    """Where the two edges meet."""
    matrix = np.array([[np.cos(leans[0]), np.sin(leans[0])], [-np.cos(leans[1]), np.sin(leans[1])]])
    x, y = np.linalg.solve(matrix, np.array([offsets[0], offsets[1] - width * np.cos(leans[1])]))
    return float(x), float(y)


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """The near or the far end: an arc about the apex, or flat, and how much of it is touched."""

    arc: float
    flat: float
    flat_is_better: bool
    touched: float
    length: float

    @classmethod
    def measure(
        cls,
        inside: Mask,
        along: Floats,
        ray: Floats,
        x: Floats,
        y: Floats,
        bound: tuple[int, int, int, int],
        *,
        last: bool,
    ) -> _End:
        rows, columns = np.nonzero(inside)
        sign = -1.0 if last else 1.0
        radius = sign * along[rows, columns]
        number = np.clip((ray[rows, columns] * _NUM_RAYS).astype(np.intp), 0, _NUM_RAYS - 1)
        nearest = np.full(_NUM_RAYS, np.inf)
        np.minimum.at(nearest, number, radius)
        # What stands at the picture's border is cut off there: it says nothing of the arc.
        left, top, right, bottom = bound
        at_border = (
            (columns <= left + 1)
            | (columns >= right - 2)
            | ((rows >= bottom - 2) if last else (rows <= top + 1))
        )
        border = np.full(_NUM_RAYS, np.inf)
        np.minimum.at(border, number[at_border], radius[at_border])
        seen = np.isfinite(nearest)
        free = seen & ~(border <= nearest + 2.0)
        distance = nearest[seen][None]
        step = 0.5  # half a pixel: from centres to borders
        _, offset, touched = _supporting(
            distance,
            free[seen].astype(float)[None],
            np.ones((1, int(seen.sum()))),
            _COST_BEYOND_END,
        )
        num_free = max(1, int(free.sum()))
        # Flat: the same with the rows of these pixels for radii.
        at_end = radius == nearest[number]
        top_of = np.full(_NUM_RAYS, np.inf)
        np.minimum.at(top_of, number[at_end], sign * y[rows[at_end], 0])
        _, flat_offset, flat_touched = _supporting(
            top_of[seen][None],
            np.ones((1, int(seen.sum()))),
            np.ones((1, int(seen.sum()))),
            _COST_BEYOND_END,
        )
        edge = bottom if last else top
        flat = sign * float(flat_offset[0]) + (step if last else -step)
        span = columns.max() - columns.min() + 1
        share = float(touched[0]) / num_free
        flat_share = float(flat_touched[0]) / _NUM_RAYS
        at_edge = abs(flat - edge) <= 2.0
        arc = sign * float(offset[0]) + (step if last else -step)
        if free.sum() < 0.12 * _NUM_RAYS:
            # All of it is cut off by the border.
            arc = (
                float(along[rows, columns].max() + step)
                if last
                else float(along[rows, columns].min() - step)
            )
            share = 1.0
        return cls(
            arc=max(arc, 0.0),
            flat=flat,
            flat_is_better=not at_edge
            and flat_share > 0.3
            and flat_share > 1.15 * share * num_free / _NUM_RAYS,
            touched=max(share, flat_share),
            length=num_free / _NUM_RAYS * span,
        )


def _cut_sides(
    shape: SectorShape, inside: Mask, lit: Mask, bound: tuple[int, int, int, int]
) -> SectorShape:
    """Cut a fan where the display did: its sides stand straight up over a good stretch."""
    height, width = inside.shape
    scale = float(max(height, width))
    fan = shape.mask(height, width)
    rows = np.flatnonzero(inside.any(axis=1) & fan.any(axis=1))
    box = list(shape.box)
    for side, at in ((0, bound[0]), (2, bound[2])):
        flip = slice(None, None, -1) if side else slice(None)
        own = inside[rows][:, flip].argmax(axis=1).astype(float)
        edge = fan[rows][:, flip].argmax(axis=1).astype(float)
        at_px = float(width - at) if side else float(at)
        short = own - edge > 2.0
        if short.sum() < _CUT_HEIGHT * len(rows):
            continue
        _, offset, touched = _supporting(
            own[None], short.astype(float)[None], np.ones((1, len(own)))
        )
        line = float(offset[0])
        cut = round(line)
        beyond = (lit & fan)[:, flip][:, :cut].sum()
        lost = float(np.maximum(line - edge, 0.0).sum())
        if (
            touched[0] > _CUT_HEIGHT * len(rows)
            and touched[0] > _CUT_STRAIGHT * short.sum()
            and lost > _CUT_AREA * fan.sum()
            and beyond < _CUT_LIT * inside.sum()
            and line > at_px + 1.5
        ):
            box[side] = ((width - line) if side else line) / scale
    return SectorShape(
        apex=shape.apex,
        angles=shape.angles,
        radii=shape.radii,
        box=(box[0], box[1], box[2], box[3]),
    )


def _face(shape: SectorShape, height: int, width: int) -> float:
    """How wide the near end is, against the whole."""
    widths = shape.mask(height, width).sum(axis=1)
    lit = widths[widths > 0]
    if shape.apex is None or not len(lit):
        return 1.0
    if shape.radii[0] == 0.0:
        return float(lit[0] / lit.max())
    return shape.radii[0] / shape.radii[1]


def _edge_lengths(shape: SectorShape, height: int, width: int) -> tuple[float, float]:
    """How long each straight edge is within the picture, in pixels."""
    scale = float(max(height, width))
    left, top, right, bottom = (edge * scale for edge in shape.box)
    if shape.apex is None:
        return bottom - top, bottom - top
    lengths = []
    for angle in shape.angles:
        radius = np.arange(shape.radii[0] * scale, shape.radii[1] * scale)
        x = shape.apex[0] * scale + radius * np.sin(angle)
        y = shape.apex[1] * scale + radius * np.cos(angle)
        seen = (x > left) & (x < right) & (y > top) & (y < bottom)
        lengths.append(float(seen.sum()))
    return lengths[0], lengths[1]
