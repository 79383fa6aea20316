"""The tokenizer that users hold: text -> ids and back, and the file that it is kept in.

The work is done by an `Engine` (`echotok.engine.engine`). Reading order there: `text` (normalize,
pieces), `match` (phrases and values), `encoder`, `decoder`, `encoding`. This module adds the name,
the fingerprint and the file, and checks what comes in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

from echotok import artifact
from echotok.engine.batch import Batch
from echotok.engine.encoding import Encoding, check_context_length
from echotok.engine.engine import Engine
from echotok.engine.inputs import check_text, iterate_texts
from echotok.errors import ArtifactError, IdError, InputError
from echotok.table.fallback import Fallback
from echotok.table.phrases import PhraseTable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ids = Iterable[SupportsIndex] | npt.NDArray[np.integer[Any]]

__all__ = ["Tokenizer", "load"]


def load(name_or_path: str | Path, *, clip_merges: str | Path | None = None) -> Tokenizer:
    """Load a tokenizer that ships with echotok, or an artifact file.

    Args:
        name_or_path: `"echo"`, `"echo-clip"`, or the path of a file that `echotok build` or
            `Tokenizer.save` wrote.
        clip_merges: path of CLIP's `bpe_simple_vocab_16e6.txt.gz`, for tokenizers over CLIP's
            vocabulary where open_clip_torch is not installed.

    Raises:
        ArtifactError: the name is unknown, or the file has another format version, or was damaged
            or edited.
        MergesError: CLIP's merges are needed and not found.

    Example:
        >>> tok = load("echo")
        >>> tok.decode(tok.encode("Mild  MITRAL regurgitation .").ids)
        'mild mitral regurgitation.'
    """
    return Tokenizer._of(artifact.read(artifact.find(name_or_path)), clip_merges)


class Tokenizer:
    """A lossless phrase tokenizer. Immutable, picklable, safe in threads and forked workers.

    Make one with `echotok.load`, `Tokenizer.from_file` or `echotok.build`.
    `decode(encode(x).ids) == normalize(x)` for any text `x`, and `encode(decode(ids)).ids == ids`
    for ids that this tokenizer produced.
    """

    _content: dict[str, Any]
    _merges_path: str | Path | None
    _table: PhraseTable
    _fallback: Fallback
    _engine: Engine

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError(
            "a Tokenizer is not made by calling its class: use echotok.load('echo') for one that "
            "ships with echotok, Tokenizer.from_file(path) for an artifact, or "
            "echotok.build(table_dir) for a phrase table"
        )

    @classmethod
    def from_file(cls, path: str | Path, *, clip_merges: str | Path | None = None) -> Self:
        """Load an artifact file, such as `Tokenizer.save` and `echotok build` write.

        Args:
            path: path of the file. Unlike `load`, this does not look up the names of the
                tokenizers that ship with echotok.
            clip_merges: path of CLIP's merges, as in `echotok.load`.

        Raises:
            ArtifactError: there is no such file, or it has another format version, or was damaged
                or edited.
            MergesError: CLIP's merges are needed and not found.
        """
        return cls._of(artifact.read(Path(path)), clip_merges)

    @classmethod
    def from_table(
        cls,
        table: PhraseTable,
        fallback: Fallback,
        *,
        name: str | None = None,
        clip_merges: str | Path | None = None,
    ) -> Self:
        """Make a tokenizer from a table in memory; `echotok.build` makes one from a folder.

        Args:
            table: a checked table.
            fallback: what encodes the text that no phrase covers.
            name: name of the tokenizer; None takes the table's name.
            clip_merges: path of CLIP's merges, as in `echotok.load`.

        Raises:
            ArtifactError: the fallback does not go with the table.
            MergesError: CLIP's merges are needed and not found.
        """
        return cls._of(artifact.pack(name or table.name, table, fallback), clip_merges)

    @classmethod
    def _of(cls, content: Mapping[str, Any], clip_merges: str | Path | None) -> Self:
        tokenizer = cls.__new__(cls)
        tokenizer.__setstate__({"content": content, "merges_path": clip_merges})
        return tokenizer

    def __getstate__(self) -> dict[str, Any]:
        return {"content": self._content, "merges_path": self._merges_path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        content = self._content = dict(state["content"])
        self._merges_path = state["merges_path"]
        try:
            self._table = artifact.unpack_table(content)
            self._fallback = artifact.unpack_fallback(content)
            self._engine = Engine.of(self._table, self._fallback, clip_merges=self._merges_path)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"the artifact does not hold all that its format needs ({error}); build it again"
            ) from error
        if "probe" not in content:
            content["probe"] = self._make_probe()
        elif self._make_probe() != content["probe"]:
            raise ArtifactError(
                "this echotok encodes the artifact's probe text to other ids than the echotok that "
                "wrote it; install that version, or build the artifact (and its models) again"
            )
        content["sha256"] = artifact.fingerprint(content)

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
    def fallback(self) -> Fallback:
        """What encodes the text that no phrase covers."""
        return self._fallback

    @property
    def vocab_size(self) -> int:
        """Rows that a token embedding needs, spare rows included."""
        return self._engine.layout.vocab_size

    @property
    def pad_id(self) -> int:
        """Id that fills a row behind EOS."""
        return self._engine.layout.pad

    @property
    def bos_id(self) -> int:
        """Id at the start of every encoding."""
        return self._engine.layout.bos

    @property
    def eos_id(self) -> int:
        """Id at the end of every encoding; the highest id (open_clip pools at the argmax)."""
        return self._engine.layout.eos

    @property
    def fingerprint(self) -> str:
        """The sha256 of the tokenizer's content and its probe encoding, as 64 hex digits."""
        return str(self._content["sha256"])

    @property
    def assigned_ids(self) -> list[int]:
        """The ids that have a meaning, in order: all but the spare rows."""
        return [number for number, kind in enumerate(self._engine.vocabulary.kinds) if kind]

    def id_to_token(self, number: int) -> str:
        """The text of an id: a phrase with its `{slots}`, a value, a BPE token, `<eos>`.

        Raises:
            IdError: the id is out of range or a spare row.
        """
        self._check_id(number)
        return self._engine.vocabulary.texts[number]

    def token_to_id(self, token: str, *, kind: str | None = None) -> int | None:
        """The id of a token's text, as `id_to_token` gives it; None where no id has this text.

        Some texts have several ids: `5` can start a number or continue one, and `2+` is both a
        grade and a BPE token of its own. The lowest of these ids is returned.

        Args:
            token: the text.
            kind: look only among the `special`, `phrase`, `value` or `bpe` tokens.

        Example:
            >>> tok = load("echo")
            >>> tok.id_to_token(tok.token_to_id("lvef {number}%"))
            'lvef {number}%'
        """
        vocabulary = self._engine.vocabulary
        return next(
            (
                number
                for number in vocabulary.ids_of(token)
                if kind is None or vocabulary.kinds[number] == kind
            ),
            None,
        )

    def kind(self, number: int) -> str:
        """The kind of an id: `special`, `phrase`, `value` or `bpe`.

        Raises:
            IdError: the id is out of range or a spare row.
        """
        self._check_id(number)
        return self._engine.vocabulary.kinds[number]

    # Encoding

    def normalize(self, text: str) -> str:
        """The text that encoding preserves; see `echotok.text` for what is folded (I1).

        Raises:
            InputTypeError: `text` is not a `str`.
        """
        return self._engine.normalize(check_text(text))

    def __call__(
        self,
        texts: str | Iterable[str],
        *,
        padding: bool = False,
        context_length: int | None = None,
    ) -> dict[str, Any]:
        """Encode one text or a batch into what a model takes.

        Args:
            texts: one report, or several.
            padding: make a batch rectangular: rows are padded behind EOS to the longest row.
            context_length: largest number of ids, at least 3. Longer texts are cut between units.
                A batch is padded to this length too, whatever `padding` says.

        Returns:
            `input_ids`, and `attention_mask` with 1 at each id and 0 at each padding. For one text
            these are lists; for a batch they are lists of lists, or int64 arrays of shape
            `(batch, length)` where it is padded. Use `encode` and `encode_batch` to learn what was
            cut, and for offsets.

        Raises:
            InputTypeError: what was given is not text; a row of a batch is named by its number.
            ValueError: `context_length` is below 3.

        Example:
            >>> tok = load("echo")
            >>> tok("Mild LVH.")["attention_mask"]
            [1, 1, 1, 1]
            >>> tok(["", "Mild LVH."], padding=True)["attention_mask"].tolist()
            [[1, 1, 0, 0], [1, 1, 1, 1]]
        """
        if context_length is not None:
            check_context_length(context_length)
        if isinstance(texts, str):
            encoding = self.encode(texts)
            if context_length is not None:
                encoding = encoding.truncate(context_length)
            return {"input_ids": encoding.ids, "attention_mask": [1] * len(encoding)}
        if not padding and context_length is None:
            rows = [Encoding(self._engine, text).ids for text in iterate_texts(texts)]
            return {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}
        batch = self.encode_batch(texts, context_length=context_length)
        return {"input_ids": batch.ids, "attention_mask": batch.attention_mask}

    def encode(self, text: str, *, refuse_control: bool = False) -> Encoding:
        """Encode one report.

        Args:
            text: any Unicode text; an empty text gives the ids BOS and EOS.
            refuse_control: raise when the text holds the literal spelling of a special token or of
                a slot (`<eos>`, `{number}`). They are ordinary text otherwise, never obeyed (I7).

        Raises:
            InputTypeError: `text` is not a `str`.
            InputError: control text was found and is refused.
        """
        check_text(text)
        if refuse_control:
            self._refuse_control(text)
        return Encoding(self._engine, text)

    def encode_batch(self, texts: Iterable[str], *, context_length: int | None = None) -> Batch:
        """Encode many reports into one padded array.

        Args:
            texts: the reports: a list, a column of a table, or any other iterable of `str`.
            context_length: number of columns of the result, at least 3; longer reports are cut
                between units, and counted. None takes the longest report's length.

        Raises:
            InputTypeError: this is not a batch of texts; a row that is not text is named by its
                number.
            ValueError: `context_length` is below 3.

        Example:
            >>> batch = load("echo").encode_batch(["", "Mild LVH."], context_length=8)
            >>> batch.ids.shape, batch.num_truncated
            ((2, 8), 0)
        """
        if context_length is not None:
            check_context_length(context_length)
        encodings = (Encoding(self._engine, text) for text in iterate_texts(texts))
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

    def decode(self, ids: Ids) -> str:
        """The normalized text of ids; BOS, EOS and padding are skipped.

        Ids need not come from `encode`: a phrase whose values are missing shows its `{slot}`, and
        cut characters show U+FFFD.

        Raises:
            IdError: an id is out of range or a spare row.
        """
        try:
            numbered = enumerate(ids)
        except TypeError:
            raise IdError(
                f"decode takes a sequence of ids, not {type(ids).__name__}; pass a list of integers"
            ) from None
        numbers = [self._as_id(number, position) for position, number in numbered]
        return self._engine.decoder.decode(numbers)

    def decode_batch(self, rows: Iterable[Ids]) -> list[str]:
        """The normalized text of each row of ids; see `decode`.

        Args:
            rows: lists of ids, or an array of shape `(batch, length)` such as `Batch.ids`.

        Raises:
            IdError: a row holds something that is not an id; the row is named by its number.

        Example:
            >>> tok = load("echo")
            >>> tok.decode_batch(tok.encode_batch(["Mild LVH.", "No AS"]).ids)
            ['mild lvh.', 'no as']
        """
        try:
            numbered = enumerate(rows)
        except TypeError:
            raise IdError(
                f"decode_batch takes rows of ids, not {type(rows).__name__}; pass a list of lists"
            ) from None
        texts = []
        for row, ids in numbered:
            try:
                texts.append(self.decode(ids))
            except IdError as error:
                raise IdError(f"row {row}: {error}") from error
        return texts

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
        if not self._engine.vocabulary.kinds[number]:
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
        """The ids that this tokenizer added to those of `old`, from which it grew (I6).

        A model trained with `old` can be trained further with this tokenizer once these rows of its
        embedding are initialised.

        Raises:
            ArtifactError: an id of `old` means something else here, or the layouts differ.
        """
        same = (
            self._engine.layout == old._engine.layout
            and self._table.units == old._table.units
            and self.fallback == old.fallback
        )
        added = self._engine.vocabulary.added_since(old._engine.vocabulary) if same else None
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
