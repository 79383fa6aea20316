"""Boards that show a run's figures in a browser: TensorBoard, and Weights & Biases offline."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from echoclip_r.errors import TrainingError

__all__ = ["BOARDS", "Board", "make_board"]


class Board(Protocol):
    """Where figures are shown."""

    def write(self, figures: Mapping[str, float], *, step: int) -> None:
        """Show the figures of a step."""

    def close(self) -> None:
        """Write what is not written yet."""


class _TensorBoard:
    def __init__(self, out: Path, *, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # The steps after the one that a run goes on from are made again, so they are purged.
        folder = str(out / "tensorboard")
        self._writer: Any = SummaryWriter(folder, purge_step=first_step + 1)

    def write(self, figures: Mapping[str, float], *, step: int) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _WeightsAndBiases:
    def __init__(self, out: Path, *, first_step: int) -> None:
        import wandb

        os.environ.setdefault("WANDB_MODE", "offline")
        self._run: Any = wandb.init(
            project="echoclip_r",
            name=out.resolve().name,
            # One name for all parts of a run that went on; `wandb sync` puts them together.
            id=hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:16],
            dir=out,
            resume="allow",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def write(self, figures: Mapping[str, float], *, step: int) -> None:
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        self._run.finish()


BOARDS: Mapping[str, Any] = {"tensorboard": _TensorBoard, "wandb": _WeightsAndBiases}


def make_board(name: str, out: Path, *, first_step: int) -> Board:
    """Open a board.

    Args:
        name: one of `BOARDS`.
        out: the folder of the run.
        first_step: the step after which the run goes on.

    Raises:
        TrainingError: it is not installed, or there is none of that name.
    """
    if name not in BOARDS:
        raise TrainingError(f"there is no board {name!r}; there are {', '.join(BOARDS)}")
    try:
        board: Board = BOARDS[name](out, first_step=first_step)
    except ImportError:
        raise TrainingError(
            f"{name} is not installed; `pip install {name}`, or leave the option out: "
            f"{out / 'log.jsonl'} has the same figures"
        ) from None
    return board
