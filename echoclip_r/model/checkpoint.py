"""Checkpoints: folders that name all that they need, appear whole, and hold no pickle.

RUN/best                       the weights with the best validation MCMRR
RUN/checkpoints/step-00001000  the last ones, with what a run needs to go on
    open_clip_model.safetensors, open_clip_config.json
                               open_clip loads them: `create_model("local-dir:FOLDER")`
    echoclip_r.json            what the model is, how it was trained, step, figures, versions,
                               fingerprints
    tokenizer.json             the tokenizer's artifact, unless it is open_clip's own; of a program
                               of others, only its folder and the sha256 of its files are kept
    word_counts.json           which words the training reports hold, each under a hash
    tasks-1.toml, ...          task files that an evaluation takes, where the run names some
    state.safetensors, state.json
                               optimizer, generators, place in the data (not in `best`)

Format 1 had the model's settings among those of its training; it is still read.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import echotok
from echoclip_r.errors import CheckpointError
from echoclip_r.model.build import build_model, load_open_clip_weights, preprocess_config
from echoclip_r.model.description import (
    DESCRIPTION,
    FORMAT,
    MODEL,
    TOKENIZER,
    WEIGHTS,
    Description,
    find_checkpoint,
    fingerprint_of,
    name_of,
    read_description,
)
from echoclip_r.model.number_rows import plain_weights
from echoclip_r.model.precision import pick_device
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.task_files import TaskFiles
from echoclip_r.model.trained import TrainedModel
from echoclip_r.model.vocabulary import grow_embedding
from echoclip_r.places import place
from echoclip_r.storage import sha256_of, whole_folder, writing
from echoclip_r.text.codec import PUBLISHED, TextCodec, is_published
from echoclip_r.text.word_counts import WordCounts
from echotok.adapters.published import PublishedTokenizer

__all__ = [
    "load_checkpoint",
    "load_codec",
    "load_state",
    "read_word_counts",
    "save_checkpoint",
]

_log = logging.getLogger(__name__)

WORD_COUNTS = "word_counts.json"
STATE, STATE_FACTS = "state.safetensors", "state.json"
_GO_ON = "Earlier checkpoints are whole: the same command goes on from the last"


def save_checkpoint(
    folder: Path,
    model: Any,
    *,
    spec: ModelSpec,
    model_config: Mapping[str, Any],
    codec: TextCodec,
    facts: Mapping[str, Any],
    training: Mapping[str, Any] | None = None,
    tensors: Mapping[str, torch.Tensor] | None = None,
    state: Mapping[str, Any] | None = None,
    tasks: TaskFiles | None = None,
    word_counts: WordCounts | None = None,
) -> None:
    """Write a checkpoint, whole or not at all; an older one of the name is replaced.

    Args:
        folder: where; its parent is made.
        model: `open_clip.CLIP`.
        spec: what the model is.
        model_config: from `echoclip_r.model.build.model_config`.
        codec: the model's tokenizer.
        facts: what else to say, ready for JSON.
        training: how it is trained, ready for JSON, or None where no run makes it.
        tensors: with `state`, what a run needs to go on; None for weights alone.
        state: what a run needs to go on, ready for JSON.
        tasks: what an evaluation asks the model unless it is told otherwise.
        word_counts: which words its training reports hold, where that is known.

    Raises:
        CheckpointError: it cannot be written.
    """
    with (
        writing(folder, "the checkpoint", error=CheckpointError, go_on=_GO_ON),
        whole_folder(folder) as partial,
    ):
        _save_tensors(partial / WEIGHTS, plain_weights(model))
        _save_json(
            partial / MODEL,
            {"model_cfg": dict(model_config), "preprocess_cfg": preprocess_config(model)},
        )
        if codec.tokenizer is not None:
            codec.tokenizer.save(partial / TOKENIZER)
        if state is not None:
            _save_tensors(partial / STATE, tensors or {})
            _save_json(partial / STATE_FACTS, state)
        if word_counts is not None:
            (partial / WORD_COUNTS).write_text(word_counts.to_json(), encoding="utf-8")
        tasks = tasks or TaskFiles()
        tasks.save(partial)
        described = {
            "tasks": list(tasks.names),
            "format": FORMAT,
            "model": spec.to_dict(),
            "training": training,
            "tokenizer": _tokenizer_facts(codec),
            "weights_sha256": sha256_of(partial / WEIGHTS),
            "made_with": {
                name: version(name) for name in ("echotok", "torch", "open_clip_torch", "timm")
            },
        }
        _save_json(partial / DESCRIPTION, described | dict(facts))


def load_checkpoint(
    path: Path | str,
    *,
    device: str | torch.device | None = None,
    tokenizer: Path | str | None = None,
) -> TrainedModel:
    """Load a model to embed with.

    Args:
        path: a checkpoint, or a run's folder, of which the best is taken, else the last.
        device: where the model computes, see `echoclip_r.model.precision.pick_device`.
        tokenizer: a grown version of the checkpoint's tokenizer to go on with; rows that are new
            start from their pieces' rows, which is said in the log. Any other is refused (I6). For
            a program of others, `published:FOLDER` says where it lies now.

    Raises:
        CheckpointError: no checkpoint there, a damaged one, or another tokenizer.
        ArtifactError: the tokenizer's file is damaged.
        OptionError: there is no such device here.
    """
    device = pick_device(device)
    description = read_description(find_checkpoint(place(path)))
    folder, spec = description.folder, description.spec
    moved = None if tokenizer is None else str(tokenizer)
    if is_published(moved):
        codec, tokenizer = load_codec(description, moved=moved), None
    else:
        codec = load_codec(description)
    model = build_model(
        description.model_config, name=spec.towers, preprocess=description.preprocess
    )
    load_open_clip_weights(model, folder)
    fingerprint = fingerprint_of(description)
    if tokenizer is not None:
        grown = _grow(model, codec, echotok.load(tokenizer), folder)
        fingerprint = fingerprint_of(description, grown=grown.fingerprint)
        codec = grown
    model.eval()
    model.to(device=device, memory_format=torch.channels_last)
    return TrainedModel(
        model=model,
        spec=spec,
        text=codec,
        name=name_of(description),
        fingerprint=fingerprint,
        device=device,
        word_counts=read_word_counts(folder),
    )


def read_word_counts(folder: Path) -> WordCounts | None:
    """Which words a checkpoint's training reports hold; None where its run did not count.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / WORD_COUNTS
    try:
        return WordCounts.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: it cannot be read ({error}); copy it again, or delete it: the model needs it "
            "only to tell which words it knows"
        ) from error


def load_state(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what a run needs to go on: `tensors` and `state`, as `save_checkpoint` was given them.

    Raises:
        CheckpointError: they are not there, or damaged.
    """
    try:
        return load_file(folder / STATE), json.loads((folder / STATE_FACTS).read_text())
    except Exception as error:  # safetensors has an exception of its own
        raise CheckpointError(
            f"{folder}: no state to go on from ({type(error).__name__}); `best` holds weights "
            "alone, and a run goes on from RUN/checkpoints"
        ) from error


def load_codec(description: Description, *, moved: str | None = None) -> TextCodec:
    """The tokenizer that a checkpoint was trained with.

    Args:
        description: of the checkpoint.
        moved: `published:FOLDER`, where the program that it reads with lies now.

    Raises:
        CheckpointError: another one is in its place.
        ArtifactError: its file is damaged.
    """
    folder, stated, spec = description.folder, description.facts["tokenizer"], description.spec
    if is_published(spec.tokenizer):
        return _load_published(description, moved or str(spec.tokenizer))
    if moved is not None:
        raise CheckpointError(
            f"{folder}: it reads with tokenizer {stated['name']}, and not with a program of "
            f"others; leave {moved} out"
        )
    path = None if spec.tokenizer is None else folder / TOKENIZER
    codec = TextCodec.load(path, context_length=spec.context_length)
    if codec.fingerprint != stated["sha256"]:
        raise CheckpointError(
            f"{folder}: its weights were trained with tokenizer {stated['name']} "
            f"{stated['sha256'][:12]}, but {path or 'open_clip'} is {codec.name} "
            f"{codec.fingerprint[:12]}: ids would mean other words than those that were learned. "
            "Put the right tokenizer back; a grown one is given as tokenizer= (--tokenizer)"
        )
    return codec


def _load_published(description: Description, name: str) -> TextCodec:
    """The program of others that a checkpoint remembers, in the folder that a name says."""
    try:
        tokenizer = PublishedTokenizer(
            name.removeprefix(PUBLISHED), files=description.facts["tokenizer"].get("files")
        )
    except echotok.ArtifactError as error:
        raise CheckpointError(
            f"{description.folder}: it reads texts with a tokenizer program of others, which is "
            f"kept where you have it and not in the run. {error}. Where it lies elsewhere now, "
            f"say so: tokenizer= (--tokenizer) {PUBLISHED}FOLDER, or import the weights again"
        ) from error
    return TextCodec(tokenizer, context_length=description.spec.context_length)


def _tokenizer_facts(codec: TextCodec) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": codec.name, "sha256": codec.fingerprint}
    if codec.published is not None:
        facts["files"] = dict(codec.published.files)
    return facts


def _grow(model: Any, codec: TextCodec, grown: echotok.Tokenizer, folder: Path) -> TextCodec:
    if codec.tokenizer is None:
        raise CheckpointError(
            f"{folder}: the model reads with the tokenizer {codec.name}, which does not grow; "
            f"{grown!r} cannot take its place. Train a model with it (--recipe echoclip-r)"
        )
    try:
        embedding, report = grow_embedding(
            model.token_embedding.weight.detach(), old=codec.tokenizer, new=grown
        )
    except echotok.ArtifactError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    with torch.no_grad():
        model.token_embedding.weight.copy_(embedding)
    if report.origins:
        _log.warning(
            "%s: %d rows of the tokenizer are new since training, and start from their pieces (%s)",
            folder,
            len(report.origins),
            report,
        )
    return TextCodec(grown, context_length=codec.context_length)


def _save_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, path)
    except SafetensorError as error:  # it hides what the system said in its text
        if number := re.search(r"os error (\d+)", str(error)):
            code = int(number[1])
            raise OSError(code, os.strerror(code), str(path)) from error
        raise


def _save_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
