"""What a model is, whoever trained it: one frozen `ModelSpec`.

    from random weights      ModelSpec(towers="echoclip-r", tokenizer="echo")
    the weights of others    ModelSpec(towers="convnext_base", pretrained="laion400m_s13b_b51k")
    a frozen image tower     ModelSpec(towers="echoclip-r", tokenizer="echo-clip",
                                       pretrained="clip.safetensors", freeze_image=True)

How a model is trained stands in `echoclip_r.training.config.TrainConfig`, which holds a spec.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from echoclip_r.errors import OptionError
from echoclip_r.model.channels import CHANNELS
from echoclip_r.model.settings import check, rule

__all__ = ["ModelSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model: its towers, its tokenizer, its context and its precision.

    Raises:
        OptionError: a value is of the wrong kind or out of its range.

    Example:
        >>> ModelSpec(towers="echoclip-r", tokenizer="echo").context_length
        77
    """

    towers: str = field(metadata=rule(called="model"))
    """The open_clip model whose image and text tower it has, e.g. `echoclip-r` (this package's) or
    `convnext_base`. A tower of another kind, such as one for videos, is a configuration there."""
    tokenizer: str | None = None
    """`echo`, `echo-clip`, an artifact's path, `published:FOLDER` (the reader's own copy of the
    template tokenizer of the published EchoCLIP-R), or None for open_clip's own tokenizer."""
    context_length: int = field(default=77, metadata=rule(least=3, why=": BOS, one id and EOS"))
    """Ids that the text tower reads, BOS and EOS included."""
    pretrained: str | None = field(default=None, metadata=rule(may_change=True))
    """The weights that it starts from: an open_clip tag (`laion400m_s13b_b51k`), a file of weights,
    the folder of a run or checkpoint, or None for random ones."""
    freeze_image: bool = False
    """Whether training leaves the image tower as it is."""
    freeze_text: bool = False
    """Whether training leaves the text tower as it is."""
    precision: str = field(
        default="auto",
        metadata=rule(choices=("auto", "fp32", "bf16", "fp16"), may_change=True),
    )
    """`fp32`, `bf16`, `fp16`, or `auto`: bf16 where the GPU has it, else fp16; fp32 on a CPU."""

    channels: str = field(default="color", metadata=rule(choices=CHANNELS))
    """What the image tower's three channels show: `color`, those of one frame; or `cine`, the
    brightness of three frames, a third of the clip apart, so that a picture shows motion."""

    def __post_init__(self) -> None:
        check(self)

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON; `from_dict` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ModelSpec:
        """A spec from what `to_dict` wrote.

        Raises:
            OptionError: it has a field that this version does not know, or a value that it refuses.
        """
        unknown = sorted(set(content) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise OptionError(
                f"the model has {', '.join(unknown)}, which this version of echoclip_r does not "
                "know; use the version that wrote it"
            )
        return cls(**content)
