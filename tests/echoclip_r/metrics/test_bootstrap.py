"""Bootstrap by patient: figures of weighted items, draws and intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from echoclip_r.errors import EvaluationError
from echoclip_r.metrics.bootstrap import (
    Resampling,
    area_under_roc,
    average_precision,
    bootstrap,
    correlation,
    estimate,
    interval,
    mean,
    median,
    resample_weights,
)


def written_out(values, weights):
    """The items, each as often as it weighs."""
    return np.repeat(values, weights.astype(int))


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=30
    )
)
def test_weighted_figures_are_those_of_items_written_out(items):
    """Mean, median, r, AUC and AP: equal to numpy's and scikit-learn's on the repeated items."""
    positive, score, times = (np.array(column) for column in zip(*items, strict=True))
    other = np.sin(1.7 * np.arange(len(items)))
    weights = times[None].astype(float)
    long = [written_out(values, times) for values in (positive, score, other)]
    if not times.sum():
        for figure in (mean(other, weights), median(other, weights)):
            assert np.isnan(figure).all()
        return
    assert mean(other, weights)[0] == pytest.approx(long[2].mean())
    assert median(score, weights)[0] == np.median(long[1])
    found = area_under_roc(positive, score, weights)[0]
    if long[0].all() or not long[0].any():
        assert np.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(long[0], long[1]))
    found = average_precision(positive, score, weights)[0]
    if long[0].any():
        assert found == pytest.approx(average_precision_score(long[0], long[1]))
    else:
        assert np.isnan(found)
    found = correlation(score, other, weights)[0]
    if np.ptp(long[1]) and np.ptp(long[2]):
        assert found == pytest.approx(np.corrcoef(long[1], long[2])[0, 1])
    else:
        assert np.isnan(found)


def test_patients_are_drawn_whole_and_as_many_as_there_are():
    """Studies of one patient weigh the same; the patients' weights add up to their number."""
    patients = np.array(["b", "a", "b", "c", "a", "b"])
    weights = np.concatenate(list(resample_weights(patients, Resampling(num_draws=500, seed=3))))
    assert weights.shape == (500, 6)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert 0.9 < weights[:, 3].mean() < 1.1
    again = np.concatenate(list(resample_weights(patients, Resampling(num_draws=500, seed=3))))
    assert (weights == again).all()
    order = [3, 5, 0, 1, 4, 2]
    moved = np.concatenate(
        list(resample_weights(patients[order], Resampling(num_draws=500, seed=3)))
    )
    assert (moved == weights[:, order]).all()


def test_the_interval_holds_what_it_should():
    """In about 95 of 100 samples the true mean lies in it, also where patients repeat."""
    generator = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 3)
    inside = 0
    for seed in range(200):
        values = np.repeat(generator.normal(size=60), 3) + 0.3 * generator.normal(size=180)
        found = estimate(
            lambda w, v=values: mean(v, w), patients, Resampling(num_draws=300, seed=seed)
        )
        inside += found.low <= 0 <= found.high
    assert 180 <= inside <= 198


def test_a_figure_that_no_resample_has_is_nan():
    """One class only has no AUC, and the interval says so instead of failing."""
    found = estimate(
        lambda w: area_under_roc([1, 1], [0.1, 0.2], w), ["a", "b"], Resampling(num_draws=10)
    )
    assert np.isnan([found.value, found.low, found.high]).all()
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_columns_are_bootstrapped_together():
    """A figure may have several values: they come from the same resamples."""
    values = np.arange(10.0)
    drawn = bootstrap(
        lambda w: mean(np.stack([values, 2 * values], axis=1), w),
        list(range(10)),
        Resampling(num_draws=50),
    )
    assert drawn.shape == (50, 2)
    assert drawn[:, 1] == pytest.approx(2 * drawn[:, 0])


def test_bad_bootstrap_input_is_refused():
    """No items, no draws, scores that are none."""
    with pytest.raises(ValueError, match="there are no items; a bootstrap needs at least one"):
        list(resample_weights([]))
    with pytest.raises(
        EvaluationError, match="num_draws is 0; a bootstrap needs at least one draw"
    ):
        Resampling(num_draws=0)
    with pytest.raises(ValueError, match="every score must be a number"):
        area_under_roc([True, False], [0.1, np.nan], np.ones((1, 2)))
