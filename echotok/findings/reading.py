"""What a report says, as rows: one a mention."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from echotok.findings.lexicon import Mark, compile_rules
from echotok.findings.mentions import Mention, find_mentions
from echotok.findings.rule_files import read_findings_rules
from echotok.findings.rules import FindingsRules
from echotok.findings.scope import Status, Verdict, judge
from echotok.findings.sentences import Sentences
from echotok.findings.values import Decimals, count_decimals, read_quantity
from echotok.text import Offsets, split_pieces

__all__ = ["Finding", "Reader", "findings", "reader_of"]


class Finding(NamedTuple):
    """One mention of a finding.

    Attributes:
        name: of its rule, e.g. `mitral_regurgitation`.
        value: grade on the ordered scale, 1 or 0 of a sign, number, or class; None where it is
            not said. What is absent is 0.
        unit: of a number, the rule's; "" otherwise.
        low, high: ends of a range or comparison, None where it is open or none is said.
        status: `present`, `absent`, `possible`, `prior` or `not_assessed`.
        structure: what it is said of, e.g. `mitral_valve`, or "".
        start, end: characters of the original report.
        sentence: index of its sentence in the report.
        section: `history`, `conclusion`, `body`, or "" where no heading says.
        written: the number and unit as they stand in the report, normalized; "" for others.
        plausible: False for a number outside of the rule's range.
        words: `(role, start, end)` of what made the row, where that was asked for: `name`,
            `grade`, `number` or the kind of a cue.
    """

    name: str
    value: float | str | None
    unit: str
    low: float | None
    high: float | None
    status: Status
    structure: str
    start: int
    end: int
    sentence: int
    section: str = ""
    written: str = ""
    plausible: bool = True
    words: tuple[tuple[str, int, int], ...] = ()


def findings(report: str, rules: FindingsRules | None = None) -> tuple[Finding, ...]:
    """What a report says.

    Args:
        report: any text.
        rules: what to look for; None for those that ship with the package.

    Returns:
        A row a mention, in the order of the text.

    Example:
        >>> [row] = findings("Mild to moderate MR.")
        >>> row.name, row.value, row.low, row.high, row.status
        ('mitral_regurgitation', 1.5, 1.0, 2.0, 'present')
    """
    return reader_of(rules or read_findings_rules()).read(report)


@lru_cache(maxsize=8)
def reader_of(rules: FindingsRules) -> Reader:
    """The reader of rules, made once: it remembers sentences."""
    return Reader(rules)


class _Said(NamedTuple):
    """What a sentence says, by offsets within itself."""

    rows: tuple[Finding, ...]
    subjects: tuple[tuple[str, ...], ...]
    units: int
    used: int


# A comma or point with three digits behind it may part thousands.
_OPEN_NUMBER = re.compile(r"\d[.,]\d{3}(?!\d)")
_REMEMBERED = 50_000
_NOTHING = _Said((), (), 0, 0)


class Reader:
    """Reads reports by rules, and remembers sentences, which templates repeat.

    Args:
        rules: the rules.

    Attributes:
        units, used: how many marked phrases and values there were in all that was read, and how
            many of them became part of a finding.
    """

    def __init__(self, rules: FindingsRules) -> None:
        self.rules = rules
        self.lexicon = compile_rules(rules)
        self._sentences = Sentences(rules, self.lexicon)
        self._known: dict[tuple[object, ...], _Said] = {}
        self.units = self.used = 0

    def read(
        self, report: str, *, decimals: Decimals | None = None, words: bool = False
    ) -> tuple[Finding, ...]:
        """The findings of a report.

        Args:
            report: any text.
            decimals: of the corpus, for numbers that the report itself leaves open.
            words: say which words made each row.
        """
        decimal_mark = ""
        if _OPEN_NUMBER.search(report):
            decimal_mark = count_decimals((report,)).mark
            if not decimal_mark and decimals is not None:
                decimal_mark = decimals.mark
        rows: list[Finding] = []
        subjects: tuple[tuple[str, ...], ...] = ()
        age = 0
        known = self._known
        for number, (start, end, section, heading, fresh) in enumerate(
            self._sentences.split(report)
        ):
            if fresh or age > 2:
                subjects = ()
            context = (*subjects, heading) if heading else subjects
            text = report[start:end]
            key = (text, context, section == "history", decimal_mark)
            said = known.get(key)
            if said is None:
                if len(known) >= _REMEMBERED:
                    known.clear()
                said = known[key] = self._say(
                    text, context, prior=section == "history", decimal_mark=decimal_mark
                )
            self.units += said.units
            self.used += said.used
            if said.subjects:
                subjects, age = said.subjects, 0
            age += 1
            for row in said.rows:
                # By position: this is done for every row of every report.
                rows.append(
                    Finding(
                        *row[:7],
                        row[7] + start,
                        row[8] + start,
                        number,
                        section,
                        *row[11:13],
                        _moved(row[13], start) if words else (),
                    )
                )
        return tuple(rows)

    def _say(
        self, text: str, context: tuple[tuple[str, ...], ...], *, prior: bool, decimal_mark: str
    ) -> _Said:
        normalized = self.lexicon.normalize(text)
        pieces = split_pieces(normalized)
        marks = _joined(self.lexicon.marks(pieces), pieces)
        if any(mark.doubtful for mark in marks):
            places = _Places(text, normalized, pieces, marks)
            marks = [
                mark
                for index, mark in enumerate(marks)
                if not mark.doubtful or _abbreviates(text, index, marks, places)
            ]
        if not marks:
            return _NOTHING
        mentions = find_mentions(marks, pieces, self.lexicon, self.rules, context)
        mentions += self._unseen(marks, mentions)
        subjects = tuple(mark.structures for mark in reversed(marks) if mark.structures)
        counted = [index for index, mark in enumerate(marks) if _is_unit(mark)]
        if not mentions:
            return _Said((), subjects, len(counted), 0)
        verdicts = judge(
            marks, mentions, size=len(pieces) - (pieces[-1].strip() in (".", "!")), prior=prior
        )
        places = _Places(text, normalized, pieces, marks)
        rows: list[Finding] = []
        used: set[int] = set()
        for mention, verdict in zip(mentions, verdicts, strict=True):
            row = self._row(mention, verdict, marks, places, decimal_mark)
            if row is not None and not _repeats(row, rows):
                rows.append(row)
                used |= {*mention.marks, mention.grade_mark}
        rows.sort(key=lambda row: (row.start, row.end))
        return _Said(tuple(rows), subjects, len(counted), sum(at in used for at in counted))

    def _unseen(self, marks: Sequence[Mark], mentions: Sequence[Mention]) -> list[Mention]:
        """Findings of a structure that could not be seen."""
        taken = {
            index
            for mention in mentions
            if self.rules.findings[mention.name].kind != "number"
            for index in mention.marks
        }
        if not any(mark.cues & {"unseen_before", "unseen_behind"} for mark in marks):
            return []
        return [
            Mention(name=name, structure=structure, anchor=at, marks=[at], value="unseen")
            for at, mark in enumerate(marks)
            if mark.structures and at not in taken
            for structure in mark.structures
            for name in self.lexicon.visual.get(structure, ())
        ]

    def _row(
        self,
        mention: Mention,
        verdict: Verdict,
        marks: Sequence[Mark],
        places: _Places,
        decimal_mark: str,
    ) -> Finding | None:
        rule = self.rules.findings[mention.name]
        status = verdict.status
        if mention.value == "unseen":
            if status != "not_assessed":
                return None
            mention.value = None
        if verdict.others and status == "absent":
            return None
        value: float | str | None = mention.value
        low = high = None
        unit = written = ""
        plausible = True
        if rule.kind == "number":
            if mention.number and status != "not_assessed":
                number = mention.number_mark
                quantity = read_quantity(
                    mention.number,
                    mention.unit,
                    rule,
                    self.rules.units,
                    decimal_mark=decimal_mark,
                    spread=mention.spread,
                    lower=number > 0 and "at_least" in marks[number - 1].cues,
                    upper=number > 0 and "at_most" in marks[number - 1].cues,
                )
                if quantity is None:
                    return None
                value, low, high, unit, _, plausible = quantity
                written = " ".join(one for one in (mention.number, quantity.written_unit) if one)
                if status == "absent":
                    status = "present"
            elif status in ("absent", "not_assessed"):
                status, value = "not_assessed", None
            else:
                return None
        elif status == "not_assessed":
            value = None
        elif verdict.denied:
            value = 0.0 if rule.kind != "class" else None
        elif value is None:
            low, high = mention.grade_low, mention.grade_high
            if rule.kind == "sign":
                value, low, high = 1.0, None, None
            else:
                value = mention.grade if mention.grade is not None else rule.ungraded
                before = mention.grade_mark - 1
                if mention.grade is not None and before >= 0:
                    if "at_least" in marks[before].cues:
                        low, high = mention.grade, None
                    elif "at_most" in marks[before].cues:
                        low, high = None, mention.grade
        elif rule.kind == "sign" and value == 0:
            value = 1.0 if not mention.denied else 0.0
        start, end = places.span(sorted({*mention.marks, *_beside(mention)}))
        return Finding(
            name=mention.name,
            value=value,
            unit=unit,
            low=low,
            high=high,
            status=status,
            structure=mention.structure,
            start=start,
            end=end,
            sentence=0,
            written=written,
            plausible=plausible,
            words=places.words(mention, verdict),
        )


def _abbreviates(text: str, at: int, marks: Sequence[Mark], places: _Places) -> bool:
    """Whether a word such as "as" is an abbreviation here: in capitals, or alone in small ones."""
    start, end = places.span([at])
    written = text[start:end]
    if not written.islower():
        return written.isupper()
    if text[start - 1 : start].isalpha():
        return False
    before = marks[at - 1] if at and marks[at - 1].end == marks[at].first else None
    after = marks[at + 1] if at + 1 < len(marks) and marks[at + 1].first == marks[at].end else None
    ends = not text[end:].strip(" \t.)") or after is not None
    begins = start == 0 or before is not None
    return begins and ends


def _moved(words: tuple[tuple[str, int, int], ...], by: int) -> tuple[tuple[str, int, int], ...]:
    return tuple((role, start + by, end + by) for role, start, end in words)


def _is_unit(mark: Mark) -> bool:
    return bool(
        mark.terms or mark.structures or mark.state or mark.quantity or mark.named or mark.number
    ) or (mark.grade is not None)


def _beside(mention: Mention) -> tuple[int, ...]:
    """The grade's mark, where it stands near."""
    at = mention.grade_mark
    near = at >= 0 and min(abs(at - index) for index in mention.marks) <= 3
    return (at,) if near else ()


def _repeats(row: Finding, rows: list[Finding]) -> bool:
    """Whether a row says what another one of the sentence says by the same words."""
    for at, other in enumerate(rows):
        if (
            other.name == row.name
            and other.status == row.status
            and other.structure == row.structure
            and other.start < row.end
            and row.start < other.end
            and (
                other.value == row.value or None in (other.value, row.value) or other.end == row.end
            )
        ):
            if other.value is None and row.value is not None:
                rows[at] = row
            return True
    return False


def _joined(marks: list[Mark], pieces: Sequence[str]) -> list[Mark]:
    """`mild or moderate` and `between 55 and 60` are one mark each."""
    if len(marks) < 3:
        return marks
    found: list[Mark] = []
    for mark in marks:
        if len(found) >= 2:
            one, link = found[-2], found[-1]
            if (
                mark.grade is not None
                and one.grade is not None
                and not (mark.terms or one.terms)
                and link.cues & {"or", "-"}
                and one.end == link.first
                and link.end == mark.first
            ):
                low, high = sorted((one.grade, mark.grade))
                found[-2:] = [
                    mark._replace(
                        first=one.first,
                        grade=(low + high) / 2,
                        grade_low=low,
                        grade_high=high,
                    )
                ]
                continue
            # "between 45% and 50%"
            if (
                link.unit
                and "and" in mark.cues
                and one.number
                and one.first
                and pieces[one.first - 1].strip() == "between"
            ):
                found[-1] = mark._replace(first=link.first)
                continue
            if (
                mark.number
                and one.number
                and "and" in link.cues
                and one.first
                and pieces[one.first - 1].strip() == "between"
                and one.end == link.first
                and link.end == mark.first
            ):
                joined = f"{one.number} to {mark.number}"
                found[-2:] = [mark._replace(first=one.first, number=joined)]
                continue
        found.append(mark)
    return found


class _Places:
    """Marks -> characters of the sentence as it was written."""

    def __init__(
        self, text: str, normalized: str, pieces: Sequence[str], marks: Sequence[Mark]
    ) -> None:
        same = text.isascii() and text.lower() == normalized
        self._offsets = None if same else Offsets(text, normalized)
        self._bounds = [0]
        for piece in pieces:
            self._bounds.append(self._bounds[-1] + len(piece))
        self._pieces, self._marks = pieces, marks

    def span(self, indices: Sequence[int]) -> tuple[int, int]:
        """From the first to the last of some marks."""
        first = min(self._marks[index].first for index in indices)
        last = max(self._marks[index].end for index in indices)
        start = self._bounds[first] + (self._pieces[first][0] == " ")
        end = self._bounds[last]
        return (start, end) if self._offsets is None else self._offsets.span(start, end)

    def words(self, mention: Mention, verdict: Verdict) -> tuple[tuple[str, int, int], ...]:
        """What made a row, by role."""
        roles = {index: "name" for index in mention.marks}
        if mention.number_mark >= 0:
            roles |= {i: "number" for i in mention.marks if i >= mention.number_mark}
        if mention.grade_mark >= 0 and mention.grade_mark not in roles:
            roles[mention.grade_mark] = "grade"
        for index in verdict.cues:
            kinds = [kind for kind in self._marks[index].cues if "_" in kind or kind == "others"]
            roles.setdefault(index, min(kinds, default="cue"))
        return tuple((role, *self.span([index])) for index, role in sorted(roles.items()))
