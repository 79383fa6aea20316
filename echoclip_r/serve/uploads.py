"""A clip that a reader brings: read in a process of its own, from memory, masked as `prepare` does.

A file from outside may be damaged or made to do harm: the process that reads it may take so much
memory and so long, and no more; it ends after one file. The file is never written to a disk where
the system has files in memory (Linux); elsewhere it lies in a temporary folder while it is read.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from echoclip_r.errors import EchoclipError, MediaError

if TYPE_CHECKING:
    from echoclip_r.data.clips import Frames

__all__ = ["SHOWN_PX", "UploadReader", "Uploaded"]

_NUM_FRAMES = 16
_MEMORY = 4 << 30
_SECONDS = 60.0
SHOWN_PX = 336
"""Side of the masked frames that a page shows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Uploaded:
    """A clip that was brought.

    Attributes:
        before: a frame in the middle as it is in the file, uint8 RGB (H, W, 3).
        frames: masked frames by their size, uint8 RGB (T, S, S, 3); empty where it is refused.
        refusal: why it must not be used, or "".
        notes: sentences on its file.
    """

    before: NDArray[np.uint8]
    frames: dict[int, Frames]
    refusal: str
    notes: tuple[str, ...]


class UploadReader:
    """Reads one file at a time; the next process waits already.

    Args:
        max_seconds: how long reading a file may take.
        max_memory: how many bytes of address space the process may have.
    """

    def __init__(self, *, max_seconds: float = _SECONDS, max_memory: int = _MEMORY) -> None:
        self._max_seconds, self._max_memory = max_seconds, max_memory
        self._lock = threading.Lock()
        self._spare: tuple[Any, Connection] | None = None

    def warm(self) -> None:
        """Start the process that reads the next file."""
        with self._lock:
            self._start()

    def close(self) -> None:
        """End the process that waits."""
        with self._lock:
            if self._spare is not None:
                process, pipe = self._spare
                pipe.close()
                process.kill()
                process.join()
                self._spare = None

    def read(self, name: str, content: bytes, *, sizes: Sequence[int]) -> Uploaded:
        """Read a file.

        Args:
            name: its name, of which the ending alone is used.
            content: its bytes.
            sizes: sides of the frames that are wanted.

        Raises:
            EchoclipError: it cannot be read, or takes too much memory or time.
        """
        with self._lock:
            self._start()
            assert self._spare is not None
            process, pipe = self._spare
            self._spare = None
            try:
                pipe.send((PurePath(name).suffix[:12], content, tuple(sizes)))
                found = pipe.recv() if pipe.poll(self._max_seconds) else None
            except (EOFError, OSError):
                found = "reading it took too much memory, or broke the reader; it was stopped"
            finally:
                pipe.close()
                process.kill()
                process.join()
            self._start()
        if found is None:
            raise EchoclipError(
                f"the file was not read within {self._max_seconds:g} seconds and was given up"
            )
        if isinstance(found, str):
            raise EchoclipError(f"the file cannot be used: {found}")
        assert isinstance(found, Uploaded)
        return found

    def _start(self) -> None:
        if self._spare is not None and self._spare[0].is_alive():
            return
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(theirs, self._max_memory), name="clip reader", daemon=True
        )
        process.start()
        theirs.close()
        self._spare = (process, ours)


def _work(pipe: Connection, max_memory: int) -> None:
    """Read one file, in a process that may take so much memory and no more."""
    from echoclip_r.data import clips  # noqa: F401  # here, so that it is there when a file comes

    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (max_memory, max_memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders write there what they like
    try:
        ending, content, sizes = pipe.recv()
    except EOFError:
        return
    try:
        with _as_file(content, ending) as path:
            found: Uploaded | str = _read(path, sizes)
    except MediaError as error:
        found = error.reason
    except MemoryError:
        found = "reading it takes more memory than is allowed"
    except Exception as error:
        found = f"it is damaged ({type(error).__name__})"
    pipe.send(found)


@contextmanager
def _as_file(content: bytes, ending: str) -> Iterator[Path]:
    """A path under which the bytes can be read: in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("clip")
        try:
            with os.fdopen(os.dup(file), "wb") as writer:
                writer.write(content)
            yield Path(f"/proc/self/fd/{file}")
        finally:
            os.close(file)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clip{ending}"
        path.write_bytes(content)
        yield path


def _read(path: Path, sizes: Sequence[int]) -> Uploaded:
    # What reads clips takes a second to import, and this process alone needs it.
    from echoclip_r.data.clips import look_at, mask_frames

    seen = look_at(path, num_frames=_NUM_FRAMES, seed="0\0clip")
    middle = seen.clip.frames[seen.chosen[len(seen.chosen) // 2]]
    frames = {}
    if not seen.refusal:
        frames = {size: mask_frames(seen, size).frames for size in {*sizes, SHOWN_PX}}
    return Uploaded(before=middle, frames=frames, refusal=seen.refusal, notes=seen.notes)
