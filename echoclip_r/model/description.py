"""What a checkpoint's folder says of itself, read without torch: its files, settings, name.

`echoclip_r.model.checkpoint` loads and saves the weights; this is for whoever needs to know what a
checkpoint is before, or without, loading it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from echoclip_r.errors import CheckpointError
from echoclip_r.model.spec import ModelSpec
from echoclip_r.places import local_folder, place

__all__ = [
    "Description",
    "find_checkpoint",
    "fingerprint_of",
    "last_checkpoint",
    "list_checkpoints",
    "name_of",
    "read_description",
    "tasks_of",
    "tokenizer_of",
]

FORMAT = 2
DESCRIPTION = "echoclip_r.json"
TOKENIZER = "tokenizer.json"
# The names that open_clip looks for.
WEIGHTS = "open_clip_model.safetensors"
MODEL = "open_clip_config.json"


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


def fingerprint_of(description: Description, *, grown: str | None = None) -> str:
    """The fingerprint of a checkpoint's model, as `TrainedModel` has it.

    Args:
        description: of the checkpoint.
        grown: fingerprint of the tokenizer that it goes on with, where that is a growth of its own.
    """
    facts = [str(description.facts.get("weights_sha256")), description.facts["tokenizer"]["sha256"]]
    if grown is not None:
        facts.append(grown)
    if description.spec.channels != "color":
        facts.append(description.spec.channels)
    return hashlib.sha256(":".join(facts).encode()).hexdigest()


def name_of(description: Description) -> str:
    """A model's short name, for tables and plots: its recipe, or its towers, and its run."""
    folder = description.folder
    run = folder.parent.parent if folder.parent.name == "checkpoints" else folder.parent
    made_by = (description.training or {}).get("recipe", description.spec.towers)
    return f"{made_by} ({run.resolve().name})"


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


def tokenizer_of(path: Path | str) -> Path | None:
    """The artifact of a checkpoint's tokenizer; None for open_clip's own.

    Args:
        path: a checkpoint, or a run's folder.

    Raises:
        CheckpointError: no checkpoint there.
    """
    artifact = find_checkpoint(place(path)) / TOKENIZER
    return artifact if artifact.is_file() else None


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
