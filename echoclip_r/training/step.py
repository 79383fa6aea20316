"""The forward and backward pass of one training step: whole or in parts, in one process or many."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from echoclip_r.model.build import normalize_frames
from echoclip_r.model.precision import autocast
from echoclip_r.model.text_tower import encode_texts
from echoclip_r.training.batches import Batch
from echoclip_r.training.loss import TotalLoss

__all__ = ["Towers", "backward"]


class Towers(nn.Module):
    """Both towers in one forward pass, which is what DDP wraps.

    Args:
        model: `open_clip.CLIP`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, image: torch.Tensor, texts: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        """Normalized features (B, D) in float32: of the images, then of each text view.

        The last is the scale of the logits, a scalar.
        """
        features = [self.model.encode_image(image), *encode_texts(self.model, texts)]
        normalized = [functional.normalize(part.float(), dim=-1) for part in features]
        return (*normalized, self.model.logit_scale.exp())

    def train(self, mode: bool = True) -> Towers:
        """As for every module; but a frozen image tower computes as in evaluation."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.model.visual.parameters()):
            self.model.visual.eval()
        return self


def backward(
    towers: nn.Module,
    batch: Batch,
    loss: TotalLoss,
    *,
    precision: str,
    accumulate: int = 1,
    scaler: torch.amp.GradScaler | None = None,
) -> torch.Tensor:
    """Add the gradients of a step to those of the parameters.

    With `accumulate` above 1 the batch goes through the towers twice, in parts. The first time,
    without gradients, gives the features of the whole batch, and so the loss and its gradient for
    each feature. The second time carries these gradients on to the weights. That takes the memory
    of a part and gives the gradients of the whole. Dropout is the same both times.

    Args:
        towers: `Towers`, or DDP around it.
        batch: on the model's device.
        loss: of the recipe, over all processes.
        precision: `fp32`, `bf16` or `fp16`.
        accumulate: parts that the batch is cut into.
        scaler: for an fp16 run.

    Returns:
        This process's loss, detached.
    """
    plain: Towers = towers if isinstance(towers, Towers) else towers.module  # type: ignore[assignment]
    image = normalize_frames(batch.frames, plain.model, gains_B=batch.gains)
    device = image.device

    def total(features: tuple[torch.Tensor, ...]) -> torch.Tensor:
        images, *texts, scale = features
        value: torch.Tensor = loss(images, texts, scale, batch.answers)
        return value

    def scaled(value: torch.Tensor) -> torch.Tensor:
        return value if scaler is None else scaler.scale(value)

    if accumulate == 1:
        with autocast(precision, device):
            features = towers(image, batch.texts)
        value = total(features)
        scaled(value).backward()  # type: ignore[no-untyped-call]
        return value.detach()

    images = image.chunk(accumulate)
    texts = list(zip(*(text.chunk(accumulate) for text in batch.texts), strict=True))
    states, cached = [], []
    with torch.no_grad(), autocast(precision, device):
        for part, part_texts in zip(images, texts, strict=True):
            states.append(_rng_state(device))
            cached.append(plain(part, part_texts))
    leaves = tuple(
        torch.cat(parts).detach().requires_grad_() for parts in list(zip(*cached, strict=True))[:-1]
    )
    scale = cached[0][-1].detach().requires_grad_()
    value = total((*leaves, scale))
    scaled(value).backward()  # type: ignore[no-untyped-call]
    wanted = [leaf.grad.chunk(accumulate) for leaf in leaves if leaf.grad is not None]
    assert scale.grad is not None and len(wanted) == len(leaves)
    for number, (part, part_texts) in enumerate(zip(images, texts, strict=True)):
        last = number == accumulate - 1
        with _unsynced(towers, last=last), _with_rng_state(states[number], device):
            with autocast(precision, device):
                *features_, part_scale = towers(part, part_texts)
            surrogate = part_scale * scale.grad / accumulate
            for feature, grads in zip(features_, wanted, strict=True):
                surrogate = surrogate + (feature * grads[number]).sum()
            surrogate.backward()
    return value.detach()


def _rng_state(device: torch.device) -> torch.Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


@contextlib.contextmanager
def _with_rng_state(state: torch.Tensor, device: torch.device) -> Iterator[None]:
    """Draw what was drawn from `state` on; then go on where the generator was."""
    now = _rng_state(device)
    _set_rng_state(state, device)
    try:
        yield
    finally:
        _set_rng_state(now, device)


def _set_rng_state(state: torch.Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def _unsynced(towers: nn.Module, *, last: bool) -> contextlib.AbstractContextManager[Any]:
    """Gradients are averaged over processes once, with the last part."""
    if last or isinstance(towers, Towers):
        return contextlib.nullcontext()
    return towers.no_sync()  # type: ignore[operator, no-any-return]
