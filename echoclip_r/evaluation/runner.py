"""Judge trained models on all tasks with which the method was published.

    checkpoints, shards -> embeddings -> a trial for each model and data set -> outcomes
                        -> OUT/metrics.json, predictions/*.csv, plots/*.png and .svg, report.html

Every model sees the same items and the same draws of patients, so that their differences are
paired. Thresholds, calibration and the median guess come from the validation split, figures from
the test split. All splits of an external data set, on which no model was trained, are tested, with
thresholds from the internal data set.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from echoclip_r.data.shards import is_shards, read_index, split_of_patients
from echoclip_r.embedding.embedder import embed_texts
from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.agreement import judge_agreement
from echoclip_r.evaluation.change import judge_change
from echoclip_r.evaluation.config import EvaluateConfig
from echoclip_r.evaluation.datasets import (
    Dataset,
    describe,
    load_dataset,
    load_split,
    make_shards,
)
from echoclip_r.evaluation.edited import judge_edited
from echoclip_r.evaluation.events import match_events, read_events
from echoclip_r.evaluation.figures import SECTIONS, Section
from echoclip_r.evaluation.files import write_evaluation
from echoclip_r.evaluation.identification import judge_identification
from echoclip_r.evaluation.outcomes import (
    Comparison,
    Evaluation,
    Judgement,
    Outcome,
    Skipped,
)
from echoclip_r.evaluation.prompt_words import (
    add_remarks,
    as_json,
    look_up_prompts,
    say_remarks,
)
from echoclip_r.evaluation.retrieval import judge_retrieval
from echoclip_r.evaluation.tasks import Tasks, read_tasks
from echoclip_r.evaluation.trial import EmbedTexts, Events, Trial, compute_here
from echoclip_r.evaluation.verdicts import too_few
from echoclip_r.evaluation.zero_shot import judge_binary, judge_regression, prompt_texts
from echoclip_r.jobs.local import BROKEN, num_workers, say_broken
from echoclip_r.metrics.bootstrap import RESAMPLING, Resampling
from echoclip_r.metrics.scores import difference
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.model.description import tasks_of
from echoclip_r.model.trained import TrainedModel
from echoclip_r.places import filled_folder, place
from echoclip_r.storage import writing
from echoclip_r.text.word_counts import KnownWords, Remark

__all__ = ["compare", "evaluate", "evaluate_model"]

_log = logging.getLogger(__name__)

_MOST_AT_ONCE = 64  # tasks that are prepared at once: there are hardly more

Arguments = ParamSpec("Arguments")
ResultT = TypeVar("ResultT")


def evaluate(
    config: EvaluateConfig, *, executor: Executor | None = None, device_there: str | None = None
) -> Evaluation:
    """Evaluate checkpoints and write figures, plots and one report.

    Args:
        config: what is evaluated, and how.
        executor: what makes shards, embeddings and the bootstrap in place of processes of this
            machine; see `echoclip_r.jobs.local.run_jobs`. Its processes must see the same files.
        device_there: the device on which these processes compute; None takes the best of each.

    Raises:
        EvaluationError: there is nothing to evaluate, or an embedding holds NaN.
        ShardError: shards cannot be read, or a patient is in two splits (I10).
        ManifestError: the manifest breaks a rule.
        CheckpointError: a checkpoint cannot be read.
    """
    out = place(config.out)
    if is_shards(out):
        raise EvaluationError(
            f"{out}: it holds shards, and an evaluation would mix its files with them; give --out "
            "a folder of its own"
        )
    tasks = read_tasks(*_task_sources(config))
    rows = None if config.events is None else read_events(place(config.events))
    models = _load_models(config)
    sources = {"internal": place(config.data)}
    if config.external is not None:
        sources["external"] = place(config.external)
    _check_sources(models, sources)
    folders = {
        name: make_shards(
            path,
            out / f"shards-{name}",
            size_px=max(model.image_size_px for model in models.values()),
            seed=config.resampling.seed,
            workers=config.workers,
            executor=executor,
        )
        for name, path in sources.items()
    }
    patients = {name: split_of_patients(read_index(folder)) for name, folder in folders.items()}
    events: Events | None = None
    remarks: list[str] = []
    if rows is not None:
        everyone = {patient for found in patients.values() for patient in found}
        events, remarks = match_events(rows, events=tasks.events, patients=everyone)
    outcomes: list[Outcome] = []
    skipped: dict[tuple[str, str, str], Skipped] = {}
    described: dict[str, Any] = {}
    rare: dict[str, dict[str, Remark]] = {}
    for (name, model), checkpoint in zip(models.items(), config.checkpoints, strict=True):
        _log.info("evaluating %s", name)
        load = partial(load_checkpoint, place(checkpoint).absolute(), device=device_there)
        datasets = [
            _load_dataset(which, model, folder, config, tasks, executor=executor, load=load)
            for which, folder in folders.items()
        ]
        described = {dataset.name: describe(dataset) for dataset in datasets}
        found, missed = evaluate_model(
            name,
            datasets,
            partial(embed_texts, model),
            tasks,
            events=events,
            resampling=config.resampling,
            executor=executor,
        )
        rare[name] = look_up_prompts(tasks, KnownWords(model.text, model.word_counts))
        say_remarks(name, rare[name])
        outcomes += add_remarks(found, tasks, rare[name])
        skipped |= {(one.section, one.task, one.dataset): one for one in missed}
    evaluation = Evaluation(
        outcomes=tuple(outcomes),
        skipped=tuple(skipped.values()),
        comparisons=tuple(compare(outcomes)),
        facts={
            "title": config.title,
            "note": config.note,
            "models": {
                name: {
                    "checkpoint": str(path),
                    "fingerprint": model.fingerprint,
                    "rare_prompts": as_json(rare[name]),
                }
                for (name, model), path in zip(models.items(), config.checkpoints, strict=True)
            },
            "datasets": {
                name: {
                    "source": str(sources[name]),
                    "patients": dict(Counter(patients[name].values())),
                    **facts,
                }
                for name, facts in described.items()
            },
            "tasks": list(tasks.sources),
            "remarks": remarks,
            "unit": config.unit,
            "split": config.split,
            "num_draws": config.resampling.num_draws,
            "seed": config.resampling.seed,
        },
    )
    with writing(out, "the report", error=EvaluationError), filled_folder(out) as folder:
        write_evaluation(evaluation, tasks, folder)
    return evaluation


def _task_sources(config: EvaluateConfig) -> Sequence[str | Path]:
    """The task files that are asked for, else those that the runs record."""
    if config.tasks:
        return config.tasks
    recorded = {tasks_of(path): path for path in config.checkpoints}
    texts = {tuple(_content(source) for source in sources) for sources in recorded}
    if len(texts) > 1:
        raise EvaluationError(
            "the runs record different task files ("
            + "; ".join(f"{path}: {', '.join(names) or 'none'}" for names, path in recorded.items())
            + "), and models are compared on the same prompts; say which with --tasks (--tasks "
            "default for the general ones)"
        )
    sources = next(iter(recorded))
    if sources:
        _log.warning("tasks: %s, as the run records", ", ".join(Path(one).name for one in sources))
    return sources


def _content(source: str) -> str:
    """What tells a task file from another: its text, or the name of one of this package."""
    path = place(source)
    return path.read_text(encoding="utf-8") if path.is_file() else source


def _load_models(config: EvaluateConfig) -> dict[str, TrainedModel]:
    """Models by names that tell them apart."""
    loaded = [load_checkpoint(path, device=config.device) for path in config.checkpoints]
    named: dict[str, TrainedModel] = {}
    wanted = [model.name for model in loaded] if config.names is None else config.names
    for model, first in zip(loaded, wanted, strict=True):
        name, number = first, 2
        while name in named:
            name, number = f"{first} {number}", number + 1
        named[name] = model
    return named


def _load_dataset(
    name: str,
    model: TrainedModel,
    shards: Path,
    config: EvaluateConfig,
    tasks: Tasks,
    *,
    executor: Executor | None,
    load: Callable[[], TrainedModel],
) -> Dataset:
    """A data set as a model sees it; its embeddings are kept for the next time."""
    embedded = partial(
        load_split,
        model,
        shards,
        kept=place(config.out) / "embeddings",
        name=name,
        batch_size=config.batch_size,
        executor=executor,
        load=load,
    )
    return load_dataset(
        name, embedded, split=config.split, unit=config.unit, findings=tasks.findings
    )


def _check_sources(models: Mapping[str, TrainedModel], sources: Mapping[str, Path]) -> None:
    """Refuse videos for a model without an image tower of its own, before they are read."""
    for name, model in models.items():
        if model.reads_vectors is not None and any(path.is_file() for path in sources.values()):
            raise EvaluationError(
                f"{name} reads embeddings of another image encoder (--frames-from), so it cannot "
                "be judged on the videos of a manifest; give shards of embeddings with --shards "
                "(those in the run's folder, or `echoclip-r prepare --frames-from`)"
            )


def evaluate_model(
    name: str,
    datasets: Sequence[Dataset],
    embed_texts: EmbedTexts,
    tasks: Tasks,
    *,
    events: Events | None = None,
    resampling: Resampling = RESAMPLING,
    executor: Executor | None = None,
) -> tuple[list[Outcome], list[Skipped]]:
    """Judge one model on every task and data set.

    Args:
        name: name of the model.
        datasets: the data sets, the internal one first; a data set without a validation part takes
            its thresholds from the internal one.
        embed_texts: function from texts to unit embeddings (N, D).
        tasks: the tasks on which the model is judged.
        events: dates of events, see `echoclip_r.evaluation.events.match_events`.
        resampling: draws of the bootstrap; its seed is also used for random pairs.
        executor: what computes the figures, several at once; None computes them in this process.

    Raises:
        EvaluationError: the executor has broken down.
    """
    outcomes: list[Outcome] = []
    skipped: list[Skipped] = []
    texts = prompt_texts(tasks)
    prompts = dict(zip(texts, embed_texts(texts), strict=True))
    for dataset in datasets:
        test = dataset.test
        trial = Trial(
            dataset=dataset,
            tasks=tasks,
            prompts=prompts,
            reports=embed_texts(list(test.rows["report"].iloc[test.pool])),
            embed_texts=embed_texts,
            thresholds_from=dataset.validation or datasets[0].validation,
            events=events,
            resampling=resampling,
            compute=compute_here if executor is None else partial(_compute_on, executor),
        )
        for (section, task, title, family, _), found in _judge_all(trial, executor):
            if isinstance(found, EvaluationError):
                skipped.append(
                    Skipped(
                        section=section,
                        task=task,
                        title=title,
                        dataset=dataset.name,
                        reason=str(found),
                    )
                )
                continue
            outcomes.append(
                Outcome(
                    section=section,
                    task=task,
                    title=title,
                    family=family,
                    model=name,
                    dataset=dataset.name,
                    scores=found.scores,
                    items=found.items,
                    about=found.about,
                )
            )
    return outcomes, skipped


def _judge_all(
    trial: Trial, executor: Executor | None
) -> Iterator[tuple[_Question, Judgement | EvaluationError]]:
    """Every task in the order of the report, with its outcome or why there is none."""
    questions = list(_questions(trial.tasks))
    if executor is None:
        for question in questions:
            yield question, _judged(partial(question.judge, trial))
        return
    # Each thread prepares a task here, then waits for what the executor computes.
    threads = ThreadPoolExecutor(min(_MOST_AT_ONCE, 2 * num_workers(executor)))
    try:
        futures = [threads.submit(question.judge, trial) for question in questions]
        for question, future in zip(questions, futures, strict=True):
            yield question, _judged(future.result)
    except BROKEN as cause:
        raise EvaluationError(say_broken(cause)) from cause
    finally:
        threads.shutdown(cancel_futures=True)


def _judged(outcome: Callable[[], Judgement]) -> Judgement | EvaluationError:
    try:
        return outcome()
    except EvaluationError as error:
        return error


def _compute_on(
    executor: Executor,
    function: Callable[Arguments, ResultT],
    /,
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> ResultT:
    return executor.submit(function, *args, **kwargs).result()


class _Question(NamedTuple):
    section: Section
    task: str
    title: str
    family: str
    judge: Callable[[Trial], Judgement]


def _questions(tasks: Tasks) -> Iterator[_Question]:
    """Every task with what judges it, in the order of the report."""
    yield _Question("retrieval", "retrieval", "Retrieval of whole reports", "", judge_retrieval)
    if tasks.findings:
        title = "Clinical agreement of the report at rank 1"
        yield _Question("agreement", "agreement", title, "", judge_agreement)
    yield _Question("edited", "edited", "One finding changed", "", judge_edited)
    title = "Patient identification"
    yield _Question("identification", "identification", title, "", judge_identification)
    for event in tasks.events:
        judge = partial(judge_change, event=event)
        yield _Question("change", event.name, event.title, "", judge)
    for number in tasks.regressions:
        judge = partial(judge_regression, task=number)
        yield _Question("regression", number.name, number.title, "", judge)
    for binary in tasks.binaries:
        judge = partial(judge_binary, task=binary)
        yield _Question("binary", binary.name, binary.title, binary.family, judge)


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
            for figure in (name for name in SECTIONS[first.section].compared if name in shared):
                yield Comparison(
                    task=task,
                    title=first.title,
                    dataset=dataset,
                    figure=figure,
                    first=first.model,
                    second=second.model,
                    difference=difference(second.scores, first.scores, figure),
                )
