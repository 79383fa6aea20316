"""Files and folders that appear whole, claims, locks, and a full disk."""

from __future__ import annotations

import csv
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from echoclip_r.errors import CheckpointError, EchoclipError, ShardError

__all__ = [
    "WholeTable",
    "lock",
    "partial_path",
    "whole_folder",
    "write_whole",
    "writing",
    "writing_archive",
]


_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


_GO_ON = "Run the same command again to go on: finished shards are kept"


@contextmanager
def writing(out_dir: Path, what: str) -> Iterator[None]:
    """Turn errors of writing into `ShardError`, a full disk above all.

    Args:
        out_dir: where is written.
        what: what is written, for the message.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise ShardError(
                f"{out_dir}: the disk is full, so {what} was not written and no half of it is "
                f"left. Free some space. {_GO_ON}"
            ) from error
        raise ShardError(
            f"{out_dir}: {what} cannot be written ({error.strerror}); check that the folder is "
            f"there and yours to write to. {_GO_ON}"
        ) from error


@contextmanager
def lock(out_dir: Path) -> Iterator[None]:
    """Make the folder and keep it for this process; the system lets go of it on any end.

    Raises:
        ShardError: another run is writing there, or nobody can.
    """
    with writing(out_dir, "the folder"):
        (out_dir / "state").mkdir(parents=True, exist_ok=True)
        file = (out_dir / "state" / "lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ShardError(
                f"{out_dir}: another run is writing shards there; wait for it, or choose another "
                "folder"
            ) from None
        yield


def partial_path(path: Path) -> Path:
    """The name under which a file is written.

    With the process's id in it: what a killed run's worker may still be writing is not ours.
    """
    return path.with_name(f"{path.name}.{os.getpid()}.partial")


def write_whole(path: Path, text: str) -> None:
    """Write a text file that appears whole or not at all."""
    partial = partial_path(path)
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to, which gets its name once all is on disk."""
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        for file in partial.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(
            f"{folder}: the checkpoint cannot be written ({error.strerror or error}); free some "
            "space or choose another folder. Earlier checkpoints are whole: go on with --resume"
        ) from error


class WholeTable:
    """A CSV file that appears when it is whole."""

    def __init__(self, file: Any) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._header: list[str] | None = None

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[WholeTable]:
        """Open a table; it gets its name when the block ends."""
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("w", encoding="utf-8", newline="") as file:
            yield cls(file)
        partial.replace(path)

    def write(self, cells: Mapping[str, str]) -> None:
        """Write a row; the first one gives the header."""
        if self._header is None:
            self._header = list(cells)
            self._writer.writerow(self._header)
        self._writer.writerow([cells[name] for name in self._header])


@contextmanager
def writing_archive(out_dir: Path) -> Iterator[None]:
    """Turn errors of writing an archive into `EchoclipError`."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else f"it cannot be written to ({error.strerror})"
        raise EchoclipError(
            f"{out_dir}: {reason}; run the same command again to go on, finished patients are kept"
        ) from error
