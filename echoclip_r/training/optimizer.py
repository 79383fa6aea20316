"""AdamW: which weights decay, the learning rate of each step, and the change of the weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from echoclip_r.training.config import TrainConfig

__all__ = ["learning_rate", "make_optimizer", "update"]


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with open_clip's groups: matrices decay; gains, biases and the temperature do not.

    Args:
        model: its frozen parameters are left out.
        config: of the run.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or "logit_scale" in name
            (free if plain else decayed).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": free, "weight_decay": 0.0},
        ],
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=True,
    )


def learning_rate(step: int, *, config: TrainConfig, num_steps: int) -> float:
    """The learning rate of a step: a linear warm-up, then a cosine to 0.

    Args:
        step: number of the step, from 0.
        config: of the run.
        num_steps: of the whole run.

    Example:
        >>> from echoclip_r.training.recipes import echoclip
        >>> rates = [learning_rate(s, config=echoclip(), num_steps=10_000) for s in (0, 1999, 6000)]
        >>> [f"{rate:.2g}" for rate in rates]
        ['2.5e-08', '5e-05', '2.5e-05']
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / (num_steps - config.warmup_steps)
    return config.lr * 0.5 * (1 + math.cos(math.pi * done))


def update(
    model: Any,
    optimizer: torch.optim.Optimizer,
    *,
    lr: float,
    config: TrainConfig,
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """Change the weights by the gradients that `backward` added.

    Args:
        model: `open_clip.CLIP`.
        optimizer: of its parameters.
        lr: the learning rate of this step.
        config: of the run.
        scaler: for an fp16 run.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    if scaler is not None:
        scaler.unscale_(optimizer)
    if config.grad_clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip_norm)
    if scaler is not None:
        scaler.step(optimizer)
        scaler.update()
    else:
        optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(config.max_logit_scale))
