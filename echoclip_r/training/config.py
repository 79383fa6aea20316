"""What decides a training run: one frozen `TrainConfig`, and the recipes that make one.

    echoclip          random frame, random 77-token span of the report, CLIP's own tokenizer
    echoclip_r        random frame, the whole report through a phrase tokenizer
    echoclip_r_span   both: the whole report, and a random run of its sentences

Defaults are the published ones (Christensen et al., Nature Medicine 2024); `phantom_scale` turns
any recipe into one for small frames and two CPU cores.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

__all__ = [
    "TrainConfig",
    "check_ranges",
    "check_types",
    "config_from_dict",
    "parse_value",
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


def with_settings(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """A config with some fields changed, as the command line gives them.

    Args:
        config: what to start from.
        settings: `name=value` each; `none` for None, `true` or `false`.

    Raises:
        ValueError: no such field, a value of the wrong kind, or out of range.

    Example:
        >>> from echoclip_r.training.recipes import echoclip_r
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


_AT_LEAST: Mapping[str, float] = {
    "context_length": 3,
    "max_sentences": 1,
    "batch_size": 2,
    "accumulate": 1,
    "epochs": 1,
    "warmup_steps": 0,
    "weight_decay": 0,
    "max_logit_scale": 1,
    "max_shift_px": 0,
    "seed": 0,
    "workers": 0,
    "cache_mb": 0,
    "validate_every_epochs": 1,
    "validation_clips": 2,
    "checkpoint_every_steps": 1,
    "keep_checkpoints": 1,
    "log_every_steps": 1,
}


_WITHIN: Mapping[str, tuple[float, float]] = {
    "sentence_weight": (0, 1),
    "drop_sentences": (0, 0.9),
    "beta1": (0, 1),
    "beta2": (0, 1),
    "min_crop": (0.1, 1),
    "max_gain": (0, 0.9),
    "max_rotation_deg": (0, 45),
}


def check_types(config: TrainConfig) -> None:
    """Check the kind of every field.

    JSON and callers give ints for floats, which is fine; a string for a number is not.

    Raises:
        ValueError: a value of another kind.
    """
    for name, hint in typing.get_type_hints(type(config)).items():
        kinds = typing.get_args(hint) or (hint,)
        value = getattr(config, name)
        if type(value) not in kinds and not (float in kinds and type(value) is int):
            raise ValueError(
                f"{name} is {value!r}; it takes {' or '.join(_word(kind) for kind in kinds)}"
            )


def check_ranges(config: TrainConfig) -> None:
    """Check the range of every number.

    Raises:
        ValueError: a value out of its range.
    """
    for name, low in _AT_LEAST.items():
        if getattr(config, name) < low:
            raise ValueError(
                f"{name} is {getattr(config, name)}; it must be {low} or more"
                + (": BOS, one id and EOS" if name == "context_length" else "")
            )
    for name, (low, high) in _WITHIN.items():
        if not low <= getattr(config, name) <= high:
            raise ValueError(f"{name} is {getattr(config, name)}; it must be {low} to {high}")
    for name in ("lr", "eps"):
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} is {getattr(config, name)}; it must be above 0")
    if config.grad_clip_norm is not None and not config.grad_clip_norm > 0:
        raise ValueError(f"grad_clip_norm is {config.grad_clip_norm}; it must be above 0 or none")


def parse_value(name: str, cell: str, hint: Any) -> Any:
    """A value as the command line gives it.

    Args:
        name: of the field, for the message.
        cell: `none` for None, `true` or `false`, a number or a text.
        hint: type of the field.

    Raises:
        ValueError: the field takes another kind.
    """
    kinds = typing.get_args(hint) or (hint,)
    if cell.lower() == "none" and type(None) in kinds:
        return None
    kind = next(kind for kind in kinds if kind is not type(None))
    if kind is str:
        return cell
    try:
        value = json.loads(cell.lower())
    except ValueError:
        value = cell
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"setting {name}={cell}: {name} takes {_word(kind)}")
    return value


def _word(kind: type) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return words.get(kind, "none")
