"""Making a table of the chosen phrases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from echotok.engine.engine import Engine
from echotok.mining.candidates import find_parts
from echotok.mining.options import Options
from echotok.mining.preparation import Part, room_for_phrases
from echotok.mining.selection import Selection
from echotok.mining.views import describe
from echotok.table.checks import find_shadowed
from echotok.table.fallback import Fallback
from echotok.table.phrases import BUILT_IN_SLOTS, Phrase, PhraseTable, parse_phrase
from echotok.tokenizer import Tokenizer

__all__ = ["Mined", "assemble", "section_of"]

_SPARE_SHARE = 8
_SPARE_VALUES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """A mined table.

    Attributes:
        table: the phrases, in order of the tokens that they save, most first.
        fallback: what encodes the text that no phrase covers.
        saved: for each phrase's id the number of tokens that it saves in the corpus.
        mid_phrase: ids of the entries that begin or end in the middle of an expression.
        num_tokens: number of tokens of the whole corpus, without BOS and EOS.
        trials: for each number of merges that was tried, the mean number of tokens in a report of
            the held-out fifth of the patients.
    """

    table: PhraseTable
    fallback: Fallback
    saved: Mapping[int, int]
    num_tokens: int
    mid_phrase: frozenset[int] = frozenset()
    trials: Mapping[int, float] = field(default_factory=dict)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that `echotok build` would make of the table."""
        return Tokenizer.from_table(self.table, self.fallback)

    @property
    def vocab_size(self) -> int:
        """Number of tokens that have a meaning; at most the size that was asked for.

        A row counts once, whatever ids it has with what closes it.
        """
        engine = Engine.of(self.table, self.fallback)
        kinds, opened = engine.vocabulary.kinds, engine.layout.opened
        return sum(
            bool(kind) and (kind not in ("phrase", "value") or not opened(number)[1])
            for number, kind in enumerate(kinds)
        )


def assemble(
    part: Part,
    options: Options,
    selection: Selection,
    merges: Sequence[tuple[str, str]],
    num_merges: int,
) -> Mined:
    """Make the table of the chosen phrases; parts of expressions fill the room that is left.

    Args:
        part: the candidates that the phrases were chosen from.
        options: the user's options.
        selection: the chosen phrases.
        merges: merges of the fallback.
        num_merges: number of merges that were asked for.
    """
    ordered = sorted(
        selection.chosen.tolist(), key=lambda run: (-selection.saved[run], part.runs.texts[run])
    )
    saved = {part.runs.texts[run]: int(selection.saved[run]) for run in ordered}
    spare = room_for_phrases(part, options, num_merges) - len(saved)
    if spare:
        values = {value.text for value in (*part.severity, *part.members)}
        parts = find_parts(
            part.segments,
            split=part.numbers.split,
            units=options.units,
            k=options.k,
            longest=options.longest,
        )
        new = [
            text
            for text in parts
            if text not in saved and text not in values and not part.open_words.leave_open(text)
        ]
        saved.update(dict.fromkeys(new[:spare], 0))
    table = _table(list(saved), part, options, num_merges)
    if shadowed := find_shadowed(table):
        for number in shadowed:
            del saved[table.phrases[number].text]
        table = _table(list(saved), part, options, num_merges)
    return Mined(
        table=table,
        fallback=Fallback(kind="domain", base=part.base, merges=tuple(merges)),
        saved=dict(enumerate(saved.values())),
        mid_phrase=frozenset(
            number for number, text in enumerate(saved) if part.open_words.leave_open(text)
        ),
        num_tokens=selection.total,
    )


def _table(texts: Sequence[str], part: Part, options: Options, num_merges: int) -> PhraseTable:
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
            "Mined by echotok from reports; every phrase, value and word behind a merge is held by "
            f"at least {options.k} patients"
            + (f", or is one of {len(options.words):,} public words." if options.words else ".")
        ),
        units=options.units,
        slots=slots,
        values=tuple(replace(member, since=version) for member in part.members),
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
