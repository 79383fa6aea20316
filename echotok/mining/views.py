"""The two ways in which runs are read: as they stand, and with values as slots.

A number that varies is always read as a slot, so that measurements stay values that can be read off
the ids. A number that hardly ever varies between its neighbours is a part of the expression (`3
views`, the version of a device) and is read both ways. A grade is read both ways too, since a very
common grade may deserve a sentence of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from echotok.mining.privacy import is_month
from echotok.mining.runs import View
from echotok.mining.segments import Ints, Segments
from echotok.table.values import EnumValue
from echotok.text import is_number, split_pieces

__all__ = ["CLOSED_SETS", "Split", "describe", "make_views", "value_spans"]


Split = Callable[[str], Sequence[int]]
"""A function that writes a number value as tokens, e.g. `NumberCode.split`."""

_FIXED_SHARE = 0.9


_CLOSED_SETS = {
    "side": "left right bilateral both links rechts beidseits",
    "lobe": "upper middle lower lingular apical basal basilar",
    "valve": "mitral aortic tricuspid pulmonic pulmonary",
}
_DESCRIPTIONS = {"side": "laterality", "lobe": "lobe or zone of a lung", "valve": "cardiac valve"}
CLOSED_SETS = tuple(
    EnumValue(id=number, slot=slot, text=text)
    for number, (slot, text) in enumerate(
        (slot, text) for slot, texts in _CLOSED_SETS.items() for text in texts.split()
    )
)
"""Words that stand for one another at one position: proposed as the values of an enumeration."""


def describe(slot: str) -> str:
    """The description of an enumeration of `CLOSED_SETS`, for `table.toml`.

    Args:
        slot: name of the enumeration.
    """
    return _DESCRIPTIONS[slot]


def value_spans(segments: Segments, values: Sequence[EnumValue]) -> list[tuple[int, int, str]]:
    """Where values of several spellings stand: `(node, end node, slot)`, the longest at each place.

    Args:
        segments: the corpus.
        values: the spellings to look for, of one piece or of several.
    """
    known = {piece: number for number, piece in enumerate(segments.vocabulary)}
    spans: dict[int, tuple[int, str]] = {}
    for value in values:
        first, *rest = split_pieces(value.text)
        if any(piece not in known for piece in rest):
            continue
        heads = [known[head] for head in (first, " " + first) if head in known]
        at = np.flatnonzero(np.isin(segments.pieces, heads))
        for step, piece in enumerate(rest, 1):
            at = at[at + step < segments.num_nodes]
            at = at[segments.pieces[at + step] == known[piece]]
        for node in at.tolist():
            end = node + 1 + len(rest)
            if end > spans.get(node, (0, ""))[0]:
                spans[node] = (end, value.slot)
    return [(node, end, slot) for node, (end, slot) in sorted(spans.items())]


def make_views(
    segments: Segments, spans: Sequence[tuple[int, int, str]], split: Split
) -> list[View]:
    """The corpus with grades as they stand, and with grades and other declared values as slots.

    Args:
        segments: the corpus.
        spans: places of the values, as `value_spans` gives them.
        split: writes a number as tokens.

    Returns:
        The views; the second is left out where it would equal the first.
    """
    fixed = fixed_numbers(segments)
    views = [_view(segments, (), split, fixed=fixed)]
    if fixed.any():
        views.append(_view(segments, (), split))
    grades = [span for span in spans if span[2] == "severity"]
    if grades:
        views.append(_view(segments, grades, split))
    if len(spans) > len(grades):
        views.append(_view(segments, spans, split))
    return views


def fixed_numbers(segments: Segments) -> npt.NDArray[np.bool_]:
    """Where a number stands that is nearly always the same between the same two neighbours.

    Returns:
        bool (num_nodes,), true at such a number.
    """
    number = np.array([*(is_number(piece) for piece in segments.vocabulary), False])
    at = np.flatnonzero(number[segments.pieces])
    fixed = np.zeros(segments.num_nodes, dtype=bool)
    if not len(at):
        return fixed
    weight = segments.weights[np.searchsorted(segments.starts, at, side="right") - 1]
    size = len(segments.vocabulary) + 1
    frame = (segments.pieces[at - 1] + 1) * size + segments.pieces[at + 1] + 1
    _, frame = np.unique(frame, return_inverse=True)
    _, value = np.unique(frame * size + segments.pieces[at], return_inverse=True)
    of_frame = np.bincount(frame, weight)[frame]
    of_value = np.bincount(value, weight)[value]
    fixed[at] = of_value >= _FIXED_SHARE * of_frame
    return fixed


def _view(
    segments: Segments,
    spans: Sequence[tuple[int, int, str]],
    split: Split,
    *,
    fixed: npt.NDArray[np.bool_] | None = None,
) -> View:
    texts: dict[str, int] = {}
    of_piece: list[int] = []
    costs: list[int] = []
    spaced: list[bool] = []
    for piece in segments.vocabulary:
        bare = piece.removeprefix(" ")
        number = is_number(piece)
        of_piece.append(texts.setdefault("{number}" if number else bare, len(texts)))
        costs.append(len(split(bare)) if number else 0)
        spaced.append(bare != piece)
    # The last entry serves index -1, the ends of segments.
    elements: Ints = np.array([*of_piece, -1])[segments.pieces]
    elements[segments.private] = -1  # no run goes through
    cost: Ints = np.array([*costs, 0])[segments.pieces]
    space = np.array([*spaced, False])[segments.pieces]
    if fixed is not None:
        at = np.flatnonzero(fixed & ~segments.private)
        cost[at] = 0
        for node, piece in zip(at.tolist(), segments.pieces[at].tolist(), strict=True):
            bare = segments.vocabulary[piece].removeprefix(" ")
            elements[node] = texts.setdefault(bare, len(texts))
    kept = np.ones(segments.num_nodes, dtype=bool)
    reach = 0
    for node, end, slot in spans:
        if node < reach or segments.private[node:end].any():
            continue
        elements[node] = texts.setdefault("{" + slot + "}", len(texts))
        cost[node] = 1
        kept[node + 1 : end] = False
        reach = end
    # The month of a date may be a word of its own, between two places where no run goes through.
    month = np.array([*(is_month(piece.removeprefix(" ")) for piece in segments.vocabulary), False])
    at = np.flatnonzero(segments.private & month[segments.pieces])
    elements[at] = np.array([*of_piece, -1])[segments.pieces[at]]
    nodes = np.flatnonzero(kept)
    breaks = np.searchsorted(nodes, np.concatenate([at, at + 1]))
    return View(
        texts=tuple(texts),
        elements=np.insert(elements[kept], breaks, -1),
        spaced=np.insert(space[kept], breaks, False),
        nodes=np.insert(nodes, breaks, nodes[breaks]),
        costs=np.insert(cost[kept], breaks, 0),
    )
