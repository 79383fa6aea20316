"""Corpora and tokenizers that a user of the compression benchmark names on the command line."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import echotok
from echotok.corpora import read_reports
from echotok.errors import EchotokError, InputError, OptionError
from echotok.peers import Peer, find_peer
from echotok.spelling import did_you_mean
from echotok.tokenizer import Tokenizer

_SHIPPED = ("echo", "echo-clip")


def read_corpus(given: str) -> tuple[str, list[str]]:
    """The name and the reports of `name=path[:column]`.

    Raises:
        EchotokError: it is written in another way, or the reports cannot be read.
    """
    name, path, column = _split_corpus(given)
    texts = [report.text for report in read_reports([path], column=column)]
    if not texts:
        raise InputError(f"--corpus {name}: {path} holds no report")
    return name, texts


def _split_corpus(given: str) -> tuple[str, str, str | None]:
    name, equals, rest = given.partition("=")
    if not equals or not name.strip() or not rest:
        raise OptionError(
            f"--corpus {given}: write name=path or name=path:column, such as "
            "ours=reports.csv:report"
        )
    if Path(rest).exists():
        return name, rest, None
    path, colon, column = rest.rpartition(":")
    if colon and Path(path).exists():
        if not column:
            raise OptionError(f"--corpus {name}: the name of a column is missing behind {path}:")
        return name, path, column
    raise InputError(f"--corpus {name}: there is no file or folder {path or rest}")


def read_tokenizer(given: str) -> tuple[str, Tokenizer | Peer]:
    """The name and the tokenizer of `name=module:callable` and of what `echotok stats` takes.

    Raises:
        EchotokError: it is written in another way, or there is no such tokenizer.
    """
    name, equals, rest = given.partition("=")
    if not equals or not name.strip() or not rest:
        raise OptionError(
            f"--tokenizer {given}: write name=module:callable, such as "
            "mine=my_package.tokens:encode"
        )
    try:
        if rest in _SHIPPED:
            return name, echotok.load(rest)
        if (peer := find_peer(rest)) is not None:
            return name, peer
        if Path(rest).is_file():
            return name, Tokenizer.from_file(rest)
        return name, _imported(name, rest)
    except EchotokError as error:
        raise type(error)(f"--tokenizer {name}: {error}") from error


def _imported(name: str, place: str) -> Peer:
    """A callable of a module, with a second one that decodes where it is named."""
    module_name, *attributes = place.rsplit(":", 2) if place.count(":") > 1 else place.split(":")
    if not attributes or not all(attributes) or not module_name:
        raise OptionError(
            f"{place!r} is no file, and not module:callable; such are my_package.tokens:encode, "
            "my_file.py:encode and my_package.tokens:encode:decode"
        )
    module = _module(module_name)
    found = [_attribute(module, attribute, module_name) for attribute in attributes]
    encode, decode = found[0], found[1] if len(found) > 1 else None
    if isinstance(encode, type):
        try:
            encode = encode()
        except TypeError as error:
            raise OptionError(
                f"{attributes[0]} of {module_name} is a class that is not made without arguments; "
                "name an object that you made of it, or a function"
            ) from error
    if hasattr(encode, "encode"):  # an object that is a tokenizer
        decode = decode or _decoder(encode)
        encode = encode.encode
    if not callable(encode):
        raise OptionError(
            f"{attributes[0]} of {module_name} is neither a callable nor has a method encode"
        )
    peer = Peer(name=name, encode=partial(_encode, name, encode), decode=decode)
    try:
        peer.encode("Normal left ventricle.")  # now, not after minutes of counting
    except InputError as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""  # no report's text is in it yet
        raise InputError(f"{error}{cause}") from error
    return peer


def _decoder(tokenizer: Any) -> Callable[[Any], str] | None:
    """The method `decode` of an object, told to leave special tokens out where it can be told."""
    decode: Callable[..., str] | None = getattr(tokenizer, "decode", None)
    if decode is None or not callable(decode):
        return None
    try:
        parameters = inspect.signature(decode).parameters
    except ValueError:  # compiled code that does not say
        return decode
    if "skip_special_tokens" in parameters:
        return partial(decode, skip_special_tokens=True)
    return decode


def _module(name: str) -> Any:
    path = Path(name)
    if path.suffix == ".py":
        if not path.is_file():
            raise InputError(f"there is no file {path}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None, "a .py file has a loader"
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # whatever the file does
            raise InputError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
        return module
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        raise InputError(
            f"there is no Python module {missing!r} here; install it, or run this in the folder "
            "where it lies"
        ) from error


def _attribute(module: Any, dotted: str, module_name: str) -> Any:
    found = module
    for attribute in dotted.split("."):
        if not hasattr(found, attribute):
            names = [name for name in dir(found) if not name.startswith("_")]
            raise InputError(f"{module_name} has no {dotted!r}{did_you_mean(attribute, names)}")
        found = getattr(found, attribute)
    return found


def _encode(name: str, encode: Callable[[str], Any], text: str) -> Sequence[Any]:
    """The ids in what a callable gives for one text."""
    try:
        given = encode(text)
    except Exception as error:  # its message may hold the report, and is not shown
        raise InputError(
            f"the callable of {name} ends with a {type(error).__name__} for a text"
        ) from error
    if isinstance(given, Mapping):
        ids, mask = given.get("input_ids"), given.get("attention_mask")
    else:
        ids = getattr(given, "ids", getattr(given, "input_ids", given))
        mask = getattr(given, "attention_mask", None)
    ids, mask = _row(ids), None if mask is None else _row(mask)
    if ids is None or isinstance(ids, str | bytes) or not hasattr(ids, "__len__"):
        raise InputError(
            f"the callable of {name} gives a {type(given).__name__} for a text; it has to "
            "give a sequence of ids, or an object with ids or input_ids"
        )
    if mask is not None:
        return [number for number, kept in zip(ids, mask, strict=True) if kept]
    return ids  # type: ignore[no-any-return]


def _row(ids: Any) -> Any:
    """Arrays and tensors as lists; the row of a batch of one text."""
    if hasattr(ids, "tolist"):
        ids = ids.tolist()
    if isinstance(ids, list | tuple) and len(ids) == 1 and isinstance(ids[0], list | tuple):
        return ids[0]
    return ids
