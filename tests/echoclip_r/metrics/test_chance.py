"""Chance levels are those of every order of the pool."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echoclip_r.metrics.chance import chance_mean_rank, chance_median_rank, chance_recall


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 9), st.integers(1, 18))
def test_chance_is_that_of_every_order(num_right, more, k):
    """Recall, mean and median rank, from exact binomials."""
    pool = max(num_right) + more
    right = np.array(num_right)

    def later(good, rank):
        """The chance that `rank` wrong ones come before the first right one."""
        product = Fraction(1)
        for place in range(rank):
            product *= Fraction(max(pool - good - place, 0), pool - place)
        return product

    recall = [
        sum(1 - later(good, at) for good in num_right) / len(num_right) for at in range(pool + 1)
    ]
    assert chance_recall(right, pool, k) == pytest.approx(float(recall[min(k, pool)]), abs=1e-9)
    ranks = [sum(later(good, at) for at in range(pool)) for good in num_right]
    assert chance_mean_rank(right, pool) == pytest.approx(float(sum(ranks) / len(ranks)))
    at = int(chance_median_rank(right, pool))
    assert recall[at - 1] <= Fraction(1, 2) + Fraction(1, 10**9)
    assert recall[at] >= Fraction(1, 2) - Fraction(1, 10**9)
