"""The ultrasound sector: found from the clip itself, everything outside of it blanked.

    frames -> find_sector -> Sector (a mask, its box, and whether it is sure)
           -> apply_sector -> square frames, black outside the sector

Geometry first: an upright fan, a curved probe's or a linear probe's picture is laid around all
that is lit and changes (`fit`), so that black blood, shadows and dark halves inside it stay, and
lettering beside its slanting edges goes. Then it is asked what speaks against it: lit, changing
picture outside, edges that nothing touches, a second picture, a strip that runs sideways, bands
without tissue (`kinds`). Each is a doubt that says so in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from echoclip_r.sector.fit import Fit, fit_sector, turned
from echoclip_r.sector.kinds import bands_along_probe, gap_near_probe, strips
from echoclip_r.sector.lettering import (
    coloured_traces,
    crossing_graphics,
    lines_of_letters,
    trace_rows,
)
from echoclip_r.sector.motion import (
    Motion,
    Region,
    Work,
    add_near_field,
    add_specks,
    close,
    corner_noise,
    dilate,
    find_region,
    measure,
    parts_of,
    shrink,
    textured_region,
    thick,
)
from echoclip_r.sector.shape import SectorShape

__all__ = ["Box", "Sector", "apply_sector", "find_sector"]

Frames = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are the first beyond it."""

# No negative lobes: nothing rings across the sector's edge.
_RESAMPLING = Image.Resampling.BILINEAR
# The region is looked for in pictures of about this size, where lettering is 1-2 pixels thick.
_WORK_SIDE_PX = 240
_MAX_FRAMES = 24
_MIN_FRAMES = 4
# Grey levels above the ground that count as lit: hardly, nearly black, and plainly.
_THRESHOLDS = (3.0, 8.0, 20.0)
# Smaller than this share of the picture, what moves is no sector.
_MIN_AREA = 0.03
# A brighter threshold must touch so much more to be believed.
_BRIGHTER_WORTH = 1.1
# Edges touched over so much of their length are not touched over a tenth more at a brighter one.
_MIN_CERTAIN = 0.9
# What stands apart next to the probe belongs to it if the edges touch it and, in all, hardly
# less than without it; or if they touch so much more in all.
_NEAR_FIELD_WORTH = (0.95, 1.25)
_MAX_CORNER_NOISE = 6.0
_LIT_AT_TIMES = 16.0
_MAX_BEYOND_EDGES = 0.002
# What may lie outside, and how much of the edges must be touched.
_MAX_OUTSIDE = 0.012
_MIN_TOUCHED_BOTH = 0.6
_MIN_TOUCHED = 0.15
_MIN_NEAR = 0.45
_MIN_LONG = 0.25
_MIN_WHOLE = 1.4
_MIN_END = 0.5
_MIN_SETTLED = (0.75, 0.87)
_BROAD_FACE = 0.25
_FACE_SEEN = 0.8
_MIN_AT_FACE = 0.1
_MIN_FILLED = 0.35
_MAX_STILL = 0.48
_MAX_LEAN_DEG = 6.0
_LEANING_TOUCHED = 0.7
_MAX_BANDS = 0.93
_MAX_BESIDE = 0.05
_BESIDE_HEIGHT = 0.25
_BESIDE_WIDTH = 0.12
_BESIDE_GAP = 0.012
_MAX_LETTERING = 0.05
_MAX_TRACE = 0.08
# How far within the fitted edges the mask stays, as a share of the longer side.
_MARGIN = 0.003


@dataclass(frozen=True, slots=True, kw_only=True)
class Sector:
    """Where the ultrasound picture is in a clip's frames.

    Attributes:
        mask: bool, shape (height, width); True where the picture is.
        top: first row of the mask's box.
        left: first column.
        bottom: row after the last.
        right: column after the last.
        sure: whether motion and geometry agree; if not, look at the clip before it is used.
        reason: why it is not sure, or what it rests on.
        shape: the outline, at any resolution; None where none was found.
        doubts: what speaks against it: of a given outline, what speaks against all that is inside.
        outside: of a given outline, the share of all that moves which lies outside, 0 to 1.
    """

    mask: Mask
    top: int
    left: int
    bottom: int
    right: int
    sure: bool
    reason: str
    shape: SectorShape | None = None
    doubts: tuple[str, ...] = ()
    outside: float = 0.0

    def __post_init__(self) -> None:
        height, width = self.mask.shape
        if self.mask.dtype != np.bool_:
            raise ValueError(f"a sector's mask must be bool, not {self.mask.dtype}")
        if not (0 <= self.top < self.bottom <= height and 0 <= self.left < self.right <= width):
            raise ValueError(
                f"the box rows {self.top}-{self.bottom}, columns {self.left}-{self.right} does "
                f"not lie in the mask of {height} x {width}"
            )


def find_sector(
    frames: Frames, *, bound: Box | None = None, shape: SectorShape | None = None
) -> Sector:
    """Find the ultrasound sector of a clip.

    Args:
        frames: RGB, uint8, shape (T, height, width, 3). A few dozen frames over a heart beat are
            enough; at most 24 of them, evenly spread, are looked at.
        bound: where the sector must lie, such as the region that a DICOM file declares. Nothing
            outside of it is looked at, and nothing outside of it is kept.
        shape: the outline, where it is known (drawn for this machine, or taken from another clip
            of the study). Then it is not looked for: sure unless the clip shows lit, changing
            picture outside of it, or something speaks against what is inside.

    Returns:
        The sector. A black clip gets an empty mask, so that nothing of it is ever shown.

    Raises:
        ValueError: the frames have another shape or type, there are none, or the bound is empty
            or leaves the frames.
    """
    _check_frames(frames)
    num_frames, height, width = frames.shape[:3]
    if bound is not None:
        _check_bound(bound, height, width)
    picks = np.unique(np.linspace(0, num_frames - 1, min(num_frames, _MAX_FRAMES)).round())
    step = max(1, round(max(height, width) / _WORK_SIDE_PX))
    work = shrink(frames, picks.astype(np.intp), step)
    inner = None
    if bound is not None:
        inner = _shrink_bound(bound, step, work.shape[1:])
        work = _blank(work, inner)
    motion = measure(work)
    seen, seen_motion = work, motion
    if shape is not None:
        # A trace or a strip outside of a given outline is no reason against what is inside; all
        # else is judged on the whole picture, since letters and traces show by their part outside.
        seen = work * dilate(shape.mask(*work.shape[1:]), 1)
        seen_motion = measure(seen)
    strip = strips(seen, seen_motion)
    doubts = [_name_strip(strip, seen_motion)] if strip.any() else []
    outside = 0.0
    region = None
    rests_on = "its edges and what moves agree"
    if shape is None:
        shape = _look(work, motion, step, inner, doubts)
        if shape is None:
            return _make(np.zeros((height, width), bool), None, doubts, rests_on)
    else:
        rests_on = "its outline was given"
        region = find_region(motion, step, _THRESHOLDS[1])
        outside = _outside_of_given(shape, region)
    mask = _draw(shape, height, width, step, work.shape[1:], bound)
    if len(picks) > 1:
        looked_at = frames if len(picks) == num_frames else frames[picks.astype(np.intp)]
        # Picture that a given outline cuts off is none of what runs beside it.
        thick_parts = np.zeros(work.shape[1:], bool) if region is None else region.thick
        mask = _take_lettering(mask, looked_at, motion, shape, thick_parts, doubts)
    return _make(mask, shape, doubts, rests_on, outside)


def _look(
    work: Work, motion: Motion, step: int, bound: Box | None, doubts: list[str]
) -> SectorShape | None:
    """The outline of what moves, or of a still picture's texture; None where there is neither."""
    if len(work) == 1:
        doubts.append("one frame alone, a still picture: nothing tells tissue from lettering")
    elif len(work) < _MIN_FRAMES:
        doubts.append(f"{len(work)} frames alone: too few to tell a trace from tissue")
    found = _find(motion, step, bound)
    if found is not None:
        if corner_noise(motion) > _MAX_CORNER_NOISE:
            doubts.append(
                "its corners move as much as the rest: a sector that fills the picture, or noise"
            )
        doubts += _doubts(found, motion)
        return found.fit.shape
    if len(work) > 1:
        doubts.append(_why_nothing_moves(motion))
    still = textured_region(work[len(work) // 2])
    if not still.any():
        doubts.append("nothing in it looks like tissue")
        return None
    return fit_sector(Region.of_still(still), bound).shape


def _check_bound(bound: Box, height: int, width: int) -> None:
    left, top, right, bottom = bound
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(
            f"the bound columns {left}-{right}, rows {top}-{bottom} does not lie in frames of "
            f"{height} x {width}"
        )


def _shrink_bound(bound: Box, step: int, size: tuple[int, ...]) -> Box:
    left, top, right, bottom = bound
    return (
        min(left // step, size[1] - 1),
        min(top // step, size[0] - 1),
        min(max(-(-right // step), left // step + 1), size[1]),
        min(max(-(-bottom // step), top // step + 1), size[0]),
    )


def _blank(work: Work, bound: Box) -> Work:
    left, top, right, bottom = bound
    kept = np.zeros_like(work)
    kept[:, top:bottom, left:right] = work[:, top:bottom, left:right]
    return kept


def _why_nothing_moves(motion: Motion) -> str:
    if (motion.peak > _THRESHOLDS[1]).mean() < _MIN_AREA:
        return "hardly anything in it is lit or moves: a probe without signal, or a still picture"
    return "hardly anything moves in it: a still picture, or a probe in air"


def _name_strip(strip: Mask, motion: Motion) -> str:
    """M-mode or spectral Doppler; with a picture beside it, still or not, it is a duplex."""
    beside = thick(motion.high > _THRESHOLDS[1]) & ~dilate(strip, 4)
    if beside.mean() > 0.3 * _MIN_AREA:
        return "duplex: a picture beside a strip that runs sideways (M-mode or spectral Doppler)"
    return "it runs sideways: M-mode or spectral Doppler"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What belongs to the picture at one threshold, and the outline that fits it."""

    region: Region
    fit: Fit


def _find(motion: Motion, step: int, bound: Box | None) -> _Found | None:
    """The outline that touches most, whatever counts as lit; None where hardly anything moves.

    Noise and the halo of coding are hardly lit, dim halves of a fan are, too: the true edges are
    straight at one threshold or another, halos at none.
    """
    best: _Found | None = None
    for threshold in _THRESHOLDS:
        region = find_region(motion, step, threshold)
        if region is None or region.moving.sum() < _MIN_AREA * region.moving.size:
            break
        fit = fit_sector(region, bound)
        if best is None or fit.score > _BRIGHTER_WORTH * best.fit.score:
            best = _Found(region=region, fit=fit)
        if min(fit.touched[:2]) > _MIN_CERTAIN:
            break
    if best is None:
        return None
    fitted = best.fit.shape.mask(*motion.level.shape)
    region = add_specks(motion, best.region, fitted)
    found = _Found(region=region, fit=fit_sector(region, bound))
    wider = add_near_field(motion, region)
    if wider is not None:
        fit = fit_sector(wider, bound)
        worth = _NEAR_FIELD_WORTH[0] if min(fit.near) >= _MIN_NEAR else _NEAR_FIELD_WORTH[1]
        if fit.score > worth * found.fit.score:
            found = _Found(region=wider, fit=fit)
    return found


def _doubts(found: _Found, motion: Motion) -> list[str]:
    """What speaks against an outline, in words."""
    fit, region = found.fit, found.region
    doubts: list[str] = []
    fitted = fit.shape.mask(*region.lit.shape)
    if not fitted.any():
        return ["nothing of what moves has the shape of an ultrasound picture"]
    near = dilate(fitted, 2)
    parts = parts_of(region.thick)
    outside = _outside(region, near)
    beyond = _beyond_edges(motion, fit.shape, fitted)
    lit_in = region.lit & fitted
    filled = float(lit_in.sum() / fitted.sum())
    air = bands_along_probe(motion, fit.shape, fitted) > _MAX_BANDS
    way = "" if air else turned(region.thick)
    if way:
        return [f"a fan that lies {way}: turn the clip first"]
    several = _count_pictures(fitted, region, parts)
    if several > 2:
        doubts.append(f"a montage: {several} pictures that move")
    elif several == 2:
        doubts.append("two fans or pictures (a split screen?)")
    elif outside > _MAX_OUTSIDE:
        doubts.append(f"picture that moves lies outside of it ({outside:.0%} of it)")
    elif beyond > _MAX_BEYOND_EDGES:
        doubts.append(f"picture that is lit at times lies beyond its edges ({beyond:.1%} of it)")
    beside = _beside(motion, fitted, near)
    if beside > _MAX_BESIDE:
        doubts.append(
            f"a still picture lies beside it ({beside:.0%} of its size; two fans, duplex or a "
            "frozen half?)"
        )
    doubts += _unseen_edges(fit)
    if filled < _MIN_FILLED:
        doubts.append(f"little of the fan that fits it is lit ({filled:.0%})")
    bright = lit_in & (motion.high > 0)
    still = 1.0 - float((region.moving & bright).sum() / max(bright.sum(), 1))
    if still > _MAX_STILL:
        doubts.append(f"much of what is lit in it never moves ({still:.0%})")
    if fit.lean_deg > _MAX_LEAN_DEG and min(fit.touched[:2]) < _LEANING_TOUCHED:
        doubts.append(f"its edges lean apart (by {fit.lean_deg:.0f} degrees)")
    if air:
        doubts.append("bands along the probe and no tissue: a probe in air")
    return doubts


def _unseen_edges(fit: Fit) -> list[str]:
    """A doubt where too little is seen of what tells where the edges are.

    That is the edges next to the probe, where all is lit; or long edges and an end that agrees
    with them; or a broad face of the probe, from whose ends the edges start; or that no other
    edges would be touched nearly as much.
    """
    nearly, roughly = fit.settled
    if nearly < _MIN_SETTLED[0]:
        return [f"other edges fit about as well (they have {nearly:.0%} of the width in common)"]
    if roughly >= _MIN_SETTLED[1]:
        return []
    left, right, outer, inner = fit.touched
    both, less = left + right, min(left, right)
    starts = min(fit.near) >= _MIN_NEAR and both >= _MIN_TOUCHED_BOTH and less >= _MIN_TOUCHED
    whole = less >= _MIN_LONG and both + outer >= _MIN_WHOLE and outer >= _MIN_END
    face = fit.face >= _BROAD_FACE and inner >= _FACE_SEEN and less >= _MIN_AT_FACE
    if starts or whole or face:
        return []
    return [
        f"its edges are not seen (the left over {left:.0%} of its length, the right over "
        f"{right:.0%}; next to the probe {fit.near[0]:.0%} and {fit.near[1]:.0%})"
    ]


def _outside(region: Region, near: Mask) -> float:
    """How much lit, changing picture lies outside, against all of it: beside it, or thick."""
    beyond = region.loose & ~near
    labels, count = ndimage.label(beyond)
    touches = np.zeros(count + 1, bool)
    touches[labels[dilate(near, 3) & beyond]] = True
    touches[0] = False
    left = (touches[labels] | (region.thick & ~near)).sum()
    return float(left / max(region.loose.sum(), 1))


def _beyond_edges(motion: Motion, shape: SectorShape, fitted: Mask) -> float:
    """How much is lit at times beyond a fan's straight edges, against the fan's size.

    Beyond its far end a trace is lit at times, too; beside it nothing but picture is.
    """
    if shape.apex is None:
        return 0.0
    seen = motion.peak > _LIT_AT_TIMES
    seen &= motion.peak - motion.floor > 0.5 * motion.peak
    seen = ndimage.uniform_filter(seen.astype(np.float32), 3) > 0.6
    seen &= ~dilate(fitted, 2)
    corners = [np.flatnonzero(fitted[:, side]) for side in _outer_columns(fitted)]
    seen[max(rows[0] for rows in corners) - 2 :] = False
    labels, count = ndimage.label(seen)
    touches = np.zeros(count + 1, bool)
    touches[labels[dilate(fitted, 5)]] = True
    touches[0] = False
    return float(touches[labels].sum() / fitted.sum())


def _outer_columns(fitted: Mask) -> tuple[int, int]:
    columns = np.flatnonzero(fitted.any(axis=0))
    return int(columns[0]), int(columns[-1])


def _count_pictures(fitted: Mask, region: Region, parts: Sequence[Mask]) -> int:
    """How many pictures the outline frames or leaves beside: 1 where it is one."""
    if not gap_near_probe(fitted, region.lit):
        filled = (region.lit & fitted).sum() / fitted.sum()
        large = [part for part in parts if part.sum() > 0.25 * parts[0].sum()]
        if filled < _MIN_FILLED and len(large) > 2 and _apart(large):
            return len(large)
        near = dilate(fitted, 2)
        alone = [part for part in parts if (part & near).sum() < 0.5 * part.sum()]
        return 1 + len(alone) if sum(map(np.sum, alone)) > 0.1 * region.thick.sum() else 1
    large = [part for part in parts if part.sum() > 0.25 * parts[0].sum()]
    return max(2, len(large))


def _apart(parts: Sequence[Mask]) -> bool:
    """Whether the boxes of some parts do not overlap."""
    covered = np.zeros(parts[0].shape, np.intp)
    for part in parts:
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        covered[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += 1
    return bool(covered.max() == 1)


def _beside(motion: Motion, fitted: Mask, near: Mask) -> float:
    """The size of what is thick and lit outside, but no lettering, against the sector's.

    Bars, keys and grey wedges are low or narrow; a second picture is neither.
    """
    lit = (np.abs(motion.level) > _THRESHOLDS[1]) & ~motion.graphics & ~near
    labels, _ = ndimage.label(thick(close(lit, max(1, round(_BESIDE_GAP * max(lit.shape))))))
    size = 0
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        if high > _BESIDE_HEIGHT * fitted.any(axis=1).sum() and (
            wide > _BESIDE_WIDTH * fitted.any(axis=0).sum()
        ):
            size += int((labels == number).sum())
    return size / float(fitted.sum())


def _outside_of_given(shape: SectorShape, region: Region | None) -> float:
    """The share of what moves that lies outside of a given outline."""
    if region is None:
        return 0.0
    near = dilate(shape.mask(*region.lit.shape), 2)
    return float((region.moving & ~near).sum() / max(region.moving.sum(), 1))


def _draw(
    shape: SectorShape,
    height: int,
    width: int,
    step: int,
    size: tuple[int, ...],
    bound: Box | None,
) -> Mask:
    """The outline at full size, a little within the fitted edges."""
    # Coding and a trace that crosses the edge smear it by a pixel or so of a work picture.
    margin = max(0.5, _MARGIN * max(height, width))
    # The work picture leaves out up to step - 1 rows and columns at the end.
    drawn = shape.mask(size[0] * step, size[1] * step, margin_px=margin)
    mask = np.zeros((height, width), bool)
    mask[: drawn.shape[0], : drawn.shape[1]] = drawn
    if bound is not None:
        left, top, right, bottom = bound
        inside = np.zeros_like(mask)
        inside[top:bottom, left:right] = True
        mask &= inside
    return mask


def _take_lettering(
    mask: Mask,
    frames: Frames,
    motion: Motion,
    shape: SectorShape,
    picture: Mask,
    doubts: list[str],
) -> Mask:
    """A mask without lettering over its edge or in lines inside of it, and without a trace."""
    size = motion.level.shape
    step = frames.shape[1] // size[0]
    crossing = crossing_graphics(motion, shape.mask(*size))
    crossing = crossing.repeat(step, axis=0).repeat(step, axis=1)
    lettering = np.zeros_like(mask)
    lettering[: crossing.shape[0], : crossing.shape[1]] = crossing
    lettering |= lines_of_letters(frames[:: max(1, len(frames) // 4)], mask)
    if (lettering & mask).sum() > _MAX_LETTERING * max(mask.sum(), 1):
        doubts.append("still, lit strokes lie across much of it (lettering over the sector?)")
    traces = coloured_traces(frames, mask)
    if not traces.any():
        rows = trace_rows(motion, shape.mask(*size) | picture).repeat(step)
        traces[: len(rows)][rows] = True
        if (lost := (traces & mask).sum() / max(mask.sum(), 1)) > _MAX_TRACE:
            doubts.append(f"a trace as grey as tissue lies over {lost:.0%} of it")
    return mask & ~lettering & ~traces


def _make(
    mask: Mask,
    shape: SectorShape | None,
    doubts: Sequence[str],
    rests_on: str,
    outside: float = 0.0,
) -> Sector:
    said = list(doubts)
    if outside > _MAX_OUTSIDE:
        said.append(f"picture that moves lies outside of the given outline ({outside:.0%} of it)")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        rows, columns = np.arange(mask.shape[0]), np.arange(mask.shape[1])
    return Sector(
        mask=mask,
        top=int(rows[0]),
        left=int(columns[0]),
        bottom=int(rows[-1]) + 1,
        right=int(columns[-1]) + 1,
        sure=not said,
        reason="; ".join(said) or rests_on,
        shape=shape,
        doubts=tuple(doubts),
        outside=outside,
    )


def _check_frames(frames: Frames) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise ValueError(
            "frames must be RGB bytes of shape (T, height, width, 3), T at least 1, not "
            f"{frames.dtype} {frames.shape}"
        )


def apply_sector(frames: Frames, sector: Sector, size_px: int) -> Frames:
    """Blank everything outside the sector, crop to it, pad to a square and resize.

    Args:
        frames: RGB, uint8, shape (T, height, width, 3), of the size that the sector was found in.
        sector: from `find_sector`.
        size_px: side of the result.

    Returns:
        uint8, shape (T, size_px, size_px, 3); exactly 0 outside the sector, its aspect kept.

    Raises:
        ValueError: the frames have another size than the sector's mask, or ``size_px`` < 1.
    """
    if size_px < 1:
        raise ValueError(f"size_px must be at least 1, not {size_px}")
    if frames.ndim != 4 or frames.shape[1:] != (*sector.mask.shape, 3) or frames.dtype != np.uint8:
        raise ValueError(
            f"frames of {frames.dtype} {frames.shape} do not fit a sector of {sector.mask.shape}: "
            "find the sector in the same clip"
        )
    rows, columns = slice(sector.top, sector.bottom), slice(sector.left, sector.right)
    mask = sector.mask[rows, columns]
    height, width = mask.shape
    scale = size_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (size_px - size[0]) // 2, (size_px - size[1]) // 2
    inside = (slice(top, top + size[1]), slice(left, left + size[0]))
    # Resizing blends across the edge; half covered is the last that counts as inside.
    small = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, _RESAMPLING)) > 127
    keep, keep_small = (np.where(kept, 255, 0).astype(np.uint8).repeat(3) for kept in (mask, small))
    out = np.zeros((len(frames), size_px, size_px, 3), np.uint8)
    for frame, place in zip(frames, out, strict=True):
        blanked = frame[rows, columns] & keep.reshape(height, width, 3)
        picture = Image.fromarray(blanked).resize(size, _RESAMPLING)
        place[inside] = np.asarray(picture) & keep_small.reshape(size[1], size[0], 3)
    return out
