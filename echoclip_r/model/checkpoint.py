"""Checkpoints: folders that name all that they need, appear whole, and hold no pickle.

RUN/best                       the weights with the best validation MCMRR
RUN/checkpoints/step-00001000  the last ones, with what a run needs to go on
    open_clip_model.safetensors, open_clip_config.json
                               open_clip loads them: `create_model("local-dir:FOLDER")`
    echoclip_r.json            what the model is, how it was trained, step, figures, versions,
                               fingerprints
    tokenizer.json             the tokenizer's artifact, unless it is open_clip's own
    word_counts.json           which words the training reports hold, each under a hash
    tasks-1.toml, ...          task files that an evaluation takes, where the run names some
    state.safetensors, state.json
                               optimizer, generators, place in the data (not in `best`)

Format 1 had the model's settings among those of its training; it is still read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import echotok
from echoclip_r.errors import CheckpointError
from echoclip_r.model.build import (
    MODEL,
    WEIGHTS,
    build_model,
    load_open_clip_weights,
    preprocess_config,
)
from echoclip_r.model.number_rows import plain_weights
from echoclip_r.model.precision import pick_device
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.task_files import TaskFiles
from echoclip_r.model.trained import TrainedModel
from echoclip_r.model.vocabulary import grow_embedding
from echoclip_r.places import local_folder, place
from echoclip_r.storage import sha256_of, whole_folder, writing
from echoclip_r.text.codec import TextCodec
from echoclip_r.text.word_counts import WordCounts

__all__ = [
    "Description",
    "find_checkpoint",
    "fingerprint_of",
    "last_checkpoint",
    "list_checkpoints",
    "load_checkpoint",
    "load_codec",
    "load_state",
    "read_description",
    "read_word_counts",
    "save_checkpoint",
    "tasks_of",
    "tokenizer_of",
]

_log = logging.getLogger(__name__)

FORMAT = 2
DESCRIPTION = "echoclip_r.json"
TOKENIZER = "tokenizer.json"
WORD_COUNTS = "word_counts.json"
STATE, STATE_FACTS = "state.safetensors", "state.json"
_GO_ON = "Earlier checkpoints are whole: the same command goes on from the last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a checkpoint's `echoclip_r.json` says.

    Attributes:
        folder: the checkpoint.
        format: the version of the format that it is written in.
        spec: the model.
        training: how it was trained, in the words of its format, or None where no run made it;
            `echoclip_r.training.resume.config_of` reads it.
        model_config: open_clip's, with the vocabulary of the model's tokenizer.
        preprocess: what frames are made into before the image tower reads them, in the words of
            open_clip's `PreprocessCfg`.
        facts: step, epoch, figures, versions, fingerprints.
    """

    folder: Path
    format: int
    spec: ModelSpec
    training: Mapping[str, Any] | None
    model_config: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    facts: Mapping[str, Any]


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
            "tokenizer": {"name": codec.name, "sha256": codec.fingerprint},
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
            start from their pieces' rows, which is said in the log. Any other is refused (I6).

    Raises:
        CheckpointError: no checkpoint there, a damaged one, or another tokenizer.
        ArtifactError: the tokenizer's file is damaged.
        OptionError: there is no such device here.
    """
    device = pick_device(device)
    description = read_description(find_checkpoint(place(path)))
    folder, spec = description.folder, description.spec
    codec = load_codec(description)
    model = build_model(
        description.model_config, name=spec.towers, preprocess=description.preprocess
    )
    load_open_clip_weights(model, folder)
    fingerprint = fingerprint_of(description, codec)
    if tokenizer is not None:
        grown = _grow(model, codec, echotok.load(tokenizer), folder)
        fingerprint = fingerprint_of(description, codec, grown=grown)
        codec = grown
    model.eval()
    model.to(device=device, memory_format=torch.channels_last)
    run = folder.parent.parent if folder.parent.name == "checkpoints" else folder.parent
    return TrainedModel(
        model=model,
        spec=spec,
        text=codec,
        name=f"{(description.training or {}).get('recipe', spec.towers)} ({run.resolve().name})",
        fingerprint=fingerprint,
        device=device,
        word_counts=read_word_counts(folder),
    )


def fingerprint_of(
    description: Description, codec: TextCodec, *, grown: TextCodec | None = None
) -> str:
    """The fingerprint of a checkpoint's model, as `TrainedModel` has it.

    Args:
        description: of the checkpoint.
        codec: its tokenizer.
        grown: the tokenizer that it goes on with, where that is a growth of its own.
    """
    facts = [str(description.facts.get("weights_sha256")), codec.fingerprint]
    if grown is not None:
        facts.append(grown.fingerprint)
    return hashlib.sha256(":".join(facts).encode()).hexdigest()


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that a path means: itself, or its run's best, else its run's last.

    Raises:
        CheckpointError: there is none.
    """
    for folder in (path, path / "best", last_checkpoint(path)):
        if folder is not None and (folder / DESCRIPTION).is_file():
            return local_folder(folder)
    raise CheckpointError(
        f"{path}: no checkpoint there; give the folder of a run (the --out of `echoclip-r train`) "
        "or one of its checkpoints"
    )


def list_checkpoints(run: Path) -> list[Path]:
    """A run's whole checkpoints, by step; `best` is not among them."""
    found = (run / "checkpoints").glob("step-[0-9]*")
    return sorted(folder for folder in found if (folder / DESCRIPTION).is_file())


def last_checkpoint(run: Path) -> Path | None:
    """The checkpoint with the most steps, or None."""
    return next(reversed(list_checkpoints(run)), None)


def read_description(folder: Path) -> Description:
    """Read what a checkpoint says of itself.

    Raises:
        CheckpointError: it is damaged, or of a newer format.
    """
    try:
        facts = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        number = int(facts["format"])
        if number <= FORMAT:
            spec, training = _READERS[number](facts)
            model = json.loads((folder / MODEL).read_text(encoding="utf-8"))
            _check_parts(facts, training, model)
            return Description(
                folder=folder,
                format=number,
                spec=spec,
                training=training,
                model_config=model["model_cfg"],
                preprocess=model.get("preprocess_cfg", {}),
                facts=facts,
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder}: the checkpoint cannot be read ({type(error).__name__}: {error}); it is "
            "damaged, so copy it again, or take another one of its run"
        ) from error
    maker = facts.get("made_with", {}).get("echotok", "of a later release")
    raise CheckpointError(
        f"{folder}: the checkpoint is of format {number}, and this version of echoclip_r reads "
        f"formats 1 to {FORMAT}; install the version that wrote it, echotok {maker}, or a newer"
    )


def _check_parts(
    facts: Mapping[str, Any], training: Mapping[str, Any] | None, model: Mapping[str, Any]
) -> None:
    """Raises: KeyError, TypeError or ValueError, where a part is missing or of another kind."""
    stated = facts["tokenizer"]
    kinds: tuple[tuple[str, Any, type], ...] = (
        ("training", training or {}, dict),
        ("tasks", facts.get("tasks", []), list),
        ("tokenizer", [stated["name"], stated["sha256"]], list),
        ("vision_cfg", model["model_cfg"]["vision_cfg"], dict),
        ("text_cfg", model["model_cfg"]["text_cfg"], dict),
        ("preprocess_cfg", model.get("preprocess_cfg", {}), dict),
    )
    for name, part, kind in kinds:
        if not isinstance(part, kind):
            raise ValueError(f"{name} is no {kind.__name__}")
    if any(Path(str(name)).name != name for name in facts.get("tasks", [])):
        raise ValueError("tasks names a file that is not in the checkpoint's folder")


def tasks_of(path: Path | str) -> tuple[str, ...]:
    """The task files that a model was trained to answer, as `read_tasks` takes them; () for none.

    Args:
        path: a checkpoint, or a run's folder.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
    """
    folder = find_checkpoint(place(path))
    names = map(str, read_description(folder).facts.get("tasks", ()))
    return tuple(str(folder / name) if (folder / name).is_file() else name for name in names)


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


def tokenizer_of(path: Path | str) -> Path | None:
    """The artifact of a checkpoint's tokenizer; None for open_clip's own.

    Args:
        path: a checkpoint, or a run's folder.

    Raises:
        CheckpointError: no checkpoint there.
    """
    artifact = find_checkpoint(place(path)) / TOKENIZER
    return artifact if artifact.is_file() else None


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


def _read_format_1(facts: Mapping[str, Any]) -> tuple[ModelSpec, Mapping[str, Any]]:
    """The model's settings out of one list with those of its training."""
    training = dict(facts["config"])
    spec = ModelSpec(
        towers=training.pop("model"),
        **{one.name: training.pop(one.name) for one in fields(ModelSpec) if one.name in training},
    )
    return spec, training


def _read_format_2(facts: Mapping[str, Any]) -> tuple[ModelSpec, Mapping[str, Any] | None]:
    return ModelSpec.from_dict(facts["model"]), facts["training"]


_READERS: Mapping[int, Callable[[Mapping[str, Any]], tuple[ModelSpec, Mapping[str, Any] | None]]]
_READERS = {1: _read_format_1, 2: _read_format_2}


def load_codec(description: Description) -> TextCodec:
    """The tokenizer that a checkpoint was trained with.

    Raises:
        CheckpointError: another one is in its place.
        ArtifactError: its file is damaged.
    """
    folder, stated = description.folder, description.facts["tokenizer"]
    path = None if description.spec.tokenizer is None else folder / TOKENIZER
    codec = TextCodec.load(path, context_length=description.spec.context_length)
    if codec.fingerprint != stated["sha256"]:
        raise CheckpointError(
            f"{folder}: its weights were trained with tokenizer {stated['name']} "
            f"{stated['sha256'][:12]}, but {path or 'open_clip'} is {codec.name} "
            f"{codec.fingerprint[:12]}: ids would mean other words than those that were learned. "
            "Put the right tokenizer back; a grown one is given as tokenizer= (--tokenizer)"
        )
    return codec


def _grow(model: Any, codec: TextCodec, grown: echotok.Tokenizer, folder: Path) -> TextCodec:
    if codec.tokenizer is None:
        raise CheckpointError(
            f"{folder}: the model reads open_clip's own tokenizer, which does not grow; {grown!r} "
            "cannot take its place. Train a model with it (--recipe echoclip-r)"
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
