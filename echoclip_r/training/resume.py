"""What is checked before a run begins or goes on, and where it goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from echoclip_r.data.shards import ShardIndex, check_splits
from echoclip_r.errors import CheckpointError, TrainingError
from echoclip_r.model.checkpoint import load_state
from echoclip_r.model.description import (
    Description,
    last_checkpoint,
    list_checkpoints,
    read_description,
)
from echoclip_r.model.settings import fixed_differences
from echoclip_r.training.config import TrainConfig, config_from_dict, config_from_format_1

__all__ = [
    "check_folder",
    "check_patients",
    "config_of",
    "resumed_config",
    "set_aside",
    "set_aside_later",
    "start_of",
]

_OURS = {"best", "checkpoints", "config.json", "config.toml", "log.jsonl", "rejects.csv", "shards"}
_OURS |= {"splits.json", "tensorboard", "vocabulary.csv", "wandb"}
_ASIDE = "set-aside"


def check_folder(out: Path) -> None:
    """Refuse a folder that holds something else than a run.

    Raises:
        TrainingError: it does.
    """
    names = [path.name for path in out.iterdir() if path.name[0] != "."]
    others = [name for name in names if name not in _OURS and not name.startswith("tasks-")]
    if others and not (out / "config.json").exists():
        raise TrainingError(
            f"{out}: it holds other files ({min(others)}) and no run of ours; choose an empty or a "
            "new folder"
        )


def start_of(out: Path, config: TrainConfig, *, named: str | None) -> Path | None:
    """The checkpoint to go on from: the last one or the one that is named; None to begin.

    A run that was begun at the named one, with the same settings, goes on from its own last: the
    same command goes on by itself there, too.

    Args:
        out: the folder of the run.
        config: of the run.
        named: a checkpoint's name, e.g. `step-00001000`, or its folder.

    Raises:
        TrainingError: there is no checkpoint of that name.
        CheckpointError: a checkpoint cannot be read.
    """
    last = last_checkpoint(out)
    if named is None:
        return last
    name = Path(named).name
    if (
        last is not None
        and load_state(last)[1].get("began_at") == name
        and replace(config_of(read_description(last)), readers=None, workers=0)
        == replace(config, readers=None, workers=0)
    ):
        return last
    folder = out / "checkpoints" / name
    if folder not in (known := list_checkpoints(out)):
        there = ", ".join(path.name for path in known) or "none"
        raise TrainingError(f"{out}: it has no checkpoint {name} to go on from; there are: {there}")
    return folder


def resumed_config(start: Path, config: TrainConfig, index: ShardIndex) -> tuple[TrainConfig, int]:
    """The configuration of a run that goes on: the one that is asked for, with its old readers.

    Args:
        start: the checkpoint.
        config: what is asked for.
        index: the shards.

    Returns:
        The configuration, and the number of processes that the run was begun with; see
        `echoclip_r.training.batches`.

    Raises:
        TrainingError: a setting that may not change or the shards are others, so the resumed run
            would not equal an unbroken one.
        CheckpointError: the checkpoint cannot be read.
    """
    before = config_of(read_description(start))
    _, state = load_state(start)
    lanes = int(state["world_size"])
    changed = list(fixed_differences(before, config))
    if state["index_sha256"] != index.sha256:
        changed.append(f"the shards in {index.folder} are others")
    if config.readers not in (None, before.num_readers):
        changed.append(f"readers was {before.num_readers} and is {config.readers}")
    if changed:
        run = start.parent.parent
        raise TrainingError(
            f"{start}: the run cannot go on, because {'; '.join(changed)}. Give the settings that "
            f"it was begun with (they stand in {run / 'config.toml'}, which --config takes), or "
            f"begin a new run in another --out; --pretrained {run} starts it from these weights"
        )
    if config.num_readers == before.num_readers:
        return config, lanes
    readers = before.num_readers
    # Each worker has as many readers as the others; where that does not come out, some are left.
    workers = max((n for n in range(1, config.workers + 1) if readers % n == 0), default=0)
    return replace(config, readers=readers, workers=workers), lanes


def config_of(description: Description) -> TrainConfig:
    """The configuration that a checkpoint was trained with.

    Raises:
        CheckpointError: it has none, or one that this version cannot read.
    """
    folder, training = description.folder, description.training
    if training is None:
        raise CheckpointError(
            f"{folder}: it holds a model without the settings of a run, so no run can go on from "
            f"it; begin a new one in another folder, with --pretrained {folder}"
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


def set_aside(folder: Path) -> Path:
    """Move a checkpoint of a run to where no run goes on from it, and give its new place."""
    run = folder.parent.parent if folder.parent.name == "checkpoints" else folder.parent
    place = run / "checkpoints" / _ASIDE / folder.name
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        shutil.rmtree(place)
    return folder.rename(place)


def set_aside_later(out: Path, start: Path) -> list[str]:
    """Set aside what was made after the checkpoint that a run goes on from; give the names."""
    step = _step(start)
    later = [folder for folder in list_checkpoints(out) if _step(folder) > step]
    for folder in reversed(later):  # a kill in between leaves no later one without the ones before
        set_aside(folder)
    names = [folder.name for folder in later]
    best = out / "best"
    if best.exists() and int(read_description(best).facts.get("step", 0)) > step:
        set_aside(best)
        names.append(best.name)
    return names


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


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
