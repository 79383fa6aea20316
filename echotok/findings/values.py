"""Numbers as they are written -> values in the rule's unit, with their range.

    55-60  ->  57.5 (55 to 60)      >55  ->  55 (55 and more)      45,5  ->  45.5

A comma or point with exactly three digits behind it may be a decimal or part thousands (`1,250`).
It is read by the other numbers of the text where these are plain, else by what is plausible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from echotok.findings.rules import FindingRule

__all__ = ["Decimals", "Quantity", "count_decimals", "read_quantity"]

_NUMBER = re.compile(
    r"(?P<prefix>[<>]=?|[≤≥~≈])? ?(?P<first>[-+±]?[.,]?[0-9][0-9.,]*)"
    r"(?:%?(?: ?- ?| to )(?P<second>[-+]?[.,]?[0-9][0-9.,]*))?"
)
_PLAIN = re.compile(r"[-+±]?[0-9]*(?:[.,][0-9]{1,2}|[.,][0-9]{4,})?")
_THOUSANDS = re.compile(r"[0-9]{1,3}([.,])[0-9]{3}(?:\1[0-9]{3})*(?:[.,][0-9]+)?")
_DECIMAL_COMMA = re.compile(r"(?<![0-9.,])[0-9]+,[0-9]{1,2}(?![0-9.,]*[0-9])")
_DECIMAL_POINT = re.compile(r"(?<![0-9.,])[0-9]+\.[0-9]{1,2}(?![0-9.,]*[0-9])")


class Decimals(NamedTuple):
    """How many plain decimals a text has with a comma, and with a point."""

    comma: int = 0
    point: int = 0

    @property
    def mark(self) -> str:
        """What parts whole numbers from decimals in the text, or "" where it does not say."""
        if self.comma == self.point:
            return ""
        return "," if self.comma > self.point else "."


class Quantity(NamedTuple):
    """A number in the rule's unit.

    Attributes:
        value: the number, or the middle of a range.
        low, high: ends of a range or comparison; None where it is open.
        unit: the rule's unit.
        written_unit: the unit in the text, or "" where it was inferred or is none.
        plausible: whether the value lies within the rule's range.
    """

    value: float
    low: float | None
    high: float | None
    unit: str
    written_unit: str
    plausible: bool


def count_decimals(texts: Iterable[str]) -> Decimals:
    """Count the plain decimals of texts, for the numbers that are not.

    Example:
        >>> count_decimals(["LVEDD 45,5 mm, LA 3,9 cm, 1,250 ml"])
        Decimals(comma=2, point=0)
    """
    comma = point = 0
    for text in texts:
        if "," in text:
            comma += len(_DECIMAL_COMMA.findall(text))
        point += len(_DECIMAL_POINT.findall(text))
    return Decimals(comma, point)


def read_quantity(
    written: str,
    written_unit: str,
    rule: FindingRule,
    units: Mapping[str, Mapping[str, float]],
    *,
    decimal_mark: str = "",
    spread: str = "",
    lower: bool = False,
    upper: bool = False,
) -> Quantity | None:
    """Read a number for a rule.

    Args:
        written: a number piece: `55-60`, `>15`, `45,5`.
        written_unit: the unit beside it, or "".
        rule: whose number it is.
        units: spellings and factors by dimension.
        decimal_mark: "," or "." where the text says which it uses, else "".
        spread: the number behind a "+/-", or "".
        lower: a word beside it says "at least".
        upper: a word beside it says "at most".

    Returns:
        The quantity, or None where the unit belongs to something else.
    """
    match = _NUMBER.fullmatch(written)
    if match is None:
        return None
    table = units.get(rule.dimension, {})
    if written_unit and written_unit not in table:
        return None
    options: list[tuple[float, float | None, str]] = []
    for mark in (decimal_mark,) if decimal_mark else (".", ","):
        first = _float(match["first"], mark)
        second = None if match["second"] is None else _float(match["second"], mark)
        if second is not None and second < first and match["second"].isdigit():
            second = _short_range(match["first"], match["second"], first, second)
        pair = (first, second, mark)
        if pair[:2] not in [option[:2] for option in options]:
            options.append(pair)
    best: Quantity | None = None
    for first, second, _ in options:
        for unit, factor in _factors(written_unit, rule, table, first):
            low, high = first * factor, None if second is None else second * factor
            value = low if high is None else (low + high) / 2
            bounds = _bounds(match["prefix"] or "", low, high, lower=lower, upper=upper)
            if spread and high is None and (half_of := _NUMBER.match(spread)) is not None:
                half = abs(_float(half_of["first"], decimal_mark or ".")) * factor
                bounds = (low - half, low + half)
            plausible = rule.range is None or rule.range[0] <= value <= rule.range[1]
            quantity = Quantity(
                round(value, 6),
                None if bounds[0] is None else round(bounds[0], 6),
                None if bounds[1] is None else round(bounds[1], 6),
                rule.unit,
                unit,
                plausible,
            )
            if plausible:
                return quantity
            best = best or quantity
    return best


def _factors(
    written_unit: str, rule: FindingRule, table: Mapping[str, float], number: float
) -> list[tuple[str, float]]:
    """Units that the number may have, the likeliest first, with the factor to the rule's."""
    if not table:
        return [("", 1.0)]
    own = table[rule.unit]
    if written_unit:
        factors = [(written_unit, table[written_unit] / own)]
        return factors
    # No unit is written: the rule's own, else the one that makes it plausible.
    factors = [("", 1.0)]
    for factor in dict.fromkeys(table.values()):
        if factor != own:
            factors.append(("", factor / own))
    if rule.unit == "%" and 0 < abs(number) <= 1:
        factors.append(("", 100.0))
    return factors


def _bounds(
    prefix: str, first: float, second: float | None, *, lower: bool, upper: bool
) -> tuple[float | None, float | None]:
    if second is not None:
        return min(first, second), max(first, second)
    if prefix[:1] in (">", "≥") or (lower and not prefix):
        return first, None
    if prefix[:1] in ("<", "≤") or (upper and not prefix):
        return None, first
    return None, None


def _short_range(first: str, second: str, low: float, high: float) -> float:
    """`55-9`: a second number of fewer digits takes the first one's head; else it stays."""
    digits = first.lstrip("<>=≤≥~≈ +")
    if digits.isdigit() and len(second) < len(digits):
        longer = float(digits[: len(digits) - len(second)] + second)
        if longer > low:
            return longer
    return high


def _float(written: str, decimal_mark: str) -> float:
    """A number with its comma or point read for what it is.

    Example:
        >>> _float("45,5", "."), _float("1,250", "."), _float("1,250", ","), _float("1.250,5", "")
        (45.5, 1250.0, 1.25, 1250.5)
    """
    text = written.lstrip("±+").rstrip(".,")
    if "," in text and "." in text:
        last = max(text.rfind(","), text.rfind("."))
        other = "," if text[last] == "." else "."
        return float(text.replace(other, "").replace(",", "."))
    if _THOUSANDS.fullmatch(text.lstrip("-")):
        mark = "," if "," in text else "."
        several = text.count(mark) > 1
        if several or (mark != decimal_mark and not text.lstrip("-").startswith("0")):
            return float(text.replace(mark, ""))
    head, _, tail = text.replace(",", ".").rpartition(".")
    return float(
        f"{head.replace('.', '')}.{tail}" if head or "." in text.replace(",", ".") else tail
    )
