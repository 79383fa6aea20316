"""Echotok's tokenizers as open_clip calls and configures them.

open_clip takes any callable from texts to padded ids, and reads the size of the vocabulary from
the model's `text_cfg`. It pools the text at each row's argmax, which is why EOS is the highest id
(I5). This module imports torch when it is called, and never open_clip.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, SupportsIndex

from echotok.tokenizer import Tokenizer, load

if TYPE_CHECKING:
    import torch

__all__ = ["FolderTokenizer", "OpenClipTokenizer", "save_tokenizer", "text_config"]

ARTIFACT = "tokenizer.json"
_CODE = "echotok_tokenizer"
_CODE_TEXT = """\
# What `open_clip.get_tokenizer("local-dir:FOLDER")` runs; it needs `pip install echotok`.
from echotok.adapters.open_clip import FolderTokenizer

__all__ = ["FolderTokenizer"]
"""


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

    def encode(self, text: str) -> list[int]:
        """The ids of a text without start and end of text, all of them."""
        return self.tokenizer.encode(text).ids[1:-1]

    def decode(self, tokens: Iterable[SupportsIndex]) -> str:
        """The normalized text of ids; start and end of text and padding are skipped."""
        return self.tokenizer.decode(tokens)

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


class FolderTokenizer(OpenClipTokenizer):
    """The tokenizer of a model's folder, as `open_clip.get_tokenizer("local-dir:FOLDER")` loads it.

    open_clip asks `transformers.AutoTokenizer` for it, which runs the two lines that
    `save_tokenizer` writes into the folder.
    """

    @classmethod
    def from_pretrained(cls, folder: Path | str, **settings: Any) -> FolderTokenizer:
        """Read the tokenizer of a folder.

        Args:
            folder: where `save_tokenizer` wrote it.
            settings: what `AutoTokenizer` passes on; none of it is needed.

        Raises:
            ArtifactError: the tokenizer is not there, or damaged.
        """
        return cls(load(Path(folder) / ARTIFACT))

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoTokenizer") -> None:
        """`AutoTokenizer` asks for this; there is nothing to do."""

    def __call__(  # type: ignore[override]  # as HFTokenizer of open_clip calls its tokenizer
        self,
        texts: str | Sequence[str],
        *,
        max_length: int | None = None,
        return_tensors: str = "pt",
        padding: str = "max_length",
        truncation: bool = True,
    ) -> SimpleNamespace:
        """Encode texts.

        Args:
            texts: one report or several.
            max_length: number of columns; None takes the tokenizer's.
            return_tensors: `pt`.
            padding: `max_length`.
            truncation: True.

        Returns:
            An object whose `input_ids` are int64 of shape (batch, max_length).
        """
        return SimpleNamespace(input_ids=super().__call__(texts, max_length))

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the tokenizer into another folder."""
        save_tokenizer(self.tokenizer, Path(folder))


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> Mapping[str, Any]:
    """Write a tokenizer for `open_clip.get_tokenizer("local-dir:FOLDER")`.

    Returns:
        What the `text_cfg` in the folder's `open_clip_config.json` must say besides `text_config`.
    """
    tokenizer.save(folder / ARTIFACT)
    (folder / f"{_CODE}.py").write_text(_CODE_TEXT, encoding="utf-8")
    code = f"{_CODE}.{FolderTokenizer.__name__}"
    settings = {"auto_map": {"AutoTokenizer": [code, code]}}
    text = json.dumps(settings, indent=1) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    # open_clip reads the folder itself whatever the name is, and passes the arguments on.
    return {
        "hf_tokenizer_name": tokenizer.name,
        "tokenizer_kwargs": {"trust_remote_code": True},
    }


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
