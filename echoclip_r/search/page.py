"""Answers as one self-contained HTML page: no network, no file beside it, no script.

Each answer opens with what its query and its hits say, finding by finding; the reports' text is
folded below. Every text is escaped and control characters are shown, so that a report that holds
HTML is text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup

from echoclip_r.search.answers import Answer, Hit, Item
from echoclip_r.search.comparison import (
    Comparison,
    Grid,
    Match,
    Verdict,
    make_grid,
    match_sentences,
    stretches,
)
from echoclip_r.search.pictures import data_uri, film_strip, moving
from echotok.view.templates import render

if TYPE_CHECKING:
    from echotok.findings.rules import FindingsRules

__all__ = ["to_page"]

_SIDE_PX = 224
_MOST_NAMES = 6
"""Number of studies with the same text that are named; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Card:
    """A hit beside the query's report; `compared` is None where either is not known."""

    hit: Hit
    studies: tuple[str, ...]
    compared: Comparison | None
    sentences: Mapping[Match, int]
    verdicts: Mapping[str, Verdict]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Section:
    """An answer, ready to be drawn; `verdicts` are of the query's report beside the best hit."""

    answer: Answer
    grid: Grid
    cards: tuple[_Card, ...]
    verdicts: Mapping[str, Verdict]


def to_page(
    answers: Sequence[Answer],
    *,
    title: str,
    about: str,
    rules: FindingsRules | None = None,
    before: str | Markup = "",
) -> str:
    """Write a page.

    Args:
        answers: the answers; each has a section of its own.
        title: heading of the page.
        about: a line below the heading that names the model, the pool and the data, or "".
        rules: findings to compare reports by; None for those that ship with echotok.
        before: text to put ahead of the answers; it is HTML only as `Markup`.

    Returns:
        The page. It holds the reports' text, so keep it as safe as the reports.
    """
    return render(
        "echoclip_r.search",
        "page.html",
        title=title,
        about=about,
        before=before,
        sections=[_section(answer, rules) for answer in answers],
        picture=_picture,
        most_names=_MOST_NAMES,
        stretches=partial(stretches, rules=rules),
    )


def _section(answer: Answer, rules: FindingsRules | None) -> _Section:
    grid = make_grid(answer, rules)
    cards = tuple(
        _card(hit, answer.query, grid.beside(place)) for place, hit in enumerate(answer.hits)
    )
    return _Section(
        answer=answer,
        grid=grid,
        cards=cards,
        verdicts=cards[0].verdicts if cards else {},
    )


def _card(hit: Hit, query: Item, compared: Comparison | None) -> _Card:
    sentences: Mapping[Match, int] = {}
    if query.report is not None and hit.item.report is not None:
        sentences = Counter(match for _, match in match_sentences(hit.item.report, query.report))
    return _Card(
        hit=hit,
        studies=hit.studies or (hit.item.name,),
        compared=compared,
        sentences=sentences,
        verdicts={} if compared is None else compared.verdicts,
    )


def _picture(item: Item, what: str) -> Markup:
    """A clip that moves, or stands still for those who asked their system for that."""
    assert item.frames is not None
    side = min(_SIDE_PX, item.frames.shape[1])
    still = data_uri(film_strip(item.frames, num=1, side_px=side))
    return Markup(
        '<picture><source media="(prefers-reduced-motion: reduce)" srcset="{still}">'
        '<img src="{moving}" width="{shown}" height="{shown}" alt="{what}"></picture>'
    ).format(still=still, moving=moving(item.frames, side_px=_SIDE_PX), shown=_SIDE_PX, what=what)
