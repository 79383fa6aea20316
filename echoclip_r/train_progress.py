"""How far a run has come: what it carries from step to step, and what it came to in the end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echoclip_r.train_validation import Validation

__all__ = ["Progress", "TrainResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a run came to.

    Attributes:
        out: its folder.
        num_steps: steps that were made in all.
        loss: of the last step.
        best: the best validation, None without a validation split.
        num_bad: clips that could not be used; `rejects.csv` names them.
        seconds: of training, earlier parts of a resumed run included.
    """

    out: Path
    num_steps: int
    loss: float
    best: Validation | None
    num_bad: int
    seconds: float


@dataclass(slots=True)
class Progress:
    """What changes during a run, beside weights and optimizer."""

    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan
    best: Validation | None = None
    num_texts: int = 0
    num_truncated: int = 0

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Progress:
        """What `to_state` gave, read back from a checkpoint's facts."""
        return cls(
            step=int(state["step"]),
            seconds=float(state["seconds"]),
            loss=float(state["loss"]),
            best=None if state["best"] is None else Validation(**state["best"]),
            num_texts=int(state["num_texts"]),
            num_truncated=int(state["num_truncated"]),
        )

    def to_state(self) -> dict[str, Any]:
        """Ready for JSON, among the facts of a checkpoint."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "loss": self.loss,
            "best": None if self.best is None else self.best.to_dict(),
            "num_texts": self.num_texts,
            "num_truncated": self.num_truncated,
        }

    def figures(
        self, *, lr: float, logit_scale: float, frames_per_s: float, steps_per_epoch: int
    ) -> dict[str, float]:
        """A line of the log."""
        return {
            "step": self.step,
            "epoch": round(self.step / steps_per_epoch, 4),
            "loss": self.loss,
            "lr": lr,
            "logit_scale": logit_scale,
            "frames_per_s": round(frames_per_s, 2),
            "truncated": round(self.num_truncated / max(self.num_texts, 1), 4),
            "seconds": round(self.seconds, 1),
        }
