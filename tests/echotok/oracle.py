"""Leftmost-longest matching by brute force: every phrase, every choice of values, every place."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from echotok.table.match import BARE_VALUE, Match
from echotok.table.phrases import Item, Phrase
from echotok.table.values import SEVERITY, EnumValue
from echotok.text import is_number, split_pieces


def longest(
    pieces: Sequence[str], start: int, phrases: Sequence[Phrase], values: Sequence[EnumValue]
) -> Match | None:
    """What `Matcher.longest` should return."""
    types = ["number", *dict.fromkeys(value.slot for value in (*SEVERITY, *values))]
    candidates = [(phrase.id, phrase.items) for phrase in phrases]
    candidates += [
        (BARE_VALUE + rank, (Item(text="", spaced=False, slot=slot),))
        for rank, slot in enumerate(types)
    ]
    found = []
    for number, items in candidates:
        for end, chosen in _fits(pieces, start, items, values, first=True):
            lengths = tuple(first - last for _, first, last, _ in chosen)  # longest first
            found.append((-end, len(chosen), number, lengths, chosen))
    if not found:
        return None
    end, _, number, _, chosen = min(found)
    return Match(min(number, BARE_VALUE), -end, chosen)


def _fits(pieces, at, items, values, *, first):
    if not items:
        yield at, ()
        return
    if at >= len(pieces):
        return
    item, rest = items[0], items[1:]
    piece = pieces[at]
    if not first and piece.startswith(" ") is not item.spaced:
        return
    if item.slot is None:
        if piece.removeprefix(" ") == item.text:
            yield from _fits(pieces, at + 1, rest, values, first=False)
        return
    if item.slot == "number":
        options = [(1, -1)] if is_number(piece) else []
    else:
        options = [
            (len(split_pieces(value.text)), value.id)
            for value in itertools.chain(SEVERITY, values)
            if value.slot == item.slot
        ]
        bare = [piece.removeprefix(" "), *pieces[at + 1 :]]
        texts = {value.id: value.text for value in (*SEVERITY, *values) if value.slot == item.slot}
        options = [(n, v) for n, v in options if bare[:n] == split_pieces(texts[v])]
    for length, value in options:
        for end, chosen in _fits(pieces, at + length, rest, values, first=False):
            yield end, ((item.slot, at, at + length, value), *chosen)
