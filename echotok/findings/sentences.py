"""A report -> sentences, each with the section and the structure that its heading names.

A stop ends a sentence, and so does the end of a line, unless the line is wrapped: the next one
goes on in lower case behind a long line, or the line ends with a word that cannot end anything
(`no evidence of`, `and`, a comma).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from echotok.findings.lexicon import Lexicon
from echotok.findings.rules import FindingsRules
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


_STOP = re.compile(
    r"\?(?![^\S\n]*\w{1,10}[^\S\n]*(?:[.\n]|$))|[.!]+(?=[\s)\"'\u201d]*(?:\s|$))|\.(?=[A-Z][a-z])|(?<=[a-z)%])\.(?=\d+[.)]\s)|\n[^\S\n]*"
)
_NO_STOP = re.compile(
    r"(?:\b(?:approx|ca|dr|mr|mrs|ms|prof|vs|incl|est|avg|resp|i\.e|e\.g|no|nr|fig|calc|max|min"
    r"|st|pt|diam|dil|mm|a\.m|p\.m|sq|temp|dept|s\.p)|(?<![\w.])[A-Za-z])$",
    re.IGNORECASE,
)
_LIST_MARK = re.compile(r"\s*(?:[-*\u2022\u00b7\u2013>]+\s+|\(?\d{1,2}[.)]\s+|\(?[a-z]\)\s+)+")
_HEADING = re.compile(r"\s*(?:\d{1,2}[.)]\s*)?([A-Za-z][A-Za-z0-9 ,/&()'-]{0,60}?)\s*:(?!\d)")
_CAPITALS = re.compile(r"\s*([A-Z][A-Z0-9 ,/&()-]{2,60})\s*$")
_DANGLING = re.compile(
    r"(?:[,/&(-]|\b(?:the|a|an|of|and|or|nor|no|not|with|without|to|from|at|by|in|on|for|is|are|was"
    r"|were|be|been|than|that|which|such as|approximately|about|estimated|significant|consistent"
    r"|evidence"
    r"|left|right|mitral|tricuspid|pulmonary|pulmonic|ventricular|atrial|systolic|diastolic"
    r"|pericardial|regional|any|there|has|have|hemodynamically|haemodynamically))$",
    re.IGNORECASE,
)
_WRAPPED = 40
"""A line as long as this may go on in the next one."""
_ENDS_NUMBER = re.compile(r"\d$")


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
        self._known: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._longest = max(map(len, self._kinds), default=0)

    def split(self, report: str) -> Iterator[Sentence]:
        """The sentences of a report, in order; blank ones are left out."""
        section = ""
        heading: tuple[str, ...] = ()
        line_bound = False  # the section holds for its own line and those that continue it
        fresh = True
        for start, end, begins_line, blank in _runs(report):
            if blank:
                fresh = True
                if line_bound:
                    section, line_bound = "", False
                continue
            numbered = begins_line and not report[start : start + 1].isalpha()
            mark = _LIST_MARK.match(report, start, end) if numbered else None
            if mark is not None and mark.end() < end:
                start = mark.end()
            colon = report.find(":", start, min(end, start + 72)) >= 0
            found = _HEADING.match(report, start, end) if colon else None
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
            if start < end:
                yield Sentence(start, end, section, heading, fresh)
                fresh = False

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


def _runs(report: str) -> Iterator[tuple[int, int, bool, bool]]:
    """`(start, end, begins a line, is blank)` of each sentence, stops and line ends left out."""
    start, begins = 0, True
    for match in _STOP.finditer(report):
        at = match.start()
        if report[at] == "\n":
            if at < start:
                continue
            if report[start:at].strip() and _goes_on(report, start, at, match.end()):
                continue
            yield start, at, begins, not report[start:at].strip() and begins
            start, begins = match.end(), True
        else:
            if at < start or (report[at] == "." and _abbreviated(report, start, at, begins)):
                continue
            yield start, at, begins, False
            start, begins = match.end(), False
    yield start, len(report), begins, not report[start:].strip()


def _abbreviated(report: str, start: int, at: int, begins: bool) -> bool:
    """Whether the stop at `at` ends a word or a number of a list, and no sentence."""
    head = report[max(start, at - 12) : at]
    if begins and head.strip().isdigit() and len(report[start:at].strip()) <= 2:
        return True
    if not _NO_STOP.search(head):
        return False
    after = report[at + 1 : at + 40].lstrip(" \t")
    word = _NO_STOP.search(head)
    assert word is not None
    if word[0].lower() in ("no", "mr", "mm", "ms", "min", "st", "max") or len(word[0]) == 1:
        # "Effusion: no." and "trace MR." end; "no. 3" and "mm. Hg" do not.
        return bool(after) and (
            (word[0].lower() in ("no", "nr") and after[0].isdigit())
            or (word[0].lower() == "mm" and after[:2].lower() in ("hg", "of"))
            or (word[0].lower() in ("max", "min", "st") and after[0].islower())
            or (len(word[0]) == 1 and after[:1].isalpha() and after[1:2] == ".")
        )
    return True


def _goes_on(report: str, start: int, at: int, behind: int) -> bool:
    """Whether the line that ends at `at` is wrapped, and the next one goes on with it."""
    line_start = report.rfind("\n", 0, at) + 1
    line = report[line_start:at].rstrip()
    following = report[behind : behind + 80]
    if not following.strip() or following[0] == "\n":
        return False
    next_line = following.split("\n")[0]
    if _LIST_MARK.match(next_line) or _HEADING.match(next_line):
        return False
    if line.endswith((".", "!", "?", ":", ";")):
        return False
    if _DANGLING.search(line):
        return not line.endswith(("-", " no", ":no")) or not next_line[:1].isupper()
    return next_line[:1].islower() and len(line) >= _WRAPPED
