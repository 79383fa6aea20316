"""An encoding to look at: marked text in the terminal, and one self-contained HTML page.

    [<moderate> mitral regurgitation]. Cal·ci·fied annulus, <4.2> cm

Every report text is escaped, and control characters are shown, never sent to the terminal or the
browser.
"""

from __future__ import annotations

import base64
import hashlib
import html
import string
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import TYPE_CHECKING

from echotok.engine.encoding import Encoding
from echotok.view.tree import Node, View, counts, layout, shares, visible

if TYPE_CHECKING:
    from echotok.tokenizer import Tokenizer

__all__ = ["View", "to_html"]


_NAMES = {"phrase": "phrases", "value": "values", "bpe": "BPE"}


def to_html(views: Iterable[View], tokenizer: Tokenizer) -> str:
    """One self-contained HTML page: no network, no file beside it.

    Args:
        views: the reports.
        tokenizer: the tokenizer that encoded them.

    Returns:
        The page. It holds the reports' text, so it is to be kept as they are.
    """
    page = (files("echotok.view") / "page.html").read_text(encoding="utf-8")
    template = string.Template(page)
    script = template.template.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    reports = [_report(view) for view in views]
    about = (
        f"{tokenizer.name}, table {tokenizer.table.name} {tokenizer.table.version}, "
        f"{tokenizer.vocab_size:,} ids, fingerprint {tokenizer.fingerprint[:12]}"
    )
    return template.substitute(
        script_sha256=digest,
        about=_escape(about),
        num_reports="1 report" if len(reports) == 1 else f"{len(reports):,} reports",
        reports="\n".join(reports),
    )


def _escape(text: str) -> str:
    return html.escape(visible(text))


def _report(view: View) -> str:
    nodes = layout(view)
    percent = {kind: f"{share:.1%}" for kind, share in shares(view, nodes).items()}
    said = ", ".join(f"{percent[kind]} in {name}" for kind, name in _NAMES.items())
    bar = "".join(f'<i class="{kind}" style="width:{percent[kind]}"></i>' for kind in _NAMES)
    parts = [
        f"<section>\n<h2>{_escape(view.source)}</h2>\n<p>{_counts_html(view)}</p>\n",
        f'<div class="bar" role="img" aria-label="Visible characters: {said}">{bar}</div>\n',
        f'<p class="shares">Visible characters: {said}</p>\n<div class="text">',
    ]
    at = 0
    for node in nodes:
        parts.append(_escape(view.text[at : node.span[0]]))
        parts += _spans(view, node)
        at = node.span[1]
    parts.append("</div>\n</section>")
    return "".join(parts)


def _counts_html(view: View) -> str:
    first, _, others = counts(view).partition(" ")
    return f"<b>{first}</b> {others}"


def _spans(view: View, node: Node) -> Iterator[str]:
    if node.positions:
        encoding = view.encoding
        tip = "\n".join(_tip(encoding, position) for position in node.positions)
        ids = " ".join(str(encoding.ids[position]) for position in node.positions)
        marker = " " + encoding.tokens[node.positions[0]][1:-1] if node.kind == "marker" else ""
        yield (
            f'<span class="{node.kind}{marker}" tabindex="0" data-id="{ids}" '
            f'title="{_escape(tip)}">'
        )
    else:
        yield f'<span class="{node.kind} word">'
    at = node.span[0]
    for child in node.children:
        yield _escape(view.text[at : child.span[0]])
        yield from _spans(view, child)
        at = child.span[1]
    yield _escape(view.text[at : node.span[1]]) + "</span>"


def _tip(encoding: Encoding, position: int) -> str:
    span = encoding.offsets[position]
    assert span is not None, "only BOS and EOS have none, and they are not drawn"
    kind = encoding.kinds[position]
    kind = {"bpe": "BPE", "special": "marker"}.get(kind, kind)
    number = encoding.ids[position]
    return f"{encoding.tokens[position]}\n{kind}, id {number}, characters {span[0]}-{span[1]}"
