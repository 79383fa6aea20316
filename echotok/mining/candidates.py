"""All candidates of a corpus: the runs of every view that a table can hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

import numpy as np

from echotok.mining.constituents import constituents
from echotok.mining.runs import Runs, mine_runs
from echotok.mining.segments import Segments
from echotok.mining.views import Split, make_views, value_spans
from echotok.table.phrases import BUILT_IN_SLOTS, parse_phrase
from echotok.table.values import EnumValue

__all__ = ["find_candidates", "find_parts"]


def find_candidates(
    segments: Segments,
    *,
    values: Sequence[EnumValue],
    split: Split,
    units: tuple[str, ...],
    k: int,
    longest: int,
) -> tuple[Runs, Collection[int]]:
    """The runs that may become phrases.

    Args:
        segments: the corpus.
        values: spellings that are values; a run that is only such a spelling is not a phrase.
        split: writes a number as tokens.
        units: spellings of units, as in `PhraseTable.units`.
        k: number of patients that must hold a run.
        longest: largest number of elements in a run.

    Returns:
        The candidates, and the indexes of those that stand for values outside of phrases.
    """
    spellings = {value.text for value in values}
    slots = (*BUILT_IN_SLOTS, *dict.fromkeys(value.slot for value in values))

    def fits(text: str, length: int) -> bool:
        known = slots if "{" in text else ()
        return text in spellings or _fits_a_table(text, length, known, units)

    views = make_views(segments, value_spans(segments, values), split)
    found = (mine_runs(segments, view, k=k, longest=longest, fits=fits) for view in views)
    joined = _join(found, segments.num_nodes)
    return joined, [number for number, text in enumerate(joined.texts) if text in spellings]


def find_parts(
    segments: Segments, *, split: Split, units: tuple[str, ...], k: int, longest: int
) -> list[str]:
    """Parts of fixed expressions that may become phrases too, most frequent first.

    Args:
        segments: the corpus.
        split: writes a number as tokens.
        units: spellings of units, as in `PhraseTable.units`.
        k: number of patients that must hold a run.
        longest: largest number of elements in a run.
    """
    view = make_views(segments, (), split)[0]
    runs = mine_runs(segments, view, k=k, longest=longest, parts=True)
    return [
        text
        for text in constituents(segments, view, known=set(runs.texts), k=k)
        if _is_phrase(text, BUILT_IN_SLOTS, units)
    ]


def _is_phrase(text: str, slots: Sequence[str], units: tuple[str, ...]) -> bool:
    try:
        parse_phrase(text, slots=slots, units=units)
    except ValueError:
        return False
    return True


# Asked again for each view, and each time that candidates are sought: most texts are the same.
@lru_cache(maxsize=1 << 18)
def _fits_a_table(text: str, length: int, slots: tuple[str, ...], units: tuple[str, ...]) -> bool:
    """Whether a table can hold the phrase, and reads it as the pieces that it was made of."""
    try:
        return len(parse_phrase(text, slots=slots, units=units)) == length
    except ValueError:
        return False


def _join(parts: Iterable[Runs], num_nodes: int) -> Runs:
    """Runs of several views as one set; what two views share is there once.

    Views differ in little, so that one is joined before the next is made.
    """
    numbers: dict[str, int] = {}
    slots: list[int] = []
    lengths: list[int] = []
    joined = [np.zeros(0, dtype=np.int32) for _ in range(4)]
    for part in parts:
        mine = []
        for at, text in enumerate(part.texts):
            number = numbers.setdefault(text, len(numbers))
            if number == len(slots):
                slots.append(int(part.num_slots[at]))
                lengths.append(int(part.lengths[at]))
            mine.append(number)
        run = np.array(mine, dtype=np.int32)[part.run]
        columns = (run, part.start, part.end, part.cost)
        joined = [np.concatenate(both) for both in zip(joined, columns, strict=True)]
        # A run and its first node say the rest.
        key = joined[0].astype(np.int64) * num_nodes + joined[1]
        _, first = np.unique(key, return_index=True)
        joined = [column[first] for column in joined]
    run, start, end, cost = joined
    return Runs(
        texts=tuple(numbers),
        num_slots=np.array(slots, dtype=np.int64),
        lengths=np.array(lengths, dtype=np.int64),
        run=run,
        start=start,
        end=end,
        cost=cost,
    )
