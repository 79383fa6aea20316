"""Marked reports on a terminal."""

from __future__ import annotations

from rich.text import Text

from echotok.view.tree import Node, View, counts, layout, visible

__all__ = ["legend", "to_terminal"]

_STYLES = {"phrase": "bold cyan", "value": "bold yellow", "bpe": "", "marker": "dim magenta"}
_BRACKETS = {"phrase": ("[", "]"), "value": ("<", ">"), "dropped": ("{", "}")}
_MARKERS = {"<join>": "\u203f", "<space>": "\u2423"}
_DOT = "\u00b7"


def legend() -> Text:
    """One line that explains the marks of `to_terminal`."""
    return Text.assemble(
        ("[phrase]", _STYLES["phrase"]),
        "  ",
        ("<value>", _STYLES["value"]),
        f"  BPE{_DOT}pieces  ",
        ("\u203f no space here, \u2423 a space here", _STYLES["marker"]),
        "  {beyond the context length}",
    )


def to_terminal(view: View) -> Text:
    """A report with its tokens marked, for `rich`; the marks alone tell the kinds apart.

    Args:
        view: the report.
    """
    line = Text()
    line.append(visible(view.source).replace("\n", "\u240a"), style="bold underline")
    line.append(f"  {counts(view)}\n")
    nodes = layout(view)
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
