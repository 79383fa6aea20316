"""The model: open_clip's CLIP, built from this package's configurations; what others hold of it.

This module, `text`, `loss` and `vocabulary_transfer` are all that touches open_clip.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from timm.models import register_model

from echoclip_r.errors import CheckpointError
from echoclip_r.model.small_resnet import echoclip_r_small_resnet
from echoclip_r.model.text_tower import is_plain_text_tower
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.config import TrainConfig
from echotok.adapters.open_clip import text_config

__all__ = [
    "WEIGHTS",
    "build_model",
    "load_open_clip_weights",
    "model_config",
    "normalize_frames",
    "preprocess_config",
    "register",
]

WEIGHTS = "open_clip_model.safetensors"  # the name that open_clip looks for
_OTHER_TOWER = (
    "model {!r} has a text tower of its own kind; reports are trimmed to their length only with "
    "open_clip's plain causal one: choose another model"
)
CONFIGS = Path(__file__).parent / "configs"


@cache
def register() -> None:
    """Make `echoclip`, `echoclip-r` and their tiny forms known to open_clip; once a process."""
    register_model(echoclip_r_small_resnet)
    open_clip.add_model_config(CONFIGS)


def model_config(config: TrainConfig, codec: TextCodec) -> dict[str, Any]:
    """The open_clip configuration of a run's model: its towers, with the tokenizer's vocabulary.

    Raises:
        ValueError: open_clip knows no such model, or its text tower is not a plain causal one.
    """
    register()
    found: dict[str, Any] | None = open_clip.get_model_config(config.model)
    if found is None:
        ours = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.json")))
        raise ValueError(
            f"open_clip has no model {config.model!r}; this package's are {ours}, and "
            "`open_clip.list_models()` names the others"
        )
    if found.get("custom_text") or "hf_model_name" in found["text_cfg"]:
        raise ValueError(_OTHER_TOWER.format(config.model))
    if codec.tokenizer is None:
        found["text_cfg"]["context_length"] = codec.context_length
        found["text_cfg"]["vocab_size"] = codec.vocab_size
    else:
        found["text_cfg"] |= text_config(codec.tokenizer, context_length=codec.context_length)
    return found


def build_model(config: Mapping[str, Any], *, name: str, grad_checkpointing: bool = False) -> Any:
    """A model with random weights, float32, on the CPU.

    Args:
        config: from `model_config`, or of a checkpoint.
        name: the open_clip model that it is a variant of.
        grad_checkpointing: see `TrainConfig`.

    Returns:
        `open_clip.CLIP`.

    Raises:
        ValueError: its text tower is not a plain causal one.
    """
    register()
    with _quiet():
        model = open_clip.create_model(name, output_dict=True, **config)
    if not is_plain_text_tower(model):
        raise ValueError(_OTHER_TOWER.format(name))
    if grad_checkpointing:
        model.set_grad_checkpointing()
    return model


def load_open_clip_weights(model: Any, folder: Path) -> None:
    """Fill a model with the weights of a checkpoint.

    Raises:
        CheckpointError: they are not there, damaged, or of another model.
    """
    path = folder / WEIGHTS
    try:
        open_clip.load_checkpoint(model, str(path))
    except Exception as error:  # safetensors has an exception of its own
        raise CheckpointError(
            f"{path}: the weights cannot be loaded ({type(error).__name__}: {error}); copy the "
            "checkpoint again"
        ) from error


def preprocess_config(model: Any) -> dict[str, Any]:
    """How frames are prepared for a model: open_clip's `PreprocessCfg` as a dictionary."""
    return dict(model.visual.preprocess_cfg)


def normalize_frames(
    frames_BHWC: torch.Tensor, model: Any, *, gains_B: torch.Tensor | None = None
) -> torch.Tensor:
    """Uint8 frames of the model's size to its input, on the device where they lie.

    Args:
        frames_BHWC: uint8 RGB.
        model: whose mean and spread are taken.
        gains_B: factors of brightness, or None.

    Returns:
        float32 (B, 3, H, W) in channels-last memory.
    """
    prepared = preprocess_config(model)
    image = frames_BHWC.permute(0, 3, 1, 2).to(torch.float32) / 255
    if gains_B is not None:
        image = (image * gains_B.view(-1, 1, 1, 1)).clamp_(0, 1)
    mean = torch.tensor(prepared["mean"], device=image.device).view(-1, 1, 1)
    spread = torch.tensor(prepared["std"], device=image.device).view(-1, 1, 1)
    return ((image - mean) / spread).contiguous(memory_format=torch.channels_last)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without open_clip's warning that a model starts from random weights: here it is meant."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
