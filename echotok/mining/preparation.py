"""The candidates that phrases are chosen from, and the words that train the fallback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from echotok.bpe import num_base_tokens
from echotok.bpe_training import train_merges
from echotok.errors import InputError
from echotok.mining.candidates import find_candidates
from echotok.mining.endings import OpenWords, find_open_words
from echotok.mining.numbers import choose_numbers, count_numbers
from echotok.mining.options import Options
from echotok.mining.runs import Runs
from echotok.mining.segments import Ints, Segments
from echotok.mining.selection import Selection, select
from echotok.mining.views import CLOSED_SETS
from echotok.mining.words import base_of, common_words, count_words, piece_costs
from echotok.table.values import SEVERITY, EnumValue, NumberCode

__all__ = ["Part", "num_fixed", "prepare", "room_for_phrases", "select_phrases", "with_values"]

NUM_SPECIAL = 5
"""Special tokens that a tokenizer uses: pad, BOS, EOS, join, space."""
# A word of the reports counts as much as this many public words.
_TYPE_WEIGHT = 20
_LEFT_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Everything that does not depend on the size of the fallback, for some of the reports.

    Attributes:
        segments: the reports.
        numbers: the code that writes numbers as tokens.
        spellings: how often each spelling of a grade or of an enumeration's value stands as a run
            of its own.
        severity, members: the grades, and the values of enumerations, that k patients hold.
        words: the words that k patients hold, with their counts.
        training: the words that train the fallback, with their weights.
        base: the fallback's bytes, in the byte alphabet.
        runs: the candidates.
        bare: int64, indexes of the runs that are only a value.
        open_words: the words that leave a phrase open.
    """

    segments: Segments
    numbers: NumberCode
    spellings: Mapping[str, int]
    severity: tuple[EnumValue, ...]
    members: tuple[EnumValue, ...]
    words: Mapping[str, int]
    training: Mapping[str, int]
    base: str
    runs: Runs
    bare: Ints
    open_words: OpenWords


def prepare(
    segments: Segments,
    options: Options,
    numbers: NumberCode,
    *,
    least: float,
    spellings: Mapping[str, int] | None = None,
) -> Part:
    """Prepare the selection, for a given way of writing numbers.

    Args:
        segments: the corpus.
        options: the user's options.
        numbers: the code that writes numbers as tokens.
        least: number of tokens that a spelling of a grade has to save to become a value.
        spellings: `Part.spellings` of the same corpus, where it was prepared before.
    """
    if spellings is None:
        spellings = _count_spellings(segments, options)
    words = count_words(segments, common_words(segments, k=options.k))
    severity = tuple(value for value in SEVERITY if spellings.get(value.text, 0) > least)
    members = tuple(value for value in CLOSED_SETS if spellings.get(value.text, 0) > least)
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
    return Part(
        segments=segments,
        numbers=numbers,
        spellings=spellings,
        severity=severity,
        members=tuple(replace(member, id=number) for number, member in enumerate(members)),
        words=words,
        training=words,
        base=base_of(words),
        runs=runs,
        bare=np.array(sorted(bare), dtype=np.int64),
        open_words=find_open_words(segments),
    )


def with_values(part: Part, options: Options, num_merges: int) -> Part:
    """Prepare again, with the values that save as much as the weakest of the chosen phrases.

    The fallback is trained on all words in equal parts, and on the text that these phrases leave.
    """
    merges = train_merges(part.words, num_merges, base=part.base)
    selection = select_phrases(part, merges, room_for_phrases(part, options, num_merges))
    saved = selection.saved[selection.chosen]
    full = len(saved) >= room_for_phrases(part, options, num_merges)
    least = float(np.quantile(saved, 0.05)) if full else 1.0
    numbers = choose_numbers(count_numbers(part.segments, k=options.k), least=least)
    left = count_words(part.segments, part.words, places=selection.bare)
    # New reports bring new words, which resemble the rare ones: kinds of words say more about
    # them than occurrences do. Their own share keeps the words that phrases leave whole.
    mean = max(1.0, left.total() / max(1, len(part.words)))
    training = {
        word: round(_TYPE_WEIGHT * (1 + _LEFT_SHARE * left[word] / mean)) for word in part.words
    }
    training = {**dict.fromkeys(options.words, 1), **training}
    again = prepare(part.segments, options, numbers, least=least, spellings=part.spellings)
    return replace(again, training=training)


def _count_spellings(segments: Segments, options: Options) -> dict[str, int]:
    """How often the spellings of values that k patients hold stand as runs of their own."""
    runs, _ = find_candidates(
        segments, values=(), split=NumberCode().split, units=options.units, k=options.k, longest=5
    )
    weight = segments.weights[segments.segment_of_node()]
    counts = np.bincount(runs.run, weight[runs.start], minlength=len(runs.texts))
    spellings = {value.text for value in (*SEVERITY, *CLOSED_SETS)}
    found = zip(runs.texts, counts.tolist(), strict=True)
    return {text: int(count) for text, count in found if text in spellings}


def num_fixed(part: Part) -> int:
    """Number of tokens other than phrases and merges: specials, numbers, values and bytes.

    Args:
        part: the prepared reports.
    """
    fixed = NUM_SPECIAL + len(part.numbers.tokens) + len(part.severity) + len(part.members)
    return fixed + num_base_tokens(part.base)


def room_for_phrases(part: Part, options: Options, num_merges: int) -> int:
    """Number of phrases that the vocabulary has room for.

    Args:
        part: the prepared reports.
        options: the user's options.
        num_merges: number of merges of the fallback.

    Raises:
        InputError: there is no room for a phrase.
    """
    room = options.vocab_size - num_fixed(part) - num_merges
    if room < 1:
        raise InputError(
            f"a vocabulary of {options.vocab_size:,} has no room for a phrase: specials, numbers, "
            f"grades, bytes and {num_merges:,} merges take {options.vocab_size - room:,}; ask for "
            "more with --vocab-size"
        )
    return room


def select_phrases(
    part: Part,
    merges: Sequence[tuple[str, str]],
    room: int,
    tell: Callable[[int, int], None] | None = None,
) -> Selection:
    """Choose the phrases to use with a fallback.

    Args:
        part: the prepared reports.
        merges: merges of the fallback.
        room: number of phrases to choose.
        tell: called with the progress, as `progress` of `select`.
    """
    costs = piece_costs(part.segments, merges, base=part.base, split=part.numbers.split)
    return select(
        part.segments,
        part.runs,
        word_costs=costs,
        size=room,
        fixed=part.bare,
        favour=part.open_words.favour(part.runs.texts),
        progress=tell,
    )
