"""Echotok's tokenizers as Hugging Face transformers calls, saves and loads them.

Importing this module registers `EchotokTokenizer`, so that `AutoTokenizer.from_pretrained` finds it
in a folder that `save_pretrained` or `echotok build --hf` wrote. The ids are those of the echotok
tokenizer inside; docs/transformers.md says where transformers' own tokenizers behave otherwise.
"""

from __future__ import annotations

import shutil
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from transformers import AutoTokenizer, BatchEncoding, PreTrainedConfig, PreTrainedTokenizer
from transformers.tokenization_utils_base import PaddingStrategy, TruncationStrategy

from echotok.clip_merges import CLIP_MERGES_NAME, clip_merges_path
from echotok.engine.inputs import iterate_texts
from echotok.engine.vocabulary import NUM_SPECIAL
from echotok.errors import EchotokError, OptionError
from echotok.tokenizer import Tokenizer

if TYPE_CHECKING:
    from echotok.engine.encoding import Encoding

__all__ = ["ARTIFACT", "EchotokTokenizer"]

ARTIFACT = "echotok.json"
"""The file of a folder that holds the echotok tokenizer."""


class EchotokTokenizer(PreTrainedTokenizer):  # type: ignore[misc] # transformers has no types
    """A tokenizer of transformers that gives echotok's ids.

    Make one with `from_echotok` or `from_pretrained`. BOS is also CLS, EOS is also SEP, and the
    last spare row of the special ids serves as MASK, so that a model needs `len(tokenizer)` rows,
    as many as echotok's `vocab_size`.

    A text that is too long is cut between units and counted (I8), here and under
    `num_truncated_tokens` where `return_overflowing_tokens` is asked for. Text is never control
    (I7): a literal `<mask>` in it is ordinary text, unless `split_special_tokens=False` says that
    the texts are your own prompts.

    Args:
        vocab_file: path of the artifact, which `from_pretrained` fills in; or an echotok tokenizer.
        merges_file: path of CLIP's merges, for an artifact over CLIP's vocabulary.
        **kwargs: what transformers takes, such as `model_max_length` and `padding_side`.

    Attributes:
        echotok: the echotok tokenizer inside.

    Raises:
        OptionError: there is neither a file nor a tokenizer.
        ArtifactError: the file has another format version, or was damaged or edited.
        MergesError: CLIP's merges are needed and not found.
    """

    vocab_files_names: ClassVar = {"vocab_file": ARTIFACT, "merges_file": CLIP_MERGES_NAME}
    model_input_names: ClassVar = ["input_ids", "attention_mask"]

    def __init__(
        self,
        vocab_file: str | Path | Tokenizer | None = None,
        merges_file: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(vocab_file, Tokenizer):
            if vocab_file is None:
                raise OptionError(
                    "an EchotokTokenizer needs a tokenizer: use "
                    "EchotokTokenizer.from_echotok(echotok.load('echo')), or from_pretrained with "
                    f"a folder that holds {ARTIFACT} (save_pretrained and "
                    "`echotok build --hf FOLDER` write one)"
                )
            vocab_file = Tokenizer.from_file(vocab_file, clip_merges=merges_file)
        self.echotok = vocab_file
        self._names = _Names(self.echotok)
        self._counts = _Counts()
        for name in ("is_local", "local_files_only"):  # of one call of from_pretrained
            kwargs.pop(name, None)
        for name, token in (
            ("pad_token", "<pad>"),
            ("bos_token", "<bos>"),
            ("eos_token", "<eos>"),
            ("cls_token", "<bos>"),
            ("sep_token", "<eos>"),
            ("mask_token", "<mask>"),
            ("special_tokens_pattern", "bos_eos"),
            ("token_type_ids_pattern", "all_zeros"),
            ("split_special_tokens", True),
        ):
            kwargs.setdefault(name, token)
        super().__init__(**kwargs)

    @classmethod
    def _from_pretrained(cls, *arguments: Any, **named: Any) -> Self:
        try:
            loaded: Self = super()._from_pretrained(*arguments, **named)
        except ImportError as error:
            # Where protobuf is not installed, transformers puts this in place of any error.
            if isinstance(error.__context__, EchotokError):
                raise error.__context__ from None
            raise
        return loaded

    @classmethod
    def from_echotok(cls, tokenizer: Tokenizer, **kwargs: Any) -> Self:
        """Make one from an echotok tokenizer.

        Args:
            tokenizer: tokenizer from `echotok.load` or `echotok.build`.
            **kwargs: what transformers takes, such as `model_max_length` and `padding_side`.
        """
        return cls(tokenizer, **kwargs)

    # The vocabulary

    @property
    def vocab_size(self) -> int:
        """Rows that a token embedding needs, spare rows included."""
        return self.echotok.vocab_size

    def get_vocab(self) -> dict[str, int]:
        """The name of each id with the id; a spare row is called `<spare 17>`."""
        return {**self._names.ids, **self._added_tokens_encoder}

    def _convert_token_to_id(self, token: str) -> int | None:
        return self._names.ids.get(token)

    def _convert_id_to_token(self, index: int) -> str:
        if not 0 <= index < self.vocab_size:
            self.echotok.id_to_token(index)  # says what is wrong
        return self._names.names[index]

    @property
    def num_texts(self) -> int:
        """Number of texts encoded so far, by this object in this process."""
        return self._counts.texts

    @property
    def num_truncated(self) -> int:
        """Number of these texts that did not fit."""
        return self._counts.truncated

    # Encoding

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return [self._names.names[number] for number in self.echotok.encode(text).ids[1:-1]]

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """BOS, the ids, EOS.

        Raises:
            OptionError: there are two texts.
        """
        if token_ids_1 is not None:
            raise _pairs_error()
        ids: list[int] = super().build_inputs_with_special_tokens(token_ids_0)
        return ids

    def _encode_plus(
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        truncation_strategy: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        split_special_tokens: bool | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        if not kwargs.get("sanitize_control_tokens"):  # all of a text is text anyway
            kwargs.pop("sanitize_control_tokens", None)
        if kwargs:
            raise OptionError(
                f"EchotokTokenizer has no option {next(iter(kwargs))!r}; it takes the options of "
                "transformers' PreTrainedTokenizer"
            )
        if text_pair is not None:
            raise _pairs_error()
        if is_split_into_words:
            raise OptionError(
                "EchotokTokenizer takes whole reports, not lists of words (is_split_into_words): a "
                "phrase spans several words, and white space is part of the text. Pass the text, "
                "and find your words with return_offsets_mapping=True"
            )
        single = isinstance(text, str)
        texts = list(iterate_texts([text] if single else _refuse_nested(text)))
        cuts = truncation_strategy != TruncationStrategy.DO_NOT_TRUNCATE and max_length is not None
        length = max_length if cuts else None
        if split_special_tokens is None:
            split_special_tokens = self.split_special_tokens
        names = self.model_input_names
        if return_token_type_ids is None:
            return_token_type_ids = "token_type_ids" in names
        columns: dict[str, list[Any]] = {}
        for one in texts:
            row = self._row(one, as_text=split_special_tokens)
            kept, dropped, overflow = row.cut(
                length, special=add_special_tokens, side=self.truncation_side, stride=stride
            )
            self._counts.texts += 1
            self._counts.truncated += dropped > 0
            ids, mask = row.ids[kept], [0] * len(row.ids[kept])
            if add_special_tokens:
                ids, mask = [self.echotok.bos_id, *ids, self.echotok.eos_id], [1, *mask, 1]
            if length is None:
                self._eventual_warn_about_too_long_sequence(ids, None, verbose)
            found: dict[str, Any] = {"input_ids": ids}
            if return_token_type_ids:
                found["token_type_ids"] = [0] * len(ids)
            if return_special_tokens_mask:
                found["special_tokens_mask"] = mask
            if return_offsets_mapping:
                none = [(0, 0)] * add_special_tokens
                found["offset_mapping"] = [*none, *row.offsets()[kept], *none]
            if return_overflowing_tokens and not return_tensors:
                found["overflowing_tokens"] = row.ids[overflow]
                found["num_truncated_tokens"] = dropped
            if return_length:
                found["length"] = len(ids)
            for name, value in found.items():
                columns.setdefault(name, []).append(value)
        padded = self.pad(
            {name: column[0] for name, column in columns.items()}
            if single
            else columns or {"input_ids": []},
            padding=padding_strategy.value,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            return_attention_mask=return_attention_mask,
            verbose=False,
        )
        return BatchEncoding(dict(padded), tensor_type=return_tensors, prepend_batch_axis=single)

    def _row(self, text: str, *, as_text: bool) -> _Row:
        """Encode a text; unless all of it is text, the added tokens in it are their ids."""
        parts: list[tuple[int, Encoding | int]] = []
        at = 0
        for stretch in [text] if as_text else self.tokens_trie.split(text):
            added = None if as_text else self._added_tokens_encoder.get(stretch)
            parts.append((at, self.echotok.encode(stretch) if added is None else added))
            at += len(stretch)
        return _Row(parts=parts, end=at)

    def _pad(self, encoded_inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Pad offsets, too, which transformers leaves to its fast tokenizers."""
        before = len(encoded_inputs[self.model_input_names[0]])
        padded = super()._pad(encoded_inputs, *args, **kwargs)
        if "offset_mapping" in padded:
            side = kwargs.get("padding_side") or self.padding_side
            fill = [(0, 0)] * (len(padded[self.model_input_names[0]]) - before)
            offsets = padded["offset_mapping"]
            padded["offset_mapping"] = [*offsets, *fill] if side == "right" else [*fill, *offsets]
        return padded

    # Decoding

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The normalized text of tokens; a special, spare or added token shows as its name."""
        vocab = self.get_vocab()
        return self._text([vocab[token] for token in tokens])

    def _decode(
        self,
        token_ids: int | list[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **_: Any,
    ) -> str:
        ids = [token_ids] if isinstance(token_ids, int) else list(token_ids)
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        text = self._text([number for number in ids if number not in skipped])
        return self.clean_up_tokenization(text) if clean_up_tokenization_spaces else text

    def _text(self, ids: list[int]) -> str:
        parts: list[str] = []
        stretch: list[int] = []
        for number in [*ids, None]:
            if number is not None and number in self._names.of_text:
                stretch.append(number)
                continue
            if stretch:
                parts.append(self.echotok.decode(stretch))
                stretch = []
            if number is not None:
                parts.append(self.convert_ids_to_tokens(number))
        return " ".join(parts)

    # Files

    def save_vocabulary(
        self, save_directory: str, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write the artifact and, for a tokenizer over CLIP's vocabulary, CLIP's merges.

        Args:
            save_directory: folder, which is there.
            filename_prefix: put before the names of the files, with a dash.
        """
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        written = [Path(save_directory) / (prefix + ARTIFACT)]
        self.echotok.save(written[0])
        if self.echotok.fallback.kind == "clip":
            written.append(Path(save_directory) / (prefix + CLIP_MERGES_NAME))
            source = clip_merges_path(self.echotok.clip_merges)
            if source.resolve() != written[1].resolve():
                shutil.copyfile(source, written[1])
        return tuple(map(str, written))


# `datasets.map` knows a tokenizer again by the bytes of its attributes. What is worked out from
# others, or belongs to one object in one process, is therefore kept in objects that pickle as new.


class _Names:
    """The names of the ids.

    Attributes:
        names: the name of each id: a text of its own for each, spare rows too.
        ids: the id of each name.
        of_text: the ids that are part of a text, as `join` and `space` are, too.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.names = [f"<spare {number}>" for number in range(tokenizer.vocab_size)]
        for name, number in tokenizer.get_vocab().items():
            self.names[number] = name
        self.names[tokenizer.pad_id + NUM_SPECIAL - 1] = "<mask>"
        self.ids = {name: number for number, name in enumerate(self.names)}
        assert len(self.ids) == len(self.names), "each id has a name of its own"
        others = {tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id}
        self.of_text = frozenset(tokenizer.assigned_ids) - others

    def __reduce__(self) -> tuple[Any, ...]:
        return _Names, (self._tokenizer,)


class _Counts:
    """How many texts were encoded, and how many of them did not fit."""

    def __init__(self) -> None:
        self.texts = self.truncated = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _Counts, ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One encoded text without BOS and EOS.

    Attributes:
        parts: the stretches of the text in order, each with its first character: an encoding, or
            the id of an added token.
        end: number of characters of the text.
    """

    parts: list[tuple[int, Encoding | int]]
    end: int
    ids: list[int] = field(init=False)

    def __post_init__(self) -> None:
        ids: list[int] = []
        for _, part in self.parts:
            ids += [part] if isinstance(part, int) else part.ids[1:-1]
        object.__setattr__(self, "ids", ids)

    def offsets(self) -> list[tuple[int, int]]:
        """The span of each id in the text."""
        found: list[tuple[int, int]] = []
        ends = [start for start, _ in self.parts[1:]] + [self.end]
        for (start, part), end in zip(self.parts, ends, strict=True):
            if isinstance(part, int):
                found.append((start, end))
                continue
            spans = (span for span in part.offsets if span is not None)
            found += [(start + low, start + high) for low, high in spans]
        return found

    def cut(
        self, length: int | None, *, special: bool, side: str, stride: int
    ) -> tuple[slice, int, slice]:
        """What is kept, how many ids are dropped, and the ids that overflow.

        Args:
            length: largest number of ids, BOS and EOS counted where `special`; None for all.
            special: whether there are BOS and EOS.
            side: the side on which units are dropped.
            stride: largest number of kept ids that the overflow repeats, in whole units.

        Raises:
            OptionError: the length has no room for a single id.
        """
        size = len(self.ids)
        if length is None:
            return slice(0, size), 0, slice(0, 0)
        room = length - 2 if special else length
        if room < 1:
            raise OptionError(
                f"max_length is {length}; "
                + ("BOS, one id and EOS need 3" if special else "one id needs 1")
            )
        if size <= room:
            return slice(0, size), 0, slice(0, 0)
        bounds = [0]
        for _, part in self.parts:
            begin = bounds[-1]
            ends = [1] if isinstance(part, int) else [end - 1 for end in part.unit_ends]
            bounds += [begin + end for end in ends]
        if side == "left":
            first = bounds[bisect_left(bounds, size - room)]
            first = size - room if first == size else first  # the last unit alone is too long
            last = bounds[bisect_right(bounds, first + stride) - 1]
            return slice(first, size), first, slice(0, max(first, last))
        last = bounds[bisect_right(bounds, room) - 1] or room
        first = bounds[bisect_left(bounds, last - stride)]
        return slice(0, last), size - last, slice(min(first, last), size)


def _refuse_nested(texts: object) -> object:
    """Refuse pairs and lists of words, which transformers takes for rows of a batch."""
    if isinstance(texts, Sequence) and any(isinstance(one, (list, tuple)) for one in texts):
        raise _pairs_error()
    return texts


def _pairs_error() -> OptionError:
    return OptionError(
        "EchotokTokenizer encodes one report for each row, and two texts were given for one (a "
        "pair, or a list of words): pass a list of reports, and join texts that belong together"
    )


class _NoModel(PreTrainedConfig):  # type: ignore[misc] # transformers has no types
    """Stands for a model in transformers' register, which finds tokenizers by models."""

    model_type = "echotok"


AutoTokenizer.register(_NoModel, tokenizer_class=EchotokTokenizer, exist_ok=True)
