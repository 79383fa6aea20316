"""Retrieval figures: those of the ranks, both ways, with chance and a paired bootstrap."""

import numpy as np
import pytest

from echoclip_r.metrics.bootstrap import Resampling, resample_weights
from echoclip_r.metrics.retrieval import RECALL_AT, WAYS, retrieval

NUM = 300
PATIENTS = np.arange(NUM) // 3


def found(order=None, *, num_draws=100):
    """Retrieval among random pairs, some of which have the same text; items in another order."""
    generator = np.random.default_rng(0)
    videos = generator.standard_normal((NUM, 16))
    reports = videos + 3 * generator.standard_normal(videos.shape)
    order = np.arange(NUM) if order is None else order
    text = np.arange(NUM) // 2 * 2 if num_draws == 20 else np.arange(NUM)
    return retrieval(
        videos[order],
        reports[order],
        video_text=text[order],
        report_text=text[order],
        video_patients=PATIENTS[order],
        report_patients=PATIENTS[order],
        resampling=Resampling(num_draws=num_draws),
    )


def test_figures_are_those_of_the_ranks():
    """Mean, median, recall and MCMRR as numpy has them; n, patients and chance are said."""
    one = found()
    figures = one.scores.figures
    assert (one.scores.num_items, one.scores.num_patients) == (300, 100)
    for way in WAYS:
        ranks = one.ranks[way]
        mean, median = figures[f"mean_rank:{way}"], figures[f"median_rank:{way}"]
        assert mean.value == pytest.approx(ranks.mean())
        assert mean.low < mean.value < mean.high
        assert median.value == np.median(ranks)
        assert mean.chance == 150.5
        for k in RECALL_AT:
            recall = figures[f"recall_at_{k}:{way}"]
            assert recall.value == pytest.approx((ranks <= k).mean())
            assert recall.chance == pytest.approx(k / 300)
            assert recall.low <= recall.value <= recall.high
    both = sum(ranks.mean() for ranks in one.ranks.values())
    assert figures["mcmrr"].value == pytest.approx(both / 2)
    assert figures["mcmrr"].low < figures["mcmrr"].value < figures["mcmrr"].high


def test_draws_are_those_of_the_query_patients():
    """Each draw's figure is that of the queries written out as often as their patient was drawn."""
    one = found(num_draws=30)
    weights = np.concatenate(list(resample_weights(PATIENTS, Resampling(num_draws=30))))
    first, second = (one.ranks[way] for way in WAYS)
    for draw, times in enumerate(weights.astype(int)):
        means = [np.repeat(ranks, times).mean() for ranks in (first, second)]
        assert one.scores.draws["mcmrr"][draw] == pytest.approx(np.mean(means))
        median = np.median(np.repeat(second, times))
        assert one.scores.draws["median_rank:report_to_video"][draw] == median


def test_the_order_of_items_changes_no_figure():
    """Items permuted, with texts that are there twice: the same values and intervals."""
    order = np.random.default_rng(1).permutation(NUM)
    plain, mixed = found(num_draws=20).scores, found(order, num_draws=20).scores
    assert mixed.figures.keys() == plain.figures.keys()
    for name, figure in plain.figures.items():
        other = mixed.figures[name]
        assert (other.value, other.chance) == pytest.approx((figure.value, figure.chance))
        assert (other.low, other.high) == pytest.approx((figure.low, figure.high), abs=1e-12)


def test_as_many_patients_as_embeddings():
    """A patient for each video and each report."""
    one = np.eye(3)
    with pytest.raises(ValueError, match=r"3 reports need as many patients, not \(2,\)"):
        retrieval(
            one,
            one,
            video_text=np.arange(3),
            report_text=np.arange(3),
            video_patients=[1, 2, 3],
            report_patients=[1, 2],
        )
