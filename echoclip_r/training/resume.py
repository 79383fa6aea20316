"""What is checked before a run begins or goes on."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from echoclip_r.data.shards import ShardIndex, check_splits
from echoclip_r.errors import CheckpointError, TrainingError
from echoclip_r.model.checkpoint import last_checkpoint, load_state, read_description
from echoclip_r.training.config import TrainConfig
from echoclip_r.training.processes import Process

__all__ = ["check_patients", "check_same_run", "start_of"]

# What a run may change when it goes on; all else decides the batches or the model's shape.
_MAY_CHANGE = frozenset(
    {
        "lr",
        "warmup_steps",
        "weight_decay",
        "beta1",
        "beta2",
        "eps",
        "grad_clip_norm",
        "max_logit_scale",
        "precision",
        "grad_checkpointing",
        "cache_mb",
        "validate_every_epochs",
        "validation_clips",
        "checkpoint_every_steps",
        "keep_checkpoints",
        "log_every_steps",
        "pretrained",
    }
)


def start_of(out: Path, *, resume: bool) -> Path | None:
    """The checkpoint to go on from, or None to begin."""
    last = last_checkpoint(out)
    if last is not None and not resume:
        raise TrainingError(
            f"{out}: it holds a run already ({last.name}); go on with --resume, or choose another "
            "folder"
        )
    return last


def check_same_run(start: Path, config: TrainConfig, index: ShardIndex, process: Process) -> None:
    """A resumed run equals an unbroken one only if nothing has changed that decides its batches."""
    before = read_description(start).config
    _, state = load_state(start)
    changed = [
        f"{field.name} was {getattr(before, field.name)!r} and is {getattr(config, field.name)!r}"
        for field in fields(TrainConfig)
        if field.name not in _MAY_CHANGE
        and getattr(before, field.name) != getattr(config, field.name)
    ]
    if state["index_sha256"] != index.sha256:
        changed.append(f"the shards in {index.folder} are others")
    if state["world_size"] != process.world_size:
        changed.append(f"{state['world_size']} processes were used, now {process.world_size}")
    if changed:
        raise TrainingError(
            f"{start}: the run cannot go on, because {'; '.join(changed)}. Resume with what it was "
            "begun with, or begin a new run in another folder (--pretrained takes these weights)"
        )


def check_patients(index: ShardIndex, out: Path) -> None:
    """I10, once for the same shards: reading a million records takes minutes."""
    note = out / "splits.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if note.exists() and json.loads(note.read_text())["data_sha256"] == index.sha256:
            return
        patients = check_splits(index)
        note.write_text(json.dumps({"data_sha256": index.sha256, "num_patients": dict(patients)}))
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{out}: the run's folder cannot be used ({error})") from error
