"""The fallback's side of mining: which words train it, its base, and what a word costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from echotok.bpe import ByteBPE, byte_alphabet
from echotok.mining.runs import mine_runs
from echotok.mining.segments import Bools, Ints, Segments
from echotok.mining.views import Split, make_views
from echotok.table.values import split_number
from echotok.text import is_number

__all__ = ["base_of", "common_words", "count_words", "piece_costs"]

# Without these a word in another spelling would cost two tokens for each letter.
_ALWAYS = "abcdefghijklmnopqrstuvwxyz0123456789"


def common_words(segments: Segments, *, k: int) -> set[str]:
    """The words and other single pieces, except numbers, that k patients' reports hold (I9)."""
    plain = make_views(segments, (), split_number)[-1]
    return {text for text in mine_runs(segments, plain, k=k, longest=1).texts if text != "{number}"}


def count_words(
    segments: Segments, words: Collection[str], *, places: Bools | None = None
) -> Counter[str]:
    """How often words occur.

    Args:
        segments: the corpus.
        words: the words that may be counted.
        places: bool (num_nodes,), true where to count; None counts everywhere.
    """
    weight: npt.NDArray[np.float64] = segments.weights[segments.segment_of_node()].astype(float)
    weight[segments.private] = 0
    if places is not None:
        weight *= places
    real = segments.pieces >= 0
    sums = np.bincount(segments.pieces[real], weight[real], minlength=len(segments.vocabulary))
    counts: Counter[str] = Counter()
    for piece, count in zip(segments.vocabulary, sums.tolist(), strict=True):
        word = piece.removeprefix(" ")
        if count and word in words:
            counts[word] += round(count)
    return counts


def base_of(words: Mapping[str, int]) -> str:
    """The bytes that the words need, in the byte alphabet: the fallback's compact base."""
    alphabet = byte_alphabet()
    found = {alphabet[byte] for word in words for byte in word.encode("utf-8", "surrogatepass")}
    return "".join(sorted(found | set(_ALWAYS)))


def piece_costs(
    segments: Segments, merges: Sequence[tuple[str, str]], *, base: str | None, split: Split
) -> Ints:
    """Number of tokens of every piece where no phrase is used.

    Returns:
        int64 (num_nodes,), 0 at the ends of segments.
    """
    bpe = ByteBPE(merges, base=base)
    costs = []
    for piece in segments.vocabulary:
        bare = piece.removeprefix(" ")
        costs.append(len(split(bare) if is_number(piece) else bpe.encode_word(bare)))
    return np.array([*costs, 0], dtype=np.int64)[segments.pieces]
