"""An encoding to look at: marked text in the terminal, and one self-contained HTML page.

    [<moderate> mitral regurgitation]. Cal·ci·fied annulus, <4.2> cm

Every report text is escaped, and control characters are shown, never sent to the terminal or the
browser.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
import string
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from echotok.encoding import Encoding
from echotok.layout import Node, View, layout, shares

if TYPE_CHECKING:
    from rich.text import Text

    from echotok.tokenizer import Tokenizer

__all__ = ["View", "legend", "to_html", "to_terminal", "visible"]

# C0 controls as their pictures; tab and line feed are the renderer's own business.
_CONTROLS = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys([*range(0x80, 0x85), *range(0x86, 0xA0), *range(0xD800, 0xE000)], 0xFFFD),
}
_BREAK = re.compile(r"\r\n?|\x85")


def visible(text: str) -> str:
    r"""Text that is safe to print: control characters become pictures, lone surrogates U+FFFD.

    Example:
        >>> visible("a\r\nb\x1b[31m")
        'a\nb␛[31m'
    """
    return _BREAK.sub("\n", text).translate(_CONTROLS)


def _counts(view: View) -> str:
    """`48 tokens, CLIP BPE 412 (8.6 times as many)`."""
    size = len(view.encoding)
    counts = f"{size:,} tokens"
    if view.num_clip_tokens is not None:
        ratio = view.num_clip_tokens / size
        counts += f", CLIP BPE {view.num_clip_tokens:,} ({ratio:.1f} times as many)"
    if view.encoding.num_dropped:
        counts += f"; {view.encoding.num_dropped:,} more did not fit"
    return counts


# The terminal

_STYLES = {"phrase": "bold cyan", "value": "bold yellow", "bpe": "", "marker": "dim magenta"}
_BRACKETS = {"phrase": ("[", "]"), "value": ("<", ">"), "dropped": ("{", "}")}
_MARKERS = {"<join>": "\u203f", "<space>": "\u2423"}
_DOT = "\u00b7"


def legend() -> Text:
    """One line that explains the marks of `to_terminal`."""
    from rich.text import Text

    return Text.assemble(
        ("[phrase]", _STYLES["phrase"]),
        "  ",
        ("<value>", _STYLES["value"]),
        f"  BPE{_DOT}pieces  ",
        ("\u203f no space here, \u2423 a space here", _STYLES["marker"]),
        "  {beyond the context length}",
    )


def to_terminal(view: View, tokenizer: Tokenizer) -> Text:
    """A report with its tokens marked, for `rich`; the marks alone tell the kinds apart.

    Args:
        view: the report.
        tokenizer: the tokenizer that encoded it.
    """
    from rich.text import Text

    line = Text()
    line.append(visible(view.source).replace("\n", "\u240a"), style="bold underline")
    line.append(f"  {_counts(view)}\n")
    nodes = layout(view, tokenizer)
    at = 0
    before = ""
    for node in nodes:
        line.append(visible(view.text[at : node.span[0]]))
        if node.kind == "bpe" and before == "bpe" and at == node.span[0]:
            line.append(_DOT, style="dim")
        _append(line, view, node)
        at, before = node.span[1], node.kind
    return line


def _append(line: Text, view: View, node: Node) -> None:
    style = _STYLES.get(node.kind, "dim strike")
    opening, closing = _BRACKETS.get(node.kind, ("", ""))
    if node.kind == "marker":
        opening = _MARKERS[view.encoding.tokens[node.positions[0]]]
    line.append(opening, style=style)
    at = node.span[0]
    for number, child in enumerate(node.children):
        line.append(visible(view.text[at : child.span[0]]), style=style)
        if node.kind == "phrase":
            _append(line, view, child)
        else:
            line.append(_DOT if number and at == child.span[0] else "", style="dim")
            line.append(visible(view.text[slice(*child.span)]), style=style)
        at = child.span[1]
    line.append(visible(view.text[at : node.span[1]]), style=style)
    line.append(closing, style=style)


# The page

_PAGE = Path(__file__).parent / "page.html"
_NAMES = {"phrase": "phrases", "value": "values", "bpe": "BPE"}


def to_html(views: Iterable[View], tokenizer: Tokenizer) -> str:
    """One self-contained HTML page: no network, no file beside it.

    Args:
        views: the reports.
        tokenizer: the tokenizer that encoded them.

    Returns:
        The page. It holds the reports' text, so it is to be kept as they are.
    """
    template = string.Template(_PAGE.read_text(encoding="utf-8"))
    script = template.template.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    reports = [_report(view, tokenizer) for view in views]
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


def _report(view: View, tokenizer: Tokenizer) -> str:
    nodes = layout(view, tokenizer)
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
    first, _, others = _counts(view).partition(" ")
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
