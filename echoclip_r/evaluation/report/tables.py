"""The tables of the report, and the way in which their figures are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from echoclip_r.evaluation.figures import SECTIONS, Section, has_unit, label_of
from echoclip_r.evaluation.outcomes import Outcome, where_text
from echoclip_r.evaluation.verdicts import Verdict
from echoclip_r.metrics.bootstrap import Estimate

__all__ = [
    "Cell",
    "Row",
    "Table",
    "count_text",
    "figure_cell",
    "guess_name",
    "main_figures",
    "number_text",
    "table_by_figure",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell; `label` names its column, and is shown on a phone in place of the table's head."""

    label: str
    text: str = ""
    interval: str = ""
    guess: str = ""
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row: its title and its cells."""

    title: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table: the names of its columns, beginning with the column of titles, and its rows."""

    head: Sequence[str]
    rows: Sequence[Row]
    caption: str = ""


def table_by_figure(section: Section, outcomes: Sequence[Outcome]) -> Table:
    """A row a figure, a column an outcome: for one task with many figures."""
    names = [
        n for n in SECTIONS[section].figures if any(n in one.scores.figures for one in outcomes)
    ]
    if section == "agreement":  # its families are those of the task files
        names += [name for name in outcomes[0].scores.figures if name not in names]
    columns = [one.model + where_text(one.dataset) for one in outcomes]
    unit = str(outcomes[0].about.get("unit", ""))
    rows = []
    for name in names:
        label = label_of(name) + (f" ({unit})" if unit and has_unit(name) else "")
        cells = [_figure(column, one, name) for column, one in zip(columns, outcomes, strict=True)]
        rows.append(Row(title=label, cells=cells))
    for label, say in (("n", count_text), ("Labels from", source_text)):
        said = [(column, say(one)) for column, one in zip(columns, outcomes, strict=True)]
        if any(text for _, text in said):
            cells = [Cell(label=column, text=text) for column, text in said]
            rows.append(Row(title=label, cells=cells))
    return Table(head=["", *columns], rows=rows)


def _figure(label: str, outcome: Outcome, name: str) -> Cell:
    if name not in outcome.scores.figures:
        return Cell(label=label)
    figure = outcome.scores.figures[name]
    guess = number_text(figure.chance) if abs(figure.chance) > 0 else ""
    return figure_cell(label, figure, guess=guess)


def main_figures(outcome: Outcome) -> list[str]:
    """What a task is judged by at a glance."""
    return [name for name in SECTIONS[outcome.section].main if name in outcome.scores.figures]


def guess_name(outcome: Outcome) -> str:
    """The name of the guess with which an outcome's figures are compared."""
    return "always the median" if outcome.section == "regression" else "chance"


def source_text(outcome: Outcome) -> str:
    """A text that says where labels and thresholds come from."""
    source = str(outcome.about.get("labels", ""))
    if outcome.about.get("threshold_from"):
        source += f"; threshold from {outcome.about['threshold_from']}"
    return source


def count_text(outcome: Outcome) -> str:
    """The number of items, and how many of them are positive."""
    if "num_positive" in outcome.about:
        return f"{outcome.about['num_positive']:,} of {outcome.scores.num_items:,}"
    return f"{outcome.scores.num_items:,}"


def figure_cell(
    label: str, estimate: Estimate, *, guess: str = "", said: Verdict | None = None
) -> Cell:
    """A cell with value and interval, and with the guess or a verdict below them."""
    known = not math.isnan(estimate.low)
    return Cell(
        label=label,
        text=number_text(estimate.value),
        interval=f"({number_text(estimate.low)} to {number_text(estimate.high)})" if known else "",
        guess=guess,
        verdict=said,
    )


def number_text(value: float) -> str:
    r"""Write a number with two decimals below 10, one below 100 and none above.

    The minus sign is a true one.

    Example:
        >>> number_text(0.914), number_text(-12.34), number_text(1234.5), number_text(float("nan"))
        ('0.91', '\u221212.3', '1,234', '\u2013')
    """
    if math.isnan(value):
        return "\u2013"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}".replace("-", "\u2212")
