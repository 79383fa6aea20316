"""From nothing to figures on phantoms, what `make demo` and `make bench-phantom` share.

    make_shards   phantom archive -> manifest with splits by patient -> shards
    train_model   a recipe, scaled to small frames and two cores
    judge         what the evaluator says of it on 500 held-out studies

Each step goes on where it was and is skipped when it is done. Everything measured here is measured
on simulated data: it shows that the software works, and nothing about patients.
"""

from __future__ import annotations

import csv
import fcntl
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

import echotok
from benchmarks.common import ROOT
from echoclip_r.data.preparation import prepare
from echoclip_r.data.shards import read_index
from echoclip_r.embedding.embedder import embed, embed_texts
from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.evaluation.datasets import Dataset, Items, make_items
from echoclip_r.evaluation.outcomes import Judgement, Outcome
from echoclip_r.evaluation.retrieval import judge_retrieval
from echoclip_r.evaluation.runner import evaluate_model
from echoclip_r.evaluation.tasks import Tasks, read_tasks
from echoclip_r.evaluation.trial import Trial
from echoclip_r.metrics.bootstrap import Resampling
from echoclip_r.metrics.scores import Scores
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.model.text_tower import encode_text
from echoclip_r.model.trained import TrainedModel
from echoclip_r.phantom.archive import write_archive
from echoclip_r.storage import json_text
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.config import TrainConfig
from echoclip_r.training.log import read_log
from echoclip_r.training.recipes import RECIPES, phantom_scale
from echoclip_r.training.run import train
from echotok.building import build

Floats = npt.NDArray[np.float32]

# Some clips are set aside because their sector is not sure, so a few more are made.
_SPARE = 1.12
_STUDIES_A_PATIENT = 1.95
# What `echoclip-r evaluate` asks these models unless it is told otherwise.
_TASKS = ("phantom",)
EVERY_WINDOW = "every 77-token window, averaged"
ONE_WINDOW = "the first 77 tokens"
WHOLE = "whole reports"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Which archive.

    Attributes:
        seed: of patients and splits.
        num_train: studies for training, about.
        num_test: held-out studies that are judged, exactly.
        num_validation: studies for choosing the checkpoint, about.
        size_px: side of the frames.
        num_frames: of a clip.
        site: the laboratory, see `echoclip_r.phantom.study.SITES`.
    """

    seed: int
    num_train: int
    num_test: int = 500
    num_validation: int = 200
    size_px: int = 64
    num_frames: int = 6
    site: int = 0

    def asked(self) -> dict[str, int]:
        """What the data are kept under; those of the first site need no word of it."""
        return {name: value for name, value in asdict(self).items() if name != "site" or value}


def make_shards(folder: Path, data: Data, *, workers: int) -> dict[str, float]:
    """Write `folder/archive`, `folder/manifest.csv` and `folder/shards`; seconds of each part.

    Several processes may ask for the same data: the first makes it, the others wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "data.json"
    with (folder / "data.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
        if known.get("asked") == data.asked() and (folder / "shards" / "index.json").exists():
            found: dict[str, float] = known["times"]
            return found
        times = _make_shards(folder, data, workers)
        note.write_text(json.dumps({"asked": data.asked(), "times": times}), encoding="utf-8")
    return times


def _make_shards(folder: Path, data: Data, workers: int) -> dict[str, float]:
    held_out = _SPARE * (data.num_test + data.num_validation)
    began = time.perf_counter()
    archive = write_archive(
        folder / "archive",
        round((_SPARE * data.num_train + held_out) / _STUDIES_A_PATIENT),
        seed=data.seed,
        workers=workers,
        size_px=data.size_px,
        num_frames=data.num_frames,
        site=data.site,
    )
    written = time.perf_counter()
    _write_manifest(archive.manifest, folder / "manifest.csv", data)
    prepare(
        folder / "manifest.csv",
        folder / "shards",
        size_px=data.size_px,
        frames_per_clip=data.num_frames,
        workers=workers,
        seed=data.seed,
        overwrite=True,  # of shards that another version of the manifest gave
    )
    return {"archive_s": written - began, "prepare_s": time.perf_counter() - written}


def _write_manifest(source: Path, target: Path, data: Data) -> None:
    """The archive's manifest with our splits: whole patients, in their order, to test first."""
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    needs = {"test": _SPARE * data.num_test, "validation": _SPARE * data.num_validation}
    split_of: dict[str, str] = {}
    for row in rows:
        patient = row["patient_id"]
        if patient not in split_of:
            left = [split for split, studies in needs.items() if studies > 0]
            split_of[patient] = left[0] if left else "train"
        row["split"] = split_of[patient]
        row["video"] = f"archive/{row['video']}"
        needs[row["split"]] = needs.get(row["split"], 0) - 1
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def model_config(recipe: str, tokenizer: Path, *, epochs: int, seed: int) -> TrainConfig:
    """A recipe at phantom scale; whole reports nearly always fit the 77 ids."""
    if recipe == "echoclip":
        config = phantom_scale(RECIPES[recipe]())
    else:
        config = phantom_scale(RECIPES[recipe](tokenizer=str(tokenizer)))
    return replace(config, epochs=epochs, seed=seed)


def named(config: TrainConfig) -> dict[str, Any]:
    """A configuration for people: its tokenizer by name and fingerprint, and not by its path."""
    found = config.to_dict()
    if config.model.tokenizer is not None:
        made = echotok.load(config.model.tokenizer)
        found["model"]["tokenizer"] = f"{made.name}, fingerprint {made.fingerprint[:12]}"
    return found


def spread(values: Sequence[float], form: str) -> str:
    """A mean over seeds, with the range in brackets where there are several."""
    middle = format(float(np.mean(values)), form)
    if len(values) == 1:
        return middle
    return f"{middle} [{format(min(values), form)}, {format(max(values), form)}]"


def train_model(config: TrainConfig, shards: Path, run: Path) -> dict[str, Any]:
    """Train, or go on, or find it done; what it took. A run of other settings is replaced."""
    note = run.with_name(f"{run.name}-training.json")
    asked = {
        "config": config.to_dict(),
        "data": read_index(shards).sha256,
        "tasks": list(_TASKS),
    }
    known = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
    if known.get("asked") != asked:
        shutil.rmtree(run, ignore_errors=True)
        note.write_text(json.dumps({"asked": asked}), encoding="utf-8")
    elif "figures" in known:
        found: dict[str, Any] = known["figures"]
        return found
    result = train(config, shards, run, tasks=_TASKS)
    figures = {
        "num_steps": result.num_steps,
        "seconds": result.seconds,
        "loss": result.loss,
        "best_validation_mcmrr": None if result.best is None else result.best.mcmrr,
    }
    note.write_text(json_text({"asked": asked, "figures": figures}, indent=1), encoding="utf-8")
    return figures


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """A model on the held-out studies.

    Attributes:
        model: the model.
        items: the studies (num_test).
        report_embeddings: of their reports, (num_test, D).
        retrieval: what the evaluator says, by the way in which reports were read.
        figures: all figures, ready for JSON.
    """

    model: TrainedModel
    items: Items
    report_embeddings: Floats
    retrieval: Mapping[str, Judgement | Outcome]
    figures: dict[str, Any]


def judge(run: Path, shards: Path, *, num_test: int, seed: int = 0) -> Judged:
    """What `echoclip_r.evaluation` says of a model on exactly `num_test` held-out studies."""
    model = load_checkpoint(run)
    asked = read_tasks("phantom")
    tasks = replace(
        asked,
        regressions=(asked.regression("ejection_fraction"),),
        binaries=(asked.binary("pacemaker_lead"), asked.binary("pericardial_effusion")),
        events=(),
    )

    dataset = held_out(model, run, shards, tasks, num_test=num_test)
    reports = dataset.test.rows["report"].tolist()
    resampling = Resampling(seed=seed)
    outcomes, _ = evaluate_model(
        model.name, [dataset], partial(embed_texts, model), tasks, resampling=resampling
    )
    by_task = {one.task: one for one in outcomes}
    retrieval: dict[str, Judgement | Outcome] = {WHOLE: by_task["retrieval"]}
    if model.text.tokenizer is None:
        averaged = judge_windows(model, dataset, tasks, resampling)
        retrieval = {ONE_WINDOW: by_task["retrieval"], EVERY_WINDOW: averaged}
    lengths = token_counts(model, reports)
    ef = by_task["ejection_fraction"].scores.figures
    figures = {
        "model": model.name,
        "num_studies": num_test,
        "num_patients": by_task["retrieval"].scores.num_patients,
        "num_different_reports": by_task["retrieval"].about["num_different_reports"],
        "tokens_a_report": float(lengths.mean()),
        "truncated": float((lengths > model.context_length).mean()),
        "retrieval": {how: _retrieval_json(one.scores) for how, one in retrieval.items()},
        "ef": {"mae": asdict(ef["mae"]), "r": asdict(ef["pearson"])},
        **{
            name: {
                **asdict(by_task[name].scores.figures["auc"]),
                "num_positive": by_task[name].about["num_positive"],
            }
            for name in ("pacemaker_lead", "pericardial_effusion")
        },
    }
    return Judged(
        model=model,
        items=dataset.test,
        report_embeddings=embed_texts(model, reports),
        retrieval=retrieval,
        figures=figures,
    )


def held_out(
    model: TrainedModel, run: Path, shards: Path, tasks: Tasks, *, num_test: int
) -> Dataset:
    """Exactly `num_test` held-out studies, and the validation split, as a model sees them."""

    def items(split: str, num_studies: int | None) -> Items:
        found = embed(model, shards, split=split, out=run / f"{split}-embeddings", overwrite=True)
        return make_items(_first_studies(found, num_studies), "study", tasks.findings)

    found = Dataset(
        name="internal", test=items("test", num_test), validation=items("validation", None)
    )
    if len(found.test.rows) < num_test:
        raise SystemExit(
            f"{len(found.test.rows)} studies are left for testing, and {num_test} are needed"
        )
    return found


def judge_windows(
    model: TrainedModel, dataset: Dataset, tasks: Tasks, resampling: Resampling
) -> Judgement:
    """Retrieval where a report is the mean of all its windows of the model's context."""
    return judge_retrieval(
        Trial(
            dataset=dataset,
            tasks=tasks,
            prompts={},
            reports=embed_windows(model, dataset.test.rows["report"].tolist()),
            embed_texts=partial(embed_texts, model),
            thresholds_from=None,
            events=None,
            resampling=resampling,
        )
    )


def _first_studies(embedded: Embedded, num_studies: int | None) -> Embedded:
    """The clips of the first studies; of all where None is given."""
    study, _ = pd.factorize(embedded.clips["study_id"])
    kept = study < (len(study) if num_studies is None else num_studies)
    frames = kept[embedded.frame_clip]
    return replace(
        embedded,
        clips=embedded.clips[kept].reset_index(drop=True),
        frames=embedded.frames[frames],
        frame_clip=(np.cumsum(kept) - 1)[embedded.frame_clip[frames]],
    )


def embed_windows(model: TrainedModel, texts: list[str]) -> Floats:
    """What the base model may do about long reports: embed all windows, average, unit again."""
    whole = TextCodec(model.text.tokenizer, context_length=1 << 16)
    room = model.context_length - 2
    rows: list[list[int]] = []
    owner: list[int] = []
    for number, text in enumerate(texts):
        ids = whole.whole(text)[1:-1]
        for start in range(0, len(ids), room):
            rows.append([whole.bos_id, *ids[start : start + room], whole.eos_id])
            owner.append(number)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), 256):
            batch = model.text.pad(rows[start : start + 256])
            features = encode_text(model.model, batch.to(model.device)).float()
            parts.append(torch.nn.functional.normalize(features, dim=-1).cpu().numpy())
    windows = np.concatenate(parts)
    starts = np.searchsorted(owner, np.arange(len(texts)))
    sums = np.add.reduceat(windows, starts, axis=0)
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)


def token_counts(model: TrainedModel, texts: list[str]) -> npt.NDArray[np.int64]:
    """Ids of each text before anything is cut, BOS and EOS included."""
    codec = TextCodec(model.text.tokenizer, context_length=1 << 16)
    return np.array([len(codec.whole(text)) for text in texts])


def _retrieval_json(scores: Scores) -> dict[str, Any]:
    """All figures of a retrieval, those of each way together."""
    found: dict[str, Any] = {"mcmrr": asdict(scores.figures["mcmrr"])}
    for name, figure in scores.figures.items():
        kind, _, way = name.partition(":")
        if way:
            found.setdefault(way, {})[kind] = asdict(figure)
    return found


def loss_curve(run: Path) -> tuple[list[int], list[float]]:
    """Steps and losses of a run's log."""
    lines = [line for line in read_log(run) if "loss" in line]
    return [line["step"] for line in lines], [line["loss"] for line in lines]


def validation_curve(run: Path) -> tuple[list[int], list[float]]:
    """Steps and validation MCMRR of a run's log."""
    lines = [line for line in read_log(run) if "validation" in line]
    return [line["step"] for line in lines], [line["validation"]["mcmrr"] for line in lines]


def default_tokenizer() -> Path:
    """The tokenizer of phantom reports: its table was mined from other phantoms' reports.

    See `make phantom-table`; building it takes a second, so the repository holds the table alone.
    """
    path = ROOT / "runs" / "phantom-tokenizer.json"
    path.parent.mkdir(exist_ok=True)
    build(ROOT / "phrase_tables" / "phantom").save(path)
    return path
