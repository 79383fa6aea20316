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


class _Title(NamedTuple):
    """What a heading names: a kind of section, or structures.

    Attributes:
        alone: nothing stands behind it in its line.
        behind: where what stands behind it begins.
    """

    kind: str
    structures: tuple[str, ...]
    alone: bool
    behind: int


class _Part(NamedTuple):
    """A part of a run, by characters of the run; it may be a blank line."""

    start: int
    end: int
    begins_line: bool
    blank: bool
    title: _Title | None


_CAPITALS = re.compile(r"\s*([A-Z][A-Z0-9 ,/&()-]{2,60})\s*$")

_LONGEST = 1_500
"""Characters of a sentence."""
_REMEMBERED = 50_000
_LONGEST_REMEMBERED = 1_000
"""Characters of a run."""


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
        self._parts: dict[tuple[str, bool], tuple[_Part, ...]] = {}

    def split(self, report: str) -> Iterator[Sentence]:
        """The sentences of a report, in order; blank ones are left out."""
        section = ""
        heading: tuple[str, ...] = ()
        line_bound = False  # the section holds for its own line and those that continue it
        fresh = True
        known = self._parts
        for run_start, run_end, _, run_begins_line in sentence_runs(report):
            text = report[run_start:run_end]
            # Templates repeat their sentences, and what one is made of is the same every time.
            parts = known.get((text, run_begins_line))
            if parts is None:
                parts = self._parts_of(text, run_begins_line)
            for start, end, begins_line, blank, title in parts:
                if blank:
                    fresh = True
                    if line_bound:
                        section, line_bound = "", False
                    continue
                if title is not None:
                    kind, structures, alone, behind = title
                    if kind:
                        section, line_bound = kind, not alone and kind == "history"
                        heading, fresh = (), True
                        start = behind
                    elif begins_line and alone:
                        if structures or section == "history":
                            section = "body" if section != "conclusion" or structures else section
                            heading, fresh = structures, True
                            if structures:
                                start = end
                    elif begins_line:
                        if line_bound or section == "history":
                            section, line_bound = "body", False
                        if structures:
                            heading, fresh = structures, True
                elif begins_line and line_bound:
                    section, line_bound = "", False
                if start >= end:
                    continue
                start += run_start
                end += run_start
                if end <= start + _LONGEST:  # no detour, for nearly all are so short
                    yield Sentence(start, end, section, heading, fresh)
                    fresh = False
                    continue
                for begin, stop in _bounded(report, start, end):
                    yield Sentence(begin, stop, section, heading, fresh)
                    fresh = False

    def _parts_of(self, text: str, begins_line: bool) -> tuple[_Part, ...]:
        """What a run is made of, remembered where it is no longer than a template's."""
        parts = tuple(self._part(text, *cut) for cut in self._cuts(text, begins_line))
        if len(text) <= _LONGEST_REMEMBERED:
            if len(self._parts) >= _REMEMBERED:
                self._parts.clear()
            self._parts[text, begins_line] = parts
        return parts

    def _cuts(self, text: str, begins_line: bool) -> Iterator[tuple[int, int, bool]]:
        """`(start, end, begins a line)` of what stands between the headings inside a run."""
        start = 0
        if ":" in text:
            for found in self._inside.finditer(text):
                own = HEADING.match(text, start, found.end())
                if (
                    own is None
                    or own.end() < found.end()
                    or self._lexicon.normalize(own[1]) not in self._kinds
                ):  # "Clinical History:" is one heading
                    yield start, found.start(), begins_line
                    start, begins_line = found.start(), True
        yield start, len(text), begins_line

    def _part(self, text: str, start: int, end: int, begins_line: bool) -> _Part:
        """A part of a run, without its list mark, and what its heading names."""
        if begins_line and not text[start:end].strip():
            return _Part(start, end, True, True, None)
        numbered = begins_line and not text[start : start + 1].isalpha()
        mark = LIST_MARK.match(text, start, end) if numbered else None
        if mark is not None and mark.end() < end:
            start = mark.end()
        colon = text.find(":", start, min(end, start + 72)) >= 0
        found = HEADING.match(text, start, end) if colon else None
        title = None
        if found is not None and found[1]:
            kind, structures = self._heading(found[1])
            behind, _ = _stripped(text, found.end(), end)
            title = _Title(kind, structures, behind == end, behind)
        elif (
            begins_line
            and text[start:end].isupper()
            and (capitals := _CAPITALS.match(text, start, end))
        ):
            kind, structures = self._heading(capitals[1])
            title = _Title(kind, structures, True, start)
        start, end = _stripped(text, start, end)
        if title is not None:
            title = title._replace(behind=max(start, min(title.behind, end)))
        return _Part(start, end, begins_line, False, title)

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


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """A stretch without the white space at its ends."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


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
