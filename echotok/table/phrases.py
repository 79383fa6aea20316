"""Phrase tables: the reviewed data that a tokenizer is made from, in memory.

`echotok.table.reading` reads and checks the folders that hold them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from echotok.table.values import NUMBER_TOKENS, SEVERITY, EnumValue, NumberCode, split_number
from echotok.text import make_normalizer, split_pieces

__all__ = ["BUILT_IN_SLOTS", "Item", "Phrase", "PhraseTable", "normalize_phrase", "parse_phrase"]

BUILT_IN_SLOTS = ("number", "severity")

_SLOT = re.compile(r"\{([^{}]*)\}")
# Stands for a slot while a phrase is normalized and split; no report line holds it.
_SENTINELS = {"number": "9087056342178"}
_OTHER_SENTINEL = "qzslotzq"
_SENTINEL = re.compile("9087056342178|qzslotzq")


class Item(NamedTuple):
    """One step of a phrase: a literal piece, or a slot when `slot` is set.

    Attributes:
        text: the literal piece without its space, or "" for a slot.
        spaced: whether a space stands before it.
        slot: name of the slot type, or None.
    """

    text: str
    spaced: bool
    slot: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """One row of a table.

    Attributes:
        id: id of the phrase in its table, which never changes.
        text: the normalized phrase, with slots written as `{name}`.
        items: the pieces and slots that a text must hold for the phrase to match, in order.
        section: name of the CSV file.
        since: table version that introduced the row.
        retired: table version that retired it, or "" while it is live.
        note: a word of explanation for the reader.
    """

    id: int
    text: str
    items: tuple[Item, ...]
    section: str
    since: str = ""
    retired: str = ""
    note: str = ""

    @property
    def num_slots(self) -> int:
        """How many slot values follow the phrase's id."""
        return sum(item.slot is not None for item in self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseTable:
    """A checked phrase table.

    Attributes:
        name, version, locale, licence, provenance: what `table.toml` says about the table.
        units: spellings of units; a space is put between a number and a unit behind it.
        slots: description of each enumeration by name (`number` and `severity` are built in).
        values: the enumerations' members, tombstones included.
        phrases: all rows in order of their ids, tombstones included.
        phrase_capacity, value_capacity: number of ids that there is room for. A tokenizer's size
            follows from these, so that a growing table never changes a model's shape (I5).
        num_merges: number of merges of the domain fallback that `echotok build` trains.
        numbers: the table's own number tokens; None takes `values.NUMBER_TOKENS`.
        severity: the spellings of `severity` that the table uses; None takes all of them.
        closings: the characters that close a unit: a phrase, or a value that is one token, has one
            id more for each of them.
    """

    name: str
    version: str
    locale: str
    licence: str
    provenance: str
    units: tuple[str, ...]
    slots: Mapping[str, str]
    values: tuple[EnumValue, ...]
    phrases: tuple[Phrase, ...]
    phrase_capacity: int
    value_capacity: int
    num_merges: int
    numbers: NumberCode | None = None
    severity: tuple[str, ...] | None = None
    closings: str = ""

    @property
    def number_tokens(self) -> tuple[tuple[str, str], ...]:
        """`(role, text)` of each number token, in order of rows."""
        return NUMBER_TOKENS if self.numbers is None else self.numbers.tokens

    @property
    def split_number(self) -> Callable[[str], tuple[int, ...]]:
        """The function that writes a number value as rows of `number_tokens`."""
        return split_number if self.numbers is None else self.numbers.split

    @property
    def severity_values(self) -> tuple[EnumValue, ...]:
        """The spellings of `severity`, by row; their ids are positions in `values.SEVERITY`."""
        if self.severity is None:
            return SEVERITY
        by_text = {value.text: value for value in SEVERITY}
        return tuple(by_text[text] for text in self.severity)

    @property
    def live(self) -> tuple[Phrase, ...]:
        """The phrases that encoding uses: all but the tombstones."""
        return tuple(phrase for phrase in self.phrases if not phrase.retired)

    @property
    def live_values(self) -> tuple[EnumValue, ...]:
        """The members of the enumerations that encoding uses: all but the tombstones."""
        return tuple(value for value in self.values if not value.retired)


def normalize_phrase(text: str, *, units: tuple[str, ...] = ()) -> str:
    """The text of a phrase in normal form; its slots stay as they are, but for letter case.

    Args:
        text: a phrase as a person types it.
        units: spellings of units, as in `PhraseTable.units`.

    Example:
        >>> normalize_phrase(" LVEF  is { Number } %")
        'lvef is {number}%'
    """
    names = iter([name.strip().lower() for name in _SLOT.findall(text)])
    plain = _SLOT.sub(lambda slot: _SENTINELS.get(slot[1].strip().lower(), _OTHER_SENTINEL), text)
    normal = make_normalizer(units)(plain)
    return _SENTINEL.sub(lambda stand: f"{{{next(names, '')}}}", normal)


@lru_cache(maxsize=1 << 14)
def _literal(piece: str) -> Item:
    return Item(piece.removeprefix(" "), piece[0] == " ")


def parse_phrase(
    text: str, *, slots: Sequence[str], units: tuple[str, ...] = ()
) -> tuple[Item, ...]:
    """Parse the text of a phrase into its items.

    Args:
        text: normalized phrase, with slots written as `{name}`.
        slots: the slot types that exist.
        units: spellings of units, as in `PhraseTable.units`.

    Returns:
        The items, at least one of which is a literal piece.

    Raises:
        ValueError: the text breaks a rule; the message says which one and what to do.

    Example:
        >>> [item.slot or item.text for item in parse_phrase("ef {number}%", slots=["number"])]
        ['ef', 'number', '%']
    """
    if "{" not in text and "}" not in text and text and make_normalizer(units)(text) == text:
        return tuple(map(_literal, split_pieces(text)))  # as most phrases are
    names = _SLOT.findall(text) if "{" in text else []
    if unknown := [name for name in names if name not in slots]:
        raise ValueError(
            f"unknown slot {{{unknown[0]}}}; this table has {', '.join(sorted(slots))}"
        )
    sentinels = [_SENTINELS.get(name, _OTHER_SENTINEL) for name in names]
    plain = text
    if names:
        stands = iter(sentinels)
        plain = _SLOT.sub(lambda _: next(stands), text)
    if "{" in plain or "}" in plain:
        raise ValueError("unbalanced brace; a slot is written {name}")
    normalized = make_normalizer(units)(plain)
    if normalized != plain:
        raise ValueError(
            f"not in normalized form; write it as {_SENTINEL.sub('{...}', normalized)!r}"
        )
    items: list[Item] = []
    remaining = iter(names)
    may_be_glued = _SENTINEL.search(plain) is not None
    for piece in split_pieces(plain):
        bare = piece.removeprefix(" ")
        if bare in sentinels:
            items.append(Item(text="", spaced=bare != piece, slot=next(remaining)))
        elif may_be_glued and _SENTINEL.search(bare):
            raise ValueError(
                "a slot is glued to its neighbour: a sign, comparison, decimal or range "
                "('{number}-{number}', '{number} to {number}') belongs to ONE {number}, and "
                "letters must be parted from a slot by a space or punctuation"
            )
        else:
            items.append(_literal(piece))
    if not items:
        raise ValueError("empty phrase; delete the row, or fill `retired` if it once had a text")
    if all(item.slot is not None for item in items):
        raise ValueError("only slots; delete the row, since values alone are encoded anyway")
    return tuple(items)
