"""Retrieval ranks and figures: equal to a naive oracle, duplicates right, ties against us."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from echoclip_r.metrics.bootstrap import (
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
from echoclip_r.metrics.chance import chance_mean_rank, chance_median_rank, chance_recall
from echoclip_r.metrics.retrieval import retrieval, retrieval_ranks, text_ids

# Vectors of length 2, in whole numbers: their cosines are exact, and they tie all the time.
VECTORS = [(2, 0, 0, 0), (0, -2, 0, 0), (1, 1, 1, 1), (1, -1, 1, -1), (1, 1, -1, -1), (-1, 1, 1, 1)]


def naive_rank(query, right, pool):
    """One plus the wrong candidates that are at least as good as the best right one."""
    scores = [sum(a * b for a, b in zip(query, candidate, strict=True)) for candidate in pool]
    best = max(score for score, good in zip(scores, right, strict=True) if good)
    return 1 + sum(score >= best for score, good in zip(scores, right, strict=True) if not good)


@st.composite
def archives(draw):
    """Videos and reports on few vectors with few texts; every text is on both sides."""
    texts = draw(st.lists(st.integers(0, 5), min_size=1, max_size=12))
    more = draw(st.lists(st.sampled_from(texts), max_size=6))
    reports = draw(st.permutations(texts + more))
    vectors = st.sampled_from(VECTORS)
    videos_at = draw(st.lists(vectors, min_size=len(texts), max_size=len(texts)))
    reports_at = draw(st.lists(vectors, min_size=len(reports), max_size=len(reports)))
    return videos_at, texts, reports_at, reports


@settings(deadline=None, max_examples=150)
@given(archives(), st.sampled_from([np.float32, np.float64]))
def test_ranks_equal_a_naive_oracle(archive, dtype):
    """On any mixture of duplicates and ties, both ways."""
    videos, video_text, reports, report_text = archive
    expected = (
        [
            naive_rank(video, [text == other for other in report_text], reports)
            for video, text in zip(videos, video_text, strict=True)
        ],
        [
            naive_rank(report, [text == other for other in video_text], videos)
            for report, text in zip(reports, report_text, strict=True)
        ],
    )
    found = retrieval_ranks(
        np.array(videos, dtype),
        np.array(reports, dtype),
        video_text=np.array(video_text),
        report_text=np.array(report_text),
    )
    assert [ranks.tolist() for ranks in found] == list(expected)


@settings(deadline=None, max_examples=60)
@given(archives(), st.randoms(use_true_random=False))
def test_the_order_of_items_changes_nothing(archive, random):
    """Videos and reports permuted: each keeps its rank, every figure its value and interval."""
    videos, video_text, reports, report_text = archive
    rows, columns = list(range(len(videos))), list(range(len(reports)))
    random.shuffle(rows)
    random.shuffle(columns)

    def measure(row, column):
        return retrieval(
            np.array(videos, float)[row],
            np.array(reports, float)[column],
            video_text=np.array(video_text)[row],
            report_text=np.array(report_text)[column],
            video_patients=np.array(video_text)[row],
            report_patients=np.array(report_text)[column],
            num_draws=20,
        )

    plain = measure(list(range(len(videos))), list(range(len(reports))))
    mixed = measure(rows, columns)
    for before, after, order in (
        (plain.video_to_report, mixed.video_to_report, rows),
        (plain.report_to_video, mixed.report_to_video, columns),
    ):
        assert after.ranks.tolist() == before.ranks[order].tolist()
        assert after.recall == before.recall
        assert after.median_rank == before.median_rank
        assert (after.mean_rank.low, after.mean_rank.high) == pytest.approx(
            (before.mean_rank.low, before.mean_rank.high), abs=1e-12
        )


def random_archive(num, dims, *, seed=0, noise=3.0, dtype=np.float32):
    generator = np.random.default_rng(seed)
    videos = generator.standard_normal((num, dims))
    reports = videos + noise * generator.standard_normal((num, dims))
    return videos.astype(dtype), reports.astype(dtype)


def test_blocks_and_float32_change_nothing():
    """More rows and columns than fit one block, many duplicates, near ties: as in exact numbers."""
    videos, reports = random_archive(700, 40)
    reports = np.concatenate([reports] * 7)
    near = np.float32(1) + np.float32(1e-7) * np.arange(40, dtype=np.float32)
    reports[4000:4200] = reports[:200] * near  # equal but for the last bit or so
    numbers = np.random.default_rng(1).integers(0, 300, 700)
    report_text = np.concatenate([numbers] * 7)
    found = retrieval_ranks(videos, reports, video_text=numbers, report_text=report_text)

    def grid(rows):
        rows = rows.astype(float)
        norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        return np.rint(rows * (2.0**25 / norms)).astype(np.int64)

    scores = grid(videos) @ grid(reports).T
    right = numbers[:, None] == report_text
    for axis, ranks in ((1, found[0]), (0, found[1])):
        best = np.where(right, scores, -(2**62)).max(axis=axis, keepdims=True)
        assert ranks.tolist() == (1 + ((scores >= best) & ~right).sum(axis=axis)).tolist()


def test_a_model_that_says_the_same_of_everything_comes_last():
    """Ties count against it, however the sums are rounded; only duplicates save a query."""
    generator = np.random.default_rng(0)
    one = generator.standard_normal(512).astype(np.float32)
    pool = np.tile(one, (1000, 1))
    text = np.arange(1000)
    text[:10] = 0
    first, second = retrieval_ranks(pool, pool, video_text=text, report_text=text)
    assert first.tolist() == second.tolist() == [991] * 10 + [1000] * 990


def test_identical_reports_are_right_answers():
    """The second video's own report is last, but one with the same words is first."""
    videos = np.eye(3)
    reports = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], float)
    video_text, report_text = text_ids(["a", "b", "b"], ["a", "b", "b"])
    ranks, _ = retrieval_ranks(videos, reports, video_text=video_text, report_text=report_text)
    assert ranks.tolist() == [1, 1, 1]
    ranks, _ = retrieval_ranks(videos, reports, video_text=np.arange(3), report_text=np.arange(3))
    assert ranks.tolist() == [1, 3, 3]


def test_figures_are_those_of_the_ranks():
    """Mean, median, recall and MCMRR as numpy has them; n, pool and patients are said."""
    videos, reports = random_archive(300, 16)
    text, patients = np.arange(300), np.arange(300) // 3
    found = retrieval(
        videos,
        reports,
        video_text=text,
        report_text=text,
        video_patients=patients,
        report_patients=patients,
        num_draws=100,
    )
    for way in (found.video_to_report, found.report_to_video):
        assert (way.num_queries, way.num_candidates, way.num_patients) == (300, 300, 100)
        assert way.mean_rank.value == pytest.approx(way.ranks.mean())
        assert way.median_rank.value == np.median(way.ranks)
        assert way.mean_rank.chance == 150.5
        assert list(way.recall) == [1, 5, 10, 50]
        for k, figure in way.recall.items():
            assert figure.value == pytest.approx((way.ranks <= k).mean())
            assert figure.chance == pytest.approx(k / 300)
            assert figure.low <= figure.value <= figure.high
        assert way.mean_rank.low < way.mean_rank.value < way.mean_rank.high
    both = found.video_to_report.ranks.mean() + found.report_to_video.ranks.mean()
    assert found.mcmrr.value == pytest.approx(both / 2)
    assert found.mcmrr.low < found.mcmrr.value < found.mcmrr.high


def test_open_clip_has_the_same_numbers_where_nothing_ties():
    """Its own metric on pairs without duplicates."""
    torch = pytest.importorskip("torch")
    from open_clip_train.train import get_clip_metrics

    videos, reports = random_archive(400, 32, dtype=np.float64)
    videos /= np.linalg.norm(videos, axis=1, keepdims=True)
    reports /= np.linalg.norm(reports, axis=1, keepdims=True)
    theirs = get_clip_metrics(torch.from_numpy(videos), torch.from_numpy(reports), torch.tensor(1))
    number = np.arange(400)
    ranks = retrieval_ranks(videos, reports, video_text=number, report_text=number)
    for name, rank in zip(("image_to_text", "text_to_image"), ranks, strict=True):
        assert theirs[f"{name}_mean_rank"] == rank.mean()
        assert theirs[f"{name}_median_rank"] == np.floor(np.median(rank))
        for k in (1, 5, 10):
            assert theirs[f"{name}_R@{k}"] == (rank <= k).mean()


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_broken_embeddings_are_refused(value):
    """NaN, infinity, and a row of zeros, with the row and what it means."""
    good, bad = np.ones((3, 2)), np.ones((3, 2))
    bad[1] = value
    ids = np.arange(3)
    with pytest.raises(ValueError, match=r"1 report embeddings are .*, the first in row 1: the mo"):
        retrieval_ranks(good, bad, video_text=ids, report_text=ids)


@pytest.mark.parametrize(
    ("videos", "reports", "video_text", "report_text", "message"),
    [
        ((2, 3), (2, 4), [0, 1], [0, 1], "3 dimensions and reports 4: they are not of one model"),
        ((2, 3), (2, 3), [0, 1], [0, 2], "video 1 has no right answer in the pool"),
        ((2, 3), (3, 3), [0, 1], [0, 1, 2], "report 2 has no right answer in the pool"),
        ((2, 3), (2, 3), [0], [0, 1], r"2 videos need as many text numbers, not \(1,\)"),
        ((0, 3), (2, 3), [], [0, 1], r"must be \(number, dimensions\), not \(0, 3\)"),
    ],
)
def test_wrong_input_is_explained(videos, reports, video_text, report_text, message):
    """Which rule, where, and what to do."""
    with pytest.raises(ValueError, match=message):
        retrieval_ranks(
            np.ones(videos),
            np.ones(reports),
            video_text=np.array(video_text, int),
            report_text=np.array(report_text, int),
        )


# Chance


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


# Bootstrap


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
    weights = np.concatenate(list(resample_weights(patients, num_draws=500, seed=3)))
    assert weights.shape == (500, 6)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert 0.9 < weights[:, 3].mean() < 1.1
    again = np.concatenate(list(resample_weights(patients, num_draws=500, seed=3)))
    assert (weights == again).all()
    order = [3, 5, 0, 1, 4, 2]
    moved = np.concatenate(list(resample_weights(patients[order], num_draws=500, seed=3)))
    assert (moved == weights[:, order]).all()


def test_the_interval_holds_what_it_should():
    """In about 95 of 100 samples the true mean lies in it, also where patients repeat."""
    generator = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 3)
    inside = 0
    for seed in range(200):
        values = np.repeat(generator.normal(size=60), 3) + 0.3 * generator.normal(size=180)
        found = estimate(lambda w, v=values: mean(v, w), patients, num_draws=300, seed=seed)
        inside += found.low <= 0 <= found.high
    assert 180 <= inside <= 198


def test_a_figure_that_no_resample_has_is_nan():
    """One class only has no AUC, and the interval says so instead of failing."""
    found = estimate(lambda w: area_under_roc([1, 1], [0.1, 0.2], w), ["a", "b"], num_draws=10)
    assert np.isnan([found.value, found.low, found.high]).all()
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_columns_are_bootstrapped_together():
    """A figure may have several values: they come from the same resamples."""
    values = np.arange(10.0)
    drawn = bootstrap(
        lambda w: mean(np.stack([values, 2 * values], axis=1), w), list(range(10)), num_draws=50
    )
    assert drawn.shape == (50, 2)
    assert drawn[:, 1] == pytest.approx(2 * drawn[:, 0])


def test_bad_bootstrap_input_is_refused():
    """No items, no draws, scores that are none."""
    with pytest.raises(ValueError, match="0 items and 1000 draws: a bootstrap needs"):
        list(resample_weights([]))
    with pytest.raises(ValueError, match="every score must be a number"):
        area_under_roc([True, False], [0.1, np.nan], np.ones((1, 2)))
