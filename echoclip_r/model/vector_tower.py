"""An image tower that reads embeddings of another encoder, and leaves them as they are.

`vectors-512` is a model of such a tower for 512 columns and the text tower of `echoclip-r`, whose
embeddings have as many; `vectors-512-tiny` has the small text tower. Frames are pictures that carry
vectors, see `echoclip_r.media.vectors`. Nothing in the tower is learned: what the vectors of the
training split have in common, their mean, is taken away, since all of an encoder's embeddings of
echocardiograms look alike and a contrastive loss would see little else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import nn

from echoclip_r.media.vectors import side_px

__all__ = ["VectorTower", "echoclip_r_vectors", "reads_vectors", "set_center", "vectors_config"]

_NAME = re.compile(r"vectors-(\d{1,5})(-tiny)?")
_TEXT = {"width": 512, "heads": 8, "layers": 12}
_TINY = {"width": 128, "heads": 4, "layers": 2}


class VectorTower(nn.Module):
    """Pictures that carry vectors to the vectors, less the mean of the training split.

    Args:
        dimensions: columns of the vectors.
    """

    center: torch.Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.register_buffer("center", torch.zeros(dimensions))

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        """Pictures (B, 3, S, S), normalized as `normalize_frames` does it, to vectors (B, D)."""
        image = image_BCHW.float()
        mean = torch.tensor(OPENAI_DATASET_MEAN, device=image.device).view(-1, 1, 1)
        spread = torch.tensor(OPENAI_DATASET_STD, device=image.device).view(-1, 1, 1)
        pixels = ((image * spread + mean) * 255).round().to(torch.uint8)
        content = pixels.permute(0, 2, 3, 1).flatten(1)[:, : 4 * self.dimensions].contiguous()
        return content.view(torch.float32) - self.center


def echoclip_r_vectors(pretrained: bool = False, *, num_classes: int, **_: Any) -> VectorTower:
    """The entry point that timm is given; see `echoclip_r.model.build.register`.

    Args:
        pretrained: there are no weights.
        num_classes: timm's name for the columns of the output.
    """
    if pretrained:
        raise ValueError("echoclip_r_vectors has no weights")
    return VectorTower(num_classes)


def vectors_config(name: str) -> dict[str, Any] | None:
    """The open_clip configuration of `vectors-512` and its like; None for other names."""
    found = _NAME.fullmatch(name)
    if found is None or int(found[1]) < 1:
        return None
    dimensions = int(found[1])
    return {
        "embed_dim": dimensions,
        "vision_cfg": {
            "timm_model_name": "echoclip_r_vectors",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "",
            "image_size": side_px(dimensions),
        },
        "text_cfg": {"context_length": 77, "vocab_size": 49408, **(_TINY if found[2] else _TEXT)},
    }


def reads_vectors(model: Any) -> int | None:
    """Columns of the vectors that a model's image tower reads; None where it reads pictures."""
    trunk = getattr(model.visual, "trunk", None)
    return trunk.dimensions if isinstance(trunk, VectorTower) else None


def set_center(model: Any, center: Sequence[float]) -> None:
    """Give the tower the mean of the training split's vectors."""
    with torch.no_grad():
        model.visual.trunk.center.copy_(torch.tensor(center, dtype=torch.float32))
