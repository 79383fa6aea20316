"""What an evaluation is made on: manifest or shards -> embeddings of each split -> data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from echoclip_r.data.preparation import prepare
from echoclip_r.data.shards import read_index
from echoclip_r.data.splits import SPLITS
from echoclip_r.embedding.embedder import embed
from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.outcomes import Dataset, make_items
from echoclip_r.model.trained import TrainedModel
from echoclip_r.text.findings import Finding

__all__ = ["describe", "load_dataset", "load_split", "make_shards"]


def make_shards(path: Path, folder: Path, *, size_px: int, seed: int, workers: int) -> Path:
    """The folder itself if it holds shards; those of a manifest are made in `folder`."""
    if path.is_dir():
        return path
    prepare(path, folder, size_px=size_px, seed=seed, workers=workers)
    return folder


def load_split(
    model: TrainedModel, shards: Path, part: str, *, kept: Path, name: str, batch_size: int
) -> Embedded | None:
    """The embeddings of a split, kept for the next time; None where it holds no clip."""
    if not read_index(shards).num_clips(part):
        return None
    folder = kept / f"{name}-{part}-{model.fingerprint[:12]}"
    return embed(model, shards, split=part, out=folder, batch_size=batch_size, overwrite=True)


def load_dataset(
    name: str,
    embedded: Callable[[str], Embedded | None],
    *,
    split: str,
    unit: str,
    findings: Sequence[Finding],
) -> Dataset:
    """Test and validation of a data set; all splits of an external one are test."""
    if name == "internal":
        test = embedded(split)
        # A threshold is never chosen on what it is judged by.
        validation = embedded("validation") if split == "test" else None
    else:
        parts = [part for part in map(embedded, SPLITS) if part is not None]
        test, validation = _join(parts) if parts else None, None
    if test is None:
        raise EvaluationError(
            f"the {name} data has no clip in split {split!r}, so there is nothing to evaluate on"
        )
    return Dataset(
        name=name,
        test=make_items(test, unit, findings),
        validation=None if validation is None else make_items(validation, unit, findings),
    )


def _join(parts: Sequence[Embedded]) -> Embedded:
    starts = np.cumsum([0, *(len(part.clips) for part in parts[:-1])])
    owners = [part.frame_clip + start for part, start in zip(parts, starts, strict=True)]
    return Embedded(
        clips=pd.concat([part.clips for part in parts], ignore_index=True),
        frames=np.concatenate([part.frames for part in parts]),
        frame_clip=np.concatenate(owners),
    )


def describe(dataset: Dataset) -> dict[str, Any]:
    """Counts of a data set, for the report and for JSON."""
    items = dataset.test
    frames = np.bincount(items.frame_item)
    return {
        "num_items": len(items.rows),
        "num_clips": len(items.embedded.clips),
        "num_patients": int(items.rows["patient_id"].nunique()),
        "num_frames": len(items.frames),
        "num_short": items.num_short,
        "fewest_frames": int(frames.min()),
        "num_validation_items": 0 if dataset.validation is None else len(dataset.validation.rows),
    }
