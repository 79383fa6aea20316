"""How well phrases that were given rows of their own stand for their own words, before training.

A phrase's row starts as the mean of its pieces' rows. Whether the text tower then takes the one
token for the words is asked of the tower itself: among the words of all phrases, are its own the
nearest?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch.nn import functional

import echotok
from echoclip_r.model.text_tower import encode_text
from echoclip_r.model.vocabulary import plain_text

__all__ = ["OwnWording", "rank_own_wording"]

_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWording:
    """Phrases that are nearest to their own words.

    Attributes:
        num_first: phrases whose own words rank first; ties count against them.
        num_phrases: phrases that were asked.
        num_wordings: different wordings among which they rank; the chance level is one of them.
    """

    num_first: int
    num_phrases: int
    num_wordings: int

    def __str__(self) -> str:
        share = 100 * self.num_first / self.num_phrases if self.num_phrases else 0.0
        chance = 100 / self.num_wordings if self.num_wordings else 0.0
        return (
            f"{self.num_first:,} of {self.num_phrases:,} phrases ({share:.0f} %) rank their own "
            f"words first among {self.num_wordings:,} (chance {chance:.1g} %)"
        )


def rank_own_wording(model: Any, tokenizer: echotok.Tokenizer) -> OwnWording | None:
    """Rank the words of all phrases for each phrase; slots are left out of both.

    Args:
        model: `open_clip.CLIP` whose token embedding is the tokenizer's.
        tokenizer: over CLIP's vocabulary, so that words without phrases are CLIP's pieces.

    Returns:
        What was found, or None where the tokenizer has not CLIP's pieces.
    """
    if tokenizer.fallback.kind != "clip":
        return None
    clip = SimpleTokenizer()
    room = model.context_length - 2
    pieces: dict[int, tuple[int, ...]] = {}
    for number in tokenizer.assigned_ids:
        if tokenizer.kind(number) == "phrase":
            found = tuple(clip.encode(plain_text(tokenizer.id_to_token(number))))
            if 0 < len(found) <= room:
                pieces[number] = found
    wordings = sorted(set(pieces.values()))
    phrases = list(pieces)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        words_ND = _embed(model, [list(one) for one in wordings], tokenizer)
        phrases_ND = _embed(model, [[number] for number in phrases], tokenizer)
    model.train(was_training)
    place = {one: number for number, one in enumerate(wordings)}
    own = torch.tensor([place[pieces[number]] for number in phrases], dtype=torch.int64)
    num_first = 0
    for start in range(0, len(phrases), _AT_ONCE):
        cosines = phrases_ND[start : start + _AT_ONCE] @ words_ND.T
        mine = cosines.gather(1, own[start : start + _AT_ONCE, None])
        num_first += int(((cosines >= mine).sum(dim=1) == 1).sum())
    return OwnWording(num_first=num_first, num_phrases=len(phrases), num_wordings=len(wordings))


def _embed(model: Any, texts: list[list[int]], tokenizer: echotok.Tokenizer) -> torch.Tensor:
    """Unit embeddings (N, D) of rows of ids, those of one length together."""
    device = model.token_embedding.weight.device
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    parts = []
    for start in range(0, len(order), _AT_ONCE):
        rows = [
            [tokenizer.bos_id, *texts[number], tokenizer.eos_id]
            for number in order[start : start + _AT_ONCE]
        ]
        width = max(map(len, rows))
        ids = [row + [tokenizer.pad_id] * (width - len(row)) for row in rows]
        features = encode_text(model, torch.tensor(ids, device=device))
        parts.append(functional.normalize(features.float(), dim=-1).cpu())
    if not parts:
        return torch.zeros(0, 1)
    back = torch.empty(len(order), dtype=torch.int64)
    back[torch.tensor(order)] = torch.arange(len(order))
    return torch.cat(parts)[back]
