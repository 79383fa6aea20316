"""The data of an evaluation: manifest or shards -> embeddings of each split -> data sets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.data.preparation import prepare
from echoclip_r.data.shards import read_index
from echoclip_r.data.splits import SPLITS
from echoclip_r.embedding.embedder import embed
from echoclip_r.embedding.embeddings import Embedded, joined
from echoclip_r.errors import EvaluationError, OptionError
from echoclip_r.evaluation.labels import Finding, read_findings
from echoclip_r.evaluation.tasks import Label
from echoclip_r.metrics.finite import check_embeddings
from echoclip_r.model.trained import TrainedModel

__all__ = [
    "Dataset",
    "Items",
    "Truth",
    "describe",
    "find_labels",
    "load_dataset",
    "load_split",
    "make_items",
    "make_shards",
]

FULL_CLIP = 10
"""Number of frames from which the paper predicts."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Items:
    """The items that are judged: studies with all their clips, or single clips.

    Attributes:
        rows: a table with one row for each item: `key` (the key of its first clip), `study_id`,
            `patient_id`, `date`, `report`, and the label columns.
        embeddings: unit rows, float32 (N, D).
        frames: unit rows of all frames, float32 (F, D).
        frame_item: item of each frame, int64 (F,), non-decreasing.
        said: the values of the findings that the reports state (N, num_findings).
        embedded: the clips that the items were made from.
    """

    rows: pd.DataFrame
    embeddings: NDArray[np.float32]
    frames: NDArray[np.float32]
    frame_item: NDArray[np.int64]
    said: Floats
    embedded: Embedded

    @property
    def num_short(self) -> int:
        """Number of items of fewer than ten frames."""
        return int((np.bincount(self.frame_item) < FULL_CLIP).sum())

    @property
    def pool(self) -> NDArray[np.int64]:
        """Rows (M,) whose reports are searched: one for each study, even where clips are judged."""
        return np.flatnonzero(~self.rows["study_id"].duplicated().to_numpy()).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """A data set as one model sees it.

    Attributes:
        name: `internal` or `external`.
        test: the items from which figures are computed.
        validation: the items from which thresholds, calibration and the median guess come; or None.
    """

    name: str
    test: Items
    validation: Items | None


def make_items(embedded: Embedded, unit: str, findings: Sequence[Finding]) -> Items:
    """Studies or clips, ready to be judged.

    Args:
        embedded: the clips.
        unit: `study` or `clip`.
        findings: the findings to read from their reports.

    Raises:
        EvaluationError: an embedding holds NaN or infinity.
        OptionError: the unit is neither `study` nor `clip`.
    """
    if unit not in ("study", "clip"):
        raise OptionError(f"unit is {unit!r}; give 'study' or 'clip'")
    check_embeddings(embedded.frames, "frames")
    if unit == "clip":
        rows, embeddings = embedded.clips, embedded.clip_embeddings()
        frames, frame_item = embedded.frames, embedded.frame_clip
    else:
        rows, embeddings = embedded.studies()
        frames, frame_item = embedded.study_frames()
    return Items(
        rows=rows,
        embeddings=embeddings,
        frames=frames,
        frame_item=frame_item,
        said=read_findings(list(rows["report"]), findings),
        embedded=embedded,
    )


class Truth(NamedTuple):
    """The truth of a task for each item.

    Attributes:
        values: the true values (N,), NaN where the truth is unknown.
        source: a text that says where they come from.
        remark: a text that says which values were left out, or "".
    """

    values: Floats
    source: str
    remark: str


def find_labels(label: Label, items: Items, findings: Sequence[Finding]) -> Truth:
    """The truth of a task; values outside of the label's range are left out.

    Raises:
        EvaluationError: the truth is not known for any item, or stands in fractions of the task's
            unit; the message says why.
    """
    present = [name for name in label.columns if name in items.rows]
    for name in present:
        values = items.rows[name].to_numpy(np.float64)
        if not np.isnan(values).all():
            return _in_range(values, label, f"label column {name!r}")
    why = (
        f"label column {present[0]!r} is blank in all {len(items.rows)} of them"
        if present
        else f"no label column {' or '.join(map(repr, label.columns))}"
        if label.columns
        else "no label column is named"
    )
    if label.finding:
        column = [finding.name for finding in findings].index(label.finding)
        unsaid = findings[column].unsaid
        values = items.said[:, column]
        # Where what is unsaid counts as absent, a phrase must be there at least once: else the
        # reports may just use other words.
        if not (np.isnan(values) if unsaid is None else values == unsaid).all():
            return _in_range(values, label, f"phrases of {label.finding!r} in the reports")
        why += f", and no report has a phrase of the finding {label.finding!r}"
    raise EvaluationError(why)


def _in_range(values: Floats, label: Label, source: str) -> Truth:
    low, high = label.range
    known = ~np.isnan(values)
    outside = known & ((values < low) | (values > high))
    num, num_outside = int(known.sum()), int(outside.sum())
    if not num_outside:
        return Truth(values, source, "")
    span = f"the task's range, {low:g} to {high:g}" if high < math.inf else f"{low:g} or more"
    num_fractions = int((known & (values > 0) & (values <= 1)).sum())
    if low > 1 and num_fractions > num / 2:
        raise EvaluationError(
            f"{source}: {num_fractions:,} of {num:,} values lie between 0 and 1, outside of "
            f"{span}, and look like fractions: multiply the column by 100 in the manifest, and "
            "`prepare` it again"
        )
    odd, times = np.unique(values[outside], return_counts=True)
    often = [f"{odd[at]:g} ({times[at]:,} times)" for at in np.argsort(-times, kind="stable")[:3]]
    found = f"{num_outside:,} of {num:,} values are outside of {span}: {', '.join(often)}"
    found += ", ..." if len(odd) > len(often) else ""
    if num_outside == num:
        raise EvaluationError(f"{source}: {found}; correct the column, or the range in a task file")
    return Truth(np.where(outside, np.nan, values), source, f"{source}: {found}; left out")


def make_shards(
    path: Path,
    folder: Path,
    *,
    size_px: int,
    seed: int,
    workers: int,
    executor: Executor | None = None,
) -> Path:
    """The path itself if it is a folder of shards; for a manifest, shards are made in `folder`."""
    if path.is_dir():
        return path
    prepare(path, folder, size_px=size_px, seed=seed, workers=workers, executor=executor)
    return folder


def load_split(
    model: TrainedModel,
    shards: Path,
    part: str,
    *,
    kept: Path,
    name: str,
    batch_size: int,
    executor: Executor | None = None,
    load: Callable[[], TrainedModel] | None = None,
) -> Embedded | None:
    """The embeddings of a split, which are kept for the next time; None if it holds no clip.

    `executor` and `load` are as in `echoclip_r.embedding.embedder.embed`.
    """
    if not read_index(shards).num_clips(part):
        return None
    folder = kept / f"{name}-{part}-{model.fingerprint[:12]}"
    return embed(
        model,
        shards,
        split=part,
        out=folder,
        batch_size=batch_size,
        overwrite=True,
        executor=executor,
        load=load,
    )


def load_dataset(
    name: str,
    embedded: Callable[[str], Embedded | None],
    *,
    split: str,
    unit: str,
    findings: Sequence[Finding],
) -> Dataset:
    """The test and validation part of a data set; in an external one all splits are tested."""
    if name == "internal":
        test = embedded(split)
        # A threshold is never chosen on the items by which it is judged.
        validation = embedded("validation") if split == "test" else None
    else:
        parts = [part for part in map(embedded, SPLITS) if part is not None]
        test, validation = joined(parts, Path(name)) if parts else None, None
    if test is None:
        raise EvaluationError(
            f"the {name} data has no clip in split {split!r}, so there is nothing to evaluate on"
        )
    return Dataset(
        name=name,
        test=make_items(test, unit, findings),
        validation=None if validation is None else make_items(validation, unit, findings),
    )


def describe(dataset: Dataset) -> dict[str, Any]:
    """The counts of a data set, for the report and for JSON."""
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
