"""The tokenizer that users hold: text -> ids and back, and the file that it is kept in.

The work is done by an `Engine` (`echotok.engine.engine`). Reading order there: `text` (normalize,
pieces), `match` (phrases and values), `encoder`, `decoder`, `encoding`. This module adds the name,
the fingerprint and the file, and checks what comes in.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsIndex, overload

from echotok import artifact
from echotok.engine.batch import Batch, PackedBatch, as_tensors, pad_rows
from echotok.engine.encoding import Encoding, check_context_length
from echotok.engine.engine import Engine
from echotok.engine.inputs import check_text, iterate_texts
from echotok.engine.rows import encode_slices
from echotok.errors import ArtifactError, IdError, InputError, OptionError
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
            with _collector_paused():
                self._table = artifact.unpack_table(content)
                self._engine = Engine.of(
                    self._table,
                    artifact.unpack_fallback(content, merges=False),
                    lines=content["fallback"]["merges"],
                    clip_merges=self._merges_path,
                )
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
        if "sha256" not in content:  # else it was checked when the content was read
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

    @cached_property
    def fallback(self) -> Fallback:
        """What encodes the text that no phrase covers."""
        with _collector_paused():
            return artifact.unpack_fallback(self._content)

    @property
    def engine(self) -> Engine:
        """What encodes and decodes, for those who write the tokenizer in another format."""
        return self._engine

    @property
    def clip_merges(self) -> str | Path | None:
        """The path of CLIP's merges that the tokenizer was made with; None where none was given."""
        return self._merges_path

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
        padding: bool | Literal["longest", "max_length"] = False,
        context_length: int | None = None,
        max_length: int | None = None,
        truncation: bool | None = None,
        stride: int | None = None,
        add_special_tokens: bool = True,
        padding_side: Literal["right", "left"] = "right",
        return_tensors: Literal["list", "np", "pt"] | None = None,
    ) -> dict[str, Any]:
        """Encode one text or a batch into what a model takes; the options are those of HF.

        Args:
            texts: one report, or several.
            padding: make a batch rectangular: True or `"longest"` pads rows to the longest row,
                `"max_length"` to `max_length`.
            context_length: `max_length` and, for a batch, `padding="max_length"` in one.
            max_length: largest number of ids of a row, at least 3 (at least 1 without special
                tokens). Longer texts are cut between units.
            truncation: whether `max_length` cuts; None cuts where it is given. With False it is
                only a length to pad to.
            stride: do not drop what is cut off: give each text as many rows as hold all of it,
                each repeating at most this number of ids of the row before, in whole units.
                `overflow_to_sample_mapping` then names the text of each row.
            add_special_tokens: begin each row with BOS and end it with EOS.
            padding_side: where rows are padded.
            return_tensors: `"list"`, `"np"` (int64 arrays) or `"pt"` (int64 tensors, which needs
                torch). Arrays and tensors have the shape `(rows, ids)`, for one text too. None
                gives lists, and arrays for a batch that is padded.

        Returns:
            `input_ids`, and `attention_mask` with 1 at each id and 0 at each padding. For one text
            these are lists of ids, for a batch lists of rows, unless `return_tensors` says
            otherwise. Use `encode` and `encode_batch` to learn what was cut, and for offsets.

        Raises:
            InputTypeError: what was given is not text; a row of a batch is named by its number.
            OptionError: options that do not go together, or one that has no such value.
            ValueError: a length is too small.

        Example:
            >>> tok = load("echo")
            >>> tok("Mild LVH.")["attention_mask"]
            [1, 1, 1, 1]
            >>> tok(["", "Mild LVH."], padding=True)["attention_mask"].tolist()
            [[1, 1, 0, 0], [1, 1, 1, 1]]
            >>> tok("Mild LVH. No MR.", max_length=4, stride=0)["overflow_to_sample_mapping"]
            [0, 0]
        """
        single = isinstance(texts, str)
        if context_length is not None:
            if max_length is not None or truncation is not None:
                raise OptionError(
                    "context_length is max_length with truncation (and, for a batch, "
                    'padding="max_length"); give it alone, or give the others'
                )
            max_length = context_length
            padding = padding if single else "max_length"
        _check_options(
            padding=padding,
            padding_side=padding_side,
            return_tensors=return_tensors,
            max_length=max_length,
            truncation=truncation,
            stride=stride,
        )
        # What a text is cut to, BOS and EOS counted.
        length = None
        if max_length is not None and truncation is not False:
            length = max_length if add_special_tokens else max_length + 2
            if length < 3:
                raise ValueError(
                    f"{'max_length' if context_length is None else 'context_length'} is "
                    f"{max_length}; "
                    + ("BOS, one id and EOS need 3" if add_special_tokens else "one id needs 1")
                )
        rows: list[list[int]] = []
        samples: list[int] = []
        for number, text in enumerate(iterate_texts([texts] if single else texts)):
            encoding = Encoding(self._engine, text)
            if length is None:
                found = [encoding.ids]
            elif stride is None:
                found = [encoding.truncate(length).ids]
            else:
                found = encoding.window_ids(length, stride=stride)
            rows += found if add_special_tokens else [ids[1:-1] for ids in found]
            samples += [number] * len(found)
        masks = [[1] * len(row) for row in rows]
        content: dict[str, Any] = {"input_ids": rows, "attention_mask": masks}
        if stride is not None:
            content["overflow_to_sample_mapping"] = samples
        padded = bool(padding) and not (single and padding != "max_length" and stride is None)
        if padded or return_tensors in ("np", "pt"):
            width = max_length if padding == "max_length" else None
            lengths = {len(row) for row in rows}
            if not padded and len(lengths) > 1:
                raise OptionError(
                    f"the rows have {min(lengths)} to {max(lengths)} ids, and "
                    f'return_tensors="{return_tensors}" needs rows of one length: add padding=True'
                )
            for name, fill in (("input_ids", self.pad_id), ("attention_mask", 0)):
                content[name] = pad_rows(content[name], pad_id=fill, width=width, side=padding_side)
        single = single and stride is None
        return {
            name: as_tensors(column, return_tensors, single=single)
            for name, column in content.items()
        }

    def __len__(self) -> int:
        """Rows that a token embedding needs, as `vocab_size`."""
        return self.vocab_size

    def __bool__(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        ours = _HF_NAMES.get(name)
        raise AttributeError(
            f"an echotok Tokenizer has no {name!r}" + (f"; use {ours}" if ours else ""),
            name=name,
            obj=self,
        )

    def get_vocab(self) -> dict[str, int]:
        """The text of each id that has a meaning, with the id.

        Where several ids have one text (`5` can start a number or continue one), the lowest has it
        as it is, as in `token_to_id`; the others have their kind or role behind it, as in
        `5 <continue>`.
        """
        vocabulary = self._engine.vocabulary
        found: dict[str, int] = {}
        for number in self.assigned_ids:
            text = vocabulary.texts[number]
            if text in found:
                text = f"{text} <{vocabulary.roles[number] or vocabulary.kinds[number]}>"
            found[text] = number
        assert len(found) == len(self.assigned_ids), "each id has a text of its own"
        return found

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

    @overload
    def encode_batch(
        self,
        texts: Iterable[str],
        *,
        context_length: int | None = None,
        pack: Literal[False] = False,
        num_threads: int | None = None,
    ) -> Batch: ...

    @overload
    def encode_batch(
        self,
        texts: Iterable[str],
        *,
        context_length: int | None = None,
        pack: Literal[True],
        num_threads: int | None = None,
    ) -> PackedBatch: ...

    def encode_batch(
        self,
        texts: Iterable[str],
        *,
        context_length: int | None = None,
        pack: bool = False,
        num_threads: int | None = None,
    ) -> Batch | PackedBatch:
        """Encode many reports into one padded array, or into one row of ids without padding.

        Args:
            texts: the reports: a list, a column of a table, an Arrow array of strings, or any
                other iterable of `str`.
            context_length: largest number of ids of a row, at least 3; longer reports are cut
                between units, and counted. A padded array has this number of columns. None cuts
                none, and pads to the longest report's length.
            pack: put the ids of all reports one behind the other, without padding.
            num_threads: number of threads; None takes as many as this process has cores. A batch
                of less than 400,000 characters takes one.

        Raises:
            InputTypeError: this is not a batch of texts; a row that is not text is named by its
                number.
            ValueError: `context_length` is below 3, or `num_threads` below 1.

        Example:
            >>> tok = load("echo")
            >>> batch = tok.encode_batch(["", "Mild LVH."], context_length=8)
            >>> batch.ids.shape, batch.num_truncated
            ((2, 8), 0)
            >>> packed = tok.encode_batch(["", "Mild LVH."], pack=True)
            >>> packed.ids.shape, packed.row_ends.tolist()
            ((6,), [2, 6])
        """
        _check_many(context_length, num_threads)
        parts = encode_slices(
            self._engine,
            iterate_texts(texts),
            context_length=context_length,
            num_threads=num_threads,
        )
        packed = PackedBatch.join(list(parts))
        return packed if pack else Batch.of(packed, pad_id=self.pad_id, width=context_length)

    def encode_stream(
        self,
        texts: Iterable[str],
        *,
        size: int = 1024,
        context_length: int | None = None,
        num_threads: int | None = None,
    ) -> Iterator[PackedBatch]:
        """Encode any number of reports in bounded memory, a packed batch at a time.

        Args:
            texts: the reports, as in `encode_batch`; an iterator is read no further than needed.
            size: number of reports of a batch; the last one may hold fewer.
            context_length: largest number of ids of a row, as in `encode_batch`.
            num_threads: number of threads, as in `encode_batch`.

        Returns:
            An iterator over the batches, in order of the reports.

        Raises:
            InputTypeError: this is not a batch of texts; a row that is not text raises when the
                iterator comes to it.
            ValueError: a number is too small.

        Example:
            >>> reports = (f"LVEF is {number}%." for number in range(1000, 4000))
            >>> [len(batch) for batch in load("echo").encode_stream(reports)]
            [1024, 1024, 952]
        """
        _check_many(context_length, num_threads)
        if size < 1:
            raise ValueError(f"size is {size}; a batch holds at least 1 report")
        return encode_slices(
            self._engine,
            iterate_texts(texts),
            context_length=context_length,
            size=size,
            num_threads=num_threads,
        )

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
            given: list[Any] = list(ids)
        except TypeError:
            raise IdError(
                f"decode takes a sequence of ids, not {type(ids).__name__}; pass a list of integers"
            ) from None
        if not self._are_ids(given):
            given = [self._as_id(number, position) for position, number in enumerate(given)]
        return self._engine.decoder.decode(given)

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

    def _are_ids(self, numbers: list[Any]) -> bool:
        """Whether these are plain integers with a meaning: at once, as nearly all are."""
        kinds = self._engine.vocabulary.kinds
        return (
            {*map(type, numbers)} == {int}
            and 0 <= min(numbers) <= max(numbers) < len(kinds)
            and all(map(kinds.__getitem__, numbers))
        )

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
        if changed := self._changed_since(old):
            raise ArtifactError(
                f"{self!r} is not an append-only growth of {old!r}: {changed}; use the tokenizer "
                "that the model was trained with, or train anew"
            )
        return self._engine.vocabulary.added_since(old._engine.vocabulary)

    def _changed_since(self, old: Tokenizer) -> str:
        """What keeps this tokenizer from being a growth of `old`; "" where it is one."""
        if self._table.units != old._table.units:
            return "the table's units differ, so that texts are normalized to others"
        if self.fallback != old.fallback:
            return "its fallback differs (an id of the old one means something else in the new one)"
        if self._engine.layout != old._engine.layout:
            return (
                f"its layout differs, {self.vocab_size:,} ids in place of {old.vocab_size:,} (were "
                "capacities changed in table.toml?)"
            )
        number = self._engine.vocabulary.first_changed(old._engine.vocabulary)
        if number is None:
            return ""
        now = self._engine.vocabulary.texts[number]
        return (
            f"id {number} of the old one means something else in the new one: "
            f"{old._engine.vocabulary.texts[number]!r} became "
            + (repr(now) if now else "a spare row")
        )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking, again and again, many new objects that all stay."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


# What those who come from Hugging Face reach for.
_HF_NAMES = {
    "batch_decode": "decode_batch(rows)",
    "batch_encode_plus": "encode_batch(texts), or call the tokenizer",
    "encode_plus": "encode(text), or call the tokenizer",
    "tokenize": "encode(text).tokens",
    "convert_tokens_to_ids": "token_to_id(token)",
    "convert_ids_to_tokens": "id_to_token(number)",
    "pad_token_id": "pad_id",
    "bos_token_id": "bos_id",
    "cls_token_id": "bos_id",
    "eos_token_id": "eos_id",
    "sep_token_id": "eos_id",
    "save_pretrained": "save(path)",
    "from_pretrained": "echotok.load(name_or_path)",
    "all_special_ids": "pad_id, bos_id and eos_id",
    "model_max_length": "the context length of your model",
}


def _check_many(context_length: int | None, num_threads: int | None) -> None:
    if context_length is not None:
        check_context_length(context_length)
    if num_threads is not None and num_threads < 1:
        raise ValueError(f"num_threads is {num_threads}; encoding takes at least 1")


def _check_options(
    *,
    padding: object,
    padding_side: object,
    return_tensors: object,
    max_length: int | None,
    truncation: bool | None,
    stride: int | None,
) -> None:
    """Refuse values that an option of a call cannot have, and options that need another one."""
    for name, value, known in (
        ("padding", padding, (False, True, "longest", "max_length")),
        ("padding_side", padding_side, ("right", "left")),
        ("return_tensors", return_tensors, (None, "list", "np", "pt")),
    ):
        if value not in known:
            raise OptionError(f"{name} is {value!r}; it is one of {', '.join(map(repr, known))}")
    if max_length is None:
        for name, asked in (
            ('padding="max_length"', padding == "max_length"),
            ("truncation=True", truncation is True),
            ("stride", stride is not None),
        ):
            if asked:
                raise OptionError(f"{name} needs max_length, the largest number of ids of a row")
    elif stride is not None and truncation is False:
        raise OptionError("stride keeps what is cut off, and truncation=False cuts nothing")


_PROBE = (
    "The LVEF is 55-60 % (GLS \u221218.4%), E/e\u2032 >15; TR 2.5m/s. Trace-to-mild MR, 1,234.05 "
    "na\u00efve Ko\u0308rper 10\u00b2 v2x \u5fc3 <eos> {number} - ok"
)
