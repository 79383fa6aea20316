"""What a text claims, as numbers: one column a finding of `echotok.findings`.

A report's claims say which sentences of other reports are true of its study, and which are not:
two sentences that nobody wrote alike claim the same where their columns do.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from echotok.findings.reading import Finding, Reader
from echotok.findings.rule_files import read_findings_rules
from echotok.findings.rules import FindingRule, FindingsRules
from echotok.findings.table import answer, as_number
from echotok.sentences import sentence_runs

__all__ = ["Claimed", "Claims", "default_claims", "remark_on_silence"]

Floats = NDArray[np.float32]

_NUM_LOOKED_AT, _MANY_SILENT = 500, 0.5

_NUM_REMEMBERED = 65_536  # reports, some 2 KB each
_NUM_TEXTS = 1024  # texts with their mentions: one is asked about several times in a row
_SIGN_WIDTH = 0.25
"""Of what is there or not, which has no degrees."""


class Claimed(NamedTuple):
    """A report's claims.

    Attributes:
        values: float32 (num_findings,): of each finding what the report says, its rule's value of
            silence, or NaN for unknown.
        sentences: the report's sentences, each `(start, end)` in characters.
        by_finding: column -> the sentences that claim it by themselves, by number.
    """

    values: Floats
    sentences: tuple[tuple[int, int], ...]
    by_finding: Mapping[int, tuple[int, ...]]

    def draw(self, draw: random.Random, *, max_sentences: int) -> tuple[int, tuple[int, int]]:
        """A finding that is claimed, each as likely as the others, and a run that claims it.

        Args:
            draw: the source of chance.
            max_sentences: the longest run; its length is drawn from 1 to this, and one longer than
                the report is all of it.

        Returns:
            The finding's column, and the run's characters.

        Raises:
            ValueError: the report claims nothing.
        """
        if not self.by_finding:
            raise ValueError("the report claims nothing that a sentence says by itself")
        column = draw.choice(list(self.by_finding))
        at = draw.choice(self.by_finding[column])
        length = draw.randint(1, max_sentences)
        most = max(len(self.sentences) - length, 0)
        first = draw.randint(min(max(at - length + 1, 0), most), min(at, most))
        last = min(first + length, len(self.sentences)) - 1
        return column, (self.sentences[first][0], self.sentences[last][1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A finding as a column.

    Attributes:
        rule: the finding's.
        width: how far apart two of its values begin to be different ones.
    """

    rule: FindingRule
    width: float


class Claims:
    """Reads claims.

    Args:
        rules: what to look for; None for those that ship with echotok. Findings that are classes,
            such as the rhythm, have no column: their values have no order.

    Example:
        >>> claims = Claims()
        >>> said = claims.read("Mild mitral regurgitation, no pericardial effusion.")
        >>> [(claims.names[i], float(said[i])) for i in np.flatnonzero(~np.isnan(said))]
        [('mitral_regurgitation', 1.0), ('pericardial_effusion', 0.0)]
    """

    def __init__(self, rules: FindingsRules | None = None) -> None:
        self.rules = rules or read_findings_rules()
        self.columns = tuple(
            Column(rule=rule, width=_SIGN_WIDTH if rule.kind == "sign" else rule.tolerance)
            for rule in self.rules.findings.values()
            if rule.kind != "class"
        )
        self.names = tuple(column.rule.name for column in self.columns)
        self._column = {name: number for number, name in enumerate(self.names)}
        self._reader = Reader(self.rules)
        self._unsaid = np.array(
            [np.nan if c.rule.unsaid is None else c.rule.unsaid for c in self.columns], np.float32
        )
        self.of_report = lru_cache(maxsize=_NUM_REMEMBERED)(self._of_report)
        self._read = lru_cache(maxsize=_NUM_TEXTS)(self._read_anew)

    @property
    def nothing(self) -> Floats:
        """The values of a text that claims nothing (num_findings,)."""
        return np.full(len(self.columns), np.nan, np.float32)

    @property
    def widths(self) -> Floats:
        """How far apart two values of each finding begin to differ (num_findings,)."""
        return np.array([column.width for column in self.columns], np.float32)

    def mentions(self, text: str) -> Mapping[int, tuple[Finding, ...]]:
        """Every mention in a text by its column, with the words that made it."""
        return self._read(text)[0]

    def read(self, text: str) -> Floats:
        """What a text says, silence left open: float32 (num_findings,), NaN where it is silent."""
        return self._read(text)[1].copy()

    def _read_anew(self, text: str) -> tuple[Mapping[int, tuple[Finding, ...]], Floats]:
        """A text's mentions and values, which nobody may change; `_read` remembers them."""
        found: dict[int, list[Finding]] = {}
        for row in self._reader.read(text, words=True):
            if row.name in self._column:
                found.setdefault(self._column[row.name], []).append(row)
        values = self.nothing
        for number, rows in found.items():
            values[number] = as_number(answer(rows, self.columns[number].rule))
        return MappingProxyType({number: tuple(rows) for number, rows in found.items()}), values

    def _of_report(self, report: str) -> Claimed:
        """A report's claims; `of_report` remembers them."""
        values = self.read(report)
        runs = [(run.start, run.behind) for run in sentence_runs(report)]
        runs = [(start, end) for start, end in runs if report[start:end].strip()]
        starts = [start for start, _ in runs]
        by_finding: dict[int, list[int]] = {}
        # Only a sentence with a mention can claim; alone it may say less than in its place.
        named = {
            bisect_right(starts, row.start) - 1
            for rows in self.mentions(report).values()
            for row in rows
        }
        for number in sorted(named):
            alone = self.read(report[slice(*runs[number])])
            for column in np.flatnonzero(~np.isnan(alone)):
                by_finding.setdefault(int(column), []).append(number)
        return Claimed(
            values=np.where(np.isnan(values), self._unsaid, values),
            sentences=tuple(runs),
            by_finding={column: tuple(numbers) for column, numbers in by_finding.items()},
        )


@lru_cache(maxsize=1)
def default_claims() -> Claims:
    """The claims by echotok's own rules, made once a process: a reader remembers sentences."""
    return Claims()


def remark_on_silence(reports: Iterable[str]) -> str | None:
    """What to say where losses on findings would have little to ask, as of another language.

    Args:
        reports: to be trained on; the first 500 are read.

    Returns:
        A remark; None where most of them claim something.
    """
    claims = default_claims()
    silent = [not claims.of_report(report).by_finding for report in islice(reports, _NUM_LOOKED_AT)]
    if sum(silent) <= _MANY_SILENT * len(silent):
        return None
    return (
        f"{sum(silent):,} of the first {len(silent):,} training reports claim no finding that "
        "echotok's rules read (they are for echo reports in English): the losses on findings ask "
        "nothing of them. `echotok findings` shows what is read; echoclip-r and echoclip-r-span "
        "learn from reports of any kind"
    )
