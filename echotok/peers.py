"""Tokenizers of others, for `echotok stats --tokenizer` and the benchmarks: only to be measured.

    tiktoken:cl100k_base       an encoding of tiktoken, by its name or by that of a model
    a folder                   as Hugging Face's save_pretrained writes it
    a file                     a tokenizer.json of Hugging Face

The packages that read them (tiktoken, tokenizers, transformers) are imported when one is asked for,
and are no dependencies of echotok.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echotok.errors import InputError
from echotok.spelling import did_you_mean
from echotok.text import make_normalizer, replace_surrogates

if TYPE_CHECKING:
    import tiktoken
    import tokenizers

__all__ = ["Peer", "comes_back", "find_peer"]

_TIKTOKEN = "tiktoken:"
# What a folder of a tokenizer without tokenizer.json holds; transformers makes one of them.
_SLOW_FILES = ("tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "*.model")
_OURS = re.compile(rb'\s*\{\s*"format"\s*:')
_fold = make_normalizer(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A tokenizer that is not ours.

    Attributes:
        name: what it is called in a table of figures.
        encode: function from a text to its ids, with the special tokens that it adds by itself and
            without truncation or padding.
        decode: function from ids to a text, without special tokens; None where there is none.
        vocab_size: number of its ids; None where it is not known.
    """

    name: str
    encode: Callable[[str], Sequence[Any]]
    decode: Callable[[Sequence[Any]], str] | None = None
    vocab_size: int | None = None


def comes_back(text: str, decoded: str) -> bool:
    """Whether a decoded text is the text that was encoded, by the rule that ours is judged by.

    Letter case, white space and typographic variants do not count (`normalize` without units).
    """
    return _fold(decoded) == _fold(text)


def find_peer(name_or_path: str) -> Peer | None:
    """The tokenizer of others that a name or path stands for; None where it may be one of ours.

    Args:
        name_or_path: `tiktoken:NAME`, a folder of a Hugging Face tokenizer, or its tokenizer.json.

    Raises:
        InputError: it is one of these, and cannot be read, or the package that reads it is not
            installed.
    """
    if name_or_path.startswith(_TIKTOKEN):
        return _tiktoken(name_or_path.removeprefix(_TIKTOKEN))
    path = Path(name_or_path)
    if path.is_dir():
        return _folder(path)
    if path.is_file() and _is_tokenizer_json(path):
        name = path.stem if path.stem != "tokenizer" else path.resolve().parent.name
        return _tokenizer_json(path, name=name)
    return None


def _tiktoken(name: str) -> Peer:
    try:
        import tiktoken
    except ModuleNotFoundError:
        raise InputError(
            f"{_TIKTOKEN}{name} needs the Python package tiktoken: pip install tiktoken"
        ) from None
    known = tiktoken.list_encoding_names()
    encoding_name = name
    if name not in known:
        try:
            encoding_name = tiktoken.encoding_name_for_model(name)
        except KeyError:
            raise InputError(
                f"tiktoken has no encoding {name!r}; it has {', '.join(known)}"
                f"{did_you_mean(name, known)}"
            ) from None
    try:
        encoding = tiktoken.get_encoding(encoding_name)
    except (OSError, ValueError) as error:  # all errors of the package requests are OSErrors
        raise InputError(
            f"tiktoken's file for {encoding_name} cannot be had ({type(error).__name__}): it is "
            "read from the network once, and then from a cache. Run this once on a machine with a "
            "network and TIKTOKEN_CACHE_DIR=FOLDER set, and set TIKTOKEN_CACHE_DIR to a copy of "
            "that folder here"
        ) from error
    return Peer(
        name=name,
        encode=partial(_encode_tiktoken, encoding),
        decode=encoding.decode,
        vocab_size=encoding.n_vocab,
    )


def _encode_tiktoken(encoding: tiktoken.Encoding, text: str) -> list[int]:
    return encoding.encode_ordinary(text)


def _folder(folder: Path) -> Peer:
    name = folder.resolve().name
    for ours in (folder / "echotok.json", folder / "tokenizer.json"):
        if ours.is_file() and "format" in _json_object(ours):
            raise InputError(f"{folder} holds a tokenizer of echotok: --tokenizer {ours} reads it")
    if (folder / "tokenizer.json").is_file():
        return _tokenizer_json(folder / "tokenizer.json", name=name)
    if (folder / "table.toml").is_file():
        raise InputError(
            f"{folder} is a phrase table, not a tokenizer: `echotok build {folder} --out "
            "my.json` makes one"
        )
    if not any(any(folder.glob(pattern)) for pattern in _SLOW_FILES):
        raise InputError(
            f"{folder} holds no tokenizer: neither tokenizer.json nor one of "
            f"{', '.join(_SLOW_FILES)}, as Hugging Face's save_pretrained writes them"
        )
    try:
        from transformers import AutoTokenizer
    except ModuleNotFoundError:
        raise InputError(
            f"{folder} holds no tokenizer.json, and the older files of a tokenizer are read by the "
            "Python package transformers: pip install transformers"
        ) from None
    try:
        # Only what lies in the folder: nothing is downloaded, and no code in it is run.
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers raises what its many readers raise
        raise InputError(
            f"{folder}: transformers cannot make a tokenizer of this folder ({_first_line(error)})"
        ) from error
    return Peer(
        name=name,
        encode=partial(_encode_transformers, tokenizer),
        decode=partial(_decode_transformers, tokenizer),
        vocab_size=len(tokenizer),
    )


def _encode_transformers(tokenizer: Any, text: str) -> list[int]:
    text = replace_surrogates(text)
    ids: list[int] = tokenizer(text, truncation=False, padding=False, verbose=False)["input_ids"]
    return ids


def _decode_transformers(tokenizer: Any, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def _is_tokenizer_json(path: Path) -> bool:
    """Whether a file is JSON as Hugging Face's tokenizers write it."""
    # Ours is parsed by who reads it, and need not be parsed here first.
    if _begins_as_ours(path):
        return False
    content = _json_object(path)
    return "model" in content and "format" not in content


def _begins_as_ours(path: Path) -> bool:
    """Whether a file begins as `artifact.write` begins it; not if it was laid out anew."""
    try:
        with path.open("rb") as file:
            return _OURS.match(file.read(100)) is not None
    except OSError:
        return False


def _json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _tokenizer_json(path: Path, *, name: str) -> Peer:
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise InputError(
            f"reading {path} needs the Python package tokenizers: pip install tokenizers, or "
            'pip install "echotok[build]"'
        ) from None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises nothing narrower
        raise InputError(
            f"{path} is not a tokenizer that the package tokenizers can read ({_first_line(error)})"
        ) from error
    # The file may ask for both, and either would falsify a length.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Peer(
        name=name,
        encode=partial(_encode_tokenizers, tokenizer),
        decode=tokenizer.decode,
        vocab_size=tokenizer.get_vocab_size(),
    )


def _encode_tokenizers(tokenizer: tokenizers.Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(replace_surrogates(text)).ids


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if len(text) <= 200 else text[:200] + " ..."
