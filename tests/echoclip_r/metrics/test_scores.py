"""Scores of predictions: equal to scikit-learn's and to plain formulas, honest about guessing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from echoclip_r.errors import EvaluationError
from echoclip_r.metrics.bootstrap import Resampling
from echoclip_r.metrics.scores import (
    Operating,
    binary_scores,
    difference,
    fit_operating,
    regression_scores,
)


@pytest.mark.parametrize("seed", range(4))
def test_regression_equals_textbook_formulas(seed: int) -> None:
    """Every figure is what scikit-learn, scipy or the formula gives."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(55, 12, 80)
    predicted = truth + rng.normal(2, 7, 80)
    scores = regression_scores(
        truth, predicted, np.arange(80), guess=60, resampling=Resampling(num_draws=20)
    )
    found = {name: figure.value for name, figure in scores.figures.items()}
    error = predicted - truth
    assert found == pytest.approx(
        {
            "mae": sk.mean_absolute_error(truth, predicted),
            "rmse": sk.root_mean_squared_error(truth, predicted),
            "r2": sk.r2_score(truth, predicted),
            "pearson": stats.pearsonr(truth, predicted).statistic,
            "gain": 1 - np.abs(error).mean() / np.abs(truth - 60).mean(),
            "bias": error.mean(),
            "limit_low": error.mean() - 1.96 * error.std(),
            "limit_high": error.mean() + 1.96 * error.std(),
        }
    )
    assert scores.figures["mae"].chance == pytest.approx(np.abs(truth - 60).mean())


@pytest.mark.parametrize("seed", range(6))
def test_auc_and_ap_equal_scikit_learn_with_ties(seed: int) -> None:
    """Scores with few levels, so that most are tied, give scikit-learn's AUC and AP."""
    rng = np.random.default_rng(seed)
    positive = rng.random(60) < 0.3
    positive[:2] = [True, False]
    score = np.round(rng.normal(positive, 1.0), 1 if seed % 2 else 0)
    scores = binary_scores(
        positive, score, np.arange(60), operating=None, resampling=Resampling(num_draws=10)
    )
    assert scores.figures["auc"].value == pytest.approx(sk.roc_auc_score(positive, score))
    assert scores.figures["average_precision"].value == pytest.approx(
        sk.average_precision_score(positive, score)
    )
    assert scores.figures["auc"].chance == 0.5
    assert scores.figures["average_precision"].chance == pytest.approx(positive.mean())
    assert set(scores.figures) == {"auc", "average_precision"}


def test_joint_permutation_changes_nothing() -> None:
    """The order of items is no information: value and interval stay."""
    rng = np.random.default_rng(0)
    positive, score, who = rng.random(50) < 0.4, rng.random(50), rng.integers(0, 30, 50)
    order = rng.permutation(50)
    plain = binary_scores(
        positive, score, who, operating=None, resampling=Resampling(num_draws=50)
    ).figures["auc"]
    moved = binary_scores(
        positive[order],
        score[order],
        who[order],
        operating=None,
        resampling=Resampling(num_draws=50),
    ).figures["auc"]
    assert (plain.value, plain.low, plain.high) == pytest.approx(
        (moved.value, moved.low, moved.high)
    )


def test_threshold_is_where_sensitivity_and_specificity_are_highest() -> None:
    """On scores that part at 3, the threshold is the lowest positive score."""
    positive = np.array([False, False, False, True, True, True])
    chosen = fit_operating(positive, np.array([0.1, 0.3, 0.2, 0.5, 0.6, 0.9]))
    assert chosen is not None
    assert chosen.threshold == 0.5
    assert (chosen.num_items, chosen.num_positive) == (6, 3)


def test_threshold_comes_from_validation_and_is_only_applied_to_test() -> None:
    """Test data on which another threshold would be best is still judged by the given one."""
    operating = Operating(threshold=0.5, slope=1.0, intercept=0.0, num_items=10, num_positive=5)
    positive = np.array([True, True, False, False])
    score = np.array([0.4, 0.6, 0.1, 0.55])
    figures = binary_scores(
        positive, score, np.arange(4), operating=operating, resampling=Resampling(num_draws=10)
    ).figures
    assert figures["sensitivity"].value == 0.5
    assert figures["specificity"].value == 0.5
    assert figures["brier"].value == pytest.approx(
        sk.brier_score_loss(positive, operating.probability(score))
    )
    assert figures["brier"].chance == 0.25


def test_calibration_finds_the_curve_that_made_the_labels() -> None:
    """Labels drawn from a logistic curve of a cosine-like score give that curve back."""
    rng = np.random.default_rng(0)
    score = rng.normal(0.2, 0.03, 20_000)
    truth = 1 / (1 + np.exp(-(40 * score - 9)))
    operating = fit_operating(rng.random(20_000) < truth, score)
    assert operating is not None
    assert np.abs(operating.probability(score) - truth).max() < 0.03


def test_one_class_has_no_auc_and_no_threshold() -> None:
    """It is said so, instead of a number."""
    everyone = np.ones(5, bool)
    with pytest.raises(EvaluationError, match=r"all 5 items are positive.*no AUC"):
        binary_scores(everyone, np.arange(5.0), np.arange(5), operating=None)
    with pytest.raises(EvaluationError, match="the only item is negative: "):
        binary_scores(~everyone[:1], np.arange(1.0), np.arange(1), operating=None)
    with pytest.raises(EvaluationError, match="all 5 items are negative"):
        binary_scores(~everyone, np.arange(5.0), np.arange(5), operating=None)
    assert fit_operating(everyone, np.arange(5.0)) is None


def test_paired_difference_is_narrower_than_two_intervals_suggest() -> None:
    """Two nearly equal predictions on the same patients differ by little, and surely so."""
    rng = np.random.default_rng(0)
    truth = rng.normal(50, 10, 200)
    noise = rng.normal(0, 8, 200)
    better = regression_scores(truth, truth + noise, np.arange(200), guess=50)
    worse = regression_scores(truth, truth + 1.1 * noise, np.arange(200), guess=50)
    paired = difference(worse, better, "mae")
    assert paired.value == pytest.approx(0.1 * np.abs(noise).mean())
    assert 0 < paired.low < paired.value < paired.high
    assert paired.high - paired.low < better.figures["mae"].high - better.figures["mae"].low
    other = regression_scores(truth[:9], truth[:9] + 1, np.arange(9), guess=50)
    with pytest.raises(ValueError, match="cannot be paired"):
        difference(better, other, "mae")


def test_nan_is_refused() -> None:
    """Neither a number nor a score may be NaN."""
    bad = np.array([1.0, np.nan])
    with pytest.raises(EvaluationError, match="1 of 2"):
        regression_scores(np.ones(2), bad, np.arange(2), guess=1)
    with pytest.raises(EvaluationError, match="1 of 2"):
        binary_scores(np.array([True, False]), bad, np.arange(2), operating=None)


def test_constant_truth_has_no_r2() -> None:
    """Nothing is explained where nothing varies: NaN, not minus infinity."""
    scores = regression_scores(np.full(6, 55.0), np.arange(6.0), np.arange(6), guess=55)
    assert np.isnan(scores.figures["r2"].value)
    assert np.isnan(scores.figures["pearson"].value)
