"""Typed slot values <-> value tokens.

A value is written as one or more value tokens, which need no end mark: a token that *starts* a
number, tokens that *continue* it, and separators that ask for one more number. Concatenating the
tokens' texts gives the value back, digit for digit.

    55        ->  [55]                      4.7    ->  [4.7]
    >15       ->  [>][15]                   1.25   ->  [1][.25]
    55-60     ->  [55-60]                   62-67  ->  [62][-67]
    1340      ->  [134][0]                  05     ->  [0][5]
    0.6-1.1   ->  [0.6][-1.1]               50% to 60  ->  [50][% to 60]

`number` and `severity` are built in. Their lists are append-only and their order is part of the
artifact format: a position in NUMBER_TOKENS or SEVERITY is an id for ever (I5). The members of an
enumeration are declared by a table, each with an id of its own.

NUMBER_TOKENS has 1,076 rows, which is much for a vocabulary of a thousand: a table may declare a
`NumberCode` of its own in their place, from 39 rows on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

__all__ = [
    "NUMBER_TOKENS",
    "SEVERITY",
    "EnumValue",
    "NumberCode",
    "number_token_roles",
    "split_number",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnumValue:
    """One spelling of an enumeration (or of `severity`).

    Attributes:
        id: id within the table, append-only.
        slot: name of the slot type, e.g. `segment`.
        text: normalized spelling.
        rank: position on an ordered scale, or None for an unordered set. Spellings that mean the
            same share a rank.
        since: table version that introduced the spelling; "" where it is not known, as in an
            artifact.
        retired: version that retired the spelling, or "" while it is live.
        note: a word of explanation for the reader of the table.
    """

    id: int
    slot: str
    text: str
    rank: float | None = None
    since: str = ""
    retired: str = ""
    note: str = ""


# Ranks follow the grades of the ASE guidelines on valve regurgitation and stenosis: 0 trace,
# 1 mild, 2 moderate, 3 severe; halves are the steps between, 3.5 and above is beyond severe.
_SEVERITY_RANKS: tuple[tuple[str, float], ...] = (
    ("trivial", 0), ("trace", 0), ("minimal", 0), ("minimally", 0), ("physiologic", 0),
    ("trace to mild", 0.5), ("trivial to mild", 0.5), ("trace-to-mild", 0.5), ("trace-mild", 0.5),
    ("mild", 1), ("mildly", 1), ("slight", 1), ("slightly", 1), ("borderline", 0.5),
    ("mild to moderate", 1.5), ("mild-to-moderate", 1.5), ("mild-moderate", 1.5),
    ("mildly to moderately", 1.5), ("mild to moderately", 1.5), ("mild/moderate", 1.5),
    ("moderate", 2), ("moderately", 2), ("mod", 2),
    ("moderate to severe", 2.5), ("moderate-to-severe", 2.5), ("moderate-severe", 2.5),
    ("moderately to severely", 2.5), ("moderate to severely", 2.5), ("moderate/severe", 2.5),
    ("moderately severe", 2.5), ("mod-severe", 2.5), ("mod to severe", 2.5),
    ("severe", 3), ("severely", 3), ("marked", 3), ("markedly", 3),
    ("very severe", 3.5), ("massive", 4), ("torrential", 5), ("critical", 4), ("critically", 4),
    ("significant", 2), ("significantly", 2), ("1+", 1), ("2+", 2), ("3+", 2.5), ("4+", 3),
    ("trace/mild", 0.5), ("trace to trivial", 0), ("mild-mod", 1.5), ("mild to mod", 1.5),
    ("physiological", 0), ("extensive", 3), ("extreme", 4), ("mod/severe", 2.5),
)  # fmt: skip
SEVERITY: tuple[EnumValue, ...] = tuple(
    EnumValue(id=index, slot="severity", text=text, rank=rank)
    for index, (text, rank) in enumerate(_SEVERITY_RANKS)
)

_STARTS = (
    *(str(integer) for integer in range(251)),
    *(f"{tenths // 10}.{tenths % 10}" for tenths in range(100)),
    # Ejection fractions are reported in steps of five.
    *(f"{low}-{low + 5}" for low in range(5, 90, 5)),
    *(f"{low} to {low + 5}" for low in range(5, 90, 5)),
)
_CONTINUES = (
    *(str(digit) for digit in range(10)),
    *(f"{pair:02d}" for pair in range(100)),
    *(f".{digit}" for digit in range(10)),
    *(f".{pair:02d}" for pair in range(100)),
    ",",
)
_PREFIXES = (
    *(sign + space for sign in ("<", "<=", ">", ">=", "≤", "≥", "~", "≈") for space in ("", " ")),
    "-",
    "+",
    "±",
    ".",
)
_SEPARATORS = ("-", " - ", "- ", " -", " to ", "%-", "% - ", "%- ", "% -", "% to ")
# The second half of a range in one: normal ranges (`0.6-1.1`) and ejection fractions.
_ENDS = (
    *(f"-{integer}" for integer in range(251)),
    *(f"-{tenths // 10}.{tenths % 10}" for tenths in range(100)),
    *(f"{sep}{n}" for sep in (" - ", " to ", "%-", "% - ", "% to ") for n in range(5, 95, 5)),
)

NUMBER_TOKENS: tuple[tuple[str, str], ...] = (
    *(("start", text) for text in _STARTS),
    *(("continue", text) for text in _CONTINUES),
    *(("prefix", text) for text in _PREFIXES),
    *(("separator", text) for text in _SEPARATORS),
    *(("continue", text) for text in _ENDS),
)
"""`(role, text)` of every number token; the position is its id."""

_NUMBER_PARTS = re.compile(
    r"(?P<prefix>(?:(?:[<>]=?|[≤≥~≈]) ?)?[-+±]?\.?)(?P<first>[0-9][0-9.,]*)"
    r"(?:(?P<separator>%?(?: ?- ?| to ))(?P<sign>[-+]?\.?)(?P<second>[0-9][0-9.,]*))?"
)
_PREFIX_TOKENS = re.compile(r"(?:[<>]=?|[≤≥~≈]) ?|[-+±.]")
_RUNS = re.compile(r"[0-9]+|[.,]")


START_CHARACTERS = "0123456789<>\u2264\u2265~\u2248-+\u00b1."
"""The characters with which a number value can begin."""
CONTINUE_CHARACTERS = "0123456789.,= -+%to"
"""The characters that can stand inside of a number value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberCode:
    """A table's own number tokens: one that starts a value, then any that continue it.

    Every character that a number can hold is a token of its own in either role, so that any number
    can be written; longer tokens are for the numbers that a domain repeats.

    Attributes:
        starts: longer tokens that start a value, e.g. `55-60`.
        continues: longer tokens that continue one, e.g. `.5`.
    """

    starts: tuple[str, ...] = ()
    continues: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for texts, characters in (
            (self.starts, START_CHARACTERS),
            (self.continues, CONTINUE_CHARACTERS),
        ):
            for text in texts:
                legal = text[:1] in characters and set(text[1:]) <= set(CONTINUE_CHARACTERS)
                if len(text) < 2 or not legal or texts.count(text) > 1:
                    raise ValueError(
                        f"number token {text!r}: give each token once, with two characters or "
                        "more that a number can hold"
                    )

    @property
    def tokens(self) -> tuple[tuple[str, str], ...]:
        """`(role, text)` of every token; a token's position is its row."""
        return (
            *(("start", text) for text in START_CHARACTERS),
            *(("continue", text) for text in CONTINUE_CHARACTERS),
            *(("start", text) for text in self.starts),
            *(("continue", text) for text in self.continues),
        )

    def split(self, value: str) -> tuple[int, ...]:
        """Write a number value as positions in `tokens`, the longest token first.

        Args:
            value: a piece for which `text.is_number` holds, without the space before it.

        Example:
            >>> code = NumberCode(starts=("55",), continues=("-60",))
            >>> [code.tokens[position][1] for position in code.split("55-60")]
            ['55', '-60']
        """
        rows, longest = _code_rows(self)
        positions = []
        at, role = 0, "start"
        while at < len(value):
            size = min(longest, len(value) - at)
            while (role, value[at : at + size]) not in rows:
                size -= 1
            positions.append(rows[role, value[at : at + size]])
            at += size
            role = "continue"
        return tuple(positions)


@cache
def _code_rows(code: NumberCode) -> tuple[dict[tuple[str, str], int], int]:
    tokens = code.tokens
    return {token: row for row, token in enumerate(tokens)}, max(len(text) for _, text in tokens)


@cache
def number_token_roles() -> dict[str, dict[str, int]]:
    """The position of each number token by role and text, such as `roles["start"]["55"]`."""
    roles: dict[str, dict[str, int]] = {}
    for position, (role, text) in enumerate(NUMBER_TOKENS):
        roles.setdefault(role, {})[text] = position
    return roles


def split_number(value: str) -> tuple[int, ...]:
    """Write a number value as positions in NUMBER_TOKENS.

    Args:
        value: a piece for which `text.is_number` holds, without the space before it.

    Returns:
        Positions whose texts concatenate to `value`.

    Example:
        >>> [NUMBER_TOKENS[position][1] for position in split_number(">1.25")]
        ['>', '1', '.25']
    """
    starts = number_token_roles()["start"]
    if value in starts:
        return (starts[value],)
    match = _NUMBER_PARTS.fullmatch(value)
    assert match is not None, "split_number takes what is_number accepts"
    positions = _prefix_positions(match["prefix"])
    positions += _digit_positions(match["first"])
    if match["second"] is not None:
        separator, sign, second = match["separator"], match["sign"], match["second"]
        whole = number_token_roles()["continue"].get(f"{separator}{sign}{second}")
        if whole is not None:
            return (*positions, whole)
        positions.append(number_token_roles()["separator"][separator])
        positions += _prefix_positions(sign)
        positions += _digit_positions(second)
    return tuple(positions)


def _prefix_positions(prefix: str) -> list[int]:
    prefixes = number_token_roles()["prefix"]
    return [prefixes[token] for token in _PREFIX_TOKENS.findall(prefix)]


def _digit_positions(digits: str) -> list[int]:
    roles = number_token_roles()
    starts, continues = roles["start"], roles["continue"]
    if digits in starts:
        return [starts[digits]]
    positions: list[int] = []
    point = False
    for run in _RUNS.findall(digits):
        if run == ".":
            point = True
            continue
        if run == ",":
            positions.append(continues[","])
            continue
        rest = run
        if not positions:
            size = next(size for size in (3, 2, 1) if rest[:size] in starts)
            positions.append(starts[rest[:size]])
            rest = rest[size:]
        elif point:
            positions.append(continues["." + rest[:2]])
            rest = rest[2:]
            point = False
        positions += [continues[rest[at : at + 2]] for at in range(0, len(rest), 2)]
    return positions
