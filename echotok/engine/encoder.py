"""Normalized text -> ids: phrases and values where they match, BPE words in between."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from copy import copy
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, Protocol

from echotok.engine.spacing import (
    AFTER_STOP,
    EXPECTS_SPACE,
    VALUE_LEFT,
    VALUE_RIGHT,
    Edge,
    left_edge,
    right_edge,
)
from echotok.engine.vocabulary import Layout
from echotok.table.match import BARE_VALUE, Match, Matcher
from echotok.table.phrases import PhraseTable
from echotok.text import split_pieces, split_stops

__all__ = ["Chunk", "Encoder"]

_MEMO_SIZE = 20_000
_MEMO_CHARACTERS = 300
# Pieces of a run that is tried as one BPE word: program text and web addresses have no space.
_LONGEST_RUN = 8


class _Word(NamedTuple):
    """What is known of a piece that is one BPE word where nothing matches.

    Attributes:
        ids, left, right: the unit.
        gate: the pieces behind which a match can go on; None where one has to look.
        alone: letters and digits; other characters are a unit only before white space.
    """

    ids: tuple[int, ...]
    left: Edge
    right: Edge
    gate: Container[str] | None
    alone: bool


class Words(Protocol):
    """What encodes the words that no phrase covers: a `ByteBPE`, or that of the compiled core."""

    def encode_word(self, word: str) -> tuple[int, ...]:
        """Encode one word, which holds no white space."""


class Encoder:
    """Encodes normalized text. Its only state is memos, which are safe to share and to lose.

    Attributes:
        matcher: finds phrases and values.
        layout: the place of each region of ids.
        joins_parts: whether a word and what stands beside it may be one BPE word.
        phrase_units: for each phrase's id its ids without values, and its two edges.
        sentences_part: whether no phrase reaches over a full stop and the space behind it.
    """

    def __init__(
        self, table: PhraseTable, layout: Layout, get_bpe: Callable[[], Words], *, joins_parts: bool
    ) -> None:
        self.matcher = Matcher.of(table)
        self._split_number = table.split_number
        rows = enumerate(table.severity_values, layout.severity)
        self._severity_ids = {value.id: row for row, value in rows}
        self.layout = layout
        self._get_bpe = get_bpe
        self.joins_parts = joins_parts
        self.phrase_units: dict[int, tuple[tuple[int, ...], Edge, Edge]] = {}
        for phrase in table.live:
            first, last = phrase.items[0], phrase.items[-1]
            left = VALUE_LEFT if first.slot else left_edge(first.text)
            right = VALUE_RIGHT if last.slot else right_edge(last.text, spaced=False)
            self.phrase_units[phrase.id] = ((layout.phrase + phrase.id,), left, right)
        self.sentences_part = not any(
            before.text == "." and after.spaced
            for phrase in table.live
            for before, after in pairwise(phrase.items)
        )
        self._forget()

    def _forget(self) -> None:
        # Memos, emptied when full: sentences, number pieces, and pieces where nothing matched.
        self._sentences: dict[str, Chunk] = {}
        self._numbers: dict[str, tuple[int, ...]] = {}
        self._words: dict[str, _Word] = {}

    @cached_property
    def bpe(self) -> Words:
        """The fallback."""
        return self._get_bpe()

    def with_bpe(self, bpe: Words) -> Encoder:
        """This encoder with another BPE that gives the same ids, and with memos of its own."""
        other = copy(self)
        other.bpe = bpe
        other._forget()
        return other

    def chunks(self, normalized: str, *, goes_on: bool = False) -> Iterator[Chunk]:
        """Encode normalized text, sentence by sentence where the table allows it.

        Args:
            normalized: the text.
            goes_on: whether a full stop and a space stand before it.
        """
        if not normalized:
            return
        # Templates repeat their sentences. No unit reaches over a full stop and the space behind
        # it unless a phrase does, so that such a stretch encodes alike wherever it stands.
        stretches = split_stops(normalized) if self.sentences_part else [normalized]
        for number, stretch in enumerate(stretches, int(goes_on)):
            text = " " + stretch if number else stretch
            chunk = self._sentences.get(text)
            if chunk is None:
                chunk = self._chunk(text)
                if len(text) <= _MEMO_CHARACTERS:
                    if len(self._sentences) >= _MEMO_SIZE:
                        self._sentences.clear()
                    self._sentences[text] = chunk
            yield chunk

    def _chunk(self, text: str) -> Chunk:
        """Encode a stretch of normalized text; one that begins with a space follows a stop."""
        layout, words, longest = self.layout, self._words, self.matcher.longest
        pieces = split_pieces(text)
        size = len(pieces)
        pieces.append(" ")  # matches nothing, so that every piece has a next one
        ids: list[int] = []
        unit_ends: list[int] = []
        piece_ends: list[int] = []
        # The edge of the unit before; None at the start of the text.
        right: Edge | None = AFTER_STOP if text[0] == " " else None
        at = 0
        while at < size:
            piece = pieces[at]
            following = pieces[at + 1]
            spaced = piece[0] == " "
            word = words.get(piece)
            if word is not None and following[0] != " ":
                # Other characters may join this one; a word alone is cheap to ask for again.
                word = None if self.joins_parts or not word.alone else word
            if word is not None and word.gate is not None and following not in word.gate:
                match = None
            else:
                match = longest(pieces, at)
            if match is not None:
                unit_ids, left, edge = self._matched(match, pieces)
                at = match.end
                if pieces[at] in layout.closings and unit_ids[0] >= layout.severity:
                    unit_ids = (layout.closed(unit_ids[0], pieces[at]), *unit_ids[1:])
                    edge = right_edge(pieces[at], spaced=False)
                    at += 1
            elif word is not None:
                unit_ids, left, edge, _, _ = word
                at += 1
            else:
                at, unit_ids, left, edge = self._word(pieces, at, spaced or right is None)
            if right is not None and EXPECTS_SPACE[right][left] is not spaced:
                ids.append(layout.space if spaced else layout.join)
            ids += unit_ids
            unit_ends.append(len(ids))
            piece_ends.append(at)
            right = edge
        return Chunk(ids, unit_ends, piece_ends)

    def _matched(self, match: Match, pieces: list[str]) -> tuple[tuple[int, ...], Edge, Edge]:
        """Ids and edges of a phrase or bare value."""
        if match.phrase == BARE_VALUE:
            ids: tuple[int, ...] = ()
            left, right = VALUE_LEFT, VALUE_RIGHT
        else:
            ids, left, right = self.phrase_units[match.phrase]
        for slot, first, _, value in match.values:
            ids += self.value_ids(slot, value, pieces[first])
        return ids, left, right

    def _word(
        self, pieces: list[str], at: int, spaced: bool
    ) -> tuple[int, tuple[int, ...], Edge, Edge]:
        """The BPE word at a piece that starts no match.

        It is letters and digits, or other characters; or a run of both with no space between them
        (`stenosis.`, `end-diastolic`) where that takes fewer tokens than part by part.

        Returns:
            The index of the piece behind the word, then the word's ids and its two edges.
        """
        end = self._part_end(pieces, at)
        word = "".join(pieces[at:end]).removeprefix(" ")
        ids = self.bpe.encode_word(word)
        left, right = left_edge(word), right_edge(word, spaced=spaced)
        alone = _is_word(word)
        if pieces[end][0] == " " or (alone and not self.joins_parts):
            if alone or (len(word) == 1 and right == right_edge(word, spaced=not spaced)):
                if len(self._words) >= _MEMO_SIZE:
                    self._words.clear()
                gate = self.matcher.followers(pieces[at])
                self._words[pieces[at]] = _Word(ids, left, right, gate, alone)
            return end, ids, left, right
        if self.joins_parts:
            end, ids, right = self._run(pieces, at, (end, ids, right), spaced)
        return end, ids, left, right

    def _part_end(self, pieces: list[str], at: int) -> int:
        """Where the part ends that begins at a piece: one word, or other characters in a row."""
        part = pieces[at].removeprefix(" ")
        at += 1
        if not _is_word(part):
            while pieces[at][0] != " " and not _is_word(pieces[at]):
                if self.matcher.longest(pieces, at) is not None:
                    break
                at += 1
        return at

    def _run(
        self, pieces: list[str], at: int, first: tuple[int, tuple[int, ...], Edge], spaced: bool
    ) -> tuple[int, tuple[int, ...], Edge]:
        """The longest run of parts at a piece that is cheaper as one BPE word, or the first part.

        Args:
            pieces: of the text.
            at: where the run begins.
            first: the first part: the piece behind it, its ids and its right edge.
            spaced: whether a space stands before it, or nothing.
        """
        best = first
        end, ids, right = first
        word = "".join(pieces[at:end]).removeprefix(" ")
        tokens = len(ids)
        while (
            end - at < _LONGEST_RUN
            and pieces[end][0] != " "
            and self.matcher.longest(pieces, end) is None
        ):
            start, end = end, self._part_end(pieces, end)
            part = "".join(pieces[start:end])
            tokens += len(self.bpe.encode_word(part)) + EXPECTS_SPACE[right][left_edge(part)]
            right = right_edge(part, spaced=False)
            word += part
            ids = self.bpe.encode_word(word)
            if len(ids) < tokens:
                best = end, ids, right_edge(word, spaced=spaced)
        return best

    def value_ids(self, slot: str, value: int, piece: str) -> tuple[int, ...]:
        """The ids of a slot's value: `value` is its id in the enumeration, `piece` its start."""
        if slot != "number":
            if slot == "severity":
                return (self._severity_ids[value],)
            return (self.layout.enum + value,)
        known = self._numbers.get(piece)
        if known is None:
            offset = self.layout.number
            known = tuple(offset + number for number in self._split_number(piece.removeprefix(" ")))
            if len(self._numbers) >= _MEMO_SIZE:
                self._numbers.clear()
            self._numbers[piece] = known
        return known


def _is_word(piece: str) -> bool:
    first = piece[0]
    return first.isalnum() or (first == "'" and len(piece) > 1 and piece[1].isalpha())


class Chunk(NamedTuple):
    """An encoded stretch of text: its ids, and the end of each unit in ids and in pieces."""

    ids: list[int]
    unit_ends: list[int]
    piece_ends: list[int]
