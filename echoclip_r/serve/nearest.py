"""The nearest of many embeddings, exactly: every one is compared, those that a filter leaves only.

The embeddings stay on disk, memory-mapped: what the system's cache holds is read at the speed of
memory, and memory that other programs need is given back by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Nearest", "find_nearest", "spread"]

Floats = NDArray[np.float32]

_GATHER = 0.12
"""Share of rows up to which it is faster to fetch them one by one than to read all in order."""
_BLOCK = 8192
_BARS = 40
_SAMPLE = 100_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nearest:
    """The nearest rows, the best of each group alone.

    Attributes:
        rows: the best row of each group, in order (K,).
        cosines: of these with the query (K,).
        percentiles: percentage of all that was compared whose cosine is lower (K,).
        num_compared: number of rows that were compared.
        bars: how the cosines of all lie: counts in equal parts between `low` and `high`.
        low, high: smallest and largest cosine.
    """

    rows: NDArray[np.int64]
    cosines: Floats
    percentiles: NDArray[np.float64]
    num_compared: int
    bars: NDArray[np.int64]
    low: float
    high: float


def find_nearest(
    vectors: Floats,
    query: Floats,
    *,
    k: int,
    groups: NDArray[np.integer] | None = None,
    keep: NDArray[np.bool_] | None = None,
) -> Nearest:
    """The rows with the highest cosine with a query.

    Args:
        vectors: unit embeddings (N, D).
        query: unit embedding (D,).
        k: number of groups to return; fewer where there are no more.
        groups: group of each row (N,), of which the best row alone is returned; a row of group -1
            is one by itself. None for none.
        keep: rows to compare, bool (N,); None for all.

    Example:
        >>> rows = np.eye(3, dtype=np.float32)
        >>> find_nearest(rows, rows[1], k=2, groups=np.array([0, 0, 1])).rows.tolist()
        [1, 2]
    """
    if keep is None:
        rows = None
        cosines = vectors @ query
    else:
        rows = np.flatnonzero(keep)
        if len(rows) > _GATHER * len(vectors):
            cosines = (vectors @ query)[rows]
        else:
            blocks = [
                vectors[rows[start : start + _BLOCK]] @ query
                for start in range(0, len(rows), _BLOCK)
            ]
            cosines = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    places = _best(cosines, k, None if groups is None else groups if rows is None else groups[rows])
    found = cosines[places]
    bars, low, high = spread(cosines)
    return Nearest(
        rows=places if rows is None else rows[places],
        cosines=found,
        percentiles=np.array(
            [100 * np.count_nonzero(cosines < one) / len(cosines) for one in found]
        ),
        num_compared=len(cosines),
        bars=bars,
        low=low,
        high=high,
    )


def spread(cosines: Floats) -> tuple[NDArray[np.int64], float, float]:
    """How cosines lie: counts in equal parts, the smallest and the largest.

    Of very many an even sample is counted.
    """
    if not len(cosines):
        return np.zeros(_BARS, np.int64), 0.0, 0.0
    low, high = float(cosines.min()), float(cosines.max())
    sample = cosines[:: max(1, len(cosines) // _SAMPLE)]
    counts, _ = np.histogram(
        sample, bins=_BARS, range=(low, max(high, low + 1e-3 * max(1, abs(low))))
    )
    return counts.astype(np.int64), low, high


def _best(cosines: Floats, k: int, groups: NDArray[np.integer] | None) -> NDArray[np.int64]:
    """Places of the best of each group, in order; of equal ones the first."""
    num = min(len(cosines), 8 * k)
    while num:
        # All that are as good as the last one, so that equal ones keep their order.
        cut = np.partition(cosines, len(cosines) - num)[len(cosines) - num]
        places = np.flatnonzero(cosines >= cut)
        places = places[np.argsort(-cosines[places], kind="stable")]
        if groups is not None:
            names = np.where(groups[places] < 0, -1 - places, groups[places])
            _, first = np.unique(names, return_index=True)
            places = places[np.sort(first)]
        if len(places) >= k or num == len(cosines):
            return places[:k].astype(np.int64)
        num = min(len(cosines), 8 * num)
    return np.zeros(0, np.int64)
