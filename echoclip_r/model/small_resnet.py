"""An image tower small enough for a CPU, which open_clip builds through timm like any other.

None of timm's small networks keeps where in the frame a thing is: they end in a mean over 2 x 2
cells at 64 px. A lead is told from a wall by its place, so this one hands all 4 x 4 cells on.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_gather

__all__ = ["SmallResNet", "echoclip_r_small_resnet"]

_CELLS = 4


class SmallResNet(nn.Module):
    """Frames to embeddings, from features that keep position: channels x 4 x 4.

    All echo frames look alike to random weights. The batch norm at the end takes away what they
    have in common; without it the loss sees little else, and learning waits for epochs. Its
    statistics are those of the batch of all processes, but a batch in parts (`accumulate`) gives
    each part its own. The published towers (ConvNeXt) have no such norm.

    Args:
        embed_dim: columns of the embeddings.
        widths: channels of the stages; each halves the sides.
    """

    def __init__(self, embed_dim: int, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        stages: list[nn.Module] = [_conv(3, widths[0], kernel=5, stride=2)]
        for inputs, outputs in pairwise(widths):
            stages.append(_Block(inputs, outputs))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(_CELLS)
        self.projection = nn.Linear(widths[-1] * _CELLS**2, embed_dim, bias=False)
        self.norm = _WholeBatchNorm(embed_dim)

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        """Frames (B, 3, H, W) to embeddings (B, embed_dim)."""
        embeddings: torch.Tensor = self.norm(
            self.projection(self.pool(self.stages(image_BCHW)).flatten(1))
        )
        return embeddings


class _WholeBatchNorm(nn.BatchNorm1d):
    """Batch norm over the rows of all processes, on any device (torch's own asks for GPUs)."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not (self.training and distributed.is_initialized()):
            return super().forward(input)
        rows = torch.cat(all_gather(input))  # type: ignore[no-untyped-call]  # keeps gradients
        own = slice(distributed.get_rank() * len(input), (distributed.get_rank() + 1) * len(input))
        return super().forward(rows)[own]


class _Block(nn.Module):
    """A basic residual block that halves the sides."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _conv(inputs, outputs, kernel=3, stride=2)
        self.second = _conv(outputs, outputs, kernel=3, stride=1, last=True)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


def _conv(inputs: int, outputs: int, *, kernel: int, stride: int, last: bool = False) -> nn.Module:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.GroupNorm(min(8, outputs // 4), outputs),
    ]
    return nn.Sequential(*layers, *([] if last else [nn.ReLU(inplace=True)]))


def echoclip_r_small_resnet(pretrained: bool = False, *, num_classes: int, **_: Any) -> SmallResNet:
    """The entry point that timm is given; see `echoclip_r.model.build.register`.

    Args:
        pretrained: there are no pretrained weights.
        num_classes: timm's name for the columns of the output.
    """
    if pretrained:
        raise ValueError("echoclip_r_small_resnet has no pretrained weights")
    return SmallResNet(num_classes)
