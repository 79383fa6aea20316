"""Choosing phrases: fewest tokens under the tokenizer's own longest match.

The encoder reads a segment from left to right and takes the longest phrase at each place. `behind`
holds, for every place, the number of tokens from there to the end of the segment; `reached` tells
whether the encoder comes to the place. A new phrase from a to b saves `behind[a] - cost -
behind[b]` where the encoder comes to a and has nothing longer there; elsewhere it saves nothing.
Both tables are filled for the whole corpus at once by doubling the jumps.

Phrases are added in rounds, the best first; a phrase that shares text with a better one of the
round waits for the next round, in which its savings are counted anew. Then phrases that no longer
save much are exchanged for phrases that now save more, as long as the number of all tokens falls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echotok.mining.runs import Runs
from echotok.mining.segments import Ints, Segments

__all__ = ["Selection", "select"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# A phrase seen n times in training is met some n - _DISCOUNT times in as much new text.
_DISCOUNT = 0.75
_SLOTS = 1 << 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The chosen phrases.

    Attributes:
        chosen: int64, indexes of the chosen runs.
        total: number of tokens of the corpus under longest match, without BOS and EOS.
        reached: bool (num_nodes,), true where the encoder begins a unit.
        bare: bool (num_nodes,), true where that unit is not a phrase.
        saved: int64 (num_runs,), tokens that the corpus would need more without the chosen run.
    """

    chosen: Ints
    total: int
    reached: Bools
    bare: Bools
    saved: Ints


class _Paths:
    """The encoder's way through every segment for a set of phrases."""

    def __init__(self, segments: Segments, runs: Runs, word_costs: Ints) -> None:
        self.segments, self.runs = segments, runs
        nodes = segments.num_nodes
        self.ends = segments.pieces < 0
        self.weight = segments.weights[segments.segment_of_node()].astype(np.float64)
        self._word_costs = np.where(self.ends, 0, word_costs)
        self._word_next = np.where(self.ends, np.arange(nodes), np.arange(nodes) + 1)
        # The longest wins, then fewest slots; two runs never have the same text.
        self.rank = runs.end * _SLOTS + (_SLOTS - 1 - runs.num_slots[runs.run])
        self._order = np.lexsort((self.rank, runs.start))
        self._run_in_order = runs.run[self._order]

    def lay(self, chosen: Bools) -> None:
        """Work out the way for the chosen runs."""
        runs = self.runs
        order = self._order[chosen[self._run_in_order]]
        starts = runs.start[order]
        last = np.ones(len(order), dtype=bool)
        last[:-1] = starts[1:] != starts[:-1]
        best = order[last]
        self.best = np.full(self.segments.num_nodes, -1, dtype=np.int64)
        self.best[starts[last]] = best
        # What comes second at a place takes over when the best is dropped.
        self.second = np.full(self.segments.num_nodes, -1, dtype=np.int64)
        before = np.flatnonzero(last)
        has = before > 0
        has[has] = starts[before[has] - 1] == starts[before[has]]
        self.second[starts[before[has]]] = order[before[has] - 1]
        taken = self.best >= 0
        self.next = np.where(taken, runs.end[self.best], self._word_next)
        self.cost = np.where(taken, runs.cost[self.best], self._word_costs)
        self.behind = self._behind()
        self.reached = self._reached()
        firsts = self.segments.starts[:-1]
        self.total = float((self.behind[firsts] * self.segments.weights).sum())

    def _behind(self) -> Ints:
        total, jump = self.cost, self.next
        while True:
            onward = jump[jump]
            if np.array_equal(onward, jump):
                return total
            total = total + total[jump]
            jump = onward

    def _reached(self) -> Bools:
        reached = np.zeros(self.segments.num_nodes, dtype=bool)
        front = self.segments.starts[:-1]
        while len(front):
            reached[front] = True
            front = self.next[front]
            front = front[~self.ends[front]]
        return reached

    def gains(self) -> Floats:
        """What each occurrence would save if its run were chosen; 0 where nothing."""
        runs = self.runs
        # Of each node the rank that is to be beaten there; few occurrences beat it, and only for
        # these the rest is looked up.
        bar = np.where(self.best >= 0, self.rank[self.best], -1)
        bar[~self.reached] = np.iinfo(np.int64).max
        at = np.flatnonzero(self.rank > bar[runs.start])
        start = runs.start[at]
        saved = self.behind[start] - runs.cost[at] - self.behind[runs.end[at]]
        gains = np.zeros(len(runs.start))
        gains[at] = saved * self.weight[start]
        return gains

    def losses(self) -> Floats:
        """What each chosen run saves at the places where it is used."""
        runs = self.runs
        used = np.flatnonzero(self.reached & (self.best >= 0))
        second = self.second[used]
        has = second >= 0
        following = np.where(has, runs.end[second], self._word_next[used])
        cost = np.where(has, runs.cost[second], self._word_costs[used])
        more = (cost + self.behind[following] - self.behind[used]) * self.weight[used]
        losses = np.bincount(runs.run[self.best[used]], more, minlength=len(runs.texts))
        return np.asarray(losses, dtype=np.float64)


def select(
    segments: Segments,
    runs: Runs,
    *,
    word_costs: Ints,
    size: int,
    fixed: Ints | None = None,
    favour: Floats | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Selection:
    """Choose the phrases that leave the fewest tokens under longest match.

    Args:
        segments: the corpus.
        runs: the candidates.
        word_costs: int64 (num_nodes,), tokens of the piece at a node where no phrase is.
        size: number of runs to choose; fewer come back when no other run saves anything.
        fixed: runs that are always used, in addition to the `size` chosen ones.
        favour: float (num_runs,), factor for the savings of each run; None takes 1 for all.
        progress: called with the number of phrases chosen so far and with `size`.
    """
    paths = _Paths(segments, runs, word_costs)
    count = len(runs.texts)
    chosen = np.zeros(count, dtype=bool)
    held = np.zeros(count, dtype=bool)
    if fixed is not None:
        held[fixed] = True
    chosen |= held
    occurrences = np.bincount(runs.run, paths.weight[runs.start], minlength=count)
    trust = np.clip(1 - _DISCOUNT / np.maximum(occurrences, 1), 0, None)
    if favour is not None:
        trust = trust * favour
    by_run = np.argsort(runs.run, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(runs.run, minlength=count))])
    picker = _Picker(paths, by_run, bounds, trust)
    paths.lay(chosen)
    done = 0
    while done < size:
        batch = picker.pick(chosen, min(size - done, max(8, done // 16)))
        if not len(batch):
            break
        chosen[batch] = True
        done += len(batch)
        paths.lay(chosen)
        if progress is not None:
            progress(done, size)
    _swap(paths, picker, chosen, held)
    paths.lay(chosen)
    saved = np.rint(paths.losses()).astype(np.int64)
    return Selection(
        chosen=np.flatnonzero(chosen & ~held),
        total=round(paths.total),
        reached=paths.reached,
        bare=paths.reached & (paths.best < 0),
        saved=saved,
    )


class _Picker:
    """Picks the runs that save most and do not share text."""

    def __init__(self, paths: _Paths, by_run: Ints, bounds: Ints, trust: Floats) -> None:
        self._paths, self._by_run, self._bounds, self.trust = paths, by_run, bounds, trust

    def pick(self, chosen: Bools, size: int, *, least: float = 0.0) -> Ints:
        """Up to `size` runs, best first."""
        paths = self._paths
        runs = paths.runs
        gains = paths.gains()
        worth = np.bincount(runs.run, gains, minlength=len(chosen)) * self.trust
        worth[chosen] = 0
        candidates = np.argsort(-worth, kind="stable")[: 8 * size]
        candidates = candidates[worth[candidates] > least]
        touched = np.zeros(paths.segments.num_nodes, dtype=bool)
        picked: list[int] = []
        for candidate in candidates.tolist():
            at = self._by_run[self._bounds[candidate] : self._bounds[candidate + 1]]
            at = at[gains[at] != 0]
            start, end = runs.start[at], runs.end[at]
            shared = touched[start] | touched[end - 1] | touched[(start + end) // 2]
            if gains[at[shared]].sum() > 0.2 * gains[at].sum():
                continue
            picked.append(candidate)
            touched[start] = True
            touched[end - 1] = True
            touched[(start + end) // 2] = True
            for low, high in zip(start.tolist(), end.tolist(), strict=True) if len(at) < 64 else ():
                touched[low:high] = True
            if len(picked) == size:
                break
        return np.array(picked, dtype=np.int64)


def _swap(paths: _Paths, picker: _Picker, chosen: Bools, held: Bools) -> None:
    """Change phrases that save little for phrases that save more; `chosen` is changed."""
    share = 0.08
    while share > 0.002:
        before = paths.total
        count = max(1, int(share * int((chosen & ~held).sum())))
        losses = np.where(chosen & ~held, paths.losses() * picker.trust, np.inf)
        out = np.argsort(losses, kind="stable")[:count]
        trial = chosen.copy()
        trial[out] = False
        paths.lay(trial)
        back = picker.pick(trial, count)
        trial[back] = True
        paths.lay(trial)
        if paths.total < before:
            chosen[:] = trial
            if before - paths.total < 0.0003 * before:
                share /= 2
        else:
            paths.lay(chosen)
            share /= 2
