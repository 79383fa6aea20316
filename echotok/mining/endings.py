"""Which phrases begin or break off in mid-phrase, told from the corpus itself, in any language.

Words such as "of", "the" and "mit" hardly ever stand before a comma, a full stop or the end of a
line, so no expression ends with them. Some of these words also hardly ever stand behind such a mark
("of" and "is", but not "the"); no expression begins with them either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echotok.mining.segments import Bools, Segments

__all__ = ["OpenWords", "find_open_words"]

Floats = npt.NDArray[np.float64]

_STOPS = frozenset(".,;:!?)")
# A word is open when it stands at an expression's edge this rarely. Each word is taken to have
# stood there `_PRIOR` times more, so that a word met fewer than some forty times is not judged.
_OPEN_SHARE = 0.05
_PRIOR = 2.0
# Of the savings of an entry that breaks off in mid-phrase only this share is counted.
_OPEN_WORTH = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWords:
    """The words of a corpus that leave a phrase open.

    Attributes:
        ends: words with which no expression ends.
        starts: words with which no expression begins.
    """

    ends: frozenset[str]
    starts: frozenset[str]

    def leave_open(self, text: str) -> bool:
        """Whether a phrase of several words ends or begins in mid-phrase.

        Args:
            text: the phrase, with slots written as `{name}`.
        """
        first, *_, last = text.split(" ") if " " in text else (text, "")
        if not last:
            return False
        return last in self.ends or first in self.starts or first[0] in _STOPS

    def favour(self, texts: Sequence[str]) -> Floats:
        """The factor for the savings of each phrase when phrases are chosen.

        Args:
            texts: the phrases, with slots written as `{name}`.

        Returns:
            float (len(texts),).
        """
        return np.array([_OPEN_WORTH if self.leave_open(text) else 1.0 for text in texts])


def find_open_words(segments: Segments) -> OpenWords:
    """Find words that hardly ever end an expression, and those that hardly ever begin one either.

    Args:
        segments: the corpus.
    """
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
    return OpenWords(
        ends=frozenset(named[number] for number in np.flatnonzero(ends_open)),
        starts=frozenset(named[number] for number in np.flatnonzero(starts_open)),
    )
