"""The zero-shot tasks, in which prompts give a number, or a score for yes or no.

Thresholds, calibration and the median guess are chosen on the validation split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.datasets import Items, Truth, find_labels
from echoclip_r.evaluation.outcomes import Judgement
from echoclip_r.evaluation.prompt_scores import Rule, predict_values, score_presence
from echoclip_r.evaluation.tasks import Binary, Regression, Tasks
from echoclip_r.evaluation.trial import Prompts, Trial
from echoclip_r.metrics.scores import (
    Operating,
    Scores,
    binary_scores,
    fit_operating,
    regression_scores,
)

__all__ = ["judge_binary", "judge_regression", "predict_regression", "prompt_texts"]

Floats = NDArray[np.float64]
Scorer = Callable[[Items], Floats]
CONTRAST = ":contrast"
"""The ending of the names of the contrast score's figures."""

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
        task: the number that is predicted.
        prompts: embeddings of the task's prompts.
        frames: unit rows (F, D).
        frame_item: item of each frame (F,).
        rule: `paper` or `published_code`; see `echoclip_r.evaluation.prompt_scores`.

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


def judge_regression(trial: Trial, task: Regression) -> Judgement:
    """Judge a number by the paper's rule, with some figures by other rules too.

    Raises:
        EvaluationError: the truth is not known.
    """
    items = trial.test
    truth, source, remark = find_labels(task.label, items, trial.tasks.findings)
    known = np.flatnonzero(~np.isnan(truth))
    guess, guess_from = _median_guess(trial, task)
    if guess is None:
        guess, guess_from = float(np.median(truth[known])), "these items themselves"
    patients = items.rows["patient_id"].to_numpy()[known]
    table = {"truth": truth[known]}
    by_rule: dict[str, Scores] = {}
    for rule, column in _RULES.items():
        predicted = predict_regression(
            task, trial.prompts, items.frames, items.frame_item, rule=rule
        )
        table[column] = predicted[known]
        by_rule[rule] = trial.compute(
            regression_scores,
            truth[known],
            predicted[known],
            patients,
            guess=guess,
            resampling=trial.resampling,
        )
    calibrated = _calibrated(trial, task, table["predicted"])
    if calibrated is not None:
        table["predicted_calibrated"] = calibrated
        by_rule["calibrated"] = trial.compute(
            regression_scores,
            truth[known],
            calibrated,
            patients,
            guess=guess,
            resampling=trial.resampling,
        )
    scores = by_rule.pop("paper")
    beside = {
        f"{name}:{rule}": (other, name)
        for rule, other in by_rule.items()
        for name in ("mae", "pearson", "bias")
    }
    return Judgement(
        scores=replace(
            scores,
            figures=dict(scores.figures)
            | {new: other.figures[old] for new, (other, old) in beside.items()},
            draws=dict(scores.draws)
            | {new: other.draws[old] for new, (other, old) in beside.items()},
        ),
        items=pd.DataFrame(table, index=known),
        about={
            "unit": task.unit,
            "labels": source,
            "remarks": [remark] if remark else [],
            "rule": "paper; figures that end in :published_code by the other one, those in "
            ":calibrated after a rising curve that validation gave",
            "guess": guess,
            "guess_from": guess_from,
            "human_range": task.human_range,
        },
    )


def _calibrated(trial: Trial, task: Regression, predicted: Floats) -> Floats | None:
    """Predictions through the rising curve that fits those of other patients to their numbers."""
    items = trial.thresholds_from
    if items is None:
        return None
    try:
        truth = find_labels(task.label, items, trial.tasks.findings).values
    except EvaluationError:
        return None
    known = ~np.isnan(truth)
    found = predict_regression(task, trial.prompts, items.frames, items.frame_item)
    curve = IsotonicRegression(out_of_bounds="clip").fit(found[known], truth[known])
    return np.asarray(curve.predict(predicted), np.float64)


def judge_binary(trial: Trial, task: Binary) -> Judgement:
    """Judge a yes or no by the paper's score, and by the contrast with a normal study too.

    Raises:
        EvaluationError: the truth is not known, or all items are of one class.
    """
    items = trial.test
    known, positive, (_, source, remark) = _positive(trial, task, items)
    patients = items.rows["patient_id"].to_numpy()[known]
    table: dict[str, NDArray[Any]] = {"truth": positive.astype(int)}
    by_ending, points = {}, {}
    for ending, scorer in _scorers(trial, task).items():
        found, point = scorer(items)[known], _operating(trial, task, scorer)
        points[ending] = point
        by_ending[ending] = trial.compute(
            binary_scores,
            positive,
            found,
            patients,
            operating=point,
            resampling=trial.resampling,
        )
        column = ending.replace(":", "_")
        table[f"score{column}"] = found
        if point is not None:
            table[f"probability{column}"] = point.probability(found)
    threshold = points[""]
    return Judgement(
        scores=replace(
            by_ending[""],
            figures={
                name + ending: figure
                for ending, scores in by_ending.items()
                for name, figure in scores.figures.items()
            },
            draws={
                name + ending: drawn
                for ending, scores in by_ending.items()
                for name, drawn in scores.draws.items()
            },
        ),
        items=pd.DataFrame(table, index=known),
        about={
            "labels": source,
            "remarks": [remark] if remark else [],
            "num_positive": int(positive.sum()),
            "thresholds": {
                ending.strip(":") or "plain": None if point is None else point.threshold
                for ending, point in points.items()
            },
            "threshold_from": None
            if threshold is None
            else f"validation, {threshold.num_positive} of {threshold.num_items} positive",
        },
    )


def _median_guess(trial: Trial, task: Regression) -> tuple[float | None, str]:
    """What to say of everyone without looking, and where it comes from."""
    if trial.dataset.validation is not None:
        try:
            truth = find_labels(task.label, trial.dataset.validation, trial.tasks.findings)
            return float(np.nanmedian(truth.values)), "validation"
        except EvaluationError:
            pass
    return None, ""


def _scorers(trial: Trial, task: Binary) -> Mapping[str, Scorer]:
    """Items to scores (N,), higher for yes: by the paper's rule, and the contrast with normal."""
    if task.scored_by:
        regression = trial.tasks.regression(task.scored_by)
        sign = -1.0 if task.label.below is not None else 1.0
        return {
            "": lambda items: (
                sign * predict_regression(regression, trial.prompts, items.frames, items.frame_item)
            )
        }
    present = np.stack([trial.prompts[text] for text in task.prompts])
    found: dict[str, Scorer] = {
        "": lambda items: score_presence(items.frames, items.frame_item, present)
    }
    if task.against:
        # The mean cosine with both sides is that with the mean prompt of each.
        normal = np.stack([trial.prompts[text] for text in task.against]).mean(axis=0)
        contrast = (present.mean(axis=0) - normal)[None]
        found[CONTRAST] = lambda items: score_presence(items.frames, items.frame_item, contrast)
    return found


def _positive(
    trial: Trial, task: Binary, items: Items
) -> tuple[NDArray[np.int64], NDArray[np.bool_], Truth]:
    """Rows whose truth is known, whether it is yes (of these rows), and the truth itself."""
    truth = find_labels(task.label, items, trial.tasks.findings)
    known = np.flatnonzero(~np.isnan(truth.values)).astype(np.int64)
    if task.label.below is not None:
        return known, truth.values[known] < task.label.below, truth
    return known, truth.values[known] >= float(task.label.at_least or 0), truth


def _operating(trial: Trial, task: Binary, scorer: Scorer) -> Operating | None:
    """Threshold and calibration, from other patients; None where those do not give them."""
    items = trial.thresholds_from
    if items is None:
        return None
    try:
        known, positive, _ = _positive(trial, task, items)
    except EvaluationError:
        return None
    return fit_operating(positive, scorer(items)[known])
