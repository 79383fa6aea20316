"""How each pixel of a clip behaves over time, and what of it is ultrasound for certain.

    frames -> shrink -> measure -> Motion -> find_region -> Region      thick, lit, and changing
                                 textured_region                a still picture, by its texture

All of it works on a small grey picture, in which lettering is one or two pixels thick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "Motion",
    "Region",
    "add_near_field",
    "add_specks",
    "close",
    "corner_noise",
    "dilate",
    "disc",
    "find_region",
    "measure",
    "parts_of",
    "shrink",
    "textured_region",
    "thick",
]

Mask = NDArray[np.bool_]
Work = NDArray[np.float32]

# A pixel is lit or dark if it is in this share of the frames: a trace, which passes each pixel
# once in a while, is neither, and tissue that a black level clamps now and then is lit.
_SHARE = 0.2
# What changes by less, in grey levels of 255, stands still; and by less than this share of what
# is near it: coding errors reach so far.
_MIN_CHANGE = 3.0
_RINGING = 0.05
_CODING_BLOCK_PX = 8
# A ground brighter than this is no ground: the picture fills the frame.
_MAX_GROUND = 60.0
# Parts smaller than this share of the largest are strays.
_MIN_PART = 0.08
# A stroke of lettering, shrunk, is at least this bright.
_STROKE = 24.0
# And neighbours in a flat colour differ by less.
_FLAT = 0.5
# A part belongs to the picture if this share of it changes.
_MIN_MOVING = 0.15
# The base line of a trace below the picture: how low, how wide, and how much of its box it fills.
_BAR_HEIGHT = 0.1
_BAR_WIDTH = 0.25
_BAR_FILLED = 0.6
# Specks: how bright a pixel is at its brightest, and what is too bright for a speck of tissue that
# stands apart; nothing within so many pixels of the work picture of that is taken for tissue.
_SPECK = 4.0
# More where there is noise: so many times what three quarters of the surroundings do not reach.
_ABOVE_NOISE = 2.0
_SURROUNDINGS_PX = (2, 6)
_TOO_BRIGHT = 48.0
_SPECK_GAP_PX = 4
_MIN_SPECK_PX = 4
# How far down the picture what lies next to the probe may reach, and how wide it is at least.
_NEAR_FIELD = 0.3
_MIN_NEAR_WIDTH = 0.04
_SLACK_PX = 3


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
    return work


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How each pixel of the work picture behaves over time; all float32, shape (h, w).

    Attributes:
        level: its median, above the ground.
        high: the level that a fifth of the frames reach, above the ground.
        low: the level that a fifth of the frames do not reach, above the ground.
        peak: its largest value, above the ground.
        floor: its smallest value, above the ground.
        ground: the grey level of the screen around the picture.
        graphics: bool, shape (h, w); what stands still and is no tissue.
        bars: bool, shape (h, w); what of that is of one flat colour.
    """

    level: Work
    high: Work
    low: Work
    peak: Work
    floor: Work
    ground: float
    graphics: Mask
    bars: Mask


def measure(work: Work) -> Motion:
    """Summarise a work picture, float32, shape (T, h, w)."""
    ordered = np.sort(np.ascontiguousarray(work.transpose(1, 2, 0)), axis=2)
    num = ordered.shape[2]
    high = min(num - 1, int(np.ceil((1 - _SHARE) * num)) - 1)
    level = ordered[..., num // 2]
    border = np.concatenate([level[0], level[-1], level[:, 0], level[:, -1]])
    ground = float(np.quantile(border, 0.25))
    if ground > _MAX_GROUND:
        ground = 0.0
    level = level - np.float32(ground)
    change = ordered[..., -1] - ordered[..., 0]
    strokes, bars = _still_graphics(level, change)
    return Motion(
        level=level,
        high=ordered[..., high] - np.float32(ground),
        low=ordered[..., num - 1 - high] - np.float32(ground),
        peak=ordered[..., -1] - np.float32(ground),
        floor=ordered[..., 0] - np.float32(ground),
        ground=ground,
        graphics=strokes | bars,
        bars=bars,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What belongs to the picture at one threshold; all bool, shape (h, w).

    Attributes:
        thick: thick parts that are lit and, somewhere, change: tissue, still or not.
        moving: what of them changes.
        loose: all that is lit in most frames and changes, where most around it does, thick or not.
        lit: all that is lit where most around it is, too.
    """

    thick: Mask
    moving: Mask
    loose: Mask
    lit: Mask

    @classmethod
    def of_still(cls, region: Mask) -> Region:
        """What a still picture shows: one mask for all."""
        return cls(thick=region, moving=region, loose=region, lit=region)


def find_region(motion: Motion, step: int, threshold: float) -> Region | None:
    """What is lit by more than ``threshold``, thick and in parts that change; None if nothing.

    Still tissue is taken along with what moves: reverberation near the probe hardly changes.
    """
    reach = 2 * max(1, round(_CODING_BLOCK_PX / step)) + 1
    ringing = _RINGING * ndimage.maximum_filter(motion.peak, reach)
    changes = motion.high - motion.low > np.maximum(_MIN_CHANGE, ringing)
    bright = motion.high > threshold
    if motion.ground > 2 * threshold:
        # On a grey screen the black of the picture stands out as well.
        bright |= motion.high < -threshold
    bright &= ~motion.graphics
    lit = _dense(bright)
    whole = thick(bright)
    labels, count = ndimage.label(whole)
    if not count:
        return None
    moving = _dense(bright & changes) & whole
    # A trace lights each pixel in a few frames alone.
    loose = _dense(bright & changes & (np.abs(motion.level) > 0.5 * threshold))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    moves = np.bincount(labels[moving], minlength=count + 1)
    belongs = moves > _MIN_MOVING * sizes
    belongs[0] = False
    sizes[~belongs] = 0
    belongs &= sizes > _MIN_PART * sizes.max()
    if not belongs.any():
        return None
    kept = belongs[_without_trace(labels, int(sizes.argmax()))]
    return Region(thick=kept, moving=moving & kept, loose=loose, lit=lit)


def _without_trace(labels: NDArray[Any], largest: int) -> NDArray[Any]:
    """Labels of parts without a straight, low bar below the largest: the base line of a trace.

    What a fan shows at its far end follows its arc, and does not fill a low box.
    """
    boxes = ndimage.find_objects(labels)
    foot = boxes[largest - 1][0].stop
    height, width = labels.shape
    left = labels.copy()
    for number, (high, wide) in enumerate(boxes, start=1):
        tall, across = high.stop - high.start, wide.stop - wide.start
        if high.start < foot or tall > _BAR_HEIGHT * height or across < _BAR_WIDTH * width:
            continue
        bar = labels[high, wide] == number
        if bar.mean() > _BAR_FILLED:
            left[high, wide][bar] = 0
    return left


def add_specks(motion: Motion, region: Region, fitted: Mask) -> Region:
    """A region with what is hardly lit, and at times only: dim edges and the far end of a picture.

    Lettering that changes and traces are bright where they are lit at all; what is near to them
    and outside of the region is left out.

    Args:
        motion: of the clip.
        region: what is plainly lit.
        fitted: the outline laid around that; what lies next to it tells how strong noise is.
    """
    near, far = (dilate(fitted, reach) for reach in _SURROUNDINGS_PX)
    around = motion.peak[far & ~near]
    noise = float(np.quantile(around, 0.75)) if len(around) else 0.0
    seen = motion.peak > _SPECK + _ABOVE_NOISE * noise
    seen &= motion.peak - motion.floor > 0.5 * motion.peak
    seen = ndimage.uniform_filter(seen.astype(np.float32), 3) > 0.5
    inside = dilate(region.thick, 1)
    bright = (motion.peak > _TOO_BRIGHT) & ~dilate(inside, 1)
    labels, count = ndimage.label(seen & ~inside & ~dilate(bright, _SPECK_GAP_PX), np.ones((3, 3)))
    large = np.bincount(labels.ravel(), minlength=count + 1) >= _MIN_SPECK_PX
    large[0] = False
    specks = large[labels]
    return Region(
        thick=region.thick | specks,
        moving=region.moving,
        loose=region.loose | specks,
        lit=region.lit | specks,
    )


def add_near_field(motion: Motion, region: Region) -> Region | None:
    """A region with thick parts that stand apart above it, moving or not; None without such.

    A dark band often parts what lies next to the probe from the rest.
    """
    bright = _dense((motion.high > _SPECK) & ~motion.graphics)
    labels, count = ndimage.label(thick(bright) & ~dilate(region.thick, 1))
    if not count:
        return None
    rows, columns = (np.flatnonzero(region.thick.any(axis=axis)) for axis in (1, 0))
    reach = rows[0] + _NEAR_FIELD * (rows[-1] - rows[0])
    added = np.zeros_like(region.thick)
    for number, (high, wide) in enumerate(ndimage.find_objects(labels), start=1):
        above = high.stop <= reach
        above &= columns[0] - _SLACK_PX <= wide.start and wide.stop <= columns[-1] + 1 + _SLACK_PX
        if above and wide.stop - wide.start > _MIN_NEAR_WIDTH * len(columns):
            added |= labels == number
    if not added.any():
        return None
    return Region(
        thick=region.thick | added,
        moving=region.moving,
        loose=region.loose | added,
        lit=region.lit | added,
    )


def _still_graphics(level: Work, change: Work) -> tuple[Mask, Mask]:
    """What stands still and is no tissue: upright strokes (lettering); one flat colour (bars).

    Bands of reverberation stand still as well, but run along the probe and are uneven.
    """
    still = change < np.maximum(_MIN_CHANGE, 0.1 * level)
    high = ndimage.maximum_filter1d(level, 3, axis=1)
    low = ndimage.minimum_filter1d(level, 3, axis=1)
    strokes = (high > _STROKE) & (low < 0.5 * high)
    flat = (level > _MIN_CHANGE) & (high - low < _FLAT)
    return still & strokes, still & flat


def textured_region(still: Work) -> Mask:
    """In a still picture: the largest thick part that is lit throughout and not one flat colour."""
    uneven = ndimage.maximum_filter(still, 3) - ndimage.minimum_filter(still, 3) > 0.7
    # Lettering is lit here and there: between its strokes the ground shows.
    parts = parts_of(_dense((still > 8.0) & uneven, side_px=9, share=0.8))
    if not parts:
        return np.zeros(still.shape, bool)
    return dilate(parts[0], 2)


def corner_noise(motion: Motion) -> float:
    """How much the stillest corner changes: noise, or a picture that fills the frame."""
    change = motion.high - motion.low
    height, width = (max(2, side // 12) for side in change.shape)
    corners = (
        change[:height, :width],
        change[:height, -width:],
        change[-height:, :width],
        change[-height:, -width:],
    )
    return min(float(np.quantile(corner, 0.75)) for corner in corners)


def thick(lit: Mask) -> Mask:
    """A mask without what is as thin as lettering, its small gaps closed."""
    side = max(lit.shape)
    closed = close(_dense(lit), max(1, round(0.008 * side)))
    radius = max(1, round(0.0125 * side))
    return dilate(_erode(closed, radius), radius)


def parts_of(pixels: Mask, smallest: float = _MIN_PART) -> tuple[Mask, ...]:
    """The connected parts of a mask, largest first, without those far smaller than it."""
    labels, count = ndimage.label(pixels)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = [int(number) for number in np.argsort(-sizes, kind="stable")]
    return tuple(labels == number + 1 for number in order if sizes[number] > smallest * sizes.max())


def _dense(pixels: Mask, *, side_px: int = 5, share: float = 0.5) -> Mask:
    """Where most of a 5 x 5 square is set: a line or letter of 1-2 pixels cannot fill that."""
    filled: Mask = (
        ndimage.uniform_filter(pixels.astype(np.float32), side_px, mode="nearest") > share
    )
    return filled


def close(pixels: Mask, radius: int) -> Mask:
    """Closing with a disc that does not erode at the picture's edge."""
    closed = _erode(dilate(np.pad(pixels, radius), radius), radius)
    return closed[radius:-radius, radius:-radius]


def dilate(pixels: Mask, radius: int) -> Mask:
    """What lies within a disc about a pixel that is set."""
    return _any_in_disc(np.pad(pixels, radius), radius)


def _erode(pixels: Mask, radius: int) -> Mask:
    """Where a whole disc is set; what lies outside of the picture goes on as its edge does."""
    return ~_any_in_disc(np.pad(~pixels, radius, mode="edge"), radius)


def _any_in_disc(padded: Mask, radius: int) -> Mask:
    """Whether a disc about a pixel holds one that is set, for all but the outer ``radius`` pixels.

    A disc is a stack of runs, and running sums tell whether a run holds any: ten times as fast as
    a structuring element of a disc's size.
    """
    height, width = (side - 2 * radius for side in padded.shape)
    sums = np.zeros((padded.shape[0], padded.shape[1] + 1), np.int32)
    np.cumsum(padded, axis=1, out=sums[:, 1:])
    found = np.zeros((height, width), bool)
    for offset, run in enumerate(disc(radius).sum(axis=1).tolist()):
        left = radius - run // 2
        lines = sums[offset : offset + height]
        found |= lines[:, left + run : left + run + width] != lines[:, left : left + width]
    return found


def disc(radius: int) -> Mask:
    """A disc of that radius, as a structuring element."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    full: Mask = x**2 + y**2 <= (radius + 0.5) ** 2
    return full
