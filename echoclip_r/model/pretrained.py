"""A start from CLIP's weights: found by open_clip's name or a path, vocabulary transferred."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from open_clip.factory import load_state_dict
from open_clip.model import resize_pos_embed, resize_text_pos_embed
from open_clip.pretrained import (
    download_pretrained,
    get_pretrained_cfg,
    list_pretrained_tags_by_model,
)

from echoclip_r.errors import CheckpointError
from echoclip_r.model.vocabulary import VocabularyReport, transfer_from_clip
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.config import TrainConfig

__all__ = ["load_pretrained"]

# Ours are variants of this one, whose published weights fit their towers.
_BASE = "convnext_base"


def load_pretrained(model: Any, config: TrainConfig, codec: TextCodec) -> VocabularyReport | None:
    """Fill a model with pretrained weights.

    Args:
        model: `open_clip.CLIP` of the config.
        config: `pretrained` is an open_clip tag of the model (for ours, of `convnext_base`), or a
            file: safetensors, or a state dict that `torch.load` reads with `weights_only`.
        codec: of the run; for a phrase tokenizer the token embedding is made anew from CLIP's.

    Returns:
        Where the embedding's rows came from, None where they stayed as they were.

    Raises:
        CheckpointError: no such weights, or they do not fit the model.
    """
    assert config.pretrained is not None
    path = _find(config.pretrained, config.model)
    try:
        state = dict(load_state_dict(path))
    except Exception as error:  # whatever torch, pickle or safetensors raise for a broken file
        raise CheckpointError(
            f"{path}: the pretrained weights cannot be read ({type(error).__name__}: {error})"
        ) from error
    report = None
    embedding = state.get("token_embedding.weight")
    if embedding is None:
        raise CheckpointError(
            f"{path}: it has no token_embedding.weight, so it is no plain CLIP of open_clip"
        )
    try:
        if codec.tokenizer is not None:
            state["token_embedding.weight"], report = transfer_from_clip(embedding, codec.tokenizer)
        resize_pos_embed(state, model)
        resize_text_pos_embed(state, model)
        model.load_state_dict(state)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise CheckpointError(
            f"{path}: the pretrained weights do not fit model {config.model} ({error})"
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
