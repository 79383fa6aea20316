"""Reports to padded ids, by open_clip's own tokenizer or by one of echotok's.

`TextCodec` hides which of the two tokenizers a model uses, and makes the parts of reports that
training shows: spans, runs of sentences, and reports without some sentences.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from open_clip.tokenizer import SimpleTokenizer, bytes_to_unicode

import echotok
from echoclip_r.errors import OptionError

__all__ = ["Encoded", "TextCodec", "Unit", "text_ids"]

# A process remembers the ids of this many reports, some 2 KB each: every epoch reads them again,
# and encoding a report costs as much as decoding a frame.
_NUM_REMEMBERED = 65_536

_WORD_END = "</w>"  # closes the last piece of a word, in CLIP's vocabulary and in ours
_BYTES = {letter: byte for byte, letter in bytes_to_unicode().items()}


class Encoded(NamedTuple):
    """A batch of texts.

    Attributes:
        ids: int64 of shape (batch, length), padded behind EOS.
        num_truncated: number of texts that did not fit into the context and were cut.
    """

    ids: torch.Tensor
    num_truncated: int


class Unit(NamedTuple):
    """A part of a text that a model learns as one: a phrase, a value, or a word.

    Attributes:
        kind: `phrase`, `value` or `bpe`.
        form: the words that its ids stand for, with the `{slots}` of a phrase.
    """

    kind: str
    form: str


class _Report(NamedTuple):
    """A report's ids without BOS and EOS, and the ends of its units and sentences in them."""

    ids: tuple[int, ...]
    unit_ends: tuple[int, ...]
    sentence_ends: tuple[int, ...]


class TextCodec:
    """Turns texts into a model's input.

    Args:
        tokenizer: tokenizer from `echotok.load`, or None for open_clip's own, whose rows are always
            as wide as the context, as open_clip makes them.
        context_length: largest number of ids of a row, at least 3.

    Example:
        >>> codec = TextCodec(echotok.load("echo"), context_length=77)
        >>> codec.encode(["Mild mitral regurgitation.", "The LVEF is 55%."]).ids.shape[0]
        2
    """

    def __init__(self, tokenizer: echotok.Tokenizer | None, *, context_length: int = 77) -> None:
        if context_length < 3:
            raise OptionError(f"context_length is {context_length}; BOS, one id and EOS need 3")
        self.tokenizer = tokenizer
        self.context_length = context_length
        if tokenizer is None:
            self._clip = SimpleTokenizer(context_length=context_length)
            self.name = "open_clip"
            self.vocab_size = int(self._clip.vocab_size)
            self.bos_id = int(self._clip.sot_token_id)
            self.eos_id = int(self._clip.eot_token_id)
            self.pad_id = 0
            rows = "\n".join(self._clip.encoder)
            self.fingerprint = hashlib.sha256(rows.encode()).hexdigest()
        else:
            self.name = tokenizer.name
            self.vocab_size = tokenizer.vocab_size
            self.bos_id, self.eos_id, self.pad_id = (
                tokenizer.bos_id,
                tokenizer.eos_id,
                tokenizer.pad_id,
            )
            self.fingerprint = tokenizer.fingerprint
        self._report = lru_cache(maxsize=_NUM_REMEMBERED)(self._encode_report)

    def __repr__(self) -> str:
        return f"TextCodec({self.name!r}, context_length={self.context_length})"

    def __reduce__(self) -> tuple[object, ...]:
        return (_make_codec, (self.tokenizer, self.context_length))  # the memory stays behind

    @classmethod
    def load(cls, name_or_path: str | Path | None, *, context_length: int) -> TextCodec:
        """The codec of a tokenizer by its name.

        Args:
            name_or_path: name as in `ModelSpec.tokenizer`: `echo`, `echo-clip`, an artifact's path,
                or None for open_clip's own tokenizer.
            context_length: largest number of ids of a row, at least 3.

        Raises:
            ArtifactError: there is no such tokenizer, or it is damaged.
        """
        tokenizer = None if name_or_path is None else echotok.load(name_or_path)
        return cls(tokenizer, context_length=context_length)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """The ids of whole texts.

        Rows of echotok's tokenizers are as wide as the longest row, rows of open_clip's own
        tokenizer as wide as the context.
        """
        rows = [self.whole(text) for text in texts]
        return Encoded(self.pad(rows), sum(map(self.is_cut, texts)))

    def is_cut(self, text: str) -> bool:
        """Whether a whole text is too long for the context."""
        return len(self._report(text).ids) > self.context_length - 2

    def length(self, text: str) -> int:
        """Number of a whole text's ids with BOS and EOS, however long it is."""
        return len(self._report(text).ids) + 2

    def whole(self, text: str) -> list[int]:
        """A text's ids with BOS and EOS, cut between units where it does not fit."""
        return self._cut(self._report(text), 0, None)

    def passing(self, text: str) -> list[int]:
        """As `whole`, for a text that is made up for once: it is not remembered."""
        return self._cut(self._encode_report(text), 0, None)

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
        if self.tokenizer is None:
            pieces = "".join(self._clip.decoder[number] for number in self._clip.encode(text))
            return [Unit("bpe", _letters(word)) for word in pieces.split(_WORD_END)[:-1]]
        encoding = self.tokenizer.encode(text)
        tokens, kinds, slots = encoding.tokens, encoding.kinds, encoding.slot_types
        found: list[Unit] = []
        begin = 1  # behind BOS
        for end in encoding.unit_ends:
            word = ""
            for at in range(begin, end):
                if kinds[at] == "bpe":
                    word += tokens[at]
                elif kinds[at] == "phrase" or (kinds[at] == "value" and slots[at] != "number"):
                    found.append(Unit(kinds[at], tokens[at]))
            if word:
                found.append(Unit("bpe", _letters(word.replace(_WORD_END, ""))))
            begin = end
        return found

    def vocabulary(self) -> Iterator[Unit]:
        """Every unit that has an id to itself, numbers left out."""
        if self.tokenizer is None:
            for token in self._clip.encoder:
                if token.endswith(_WORD_END):
                    yield Unit("bpe", _letters(token.removesuffix(_WORD_END)))
            return
        for number in self.tokenizer.assigned_ids:
            kind, token = self.tokenizer.kind(number), self.tokenizer.id_to_token(number)
            if kind in ("phrase", "value"):
                yield Unit(kind, token)
            elif kind == "bpe" and token.endswith(_WORD_END):
                yield Unit("bpe", _letters(token.removesuffix(_WORD_END)))

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
        return self._cut(_Report(tuple(ids), tuple(unit_ends), ()), 0, None)

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
        if self.tokenizer is None:
            width = self.context_length
        padded = np.full((len(rows), width), self.pad_id, dtype=np.int64)
        for number, row in enumerate(rows):
            padded[number, : len(row)] = row
        return torch.from_numpy(padded)

    def _cut(self, report: _Report, begin: int, end: int | None) -> list[int]:
        end = len(report.ids) if end is None else end
        last = begin + self.context_length - 2
        if end > last:
            fitting = bisect_right(report.unit_ends, last)
            unit_end = report.unit_ends[fitting - 1] if fitting else begin
            end = unit_end if unit_end > begin else last
        return [self.bos_id, *report.ids[begin:end], self.eos_id]

    def _encode_report(self, text: str) -> _Report:
        if self.tokenizer is None:
            ids = tuple(self._clip.encode(text))
            # open_clip cuts anywhere, and so must this path of it.
            return _Report(ids, tuple(range(1, len(ids) + 1)), ())
        encoding = self.tokenizer.encode(text)
        unit_ends = tuple(end - 1 for end in encoding.unit_ends)  # BOS is not counted
        per_sentence = [len(list(units)) for _, units in groupby(encoding.sentences)]
        sentence_ends = tuple(unit_ends[units - 1] for units in accumulate(per_sentence))
        return _Report(tuple(encoding.ids[1:-1]), unit_ends, sentence_ends)


def text_ids(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """A hash of each row's ids, int64 (batch,): other ids share it with a chance of 2**-64."""
    digests = [
        hashlib.blake2b(np.asarray(row, dtype=np.int32).tobytes(), digest_size=8).digest()
        for row in rows
    ]
    return torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in digests])


def _letters(pieces: str) -> str:
    """The text of BPE pieces, in which a letter stands for each byte."""
    return bytes(_BYTES[letter] for letter in pieces).decode(errors="replace")


def _make_codec(tokenizer: echotok.Tokenizer | None, context_length: int) -> TextCodec:
    return TextCodec(tokenizer, context_length=context_length)
