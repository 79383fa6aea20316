"""Reports to padded ids, by the tokenizer of a model: echotok's, open_clip's own, or another.

`TextCodec` hides which kind of tokenizer a model uses (`echoclip_r.text.readers`), and makes the
parts of reports that training shows: spans, runs of sentences, and reports without some sentences.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import echotok
from echoclip_r.errors import OptionError
from echoclip_r.text.readers import (
    ClipReader,
    PhraseReader,
    PublishedReader,
    Reader,
    Report,
    Unit,
)
from echotok.adapters.published import Losses, PublishedTokenizer

__all__ = ["PUBLISHED", "Encoded", "TextCodec", "is_published", "text_ids"]

PUBLISHED = "published:"
"""Before the folder of a copy of the published template tokenizer, where a tokenizer is named."""

# A process remembers the ids of this many reports, some 2 KB each: every epoch reads them again,
# and encoding a report costs as much as decoding a frame.
_NUM_REMEMBERED = 65_536


class Encoded(NamedTuple):
    """A batch of texts.

    Attributes:
        ids: int64 of shape (batch, length), padded behind EOS.
        num_truncated: number of texts that did not fit into the context and were cut.
    """

    ids: torch.Tensor
    num_truncated: int


class TextCodec:
    """Turns texts into a model's input.

    Args:
        tokenizer: tokenizer from `echotok.load`, a `PublishedTokenizer`, or None for open_clip's
            own. Rows of the last two are always as wide as the context, as they are made.
        context_length: largest number of ids of a row, at least 3.

    Attributes:
        tokenizer: echotok's; None where it is another.
        published: the program of others; None where it is none.

    Raises:
        OptionError: the context is too short, or not that of a program of others.

    Example:
        >>> codec = TextCodec(echotok.load("echo"), context_length=77)
        >>> codec.encode(["Mild mitral regurgitation.", "The LVEF is 55%."]).ids.shape[0]
        2
    """

    def __init__(
        self,
        tokenizer: echotok.Tokenizer | PublishedTokenizer | None,
        *,
        context_length: int = 77,
    ) -> None:
        if context_length < 3:
            raise OptionError(f"context_length is {context_length}; BOS, one id and EOS need 3")
        self.tokenizer: echotok.Tokenizer | None = None
        self.published: PublishedTokenizer | None = None
        self._reader: Reader
        if tokenizer is None:
            self._reader = ClipReader()
        elif isinstance(tokenizer, PublishedTokenizer):
            if tokenizer.context_length != context_length:
                raise OptionError(
                    f"{tokenizer.folder}: the program gives rows of {tokenizer.context_length} "
                    f"ids, and the context is {context_length}; a model reads them only with the "
                    "context that it was trained with"
                )
            self.published = tokenizer
            self._reader = PublishedReader(tokenizer)
        else:
            self.tokenizer = tokenizer
            self._reader = PhraseReader(tokenizer)
        self.context_length = context_length
        self.name = self._reader.name
        self.vocab_size = self._reader.vocab_size
        self.bos_id, self.eos_id = self._reader.bos_id, self._reader.eos_id
        self.pad_id = self._reader.pad_id
        self.fingerprint = self._reader.fingerprint
        self._report = lru_cache(maxsize=_NUM_REMEMBERED)(self._reader.read)

    def __repr__(self) -> str:
        return f"TextCodec({self.name!r}, context_length={self.context_length})"

    def __reduce__(self) -> tuple[object, ...]:
        kept = self.tokenizer or self.published
        return (_make_codec, (kept, self.context_length))  # the memory stays behind

    @classmethod
    def load(cls, name_or_path: str | Path | None, *, context_length: int) -> TextCodec:
        """The codec of a tokenizer by its name.

        Args:
            name_or_path: name as in `ModelSpec.tokenizer`: `echo`, `echo-clip`, an artifact's path,
                `published:FOLDER`, or None for open_clip's own tokenizer.
            context_length: largest number of ids of a row, at least 3.

        Raises:
            ArtifactError: there is no such tokenizer, or it is damaged.
            OptionError: as for the class.
        """
        if name_or_path is None:
            return cls(None, context_length=context_length)
        if is_published(str(name_or_path)):
            program = PublishedTokenizer(str(name_or_path).removeprefix(PUBLISHED))
            return cls(program, context_length=context_length)
        return cls(echotok.load(name_or_path), context_length=context_length)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """The ids of whole texts.

        Rows of echotok's tokenizers are as wide as the longest row, rows of others as wide as the
        context.
        """
        rows = [self.whole(text) for text in texts]
        return Encoded(self.pad(rows), sum(map(self.is_cut, texts)))

    def is_cut(self, text: str) -> bool:
        """Whether a whole text is too long for the context.

        Of a program of others, which cuts by itself, whether its row is full.
        """
        report = self._report(text)
        return report.is_cut or len(report.ids) > self.context_length - 2

    def length(self, text: str) -> int:
        """Number of a whole text's ids with BOS and EOS, however long it is."""
        return len(self._report(text).ids) + 2

    def whole(self, text: str) -> list[int]:
        """A text's ids with BOS and EOS, cut between units where it does not fit."""
        return self._cut(self._report(text), 0, None)

    def passing(self, text: str) -> list[int]:
        """As `whole`, for a text that is made up for once: it is not remembered."""
        return self._cut(self._reader.read(text), 0, None)

    def units(self, text: str) -> list[Unit]:
        """What a text is made of; numbers are left out, in phrases and outside of them.

        Example:
            >>> codec = TextCodec(echotok.load("echo"))
            >>> for unit in codec.units("The LVEF is 55%. Mild mitral regurgitation."):
            ...     print(unit.kind, unit.form)
            bpe the
            bpe lvef
            phrase is {number}%.
            value mild
            value mitral regurgitation.
        """
        return self._reader.units(text)

    def vocabulary(self) -> Iterator[Unit]:
        """Every unit that has an id to itself, numbers left out."""
        return self._reader.vocabulary()

    def losses(self, text: str) -> Losses | None:
        """What a program of others drops of a text; None for tokenizers that drop nothing."""
        return None if self.published is None else self.published.losses(text)

    def thinned(self, text: str, draw: random.Random, *, drop: float) -> list[int]:
        """A text's ids without some of its sentences.

        Args:
            text: a report.
            draw: the source of chance.
            drop: probability of each sentence to be left out; at least one sentence stays.
        """
        report = self._report(text)
        begins = (0, *report.sentence_ends[:-1])
        spans = list(zip(begins, report.sentence_ends, strict=False))
        kept = [span for span in spans if draw.random() >= drop]
        if not kept and spans:
            kept = [spans[draw.randrange(len(spans))]]
        ids: list[int] = []
        unit_ends: list[int] = []
        for begin, end in kept:
            shift = len(ids) - begin
            first, last = bisect_right(report.unit_ends, begin), bisect_right(report.unit_ends, end)
            unit_ends += [unit + shift for unit in report.unit_ends[first:last]]
            ids += report.ids[begin:end]
        return self._cut(Report(tuple(ids), tuple(unit_ends), ()), 0, None)

    def token_span(self, text: str, draw: random.Random) -> list[int]:
        """As many consecutive ids as fit, from a random place of the text.

        The published base model was trained this way; a span may begin in the middle of a word.

        Args:
            text: a report.
            draw: the source of chance.
        """
        ids = self._report(text).ids
        room = self.context_length - 2
        start = draw.randrange(max(len(ids) - room, 0) + 1)
        return [self.bos_id, *ids[start : start + room], self.eos_id]

    def sentence_run(self, text: str, draw: random.Random, *, max_sentences: int) -> list[int]:
        """The ids of some consecutive sentences, from a random place of the text.

        Args:
            text: a report.
            draw: the source of chance.
            max_sentences: largest number of sentences; the number is drawn from 1 to this.
        """
        report = self._report(text)
        count = len(report.sentence_ends)
        if not count:
            return [self.bos_id, self.eos_id]
        length = draw.randint(1, min(max_sentences, count))
        first = draw.randrange(count - length + 1)
        begin = report.sentence_ends[first - 1] if first else 0
        return self._cut(report, begin, report.sentence_ends[first + length - 1])

    def pad(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Rows of ids as one int64 tensor (batch, length)."""
        width = max(map(len, rows), default=0)
        if self._reader.fills_context:
            width = self.context_length
        padded = np.full((len(rows), width), self.pad_id, dtype=np.int64)
        for number, row in enumerate(rows):
            padded[number, : len(row)] = row
        return torch.from_numpy(padded)

    def _cut(self, report: Report, begin: int, end: int | None) -> list[int]:
        end = len(report.ids) if end is None else end
        last = begin + self.context_length - 2
        if end > last:
            fitting = bisect_right(report.unit_ends, last)
            unit_end = report.unit_ends[fitting - 1] if fitting else begin
            end = unit_end if unit_end > begin else last
        return [self.bos_id, *report.ids[begin:end], self.eos_id]


def is_published(name: str | None) -> bool:
    """Whether a tokenizer's name stands for a copy of the published template tokenizer."""
    return name is not None and name.startswith(PUBLISHED)


def text_ids(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """A hash of each row's ids, int64 (batch,): other ids share it with a chance of 2**-64."""
    digests = [
        hashlib.blake2b(np.asarray(row, dtype=np.int32).tobytes(), digest_size=8).digest()
        for row in rows
    ]
    return torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in digests])


def _make_codec(
    tokenizer: echotok.Tokenizer | PublishedTokenizer | None, context_length: int
) -> TextCodec:
    return TextCodec(tokenizer, context_length=context_length)
