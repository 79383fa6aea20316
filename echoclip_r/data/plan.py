"""Which clip goes into which shard, decided before any clip is read.

The order is a hash of the seed and of the clip's names: it mixes patients, which training wants,
and depends neither on the order of the manifest's rows nor on which clips turn out unreadable.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoclip_r.data.manifest import Manifest
from echoclip_r.data.outlines import Outlines
from echoclip_r.data.samples import ClipRow, SampleOptions
from echoclip_r.data.splits import SPLITS
from echoclip_r.errors import OptionError

__all__ = ["Plan", "PlannedShard", "make_plan"]

_COLUMNS = ("row", "study_id", "patient_id", "video", "path", "report", "view", "date")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlannedShard:
    """A fixed slice of the sorted manifest.

    Attributes:
        name: file name without its ending, e.g. `train-000000`.
        split: split that it belongs to.
        start: place of its first clip in the split.
        indices: rows of its clips in the manifest's frame, int64, shape (num_clips,).
    """

    name: str
    split: str
    start: int
    indices: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """All shards of a run.

    Attributes:
        manifest: manifest of the clips.
        shards: the shards in order of split and number.
        options: all options that decide the shards' bytes, ready for JSON, without the salt.
        rows_fingerprint: sha256 of the rows in order, and of the salt.
        outlines: a file of sectors, or None.
    """

    manifest: Manifest
    shards: tuple[PlannedShard, ...]
    options: Mapping[str, Any]
    rows_fingerprint: str
    outlines: Outlines | None = None

    def rows(self, shard: PlannedShard) -> tuple[ClipRow, ...]:
        """The clips of a shard in order, made only when needed: an archive may have a million."""
        rows = _clip_rows(self.manifest, shard)
        if self.outlines is None:
            return tuple(rows)
        return tuple(
            replace(
                row,
                rules=self.outlines.for_clip(video=row.video, path=row.path, study_id=row.study_id),
            )
            for row in rows
        )


def make_plan(
    manifest: Manifest,
    options: SampleOptions,
    *,
    clips_per_shard: int,
    outlines: Outlines | None = None,
) -> Plan:
    """Sort a manifest's rows and cut them into shards.

    Raises:
        OptionError: `clips_per_shard` is not positive.
    """
    if clips_per_shard < 1:
        raise OptionError(f"clips_per_shard is {clips_per_shard}; it must be at least 1")
    frame = manifest.frame
    by_split: dict[str, list[tuple[bytes, int]]] = {split: [] for split in SPLITS}
    names = zip(frame["split"], frame["study_id"], frame["video"], strict=True)
    for index, (split, study_id, video) in enumerate(names):
        name = f"{options.seed}\0{study_id}\0{video}"
        by_split[split].append((hashlib.sha256(name.encode()).digest(), index))
    shards = [
        PlannedShard(
            name=f"{split}-{start // clips_per_shard:06d}",
            split=split,
            start=start,
            indices=np.array([index for _, index in part], dtype=np.int64),
        )
        for split, order in by_split.items()
        for start, part in _parts(sorted(order), clips_per_shard)
    ]
    digest = hashlib.sha256((options.hash_salt or "").encode())
    for shard in shards:
        for row in _clip_rows(manifest, shard):
            facts = (row.key, row.study_id, row.patient_id, row.video, row.report, row.view)
            digest.update(json.dumps([*facts, row.date, row.labels]).encode())
    return Plan(
        manifest=manifest,
        shards=tuple(shards),
        options={
            "size_px": options.size_px,
            "frames_per_clip": options.frames_per_clip,
            "image_format": options.image_format,
            "seed": options.seed,
            "keep_unsure": options.keep_unsure,
            "masked": options.masked,
            "hash_ids": options.hash_salt is not None,
            "clips_per_shard": clips_per_shard,
            "labels": list(manifest.labels),
        },
        rows_fingerprint=digest.hexdigest(),
        outlines=outlines,
    )


def _parts(
    order: list[tuple[bytes, int]], size: int
) -> Iterator[tuple[int, list[tuple[bytes, int]]]]:
    for start in range(0, len(order), size):
        yield start, order[start : start + size]


def _clip_rows(manifest: Manifest, shard: PlannedShard) -> Iterator[ClipRow]:
    part = manifest.frame.iloc[shard.indices]
    labels = [part[name].tolist() for name in manifest.labels]
    cells = [part[name].tolist() for name in _COLUMNS]
    for position, values in enumerate(zip(*cells, strict=True)):
        numbers = {
            name: column[position] for name, column in zip(manifest.labels, labels, strict=True)
        }
        yield ClipRow(
            key=f"{shard.split}-{shard.start + position:08d}",
            labels={name: value for name, value in numbers.items() if not math.isnan(value)},
            **dict(zip(_COLUMNS, values, strict=True)),
        )
