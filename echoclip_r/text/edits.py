"""A text that claims otherwise: one finding with another number, grade or side, or denied.

    number   LVEF 60 %                    ->  LVEF 38 %
    grade    mildly dilated               ->  severely dilated
    denied   no effusion, a mild stenosis ->  an effusion, no stenosis
    side     the left atrium is dilated   ->  the right atrium is dilated

An edit changes every mention of the finding and is read again: what comes back says what the new
text claims, and an edit that did not say what it should is none.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from echoclip_r.text.claims import Claims, Floats
from echotok.findings.reading import Finding
from echotok.findings.rules import FindingRule

__all__ = ["EDITS", "Edit", "edit", "edit_somehow"]

_NUMERAL = re.compile(r"\d+(?:[.,]\d+)?")
_ARTICLE = re.compile(r"\b(?:an?|(the))\s+$", re.IGNORECASE)
_SIDE = re.compile(r"\b(left|right|lv|rv|la|ra)\b", re.IGNORECASE)
_OTHER_SIDE = {"left": "right", "lv": "rv", "la": "ra"}
_OTHER_SIDE |= {other: one for one, other in _OTHER_SIDE.items()}
# How a grade is written tells how another one must be: as an adverb, a size, an abbreviation.
_ADVERBS = {0: "not", 1: "mildly", 2: "moderately", 3: "severely"}
_SIZES = {0: "no", 1: "small", 2: "moderate", 3: "large"}
_SHORT = {0: "no", 1: "mild", 2: "mod", 3: "sev"}
_PLAIN = {0: "no", 1: "mild", 2: "moderate", 3: "severe"}
_SPREAD = 0.3
"""How far a number is moved at most, as a share of its rule's range."""

_SAID = ("present", "absent")

Place = tuple[int, int, str]
"""Characters of a text and what is written in their place."""


class Edit(NamedTuple):
    """A text with one finding changed.

    Attributes:
        text: the new text.
        values: what it claims, float32 (num_findings,), NaN where it is silent.
    """

    text: str
    values: Floats


def edit(text: str, column: int, kind: str, claims: Claims, draw: random.Random) -> Edit | None:
    """Change one finding of a text.

    Args:
        text: a report or some sentences.
        column: of the finding in `claims`.
        kind: one of `EDITS`.
        claims: the reader.
        draw: the source of chance.

    Returns:
        The changed text, or None where the text has no such words, or does not claim otherwise
        with them.

    Example:
        >>> claims = Claims()
        >>> column = claims.names.index("pericardial_effusion")
        >>> edit("No pericardial effusion.", column, "denied", claims, random.Random(0)).text
        'moderate pericardial effusion.'
    """
    rows = [row for row in claims.mentions(text).get(column, ()) if row.status in _SAID]
    if not rows:
        return None
    places = EDITS[kind](text, rows, claims.columns[column].rule, draw)
    if not places:
        return None
    changed = text
    for start, end, written in sorted(set(places), reverse=True):
        changed = f"{changed[:start]}{written}{changed[end:]}"
    before, values = claims.read(text), claims.read(changed)
    if kind == "side":
        differs = bool(np.isnan(values[column]) and (np.isnan(before) & ~np.isnan(values)).any())
    else:
        # Also where the change is small: how wrong it is, is for the reader of `values` to say.
        differs = not np.isnan(values[column]) and values[column] != before[column]
        if kind == "denied":
            differs = differs and (values[column] == 0) != (before[column] == 0)
    return Edit(changed, values) if differs else None


def edit_somehow(text: str, column: int, claims: Claims, draw: random.Random) -> Edit | None:
    """Change one finding of a text in a way that it allows, drawn; None where it allows none."""
    for kind in draw.sample(list(EDITS), len(EDITS)):
        if (changed := edit(text, column, kind, claims, draw)) is not None:
            return changed
    return None


def _numbers(text: str, rows: list[Finding], rule: FindingRule, draw: random.Random) -> list[Place]:
    low, high = rule.range or (0.0, 0.0)
    known = [row.value for row in rows if isinstance(row.value, float) and row.plausible]
    if not known or low >= high:
        return []
    near = known[-1]
    reach = _SPREAD * (high - low)
    wanted = draw.uniform(max(low, near - reach), min(high, near + reach))
    places = []
    for row in rows:
        spans = [(s, e) for role, s, e in row.words if role == "number" and text[s:e][:1].isdigit()]
        if not spans or not isinstance(row.value, float) or not row.value:
            continue
        start, end = spans[0][0], spans[-1][1]
        numerals = _NUMERAL.findall(text[start:end])
        written = float(np.mean([float(one.replace(",", ".")) for one in numerals]))
        decimals = len(numerals[0].replace(",", ".").partition(".")[2])
        places.append((start, end, f"{wanted * written / row.value:.{decimals}f}"))
    return places


def _grades(text: str, rows: list[Finding], rule: FindingRule, draw: random.Random) -> list[Place]:
    grades = [row.value for row in rows if isinstance(row.value, float)]
    rank = draw.choice([rank for rank in (1, 2, 3) if rank not in grades])
    return _regraded(text, rows, rank)


def _denials(text: str, rows: list[Finding], rule: FindingRule, draw: random.Random) -> list[Place]:
    if rule.kind == "number":
        return []
    if all(row.status == "absent" for row in rows):
        rank = draw.choice((1, 2, 3)) if rule.kind == "grade" else None
        return [place for row in rows for place in _affirmed(text, row, rank)]
    if rule.kind == "grade":
        return _regraded(text, rows, 0)
    places = []
    for row in rows:
        article = _ARTICLE.search(text, 0, row.start)
        if article is not None and article[1]:
            return []  # a thing that is known: "the lead ends in the right ventricle"
        start = article.start() if article else row.start
        places.append((start, row.start, "no "))
    return places


def _sides(text: str, rows: list[Finding], rule: FindingRule, draw: random.Random) -> list[Place]:
    places = []
    for row in rows:
        for found in _SIDE.finditer(text, row.start, row.end):
            other = _OTHER_SIDE[found[0].lower()]
            written = other.upper() if found[0].isupper() else other
            places.append((*found.span(), written))
    return places


def _regraded(text: str, rows: list[Finding], rank: int) -> list[Place]:
    """The grade words of some mentions as words of another rank."""
    places = []
    for row in rows:
        for role, start, end in row.words:
            if role != "grade":
                continue
            words = _scale_of(text[start:end].lower())
            if rank == 0 and words is not _ADVERBS:
                article = _ARTICLE.search(text, 0, start)
                start = article.start() if article else start
            places.append((start, end, words[rank]))
    return places


def _affirmed(text: str, row: Finding, rank: int | None) -> list[Place]:
    """The denials in front of a mention as an article or a grade."""
    places = []
    for role, start, end in row.words:
        if role != "deny_before":
            continue
        *_, last = re.finditer(r"\w+", text[start:end])
        word = last[0].lower()
        if word not in ("no", "not", "any") or (word == "not" and rank is None):
            return []
        begin = start if word == "any" else start + last.start()
        scale = _ADVERBS if word == "not" else _PLAIN
        places.append((begin, start + last.end(), "a" if rank is None else scale[rank]))
    return places


def _scale_of(word: str) -> Mapping[int, str]:
    if word.endswith("ly"):
        return _ADVERBS
    if word in ("small", "large") or word.endswith("sized"):
        return _SIZES
    return _SHORT if re.search(r"\b(?:mod|sev)\b", word) else _PLAIN


_Editor = Callable[[str, list[Finding], FindingRule, random.Random], list[Place]]
EDITS: Mapping[str, _Editor] = MappingProxyType(
    {"number": _numbers, "grade": _grades, "denied": _denials, "side": _sides}
)
"""What can be changed, by name."""
