"""A phrase table to decide on, phrase by phrase, as one self-contained HTML page."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import takewhile
from typing import Any

from echotok.table.phrases import BUILT_IN_SLOTS, Item, Phrase, PhraseTable
from echotok.table.review import REVIEW_COLUMNS, Decision, Review
from echotok.view.templates import render

__all__ = ["Group", "Row", "arrange", "to_review_page"]

_LARGEST_GROUP = 12
_SMALLEST_GROUP = 3
_LARGEST_REST = 40
_SHOWN_VALUES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A phrase to decide on.

    Attributes:
        phrase: the phrase.
        decision: what was decided so far.
        counts: what the sheet of a mined table tells about it, by column; empty without a sheet.
    """

    phrase: Phrase
    decision: Decision
    counts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Phrases that begin alike.

    Attributes:
        start: the words and slots with which all of them begin; none where they begin in many ways.
        rows: the phrases, in order of their texts.
    """

    start: tuple[Item, ...]
    rows: tuple[Row, ...]


def arrange(
    table: PhraseTable, sheet: Sequence[Mapping[str, str]], review: Review | None = None
) -> list[Group]:
    """The live phrases of a table, those that begin alike together.

    Args:
        table: the table.
        sheet: rows of its sheet, as `read_mined_sheet` gives them.
        review: decisions to go on with; its phrases are spelt as in the table.
    """
    decided: dict[str, Decision] = {}
    for made in review.rows if review is not None else ():
        if made.decision or made.phrase not in decided:  # as `apply_review` takes them
            decided[made.phrase] = made
    names = [
        name for name in (sheet[0] if sheet else ()) if name not in ("id", "phrase", "section")
    ]
    counts = {row["id"]: {name: row[name] for name in names} for row in sheet}
    none = dict.fromkeys(names, "")

    def row(phrase: Phrase) -> Row:
        new = Decision(line=0, phrase=phrase.text)
        return Row(
            phrase=phrase,
            decision=decided.get(phrase.text, new),
            counts={"section": phrase.section} | counts.get(str(phrase.id), none),
        )

    ordered = sorted(table.live, key=_place)
    return [
        Group(start=start, rows=tuple(map(row, phrases))) for start, phrases in _split(ordered, 0)
    ]


def _place(phrase: Phrase) -> tuple[bool, list[str], int]:
    """By the alphabet; phrases that begin with punctuation come last."""
    elements = _elements(phrase)
    is_word = elements[0][0].isalnum() or phrase.items[0].slot is not None
    return not is_word, elements, phrase.id


def _elements(phrase: Phrase) -> list[str]:
    return [_text(item) for item in phrase.items]


def _text(item: Item) -> str:
    return item.text if item.slot is None else f"{{{item.slot}}}"


def _split(
    phrases: Sequence[Phrase], depth: int
) -> Iterator[tuple[tuple[Item, ...], list[Phrase]]]:
    """Groups of the phrases whose first `depth` elements are the same, with their starts."""
    if depth and len(phrases) <= _LARGEST_GROUP:
        yield _start(phrases), list(phrases)
        return
    by_next: dict[str, list[Phrase]] = {}
    for phrase in phrases:
        by_next.setdefault("".join(_elements(phrase)[depth : depth + 1]), []).append(phrase)
    rest: list[Phrase] = []
    for element, alike in by_next.items():
        if element and len(alike) >= _SMALLEST_GROUP:
            yield from _split(alike, depth + 1)
        else:
            rest += alike
    for at in range(0, len(rest), _LARGEST_REST):
        part = rest[at : at + _LARGEST_REST]
        yield (_start(part) if depth else ()), part


def _start(phrases: Sequence[Phrase]) -> tuple[Item, ...]:
    """The items with which all of the phrases begin."""
    first, last = phrases[0].items, phrases[-1].items  # sorted: what these share, all share
    shared = takewhile(
        lambda pair: _text(pair[0]) == _text(pair[1]), zip(first, last, strict=False)
    )
    return tuple(one for one, _ in shared)


def to_review_page(table: PhraseTable, groups: Sequence[Group]) -> str:
    """One self-contained HTML page on which a person decides with keys, and saves `review.csv`.

    Args:
        table: the table.
        groups: its phrases, as `arrange` gives them.

    Returns:
        The page. It holds what the table holds, and no report.
    """
    from markupsafe import Markup

    script = (resources.files("echotok.view") / "review.js").read_text(encoding="utf-8")
    rows = [row for group in groups for row in group.rows]
    data = {
        "columns": REVIEW_COLUMNS,
        "phrases": [row.phrase.text for row in rows],
        "slots": [*BUILT_IN_SLOTS, *table.slots],
        "decisions": [
            [number, row.decision.decision, row.decision.new_phrase, row.decision.note]
            for number, row in enumerate(rows)
            if row.decision.decision or row.decision.note
        ],
        "weights": [_weight(row) for row in rows],
    }
    encoded = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    key = hashlib.sha256(f"{table.name} {encoded}".encode()).hexdigest()[:16]
    number = iter(range(len(rows)))
    return render(
        "echotok.view",
        "review.html",
        script=script,
        data=Markup(encoded),
        key=f"echotok-review:{key}",
        name=table.name,
        version=table.version,
        num_phrases=f"{len(rows):,} phrases" if len(rows) != 1 else "1 phrase",
        has_counts=any(data["weights"]),
        slots=list(_slots(table, rows)),
        groups=[
            {
                "start": list(_parts(group.start)),
                "size": len(group.rows),
                "rows": [_row(row, next(number)) for row in group.rows],
            }
            for group in groups
        ],
    )


def _figure(row: Row, name: str) -> int | None:
    """A figure of the sheet; None where there is none."""
    text = row.counts.get(name, "")
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else None


def _weight(row: Row) -> int:
    """By how much a phrase counts when the most used are to come first."""
    return _figure(row, "tokens_saved") or _figure(row, "documents") or 0


def _row(row: Row, number: int) -> dict[str, Any]:
    used = [_figure(row, name) for name in ("documents", "patients", "tokens_saved")]
    return {
        "number": number,
        "parts": list(_parts(row.phrase.items)),
        "section": row.phrase.section,
        "mid": row.counts.get("mid_phrase") == "yes",
        "used": [f"{figure:,}" for figure in used if figure is not None],
        "note": row.phrase.note,
    }


def _parts(items: Iterable[Item]) -> Iterator[dict[str, Any]]:
    """A phrase as stretches of text and slots."""
    text = ""
    for position, item in enumerate(items):
        text += " " * bool(item.spaced and position)
        if item.slot is None:
            text += item.text
            continue
        if text:
            yield {"text": text, "is_slot": False}
        yield {"text": item.slot, "is_slot": True}
        text = ""
    if text:
        yield {"text": text, "is_slot": False}


def _slots(table: PhraseTable, rows: Sequence[Row]) -> Iterator[dict[str, str]]:
    """The slot types that the phrases have, each with what it stands for."""
    used = {item.slot for row in rows for item in row.phrase.items if item.slot is not None}
    built_in = {"number": "55, 4.7, >15, 60-65"}
    for name in (*BUILT_IN_SLOTS, *table.slots):
        if name not in used:
            continue
        members = table.severity_values if name == "severity" else table.live_values
        texts = [value.text for value in members if value.slot == name]
        more = f" and {len(texts) - _SHOWN_VALUES} more" if len(texts) > _SHOWN_VALUES else ""
        yield {"name": name, "about": built_in.get(name, ", ".join(texts[:_SHOWN_VALUES]) + more)}
