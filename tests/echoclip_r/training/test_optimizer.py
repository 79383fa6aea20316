"""The optimizer and its rate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from echoclip_r.model.build import build_model, freeze_towers, model_config
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.optimizer import learning_rate, make_optimizer
from echoclip_r.training.recipes import echoclip, phantom_scale

CONFIG = phantom_scale(echoclip())


@pytest.fixture
def model() -> Any:
    """The tiny base model."""
    return build_model(model_config(CONFIG.model, TextCodec(None)), name=CONFIG.model.towers)


def test_decay_is_for_matrices(model: Any) -> None:
    """Gains, biases and the temperature have none."""
    decayed, free = make_optimizer(model, CONFIG).param_groups
    assert decayed["weight_decay"] == CONFIG.weight_decay
    assert free["weight_decay"] == 0
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])
    assert any(parameter is model.logit_scale for parameter in free["params"])


def test_the_rate_warms_up_and_goes_to_zero() -> None:
    """Linearly to the full rate, then along a cosine."""
    chosen = replace(CONFIG, warmup_steps=10, lr=1.0)
    rates = [learning_rate(step, config=chosen, num_steps=100) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_frozen_tower_is_not_optimized(model: Any) -> None:
    """Weight decay would change it without any gradient."""
    freeze_towers(model, replace(CONFIG.model, freeze_image=True))
    optimized = {
        id(parameter)
        for group in make_optimizer(model, CONFIG).param_groups
        for parameter in group["params"]
    }
    assert not optimized & {id(parameter) for parameter in model.visual.parameters()}
    assert id(model.token_embedding.weight) in optimized
