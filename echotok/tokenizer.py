"""The tokenizer that users hold: text -> ids and back, made from an artifact's content.

Reading order of the engine: `text` (normalize, pieces), `match` (phrases and values), `encoder`,
`decoder`, `spans`. This module ties them together and checks what comes in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

from echotok import artifact
from echotok.bpe import ByteBPE, num_base_tokens
from echotok.clip_merges import CLIP_MERGES_SHA256, clip_merges
from echotok.engine.batch import Batch
from echotok.engine.decoder import Decoder
from echotok.engine.encoder import Encoder
from echotok.engine.encoding import Encoding
from echotok.engine.vocabulary import Layout, Vocabulary
from echotok.errors import ArtifactError, IdError, InputError
from echotok.table.phrases import PhraseTable
from echotok.text import make_normalizer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Tokenizer", "load"]


def load(name_or_path: str | Path, *, clip_merges: str | Path | None = None) -> Tokenizer:
    """Load a tokenizer that ships with echotok, or an artifact file.

    Args:
        name_or_path: `"echo"`, `"echo-clip"`, or the path of a file that `echotok build` or
            `Tokenizer.save` wrote.
        clip_merges: path of CLIP's `bpe_simple_vocab_16e6.txt.gz`, for tokenizers over CLIP's
            vocabulary where open_clip_torch is not installed.

    Raises:
        ArtifactError: unknown name, another format version, damaged or edited file.
        MergesError: CLIP's merges are needed and not found.

    Example:
        >>> tok = load("echo")
        >>> tok.decode(tok.encode("Mild  MITRAL regurgitation .").ids)
        'mild mitral regurgitation.'
    """
    return Tokenizer(artifact.read(artifact.find(name_or_path)), clip_merges=clip_merges)


class Tokenizer:
    """A lossless phrase tokenizer. Immutable, picklable, safe in threads and forked workers.

    Make one with `echotok.load`. `decode(encode(x).ids) == normalize(x)` for any text `x`, and
    `encode(decode(ids)).ids == ids` for ids that it produced.
    """

    def __init__(
        self, content: Mapping[str, Any], *, clip_merges: str | Path | None = None
    ) -> None:
        """Args: `content` as in `echotok.artifact`; `clip_merges` as in `load`."""
        self._content = dict(content)
        self._merges_path = clip_merges
        try:
            self._table = artifact.unpack_table(content)
            self._build(content["fallback"])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"the artifact does not hold what its format asks for ({error}); build it again"
            ) from error
        if "probe" not in self._content:
            self._content["probe"] = self._make_probe()
        elif self._make_probe() != self._content["probe"]:
            raise ArtifactError(
                "this echotok encodes the artifact's probe text to other ids than the echotok that "
                "wrote it; install that version, or build the artifact (and its models) again"
            )
        self._content["sha256"] = artifact.fingerprint(self._content)

    def _build(self, fallback: Mapping[str, Any]) -> None:
        table = self._table
        clip = fallback["kind"] == "clip"
        if clip:
            if fallback["sha256"] != CLIP_MERGES_SHA256:
                raise ValueError("unknown CLIP merges")
            merges = clip_merges(self._merges_path)
        else:
            merges = [_pair(line) for line in fallback["merges"]]
        if not clip and len(merges) > table.num_merges:
            raise ValueError(f"{len(merges)} merges where {table.num_merges} have room")
        num_merges = len(merges) if clip else table.num_merges
        base = None if clip else fallback.get("base")
        layout = Layout.of(table, clip=clip, num_bpe=num_base_tokens(base) + num_merges)
        self._layout = layout
        bpe = ByteBPE(merges, offset=layout.bpe, base=base)
        self.vocabulary = Vocabulary(layout, table, bpe)
        self._normalize = make_normalizer(table.units)
        self.encoder = Encoder(table, layout, bpe)
        self._decoder = Decoder(table, layout, self.vocabulary)

    def __getstate__(self) -> dict[str, Any]:
        return {"content": self._content, "merges_path": self._merges_path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Tokenizer.__init__(self, state["content"], clip_merges=state["merges_path"])

    def __repr__(self) -> str:
        return f"Tokenizer({self.name!r}, vocab_size={self.vocab_size}, {self.fingerprint[:12]})"

    # What a model needs to know

    @property
    def name(self) -> str:
        """What the tokenizer is called, e.g. `echo`."""
        return str(self._content["name"])

    @property
    def table(self) -> PhraseTable:
        """The phrase table inside."""
        return self._table

    @property
    def fallback(self) -> Mapping[str, Any]:
        """What encodes the gaps, as the artifact has it."""
        return dict(self._content["fallback"])

    @property
    def vocab_size(self) -> int:
        """Rows that a token embedding needs, spare rows included."""
        return self._layout.vocab_size

    @property
    def pad_id(self) -> int:
        """Id that fills a row behind EOS."""
        return self._layout.pad

    @property
    def bos_id(self) -> int:
        """Id at the start of every encoding."""
        return self._layout.bos

    @property
    def eos_id(self) -> int:
        """Id at the end of every encoding; the highest id (open_clip pools at the argmax)."""
        return self._layout.eos

    @property
    def fingerprint(self) -> str:
        """Sha256 over the tokenizer's content and its probe encoding, 64 hex digits."""
        return str(self._content["sha256"])

    def token(self, number: int) -> str:
        """The text of an id: a phrase with its `{slots}`, a value, a BPE token, `<eos>`.

        Raises:
            IdError: the id is out of range or a spare row.
        """
        self._check_id(number)
        return self.vocabulary.texts[number]

    def kind(self, number: int) -> str:
        """`special`, `phrase`, `value` or `bpe`.

        Raises:
            IdError: the id is out of range or a spare row.
        """
        self._check_id(number)
        return self.vocabulary.kinds[number]

    # Encoding

    def normalize(self, text: str) -> str:
        """The text that encoding preserves; see `echotok.text` for what is folded (I1)."""
        return self._normalize(text)

    def encode(self, text: str, *, refuse_control: bool = False) -> Encoding:
        """Encode one report.

        Args:
            text: any Unicode text; an empty one gives BOS EOS.
            refuse_control: raise when the text holds the literal spelling of a special token or of
                a slot (`<eos>`, `{number}`). They are ordinary text otherwise, never obeyed (I7).

        Raises:
            InputError: control text was found and is refused.
        """
        if refuse_control:
            self._refuse_control(text)
        ids = [self._layout.bos]
        for chunk in self.encoder.chunks(self._normalize(text)):
            ids += chunk.ids
        ids.append(self._layout.eos)
        return Encoding(self, text, ids)

    def encode_batch(self, texts: Sequence[str], *, context_length: int | None = None) -> Batch:
        """Encode many reports into one padded array.

        Args:
            texts: the reports.
            context_length: columns of the result, at least 3; longer reports are cut between
                units, and counted. None takes the longest report's length.

        Example:
            >>> batch = load("echo").encode_batch(["", "Mild LVH."], context_length=8)
            >>> batch.ids.shape, batch.num_truncated
            ((2, 8), 0)
        """
        if isinstance(texts, str):
            raise TypeError("encode_batch takes a list of texts; encode takes one")
        if context_length is not None and context_length < 3:
            raise ValueError(f"context_length is {context_length}; BOS, one id and EOS need 3")
        encodings = (self.encode(text) for text in texts)
        if context_length is not None:
            encodings = (encoding.truncate(context_length) for encoding in encodings)
        return Batch.of(encodings, pad_id=self.pad_id, width=context_length)

    def _refuse_control(self, text: str) -> None:
        names = ["<pad>", "<bos>", "<eos>", "<join>", "<space>", "{number}", "{severity}"]
        names += ["{" + slot + "}" for slot in self._table.slots]
        found = re.search("|".join(map(re.escape, names)), text, re.IGNORECASE)
        if found is not None:
            raise InputError(
                f"the text holds the literal {found.group().lower()!r} at offset {found.start()} "
                "and refuse_control is set; remove it from the text, or encode it as ordinary text "
                "without the option"
            )

    # Decoding

    def decode(self, ids: Iterable[SupportsIndex] | npt.NDArray[np.integer[Any]]) -> str:
        """The normalized text of ids; BOS, EOS and padding are skipped.

        Ids need not come from `encode`: a phrase whose values are missing shows its `{slot}`, and
        cut characters show U+FFFD.

        Raises:
            IdError: an id is out of range or a spare row.
        """
        numbers = [self._as_id(number, position) for position, number in enumerate(ids)]
        return self._decoder.decode(numbers)

    def _as_id(self, number: SupportsIndex, position: int) -> int:
        try:
            value = number.__index__()
        except (AttributeError, TypeError):
            raise IdError(
                f"position {position} holds a {type(number).__name__}, not an id; pass integers"
            ) from None
        self._check_id(value, position)
        return value

    def _check_id(self, number: int, position: int | None = None) -> None:
        where = "" if position is None else f" at position {position}"
        if not 0 <= number < self.vocab_size:
            raise IdError(
                f"id {number}{where} is out of range: {self.name} has ids 0 to "
                f"{self.vocab_size - 1}; were these ids made by another tokenizer?"
            )
        if not self.vocabulary.kinds[number]:
            raise IdError(
                f"id {number}{where} is a spare row of {self.name} without a meaning yet; were "
                "these ids made by a later version of the table?"
            )

    # Files

    def save(self, path: str | Path) -> None:
        """Write the artifact; `echotok.load(path)` reads it back."""
        artifact.write(self._content, path)

    def _make_probe(self) -> dict[str, Any]:
        """Encode a text that touches every part of the engine, and one phrase in fifty."""
        sample = " ".join(phrase.text for phrase in self._table.live[::50])
        text = f"{_PROBE} {sample}"
        return {"text": text, "ids": self.encode(text).ids}

    def added_since(self, old: Tokenizer) -> list[int]:
        """The ids that this tokenizer has and `old` has not, if it only grew from it (I6).

        A model trained with `old` can go on with this tokenizer once these rows of its embedding
        are initialised.

        Raises:
            ArtifactError: this tokenizer is not an append-only growth of `old`.
        """
        same = (
            self._layout == old._layout
            and self._table.units == old._table.units
            and self.fallback == old.fallback
        )
        added = self.vocabulary.added_since(old.vocabulary) if same else None
        if added is None:
            raise ArtifactError(
                f"{self!r} is not an append-only growth of {old!r}: an id of the old one means "
                "something else in the new one, or the layout differs; use the tokenizer that the "
                "model was trained with, or train anew"
            )
        return added


_PROBE = (
    "The LVEF is 55-60 % (GLS \u221218.4%), E/e\u2032 >15; TR 2.5m/s. Trace-to-mild MR, 1,234.05 "
    "na\u00efve Ko\u0308rper 10\u00b2 v2x \u5fc3 <eos> {number} - ok"
)


def _pair(line: str) -> tuple[str, str]:
    left, right = line.split(" ")
    return left, right
