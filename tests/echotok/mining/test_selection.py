"""The ways through a corpus that are kept up to date are those that are worked out anew."""

from __future__ import annotations

import random

import numpy as np
import pytest

from echotok.mining import selection
from echotok.mining.candidates import find_candidates
from echotok.mining.runs import Runs
from echotok.mining.segments import Segments
from echotok.mining.store import ReportStore
from echotok.table.values import NumberCode


def corpus(seed: int) -> tuple[Segments, Runs]:
    """Short reports of few words, so that runs overlap in every way."""
    rng = random.Random(seed)
    store = ReportStore(units=())
    for patient in range(40):
        words = [rng.choice("aaabbcd") for _ in range(rng.randrange(1, 9))]
        store.add(" ".join(words), patient=patient)
        store.add(f"{rng.choice('ab')} {rng.randrange(3)} c", patient=patient)
    segments = store.segments(k=2)
    runs, _ = find_candidates(
        segments, values=(), split=NumberCode().split, units=(), k=2, longest=5
    )
    return segments, runs


def tokens(segments: Segments, runs: Runs, costs: np.ndarray, chosen: np.ndarray) -> int:
    """Tokens of the corpus, by an encoder that goes through each segment by itself."""
    at_node: dict[int, list[tuple[int, int, int]]] = {}
    for run, start, end, cost in zip(runs.run, runs.start, runs.end, runs.cost, strict=True):
        if chosen[run]:
            found = (int(end), -int(runs.num_slots[run]), int(cost))
            at_node.setdefault(int(start), []).append(found)
    total = 0
    for number, weight in enumerate(segments.weights.tolist()):
        node, last = int(segments.starts[number]), int(segments.starts[number + 1]) - 1
        while node < last:
            if node in at_node:
                node, _, cost = max(at_node[node])
            else:
                node, cost = node + 1, int(costs[node])
            total += weight * cost
    return total


@pytest.mark.parametrize("seed", range(6))
def test_ways_that_are_kept_up_to_date(seed: int) -> None:
    """After any changes: tokens, gains of every occurrence and run, and what a run saves."""
    segments, runs = corpus(seed)
    draw = np.random.default_rng(seed)
    costs = draw.integers(1, 5, segments.num_nodes)
    paths = selection._Paths(segments, runs, costs)
    chosen = np.zeros(len(runs.texts), dtype=bool)
    for step in range(12):
        paths.lay(chosen)
        assert paths.total == tokens(segments, runs, costs, chosen)
        anew = selection._Paths(segments, runs, costs)
        anew.lay(chosen)
        for name in ("behind", "reached", "best", "second", "next", "cost"):
            np.testing.assert_array_equal(getattr(paths, name), getattr(anew, name), name)
        np.testing.assert_array_equal(paths.losses(), anew.losses())
        if step % 3:  # gains may be asked for after several changes
            for kept, fresh in zip(paths.gains(), anew.gains(), strict=True):
                np.testing.assert_array_equal(kept, fresh)
        flipped = draw.integers(0, len(chosen), draw.integers(1, 6))
        chosen[flipped] = ~chosen[flipped]


@pytest.mark.parametrize("seed", range(6))
def test_what_a_run_would_save(seed: int) -> None:
    """Where a run overlaps no other occurrence of itself, its gain is what it saves."""
    segments, runs = corpus(seed)
    costs = np.random.default_rng(seed).integers(1, 5, segments.num_nodes)
    paths = selection._Paths(segments, runs, costs)
    chosen = np.zeros(len(runs.texts), dtype=bool)
    paths.lay(chosen)
    _, worth = paths.gains()
    before = tokens(segments, runs, costs, chosen)
    checked = 0
    for run in range(len(runs.texts)):
        at = np.sort(runs.start[runs.run == run])
        if (np.diff(at) >= runs.lengths[run]).all():
            chosen[run] = True
            assert before - tokens(segments, runs, costs, chosen) == worth[run]
            chosen[run] = False
            checked += 1
    assert checked > 20


def test_the_highest() -> None:
    """As a stable sort gives them, also where many are equal."""
    draw = np.random.default_rng(0)
    for count in (0, 1, 5, 49, 50, 80):
        values = draw.integers(0, 6, 50).astype(float)
        expected = np.argsort(-values, kind="stable")[:count]
        np.testing.assert_array_equal(selection._highest(values, count), expected)
