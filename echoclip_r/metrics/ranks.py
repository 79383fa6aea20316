"""The rank of the right answer among all candidates, both ways, exactly and in bounded memory.

Scores are compared as exact numbers: coordinates are rounded to a grid on which a dot product in
float64 has no rounding error. So ties are ties, whatever the order of the sums and of the items.
Scores far from a tie, which are nearly all, are decided in float32, which is three times as fast.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Embeddings", "Ids", "retrieval_ranks"]

Embeddings = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Unit vectors on this grid: a product of two coordinates is a multiple of 2^-50, and no partial
# sum of a row's products is above 1, so that float64 with its 53 bits holds all of them exactly.
_GRID = 2.0**25
_ROWS_AT_ONCE, _COLUMNS_AT_ONCE = 512, 4096
_PAIRS_AT_ONCE = 1 << 14
# With more near ties than this, a whole block in float64 is quicker than pair by pair.
_MANY = 0.01


def retrieval_ranks(
    videos: Embeddings, reports: Embeddings, *, video_text: Ids, report_text: Ids
) -> tuple[Ids, Ids]:
    """The rank of the best right answer, both ways, by cosine.

    It needs some tens of MB of memory beside the input, whatever the input's length.

    Args:
        videos: embeddings, (N, D); they need not be of unit length.
        reports: embeddings, (M, D).
        video_text: number of each video's report text, (N,); equal texts have one number.
        report_text: number of each report's text, (M,).

    Returns:
        Ranks from 1: the rank of the right report for each video, (N,), and of the right video for
        each report, (M,).

    Raises:
        ValueError: shapes differ; an embedding is zero, infinite or NaN; a query has no right
            answer in the pool.

    Example:
        >>> same = np.eye(2)
        >>> retrieval_ranks(same, same, video_text=np.arange(2), report_text=np.arange(2))
        (array([1, 1]), array([1, 1]))
        >>> collapsed = np.ones((2, 2))
        >>> retrieval_ranks(collapsed, same, video_text=np.arange(2), report_text=np.arange(2))[0]
        array([2, 2])
    """
    first, second = _on_grid(videos, "video"), _on_grid(reports, "report")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"videos have {first.shape[1]} dimensions and reports {second.shape[1]}: they were not "
            "embedded by one model"
        )
    _check_ids(video_text, report_text, first, second)
    best_report, equal_reports, best_video, equal_videos = _right_answers(
        first, second, video_text, report_text
    )
    single_first, single_second = first.astype(np.float32), second.astype(np.float32)
    single_first /= np.float32(_GRID)
    single_second /= np.float32(_GRID)
    ahead_of_report = np.zeros(len(first), np.int64)
    ahead_of_video = np.zeros(len(second), np.int64)
    for start in range(0, len(first), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        for left in range(0, len(second), _COLUMNS_AT_ONCE):
            columns = slice(left, left + _COLUMNS_AT_ONCE)
            scores = single_first[rows] @ single_second[columns].T
            exact = _Exact(first[rows], second[columns])
            ahead_of_report[rows] += _count(scores, best_report[rows, None], exact, axis=1)
            ahead_of_video[columns] += _count(scores, best_video[None, columns], exact, axis=0)
    # Right answers as good as the best one are counted too, since they are not ahead of it.
    return ahead_of_report - equal_reports + 1, ahead_of_video - equal_videos + 1


def _on_grid(embeddings: Embeddings, what: str) -> Floats:
    """Unit rows times 2^25, rounded to whole numbers."""
    if embeddings.ndim != 2 or not embeddings.size:
        raise ValueError(f"{what} embeddings must be (number, dimensions), not {embeddings.shape}")
    rows = np.array(embeddings, dtype=np.float64)
    norms = np.concatenate(
        [
            # Row by row in one order of summation, so that equal rows keep equal coordinates.
            np.sqrt(np.square(rows[start : start + _COLUMNS_AT_ONCE]).sum(axis=1))
            for start in range(0, len(rows), _COLUMNS_AT_ONCE)
        ]
    )
    bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if len(bad):
        raise ValueError(
            f"{len(bad):,} {what} embeddings are zero, infinite or not a number, the first in row "
            f"{bad[0]}: the model that made them is broken, and no rank of them means anything"
        )
    rows *= (_GRID / norms)[:, None]
    return np.rint(rows, out=rows)


def _check_ids(video_text: Ids, report_text: Ids, videos: Floats, reports: Floats) -> None:
    for what, ids, rows in (("video", video_text, videos), ("report", report_text, reports)):
        if ids.shape != (len(rows),):
            raise ValueError(f"{len(rows):,} {what}s need as many text numbers, not {ids.shape}")
    for what, ids, pool in (
        ("video", video_text, report_text),
        ("report", report_text, video_text),
    ):
        alone = ~np.isin(ids, pool)
        if alone.any():
            raise ValueError(
                f"{what} {int(np.argmax(alone))} has no right answer in the pool; leave it out of "
                "the queries, or its report out of the pool"
            )


def _right_answers(
    videos: Floats, reports: Floats, video_text: Ids, report_text: Ids
) -> tuple[Floats, Ids, Floats, Ids]:
    """The best right score of each row and how many right answers reach it; the same by column."""
    best = [np.full(len(rows), -np.inf) for rows in (videos, reports)]
    equal = [np.zeros(len(rows), np.int64) for rows in (videos, reports)]
    groups, at = np.unique(video_text, return_inverse=True)
    by_video = np.split(np.argsort(at, kind="stable"), np.cumsum(np.bincount(at))[:-1])
    at = np.searchsorted(groups, report_text)
    by_report = np.split(np.argsort(at, kind="stable"), np.cumsum(np.bincount(at))[:-1])
    pairs = [
        (rows[0], columns[0])
        for rows, columns in zip(by_video, by_report, strict=True)
        if len(rows) == len(columns) == 1
    ]
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        row, column = np.array(pairs[start : start + _PAIRS_AT_ONCE]).T
        scores = np.einsum("nd,nd->n", videos[row], reports[column])
        best[0][row] = best[1][column] = scores
        equal[0][row] = equal[1][column] = 1
    for rows, columns in zip(by_video, by_report, strict=True):
        if len(rows) == len(columns) == 1:
            continue
        # A large group is cut, once to find the best, and once more to count.
        cuts = [
            (rows[top : top + _ROWS_AT_ONCE], columns[left : left + _COLUMNS_AT_ONCE])
            for top in range(0, len(rows), _ROWS_AT_ONCE)
            for left in range(0, len(columns), _COLUMNS_AT_ONCE)
        ]
        for row, column in cuts:
            scores = videos[row] @ reports[column].T
            best[0][row] = np.maximum(best[0][row], scores.max(axis=1))
            best[1][column] = np.maximum(best[1][column], scores.max(axis=0))
        for row, column in cuts:
            scores = videos[row] @ reports[column].T
            equal[0][row] += (scores == best[0][row, None]).sum(axis=1)
            equal[1][column] += (scores == best[1][column]).sum(axis=0)
    return best[0], equal[0], best[1], equal[1]


class _Exact:
    """Exact scores of a block: those asked for, or all of them where many are."""

    def __init__(self, rows: Floats, columns: Floats) -> None:
        self._rows, self._columns = rows, columns
        self._all: Floats | None = None

    def at(self, flat: npt.NDArray[np.intp]) -> Floats:
        """Scores of pairs, numbered along the rows of the block."""
        width = len(self._columns)
        if self._all is None and len(flat) > _MANY * len(self._rows) * width:
            self._all = self._rows @ self._columns.T
        if self._all is not None:
            return np.asarray(self._all.ravel()[flat])
        row, column = np.divmod(flat, width)
        scores = np.empty(len(flat))
        for start in range(0, len(flat), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            np.einsum(
                "nd,nd->n", self._rows[row[part]], self._columns[column[part]], out=scores[part]
            )
        return scores

    @property
    def error_bound(self) -> float:
        """How far float32 may be off a true cosine: a rounding a term, and those of the input."""
        return float((self._rows.shape[1] + 8) * 2.0**-24)


def _count(scores: npt.NDArray[np.float32], best: Floats, exact: _Exact, *, axis: int) -> Ids:
    """How many scores of each row (axis 1) or column (axis 0) reach the best right one."""
    cosine, bound = best / _GRID**2, exact.error_bound
    reached = scores > (cosine + bound).astype(np.float32)
    unsure = scores >= (cosine - bound).astype(np.float32)
    unsure ^= reached
    near = np.flatnonzero(unsure)
    row, column = np.divmod(near, scores.shape[1])
    line = row if axis == 1 else column
    as_good = exact.at(near) >= best.ravel()[line]
    count: Ids = reached.sum(axis=axis, dtype=np.int64)
    count += np.bincount(line[as_good], minlength=scores.shape[1 - axis])
    return count
