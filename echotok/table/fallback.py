"""The fallback, which encodes the text that no phrase covers: its kind of BPE, and its merges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from echotok.bpe import num_base_tokens

__all__ = ["CLIP", "Fallback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """The byte-level BPE of a tokenizer, as a table folder and an artifact carry it.

    Attributes:
        kind: `domain`, trained on clinical words, or `clip`, CLIP's own.
        merges: `(left, right)` pairs of the domain BPE, best first. For CLIP's BPE, whose own
            merges `echotok.clip_merges` reads from the user's copy, those that come after them.
        base: the bytes of a compact base in the byte alphabet (see `echotok.bpe.ByteBPE`); None
            means all 256 bytes.
        joins: whether a word and the characters beside it are one BPE word where that takes fewer
            tokens. A compact fallback never joins them, since its table counts tokens piece by
            piece; and a table without slots is built without, so that other libraries can give
            the same ids.

    Raises:
        ValueError: a base was given for the kind `clip`.
    """

    kind: Literal["domain", "clip"]
    merges: tuple[tuple[str, str], ...] = ()
    base: str | None = None
    joins: bool = True

    def __post_init__(self) -> None:
        if self.kind not in ("domain", "clip"):
            raise ValueError(f"unknown fallback {self.kind!r}: it is 'domain' or 'clip'")
        if self.kind == "clip" and self.base is not None:
            raise ValueError("the fallback 'clip' has CLIP's base, and carries none")

    @property
    def joins_parts(self) -> bool:
        """Whether a word and the characters beside it may be one BPE word."""
        return self.joins and self.base is None

    @property
    def num_base_tokens(self) -> int:
        """How many tokens there are before the first merge."""
        return num_base_tokens(self.base)


CLIP = Fallback(kind="clip")
"""CLIP's own BPE, without merges beyond CLIP's."""
