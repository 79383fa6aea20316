"""Training steps and runs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from echoclip_r.data.shards import read_clips, read_index
from echoclip_r.errors import TrainingError
from echoclip_r.model.build import build_model, model_config
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.batches import Batch, TrainData
from echoclip_r.training.config import TrainConfig
from echoclip_r.training.log import read_log
from echoclip_r.training.loss import ContrastiveLoss
from echoclip_r.training.optimizer import learning_rate, make_optimizer
from echoclip_r.training.recipes import RECIPES, echoclip, echoclip_r_span, phantom_scale
from echoclip_r.training.recipes import echoclip_r as whole_report
from echoclip_r.training.run import train
from echoclip_r.training.state import TrainResult
from echoclip_r.training.step import Towers, backward


def config(recipe: str = "echoclip-r", **changes: Any) -> TrainConfig:
    """Two epochs of five steps of eight."""
    settings: dict[str, Any] = {
        "batch_size": 8,
        "epochs": 2,
        "warmup_steps": 2,
        "validate_every_epochs": 1,
        "log_every_steps": 1,
    }
    return replace(phantom_scale(RECIPES[recipe]()), **settings | changes)


def batch_and_towers(shards: Path, chosen: TrainConfig) -> tuple[Batch, Towers]:
    codec = TextCodec.load(chosen.tokenizer, context_length=chosen.context_length)
    data = TrainData(read_index(shards), config=chosen, codec=codec, size_px=64)
    torch.manual_seed(0)
    model = build_model(model_config(chosen, codec), name=chosen.model)
    # The full-size towers have no batch norm, which would take a part for a batch of its own.
    model.visual.trunk.norm = torch.nn.Identity()
    return next(data.batches(0)), Towers(model.train())


def gradients(towers: Towers) -> dict[str, torch.Tensor]:
    return {
        name: parameter.grad
        for name, parameter in towers.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("recipe", list(RECIPES))
@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_is_the_batch(training_shards: Path, recipe: str, parts: int) -> None:
    """Loss and gradients of accumulation are those of the whole batch (1e-5, float32)."""
    found = []
    for accumulate in (1, parts):
        chosen = config(recipe, accumulate=accumulate)
        batch, towers = batch_and_towers(training_shards, chosen)
        loss = backward(towers, batch, ContrastiveLoss(), config=chosen, precision="fp32")
        found.append((loss, gradients(towers)))
    (whole, wanted), (summed, ours) = found
    torch.testing.assert_close(summed, whole, atol=1e-5, rtol=1e-5)
    assert ours.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert (ours[name] - gradient).abs().max() <= 1e-5 * max(1.0, gradient.abs().max()), name


def test_dropout_is_the_same_in_both_passes_over_the_parts(training_shards: Path) -> None:
    """A tower with dropout gets gradients of the very features that the loss was made of."""
    chosen = config(accumulate=2)
    batch, towers = batch_and_towers(training_shards, chosen)
    seen: list[torch.Tensor] = []

    def drop(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        dropped = torch.nn.functional.dropout(output, 0.5)
        seen.append(dropped.detach())
        return dropped

    towers.model.visual.register_forward_hook(drop)
    backward(towers, batch, ContrastiveLoss(), config=chosen, precision="fp32")
    first, second, again_first, again_second = seen
    assert torch.equal(first, again_first)
    assert torch.equal(second, again_second)
    assert not torch.equal(first == 0, second == 0)


def test_bf16_computes_nearly_the_same(training_shards: Path) -> None:
    """Autocast is in place: the loss differs a little, and gradients stay float32."""
    batch, towers = batch_and_towers(training_shards, config())
    losses = {
        precision: backward(
            towers, batch, ContrastiveLoss(), config=config(), precision=precision
        ).item()
        for precision in ("fp32", "bf16")
    }
    assert losses["fp32"] != losses["bf16"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)
    assert {gradient.dtype for gradient in gradients(towers).values()} == {torch.float32}


def test_decay_is_for_matrices(training_shards: Path) -> None:
    """Gains, biases and the temperature have none."""
    _, towers = batch_and_towers(training_shards, config())
    decayed, free = make_optimizer(towers.model, config()).param_groups
    assert decayed["weight_decay"] == config().weight_decay
    assert free["weight_decay"] == 0
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])
    assert any(parameter is towers.model.logit_scale for parameter in free["params"])


def test_the_rate_warms_up_and_goes_to_zero() -> None:
    """Linearly to the full rate, then along a cosine."""
    chosen = config(warmup_steps=10, lr=1.0)
    rates = [learning_rate(step, config=chosen, num_steps=100) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


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
    """With the reason, what to try, and a state to go on from that is still whole."""
    chosen = config(lr=1e30, warmup_steps=0)
    with pytest.raises(TrainingError, match="the loss of step 2 is nan") as caught:
        train(chosen, training_shards, tmp_path / "run", device="cpu")
    message = str(caught.value)
    assert "lr 9.8e+29" in message
    assert "a lower lr" in message
    assert (tmp_path / "run" / "checkpoints" / "step-00000001" / "state.safetensors").is_file()
    chosen = config(lr=1e-4, warmup_steps=0)
    with pytest.raises(TrainingError, match="the loss of step 2"):
        train(chosen, training_shards, tmp_path / "run", device="cpu", resume=True)


def test_a_folder_with_a_run_is_not_written_over(run: TrainResult, training_shards: Path) -> None:
    """Unless the run is to go on, with what it was begun with."""
    chosen = config("echoclip-r-span", epochs=6)
    with pytest.raises(TrainingError, match="holds a run already"):
        train(chosen, training_shards, run.out, device="cpu")
    other = replace(chosen, batch_size=4, seed=1, lr=1e-9)
    with pytest.raises(TrainingError, match="batch_size was 8 and is 4; seed was 0 and is 1"):
        train(other, training_shards, run.out, device="cpu", resume=True)
    finished = train(chosen, training_shards, run.out, device="cpu", resume=True)
    assert (finished.num_steps, finished.best) == (30, run.best)


def test_more_warm_up_than_steps_is_refused(training_shards: Path, tmp_path: Path) -> None:
    """The published 2,000 steps of warm-up are longer than a small run."""
    with pytest.raises(ValueError, match="warmup_steps is 2,000 and the whole run has 10 steps"):
        train(config(warmup_steps=2000), training_shards, tmp_path / "run", device="cpu")


@pytest.mark.skipif(find_spec("tensorboard") is not None, reason="it is installed here")
def test_tensorboard_is_asked_for_by_name(training_shards: Path, tmp_path: Path) -> None:
    """It is no dependency."""
    with pytest.raises(TrainingError, match="pip install tensorboard"):
        train(config(), training_shards, tmp_path / "run", device="cpu", tensorboard=True)


def test_recipes_read_what_they_say(training_shards: Path) -> None:
    """One text a clip, or two."""
    for recipe, kinds in ((echoclip(), 1), (whole_report(), 1), (echoclip_r_span(), 2)):
        chosen = replace(phantom_scale(recipe), batch_size=8, warmup_steps=1)
        batch, _ = batch_and_towers(training_shards, chosen)
        assert len(batch.texts) == kinds
