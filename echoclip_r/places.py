"""Where files lie: on this machine's file systems, or in an object store (the extra `cloud`).

    place         a name as a path; of s3://, gs://, abfs:// and others a path with the same methods
    is_remote     whether a path is in such a store
    local_file    the file itself, or a copy for as long as a block needs it
    local_folder  the folder itself, or a copy for as long as this process lives
    upload        one file into a store, where it is seen when it is whole
    sizes         the files right in a folder, by one listing

A store has no locks, and appends to no file. It has no folders, either: what is written whole is
one file, and several belong together only when the last one is there.
"""

from __future__ import annotations

import atexit
import os
import posixpath
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from echoclip_r.errors import OptionError

__all__ = [
    "IN_A_STORE",
    "at_once",
    "download",
    "exists",
    "file_states",
    "filled_folder",
    "is_remote",
    "local_file",
    "local_folder",
    "place",
    "sizes",
    "tree",
    "upload",
    "within",
]

IN_A_STORE = " in the store (a folder of pictures is read from a disk alone)"
"""What is to be known of a clip that is not there."""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_AT_ONCE = 32  # requests, each of which waits for most of its time


def place(name: str | Path) -> Path:
    """The path that a name means.

    What is in a store is no `Path`, but has its methods, those of writing in place excepted; for
    the code that takes a path it is one.

    Raises:
        OptionError: the name is of a store, and the packages for it are not there; or there is no
            such kind of store.

    Example:
        >>> place("shards/train-000000.tar").name
        'train-000000.tar'
    """
    if not isinstance(name, str):
        return name
    found = _SCHEME.match(name)
    if found is None:
        return Path(name)
    if found[1] == "file":
        return Path(name.removeprefix("file://"))
    try:
        from echoclip_r.object_store import RemotePath, register
    except ModuleNotFoundError as error:
        raise OptionError(
            f'{name}: files in a store need the package {error.name}: pip install "echotok[cloud]"'
        ) from error
    register()
    try:
        path = RemotePath(name.rstrip("/"))
        path.fs  # noqa: B018 - which imports the package of this kind of store
    except (ImportError, ValueError, OSError) as error:
        why = str(error).partition("\n")[0]
        raise OptionError(f"{name}: there is no access to {found[1]}:// here ({why})") from error
    return cast(Path, path)


def is_remote(path: Path) -> bool:
    """Whether a path is in a store, where no lock holds and nothing is appended to a file."""
    return not isinstance(path, Path)


@contextmanager
def local_file(path: Path) -> Iterator[Path]:
    """A file that libraries can open: the path itself, or a copy until the block ends.

    Raises:
        OSError: it cannot be read.
    """
    if not is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="echoclip-r-") as folder:
        copy = Path(folder) / path.name
        download(path, copy)
        yield copy


@cache
def local_folder(folder: Path) -> Path:
    """A folder that libraries can read: itself, or a copy of its files until the process ends.

    Raises:
        OSError: it cannot be read.
    """
    if not is_remote(folder):
        return folder
    scratch = tempfile.mkdtemp(prefix="echoclip-r-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    # The last names are kept: they are what a checkpoint's run is called.
    copy = Path(scratch).joinpath(*str(folder).rsplit("/", 3)[1:])
    copy.mkdir(parents=True)
    for name in sizes(folder):
        download(folder / name, copy / name)
    return copy


def within(folder: Path, name: str) -> str:
    """Where a file lies that a table in a folder of a store names: there, or where `name` says.

    Raises:
        ValueError: the name leads out of the store.
    """
    if _SCHEME.match(name) or name.startswith("/"):
        return name
    scheme, _, key = str(folder).partition("://")
    path = posixpath.normpath(f"{key}/{name}")
    if path.startswith(".."):
        raise ValueError("it leads out of the store")
    return f"{scheme}://{path}"


@contextmanager
def filled_folder(folder: Path) -> Iterator[Path]:
    """A folder to write files into: itself, or one whose files are uploaded when the block ends.

    Raises:
        OSError: they cannot be uploaded.
    """
    if not is_remote(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="echoclip-r-") as scratch:
        made = Path(scratch) / folder.name
        yield made
        for path in sorted(made.rglob("*")):
            if path.is_file():
                upload(path, folder / path.relative_to(made).as_posix())


def exists(name: str) -> bool:
    """Whether there is such a file or folder, however long its name is."""
    if _SCHEME.match(name):
        return place(name).exists()
    return os.path.exists(name)  # noqa: PTH110 - which takes a name of any length for none


def upload(source: Path, target: Path) -> None:
    """Copy a file of this machine into a store; it is seen there when it is whole.

    Raises:
        OSError: it cannot be written.
    """
    _fs(target).put_file(str(source), str(target))


def sizes(folder: Path) -> dict[str, int]:
    """Names and sizes in bytes of the files right in a folder; none where there is no folder.

    Raises:
        OSError: the folder cannot be listed.
    """
    try:
        if is_remote(folder):
            listed = _fs(folder).ls(str(folder), detail=True, refresh=True)
            return {
                entry["name"].rsplit("/", 1)[-1]: int(entry["size"])
                for entry in listed
                if entry["type"] == "file"
            }
        return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def tree(folder: Path) -> dict[str, int]:
    """Names below a folder of a store, with `/`, and sizes in bytes of all its files.

    Raises:
        OSError: it cannot be listed.
    """
    root = str(folder).partition("://")[2]
    fs = _fs(folder)
    fs.invalidate_cache()
    found = fs.find(str(folder), detail=True)
    return {name.removeprefix(f"{root}/"): int(entry["size"]) for name, entry in found.items()}


def download(path: Path, copy: Path) -> None:
    """Copy a file of a store to this machine.

    Raises:
        OSError: it cannot be read or written.
    """
    _fs(path).get_file(str(path), str(copy))


def file_states(names: Sequence[str]) -> list[str]:
    """For each file its size and the time of its last change, or `missing`."""
    return at_once(_state, names, remote=any(map(_SCHEME.match, names)))


def at_once(
    function: Callable[[ItemT], ResultT], items: Sequence[ItemT], *, remote: bool
) -> list[ResultT]:
    """What a function gives for each item; where it asks a store, for many at the same time."""
    if not remote:
        return [*map(function, items)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [*pool.map(function, items)]


def _state(name: str) -> str:
    try:
        status = place(name).stat()
    except ConnectionError:
        raise  # it may be there
    except OSError:
        return "missing"
    return f"{status.st_size}:{status.st_mtime_ns}"


def _fs(path: Path) -> Any:
    return cast(Any, path).fs
