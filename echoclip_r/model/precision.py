"""The precision in which a device computes: `auto` resolved, autocast, and the loss scaler."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["autocast", "needs_scaler", "resolve_precision"]


_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


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
