"""What is checked before a run begins or goes on."""

from __future__ import annotations

import json
from pathlib import Path

from echoclip_r.data.shards import ShardIndex, check_splits
from echoclip_r.errors import CheckpointError, TrainingError
from echoclip_r.model.checkpoint import (
    Description,
    last_checkpoint,
    load_state,
    read_description,
)
from echoclip_r.model.settings import fixed_differences
from echoclip_r.training.config import TrainConfig, config_from_dict, config_from_format_1
from echoclip_r.training.processes import Process

__all__ = ["check_patients", "check_same_run", "config_of", "start_of"]


def start_of(out: Path, *, resume: bool) -> Path | None:
    """The checkpoint to go on from, or None to begin.

    Raises:
        TrainingError: the folder holds a run, and it is not to go on.
    """
    last = last_checkpoint(out)
    if last is not None and not resume:
        raise TrainingError(
            f"{out}: it holds a run already ({last.name}); go on with --resume, or choose another "
            "folder"
        )
    return last


def check_same_run(start: Path, config: TrainConfig, index: ShardIndex, process: Process) -> None:
    """Refuse to go on where the resumed run would not equal an unbroken one.

    Raises:
        TrainingError: a setting that may not change, the shards or the processes are others.
        CheckpointError: the checkpoint cannot be read.
    """
    before = config_of(read_description(start))
    _, state = load_state(start)
    changed = list(fixed_differences(before, config))
    if state["index_sha256"] != index.sha256:
        changed.append(f"the shards in {index.folder} are others")
    if state["world_size"] != process.world_size:
        changed.append(f"{state['world_size']} processes were used, now {process.world_size}")
    if changed:
        raise TrainingError(
            f"{start}: the run cannot go on, because {'; '.join(changed)}. Resume it with the "
            "settings that it was begun with, or begin a new run in another folder"
        )


def config_of(description: Description) -> TrainConfig:
    """The configuration that a checkpoint was trained with.

    Raises:
        CheckpointError: it has none, or one that this version cannot read.
    """
    folder, training = description.folder, description.training
    if training is None:
        raise CheckpointError(
            f"{folder}: it holds a model without the settings of a run, so no run can go on from "
            "it; begin a new one in another folder"
        )
    try:
        if description.format == 1:
            return config_from_format_1(description.spec, training)
        return config_from_dict({"model": description.spec.to_dict(), **training})
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder}: the settings of its run cannot be read ({type(error).__name__}: {error}); "
            "the checkpoint is damaged, or of another version of echoclip_r"
        ) from error


def check_patients(index: ShardIndex, out: Path) -> None:
    """Refuse shards with a patient in two splits (I10).

    It is done once for the same shards, since reading a million records takes minutes.

    Raises:
        ShardError: a patient is in two splits.
        CheckpointError: the run's folder cannot be written to.
    """
    note = out / "splits.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if note.exists() and json.loads(note.read_text())["data_sha256"] == index.sha256:
            return
        patients = check_splits(index)
        note.write_text(json.dumps({"data_sha256": index.sha256, "num_patients": dict(patients)}))
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{out}: the run's folder cannot be used ({error})") from error
