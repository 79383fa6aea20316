"""Where each token of an encoding stands in the original text (I2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from echotok.bpe import HALVES
from echotok.text import offsets, split_pieces

if TYPE_CHECKING:
    from echotok.engine.encoding import Encoding, Span
    from echotok.tokenizer import Tokenizer

__all__ = ["token_spans"]


def token_spans(tokenizer: Tokenizer, text: str, encoding: Encoding) -> list[Span | None]:
    """Span in `text` of each id; see `Encoding.offsets`."""
    normalized = tokenizer.normalize(text)
    encoder, vocabulary = tokenizer.encoder, tokenizer.vocabulary
    pieces = split_pieces(normalized)
    starts, ends = offsets(text, normalized)
    bounds = [0, *accumulate(map(len, pieces))]
    roles, kinds, texts = vocabulary.roles, vocabulary.kinds, vocabulary.texts

    def span(begin: int, end: int) -> Span:
        begin += normalized[begin] == " "
        if begin >= end:  # a space inside of a value, as a token of its own
            return starts[begin], starts[begin]
        end -= normalized[end - 1] == " "
        return starts[begin], ends[end - 1]

    spans: list[Span | None] = [None]
    at = 1
    first = 0
    for unit_end, last in zip(encoding.unit_ends, encoding.piece_ends, strict=True):
        begin = bounds[first] + (pieces[first][0] == " ")
        whole = span(begin, bounds[last])
        if roles[encoding.ids[at]] in ("join", "space"):
            spans.append((whole[0], whole[0]))
            at += 1
        number = encoding.ids[at]
        if kinds[number] == "bpe":
            widths = _bpe_widths(
                [texts[n] for n in encoding.ids[at:unit_end]], normalized[begin : bounds[last]]
            )
            spans += [span(begin + low, begin + high) for low, high in widths]
        else:
            if kinds[number] == "phrase":
                spans.append(whole)
                at += 1
            match = encoder.matcher.longest(pieces, first)
            assert match is not None, "the unit was a match when it was encoded"
            for slot, value_first, value_last, value in match.values:
                low = bounds[value_first] + (pieces[value_first][0] == " ")
                value_ids = encoder.value_ids(slot, value, pieces[value_first])
                for value_id in value_ids:
                    high = min(low + len(texts[value_id]), bounds[value_last])
                    spans.append(span(low, high))
                    low = high
        del spans[unit_end:]  # a unit that was cut at bytes
        at = unit_end
        first = last
    return [*spans, None]


def _bpe_widths(tokens: Sequence[str], word: str) -> list[Span]:
    """For each BPE token of a word the characters that its bytes touch."""
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
