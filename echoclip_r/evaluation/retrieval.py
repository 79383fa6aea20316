"""Retrieval of whole reports, and what the reports at rank 1 say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.evaluation.agreement import agreement, families, is_number, top_candidates
from echoclip_r.evaluation.outcomes import Dataset, Outcome
from echoclip_r.evaluation.tasks import Tasks
from echoclip_r.metrics.bootstrap import Figure, Weights, bootstrap, mean
from echoclip_r.metrics.retrieval import RECALL_AT, Retrieval, retrieval, text_ids
from echoclip_r.metrics.scores import Scores

__all__ = ["WAYS", "Floats", "Texts", "judge_retrieval"]


Floats = NDArray[np.float64]


Texts = Callable[[list[str]], NDArray[np.float32]]
"""Texts to unit embeddings (N, D)."""


WAYS = ("video_to_report", "report_to_video")


def judge_retrieval(
    tasks: Tasks, embed_texts: Texts, dataset: Dataset, model: str, options: Mapping[str, int]
) -> list[Outcome]:
    """Retrieval both ways, and what the reports at rank 1 say."""
    items = dataset.test
    # One report a study, also where clips are judged one by one.
    pool = np.flatnonzero(~items.rows["study_id"].duplicated().to_numpy())
    texts = list(items.rows["report"].iloc[pool])
    reports = embed_texts(texts)
    of_items, of_pool = text_ids(list(items.rows["report"]), texts)
    patients = items.rows["patient_id"].to_numpy()
    found = retrieval(
        items.embeddings,
        reports,
        video_text=of_items,
        report_text=of_pool,
        video_patients=patients,
        report_patients=patients[pool],
        num_draws=options["num_draws"],
        seed=options["seed"],
    )
    top = top_candidates(items.embeddings, reports)
    table = pd.DataFrame(
        {
            **{name: items.rows[name].to_numpy() for name in ("study_id", "patient_id", "key")},
            "rank_of_report": found.video_to_report.ranks,
            "study_at_rank_1": items.rows["study_id"].to_numpy()[pool][top],
        }
    )
    back = pd.Series(found.report_to_video.ranks, index=pool)
    table["rank_of_video"] = back.reindex(range(len(items.rows))).astype("Int64")
    about = {
        "num_videos": len(items.rows),
        "num_reports": len(pool),
        "num_different_reports": len(np.unique(of_pool)),
    }
    common = {"family": "", "model": model, "dataset": dataset.name}
    outcomes = [
        Outcome(
            section="retrieval",
            task="retrieval",
            title="Retrieval of whole reports",
            scores=_retrieval_scores(found, patients, patients[pool], options),
            items=table,
            about=about,
            **common,
        )
    ]
    if families(tasks.findings) or any(map(is_number, tasks.findings)):
        scores = agreement(
            items.said,
            items.said[pool][top],
            tasks.findings,
            patients,
            pool_values=items.said[pool],
            **options,
        )
        outcomes.append(
            Outcome(
                section="agreement",
                task="agreement",
                title="Clinical agreement of the report at rank 1",
                scores=scores,
                items=pd.DataFrame(index=range(len(items.rows))),
                about={"labels": "phrases in the reports"},
                **common,
            )
        )
    return outcomes


def _retrieval_scores(
    found: Retrieval,
    video_patients: NDArray[np.object_],
    report_patients: NDArray[np.object_],
    options: Mapping[str, int],
) -> Scores:
    """The figures of `retrieval` by name, with their draws, so that models can be compared."""
    directions = (found.video_to_report, found.report_to_video)
    figures: dict[str, Figure] = {"mcmrr": found.mcmrr}
    columns = []
    for way, direction in zip(WAYS, directions, strict=True):
        figures[f"mean_rank:{way}"] = direction.mean_rank
        columns.append(
            np.stack([direction.ranks, *(direction.ranks <= k for k in RECALL_AT)], axis=1)
        )
        figures |= {f"recall_at_{k}:{way}": direction.recall[k] for k in RECALL_AT}
    num_videos = len(video_patients)

    def means(weights: Weights) -> Floats:
        return np.concatenate(
            [
                mean(columns[0], weights[:, :num_videos]),
                mean(columns[1], weights[:, num_videos:]),
            ],
            axis=1,
        )

    patients = np.concatenate([video_patients, report_patients])
    drawn = bootstrap(means, patients, **options)
    names = list(figures)[1:]
    draws = dict(zip(names, drawn.T, strict=True))
    draws["mcmrr"] = (draws[f"mean_rank:{WAYS[0]}"] + draws[f"mean_rank:{WAYS[1]}"]) / 2
    for way, direction in zip(WAYS, directions, strict=True):
        figures[f"median_rank:{way}"] = direction.median_rank
    return Scores(
        figures=figures,
        draws=draws,
        num_items=num_videos,
        num_patients=len(np.unique(video_patients)),
    )
