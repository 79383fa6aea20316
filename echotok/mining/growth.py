"""Growing a table: new reports add rows behind the old ones, and nothing else changes.

Everything that gives an id its meaning stays: rows and tombstones, values, number tokens, and the
fallback with its merges. The new phrases are those that save most tokens when the old ones are used
too. A phrase that was retired is not proposed again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from echotok.errors import InputError
from echotok.mining.assembly import Mined, section_of
from echotok.mining.candidates import find_candidates
from echotok.mining.endings import find_open_words
from echotok.mining.joining import join_sentences
from echotok.mining.options import Options
from echotok.mining.pipeline import Report
from echotok.mining.runs import Runs
from echotok.mining.segments import Segments
from echotok.mining.selection import select
from echotok.mining.store import ReportStore
from echotok.mining.words import piece_costs
from echotok.table.match import BARE_VALUE, Matcher
from echotok.table.phrases import BUILT_IN_SLOTS, Phrase, PhraseTable, parse_phrase
from echotok.table.rows import next_version

__all__ = ["grow"]


def grow(
    store: ReportStore, options: Options, base: Mined, *, report: Report | None = None
) -> Mined:
    """Add the phrases that save most tokens together with those of a table.

    Args:
        store: the reports, which need not be those that the table was mined from.
        options: the user's options; `vocab_size` counts the old tokens too, and name, locale and
            units are those of the table.
        base: the table and its fallback.
        report: called with the progress.

    Returns:
        The table with rows added and its minor version raised, or just as it was when no phrase
        saves anything.

    Raises:
        InputError: `vocab_size` or the table's capacity has no room for a phrase.
    """
    table = base.table
    next_id = max((phrase.id for phrase in table.phrases), default=-1) + 1
    room = min(options.vocab_size - base.vocab_size, table.phrase_capacity - next_id)
    if room < 1:
        raise InputError(
            f"{table.name} {table.version} has {base.vocab_size:,} tokens and room for "
            f"{table.phrase_capacity - next_id:,} more rows: --vocab-size {options.vocab_size:,} "
            "leaves no phrase to add; ask for more, or mine a new table (which changes a model's "
            "shape)"
        )
    split = table.split_number
    segments = store.segments(k=options.k, max_distinct=options.max_distinct)
    runs, bare = find_candidates(
        segments,
        values=(*table.severity_values, *table.live_values),
        split=split,
        units=table.units,
        k=options.k,
        longest=options.longest,
    )
    taken = {phrase.text for phrase in table.phrases}
    new = np.array([text not in taken for text in runs.texts], dtype=bool)
    new[list(bare)] = True
    runs, held = _with_old(segments, _keep(runs, new), table)
    open_words = find_open_words(segments)
    selection = select(
        segments,
        runs,
        word_costs=piece_costs(
            segments, base.fallback.merges, base=base.fallback.base, split=split
        ),
        size=room,
        fixed=np.array([*sorted(bare), *held], dtype=np.int64),
        favour=open_words.favour(runs.texts),
        progress=None if report is None else lambda n, of: report("choosing phrases", n / of),
    )
    order = sorted(
        selection.chosen.tolist(), key=lambda run: (-selection.saved[run], runs.texts[run])
    )
    version = next_version(table.version)
    slots = (*BUILT_IN_SLOTS, *table.slots)
    added = [
        Phrase(
            id=next_id + at,
            text=runs.texts[run],
            items=parse_phrase(runs.texts[run], slots=slots, units=table.units),
            section=section_of(runs.texts[run]),
            since=version,
        )
        for at, run in enumerate(order)
    ]
    saved = {phrase.id: int(selection.saved[run]) for phrase, run in zip(added, order, strict=True)}
    old = {text: run for run, text in enumerate(runs.texts) if run in set(held)}
    saved |= {
        phrase.id: int(selection.saved[old[_mark(phrase)]])
        for phrase in table.live
        if _mark(phrase) in old
    }
    phrases = (*table.phrases, *added)
    mined = Mined(
        table=replace(table, phrases=phrases, version=version if added else table.version),
        fallback=base.fallback,
        saved={phrase.id: saved.get(phrase.id, 0) for phrase in phrases},
        mid_phrase=frozenset(phrase.id for phrase in phrases if open_words.leave_open(phrase.text)),
        num_tokens=selection.total,
    )
    if options.join_sentences and added:
        mined = join_sentences(mined, store, options, first_id=next_id, room=room - len(added))
    return mined


def _keep(runs: Runs, kept: np.ndarray) -> Runs:
    here = kept[runs.run]
    return replace(
        runs,
        run=runs.run[here],
        start=runs.start[here],
        end=runs.end[here],
        cost=runs.cost[here],
    )


def _with_old(segments: Segments, runs: Runs, table: PhraseTable) -> tuple[Runs, list[int]]:
    """The candidates, and every place where an old phrase is the longest of the old ones."""
    matcher = Matcher.of(table)
    first = len(runs.texts)
    number_of = {phrase.id: first + at for at, phrase in enumerate(table.live)}
    found: list[tuple[int, int, int, int]] = []
    vocabulary = segments.vocabulary
    pieces = [vocabulary[piece] for piece in segments.pieces.tolist()]
    for start, end in zip(segments.starts[:-1].tolist(), segments.starts[1:].tolist(), strict=True):
        segment = pieces[start : end - 1]
        for at in range(len(segment)):
            match = matcher.longest(segment, at)
            if match is None or match.phrase == BARE_VALUE:
                continue
            cost = 1
            for slot, low, _, _ in match.values:
                bare = segment[low].removeprefix(" ")
                cost += len(table.split_number(bare)) if slot == "number" else 1
            found.append((number_of[match.phrase], start + at, start + match.end, cost))
    columns = np.array(found, dtype=np.int32).reshape(-1, 4).T
    return (
        Runs(
            texts=(*runs.texts, *map(_mark, table.live)),
            num_slots=np.concatenate([runs.num_slots, [p.num_slots for p in table.live]]).astype(
                np.int64
            ),
            lengths=np.concatenate([runs.lengths, [len(p.items) for p in table.live]]).astype(
                np.int64
            ),
            run=np.concatenate([runs.run, columns[0]]),
            start=np.concatenate([runs.start, columns[1]]),
            end=np.concatenate([runs.end, columns[2]]),
            cost=np.concatenate([runs.cost, columns[3]]),
        ),
        list(number_of.values()),
    )


def _mark(phrase: Phrase) -> str:
    """A text for an old phrase that no candidate has."""
    return f"{phrase.id}\x00{phrase.text}"
