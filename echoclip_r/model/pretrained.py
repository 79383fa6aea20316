"""The weights of others: found by open_clip's name or a path, with the vocabulary transferred."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from open_clip.factory import load_state_dict
from open_clip.model import resize_pos_embed, resize_text_pos_embed
from open_clip.pretrained import (
    download_pretrained,
    get_pretrained_cfg,
    list_pretrained_tags_by_model,
)

from echoclip_r.errors import CheckpointError
from echoclip_r.model.build import build_model, model_config
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.trained import TrainedModel
from echoclip_r.model.vocabulary import VocabularyReport, transfer_from_clip
from echoclip_r.text.codec import TextCodec

__all__ = ["load_pretrained", "load_published"]

# Ours are variants of this one, whose published weights fit their towers.
_BASE = "convnext_base"


def load_published(spec: ModelSpec, *, device: str | torch.device = "cpu") -> TrainedModel:
    """A model with the weights that its spec names, to embed with; no training of ours is in it.

    Args:
        spec: its `pretrained` is an open_clip tag or a file of weights.
        device: where the model computes.

    Raises:
        CheckpointError: no such weights, or they do not fit the model.
        ArtifactError: the tokenizer cannot be loaded.
        ValueError: the spec names no weights, or a model that open_clip does not have.
    """
    if spec.pretrained is None:
        raise ValueError(
            f"the spec of {spec.towers} names no weights, and random ones embed nothing; set its "
            "pretrained to an open_clip tag or to a file of weights"
        )
    codec = TextCodec.load(spec.tokenizer, context_length=spec.context_length)
    model = build_model(model_config(spec, codec), name=spec.towers)
    load_pretrained(model, spec, codec)
    digest = hashlib.sha256(codec.fingerprint.encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    model.eval()
    model.to(device=device, memory_format=torch.channels_last)
    return TrainedModel(
        model=model,
        spec=spec,
        text=codec,
        name=f"{spec.towers} ({Path(spec.pretrained).stem})",
        fingerprint=digest.hexdigest(),
        device=torch.device(device),
    )


def load_pretrained(model: Any, spec: ModelSpec, codec: TextCodec) -> VocabularyReport | None:
    """Fill a model with pretrained weights.

    Args:
        model: `open_clip.CLIP` of the spec.
        spec: its `pretrained` is an open_clip tag of the model (for ours, of `convnext_base`), or a
            file: safetensors, or a state dict that `torch.load` reads with `weights_only`.
        codec: its tokenizer; a phrase tokenizer's token embedding is made anew from CLIP's.

    Returns:
        Where the embedding's rows came from, None where they stayed as they were.

    Raises:
        CheckpointError: no such weights, or they do not fit the model.
    """
    assert spec.pretrained is not None
    path = _find(spec.pretrained, spec.towers)
    try:
        state = dict(load_state_dict(path))
    except Exception as error:  # whatever torch, pickle or safetensors raise for a broken file
        raise CheckpointError(
            f"{path}: the pretrained weights cannot be read ({type(error).__name__}: {error}); "
            "get the file again"
        ) from error
    report = None
    embedding = state.get("token_embedding.weight")
    if embedding is None:
        raise CheckpointError(
            f"{path}: it has no token_embedding.weight, so it does not hold a plain CLIP model of "
            "open_clip; give the weights of such a model"
        )
    try:
        if codec.tokenizer is not None:
            state["token_embedding.weight"], report = transfer_from_clip(embedding, codec.tokenizer)
        resize_pos_embed(state, model)
        resize_text_pos_embed(state, model)
        model.load_state_dict(state)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise CheckpointError(
            f"{path}: the pretrained weights do not fit model {spec.towers} ({error})"
        ) from error
    return report


def _find(pretrained: str, model: str) -> str:
    if Path(pretrained).is_file():
        return pretrained
    if Path(pretrained).is_dir():
        raise CheckpointError(f"{pretrained}: it is a folder; give the file of weights in it")
    name = _BASE if model in ("echoclip", "echoclip-r") else model
    found = get_pretrained_cfg(name, pretrained)
    if not found:
        tags = ", ".join(list_pretrained_tags_by_model(name)) or "none"
        raise CheckpointError(
            f"pretrained {pretrained!r} is neither a file nor a name that open_clip has for "
            f"{name} (it has: {tags})"
        )
    try:
        return str(download_pretrained(found))
    except Exception as error:  # no network, no hub: whatever the client raises
        raise CheckpointError(
            f"the weights {pretrained!r} of {name} cannot be downloaded ({type(error).__name__}); "
            "fetch the file where there is a network, and give its path"
        ) from error
