"""Ids -> normalized text, by the same rule of spacing that encoding follows."""

from __future__ import annotations

from collections.abc import Sequence

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
from echotok.table.phrases import PhraseTable

__all__ = ["Decoder"]


class Decoder:
    """Decodes checked ids; they need not come from an encoder."""

    def __init__(self, table: PhraseTable, layout: Layout, vocabulary: Vocabulary) -> None:
        self._phrases = {layout.phrase + phrase.id: phrase for phrase in table.phrases}
        self._layout = layout
        self._vocabulary = vocabulary
        self._byte_of = {symbol: byte for byte, symbol in enumerate(byte_alphabet())}

    def decode(self, numbers: list[int]) -> str:
        """The text of ids. Special ids are skipped; a missing value shows as its `{slot}`."""
        parts: list[str] = []
        right: Edge | None = None
        flip = False
        at = 0
        while at < len(numbers):
            number = numbers[at]
            if self._vocabulary.kinds[number] == "special":
                flip = self._vocabulary.roles[number] in ("join", "space")
                at += 1
                continue
            at, text, left = self._decode_unit(numbers, at)
            if not text:  # the end of a word without a word, which no text gives
                continue
            spaced = right is not None and EXPECTS_SPACE[right][left] is not flip
            if self._vocabulary.kinds[number] == "value":
                following = VALUE_RIGHT
            elif self._vocabulary.kinds[number] == "phrase":
                last = self._phrases[self._layout.opened(number)[0]].items[-1]
                following = VALUE_RIGHT if last.slot else right_edge(last.text, spaced=False)
            else:
                following = right_edge(text, spaced=spaced or right is None)
            if closing := self._closing(number):
                following = right_edge(closing, spaced=False)
            parts.append(" " + text if spaced else text)
            right = following
            flip = False
        return "".join(parts)

    def _closing(self, number: int) -> str:
        return self._layout.opened(number)[1] if self._vocabulary.kinds[number] != "bpe" else ""

    def _decode_unit(self, numbers: list[int], at: int) -> tuple[int, str, Edge]:
        """The unit at a position: the position behind it, its text and its left edge."""
        kinds, texts = self._vocabulary.kinds, self._vocabulary.texts
        if kinds[numbers[at]] == "value":
            at, text = self._decode_value(numbers, at)
            return at, text, VALUE_LEFT
        if kinds[numbers[at]] == "phrase":
            opened, closing = self._layout.opened(numbers[at])
            phrase = self._phrases[opened]
            at += 1
            words = []
            for item in phrase.items:
                text = item.text
                if item.slot is not None:
                    text = "{" + item.slot + "}"
                    if at < len(numbers) and kinds[numbers[at]] == "value":
                        at, text = self._decode_value(numbers, at)
                words.append(" " + text if item.spaced else text)
            first = phrase.items[0]
            return at, "".join(words) + closing, VALUE_LEFT if first.slot else left_edge(first.text)
        start = at
        while at < len(numbers) and kinds[numbers[at]] == "bpe":
            at += 1
            if texts[numbers[at - 1]].endswith("</w>"):
                break
        text = self._decode_bpe([texts[number] for number in numbers[start:at]])
        return at, text, left_edge(text)

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
