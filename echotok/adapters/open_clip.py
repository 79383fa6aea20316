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
    """A tokenizer for open_clip's data loaders and zero-shot classifier.

    A report that is too long is cut between units and counted (I8). The counts belong to this
    object: a DataLoader worker counts in its own copy.

    Args:
        tokenizer: tokenizer from `echotok.load`.
        context_length: number of columns of the result, at least 3; the model's context length.

    Attributes:
        tokenizer: tokenizer that encodes.
        context_length: number of columns of the result unless a call gives another number.
        num_texts: number of texts encoded so far.
        num_truncated: number of these texts that did not fit.

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
        """Number of rows of the token embedding, spare rows included."""
        return self.tokenizer.vocab_size

    @property
    def pad_token_id(self) -> int:
        """The id that fills a row behind EOS; `text_cfg.pad_id`."""
        return self.tokenizer.pad_id

    @property
    def sot_token_id(self) -> int:
        """The id at the start of every row (start of text)."""
        return self.tokenizer.bos_id

    @property
    def eot_token_id(self) -> int:
        """The id at the end of every text, the highest of its row; `text_cfg.eos_id`."""
        return self.tokenizer.eos_id

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of start of text, end of text and padding."""
        return [self.sot_token_id, self.eot_token_id, self.pad_token_id]

    def __call__(
        self, texts: str | Sequence[str], context_length: int | None = None
    ) -> torch.Tensor:
        """Encode texts.

        Args:
            texts: one report or several.
            context_length: number of columns of the result; None takes the tokenizer's.

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
    """The part of an open_clip model's `text_cfg` that the tokenizer decides.

    You add the size of the text tower (`width`, `heads`, `layers`). open_clip would build its own
    tokenizer from a model's name; use an `OpenClipTokenizer` with such a model instead.

    Args:
        tokenizer: tokenizer from `echotok.load`.
        context_length: largest number of ids of a report, at least 3.

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
        # Not used while the pooling is argmax, but right for a model whose pooling is "eos".
        "eos_id": tokenizer.eos_id,
        "pool_type": "argmax",
    }


def _check(context_length: int) -> None:
    if context_length < 3:
        raise ValueError(f"context_length is {context_length}; BOS, one id and EOS need 3")
