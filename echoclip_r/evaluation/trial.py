"""A model on a data set: what every task is judged with."""

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
"""Texts to unit embeddings (N, D)."""

Events = Mapping[str, Mapping[str, str]]
"""Event -> patient -> ISO date of the patient's first such event."""

Prompts = Mapping[str, NDArray[np.float32]]
"""Text of each prompt -> its unit embedding (D,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """A model on a data set.

    Attributes:
        dataset: the data as the model sees them.
        tasks: all that is asked.
        prompts: the model's embeddings of the tasks' prompts.
        reports: the model's embeddings of the reports of `dataset.test.pool` (M, D).
        thresholds_from: the items that thresholds and calibration are chosen on, which are the
            validation part of this data set or of another one; or None.
        events: dates of events, in place of label columns; or None.
        resampling: how patients are drawn.
    """

    dataset: Dataset
    tasks: Tasks
    prompts: Prompts
    reports: NDArray[np.float32]
    thresholds_from: Items | None
    events: Events | None
    resampling: Resampling

    @property
    def test(self) -> Items:
        """What figures are made of."""
        return self.dataset.test
