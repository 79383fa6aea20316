"""The kinds of tokenizers that a model may read texts with, behind one face.

    PhraseReader       one of echotok's
    ClipReader         open_clip's own
    PublishedReader    the program of the published EchoCLIP-R, from the user's own copy

`echoclip_r.text.codec.TextCodec` asks a reader, and never which of them it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import accumulate, groupby
from typing import NamedTuple, Protocol

from open_clip.tokenizer import SimpleTokenizer, bytes_to_unicode

import echotok
from echotok.adapters.published import PublishedTokenizer

__all__ = [
    "ClipReader",
    "PhraseReader",
    "PublishedReader",
    "Reader",
    "Report",
    "Unit",
]

_WORD_END = "</w>"  # closes the last piece of a word, in CLIP's vocabulary and in ours
_BYTES = {letter: byte for byte, letter in bytes_to_unicode().items()}


class Unit(NamedTuple):
    """A part of a text that a model learns as one: a phrase, a value, or a word.

    Attributes:
        kind: `phrase`, `value` or `bpe`.
        form: the words that its ids stand for, with the `{slots}` of a phrase.
    """

    kind: str
    form: str


class Report(NamedTuple):
    """A text's ids.

    Attributes:
        ids: all of them, without BOS and EOS.
        unit_ends: ends of its units in them; a text is cut there.
        sentence_ends: ends of its sentences in them; () where they are not known.
        is_cut: whether the tokenizer itself may have left out the text's end.
    """

    ids: tuple[int, ...]
    unit_ends: tuple[int, ...]
    sentence_ends: tuple[int, ...]
    is_cut: bool = False


class Reader(Protocol):
    """A tokenizer.

    Attributes:
        name: for people.
        vocab_size: number of its ids.
        bos_id, eos_id, pad_id: what begins a row, ends it, and fills it up.
        fingerprint: 64 hex digits; two tokenizers that share it give the same ids.
        fills_context: whether its rows are always as wide as the context.
    """

    name: str
    vocab_size: int
    bos_id: int
    eos_id: int
    pad_id: int
    fingerprint: str
    fills_context: bool

    def read(self, text: str) -> Report:
        """A text's ids."""
        ...

    def units(self, text: str) -> list[Unit]:
        """What a text is made of; numbers are left out, in phrases and outside of them."""
        ...

    def vocabulary(self) -> Iterator[Unit]:
        """Every unit that has an id to itself, numbers left out."""
        ...


class PhraseReader:
    """Reads with a tokenizer of echotok."""

    fills_context = False

    def __init__(self, tokenizer: echotok.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.name = tokenizer.name
        self.vocab_size = tokenizer.vocab_size
        self.bos_id, self.eos_id = tokenizer.bos_id, tokenizer.eos_id
        self.pad_id = tokenizer.pad_id
        self.fingerprint = tokenizer.fingerprint

    def read(self, text: str) -> Report:
        """See `Reader`."""
        encoding = self._tokenizer.encode(text)
        unit_ends = tuple(end - 1 for end in encoding.unit_ends)  # BOS is not counted
        per_sentence = [len(list(units)) for _, units in groupby(encoding.sentences)]
        sentence_ends = tuple(unit_ends[units - 1] for units in accumulate(per_sentence))
        return Report(tuple(encoding.ids[1:-1]), unit_ends, sentence_ends)

    def units(self, text: str) -> list[Unit]:
        """See `Reader`."""
        encoding = self._tokenizer.encode(text)
        tokens, kinds, slots = encoding.tokens, encoding.kinds, encoding.slot_types
        found: list[Unit] = []
        begin = 1  # behind BOS
        for end in encoding.unit_ends:
            word: list[int] = []
            for at in range(begin, end):
                if kinds[at] == "bpe":
                    word.append(encoding.ids[at])
                elif kinds[at] == "phrase" or (kinds[at] == "value" and slots[at] != "number"):
                    found.append(Unit(kinds[at], tokens[at]))
            if word:
                found.append(Unit("bpe", self._word(word)))
            begin = end
        return found

    def vocabulary(self) -> Iterator[Unit]:
        """See `Reader`."""
        for number in self._tokenizer.assigned_ids:
            kind, token = self._tokenizer.kind(number), self._tokenizer.id_to_token(number)
            if kind in ("phrase", "value"):
                yield Unit(kind, token)
            elif kind == "bpe" and token.endswith(_WORD_END) and (word := self._word([number])):
                yield Unit("bpe", word)

    def _word(self, ids: list[int]) -> str:
        """The text of BPE ids, by the tokenizer itself: a compact base writes bytes in halves."""
        return self._tokenizer.decode(ids).strip()


class ClipReader:
    """Reads with open_clip's own tokenizer, which cuts anywhere and knows no sentences."""

    name = "open_clip"
    fills_context = True
    pad_id = 0

    def __init__(self) -> None:
        self._clip = SimpleTokenizer()
        self.vocab_size = int(self._clip.vocab_size)
        self.bos_id = int(self._clip.sot_token_id)
        self.eos_id = int(self._clip.eot_token_id)
        rows = "\n".join(self._clip.encoder)
        self.fingerprint = hashlib.sha256(rows.encode()).hexdigest()

    def read(self, text: str) -> Report:
        """See `Reader`."""
        ids = tuple(self._clip.encode(text))
        return Report(ids, tuple(range(1, len(ids) + 1)), ())

    def units(self, text: str) -> list[Unit]:
        """See `Reader`."""
        pieces = "".join(self._clip.decoder[number] for number in self._clip.encode(text))
        return [Unit("bpe", _letters(word)) for word in pieces.split(_WORD_END)[:-1]]

    def vocabulary(self) -> Iterator[Unit]:
        """See `Reader`."""
        for token in self._clip.encoder:
            if token.endswith(_WORD_END):
                yield Unit("bpe", _letters(token.removesuffix(_WORD_END)))


class PublishedReader:
    """Reads with a program of others, which cuts by itself and says nothing of its vocabulary."""

    fills_context = True

    def __init__(self, tokenizer: PublishedTokenizer) -> None:
        self._tokenizer = tokenizer
        self.name = tokenizer.name
        self.vocab_size = tokenizer.vocab_size
        self.bos_id, self.eos_id = tokenizer.bos_id, tokenizer.eos_id
        self.pad_id = tokenizer.pad_id
        self.fingerprint = tokenizer.fingerprint

    def read(self, text: str) -> Report:
        """See `Reader`."""
        row = self._tokenizer.encode(text)
        ids = tuple(row[1 : row.index(self.eos_id)])
        is_cut = len(ids) + 2 == len(row)
        return Report(ids, tuple(range(1, len(ids) + 1)), (), is_cut)

    def units(self, text: str) -> list[Unit]:
        """See `Reader`; none, since its phrases are not ours to show."""
        return []

    def vocabulary(self) -> Iterator[Unit]:
        """See `Reader`; none."""
        return iter(())


def _letters(pieces: str) -> str:
    """The text of BPE pieces, in which a letter stands for each byte."""
    return bytes(_BYTES[letter] for letter in pieces).decode(errors="replace")
