"""open_clip's contrastive loss, with all of a batch's identical texts as right answers.

Template reports repeat word for word. With one right answer a row, an image is taught to prefer
its own copy of a sentence to the same sentence of its neighbour, which nothing can learn.
"""

from __future__ import annotations

import torch
from open_clip.loss import ClipLoss
from torch import distributed
from torch.nn import functional

__all__ = ["ContrastiveLoss"]


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
