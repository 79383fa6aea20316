"""One self-contained page about an evaluation: for a phone, a screen and paper.

Beside each figure stands chance or the always-median guess, and a weak figure is called weak.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from echoclip_r.evaluation.figures import SECTIONS, Section, is_better_low, label_of
from echoclip_r.evaluation.outcomes import Evaluation, Outcome
from echoclip_r.evaluation.plots.draw import Plot
from echoclip_r.evaluation.report.tables import (
    Cell,
    Row,
    Table,
    count_text,
    figure_cell,
    guess_name,
    main_figures,
    number_text,
    table_by_figure,
    table_by_outcome,
    where_text,
)
from echoclip_r.evaluation.report.words import DEFINITIONS
from echoclip_r.evaluation.verdicts import verdict
from echotok.view.templates import render

__all__ = ["as_text", "remarks_of", "render_report"]

_UNITS = {"study": "studies", "clip": "clips"}


def render_report(evaluation: Evaluation, plots: Sequence[Plot]) -> str:
    """The page as HTML, with all pictures inside."""
    facts = evaluation.facts
    return render(
        "echoclip_r.evaluation.report",
        "page.html",
        title=str(facts["title"]),
        facts=facts,
        units=_UNITS[facts["unit"]],
        glances=[(dataset, _glance(evaluation, dataset)) for dataset in facts["datasets"]],
        sections=list(_sections(evaluation, plots)),
        differences=_differences(evaluation) if evaluation.comparisons else None,
        skipped=_skipped(evaluation),
        remarks=remarks_of(evaluation),
        definitions=DEFINITIONS,
        count="{:,}".format,
        svg_uri=_svg_uri,
    )


def remarks_of(evaluation: Evaluation) -> list[str]:
    """What was left out or could not be matched, each said once."""
    said = list(evaluation.facts.get("remarks", ()))
    said += [
        f"{one.title + where_text(one)}: {remark}"
        for one in evaluation.outcomes
        for remark in one.about.get("remarks", ())
    ]
    return list(dict.fromkeys(said))


def as_text(evaluation: Evaluation) -> str:
    """One line for each task and model, and for each task that was not run, for a terminal."""
    lines = []
    for one in evaluation.outcomes:
        for name in main_figures(one):
            figure, said = one.scores.figures[name], verdict(one, name)
            low, high = number_text(figure.low), number_text(figure.high)
            lines.append(
                f"{one.title + where_text(one)}, {one.model}: {label_of(name)} "
                f"{number_text(figure.value)} ({low} to {high}), {guess_name(one)} "
                f"{number_text(figure.chance)}, n = {count_text(one)}"
                + (f": {said.text}" if said else "")
            )
    lines += [f"Note: {remark}" for remark in remarks_of(evaluation)]
    lines += [f"{one.title} ({one.dataset}) not run: {one.reason}" for one in evaluation.skipped]
    return "\n".join(lines)


def _glance(evaluation: Evaluation, dataset: str) -> Table:
    """Every task in one row, every model in one column, with a verdict."""
    models = list(evaluation.facts["models"])
    by_task: dict[str, dict[str, Outcome]] = {}
    for one in evaluation.outcomes:
        if one.dataset == dataset:
            by_task.setdefault(one.task, {})[one.model] = one
    return Table(
        head=["Task", "Figure", *models, "Chance or median guess", "n"],
        rows=[
            _glance_row(by_model, models, name)
            for by_model in by_task.values()
            for name in main_figures(next(iter(by_model.values())))
        ],
        caption="Value and 95 % interval (bootstrap over patients). For errors and ranks a lower "
        "value is better.",
    )


def _glance_row(by_model: Mapping[str, Outcome], models: Sequence[str], name: str) -> Row:
    first = next(iter(by_model.values()))
    unit = f" ({first.about['unit']})" if first.section == "regression" else ""
    shown = []
    for model in models:
        one = by_model.get(model)
        shown.append(
            Cell(label=model)
            if one is None
            else figure_cell(model, one.scores.figures[name], said=verdict(one, name))
        )
    guess = number_text(first.scores.figures[name].chance)
    return Row(
        title=first.title,
        cells=[
            Cell(label="figure", text=label_of(name) + unit),
            *shown,
            Cell(label=guess_name(first), text=guess),
            Cell(label="n", text=count_text(first)),
        ],
    )


class _Group(NamedTuple):
    """A table with its pictures, those that belong together under one title."""

    title: str
    table: Table | None
    plots: list[tuple[str, list[Plot]]]


class _Section(NamedTuple):
    name: str
    heading: str
    definition: str
    groups: list[_Group]


def _sections(evaluation: Evaluation, plots: Sequence[Plot]) -> Iterator[_Section]:
    for name, facts in SECTIONS.items():
        outcomes = [one for one in evaluation.outcomes if one.section == name]
        if outcomes:
            own = [plot for plot in plots if plot.section == name]
            groups = list(_groups(name, outcomes, own))
            yield _Section(name, facts.heading, facts.definition, groups)


def _groups(
    section: Section, outcomes: Sequence[Outcome], plots: Sequence[Plot]
) -> Iterator[_Group]:
    """A table for each family of findings, or for each task of other sections; then the rest."""
    by_family = section == "binary"
    members: dict[str, list[Outcome]] = {}
    for one in outcomes:
        members.setdefault(one.family if by_family else one.title, []).append(one)
    table = table_by_outcome if by_family else table_by_figure
    for title, group in members.items():
        yield _Group(title, table(section, group), _pictures(plots, [title]))
    others = {_owner(plot) for plot in plots} - set(members)
    yield _Group("", None, _pictures(plots, others))


def _pictures(plots: Sequence[Plot], owners: Collection[str]) -> list[tuple[str, list[Plot]]]:
    """Pictures by their group; the first is without a title where the table has it already."""
    groups: dict[str, list[Plot]] = {}
    for plot in plots:
        if _owner(plot) in owners:
            groups.setdefault(plot.group, []).append(plot)
    return [
        (title if ": " in title or number else "", group)
        for number, (title, group) in enumerate(groups.items())
    ]


def _owner(plot: Plot) -> str:
    """The table that a picture belongs to: what its group begins with."""
    return plot.group.partition(": ")[0]


def _differences(evaluation: Evaluation) -> Table:
    rows = []
    for one in evaluation.comparisons:
        low, high = one.difference.low, one.difference.high
        said = "no clear difference"
        if low > 0 or high < 0:
            more = one.second if (low > 0) != is_better_low(one.figure) else one.first
            said = f"{more} is better"
        cells = [
            Cell(label="figure", text=label_of(one.figure)),
            Cell(label="models", text=f"{one.second} minus {one.first}"),
            figure_cell("difference", one.difference),
            Cell(label="so", text=said),
        ]
        where = "" if one.dataset == "internal" else f" ({one.dataset})"
        rows.append(Row(title=one.title + where, cells=cells))
    return Table(head=["Task", "Figure", "Models", "Difference", ""], rows=rows)


def _skipped(evaluation: Evaluation) -> Table:
    rows = [
        Row(
            title=one.title,
            cells=[Cell(label="data", text=one.dataset), Cell(label="why", text=one.reason)],
        )
        for one in evaluation.skipped
    ]
    return Table(head=["Task", "Data", "Why"], rows=rows)


def _svg_uri(plot: Plot) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(plot.svg.encode()).decode("ascii")
