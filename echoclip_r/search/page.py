"""Answers as one self-contained HTML page: no network, no file beside it, no script.

Every text is escaped and control characters are shown, so that a report that holds HTML is text.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from echoclip_r.search.answers import Answer, Hit, Item, shared_sentences
from echoclip_r.search.pictures import data_uri, film_strip
from echotok.view.tree import Node, View, layout, visible

if TYPE_CHECKING:
    from echotok import Tokenizer

__all__ = ["report_html", "to_page"]

_NUM_STILLS = 4


def to_page(
    answers: Sequence[Answer],
    *,
    title: str,
    about: str,
    tokenizer: Tokenizer | None = None,
    before: str = "",
) -> str:
    """Write a page.

    Args:
        answers: what was found, one section each.
        title: its heading.
        about: a line below it: model, pool, what data this is.
        tokenizer: of the model, where it is one of echotok's: reports are coloured by its phrases.
        before: HTML to put ahead of the answers, as it is.

    Returns:
        The page. It holds the reports' text, so it is to be kept as they are.
    """
    template = Template(
        (resources.files("echoclip_r.search") / "page.html").read_text(encoding="utf-8")
    )
    return template.substitute(
        title=_escape(title),
        about=_escape(about),
        legend=_LEGEND if tokenizer is not None else "",
        before=before,
        answers="\n".join(_section(answer, tokenizer) for answer in answers),
    )


_LEGEND = (
    '<p class="legend"><span class="phrase">phrase of the table</span> '
    '<span class="value">value</span> other words</p>'
)


def _section(answer: Answer, tokenizer: Tokenizer | None) -> str:
    query = answer.query
    parts = [f'<section>\n<h2>{_escape(query.name)}</h2>\n<div class="query">']
    if query.frames is not None:
        parts.append(_picture(query, "The clip that reports were looked for"))
    parts.append("</div>")
    if answer.right_rank is not None:
        parts.append(
            f'<p class="verdict">Its own report is <b>rank {answer.right_rank:,}</b> of '
            f"{answer.pool_size:,}.</p>"
        )
    else:
        parts.append(f'<p class="verdict">The best of {answer.pool_size:,}.</p>')
    parts.append('<div class="cards">')
    if query.report is not None:
        own = "Its own report" if query.frames is not None else "The report"
        parts.append(
            f'<article class="own"><h3>{own}</h3>{report_html(query.report, tokenizer)}</article>'
        )
    parts += [_card(hit, query.report, tokenizer) for hit in answer.hits]
    parts.append("</div>\n</section>")
    return "".join(parts)


def _card(hit: Hit, own: str | None, tokenizer: Tokenizer | None) -> str:
    right = ' <span class="right">the right one</span>' if hit.right else ""
    kind = "card right-card" if hit.right else "card"
    width = max(0.0, min(1.0, hit.cosine))
    parts = [
        f'<article class="{kind}"><h3>#{hit.rank}{right}</h3>',
        f'<p class="soft">cosine {hit.cosine:.3f}<span class="meter" aria-hidden="true">'
        f'<i style="width:{width:.0%}"></i></span></p>',
    ]
    facts = [_escape(hit.item.name)]
    if hit.num_same > 1:
        facts.append(f"{hit.num_same:,} reports of the pool are this text")
    if own is not None and hit.item.report is not None and not hit.right:
        sentences = shared_sentences(hit.item.report, own)
        shared = sum(same for _, same in sentences)
        facts.append(f"{shared} of its {len(sentences)} sentences are in the right one, too")
    parts.append(f'<p class="soft">{"<br>".join(facts)}</p>')
    if hit.item.frames is not None:
        parts.append(_picture(hit.item, f"Clip number {hit.rank}"))
    if hit.item.report is not None:
        parts.append(report_html(hit.item.report, tokenizer))
    parts.append("</article>")
    return "".join(parts)


def _picture(item: Item, alt: str) -> str:
    assert item.frames is not None
    strip = film_strip(item.frames, num=_NUM_STILLS)
    return (
        f'<img src="{data_uri(strip)}" width="{strip.width}" height="{strip.height}" '
        f'alt="{alt}: {_NUM_STILLS} of its frames, masked to the sector">'
    )


def report_html(text: str, tokenizer: Tokenizer | None) -> str:
    """A report as a block of HTML, its phrases and values marked where there is a tokenizer."""
    if tokenizer is None:
        return f'<div class="text">{_escape(text)}</div>'
    view = View(source="", text=text, encoding=tokenizer.encode(text))
    parts = ['<div class="text">']
    at = 0
    for node in layout(view):
        parts.append(_escape(text[at : node.span[0]]))
        parts += _marked(text, node)
        at = node.span[1]
    parts.append(_escape(text[at:]) + "</div>")
    return "".join(parts)


def _marked(text: str, node: Node) -> Iterator[str]:
    if node.kind not in ("phrase", "value"):
        yield _escape(text[slice(*node.span)])
        return
    yield f'<span class="{node.kind}">'
    at = node.span[0]
    for child in node.children if node.kind == "phrase" else ():
        yield _escape(text[at : child.span[0]])
        yield from _marked(text, child)
        at = child.span[1]
    yield _escape(text[at : node.span[1]]) + "</span>"


def _escape(text: str) -> str:
    return html.escape(visible(text))
