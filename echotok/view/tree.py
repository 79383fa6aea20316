"""An encoding as a small tree over the original text, from which terminal and page are drawn.

    [<moderate> mitral regurgitation]. Cal·ci·fied annulus, <4.2> cm

A phrase holds its values, and a value or BPE word of several tokens holds these tokens. Line
breaks, case and spacing stay as they were written, since every node is a span of the original text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

from echotok.engine.encoding import Encoding
from echotok.engine.spans import Span

__all__ = ["Node", "View", "counts", "layout", "pieces", "shares", "visible"]

# What a reader sees as one letter is never torn apart: emoji, accents, and joined Arabic script.
_LETTER = regex.compile(r"[\p{Arabic}\p{Syriac}\p{M}]+|\X")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A report to show.

    Attributes:
        source: where it came from, e.g. `reports.csv:3`.
        text: the report.
        encoding: the encoding of the text, truncated or not.
        num_clip_tokens: number of tokens in CLIP's standard tokenizer; None where CLIP's merges
            are not known.
    """

    source: str
    text: str
    encoding: Encoding
    num_clip_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A stretch of the original text.

    Attributes:
        kind: `phrase`, `value`, `bpe`, `marker` (join or space: an empty stretch) or `dropped`.
        span: place of the stretch in the text.
        positions: positions of the ids that the node stands for; empty for a value or BPE word of
            several tokens, whose children have them.
        children: the nodes inside: a phrase's values, or the tokens of a value or BPE word.
    """

    kind: str
    span: Span
    positions: tuple[int, ...] = ()
    children: tuple[Node, ...] = ()


def layout(view: View) -> list[Node]:
    """The units of a report as a tree, in the order of the text."""
    encoding = view.encoding
    nodes: list[Node] = []
    start = 1
    for end in encoding.unit_ends:
        nodes += _unit(view, range(start, end))
        start = end
    if encoding.num_dropped:
        shown = nodes[-1].span[1] if nodes else 0
        if rest := view.text[shown:].strip():
            start = view.text.index(rest, shown)
            nodes.append(Node(kind="dropped", span=(start, start + len(rest))))
    return nodes


def _unit(view: View, positions: range) -> Iterator[Node]:
    encoding = view.encoding
    rest = list(positions)
    if rest and encoding.kinds[rest[0]] == "special":
        yield Node(kind="marker", span=_span(encoding, rest[0]), positions=(rest.pop(0),))
    if not rest:
        return
    kind = encoding.kinds[rest[0]]
    if kind == "phrase":
        values = tuple(
            _word("value", encoding, [[position] for position in value])
            for value in _values(encoding, rest[1:])
        )
        yield Node(kind=kind, span=_span(encoding, rest[0]), positions=(rest[0],), children=values)
    elif kind == "value":
        yield _word(kind, encoding, [[position] for position in rest])
    else:
        yield _word(kind, encoding, _letters(view.text, encoding, rest))


def _values(encoding: Encoding, positions: Sequence[int]) -> Iterator[list[int]]:
    """Part the value tokens of a phrase into its values."""
    value: list[int] = []
    before = ""
    for position in positions:
        role = encoding.roles[position]
        goes_on = role in ("continue", "separator") or before in ("prefix", "separator")
        if value and not goes_on:
            yield value
            value = []
        value.append(position)
        before = role
    if value:
        yield value


def _letters(text: str, encoding: Encoding, positions: Sequence[int]) -> list[list[int]]:
    """Group the tokens of a BPE word so that no letter is torn apart."""
    spans = [_span(encoding, position) for position in positions]
    ends = {match.end() for match in _LETTER.finditer(text, spans[0][0], spans[-1][1])}
    groups: list[list[int]] = [[]]
    for at, position in enumerate(positions):
        groups[-1].append(position)
        end = spans[at][1]
        if at + 1 < len(positions) and end in ends and spans[at + 1][0] >= end:
            groups.append([])
    return groups


def _word(kind: str, encoding: Encoding, groups: Sequence[Sequence[int]]) -> Node:
    leaves = tuple(
        Node(
            kind=kind,
            span=(_span(encoding, group[0])[0], _span(encoding, group[-1])[1]),
            positions=tuple(group),
        )
        for group in groups
    )
    if len(leaves) == 1:
        return leaves[0]
    return Node(kind=kind, span=(leaves[0].span[0], leaves[-1].span[1]), children=leaves)


def _span(encoding: Encoding, position: int) -> Span:
    span = encoding.offsets[position]
    assert span is not None, "only BOS and EOS have none"
    return span


def pieces(text: str, nodes: Sequence[Node], span: Span) -> Iterator[str | Node]:
    """The nodes that lie in a stretch of text, in order, and the text around them.

    Args:
        text: the report.
        nodes: nodes in the order of the text.
        span: the stretch of text.
    """
    at, end = span
    for node in nodes:
        yield text[at : node.span[0]]
        yield node
        at = node.span[1]
    yield text[at:end]


def shares(view: View, nodes: Sequence[Node]) -> dict[str, float]:
    """For each kind of node its share of the visible characters that were encoded.

    Args:
        view: the report.
        nodes: the nodes that `layout` gave for the report.
    """
    counts = {"phrase": 0, "value": 0, "bpe": 0}

    def size(node: Node) -> int:
        return sum(not character.isspace() for character in view.text[slice(*node.span)])

    for node in nodes:
        if node.kind == "phrase":
            values = sum(map(size, node.children))
            counts["value"] += values
            counts["phrase"] += size(node) - values
        elif node.kind in counts:
            counts[node.kind] += size(node)
    total = max(1, sum(counts.values()))
    return {kind: count / total for kind, count in counts.items()}


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


def counts(view: View) -> str:
    """A text such as `48 tokens, CLIP BPE 412 (8.6 times as many)`."""
    size = len(view.encoding)
    counts = f"{size:,} tokens"
    if view.num_clip_tokens is not None:
        ratio = view.num_clip_tokens / size
        counts += f", CLIP BPE {view.num_clip_tokens:,} ({ratio:.1f} times as many)"
    if view.encoding.num_dropped:
        counts += f"; {view.encoding.num_dropped:,} more did not fit"
    return counts
