"""What two reports say, finding by finding: where they agree, and where they differ.

    two reports -> what each says of every finding -> rows, each with a verdict
    an answer   -> the same for its query and all its hits, as one grid

The findings are read by the rules of `echotok.findings`, so both have that package's limits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from echoclip_r.text.equality import normalize_report
from echotok.findings.reading import reader_of
from echotok.findings.rule_files import read_findings_rules
from echotok.findings.sentences import Sentences
from echotok.findings.table import PRESENT, answers
from echotok.findings.table import Answer as Said
from echotok.findings.view import runs
from echotok.sentences import split_sentences

if TYPE_CHECKING:
    from echoclip_r.search.answers import Answer
    from echotok.findings.reading import Finding
    from echotok.findings.rules import FindingRule, FindingsRules

__all__ = [
    "Cell",
    "Comparison",
    "Grid",
    "GridRow",
    "Match",
    "Row",
    "Verdict",
    "compare",
    "conclusion",
    "make_grid",
    "match_sentences",
    "stretches",
]

Verdict = Literal["agree", "differ", "query", "hit"]
"""Both say the same; both say it otherwise; the query alone says it; the hit alone says it."""

Match = Literal["same", "numbers", "other"]
"""Word for word; the same but for its numbers; in no way like that."""

_GRADES = {
    0.0: "trace",
    0.5: "trace to mild",
    1.0: "mild",
    1.5: "mild to moderate",
    2.0: "moderate",
    2.5: "moderate to severe",
    3.0: "severe",
    4.0: "very severe",
}
_UNITS = {"mmhg": "mmHg", "bpm": "/min"}
_OPEN = ("unsaid", "not_assessed", "prior")
_NUMBER = re.compile(r"(?:[<>≤≥~]\s*)?\d+(?:[.,]\d+)*(?:\s*(?:-|to)\s*\d+(?:[.,]\d+)*)?")
"""A number, a range of numbers, or a bound."""
_LAST_SENTENCES = 4
_NUM_REMEMBERED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One finding in two reports.

    Attributes:
        name, title: of the finding, for machines and for people.
        query, hit: what each report says of it, e.g. "moderate"; "" for nothing.
        verdict: whether they agree.
    """

    name: str
    title: str
    query: str
    hit: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two reports, compared.

    Attributes:
        rows: the findings that at least one of them says, in the order of the rules.
    """

    rows: tuple[Row, ...]

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """Number of rows of each verdict."""
        counted = Counter(row.verdict for row in self.rows)
        return {verdict: counted[verdict] for verdict in ("agree", "differ", "query", "hit")}

    @property
    def verdicts(self) -> Mapping[str, Verdict]:
        """The verdict of each finding, by its name."""
        return {row.name: row.verdict for row in self.rows}


class Cell(NamedTuple):
    """What a hit says of a finding, and the verdict; None where the query's report is not known."""

    text: str
    verdict: Verdict | None


class GridRow(NamedTuple):
    """One finding: its title, what the query says, what each hit says."""

    title: str
    query: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Findings of a query and all its hits.

    Attributes:
        rows: the findings that the query says, or, where its report is not known, at least half
            of the hits; in the order of the rules.
        others: the findings that are said beside these.
        known: whether the query's report is known.
        compared: for each hit the query's report, or an empty one, beside its own; None for a hit
            without a report.
    """

    rows: tuple[GridRow, ...]
    others: tuple[GridRow, ...]
    known: bool
    compared: tuple[Comparison | None, ...]

    def beside(self, place: int) -> Comparison | None:
        """The query's report beside that of a hit, from 0; None where either is not known."""
        return self.compared[place] if self.known else None


def compare(query: str, hit: str, rules: FindingsRules | None = None) -> Comparison:
    """Compare what two reports say.

    Numbers and grades agree within the tolerance of their rule, a range with what lies in it; a
    trace agrees with none. What a report says only of the past, or could not tell, it does not say.

    Args:
        query: report of the query.
        hit: report that was found.
        rules: findings to look for; None for those that ship with echotok.

    Example:
        >>> for row in compare("Severe MR. EF 55%.", "Mild MR. EF 58%.").rows:
        ...     print(row.title, row.query, row.hit, row.verdict, sep="; ")
        Ejection fraction; 55 %; 58 %; agree
        Mitral regurgitation; severe; mild; differ
    """
    rules = rules or read_findings_rules()
    return _compare(_read(query, rules).said, _read(hit, rules).said, rules)


def make_grid(answer: Answer, rules: FindingsRules | None = None) -> Grid:
    """What the query of an answer and all its hits say, finding by finding.

    Args:
        answer: answer whose hits have reports; those without one say nothing.
        rules: as in `compare`.
    """
    rules = rules or read_findings_rules()
    own = answer.query.report
    ours = _read(own or "", rules).said
    compared = [
        _compare(ours, _read(hit.item.report or "", rules).said, rules) for hit in answer.hits
    ]
    said = [{row.name: row for row in one.rows} for one in compared]
    rows, others = [], []
    for name, rule in rules.findings.items():
        found = [one.get(name) for one in said]
        cells = tuple(
            Cell("", None) if row is None else Cell(row.hit, None if own is None else row.verdict)
            for row in found
        )
        query = _words(ours[name], rule)
        num_said = sum(bool(cell.text) for cell in cells)
        if query or (own is None and num_said and 2 * num_said >= len(cells)):
            rows.append(GridRow(rule.title, query, cells))
        elif num_said:
            others.append(GridRow(rule.title, query, cells))
    return Grid(
        rows=tuple(rows),
        others=tuple(others),
        known=own is not None,
        compared=tuple(
            None if hit.item.report is None else one
            for hit, one in zip(answer.hits, compared, strict=True)
        ),
    )


def stretches(
    report: str, verdicts: Mapping[str, Verdict], rules: FindingsRules | None = None
) -> list[tuple[str, Verdict | None]]:
    """A report in runs: the words of its findings with their verdict, the others with None.

    Args:
        report: the report.
        verdicts: verdict of each finding by its name, from `Comparison.verdicts`.
        rules: as in `compare`.
    """
    spans: list[tuple[int, int, Verdict | None]] = [
        (mention.start, mention.end, verdicts[mention.name])
        for mention in _read(report, rules or read_findings_rules()).mentions
        if mention.name in verdicts and mention.status not in ("prior", "not_assessed")
    ]
    return [(report[start:end], verdict) for start, end, verdict in runs(len(report), spans)]


def conclusion(report: str, rules: FindingsRules | None = None) -> str:
    """The conclusion of a report; where no heading names one, its last sentences.

    Args:
        report: the report.
        rules: as in `compare`; they hold the headings.
    """
    rules = rules or read_findings_rules()
    splitter = Sentences(rules, reader_of(rules).lexicon)
    found = [
        report[one.start : one.end] for one in splitter.split(report) if one.section == "conclusion"
    ]
    sentences = found or split_sentences(report)[-_LAST_SENTENCES:]
    return " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in sentences)


def match_sentences(report: str, other: str) -> list[tuple[str, Match]]:
    """The sentences of a report, each with whether the other report has it, too.

    What `normalize_report` folds, such as letter case and white space, does not count.

    Example:
        >>> match_sentences("No effusion. EF 55%. Mild MR.", "EF 60%. No  Effusion.")
        [('No effusion.', 'same'), ('EF 55%.', 'numbers'), ('Mild MR.', 'other')]
    """
    known = {normalize_report(part) for part in split_sentences(other)}
    shapes = {_NUMBER.sub("0", part) for part in known}
    found: list[tuple[str, Match]] = []
    for part in split_sentences(report):
        plain = normalize_report(part)
        match: Match = "other"
        if plain in known:
            match = "same"
        elif _NUMBER.sub("0", plain) in shapes:
            match = "numbers"
        found.append((part, match))
    return found


class _Findings(NamedTuple):
    mentions: Sequence[Finding]
    said: Mapping[str, Said]


# A report is read once, though it is compared, coloured and counted.
@lru_cache(maxsize=_NUM_REMEMBERED)
def _read(report: str, rules: FindingsRules) -> _Findings:
    mentions = reader_of(rules).read(report)
    return _Findings(mentions, answers(mentions, rules))


def _compare(
    ours: Mapping[str, Said], theirs: Mapping[str, Said], rules: FindingsRules
) -> Comparison:
    rows = []
    for name, rule in rules.findings.items():
        texts = _words(ours[name], rule), _words(theirs[name], rule)
        if any(texts):
            verdict = _verdict(ours[name], theirs[name], rule)
            rows.append(
                Row(name=name, title=rule.title, query=texts[0], hit=texts[1], verdict=verdict)
            )
    return Comparison(rows=tuple(rows))


def _is_open(said: Said, rule: FindingRule) -> bool:
    """Whether a report says nothing that can be compared: of a class, also what it is not."""
    return said.status in _OPEN or (rule.kind == "class" and said.value is None)


def _words(said: Said, rule: FindingRule) -> str:
    """What a report says of a finding, for people; "" for nothing."""
    if said.row is None or _is_open(said, rule):
        return ""
    if said.status == "possible":
        return "possible"
    value = said.value
    if rule.kind == "class":
        return str(value)
    if rule.kind == "number":
        return _number(said.row)
    if not isinstance(value, float):
        return "yes" if said.status == "present" else "no"
    if said.status == "absent" or rule.kind == "sign":
        return "no" if value == 0 else "yes"
    return _GRADES.get(value, f"grade {value:g}")


def _number(row: Finding) -> str:
    """A number or range with its unit.

    Only what is out of the range that its rule calls plausible is said to be doubtful.
    """
    low, high = row.low, row.high
    if low is not None and high is not None:
        text = f"{low:g} to {high:g}"
    elif low is not None:
        text = f"at least {low:g}"
    elif high is not None:
        text = f"at most {high:g}"
    else:
        text = f"{row.value:g}"
    unit = _UNITS.get(row.unit, row.unit)
    return f"{text} {unit}".strip() + ("" if row.plausible else " (implausible)")


def _verdict(ours: Said, theirs: Said, rule: FindingRule) -> Verdict:
    if _is_open(theirs, rule):
        return "query"
    if _is_open(ours, rule):
        return "hit"
    return "agree" if _agree(ours, theirs, rule) else "differ"


def _agree(ours: Said, theirs: Said, rule: FindingRule) -> bool:
    if "possible" in (ours.status, theirs.status):
        return ours.status == theirs.status
    one, other = ours.value, theirs.value
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    if rule.kind == "number":
        return one is not None and other is not None and _near(ours, theirs, rule)
    if one is None or other is None:  # it is there, and one of them does not say how much
        return _there(ours) == _there(theirs)
    return abs(one - other) <= rule.tolerance and (
        rule.kind != "sign" or _there(ours) == _there(theirs)
    )


def _there(said: Said) -> bool:
    return said.status == "present" and (not isinstance(said.value, float) or said.value >= PRESENT)


def _near(ours: Said, theirs: Said, rule: FindingRule) -> bool:
    """Whether two numbers are within the tolerance, or the ranges that are said overlap."""
    (low, high), (other_low, other_high) = _ends(ours), _ends(theirs)
    assert isinstance(ours.value, float) and isinstance(theirs.value, float)
    overlap = max(low, other_low) <= min(high, other_high)
    # Values are typed, so that 60 and 55 are 5 apart and not 5.000001.
    return overlap or abs(ours.value - theirs.value) <= rule.tolerance + 1e-9


def _ends(said: Said) -> tuple[float, float]:
    assert said.row is not None and isinstance(said.value, float)
    low, high = said.row.low, said.row.high
    if low is None and high is None:
        return said.value, said.value
    return (
        float("-inf") if low is None else low,
        float("inf") if high is None else high,
    )
