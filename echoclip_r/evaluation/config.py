"""The options of an evaluation: one frozen `EvaluateConfig`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from echoclip_r.errors import OptionError
from echoclip_r.metrics.bootstrap import RESAMPLING, Resampling

__all__ = ["EvaluateConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """Which models are evaluated on which data, and how.

    Raises:
        OptionError: a value is out of range, or conflicts with another one.
    """

    checkpoints: Sequence[Path | str]
    """Checkpoints or folders of runs; models are compared with each other in this order."""
    data: Path | str
    """A folder of shards from `prepare`, or a manifest; its shards are then made inside `out`."""
    out: Path | str
    """Folder for all results. Embeddings are kept there too, so that the same evaluation with other
    tasks is quick."""
    external: Path | str | None = None
    """Shards or manifest of another archive, on which no model was trained; all its splits are
    tested."""
    tasks: Sequence[Path | str] = ()
    """Task files, laid over the default one; see `echoclip_r.evaluation.tasks`. Without any, those
    that the runs record."""
    events: Path | str | None = None
    """A table of dated events; None takes the label columns. See `evaluation.events`."""
    unit: str = "study"
    """Whether one prediction is made for each `study` or for each `clip`."""
    split: str = "test"
    """Part of the internal data that is judged: `test` or `validation`."""
    names: Sequence[str] | None = None
    """Names of the models, one for each; None makes them from the recipe and the run."""
    title: str = "Evaluation"
    """The report's heading."""
    note: str = ""
    """A sentence below the heading, such as where the data come from."""
    device: str | None = None
    """Device on which models compute: `cpu`, `cuda`, `cuda:1`; None takes the best there is."""
    batch_size: int = 256
    """Number of frames that are embedded at a time."""
    workers: int = 1
    """Number of processes that make shards; 0 makes them in this process."""
    resampling: Resampling = RESAMPLING
    """Draws of the bootstrap; its seed is also used for splits and for random pairs."""

    def __post_init__(self) -> None:
        if isinstance(self.checkpoints, str | Path) or not self.checkpoints:
            raise OptionError("checkpoints must be a list of at least one checkpoint or run")
        if self.unit not in ("study", "clip"):
            raise OptionError(f"unit is {self.unit!r}; give 'study' or 'clip'")
        if self.split not in ("test", "validation"):
            raise OptionError(f"split is {self.split!r}; give 'test' or 'validation'")
        if self.names is not None and len(self.names) != len(self.checkpoints):
            raise OptionError(
                f"there are {len(self.checkpoints)} checkpoints and {len(self.names)} names; give "
                "one name for each checkpoint"
            )
        if self.batch_size < 1:
            raise OptionError(f"batch_size is {self.batch_size}; it must be at least 1")
        if self.workers < 0:
            raise OptionError(f"workers is {self.workers}; it must be at least 0")
