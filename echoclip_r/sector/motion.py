"""What in a clip is sector, and what is laid over it: told by how each pixel behaves over time.

    frames -> shrink -> measure -> moving_evidence      parts that change often and are thick
                     -> textured_evidence   the same for a still picture, by texture
              measure + the fitted mask -> crossing_graphics     lettering across the edge

All of it works on a small grey picture, in which lettering is one or two pixels thick.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "Evidence",
    "Motion",
    "crossing_graphics",
    "lit_beside",
    "measure",
    "moving_evidence",
    "shrink",
    "textured_evidence",
]

Mask = NDArray[np.bool_]
Work = NDArray[np.float32]

# A pixel moves if this share of steps between frames changes it: more than a trace or clock does.
_MOVING_SHARE = 0.35
# By how much, in grey levels of 255.
_MIN_CHANGE = 0.35
# Coding errors reach this far from what causes them, and are at most this share of it.
_CODING_BLOCK_PX = 8
_RINGING = 0.08
# Smaller than this share of the picture, what moves is no sector.
_MIN_AREA = 0.03
# Brighter than this, of 255, is lit.
_LIT = 24.0
# And than this, no black ground.
_DIM = 12.0
# Lettering that would take more than this share of the sector away is a doubt.
_MAX_NOTCH = 0.03


def shrink(frames: NDArray[np.uint8], picks: NDArray[np.intp], step: int) -> Work:
    """Means of step x step blocks of the green channel, which grey and Doppler pixels both fill."""
    height, width = frames.shape[1] // step, frames.shape[2] // step
    work = np.zeros((len(picks), height, width), np.float32)
    for place, pick in zip(work, picks, strict=True):
        green = np.ascontiguousarray(frames[pick, : height * step, : width * step, 1])
        # Whole lines at a time: several times as fast as a sum over blocks.
        rows = green[::step].astype(np.uint32)
        for first in range(1, step):
            rows += green[first::step]
        for first in range(step):
            place += rows[:, first::step]
    work /= step**2
    return np.ascontiguousarray(work.transpose(1, 2, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a clip shows of its sector, at the size of the work picture.

    Attributes:
        parts: the sector's visible parts, largest first; each bool, shape (h, w).
        unknown: bool, shape (h, w); pixels that speak neither for the sector nor against it.
    """

    parts: tuple[Mask, ...]
    unknown: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How each pixel of the work picture behaves over time; all float32, shape (h, w).

    Attributes:
        level: its median.
        peak: its largest value.
        low: its smallest value.
        change: what a third of the steps between frames change it by, or more.
        spread: what a third of the frames differ from its median by, or more.
    """

    level: Work
    peak: Work
    low: Work
    change: Work
    spread: Work


def measure(work: Work) -> Motion:
    """Summarise a work picture, float32, shape (h, w, T)."""
    ordered = np.sort(work, axis=2)
    num = work.shape[2]
    level: Work = (ordered[..., (num - 1) // 2] + ordered[..., num // 2]) / np.float32(2)
    return Motion(
        level=level,
        peak=ordered[..., -1],
        low=ordered[..., 0],
        change=_upper_third(np.abs(np.diff(work, axis=2))),
        spread=_upper_third(np.abs(work - level[..., None])),
    )


def _upper_third(values: Work) -> Work:
    """The value that `_MOVING_SHARE` of the last axis reaches."""
    place = values.shape[2] - max(1, round(_MOVING_SHARE * values.shape[2]))
    values.partition(place, axis=2)
    return values[..., place]


def moving_evidence(motion: Motion, step: int, doubts: list[str]) -> Evidence | None:
    """The thick parts that change in many frames, or None where hardly anything does."""
    noise = _corner_noise(motion.change)
    alive = motion.change > max(_MIN_CHANGE, 3.0 * noise)
    # Lossy coding makes everything near a passing bright line flicker a little. Flicker that could
    # be just that proves nothing, and neither does what is lit but still.
    reach = 2 * max(1, round(_CODING_BLOCK_PX / step)) + 1
    near = ndimage.maximum_filter(motion.peak - motion.level, reach)
    moving = alive & (motion.spread > _RINGING * near)
    parts = _thick_parts(moving)
    if not parts or parts[0].sum() < _MIN_AREA * moving.size:
        doubts.append(
            "its corners move as much as the rest: a sector that fills the picture, or noise"
            if noise > _MIN_CHANGE
            else "hardly anything moves in it: nothing tells tissue from burned-in text"
        )
        return None
    # Nor do moving pixels that are too thin or too few to be a part.
    stray = moving & ~np.logical_or.reduce(parts)
    unknown = stray | (~moving & (alive | (motion.level > _LIT)))
    return Evidence(parts=parts, unknown=unknown)


def _corner_noise(change: Work) -> float:
    """How much the stillest corner changes: the noise of an analogue or coarsely coded clip."""
    height, width = (max(2, side // 12) for side in change.shape)
    corners = (
        change[:height, :width],
        change[:height, -width:],
        change[-height:, :width],
        change[-height:, -width:],
    )
    return min(float(np.quantile(corner, 0.75)) for corner in corners)


def textured_evidence(still: Work) -> Evidence | None:
    """In a still picture: the largest thick part that is lit throughout and not one flat colour."""
    uneven = ndimage.maximum_filter(still, 3) - ndimage.minimum_filter(still, 3) > 0.7
    # Lettering is lit here and there: between its strokes the ground shows.
    parts = _parts(_dense((still > 8.0) & uneven, side_px=9, share=0.8))
    if not parts:
        return None
    grown = ndimage.binary_dilation(parts[0], _disc(2))
    return Evidence(parts=(grown,), unknown=np.zeros(still.shape, bool))


def _thick_parts(pixels: Mask) -> tuple[Mask, ...]:
    """The parts of a mask that are thicker than lettering once their gaps are closed."""
    side = max(pixels.shape)
    closed = ndimage.binary_fill_holes(_close(_dense(pixels), max(2, round(0.03 * side))))
    radius = max(2, round(0.025 * side))
    return _parts(_dilate(_erode(closed, radius), radius))


def lit_beside(motion: Motion, mask: Mask) -> float:
    """How much of what is not black and thick lies outside a sector but touches it, as its share.

    That is tissue which stands still, in a clip coded so coarsely that nothing tells it moves.
    """
    labels, count = ndimage.label(_dense(motion.level > _DIM) & ~mask)
    touches = np.zeros(count + 1, bool)
    touches[labels[ndimage.binary_dilation(mask, _disc(2))]] = True
    touches[0] = False
    return float(touches[labels].sum() / mask.sum())


def _parts(pixels: Mask) -> tuple[Mask, ...]:
    """The connected parts of a mask, largest first, without those far smaller than it."""
    labels, count = ndimage.label(pixels)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = [int(number) for number in np.argsort(-sizes, kind="stable")]
    return tuple(labels == number + 1 for number in order if sizes[number] > 0.25 * sizes.max())


def _dense(pixels: Mask, *, side_px: int = 5, share: float = 0.5) -> Mask:
    """Where most of a 5 x 5 square is set: a line or letter of 1-2 pixels cannot fill that."""
    filled: Mask = (
        ndimage.uniform_filter(pixels.astype(np.float32), side_px, mode="constant") > share
    )
    return filled


def _close(pixels: Mask, radius: int) -> Mask:
    """Closing with a disc that does not erode at the picture's edge."""
    closed = _erode(_dilate(np.pad(pixels, radius), radius), radius)
    return closed[radius:-radius, radius:-radius]


def _dilate(pixels: Mask, radius: int) -> Mask:
    """What lies within a disc about a pixel that is set."""
    return _any_in_disc(np.pad(pixels, radius), radius)


def _erode(pixels: Mask, radius: int) -> Mask:
    """Where a whole disc is set; what lies outside of the picture is not."""
    return ~_any_in_disc(np.pad(~pixels, radius, constant_values=True), radius)


def _any_in_disc(padded: Mask, radius: int) -> Mask:
    """Whether a disc about a pixel holds one that is set, for all but the outer ``radius`` pixels.

    A disc is a stack of runs, and running sums tell whether a run holds any: ten times as fast as
    a structuring element of a disc's size.
    """
    height, width = (side - 2 * radius for side in padded.shape)
    sums = np.zeros((padded.shape[0], padded.shape[1] + 1), np.int32)
    np.cumsum(padded, axis=1, out=sums[:, 1:])
    found = np.zeros((height, width), bool)
    for offset, run in enumerate(_disc(radius).sum(axis=1).tolist()):
        left = radius - run // 2
        lines = sums[offset : offset + height]
        found |= lines[:, left + run : left + run + width] != lines[:, left : left + width]
    return found


def _disc(radius: int) -> Mask:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disc: Mask = x**2 + y**2 <= (radius + 0.5) ** 2
    return disc


def _medians(level: Work, where: Mask) -> Work:
    """The median of the 5 x 5 pixels about each pixel of a mask; shape (n,)."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(level, 2, mode="symmetric"), (5, 5))
    values = windows[where].reshape(-1, 25)
    values.partition(12, axis=1)
    return values[:, 12]


def crossing_graphics(motion: Motion, mask: Mask, doubts: list[str]) -> Mask:
    """Lettering laid over the sector's edge: lit, still, and on both sides of it.

    Tissue is never lit outside the sector, so what is belongs to the display, and so does the part
    of it inside. Lettering that lies wholly inside cannot be told from still tissue.
    """
    # Lettering stands out from its ground; still tissue does not.
    still = (motion.level > _LIT) & (motion.peak - motion.low < 0.25 * motion.level)
    still[still] = motion.level[still] - _medians(motion.level, still) > _LIT
    labels, count = ndimage.label(ndimage.binary_dilation(still, _disc(1)))
    outside = np.bincount(labels[still & ~mask], minlength=count + 1)
    inside = np.bincount(labels[still & mask], minlength=count + 1)
    crosses = (outside >= 4) & (inside >= 4)
    crosses[0] = False
    crossing: Mask = crosses[labels] & mask
    if crossing.sum() > _MAX_NOTCH * mask.sum():
        doubts.append("still, lit pixels lie across much of its edge (lettering over the sector?)")
        return np.zeros_like(mask)
    return crossing
