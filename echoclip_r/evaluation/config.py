"""What an evaluation is to do: one frozen `EvaluateConfig`."""

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
        OptionError: a value is out of range, or two do not go together.
    """

    checkpoints: Sequence[Path | str]
    """Checkpoints or runs; models are compared with each other in this order."""
    data: Path | str
    """A folder of shards from `prepare`, or a manifest, from which shards are made in `out`."""
    out: Path | str
    """Folder for all that is written. Embeddings are kept there, so that the same evaluation with
    other tasks is quick."""
    external: Path | str | None = None
    """Shards or manifest of another archive, which no model was trained on; all of it is tested."""
    tasks: Sequence[Path | str] = ()
    """Task files, laid over the default one; see `echoclip_r.evaluation.tasks`."""
    events: Path | str | None = None
    """A CSV file of dated events; None takes the label columns. See `evaluation.change`."""
    unit: str = "study"
    """What one prediction is made for: `study` or `clip`."""
    split: str = "test"
    """Part of the internal data that is judged: `test` or `validation`."""
    names: Sequence[str] | None = None
    """What the models are called, one name for each; None takes recipe and run."""
    title: str = "Evaluation"
    """The report's heading."""
    note: str = ""
    """A sentence below the heading, such as what the data are."""
    device: str | None = None
    """Where models compute: `cpu`, `cuda`, `cuda:1`; None takes the best there is."""
    batch_size: int = 256
    """Frames that are embedded at a time."""
    workers: int = 1
    """Processes that make shards; 0 makes them in this one."""
    resampling: Resampling = RESAMPLING
    """Draws of the bootstrap; the seed is also that of splits and of random pairs."""

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
