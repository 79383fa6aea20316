"""The contrastive loss and its targets."""

from __future__ import annotations

import math

import pytest
import torch
from open_clip.loss import ClipLoss
from torch.nn.functional import normalize

from echoclip_r.training.loss import Contrastive, ContrastiveLoss, TotalLoss


def features(rows: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images, texts = torch.randn(2, rows, 16, generator=generator)
    return normalize(images, dim=-1).requires_grad_(), normalize(texts, dim=-1).requires_grad_()


@pytest.mark.parametrize("multi_positive", [True, False])
def test_it_is_open_clips_loss_where_all_texts_differ(multi_positive: bool) -> None:
    """Value and gradients, to 1e-6."""
    found = []
    scale = torch.tensor(20.0, requires_grad=True)
    for loss in (ContrastiveLoss(multi_positive=multi_positive), ClipLoss()):
        images, texts = features(12)
        ids = [torch.arange(12)] if isinstance(loss, ContrastiveLoss) else []
        value = loss(images, texts, scale, *ids)
        found.append((value, *torch.autograd.grad(value, (images, texts, scale))))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_identical_texts_are_all_right_answers() -> None:
    """Term by term: the mean of -log p over the right answers, both ways."""
    images, texts = features(6)
    ids = torch.tensor([7, 3, 7, 1, 3, 7])
    texts = texts.detach()[[0, 1, 0, 3, 1, 0]]
    value = ContrastiveLoss()(images, texts, torch.tensor(5.0), ids)
    logits = (5.0 * images @ texts.T).tolist()
    total = 0.0
    for i in range(6):
        right = [j for j in range(6) if ids[i] == ids[j]]
        for line in (logits[i], [row[i] for row in logits]):
            norm = math.log(sum(map(math.exp, line)))
            total += sum(norm - line[j] for j in right) / len(right)
    assert value.item() == pytest.approx(total / 12, abs=1e-5)


def test_one_text_for_all_leaves_nothing_to_learn_but_evenness() -> None:
    """With equal embeddings the loss is at its least and has no gradient."""
    images = torch.ones(4, 3, requires_grad=True)
    same = torch.zeros(4, dtype=torch.int64)
    value = ContrastiveLoss()(images, torch.ones(4, 3), torch.tensor(1.0), same)
    (gradient,) = torch.autograd.grad(value, images)
    assert value.item() == pytest.approx(math.log(4))
    torch.testing.assert_close(gradient, torch.zeros(4, 3), atol=1e-6, rtol=0)
    plain = ContrastiveLoss(multi_positive=False)
    assert plain(images, torch.ones(4, 3), torch.tensor(1.0), same).item() == value.item()


def test_the_losses_of_a_recipe_are_added_by_their_weights() -> None:
    """Each compares the frames with its own text."""
    images, first = features(6)
    _, second = features(6, seed=1)
    scale, ids = torch.tensor(5.0), (torch.arange(6), torch.tensor([0, 0, 1, 2, 3, 4]))
    losses = (
        Contrastive(text=1, weight=0.25),
        Contrastive(text=0, weight=0.75, multi_positive=False),
    )
    value = TotalLoss(losses)(images, (first, second), scale, ids)
    expected = 0.25 * ContrastiveLoss()(images, second, scale, ids[1])
    expected = expected + 0.75 * ContrastiveLoss(multi_positive=False)(images, first, scale, ids[0])
    assert value.item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"weight": 2}, "weight is 2; it must be 0 to 1"), ({"text": -1}, "text is -1; it must be 0")],
)
def test_a_loss_is_refused_with_the_rule(changes: dict[str, float], message: str) -> None:
    """When it is made."""
    with pytest.raises(ValueError, match=message):
        Contrastive(**changes)  # type: ignore[arg-type]
