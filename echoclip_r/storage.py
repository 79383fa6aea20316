"""Files and folders that appear whole, folders that belong to one run, and a full disk.

    whole_file, whole_folder  write under another name, and rename once everything is on the disk
    lock                      lets one process write in a folder, or several that share it; the
                              system frees it at any end
    claim                     locks a folder, and checks that what lies in it belongs to this run
    json_text                 JSON that every reader takes
    writing                   turns errors of the file system into the caller's error, with advice

The other name begins with a dot and ends in some drawn letters and `.partial`: no pattern for
finished files finds it, and a file that another process is writing, on this or on another machine,
is never taken for ours. `claim` deletes the unfinished files of a killed run.

In a store (`echoclip_r.places`) a file is written on this machine first, and uploaded when it is
whole. There are no locks there: of two runs that write the same, both write the same bytes.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import math
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from echoclip_r.errors import EchoclipError
from echoclip_r.places import is_remote, upload
from echotok import text_files

__all__ = [
    "claim",
    "differences_of",
    "json_text",
    "lock",
    "read_json",
    "sha256_of",
    "whole_file",
    "whole_folder",
    "write_text",
    "writing",
]

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)  # said of folders by some network file systems
_LOCK = ".lock"
_SHARES = 1 << 20  # of a lock on Windows: who shares it takes one of them, who does not, all
_held: list[TextIO] = []


def _let_go() -> None:
    """Close what a forked process has inherited: a lock ends with the process that took it.

    Else a reader of a killed run, which lives on for some seconds, would keep the folder.
    """
    while _held:
        _held.pop().close()


if hasattr(os, "register_at_fork"):  # Windows forks no process
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def writing(
    folder: Path, what: str, *, error: type[EchoclipError], go_on: str = ""
) -> Iterator[None]:
    """Turn errors of the file system, such as a full disk, into an error that says what to do.

    Args:
        folder: folder that is written to.
        what: name of the thing that is written, e.g. "the index".
        error: class of the error to raise.
        go_on: sentence that says how to continue once the cause is removed.

    Raises:
        EchoclipError: of the class `error`, in place of any `OSError` inside the block.
    """
    try:
        yield
    except OSError as cause:
        if isinstance(cause, ConnectionError):
            message = (
                f"{folder}: the store does not answer ({cause}), so {what} was not written and no "
                f"half of it is left. {go_on}"
            )
        elif cause.errno in _DISK_FULL:
            message = (
                f"{folder}: the disk is full, so {what} was not written and no half of it is left. "
                f"Free some space. {go_on}"
            )
        else:
            message = (
                f"{folder}: {what} cannot be written ({cause.strerror or cause}); check that the "
                f"folder exists and that you may write to it. {go_on}"
            )
        raise error(message.rstrip()) from cause


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write a file to; it becomes `path` when the block ends without an error.

    An older file of that name is replaced. After an error the older file is still there, and no
    part of the new one.

    Raises:
        OSError: the file cannot be written or renamed.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix="echoclip-r-") as folder:
            yield (written := Path(folder) / path.name)
            upload(written, path)
        return
    with text_files.whole_file(path) as partial:
        yield partial
        _sync(partial)
    _sync(path.parent)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write files to; it becomes `folder` when the block ends without an error.

    Parent folders are made. An older folder of that name is replaced; after an error it is still
    there, and no part of the new one. Files that a killed writer of this folder left are deleted,
    since a folder has only one writer at a time.

    Raises:
        OSError: the folder or a file in it cannot be written or renamed.
    """
    partial, old = text_files.partial_path(folder), folder.with_name(f".{folder.name}.old")
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.*.partial"):
        shutil.rmtree(left, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        for written in [*partial.rglob("*"), partial]:
            _sync(written)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        partial.rename(folder)
        _sync(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, in UTF-8, that appears whole.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def json_text(content: Any, *, indent: int | None = None) -> str:
    """JSON that every reader takes: a number that is not finite is null, for JSON has no NaN.

    Example:
        >>> json_text({"auc": math.nan, "limits": (1.0, math.inf)})
        '{"auc": null, "limits": [1.0, null]}'
    """
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is no such file or no object in it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ConnectionError:
        raise  # of a store, where it may be
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, as `sha256sum` writes it.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def lock(
    folder: Path, *, what: str, error: type[EchoclipError], shared: bool = False
) -> Iterator[None]:
    """Make a folder and keep other processes from writing there until the block ends.

    Args:
        folder: the folder, which is made with its parents.
        what: name of the things that this run writes there, e.g. "shards", for the message.
        error: class of the error to raise.
        shared: whether others that share the folder may write there, too, as the parts of a run
            do; who does not share it, may not.

    Raises:
        EchoclipError: of the class `error`: another run is writing there, or the folder cannot be
            written to.
    """
    if is_remote(folder):  # where there is no lock to take
        yield
        return
    path = folder / _LOCK
    with writing(folder, "the folder", error=error):
        folder.mkdir(parents=True, exist_ok=True)
    while True:
        with writing(folder, "the folder", error=error):
            file = path.open("a+")  # a shared lock on NFS needs a file that is read
            if not _take(file, shared=shared):
                file.close()
                raise error(
                    f"{folder}: another run is writing {what} there; wait for it, or choose "
                    "another folder"
                )
        # Whoever held the lock may have deleted its file after we opened it: then we hold nothing.
        if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
            break
        file.close()
    _held.append(file)
    try:
        yield
    finally:
        _held.remove(file)
        if sys.platform == "win32":
            file.close()  # an open file cannot be deleted there, and the next run may open it now
            with suppress(PermissionError):  # others share it still
                path.unlink(missing_ok=True)
        else:
            if not shared:  # others may hold it still; a file without a lock keeps nobody out
                path.unlink(missing_ok=True)
            file.close()


def _take(file: TextIO, *, shared: bool) -> bool:
    """Take the lock of an open file, which the system frees at any end of this process.

    Not by the package filelock: to let go of what a fork inherited, it would free the parent's.

    Returns:
        Whether no other process had it.
    """
    # Imported where it is used: each is there on its own system only.
    if sys.platform == "win32":
        import msvcrt

        try:
            file.seek(secrets.randbelow(_SHARES) if shared else 0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1 if shared else _SHARES)
        except PermissionError:
            return False
    else:
        import fcntl

        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def claim(
    record: Path,
    run: Mapping[str, Any],
    *,
    folder: Path,
    what: str,
    error: type[EchoclipError],
    differences: Callable[[Mapping[str, Any], Mapping[str, Any]], Sequence[str]] | None = None,
    replace: Callable[[], None] | None = None,
    overwrite: bool = False,
    shared: bool = False,
) -> Iterator[None]:
    """Lock a folder for a run, after making sure that it holds nothing of another run.

    A new or empty folder gets the run's record. In a folder with the same record the run continues,
    and the unfinished files in it and in the folders right below it are deleted.

    Where parts of a run share the folder, the first one writes the record, and no part deletes
    anything: unfinished files may be those of another one.

    Args:
        record: the file, in `folder` or right below it, that says which run the folder belongs to.
        run: content of the record, ready for JSON.
        folder: the folder.
        what: name of the things that the run makes, in the plural, e.g. "shards", for messages.
        error: class of the error to raise.
        differences: function of the old and the new record that says in words how they differ; by
            default it names every value that is not the same.
        replace: function that deletes the files of another run; None where such a folder is always
            refused.
        overwrite: whether to call `replace` when the folder holds files of another run.
        shared: whether this is a part of the run; see `lock`.

    Raises:
        EchoclipError: of the class `error`: the folder is in use, holds something else, or cannot
            be written to.
    """
    with lock(folder, what=what, error=error, shared=shared):
        with writing(folder, record.name, error=error):
            if shared:
                _write_first(record, run, folder=folder, what=what, error=error)
            before = read_json(record)
            if not record.exists():
                _refuse_others(folder, record, what=what, error=error)
            elif different := (differences or differences_of)(before or {}, run):
                if replace is None or not overwrite or shared:
                    advice = (
                        "give the same options to continue that run"
                        if replace is None
                        else "pass overwrite=True (--overwrite) to replace them"
                    )
                    raise error(
                        f"{folder}: it holds {what} of another run ({'; '.join(different)}); "
                        f"choose another folder, or {advice}"
                    )
                replace()
            if not (shared or is_remote(folder)):
                for rest in [*folder.glob("*.partial"), *folder.glob("*/*.partial")]:
                    shutil.rmtree(rest) if rest.is_dir() else rest.unlink()
            if before != run and not shared:
                record.parent.mkdir(exist_ok=True)
                write_text(record, json.dumps(run, indent=1) + "\n")
        yield


def _write_first(
    record: Path, run: Mapping[str, Any], *, folder: Path, what: str, error: type[EchoclipError]
) -> None:
    """Write the record of a run unless another part has: of parts that differ, one must lose."""
    if record.exists():
        return
    try:
        _refuse_others(folder, record, what=what, error=error)
    except error:
        if read_json(record) is None:  # else another part has begun since, and these are its files
            raise
        return
    if is_remote(record):
        write_text(record, json.dumps(run, indent=1) + "\n")
        return
    record.parent.mkdir(exist_ok=True)
    partial = text_files.partial_path(record)
    try:
        partial.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8", newline="\n")
        _sync(partial)
        try:
            record.hardlink_to(partial)  # which never replaces a file, as renaming would
        except FileExistsError:
            return
        except OSError:  # a file system without links
            partial.replace(record)
        _sync(record.parent)
    finally:
        partial.unlink(missing_ok=True)


def _refuse_others(folder: Path, record: Path, *, what: str, error: type[EchoclipError]) -> None:
    if not folder.exists():  # a store has no empty folders
        return
    ours = {folder / _LOCK, record.parent}
    others = {path for path in folder.iterdir() if path.suffix != ".partial"} - ours
    if others:
        raise error(
            f"{folder}: it holds other files ({min(others).name}) and no {what} of echoclip_r; "
            "choose an empty or a new folder"
        )


def differences_of(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Every value of a new record that is not that of the old one, in words."""
    return [
        f"{name} {old.get(name)!r}, now {new[name]!r}" for name in new if old.get(name) != new[name]
    ]


def _sync(path: Path) -> None:
    """Wait until a file or a folder's entries are on the disk, so that no power cut loses them."""
    on_windows = sys.platform == "win32"
    if on_windows and path.is_dir():
        return  # Windows opens no folder, and keeps their entries by itself
    descriptor = os.open(path, os.O_RDWR if on_windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)
