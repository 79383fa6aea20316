"""Candidate phrases: runs of pieces that occur in at least k patients.

Runs grow by one element at a time, so that a run is looked at only where its beginning was frequent
enough. Of runs that always occur together only the longest that a table can hold is kept: it saves
at least as much, and a fragment of a fixed expression is of no use to a reader. Where the longest
run holds something that no table can hold (`lvef>55%`, a brace), its longest parts without that are
kept in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from echotok.mining.segments import Bools, Ints, Segments, SmallInts

__all__ = ["Runs", "View", "mine_runs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Segments read as elements: pieces, or a whole value as one element.

    Attributes:
        texts: text of each distinct element without its space; a slot is written as `{name}`.
        elements: int64 (num_elements,), index into `texts`; -1 where no run may go through: at the
            end of a segment, and at what may name a person.
        spaced: bool (num_elements,), whether a space stands before the element.
        nodes: int64 (num_elements,), the node at which the element begins.
        costs: int64 (num_elements,), number of tokens of an element that is a slot's value; 0 for
            other elements.
    """

    texts: tuple[str, ...]
    elements: Ints
    spaced: Bools
    nodes: Ints
    costs: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Candidate phrases and where they occur.

    Attributes:
        texts: the phrases, with slots written as `{name}`.
        num_slots: int64 (num_runs,), number of slots of each run.
        lengths: int64 (num_runs,), number of elements of each run.
        run: int32 (num_occurrences,), index of the run that occurs.
        start, end: int32 (num_occurrences,), the nodes at which the occurrence begins and ends.
        cost: int32 (num_occurrences,), tokens of the occurrence: one, and those of its values.
    """

    texts: tuple[str, ...]
    num_slots: Ints
    lengths: Ints
    run: SmallInts
    start: SmallInts
    end: SmallInts
    cost: SmallInts


_Found = tuple[SmallInts, int, SmallInts]
"""Runs of one length: first positions of the occurrences, the length, run of each occurrence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """The frequent runs of one length, by number.

    Attributes:
        length: number of elements.
        first: int64 (num_runs,), one position of each run.
        right, left: int64 (num_runs,), the run one longer that it always goes on to on that side,
            or -1 where it does not always go on in one way.
    """

    length: int
    first: Ints
    right: Ints
    left: Ints


def mine_runs(
    segments: Segments,
    view: View,
    *,
    k: int,
    longest: int,
    parts: bool = False,
    fits: Callable[[str, int], bool] | None = None,
) -> Runs:
    """Find the runs of a view that k patients hold, except those that a longer run replaces.

    Args:
        segments: the corpus.
        view: the corpus read as elements.
        k: number of patients that must hold a run.
        longest: largest number of elements in a run.
        parts: return also the runs that always stand in one and the same longer run.
        fits: function of a run's text and number of elements that tells whether a table can hold
            the run; None takes all runs. A run that does not fit is not returned, and replaces no
            other run.
    """
    size = len(view.elements)
    segment_of = np.searchsorted(segments.starts, view.nodes, side="right") - 1
    num_holders = np.diff(segments.holder_starts)
    # An element with its space is another one, but for the first of a run.
    spaced = view.elements * 2 + view.spaced
    alive = np.flatnonzero(view.elements >= 0)
    keys = view.elements[alive]
    gram = np.full(size, -1, dtype=np.int64)
    found: list[_Found] = []
    levels: list[_Level] = []
    previous: tuple[Ints, Ints] | None = None
    for length in range(1, longest + 2):
        numbers = _frequent(keys, segment_of[alive], segments, num_holders, k)
        kept = numbers >= 0
        alive, numbers = alive[kept], numbers[kept]
        grown = np.full(size, -1, dtype=np.int64)
        # A run of the greatest length stands for itself, also where it always goes on.
        if length <= longest:
            grown[alive] = numbers
        if previous is not None:
            at, number = previous
            level = _level(length - 1, at, number, grown)
            levels.append(level)
            chosen = (level.right < 0) & (level.left < 0)
            if length == 2 or parts:
                chosen[:] = True  # single words are needed by themselves
            held = chosen[number]
            small = at[held].astype(np.int32), length - 1, number[held].astype(np.int32)
            found.append(small)
        if not len(alive):
            break
        previous = (alive, numbers)
        gram = grown
        following = np.minimum(alive + length, size - 1)
        goes_on = view.elements[following] >= 0
        alive, following = alive[goes_on], following[goes_on]
        keys = gram[alive] * (2 * len(view.texts)) + spaced[following]
    spelling = _Spelling(view)
    if fits is not None:
        found = _fitting(spelling, found, levels, fits)
    return _assemble(view, spelling, found)


def _frequent(keys: Ints, segment_of: Ints, segments: Segments, num_holders: Ints, k: int) -> Ints:
    """Number the keys that k patients hold; -1 where fewer do."""
    _, inverse = np.unique(keys, return_inverse=True)
    count = int(inverse.max(initial=-1)) + 1
    most = np.zeros(count, dtype=np.int64)
    np.maximum.at(most, inverse, num_holders[segment_of])
    total = np.bincount(inverse, num_holders[segment_of], minlength=count)
    enough = most >= k
    unsure = ~enough & (total >= k)
    ask = np.flatnonzero(unsure[inverse])
    if len(ask):
        sizes = num_holders[segment_of[ask]]
        firsts = np.repeat(segments.holder_starts[segment_of[ask]], sizes)
        offsets = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        pairs = np.repeat(inverse[ask], sizes) * segments.num_patients
        pairs += segments.holders[firsts + offsets]
        holding = np.bincount(np.unique(pairs) // segments.num_patients, minlength=count)
        enough |= unsure & (holding >= k)
    numbers = np.where(enough, np.cumsum(enough) - 1, -1)
    return np.asarray(numbers[inverse], dtype=np.int64)


def _level(length: int, at: Ints, number: Ints, grown: Ints) -> _Level:
    """The runs of one length, and to which longer run each always goes on."""
    count = int(number.max(initial=-1)) + 1
    before = np.where(at > 0, grown[at - 1], -1)
    sides = []
    for extension in (grown[at], before):
        low = np.full(count, np.iinfo(np.int64).max)
        high = np.full(count, -1, dtype=np.int64)
        np.minimum.at(low, number, extension)
        np.maximum.at(high, number, extension)
        sides.append(np.where(low == high, high, -1))
    first = np.zeros(count, dtype=np.int64)
    first[number[::-1]] = at[::-1]
    return _Level(length=length, first=first, right=sides[0], left=sides[1])


def _fitting(
    spelling: _Spelling,
    found: list[_Found],
    levels: list[_Level],
    fits: Callable[[str, int], bool],
) -> list[_Found]:
    """What was found, each run that does not fit in a table replaced by its longest parts that do.

    A run that always goes on to a longer one occurs where that one does, so its positions follow
    from those of the longest.
    """

    def fit(position: int, length: int) -> bool:
        return fits(spelling.text(position, length), length)

    kept: list[_Found] = []
    # Of the runs one longer that nothing stands for: their positions, by number.
    open_runs: dict[int, SmallInts] = {}
    for level, (at, length, number) in zip(reversed(levels), reversed(found), strict=True):
        order = np.argsort(number, kind="stable")
        at, number = at[order], number[order]
        starts = np.flatnonzero(np.diff(number, prepend=-1))
        runs, bounds = number[starts].tolist(), [*starts.tolist(), len(at)]
        known = set(runs)
        parts: dict[int, SmallInts] = {}
        for run in _only_in(level, open_runs):
            if run not in known:
                right, left = int(level.right[run]), int(level.left[run])
                parts[run] = open_runs[right] if right in open_runs else open_runs[left] + 1
        open_runs = {run: held for run, held in parts.items() if not fit(int(held[0]), length)}
        firsts = at[starts].tolist()
        for run, first, low, high in zip(runs, firsts, bounds, bounds[1:], strict=False):
            if not fit(first, length):
                open_runs[run] = at[low:high]
        if open_runs:
            stays = ~np.isin(number, np.fromiter(open_runs, dtype=np.int64))
            at, number = at[stays], number[stays]
        if more := [run for run in parts if run not in open_runs]:
            at = np.concatenate([at, *(parts[run] for run in more)])
            number = np.concatenate([number, *(np.full(len(parts[run]), run) for run in more)])
            order = np.argsort(number, kind="stable")
            at, number = at[order], number[order]
        if len(at):
            kept.append((at, length, number))
    return kept[::-1]


def _only_in(level: _Level, open_runs: dict[int, SmallInts]) -> list[int]:
    """The runs that always go on to longer ones, of which none can stand for them."""
    if not open_runs:
        return []
    numbers = np.fromiter(open_runs, dtype=np.int64)
    right, left = np.isin(level.right, numbers), np.isin(level.left, numbers)
    only = (right | (level.right < 0)) & (left | (level.left < 0)) & (right | left)
    return np.flatnonzero(only).tolist()


class _Spelling:
    """The texts of the runs of a view."""

    def __init__(self, view: View) -> None:
        spelled = np.array([text for word in view.texts for text in (word, " " + word)], object)
        # What is at an end of a segment is never asked for.
        self._words: list[str] = spelled[np.maximum(view.elements, 0) * 2 + view.spaced].tolist()

    def text(self, position: int, length: int) -> str:
        """The text of the run at a position."""
        return "".join(self._words[position : position + length]).removeprefix(" ")


def _assemble(view: View, spelling: _Spelling, found: list[_Found]) -> Runs:
    texts: list[str] = []
    slots: list[int] = []
    lengths: list[int] = []
    parts: list[tuple[SmallInts, SmallInts, SmallInts, SmallInts]] = []
    is_slot = np.array([text.startswith("{") and len(text) > 2 for text in view.texts])
    nodes = view.nodes.astype(np.int32)
    cost = np.concatenate([[0], np.cumsum(view.costs)]).astype(np.int32)
    slotted = np.concatenate([[0], np.cumsum(is_slot[view.elements] & (view.elements >= 0))])
    for at, length, number in found:
        names, first, inverse = np.unique(number, return_index=True, return_inverse=True)
        firsts = at[first]
        texts += [spelling.text(position, length) for position in firsts.tolist()]
        lengths += [length] * len(firsts)
        slots += (slotted[firsts + length] - slotted[firsts]).tolist()
        base = len(texts) - len(names)
        parts.append(
            (
                (inverse + base).astype(np.int32),
                nodes[at],
                nodes[at + length],
                1 + cost[at + length] - cost[at],
            )
        )
    run, start, end, tokens = (
        np.concatenate([part[i] for part in parts]) if parts else np.zeros(0, dtype=np.int32)
        for i in range(4)
    )
    return Runs(
        texts=tuple(texts),
        num_slots=np.array(slots, dtype=np.int64),
        lengths=np.array(lengths, dtype=np.int64),
        run=run,
        start=start,
        end=end,
        cost=tokens,
    )
