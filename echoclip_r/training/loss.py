"""What clips and texts are taught: open_clip's contrastive loss, and one on what they share.

`Contrastive` takes a text as a whole: a clip's own is right, and so is every one that reads alike.
Template reports repeat word for word. With one right answer a row, an image is taught to prefer
its own copy of a sentence to the same sentence of its neighbour, which nothing can learn.

`SharedFindings` takes a text as claims: right is every clip whose report says the same, wrong every
clip whose report says otherwise, and a clip of which the report is silent is neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from open_clip.loss import ClipLoss, gather_features
from torch import distributed, nn
from torch.distributed.nn.functional import all_gather
from torch.nn import functional

from echoclip_r.model.settings import check, rule
from echoclip_r.text.claims import default_claims
from echoclip_r.text.truth import TRUE, log_odds, shared_findings

__all__ = [
    "LOSSES",
    "Answers",
    "Contrastive",
    "ContrastiveLoss",
    "Loss",
    "Preference",
    "PreferenceLoss",
    "SharedFindings",
    "SharedFindingsLoss",
    "TotalLoss",
]


class Answers(NamedTuple):
    """Which texts are right answers to which clips.

    Attributes:
        text_ids: int64 (B,) for each text view: equal where the texts are.
        states: float32 (B, F) for each text view: what its texts claim of F findings, NaN where
            they are silent; (B, 0) of a view that is compared as a whole.
        said: float32 (B, F): what the clips' reports say of them; (B, 0) where no view claims.
    """

    text_ids: tuple[torch.Tensor, ...]
    states: tuple[torch.Tensor, ...]
    said: torch.Tensor

    def map(self, function: Any) -> Answers:
        """The same of every tensor."""
        return Answers(
            tuple(map(function, self.text_ids)),
            tuple(map(function, self.states)),
            function(self.said),
        )


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

    @property
    def num_texts(self) -> int:
        """How many texts it compares."""
        return 1

    def term(self, *, rank: int, world_size: int) -> nn.Module:
        """The module that computes it, see `TotalLoss`."""
        return ContrastiveLoss(rank=rank, world_size=world_size, multi_positive=self.multi_positive)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFindings:
    """A recipe's loss between the frames and what some of its texts claim."""

    text: int = field(default=1, metadata=rule(least=0, settable=False))
    """Number of the first text view, from 0, whose texts are statements."""
    num_texts: int = field(default=1, metadata=rule(least=1, settable=False))
    """How many views from there on are."""
    weight: float = field(default=1.0, metadata=rule(least=0, settable=False))
    """Its share in the loss of a step."""
    findings_scale: float = field(default=40.0, metadata=rule(above=0))
    """The temperature's inverse of this loss, which is fixed: many answers are right, so that the
    one of whole reports, which is learned, would be far too sharp."""

    def __post_init__(self) -> None:
        check(self)

    def term(self, *, rank: int, world_size: int) -> nn.Module:
        """The module that computes it, see `TotalLoss`."""
        return SharedFindingsLoss(rank=rank, world_size=world_size, scale=self.findings_scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """A recipe's loss between the frames and two texts that differ in one finding."""

    text: int = field(default=1, metadata=rule(least=0, settable=False))
    """Number of the first of the two, from 0."""
    weight: float = field(default=1.0, metadata=rule(least=0, settable=False))
    """Its share in the loss of a step."""
    preference_scale: float = field(default=40.0, metadata=rule(above=0))
    """The temperature's inverse of this loss."""

    def __post_init__(self) -> None:
        check(self)

    @property
    def num_texts(self) -> int:
        """How many texts it compares."""
        return 2

    def term(self, *, rank: int, world_size: int) -> nn.Module:
        """The module that computes it, see `TotalLoss`."""
        return PreferenceLoss(rank=rank, world_size=world_size, scale=self.preference_scale)


Loss = Contrastive | SharedFindings | Preference
LOSSES: Mapping[str, type] = MappingProxyType(
    {"contrastive": Contrastive, "shared-findings": SharedFindings, "preference": Preference}
)


class TotalLoss(nn.Module):
    """The losses of a recipe, each with its weight, as one number.

    Args:
        losses: of the recipe.
        rank: of this process.
        world_size: processes; the same batch size in each.
    """

    def __init__(self, losses: Sequence[Loss], *, rank: int = 0, world_size: int = 1) -> None:
        super().__init__()
        self.losses = tuple(losses)
        self.terms = nn.ModuleList(one.term(rank=rank, world_size=world_size) for one in losses)

    def forward(
        self,
        images_BD: torch.Tensor,
        texts: Sequence[torch.Tensor],
        logit_scale: torch.Tensor,
        answers: Answers,
    ) -> torch.Tensor:
        """The loss of this process's rows, a scalar.

        Args:
            images_BD: normalized features of the frames.
            texts: normalized features (B, D) of each text view.
            logit_scale: a scalar, not its logarithm.
            answers: which texts are right.
        """
        terms = []
        for one, term in zip(self.losses, self.terms, strict=True):
            if not isinstance(one, Contrastive):
                views = slice(one.text, one.text + one.num_texts)
                value = term(
                    images_BD,
                    torch.cat(list(texts[views])),
                    answers.said,
                    torch.cat(answers.states[views]),
                )
            else:
                value = term(images_BD, texts[one.text], logit_scale, answers.text_ids[one.text])
            terms.append(one.weight * value)
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
        same = text_ids[:, None] == _gather(text_ids, self.world_size)[None, :]
        target = same / same.sum(dim=1, keepdim=True)
        total: torch.Tensor = functional.cross_entropy(
            per_image, target
        ) + functional.cross_entropy(per_text, target)
        return total / 2


class _ClaimsLoss(nn.Module):
    """A loss between clips and what texts claim.

    Args:
        rank: of this process.
        world_size: processes; the same batch size in each.
        scale: the temperature's inverse.
    """

    def __init__(self, *, rank: int = 0, world_size: int = 1, scale: float = 40.0) -> None:
        super().__init__()
        self.rank, self.world_size, self.scale = rank, world_size, scale
        self.widths = torch.from_numpy(default_claims().widths)


class SharedFindingsLoss(_ClaimsLoss):
    """Soft cross entropy between clips and statements, over what is known of each pair.

    A clip is asked about one finding at a time: of the batch's statements on it, which are true?
    That is how prompts ask, and statements on different findings are no answers to one question. A
    statement is asked which clips it is true of. The true ones share the target; `shared_findings`
    says how true. A statement that is true of no clip of the batch is a wrong answer, and no
    question.

    Each process computes the rows of its own clips and statements, as `ContrastiveLoss` does. The
    questions of a kind count alike over all processes, however many of each process's there are.
    """

    def forward(
        self,
        images_BD: torch.Tensor,
        statements_MD: torch.Tensor,
        said_BF: torch.Tensor,
        states_MF: torch.Tensor,
    ) -> torch.Tensor:
        """The loss of this process's rows, a scalar.

        Args:
            images_BD: normalized features of the frames.
            statements_MD: normalized features of the statements.
            said_BF: what the clips' reports say, NaN where they are silent.
            states_MF: what the statements claim, NaN where they are silent.
        """
        all_images, all_statements = images_BD, statements_MD
        if self.world_size > 1:
            all_images, all_statements = gather_features(
                images_BD,
                statements_MD,
                local_loss=True,
                gather_with_grad=True,
                rank=self.rank,
                world_size=self.world_size,
            )
        widths = self.widths.to(said_BF.device)
        all_states = _gather(states_MF, self.world_size)
        per_image = self.scale * images_BD @ all_statements.T
        truth, known = shared_findings(said_BF, all_states, widths)
        claimed = ~all_states.isnan()
        # Where nothing is claimed there is one question without an answer, which counts nothing.
        columns = claimed.any(dim=0).nonzero().flatten().tolist() or [0]
        of_findings = [
            _questions(*(one[:, claimed[:, column]] for one in (per_image, truth, known)))
            for column in columns
        ]
        per_statement = self.scale * statements_MD @ all_images.T
        all_said = _gather(said_BF, self.world_size)
        of_clips = _questions(
            per_statement, *(one.T for one in shared_findings(all_said, states_MF, widths))
        )
        return (self._mean(of_findings) + self._mean([of_clips])) / 2

    def _mean(self, parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """Over the questions of all processes."""
        total = torch.stack([loss for loss, _ in parts]).sum()
        num = torch.stack([count for _, count in parts]).sum()
        return _mean_over_processes(total, num, self.world_size)


def _questions(
    logits: torch.Tensor, truth: torch.Tensor, known: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of the losses of rows with a right and a wrong answer, and their number."""
    truth = truth * known
    asks = (truth >= TRUE).any(dim=1) & (known & (truth < TRUE)).any(dim=1)
    target = truth / truth.sum(dim=1, keepdim=True).clamp_min(1e-6)
    likely = logits.masked_fill(~known, -torch.inf).log_softmax(dim=1)
    # Where nothing is known all is -inf, whose gradient is none even at weight 0.
    likely = torch.where(known & asks[:, None], likely, 0.0)
    return -(target * likely).sum(), asks.sum()


class PreferenceLoss(_ClaimsLoss):
    """Cross entropy of which of two twins is nearer to a clip, over all that know the answer.

    A clip whose report says of the changed finding what the first twin says should prefer that one,
    a clip whose report says what the second says, the second; in between the odds are those of the
    two claims (`shared_findings`). So a changed text is no sign of a wrong one.
    """

    def forward(
        self,
        images_BD: torch.Tensor,
        twins_MD: torch.Tensor,
        said_BF: torch.Tensor,
        states_MF: torch.Tensor,
    ) -> torch.Tensor:
        """The loss of this process's clips, a scalar.

        Args:
            images_BD: normalized features of the frames.
            twins_MD: normalized features of the first twins, then of the second ones.
            said_BF: what the clips' reports say, NaN where they are silent.
            states_MF: what the twins claim, NaN where they are silent.
        """
        first_BD, second_BD = twins_MD.chunk(2)
        first, second = states_MF.chunk(2)
        between_BD = first_BD - second_BD
        if self.world_size > 1:
            between_BD = torch.cat(all_gather(between_BD))  # type: ignore[no-untyped-call]
        odds, known = log_odds(
            said_BF,
            _gather(first, self.world_size),
            _gather(second, self.world_size),
            self.widths.to(said_BF.device),
        )
        odds = odds.clamp(-_MOST_ODDS, _MOST_ODDS)
        logits = self.scale * images_BD @ between_BD.T
        each = functional.binary_cross_entropy_with_logits(logits, odds.sigmoid(), reduction="none")
        return _mean_over_processes(
            torch.where(known, each, 0.0).sum(), known.sum(), self.world_size
        )


_MOST_ODDS = 4.0  # log odds; more would ask of a cosine what no reader is sure of


def _mean_over_processes(total: torch.Tensor, num: torch.Tensor, world_size: int) -> torch.Tensor:
    """This process's part of the mean over the questions of all; the parts' mean is the mean."""
    if world_size > 1:
        num = num.clone()
        distributed.all_reduce(num)
    return total * world_size / num.clamp_min(1)


def _gather(rows: torch.Tensor, world_size: int) -> torch.Tensor:
    """The rows of all processes."""
    if world_size == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(world_size)]
    distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)
