"""Which phrases break off or begin in mid-phrase, told from the corpus itself, in any language.

"of", "the", "mit" hardly ever stand before a comma, a full stop or a line's end, so an expression
does not end there; of these, the ones that hardly ever stand behind one ("of", "is", but not "the")
do not begin an expression either.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from echotok.mining.segments import Bools, Segments

__all__ = ["favour", "find_open"]

Floats = npt.NDArray[np.float64]

_STOPS = frozenset(".,;:!?)")
# A word is open that stands at an expression's edge this rarely. Each is taken to have stood there
# `_PRIOR` times more, so that a word that is met fewer than some forty times is not judged.
_OPEN_SHARE = 0.05
_PRIOR = 2.0
# An entry that breaks off in mid-phrase counts this much of what it saves.
_OPEN_WORTH = 0.7


def favour(segments: Segments, texts: Sequence[str]) -> Floats:
    """What the savings of a phrase are multiplied by when phrases are chosen.

    Args:
        segments: the corpus.
        texts: the phrases, slots as `{name}`.

    Returns:
        float (len(texts),).
    """
    return np.where(find_open(segments, texts), _OPEN_WORTH, 1.0)


def find_open(segments: Segments, texts: Sequence[str]) -> Bools:
    """Whether each phrase of several words ends or begins in mid-phrase.

    Args:
        segments: the corpus.
        texts: the phrases, slots as `{name}`.

    Returns:
        bool (len(texts),); False for phrases of one word.
    """
    open_ends, open_starts = _open_words(segments)
    open_starts |= _STOPS

    def is_open(text: str) -> bool:
        if " " not in text:
            return False
        return text.rsplit(" ", 1)[1] in open_ends or _first(text) in open_starts

    return np.array([is_open(text) for text in texts], dtype=bool)


def _first(text: str) -> str:
    return text[0] if text[0] in _STOPS else text.split(" ", 1)[0]


def _open_words(segments: Segments) -> tuple[set[str], set[str]]:
    """Words that hardly ever end an expression, and those of them that hardly ever begin one."""
    words = [piece.removeprefix(" ") for piece in segments.vocabulary]
    numbers = {word: number for number, word in enumerate(dict.fromkeys(words))}
    of_piece = np.array([numbers[word] for word in words], dtype=np.int64)
    edge = np.array([word in _STOPS for word in words] + [True])  # the last: a segment's end
    pieces = segments.pieces
    real = np.flatnonzero(pieces >= 0)
    weight = segments.weights[segments.segment_of_node()[real]].astype(np.float64)
    word = of_piece[pieces[real]]
    before = np.where(real > 0, pieces[real - 1], -1)

    def shares(at_edge: Bools) -> Floats:
        met = np.bincount(word, weight * at_edge, minlength=len(numbers))
        return (met + _PRIOR) / (np.bincount(word, weight, minlength=len(numbers)) + _PRIOR)

    ends_open = shares(edge[pieces[real + 1]]) < _OPEN_SHARE
    starts_open = ends_open & (shares(edge[before]) < _OPEN_SHARE)
    named = list(numbers)
    return (
        {named[number] for number in np.flatnonzero(ends_open)},
        {named[number] for number in np.flatnonzero(starts_open)},
    )
