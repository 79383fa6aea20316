"""A model on a data set: all that a task needs to judge it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoclip_r.evaluation.datasets import Dataset, Items
from echoclip_r.evaluation.tasks import Tasks
from echoclip_r.metrics.bootstrap import Resampling

__all__ = ["EmbedTexts", "Events", "Prompts", "Trial"]

EmbedTexts = Callable[[list[str]], NDArray[np.float32]]
"""A function from texts to unit embeddings (N, D)."""

Events = Mapping[str, Mapping[str, str]]
"""For each event and patient the ISO date of the patient's first such event."""

Prompts = Mapping[str, NDArray[np.float32]]
"""The unit embedding (D,) of each prompt, by the prompt's text."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """A model on a data set.

    Attributes:
        dataset: the data as the model sees them.
        tasks: all tasks.
        prompts: the model's embeddings of the tasks' prompts.
        reports: the model's embeddings of the reports of `dataset.test.pool` (M, D).
        embed_texts: the model's embeddings of any other texts.
        thresholds_from: the items on which thresholds and calibration are chosen: the validation
            part of this data set or of another one; or None.
        events: dates of events, in place of label columns; or None.
        resampling: how patients are drawn.
    """

    dataset: Dataset
    tasks: Tasks
    prompts: Prompts
    reports: NDArray[np.float32]
    embed_texts: EmbedTexts
    thresholds_from: Items | None
    events: Events | None
    resampling: Resampling

    @property
    def test(self) -> Items:
        """The items from which figures are computed."""
        return self.dataset.test
