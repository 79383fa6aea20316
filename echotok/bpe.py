"""Byte-level BPE for what no phrase covers.

There are two kinds with one algorithm: `clip` takes CLIP's own 48,894 merges and ids, `domain` is
trained on clinical words. Words are encoded one at a time; the last token of a word ends in `</w>`,
as in CLIP, so a decoder knows where words end.

This module does not train; `echotok.bpe_training` does, with HF tokenizers.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import count, pairwise, repeat
from typing import Self

__all__ = ["END", "HALVES", "ByteBPE", "byte_alphabet", "num_base_tokens"]

END = "</w>"
"""What the last token of a word ends in."""
HALVES = "\u24ea" + "".join(chr(0x2460 + half) for half in range(15))
"""Symbols for the two halves of a byte that a compact base does not hold, in order of value."""

# Every distinct word is merged once. When the memo holds this many words, it is emptied, so that a
# stream of reports cannot fill the memory. Long words are not kept at all.
_MEMO_SIZE = 200_000
_MEMO_WORD = 40


@cache
def byte_alphabet() -> tuple[str, ...]:
    """The printable character for each byte, in order of bytes (the GPT-2 and CLIP alphabet)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = dict(zip(printable, map(chr, printable), strict=True))
    alphabet.update((byte, chr(256 + rank)) for rank, byte in enumerate(others))
    return tuple(alphabet[byte] for byte in range(256))


def num_base_tokens(base: str | None) -> int:
    """How many tokens a fallback has before its first merge.

    Args:
        base: bytes of a compact base, as in `ByteBPE`.
    """
    return 512 if base is None else len(base) + len(HALVES) + 1


@cache
def _alphabet_order() -> tuple[str, ...]:
    """The alphabet in the order in which CLIP numbers it: printable bytes first."""
    return tuple(sorted(byte_alphabet(), key=ord))


class ByteBPE:
    """A byte-level BPE over single words.

    From `offset` on, the ids are: 256 bytes, 256 bytes that end a word, then one id for each merge,
    in the order of the merges. With CLIP's merges and no offset these are CLIP's ids.

    With a compact base the ids are: the bytes of the base, 16 half bytes (every byte outside of the
    base is written as two of them), the end of a word as a token of its own, which takes part in
    merges as other tokens do, then one id for each merge.

    Args:
        merges: `(left, right)` pairs in the byte alphabet, best first.
        offset: the first id.
        base: the bytes of a compact base in the byte alphabet; None for all of them.
        more: merges that come after the others, with ids of their own.
        more_offset: the first id of these.

    Attributes:
        compact: whether the base is compact.
        alphabet: how each byte is written.
        tokens, more_tokens: the texts of the tokens, in order of ids.
        ids: the id of each token's text.
        ranks: the rank of each merge, written as `left right`.

    Raises:
        ValueError: the base repeats a byte, or a merge is not a pair.
    """

    def __init__(
        self,
        merges: Iterable[tuple[str, str]],
        *,
        offset: int = 0,
        base: str | None = None,
        more: Iterable[tuple[str, str]] = (),
        more_offset: int = 0,
    ) -> None:
        lines, more_lines = list(map(" ".join, merges)), list(map(" ".join, more))
        self._build(lines, offset, base, more_lines, more_offset)

    @classmethod
    def of_lines(
        cls,
        merges: Sequence[str],
        *,
        offset: int = 0,
        base: str | None = None,
        more: Sequence[str] = (),
        more_offset: int = 0,
    ) -> Self:
        """Make a BPE from merges as files hold them, which takes less time.

        Args:
            merges: a line `left right` for each merge, best first.
            offset: the first id.
            base: the bytes of a compact base; None for all of them.
            more: lines of the merges that come after the others.
            more_offset: the first id of these.
        """
        bpe = cls.__new__(cls)
        bpe._build(merges, offset, base, more, more_offset)
        return bpe

    def _build(
        self,
        merges: Sequence[str],
        offset: int,
        base: str | None,
        more: Sequence[str],
        more_offset: int,
    ) -> None:
        if base is not None and not len(set(base)) == len(base) <= len(
            set(base) & set(byte_alphabet())
        ):
            raise ValueError("the fallback's base repeats a byte, or holds something else")
        self.alphabet = byte_alphabet()
        self.compact = base is not None
        self.tokens: list[str]
        if base is None:
            symbols = _alphabet_order()
            self.tokens = [*symbols, *(symbol + END for symbol in symbols)]
        else:
            self.tokens = [*base, *HALVES, END]
            self.alphabet = tuple(
                symbol if symbol in base else HALVES[byte >> 4] + HALVES[byte & 15]
                for byte, symbol in enumerate(self.alphabet)
            )
        self.tokens += _merged(merges)
        self.more_tokens = _merged(more)
        self.ranks: dict[str, int] = dict(zip((*merges, *more), count(), strict=False))
        if len(self.ranks) < len(merges) + len(more):  # a merge that comes twice
            self.ranks = {}
            for line in (*merges, *more):
                self.ranks[line] = len(self.ranks)
        self.ids = dict(zip(self.tokens, count(offset), strict=False))
        self.ids.update(zip(self.more_tokens, count(more_offset), strict=False))
        self._memo: dict[str, tuple[int, ...]] = {}

    def encode_word(self, word: str) -> tuple[int, ...]:
        """Encode one word, which holds no white space.

        A lone surrogate is taken as the three bytes that UTF-8 would give it, so that any `str`
        can be encoded.
        """
        known = self._memo.get(word)
        if known is not None:
            return known
        alphabet = self.alphabet
        symbols = [alphabet[byte] for byte in word.encode("utf-8", "surrogatepass")]
        # A word that is a token is that token. Merging ends there too: a test says so for CLIP's.
        whole = self.ids.get("".join(symbols) + END)
        if whole is not None:
            ids: tuple[int, ...] = (whole,)
        else:
            if self.compact:
                symbols = [*"".join(symbols), END]
            else:
                symbols[-1] += END
            ids = tuple(self.ids[symbol] for symbol in _merge(symbols, self.ranks))
        if len(word) <= _MEMO_WORD:
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            self._memo[word] = ids
        return ids


def _merged(lines: Sequence[str]) -> list[str]:
    """The token that each merge makes."""
    if not lines:
        return []
    if set(map(str.count, lines, repeat(" "))) != {1}:
        raise ValueError("a merge is two texts with a space between them")
    return "\n".join(lines).replace(" ", "").split("\n")


def _merge(parts: list[str], ranks: dict[str, int]) -> list[str]:
    """Join the leftmost pair of the best rank until no pair has one. Consumes `parts`."""
    if len(parts) > _LONG:
        return _merge_long(parts, ranks)
    none = len(ranks)
    of_pair = [ranks.get(f"{left} {right}", none) for left, right in pairwise(parts)]
    while of_pair:
        best = min(of_pair)
        if best == none:
            break
        at = of_pair.index(best)
        parts[at] += parts.pop(at + 1)
        del of_pair[at]
        if at:
            of_pair[at - 1] = ranks.get(f"{parts[at - 1]} {parts[at]}", none)
        if at < len(of_pair):
            of_pair[at] = ranks.get(f"{parts[at]} {parts[at + 1]}", none)
    return parts


# From here on a heap beats rescanning: a 10 MB "word" costs n log n, not n squared.
_LONG = 128


def _merge_long(symbols: Sequence[str], ranks: dict[str, int]) -> list[str]:
    """The same merges as `_merge`, with a heap and a linked list."""
    parts: list[str | None] = list(symbols)
    following = [*range(1, len(parts)), -1]
    previous = [-1, *range(len(parts) - 1)]
    heap: list[tuple[int, int, str, str]] = []

    def push(left: int) -> None:
        right = following[left]
        if right != -1:
            first, second = parts[left], parts[right]
            assert first is not None
            assert second is not None
            rank = ranks.get(f"{first} {second}")
            if rank is not None:
                heapq.heappush(heap, (rank, left, first, second))

    for left in range(len(parts) - 1):
        push(left)
    while heap:
        _, left, first, second = heapq.heappop(heap)
        right = following[left]
        if parts[left] != first or right == -1 or parts[right] != second:
            continue  # one of the two has been merged meanwhile
        parts[left], parts[right] = first + second, None
        following[left] = following[right]
        if following[right] != -1:
            previous[following[right]] = left
        push(left)
        if previous[left] != -1:
            push(previous[left])
    return [part for part in parts if part is not None]
