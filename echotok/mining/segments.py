"""Reports -> distinct sentences with counts, which is all that mining looks at.

Templates repeat their sentences: a corpus of millions of sentences has some ten thousand distinct
ones. A segment is a stretch of normalized text between full stops, as the encoder cuts it, so that
what is counted on segments is what the tokenizer gives.

`ReportStore` takes the reports one at a time and keeps each distinct segment once, with the numbers
of the reports that hold it; `Segments` are those of some of the reports as flat arrays.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import regex

from echotok.text import make_normalizer, split_pieces

__all__ = ["Bools", "Finder", "Ints", "ReportStore", "Segments"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Finder = Callable[[str, str], Iterable[tuple[int, int]]]
"""Finds what may name a person: `(raw, normalized) -> spans of the normalized text`."""

# A full stop and space, but not behind a title or initial: who looks for names needs both sides.
_PART = regex.compile(
    r"(?<!(?:^|[\s(,])(?:\p{L}|dr|mr|mrs|ms|prof|st|jr|sr)\.)(?<=\.)\s+(?=\S)", regex.IGNORECASE
)
_MARK = "\x00"


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
        private: bool (num_nodes,), whether the piece may name a person: no phrase holds it.
        starts: int64 (num_segments + 1,), first node of each segment, then num_nodes.
        weights: int64 (num_segments,), how often the segment occurs.
        holders: int64, up to k patients of each segment, segment after segment. The union of such
            lists over the segments that hold a phrase has k members exactly when k patients hold
            it.
        holder_starts: int64 (num_segments + 1,), where each segment's begin.
        numbers: int64 (num_segments,), the segment's number in its `ReportStore`.
        num_reports, num_patients: of the reports that were taken.
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
        """Pieces and segment ends."""
        return len(self.pieces)

    def segment_of_node(self) -> Ints:
        """int64 (num_nodes,), the segment that a node belongs to."""
        return np.repeat(np.arange(len(self.weights)), np.diff(self.starts))


class ReportStore:
    """Keeps the distinct segments of reports, and which report holds which.

    Args:
        units: as in `PhraseTable.units`.
        find_private: finds what may name a person; None looks for nothing.
    """

    def __init__(self, *, units: tuple[str, ...], find_private: Finder | None = None) -> None:
        self.normalize = make_normalizer(units)
        self._find_private = find_private
        self._of_part: dict[str, tuple[int, ...]] = {}
        self._numbers: dict[str, int] = {}
        self._posted_segments = array("i")
        self._posted_reports = array("i")
        self._patients: dict[Hashable, int] = {}
        self._patient_of_report = array("i")
        self._num_patients = 0

    def add(self, text: str, *, patient: Hashable | None = None) -> None:
        """Take a report.

        Args:
            text: the report.
            patient: any key of the patient; None makes the report a patient of its own.
        """
        if patient is None:
            number = self._num_patients
        else:
            number = self._patients.setdefault(patient, self._num_patients)
        self._num_patients += number == self._num_patients
        report = len(self._patient_of_report)
        self._patient_of_report.append(number)
        for part in _PART.split(text.strip()):
            numbers = self._of_part.get(part)
            if numbers is None:
                numbers = self._of_part[part] = tuple(self._read(part))
            self._posted_segments.extend(numbers)
            self._posted_reports.extend([report] * len(numbers))

    def _read(self, part: str) -> Iterable[int]:
        """The segments of a part, with the pieces that may name a person marked."""
        normalized = self.normalize(part)
        if not normalized:
            return
        spans = sorted(self._find_private(part, normalized)) if self._find_private else []
        begin = 0
        stretches = normalized.split(". ")
        for at, stretch in enumerate(stretches):
            text = stretch if at == len(stretches) - 1 else stretch + "."
            end = begin + len(text)
            inside = [
                f"{max(low, begin) - begin}-{min(high, end) - begin}"
                for low, high in spans
                if low < end and high > begin
            ]
            key = _MARK.join([text, *inside])
            yield self._numbers.setdefault(key, len(self._numbers))
            begin = end + 1

    @property
    def num_reports(self) -> int:
        """Reports taken."""
        return len(self._patient_of_report)

    @property
    def num_patients(self) -> int:
        """Patients of the reports taken."""
        return self._num_patients

    @property
    def patient_of_report(self) -> Ints:
        """int64 (num_reports,)."""
        return np.array(self._patient_of_report, dtype=np.int64)

    @property
    def texts(self) -> list[str]:
        """Text of each segment, by its number."""
        return [key.partition(_MARK)[0] for key in self._numbers]

    def postings(self) -> tuple[Ints, Ints]:
        """Segment and report of every occurrence: int64 (num_occurrences,) each."""
        return (
            np.array(self._posted_segments, dtype=np.int64),
            np.array(self._posted_reports, dtype=np.int64),
        )

    def segments(self, *, k: int, reports: Bools | None = None) -> Segments:
        """The segments of some reports, ordered by text.

        Args:
            k: how many patients of a segment are kept.
            reports: bool (num_reports,), which; None takes all.
        """
        posted, report = self.postings()
        if reports is not None:
            posted, report = posted[reports[report]], report[reports[report]]
        keys = list(self._numbers)
        weights = np.bincount(posted, minlength=len(keys))
        order = sorted(np.flatnonzero(weights).tolist(), key=keys.__getitem__)
        rank = np.full(len(keys), -1, dtype=np.int64)
        rank[order] = np.arange(len(order))
        held = np.unique(rank[posted] * max(1, self._num_patients) + self.patient_of_report[report])
        holder_of, holder = np.divmod(held, max(1, self._num_patients))
        first = np.searchsorted(holder_of, holder_of, side="left")
        kept = np.arange(len(held)) - first < k
        vocabulary: dict[str, int] = {}
        pieces: list[int] = []
        private: list[bool] = []
        starts = [0]
        for number in order:
            text, *spans = keys[number].split(_MARK)
            split = split_pieces(text)
            pieces += [vocabulary.setdefault(piece, len(vocabulary)) for piece in split]
            private += _overlap(split, spans) if spans else [False] * len(split)
            pieces.append(-1)
            private.append(False)
            starts.append(len(pieces))
        return Segments(
            vocabulary=tuple(vocabulary),
            pieces=np.array(pieces, dtype=np.int64),
            private=np.array(private, dtype=bool),
            starts=np.array(starts, dtype=np.int64),
            weights=weights[order],
            holders=holder[kept],
            holder_starts=np.searchsorted(holder_of[kept], np.arange(len(order) + 1)),
            numbers=np.array(order, dtype=np.int64),
            num_reports=self.num_reports if reports is None else int(reports.sum()),
            num_patients=self._num_patients,
        )


def _overlap(pieces: list[str], spans: list[str]) -> list[bool]:
    """Which pieces lie in one of the spans, each `low-high` in characters."""
    bounds = [tuple(map(int, span.split("-"))) for span in spans]
    marks = []
    begin = 0
    for piece in pieces:
        end = begin + len(piece)
        marks.append(any(low < end and high > begin + (piece[0] == " ") for low, high in bounds))
        begin = end
    return marks
