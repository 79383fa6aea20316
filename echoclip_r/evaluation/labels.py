"""Labels that are read from reports, by the rules of `echotok.findings`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoclip_r.errors import EvaluationError
from echotok.errors import InputError
from echotok.findings.rule_files import read_findings_rules
from echotok.findings.rules import FindingsRules
from echotok.findings.table import answer, as_number, read_many

__all__ = ["Finding", "finding_rules", "make_finding", "read_findings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a report may say.

    Attributes:
        name: of a rule of `echotok.findings`, or of a finding that has phrases of its own only.
        title: for people.
        family: findings that are summed up together.
        kind: `grade`, `sign` or `number`, as in `echotok.findings.rules.FindingRule`.
        phrases: of a task file, beside those of the rules: phrase with `{severity}` or
            `{number}` -> that slot's name, or the phrase's value.
        tolerance: how far two values may be apart and still agree.
        unsaid: value of a report that says nothing of it, or None for unknown.
    """

    name: str
    title: str = ""
    family: str = ""
    kind: str = "grade"
    phrases: Mapping[str, float | str] = field(default_factory=dict)
    tolerance: float = 0.5
    unsaid: float | None = None


def make_finding(entry: Mapping[str, Any]) -> Finding:
    """A task file's entry, with what it does not say taken from the rule of its name.

    Args:
        entry: keys of `Finding`.

    Raises:
        ValueError: there is no rule of that name, and the entry has no phrases.
    """
    rule = read_findings_rules().findings.get(entry["name"])
    phrases = dict(entry.get("phrases", {}))
    if rule is None and not phrases:
        raise ValueError("echotok.findings has no rule of that name; give phrases, or another name")
    known: dict[str, Any] = {"title": entry["name"]}
    if rule is not None:
        known = {
            "title": rule.title,
            "family": rule.family,
            "kind": rule.kind,
            "tolerance": rule.tolerance,
            "unsaid": rule.unsaid,
        }
    elif "{number}" in phrases.values():
        known["kind"] = "number"
    return Finding(**{**known, **entry, "phrases": phrases})


def read_findings(reports: Sequence[str], findings: Sequence[Finding]) -> NDArray[np.float64]:
    """What each report says of each finding.

    A severity counts as its rank (trace 0, mild 1, mild to moderate 1.5, moderate 2, severe 3), a
    range as its middle. Of several mentions the report's answer counts, see
    `echotok.findings.table.answer`; what is there without a grade counts as 1.

    Args:
        reports: texts.
        findings: what to look for.

    Returns:
        Values (len(reports), len(findings)); NaN, or the finding's `unsaid`, where the report does
        not say.

    Raises:
        EvaluationError: a phrase is not written as phrases are; the message says why, and how.

    Example:
        >>> mr = make_finding({"name": "mitral_regurgitation"})
        >>> read_findings(["Moderate mitral regurgitation.", "No MR.", "Normal."], [mr])[:, 0]
        array([ 2.,  0., nan])
    """
    try:
        rules = finding_rules(findings)
    except InputError as error:
        raise EvaluationError(str(error)) from error
    values = np.full((len(reports), len(findings)), np.nan)
    columns = {finding.name: column for column, finding in enumerate(findings)}
    for row, read in enumerate(read_many(reports, rules)):
        by_name: dict[str, list[Any]] = {}
        for mention in read.rows:
            if mention.name in columns:
                by_name.setdefault(mention.name, []).append(mention)
        for name, mentions in by_name.items():
            values[row, columns[name]] = as_number(answer(mentions, rules.findings[name]))
    for column, finding in enumerate(findings):
        if finding.unsaid is not None:
            values[np.isnan(values[:, column]), column] = finding.unsaid
    return values


def finding_rules(findings: Sequence[Finding]) -> FindingsRules:
    """The rules that ship with echotok, with the phrases of findings laid over them.

    Raises:
        InputError: a phrase is not written as phrases are.
    """
    shipped = read_findings_rules()
    own = []
    for finding in findings:
        entry: dict[str, Any] = {"name": finding.name}
        if finding.name not in shipped.findings:
            entry |= {"title": finding.title, "family": finding.family, "kind": finding.kind}
        elif not finding.phrases:
            continue
        entry["terms"] = [text for text, value in finding.phrases.items() if value in _SLOTS]
        entry["says"] = {
            text: value for text, value in finding.phrases.items() if value not in _SLOTS
        }
        own.append(entry)
    return read_findings_rules({"finding": own}) if own else shipped


_SLOTS = ("{severity}", "{number}")
