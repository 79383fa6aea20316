"""Rows of numbers that know their size: a smooth function of it, beside a part of their own.

To a plain embedding 55 and 56 are as strange to each other as 55 and `mild`, and a number that the
reports never say stays where it began. While a model trains, `NumberRows` stands in the place of
its token embedding: the row of a number is its own part and a mixture of bumps along the axis of
magnitude, and both are learned. What is saved are the sums, as plain rows, so that open_clip reads
a checkpoint as any other. That 35 % is something else than 35 mmHg is left to the layers above,
which read the phrase beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

import echotok

__all__ = [
    "NumberRows",
    "magnitude",
    "pack_number_rows",
    "plain_weights",
    "share_number_rows",
    "unpack_number_rows",
]

_NUMERAL = re.compile(r"\d+(?:\.\d+)?")
_NUM_BUMPS = 48
_MOST = 400.0
_STD = 0.02  # of a row's entries, as open_clip draws them


def magnitude(token: str) -> float | None:
    """The size of a number as a value token writes it; None for another token.

    A range counts as its middle, a comparison as its number.

    Example:
        >>> [magnitude(token) for token in ("55", "60-65", "55 to 60", "-21.", "no")]
        [55.0, 62.5, 57.5, -21.0, None]
    """
    numerals = [float(numeral) for numeral in _NUMERAL.findall(token)]
    if not numerals:
        return None
    sign = -1 if token.startswith("-") else 1
    return sign * sum(numerals) / len(numerals)


class NumberRows(nn.Embedding):
    """A token embedding in which numbers of like size share a part.

    Args:
        weight_VW: the rows so far.
        bumps_VK: how much of each bump is in each row, 0 in those that are no numbers.
        shared_KW: the bumps' rows.
    """

    def __init__(
        self, weight_VW: torch.Tensor, bumps_VK: torch.Tensor, shared_KW: torch.Tensor
    ) -> None:
        num, width = weight_VW.shape
        super().__init__(num, width, _weight=weight_VW.detach().clone())
        self.register_buffer("bumps", bumps_VK, persistent=False)
        self.shared = nn.Parameter(shared_KW)
        self.bumps: torch.Tensor

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The rows of ids, of any shape."""
        return super().forward(ids) + self.bumps[ids] @ self.shared

    @torch.no_grad()
    def rows(self) -> torch.Tensor:
        """Every row as a plain embedding has it (V, W)."""
        return self.weight + self.bumps @ self.shared

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Plain rows are taken whole: what they share is 0 until the run's own state says it."""
        state_dict.setdefault(f"{prefix}shared", torch.zeros_like(self.shared))
        super()._load_from_state_dict(state_dict, prefix, *args)


def share_number_rows(model: Any, tokenizer: echotok.Tokenizer, *, fresh: bool) -> None:
    """Put `NumberRows` in the place of a model's token embedding.

    Args:
        model: `open_clip.CLIP`.
        tokenizer: which tells the numbers among the ids.
        fresh: its rows are random ones, and those of numbers begin with nothing of their own; else
            they stay as they are, and what they share begins at 0.
    """
    plain: nn.Embedding = model.token_embedding
    bumps = torch.zeros(plain.num_embeddings, 2 * _NUM_BUMPS)
    numbers = []
    for number in tokenizer.assigned_ids:
        if tokenizer.kind(number) != "value":
            continue
        size = magnitude(tokenizer.id_to_token(number))
        if size is not None:
            bumps[number] = _bumps(size)
            numbers.append(number)
    shared = torch.zeros(bumps.shape[1], plain.embedding_dim)
    weight = plain.weight.detach().clone()
    if fresh:
        shared = torch.empty_like(shared).normal_(std=_STD / bumps[numbers].norm(dim=1).mean())
        weight[numbers] = 0
    device = plain.weight.device
    model.token_embedding = NumberRows(weight, bumps.to(device), shared.to(device))


def plain_weights(model: Any) -> dict[str, torch.Tensor]:
    """A model's weights as open_clip knows them, the rows of numbers summed up."""
    weights: dict[str, torch.Tensor] = model.state_dict()
    rows = model.token_embedding
    if isinstance(rows, NumberRows):
        weights["token_embedding.weight"] = rows.rows()
        del weights["token_embedding.shared"]
    return weights


def pack_number_rows(model: Any) -> dict[str, torch.Tensor]:
    """What the sums do not say, and a run needs to go on bit for bit; {} for plain rows."""
    rows = model.token_embedding
    if not isinstance(rows, NumberRows):
        return {}
    return {name: value.detach() for name, value in zip(_PARTS, rows.parameters(), strict=True)}


@torch.no_grad()
def unpack_number_rows(model: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `pack_number_rows` gave."""
    rows = model.token_embedding
    if isinstance(rows, NumberRows):
        for name, parameter in zip(_PARTS, rows.parameters(), strict=True):
            parameter.copy_(tensors[name])


_PARTS = ("number_rows.weight", "number_rows.shared")


def _bumps(size: float) -> torch.Tensor:
    """Bumps (2 K,) along the axis of magnitude, evenly spaced in asinh; negative ones apart."""
    places = torch.linspace(0, _scaled(_MOST), _NUM_BUMPS)
    width = 1.5 * float(places[1])
    bumps = torch.exp(-(((places - _scaled(abs(size))) / width) ** 2) / 2)
    nothing = torch.zeros_like(bumps)
    return torch.cat([nothing, bumps] if size < 0 else [bumps, nothing])


def _scaled(size: float) -> float:
    """Linear below some 10, then logarithmic: 1.5 and 2 differ as 55 and 70 do."""
    return float(torch.asinh(torch.tensor(size / 10)))
