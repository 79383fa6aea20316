"""Reasons why rows were left out, of one kind put together and counted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from echoclip_r.data.rows import Reject

__all__ = ["Kind", "kinds_of"]

_DOUBT = re.compile(r"the sector is not sure \((.*)\), so burned-in text may be left in it.*", re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Rows that were left out for one reason.

    Attributes:
        column: the column of the problem, or "".
        reason: of the first of the rows; others may have other numbers in it.
        rows: numbers of the rows.
        is_doubt: whether it is a doubt about the sector.
    """

    column: str
    reason: str
    rows: tuple[int, ...]
    is_doubt: bool


def kinds_of(rejects: Iterable[Reject]) -> list[Kind]:
    """Put rows together whose reasons differ in numbers alone, or whose first doubt is the same.

    Returns:
        The kinds, the most frequent first.
    """
    found: dict[tuple[str, str], list[tuple[int, str, bool]]] = {}
    for reject in rejects:
        doubt = _DOUBT.fullmatch(reject.reason)
        reason = f"the sector is not sure: {_first(doubt[1])}" if doubt else reject.reason
        plain = re.sub(r"\d+(?:\.\d+)?", "#", reason)
        found.setdefault((reject.column, plain), []).append((reject.row, reason, doubt is not None))
    kinds = [
        Kind(
            column=column,
            reason=same[0][1],
            rows=tuple(row for row, _, _ in same),
            is_doubt=same[0][2],
        )
        for (column, _), same in found.items()
    ]
    return sorted(kinds, key=lambda kind: -len(kind.rows))


def _first(doubts: str) -> str:
    """The first of some doubts; a semicolon inside of brackets parts nothing."""
    depth = 0
    for place, character in enumerate(doubts):
        depth += (character == "(") - (character == ")")
        if character == ";" and depth == 0:
            return doubts[:place]
    return doubts
