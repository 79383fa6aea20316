"""An image tower small enough for a CPU, which open_clip builds through timm like any other.

None of timm's small networks keeps where in the frame a thing is: they end in a mean over 2 x 2
cells at 64 px. A lead is told from a wall by its place, so this one hands all 4 x 4 cells on.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

__all__ = ["SmallResNet", "echoclip_r_small_resnet"]

_CELLS = 4


class SmallResNet(nn.Module):
    """Frames to one row each that keeps position: channels x 4 x 4.

    Group norms, not batch norms: a frame's features never depend on the rest of its batch, so that
    a batch in parts, or over several processes, gives the gradients of the whole.

    Args:
        widths: channels of the stages; each halves the sides.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        stages: list[nn.Module] = [_conv(3, widths[0], kernel=5, stride=2)]
        for inputs, outputs in pairwise(widths):
            stages.append(_Block(inputs, outputs))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(_CELLS)
        self.num_features = widths[-1] * _CELLS**2
        self.default_cfg = {"pool_size": None}  # what open_clip's wrapper asks a timm model for

    def reset_classifier(self, num_classes: int, **_: Any) -> None:
        """There is none; open_clip calls this to take it off."""

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        """Frames (B, 3, H, W) to features (B, num_features)."""
        features: torch.Tensor = self.pool(self.stages(image_BCHW))
        return features.flatten(1)


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


def echoclip_r_small_resnet(pretrained: bool = False, **_: Any) -> SmallResNet:
    """The entry point that timm is given; see `echoclip_r.model.register`."""
    if pretrained:
        raise ValueError("echoclip_r_small_resnet has no pretrained weights")
    return SmallResNet()
