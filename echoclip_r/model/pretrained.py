"""Weights to start from: others', by open_clip's name or a file, and those of runs of ours."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.factory import load_state_dict
from open_clip.model import resize_pos_embed, resize_text_pos_embed
from open_clip.pretrained import (
    download_pretrained,
    get_pretrained_cfg,
    list_pretrained_tags_by_model,
)
from safetensors.torch import load_file

import echotok
from echoclip_r.errors import CheckpointError
from echoclip_r.model.build import build_model, model_config
from echoclip_r.model.checkpoint import load_codec
from echoclip_r.model.description import (
    DESCRIPTION,
    WEIGHTS,
    find_checkpoint,
    read_description,
    tokenizer_of,
)
from echoclip_r.model.precision import pick_device
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.trained import TrainedModel
from echoclip_r.model.vector_tower import reads_vectors
from echoclip_r.model.vocabulary import (
    VocabularyReport,
    grow_embedding,
    transfer_from_clip,
    transfer_from_published,
)
from echoclip_r.places import place
from echoclip_r.text.codec import TextCodec, is_published

__all__ = [
    "default_tokenizer",
    "find_weights",
    "load_pretrained",
    "load_published",
    "trained_folder",
]

# Ours are variants of this one, whose published weights fit their towers.
_BASE = "convnext_base"


def load_published(spec: ModelSpec, *, device: str | torch.device | None = None) -> TrainedModel:
    """A model with the weights that its spec names, to embed with; no training of ours is in it.

    Args:
        spec: its `pretrained` is an open_clip tag or a file of weights.
        device: where the model computes, see `echoclip_r.model.precision.pick_device`.

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
    device = pick_device(device)
    codec = TextCodec.load(spec.tokenizer, context_length=spec.context_length)
    model = build_model(model_config(spec, codec), name=spec.towers)
    load_pretrained(model, spec, codec)
    digest = hashlib.sha256(codec.fingerprint.encode() + spec.channels.encode())
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
        device=device,
    )


def load_pretrained(model: Any, spec: ModelSpec, codec: TextCodec) -> VocabularyReport | None:
    """Fill a model with pretrained weights.

    Args:
        model: `open_clip.CLIP` of the spec.
        spec: its `pretrained` is an open_clip tag of the model (for ours, of `convnext_base`), a
            file (safetensors, or a state dict that `torch.load` reads with `weights_only`), or the
            folder of a run or of a checkpoint.
        codec: its tokenizer. A phrase tokenizer's token embedding is made anew from CLIP's; from a
            checkpoint of the same tokenizer it is taken, from one of an older version of it, grown.

    Returns:
        Where the embedding's rows came from, None where they stayed as they were.

    Raises:
        CheckpointError: no such weights, or they do not fit the model.
    """
    assert spec.pretrained is not None
    if (folder := trained_folder(spec.pretrained)) is not None:
        return _load_trained(model, spec, codec, folder)
    path = str(find_weights(spec.pretrained, spec.towers))
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
        _keep_vectors(state, model)
        resize_pos_embed(state, model)
        resize_text_pos_embed(state, model)
        model.load_state_dict(state)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise CheckpointError(
            f"{path}: the pretrained weights do not fit model {spec.towers} ({error})"
        ) from error
    return report


def trained_folder(pretrained: str) -> Path | None:
    """The checkpoint that `pretrained` means, by its run, itself or its weights; None for others.

    Raises:
        CheckpointError: it is a folder without a checkpoint.
    """
    path = place(pretrained)
    if path.is_dir():
        try:
            return find_checkpoint(path)
        except CheckpointError as error:
            raise CheckpointError(
                f"{path}: it is a folder without a checkpoint; give the folder of a run, one of "
                "its checkpoints, or a file of weights"
            ) from error
    if path.name == WEIGHTS and (path.parent / DESCRIPTION).is_file():
        return path.parent
    return None


def default_tokenizer(pretrained: str | None) -> str:
    """The phrase tokenizer of a run that names none: that of the weights, where they have one.

    Args:
        pretrained: the weights to start from, see `ModelSpec.pretrained`.

    Returns:
        `echo`, also for weights of a program of others; `echo-clip`, which shares CLIP's rows, for
        weights of CLIP's vocabulary; or the artifact of a run's tokenizer.

    Raises:
        CheckpointError: `pretrained` is a folder without a checkpoint.
    """
    if pretrained is None:
        return "echo"
    folder = trained_folder(pretrained)
    artifact = None if folder is None else tokenizer_of(folder)
    if artifact is None and folder is not None:
        has_clips_rows = not is_published(read_description(folder).spec.tokenizer)
        return "echo-clip" if has_clips_rows else "echo"
    return "echo-clip" if artifact is None else str(artifact)


def _load_trained(
    model: Any, spec: ModelSpec, codec: TextCodec, folder: Path
) -> VocabularyReport | None:
    """Fill a model with the weights of a checkpoint of ours, and fit them to its tokenizer."""
    description = read_description(folder)
    old = load_codec(description)
    try:
        state = load_file(folder / WEIGHTS)
        embedding = state["token_embedding.weight"]
    except Exception as error:  # safetensors has an exception of its own
        raise CheckpointError(
            f"{folder}: the weights cannot be loaded ({type(error).__name__}: {error}); copy the "
            "checkpoint again"
        ) from error
    report = None
    if codec.tokenizer is None and (old.tokenizer or old.published):
        raise CheckpointError(
            f"{folder}: its rows are those of tokenizer {old.name}, and this recipe reads "
            "open_clip's own; take a recipe of phrases, such as --recipe echoclip-r"
        )
    if codec.tokenizer is not None:
        if old.published is not None:
            embedding, report = transfer_from_published(embedding, old.published, codec.tokenizer)
        elif old.tokenizer is None:
            embedding, report = transfer_from_clip(embedding, codec.tokenizer)
        elif old.fingerprint != codec.fingerprint:
            try:
                embedding, report = grow_embedding(
                    embedding, old=old.tokenizer, new=codec.tokenizer
                )
            except echotok.ArtifactError as error:
                raise CheckpointError(
                    f"{folder}: {error}. Leave --tokenizer out to take that of the weights, or "
                    "give a growth of it"
                ) from error
        state["token_embedding.weight"] = embedding
    try:
        _keep_vectors(state, model)
        resize_pos_embed(state, model)
        resize_text_pos_embed(state, model)
        model.load_state_dict(state)
    except (ValueError, RuntimeError, AssertionError) as error:
        towers = description.spec.towers
        if open_clip.get_model_config(towers) is None:
            towers = str(folder)  # whose configuration is taken
        raise CheckpointError(
            f"{folder}: its weights are of model {towers} and do not fit {spec.towers}; give "
            f"--model {towers}"
        ) from error
    return report


def _keep_vectors(state: dict[str, torch.Tensor], model: Any) -> None:
    """A model on another encoder's embeddings takes the text tower of the weights alone.

    Its projection stays as it is where the embeddings have another number of columns.
    """
    if reads_vectors(model) is None:
        return
    own = model.state_dict()
    for name in [name for name in state if name.startswith("visual.")]:
        del state[name]
    for name, tensor in own.items():
        other = name == "text_projection" and state[name].shape != tensor.shape
        if name.startswith("visual.") or other:
            state[name] = tensor


def find_weights(pretrained: str, model: str) -> Path:
    """The file of weights that `ModelSpec.pretrained` means, downloaded where it is a tag.

    Raises:
        CheckpointError: there is no such file or tag, or it cannot be downloaded.
    """
    if Path(pretrained).is_file():
        return Path(pretrained)
    name = _BASE if model in ("echoclip", "echoclip-r") else model
    found = get_pretrained_cfg(name, pretrained)
    if not found:
        tags = ", ".join(list_pretrained_tags_by_model(name)) or "none"
        raise CheckpointError(
            f"pretrained {pretrained!r} is neither a file, nor the folder of a run, nor a name "
            f"that open_clip has for {name} (it has: {tags})"
        )
    try:
        return Path(download_pretrained(found))
    except Exception as error:  # no network, no hub: whatever the client raises
        raise CheckpointError(
            f"the weights {pretrained!r} of {name} cannot be downloaded ({type(error).__name__}); "
            "fetch the file where there is a network, and give its path"
        ) from error
