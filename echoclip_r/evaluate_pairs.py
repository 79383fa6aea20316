"""Retrieval, clinical agreement, patient identification and change over time on a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.agreement import agreement, families, is_number, top_candidates
from echoclip_r.bootstrap import Weights, bootstrap, mean
from echoclip_r.change import change_scores, follow
from echoclip_r.errors import EvaluationError
from echoclip_r.identification import KINDS, find_pairs, identification_scores
from echoclip_r.metrics import RECALL_AT, Figure, Retrieval, retrieval, text_ids
from echoclip_r.outcomes import Dataset, Outcome, Skipped
from echoclip_r.scores import Scores
from echoclip_r.task_types import Event, Tasks

__all__ = ["run_pairs"]

Floats = NDArray[np.float64]
Texts = Callable[[list[str]], NDArray[np.float32]]
"""Texts to unit embeddings (N, D)."""

WAYS = ("video_to_report", "report_to_video")


def run_pairs(
    tasks: Tasks,
    embed_texts: Texts,
    dataset: Dataset,
    *,
    model: str,
    events: Mapping[str, Mapping[str, str]] | None,
    num_draws: int,
    seed: int,
) -> tuple[list[Outcome], list[Skipped]]:
    """Run all that compares items with each other or with reports.

    Args:
        tasks: findings and events.
        embed_texts: the model's.
        dataset: its test part is used.
        model: its name.
        events: dates of events by event and patient, in place of the manifest's columns.
        num_draws: of the bootstrap.
        seed: of the bootstrap and of the pairs of different patients.
    """
    options = {"num_draws": num_draws, "seed": seed}
    outcomes = _retrieval(tasks, embed_texts, dataset, model, options)
    skipped: list[Skipped] = []
    runs: list[tuple[str, str, str, Callable[[], Outcome]]] = [
        (
            "identification",
            "identification",
            "Patient identification",
            lambda: _identification(dataset, model, options),
        ),
        *(
            (
                "change",
                event.name,
                event.title,
                _follower(event, tasks, dataset, model, events, options),
            )
            for event in tasks.events
        ),
    ]
    for section, name, title, run in runs:
        try:
            outcomes.append(run())
        except EvaluationError as error:
            skipped.append(
                Skipped(
                    section="change" if section == "change" else "identification",
                    task=name,
                    title=title,
                    dataset=dataset.name,
                    reason=str(error),
                )
            )
    return outcomes, skipped


def _retrieval(
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


def _identification(dataset: Dataset, model: str, options: Mapping[str, int]) -> Outcome:
    pairs = find_pairs(dataset.test.embedded, seed=options["seed"])
    counts = {kind: int((pairs.table["kind"] == kind).sum()) for kind in KINDS}
    for kind, why in ((KINDS[1], "no patient has two studies"), (KINDS[2], "there is one patient")):
        if not counts[kind]:
            raise EvaluationError(f"{why}, so there are no pairs of {kind!r}")
    return Outcome(
        section="identification",
        task="identification",
        title="Patient identification",
        family="",
        model=model,
        dataset=dataset.name,
        scores=identification_scores(pairs, **options),
        items=pairs.table,
        about={"num_pairs": counts, "same_study": pairs.same_study},
    )


def _follower(
    event: Event,
    tasks: Tasks,
    dataset: Dataset,
    model: str,
    events: Mapping[str, Mapping[str, str]] | None,
    options: Mapping[str, int],
) -> Callable[[], Outcome]:
    def run() -> Outcome:
        studies, embeddings = dataset.test.embedded.studies()
        dates = None if events is None else events.get(event.name, {})
        columns = [name for name in event.columns if name in studies]
        if dates is None and not columns:
            raise EvaluationError(
                f"no label column {' or '.join(map(repr, event.columns))}, and no file of events"
            )
        others = [name for other in tasks.events if other != event for name in other.columns]
        table = follow(studies, embeddings, since=event.columns, dates=dates, others=others)
        scores = change_scores(table, **options)
        return Outcome(
            section="change",
            task=event.name,
            title=event.title,
            family="",
            model=model,
            dataset=dataset.name,
            scores=scores,
            items=table,
            about={
                "labels": "file of events" if dates is not None else f"label column {columns[0]!r}",
                "num_comparisons": {
                    str(when): int(count)
                    for when, count in table["when"].value_counts().sort_index().items()
                },
                "num_patients_with_event": int(
                    table.loc[table["when"] == "after", "patient_id"].nunique()
                ),
            },
        )

    return run
