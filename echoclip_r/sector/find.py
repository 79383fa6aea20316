"""The ultrasound sector: found from the clip itself, everything outside of it blanked.

    frames -> find_sector -> Sector (a mask, its box, and whether it is sure)
           -> apply_sector -> square frames, black outside the sector

What tells tissue from burned-in text is that tissue changes in most frames and is thick: lettering
stands still, a clock changes seldom, and the line of an ECG trace is thin and passes each pixel
once in a while. A fan or a rectangle is fitted to what moves (`sector_shape`), so that black blood,
shadows and dark corners inside the sector stay, and lettering beside a fan's slanting edges goes.
A still picture has no motion to go by: then the largest thick, textured region counts, and the
sector says that it is not sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echoclip_r.sector.motion import (
    Evidence,
    crossing_graphics,
    lit_beside,
    measure,
    moving_evidence,
    shrink,
    textured_evidence,
)
from echoclip_r.sector.shape import SectorShape, fill_hull, fit_shape

__all__ = ["Sector", "apply_sector", "find_sector"]

Frames = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# No negative lobes: nothing rings across the sector's edge.
_RESAMPLING = Image.Resampling.BILINEAR
# The region is looked for in pictures of about this size, where lettering is 1-2 pixels thick.
_WORK_SIDE_PX = 240
_MAX_FRAMES = 24
_MIN_FRAMES = 4
# How well the fitted shape must agree with what was found.
_MIN_OVERLAP = 0.80
_MIN_COVERED = 0.95
_MIN_FILLED = 0.80
_MAX_BESIDE = 0.025
# How far within the fitted edges the mask stays, as a share of the longer side.
_MARGIN = 0.005


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
    """

    mask: Mask
    top: int
    left: int
    bottom: int
    right: int
    sure: bool
    reason: str

    def __post_init__(self) -> None:
        height, width = self.mask.shape
        if self.mask.dtype != np.bool_:
            raise ValueError(f"a sector's mask must be bool, not {self.mask.dtype}")
        if not (0 <= self.top < self.bottom <= height and 0 <= self.left < self.right <= width):
            raise ValueError(
                f"the box rows {self.top}-{self.bottom}, columns {self.left}-{self.right} does "
                f"not lie in the mask of {height} x {width}"
            )


def find_sector(frames: Frames) -> Sector:
    """Find the ultrasound sector of a clip.

    Args:
        frames: RGB, uint8, shape (T, height, width, 3). A few dozen frames over a heart beat are
            enough; at most 24 of them, evenly spread, are looked at.

    Returns:
        The sector. A black clip gets an empty mask, so that nothing of it is ever shown.

    Raises:
        ValueError: the frames have another shape or type, or there are none.
    """
    _check_frames(frames)
    num_frames, height, width = frames.shape[:3]
    picks = np.unique(np.linspace(0, num_frames - 1, min(num_frames, _MAX_FRAMES)).round())
    step = max(1, round(max(height, width) / _WORK_SIDE_PX))
    work = shrink(frames, picks.astype(np.intp), step)
    doubts: list[str] = []
    evidence = None
    if len(picks) == 1:
        doubts.append("one frame alone: nothing tells tissue from burned-in text")
    else:
        if len(picks) < _MIN_FRAMES:
            doubts.append(f"{len(picks)} frames alone: too few to tell a trace from tissue")
        motion = measure(work)
        evidence = moving_evidence(motion, step, doubts)
    if evidence is None:
        evidence = textured_evidence(work[..., len(picks) // 2])
    if evidence is None:
        return _make(np.zeros((height, width), bool), ["nothing in it looks like tissue"])
    shape = _fit(evidence, doubts)
    # Coding and a trace that crosses the edge smear it by a pixel or so of a work picture.
    margin = max(0.5, _MARGIN * max(height, width))
    # The work picture leaves out up to step - 1 rows and columns at the end.
    drawn = shape.mask(*(side * step for side in work.shape[:2]), margin_px=margin)
    mask = np.zeros((height, width), bool)
    mask[: drawn.shape[0], : drawn.shape[1]] = drawn
    if len(picks) > 1:
        fitted = shape.mask(*work.shape[:2])
        beside = lit_beside(motion, fitted)
        if beside > _MAX_BESIDE:
            doubts.append(f"lit pixels that never move border it ({beside:.0%} of its size)")
        crossing = crossing_graphics(motion, fitted, doubts)
        crossing = crossing.repeat(step, axis=0).repeat(step, axis=1)
        mask[: drawn.shape[0], : drawn.shape[1]] &= ~crossing
    return _make(mask, doubts)


def _make(mask: Mask, doubts: Sequence[str]) -> Sector:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        rows, columns = np.arange(mask.shape[0]), np.arange(mask.shape[1])
    return Sector(
        mask=mask,
        top=int(rows[0]),
        left=int(columns[0]),
        bottom=int(rows[-1]) + 1,
        right=int(columns[-1]) + 1,
        sure=not doubts,
        reason="; ".join(doubts) or "what moves fills it",
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


def _fit(evidence: Evidence, doubts: list[str]) -> SectorShape:
    """Fit a shape to the largest part, or to all of them where it is one sector in pieces."""
    whole = np.logical_or.reduce(evidence.parts)
    shape = fit_shape(whole, evidence.unknown)
    complaint = _misfit(shape, whole, evidence.unknown)
    if complaint and len(evidence.parts) > 1:
        shape = fit_shape(evidence.parts[0], evidence.unknown)
        complaint = "several regions move (a split screen?), and the largest is kept"
    if complaint:
        doubts.append(complaint)
    return shape


def _misfit(shape: SectorShape, region: Mask, unknown: Mask) -> str:
    """How badly a shape fits a region, in words; empty where it fits."""
    fitted = shape.mask(*region.shape)
    held = region & fitted
    covered = float(held.sum() / region.sum())
    # Two fans side by side fill what is between them worst near the probe, a single one best.
    near = shape.near_part().mask(*region.shape)
    filled = min(
        float((held & part).sum() / max((part & (held | ~unknown)).sum(), 1))
        for part in (fitted, near)
    )
    hull = fill_hull(held)
    overlap = float((hull & fitted).sum() / max(((hull | fitted) & (hull | ~unknown)).sum(), 1))
    if overlap >= _MIN_OVERLAP and covered >= _MIN_COVERED and filled >= _MIN_FILLED:
        return ""
    return (
        f"neither a fan nor a rectangle fits it well (overlap {overlap:.2f}, {covered:.0%} of "
        f"what was found lies inside and fills {filled:.0%})"
    )
