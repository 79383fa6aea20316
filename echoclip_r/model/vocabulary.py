"""Token embeddings for another vocabulary: from that of others to a phrase tokenizer's, and growth.

the same row of CLIP        copied (`echo-clip`: ids 0-49405, BOS)
EOS                         CLIP's end of text
a phrase, a value, a piece  the mean of the rows of its text's pieces, `{slots}` left out
pad                         zeros: the tower is causal, nothing reads it
join, space, spare rows     the mean of all rows, so that later growth starts from calm ones
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from open_clip.tokenizer import SimpleTokenizer

import echotok
from echotok.adapters.published import PublishedTokenizer

__all__ = [
    "Origin",
    "VocabularyReport",
    "grow_embedding",
    "plain_text",
    "transfer_from_clip",
    "transfer_from_published",
]

_SLOT = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a row of an embedding comes from.

    Attributes:
        id: of the row.
        kind: `phrase`, `value`, `bpe`, `special`, or "" for a spare row.
        token: its text.
        how: `copied`, `mean of pieces`, `mean of all`, or `zeros`.
        sources: rows of the old embedding that went in; () for all or none.
    """

    id: int
    kind: str
    token: str
    how: str
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyReport:
    """The origin of each row of a new embedding, or of each row that a growth added."""

    origins: tuple[Origin, ...]

    def counts(self) -> Mapping[str, int]:
        """The number of rows of each kind and origin, such as `phrase: mean of pieces`."""
        return Counter(f"{origin.kind or 'spare'}: {origin.how}" for origin in self.origins)

    def __str__(self) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in self.counts().items())

    def save(self, path: Path) -> None:
        """Write a CSV file with a row for each origin."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", "kind", "token", "how", "sources"])
            for o in self.origins:
                writer.writerow([o.id, o.kind, o.token, o.how, " ".join(map(str, o.sources))])


def transfer_from_clip(
    embedding_VD: torch.Tensor, tokenizer: echotok.Tokenizer
) -> tuple[torch.Tensor, VocabularyReport]:
    """An embedding for a tokenizer of echotok from one for CLIP's vocabulary.

    Args:
        embedding_VD: for open_clip's own tokenizer, (49408, D).
        tokenizer: over CLIP's vocabulary (`echo-clip`), or with one of its own (`echo`).

    Returns:
        The embedding, (tokenizer.vocab_size, D), and where each of its rows came from.

    Raises:
        ValueError: the embedding is not of CLIP's vocabulary.
    """
    clip = SimpleTokenizer()
    if embedding_VD.shape[0] != clip.vocab_size:
        raise ValueError(
            f"the pretrained embedding has {embedding_VD.shape[0]:,} rows and CLIP's vocabulary "
            f"{clip.vocab_size:,}: which row means what is not known. Start from a model of the "
            "standard vocabulary; of a run of ours give the folder, which says what its rows mean"
        )
    shared = tokenizer.fallback.kind == "clip"

    def pieces(number: int, kind: str, text: str) -> tuple[str, Sequence[int]]:
        if kind == "bpe" and shared and number < clip.sot_token_id:
            return "copied", (number,)
        plain = _bpe_text(text, clip) if kind == "bpe" else plain_text(text)
        return "mean of pieces", clip.encode(plain)

    special = {tokenizer.eos_id: clip.eot_token_id, tokenizer.bos_id: clip.sot_token_id}
    report = _transferred(tokenizer, special, pieces)
    return _fill(embedding_VD, report.origins), report


def transfer_from_published(
    embedding_VD: torch.Tensor, published: PublishedTokenizer, tokenizer: echotok.Tokenizer
) -> tuple[torch.Tensor, VocabularyReport]:
    """An embedding for a tokenizer of echotok from one for the published template tokenizer.

    The program is asked which ids it gives a phrase's words; where it gives none, the row is the
    mean of all. No row is shared.

    Args:
        embedding_VD: for the program; rows behind its ids, which nothing trained, are left out.
        published: the program.
        tokenizer: any of echotok's.

    Returns:
        As `transfer_from_clip`.
    """
    # Pieces of words are no phrases, and would be asked for in vain.
    asked = [n for n in tokenizer.assigned_ids if tokenizer.kind(n) in ("phrase", "value")]
    rows = published.encode_batch([plain_text(tokenizer.id_to_token(number)) for number in asked])
    found = {
        number: row[1 : row.index(published.eos_id)]
        for number, row in zip(asked, rows, strict=True)
    }
    special = {tokenizer.eos_id: published.eos_id, tokenizer.bos_id: published.bos_id}
    report = _transferred(
        tokenizer, special, lambda number, kind, text: ("mean of pieces", found.get(number, ()))
    )
    return _fill(embedding_VD[: published.vocab_size], report.origins), report


def grow_embedding(
    embedding_VD: torch.Tensor, *, old: echotok.Tokenizer, new: echotok.Tokenizer
) -> tuple[torch.Tensor, VocabularyReport]:
    """The embedding with the rows filled that a grown tokenizer has and the old one has not.

    A row starts as the mean of the pieces that the old tokenizer made of its text.

    Returns:
        A new tensor of the same shape, and a report of the added rows.

    Raises:
        ArtifactError: `new` is not an append-only growth of `old` (I6).
    """
    pad = old.pad_id

    def origin(number: int) -> Origin:
        text = new.id_to_token(number)
        pieces = tuple(i for i in old.encode(plain_text(text)).ids[1:-1] if i != pad)
        return Origin(
            id=number,
            kind=new.kind(number),
            token=text,
            how="mean of pieces" if pieces else "mean of all",
            sources=pieces,
        )

    added = tuple(map(origin, new.added_since(old)))
    grown = embedding_VD.clone()
    if added:
        grown[[o.id for o in added]] = _fill(embedding_VD, added)
    return grown, VocabularyReport(origins=added)


def _transferred(
    tokenizer: echotok.Tokenizer,
    special: Mapping[int, int],
    pieces: Callable[[int, str, str], tuple[str, Sequence[int]]],
) -> VocabularyReport:
    """Where each row comes from: `special` maps BOS and EOS, `pieces` gives what makes the others.

    `pieces` is asked with id, kind and text, and answers how and from which rows; none stands for
    the mean of all.
    """
    assigned = set(tokenizer.assigned_ids)

    def origin(number: int) -> Origin:
        kind = tokenizer.kind(number) if number in assigned else ""
        text = tokenizer.id_to_token(number) if number in assigned else ""
        how: str = "mean of all"
        sources: tuple[int, ...] = ()
        if number in special:
            how, sources = "copied", (int(special[number]),)
        elif number == tokenizer.pad_id:
            how = "zeros"
        elif kind not in ("", "special"):
            asked, rows = pieces(number, kind, text)
            how, sources = (asked, tuple(rows)) if rows else (how, ())
        return Origin(id=number, kind=kind, token=text, how=how, sources=sources)

    return VocabularyReport(origins=tuple(map(origin, range(tokenizer.vocab_size))))


def _fill(embedding_VD: torch.Tensor, origins: Sequence[Origin]) -> torch.Tensor:
    """One row an origin."""
    mean = embedding_VD.mean(dim=0)
    makers: Mapping[str, Callable[[Origin], torch.Tensor]] = {
        "copied": lambda origin: embedding_VD[origin.sources[0]],
        "mean of pieces": lambda origin: embedding_VD[list(origin.sources)].mean(dim=0),
        "mean of all": lambda origin: mean,
        "zeros": lambda origin: torch.zeros_like(mean),
    }
    return torch.stack([makers[origin.how](origin) for origin in origins])


def plain_text(text: str) -> str:
    """A phrase's text without its slots."""
    return _SLOT.sub(" ", text)


def _bpe_text(token: str, clip: SimpleTokenizer) -> str:
    """The text of a BPE token, which is written in the byte alphabet."""
    letters = token.removesuffix("</w>")
    return bytes(clip.byte_decoder[letter] for letter in letters).decode(errors="ignore")
