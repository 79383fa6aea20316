"""open_clip's contrastive loss, with all of a batch's identical texts as right answers.

Template reports repeat word for word. With one right answer a row, an image is taught to prefer
its own copy of a sentence to the same sentence of its neighbour, which nothing can learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from open_clip.loss import ClipLoss
from torch import distributed, nn
from torch.nn import functional

from echoclip_r.model.settings import check, rule

__all__ = ["LOSSES", "Contrastive", "ContrastiveLoss", "TotalLoss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrastive:
    """A recipe's loss between the frames and one of its texts."""

    text: int = field(default=0, metadata=rule(least=0, settable=False))
    """Number of the text view that the frames are compared with, from 0."""
    weight: float = field(default=1.0, metadata=rule(least=0, most=1, settable=False))
    """Its share in the loss of a step."""
    multi_positive: bool = True
    """Whether identical texts in a batch are all right answers, rather than one of them."""

    def __post_init__(self) -> None:
        check(self)


LOSSES: Mapping[str, type] = MappingProxyType({"contrastive": Contrastive})


class TotalLoss(nn.Module):
    """The losses of a recipe, each with its weight, as one number.

    Args:
        losses: of the recipe.
        rank: of this process.
        world_size: processes; the same batch size in each.
    """

    def __init__(
        self, losses: Sequence[Contrastive], *, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__()
        self.losses = tuple(losses)
        self.terms = nn.ModuleList(
            ContrastiveLoss(rank=rank, world_size=world_size, multi_positive=one.multi_positive)
            for one in losses
        )

    def forward(
        self,
        images_BD: torch.Tensor,
        texts: Sequence[torch.Tensor],
        logit_scale: torch.Tensor,
        text_ids: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """The loss of this process's rows, a scalar.

        Args:
            images_BD: normalized features of the frames.
            texts: normalized features (B, D) of each text view.
            logit_scale: a scalar, not its logarithm.
            text_ids: int64 (B,) of each text view, equal where the texts are.
        """
        terms = [
            one.weight * term(images_BD, texts[one.text], logit_scale, text_ids[one.text])
            for one, term in zip(self.losses, self.terms, strict=True)
        ]
        return torch.stack(terms).sum()


class ContrastiveLoss(ClipLoss):  # type: ignore[misc]  # open_clip is not annotated
    """Symmetric cross entropy over the batch of all processes, (image -> text + text -> image) / 2.

    A row's target is spread evenly over the columns whose text is the same. Where all texts
    differ, that is `open_clip.ClipLoss`.

    Each process computes the rows of its own batch against the columns of all (`local_loss`), and
    features are gathered with their gradient: the mean of the processes' losses is the loss of the
    whole batch, and, once DDP has averaged them, the gradients are those of one process.

    Args:
        rank: of this process.
        world_size: processes; the same batch size in each.
        multi_positive: off, only a row's own column is right, as in open_clip.
    """

    def __init__(self, *, rank: int = 0, world_size: int = 1, multi_positive: bool = True) -> None:
        super().__init__(local_loss=True, gather_with_grad=True, rank=rank, world_size=world_size)
        self.multi_positive = multi_positive

    def forward(
        self,
        image_features: torch.Tensor,
        text_features: torch.Tensor,
        logit_scale: torch.Tensor,
        text_ids: torch.Tensor,
    ) -> torch.Tensor:
        """The loss of this process's rows, a scalar.

        Args:
            image_features: (B, D), normalized.
            text_features: (B, D), normalized.
            logit_scale: a scalar, not its logarithm.
            text_ids: int64 (B,), equal where the texts are.
        """
        if not self.multi_positive:
            loss: torch.Tensor = super().forward(image_features, text_features, logit_scale)
            return loss
        per_image, per_text = self.get_logits(image_features, text_features, logit_scale)
        same = text_ids[:, None] == self._gather(text_ids)[None, :]
        target = same / same.sum(dim=1, keepdim=True)
        total: torch.Tensor = functional.cross_entropy(
            per_image, target
        ) + functional.cross_entropy(per_text, target)
        return total / 2

    def _gather(self, text_ids: torch.Tensor) -> torch.Tensor:
        if self.world_size == 1:
            return text_ids
        parts = [torch.empty_like(text_ids) for _ in range(self.world_size)]
        distributed.all_gather(parts, text_ids.contiguous())
        return torch.cat(parts)
