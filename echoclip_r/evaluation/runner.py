"""Judge trained models on all the tasks that the method was published with.

    checkpoints, shards -> embeddings -> outcomes (zero-shot, retrieval, patients, change)
                        -> OUT/metrics.json, predictions/*.csv, plots/*.png and .svg, report.html

Every model sees the same items and the same draws of patients, so that their differences are
paired. Thresholds, calibration and the median guess come from the validation split, figures from
the test split; of an external data set, which no model was trained on, all splits are tested and
thresholds come from the internal one.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoclip_r.data.shards import check_splits, read_index
from echoclip_r.embedding.embedder import embed_texts
from echoclip_r.errors import EvaluationError, OptionError
from echoclip_r.evaluation.change import follower
from echoclip_r.evaluation.datasets import describe, load_dataset, load_split, make_shards
from echoclip_r.evaluation.files import write_evaluation
from echoclip_r.evaluation.identification import identification
from echoclip_r.evaluation.outcomes import Comparison, Dataset, Evaluation, Outcome, Skipped
from echoclip_r.evaluation.retrieval import Texts, judge_retrieval
from echoclip_r.evaluation.tasks import Tasks, read_tasks
from echoclip_r.evaluation.verdicts import too_few
from echoclip_r.evaluation.zero_shot import prompt_texts, run_zero_shot
from echoclip_r.metrics.bootstrap import NUM_DRAWS
from echoclip_r.metrics.scores import Operating, difference
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.model.trained import TrainedModel

__all__ = ["compare", "evaluate", "evaluate_model", "run_pairs"]

_log = logging.getLogger(__name__)

KEY_FIGURES = {
    "regression": ("mae", "pearson"),
    "binary": ("auc", "auc:contrast"),
    "retrieval": ("mcmrr", "recall_at_10:video_to_report", "recall_at_10:report_to_video"),
    "agreement": ("f1",),
    "identification": ("auc",),
    "change": ("auc",),
}
"""What models are compared by."""


def evaluate(
    checkpoints: Sequence[Path | str],
    *,
    out: Path | str,
    shards: Path | str | None = None,
    manifest: Path | str | None = None,
    external: Path | str | None = None,
    tasks: Sequence[Path | str] = (),
    events: Mapping[str, Mapping[str, str]] | None = None,
    unit: str = "study",
    split: str = "test",
    names: Sequence[str] | None = None,
    title: str = "Evaluation",
    note: str = "",
    device: str = "cpu",
    batch_size: int = 256,
    workers: int = 1,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> Evaluation:
    """Evaluate checkpoints and write figures, plots and one report.

    Args:
        checkpoints: checkpoints or runs; the first is the one that others are compared with.
        out: folder for all that is written; embeddings are kept there, so that the same
            evaluation with other tasks is quick.
        shards: from `prepare`; or
        manifest: from which shards are made in `out`, with the split by patient of its column or
            of `seed`.
        external: shards or manifest of another archive, all of which is tested.
        tasks: task files, laid over the default; see `echoclip_r.evaluation.tasks`.
        events: see `echoclip_r.evaluation.change.read_events`; None takes the manifest's columns.
        unit: `study` or `clip`: what one prediction is made for.
        split: of the internal data, `test` or `validation`.
        names: what the models are called, one each; None takes recipe and run.
        title: of the report.
        note: to be printed below it, such as what the data are.
        device: where models compute.
        batch_size: frames at a time.
        workers: processes that make shards.
        num_draws: of the bootstrap.
        seed: of splits, bootstrap and random pairs.

    Raises:
        EvaluationError: nothing to evaluate, or NaN embeddings.
        ShardError: shards cannot be read, or a patient is in two splits (I10).
        ManifestError, CheckpointError: see there.
    """
    if (shards is None) == (manifest is None):
        raise OptionError("give one of shards and manifest")
    if not checkpoints:
        raise OptionError("give at least one checkpoint")
    if split not in ("test", "validation"):
        raise OptionError(f"split is {split!r}; give 'test' or 'validation'")
    if names is not None and len(names) != len(checkpoints):
        raise OptionError(f"{len(checkpoints)} checkpoints have {len(names)} names; give one each")
    out, read = Path(out), read_tasks(*tasks)
    loaded = [load_checkpoint(path, device=device) for path in checkpoints]
    models = _named(loaded, [model.name for model in loaded] if names is None else names)
    size_px = max(model.image_size_px for model in models.values())
    source = shards if shards is not None else manifest
    assert source is not None  # one of them is given
    sources = {"internal": Path(source)}
    if external is not None:
        sources["external"] = Path(external)
    folders = {
        name: make_shards(path, out / f"shards-{name}", size_px=size_px, seed=seed, workers=workers)
        for name, path in sources.items()
    }
    patients = {name: dict(check_splits(read_index(folder))) for name, folder in folders.items()}
    outcomes: list[Outcome] = []
    skipped: dict[tuple[str, str, str], Skipped] = {}
    described: dict[str, Any] = {}
    for name, model in models.items():
        _log.info("evaluating %s", name)
        datasets = [
            load_dataset(
                which,
                partial(
                    load_split,
                    model,
                    folder,
                    kept=out / "embeddings",
                    name=which,
                    batch_size=batch_size,
                ),
                split=split,
                unit=unit,
                findings=read.findings,
            )
            for which, folder in folders.items()
        ]
        described = {dataset.name: describe(dataset) for dataset in datasets}
        found, missed = evaluate_model(
            name,
            datasets,
            partial(embed_texts, model),
            read,
            events=events,
            num_draws=num_draws,
            seed=seed,
        )
        outcomes += found
        skipped |= {(one.section, one.task, one.dataset): one for one in missed}
    evaluation = Evaluation(
        outcomes=tuple(outcomes),
        skipped=tuple(skipped.values()),
        comparisons=tuple(compare(outcomes)),
        facts={
            "title": title,
            "note": note,
            "models": {
                name: {"checkpoint": str(path), "fingerprint": model.fingerprint}
                for (name, model), path in zip(models.items(), checkpoints, strict=True)
            },
            "datasets": {
                name: {"source": str(sources[name]), "patients": patients[name], **facts}
                for name, facts in described.items()
            },
            "tasks": list(read.sources),
            "unit": unit,
            "split": split,
            "num_draws": num_draws,
            "seed": seed,
        },
    )
    write_evaluation(evaluation, read, out)
    return evaluation


def evaluate_model(
    name: str,
    datasets: Sequence[Dataset],
    embed_texts: Callable[[list[str]], NDArray[np.float32]],
    tasks: Tasks,
    *,
    events: Mapping[str, Mapping[str, str]] | None = None,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> tuple[list[Outcome], list[Skipped]]:
    """Run all tasks for one model.

    Args:
        name: the model's.
        datasets: the internal one first: an external one takes its thresholds from there.
        embed_texts: texts to unit embeddings (N, D).
        tasks: what to run.
        events: see `evaluate`.
        num_draws: of the bootstrap.
        seed: of the bootstrap and of random pairs.
    """
    outcomes: list[Outcome] = []
    skipped: list[Skipped] = []
    texts = prompt_texts(tasks)
    prompts = dict(zip(texts, embed_texts(texts), strict=True))
    operating: dict[str, Operating | None] = {}
    for dataset in datasets:
        pairs, unmet = run_pairs(
            tasks,
            embed_texts,
            dataset,
            model=name,
            events=events,
            num_draws=num_draws,
            seed=seed,
        )
        found, missed, chosen = run_zero_shot(
            tasks,
            prompts,
            dataset,
            model=name,
            operating=operating,
            num_draws=num_draws,
            seed=seed,
        )
        operating = operating or chosen
        outcomes += [*pairs, *found]
        skipped += [*unmet, *missed]
    return outcomes, skipped


def compare(outcomes: Sequence[Outcome]) -> Iterator[Comparison]:
    """The difference of every two models in the key figures of each task, by paired bootstrap.

    Tasks with too few items to tell anything are left out.
    """
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for one in outcomes:
        if too_few(one) is None:
            groups.setdefault((one.task, one.dataset), []).append(one)
    for (task, dataset), group in groups.items():
        for first, second in itertools.combinations(group, 2):
            shared = first.scores.figures.keys() & second.scores.figures.keys()
            for figure in (name for name in KEY_FIGURES[first.section] if name in shared):
                yield Comparison(
                    task=task,
                    title=first.title,
                    dataset=dataset,
                    figure=figure,
                    first=first.model,
                    second=second.model,
                    difference=difference(second.scores, first.scores, figure),
                )


def _named(models: Sequence[TrainedModel], names: Sequence[str]) -> dict[str, TrainedModel]:
    """Models by names that tell them apart."""
    named: dict[str, TrainedModel] = {}
    for model, wanted in zip(models, names, strict=True):
        name, number = wanted, 2
        while name in named:
            name, number = f"{wanted} {number}", number + 1
        named[name] = model
    return named


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
    outcomes = judge_retrieval(tasks, embed_texts, dataset, model, options)
    skipped: list[Skipped] = []
    runs: list[tuple[str, str, str, Callable[[], Outcome]]] = [
        (
            "identification",
            "identification",
            "Patient identification",
            lambda: identification(dataset, model, options),
        ),
        *(
            (
                "change",
                event.name,
                event.title,
                follower(event, tasks, dataset, model, events, options),
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
