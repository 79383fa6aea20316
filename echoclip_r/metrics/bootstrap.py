"""Bootstrap intervals by patient: studies of one patient are drawn together or not at all (I11).

    patients -> bootstrap(figure) -> one value for each resample -> interval

A figure is a function of weights, which say how often each item was drawn, for many resamples at
once. All figures here are exact: each equals the plain figure on the items, repeated as often as
they were drawn. The same patients, number of draws and seed give the same resamples, so the
difference of two models' values, draw by draw, is a paired bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echoclip_r.errors import EvaluationError

__all__ = [
    "RESAMPLING",
    "Estimate",
    "Figure",
    "Resampling",
    "Weights",
    "area_under_roc",
    "average_precision",
    "bootstrap",
    "correlation",
    "estimate",
    "interval",
    "mean",
    "median",
    "resample_weights",
]

Floats = npt.NDArray[np.float64]
Weights = Floats
"""How often each item counts: shape (num_resamples, num_items), whole numbers."""

_ELEMENTS_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How patients are drawn; two figures of the same patients with the same draws are paired.

    Attributes:
        num_draws: number of resamples, at least 1.
        seed: seed of the draws.

    Raises:
        EvaluationError: there are no draws.
    """

    num_draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_draws < 1:
            raise EvaluationError(
                f"num_draws is {self.num_draws}; a bootstrap needs at least one draw"
            )


RESAMPLING = Resampling()
"""A thousand draws, as for every published figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: the figure on all items.
        low: lower end of the 95 % bootstrap interval; NaN where no resample had a value.
        high: upper end of that interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g}-{self.high:.3g})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure(Estimate):
    """An estimate, with the value of a random order to compare it with.

    Attributes:
        chance: the value that guessing gives on the same pool, with its duplicates.
    """

    chance: float


def resample_weights(
    patients: Sequence[object] | npt.NDArray[np.generic],
    resampling: Resampling = RESAMPLING,
) -> Iterator[Weights]:
    """Draw as many patients as there are, with replacement, again and again.

    The draws depend on the set of patients, not on the order of the items.

    Args:
        patients: each item's patient, length num_items.
        resampling: how they are drawn.

    Yields:
        Parts of the weights, each of shape (number of resamples, num_items), with ``num_draws``
        rows in all. An item's weight says how often its patient was drawn.

    Raises:
        ValueError: there are no items.

    Example:
        >>> next(resample_weights(["a", "a", "b"], Resampling(num_draws=2))).tolist()
        [[0.0, 0.0, 2.0], [1.0, 1.0, 1.0]]
    """
    if not len(patients):
        raise ValueError("there are no items; a bootstrap needs at least one")
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    generator = np.random.default_rng(resampling.seed)
    num_draws = resampling.num_draws
    at_once = max(1, min(num_draws, _ELEMENTS_AT_ONCE // len(owner)))
    for start in range(0, num_draws, at_once):
        rows = min(at_once, num_draws - start)
        drawn = generator.integers(len(names), size=(rows, len(names)))
        drawn += len(names) * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * len(names))
        yield times.reshape(rows, len(names))[:, owner].astype(np.float64)


def bootstrap(
    figure: Callable[[Weights], Floats],
    patients: Sequence[object] | npt.NDArray[np.generic],
    resampling: Resampling = RESAMPLING,
) -> Floats:
    """One value of a figure, or one row of figures, for each resample of the patients.

    Args:
        figure: function from weights (B, num_items) to values (B,) or (B, K).
        patients: each item's patient, length num_items.
        resampling: how they are drawn.

    Returns:
        The values, (num_draws,) or (num_draws, K); NaN where a resample has none.
    """
    parts = resample_weights(patients, resampling)
    return np.concatenate([figure(weights) for weights in parts])


def interval(values: Floats, *, level: float = 0.95) -> tuple[float, float]:
    """The ends of the middle part of bootstrap values without NaN; (NaN, NaN) if all are NaN.

    Example:
        >>> interval(np.arange(3.0), level=0.5)
        (0.5, 1.5)
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return (float("nan"), float("nan"))
    tail = (1 - level) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return (float(low), float(high))


def estimate(
    figure: Callable[[Weights], Floats],
    patients: Sequence[object] | npt.NDArray[np.generic],
    resampling: Resampling = RESAMPLING,
) -> Estimate:
    """A figure on all items, with its bootstrap interval.

    Args:
        figure: function from weights (B, num_items) to values (B,).
        patients: each item's patient, length num_items.
        resampling: how they are drawn.

    Example:
        >>> error = np.array([1.0, 2.0, 3.0])
        >>> estimate(lambda weights: mean(error, weights), ["a", "b", "c"]).value
        2.0
    """
    value = figure(np.ones((1, len(patients))))
    low, high = interval(bootstrap(figure, patients, resampling))
    return Estimate(value=float(value[0]), low=low, high=high)


# Figures of items, for many resamples at once. `weights` is (B, N) everywhere.


def mean(values: npt.ArrayLike, weights: Weights) -> Floats:
    """Weighted mean of values (N,) or, column by column, (N, K): (B,) or (B, K)."""
    values = np.asarray(values, np.float64)
    totals = weights.sum(axis=1)
    with np.errstate(invalid="ignore"):
        means: Floats = (weights @ values) / (totals if values.ndim == 1 else totals[:, None])
    return means


def median(values: npt.ArrayLike, weights: Weights) -> Floats:
    """Median of values (N,), each repeated as often as its weight says: (B,)."""
    values = np.asarray(values, np.float64)
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weights[:, order], axis=1)
    total = upto[:, -1]
    middle = np.empty((2, len(weights)))
    for place, rank in zip(middle, ((total - 1) // 2, total // 2), strict=True):
        # The first item with more than `rank` items up to and with it.
        index = (upto <= rank[:, None]).sum(axis=1)
        place[:] = values[order[np.minimum(index, len(order) - 1)]]
    return np.where(total > 0, middle.mean(axis=0), np.nan)


def correlation(first: npt.ArrayLike, second: npt.ArrayLike, weights: Weights) -> Floats:
    """Pearson's r of two series (N,): (B,); NaN where one of them does not vary."""
    columns = np.stack([np.asarray(first, np.float64), np.asarray(second, np.float64)], axis=1)
    columns = columns - columns.mean(axis=0)
    a, b = columns.T
    moments = mean(np.stack([a, b, a * a, b * b, a * b], axis=1), weights)
    mean_a, mean_b, square_a, square_b, product = moments.T
    spread_a, spread_b = square_a - mean_a**2, square_b - mean_b**2
    # All that is left of a constant series is rounding.
    varies = (spread_a > 1e-12 * square_a) & (spread_b > 1e-12 * square_b)
    spread = np.sqrt(np.where(varies, spread_a * spread_b, np.nan))
    return np.asarray((product - mean_a * mean_b) / spread, np.float64)


def area_under_roc(positive: npt.ArrayLike, score: npt.ArrayLike, weights: Weights) -> Floats:
    """Area under the ROC curve, with ties counted half: (B,); NaN where there is only one class.

    Args:
        positive: truth, bool, (N,).
        score: higher for positive, (N,).
        weights: (B, N).

    Example:
        >>> area_under_roc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], np.ones((1, 4))).tolist()
        [0.75]
    """
    hits, misses = _by_score(positive, score, weights)
    below = np.cumsum(misses, axis=1) - misses
    pairs = hits.sum(axis=1) * misses.sum(axis=1)
    won = (hits * (below + misses / 2)).sum(axis=1)
    return _ratio(won, pairs)


def average_precision(positive: npt.ArrayLike, score: npt.ArrayLike, weights: Weights) -> Floats:
    """Precision averaged over the steps of recall: (B,); NaN where nothing is positive.

    Args:
        positive: truth, bool, (N,).
        score: higher for positive, (N,).
        weights: (B, N).
    """
    hits, misses = _by_score(positive, score, weights)
    found = np.cumsum(hits[:, ::-1], axis=1)
    taken = found + np.cumsum(misses[:, ::-1], axis=1)
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    gained = (hits[:, ::-1] * precision).sum(axis=1)
    total = hits.sum(axis=1)
    return _ratio(gained, total)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """The quotient; NaN where there is nothing to divide by."""
    out: Floats = np.full(len(whole), np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _by_score(
    positive: npt.ArrayLike, score: npt.ArrayLike, weights: Weights
) -> tuple[Floats, Floats]:
    """Weight of positives and of negatives at each distinct score, lowest first: (B, levels)."""
    positive, score = np.asarray(positive, bool), np.asarray(score, np.float64)
    if (
        positive.shape != score.shape
        or weights.shape[1:] != score.shape
        or not np.isfinite(score).all()
    ):
        raise ValueError(
            f"truth {positive.shape}, scores {score.shape} and weights {weights.shape} must have "
            "one item each, and every score must be a number"
        )
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    sorted_weights = weights[:, order]
    hits = np.add.reduceat(sorted_weights * positive[order], starts, axis=1)
    return hits, np.add.reduceat(sorted_weights, starts, axis=1) - hits
