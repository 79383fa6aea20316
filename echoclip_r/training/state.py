"""What changes during a run, kept so that it can go on bit for bit.

`Progress` holds the figures, `pack_state` and `unpack_state` the tensors: the optimizer's, and the
state of each process's random generators.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from echoclip_r.errors import CheckpointError
from echoclip_r.training.processes import Process
from echoclip_r.training.validation import Validation

__all__ = ["Progress", "TrainResult", "pack_state", "unpack_state"]


@dataclass(slots=True)
class Progress:
    """The figures of a run so far.

    Attributes:
        step: steps that were made.
        seconds: time that they took, earlier parts of a resumed run included.
        loss: of the last step.
        best: the best validation, None before the first.
        num_texts: items that were shown.
        num_truncated: those of them whose report did not fit the context.
        validated: the step at which the last validation was made, or given up.
        began_at: the checkpoint that was named to go on from, None where none was.
    """

    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan
    best: Validation | None = None
    num_texts: int = 0
    num_truncated: int = 0
    validated: int = 0
    began_at: str | None = None

    @property
    def truncated(self) -> float:
        """Share of the items shown whose report did not fit the context."""
        return self.num_truncated / max(self.num_texts, 1)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Progress:
        """The progress that `to_state` gave, read back from a checkpoint."""
        return cls(
            step=int(state["step"]),
            seconds=float(state["seconds"]),
            loss=float(state["loss"]),
            best=None if state["best"] is None else Validation(**state["best"]),
            num_texts=int(state["num_texts"]),
            num_truncated=int(state["num_truncated"]),
            # States of version 0.1.0 were saved behind the validation of their step.
            validated=int(state.get("validated", state["step"])),
            began_at=state.get("began_at"),
        )

    def to_state(self) -> dict[str, Any]:
        """All figures, ready for JSON."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "loss": self.loss,
            "best": None if self.best is None else self.best.to_dict(),
            "num_texts": self.num_texts,
            "num_truncated": self.num_truncated,
            "validated": self.validated,
            "began_at": self.began_at,
        }

    def figures(
        self, *, lr: float, logit_scale: float, frames_per_s: float, steps_per_epoch: int
    ) -> dict[str, float]:
        """The figures of a line of the log.

        Args:
            lr: the learning rate of the last step.
            logit_scale: the temperature's inverse.
            frames_per_s: frames per second since the last line.
            steps_per_epoch: steps of one pass over the training split.
        """
        return {
            "step": self.step,
            "epoch": round(self.step / steps_per_epoch, 4),
            "loss": self.loss,
            "lr": lr,
            "logit_scale": logit_scale,
            "frames_per_s": round(frames_per_s, 2),
            "truncated": round(self.truncated, 4),
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """The end of a run.

    Attributes:
        out: the folder of the run.
        num_steps: steps that were made in all.
        loss: of the last step.
        best: the best validation, None without a validation split.
        num_bad: clips that could not be used; `rejects.csv` names them.
        truncated: share of the texts read that did not fit into the context and were cut.
        seconds: of training, earlier parts of a resumed run included.
    """

    out: Path
    num_steps: int
    loss: float
    best: Validation | None
    num_bad: int
    truncated: float
    seconds: float


def pack_state(optimizer: torch.optim.Optimizer, process: Process) -> dict[str, torch.Tensor]:
    """The optimizer's state and the generators as named tensors; every process must call it.

    Args:
        optimizer: of the run.
        process: this one.
    """
    tensors: dict[str, torch.Tensor] = {}
    for rank, (cpu, gpu) in enumerate(_gather_generators(process)):
        tensors[f"generator.{rank}.cpu"] = cpu
        if len(gpu):
            tensors[f"generator.{rank}.gpu"] = gpu
    for number, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{number}.{name}"] = torch.as_tensor(value)
    return tensors


def unpack_state(
    tensors: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer, process: Process
) -> None:
    """Put back what `pack_state` gave.

    Args:
        tensors: from `pack_state`.
        optimizer: whose state is set.
        process: this one, whose generators are set where it was there before.

    Raises:
        CheckpointError: the tensors are of another model, or of another kind of device.
    """
    parameters = _parameters(optimizer)
    for key, saved in tensors.items():
        if not key.startswith("optimizer."):
            continue
        _, number, name = key.split(".")
        parameter = parameters[int(number)]
        if saved.ndim and saved.shape != parameter.shape:
            raise CheckpointError(
                f"the optimizer's {key} has shape {tuple(saved.shape)}, its parameter "
                f"{tuple(parameter.shape)}: the state is of another model"
            )
        # In the parameter's own order in memory, which the fused optimizer relies on.
        value = torch.empty_like(parameter) if saved.ndim else torch.empty_like(saved)
        if not saved.ndim and parameter.is_cuda:
            value = value.to(parameter.device)
        optimizer.state[parameter][name] = value.detach().copy_(saved)
    if f"generator.{process.rank}.cpu" not in tensors:
        return  # one more process than before: it goes on with the generator that it has
    try:
        torch.set_rng_state(tensors[f"generator.{process.rank}.cpu"])
        if process.device.type == "cuda":
            torch.cuda.set_rng_state(tensors[f"generator.{process.rank}.gpu"], process.device)
    except KeyError:
        raise CheckpointError(
            "the state was saved on a CPU, and the run cannot go on bit for bit on a GPU; go on "
            "with --device cpu, or begin a new run in another folder"
        ) from None


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _gather_generators(process: Process) -> list[tuple[torch.Tensor, torch.Tensor]]:
    gpu = torch.empty(0, dtype=torch.uint8)
    if process.device.type == "cuda":
        gpu = torch.cuda.get_rng_state(process.device)
    mine = (torch.get_rng_state(), gpu)
    if process.world_size == 1:
        return [mine]
    everyone: list[Any] = [None] * process.world_size
    distributed.all_gather_object(everyone, mine)
    return everyone
