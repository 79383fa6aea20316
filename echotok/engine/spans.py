"""Where each unit and each token of an encoding stands in the original text (I2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from echotok.bpe import HALVES
from echotok.engine.encoder import Encoder
from echotok.engine.vocabulary import Vocabulary
from echotok.text import Offsets, split_pieces

__all__ = ["Places", "Span", "find_spans", "find_unit_spans", "number_units"]

Span = tuple[int, int]
"""Start and end in the original text."""


class Places:
    """Where the pieces of a text stand in the original text.

    Args:
        text: the original text.
        normalized: what `normalize` made of it.

    Attributes:
        pieces: the pieces of the normalized text.
        bounds: for each piece the index of its first character in the normalized text, and at the
            end the length of this text.
    """

    def __init__(self, text: str, normalized: str) -> None:
        self.pieces = split_pieces(normalized)
        self.bounds = [0, *accumulate(map(len, self.pieces))]
        self._normalized = normalized
        self._offsets = Offsets(text, normalized)

    def span(self, begin: int, end: int) -> Span:
        """The span of a stretch of the normalized text, without the spaces at its ends."""
        # The space may be all: a token can be a value's space.
        begin += self._normalized[begin] == " "
        return self._offsets.span(begin, end - (self._normalized[end - 1] == " "))


def number_units(unit_ends: Sequence[int]) -> list[int | None]:
    """The number of the unit of each id; None for BOS and EOS.

    Args:
        unit_ends: for each unit the index behind its last id.
    """
    units: list[int | None] = [None]
    for unit, end in enumerate(unit_ends):
        units += [unit] * (end - len(units))
    return [*units, None]


def find_unit_spans(places: Places, piece_ends: Sequence[int]) -> list[Span]:
    """The span of each unit.

    Args:
        places: places of the pieces of the text.
        piece_ends: for each unit the index behind its last piece.
    """
    bounds = places.bounds
    return [places.span(bounds[first], bounds[last]) for first, last in pairwise([0, *piece_ends])]


def find_spans(
    places: Places,
    ids: Sequence[int],
    *,
    unit_spans: Sequence[Span],
    unit_ends: Sequence[int],
    piece_ends: Sequence[int],
    encoder: Encoder,
    vocabulary: Vocabulary,
) -> list[Span | None]:
    """The span of each id; see `Encoding`.

    Args:
        places: places of the pieces of the text.
        ids: BOS, the ids of the units, EOS.
        unit_spans: the span of each unit.
        unit_ends: for each unit the index behind its last id.
        piece_ends: for each unit the index behind its last piece.
        encoder: what encoded the text.
        vocabulary: the meaning of the ids.
    """
    pieces, bounds, span = places.pieces, places.bounds, places.span
    roles, kinds, texts = vocabulary.roles, vocabulary.kinds, vocabulary.texts
    spans: list[Span | None] = [None]
    at = 1
    first = 0
    for whole, unit_end, last in zip(unit_spans, unit_ends, piece_ends, strict=True):
        if roles[ids[at]] in ("join", "space"):
            spans.append((whole[0], whole[0]))
            at += 1
        number = ids[at]
        if kinds[number] == "bpe":
            begin = bounds[first] + (pieces[first][0] == " ")
            word = "".join(pieces[first:last]).removeprefix(" ")
            widths = _bpe_widths([texts[n] for n in ids[at:unit_end]], word)
            spans += [span(begin + low, begin + high) for low, high in widths]
        else:
            if kinds[number] == "phrase":
                spans.append(whole)
                at += 1
            if at < unit_end:
                match = encoder.matcher.longest(pieces, first)
                assert match is not None, "the unit was a match when it was encoded"
                for slot, value_first, value_last, value in match.values:
                    low = bounds[value_first] + (pieces[value_first][0] == " ")
                    value_ids = encoder.value_ids(slot, value, pieces[value_first])
                    if kinds[number] == "value" and number != value_ids[0]:
                        spans.append(whole)  # a value with what closes it
                        break
                    for value_id in value_ids:
                        high = min(low + len(texts[value_id]), bounds[value_last])
                        spans.append(span(low, high))
                        low = high
        at = unit_end
        first = last
    return [*spans, None]


def _bpe_widths(tokens: Sequence[str], word: str) -> list[Span]:
    """For each BPE token of a word the span of the characters that its bytes touch."""
    of_byte = [
        index
        for index, character in enumerate(word)
        for _ in character.encode("utf-8", "surrogatepass")
    ]
    widths = []
    low = 0  # in halves of a byte
    for token in tokens:
        high = low + sum(1 if symbol in HALVES else 2 for symbol in token.removesuffix("</w>"))
        # The end of a word as a token of its own lies on the word's last character.
        first = of_byte[(low if high > low else low - 1) // 2]
        widths.append((first, of_byte[(high - 1) // 2] + 1))
        low = high
    return widths
