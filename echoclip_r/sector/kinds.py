"""What a clip shows that is not one moving ultrasound picture: said in a word.

M-mode and spectral Doppler run sideways: each column is drawn once and stays, or all of it moves
along. Two pictures leave the middle of the whole dark near the probe. A probe in air shows bands
that run along the probe and nothing that differs from side to side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from echoclip_r.sector.motion import Motion, Work, close, parts_of
from echoclip_r.sector.shape import SectorShape

__all__ = ["bands_along_probe", "gap_near_probe", "strips"]

Mask = NDArray[np.bool_]

# What changes by this much may be a strip, if its box is this high, this wide and this full.
_STRIP_CHANGE = 20.0
_STRIP_HEIGHT = 0.1
_STRIP_WIDTH = 0.25
_STRIP_LIT = 0.12
# Of a line most columns hold so many pixels at most.
_LINE_PX = 4
_NUM_LINES = 24
# Of a column's changes, how many fall into two steps next to each other, for a sweep.
_SWEPT = 0.6
_MIN_STEPS = 5
# How alike a frame and the next one moved along must be.
_ALIKE = 0.8
_MIN_PACE = 3
# How far down, of the height, and how wide, of the width there, a gap between two pictures is.
_GAP_DEPTH = 0.4
_GAP_WIDTH = 0.08
_MIN_GAP_WIDTH = 9


def strips(work: Work, motion: Motion) -> Mask:
    """The boxes of what is drawn column by column, or scrolls: M-mode, spectral Doppler.

    Args:
        work: the work picture, shape (T, h, w).
        motion: of it.

    Returns:
        bool, shape (h, w); nothing where there is no such strip. The trace of an ECG is none: its
        line fills little of its box.
    """
    height, width = motion.level.shape
    found = np.zeros((height, width), bool)
    changed = close(motion.peak - motion.floor > _STRIP_CHANGE, 3)
    for part in parts_of(changed):
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        high, wide = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        box = work[:, high, wide]
        low = len(rows) < _STRIP_HEIGHT * height
        if low or len(columns) < _STRIP_WIDTH * width:
            continue
        lit = box[len(box) // 2] - motion.ground > _STRIP_CHANGE
        in_columns = lit.sum(axis=0)
        # In a small picture the line of a trace fills a good part of its low box.
        line = not lit.any() or np.median(in_columns[in_columns > 0]) <= _LINE_PX
        if not line and lit.mean() > _STRIP_LIT and _runs_sideways(box):
            found[high, wide] = True
    return found


def _runs_sideways(box: Work) -> bool:
    if len(box) <= _MIN_STEPS or box.shape[1] < 4 or box.shape[2] < 12:
        return False
    change = np.abs(np.diff(box, axis=0)).mean(axis=1)  # (steps, columns)
    total = np.maximum(change.sum(axis=0), 1e-6)
    pairs = change[1:] + change[:-1]
    share = pairs.max(axis=0) / total
    changed = total > 0.25 * np.median(total)
    when = pairs.argmax(axis=0)[changed]
    swept = float(np.median(share[changed])) > _SWEPT
    if swept and len(np.unique(when)) >= len(pairs) // 3:
        return True
    return _scrolls(box)


def _scrolls(box: Work) -> bool:
    edges = np.linspace(0, box.shape[1], min(_NUM_LINES, box.shape[1]) + 1).astype(int)[:-1]
    lines = np.add.reduceat(box, edges, axis=1)
    lines = lines - lines.mean(axis=2, keepdims=True)
    width = lines.shape[2]
    padded = np.fft.rfft(lines, 2 * width, axis=2)
    power = np.cumsum((lines**2).sum(axis=1), axis=1)  # (T, columns)
    votes: list[int] = []
    for now, then in zip(range(len(lines) - 1), range(1, len(lines)), strict=True):
        match = np.fft.irfft(padded[then].conj() * padded[now], 2 * width, axis=1).sum(axis=0)
        shifts = np.arange(1, width // 2)
        best = 0
        alike = 0.0
        for sign in (1, -1):
            # Now, moved by a shift to the left, is what comes then.
            if sign > 0:
                overlap = np.sqrt(
                    (power[now, -1] - power[now, shifts - 1]) * power[then, width - 1 - shifts]
                )
                found = match[shifts]
            else:
                overlap = np.sqrt(
                    (power[then, -1] - power[then, shifts - 1]) * power[now, width - 1 - shifts]
                )
                found = match[-shifts]
            score = found / np.maximum(overlap, 1e-6)
            place = int(score.argmax())
            if score[place] > alike:
                alike, best = float(score[place]), sign * int(shifts[place])
        still = match[0] / max(float(np.sqrt(power[now, -1] * power[then, -1])), 1e-6)
        if abs(best) >= 2 and alike > _ALIKE and 1 - alike < 0.5 * (1 - still):
            votes.append(best)
    if not votes:
        return False
    # Tissue sways to and fro; a strip goes on at one pace.
    middle = float(np.median(votes))
    near = [abs(vote - middle) <= 1 + 0.1 * abs(middle) for vote in votes]
    return abs(middle) >= _MIN_PACE and sum(near) >= 0.6 * (len(lines) - 1)


def gap_near_probe(fitted: Mask, lit: Mask) -> bool:
    """Whether a dark gap opens from the probe downwards between two lit sides: two pictures.

    A chamber or a shadow in the middle has lit tissue above it; the gap between two fans has none.
    """
    rows = np.flatnonzero(fitted.any(axis=1))
    rows = rows[: max(4, round(_GAP_DEPTH * len(rows)))]
    open_to_top = np.ones(fitted.shape[1], bool)
    gaps = wide = 0
    for row in rows:
        line = fitted[row]
        open_to_top &= ~lit[row]
        columns = np.flatnonzero(line)
        if len(columns) < _MIN_GAP_WIDTH:
            continue
        wide += 1
        dark = open_to_top[columns[0] : columns[-1] + 1]
        shown = lit[row, columns[0] : columns[-1] + 1]
        places = np.flatnonzero(shown)
        if not len(places):
            continue
        # Lit, then a gap that was never lit above either, then lit again.
        runs = np.flatnonzero(np.diff(np.concatenate([[False], dark, [False]]).astype(int)))
        gaps += any(
            start > places[0] and stop <= places[-1] and stop - start > _GAP_WIDTH * len(columns)
            for start, stop in zip(runs[::2], runs[1::2], strict=True)
        )
    return wide > 0 and gaps > 0.5 * wide


def bands_along_probe(motion: Motion, shape: SectorShape, fitted: Mask) -> float:
    """How much of a picture's pattern is bands along the probe: 0 to 1."""
    level = ndimage.uniform_filter(np.maximum(motion.level, 0.0), 5)
    height, width = level.shape
    inner = ndimage.binary_erosion(fitted, iterations=4)
    if inner.sum() < 100:
        return 0.0
    y, x = np.nonzero(inner)
    if shape.apex is None:
        depth = y.astype(float)
    else:
        scale = float(max(height, width))
        depth = np.hypot(x + 0.5 - shape.apex[0] * scale, y + 0.5 - shape.apex[1] * scale)
    values = level[y, x]
    number = (depth - depth.min()).astype(np.intp) // 2
    count = np.maximum(np.bincount(number), 1)
    means = np.bincount(number, values) / count
    total = float(values.var())
    return float(((means[number] - values.mean()) ** 2).mean() / total) if total > 0 else 1.0
