"""Figures of predictions against the truth, each with its interval and its chance level.

    truth, prediction -> regression_scores -> MAE, RMSE, R2, r, Bland-Altman
    truth, score      -> binary_scores     -> AUC, AP, sensitivity, specificity, Brier score
    two `Scores`      -> difference        -> a paired bootstrap

Thresholds and calibration come from other patients (validation) and are only applied here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve

from echoclip_r.errors import EvaluationError
from echoclip_r.metrics.bootstrap import (
    RESAMPLING,
    Estimate,
    Figure,
    Resampling,
    Weights,
    area_under_roc,
    average_precision,
    bootstrap,
    correlation,
    interval,
    mean,
)
from echoclip_r.metrics.finite import check_finite

__all__ = [
    "Operating",
    "Scores",
    "binary_scores",
    "difference",
    "fit_operating",
    "measure",
    "regression_scores",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Limits of agreement hold 95 % of differences that are normally distributed.
_LIMIT_SD = 1.96


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """Figures on one set of items.

    Attributes:
        figures: the figures by name; `chance` is the value that guessing gives on these items, NaN
            where that has no meaning.
        draws: the bootstrap values of each figure, (num_draws,). Other scores on the same patients
            have the same order of draws, so that the difference is a paired bootstrap.
        num_items: number of studies, clips or pairs.
        num_patients: number of their patients.
    """

    figures: Mapping[str, Figure]
    draws: Mapping[str, Floats]
    num_items: int
    num_patients: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Operating:
    """Threshold and calibration, which are chosen on validation and applied to the test.

    Attributes:
        threshold: a score of this or more is a yes; chosen for the highest sum of sensitivity and
            specificity.
        slope, intercept: coefficients of the logistic curve from score to probability.
        num_items, num_positive: number of items for the fit, and number of positive ones.
    """

    threshold: float
    slope: float
    intercept: float
    num_items: int
    num_positive: int

    def probability(self, score: Floats) -> Floats:
        """Calibrated probability (N,) of scores (N,)."""
        return np.asarray(expit(self.slope * score + self.intercept), np.float64)


def measure(
    figures: Mapping[str, Callable[[Weights], Floats]],
    patients: Sequence[object] | NDArray[np.generic],
    *,
    chance: Mapping[str, float] | None = None,
    resampling: Resampling = RESAMPLING,
) -> Scores:
    """Compute figures with intervals, all from the same draws of patients.

    Args:
        figures: for each name a function from weights (B, N) to values (B,), as in
            `echoclip_r.metrics.bootstrap`.
        patients: each item's patient, length N.
        chance: the value that guessing gives, by the figure's name.
        resampling: how patients are drawn.

    Example:
        >>> error = np.array([1.0, 2.0, 3.0])
        >>> measure({"mae": lambda weights: mean(error, weights)}, ["a", "b", "c"]).figures["mae"]
        Figure(value=2.0, low=1.0, high=3.0, chance=nan)
    """

    def together(weights: Weights) -> Floats:
        return np.stack([figure(weights) for figure in figures.values()], axis=1)

    values = together(np.ones((1, len(patients))))[0]
    draws = bootstrap(together, patients, resampling)
    chance = chance or {}
    shown = {}
    for name, value, drawn in zip(figures, values, draws.T, strict=True):
        low, high = interval(drawn)
        guess = chance.get(name, float("nan"))
        shown[name] = Figure(value=float(value), low=low, high=high, chance=float(guess))
    return Scores(
        figures=shown,
        draws=dict(zip(figures, draws.T, strict=True)),
        num_items=len(patients),
        num_patients=len(np.unique(np.asarray(patients))),
    )


def ratio(part: Floats, whole: Floats) -> Floats:
    """Part by whole, NaN where there is no whole."""
    out: Floats = np.full(len(whole), np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def difference(first: Scores, second: Scores, name: str) -> Estimate:
    """How much more one figure is in the first scores than in the second, by paired bootstrap.

    Raises:
        ValueError: they were not measured on the same number of items and patients.
    """
    sizes = [(one.num_items, one.num_patients, len(one.draws[name])) for one in (first, second)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"scores of {sizes[0]} and of {sizes[1]} items, patients and draws cannot be paired"
        )
    low, high = interval(first.draws[name] - second.draws[name])
    value = first.figures[name].value - second.figures[name].value
    return Estimate(value=value, low=low, high=high)


def regression_scores(
    truth: Floats,
    predicted: Floats,
    patients: Sequence[object] | NDArray[np.generic],
    *,
    guess: float,
    resampling: Resampling = RESAMPLING,
) -> Scores:
    """Errors, correlation and Bland-Altman figures of predicted numbers.

    Args:
        truth: the true numbers (N,).
        predicted: the predicted numbers (N,).
        patients: each item's patient.
        guess: the number that is predicted for everyone without looking, such as the median of
            other patients.
        resampling: how patients are drawn.

    Returns:
        In the unit of the truth `mae`, `rmse`, `bias` (predicted - truth), and the limits of
        agreement `limit_low` and `limit_high` (bias -+ 1.96 standard deviations); without unit
        `r2`, `pearson` and `gain`, the part of the guess's mean absolute error that is saved.

    Raises:
        EvaluationError: a number is not finite.
    """
    check_finite(truth, predicted)
    error = predicted - truth
    centred = truth - truth.mean()
    missed = np.abs(truth - guess)
    moments = np.stack([np.abs(error), error**2, error, centred, centred**2, missed], axis=1)

    def moment(column: int, weights: Weights) -> Floats:
        return mean(moments[:, column], weights)

    def spread(weights: Weights) -> Floats:
        variance = moment(1, weights) - moment(2, weights) ** 2
        return _LIMIT_SD * np.sqrt(np.maximum(variance, 0))

    def r2(weights: Weights) -> Floats:
        variance = moment(4, weights) - moment(3, weights) ** 2
        # What is left of a constant truth is rounding.
        varies = variance > 1e-12 * moment(4, weights)
        return 1 - moment(1, weights) / np.where(varies, variance, np.nan)

    return measure(
        {
            "mae": lambda weights: moment(0, weights),
            "rmse": lambda weights: np.sqrt(moment(1, weights)),
            "r2": r2,
            "pearson": lambda weights: correlation(truth, predicted, weights),
            "gain": lambda weights: 1 - moment(0, weights) / _positive(moment(5, weights)),
            "bias": lambda weights: moment(2, weights),
            "limit_low": lambda weights: moment(2, weights) - spread(weights),
            "limit_high": lambda weights: moment(2, weights) + spread(weights),
        },
        patients,
        chance={
            "mae": float(missed.mean()),
            "rmse": float(np.sqrt((missed**2).mean())),
            "r2": 0.0,
            "pearson": 0.0,
            "gain": 0.0,
        },
        resampling=resampling,
    )


def _positive(values: Floats) -> Floats:
    """NaN in place of 0, so that nothing is divided by it."""
    return np.where(values > 0, values, np.nan)


def fit_operating(positive: Bools, score: Floats) -> Operating | None:
    """Choose a threshold and fit a calibration curve, on patients that are not tested.

    Args:
        positive: truth (N,).
        score: higher for positive (N,).

    Returns:
        Threshold and calibration; None where only one class is present.

    Raises:
        EvaluationError: a score is not finite.

    Example:
        >>> fit_operating(np.array([False, False, True, True]), np.array([1.0, 2, 3, 4])).threshold
        3.0
    """
    check_finite(score)
    if positive.all() or not positive.any():
        return None
    misses, hits, thresholds = roc_curve(positive, score, drop_intermediate=False)
    # The first threshold is infinite: nobody is positive.
    best = 1 + int(np.argmax((hits - misses)[1:]))
    spread = float(score.std()) or 1.0
    centre = float(score.mean())
    # Hardly any penalty, so that the curve is that of maximum likelihood; on standardised scores,
    # because a cosine varies in the second digit.
    curve = LogisticRegression(C=1e4).fit(((score - centre) / spread)[:, None], positive)
    slope = float(curve.coef_[0, 0]) / spread
    return Operating(
        threshold=float(thresholds[best]),
        slope=slope,
        intercept=float(curve.intercept_[0]) - slope * centre,
        num_items=len(score),
        num_positive=int(positive.sum()),
    )


def binary_scores(
    positive: Bools,
    score: Floats,
    patients: Sequence[object] | NDArray[np.generic],
    *,
    operating: Operating | None,
    resampling: Resampling = RESAMPLING,
) -> Scores:
    """How well a score tells yes from no.

    Args:
        positive: truth (N,), with both classes.
        score: higher for positive (N,).
        patients: each item's patient.
        operating: threshold and calibration from other patients (`fit_operating`). Where it is
            None there is no sensitivity, specificity or Brier score.
        resampling: how patients are drawn.

    Returns:
        `auc`, `average_precision`; with `operating` also `sensitivity`, `specificity`, `brier`.

    Raises:
        EvaluationError: there is only one class, so that no AUC exists; or a score is not finite.
    """
    check_finite(score)
    if positive.all() or not positive.any():
        raise EvaluationError(
            f"{'the only item is' if len(positive) == 1 else f'all {len(positive)} items are'} "
            f"{'positive' if positive.all() else 'negative'}: with "
            "one class only there is no AUC"
        )
    figures: dict[str, Callable[[Weights], Floats]] = {
        "auc": lambda weights: area_under_roc(positive, score, weights),
        "average_precision": lambda weights: average_precision(positive, score, weights),
    }
    prevalence = float(positive.mean())
    chance = {"auc": 0.5, "average_precision": prevalence}
    if operating is not None:
        said = score >= operating.threshold
        squares = (operating.probability(score) - positive) ** 2
        figures["sensitivity"] = lambda weights: mean(said[positive], weights[:, positive])
        figures["specificity"] = lambda weights: mean(~said[~positive], weights[:, ~positive])
        figures["brier"] = lambda weights: mean(squares, weights)
        rate = operating.num_positive / operating.num_items
        chance["brier"] = float(((rate - positive) ** 2).mean())
    return measure(figures, patients, chance=chance, resampling=resampling)
