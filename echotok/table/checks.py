"""Checks that look at a whole table: phrases that can never be produced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from echotok.errors import Problem, TableError
from echotok.table.match import Matcher
from echotok.table.phrases import Phrase, PhraseTable
from echotok.table.reading import read_with_places
from echotok.text import split_pieces

__all__ = ["find_shadowed", "validate_table"]


def find_shadowed(table: PhraseTable) -> dict[int, int]:
    """The live phrases that can never be produced, and the phrases that win instead.

    Every phrase is matched alone, with each value of each of its slots in turn; it is shadowed
    when it wins with none of these values.

    Returns:
        For the id of each shadowed phrase the id of the winner (BARE_VALUE for a value alone).
    """
    matcher = Matcher.of(table)
    spellings: Mapping[str, list[str]] = {
        "number": ["5", "2.5", "55-60"],
        "severity": [value.text for value in table.severity_values],
        **{
            slot: [value.text for value in table.live_values if value.slot == slot]
            for slot in table.slots
        },
    }
    shadowed: dict[int, int] = {}
    for phrase in table.live:
        winner = phrase.id
        for text in _instances(phrase, spellings):
            pieces = split_pieces(text)
            match = matcher.longest(pieces, 0)
            assert match is not None, "a phrase matches its own instances"
            winner = match.phrase
            if winner == phrase.id:
                break
        if winner != phrase.id:
            shadowed[phrase.id] = winner
    return shadowed


def _instances(phrase: Phrase, spellings: Mapping[str, list[str]]) -> Iterable[str]:
    slots = [item.slot for item in phrase.items if item.slot is not None]
    for turn in range(max((len(spellings[slot]) for slot in slots), default=1)):
        words = []
        for item in phrase.items:
            values = spellings[item.slot] if item.slot is not None else [item.text]
            words.append(" " * item.spaced + values[turn % len(values)])
        yield "".join(words)


def validate_table(folder: Path | str) -> PhraseTable:
    """Read a table and also look for phrases that can never be produced.

    Slower than `read_table` (it encodes every phrase with every value); `echotok validate` and
    `echotok build` call it.

    Raises:
        TableError: the table breaks a rule; the error lists all problems. A problem of the rule
            `shadowed` names the phrase that always wins.
    """
    table, places = read_with_places(folder)
    by_id = {phrase.id: phrase for phrase in table.phrases}
    problems = []
    for loser, winner in find_shadowed(table).items():
        path, line = places[loser]
        what = f"phrase {winner} ({by_id[winner].text!r})" if winner in by_id else "a bare value"
        message = f"never produced: {what} always wins; retire or reword one of them"
        problems.append(Problem(rule="shadowed", file=path, line=line, message=message))
    if problems:
        raise TableError(problems)
    return table
