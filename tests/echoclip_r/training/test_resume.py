"""What a run may go on from: checkpoints of both formats, and settings that may change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from echoclip_r.errors import CheckpointError, TrainingError
from echoclip_r.model.checkpoint import load_checkpoint, load_state
from echoclip_r.model.description import read_description
from echoclip_r.model.spec import ModelSpec
from echoclip_r.training.config import TrainConfig, changed
from echoclip_r.training.recipes import RECIPES, phantom_scale
from echoclip_r.training.resume import config_of
from echoclip_r.training.run import train

WEIGHTS = "open_clip_model.safetensors"
SETTINGS: dict[str, Any] = {
    "batch_size": 8,
    "epochs": 2,
    "warmup_steps": 2,
    "checkpoint_every_steps": 4,
    "sentence_weight": 0.3,
    "max_sentences": 3,
}

# What version 0.1.0 wrote for these settings: model, views, losses and augmentation in one list.
FORMAT_1 = {
    "recipe": "echoclip-r-span",
    "model": "echoclip-r-tiny",
    "text": "whole-and-sentences",
    "tokenizer": "echo",
    "context_length": 77,
    "pretrained": None,
    "multi_positive": True,
    "sentence_weight": 0.3,
    "max_sentences": 3,
    "drop_sentences": 0.6,
    "batch_size": 8,
    "accumulate": 1,
    "epochs": 2,
    "lr": 0.001,
    "warmup_steps": 2,
    "weight_decay": 0.5,
    "beta1": 0.9,
    "beta2": 0.98,
    "eps": 1e-08,
    "grad_clip_norm": None,
    "max_logit_scale": 100.0,
    "precision": "auto",
    "grad_checkpointing": False,
    "min_crop": 0.75,
    "max_gain": 0.3,
    "max_shift_px": 4,
    "max_rotation_deg": 6.0,
    "seed": 0,
    "workers": 0,
    "cache_mb": 2048,
    "validate_every_epochs": 5,
    "validation_clips": 10000,
    "checkpoint_every_steps": 4,
    "keep_checkpoints": 2,
    "log_every_steps": 10,
}


def config(**changes: Any) -> TrainConfig:
    return changed(phantom_scale(RECIPES["echoclip-r-span"]()), **SETTINGS | changes)


def to_format_1(folder: Path, **changes: Any) -> None:
    """Write a checkpoint's description as version 0.1.0 did."""
    path = folder / "echoclip_r.json"
    content = json.loads(path.read_text())
    del content["model"], content["training"]
    content |= {"format": 1, "config": FORMAT_1 | changes}
    path.write_text(json.dumps(content, indent=1, sort_keys=True))


@pytest.fixture(scope="module")
def run(training_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run of ten steps with checkpoints after 8 and 10; not to be written to."""
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    train(config(), training_shards, out, device="cpu")
    return out


@pytest.fixture
def stopped(run: Path, tmp_path: Path) -> Path:
    """A copy of the run as it was after step 8."""
    out = Path(shutil.copytree(run, tmp_path / "stopped"))
    shutil.rmtree(out / "checkpoints" / "step-00000010")
    return out


def test_a_checkpoint_names_its_model_apart_from_its_training(run: Path) -> None:
    """The model is said once, and the run's settings come back whole."""
    content = json.loads((run / "best" / "echoclip_r.json").read_text())
    assert content["format"] == 2
    assert content["model"]["towers"] == "echoclip-r-tiny"
    assert "model" not in content["training"]
    assert config_of(read_description(run / "best")) == config()


def test_format_1_says_the_same(stopped: Path) -> None:
    """Its flat words mean the same model, views, losses and augmentation."""
    folder = stopped / "checkpoints" / "step-00000008"
    model = load_checkpoint(folder)
    to_format_1(folder)
    assert config_of(read_description(folder)) == config()
    again = load_checkpoint(folder)
    assert again.spec == model.spec == ModelSpec(towers="echoclip-r-tiny", tokenizer="echo")
    assert again.fingerprint == model.fingerprint
    assert again.name == model.name == "echoclip-r-span (stopped)"


@pytest.mark.parametrize(
    ("text", "changes", "recipe"),
    [
        ("token-span", {"tokenizer": None, "model": "echoclip-tiny"}, "echoclip"),
        ("whole", {}, "echoclip-r"),
    ],
)
def test_format_1_of_the_other_recipes(
    stopped: Path, text: str, changes: dict[str, Any], recipe: str
) -> None:
    """What each word for a text meant is what its recipe reads today."""
    folder = stopped / "checkpoints" / "step-00000008"
    drop = {"drop_sentences": 0.0 if text == "token-span" else 0.6}
    to_format_1(folder, recipe=recipe, text=text, **changes, **drop)
    shared = {name: value for name, value in SETTINGS.items() if "sentence" not in name}
    expected = changed(phantom_scale(RECIPES[recipe]()), **shared)
    assert config_of(read_description(folder)) == expected


def test_a_run_of_format_1_goes_on_to_the_weights_of_an_unbroken_one(
    run: Path, stopped: Path, training_shards: Path
) -> None:
    """Bit for bit, and what it writes from there is format 2 (I13)."""
    to_format_1(stopped / "checkpoints" / "step-00000008")
    train(config(), training_shards, stopped, device="cpu")
    last = Path("checkpoints") / "step-00000010"
    ours, theirs = load_file(stopped / last / WEIGHTS), load_file(run / last / WEIGHTS)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    state, unbroken = load_state(stopped / last)[0], load_state(run / last)[0]
    assert all(torch.equal(state[name], unbroken[name]) for name in unbroken)
    assert read_description(stopped / last).format == 2


def test_a_setting_of_format_1_that_nobody_knows_is_refused(stopped: Path) -> None:
    """It may decide the result."""
    folder = stopped / "checkpoints" / "step-00000008"
    to_format_1(folder, warp_drive=1)
    with pytest.raises(CheckpointError, match="has warp_drive, which this version"):
        config_of(read_description(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1, "batch_size": 4}, "batch_size was 8 and is 4; seed was 0 and is 1"),
        ({"context_length": 50}, "context_length was 77 and is 50"),
        ({"model": "echoclip-tiny"}, "model was 'echoclip-r-tiny' and is 'echoclip-tiny'"),
        ({"freeze_text": True}, "freeze_text was False and is True"),
        ({"max_sentences": 2}, r"SentenceRun\(max_sentences=3\)\) and is .*max_sentences=2"),
        ({"sentence_weight": 0.5}, r"losses was .*weight=0.7.* and is .*weight=0.5"),
        ({"min_crop": 0.8}, "min_crop was 0.75 and is 0.8"),
    ],
)
def test_what_decides_the_result_may_not_change(
    run: Path, training_shards: Path, changes: dict[str, Any], message: str
) -> None:
    """Wherever it stands: in the run, its model, its views, its losses or its augmentation."""
    with pytest.raises(TrainingError, match=message):
        train(config(**changes), training_shards, run, device="cpu")


def test_what_may_change_is_let_through(stopped: Path, training_shards: Path) -> None:
    """The rate, the precision and how often something is written."""
    other = config(lr=1e-4, precision="fp32", log_every_steps=1, keep_checkpoints=1)
    train(other, training_shards, stopped, device="cpu")
    last = stopped / "checkpoints" / "step-00000010"
    assert config_of(read_description(last)) == other
    assert [path.name for path in (stopped / "checkpoints").iterdir()] == [last.name]


def test_a_model_that_no_run_made_is_nothing_to_go_on_from(stopped: Path) -> None:
    """It has weights, and no settings of a run."""
    folder = stopped / "checkpoints" / "step-00000008"
    path = folder / "echoclip_r.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"training": None}))
    assert load_checkpoint(folder).name == "echoclip-r-tiny (stopped)"
    with pytest.raises(CheckpointError, match="a model without the settings of a run"):
        config_of(read_description(folder))
