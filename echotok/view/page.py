"""An encoding to look at as one self-contained HTML page.

Every text is escaped, and control characters are shown, never sent to the browser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from echotok.engine.encoding import Encoding
from echotok.engine.spans import Span
from echotok.view.templates import render
from echotok.view.tree import Node, View, counts, layout, pieces, shares

if TYPE_CHECKING:
    from echotok.tokenizer import Tokenizer

__all__ = ["to_html"]


def to_html(views: Iterable[View], tokenizer: Tokenizer) -> str:
    """One self-contained HTML page: no network, no file beside it.

    Args:
        views: the reports.
        tokenizer: the tokenizer that encoded them.

    Returns:
        The page. It holds the reports' text, so keep it as safe as the reports.
    """
    script = (resources.files("echotok.view") / "page.js").read_text(encoding="utf-8")
    reports = [_report(view) for view in views]
    return render(
        "echotok.view",
        "page.html",
        script=script,
        about=f"{tokenizer.name}, table {tokenizer.table.name} {tokenizer.table.version}, "
        f"{tokenizer.vocab_size:,} ids, fingerprint {tokenizer.fingerprint[:12]}",
        num_reports="1 report" if len(reports) == 1 else f"{len(reports):,} reports",
        reports=reports,
    )


class _Marked(NamedTuple):
    """A stretch of text with its CSS classes, and the ids and the tip of its tokens or ""."""

    classes: str
    ids: str
    tip: str
    parts: list[str | _Marked]


def _report(view: View) -> dict[str, Any]:
    nodes = layout(view)
    num_tokens, _, beside = counts(view).partition(" ")
    return {
        "source": view.source,
        "num_tokens": num_tokens,
        "beside": beside,
        "shares": {kind: f"{share:.1%}" for kind, share in shares(view, nodes).items()},
        "parts": list(_parts(view, nodes, (0, nodes[-1].span[1] if nodes else 0))),
    }


def _parts(view: View, nodes: Sequence[Node], span: Span) -> Iterator[str | _Marked]:
    for piece in pieces(view.text, nodes, span):
        yield piece if isinstance(piece, str) else _marked(view, piece)


def _marked(view: View, node: Node) -> _Marked:
    encoding, classes = view.encoding, node.kind
    if node.kind == "marker":
        classes += " " + encoding.tokens[node.positions[0]][1:-1]  # join or space
    elif not node.positions:
        classes += " word"
    return _Marked(
        classes=classes,
        ids=" ".join(str(encoding.ids[position]) for position in node.positions),
        tip="\n".join(_tip(encoding, position) for position in node.positions),
        parts=list(_parts(view, node.children, node.span)),
    )


def _tip(encoding: Encoding, position: int) -> str:
    span = encoding.offsets[position]
    assert span is not None, "only BOS and EOS have none, and they are not drawn"
    kind = encoding.kinds[position]
    kind = {"bpe": "BPE", "special": "marker"}.get(kind, kind)
    number = encoding.ids[position]
    return f"{encoding.tokens[position]}\n{kind}, id {number}, characters {span[0]}-{span[1]}"
