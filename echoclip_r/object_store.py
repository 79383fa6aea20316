"""Paths in object stores, for `echoclip_r.places` alone: only it may import this.

`universal_pathlib` gives a path the methods of `pathlib.Path`, on the file systems of fsspec; of
these `obstore` brings those of S3, Google Cloud and Azure, with retries. Any other that is
installed (sftp, hdfs, ...) is used as it is.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

import fsspec
from obstore import exceptions
from obstore.fsspec import FsspecStore
from upath.extensions import ProxyUPath

__all__ = ["RemotePath", "register"]

_PROTOCOLS = ("s3", "s3a", "gs", "az", "abfs", "abfss")
_READ_BYTES = 4 << 20  # at a time: a request takes tens of milliseconds, however little it asks for
# A server that is started anew, or a network that is gone for minutes, ends no run: the time alone
# counts. Each pause is drawn between the first and `base` times the last, so that with a base of 2
# they hardly grow, and 30 of them were over in 21 seconds.
_RETRY: Any = {
    "max_retries": 10_000,
    "retry_timeout": timedelta(minutes=5),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=10),
        "base": 4,
    },
}

Arguments = ParamSpec("Arguments")
ResultT = TypeVar("ResultT")


class RemotePath(ProxyUPath):  # type: ignore[misc] # unknown to mypy, see pyproject.toml
    """A path in an object store; a copy in another process knows the same file systems."""

    def __reduce__(self) -> Any:
        return _again, (str(self),)

    # Those of the library say no, too, where the store does not answer.

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether there is a file, or a folder with files.

        Raises:
            ConnectionError: the store does not answer.
        """
        return self._type() is not None

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether there is a file of this name; raises as `exists`."""
        return self._type() == "file"

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether there are files below this name; raises as `exists`."""
        return self._type() == "directory"

    def _type(self) -> str | None:
        try:
            return str(self.fs.info(str(self))["type"])
        except (FileNotFoundError, NotADirectoryError):
            return None

    def replace(self, target: Any) -> RemotePath:
        """Copy the file to where `target` is, and delete it here."""
        self.fs.copy(str(self), str(target))
        self.fs.rm_file(str(self))
        return RemotePath(str(target))


def _again(name: str) -> RemotePath:
    register()
    return RemotePath(name)


def _plain(
    method: Callable[Arguments, Awaitable[ResultT]],
) -> Callable[Arguments, Awaitable[ResultT]]:
    """A method whose errors are those of files, as every caller expects them."""

    @functools.wraps(method)
    async def plain(*args: Arguments.args, **kwargs: Arguments.kwargs) -> ResultT:
        try:
            return await method(*args, **kwargs)
        except exceptions.BaseError as error:
            raise _as_os_error(error) from error

    return plain


def _as_os_error(error: exceptions.BaseError) -> OSError:
    kinds = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
    # Its text goes on for pages; the first line says what it is.
    text = next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
    return PermissionError(text) if isinstance(error, kinds) else ConnectionError(text)


class Store(FsspecStore):  # type: ignore[misc] # unknown to mypy, see pyproject.toml
    """The file system of an object store, with the errors of files and with retries."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"retry_config": _RETRY} | kwargs)

    _rm_file = _plain(FsspecStore._rm_file)
    _cp_file = _plain(FsspecStore._cp_file)
    _pipe_file = _plain(FsspecStore._pipe_file)
    _cat_file = _plain(FsspecStore._cat_file)
    _put_file = _plain(FsspecStore._put_file)
    _get_file = _plain(FsspecStore._get_file)
    _info = _plain(FsspecStore._info)
    _ls = _plain(FsspecStore._ls)

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if mode != "rb":
            return super()._open(path, mode, **kwargs)
        self.info(path)  # a file that is not there could not be closed later
        file = _Reader(super()._open(path, mode, buffer_size=_READ_BYTES))
        return io.BufferedReader(file, _READ_BYTES)  # which gives all that is asked for


class _Reader(io.RawIOBase):
    """A file that is read in a store, with the errors of files."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            found = self._file.read(len(buffer))
        except exceptions.BaseError as error:
            raise _as_os_error(error) from error
        except OSError as error:  # of its own making
            raise ConnectionError(str(error).partition("\n")[0]) from error
        buffer[: len(found)] = found
        return len(found)

    def seek(self, place: int, whence: int = 0) -> int:
        return int(self._file.seek(place, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


@functools.cache
def register() -> None:
    """Let fsspec, and with it the paths, use these file systems, in this process."""
    for protocol in _PROTOCOLS:
        made = type(f"Store_{protocol}", (Store,), {"protocol": protocol})
        fsspec.register_implementation(protocol, made, clobber=True)
