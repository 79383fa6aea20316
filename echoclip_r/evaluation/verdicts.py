"""A plain judgement of a figure in words."""

from __future__ import annotations

import math
from typing import NamedTuple

from echoclip_r.evaluation.figures import is_better_low
from echoclip_r.evaluation.outcomes import Comparison, Outcome

__all__ = ["Verdict", "difference_verdict", "too_few", "verdict"]

_FEW = 10


def too_few(outcome: Outcome) -> int | None:
    """The number of items (of the rarer class, if any) where it is too small to tell anything."""
    few = outcome.scores.num_items
    if outcome.section == "binary":
        few = min(outcome.about["num_positive"], few - outcome.about["num_positive"])
    return few if few < _FEW else None


class Verdict(NamedTuple):
    """A judgement of a figure in words; `kind` is `weak`, `fair` or `good`."""

    text: str
    kind: str


def verdict(outcome: Outcome, name: str) -> Verdict | None:
    """Say plainly whether a figure is any good; None where there is nothing to say."""
    figure = outcome.scores.figures[name]
    few = too_few(outcome)
    if few is not None:
        return Verdict(f"too few to tell: {few}", "weak")
    if outcome.section == "regression":
        gain = outcome.scores.figures["gain"]
        if math.isnan(gain.low):
            return None
        if not gain.low > 0:
            worse = gain.high < 0
            return Verdict(
                "worse than the median guess" if worse else "no better than the median guess",
                "weak",
            )
        if gain.value < 0.1:
            return Verdict("weak", "weak")
        return Verdict(f"saves {gain.value:.0%} of the median guess's error", "fair")
    if math.isnan(figure.chance) or math.isnan(figure.low):
        return None
    below = is_better_low(name)
    if (figure.high >= figure.chance) if below else (figure.low <= figure.chance):
        worse = figure.low > figure.chance if below else figure.high < figure.chance
        return Verdict("worse than chance" if worse else "no better than chance", "weak")
    if name.partition(":")[0] == "auc":
        for limit, text, kind in ((0.7, "weak", "weak"), (0.8, "moderate", "fair")):
            if figure.value < limit:
                return Verdict(text, kind)
        return Verdict("good" if figure.value < 0.9 else "strong", "good")
    if below:
        return Verdict(f"{figure.chance / figure.value:.1f} times better than chance", "fair")
    return Verdict("better than chance", "fair")


def difference_verdict(comparison: Comparison) -> Verdict:
    """Which of two models is better, if the interval of their difference leaves 0 out."""
    low, high = comparison.difference.low, comparison.difference.high
    if not (low > 0 or high < 0):
        return Verdict("no clear difference", "fair")
    is_second = (low > 0) != is_better_low(comparison.figure)
    return Verdict(f"{comparison.second if is_second else comparison.first} is better", "good")
