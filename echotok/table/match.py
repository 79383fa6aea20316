"""Leftmost-longest matching of phrases and values over pieces.

At each piece the longest phrase that fits wins: the one with most pieces, then fewest slots, then
the lowest id (I3). A value outside of a phrase takes part as a phrase of one slot with the highest
id. The matcher walks a word trie; `tests/echotok/oracle.py` does the same in a few lines of brute
force.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from echotok.table.phrases import Phrase, PhraseTable
from echotok.table.values import SEVERITY, EnumValue
from echotok.text import is_number, split_pieces

__all__ = ["BARE_VALUE", "Match", "Matcher"]

BARE_VALUE = 1 << 60
"""Stands for a phrase id where a value is not part of any phrase; higher than every id."""


class _Node:
    """A trie node: what ends here, which pieces and which slots lead on."""

    __slots__ = ("end", "next", "slots")

    def __init__(self) -> None:
        self.next: dict[str, _Node] = {}
        # (slot type, spaced: True, False or None for either) -> child
        self.slots: dict[tuple[str, bool | None], _Node] = {}
        self.end: int | None = None


_ValueNode: TypeAlias = dict[str, "_ValueNode | int"]
_Values: TypeAlias = tuple[tuple[str, int, int, int], ...]
_NUMBER = ("number",)
_DIGITS = frozenset("0123456789")


class Match(NamedTuple):
    """A phrase or bare value found at a position.

    Attributes:
        phrase: id of the phrase in its table, or BARE_VALUE.
        end: index of the piece behind the match.
        values: `(slot type, first piece, last piece + 1, value id)` of each slot in order; the
            value id is the one in the enumeration, and -1 for a number.
    """

    phrase: int
    end: int
    values: tuple[tuple[str, int, int, int], ...]


class Matcher:
    """Finds the longest phrase at a piece.

    Args:
        phrases: the live phrases.
        values: the enumeration members; retired ones are left out.
        severity: the spellings of `severity`.

    Attributes:
        root: the trie of phrases.
        enums: a trie of values for each enumeration.
        types: the slot types of the values that begin with a piece, for pieces that begin one.
    """

    def __init__(
        self,
        phrases: Iterable[Phrase],
        values: Iterable[EnumValue],
        *,
        severity: Iterable[EnumValue] = SEVERITY,
    ) -> None:
        self.root = _Node()
        self.enums: dict[str, _ValueNode] = {"severity": {}}
        for value in itertools.chain(severity, values):
            if not value.retired:
                _add_value(self.enums.setdefault(value.slot, {}), value)
        # Numbers are seen by their look.
        self.types: dict[str, tuple[str, ...]] = {}
        for slot, node in self.enums.items():
            for piece in node:
                first = _NUMBER if is_number(piece) else ()
                self.types[piece] = (*(self.types.get(piece) or first), slot)
        # Where two types hold one spelling, a bare value is of the first.
        for slot in ("number", *self.enums):
            child = self.root.slots[slot, None] = _Node()
            child.end = BARE_VALUE
        for phrase in phrases:
            self._add(phrase)

    @classmethod
    def of(cls, table: PhraseTable) -> Matcher:
        """The matcher of a table's live phrases and values."""
        return cls(table.live, table.values, severity=table.severity_values)

    def _add(self, phrase: Phrase) -> None:
        node = self.root
        for position, item in enumerate(phrase.items):
            if item.slot is not None:
                key = (item.slot, None if position == 0 else item.spaced)
                node = node.slots.setdefault(key, _Node())
            elif position == 0:
                # A phrase may begin behind a space or not: both spellings lead to one node.
                child = node.next.setdefault(item.text, _Node())
                node.next[" " + item.text] = child
                node = child
            else:
                piece = " " + item.text if item.spaced else item.text
                node = node.next.setdefault(piece, _Node())
        node.end = phrase.id if node.end is None else min(node.end, phrase.id)

    def starts(self) -> dict[str, Container[str] | None]:
        """The pieces with which a match can begin, numbers left out, with their followers."""
        return {piece: self.followers(piece) for piece in (*self.root.next, *self.types)}

    def followers(self, piece: str) -> Container[str] | None:
        """The pieces of which one must follow `piece` for a match to begin there.

        Returns:
            The pieces: none when no match ever begins with `piece`. None when it cannot be told
            from one piece.
        """
        node = self.root.next.get(piece)
        if self._types_at(piece) or (node is not None and (node.end is not None or node.slots)):
            return None
        return node.next if node is not None else ()

    def _types_at(self, piece: str) -> tuple[str, ...]:
        types = self.types.get(piece)
        if types is None:
            return _NUMBER if piece[-1] in _DIGITS and is_number(piece) else ()
        return types

    def longest(self, pieces: Sequence[str], start: int) -> Match | None:
        """The phrase or value that wins at `pieces[start]`, or None.

        Args:
            pieces: all pieces of a text.
            start: index of the first piece of the match.
        """
        piece = pieces[start]
        at, size = start + 1, len(pieces)
        best: tuple[int, int, int] | None = None  # (-end, slots, id): the smallest wins
        best_values: _Values = ()
        values: _Values = ()
        # Ways not yet gone, each behind a slot's value. Depth first with the longest value first,
        # so that a tie goes to the earliest longest value.
        stack: list[tuple[_Node, int, _Values]] = []
        if types := self._types_at(piece):
            self._branch(stack, self.root, types, pieces, start, ())
        node = self.root.next.get(piece)
        while True:
            while node is not None:
                if node.end is not None:
                    rank = (-at, len(values), node.end)
                    if best is None or rank < best:
                        best, best_values = rank, values
                if at == size:
                    break
                piece = pieces[at]
                if node.slots and (types := self._types_at(piece)):
                    self._branch(stack, node, types, pieces, at, values)
                node = node.next.get(piece)
                at += 1
            if not stack:
                return None if best is None else Match(best[2], -best[0], best_values)
            node, at, values = stack.pop()

    def _branch(
        self,
        stack: list[tuple[_Node, int, _Values]],
        node: _Node,
        types: tuple[str, ...],
        pieces: Sequence[str],
        at: int,
        values: _Values,
    ) -> None:
        options = []
        spaced = None if node is self.root else pieces[at][0] == " "
        for slot in types:
            child = node.slots.get((slot, spaced))
            if child is not None:
                for end, value in self._values_at(slot, pieces, at):
                    options.append((child, end, (*values, (slot, at, end, value))))
        stack.extend(reversed(options))

    def _values_at(self, slot: str, pieces: Sequence[str], at: int) -> list[tuple[int, int]]:
        """`(end, value id)` of every value of a type at a piece, longest first."""
        if slot == "number":
            return [(at + 1, -1)]
        node: _ValueNode | int | None = self.enums[slot].get(pieces[at])
        found: list[tuple[int, int]] = []
        while isinstance(node, dict):
            at += 1
            value = node.get("")
            if isinstance(value, int):
                found.append((at, value))
            node = node.get(pieces[at]) if at < len(pieces) else None
        found.reverse()
        return found


def _add_value(root: _ValueNode, value: EnumValue) -> None:
    node = root
    for position, piece in enumerate(split_pieces(value.text)):
        child = node.setdefault(piece, {})
        assert isinstance(child, dict)
        if position == 0:
            node[" " + piece] = child
        node = child
    node.setdefault("", value.id)
