"""A device that can be used, and its precision: `auto` resolved, autocast, the loss scaler."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from echoclip_r.errors import OptionError

__all__ = ["autocast", "needs_scaler", "resolve_precision", "usable_device"]


_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def usable_device(name: str | torch.device) -> torch.device:
    """A device that this machine has and that this build of PyTorch can use.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, `mps`, ...

    Raises:
        OptionError: there is no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        # What PyTorch raises depends on the build; the first line of it says the reason.
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise OptionError(
            f"device {str(name)!r} cannot be used here ({reason}); give cpu (--device cpu), or "
            "install a build of PyTorch for this machine's GPU"
        ) from error
    return device


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
