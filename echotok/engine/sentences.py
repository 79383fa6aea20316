"""Where a report's sentences end, found in the original text, which still has its line breaks."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["number_sentences"]

_ENDS_SENTENCE = (".", "!", "?")
_LIST_NUMBER = re.compile(r"[(]?[0-9]{1,3}[.)]")
# A new line is a new sentence when it looks like one: a list mark, a capital or a blank line.
_NEW_LINE = re.compile(r"\s*\n\s*(?:\n|[-*\u2022]|[0-9]{1,3}[.)]|[^\W\da-z_])")


def number_sentences(text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
    """The number, from 0, of the sentence that each stretch of a text belongs to.

    A sentence ends at a stretch that ends in `.`, `!` or `?` with white space behind it (a list
    number such as `1.` ends none), and where a new line begins with a list mark, a capital letter
    or a blank line.

    Args:
        text: the original text.
        spans: start and end of each stretch, in order.

    Example:
        >>> number_sentences("1. Mild MR. No AS", [(0, 2), (3, 11), (12, 17)])
        [0, 0, 1]
    """
    numbers: list[int] = []
    sentence = begin = previous = 0
    for start, end in spans:
        if numbers:
            so_far = text[begin:previous]
            stop = start > previous and so_far.endswith(_ENDS_SENTENCE)
            if (stop and not _LIST_NUMBER.fullmatch(so_far.strip())) or _NEW_LINE.match(
                text, previous
            ):
                sentence += 1
                begin = start
        numbers.append(sentence)
        previous = end
    return numbers
