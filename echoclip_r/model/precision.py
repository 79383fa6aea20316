"""Where and how precisely is computed: the device, `auto` resolved, autocast, the loss scaler."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from echoclip_r.errors import OptionError
from echotok.cpus import num_cpus

__all__ = ["autocast", "device_name", "needs_scaler", "pick_device", "resolve_precision"]


_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The device that is asked for, or the best one here: a GPU of CUDA where there is one.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, `mps`, ..., or None for the best.

    Raises:
        OptionError: there is no such device here.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        # What PyTorch raises depends on the build; the first line of it says the reason.
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise OptionError(
            f"device {str(name)!r} cannot be used here ({reason}); leave --device out to take the "
            "best one there is, or give cpu (--device cpu)"
        ) from error
    if torch.get_num_threads() > num_cpus():  # PyTorch asks for the cores, not for the quota
        torch.set_num_threads(num_cpus())
    return device


def device_name(device: torch.device) -> str:
    """A device as people call it, e.g. `cpu` or `cuda (NVIDIA H100)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type


def resolve_precision(precision: str, device: torch.device) -> str:
    """What `auto` means on a device: bf16 or fp16 on a GPU, fp32 elsewhere."""
    if precision != "auto":
        return precision
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a model computes at a resolved precision."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])


def needs_scaler(precision: str) -> bool:
    """Whether small gradients vanish at this precision unless the loss is scaled up."""
    return precision == "fp16"
