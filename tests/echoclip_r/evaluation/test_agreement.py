"""Clinical agreement of found reports with true ones, against counts made by hand and by loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from echoclip_r.evaluation.agreement import agreement_scores
from echoclip_r.evaluation.labels import Finding
from echoclip_r.metrics.bootstrap import Resampling


def finding(name: str, family: str, slot: str = "{severity}", tolerance: float = 0.5) -> Finding:
    return Finding(
        name=name,
        title=name,
        family=family,
        kind="number" if slot == "{number}" else "grade",
        tolerance=tolerance,
    )


FINDINGS = (
    finding("mr", "Valves"),
    finding("tr", "Valves"),
    finding("effusion", "Pericardium"),
    finding("ef", "Left ventricle", "{number}", tolerance=5),
)
NAN = math.nan
TRUE = np.array([[2, 0, NAN, 55], [0, 1, 1, 40], [3, NAN, 0, 30], [0, 0, 0, NAN]])
FOUND = np.array([[2, 1, 0, 60], [0, 1.5, NAN, 50], [1, 0, 2, 28], [0, 0, 0, 55]])


def test_counts_by_hand() -> None:
    """Findings: three of four found ones are right, of four true ones three are found.

    A grade agrees within half a step, an ejection fraction within five points.
    """
    scores = agreement_scores(
        TRUE, FOUND, FINDINGS, np.arange(4), pool_values=TRUE, resampling=Resampling(num_draws=10)
    )
    found = {name: figure.value for name, figure in scores.figures.items()}
    assert found == pytest.approx(
        {
            "precision": 3 / 5,
            "recall": 3 / 4,
            "f1": 6 / 9,
            "precision:Valves": 3 / 4,
            "recall:Valves": 1.0,
            "grade:Valves": 2 / 3,
            "precision:Pericardium": 0.0,
            "recall:Pericardium": 0.0,
            "grade:Pericardium": NAN,
            "within:ef": 2 / 3,
        },
        nan_ok=True,
    )


def test_chance_is_a_random_report_of_the_pool() -> None:
    """What a random report gives over many draws is the chance level that is stated."""
    rng = np.random.default_rng(0)
    pool = rng.integers(0, 4, (50, 4)).astype(float)
    pool[:, 3] = rng.integers(30, 65, 50)
    pool[rng.random(pool.shape) < 0.2] = NAN
    truth = pool[:30]
    found = pool[rng.integers(0, 50, 30 * 2000)]
    many = agreement_scores(
        np.tile(truth, (2000, 1)),
        found,
        FINDINGS,
        np.zeros(60_000),
        pool_values=pool,
        resampling=Resampling(num_draws=1),
    )
    for name in ("precision", "recall", "f1", "precision:Valves", "within:ef"):
        figure = many.figures[name]
        assert figure.value == pytest.approx(figure.chance, abs=0.01), name


def test_true_reports_agree_with_themselves() -> None:
    """Where the very report is found, everything agrees."""
    scores = agreement_scores(
        TRUE, TRUE, FINDINGS, np.arange(4), pool_values=TRUE, resampling=Resampling(num_draws=10)
    )
    assert all(
        figure.value == 1
        for name, figure in scores.figures.items()
        if not math.isnan(figure.value) and name != "f1"
    )
    assert scores.figures["f1"].value == 1


def test_joint_permutation_changes_nothing() -> None:
    """The order of the queries is no information."""
    order = np.array([2, 0, 3, 1])
    plain = agreement_scores(
        TRUE, FOUND, FINDINGS, np.arange(4), pool_values=TRUE, resampling=Resampling(num_draws=30)
    )
    moved = agreement_scores(
        TRUE[order],
        FOUND[order],
        FINDINGS,
        np.arange(4)[order],
        pool_values=TRUE,
        resampling=Resampling(num_draws=30),
    )
    for name, figure in plain.figures.items():
        other = moved.figures[name]
        assert (figure.value, figure.low, figure.high) == pytest.approx(
            (other.value, other.low, other.high), nan_ok=True
        )
