"""Read findings from report text by declared phrases: the value of a slot is the label.

The phrases of a `Finding` are matched as echotok matches those of a table: at word boundaries, the
longest wins, slots take whole values. No model and no guess: what no phrase says stays unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

import echotok
from echoclip_r.errors import EvaluationError
from echotok.table.match import Matcher
from echotok.table.phrases import Phrase, parse_phrase
from echotok.table.values import SEVERITY
from echotok.text import make_normalizer, split_pieces

__all__ = ["Finding", "read_findings"]

_NEGATIONS = frozenset({"no", "not", "without", "never", "denies", "nor"})
# What a negation does not reach over.
_BREAKS = frozenset({",", ";", ":", ".", "but", "however", "with", "while"})
_NUMBERS = re.compile(r"[0-9]*\.?[0-9]+")


def read_findings(reports: Sequence[str], findings: Sequence[Finding]) -> NDArray[np.float64]:
    """What each report says of each finding.

    A severity counts as its rank (mild 1, mild to moderate 1.5, moderate 2, severe 3), a range as
    its middle, a comparison as its number. The first mention counts. A phrase behind a negation in
    the same clause ("no significant", "without evidence of") is worth 0, unless its value is a
    number.

    Args:
        reports: texts.
        findings: what to look for.

    Returns:
        Values (len(reports), len(findings)); NaN, or the finding's `unsaid`, where the report says
        nothing of it.

    Raises:
        EvaluationError: a phrase is not written as phrases are; the message says why, and how.

    Example:
        >>> from echoclip_r.evaluation.tasks import read_tasks
        >>> mr = [f for f in read_tasks().findings if f.name == "mitral_regurgitation"]
        >>> read_findings(["Moderate mitral regurgitation.", "No MR.", "Normal."], mr)[:, 0]
        array([ 2.,  0., nan])
    """
    normalize = make_normalizer(_units())
    values = np.full((len(reports), len(findings)), np.nan)
    readers = [_Reader(finding) for finding in findings]
    for row, report in enumerate(reports):
        # No phrase reaches over the end of a sentence, and templates repeat their sentences.
        sentences = normalize(report).split(". ")
        for column, reader in enumerate(readers):
            for sentence in sentences:
                value = reader.first(sentence)
                if value is not None:
                    values[row, column] = value
                    break
    for column, finding in enumerate(findings):
        if finding.unsaid is not None:
            values[np.isnan(values[:, column]), column] = finding.unsaid
    return values


@cache
def _units() -> tuple[str, ...]:
    return echotok.load("echo").table.units


class _Reader:
    """Finds one finding, sentence by sentence, and remembers sentences."""

    def __init__(self, finding: Finding) -> None:
        phrases, self._values = [], list(finding.phrases.values())
        for number, text in enumerate(finding.phrases):
            try:
                items = parse_phrase(text, slots=("number", "severity"), units=_units())
            except ValueError as error:
                raise EvaluationError(
                    f"finding {finding.name!r}, phrase {text!r}: {error}"
                ) from error
            phrases.append(Phrase(id=number, text=text, items=items, section=finding.name))
        self._matcher = Matcher(phrases, ())
        self._known: dict[str, float | None] = {}

    def first(self, sentence: str) -> float | None:
        """The value of the first mention in a normalized sentence, or None."""
        if sentence not in self._known:
            if len(self._known) > 50_000:
                self._known.clear()
            self._known[sentence] = next(self._mentions(sentence), None)
        return self._known[sentence]

    def _mentions(self, sentence: str) -> Iterator[float]:
        pieces = split_pieces(sentence)
        at, negated = 0, False
        while at < len(pieces):
            match = self._matcher.longest(pieces, at)
            word = pieces[at].strip()
            if match is None or match.phrase >= len(self._values):
                if word in _NEGATIONS:
                    negated = True
                elif word in _BREAKS:
                    negated = False
                at += 1
                continue
            value = self._values[match.phrase]
            if isinstance(value, str):
                slot = value.strip("{}")
                _, first, last, number = next(one for one in match.values if one[0] == slot)
                if slot == "severity":
                    rank = SEVERITY[number].rank
                    assert rank is not None, "every severity has a rank"
                    yield 0.0 if negated else float(rank)
                else:
                    yield _middle("".join(pieces[first:last]))
            else:
                yield 0.0 if negated else float(value)
            at = match.end


def _middle(written: str) -> float:
    """The number that a value says: the middle of a range.

    Example:
        >>> _middle(" 55-60"), _middle(">15"), _middle("1,250")
        (57.5, 15.0, 1250.0)
    """
    numbers = [float(number) for number in _NUMBERS.findall(written.replace(",", ""))]
    return sum(numbers) / len(numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a report may say, and in which phrases.

    Attributes:
        family: findings that are summed up together.
        phrases: phrase with `{severity}` or `{number}` -> that slot's name, or the phrase's value.
        tolerance: how far two values may be apart and still agree.
        unsaid: value of a report that says nothing of it, or None for unknown.
    """

    name: str
    title: str
    family: str
    phrases: Mapping[str, float | str]
    tolerance: float = 0.5
    unsaid: float | None = None
