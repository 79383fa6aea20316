"""A report -> sentences, each with the section and the structure that its heading names.

Where they end is the rule of `echotok.sentences`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from echotok.findings.lexicon import Lexicon
from echotok.findings.rules import FindingsRules
from echotok.sentences import HEADING, LIST_MARK, sentence_runs
from echotok.text import split_pieces

__all__ = ["Sentence", "Sentences"]


class Sentence(NamedTuple):
    """A run of a report.

    Attributes:
        start, end: characters of the original.
        section: `history`, `conclusion`, `body`, or "" before any heading.
        heading: structures that the heading above it names.
        fresh: nothing of the sentence before it carries over.
    """

    start: int
    end: int
    section: str
    heading: tuple[str, ...]
    fresh: bool


_CAPITALS = re.compile(r"\s*([A-Z][A-Z0-9 ,/&()-]{2,60})\s*$")

_LONGEST = 1_500
"""Characters of a sentence."""


class Sentences:
    """Splits reports.

    Args:
        rules: with the headings of sections.
        lexicon: which tells the structures of a heading.
    """

    def __init__(self, rules: FindingsRules, lexicon: Lexicon) -> None:
        self._kinds = {
            lexicon.normalize(heading): kind
            for kind, headings in rules.sections.items()
            for heading in headings
        }
        self._lexicon = lexicon
        # A heading whose line was lost: "... chamber size CONCLUSION: Mild MR".
        names = "|".join(re.escape(name) for name in sorted(self._kinds, key=len, reverse=True))
        self._inside = re.compile(rf"(?<=[\w)%]\s)(?=[A-Z])(?i:{names})\s?:(?=\s)")
        self._known: dict[str, tuple[str, tuple[str, ...]]] = {}

    def split(self, report: str) -> Iterator[Sentence]:
        """The sentences of a report, in order; blank ones are left out."""
        section = ""
        heading: tuple[str, ...] = ()
        line_bound = False  # the section holds for its own line and those that continue it
        fresh = True
        for start, end, begins_line in self._runs(report):
            if begins_line and not report[start:end].strip():
                fresh = True
                if line_bound:
                    section, line_bound = "", False
                continue
            numbered = begins_line and not report[start : start + 1].isalpha()
            mark = LIST_MARK.match(report, start, end) if numbered else None
            if mark is not None and mark.end() < end:
                start = mark.end()
            colon = report.find(":", start, min(end, start + 72)) >= 0
            found = HEADING.match(report, start, end) if colon else None
            name = found[1] if found is not None else ""
            alone = found is not None and not report[found.end() : end].strip()
            if (
                not name
                and begins_line
                and report[start:end].isupper()
                and (capitals := _CAPITALS.match(report, start, end))
            ):
                name, alone = capitals[1], True
            if name:
                kind, structures = self._heading(name)
                if kind:
                    section, line_bound = kind, not alone and kind == "history"
                    heading, fresh = (), True
                    if found is not None:
                        start = found.end()
                elif begins_line and alone:
                    if structures or section == "history":
                        section = "body" if section != "conclusion" or structures else section
                        heading, fresh = structures, True
                        if structures:
                            start = end
                elif begins_line and structures is not None:
                    if line_bound or (section == "history" and begins_line):
                        section, line_bound = "body", False
                    if structures:
                        heading, fresh = structures, True
            elif begins_line and line_bound:
                section, line_bound = "", False
            while start < end and report[start].isspace():
                start += 1
            while start < end and report[end - 1].isspace():
                end -= 1
            if start < end <= start + _LONGEST:  # no detour, for nearly all are so short
                yield Sentence(start, end, section, heading, fresh)
                fresh = False
                continue
            for begin, stop in _bounded(report, start, end):
                yield Sentence(begin, stop, section, heading, fresh)
                fresh = False

    def _runs(self, report: str) -> Iterator[tuple[int, int, bool]]:
        """`(start, end, begins a line)` of what stands between stops and headings."""
        for start, end, _, begins_line in sentence_runs(report):
            if report.find(":", start, end) >= 0:
                for found in self._inside.finditer(report, start, end):
                    own = HEADING.match(report, start, found.end())
                    if (
                        own is None
                        or own.end() < found.end()
                        or self._lexicon.normalize(own[1]) not in self._kinds
                    ):  # "Clinical History:" is one heading
                        yield start, found.start(), begins_line
                        start, begins_line = found.start(), True
            yield start, end, begins_line

    def _heading(self, name: str) -> tuple[str, tuple[str, ...]]:
        """The section and the structures that a heading names."""
        known = self._known.get(name)
        if known is None:
            normalized = self._lexicon.normalize(name)
            kind = self._kinds.get(normalized, "")
            structures: list[str] = []
            if not kind:
                pieces = split_pieces(normalized)
                marks = self._lexicon.marks(pieces)
                covered = sum(mark.end - mark.first for mark in marks)
                says_more = any(
                    mark.state
                    or mark.quantity
                    or mark.named
                    or (mark.terms and not mark.structures)
                    for mark in marks
                )
                if not says_more and covered * 2 >= len(pieces):
                    structures = [name for mark in marks for name in mark.structures]
            known = (kind, tuple(dict.fromkeys(structures)))
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[name] = known
        return known


def _bounded(report: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A sentence, cut behind a comma or a word where nobody writes one so long.

    What a cue reaches is looked for in all of its sentence, which takes the square of its length.
    """
    while end - start > _LONGEST:
        limit = start + _LONGEST
        cut = max(report.rfind(mark, start + _LONGEST // 2, limit) for mark in ",;")
        if cut < 0:
            cut = max(report.rfind(" ", start + 1, limit), start)
        stop = limit if cut <= start else cut + 1
        yield start, stop
        start = stop
    if start < end:
        yield start, end
