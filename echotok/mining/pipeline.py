"""Reports -> a phrase table: the order of the steps.

1. `segments`: distinct sentences with counts.
2. `views`, `runs`, `candidates`: the runs that k patients share.
3. `words`: the words that may train the fallback.
4. `selection`: the phrases, for a given size of the fallback. This is done twice: the first time
   tells which numbers and grades deserve a token, and the text that its phrases leave trains the
   fallback of the second time.
5. The size of the fallback is chosen: the reports of four fifths of the patients are mined with
   several sizes, and tokens are counted on the last fifth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from echotok.bpe_training import train_merges
from echotok.engine.engine import Engine
from echotok.errors import InputError
from echotok.mining.assembly import Mined, assemble
from echotok.mining.joining import join_sentences
from echotok.mining.options import Options
from echotok.mining.preparation import (
    Part,
    num_fixed,
    prepare,
    room_for_phrases,
    select_phrases,
    with_values,
)
from echotok.mining.segments import Ints
from echotok.mining.store import ReportStore
from echotok.table.values import NumberCode

__all__ = ["Report", "mine"]

_FOLDS = 5
_STEP = 1.5
_LEAST_MERGES = 32

Report = Callable[[str, float], None]
"""Called with the step that is being done and the share of the work that is done, 0 to 1."""


def mine(
    store: ReportStore,
    options: Options,
    *,
    report: Report | None = None,
    trials: Mapping[int, float] | None = None,
    checkpoint: Callable[[Mapping[int, float]], None] | None = None,
) -> Mined:
    """Propose a table for the reports of a store.

    Args:
        store: the reports.
        options: the user's options.
        report: called with the progress.
        trials: `Mined.trials` as far as an earlier run with the same reports and options got.
        checkpoint: called after each trial with all trials so far.

    Raises:
        InputError: there are no reports, they share no word, or `vocab_size` leaves no room for a
            phrase.
    """
    tell = report or (lambda _what, _share: None)
    if not store.num_reports:
        raise InputError("the inputs hold no report, so there is nothing to mine")
    tried = dict(trials or {})
    num_merges = options.num_merges
    if num_merges is None:
        num_merges = _choose_num_merges(store, options, tried, tell, checkpoint)
    tell("mining all reports", 0.0)
    segments = store.segments(k=options.k, max_distinct=options.max_distinct)
    part = prepare(segments, options, NumberCode(), least=0)
    if not part.runs.texts:
        raise InputError(
            f"no word is shared by {options.k} patients: {store.num_reports:,} reports of "
            f"{store.num_patients:,} patients are too few, or have nothing in common; give more "
            "reports, or a lower --k for reports that you may publish from"
            + (", or a larger --max-distinct" if store.num_distinct > options.max_distinct else "")
        )
    if options.num_merges is None:
        num_merges = min(num_merges, _most_merges(part, options))
    part = with_values(part, options, num_merges)
    if options.num_merges is None:
        num_merges = min(num_merges, _most_merges(part, options))
    mined = _mine_part(part, options, num_merges, tell)
    if options.join_sentences:
        tell("joining sentences", 0.0)
        mined = join_sentences(mined, store, options)
    tell("done", 1.0)
    return replace(mined, trials=tried)


def _choose_num_merges(
    store: ReportStore,
    options: Options,
    trials: dict[int, float],
    tell: Report,
    checkpoint: Callable[[Mapping[int, float]], None] | None,
) -> int:
    """Mine four fifths of the patients with several sizes, and count on the last fifth."""
    held_out = _fold(store) == 0
    if held_out.all() or not held_out.any():
        return max(_LEAST_MERGES, options.vocab_size // 5)
    most = options.max_distinct
    segments = store.segments(k=options.k, reports=~held_out, max_distinct=most)
    test = store.segments(k=options.k, reports=held_out, max_distinct=most)
    texts = store.texts
    part = prepare(segments, options, NumberCode(), least=0)
    if not part.runs.texts:  # in so few reports a trial tells nothing
        return max(_LEAST_MERGES, options.vocab_size // 5)
    room = options.vocab_size - num_fixed(part)
    if room <= 2 * _LEAST_MERGES:
        return max(0, room // 2)
    best = max(_LEAST_MERGES, min(room // 4, 600))
    tell("choosing values", 0.0)
    part = with_values(part, options, best)
    most = _most_merges(part, options)

    def tokens(num_merges: int) -> float:
        if num_merges not in trials:
            tell(f"trying a fallback of {num_merges:,} merges", len(trials) / 6)
            mined = _mine_part(part, options, num_merges, lambda _what, _share: None)
            encoder = Engine.of(mined.table, mined.fallback).encoder
            total = 0
            for number, weight in zip(test.numbers.tolist(), test.weights.tolist(), strict=True):
                total += weight * sum(len(chunk.ids) for chunk in encoder.chunks(texts[number]))
            trials[num_merges] = total / test.num_reports
            if checkpoint is not None:
                checkpoint(trials)
        return trials[num_merges]

    for factor in (_STEP, 1 / _STEP):
        while _LEAST_MERGES <= round(best * factor) <= most:
            if tokens(round(best * factor)) >= tokens(best):
                break
            best = round(best * factor)
    return min(best, most)


def _most_merges(part: Part, options: Options) -> int:
    """The largest number of merges that leaves room for some phrases."""
    return max(0, (options.vocab_size - num_fixed(part)) * 9 // 10)


def _fold(store: ReportStore) -> Ints:
    """The fold of each report; all reports of a patient are in one."""
    patients = store.patient_of_report
    order = np.random.default_rng(0).permutation(store.num_patients)
    return np.asarray(order[patients] % _FOLDS, dtype=np.int64)


def _mine_part(part: Part, options: Options, num_merges: int, tell: Report) -> Mined:
    room = room_for_phrases(part, options, num_merges)
    merges = train_merges(part.training, num_merges, base=part.base)
    selection = select_phrases(
        part, merges, room, lambda done, size: tell("choosing phrases", done / size)
    )
    return assemble(part, options, selection, merges, num_merges)
