"""From a `ModelSpec` to open_clip's CLIP with random weights, and the frames that it reads.

open_clip is touched here, in `pretrained` (weights of others), `text_tower` (its inside),
`vocabulary` and `echoclip_r.text.codec` (its tokenizer) and `echoclip_r.training.loss` (its loss);
nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from timm.models import register_model

from echoclip_r.errors import CheckpointError, OptionError
from echoclip_r.model.description import MODEL, WEIGHTS
from echoclip_r.model.small_resnet import echoclip_r_small_resnet
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.text_tower import is_plain_text_tower
from echoclip_r.model.vector_tower import echoclip_r_vectors, vectors_config
from echoclip_r.storage import read_json
from echoclip_r.text.codec import TextCodec
from echotok.adapters.open_clip import text_config

__all__ = [
    "build_model",
    "fit_frames",
    "frame_size_px",
    "freeze_towers",
    "image_size_px",
    "load_open_clip_weights",
    "model_config",
    "normalize_frames",
    "preprocess_config",
    "register",
]

_OTHER_TOWER = (
    "model {!r} has a text tower of its own kind; reports are trimmed to their length only with "
    "open_clip's plain causal one: choose another model"
)
_CONFIGS = files("echoclip_r.model") / "configs"
_ANY_MODEL = "ViT-B-32"  # every part of it is replaced by what a checkpoint's configuration says


@cache
def register() -> None:
    """Make `echoclip`, `echoclip-r` and their tiny forms known to open_clip; once a process."""
    register_model(echoclip_r_small_resnet)
    register_model(echoclip_r_vectors)
    with as_file(_CONFIGS) as folder:
        open_clip.add_model_config(folder)


def model_config(spec: ModelSpec, codec: TextCodec) -> dict[str, Any]:
    """The open_clip configuration of a model: its towers, with the vocabulary of its tokenizer.

    Args:
        spec: the model.
        codec: its tokenizer.

    Raises:
        OptionError: open_clip knows no such model, or its text tower is not a plain causal one.
    """
    found = _towers_config(spec.towers)
    if found.get("custom_text") or "hf_model_name" in found["text_cfg"]:
        raise OptionError(_OTHER_TOWER.format(spec.towers))
    for key in ("hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs"):
        found["text_cfg"].pop(key, None)  # those of an exported folder, whose towers these are
    if codec.tokenizer is None:
        found["text_cfg"]["context_length"] = codec.context_length
        found["text_cfg"]["vocab_size"] = codec.vocab_size
    else:
        found["text_cfg"] |= text_config(codec.tokenizer, context_length=codec.context_length)
    return found


def frame_size_px(towers: str) -> int:
    """Side of the frames that an open_clip model reads, without building it.

    Raises:
        OptionError: open_clip knows no such model.
    """
    return _side(_towers_config(towers)["vision_cfg"].get("image_size", 224))


def build_model(
    config: Mapping[str, Any],
    *,
    name: str,
    preprocess: Mapping[str, Any] | None = None,
    grad_checkpointing: bool = False,
) -> Any:
    """A model with random weights, float32, on the CPU.

    Args:
        config: from `model_config`, or of a checkpoint.
        name: the open_clip model that it is a variant of; for messages where there is none.
        preprocess: what frames are made into, in the words of open_clip's `PreprocessCfg`; None
            takes its defaults.
        grad_checkpointing: whether activations are computed again for the gradients, to save
            memory.

    Returns:
        `open_clip.CLIP`.

    Raises:
        OptionError: its text tower is not a plain causal one.
    """
    register()
    base = name if open_clip.get_model_config(name) is not None else _ANY_MODEL
    # The size is the towers' own. A tower that reads vectors undoes what open_clip does by default.
    is_vectors = config["vision_cfg"].get("timm_model_name") == echoclip_r_vectors.__name__
    kept = {name: cell for name, cell in (preprocess or {}).items() if name != "size"}
    with _quiet():
        model = open_clip.create_model(
            base,
            output_dict=True,
            force_preprocess_cfg={} if is_vectors else kept,
            **config,
        )
    if not is_plain_text_tower(model):
        raise OptionError(_OTHER_TOWER.format(name))
    if grad_checkpointing:
        model.set_grad_checkpointing()
    return model


def freeze_towers(model: Any, spec: ModelSpec) -> None:
    """Let no gradient reach the towers that a spec keeps as they are.

    What a frozen tower must still do, that is computing as in evaluation while the other one
    trains, `echoclip_r.training.step.Towers` sees to.
    """
    image = {name for name, _ in model.named_parameters() if name.startswith("visual.")}
    for name, parameter in model.named_parameters():
        frozen = spec.freeze_image if name in image else spec.freeze_text
        if frozen and name != "logit_scale":
            parameter.requires_grad_(False)


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


def image_size_px(model: Any) -> int:
    """Side of the frames that a model reads."""
    return _side(preprocess_config(model)["size"])


def fit_frames(frames: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], model: Any) -> torch.Tensor:
    """Frames of any sizes, resized and cropped at the centre as open_clip does it.

    Args:
        frames: uint8 RGB, (B, H, W, 3), or (H, W, 3) each.
        model: `open_clip.CLIP`.

    Returns:
        uint8 (B, size, size, 3).
    """
    size = image_size_px(model)
    if all(frame.shape[:2] == (size, size) for frame in frames):
        return torch.from_numpy(np.ascontiguousarray(np.stack(list(frames))))
    known = asdict(PreprocessCfg())
    settings = {name: cell for name, cell in preprocess_config(model).items() if name in known}
    # All steps but the last two, to tensor and normalize, which are done in batches.
    steps = image_transform_v2(PreprocessCfg(**settings), is_train=False).transforms[:-2]
    fitted = []
    for frame in frames:
        image = Image.fromarray(frame)
        for step in steps:
            image = step(image)
        fitted.append(np.asarray(image))
    return torch.from_numpy(np.stack(fitted))


def normalize_frames(
    frames_BHWC: torch.Tensor, model: Any, *, gains_B: torch.Tensor | None = None
) -> torch.Tensor:
    """The input of a model from frames of its size, on the device where they lie.

    Args:
        frames_BHWC: uint8 RGB.
        model: `open_clip.CLIP`, whose mean and spread are taken.
        gains_B: a factor of brightness for each frame, or None.

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


def _towers_config(towers: str) -> dict[str, Any]:
    register()
    found: dict[str, Any] | None = open_clip.get_model_config(towers) or vectors_config(towers)
    for folder in (Path(towers), Path(towers) / "best"):
        if found is None and (content := read_json(folder / MODEL)) is not None:
            found = content.get("model_cfg")
    if found is None:
        names = sorted(entry.name.removesuffix(".json") for entry in _CONFIGS.iterdir())
        raise OptionError(
            f"open_clip has no model {towers!r}; this package's are {', '.join(names)}, and "
            "`open_clip.list_models()` names the others"
        )
    return found


def _side(size: Any) -> int:
    return int(size if isinstance(size, int) else size[0])


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
