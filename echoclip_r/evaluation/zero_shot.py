"""The zero-shot tasks on a data set: prompts -> predictions -> outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.outcomes import Dataset, Items, Outcome, Skipped, find_labels
from echoclip_r.evaluation.prompt_scores import Rule, predict_values, score_presence
from echoclip_r.evaluation.tasks import Binary, Label, Regression, Tasks
from echoclip_r.metrics.bootstrap import Figure
from echoclip_r.metrics.scores import (
    Operating,
    Scores,
    binary_scores,
    fit_operating,
    regression_scores,
)

__all__ = ["predict_regression", "prompt_texts", "run_zero_shot"]

Floats = NDArray[np.float64]
Scorer = Callable[[Items], Floats]
Prompts = Mapping[str, NDArray[np.float32]]
"""Text of each prompt -> its unit embedding (D,)."""

CONTRAST = ":contrast"
"""Ends the names of figures of the contrast score."""

_RULES: dict[Rule, str] = {"paper": "predicted", "published_code": "predicted_published_code"}


def prompt_texts(tasks: Tasks) -> list[str]:
    """Every prompt of every task, once."""
    texts = [text for task in tasks.regressions for _, text in task.candidates()]
    texts += [text for task in tasks.binaries for text in (*task.prompts, *task.against)]
    return list(dict.fromkeys(texts))


def predict_regression(
    task: Regression,
    prompts: Prompts,
    frames: NDArray[np.float32],
    frame_item: NDArray[np.int64],
    *,
    rule: Rule = "paper",
) -> Floats:
    """Predict a task's number for each item.

    By the paper's rule the cosines of a value's wordings are averaged; in the published code each
    wording is a candidate of its own.

    Args:
        task: what is predicted.
        prompts: embeddings of its texts.
        frames: unit rows (F, D).
        frame_item: item of each frame (F,).
        rule: see `echoclip_r.evaluation.prompt_scores`.

    Returns:
        Predictions (N,).
    """
    candidates = task.candidates()
    values = np.array([value for value, _ in candidates], np.float64)
    rows = np.stack([prompts[text] for _, text in candidates])
    if rule == "paper":
        values, starts = np.unique(values, return_index=True)
        counts = np.diff([*starts, len(rows)])
        rows = np.asarray(np.add.reduceat(rows, starts, axis=0) / counts[:, None], np.float32)
    return predict_values(frames, frame_item, rows, values, rule=rule)


def run_zero_shot(
    tasks: Tasks,
    prompts: Prompts,
    dataset: Dataset,
    *,
    model: str,
    operating: Mapping[str, Operating | None],
    num_draws: int,
    seed: int,
) -> tuple[list[Outcome], list[Skipped], dict[str, Operating | None]]:
    """Run every zero-shot task that the data set has labels for.

    Args:
        tasks: all of them.
        prompts: embeddings of `prompt_texts(tasks)`.
        dataset: test and validation.
        model: its name.
        operating: thresholds of another data set, which are used where this one has no
            validation part.
        num_draws: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Outcomes, what was skipped, and this data set's thresholds.
    """
    outcomes: list[Outcome] = []
    skipped: list[Skipped] = []
    chosen: dict[str, Operating | None] = {}
    options = {"num_draws": num_draws, "seed": seed}
    for task in tasks.regressions:
        try:
            outcomes.append(_regression(task, tasks, prompts, dataset, model, options))
        except EvaluationError as error:
            skipped.append(_skip("regression", task, dataset, error))
    for binary in tasks.binaries:
        try:
            score = _scorers(binary, tasks, prompts)
            for name in score:
                found = _operating(binary, tasks, dataset.validation, score[name])
                chosen[binary.name + name] = found or operating.get(binary.name + name)
            outcomes.append(_binary(binary, tasks, dataset, model, score, chosen, options))
        except EvaluationError as error:
            skipped.append(_skip("binary", binary, dataset, error))
    return outcomes, skipped, chosen


def _skip(section: Any, task: Regression | Binary, dataset: Dataset, error: Exception) -> Skipped:
    return Skipped(
        section=section,
        task=task.name,
        title=task.title,
        dataset=dataset.name,
        reason=str(error),
    )


def _regression(
    task: Regression,
    tasks: Tasks,
    prompts: Prompts,
    dataset: Dataset,
    model: str,
    options: Mapping[str, int],
) -> Outcome:
    """By the paper's rule, with some figures by that of the published code beside it."""
    items = dataset.test
    truth, source = find_labels(task.label, items, tasks.findings)
    known = np.flatnonzero(~np.isnan(truth))
    guess, whose = _median(task.label, tasks, dataset.validation)
    if guess is None:
        guess, whose = float(np.median(truth[known])), "these items themselves"
    patients = items.rows["patient_id"].to_numpy()[known]
    table = {"truth": truth[known]}
    scores: dict[Rule, Scores] = {}
    for rule, column in _RULES.items():
        predicted = predict_regression(task, prompts, items.frames, items.frame_item, rule=rule)
        table[column] = predicted[known]
        scores[rule] = regression_scores(
            truth[known], predicted[known], patients, guess=guess, **options
        )
    paper, other = scores["paper"], scores["published_code"]
    more = {f"{name}:published_code": name for name in ("mae", "pearson", "bias")}
    return Outcome(
        section="regression",
        task=task.name,
        title=task.title,
        family="",
        model=model,
        dataset=dataset.name,
        scores=Scores(
            figures={**paper.figures, **{new: other.figures[old] for new, old in more.items()}},
            draws={**paper.draws, **{new: other.draws[old] for new, old in more.items()}},
            num_items=paper.num_items,
            num_patients=paper.num_patients,
        ),
        items=pd.DataFrame(table, index=known),
        about={
            "unit": task.unit,
            "labels": source,
            "rule": "paper; figures that end in :published_code by the other one",
            "guess": guess,
            "guess_from": whose,
            "human_range": task.human_range,
        },
    )


def _median(label: Label, tasks: Tasks, items: Items | None) -> tuple[float | None, str]:
    """What to say of everyone without looking."""
    if items is not None:
        try:
            truth, _ = find_labels(label, items, tasks.findings)
            return float(np.nanmedian(truth)), "validation"
        except EvaluationError:
            pass
    return None, ""


def _scorers(task: Binary, tasks: Tasks, prompts: Prompts) -> Mapping[str, Scorer]:
    """Items to scores (N,), higher for yes: by the paper's rule, and the contrast with normal."""
    if task.scored_by:
        regression = tasks.regression(task.scored_by)
        sign = -1.0 if task.label.below is not None else 1.0
        return {
            "": lambda items: (
                sign * predict_regression(regression, prompts, items.frames, items.frame_item)
            )
        }
    present = np.stack([prompts[text] for text in task.prompts])
    found: dict[str, Scorer] = {
        "": lambda items: score_presence(items.frames, items.frame_item, present)
    }
    if task.against:
        # The mean cosine with both sides is that with the mean prompt of each.
        normal = np.stack([prompts[text] for text in task.against]).mean(axis=0)
        contrast = (present.mean(axis=0) - normal)[None]
        found[CONTRAST] = lambda items: score_presence(items.frames, items.frame_item, contrast)
    return found


def _positive(
    task: Binary, tasks: Tasks, items: Items
) -> tuple[NDArray[np.int64], NDArray[np.bool_], str]:
    """Rows whose truth is known, the truth, and where it comes from."""
    values, source = find_labels(task.label, items, tasks.findings)
    known = np.flatnonzero(~np.isnan(values)).astype(np.int64)
    if task.label.below is not None:
        return known, values[known] < task.label.below, source
    return known, values[known] >= float(task.label.at_least or 0), source


def _operating(task: Binary, tasks: Tasks, items: Items | None, score: Scorer) -> Operating | None:
    if items is None:
        return None
    try:
        known, positive, _ = _positive(task, tasks, items)
    except EvaluationError:
        return None
    return fit_operating(positive, score(items)[known])


def _binary(
    task: Binary,
    tasks: Tasks,
    dataset: Dataset,
    model: str,
    scorers: Mapping[str, Scorer],
    operating: Mapping[str, Operating | None],
    options: Mapping[str, int],
) -> Outcome:
    items = dataset.test
    known, positive, source = _positive(task, tasks, items)
    patients = items.rows["patient_id"].to_numpy()[known]
    table: dict[str, NDArray[Any]] = {"truth": positive.astype(int)}
    figures: dict[str, Figure] = {}
    draws: dict[str, Floats] = {}
    for ending, scorer in scorers.items():
        found, point = scorer(items)[known], operating[task.name + ending]
        scores = binary_scores(positive, found, patients, operating=point, **options)
        figures |= {name + ending: figure for name, figure in scores.figures.items()}
        draws |= {name + ending: drawn for name, drawn in scores.draws.items()}
        column = ending.replace(":", "_")
        table[f"score{column}"] = found
        if point is not None:
            table[f"probability{column}"] = point.probability(found)
    threshold = operating[task.name]
    return Outcome(
        section="binary",
        task=task.name,
        title=task.title,
        family=task.family,
        model=model,
        dataset=dataset.name,
        scores=Scores(
            figures=figures,
            draws=draws,
            num_items=len(known),
            num_patients=len(np.unique(patients)),
        ),
        items=pd.DataFrame(table, index=known),
        about={
            "labels": source,
            "num_positive": int(positive.sum()),
            "thresholds": {
                ending.strip(":") or "plain": None if point is None else point.threshold
                for ending in scorers
                for point in [operating[task.name + ending]]
            },
            "threshold_from": None
            if threshold is None
            else f"validation, {threshold.num_positive} of {threshold.num_items} positive",
        },
    )
