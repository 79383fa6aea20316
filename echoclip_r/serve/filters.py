"""What a reader writes to choose among studies: findings in a clinician's words, and columns.

    mitral regurgitation >= moderate          a grade, also >, <=, <, =, !=
    EF 30-40 %                                a number within a range
    pericardial effusion; no pacemaker        there, and not there
    view = A4C and date >= 2020               columns, as `echoclip_r.search.where` reads them

Conditions stand beside each other with `;`, a line break or `and`: all must hold. Findings are
understood by the rules of `echotok.findings`, so a filter may be written as a report would say it;
a column's name counts before a finding's. A study whose report says nothing of a finding fits no
condition on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from echoclip_r.errors import OptionError
from echoclip_r.search.where import Columns, select_rows
from echotok.findings.reading import reader_of
from echotok.findings.table import PRESENT, answers

if TYPE_CHECKING:
    from echotok.findings.rules import FindingRule, FindingsRules
    from echotok.findings.table import Answer

__all__ = ["Choice", "choose", "condition_of"]

_LONGEST = 500
_MOST = 20
_SIGN = re.compile(r"(<=|>=|!=|<>|[<>=≤≥≠])")
_PLAIN = {"≤": "<=", "≥": ">=", "≠": "!=", "<>": "!="}
_PERCENT = re.compile(r"(\d)\s*%")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_SCALE = {
    "trace": 0.0, "trivial": 0.0, "mild": 1.0, "mild to moderate": 1.5, "moderate": 2.0,
    "moderate to severe": 2.5, "severe": 3.0,
}  # fmt: skip
_YES_NO = {True: "yes", False: "no"}
_YES, _NO = frozenset({"yes", "present", "there"}), frozenset({"no", "none", "absent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The clips that a filter leaves.

    Attributes:
        keep: for each clip whether it fits, bool (N,).
        said: how each condition was understood, in words.
        num_unknown: number of clips of which a condition could say nothing.
    """

    keep: NDArray[np.bool_]
    said: tuple[str, ...]
    num_unknown: int


def choose(text: str, table: Columns, rules: FindingsRules) -> Choice:
    """The clips that fit a filter.

    Args:
        text: the filter, as at the head of this module.
        table: the clips' columns; of findings, those that `rules` name.
        rules: findings.

    Raises:
        OptionError: a condition cannot be read, or no clip fits.
    """
    if len(text) > _LONGEST:
        raise OptionError(
            f"the filter has {len(text):,} characters; write at most {_LONGEST}, and paste "
            "a report into the field above it"
        )
    parts = _conditions(text, table, rules)
    if len(parts) > _MOST:
        raise OptionError(f"the filter has {len(parts)} conditions; write at most {_MOST}")
    keep = np.ones(len(table), bool)
    unknown = np.zeros(len(table), bool)
    for where, _ in parts:
        chosen = select_rows(where, table)
        keep &= chosen.mask
        if chosen.num_unknown:
            unknown |= _unknown(where, table, chosen.mask)
    if not keep.any():
        raise OptionError(
            f"none of the {len(keep):,} clips fits all of: {'; '.join(said for _, said in parts)}"
        )
    return Choice(
        keep=keep, said=tuple(said for _, said in parts), num_unknown=int((unknown & ~keep).sum())
    )


def _unknown(where: str, table: Columns, fits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The clips for which neither a condition nor its opposite holds."""
    try:
        return ~(fits | select_rows(f"not ({where})", table).mask)
    except OptionError:  # its opposite holds for none
        return ~fits


def _conditions(text: str, table: Columns, rules: FindingsRules) -> list[tuple[str, str]]:
    """Each condition as an expression on columns, and how it was understood."""
    found = []
    for line in re.split(r"[;\n]", text):
        line = line.strip().rstrip(".")
        if not line:
            continue
        if _begins_with_column(line, table, rules) or line.startswith("("):
            line = _PERCENT.sub(r"\1", line)
            found.append((line, line))
            continue
        for part in re.split(r"\s+and\s+|\s*,\s+", line, flags=re.IGNORECASE):
            if _begins_with_column(part, table, rules):
                column = _PERCENT.sub(r"\1", part)
                found.append((column, column))
            else:
                found.append(condition_of(part, rules))
    return found


def _begins_with_column(text: str, table: Columns, rules: FindingsRules) -> bool:
    """Whether a condition is on a column that is no finding."""
    match = re.match(
        r"\s*(?:not\s+)?(?:`([^`]+)`|([^\s<>=!≤≥≠(]+))\s*(?:[<>=!≤≥≠]|(?:not\s+)?in\b)", text
    )
    if match is None:
        return False
    name = (match[1] or match[2]).casefold()
    columns = {str(column).casefold() for column in table.columns}
    return name in columns - rules.findings.keys()


def condition_of(text: str, rules: FindingsRules) -> tuple[str, str]:
    """One condition on a finding: as an expression on its column, and in words.

    Raises:
        OptionError: it names no finding, or not one alone.

    Example:
        >>> from echotok.findings.rule_files import read_findings_rules
        >>> condition_of("mitral regurgitation >= moderate", read_findings_rules())
        ('`mitral_regurgitation` >= 2', 'mitral regurgitation >= moderate')
        >>> condition_of("EF 30-40 %", read_findings_rules())[0]
        '`ejection_fraction` >= 30 and `ejection_fraction` <= 40'
    """
    sides = [side.strip() for side in _SIGN.split(text)]
    if len(sides) == 1:
        return _said(text, rules)
    if len(sides) != 3 or not sides[0] or not sides[2]:
        raise OptionError(
            f"filter {text[:60]!r}: write one finding, one sign and one value, such as "
            "mitral regurgitation >= moderate"
        )
    name, sign, value = sides[0], _PLAIN.get(sides[1], sides[1]), sides[2]
    rule = _named(name, value, rules)
    title = _lower(rule.title)
    if rule.kind == "class":
        quoted = value.replace('"', "")
        return f'`{rule.name}` {sign} "{quoted}"', f"{title} {sign} {quoted}"
    plain = value.casefold().strip(" %.")
    if plain in _YES | _NO and sign in ("=", "!="):
        there = (plain in _YES) == (sign == "=")
        return _there(rule, there=there), f"{title}: {_YES_NO[there]}"
    grade = rules.grades.get(plain, _SCALE.get(plain))
    if rule.kind == "number" or grade is None:
        numbers = _NUMBER.findall(value)
        if len(numbers) != 1:
            kind = "a number" if rule.kind == "number" else "a grade such as moderate"
            raise OptionError(f"filter {text[:60]!r}: {title} takes {kind} behind the sign")
        return f"`{rule.name}` {sign} {numbers[0]}", f"{title} {sign} {value}"
    return f"`{rule.name}` {sign} {grade:g}", f"{title} {sign} {plain}"


def _named(name: str, value: str, rules: FindingsRules) -> FindingRule:
    """The finding that a name means: by its title or name, or as a report would say it."""
    if (rule := _titled(name, rules)) is not None:
        return rule
    for sentence in (f"{name} {value}", f"{value} {name}", f"{name} 1 {value}", name):
        found = {row.name for row in reader_of(rules).read(sentence)}
        if len(found) == 1:
            return rules.findings[found.pop()]
    raise OptionError(
        f"filter {name[:60]!r}: this is neither a column nor a finding that is known; the list "
        "beside the filter has all of them"
    )


def _titled(name: str, rules: FindingsRules) -> FindingRule | None:
    """The finding of a title or name, or the only one whose title has all of the words."""
    plain = " ".join(name.casefold().replace("_", " ").split())
    for rule in rules.findings.values():
        if plain in (rule.title.casefold(), rule.name.replace("_", " ")):
            return rule
    words = {*plain.split()}
    near = [one for one in rules.findings.values() if words <= {*one.title.casefold().split()}]
    return near[0] if len(near) == 1 and words else None


def _said(text: str, rules: FindingsRules) -> tuple[str, str]:
    """A condition that is written as a report would say it."""
    rows = reader_of(rules).read(text)
    said: dict[str, Answer] = {
        name: one for name, one in answers(rows, rules).items() if one.row is not None
    }
    if len(said) != 1:
        denied = re.match(r"\s*no\s+", text, re.IGNORECASE)
        titled = _titled(text[denied.end() :] if denied else text, rules)
        if titled is not None and titled.kind in ("grade", "sign"):
            there = denied is None
            return _there(titled, there=there), f"{_lower(titled.title)}: {_YES_NO[there]}"
        if titled is not None and denied is None:
            return f'`{titled.name}` != ""', f"{_lower(titled.title)} is said"
        what = "no finding is named in it" if not said else "it names several findings"
        raise OptionError(
            f"filter {text[:60]!r}: {what}; write one, such as EF 30-40 % or severe mitral "
            "regurgitation, or a column such as view = A4C, and ';' between conditions"
        )
    name, one = next(iter(said.items()))
    rule, row = rules.findings[name], one.row
    assert row is not None
    title, column = _lower(rule.title), f"`{name}`"
    if rule.kind == "class":
        return f'{column} = "{one.value}"', f"{title} = {one.value}"
    if rule.kind == "number":
        return _range(row.low, row.high, row.value, rule)
    if one.status == "absent" or one.value == 0:
        return _there(rule, there=False), f"{title}: no"
    is_open = row.value is None or (row.low is not None and row.low == rule.ungraded)
    if rule.kind == "grade" and not is_open and isinstance(one.value, float):
        return f"{column} = {one.value:g}", f"{title}: grade {one.value:g}"
    return _there(rule, there=True), f"{title}: yes"


def _range(
    low: float | None, high: float | None, value: float | str | None, rule: FindingRule
) -> tuple[str, str]:
    column, title = f"`{rule.name}`", _lower(rule.title)
    if low is None and high is None:
        assert isinstance(value, float)
        low, high = value - rule.tolerance, value + rule.tolerance
    ends = [f"{column} >= {low:g}"] if low is not None else []
    ends += [f"{column} <= {high:g}"] if high is not None else []
    words = f"{title} "
    if low is not None and high is not None:
        words += f"{low:g} to {high:g}"
    else:
        words += f"at least {low:g}" if low is not None else f"at most {high:g}"
    return " and ".join(ends), f"{words} {rule.unit}".strip()


def _there(rule: FindingRule, *, there: bool) -> str:
    return f"`{rule.name}` {'>=' if there else '<'} {PRESENT:g}"


def _lower(title: str) -> str:
    """A title within a sentence; one that begins with an abbreviation stays."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]
