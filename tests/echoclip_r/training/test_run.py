"""Whole runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from echoclip_r.cli.main import main
from echoclip_r.data.shards import read_clips
from echoclip_r.errors import TrainingError
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.training.config import TrainConfig, changed
from echoclip_r.training.log import read_log
from echoclip_r.training.recipes import RECIPES, phantom_scale
from echoclip_r.training.run import train
from echoclip_r.training.state import TrainResult


def config(recipe: str = "echoclip-r", **changes: Any) -> TrainConfig:
    """Two epochs of five steps of eight."""
    settings: dict[str, Any] = {
        "batch_size": 8,
        "epochs": 2,
        "warmup_steps": 2,
        "validate_every_epochs": 1,
        "log_every_steps": 1,
    }
    return changed(phantom_scale(RECIPES[recipe]()), **settings | changes)


@pytest.fixture(scope="module")
def run(training_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A run of `echoclip-r-span` in one process."""
    out = tmp_path_factory.mktemp("run")
    return train(config("echoclip-r-span", epochs=6), training_shards, out, device="cpu")


def test_a_run_learns_and_says_so(run: TrainResult) -> None:
    """The log has every figure of every step; the best weights are those of its best epoch."""
    lines = read_log(run.out)
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 31))
    assert {"lr", "logit_scale", "frames_per_s", "truncated", "seconds"} <= steps[0].keys()
    assert all(math.isfinite(line["loss"]) for line in steps)
    assert np.mean([line["loss"] for line in steps[-5:]]) < steps[0]["loss"]
    validations = [line for line in lines if "validation" in line]
    assert [line["epoch"] for line in validations] == [1, 2, 3, 4, 5, 6]
    best = min(line["validation"]["mcmrr"] for line in validations)
    assert run.best is not None
    assert run.best.mcmrr == best
    assert run.best.num_clips == 10
    assert run.num_steps == 30
    assert run.num_bad == 0


def test_a_run_saves_what_decided_it(run: TrainResult) -> None:
    """The resolved configuration, the data's and the tokenizer's fingerprints."""
    saved = json.loads((run.out / "config.json").read_text())
    assert saved["config"]["recipe"] == "echoclip-r-span"
    assert saved["num_steps"] == 30
    assert len(saved["data_sha256"]) == len(saved["tokenizer"]["sha256"]) == 64
    assert sorted(path.name for path in (run.out / "checkpoints").iterdir()) == ["step-00000030"]


def test_the_best_weights_rank_as_the_log_says(run: TrainResult, training_shards: Path) -> None:
    """The figure of `best` can be had again from its embeddings of the middle frames."""
    from echoclip_r.metrics.ranks import retrieval_ranks

    model = load_checkpoint(run.out)
    clips = list(read_clips(training_shards, split="validation"))
    _, text = np.unique([clip.report for clip in clips], return_inverse=True)
    ranks = retrieval_ranks(
        model.embed_frames([clip.decode(1) for clip in clips]),
        model.embed_texts([clip.report for clip in clips]),
        video_text=text,
        report_text=text,
    )
    assert run.best is not None
    assert np.mean([way.mean() for way in ranks]) == pytest.approx(run.best.mcmrr)


@pytest.mark.parametrize("recipe", ["echoclip", "echoclip-r"])
def test_one_seed_gives_one_result(training_shards: Path, tmp_path: Path, recipe: str) -> None:
    """The same weights, bit for bit; another seed, other weights (I13)."""
    weights = []
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        chosen = config(recipe, seed=seed, epochs=1)
        out = train(chosen, training_shards, tmp_path / name, device="cpu").out
        weights.append(load_file(out / "best" / "open_clip_model.safetensors"))
    first, again, other = weights
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["text_projection"], other["text_projection"])


def test_a_loss_that_is_no_number_stops_the_run(training_shards: Path, tmp_path: Path) -> None:
    """With the reason and what to try; where no step was good, the same folder begins anew."""
    chosen = config(lr=1e30, warmup_steps=0)
    with pytest.raises(TrainingError, match="the loss of step 2 is nan") as caught:
        train(chosen, training_shards, tmp_path / "run", device="cpu")
    message = str(caught.value)
    assert "lr 9.8e+29" in message
    assert "There is no checkpoint before it: the same command begins anew" in message
    assert "add one of: a lower learning rate" in message
    chosen = config(lr=1e-4, warmup_steps=0)
    assert train(chosen, training_shards, tmp_path / "run", device="cpu").num_steps == 10


def test_a_folder_with_a_run_is_not_written_over(run: TrainResult, training_shards: Path) -> None:
    """Unless the run is to go on, with what it was begun with."""
    chosen = config("echoclip-r-span", epochs=6)
    other = replace(chosen, batch_size=4, seed=1, lr=1e-9)
    with pytest.raises(TrainingError, match="batch_size was 8 and is 4; seed was 0 and is 1"):
        train(other, training_shards, run.out, device="cpu")
    finished = train(chosen, training_shards, run.out, device="cpu")
    assert (finished.num_steps, finished.best) == (30, run.best)


@pytest.mark.parametrize(("context_length", "share"), [(4, "100 %"), (77, None)])
def test_reports_that_were_cut_are_said_at_the_end(
    training_shards: Path, tmp_path: Path, capsys: Any, context_length: int, share: str | None
) -> None:
    """A person reads it, a machine has it as `truncated`; if nothing was cut, nothing is said."""
    command = ["train", "--recipe", "echoclip-r", "--scale", "phantom", "--device", "cpu"]
    command += ["--shards", str(training_shards), "--out", str(tmp_path / "run")]
    settings = ("batch_size=44", "epochs=1", "warmup_steps=0", f"context_length={context_length}")
    for setting in settings:
        command += ["--set", setting]
    assert main(command) == 0
    said = capsys.readouterr().out
    cut = f"{share} of the reports did not fit into the model's context" in said
    assert cut == (share is not None)
    assert ("did not fit" in said) == cut
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["truncated"] == (1 if cut else 0)


def test_more_warm_up_than_steps_is_refused(training_shards: Path, tmp_path: Path) -> None:
    """The published 2,000 steps of warm-up are longer than a small run."""
    with pytest.raises(ValueError, match="warmup_steps is 2,000 and the whole run has 10 steps"):
        train(config(warmup_steps=2000), training_shards, tmp_path / "run", device="cpu")


@pytest.mark.parametrize("board", ["tensorboard", "wandb"])
def test_a_board_is_asked_for_by_name(training_shards: Path, tmp_path: Path, board: str) -> None:
    """It is no dependency; where it is missing, the message says how to get it."""
    if find_spec(board) is not None:
        pytest.skip("it is installed here")
    with pytest.raises(TrainingError, match=f"pip install {board}"):
        train(config(), training_shards, tmp_path / "run", device="cpu", boards=[board])


def test_a_frozen_tower_leaves_a_run_as_it_came(training_shards: Path, tmp_path: Path) -> None:
    """Weights and statistics alike, through validations and a resumed run; the other one learns."""
    settings = {"epochs": 2, "freeze_image": True, "checkpoint_every_steps": 5}
    out = train(config(**settings), training_shards, tmp_path / "run", device="cpu").out
    first, last = (
        load_file(out / "checkpoints" / f"step-{step:08d}" / "open_clip_model.safetensors")
        for step in (5, 10)
    )
    frozen = {name for name in first if name.startswith("visual.")}
    assert frozen
    assert all(torch.equal(first[name], last[name]) for name in frozen)
    assert not torch.equal(first["text_projection"], last["text_projection"])
    assert load_checkpoint(out).spec.freeze_image


@pytest.mark.parametrize("recipe", ["echoclip-r-findings", "echoclip-r"])
def test_a_remark_on_the_reports_is_said_where_claims_are_asked_of(
    training_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    """With the texts of the training reports; not in a recipe that compares them as a whole."""
    texts: list[str] = []

    def remark(reports: Iterable[str]) -> str:
        texts.extend(reports)
        return "they are silent"

    monkeypatch.setattr("echoclip_r.training.run.remark_on_silence", remark)
    said: list[str] = []
    monkeypatch.setattr("echoclip_r.training.log.RunLog.say", lambda log, text: said.append(text))
    train(config(recipe, epochs=1, warmup_steps=1), training_shards, tmp_path, device="cpu")
    assert ("they are silent" in said) == (recipe == "echoclip-r-findings")
    trained = {clip.report for clip in read_clips(training_shards, split="train")}
    assert set(texts) == (trained if recipe == "echoclip-r-findings" else set())
