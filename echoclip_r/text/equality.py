"""When two reports are equal: when they normalize to the same text (I11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

import echotok
from echotok.text import make_normalizer

__all__ = ["normalize_report", "report_ids"]


def normalize_report(text: str) -> str:
    """A report without what makes no difference, such as letter case and white space (I1).

    It is the same for every model, whatever its tokenizer, so all models have the same right
    answers.

    Example:
        >>> normalize_report("No  Effusion .")
        'no effusion.'
    """
    return _normalizer()(text)


def report_ids(*groups: Sequence[str]) -> list[NDArray[np.int64]]:
    """Number reports so that those that normalize to the same text share a number, in all groups.

    Example:
        >>> report_ids(["Mild MR.", "No MR."], ["no  mr.", "NO MR.", "No AS."])
        [array([0, 1]), array([1, 1, 2])]
    """
    numbers: dict[str, int] = {}
    return [
        np.array(
            [numbers.setdefault(normalize_report(text), len(numbers)) for text in texts], np.int64
        )
        for texts in groups
    ]


@cache
def _normalizer() -> Callable[[str], str]:
    return make_normalizer(echotok.load("echo").table.units)
