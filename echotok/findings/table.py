"""Findings of many reports as columns, and one report's answer where its mentions disagree."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from echotok.cpus import end_with_parent
from echotok.findings.reading import Finding, Reader
from echotok.findings.rule_files import read_findings_rules
from echotok.findings.rules import FindingRule, FindingsRules
from echotok.findings.values import Decimals, count_decimals

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "COLUMNS",
    "PRESENT",
    "Answer",
    "FindingsTable",
    "Read",
    "answer",
    "answers",
    "as_number",
    "findings_table",
    "read_many",
    "to_cells",
]

COLUMNS = (
    "report", "name", "value", "class", "unit", "low", "high", "status", "structure", "start",
    "end", "sentence", "section", "written", "plausible",
)  # fmt: skip
"""Columns of the long table. `value` is a number, `class` the value of a finding that has words."""

PRESENT = 0.75
"""A grade of this or more is a finding: from `mild` on, a trace is none."""

_CHUNK = 64
_CORPUS = 1000
"""Reports whose numbers tell how the corpus writes its decimals."""


class Read(NamedTuple):
    """What was read from one report.

    Attributes:
        rows: its findings.
        units, used: marked phrases and values, and how many of them became part of a finding.
    """

    rows: tuple[Finding, ...]
    units: int
    used: int


def read_many(
    reports: Iterable[str], rules: FindingsRules | None = None, *, workers: int = 1
) -> Iterator[Read]:
    """Read a stream of reports, in order.

    Args:
        reports: texts; the first thousand tell how the corpus writes its decimals.
        rules: what to look for; None for those that ship with the package.
        workers: processes.
    """
    rules = rules or read_findings_rules()
    stream = iter(reports)
    first = list(itertools.islice(stream, _CORPUS))
    decimals = count_decimals(first)
    chunks = _chunks(itertools.chain(first, stream))
    if workers == 1:
        reader = Reader(rules)
        for chunk in chunks:
            yield from _read_chunk(reader, chunk, decimals)
        return
    with ProcessPoolExecutor(workers, initializer=_begin, initargs=(rules,)) as pool:
        # A window, so that a stream is not read to its end before the first answer.
        waiting = []
        for chunk in chunks:
            waiting.append(pool.submit(_work, chunk, decimals))
            if len(waiting) >= 4 * workers:
                yield from waiting.pop(0).result()
        for task in waiting:
            yield from task.result()


def _chunks(reports: Iterable[str]) -> Iterator[list[str]]:
    stream = iter(reports)
    while chunk := list(itertools.islice(stream, _CHUNK)):
        yield chunk


_reader: Reader | None = None
"""The reader of this worker process."""


def _begin(rules: FindingsRules) -> None:
    global _reader
    _reader = Reader(rules)
    end_with_parent()


def _work(chunk: list[str], decimals: Decimals) -> list[Read]:
    assert _reader is not None, "the pool calls _begin first"
    return _read_chunk(_reader, chunk, decimals)


def _read_chunk(reader: Reader, chunk: list[str], decimals: Decimals) -> list[Read]:
    found = []
    for report in chunk:
        units, used = reader.units, reader.used
        rows = reader.read(report, decimals=decimals)
        found.append(Read(rows, reader.units - units, reader.used - used))
    return found


# One report's answer


class Answer(NamedTuple):
    """What a report says of a finding, all mentions together.

    Attributes:
        value: grade, number, 1 or 0, or class; None for unknown.
        status: of the mention that was taken, or "unsaid".
        disagree: whether its mentions contradict each other.
        row: the mention, or None.
    """

    value: float | str | None
    status: str
    disagree: bool
    row: Finding | None


_CERTAIN = ("present", "absent")


def answer(rows: Sequence[Finding], rule: FindingRule) -> Answer:
    """One report's answer to one finding.

    What is said for certain counts before what is possible, a conclusion before the body, and of
    these the later one, unless the rule says otherwise. What was so before, and what could not be
    told, is an answer only where nothing else is said.

    Args:
        rows: the report's mentions of the finding, in the order of the text.
        rule: of the finding.
    """
    certain = [row for row in rows if row.status in _CERTAIN]
    disagree = _disagree(certain, rule)
    chosen = certain or [row for row in rows if row.status == "possible"]
    if not chosen:
        others = [row for row in rows if row.status == "not_assessed"] or list(rows)
        if not others:
            return Answer(rule.unsaid, "unsaid", False, None)
        return Answer(None, others[-1].status, False, others[-1])
    if rule.kind == "number":
        # A number outside of the range is an answer only where no other is said.
        chosen = [row for row in chosen if row.plausible] or chosen
    if rule.answer == "worst":
        row = max(chosen, key=_badness)
    elif rule.answer == "first":
        row = chosen[0]
    else:
        ends = [row for row in chosen if row.section == "conclusion"]
        if rule.answer == "last" or not ends:
            ends = chosen
        # Of one grade said twice, once without its degree, the degree counts.
        row = ends[-1]
        if _is_open(row, rule):
            told = (one for some in (ends, chosen) for one in reversed(some) if _told(one, rule))
            row = next(told, row)
    value = row.value
    if row.status == "possible":
        value = None
    return Answer(value, row.status, disagree, row)


def _badness(row: Finding) -> tuple[bool, float]:
    number = row.value if isinstance(row.value, float) else 0.0
    return row.status == "present", number


def _disagree(rows: Sequence[Finding], rule: FindingRule) -> bool:
    if len(rows) < 2:
        return False
    if rule.answer == "worst":
        return False
    if len({row.value for row in rows if isinstance(row.value, str)}) > 1:
        return True
    if rule.kind != "number" and len({_there(row) for row in rows}) > 1:
        return True
    numbers = [
        row.value for row in rows if isinstance(row.value, float) and not _is_open(row, rule)
    ]
    return len(numbers) > 1 and max(numbers) - min(numbers) > rule.tolerance


def _is_open(row: Finding, rule: FindingRule) -> bool:
    """Whether a mention says that something is there, and not how much of it."""
    if rule.kind != "grade" or row.status == "absent":
        return row.value is None
    return row.value is None or (row.low == row.value == rule.ungraded and row.high is None)


def _told(row: Finding, rule: FindingRule) -> bool:
    return _there(row) and not _is_open(row, rule)


def _there(row: Finding) -> bool:
    # A trace and "no" are the same answer to "is it there".
    return row.status == "present" and row.value != 0


def answers(rows: Iterable[Finding], rules: FindingsRules) -> dict[str, Answer]:
    """One report's answer to every finding of the rules."""
    mentions: dict[str, list[Finding]] = {}
    for row in rows:
        mentions.setdefault(row.name, []).append(row)
    said = _unsaid(rules).copy()  # most are, in every report
    for name, some in mentions.items():
        said[name] = answer(some, rules.findings[name])
    return said


@lru_cache(maxsize=8)
def _unsaid(rules: FindingsRules) -> dict[str, Answer]:
    return {name: answer((), rule) for name, rule in rules.findings.items()}


# Columns


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingsTable:
    """Findings of many reports, one row a mention.

    Attributes:
        columns: arrays of one length by the names of `COLUMNS`; numbers that are not said are NaN.
        num_reports: how many reports were read.
        num_disagreeing: answers of a report whose mentions contradict each other.
        num_implausible: numbers outside of their rule's range.
    """

    columns: Mapping[str, NDArray[Any]]
    num_reports: int
    num_disagreeing: int
    num_implausible: int

    def __len__(self) -> int:
        return len(self.columns["name"])

    def to_pandas(self) -> Any:
        """As a pandas DataFrame; needs pandas."""
        import importlib

        return importlib.import_module("pandas").DataFrame(dict(self.columns))

    def to_polars(self) -> Any:
        """As a polars DataFrame; needs polars."""
        import importlib

        return importlib.import_module("polars").DataFrame(self._lists())

    def to_arrow(self) -> Any:
        """As a pyarrow Table; needs pyarrow."""
        import importlib

        arrow = importlib.import_module("pyarrow")
        return arrow.table(self._lists())

    def _lists(self) -> dict[str, list[Any]]:
        """The columns with None for a number that is not said."""
        return {
            name: [None if value != value else value for value in column.tolist()]
            for name, column in self.columns.items()
        }


def findings_table(
    reports: Iterable[str],
    rules: FindingsRules | None = None,
    *,
    ids: Sequence[object] | None = None,
    workers: int = 1,
) -> FindingsTable:
    """Read many reports into columns.

    Args:
        reports: texts.
        rules: what to look for; None for those that ship with the package.
        ids: what stands in the column `report`; None numbers them from 1.
        workers: processes.

    Example:
        >>> table = findings_table(["LVEF is 55-60%.", "No MR."])
        >>> table.columns["name"].tolist(), table.columns["value"].tolist()
        (['ejection_fraction', 'mitral_regurgitation'], [57.5, 0.0])
    """
    import numpy as np

    rules = rules or read_findings_rules()
    cells: list[list[object]] = []
    num_reports = disagreeing = 0
    for at, read in enumerate(read_many(reports, rules, workers=workers)):
        num_reports += 1
        name = at + 1 if ids is None else ids[at]
        cells += [to_cells(name, row) for row in read.rows]
        disagreeing += sum(one.disagree for one in answers(read.rows, rules).values())
    made: dict[str, NDArray[Any]] = {}
    for place, column in enumerate(COLUMNS):
        values = [row[place] for row in cells]
        if column in ("value", "low", "high"):
            made[column] = np.array(
                [float("nan") if value is None else value for value in values], np.float64
            )
        elif column in ("start", "end", "sentence"):
            made[column] = np.array(values, np.int64)
        elif column == "plausible":
            made[column] = np.array(values, np.bool_)
        else:
            made[column] = np.array(values, object)
    return FindingsTable(
        columns=made,
        num_reports=num_reports,
        num_disagreeing=disagreeing,
        num_implausible=int((~made["plausible"]).sum()),
    )


def to_cells(report: object, row: Finding) -> list[object]:
    """A row's cells in the order of `COLUMNS`."""
    words = isinstance(row.value, str)
    return [
        report,
        row.name,
        None if words else row.value,
        row.value if words else "",
        row.unit,
        row.low,
        row.high,
        row.status,
        row.structure,
        row.start,
        row.end,
        row.sentence,
        row.section,
        row.written,
        row.plausible,
    ]


def as_number(said: Answer) -> float:
    """An answer as one number: what a wide table and the labels of a model hold.

    Returns:
        The grade or number; 1 for what is there without a grade (from mild on); NaN for what is
        unknown: unsaid, possible, prior, not assessed, or a class.
    """
    if isinstance(said.value, float):
        return said.value
    return 1.0 if said.status == "present" and said.value is None else float("nan")
