"""From nothing to figures on phantoms, what `make demo` and `make bench-phantom` share.

    make_shards   phantom archive -> manifest with splits by patient -> shards
    train_model   a recipe, scaled to small frames and two cores
    judge         500 held-out studies: retrieval, ejection fraction, pacemaker lead, effusion

Each step goes on where it was and is skipped when it is done. Everything measured here is measured
on simulated data: it shows that the software works, and nothing about patients.
"""

from __future__ import annotations

import csv
import fcntl
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.common import ROOT
from echoclip_r.data.preparation import prepare
from echoclip_r.data.shards import read_index
from echoclip_r.embedding.embedder import embed, embed_texts
from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.evaluation.prompt_scores import score_presence
from echoclip_r.evaluation.tasks import read_tasks
from echoclip_r.evaluation.zero_shot import predict_regression
from echoclip_r.metrics.bootstrap import Figure, area_under_roc, correlation, mean
from echoclip_r.metrics.retrieval import Retrieval, retrieval, text_ids
from echoclip_r.metrics.scores import measure
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.model.text_tower import encode_text
from echoclip_r.model.trained import TrainedModel
from echoclip_r.phantom.archive import write_archive
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
    """

    seed: int
    num_train: int
    num_test: int = 500
    num_validation: int = 200
    size_px: int = 64
    num_frames: int = 6


def make_shards(folder: Path, data: Data, *, workers: int) -> dict[str, float]:
    """Write `folder/archive`, `folder/manifest.csv` and `folder/shards`; seconds of each part.

    Several processes may ask for the same data: the first makes it, the others wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "data.json"
    with (folder / "data.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
        if known.get("asked") == asdict(data) and (folder / "shards" / "index.json").exists():
            found: dict[str, float] = known["times"]
            return found
        times = _make_shards(folder, data, workers)
        note.write_text(json.dumps({"asked": asdict(data), "times": times}), encoding="utf-8")
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


def train_model(config: TrainConfig, shards: Path, run: Path) -> dict[str, Any]:
    """Train, or go on, or find it done; what it took. A run of other settings is replaced."""
    note = run.with_name(f"{run.name}-training.json")
    asked = {"config": config.to_dict(), "data": read_index(shards).sha256}
    known = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
    if known.get("asked") != asked:
        shutil.rmtree(run, ignore_errors=True)
        note.write_text(json.dumps({"asked": asked}), encoding="utf-8")
    elif "figures" in known:
        found: dict[str, Any] = known["figures"]
        return found
    result = train(config, shards, run, resume=True)
    figures = {
        "num_steps": result.num_steps,
        "seconds": result.seconds,
        "loss": result.loss,
        "best_validation_mcmrr": None if result.best is None else result.best.mcmrr,
    }
    note.write_text(json.dumps({"asked": asked, "figures": figures}, indent=1), encoding="utf-8")
    return figures


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """A model on the held-out studies.

    Attributes:
        model: the model.
        embedded: clips of the test split.
        studies: their embeddings, (num_test, D), in the order of `reports`.
        reports: the studies' reports.
        report_embeddings: theirs, (num_test, D).
        found: retrieval, by the way in which reports were read.
        figures: all figures, ready for JSON.
    """

    model: TrainedModel
    embedded: Embedded
    studies: Floats
    reports: list[str]
    report_embeddings: Floats
    found: Mapping[str, Retrieval]
    figures: dict[str, Any]


def judge(run: Path, shards: Path, *, num_test: int, seed: int = 0) -> Judged:
    """Embed the held-out studies and measure what the model can do with them."""
    model = load_checkpoint(run)
    embedded = embed(model, shards, split="test", out=run / "test-embeddings", overwrite=True)
    rows, studies = embedded.studies()
    if len(rows) < num_test:
        raise SystemExit(f"{len(rows)} studies are left for testing, and {num_test} are needed")
    rows, studies = rows[:num_test], studies[:num_test]
    reports = rows["report"].tolist()
    patients = rows["patient_id"].to_numpy()
    (texts,) = text_ids(reports)

    def search(report_embeddings: Floats) -> Retrieval:
        return retrieval(
            studies,
            report_embeddings,
            video_text=texts,
            report_text=texts,
            video_patients=patients,
            report_patients=patients,
            seed=seed,
        )

    report_embeddings = embed_texts(model, reports)
    lengths = token_counts(model, reports)
    if model.text.tokenizer is None:
        found = {
            ONE_WINDOW: search(report_embeddings),
            EVERY_WINDOW: search(embed_windows(model, reports)),
        }
    else:
        found = {WHOLE: search(report_embeddings)}
    figures = {
        "model": model.name,
        "num_studies": num_test,
        "num_patients": len(np.unique(patients)),
        "num_different_reports": len(np.unique(texts)),
        "tokens_a_report": float(lengths.mean()),
        "truncated": float((lengths > model.context_length).mean()),
        "retrieval": {how: retrieval_json(one) for how, one in found.items()},
        **_zero_shot(model, embedded, num_test, shards, seed),
    }
    return Judged(
        model=model,
        embedded=embedded,
        studies=studies,
        reports=reports,
        report_embeddings=report_embeddings,
        found=found,
        figures=figures,
    )


def _zero_shot(
    model: TrainedModel, embedded: Embedded, num_test: int, shards: Path, seed: int
) -> dict[str, Any]:
    """EF by the paper's rule, and the two binary tasks, on the first studies."""
    rows, _ = embedded.studies()
    rows = rows[:num_test]
    frames, frame_study = embedded.study_frames()
    kept = frame_study < num_test
    frames, frame_study = frames[kept], frame_study[kept]
    patients = rows["patient_id"].to_numpy()
    tasks = read_tasks("phantom")
    task = tasks.regression("ejection_fraction")
    texts = [text for _, text in task.candidates()]
    prompts = dict(zip(texts, embed_texts(model, texts), strict=True))
    predicted = predict_regression(task, prompts, frames, frame_study, rule="paper")
    truth = rows["ef"].to_numpy()
    guess = _median_of_training(shards, "ef")
    scores = measure(
        {
            "mae": lambda weights: mean(np.abs(predicted - truth), weights),
            "r": lambda weights: correlation(predicted, truth, weights),
        },
        patients,
        chance={"mae": float(np.abs(truth - guess).mean()), "r": 0.0},
        seed=seed,
    )
    found: dict[str, Any] = {"ef": {name: _json(one) for name, one in scores.figures.items()}}
    for name, column in (("pacemaker_lead", "pacer"), ("pericardial_effusion", "effusion")):
        score = score_presence(frames, frame_study, embed_texts(model, tasks.binary(name).prompts))
        positive = rows[column].to_numpy() >= 1
        area = measure(
            {"auc": partial(area_under_roc, positive, score)},
            patients,
            chance={"auc": 0.5},
            seed=seed,
        )
        found[name] = {**_json(area.figures["auc"]), "num_positive": int(positive.sum())}
    return found


def _median_of_training(shards: Path, label: str) -> float:
    """What is always guessed when nothing is looked at."""
    with (shards.parent / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    return float(np.median([float(row[label]) for row in rows]))


def embed_windows(model: TrainedModel, texts: list[str]) -> Floats:
    """What the base model may do about long reports: embed all windows, average, unit again."""
    whole = TextCodec(None, context_length=1 << 16)
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


def retrieval_json(found: Retrieval) -> dict[str, Any]:
    """All figures of a retrieval."""
    ways = {"video_to_report": found.video_to_report, "report_to_video": found.report_to_video}
    return {
        "mcmrr": _json(found.mcmrr),
        **{
            name: {
                "num_queries": way.num_queries,
                "num_candidates": way.num_candidates,
                "mean_rank": _json(way.mean_rank),
                "median_rank": _json(way.median_rank),
                **{f"recall_at_{k}": _json(one) for k, one in way.recall.items()},
            }
            for name, way in ways.items()
        },
    }


def _json(figure: Figure) -> dict[str, float]:
    return {
        "value": figure.value,
        "low": figure.low,
        "high": figure.high,
        "chance": figure.chance,
    }


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
