"""The white space between units: a rule that is nearly always right, so that marks are rare.

Encoder and decoder both look it up in `EXPECTS_SPACE`; where a text does not follow the rule, the
encoder puts a `join` or `space` mark in front of the unit.
"""

from __future__ import annotations

__all__ = [
    "AFTER_STOP",
    "EXPECTS_SPACE",
    "VALUE_LEFT",
    "VALUE_RIGHT",
    "Edge",
    "left_edge",
    "right_edge",
]

Edge = int
"""How one end of a unit takes part in spacing; see `left_edge` and `right_edge`."""

_PLAIN, _TIGHT, _HYPHEN, _OPEN, _WORD = range(5)
_TIGHT_CHARACTERS = frozenset(".,;:!?)]}%'+\u00b0")
_OPENING = frozenset("([{")
_HYPHENS = frozenset("-/")


def left_edge(text: str) -> Edge:
    """The left edge of a unit that begins with a literal character (a value's edge is plain)."""
    first = text[:1]  # nothing, where ids are decoded that no text gave
    if first in _TIGHT_CHARACTERS:
        return _TIGHT
    return _HYPHEN if first in _HYPHENS else _PLAIN


def right_edge(text: str, *, spaced: bool) -> Edge:
    """The right edge of a unit that ends in a literal character.

    A hyphen or slash has a space on its right where it has one on its left: `end-diastolic`, but
    `- normal` in a list.

    Args:
        text: the unit's text.
        spaced: whether the unit stands behind a space or begins the text.
    """
    last = text[-1]
    if last.isalnum() or last in ")'%":
        return _WORD
    if last in _OPENING:
        return _OPEN
    if last in _HYPHENS:
        only_hyphens = all(character in _HYPHENS for character in text)
        return _PLAIN if only_hyphens and spaced else _OPEN
    return _PLAIN


VALUE_LEFT, VALUE_RIGHT = _PLAIN, _WORD
AFTER_STOP = _PLAIN


def _expects_space(right_of_previous: Edge, left: Edge) -> bool:
    if right_of_previous == _OPEN or left == _TIGHT:
        return False
    return not (left == _HYPHEN and right_of_previous == _WORD)


EXPECTS_SPACE = tuple(tuple(_expects_space(right, left) for left in range(5)) for right in range(5))
"""`EXPECTS_SPACE[right edge][left edge]`: whether a space stands between two units unless a mark
says otherwise."""
