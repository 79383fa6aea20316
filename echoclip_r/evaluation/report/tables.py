"""The tables of the report, and how their figures are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from echoclip_r.evaluation.outcomes import Outcome
from echoclip_r.evaluation.report.words import LABELS, label_of
from echoclip_r.evaluation.verdicts import Verdict
from echoclip_r.metrics.bootstrap import Estimate, Figure

__all__ = [
    "COLUMNS",
    "count_text",
    "figure_cell",
    "guess_name",
    "html_table",
    "main_figures",
    "number_text",
    "table_by_figure",
    "table_by_outcome",
    "where_text",
]

# What each section's table shows.
COLUMNS = {
    "retrieval": (
        "mcmrr",
        "mean_rank:video_to_report",
        "mean_rank:report_to_video",
        "median_rank:video_to_report",
        "median_rank:report_to_video",
        *(
            f"recall_at_{k}:{way}"
            for way in ("video_to_report", "report_to_video")
            for k in (1, 5, 10, 50)
        ),
    ),
    "agreement": ("f1", "precision", "recall"),
    "regression": (
        "mae",
        "gain",
        "rmse",
        "bias",
        "r2",
        "pearson",
        "mae:published_code",
        "pearson:published_code",
    ),
    "binary": ("auc", "auc:contrast", "average_precision", "sensitivity", "specificity", "brier"),
    "identification": ("auc", "same_study", "same_patient", "different_patients"),
    "change": (
        "auc",
        "auc_before",
        "auc_no_event",
        "cosine:before",
        "cosine:after",
        "cosine:no event",
    ),
}
_WITH_UNIT = ("mae", "rmse", "bias", "mae:published_code")
_MAIN = {
    "retrieval": ("mcmrr",),
    "agreement": ("f1",),
    "regression": ("mae",),
    "binary": ("auc", "auc:contrast"),
}  # else AUC


def table_by_outcome(section: str, outcomes: Sequence[Outcome]) -> str:
    """A row an outcome, a column a figure: for many tasks with few figures."""
    names = [n for n in COLUMNS[section] if any(n in one.scores.figures for one in outcomes)]
    lines = []
    tasks = list(dict.fromkeys(one.task for one in outcomes))
    # What is to be compared stands together.
    for one in sorted(outcomes, key=lambda one: (tasks.index(one.task), one.dataset != "internal")):
        cells = [_figure(LABELS[name], one, name) for name in names]
        lines.append(
            f'<tr><th scope="row">{escape(one.title + where_text(one))}<br>'
            f'<span class="soft">{escape(one.model)}</span></th>{"".join(cells)}'
            f'<td data-label="n">{count_text(one)}</td>'
            f'<td data-label="labels">{escape(source_text(one))}</td></tr>'
        )
    return html_table(["", *(LABELS[name] for name in names), "n", "Labels from"], lines)


def table_by_figure(section: str, outcomes: Sequence[Outcome]) -> str:
    """A row a figure, a column an outcome: for one task with many figures."""
    names = [n for n in COLUMNS[section] if any(n in one.scores.figures for one in outcomes)]
    if section == "agreement":  # its families are those of the task files
        names += [name for name in outcomes[0].scores.figures if name not in names]
    columns = [one.model + where_text(one) for one in outcomes]
    unit = str(outcomes[0].about.get("unit", ""))
    lines = []
    for name in names:
        label = label_of(name) + (f" ({unit})" if unit and name in _WITH_UNIT else "")
        cells = [_figure(column, one, name) for column, one in zip(columns, outcomes, strict=True)]
        lines.append(f'<tr><th scope="row">{escape(label)}</th>{"".join(cells)}</tr>')
    for label, say in (("n", count_text), ("Labels from", source_text)):
        cells = [
            f'<td data-label="{escape(column)}">{escape(say(one))}</td>'
            for column, one in zip(columns, outcomes, strict=True)
            if say(one)
        ]
        if cells:
            lines.append(f'<tr><th scope="row">{label}</th>{"".join(cells)}</tr>')
    return html_table(["", *columns], lines)


def _figure(label: str, outcome: Outcome, name: str) -> str:
    if name not in outcome.scores.figures:
        return f'<td data-label="{escape(label)}"></td>'
    return figure_cell(label, outcome.scores.figures[name], None, chance=True)


def html_table(head: Sequence[str], lines: Sequence[str], caption: str = "") -> str:
    """A table; the cells of `lines` are escaped already."""
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return (
        f"<table>{f'<caption>{escape(caption)}</caption>' if caption else ''}"
        f"<thead><tr>{columns}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def where_text(outcome: Outcome) -> str:
    """The data set, unless it is the internal one."""
    return "" if outcome.dataset == "internal" else f" ({outcome.dataset})"


def main_figures(outcome: Outcome) -> list[str]:
    """What a task is judged by at a glance."""
    names = _MAIN.get(outcome.section, ("auc",))
    return [name for name in names if name in outcome.scores.figures]


def guess_name(outcome: Outcome) -> str:
    """What its figures stand beside."""
    return "always the median" if outcome.section == "regression" else "chance"


def source_text(outcome: Outcome) -> str:
    """Where labels and thresholds come from."""
    source = str(outcome.about.get("labels", ""))
    if outcome.about.get("threshold_from"):
        source += f"; threshold from {outcome.about['threshold_from']}"
    return source


def count_text(outcome: Outcome) -> str:
    """Items, and how many of them are positive."""
    if "num_positive" in outcome.about:
        return f"{outcome.about['num_positive']:,} of {outcome.scores.num_items:,}"
    return f"{outcome.scores.num_items:,}"


def figure_cell(
    label: str, estimate: Estimate, said: Verdict | None, *, chance: bool = False
) -> str:
    """A cell with value, interval, guess and verdict; `label` names the column on a phone."""
    text = number_text(estimate.value)
    if not math.isnan(estimate.low):
        low, high = number_text(estimate.low), number_text(estimate.high)
        text += f' <span class="interval">({low} to {high})</span>'
    if chance and isinstance(estimate, Figure) and abs(estimate.chance) > 0:
        text += f'<span class="verdict">guess {number_text(estimate.chance)}</span>'
    if said is not None:
        text += f'<span class="verdict {said.kind}">{escape(said.text)}</span>'
    return f'<td data-label="{escape(label)}">{text}</td>'


def number_text(value: float) -> str:
    r"""Two decimals below 10, one below 100, none above; a true minus sign.

    Example:
        >>> number_text(0.914), number_text(-12.34), number_text(1234.5), number_text(float("nan"))
        ('0.91', '\u221212.3', '1,234', '\u2013')
    """
    if math.isnan(value):
        return "\u2013"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}".replace("-", "\u2212")
