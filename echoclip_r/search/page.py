"""Answers as one self-contained HTML page: no network, no file beside it, no script.

Every text is escaped and control characters are shown, so that a report that holds HTML is text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from echoclip_r.search.answers import Answer, shared_sentences
from echoclip_r.search.pictures import data_uri, film_strip
from echotok.view.templates import render
from echotok.view.tree import Node, View, layout, pieces

if TYPE_CHECKING:
    from echotok import Tokenizer

__all__ = ["to_page"]

_NUM_STILLS = 4


def to_page(
    answers: Sequence[Answer],
    *,
    title: str,
    about: str,
    tokenizer: Tokenizer | None = None,
    before: str | Markup = "",
) -> str:
    """Write a page.

    Args:
        answers: the answers; each has a section of its own.
        title: heading of the page.
        about: a line below the heading that names the model, the pool and the data.
        tokenizer: the model's tokenizer where it is one of echotok's, to colour phrases and values;
            else None.
        before: text to put ahead of the answers; it is HTML only as `Markup`.

    Returns:
        The page. It holds the reports' text, so keep it as safe as the reports.
    """
    return render(
        "echoclip_r.search",
        "page.html",
        title=title,
        about=about,
        coloured=tokenizer is not None,
        before=before,
        answers=answers,
        num_stills=_NUM_STILLS,
        film_strip=film_strip,
        data_uri=data_uri,
        marked=partial(_marked, tokenizer),
        shared_sentences=shared_sentences,
    )


class _Marked(NamedTuple):
    """A phrase with the texts and values in it, or a value with its text alone."""

    kind: str
    parts: list[str | _Marked]


def _marked(tokenizer: Tokenizer | None, text: str) -> Iterator[str | _Marked]:
    """A report's text, with phrases and values marked where there is a tokenizer."""
    if tokenizer is None:
        yield text
        return
    view = View(source="", text=text, encoding=tokenizer.encode(text))
    for piece in pieces(text, layout(view), (0, len(text))):
        yield piece if isinstance(piece, str) else _mark(text, piece)


def _mark(text: str, node: Node) -> str | _Marked:
    if node.kind == "phrase":
        inside = pieces(text, node.children, node.span)
        parts = [one if isinstance(one, str) else _mark(text, one) for one in inside]
        return _Marked(node.kind, parts)
    words = text[slice(*node.span)]
    return _Marked(node.kind, [words]) if node.kind == "value" else words
