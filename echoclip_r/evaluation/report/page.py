"""One self-contained page on an evaluation: for a phone, a screen and paper.

Each figure stands beside chance or the always-median guess, and what is weak is called weak.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from string import Template

from echoclip_r.evaluation.outcomes import Evaluation, Outcome
from echoclip_r.evaluation.plots.draw import Plot
from echoclip_r.evaluation.report.tables import (
    COLUMNS,
    count_text,
    figure_cell,
    guess_name,
    html_table,
    main_figures,
    number_text,
    table_by_figure,
    table_by_outcome,
    where_text,
)
from echoclip_r.evaluation.report.words import DEFINITIONS, HEADINGS, LABELS
from echoclip_r.evaluation.verdicts import is_better_low, verdict

__all__ = ["as_text", "render_report"]


_UNITS = {"study": "studies", "clip": "clips"}


def render_report(evaluation: Evaluation, plots: Sequence[Plot]) -> str:
    """The page, with all pictures inside."""
    facts = evaluation.facts
    template = (resources.files("echoclip_r.evaluation.report") / "page.html").read_text(
        encoding="utf-8"
    )
    parts = [_head(evaluation), _glance(evaluation)]
    for section in COLUMNS:
        outcomes = [one for one in evaluation.outcomes if one.section == section]
        if outcomes:
            parts.append(f'<h2 id="{section}">{escape(HEADINGS[section])}</h2>')
            parts.append(f"<p>{escape(DEFINITIONS[section])}</p>")
            parts.append(_detail(section, outcomes, [p for p in plots if p.section == section]))
    parts += [_differences(evaluation), _skipped(evaluation), _methods(evaluation)]
    return Template(template).substitute(title=escape(str(facts["title"])), body="\n".join(parts))


def as_text(evaluation: Evaluation) -> str:
    """One line a task and model, and what was not run, for a terminal."""
    lines = []
    for one in evaluation.outcomes:
        for name in main_figures(one):
            figure, said = one.scores.figures[name], verdict(one, name)
            low, high = number_text(figure.low), number_text(figure.high)
            lines.append(
                f"{one.title + where_text(one)}, {one.model}: {LABELS[name]} "
                f"{number_text(figure.value)} ({low} to {high}), {guess_name(one)} "
                f"{number_text(figure.chance)}, n = {count_text(one)}"
                + (f": {said.text}" if said else "")
            )
    lines += [f"{one.title} ({one.dataset}) not run: {one.reason}" for one in evaluation.skipped]
    return "\n".join(lines)


def _head(evaluation: Evaluation) -> str:
    facts = evaluation.facts
    lines = []
    for name, data in facts["datasets"].items():
        short = f"; {data['num_short']:,} have fewer than ten frames" if data["num_short"] else ""
        lines.append(
            f"<li>{escape(name)}: {data['num_items']:,} {_UNITS[facts['unit']]} of "
            f"{data['num_patients']:,} patients, {data['num_frames']:,} frames{short}</li>"
        )
    sections = [s for s in COLUMNS if any(one.section == s for one in evaluation.outcomes)]
    links = [f'<li><a href="#{s}">{escape(HEADINGS[s])}</a></li>' for s in sections]
    links.append('<li><a href="#skipped">Not run</a></li><li><a href="#methods">Methods</a></li>')
    note = f'<p class="note">{escape(facts["note"])}</p>' if facts.get("note") else ""
    models = ", ".join(escape(name) for name in facts["models"])
    return (
        f"<h1>{escape(str(facts['title']))}</h1>\n<p>Models: {models}. Split: "
        f"{escape(facts['split'])}.</p>\n{note}<ul>{''.join(lines)}</ul>\n"
        f"<nav><ul>{''.join(links)}</ul></nav>"
    )


def _glance(evaluation: Evaluation) -> str:
    """Every task in one row, every model in one column, with a verdict."""
    models = list(evaluation.facts["models"])
    parts = []
    for dataset in evaluation.facts["datasets"]:
        rows: dict[str, dict[str, Outcome]] = {}
        for one in evaluation.outcomes:
            if one.dataset == dataset:
                rows.setdefault(one.task, {})[one.model] = one
        lines = [
            _glance_row(by_model, models, name)
            for by_model in rows.values()
            for name in main_figures(next(iter(by_model.values())))
        ]
        parts.append(
            f"<h3>{escape(dataset.capitalize())}</h3>\n"
            + html_table(
                ["Task", "Figure", *models, "Chance or median guess", "n"],
                lines,
                "Value and 95 % interval (bootstrap over patients). Errors and ranks: less is "
                "better.",
            )
        )
    return '<h2 id="glance">At a glance</h2>\n' + "\n".join(parts)


def _glance_row(by_model: Mapping[str, Outcome], models: Sequence[str], name: str) -> str:
    first = next(iter(by_model.values()))
    cells = [
        figure_cell(model, by_model[model].scores.figures[name], verdict(by_model[model], name))
        if model in by_model
        else f'<td data-label="{escape(model)}"></td>'
        for model in models
    ]
    unit = f" ({first.about['unit']})" if first.section == "regression" else ""
    return (
        f'<tr><th scope="row">{escape(first.title)}</th>'
        f'<td data-label="figure">{escape(LABELS[name] + unit)}</td>{"".join(cells)}'
        f'<td data-label="{guess_name(first)}">'
        f"{number_text(first.scores.figures[name].chance)}</td>"
        f'<td data-label="n">{count_text(first)}</td></tr>'
    )


def _detail(section: str, outcomes: Sequence[Outcome], plots: Sequence[Plot]) -> str:
    """A table a family of findings, a table a task of other sections, each with its pictures."""
    by_family = section == "binary"
    groups: dict[str, list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault(one.family if by_family else one.title, []).append(one)
    draw = table_by_outcome if by_family else table_by_figure
    parts = []
    for group, members in groups.items():
        parts.append(f"<h3>{escape(group)}</h3>\n{draw(section, members)}")
        parts.append(_pictures([plot for plot in plots if _is_of(plot, group)]))
    parts.append(
        _pictures([plot for plot in plots if not any(_is_of(plot, group) for group in groups)])
    )
    return "\n".join(parts)


def _is_of(plot: Plot, group: str) -> bool:
    return plot.group.partition(": ")[0] == group


def _pictures(plots: Sequence[Plot]) -> str:
    parts: list[str] = []
    for group in dict.fromkeys(plot.group for plot in plots):
        figures = "".join(
            f'<figure><img alt="{escape(f"{group}: {plot.title}. {plot.caption}")}" '
            f'src="data:image/svg+xml;base64,{base64.b64encode(plot.svg.encode()).decode()}">'
            f"<figcaption>{escape(plot.caption)}</figcaption></figure>"
            for plot in plots
            if plot.group == group
        )
        title = f"<h4>{escape(group)}</h4>\n" if ": " in group or len(parts) else ""
        parts.append(f'{title}<div class="plots">{figures}</div>')
    return "\n".join(parts)


def _differences(evaluation: Evaluation) -> str:
    if not evaluation.comparisons:
        return ""
    lines = []
    for one in evaluation.comparisons:
        low, high = one.difference.low, one.difference.high
        said = "no clear difference"
        if low > 0 or high < 0:
            more = one.second if (low > 0) != is_better_low(one.figure) else one.first
            said = f"{more} is better"
        where = "" if one.dataset == "internal" else f" ({one.dataset})"
        lines.append(
            f'<tr><th scope="row">{escape(one.title + where)}</th>'
            f'<td data-label="figure">{escape(LABELS[one.figure])}</td>'
            f'<td data-label="models">{escape(one.second)} minus {escape(one.first)}</td>'
            f"{figure_cell('difference', one.difference, None)}"
            f'<td data-label="so">{escape(said)}</td></tr>'
        )
    return (
        '<h2 id="differences">Differences between models</h2>\n<p>Paired bootstrap: both models on '
        "the same draws of patients. There are many comparisons here; one in twenty would look "
        "clear by luck alone.</p>"
        + html_table(["Task", "Figure", "Models", "Difference", ""], lines)
    )


def _skipped(evaluation: Evaluation) -> str:
    if not evaluation.skipped:
        return '<h2 id="skipped">Not run</h2>\n<p>Every task was run.</p>'
    lines = [
        f'<tr><th scope="row">{escape(one.title)}</th>'
        f'<td data-label="data">{escape(one.dataset)}</td>'
        f'<td data-label="why">{escape(one.reason)}</td></tr>'
        for one in evaluation.skipped
    ]
    return '<h2 id="skipped">Not run</h2>\n' + html_table(["Task", "Data", "Why"], lines)


def _methods(evaluation: Evaluation) -> str:
    facts = evaluation.facts
    entries = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
        for name, text in DEFINITIONS.items()
        if name not in HEADINGS
    )
    models = "".join(
        f"<li>{escape(name)}: <code>{escape(model['checkpoint'])}</code>, fingerprint "
        f"<code>{escape(model['fingerprint'][:16])}</code></li>"
        for name, model in facts["models"].items()
    )
    return (
        f'<h2 id="methods">Methods</h2>\n<dl>{entries}</dl>\n<ul>{models}</ul>\n'
        f'<p class="soft">Tasks: {escape(", ".join(facts["tasks"]))}. {facts["num_draws"]:,} '
        f"draws of patients, seed {facts['seed']}.</p>"
    )
