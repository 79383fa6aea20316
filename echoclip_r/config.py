"""What decides a training run: one frozen `TrainConfig`, and the recipes that make one.

    echoclip          random frame, random 77-token span of the report, CLIP's own tokenizer
    echoclip_r        random frame, the whole report through a phrase tokenizer
    echoclip_r_span   both: the whole report, and a random run of its sentences

Defaults are the published ones (Christensen et al., Nature Medicine 2024); `phantom_scale` turns
any recipe into one for small frames and two CPU cores.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from echoclip_r.config_values import check_ranges, check_types, parse_value

__all__ = [
    "RECIPES",
    "TrainConfig",
    "config_from_dict",
    "echoclip",
    "echoclip_r",
    "echoclip_r_span",
    "phantom_scale",
    "with_settings",
]

TEXTS = ("token-span", "whole", "whole-and-sentences")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that a run's result depends on, but the data.

    Raises:
        ValueError: a value is out of range, or two do not go together.
    """

    recipe: str
    """Name of the recipe that it comes from, for people."""
    model: str
    """An open_clip model name, e.g. `echoclip-r` (this package's) or `convnext_base`."""
    text: str
    """What of a report is read: `token-span`, `whole` or `whole-and-sentences`."""
    tokenizer: str | None
    """`echo`, `echo-clip`, an artifact's path, or None for open_clip's own tokenizer."""
    context_length: int = 77
    """Ids that the text tower reads, BOS and EOS included."""
    pretrained: str | None = None
    """An open_clip tag (`laion400m_s13b_b51k`), a file of weights, or None for random weights."""
    multi_positive: bool = True
    """Whether identical texts in a batch are all right answers, rather than one of them."""
    sentence_weight: float = 0.5
    """Share of the loss on runs of sentences, for `whole-and-sentences`; 0 to 1."""
    max_sentences: int = 4
    """Longest run of sentences, for `whole-and-sentences`."""
    drop_sentences: float = 0.0
    """Sentences of a whole report are left out, a share of 0 to this, drawn anew every time."""

    batch_size: int = 1024
    """Clips a step, of all processes together."""
    accumulate: int = 1
    """Parts that a process's batch is cut into to save memory; the result is the same."""
    epochs: int = 50
    """Passes over the training split; one random frame of a clip each."""
    lr: float = 5e-5
    """Highest learning rate."""
    warmup_steps: int = 2000
    """Steps of linear warm-up, before the cosine to 0."""
    weight_decay: float = 0.2
    """Of AdamW, on matrices only."""
    beta1: float = 0.9
    """Of AdamW."""
    beta2: float = 0.999
    """Of AdamW."""
    eps: float = 1e-8
    """Of AdamW."""
    grad_clip_norm: float | None = None
    """Longest gradient, or None for no limit."""
    max_logit_scale: float = 100.0
    """The temperature's inverse is kept between 1 and this."""
    precision: str = "auto"
    """`fp32`, `bf16`, `fp16`, or `auto`: bf16 where the GPU has it, else fp16; fp32 on a CPU."""
    grad_checkpointing: bool = False
    """Forget activations and work them out again: less memory, a third more time."""

    min_crop: float = 0.9
    """Smallest share of a frame's area that a random crop keeps; 1 for no crops."""
    max_gain: float = 0.15
    """Frames are made up to this much brighter or darker; 0 for never."""
    max_shift_px: int = 0
    """Frames are moved by up to so many pixels, black coming in; 0 for never."""
    max_rotation_deg: float = 0.0
    """Frames are turned by up to so many degrees about their middle; 0 for never."""

    seed: int = 0
    """Of weights, order, frames, spans and crops."""
    workers: int = 0
    """Processes that read and decode for each training process; 0 takes a thread instead."""
    cache_mb: int = 2048
    """Shards of up to this size in all are kept in memory by each reader; larger ones are not."""
    validate_every_epochs: int = 1
    """Epochs between retrieval on the validation split; also done after the last."""
    validation_clips: int = 10_000
    """At most so many clips of the validation split are used."""
    checkpoint_every_steps: int = 1000
    """Steps between checkpoints; one is also written at the end."""
    keep_checkpoints: int = 2
    """Checkpoints kept, beside the best."""
    log_every_steps: int = 10
    """Steps between lines of the log."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.text not in TEXTS:
            raise ValueError(f"text is {self.text!r}; it must be one of {', '.join(TEXTS)}")
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision is {self.precision!r}; it must be one of {', '.join(PRECISIONS)}"
            )
        if self.tokenizer is None and self.text == "whole-and-sentences":
            raise ValueError(
                "text is 'whole-and-sentences', which needs a phrase tokenizer: CLIP's own does "
                "not know where sentences end; set tokenizer to echo, echo-clip or an artifact"
            )
        if self.drop_sentences and (self.tokenizer is None or self.text == "token-span"):
            raise ValueError(
                f"drop_sentences is {self.drop_sentences}, which is for whole reports through a "
                "phrase tokenizer; set it to 0, or another text or tokenizer"
            )
        check_ranges(self)

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON; `config_from_dict` reads it back."""
        return dataclasses.asdict(self)


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


def with_settings(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """A config with some fields changed, as the command line gives them.

    Args:
        config: what to start from.
        settings: `name=value` each; `none` for None, `true` or `false`.

    Raises:
        ValueError: no such field, a value of the wrong kind, or out of range.

    Example:
        >>> with_settings(echoclip_r(), ["batch_size=256", "lr=1e-4"]).lr
        0.0001
    """
    hints = typing.get_type_hints(TrainConfig)
    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, cell = setting.partition("=")
        name = name.strip()
        if not equals or name not in hints:
            raise ValueError(
                f"setting {setting!r}: write name=value, the name one of "
                + ", ".join(field.name for field in fields(TrainConfig))
            )
        changes[name] = parse_value(name, cell.strip(), hints[name])
    return replace(config, **changes)


def config_from_dict(content: Mapping[str, Any]) -> TrainConfig:
    """A config from what `TrainConfig.to_dict` wrote.

    Raises:
        ValueError: it has a field that this version does not know, or a value that it refuses.
    """
    unknown = sorted(set(content) - {field.name for field in fields(TrainConfig)})
    if unknown:
        raise ValueError(
            f"the configuration has {', '.join(unknown)}, which this version of echoclip_r does "
            "not know; use the version that wrote it"
        )
    return TrainConfig(**content)
