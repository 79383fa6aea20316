"""The nearest of many embeddings, exactly: every one is compared, those that a filter leaves only.

The embeddings may stay on disk, memory-mapped: what the system's cache holds is read at the speed
of memory, and memory that other programs need is given back by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Compared", "Nearest", "compare_all", "find_nearest"]

Floats = NDArray[np.float32]

_GATHER = 0.12
"""Share of rows up to which it is faster to fetch them one by one than to read all in order."""
_BLOCK = 8192
_BARS = 40
_SAMPLE = 100_000
_FIRST = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """The cosines of a query with all that was compared.

    Attributes:
        rows: which rows these are, ascending (M,); None where all are.
        cosines: of each with the query, float32 (M,).
    """

    rows: NDArray[np.int64] | None
    cosines: Floats

    def row(self, place: int) -> int:
        """The row that lies at a place of `cosines`."""
        return place if self.rows is None else int(self.rows[place])

    def in_order(self) -> Iterator[int]:
        """Places in `cosines` from the best on, of equal ones the first.

        Only as many are sorted as are taken, or some more.
        """
        num, done, total = _FIRST, 0, len(self.cosines)
        while done < total:
            num = min(num, total)
            # All that are as good as the last one, so that equal ones keep their order.
            cut = np.partition(self.cosines, total - num)[total - num]
            places = np.flatnonzero(self.cosines >= cut)
            places = places[np.argsort(-self.cosines[places], kind="stable")]
            yield from places[done:].tolist()
            done, num = len(places), 8 * num

    def percentiles(self, cosines: Floats) -> NDArray[np.float64]:
        """Percentage of all that was compared whose cosine is lower (K,); NaN of one alone.

        Args:
            cosines: some of those that were compared (K,).
        """
        total = len(self.cosines)
        if total < 2 or not len(cosines):
            return np.full(len(cosines), math.nan)
        near = self.cosines[self.cosines >= cosines.min()]  # few, where the best are asked for
        lower = [total - np.count_nonzero(near >= one) for one in cosines]
        return 100 * np.array(lower, np.float64) / total

    def spread(self) -> tuple[NDArray[np.int64], float, float]:
        """How the cosines lie: counts in equal parts, the smallest and the largest.

        Of very many an even sample is counted.
        """
        if not len(self.cosines):
            return np.zeros(_BARS, np.int64), 0.0, 0.0
        low, high = float(self.cosines.min()), float(self.cosines.max())
        sample = self.cosines[:: max(1, len(self.cosines) // _SAMPLE)]
        top = max(high, low + 1e-3 * max(1, abs(low)))
        counts, _ = np.histogram(sample, bins=_BARS, range=(low, top))
        return counts.astype(np.int64), low, high


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nearest:
    """The nearest rows, the best of each group alone.

    Attributes:
        rows: the best row of each group, in order (K,).
        cosines: of these with the query (K,).
        percentiles: percentage of all that was compared whose cosine is lower (K,); NaN of one
            alone.
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


def compare_all(
    vectors: Floats, query: Floats, *, keep: NDArray[np.bool_] | None = None
) -> Compared:
    """Compare a query with all rows, or with those that a filter leaves.

    Args:
        vectors: unit embeddings (N, D).
        query: unit embedding (D,).
        keep: rows to compare, bool (N,); None for all.
    """
    if keep is None:
        return Compared(rows=None, cosines=vectors @ query)
    rows = np.flatnonzero(keep)
    if len(rows) > _GATHER * len(vectors):
        return Compared(rows=rows, cosines=(vectors @ query)[rows])
    cosines = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        cosines[block] = vectors[rows[block]] @ query
    return Compared(rows=rows, cosines=cosines)


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
    compared = compare_all(vectors, query, keep=keep)
    places: list[int] = []
    seen: set[int] = set()
    for place in compared.in_order():
        if len(places) == k:
            break
        group = -1 if groups is None else int(groups[compared.row(place)])
        if group not in seen:
            places.append(place)
            if group >= 0:
                seen.add(group)
    cosines = compared.cosines[places]
    bars, low, high = compared.spread()
    return Nearest(
        rows=np.array([compared.row(place) for place in places], np.int64),
        cosines=cosines,
        percentiles=compared.percentiles(cosines),
        num_compared=len(compared.cosines),
        bars=bars,
        low=low,
        high=high,
    )
