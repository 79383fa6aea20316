"""The chance level of each retrieval figure: the value that a random order of the pool gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

__all__ = ["chance_mean_rank", "chance_median_rank", "chance_recall"]

Ids = npt.NDArray[np.int64]


def chance_mean_rank(num_right: Ids, pool_size: int) -> float:
    """Mean rank of the first right answer in a random order.

    Args:
        num_right: right answers of each query in the pool, at least 1, (num_queries,).
        pool_size: candidates.

    Example:
        >>> chance_mean_rank(np.array([1, 1]), 5)
        3.0
    """
    return float((1 + (pool_size - num_right) / (num_right + 1)).mean())


def chance_recall(num_right: Ids, pool_size: int, k: int) -> float:
    """Share of queries with a right answer among the first `k` of a random order.

    Args:
        num_right: right answers of each query in the pool, at least 1, (num_queries,).
        pool_size: candidates.
        k: length of the answer.

    Example:
        >>> round(chance_recall(np.array([1, 1]), 5, 2), 6)
        0.4
    """
    wrong = pool_size - num_right
    if k >= pool_size:
        return 1.0
    # All of the first k are wrong: C(wrong, k) / C(pool, k).
    possible = np.maximum(wrong, k)
    log_missed = (
        gammaln(possible + 1)
        - gammaln(possible - k + 1)
        - gammaln(pool_size + 1)
        + gammaln(pool_size - k + 1)
    )
    return float(np.where(wrong >= k, -np.expm1(log_missed), 1.0).mean())


def chance_median_rank(num_right: Ids, pool_size: int) -> float:
    """The rank that half of the queries reach in a random order.

    Args:
        num_right: right answers of each query in the pool, at least 1, (num_queries,).
        pool_size: candidates.

    Example:
        >>> chance_median_rank(np.array([1, 1]), 5)
        3.0
    """
    low, high = 1, pool_size
    while low < high:
        middle = (low + high) // 2
        if chance_recall(num_right, pool_size, middle) >= 0.5:
            high = middle
        else:
            low = middle + 1
    return float(low)
