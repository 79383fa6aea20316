"""One self-contained page about an evaluation: for a phone, a screen and paper.

Each task is a row that shows every model at a glance, beside chance or the always-median guess,
and opens to all its figures. A weak figure is called weak.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from markupsafe import Markup

from echoclip_r.evaluation.figures import SECTIONS, Section, label_of
from echoclip_r.evaluation.outcomes import Evaluation, Outcome, where_text
from echoclip_r.evaluation.plots.draw import Plot
from echoclip_r.evaluation.plots.inline import inline_svg
from echoclip_r.evaluation.report.glance import (
    TaskRow,
    make_rows,
    scale_of,
)
from echoclip_r.evaluation.report.tables import (
    Cell,
    Row,
    Table,
    figure_cell,
    table_by_figure,
)
from echoclip_r.evaluation.report.words import DEFINITIONS
from echoclip_r.evaluation.verdicts import difference_verdict
from echotok.view.templates import render

__all__ = ["render_report"]

_UNITS = {"study": "studies", "clip": "clips"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Task:
    """A row, and what it opens to; `differences` is None for a single model."""

    row: TaskRow
    table: Table
    differences: Table | None
    plots: Sequence[Plot]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Group:
    """Tasks that share an axis."""

    title: str
    tasks: Sequence[_Task]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Section:
    """A section; `plots` are those that show several of its tasks."""

    name: Section
    heading: str
    definition: str
    groups: Sequence[_Group]
    plots: Sequence[Plot]


def render_report(evaluation: Evaluation, plots: Sequence[Plot]) -> str:
    """The page as HTML, with all pictures inside."""
    facts = evaluation.facts
    numbers = count()

    def drawn(plot: Plot) -> Markup:
        label = f"{plot.group}: {plot.title}. {plot.caption}"
        return inline_svg(plot.svg, name=f"p{next(numbers)}", label=label)

    return render(
        "echoclip_r.evaluation.report",
        "page.html",
        title=str(facts["title"]),
        facts=facts,
        units=_UNITS[facts["unit"]],
        sections=list(_sections(evaluation, plots)),
        has_contrast=any("auc:contrast" in one.scores.figures for one in evaluation.outcomes),
        has_external=any(one.dataset != "internal" for one in evaluation.outcomes),
        skipped=_skipped(evaluation),
        remarks=evaluation.remarks,
        definitions=DEFINITIONS,
        count="{:,}".format,
        drawn=drawn,
    )


def _sections(evaluation: Evaluation, plots: Sequence[Plot]) -> Iterator[_Section]:
    for name, facts in SECTIONS.items():
        outcomes = [one for one in evaluation.outcomes if one.section == name]
        if outcomes:
            own = [plot for plot in plots if plot.section == name]
            titles = {one.title for one in outcomes}
            yield _Section(
                name=name,
                heading=facts.heading,
                definition=facts.definition,
                groups=list(_groups(evaluation, name, outcomes, own)),
                plots=[plot for plot in own if plot.group not in titles],
            )


def _groups(
    evaluation: Evaluation, section: Section, outcomes: Sequence[Outcome], plots: Sequence[Plot]
) -> Iterator[_Group]:
    """Findings by family; numbers one by one, since each has a unit of its own."""
    members: dict[str, list[Outcome]] = {}
    for one in outcomes:
        key = one.title if section == "regression" else one.family
        members.setdefault(key, []).append(one)
    shared = None if section == "regression" else scale_of(outcomes)
    for title, group in members.items():
        rows = make_rows(evaluation, group, shared or scale_of(group))
        yield _Group(
            title="" if section == "regression" else title,
            tasks=[_task(evaluation, section, row, group, plots) for row in rows],
        )


def _task(
    evaluation: Evaluation,
    section: Section,
    row: TaskRow,
    outcomes: Sequence[Outcome],
    plots: Sequence[Plot],
) -> _Task:
    return _Task(
        row=row,
        table=table_by_figure(section, [one for one in outcomes if one.task == row.task]),
        differences=_differences(evaluation, row.task),
        plots=[plot for plot in plots if plot.group == row.title],
    )


def _differences(evaluation: Evaluation, task: str) -> Table | None:
    """Every two models in every figure by which they are compared."""
    rows = []
    for one in evaluation.comparisons:
        if one.task != task:
            continue
        cells = [
            Cell(label="models", text=f"{one.second} minus {one.first}"),
            figure_cell("difference", one.difference),
            Cell(label="so", text=difference_verdict(one).text),
        ]
        rows.append(Row(title=label_of(one.figure) + where_text(one.dataset), cells=cells))
    if not rows:
        return None
    return Table(
        head=["Figure", "Models", "Difference", "So"],
        rows=rows,
        caption="Paired differences: both models on the same draws of patients.",
    )


def _skipped(evaluation: Evaluation) -> Table:
    rows = [
        Row(
            title=one.title,
            cells=[Cell(label="data", text=one.dataset), Cell(label="why", text=one.reason)],
        )
        for one in evaluation.skipped
    ]
    return Table(head=["Task", "Data", "Why"], rows=rows)
