"""Every task as one row at a glance: for each model a value with its interval, beside chance.

Places on a row are percentages of its width, so that a page needs no other size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.ticker import LogLocator, MaxNLocator

from echoclip_r.evaluation.figures import has_unit, is_better_low, label_of
from echoclip_r.evaluation.outcomes import Comparison, Evaluation, Outcome, where_text
from echoclip_r.evaluation.plots.style import MARKERS
from echoclip_r.evaluation.report.tables import (
    Cell,
    count_text,
    figure_cell,
    guess_name,
    main_figures,
    number_text,
)
from echoclip_r.evaluation.verdicts import difference_verdict, verdict
from echoclip_r.metrics.bootstrap import Estimate

__all__ = ["Lane", "Scale", "TaskRow", "make_rows", "scale_of"]

_LOGARITHMIC = ("mcmrr",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """An axis.

    Attributes:
        low, high: its ends, low < high.
        is_log: whether equal ratios have equal lengths; then low > 0.
    """

    low: float
    high: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, in percent of the axis; beyond an end it lies on the end."""
        low, high, value = (
            math.log(max(number, self.low)) if self.is_log else number
            for number in (self.low, self.high, value)
        )
        return round(100 * min(max((value - low) / (high - low), 0), 1), 2)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Place and text of some round numbers."""
        locator = LogLocator(subs=(1, 2, 5)) if self.is_log else MaxNLocator(4)
        values = [
            float(value)
            for value in locator.tick_values(self.low, self.high)
            if self.low - 1e-9 <= value <= self.high + 1e-9
        ]
        if self.is_log and len(values) > 5:
            values = values[::2]
        return [(self.place(value), f"{value:,g}".replace("-", "\u2212")) for value in values]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One value with its interval.

    Attributes:
        model: number of the model, which gives colour and marker.
        name: of model, data set and figure, for those who do not see the mark.
        is_hollow: a second figure of the same task, such as the contrast score.
        is_external: of the external data set.
        low, at, high: places in percent; None where there is no interval, or no value.
        guess: place of what guessing gives, None where it has no meaning.
        cell: value, interval and verdict as text.
    """

    model: int
    name: str
    is_hollow: bool
    is_external: bool
    low: float | None
    at: float | None
    high: float | None
    guess: float | None
    cell: Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A task at a glance.

    Attributes:
        task, title, family: see `Outcome`.
        below: lines in a softer colour: what is counted, and what guessing gives.
        figure: name of what is drawn, with its unit and which way is better.
        scale: axis of the values.
        lanes: a lane for each model, data set and main figure.
        difference_scale: axis of the differences, around 0; None where there are none.
        differences: paired differences of the other models from the first.
    """

    task: str
    title: str
    family: str
    below: Sequence[str]
    figure: str
    scale: Scale
    lanes: Sequence[Lane]
    difference_scale: Scale | None
    differences: Sequence[Lane]


def scale_of(outcomes: Iterable[Outcome]) -> Scale:
    """The axis on which the main figures of some outcomes fit, with their guesses."""
    found = [(name, one.scores.figures[name]) for one in outcomes for name in main_figures(one)]
    known = [
        value
        for _, figure in found
        for value in (figure.low, figure.value, figure.high, figure.chance)
        if math.isfinite(value)
    ]
    name = found[0][0]
    if name in _LOGARITHMIC:
        return Scale(low=1, high=1.1 * max([*known, 2.0]), is_log=True)
    if is_better_low(name):
        return Scale(low=0, high=1.05 * max(known) or 1)
    return Scale(low=math.floor(10 * min([*known, 0.5])) / 10, high=1)


def make_rows(evaluation: Evaluation, outcomes: Sequence[Outcome], scale: Scale) -> list[TaskRow]:
    """The rows of tasks that share an axis, in their order."""
    models = list(evaluation.facts["models"])
    by_task: dict[str, list[Outcome]] = {}
    for one in outcomes:
        by_task.setdefault(one.task, []).append(one)
    differences = [
        one
        for one in evaluation.comparisons
        if one.task in by_task
        and one.first == models[0]
        and one.figure in main_figures(by_task[one.task][0])
    ]
    reach = max(
        (
            abs(value)
            for one in differences
            for value in (one.difference.low, one.difference.value, one.difference.high)
            if math.isfinite(value)
        ),
        default=0.0,
    )
    around = Scale(low=-1.05 * reach, high=1.05 * reach) if reach else None
    rows = []
    for task, group in by_task.items():
        first = group[0]
        name = main_figures(first)[0]
        unit = f", {first.about['unit']}" if has_unit(name) else ""
        better = "; less is better" if is_better_low(name) else ""
        rows.append(
            TaskRow(
                task=task,
                title=first.title,
                family=first.family,
                below=_below(group),
                figure=label_of(name) + unit + better,
                scale=scale,
                # One model's figures stand together, and those of one data set.
                lanes=[
                    _lane(one, name, models, scale)
                    for one in sorted(group, key=lambda one: one.dataset != "internal")
                    for name in main_figures(one)
                ],
                difference_scale=around,
                differences=[
                    _difference_lane(one, models, around)
                    for one in differences
                    if one.task == task and around is not None
                ],
            )
        )
    return rows


def _below(group: Sequence[Outcome]) -> list[str]:
    """What is counted and what guessing gives, once for each data set."""
    lines = []
    for one in {one.dataset: one for one in group}.values():
        figure = one.scores.figures[main_figures(one)[0]]
        guess = f"; {guess_name(one)} {number_text(figure.chance)}"
        lines.append(f"n = {count_text(one)}{where_text(one.dataset)}{guess}")
    return lines


def _lane(outcome: Outcome, name: str, models: Sequence[str], scale: Scale) -> Lane:
    figure = outcome.scores.figures[name]
    label = f"{outcome.model}{where_text(outcome.dataset)}: {label_of(name)}"
    return _drawn(
        figure,
        scale,
        model=models.index(outcome.model),
        name=label,
        is_hollow=name != main_figures(outcome)[0],
        is_external=outcome.dataset != "internal",
        guess=figure.chance,
        cell=figure_cell(label, figure, said=verdict(outcome, name)),
    )


def _difference_lane(one: Comparison, models: Sequence[str], scale: Scale) -> Lane:
    label = f"{one.second} minus {one.first}{where_text(one.dataset)}: {label_of(one.figure)}"
    return _drawn(
        one.difference,
        scale,
        model=models.index(one.second),
        name=label,
        is_hollow=":" in one.figure,
        is_external=one.dataset != "internal",
        guess=0.0,
        cell=figure_cell(label, one.difference, said=difference_verdict(one)),
    )


def _drawn(
    estimate: Estimate,
    scale: Scale,
    *,
    model: int,
    name: str,
    is_hollow: bool,
    is_external: bool,
    guess: float,
    cell: Cell,
) -> Lane:
    low, at, high, chance = (
        scale.place(value) if math.isfinite(value) else None
        for value in (estimate.low, estimate.value, estimate.high, guess)
    )
    return Lane(
        model=model % len(MARKERS),
        name=name,
        is_hollow=is_hollow,
        is_external=is_external,
        low=low,
        at=at,
        high=high,
        guess=chance,
        cell=cell,
    )
