"""The table of an evaluation on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from echoclip_r.evaluation.figures import has_unit, label_of
from echoclip_r.evaluation.outcomes import Evaluation, Outcome, Skipped, where_text
from echoclip_r.evaluation.report.tables import (
    Cell,
    count_text,
    figure_cell,
    guess_name,
    main_figures,
    number_text,
)
from echoclip_r.evaluation.verdicts import difference_verdict, verdict
from echotok.view.console import printing
from echotok.view.tree import visible

__all__ = ["show"]

_STYLES = {"weak": "yellow", "fair": "", "good": "green"}
_LEAST_WIDTH = 12  # five columns fit a terminal of 80


def show(evaluation: Evaluation) -> None:
    """Print a row for each task and main figure, a column for each model, and what was not run."""
    models = list(evaluation.facts["models"])
    table = Table(box=None, padding=(0, 2, 1, 0), header_style="bold")
    columns = [*models, *(f"{name} minus {models[0]}" for name in models[1:])]
    for name in ("Task", "Figure", *columns):
        table.add_column(visible(name), min_width=_LEAST_WIDTH)
    for row in _rows(evaluation, models):
        table.add_row(*row)
    with printing() as console:
        console.print(table)
        console.print(
            f"In brackets: 95 % intervals of {evaluation.facts['num_draws']:,} draws of patients.",
            soft_wrap=not console.is_terminal,
        )
        notes = [f"Note: {remark}" for remark in evaluation.remarks]
        notes += _not_run(evaluation.skipped)
        for note in notes:
            console.print(Text(visible(note), style="dim"), soft_wrap=not console.is_terminal)


def _not_run(skipped: Sequence[Skipped]) -> Iterator[str]:
    """A line for each reason, with the tasks that it kept from running."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for one in skipped:
        tasks.setdefault((one.dataset, one.reason), []).append(one.title)
    for (dataset, reason), titles in tasks.items():
        yield f"Not run ({dataset}), since {reason}: {', '.join(titles)}"


def _rows(evaluation: Evaluation, models: Sequence[str]) -> Iterator[list[Text]]:
    groups: dict[tuple[str, str], dict[str, Outcome]] = {}
    for one in evaluation.outcomes:
        groups.setdefault((one.dataset, one.task), {})[one.model] = one
    differences = {
        (one.dataset, one.task, one.figure, one.second): one
        for one in evaluation.comparisons
        if one.first == models[0]
    }
    for (dataset, task), by_model in groups.items():
        first = next(iter(by_model.values()))
        for name in main_figures(first):
            unit = f" ({first.about['unit']})" if has_unit(name) else ""
            row = [
                Text(f"{visible(first.title + where_text(dataset))}\nn = {count_text(first)}"),
                Text(
                    f"{visible(label_of(name) + unit)}\n{guess_name(first)} "
                    f"{number_text(first.scores.figures[name].chance)}"
                ),
                *(_value(by_model, model, name) for model in models),
            ]
            for model in models[1:]:
                found = differences.get((dataset, task, name, model))
                row.append(
                    Text("")
                    if found is None
                    else _cell(figure_cell("", found.difference, said=difference_verdict(found)))
                )
            yield row


def _value(by_model: Mapping[str, Outcome], model: str, name: str) -> Text:
    if model not in by_model:
        return Text("\u2013")
    one = by_model[model]
    return _cell(figure_cell("", one.scores.figures[name], said=verdict(one, name)))


def _cell(cell: Cell) -> Text:
    """Value and interval, and below them what they mean."""
    text = Text(f"{cell.text} {cell.interval}".rstrip())
    if cell.verdict is not None:
        text.append("\n" + visible(cell.verdict.text), style=_STYLES[cell.verdict.kind])
    return text
