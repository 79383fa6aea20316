"""An evaluation on disk: figures for machines, predictions, plots, and the report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from echoclip_r.evaluation.outcomes import Evaluation, file_names
from echoclip_r.evaluation.plots.draw import draw_plots
from echoclip_r.evaluation.report.page import render_report
from echoclip_r.evaluation.tasks import Tasks
from echoclip_r.storage import json_text

__all__ = ["write_evaluation"]


def write_evaluation(evaluation: Evaluation, tasks: Tasks, out: Path) -> None:
    """Write `metrics.json`, `predictions`, `plots` and `report.html` into a folder.

    Predictions name studies and patients as the shards do, and hold no report text.
    """
    out.mkdir(parents=True, exist_ok=True)
    text = json_text(_content(evaluation), indent=1)
    (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    _write_predictions(evaluation, out / "predictions")
    plots = draw_plots(evaluation, tasks, out / "plots")
    (out / "report.html").write_text(render_report(evaluation, plots), encoding="utf-8")


def _content(evaluation: Evaluation) -> dict[str, Any]:
    outcomes = [
        {
            "section": one.section,
            "task": one.task,
            "title": one.title,
            "model": one.model,
            "dataset": one.dataset,
            "num_items": one.scores.num_items,
            "num_patients": one.scores.num_patients,
            **one.about,
            "figures": {name: asdict(figure) for name, figure in one.scores.figures.items()},
        }
        for one in evaluation.outcomes
    ]
    differences = []
    for one in evaluation.comparisons:
        entry = asdict(one)
        interval = entry.pop("difference")
        differences.append(entry | interval)
    return {
        "facts": evaluation.facts,
        "outcomes": outcomes,
        "differences": differences,
        "skipped": [asdict(one) for one in evaluation.skipped],
    }


def _write_predictions(evaluation: Evaluation, folder: Path) -> None:
    """A wide table for each data set and model; pairs and comparisons have their own."""
    folder.mkdir(exist_ok=True)
    tables: dict[str, list[pd.DataFrame]] = {}
    for one in evaluation.outcomes:
        name = f"{one.dataset}/{one.model}"
        if one.section in ("identification", "change"):
            tables[f"{name}/{one.task}"] = [one.items]
        elif one.section == "retrieval":
            tables.setdefault(name, []).insert(0, one.items)
        elif len(one.items.columns):
            tables.setdefault(name, []).append(one.items.add_prefix(f"{one.task}."))
    files = file_names(tables)
    for name, parts in tables.items():
        pd.concat(parts, axis=1).to_csv(folder / f"{files[name]}.csv", index=False)
