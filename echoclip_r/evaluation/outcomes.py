"""What an evaluation is about and what comes out of it, one task, model and data set at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.errors import EvaluationError, OptionError
from echoclip_r.evaluation.tasks import Label
from echoclip_r.metrics.bootstrap import Estimate
from echoclip_r.metrics.finite import check_embeddings
from echoclip_r.metrics.scores import Scores
from echoclip_r.text.findings import Finding, read_findings

__all__ = [
    "Comparison",
    "Dataset",
    "Evaluation",
    "Items",
    "Outcome",
    "Section",
    "Skipped",
    "find_labels",
    "make_items",
]

Section = Literal["regression", "binary", "retrieval", "agreement", "identification", "change"]

FULL_CLIP = 10
"""Frames that the paper predicts from."""


Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Items:
    """What is judged: studies with all their clips, or clips.

    Attributes:
        rows: one row an item: `key` (of its first clip), `study_id`, `patient_id`, `date`,
            `report`, and the label columns.
        embeddings: unit rows, float32 (N, D).
        frames: unit rows of all frames, float32 (F, D).
        frame_item: item of each frame, int64 (F,), non-decreasing.
        said: values that the reports give the findings (N, num_findings).
        embedded: the clips that they were made of.
    """

    rows: pd.DataFrame
    embeddings: NDArray[np.float32]
    frames: NDArray[np.float32]
    frame_item: NDArray[np.int64]
    said: Floats
    embedded: Embedded

    @property
    def num_short(self) -> int:
        """Items of fewer than ten frames."""
        return int((np.bincount(self.frame_item) < FULL_CLIP).sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """A data set as one model sees it.

    Attributes:
        name: `internal` or `external`.
        test: what figures are made of.
        validation: what thresholds, calibration and the median guess come from, or None.
    """

    name: str
    test: Items
    validation: Items | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """One task, by one model, on one data set.

    Attributes:
        task: its name.
        title: the same for people.
        family: tasks that share a figure.
        items: one row an item or pair; where they are the data set's items, the index is theirs.
        about: facts beside the figures, as for JSON.
    """

    section: Section
    task: str
    title: str
    family: str
    model: str
    dataset: str
    scores: Scores
    items: pd.DataFrame
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A task that was not run, and why."""

    section: Section
    task: str
    title: str
    dataset: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How much more a figure is for one model than for another, on the same items."""

    task: str
    title: str
    dataset: str
    figure: str
    first: str
    second: str
    difference: Estimate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """All that came out.

    Attributes:
        outcomes: by data set, model and task.
        skipped: tasks that were not run, once each.
        comparisons: of every two models.
        facts: models, data sets, options.
    """

    outcomes: tuple[Outcome, ...]
    skipped: tuple[Skipped, ...]
    comparisons: tuple[Comparison, ...]
    facts: Mapping[str, Any]


def make_items(embedded: Embedded, unit: str, findings: Sequence[Finding]) -> Items:
    """Studies or clips, ready to be judged.

    Args:
        embedded: clips.
        unit: `study` or `clip`.
        findings: what to read from their reports.

    Raises:
        EvaluationError: an embedding holds NaN or infinity.
        OptionError: another unit.
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


def find_labels(label: Label, items: Items, findings: Sequence[Finding]) -> tuple[Floats, str]:
    """The truth of a task for each item.

    Returns:
        Values (N,), NaN where it is unknown, and where they come from.

    Raises:
        EvaluationError: nothing gives the truth of any item; the message says why.
    """
    present = [name for name in label.columns if name in items.rows]
    for name in present:
        values = items.rows[name].to_numpy(np.float64)
        if not np.isnan(values).all():
            return values, f"label column {name!r}"
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
            return values, f"phrases of {label.finding!r} in the reports"
        why += f", and no report has a phrase of the finding {label.finding!r}"
    raise EvaluationError(why)
