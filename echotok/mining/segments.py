"""Distinct sentences with their counts, which are all that mining looks at.

Templates repeat their sentences: a corpus of millions of sentences has some ten thousand distinct
ones. A segment is a stretch of normalized text between full stops, cut as the encoder cuts it, so
that tokens counted on segments are those that the tokenizer gives.

`Segments` holds the segments of some reports as flat arrays; `echotok.mining.store` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Bools", "Ints", "Segments", "SmallInts", "ranges"]

Ints = npt.NDArray[np.int64]
SmallInts = npt.NDArray[np.int32]
"""Where there are many: NumPy keeps what is worked out of them in 32 bits, unless it is told."""
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Distinct segments as flat arrays.

    Node `starts[s] + i` is the place before piece `i` of segment `s`; its last node is the place
    behind the last piece, so that a segment of n pieces has n + 1 nodes.

    Attributes:
        vocabulary: the distinct pieces, each with the space before it; the first piece of a
            segment has none.
        pieces: int64 (num_nodes,), index into `vocabulary` of the piece behind a node, -1 at the
            end of a segment.
        private: bool (num_nodes,), whether the piece may name a person; no phrase holds such one.
        starts: int64 (num_segments + 1,), first node of each segment, then num_nodes.
        weights: int64 (num_segments,), how often the segment occurs.
        holders: int64, up to k patients of each segment, segment after segment. The union of such
            lists over the segments that hold a phrase has k members exactly when k patients hold
            it.
        holder_starts: int64 (num_segments + 1,), where each segment's holders begin.
        numbers: int64 (num_segments,), the segment's number in its `ReportStore`.
        num_reports, num_patients: number of reports that were taken, and of their patients.
    """

    vocabulary: tuple[str, ...]
    pieces: Ints
    private: Bools
    starts: Ints
    weights: Ints
    holders: Ints
    holder_starts: Ints
    numbers: Ints
    num_reports: int
    num_patients: int

    @property
    def num_nodes(self) -> int:
        """Number of pieces and segment ends together."""
        return len(self.pieces)

    def segment_of_node(self) -> Ints:
        """int64 (num_nodes,), the segment that a node belongs to."""
        return np.repeat(np.arange(len(self.weights)), np.diff(self.starts))


def ranges(starts: Ints, ends: Ints) -> Ints:
    """All whole numbers from each start up to its end, one range behind the other.

    Args:
        starts: int64 (num_ranges,), first number of each range.
        ends: int64 (num_ranges,), behind the last one.
    """
    sizes: Ints = ends - starts
    shifts: Ints = starts - np.cumsum(sizes) + sizes
    return np.arange(int(sizes.sum())) + np.repeat(shifts, sizes)
