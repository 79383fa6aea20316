"""Retrieval of whole reports: every video against every report, both ways."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.evaluation.outcomes import Judgement
from echoclip_r.evaluation.trial import Trial
from echoclip_r.metrics.retrieval import retrieval
from echoclip_r.text.equality import report_ids

__all__ = ["judge_retrieval", "top_reports"]

_PAIRS_AT_ONCE = 1 << 24  # 64 MB of cosines


def judge_retrieval(trial: Trial) -> Judgement:
    """Judge at which rank a video's right report is found, and a report's right video."""
    items, pool = trial.test, trial.test.pool
    texts = list(items.rows["report"])
    of_items, of_pool = report_ids(texts, [texts[place] for place in pool])
    patients = items.rows["patient_id"].to_numpy()
    found = trial.compute(
        retrieval,
        items.embeddings,
        trial.reports,
        video_text=of_items,
        report_text=of_pool,
        video_patients=patients,
        report_patients=patients[pool],
        resampling=trial.resampling,
    )
    top = pool[top_reports(items.embeddings, trial.reports)]
    table = pd.DataFrame(
        {
            **{name: items.rows[name].to_numpy() for name in ("study_id", "patient_id", "key")},
            "rank_of_report": found.ranks["video_to_report"],
            "study_at_rank_1": items.rows["study_id"].to_numpy()[top],
        }
    )
    back = pd.Series(found.ranks["report_to_video"], index=pool)
    table["rank_of_video"] = back.reindex(range(len(items.rows))).astype("Int64")
    return Judgement(
        scores=found.scores,
        items=table,
        about={
            "num_videos": len(items.rows),
            "num_reports": len(pool),
            "num_different_reports": len(np.unique(of_pool)),
        },
    )


def top_reports(videos: NDArray[np.floating], reports: NDArray[np.floating]) -> NDArray[np.int64]:
    """The report with the highest cosine for each video; among equal reports the first.

    Args:
        videos: unit rows (N, D).
        reports: unit rows (M, D).

    Returns:
        Row numbers in `reports` (N,). Memory stays bounded, whatever N is.
    """
    rows = max(_PAIRS_AT_ONCE // len(reports), 1)
    parts = [
        np.argmax(videos[start : start + rows] @ reports.T, axis=1)
        for start in range(0, len(videos), rows)
    ]
    return np.concatenate(parts).astype(np.int64)
