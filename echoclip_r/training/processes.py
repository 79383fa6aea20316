"""Where a run computes: the device, and the processes that `torchrun` started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from echoclip_r.model.precision import pick_device

__all__ = ["Process", "distributed_process"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """This process among those of a run.

    Attributes:
        rank: its number, from 0.
        world_size: how many there are.
        device: where its model lies.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes files and speaks."""
        return self.rank == 0


@contextmanager
def distributed_process(device: str | None = None) -> Iterator[Process]:
    """This process as `torchrun` set it up, or the only one; leaves the group at the end.

    Args:
        device: `cpu`, `cuda`, ...; None takes the best, see `pick_device`. Of several GPUs each
            process takes that of its `LOCAL_RANK`.

    Raises:
        OptionError: there is no such device here.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    place = pick_device(device)
    if place.type == "cuda":
        if place.index is None:
            place = pick_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
        torch.cuda.set_device(place)
    ours = world_size > 1 and not distributed.is_initialized()
    if ours:
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        with _same_sums(place):
            yield Process(rank=rank, world_size=world_size, device=place)
    finally:
        if ours:
            distributed.destroy_process_group()


@contextmanager
def _same_sums(device: torch.device) -> Iterator[None]:
    """Let a GPU add in the same order in every run (I13); where it cannot, torch warns."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
