"""Reports -> a phrase table: the order of the steps.

1. `segments`: distinct sentences with counts.
2. `views`, `runs`, `candidates`: the runs that k patients share.
3. `words`: the words that may train the fallback.
4. `selection`: the phrases, for a given size of the fallback, twice: the first time says which
   numbers and grades deserve a token, and what it leaves trains the fallback of the second.
5. The size of the fallback is chosen on a fifth of the patients, mined on the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from echotok import artifact
from echotok.build import train_merges
from echotok.errors import InputError
from echotok.fallback import num_base_tokens
from echotok.match import find_shadowed
from echotok.mining.candidates import find_candidates, find_parts
from echotok.mining.numbers import choose_numbers, count_numbers
from echotok.mining.runs import Runs
from echotok.mining.segments import Ints, ReportStore, Segments
from echotok.mining.selection import Selection, select
from echotok.mining.views import CLOSED_SETS, describe
from echotok.mining.words import base_of, common_words, count_words, piece_costs
from echotok.slots import SEVERITY, EnumValue, NumberCode
from echotok.table import BUILT_IN_SLOTS, Phrase, PhraseTable, parse_phrase
from echotok.tokenizer import Tokenizer

__all__ = ["UNITS", "Mined", "Options", "Report", "mine", "section_of"]

UNITS = (
    "mm", "cm", "m", "dm", "mm2", "cm2", "m2", "mm²", "cm²", "m²", "mm3", "cm3", "cc", "ml", "dl",
    "l", "mmhg", "kpa", "m/s", "m/sec", "cm/s", "cm/sec", "mm/s", "m/s2", "ml/m2", "ml/m²", "g/m2",
    "g/m²", "mm/m2", "mm/m²", "cm/m", "cm/m2", "cm/m²", "cm2/m2", "cm²/m²", "mm/m", "g/m",
    "ml/beat", "ml/min", "l/min", "l/min/m2", "l/min/m²", "mmhg/s", "mmhg/sec", "ms", "msec", "sec",
    "s", "min", "mins", "minutes", "hr", "hrs", "bpm", "rpm", "hz", "mhz", "kg", "kg/m2", "kg/m²",
    "g", "mg", "mcg", "lbs", "mets", "watts", "joules", "wu", "fr", "yo", "yrs", "years",
)  # fmt: skip
"""Units of measurement of clinical reports, the same as in the echo table."""

NUM_SPECIAL = 5
"""Special tokens that a tokenizer uses: pad, BOS, EOS, join, space."""
_TYPE_WEIGHT, _LEFT_SHARE = 20, 0.5
_FOLDS = 5
_STEP = 1.5
_LEAST_MERGES = 32
_SPARE_SHARE = 8
_SPARE_VALUES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a user decides.

    Attributes:
        vocab_size: phrases, values, specials and fallback together; spare rows are not counted.
        k: patients that must hold a phrase, a value, or a word that trains a merge.
        name: of the table.
        locale: language of the reports.
        units: as in `PhraseTable.units`.
        longest: words that a phrase may have.
        num_merges: size of the fallback; None chooses it.
    """

    vocab_size: int
    k: int = 5
    name: str = "mined"
    locale: str = "en"
    units: tuple[str, ...] = UNITS
    longest: int = 30
    num_merges: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """A mined table.

    Attributes:
        table: the phrases, those that save most first.
        fallback: as an artifact holds it.
        saved: tokens that each phrase saves in the corpus, by id.
        num_tokens: of the whole corpus, without BOS and EOS.
        trials: tokens a report on the held-out fifth, by number of merges tried.
    """

    table: PhraseTable
    fallback: Mapping[str, Any]
    saved: Mapping[int, int]
    num_tokens: int
    trials: Mapping[int, float] = field(default_factory=dict)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that `echotok build` would make of the table."""
        return Tokenizer(artifact.pack(self.table.name, self.table, self.fallback))

    @property
    def vocab_size(self) -> int:
        """Tokens with a meaning; at most what was asked for."""
        kinds = self.tokenizer().vocabulary.kinds
        return sum(1 for kind in kinds if kind)


Report = Callable[[str, float], None]
"""Called with what is being done and how far it is, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What does not depend on the size of the fallback, for some of the reports."""

    segments: Segments
    numbers: NumberCode
    severity: tuple[EnumValue, ...]
    members: tuple[EnumValue, ...]
    words: Mapping[str, int]
    training: Mapping[str, int]
    base: str
    runs: Runs
    bare: Ints


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
        options: what a user decides.
        report: told of the progress.
        trials: `Mined.trials` as far as an earlier run with the same reports and options came.
        checkpoint: called with the trials after each of them.

    Raises:
        InputError: there are no reports, they share no word, or `vocab_size` leaves no room for a
            phrase.
    """
    tell = report or (lambda _what, _share: None)
    if not store.num_reports:
        raise InputError("the inputs hold no report: there is nothing to mine")
    tried = dict(trials or {})
    num_merges = options.num_merges
    if num_merges is None:
        num_merges = _choose_num_merges(store, options, tried, tell, checkpoint)
    tell("mining all reports", 0.0)
    part = _prepare(store.segments(k=options.k), options, NumberCode(), least=0)
    if not part.runs.texts:
        raise InputError(
            f"no word is shared by {options.k} patients: {store.num_reports:,} reports of "
            f"{store.num_patients:,} patients are too few, or have nothing in common; give more "
            "reports, or a lower --k for reports that you may publish from"
        )
    if options.num_merges is None:
        num_merges = min(num_merges, _most_merges(part, options))
    part = _with_values(part, options, num_merges)
    if options.num_merges is None:
        num_merges = min(num_merges, _most_merges(part, options))
    mined = _mine_part(part, options, num_merges, tell)
    tell("done", 1.0)
    return Mined(
        table=mined.table,
        fallback=mined.fallback,
        saved=mined.saved,
        num_tokens=mined.num_tokens,
        trials=tried,
    )


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
    segments = store.segments(k=options.k, reports=~held_out)
    test = store.segments(k=options.k, reports=held_out)
    texts = store.texts
    part = _prepare(segments, options, NumberCode(), least=0)
    if not part.runs.texts:  # in so few reports a trial tells nothing
        return max(_LEAST_MERGES, options.vocab_size // 5)
    room = options.vocab_size - _num_fixed(part)
    if room <= 2 * _LEAST_MERGES:
        return max(0, room // 2)
    best = max(_LEAST_MERGES, min(room // 4, 600))
    tell("choosing values", 0.0)
    part = _with_values(part, options, best)
    most = _most_merges(part, options)

    def tokens(num_merges: int) -> float:
        if num_merges not in trials:
            tell(f"trying a fallback of {num_merges:,} merges", len(trials) / 6)
            mined = _mine_part(part, options, num_merges, lambda _what, _share: None)
            encoder = mined.tokenizer().encoder
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


def _most_merges(part: _Part, options: Options) -> int:
    """Merges that leave room for some phrases."""
    return max(0, (options.vocab_size - _num_fixed(part)) * 9 // 10)


def _fold(store: ReportStore) -> Ints:
    """The fold of each report; all reports of a patient are in one."""
    patients = store.patient_of_report
    order = np.random.default_rng(0).permutation(store.num_patients)
    return np.asarray(order[patients] % _FOLDS, dtype=np.int64)


def _prepare(segments: Segments, options: Options, numbers: NumberCode, *, least: float) -> _Part:
    """Everything before the selection, for a given way of writing numbers.

    Args:
        segments: the corpus.
        options: what the user decides.
        numbers: what writes numbers.
        least: tokens that a spelling of a grade has to save to be a value.
    """
    words = count_words(segments, common_words(segments, k=options.k))
    severity = _common_values(segments, SEVERITY, options, least=least)
    members = _common_values(segments, CLOSED_SETS, options, least=least)
    sizes = Counter(member.slot for member in members)
    members = tuple(member for member in members if sizes[member.slot] > 1)
    runs, bare = find_candidates(
        segments,
        values=(*severity, *members),
        split=numbers.split,
        units=options.units,
        k=options.k,
        longest=options.longest,
    )
    return _Part(
        segments=segments,
        numbers=numbers,
        severity=severity,
        members=tuple(replace(member, id=number) for number, member in enumerate(members)),
        words=words,
        training=words,
        base=base_of(words),
        runs=runs,
        bare=np.array(sorted(bare), dtype=np.int64),
    )


def _with_values(part: _Part, options: Options, num_merges: int) -> _Part:
    """The same with the values that save as much as the least of the phrases would.

    All words in equal parts, and what these phrases leave, train the fallback.
    """
    merges = train_merges(part.words, num_merges, base=part.base)
    selection = _select(part, merges, _room(part, options, num_merges))
    saved = selection.saved[selection.chosen]
    full = len(saved) >= _room(part, options, num_merges)
    least = float(np.quantile(saved, 0.05)) if full else 1.0
    numbers = choose_numbers(count_numbers(part.segments, k=options.k), least=least)
    left = count_words(part.segments, part.words, places=selection.bare)
    # New reports bring new words, which resemble the rare ones: kinds of words say more about
    # them than occurrences do. Their own share keeps the words that phrases leave whole.
    mean = max(1.0, left.total() / max(1, len(part.words)))
    training = {
        word: round(_TYPE_WEIGHT * (1 + _LEFT_SHARE * left[word] / mean)) for word in part.words
    }
    return replace(_prepare(part.segments, options, numbers, least=least), training=training)


def _common_values(
    segments: Segments, values: Sequence[EnumValue], options: Options, *, least: float
) -> tuple[EnumValue, ...]:
    """The spellings that k patients hold, as runs of their own."""
    runs, _ = find_candidates(
        segments, values=(), split=NumberCode().split, units=options.units, k=options.k, longest=5
    )
    weight = segments.weights[segments.segment_of_node()]
    counts = np.bincount(runs.run, weight[runs.start], minlength=len(runs.texts))
    found = dict(zip(runs.texts, counts.tolist(), strict=True))
    return tuple(value for value in values if found.get(value.text, 0) > least)


def _num_fixed(part: _Part) -> int:
    fixed = NUM_SPECIAL + len(part.numbers.tokens) + len(part.severity) + len(part.members)
    return fixed + num_base_tokens(part.base)


def _room(part: _Part, options: Options, num_merges: int) -> int:
    room = options.vocab_size - _num_fixed(part) - num_merges
    if room < 1:
        raise InputError(
            f"a vocabulary of {options.vocab_size:,} has no room for a phrase: specials, numbers, "
            f"grades, bytes and {num_merges:,} merges take {options.vocab_size - room:,}; ask for "
            "more with --vocab-size"
        )
    return room


def _select(
    part: _Part,
    merges: Sequence[tuple[str, str]],
    room: int,
    tell: Callable[[int, int], None] | None = None,
) -> Selection:
    costs = piece_costs(part.segments, merges, base=part.base, split=part.numbers.split)
    return select(
        part.segments, part.runs, word_costs=costs, size=room, fixed=part.bare, progress=tell
    )


def _mine_part(part: _Part, options: Options, num_merges: int, tell: Report) -> Mined:
    room = _room(part, options, num_merges)
    merges = train_merges(part.training, num_merges, base=part.base)
    selection = _select(
        part, merges, room, lambda done, size: tell("choosing phrases", done / size)
    )
    return _assemble(part, options, selection, merges, num_merges)


def _assemble(
    part: _Part,
    options: Options,
    selection: Selection,
    merges: Sequence[tuple[str, str]],
    num_merges: int,
) -> Mined:
    ordered = sorted(
        selection.chosen.tolist(), key=lambda run: (-selection.saved[run], part.runs.texts[run])
    )
    saved = {part.runs.texts[run]: int(selection.saved[run]) for run in ordered}
    spare = _room(part, options, num_merges) - len(saved)
    if spare:
        values = {value.text for value in (*part.severity, *part.members)}
        parts = find_parts(
            part.segments,
            split=part.numbers.split,
            units=options.units,
            k=options.k,
            longest=options.longest,
        )
        new = [text for text in parts if text not in saved and text not in values]
        saved.update(dict.fromkeys(new[:spare], 0))
    table = _table(list(saved), part, options, num_merges)
    if shadowed := find_shadowed(table):
        for number in shadowed:
            del saved[table.phrases[number].text]
        table = _table(list(saved), part, options, num_merges)
    return Mined(
        table=table,
        fallback={
            "kind": "domain",
            "base": part.base,
            "merges": [" ".join(pair) for pair in merges],
        },
        saved=dict(enumerate(saved.values())),
        num_tokens=selection.total,
    )


def _table(texts: Sequence[str], part: _Part, options: Options, num_merges: int) -> PhraseTable:
    version = "1.0.0"
    slots = {member.slot: describe(member.slot) for member in part.members}
    phrases = tuple(
        Phrase(
            id=number,
            text=text,
            items=parse_phrase(text, slots=(*BUILT_IN_SLOTS, *slots), units=options.units),
            section=section_of(text),
            since=version,
        )
        for number, text in enumerate(texts)
    )
    spare = max(64, len(phrases) // _SPARE_SHARE)
    return PhraseTable(
        name=options.name,
        version=version,
        locale=options.locale,
        licence="unspecified",
        provenance=(
            f"Mined by echotok from reports; every phrase, value and merge is held by at least "
            f"{options.k} patients."
        ),
        units=options.units,
        slots=slots,
        values=part.members,
        phrases=phrases,
        phrase_capacity=len(phrases) + spare,
        value_capacity=len(part.members) + _SPARE_VALUES,
        num_merges=num_merges,
        numbers=part.numbers,
        severity=tuple(value.text for value in part.severity),
    )


def section_of(text: str) -> str:
    """The section of the table that a phrase goes to: terms, sentences or clauses.

    Args:
        text: the phrase.
    """
    if " " not in text:
        return "terms"
    return "sentences" if text[-1] in ".!?:" else "clauses"
