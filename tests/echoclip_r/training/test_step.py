"""One training step: whole, in parts, with a frozen tower."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from echoclip_r.data.shards import read_index
from echoclip_r.model.build import build_model, freeze_towers, model_config
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.batches import Batch, TrainData
from echoclip_r.training.config import TrainConfig, changed
from echoclip_r.training.loss import TotalLoss
from echoclip_r.training.recipes import RECIPES, phantom_scale
from echoclip_r.training.step import Towers, backward


def config(recipe: str = "echoclip-r", **changes: Any) -> TrainConfig:
    """Steps of eight."""
    return changed(phantom_scale(RECIPES[recipe]()), **{"batch_size": 8, **changes})


def batch_and_towers(
    shards: Path, chosen: TrainConfig, *, with_norm: bool = False
) -> tuple[Batch, Towers]:
    codec = TextCodec.load(chosen.model.tokenizer, context_length=chosen.model.context_length)
    data = TrainData(read_index(shards), config=chosen, codec=codec, size_px=64)
    torch.manual_seed(0)
    model = build_model(model_config(chosen.model, codec), name=chosen.model.towers)
    # The full-size towers have no batch norm, which would take a part for a batch of its own.
    if not with_norm:
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
        chosen = config(recipe)
        batch, towers = batch_and_towers(training_shards, chosen)
        loss = backward(
            towers, batch, TotalLoss(chosen.losses), accumulate=accumulate, precision="fp32"
        )
        found.append((loss, gradients(towers)))
    (whole, wanted), (summed, ours) = found
    torch.testing.assert_close(summed, whole, atol=1e-5, rtol=1e-5)
    assert ours.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert (ours[name] - gradient).abs().max() <= 1e-5 * max(1.0, gradient.abs().max()), name


def test_dropout_is_the_same_in_both_passes_over_the_parts(training_shards: Path) -> None:
    """A tower with dropout gets gradients of the very features that the loss was made of."""
    chosen = config()
    batch, towers = batch_and_towers(training_shards, chosen)
    seen: list[torch.Tensor] = []

    def drop(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        dropped = torch.nn.functional.dropout(output, 0.5)
        seen.append(dropped.detach())
        return dropped

    towers.model.visual.register_forward_hook(drop)
    backward(towers, batch, TotalLoss(chosen.losses), accumulate=2, precision="fp32")
    first, second, again_first, again_second = seen
    assert torch.equal(first, again_first)
    assert torch.equal(second, again_second)
    assert not torch.equal(first == 0, second == 0)


def test_bf16_computes_nearly_the_same(training_shards: Path) -> None:
    """Autocast is in place: the loss differs a little, and gradients stay float32."""
    batch, towers = batch_and_towers(training_shards, config())
    losses = {
        precision: backward(towers, batch, TotalLoss(config().losses), precision=precision).item()
        for precision in ("fp32", "bf16")
    }
    assert losses["fp32"] != losses["bf16"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)
    assert {gradient.dtype for gradient in gradients(towers).values()} == {torch.float32}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_frozen_image_tower_gets_no_gradient_and_keeps_its_statistics(
    training_shards: Path, accumulate: int
) -> None:
    """The text tower learns beside it as ever; batch norms and dropout are as in evaluation."""
    chosen = config("echoclip-r-span", freeze_image=True)
    batch, towers = batch_and_towers(training_shards, chosen, with_norm=True)
    freeze_towers(towers.model, chosen.model)
    towers.train()
    before = {name: value.clone() for name, value in towers.model.visual.state_dict().items()}
    backward(towers, batch, TotalLoss(chosen.losses), accumulate=accumulate, precision="fp32")
    found = gradients(towers)
    assert not any(name.startswith("model.visual.") for name in found)
    assert all(torch.isfinite(found[name]).all() for name in found)
    assert found["model.text_projection"].abs().max() > 0
    after = towers.model.visual.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert towers.model.transformer.training
