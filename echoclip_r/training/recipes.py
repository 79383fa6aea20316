"""The recipes: what a training run reads and compares."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import replace

from echoclip_r.training.config import TrainConfig

__all__ = ["RECIPES", "echoclip", "echoclip_r", "echoclip_r_span", "phantom_scale"]


def echoclip(*, pretrained: str | None = None) -> TrainConfig:
    """The published base model: a random 77-token span, open_clip's own tokenizer untouched."""
    return TrainConfig(
        recipe="echoclip",
        model="echoclip",
        text="token-span",
        tokenizer=None,
        pretrained=pretrained,
    )


def echoclip_r(*, pretrained: str | None = None, tokenizer: str | None = None) -> TrainConfig:
    """The published retrieval model: the whole report through a phrase tokenizer.

    Args:
        pretrained: see `TrainConfig`.
        tokenizer: see `TrainConfig`; None takes `echo-clip`, which shares CLIP's rows, for
            pretrained weights, else `echo`.

    Example:
        >>> config = echoclip_r()
        >>> config.tokenizer, config.batch_size, config.lr, config.warmup_steps, config.epochs
        ('echo', 1024, 5e-05, 2000, 50)
    """
    return TrainConfig(
        recipe="echoclip-r",
        model="echoclip-r",
        text="whole",
        tokenizer=tokenizer or ("echo" if pretrained is None else "echo-clip"),
        pretrained=pretrained,
    )


def echoclip_r_span(*, pretrained: str | None = None, tokenizer: str | None = None) -> TrainConfig:
    """Ours: in every step a loss on the whole report and one on a random run of its sentences.

    Args: as `echoclip_r`.
    """
    return replace(
        echoclip_r(pretrained=pretrained, tokenizer=tokenizer),
        recipe="echoclip-r-span",
        text="whole-and-sentences",
    )


RECIPES: Mapping[str, Callable[..., TrainConfig]] = types.MappingProxyType(
    {"echoclip": echoclip, "echoclip-r": echoclip_r, "echoclip-r-span": echoclip_r_span}
)


def phantom_scale(config: TrainConfig) -> TrainConfig:
    """A recipe scaled to frames of 64 px, some thousand clips and two CPU cores."""
    return replace(
        config,
        model=f"{config.model}-tiny",
        batch_size=64,
        epochs=40,
        lr=1e-3,
        warmup_steps=100,
        beta2=0.98,
        # A few thousand studies are soon learnt by heart: much of what follows is against that.
        weight_decay=0.5,
        drop_sentences=0.0 if config.text == "token-span" else 0.6,
        max_gain=0.3,
        max_rotation_deg=6.0,
        max_shift_px=4,
        min_crop=0.75,
        validate_every_epochs=5,
        checkpoint_every_steps=500,
    )
