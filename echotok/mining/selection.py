"""Choosing phrases: fewest tokens under the tokenizer's own longest match.

The encoder reads a segment from left to right and takes the longest phrase at each place. `behind`
holds, for every place, the number of tokens from there to the end of the segment; `reached` tells
whether the encoder comes to the place. A new phrase from a to b saves `behind[a] - cost -
behind[b]` where the encoder comes to a and has nothing longer there; elsewhere it saves nothing.
Both tables are filled for many segments at once by doubling the jumps.

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
from echotok.mining.segments import Ints, Segments, ranges

__all__ = ["Selection", "select"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# A phrase seen n times in training is met some n - _DISCOUNT times in as much new text.
_DISCOUNT = 0.75
_SLOTS = 1 << 8
_NEVER = np.iinfo(np.int64).max


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
    """The encoder's way through every segment for a set of phrases.

    A phrase changes the ways through the segments that hold it and no others, so that only these
    are worked out anew. Every number is a whole one, so that sums which are kept up to date equal
    those that are counted anew.
    """

    def __init__(self, segments: Segments, runs: Runs, word_costs: Ints) -> None:
        self.segments, self.runs = segments, runs
        nodes, count = segments.num_nodes, len(runs.texts)
        self.ends = segments.pieces < 0
        self._segment_of = segments.segment_of_node()
        self.weight = segments.weights[self._segment_of].astype(np.float64)
        self._word_costs = np.where(self.ends, 0, word_costs)
        self._word_next = np.where(self.ends, np.arange(nodes), np.arange(nodes) + 1)
        # The longest wins, then fewest slots; two runs never have the same text.
        self.rank = runs.end.astype(np.int64) * _SLOTS + (_SLOTS - 1 - runs.num_slots[runs.run])
        self._order = np.lexsort((self.rank, runs.start))
        self._bounds = np.searchsorted(runs.start[self._order], segments.starts)
        self._by_run = np.argsort(runs.run, kind="stable")
        self._run_bounds = np.concatenate(
            [[0], np.cumsum(np.bincount(runs.run, minlength=count), dtype=np.int64)]
        )
        self._chosen: Bools | None = None
        self.best = np.full(nodes, -1, dtype=np.int64)
        self.second = self.best.copy()
        self.next = self._word_next.copy()
        self.cost = self._word_costs.copy()
        self.behind = np.zeros(nodes, dtype=np.int64)
        self.reached = np.zeros(nodes, dtype=bool)
        self._bar = np.full(nodes, _NEVER)  # the rank that is to be beaten at a node
        self._gains = np.zeros(len(runs.start))
        self._worth = np.zeros(count)
        # Whether a segment's gains are not those of its way.
        self._is_stale = np.ones(len(segments.weights), dtype=bool)

    def occurrences(self, run: int) -> Ints:
        """Where a run occurs: indexes of occurrences."""
        return self._by_run[self._run_bounds[run] : self._run_bounds[run + 1]]

    def lay(self, chosen: Bools) -> None:
        """Work out the way for the chosen runs."""
        runs, segments = self.runs, self.segments
        if self._chosen is None:
            anew = np.arange(len(segments.weights))
        else:
            changed = np.flatnonzero(chosen != self._chosen)
            at = self._by_run[ranges(self._run_bounds[changed], self._run_bounds[changed + 1])]
            is_changed = np.zeros(len(segments.weights), dtype=bool)
            is_changed[self._segment_of[runs.start[at]]] = True
            anew = np.flatnonzero(is_changed)
        self._chosen = chosen.copy()
        self._is_stale[anew] = True
        nodes = ranges(segments.starts[anew], segments.starts[anew + 1])
        order = self._order[ranges(self._bounds[anew], self._bounds[anew + 1])]
        order = order[chosen[runs.run[order]]]
        starts = runs.start[order]
        last = np.ones(len(order), dtype=bool)
        last[:-1] = starts[1:] != starts[:-1]
        self.best[nodes] = -1
        self.best[starts[last]] = order[last]
        # What comes second at a place takes over when the best is dropped.
        self.second[nodes] = -1
        before = np.flatnonzero(last)
        has = before > 0
        has[has] = starts[before[has] - 1] == starts[before[has]]
        self.second[starts[before[has]]] = order[before[has] - 1]
        best = self.best[nodes]
        taken = best >= 0
        self.next[nodes] = np.where(taken, runs.end[best], self._word_next[nodes])
        self.cost[nodes] = np.where(taken, runs.cost[best], self._word_costs[nodes])
        # Of these segments alone, one behind the other.
        firsts = np.searchsorted(nodes, segments.starts[anew])
        following = self.next[nodes] - nodes + np.arange(len(nodes))
        self.behind[nodes] = _behind(self.cost[nodes], following)
        self.reached[nodes] = _reached(firsts, following, self.ends[nodes])
        of_segments = self.behind[segments.starts[:-1]] * segments.weights
        self.total = float(of_segments.sum())

    def gains(self) -> tuple[Floats, Floats]:
        """What each occurrence would save if its run were chosen, and the sums for the runs."""
        runs = self.runs
        anew = np.flatnonzero(self._is_stale)
        self._is_stale[anew] = False
        at = self._order[ranges(self._bounds[anew], self._bounds[anew + 1])]
        # Few occurrences beat what stands at their node, and only for these the rest is looked up.
        nodes = ranges(self.segments.starts[anew], self.segments.starts[anew + 1])
        best = self.best[nodes]
        self._bar[nodes] = _NEVER
        free = self.reached[nodes] & (best < 0)
        self._bar[nodes[free]] = -1
        used = self.reached[nodes] & (best >= 0)
        self._bar[nodes[used]] = self.rank[best[used]]
        beats = self.rank[at] > self._bar[runs.start[at]]
        start = runs.start[at[beats]]
        saved = self.behind[start] - runs.cost[at[beats]] - self.behind[runs.end[at[beats]]]
        gains = np.zeros(len(at))
        gains[beats] = saved * self.weight[start]
        more = gains - self._gains[at]
        self._gains[at] = gains
        self._worth += np.bincount(runs.run[at], more, minlength=len(self._worth))
        return self._gains, self._worth

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


def _behind(costs: Ints, following: Ints) -> Ints:
    """The cost from each place to its end, by doubling the jumps."""
    total, jump = costs, following
    while True:
        onward = jump[jump]
        if np.array_equal(onward, jump):
            return total
        total = total + total[jump]
        jump = onward


def _reached(firsts: Ints, following: Ints, ends: Bools) -> Bools:
    """Which places are come to from the first ones."""
    reached = np.zeros(len(following), dtype=bool)
    front = firsts
    while len(front):
        reached[front] = True
        front = following[front]
        front = front[~ends[front]]
    return reached


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
    picker = _Picker(paths, trust)
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

    def __init__(self, paths: _Paths, trust: Floats) -> None:
        self._paths, self.trust = paths, trust

    def pick(self, chosen: Bools, size: int, *, least: float = 0.0) -> Ints:
        """Up to `size` runs, best first."""
        paths = self._paths
        runs = paths.runs
        gains, worth = paths.gains()
        worth = worth * self.trust
        worth[chosen] = 0
        candidates = _highest(worth, 8 * size)
        candidates = candidates[worth[candidates] > least]
        touched = np.zeros(paths.segments.num_nodes, dtype=bool)
        picked: list[int] = []
        for candidate in candidates.tolist():
            at = paths.occurrences(candidate)
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


def _highest(values: Floats, count: int) -> Ints:
    """Places of the highest values, highest first; of equal ones the first."""
    if 0 < count < len(values):
        bar = np.partition(values, len(values) - count)[len(values) - count]
        places = np.flatnonzero(values >= bar)
    else:
        places = np.arange(len(values))
    return places[np.argsort(-values[places], kind="stable")][:count]


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
