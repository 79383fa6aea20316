"""Rows of several sentences: templates also repeat the order of their sentences.

A mined row ends with its sentence. Where the rows of neighbouring sentences stand side by side in
many reports, one row for both saves a token in each. Pairs are joined greedily, the most frequent
first, and a joined row may be joined again. A table that is full gives up the row that saves least,
as long as the new one saves more.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace

from echotok.engine.engine import Engine
from echotok.mining.assembly import Mined, section_of
from echotok.mining.options import Options
from echotok.mining.store import ReportStore
from echotok.table.checks import find_shadowed
from echotok.table.phrases import BUILT_IN_SLOTS, Phrase, parse_phrase

__all__ = ["join_sentences"]

_Pair = tuple[str, str]
_GAP = ""
"""Stands in a report for everything that is no row."""


def join_sentences(
    mined: Mined, store: ReportStore, options: Options, *, first_id: int = 0, room: int = 0
) -> Mined:
    """Add rows of several sentences to a table, in place of rows that save less.

    Args:
        mined: the table, and what each of its rows saves.
        store: the reports.
        options: the user's options; `k` patients must hold a joined row, too.
        first_id: the rows before it stay, as those of a table that grew.
        room: how many rows more there is room for.

    Returns:
        The table with its new rows behind those that stay, in order of what they save.
    """
    table = mined.table
    engine = Engine.of(table, mined.fallback)
    reports = list(_reports(engine, store))
    patients = store.patient_of_report.tolist()
    fixed = {phrase.text for phrase in table.phrases if phrase.id < first_id}
    worth = {
        phrase.text: float(mined.saved[phrase.id])
        for phrase in table.live
        if phrase.text not in fixed
    }
    joined = _join(reports, patients, worth, k=options.k, room=room)
    slots = (*BUILT_IN_SLOTS, *table.slots)
    texts = sorted(joined, key=lambda text: (-joined[text], text))
    version = max((phrase.since for phrase in table.phrases), default=table.version)

    def with_rows(texts: list[str]) -> Mined:
        kept = tuple(phrase for phrase in table.phrases if phrase.id < first_id)
        new = tuple(
            Phrase(
                id=first_id + number,
                text=text,
                items=parse_phrase(text, slots=slots, units=table.units),
                section=section_of(text),
                since=version,
            )
            for number, text in enumerate(texts)
        )
        saved = {phrase.id: mined.saved.get(phrase.id, 0) for phrase in kept}
        saved |= {phrase.id: round(joined[phrase.text]) for phrase in new}
        marked = {table.phrases[number].text for number in mined.mid_phrase}
        return replace(
            mined,
            table=replace(table, phrases=(*kept, *new)),
            saved=saved,
            mid_phrase=frozenset(phrase.id for phrase in (*kept, *new) if phrase.text in marked),
        )

    result = with_rows(texts)
    if shadowed := find_shadowed(result.table):
        lost = {result.table.phrases[number].text for number in shadowed}
        result = with_rows([text for text in texts if text not in lost])
    encoder = Engine.of(result.table, result.fallback).encoder
    total = sum(len(chunk.ids) for text in _texts(store) for chunk in encoder.chunks(text))
    return replace(result, num_tokens=total)


def _texts(store: ReportStore) -> Iterator[str]:
    """The normalized reports."""
    texts = store.texts
    segments: list[str] = []
    last = 0
    for segment, report in zip(*(column.tolist() for column in store.postings()), strict=True):
        if report != last and segments:
            yield " ".join(segments)
            segments = []
        last = report
        segments.append(texts[segment])
    if segments:
        yield " ".join(segments)


def _reports(engine: Engine, store: ReportStore) -> Iterator[list[str]]:
    """Each report as the texts of its rows, with a gap for all else and where marks stand."""
    kinds, texts = engine.vocabulary.kinds, engine.vocabulary.texts
    known: dict[int, tuple[str, ...]] = {}

    def rows(segment: int, text: str) -> tuple[str, ...]:
        if segment not in known:
            found: list[str] = []
            for chunk in engine.encoder.chunks(text):
                start = 0
                for end in chunk.unit_ends:
                    first = chunk.ids[start]
                    found.append(texts[first] if kinds[first] == "phrase" else _GAP)
                    start = end
            known[segment] = tuple(found)
        return known[segment]

    written = store.texts
    of_report: list[list[str]] = [[] for _ in range(store.num_reports)]
    for segment, report in zip(*(column.tolist() for column in store.postings()), strict=True):
        of_report[report] += rows(segment, written[segment])
    yield from of_report


def _join(
    reports: list[list[str]], patients: list[int], worth: dict[str, float], *, k: int, room: int
) -> dict[str, float]:
    """Join rows of neighbouring sentences.

    Args:
        reports: each as its rows; they are changed.
        patients: the patient of each report.
        worth: what each row that may go saves.
        k: number of patients that must hold a row.
        room: how many rows may come before one has to go.

    Returns:
        What each row saves that is kept, and each new row.
    """
    uses = Counter(row for report in reports for row in report)
    places: dict[_Pair, set[int]] = defaultdict(set)
    counts: Counter[_Pair] = Counter()
    for number, report in enumerate(reports):
        for pair in _pairs(report):
            counts[pair] += 1
            places[pair].add(number)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    least = [(saved, row) for row, saved in worth.items()]
    heapq.heapify(least)
    gone: set[str] = set()
    while heap:
        count, pair = heapq.heappop(heap)
        count = -count
        if counts[pair] != count or count < k or gone.intersection(pair):
            continue
        text = " ".join(pair)
        holders = {patients[number] for number in places[pair]}
        if len(holders) < k or text in worth:
            continue
        if room:
            room -= 1
        else:
            while least and (least[0][1] in gone or worth[least[0][1]] != least[0][0]):
                heapq.heappop(least)
            if not least or least[0][0] >= count:
                break
            loser = heapq.heappop(least)[1]
            gone.add(loser)
            del worth[loser]
        worth[text] = count
        heapq.heappush(least, (count, text))
        for row in pair:
            # A row that its joined forms take over saves that much less by itself.
            if row in worth:
                worth[row] *= max(0.0, 1 - count / max(1, uses[row]))
                heapq.heappush(least, (worth[row], row))
            uses[row] -= count
        uses[text] = count
        changed: set[_Pair] = set()
        for number in sorted(places.pop(pair)):
            report = reports[number]
            before = list(_pairs(report))
            report[:] = _replaced(report, pair, text)
            after = list(_pairs(report))
            counts.subtract(before)
            counts.update(after)
            for each in after:
                places[each].add(number)
            changed.update(before, after)
        for each in sorted(changed):
            if counts[each] > 0:
                heapq.heappush(heap, (-counts[each], each))
    return worth


def _pairs(report: list[str]) -> Iterator[_Pair]:
    """Neighbouring rows of which the first ends its sentence."""
    for at in range(len(report) - 1):
        if report[at].endswith(".") and report[at + 1] != _GAP:
            yield report[at], report[at + 1]


def _replaced(report: list[str], pair: _Pair, text: str) -> list[str]:
    new: list[str] = []
    at = 0
    while at < len(report):
        if at + 1 < len(report) and (report[at], report[at + 1]) == pair:
            new.append(text)
            at += 2
        else:
            new.append(report[at])
            at += 1
    return new
