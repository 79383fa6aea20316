"""Rows of numbers that memory may not hold: when they are many, they lie in a temporary file.

The file is mapped, so that it is used like any array and the system keeps in memory what is in use
and has room. It has no name, or loses it at once, and is gone with the array or the process. It
lies where temporary files do (`TMPDIR`): give that folder a disk, not memory.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from echoclip_r.errors import ShardError
from echoclip_r.storage import writing

__all__ = ["blocks_of", "stack", "take"]

Floats = NDArray[np.float32]

_MOST_IN_MEMORY = 2 << 30  # bytes
_BLOCK = 1 << 26  # bytes


def stack(blocks: Iterable[Floats]) -> Floats:
    """Blocks of rows as one array; each block is let go before the next is asked for.

    Args:
        blocks: float32 arrays (n, D), of which there is at least one.

    Returns:
        float32 (N, D), which may be read-only.

    Raises:
        ValueError: there is no block, or the blocks are not of the same width.
        ShardError: the temporary file cannot be written, as on a full disk.
    """
    held: list[Floats] = []
    size = num_rows = 0
    width: int | None = None
    file: IO[bytes] | None = None
    with ExitStack() as closing:
        for block in blocks:
            if width is not None and block.shape[1] != width:
                raise ValueError(f"rows of {block.shape[1]} numbers, after rows of {width}")
            width = block.shape[1]
            num_rows += len(block)
            size += block.nbytes
            held.append(block)
            if size > _MOST_IN_MEMORY:
                with _writing_rows():
                    if file is None:
                        file = closing.enter_context(tempfile.TemporaryFile(prefix="echoclip-r-"))
                    for one in held:
                        file.write(np.ascontiguousarray(one, "<f4").data)
                    file.flush()
                held.clear()
        if width is None:
            raise ValueError("there is no block of rows")
        if file is None:
            return np.concatenate(held)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # stays when it is closed
    return np.frombuffer(mapped, "<f4").reshape(num_rows, width)


def _writing_rows() -> AbstractContextManager[None]:
    return writing(
        Path(tempfile.gettempdir()),
        "the file of all frames' embeddings",
        error=ShardError,
        go_on="Or name another folder for temporary files in TMPDIR",
    )


def take(rows: Floats, order: NDArray[np.int64]) -> Floats:
    """`rows[order]`; where nothing changes its place, the rows themselves."""
    if len(order) == len(rows) and (order == np.arange(len(rows))).all():
        return rows
    if not len(order):
        return rows[:0]
    at_once = _rows_a_block(rows)
    return stack(rows[order[at : at + at_once]] for at in range(0, len(order), at_once))


def blocks_of(rows: Floats) -> Iterator[slice]:
    """Slices that cover the rows, each of some megabytes."""
    at_once = _rows_a_block(rows)
    for start in range(0, len(rows), at_once):
        yield slice(start, min(start + at_once, len(rows)))


def _rows_a_block(rows: Floats) -> int:
    width: int = rows.shape[1]
    return max(1, _BLOCK // (4 * max(1, width)))
