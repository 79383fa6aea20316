"""The recipes: functions that return a configuration.

    echoclip          a random frame; a random 77-token span of the report, by CLIP's own tokenizer
    echoclip_r        a random frame; the whole report, by a phrase tokenizer
    echoclip_r_span   a random frame; the whole report, and a random run of its sentences
    echoclip_r_findings   three frames as one cine picture; the whole report, statements of single
                          findings, and texts that differ in one

Settings are the published ones (Christensen et al., Nature Medicine 2024); `phantom_scale` turns
any recipe into one for small frames and two CPU cores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from echoclip_r.model.pretrained import default_tokenizer
from echoclip_r.model.spec import ModelSpec
from echoclip_r.training.config import TrainConfig, changed
from echoclip_r.training.loss import Contrastive, Preference, SharedFindings
from echoclip_r.training.views import SentenceRun, Statement, TokenSpan, Twins, WholeReport

__all__ = [
    "RECIPES",
    "echoclip",
    "echoclip_r",
    "echoclip_r_findings",
    "echoclip_r_span",
    "phantom_scale",
]

_STATEMENTS = 4
"""Statements of each item: of each finding there must be some in a batch."""


def echoclip(*, pretrained: str | None = None) -> TrainConfig:
    """The published base model, with open_clip's own tokenizer.

    Args:
        pretrained: the weights to start from, see `ModelSpec.pretrained`.
    """
    return TrainConfig(
        recipe="echoclip",
        model=ModelSpec(towers="echoclip", tokenizer=None, pretrained=pretrained),
        texts=(TokenSpan(),),
        losses=(Contrastive(),),
    )


def echoclip_r(*, pretrained: str | None = None, tokenizer: str | None = None) -> TrainConfig:
    """The published retrieval model.

    Args:
        pretrained: the weights to start from, see `ModelSpec.pretrained`.
        tokenizer: see `ModelSpec.tokenizer`; None takes that of the pretrained run, or
            `echo-clip`, which shares CLIP's rows, for other pretrained weights, else `echo`.

    Example:
        >>> config = echoclip_r()
        >>> config.model.tokenizer, config.batch_size, config.lr, config.warmup_steps, config.epochs
        ('echo', 1024, 5e-05, 2000, 50)
    """
    chosen = tokenizer or default_tokenizer(pretrained)
    return TrainConfig(
        recipe="echoclip-r",
        model=ModelSpec(towers="echoclip-r", tokenizer=chosen, pretrained=pretrained),
        texts=(WholeReport(),),
        losses=(Contrastive(),),
    )


def echoclip_r_span(*, pretrained: str | None = None, tokenizer: str | None = None) -> TrainConfig:
    """Ours: half of the loss is on the whole report, half on a random run of its sentences.

    Args:
        pretrained: the weights to start from, see `ModelSpec.pretrained`.
        tokenizer: as in `echoclip_r`.
    """
    return replace(
        echoclip_r(pretrained=pretrained, tokenizer=tokenizer),
        recipe="echoclip-r-span",
        texts=(WholeReport(), SentenceRun()),
        losses=(Contrastive(text=0, weight=0.5), Contrastive(text=1, weight=0.5)),
    )


def echoclip_r_findings(
    *, pretrained: str | None = None, tokenizer: str | None = None
) -> TrainConfig:
    """Ours: cine pictures, and half of the loss on what the report claims.

    A cine picture shows motion, which the ejection fraction lies in. Beside the whole report the
    loss asks which statements on a finding are true of a clip, and which of two texts that differ
    in one finding.

    Args:
        pretrained: the weights to start from, see `ModelSpec.pretrained`.
        tokenizer: as in `echoclip_r`.
    """
    base = echoclip_r(pretrained=pretrained, tokenizer=tokenizer)
    return replace(
        base,
        recipe="echoclip-r-findings",
        model=replace(base.model, channels="cine"),
        texts=(WholeReport(), Twins(), *[Statement()] * _STATEMENTS),
        losses=(
            Contrastive(text=0, weight=0.5),
            Preference(text=1, weight=0.25),
            SharedFindings(text=3, num_texts=_STATEMENTS, weight=0.25),
        ),
    )


RECIPES: Mapping[str, Callable[..., TrainConfig]] = MappingProxyType(
    {
        "echoclip": echoclip,
        "echoclip-r": echoclip_r,
        "echoclip-r-span": echoclip_r_span,
        "echoclip-r-findings": echoclip_r_findings,
    }
)


def phantom_scale(config: TrainConfig) -> TrainConfig:
    """A recipe scaled to frames of 64 px, some thousand clips and two CPU cores."""
    scaled = changed(
        config,
        model=f"{config.model.towers}-tiny",
        batch_size=64,
        epochs=40,
        lr=1e-3,
        warmup_steps=100,
        beta2=0.98,
        # A model soon learns a few thousand studies by heart: what follows is against that.
        weight_decay=0.5,
        max_gain=0.3,
        max_rotation_deg=6.0,
        max_shift_px=4,
        min_crop=0.75,
        validate_every_epochs=5,
        checkpoint_every_steps=500,
    )
    if any(isinstance(view, WholeReport) for view in config.texts):
        scaled = changed(scaled, drop_sentences=0.6)
    return scaled
