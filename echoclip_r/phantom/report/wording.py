"""Sentences of the readers' styles: `wording/<style>.toml` and the grammar of free remarks.

A style's file has a table for each topic and a list of sentences for each case; `{name}` in one is
a measurement, a severity or another field of the report. All of it was invented for the phantom.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Formatter
from typing import Any, Literal, get_args

import numpy as np

__all__ = ["STYLES", "Style", "Wording", "fields_of", "free_remarks", "read_wording"]

Style = Literal["template", "sectioned", "abbreviated", "dictation"]

STYLES: tuple[Style, ...] = get_args(Style)
"""The ways in which readers write."""

_REFERENCE = re.compile(r"<(\w+)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The words of one style.

    Attributes:
        sentences: topic -> case -> sentences to choose from.
        items: finding or device -> its name in a list.
        words: `grade` ("mild"), `gradely` ("mildly") and `size` ("small") -> severity -> word.
        sections: headings by section; empty in styles without headings.
        single: how one percentage is written, with `{value}`.
        range: how a range is written, with `{low}` and `{high}`.
        separator: text between the sentences of a section.
        paragraph: text between sections.
        heading: how a heading is written, with `{name}`; "" for none.
        date: how a date is written, for `strftime`.
        remark: where in the grammar of free remarks this style begins.
        tokens_per_piece: CLIP tokens for each word, digit and run of punctuation, on average.
    """

    sentences: Mapping[str, Mapping[str, tuple[str, ...]]]
    items: Mapping[str, str]
    words: Mapping[str, Mapping[str, str]]
    sections: Mapping[str, str]
    single: str
    range: str
    separator: str
    paragraph: str
    heading: str
    date: str
    remark: str
    tokens_per_piece: float


@cache
def read_wording(style: Style) -> Wording:
    """Read a style's file, only once in each process.

    Raises:
        ValueError: there is no such style.

    Example:
        >>> read_wording("abbreviated").sentences["tr"]["none"]
        ('No TR.', 'No TR by CFD.')
    """
    if style not in STYLES:
        raise ValueError(f"style is {style!r}; give one of {', '.join(STYLES)}")
    tables = _read_toml(style)
    layout, words = tables.pop("layout"), tables.pop("words")
    return Wording(
        items=tables.pop("item"),
        sections=tables.pop("sections", {}),
        single=words.pop("single"),
        range=words.pop("range"),
        words=words,
        sentences={
            topic: {case: tuple(sentences) for case, sentences in cases.items()}
            for topic, cases in tables.items()
        },
        **layout,
    )


@cache
def fields_of(sentence: str) -> frozenset[str]:
    """Names of the fields in a sentence.

    Example:
        >>> sorted(fields_of("TAPSE {tapse_mm} mm, EF {ef}."))
        ['ef', 'tapse_mm']
    """
    return frozenset(name for _, name, _, _ in Formatter().parse(sentence) if name)


def free_remarks(start: str, *, number: int, rng: np.random.Generator) -> list[str]:
    """Make up sentences, or parts of one, from the grammar in `remarks.toml`.

    Args:
        start: the list to begin with: `prose`, `short`, or `indication_...` for a reason for
            referral.
        number: number of sentences, each from another line of that list.
        rng: chooses among the lines.

    Returns:
        Texts without `<name>`s; `prose` gives tens of thousands of different ones.
    """
    grammar = _read_remarks()

    def expand(line: str) -> str:
        return _REFERENCE.sub(lambda found: expand(choose(grammar[found[1]])), line)

    def choose(lines: Sequence[str]) -> str:
        return lines[int(rng.integers(len(lines)))]

    lines = grammar[start]
    return [expand(lines[i]) for i in rng.permutation(len(lines))[:number].tolist()]


@cache
def _read_remarks() -> Mapping[str, list[str]]:
    return _read_toml("remarks")


def _read_toml(name: str) -> dict[str, Any]:
    file = resources.files("echoclip_r.phantom.report") / "wordings" / f"{name}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))
