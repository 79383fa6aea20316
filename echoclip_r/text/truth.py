"""How true texts are of clips, from what both claim; see `echoclip_r.text.claims`."""

from __future__ import annotations

import torch

__all__ = ["TRUE", "log_odds", "shared_findings"]

TRUE = 0.5
"""A statement of which this much is true is a right answer."""


def shared_findings(
    said_BF: torch.Tensor, states_MF: torch.Tensor, widths_F: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How true statements are of clips, and of which pairs that is known.

    A claim of a value that is g widths from what the report says is true to exp(-g^2 / 2), a
    statement of several claims to the product of theirs. It is known where the report speaks of all
    of them, or where what it says of some makes it false.

    Args:
        said_BF: what the clips' reports say, NaN where they are silent.
        states_MF: what the statements claim, NaN where they are silent.
        widths_F: how far apart two values begin to differ.

    Returns:
        Truth, float32 (B, M) from 0 to 1, and whether it is known, bool (B, M).

    Example:
        >>> said = torch.tensor([[55.0], [70.0], [float("nan")]])
        >>> truth, known = shared_findings(said, torch.tensor([[60.0]]), torch.tensor([5.0]))
        >>> truth.T, known.T
        (tensor([[0.6065, 0.1353, 1.0000]]), tensor([[ True,  True, False]]))
    """
    truth = said_BF.new_ones(len(said_BF), len(states_MF))
    silent = torch.zeros_like(truth, dtype=torch.bool)
    claimed_MF = ~states_MF.isnan()
    # Statements claim few of the findings, so that this takes less than all at once would.
    for column in claimed_MF.any(dim=0).nonzero().flatten().tolist():
        rows = claimed_MF[:, column].nonzero().flatten()
        gap = (said_BF[:, column, None] - states_MF[rows, column]) / widths_F[column]
        silent[:, rows] |= gap.isnan()
        truth[:, rows] *= torch.where(gap.isnan(), 1.0, torch.exp(-(gap**2) / 2))
    known = (~silent | (truth < TRUE)) & claimed_MF.any(dim=1)
    return truth, known


def log_odds(
    said_BF: torch.Tensor, first_MF: torch.Tensor, second_MF: torch.Tensor, widths_F: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How much likelier the first of two texts is to be true of a clip than the second.

    What both claim alike decides nothing. It is known where the report speaks of all else.

    Args:
        said_BF: what the clips' reports say, NaN where they are silent.
        first_MF: what the first texts claim, NaN where they are silent.
        second_MF: what the second ones claim.
        widths_F: how far apart two values begin to differ.

    Returns:
        Log odds, float32 (B, M), and whether they are known, bool (B, M).

    Example:
        >>> said = torch.tensor([[60.0], [52.0], [float("nan")]])
        >>> first, second = torch.tensor([[60.0]]), torch.tensor([[52.0]])
        >>> odds, known = log_odds(said, first, second, torch.tensor([4.0]))
        >>> odds.T, known.T
        (tensor([[ 2., -2.,  0.]]), tensor([[ True,  True, False]]))
    """
    alike = (first_MF == second_MF) | (first_MF.isnan() & second_MF.isnan())
    odds = said_BF.new_zeros(len(said_BF), len(first_MF))
    silent = torch.zeros_like(odds, dtype=torch.bool)
    for column in (~alike).any(dim=0).nonzero().flatten().tolist():
        rows = (~alike[:, column]).nonzero().flatten()
        for states, sign in ((first_MF, -1), (second_MF, 1)):
            gap = (said_BF[:, column, None] - states[rows, column]) / widths_F[column]
            # A twin that does not claim it is not made false by it.
            gap = torch.where(states[rows, column].isnan(), 0.0, gap)
            silent[:, rows] |= gap.isnan()
            odds[:, rows] += sign * gap.nan_to_num() ** 2 / 2
    known = ~silent & ~alike.all(dim=1)
    return odds, known
