"""Which numbers deserve a token of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np

from echotok.mining.segments import Segments
from echotok.mining.views import fixed_numbers
from echotok.table.values import CONTINUE_CHARACTERS, START_CHARACTERS, NumberCode
from echotok.text import is_number

__all__ = ["choose_numbers", "count_numbers"]

_MOST_VALUES = 400
# A long number may belong to a person; four digits may be a year.
_SHORT = re.compile(r"(?!.*[0-9]{4}).{1,10}")


def count_numbers(segments: Segments, *, k: int) -> Counter[str]:
    """How often each value that k patients hold stands in a place where numbers vary.

    Args:
        segments: the corpus.
        k: number of patients that must hold a value.
    """
    places = ~fixed_numbers(segments) & ~segments.private & (segments.pieces >= 0)
    segment_of = segments.segment_of_node()
    holders = np.diff(segments.holder_starts)
    counts: Counter[str] = Counter()
    for number, piece in enumerate(segments.vocabulary):
        bare = piece.removeprefix(" ")
        if not is_number(piece) or not _SHORT.fullmatch(bare):
            continue
        at = segment_of[places & (segments.pieces == number)]
        holding = set()
        for segment in np.unique(at).tolist():
            first = segments.holder_starts[segment]
            holding.update(segments.holders[first : first + holders[segment]].tolist())
            if len(holding) >= k:
                break
        if len(holding) >= k:
            counts[bare] += int(segments.weights[at].sum())
    return counts


def choose_numbers(counts: Mapping[str, int], *, least: float) -> NumberCode:
    """Choose the tokens that shorten numbers most, one after the other.

    Args:
        counts: how often each value occurs.
        least: number of tokens that a number token has to save to be worth its row.

    Example:
        >>> choose_numbers({"55-60": 100, "12": 3}, least=50).starts
        ('55-60',)
    """
    values = sorted(counts, key=lambda value: (-counts[value], value))[:_MOST_VALUES]
    code = NumberCode()
    candidates: dict[tuple[str, str], list[str]] = {}
    for value in values:
        for low in range(len(value)):
            role, characters = (
                ("continue", CONTINUE_CHARACTERS) if low else ("start", START_CHARACTERS)
            )
            for high in range(low + 2, len(value) + 1):
                if value[low] in characters:
                    candidates.setdefault((role, value[low:high]), []).append(value)
    ceilings = {
        token: sum(counts[value] for value in holders) * (len(token[1]) - 1)
        for token, holders in candidates.items()
    }
    while True:
        best, best_gain, best_code = None, least, code
        ordered = sorted(ceilings, key=lambda token: (-ceilings[token], token))
        for token in ordered:
            if ceilings[token] <= best_gain:
                break
            trial = _with(code, token)
            gain = sum(
                counts[value] * (len(code.split(value)) - len(trial.split(value)))
                for value in dict.fromkeys(candidates[token])
            )
            ceilings[token] = gain  # what is saved only shrinks as other tokens come
            if gain > best_gain:
                best, best_gain, best_code = token, gain, trial
        if best is None:
            return code
        code = best_code
        del ceilings[best]


def _with(code: NumberCode, token: tuple[str, str]) -> NumberCode:
    role, text = token
    if role == "start":
        return NumberCode(starts=(*code.starts, text), continues=code.continues)
    return NumberCode(starts=code.starts, continues=(*code.continues, text))
