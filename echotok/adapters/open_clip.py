"""Echotok's tokenizers as open_clip calls and configures them.

open_clip takes any callable from texts to padded ids, and reads the size of the vocabulary from
the model's `text_cfg`. It pools the text at each row's argmax, which is why EOS is the highest id
(I5). This module imports torch when it is called, and never open_clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from echotok.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch

__all__ = ["OpenClipTokenizer", "text_config"]


class OpenClipTokenizer:
    """What open_clip's data loaders and zero-shot classifier take for a tokenizer.

    A report that is too long is cut between units and counted (I8). The counts belong to this
    object: a DataLoader worker counts in its own copy.

    Args:
        tokenizer: from `echotok.load`.
        context_length: columns of the result, at least 3; that of the model.

    Attributes:
        tokenizer: what encodes.
        context_length: columns of the result unless a call says otherwise.
        num_texts: texts encoded so far.
        num_truncated: how many of them did not fit.

    Example:
        >>> import echotok
        >>> tokenize = OpenClipTokenizer(echotok.load("echo"))
        >>> tokenize.context_length, tokenize.eot_token_id == tokenize.vocab_size - 1
        (77, True)
    """

    def __init__(self, tokenizer: Tokenizer, context_length: int = 77) -> None:
        _check(context_length)
        self.tokenizer = tokenizer
        self.context_length = context_length
        self.num_texts = 0
        self.num_truncated = 0

    def __repr__(self) -> str:
        return f"OpenClipTokenizer({self.tokenizer!r}, context_length={self.context_length})"

    # The names under which open_clip's own tokenizers give these.

    @property
    def vocab_size(self) -> int:
        """Rows of the token embedding, spare rows included."""
        return self.tokenizer.vocab_size

    @property
    def pad_token_id(self) -> int:
        """Id behind EOS; `text_cfg.pad_id`."""
        return self.tokenizer.pad_id

    @property
    def sot_token_id(self) -> int:
        """Id at the start of every row (start of text)."""
        return self.tokenizer.bos_id

    @property
    def eot_token_id(self) -> int:
        """Id at the end of every text, the row's highest (end of text); `text_cfg.eos_id`."""
        return self.tokenizer.eos_id

    @property
    def all_special_ids(self) -> list[int]:
        """Start of text, end of text and padding."""
        return [self.sot_token_id, self.eot_token_id, self.pad_token_id]

    def __call__(
        self, texts: str | Sequence[str], context_length: int | None = None
    ) -> torch.Tensor:
        """Encode texts.

        Args:
            texts: one report or several.
            context_length: columns of the result; None takes the tokenizer's.

        Returns:
            int64 of shape `(batch, context_length)`, padded behind EOS.

        Raises:
            ValueError: `context_length` is below 3.
        """
        import torch

        texts = [texts] if isinstance(texts, str) else list(texts)
        length = self.context_length if context_length is None else context_length
        batch = self.tokenizer.encode_batch(texts, context_length=length)
        self.num_texts += len(texts)
        self.num_truncated += batch.num_truncated
        return torch.from_numpy(batch.ids)


def text_config(tokenizer: Tokenizer, *, context_length: int = 77) -> dict[str, Any]:
    """What a tokenizer settles in the `text_cfg` of an open_clip model's configuration.

    The size of the tower (`width`, `heads`, `layers`) is yours to add. open_clip builds its own
    tokenizer from a model's name; pass an `OpenClipTokenizer` beside such a model instead.

    Args:
        tokenizer: from `echotok.load`.
        context_length: ids a report may have, at least 3.

    Raises:
        ValueError: `context_length` is below 3.

    Example:
        >>> import echotok
        >>> tok = echotok.load("echo")
        >>> text_cfg = {"width": 512, "heads": 8, "layers": 12} | text_config(tok)
        >>> text_cfg["context_length"], text_cfg["pool_type"]
        (77, 'argmax')
    """
    _check(context_length)
    return {
        "context_length": context_length,
        "vocab_size": tokenizer.vocab_size,
        "pad_id": tokenizer.pad_id,
        # Unused while the pooling is argmax; right all the same for who sets it to "eos".
        "eos_id": tokenizer.eos_id,
        "pool_type": "argmax",
    }


def _check(context_length: int) -> None:
    if context_length < 3:
        raise ValueError(f"context_length is {context_length}; BOS, one id and EOS need 3")
