"""open_clip's text tower on rows that are as short as their texts.

The tower is causal and is read at EOS, so what stands behind EOS cannot matter, and of the last
block only the row at EOS is needed. open_clip's `encode_text` works out everything at the full
context, which for a report of 40 phrases is several times the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

__all__ = ["encode_text", "encode_texts", "is_plain_text_tower"]

# On a CPU rows are done in so many groups of like length, since padding costs there what ids cost.
_GROUPS = 4
_GROUPS_OF_SEVERAL = 10  # of a recipe's whole reports and short statements together
_WORTH_IT = 0.1


def is_plain_text_tower(model: Any) -> bool:
    """Whether a model's text tower is one that `encode_text` knows: causal, of default blocks."""
    blocks = getattr(getattr(model, "transformer", None), "resblocks", ())
    return (
        len(blocks) > 0
        and all(type(block) is ResidualAttentionBlock for block in blocks)
        and getattr(model, "text_pool_type", "") == "argmax"
        and getattr(model, "attn_mask", None) is not None
    )


def encode_text(model: Any, ids_BL: torch.Tensor) -> torch.Tensor:
    """Text embeddings (B, D), not normalized, of rows that may be shorter than the context.

    They are those of open_clip's `encode_text` at full length, up to rounding. Rows of the full
    length are handed to it, untouched, unless a CPU trains on them and much of them is padding.

    Args:
        model: `open_clip.CLIP` with a plain text tower.
        ids_BL: int64; the highest id of a row is its EOS.
    """
    eos_B = ids_BL.argmax(dim=-1)
    on_cpu_in_groups = not ids_BL.is_cuda and len(ids_BL) >= 2 * _GROUPS
    if ids_BL.shape[1] == model.context_length and not (
        on_cpu_in_groups
        and model.training
        and is_plain_text_tower(model)
        and _padding(eos_B, ids_BL.shape[1]) > _WORTH_IT
    ):
        full: torch.Tensor = model.encode_text(ids_BL)
        return full
    if not on_cpu_in_groups:
        return _encode(model, ids_BL, eos_B)
    return _encode_in_groups(model, ids_BL, eos_B, _GROUPS)


def encode_texts(model: Any, texts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """What `encode_text` gives of each of several texts, up to rounding.

    On a CPU the rows of all are done together, each that occurs several times once: that saves a
    third of the time where there are statements, which are short and much alike. A GPU has no gain
    from it and would have to wait for the rows.

    Args:
        model: as for `encode_text`.
        texts: int64 (B, L) of each, of any length.
    """
    together = len(texts) > 1 and not texts[0].is_cuda and is_plain_text_tower(model)
    if not together:
        return [encode_text(model, ids_BL) for ids_BL in texts]
    length = max(ids_BL.shape[1] for ids_BL in texts)
    # Any id behind EOS will do: it is not attended to, and 0 is below every EOS.
    padded = [functional.pad(ids_BL, (0, length - ids_BL.shape[1])) for ids_BL in texts]
    ids_BL, place_M = torch.unique(torch.cat(padded), dim=0, return_inverse=True)
    embedded_BD = _encode_in_groups(model, ids_BL, ids_BL.argmax(dim=-1), _GROUPS_OF_SEVERAL)
    return list(torch.split(embedded_BD[place_M], [len(ids_BL) for ids_BL in texts]))


def _encode_in_groups(
    model: Any, ids_BL: torch.Tensor, eos_B: torch.Tensor, groups: int
) -> torch.Tensor:
    """Embeddings (B, D) of rows that are sorted by length and trimmed group by group."""
    order_B = torch.argsort(eos_B, stable=True)
    parts = [
        _encode(model, ids_BL[rows, : int(eos_B[rows[-1]]) + 1], eos_B[rows])
        for rows in order_B.chunk(groups)
    ]
    return torch.cat(parts)[torch.argsort(order_B)]


def _padding(eos_B: torch.Tensor, length: int) -> float:
    """The share of a batch's places that stand behind EOS."""
    return 1 - float((eos_B + 1).sum()) / (len(eos_B) * length)


def _encode(model: Any, ids_BL: torch.Tensor, eos_B: torch.Tensor) -> torch.Tensor:
    length = ids_BL.shape[1]
    dtype = model.transformer.get_cast_dtype()
    x_BLW = model.token_embedding(ids_BL).to(dtype)
    x_BLW = x_BLW + model.positional_embedding[:length].to(dtype)
    mask_LL = model.attn_mask[:length, :length].to(x_BLW.dtype)
    *blocks, last = model.transformer.resblocks
    for block in blocks:
        if model.transformer.grad_checkpointing and torch.is_grad_enabled():
            x_BLW = checkpoint(block, x_BLW, None, None, mask_LL, use_reentrant=False)
        else:
            x_BLW = block(x_BLW, attn_mask=mask_LL)
    row_B = torch.arange(len(ids_BL), device=ids_BL.device)
    keys_BLW = last.ln_1(x_BLW)
    behind_BL = torch.arange(length, device=ids_BL.device) > eos_B[:, None]
    attended_B1W, _ = last.attn(
        keys_BLW[row_B, eos_B][:, None],
        keys_BLW,
        keys_BLW,
        key_padding_mask=behind_BL,
        need_weights=False,
    )
    x_BW = x_BLW[row_B, eos_B] + last.ls_1(attended_B1W[:, 0])
    x_BW = x_BW + last.ls_2(last.mlp(last.ln_2(x_BW)))
    pooled_BW = model.ln_final(x_BW)
    projection = model.text_projection
    embedded_BD: torch.Tensor = (
        projection(pooled_BW) if isinstance(projection, nn.Linear) else pooled_BW @ projection
    )
    return embedded_BD
