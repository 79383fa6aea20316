"""Ids -> normalized text, by the same rule of spacing that encoding follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from echotok.bpe import HALVES, byte_alphabet
from echotok.engine.spacing import (
    EXPECTS_SPACE,
    VALUE_LEFT,
    VALUE_RIGHT,
    Edge,
    left_edge,
    right_edge,
)
from echotok.engine.vocabulary import Layout, Vocabulary, begins_value
from echotok.table.phrases import Item, PhraseTable

__all__ = ["Decoder"]


class _Unit(NamedTuple):
    """What ids stand for.

    Attributes:
        text: without the space before it.
        left: edge.
        rights: right edge where no space is before the unit, and where one is or the text begins.
    """

    text: str
    left: Edge
    rights: tuple[Edge, Edge]


class Decoder:
    """Decodes checked ids; they need not come from an encoder."""

    def __init__(self, table: PhraseTable, layout: Layout, vocabulary: Vocabulary) -> None:
        self._phrases = {layout.phrase + phrase.id: phrase for phrase in table.phrases}
        self._layout = layout
        self._vocabulary = vocabulary
        self._alone: dict[int, _Unit] = {}
        self._byte_of = {symbol: byte for byte, symbol in enumerate(byte_alphabet())}

    def decode(self, numbers: list[int]) -> str:
        """The text of ids. Special ids are skipped; a missing value shows as its `{slot}`."""
        parts: list[str] = []
        right: Edge | None = None
        flip = False
        at, size, alone = 0, len(numbers), self._alone
        while at < size:
            number = numbers[at]
            unit = alone.get(number)
            if unit is not None:
                at += 1
            elif self._vocabulary.kinds[number] == "special":
                flip = self._vocabulary.roles[number] in ("join", "space")
                at += 1
                continue
            else:
                at, unit = self._decode_unit(numbers, at)
            text, left, rights = unit
            if not text:
                continue
            spaced = right is not None and EXPECTS_SPACE[right][left] is not flip
            parts.append(" " + text if spaced else text)
            right = rights[spaced or right is None]
            flip = False
        return "".join(parts)

    def _decode_unit(self, numbers: list[int], at: int) -> tuple[int, _Unit]:
        """The unit at a position, and the position behind it.

        A unit of one id is remembered if nothing behind it can belong to it.
        """
        number, kind = numbers[at], self._vocabulary.kinds[numbers[at]]
        if kind == "bpe":
            behind = self._end_of_word(numbers, at)
            tokens = [self._vocabulary.texts[one] for one in numbers[at:behind]]
            text = self._decode_bpe(tokens)
            rights = (VALUE_RIGHT, VALUE_RIGHT)
            if text:  # else the end of a word without a word, which no text gives
                rights = (right_edge(text, spaced=False), right_edge(text, spaced=True))
            unit = _Unit(text, left_edge(text), rights)
            is_alone = len(tokens) == 1 and tokens[0].endswith("</w>")
        else:
            opened, closing = self._layout.opened(number)
            if kind == "value":
                behind, text = self._decode_value(numbers, at)
                left, right = VALUE_LEFT, VALUE_RIGHT
                is_alone = self._vocabulary.roles[number] == "whole"
            else:
                items = self._phrases[opened].items
                behind, text = self._decode_phrase(items, numbers, at + 1)
                text += closing
                left = VALUE_LEFT if items[0].slot else left_edge(items[0].text)
                right = VALUE_RIGHT if items[-1].slot else right_edge(items[-1].text, spaced=False)
                is_alone = not any(item.slot for item in items)
            if closing:
                right = right_edge(closing, spaced=False)
            unit = _Unit(text, left, (right, right))
        if is_alone:
            self._alone[number] = unit
        return behind, unit

    def _end_of_word(self, numbers: list[int], at: int) -> int:
        kinds, texts = self._vocabulary.kinds, self._vocabulary.texts
        while at < len(numbers) and kinds[numbers[at]] == "bpe":
            at += 1
            if texts[numbers[at - 1]].endswith("</w>"):
                break
        return at

    def _decode_phrase(self, items: Sequence[Item], numbers: list[int], at: int) -> tuple[int, str]:
        kinds, words = self._vocabulary.kinds, []
        for item in items:
            text = item.text
            if item.slot is not None:
                text = "{" + item.slot + "}"
                if at < len(numbers) and kinds[numbers[at]] == "value":
                    at, text = self._decode_value(numbers, at)
            words.append(" " + text if item.spaced else text)
        return at, "".join(words)

    def _decode_value(self, numbers: list[int], at: int) -> tuple[int, str]:
        texts, roles = self._vocabulary.texts, self._vocabulary.roles
        text = texts[numbers[at]]
        role = roles[numbers[at]]
        at += 1
        if role == "whole":
            return at, text
        while at < len(numbers):
            number = numbers[at]
            if begins_value(roles[number], role):
                break
            role = roles[number]
            text += texts[number]
            at += 1
        return at, text

    def _decode_bpe(self, tokens: Sequence[str]) -> str:
        """Bytes of BPE tokens as text; cut characters show U+FFFD, surrogates come back."""
        symbols = "".join(token.removesuffix("</w>") for token in tokens)
        try:
            raw = bytes(map(self._byte_of.__getitem__, symbols))
        except KeyError:
            raw = self._join_halves(symbols)
        try:
            return raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return raw.decode("utf-8", "replace")

    def _join_halves(self, symbols: str) -> bytes:
        raw = bytearray()
        high: int | None = None
        for symbol in symbols:
            half = HALVES.find(symbol)
            if half >= 0 and high is None:
                high = half
                continue
            if high is not None:
                # A half whose other half was cut is no byte of UTF-8.
                raw.append(0xFF if half < 0 else high << 4 | half)
                high = None
            if half < 0:
                raw.append(self._byte_of[symbol])
        if high is not None:
            raw.append(0xFF)
        return bytes(raw)
