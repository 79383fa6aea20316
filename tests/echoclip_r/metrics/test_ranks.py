"""Ranks: equal to a naive oracle, duplicates right, ties against us."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echoclip_r.metrics.ranks import retrieval_ranks

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
    """Videos and reports permuted: each keeps its rank."""
    videos, video_text, reports, report_text = archive
    rows, columns = list(range(len(videos))), list(range(len(reports)))
    random.shuffle(rows)
    random.shuffle(columns)

    def ranks(row, column):
        return retrieval_ranks(
            np.array(videos, float)[row],
            np.array(reports, float)[column],
            video_text=np.array(video_text)[row],
            report_text=np.array(report_text)[column],
        )

    plain = ranks(list(range(len(videos))), list(range(len(reports))))
    for before, after, order in zip(plain, ranks(rows, columns), (rows, columns), strict=True):
        assert after.tolist() == before[order].tolist()


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
    video_text, report_text = np.array([0, 1, 1]), np.array([0, 1, 1])
    ranks, _ = retrieval_ranks(videos, reports, video_text=video_text, report_text=report_text)
    assert ranks.tolist() == [1, 1, 1]
    ranks, _ = retrieval_ranks(videos, reports, video_text=np.arange(3), report_text=np.arange(3))
    assert ranks.tolist() == [1, 3, 3]


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
        ((2, 3), (2, 4), [0, 1], [0, 1], "3 dimensions and reports 4: they were not embedded"),
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
