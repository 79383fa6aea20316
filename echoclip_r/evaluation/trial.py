"""A model on a data set: all that a task needs to judge it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from echoclip_r.evaluation.datasets import Dataset, Items
from echoclip_r.evaluation.tasks import Tasks
from echoclip_r.metrics.bootstrap import Resampling

__all__ = ["Compute", "EmbedTexts", "Events", "Prompts", "Trial", "compute_here"]

Arguments = ParamSpec("Arguments")
ResultT = TypeVar("ResultT")

EmbedTexts = Callable[[list[str]], NDArray[np.float32]]
"""A function from texts to unit embeddings (N, D)."""

Events = Mapping[str, Mapping[str, str]]
"""For each event and patient the ISO date of the patient's first such event."""

Prompts = Mapping[str, NDArray[np.float32]]
"""The unit embedding (D,) of each prompt, by the prompt's text."""


class Compute(Protocol):
    """What calls a function of a module, here or in another process, and gives its result."""

    def __call__(
        self,
        function: Callable[Arguments, ResultT],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> ResultT:
        """Call the function and wait for it."""
        ...


def compute_here(
    function: Callable[Arguments, ResultT], /, *args: Arguments.args, **kwargs: Arguments.kwargs
) -> ResultT:
    """Call the function in this process."""
    return function(*args, **kwargs)


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
        compute: what computes the figures and their intervals, which is most of the work.
    """

    dataset: Dataset
    tasks: Tasks
    prompts: Prompts
    reports: NDArray[np.float32]
    embed_texts: EmbedTexts
    thresholds_from: Items | None
    events: Events | None
    resampling: Resampling
    compute: Compute = field(default=compute_here)

    @property
    def test(self) -> Items:
        """The items from which figures are computed."""
        return self.dataset.test
