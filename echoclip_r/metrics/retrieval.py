"""Retrieval metrics that do not flatter (I11).

    video and report embeddings -> retrieval_ranks -> the rank of the right answer, both ways
                                -> retrieval       -> figures with chance level and interval

The right answers to a query are all candidates with the number of its text: reports from templates
repeat, and a model that finds the same words has found the report. The caller decides which texts
are equal. A wrong candidate that scores as high as the best right one counts as ahead of it, so a
model that gives everything the same embedding comes out last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from echoclip_r.metrics.bootstrap import RESAMPLING, Resampling, Weights, mean, median
from echoclip_r.metrics.chance import chance_mean_rank, chance_median_rank, chance_recall
from echoclip_r.metrics.ranks import Embeddings, Ids, retrieval_ranks
from echoclip_r.metrics.scores import Scores, measure

__all__ = ["RECALL_AT", "WAYS", "Retrieval", "retrieval"]

Floats = npt.NDArray[np.float64]

WAYS = ("video_to_report", "report_to_video")
RECALL_AT = (1, 5, 10, 50)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retrieval:
    """Retrieval both ways.

    Attributes:
        ranks: for each way (one of `WAYS`) the rank of the best right answer to each query, from 1,
            int64.
        scores: `mcmrr`, the mean of the two mean ranks, with which the method was published; and
            for each way `mean_rank:WAY`, `median_rank:WAY` and `recall_at_K:WAY`, the share of
            queries whose rank is at most K. Its counts are counts of videos.
    """

    ranks: Mapping[str, Ids]
    scores: Scores


def retrieval(
    videos: Embeddings,
    reports: Embeddings,
    *,
    video_text: Ids,
    report_text: Ids,
    video_patients: Sequence[object] | npt.NDArray[np.generic],
    report_patients: Sequence[object] | npt.NDArray[np.generic],
    resampling: Resampling = RESAMPLING,
) -> Retrieval:
    """Retrieval figures both ways, each with its chance level and 95 % bootstrap interval.

    The query patients are resampled, the same ones in both directions, and the pool is kept.

    Args:
        videos: embeddings of clips or studies, (N, D).
        reports: embeddings, (M, D).
        video_text: number of each video's report text, (N,); equal texts have one number.
        report_text: number of each report's text, (M,).
        video_patients: the patient of each video, length N.
        report_patients: the patient of each report, length M.
        resampling: how patients are drawn.

    Raises:
        ValueError: `retrieval_ranks` refuses the embeddings, or the number of patients is wrong.
    """
    ranks = retrieval_ranks(videos, reports, video_text=video_text, report_text=report_text)
    patients = (np.asarray(video_patients), np.asarray(report_patients))
    for what, whose, rank in zip(("video", "report"), patients, ranks, strict=True):
        if whose.shape != rank.shape:
            raise ValueError(f"{len(rank):,} {what}s need as many patients, not {whose.shape}")
    num_videos = len(ranks[0])
    queries = (slice(None, num_videos), slice(num_videos, None))

    def mcmrr(weights: Weights) -> Floats:
        first, second = (
            mean(rank, weights[:, part]) for rank, part in zip(ranks, queries, strict=True)
        )
        return (first + second) / 2

    figures: dict[str, Callable[[Weights], Floats]] = {"mcmrr": mcmrr}
    medians: dict[str, Callable[[Weights], Floats]] = {}
    chance: dict[str, float] = {}
    texts = (video_text, report_text)
    for way, rank, part, own, pool in zip(WAYS, ranks, queries, texts, texts[::-1], strict=True):
        sizes, num = _num_right(own, pool), len(pool)
        figures[f"mean_rank:{way}"] = partial(_of_part, mean, rank, part)
        chance[f"mean_rank:{way}"] = chance_mean_rank(sizes, num)
        for k in RECALL_AT:
            figures[f"recall_at_{k}:{way}"] = partial(_of_part, mean, rank <= k, part)
            chance[f"recall_at_{k}:{way}"] = chance_recall(sizes, num, k)
        medians[f"median_rank:{way}"] = partial(_of_part, median, rank, part)
        chance[f"median_rank:{way}"] = chance_median_rank(sizes, num)
    chance["mcmrr"] = (chance[f"mean_rank:{WAYS[0]}"] + chance[f"mean_rank:{WAYS[1]}"]) / 2
    scores = measure(
        figures | medians, np.concatenate(patients), chance=chance, resampling=resampling
    )
    return Retrieval(
        ranks=dict(zip(WAYS, ranks, strict=True)),
        scores=replace(scores, num_items=num_videos, num_patients=len(np.unique(patients[0]))),
    )


def _of_part(
    figure: Callable[[npt.ArrayLike, Weights], Floats],
    values: npt.ArrayLike,
    part: slice,
    weights: Weights,
) -> Floats:
    """A figure of the queries of one way, which are a part of all that are weighed."""
    return figure(values, weights[:, part])


def _num_right(ids: Ids, pool: Ids) -> Ids:
    """How many right answers the queries have in the pool, in an order of its own."""
    known, counts = np.unique(pool, return_counts=True)
    return np.sort(counts[np.searchsorted(known, ids)]).astype(np.int64)
