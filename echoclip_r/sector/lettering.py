"""Lettering, traces and marks that lie on the ultrasound picture or across its edge.

Tissue is never lit outside of the sector, so what is lit on both sides of its edge belongs to the
display, and so does the part of it inside. What lies wholly inside is taken for lettering where it
looks like a line of letters: still, bright, of strokes, at least three of one height in a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from echoclip_r.sector.motion import Motion, Work, dilate

__all__ = ["coloured_traces", "crossing_graphics", "lines_of_letters", "trace_rows"]

Mask = NDArray[np.bool_]

# Brighter than its surroundings by this, of 255, is a stroke.
_CONTRAST = 24.0
# How far outside of the fitted edge a pixel must be to be certainly outside.
_OUTSIDE_PX = 2
_MIN_PIXELS = 4
_MAX_JOINED = 0.015
# A grey wedge or a bar beside the picture: how still, how dark, how far a wedge may reach in.
_QUITE_STILL = 2.0
_HARDLY_LIT = 3.0
_RIM_PX = 3
# Letters: how many in a line, how bright, how still, how high as shares of the picture.
_MIN_LETTERS = 3
_LETTER_LEVEL = 110
_LETTER_CHANGE = 40
_LETTER_HEIGHT = (0.010, 0.06)
# How far beside the picture a line may begin, and over how many letters it is followed.
_BESIDE = 0.15
_MAX_RUN = 24
_MAX_SOLID = 6
# How near to the edge a mark is one of the edge's own.
_EDGE = 0.016
_MARK_LEVEL = 160
# A trace: how far up the picture and below it it is looked for, how much its channels differ from
# tissue of the same green, and how far it runs.
_FOOT = 0.3
_BELOW = 0.15
_COLOURED = 60
_TRACE_WIDTH = 0.08
_TRACE_LEVEL = 40.0
_TRACE_GAP_PX = 3
_MAX_TRACE_HEIGHT = 0.2
# Tissue is grey where so many of the bright pixels are so near to it; else it has a tint.
_GREY = 0.15
_MOSTLY = 0.2


def crossing_graphics(motion: Motion, fitted: Mask) -> Mask:
    """Strokes that lie across the sector's edge, at the size of the work picture.

    Still ones, such as letters, and thin ones that come and go, such as a trace.
    """
    outside = ~dilate(fitted, _OUTSIDE_PX)
    still = (motion.level > _CONTRAST) & (motion.peak - motion.floor < 0.25 * motion.level)
    still[still] = motion.level[still] - _medians(motion.level, still) > _CONTRAST
    return _crossing(still, fitted, outside) | _bars_at_edge(motion, fitted, outside)


def _bars_at_edge(motion: Motion, fitted: Mask, outside: Mask) -> Mask:
    """The rim of the picture where something that stands quite still reaches in: a wedge, a bar."""
    still = (motion.peak - motion.floor < _QUITE_STILL) & (motion.level > _HARDLY_LIT)
    # A bar of one flat colour may reach in farther: no tissue is flat.
    labels, count = ndimage.label(still & (dilate(~fitted, _RIM_PX) | dilate(motion.bars, 1)))
    without = np.bincount(labels[outside], minlength=count + 1)
    reaches = without >= _MIN_PIXELS
    reaches[0] = False
    return dilate(reaches[labels] & fitted, 1) & fitted


def _crossing(strokes: Mask, fitted: Mask, outside: Mask) -> Mask:
    """The strokes inside that belong to letters which lie across the edge."""
    found = np.zeros_like(fitted)
    # Letters of a line lie next to each other. So may a mark on the edge and still tissue: what
    # would take a good part of the picture is followed along single strokes alone.
    joined = dilate(strokes, 1)
    for reach, most in ((strokes, fitted.sum()), (joined, _MAX_JOINED * fitted.sum())):
        labels, count = ndimage.label(reach, np.ones((3, 3), int))
        without = np.bincount(labels[strokes & outside], minlength=count + 1)
        within = np.bincount(labels[strokes & fitted], minlength=count + 1)
        # Of lettering a good part lies outside; a bright line of tissue may just reach over it.
        crosses = (without >= _MIN_PIXELS) & (within >= _MIN_PIXELS) & (without > 0.15 * within)
        crosses &= within < most
        crosses[0] = False
        found |= crosses[labels] & fitted
    return found


def coloured_traces(frames: NDArray[np.uint8], mask: Mask) -> Mask:
    """Thin strokes of another colour than tissue that run across the picture's foot: an ECG.

    Args:
        frames: RGB, uint8, shape (T, height, width, 3).
        mask: bool, shape (height, width).
    """
    found = np.zeros(mask.shape, bool)
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return found
    top = round(rows[0] + (1 - _FOOT) * (rows[-1] - rows[0]))
    bottom = min(rows[-1] + 2 + round(_BELOW * mask.shape[0]), mask.shape[0])
    band = slice(top, bottom)
    strokes = np.zeros(found[band].shape, bool)
    tint = _tint(frames[len(frames) // 2], mask)
    # What red and blue are of tissue of each green: by table, and in bytes.
    expected = [np.clip(np.arange(256) * share, 0, 255).astype(np.uint8) for share in tint]
    for frame in frames[:, band]:
        red, green, blue = (np.ascontiguousarray(frame[..., channel]) for channel in range(3))
        for own, of_tissue in ((red, expected[0]), (blue, expected[1])):
            tissue = green if tint == (1.0, 1.0) else of_tissue[green]
            strokes |= np.maximum(own, tissue) - np.minimum(own, tissue) > _COLOURED
    if not strokes.any():
        return found
    # The blobs of a colour box are thick. A scrolling trace is not, outside of its spikes.
    outside = ~ndimage.binary_dilation(mask[band], iterations=2)
    reach = max(1, mask.shape[0] // 400)
    joined = ndimage.binary_dilation(strokes, iterations=reach)
    labels, count = ndimage.label(joined)
    width = np.zeros(count + 1)
    without = np.bincount(labels[strokes & outside], minlength=count + 1)
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        width[number] = place[1].stop - place[1].start
    runs = (without >= _MIN_PIXELS) & (width > _TRACE_WIDTH * mask.shape[1])
    runs[0] = False
    found[band] = runs[labels]
    found &= mask
    return found


def trace_rows(motion: Motion, fitted: Mask) -> Mask:
    """The rows that a trace runs through beside or below the picture; bool, shape (h,).

    A trace changes, is bright, and wide but low. Over tissue of its own colour nothing tells it
    from tissue, so all of these rows are given up.
    """
    changing = (motion.peak > _TRACE_LEVEL) & (motion.peak - motion.floor > 0.5 * motion.peak)
    changing &= ~dilate(fitted, _TRACE_GAP_PX)
    labels, _ = ndimage.label(dilate(changing, 1))
    rows = np.zeros(len(fitted), bool)
    for high, wide in ndimage.find_objects(labels):
        low = high.stop - high.start < _MAX_TRACE_HEIGHT * fitted.shape[0]
        if low and wide.stop - wide.start > _TRACE_WIDTH * fitted.shape[1]:
            rows[high] = True
    return rows


def _tint(frame: NDArray[np.uint8], mask: Mask) -> tuple[float, float]:
    """Red and blue against green in what is bright inside of a mask."""
    inside = frame[::2, ::2][mask[::2, ::2]].astype(np.float32)
    bright = inside[inside[:, 1] > 60]
    if not len(bright):
        return 1.0, 1.0
    share = bright[:, (0, 2)] / bright[:, 1:2]
    grey = (np.abs(share - 1.0) < _GREY).all(axis=1)
    if grey.mean() > _MOSTLY:
        return 1.0, 1.0
    red, blue = np.median(share, axis=0)
    return float(red), float(blue)


def _medians(level: Work, where: Mask) -> Work:
    """The median of the 5 x 5 pixels about each pixel of a mask; shape (n,)."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(level, 2, mode="symmetric"), (5, 5))
    values = windows[where].reshape(-1, 25)
    values.partition(12, axis=1)
    return values[:, 12]


def lines_of_letters(frames: NDArray[np.uint8], mask: Mask) -> Mask:
    """What lines of letters cover of a mask, at full size, whether they begin inside or outside.

    Args:
        frames: RGB, uint8, shape (T, height, width, 3); a few of them.
        mask: bool, shape (height, width).
    """
    found = np.zeros(mask.shape, bool)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return found
    reach = round(_BESIDE * max(mask.shape))
    box = (
        slice(max(rows[0] - reach, 0), rows[-1] + 1 + reach),
        slice(max(columns[0] - reach, 0), columns[-1] + 1 + reach),
    )
    green = np.stack([frame[box][..., 1] for frame in frames])
    low, high = green.min(axis=0), green.max(axis=0)
    strokes = (low > _LETTER_LEVEL) & (high - low < _LETTER_CHANGE)
    labels, count = ndimage.label(strokes, np.ones((3, 3), int))
    if not count:
        return found
    smallest, largest = (share * max(mask.shape) for share in _LETTER_HEIGHT)
    smallest = max(smallest, 5.0)
    letters = []
    within, own = found[box], mask[box]
    reach = max(2, round(_EDGE * max(mask.shape)))
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        top, bottom = place[0].start, place[0].stop
        left, right = place[1].start, place[1].stop
        place_px = (top, bottom, left, right)
        height, width = bottom - top, right - left
        if max(height, width) <= largest:
            rim = own[_around(place_px, reach)]
            # A depth tick or a focus mark on the edge; by itself it is no line of letters.
            outer = own[place][labels[place] == number].mean() < 0.5
            small = max(height, width) <= smallest and low[place].max() > _MARK_LEVEL
            if (
                rim.any()
                and not rim.all()
                and (outer or (small and _stands_out(labels, number, low, place_px)))
            ):
                within[_around(place_px, 1)] = True
        if not (smallest <= height <= largest and 0.1 * height <= width <= 1.6 * height):
            continue
        if _stands_out(labels, number, low, place_px):
            letters.append(place_px)
    for line in _lines(letters):
        top, bottom = min(one[0] for one in line), max(one[1] for one in line)
        left, right = line[0][2], max(one[3] for one in line)
        size = bottom - top
        left, right = _run_on(strokes[top:bottom].any(axis=0), left, right, size)
        around = max(2, size // 3)
        within[max(top - around, 0) : bottom + around, max(left - around, 0) : right + around] = (
            True
        )
    found &= mask
    return found


def _around(place: tuple[int, int, int, int], reach: int) -> tuple[slice, slice]:
    top, bottom, left, right = place
    return slice(max(top - reach, 0), bottom + reach), slice(max(left - reach, 0), right + reach)


def _stands_out(
    labels: NDArray[np.integer[Any]],
    number: int,
    low: NDArray[np.uint8],
    place: tuple[int, int, int, int],
) -> bool:
    """Whether strokes are twice as bright as what is about them."""
    around = _around(place, 3)
    own = labels[around] == number
    near = ndimage.binary_dilation(own, np.ones((3, 3), bool))
    ring = ndimage.binary_dilation(near, np.ones((3, 3), bool), iterations=2) & ~near
    ring &= labels[around] == 0
    if not ring.any():
        return False
    return bool(np.median(low[around][ring]) < 0.4 * np.median(low[around][own]))


def _run_on(stroked: Mask, left: int, right: int, size: int) -> tuple[int, int]:
    """A line's ends, moved on over strokes that follow each other: letters over bright tissue."""
    right += _follow(stroked[right:], size)
    left -= _follow(stroked[:left][::-1], size)
    return left, right


def _follow(stroked: Mask, size: int) -> int:
    """How far strokes follow each other; what is as long as a word without a gap is tissue."""
    end = 0
    for _ in range(_MAX_RUN):
        ahead = np.flatnonzero(stroked[end : end + size])
        if not len(ahead):
            break
        start = end + int(ahead[0])
        gaps = np.flatnonzero(~stroked[start : start + _MAX_SOLID * size])
        if not len(gaps):
            break
        end = start + int(gaps[0])
    return end


def _lines(letters: list[tuple[int, int, int, int]]) -> list[list[tuple[int, int, int, int]]]:
    """Letters of about one height that stand beside each other."""
    lines: list[list[tuple[int, int, int, int]]] = []
    for letter in sorted(letters, key=lambda one: one[2]):
        top, bottom, left, _ = letter
        height = bottom - top
        for line in lines:
            last = line[-1]
            size = last[1] - last[0]
            if (
                abs(bottom - last[1]) <= 0.35 * size
                and 0.6 <= height / size <= 1.7
                and -1 <= left - last[3] <= 1.5 * size
            ):
                line.append(letter)
                break
        else:
            lines.append([letter])
    return [line for line in lines if len(line) >= _MIN_LETTERS]
