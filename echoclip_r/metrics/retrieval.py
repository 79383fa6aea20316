"""Retrieval metrics that do not flatter (I11).

    video and report embeddings -> retrieval_ranks -> the rank of the right answer, both ways
                                -> retrieval       -> figures with chance level and interval

The right answers to a query are all candidates with its text: reports from templates repeat, and
whoever finds the same words has found the report. A wrong candidate that scores as high as the best
right one counts as before it, so a model that gives everything the same embedding comes out last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echoclip_r.metrics.bootstrap import (
    NUM_DRAWS,
    Figure,
    bootstrap,
    interval,
    mean,
    median,
)
from echoclip_r.metrics.chance import chance_mean_rank, chance_median_rank, chance_recall
from echoclip_r.metrics.ranks import Embeddings, Ids, retrieval_ranks

__all__ = ["Direction", "Retrieval", "retrieval", "retrieval_ranks", "text_ids"]

Floats = npt.NDArray[np.float64]

RECALL_AT = (1, 5, 10, 50)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Direction:
    """Retrieval one way.

    Attributes:
        ranks: of the best right answer to each query, from 1, int64 (num_queries,).
        num_queries: queries.
        num_candidates: the pool.
        num_patients: patients among the queries; they are what is resampled.
        mean_rank: 1 is best.
        median_rank: 1 is best.
        recall: share of queries whose rank is at most k, by k.
    """

    ranks: Ids
    num_queries: int
    num_candidates: int
    num_patients: int
    mean_rank: Figure
    median_rank: Figure
    recall: Mapping[int, Figure]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retrieval:
    """Retrieval both ways.

    Attributes:
        video_to_report: reports found for a video.
        report_to_video: videos found for a report.
        mcmrr: mean of the two mean ranks, the figure that the method was published with.
    """

    video_to_report: Direction
    report_to_video: Direction
    mcmrr: Figure


def text_ids(*groups: Sequence[str]) -> list[Ids]:
    """Number texts so that equal ones share a number, across groups.

    Example:
        >>> text_ids(["a", "b"], ["b", "b", "c"])
        [array([0, 1]), array([1, 1, 2])]
    """
    numbers: dict[str, int] = {}
    return [
        np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)
        for texts in groups
    ]


def retrieval(
    videos: Embeddings,
    reports: Embeddings,
    *,
    video_text: Ids,
    report_text: Ids,
    video_patients: Sequence[object] | npt.NDArray[np.generic],
    report_patients: Sequence[object] | npt.NDArray[np.generic],
    recall_at: Sequence[int] = RECALL_AT,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> Retrieval:
    """Retrieval figures both ways, each with its chance level and 95 % bootstrap interval.

    The query patients are resampled, the same ones in both directions, and the pool is kept.

    Args:
        videos: embeddings of clips or studies, (N, D).
        reports: embeddings, (M, D).
        video_text: number of each video's report text, (N,), see `text_ids`.
        report_text: number of each report's text, (M,).
        video_patients: whose each video is, length N.
        report_patients: whose each report is, length M.
        recall_at: ranks that recall is counted at.
        num_draws: bootstrap resamples.
        seed: of the resamples.

    Raises:
        ValueError: as `retrieval_ranks`, or the patients are not as many as the embeddings.
    """
    ranks = retrieval_ranks(videos, reports, video_text=video_text, report_text=report_text)
    patients = (np.asarray(video_patients), np.asarray(report_patients))
    for what, whose, rank in zip(("video", "report"), patients, ranks, strict=True):
        if whose.shape != rank.shape:
            raise ValueError(f"{len(rank):,} {what}s need as many patients, not {whose.shape}")
    num_videos = len(ranks[0])
    columns = [
        np.stack([rank, *(rank <= k for k in recall_at)], axis=1).astype(np.float64)
        for rank in ranks
    ]

    def figures(weights: Floats) -> Floats:
        """Both ways: mean rank, recalls, median rank; then MCMRR. (B, 2 * (2 + k) + 1)."""
        parts = (weights[:, :num_videos], weights[:, num_videos:])
        found = [
            np.column_stack([mean(column, part), median(rank, part)])
            for column, rank, part in zip(columns, ranks, parts, strict=True)
        ]
        return np.column_stack([*found, (found[0][:, 0] + found[1][:, 0]) / 2])

    values = figures(np.ones((1, sum(map(len, ranks)))))[0]
    drawn = bootstrap(figures, np.concatenate(patients), num_draws=num_draws, seed=seed)
    pools = (report_text, video_text)
    directions: list[Direction] = []
    width = len(recall_at) + 2
    for which, (rank, ids) in enumerate(zip(ranks, (video_text, report_text), strict=True)):
        pool = pools[which]
        sizes = _pool_sizes(ids, pool)
        chances = [
            chance_mean_rank(sizes, len(pool)),
            *(chance_recall(sizes, len(pool), k) for k in recall_at),
            chance_median_rank(sizes, len(pool)),
        ]
        own = slice(which * width, (which + 1) * width)
        shown = [
            _figure(value, column, chance)
            for value, column, chance in zip(values[own], drawn[:, own].T, chances, strict=True)
        ]
        directions.append(
            Direction(
                ranks=rank,
                num_queries=len(rank),
                num_candidates=len(pool),
                num_patients=len(np.unique(patients[which])),
                mean_rank=shown[0],
                median_rank=shown[-1],
                recall=dict(zip(recall_at, shown[1:-1], strict=True)),
            )
        )
    first, second = directions
    chance = (first.mean_rank.chance + second.mean_rank.chance) / 2
    return Retrieval(
        video_to_report=first,
        report_to_video=second,
        mcmrr=_figure(values[-1], drawn[:, -1], chance),
    )


def _pool_sizes(ids: Ids, pool: Ids) -> Ids:
    """How many right answers the queries have in the pool, in an order of its own."""
    known, counts = np.unique(pool, return_counts=True)
    return np.sort(counts[np.searchsorted(known, ids)]).astype(np.int64)


def _figure(value: float, drawn: Floats, chance: float) -> Figure:
    low, high = interval(drawn)
    return Figure(value=float(value), low=low, high=high, chance=chance)
