"""Reasons why rows were left out, of one kind put together and counted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from echoclip_r.data.rows import Reject

__all__ = ["Kind", "kinds_of"]


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
    found: dict[tuple[str, str], list[Reject]] = {}
    for reject in rejects:
        plain = re.sub(r"\d+(?:\.\d+)?", "#", _said(reject))
        found.setdefault((reject.column, plain), []).append(reject)
    kinds = [
        Kind(
            column=column,
            reason=_said(same[0]),
            rows=tuple(reject.row for reject in same),
            is_doubt=bool(same[0].doubt),
        )
        for (column, _), same in found.items()
    ]
    return sorted(kinds, key=lambda kind: -len(kind.rows))


def _said(reject: Reject) -> str:
    return f"the sector is not sure: {reject.doubt}" if reject.doubt else reject.reason
