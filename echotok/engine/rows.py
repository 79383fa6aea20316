"""Many texts -> rows of ids, one behind the other: a slice of texts at a time, on all cores.

The compiled core releases the interpreter's lock, so that threads work side by side on the texts
where they lie; nothing is copied to other processes. Without the core one thread does the work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from echotok.cpus import num_cpus
from echotok.engine.encoding import Encoding
from echotok.engine.engine import Engine

if TYPE_CHECKING:
    from echotok.engine.batch import PackedBatch

__all__ = ["encode_slices"]

_SLICE = 400_000
"""Characters that a thread takes at a time, where the caller does not ask for slices of a size.

A thread keeps what it has met, so that threads that take turns often slow each other down.
"""


def encode_slices(
    engine: Engine,
    texts: Iterable[str],
    *,
    context_length: int | None,
    size: int | None = None,
    num_threads: int | None = None,
) -> Iterator[PackedBatch]:
    """Encode any number of texts in bounded memory.

    Args:
        engine: engine that encodes.
        texts: the texts; no more of them are held than the threads work on.
        context_length: largest number of ids of a row, at least 3; longer texts are cut between
            units. None cuts none.
        size: number of texts of a slice; None takes texts of some 400,000 characters.
        num_threads: number of threads; None takes as many as this process has cores.

    Yields:
        The rows of each slice, in order.
    """
    if num_threads is None:
        num_threads = num_cpus()
    texts = iter(texts)
    slices = iter(lambda: _take(texts, size), ())
    first = next(slices, ())
    is_all = sum(map(len, first)) < _SLICE if size is None else len(first) < size
    slices = chain([first] if first else [], slices)
    encode = partial(_encode_slice, engine, context_length=context_length)
    if num_threads == 1 or engine.core is None or is_all:  # nothing to share
        yield from map(encode, slices)
        return
    with ThreadPoolExecutor(num_threads, thread_name_prefix="echotok") as pool:
        at_work: deque[Future[PackedBatch]] = deque()
        try:
            for future in _futures(pool, encode, slices):
                at_work.append(future)
                if len(at_work) > num_threads:
                    yield at_work.popleft().result()
            while at_work:
                yield at_work.popleft().result()
        finally:
            for future in at_work:
                future.cancel()


def _take(texts: Iterator[str], size: int | None) -> tuple[str, ...]:
    """The next slice; an empty one at the end."""
    if size is not None:
        return tuple(islice(texts, size))
    taken: list[str] = []
    room = _SLICE
    while room > 0:
        some = list(islice(texts, 64))
        if not some:
            break
        taken += some
        room -= sum(map(len, some)) + len(some)  # texts without a character take room, too
    return tuple(taken)


def _futures(
    pool: ThreadPoolExecutor,
    encode: Callable[[tuple[str, ...]], PackedBatch],
    slices: Iterator[tuple[str, ...]],
) -> Iterator[Future[PackedBatch]]:
    """The rows of each slice to come; an error in reading the texts comes behind all before it."""
    while True:
        try:
            one = next(slices, None)
        except Exception as error:
            failed: Future[PackedBatch] = Future()
            failed.set_exception(error)
            yield failed
            return
        if one is None:
            return
        yield pool.submit(encode, one)


def _encode_slice(
    engine: Engine, texts: tuple[str, ...], *, context_length: int | None
) -> PackedBatch:
    import numpy as np

    from echotok.engine.batch import PackedBatch

    if engine.core is not None:
        try:
            ids, sizes, dropped, inside = engine.core.encode_many(texts, context_length or 0)
        except OverflowError:
            pass  # a text of a quarter of a billion characters
        else:
            return PackedBatch(
                ids=np.frombuffer(ids, dtype=np.int32),
                row_ends=np.cumsum(np.frombuffer(sizes, dtype=np.int32), dtype=np.int64),
                num_dropped=np.frombuffer(dropped, dtype=np.int32).astype(np.int64),
                cut_inside_unit=np.frombuffer(inside, dtype=np.bool_),
            )
    encodings = (Encoding(engine, text) for text in texts)
    if context_length is not None:
        encodings = (encoding.truncate(context_length) for encoding in encodings)
    # Only what a row needs is kept of each: texts of a large batch may take much memory.
    rows = [(one.ids, one.num_dropped, one.cut_inside_unit) for one in encodings]
    return PackedBatch(
        ids=np.array([number for ids, _, _ in rows for number in ids], dtype=np.int32),
        row_ends=np.cumsum([len(ids) for ids, _, _ in rows], dtype=np.int64),
        num_dropped=np.array([dropped for _, dropped, _ in rows], dtype=np.int64),
        cut_inside_unit=np.array([inside for _, _, inside in rows], dtype=np.bool_),
    )
