"""Reports -> `Segments`: what may name a person is marked on the way, and is held back from mining.

`ReportStore` takes the reports one at a time and keeps each distinct segment once, with the numbers
of the reports that hold it. It gives the segments of all reports, or of some of them.
"""

from __future__ import annotations

import hashlib
import itertools
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from dataclasses import dataclass
from functools import cache

import numpy as np
import regex

from echotok.errors import InputError
from echotok.leftovers import find_leftovers
from echotok.mining.privacy import PrivateFinder, known
from echotok.mining.segments import Bools, Ints, Segments, SmallInts, ranges
from echotok.text import make_normalizer, split_pieces, split_stops

__all__ = ["HeldBack", "ReportStore", "read_parts"]

# A full stop and space, but not behind a title or initial: who looks for names needs both sides.
_PART = regex.compile(
    r"(?<!(?:^|[\s(,])(?:\p{L}|dr|mr|mrs|ms|prof|med|gez|st|jr|sr)\.)(?<=\.)\s+(?=\S)",
    regex.IGNORECASE,
)
_WORD = regex.compile(r"[\p{L}\p{M}]+(?:[-'][\p{L}\p{M}]+)*")
_MARK = "\x00"
# A word is taken for a name everywhere when it is a name in this share of the places where it
# stands, or in the smaller share when it is never written in small letters.
_MOSTLY, _AT_TIMES = 0.5, 0.05
_AT_ONCE = 20_000  # reports in memory where processes read them
_BATCH = 1_000  # parts of reports for one process at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """A text that the reports of many patients hold and that may name a person.

    Attributes:
        text: the text as it stands in normalized reports.
        reason: one of `privacy.REASONS`.
        documents, patients: number of documents, and of patients, that hold the text.
    """

    text: str
    reason: str
    documents: int
    patients: int


class ReportStore:
    """Keeps the distinct segments of reports, and which report holds which.

    Args:
        units: spellings of units, as in `PhraseTable.units`.
        find_private: finds what may name a person; None looks for nothing.

    Attributes:
        leftovers: for each kind of leftover of another program (such as HTML), the number of
            reports that hold it.
    """

    def __init__(
        self, *, units: tuple[str, ...], find_private: PrivateFinder | None = None
    ) -> None:
        self.normalize = make_normalizer(units)
        self._units = units
        self._find_private = find_private
        self.leftovers: Counter[str] = Counter()
        self._of_part: dict[str, tuple[int, ...]] = {}
        self._numbers: dict[str, int] = {}
        self._posted_segments = array("i")
        self._posted_reports = array("i")
        self._patients: dict[Hashable, int] = {}
        self._patient_of_report = array("i")
        self._num_patients = 0
        self._known_names: tuple[int, frozenset[str]] | None = None
        allowed = find_private.allowed if find_private else frozenset()
        self._release = _Release(allowed)

    def add(self, text: str, *, patient: Hashable | None = None) -> None:
        """Take a report.

        Args:
            text: the report.
            patient: any key of the patient; None counts the report as a patient of its own.
        """
        self._add(_parts(text), text, patient)

    def add_all(
        self, reports: Iterable[tuple[str, Hashable | None]], *, executor: Executor | None
    ) -> Iterator[None]:
        """Take many reports, whose parts may be read by others; the store is the same as by `add`.

        Others have some 20,000 reports at a time, beside what the store keeps.

        Args:
            reports: text and patient of each.
            executor: what reads, e.g. a `ProcessPoolExecutor` or that of a cluster; None for this
                process.

        Yields:
            Once for each report that was taken.

        Raises:
            InputError: the processes of the executor have ended.
        """
        if executor is None:
            for text, patient in reports:
                self.add(text, patient=patient)
                yield
            return
        left = iter(reports)
        while chunk := [
            (_parts(text), text, patient) for text, patient in itertools.islice(left, _AT_ONCE)
        ]:
            # In the order in which they are met, so that segments get the same numbers.
            new = [
                part
                for part in dict.fromkeys(part for parts, _, _ in chunk for part in parts)
                if part not in self._of_part
            ]
            batches = [new[at : at + _BATCH] for at in range(0, len(new), _BATCH)]
            try:
                futures = [
                    executor.submit(read_parts, batch, self._units, self._find_private)
                    for batch in batches
                ]
                for batch, future in zip(batches, futures, strict=True):
                    for part, keys in zip(batch, future.result(), strict=True):
                        self._of_part[part] = self._numbered(keys)
            except (BrokenExecutor, CancelledError, ConnectionError) as error:
                raise InputError(
                    "the processes that read the reports have ended; is there enough memory? Give "
                    "the command again, perhaps with fewer of them"
                ) from error
            for parts, text, patient in chunk:
                self._add(parts, text, patient)
                yield

    def _add(self, parts: Sequence[str], text: str, patient: Hashable | None) -> None:
        if patient is None:
            number = self._num_patients
        else:
            number = self._patients.setdefault(patient, self._num_patients)
        self._num_patients += number == self._num_patients
        report = len(self._patient_of_report)
        self._patient_of_report.append(number)
        self.leftovers.update(find_leftovers(text))
        for part in parts:
            numbers = self._of_part.get(part)
            if numbers is None:
                keys = _keys(part, self.normalize, self._find_private)
                numbers = self._of_part[part] = self._numbered(keys)
            self._posted_segments.extend(numbers)
            self._posted_reports.extend([report] * len(numbers))

    def _numbered(self, keys: Iterable[str]) -> tuple[int, ...]:
        return tuple(self._numbers.setdefault(key, len(self._numbers)) for key in keys)

    @property
    def num_reports(self) -> int:
        """Reports taken."""
        return len(self._patient_of_report)

    @property
    def num_distinct(self) -> int:
        """Number of distinct segments."""
        return len(self._numbers)

    @property
    def num_patients(self) -> int:
        """Number of patients of the reports taken."""
        return self._num_patients

    @property
    def patient_of_report(self) -> Ints:
        """int64 (num_reports,)."""
        return np.array(self._patient_of_report, dtype=np.int64)

    def _names(self) -> frozenset[str]:
        """Words that are held back wherever they stand: names in most places where one can tell."""
        if self._find_private is None:
            return frozenset()
        if self._known_names is None or self._known_names[0] != len(self._numbers):
            posted, _ = self.postings()
            weights = np.bincount(posted, minlength=len(self._numbers)).tolist()
            as_name: Counter[str] = Counter()
            for key, weight in zip(self._numbers, weights, strict=True):
                if _MARK in key:
                    for piece, why in zip(*_marked(key, frozenset()), strict=True):
                        if why == "name":
                            as_name[piece.removeprefix(" ")] += weight
            total: Counter[str] = Counter()
            for key, weight in zip(self._numbers, weights, strict=True):
                for piece in split_pieces(key.partition(_MARK)[0]):
                    bare = piece.removeprefix(" ")
                    if bare in as_name:
                        total[bare] += weight
            never = known("eponyms") | known("no_names") | known("words_too")
            small = self._written_small(as_name)
            names = frozenset(
                word
                for word, count in as_name.items()
                if len(word) > 2
                and word not in never
                and count >= (_MOSTLY if word in small else _AT_TIMES) * total[word]
            )
            self._known_names = (len(self._numbers), names)
        return self._known_names[1]

    def _written_small(self, words: Collection[str]) -> set[str]:
        """Those of the words that some report writes small where it also uses capitals."""
        small: set[str] = set()
        for part in self._of_part:
            if part != part.lower():
                small.update(word for word in _WORD.findall(part) if word in words)
        return small

    def held_back(self, *, k: int) -> list[HeldBack]:
        """The texts that are held back although k patients hold them, most frequent first.

        Args:
            k: number of patients that must hold a text; rarer texts are never candidates.
        """
        names = self._names()
        where: dict[tuple[str, str], list[int]] = {}
        for number, key in enumerate(self._numbers):
            pieces, reasons = self._release(*_marked(key, names))
            at = 0
            while at < len(pieces):
                why, first = reasons[at], at
                while at < len(pieces) and reasons[at] == why:
                    at += 1
                if why is not None:
                    text = "".join(pieces[first:at]).removeprefix(" ")
                    where.setdefault((why, text), []).append(number)
        posted, report = self.postings()
        order = np.argsort(posted, kind="stable")
        bounds = np.searchsorted(posted[order], np.arange(len(self._numbers) + 1))
        found = []
        for (why, text), numbers in where.items():
            reports = np.unique(
                np.concatenate([report[order[bounds[n] : bounds[n + 1]]] for n in numbers])
            )
            patients = np.unique(self.patient_of_report[reports])
            if len(patients) >= k:
                found.append(
                    HeldBack(text=text, reason=why, documents=len(reports), patients=len(patients))
                )
        return sorted(found, key=lambda held: (-held.patients, held.reason, held.text))

    def released(self) -> frozenset[str]:
        """The allowed texts that stand where something would be held back."""
        names, release = self._names(), _Release(self._release.allowed)
        for key in self._numbers:
            release(*_marked(key, names))
        return frozenset(release.met)

    @property
    def texts(self) -> list[str]:
        """Text of each segment, by its number."""
        return [key.partition(_MARK)[0] for key in self._numbers]

    def digest(self) -> str:
        """The sha256 of everything that was read: it identifies the corpus and tells none of it."""
        seen = hashlib.sha256()
        for key in self._numbers:
            seen.update(key.encode("utf-8", "surrogatepass") + b"\n")
        for numbers in (self._posted_segments, self._posted_reports, self._patient_of_report):
            seen.update(numbers.tobytes())
        return seen.hexdigest()

    def postings(self) -> tuple[SmallInts, SmallInts]:
        """Segment and report of every occurrence: int32 (num_occurrences,) each."""
        return (
            np.array(self._posted_segments, dtype=np.int32),
            np.array(self._posted_reports, dtype=np.int32),
        )

    def segments(
        self, *, k: int, reports: Bools | None = None, max_distinct: int | None = None
    ) -> Segments:
        """The segments of some reports, ordered by text.

        What is held back is worked out over all reports: a name is a name in every part of them.

        Args:
            k: number of patients that are kept for each segment.
            reports: bool (num_reports,), true for the reports to take; None takes all.
            max_distinct: number of segments above which a lot decides, so that about so many are
                left; mostly on those that fewer than k patients hold. None takes all.
        """
        names = self._names()
        posted, report = self.postings()
        if reports is not None:
            taken = reports[report]
            posted, report = posted[taken], report[taken]
        keys = list(self._numbers)
        weights = np.bincount(posted, minlength=len(keys))
        holders, bounds = self._holders(posted, report, k)
        del posted, report
        if max_distinct is not None and np.count_nonzero(weights) > max_distinct:
            weights = _drawn(keys, weights, np.diff(bounds) >= k, max_distinct)
        order = sorted(np.flatnonzero(weights).tolist(), key=keys.__getitem__)
        firsts, lasts = bounds[:-1][order], bounds[1:][order]
        vocabulary: dict[str, int] = {}
        pieces = array("q")
        private = array("b")
        starts = array("q", [0])
        for number in order:
            split, reasons = self._release(*_marked(keys[number], names))
            pieces.extend(vocabulary.setdefault(piece, len(vocabulary)) for piece in split)
            private.extend(reason is not None for reason in reasons)
            pieces.append(-1)
            private.append(False)
            starts.append(len(pieces))
        return Segments(
            vocabulary=tuple(vocabulary),
            pieces=np.array(pieces, dtype=np.int64),
            private=np.array(private, dtype=bool),
            starts=np.array(starts, dtype=np.int64),
            weights=weights[order],
            holders=holders[ranges(firsts, lasts)],
            holder_starts=np.concatenate([[0], np.cumsum(lasts - firsts)]),
            numbers=np.array(order, dtype=np.int64),
            num_reports=self.num_reports if reports is None else int(reports.sum()),
            num_patients=self._num_patients,
        )

    def _holders(self, posted: SmallInts, report: SmallInts, k: int) -> tuple[Ints, Ints]:
        """Up to k patients of each segment, by number, and where each segment's begin.

        There are tens of millions of occurrences, so that each array of them counts.
        """
        num_patients = max(1, self._num_patients)
        held = posted.astype(np.int64)
        held *= num_patients
        held += self.patient_of_report[report]
        # In place: `np.unique` makes a table of them that is many times as large.
        held.sort()
        is_first = np.ones(len(held), dtype=bool)
        np.not_equal(held[1:], held[:-1], out=is_first[1:])
        held = held[is_first]
        bounds = np.searchsorted(held, np.arange(len(self._numbers) + 1) * num_patients)
        sizes = np.minimum(np.diff(bounds), k)
        kept = ranges(bounds[:-1], bounds[:-1] + sizes)
        return held[kept] % num_patients, np.concatenate([[0], np.cumsum(sizes)])


def _drawn(keys: Sequence[str], weights: Ints, is_shared: Bools, most: int) -> Ints:
    """New weights of segments, 0 for those that the lot leaves out, so that about `most` are left.

    What k patients share stays, as far as three quarters hold it: it is what phrases are made of,
    and a flood of sentences that occur once must not wash it out.
    """
    is_rare = (weights > 0) & ~is_shared
    num_shared, num_rare = int(is_shared.sum()), int(is_rare.sum())
    room = min(num_rare, max(most - num_shared, most // 4))
    new = np.zeros_like(weights)
    for of_kind, size in ((is_shared, most - room), (is_rare, room)):
        at = np.flatnonzero(of_kind)
        new[at] = _by_lot([keys[number] for number in at.tolist()], weights[at], size)
    return new


def _by_lot(keys: Sequence[str], weights: Ints, most: int) -> Ints:
    """New weights, 0 for those that are left out, so that about `most` are left.

    One that occurs less than a bar number of times stays with the chance that is its share of the
    bar, and then counts as the bar: sums are right in the mean, and what is frequent stays as it
    is. The lot is the text's own, the same in every run.
    """
    low, high = 1, max(1, int(weights.sum()))
    while low < high:
        bar = (low + high) // 2
        if np.minimum(1.0, weights / bar).sum() <= most:
            high = bar
        else:
            low = bar + 1
    lots = np.array([_lot(key) for key in keys])
    return np.where(lots * low < weights, np.maximum(weights, low), 0)


def _lot(text: str) -> float:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def read_parts(
    parts: Sequence[str], units: tuple[str, ...], find_private: PrivateFinder | None
) -> list[tuple[str, ...]]:
    """The segments of parts of reports, as a process of an executor reads them for a store.

    Args:
        parts: pieces of reports, as a store cuts them.
        units: as in `ReportStore`.
        find_private: as in `ReportStore`.
    """
    normalize = _normalizer(units)
    return [tuple(_keys(part, normalize, find_private)) for part in parts]


_normalizer = cache(make_normalizer)


def _parts(text: str) -> list[str]:
    return _PART.split(text.strip())


def _keys(
    part: str, normalize: Callable[[str], str], find_private: PrivateFinder | None
) -> Iterator[str]:
    """The segments of a part, with the pieces that may name a person marked."""
    normalized = normalize(part)
    if not normalized:
        return
    spans = find_private(part, normalized) if find_private else []
    begin = 0
    for text in split_stops(normalized):
        end = begin + len(text)
        inside = {
            f"{max(span.start, begin) - begin} {min(span.end, end) - begin} {span.reason}"
            for span in spans
            if span.start < end and span.end > begin
        }
        yield _MARK.join([text, *sorted(inside)])
        begin = end + 1


class _Release:
    """Releases, from what is held back, the texts that a person has allowed.

    Args:
        allowed: the texts, as in `HeldBack.text`, or parts of them.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        self.allowed = frozenset(allowed)
        self.met: set[str] = set()
        self._longest = max((len(split_pieces(text)) for text in self.allowed), default=0)

    def __call__(
        self, pieces: list[str], reasons: list[str | None]
    ) -> tuple[list[str], list[str | None]]:
        """The pieces, and the reasons without those of released texts: the longest first."""
        if not self.allowed:
            return pieces, reasons
        left = list(reasons)
        at = 0
        while at < len(pieces):
            why, last = reasons[at], at
            while why is not None and last < len(pieces) and reasons[last] == why:
                last += 1
            for end in range(min(last, at + self._longest), at, -1):
                text = "".join(pieces[at:end]).removeprefix(" ")
                if text in self.allowed:
                    self.met.add(text)
                    left[at:end] = [None] * (end - at)
                    at = end - 1
                    break
            at += 1
        return pieces, left


def _marked(key: str, names: frozenset[str]) -> tuple[list[str], list[str | None]]:
    """The pieces of a segment, and why each is held back."""
    text, *spans = key.split(_MARK)
    pieces = split_pieces(text)
    reasons: list[str | None] = [None] * len(pieces)
    if spans:
        bounds = [(int(low), int(high), why) for low, high, why in map(str.split, spans)]
        begin = 0
        for at, piece in enumerate(pieces):
            end = begin + len(piece)
            for low, high, why in bounds:
                if low < end and high > begin + (piece[0] == " "):
                    reasons[at] = why
            begin = end
    if names:
        for at, piece in enumerate(pieces):
            if reasons[at] is None and piece.removeprefix(" ") in names:
                reasons[at] = "name"
    return pieces, reasons
