"""The contrastive loss and its targets."""

from __future__ import annotations

import math

import pytest
import torch
from open_clip.loss import ClipLoss
from torch import Tensor
from torch.nn.functional import normalize

from echoclip_r.text.claims import default_claims
from echoclip_r.text.truth import shared_findings
from echoclip_r.training.loss import (
    Answers,
    Contrastive,
    ContrastiveLoss,
    PreferenceLoss,
    SharedFindings,
    SharedFindingsLoss,
    TotalLoss,
)


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
    answers = Answers(ids, (torch.empty(6, 0),) * 2, torch.empty(6, 0))
    value = TotalLoss(losses)(images, (first, second), scale, answers)
    expected = 0.25 * ContrastiveLoss()(images, second, scale, ids[1])
    expected = expected + 0.75 * ContrastiveLoss(multi_positive=False)(images, first, scale, ids[0])
    assert value.item() == pytest.approx(expected.item(), abs=1e-6)


def claimed(*cells: dict[str, float]) -> torch.Tensor:
    """Rows of claims, float32 (len(cells), F)."""
    claims = default_claims()
    rows = torch.full((len(cells), len(claims.names)), math.nan)
    for row, cell in zip(rows, cells, strict=True):
        for name, value in cell.items():
            row[claims.names.index(name)] = value
    return rows


SAID = claimed(
    {"ejection_fraction": 60, "la_dilation": 0, "impella": 0},
    {"ejection_fraction": 55, "impella": 1},
    {"la_dilation": 2, "impella": 0},
)
STATES = claimed(
    {"ejection_fraction": 60},
    {"ejection_fraction": 20},
    {"ejection_fraction": 60, "la_dilation": 0},
    {"impella": 1},
    {},
)


def test_right_are_those_that_say_the_same_and_silence_is_neither() -> None:
    """Softened by distance in units of the rule's tolerance; several claims must all hold."""
    truth, known = shared_findings(SAID, STATES, torch.from_numpy(default_claims().widths))
    half = math.exp(-0.5)
    expected = torch.tensor(
        [
            [1, math.exp(-32), 1, math.exp(-8), 1],
            [half, math.exp(-24.5), half, 1, 1],
            [1, 1, 0, 0, 1],
        ]
    )
    seen = torch.tensor(
        [[1, 1, 1, 1, 0], [1, 1, 0, 1, 0], [0, 0, 1, 1, 0]], dtype=torch.bool
    )  # the second is silent of the atrium, the third of EF, but its atrium makes one false
    assert torch.equal(known, seen)
    torch.testing.assert_close(truth * known, expected * known, atol=4e-4, rtol=1e-4)


def test_the_loss_on_shared_findings_term_by_term() -> None:
    """Over what is known: clips are asked of one finding at a time, statements of clips."""
    generator = torch.Generator().manual_seed(0)
    images = normalize(torch.randn(3, 16, generator=generator), dim=-1).requires_grad_()
    statements = normalize(torch.randn(5, 16, generator=generator), dim=-1).requires_grad_()
    value = SharedFindingsLoss(scale=7.0)(images, statements, SAID, STATES)
    logits = 7.0 * images.detach() @ statements.detach().T
    truth, known = shared_findings(SAID, STATES, torch.from_numpy(default_claims().widths))

    def questions(line: Tensor, right: Tensor, seen: Tensor) -> list[Tensor]:
        terms = []
        for row, target, mask in zip(line, right, seen, strict=True):
            true, false = (target[mask] >= 0.5), (target[mask] < 0.5)
            if true.any() and false.any():
                share = target[mask] / target[mask].sum()
                terms.append(-(share * row[mask].log_softmax(0)).sum())
        return terms

    by_finding = []
    for column in range(STATES.shape[1]):
        on = ~STATES[:, column].isnan()
        if on.any():
            by_finding += questions(logits[:, on], truth[:, on], known[:, on])
    # Of EF clips 0 and 1 are asked; the third is silent of it, and one answer is no question.
    assert len(by_finding) == 2
    by_statement = questions(logits.T, truth.T, known.T)
    ways = [torch.stack(terms).mean() for terms in (by_finding, by_statement)]
    # Clips 0 and 1; nothing is false of statement 0, nothing true of 1 and nothing known of 4.
    torch.testing.assert_close(value, torch.stack(ways).mean())
    for gradient in torch.autograd.grad(value, (images, statements)):
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


def test_where_nothing_is_known_nothing_is_taught() -> None:
    """No loss, and a gradient of zeros rather than of NaN."""
    images, statements = features(4)
    silent = claimed({}, {}, {}, {})
    value = SharedFindingsLoss()(images, statements, silent, silent)
    assert value.item() == 0
    for gradient in torch.autograd.grad(value, (images, statements)):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_shared_findings_reads_the_views_that_state() -> None:
    """All of them together, beside the loss on the whole report."""
    images, whole = features(3)
    first, second = features(3, seed=1)
    states = (torch.empty(3, 0), STATES[:3], STATES[1:4])
    answers = Answers((torch.arange(3),) * 3, states, SAID)
    losses = (Contrastive(weight=0.5), SharedFindings(text=1, num_texts=2, weight=0.5))
    value = TotalLoss(losses)(images, (whole, first, second), torch.tensor(5.0), answers)
    alone = SharedFindingsLoss()(
        images, torch.cat([first, second]), SAID, torch.cat([STATES[:3], STATES[1:4]])
    )
    plain = ContrastiveLoss()(images, whole, torch.tensor(5.0), torch.arange(3))
    torch.testing.assert_close(value, (alone + plain) / 2)


def test_which_twin_is_true_is_asked_of_every_clip_that_knows() -> None:
    """Term by term: odds by distance, at most 4; no question where the report is silent."""
    first = claimed(
        {"ejection_fraction": 60, "impella": 1}, {"la_dilation": 1}, {"impella": 0}, {"impella": 1}
    )
    second = claimed(
        {"ejection_fraction": 52, "impella": 1}, {"ra_dilation": 1}, {"impella": 0}, {}
    )
    # Of 60 or 52 a report that says 60 is 1.28 for the first; one that says 55 is .32 for the
    # second; the third is silent. Of the atria, one clip alone knows both. Equal twins ask nothing.
    said = claimed(
        {"ejection_fraction": 60, "la_dilation": 1, "ra_dilation": 0},
        {"ejection_fraction": 55, "impella": 1},
        {"la_dilation": 2, "impella": 0},
    )
    generator = torch.Generator().manual_seed(0)
    images = normalize(torch.randn(3, 16, generator=generator), dim=-1).requires_grad_()
    twins = normalize(torch.randn(8, 16, generator=generator), dim=-1).requires_grad_()
    value = PreferenceLoss(scale=7.0)(images, twins, said, torch.cat([first, second]))
    nearer = (7.0 * images @ (twins[:4] - twins[4:]).T).sigmoid()
    expected = []
    for clip, pair, odds in (
        (0, 0, 1.28),
        (1, 0, (9 - 25) / 50),
        (0, 1, 2.0),  # a grade, half a step wide, that is one off
        (1, 3, 0.0),  # the second twin does not speak of it, which makes it no less true
        (2, 3, -4.0),
    ):
        right = torch.tensor(odds).sigmoid()
        chance = nearer[clip, pair]
        expected.append(-(right * chance.log() + (1 - right) * (1 - chance).log()))
    torch.testing.assert_close(value, torch.stack(expected).mean())
    for gradient in torch.autograd.grad(value, (images, twins)):
        assert gradient.isfinite().all()


def test_twins_that_nobody_knows_teach_nothing() -> None:
    """No loss and no gradient."""
    images, twins = features(4)
    value = PreferenceLoss()(images, twins, SAID[:1].expand(4, -1), claimed({}, {}, {}, {}))
    assert value.item() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"weight": 2}, "weight is 2; it must be 0 to 1"), ({"text": -1}, "text is -1; it must be 0")],
)
def test_a_loss_is_refused_with_the_rule(changes: dict[str, float], message: str) -> None:
    """When it is made."""
    with pytest.raises(ValueError, match=message):
        Contrastive(**changes)  # type: ignore[arg-type]
