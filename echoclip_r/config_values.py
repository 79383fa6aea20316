"""What a field of a `TrainConfig` may hold: its kind, its range, how the command line writes it."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echoclip_r.config import TrainConfig

__all__ = ["check_ranges", "check_types", "parse_value"]

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
