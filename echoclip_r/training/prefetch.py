"""Batches made by a thread while the step before them is computed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

__all__ = ["made_ahead"]

Thing = TypeVar("Thing")


def made_ahead(things: Iterator[Thing], *, num: int) -> Iterator[Thing]:
    """The same things in the same order, some of them made ahead by a thread.

    An error in making one is raised where that one is asked for. The thread ends with the
    iteration, also where it is left early.

    Args:
        things: what is made.
        num: the most that are ready at a time.
    """
    made: queue.Queue[Thing | BaseException | None] = queue.Queue(maxsize=num)
    stop = threading.Event()

    def hand_over(thing: Thing | BaseException | None) -> None:
        while not stop.is_set():
            try:
                return made.put(thing, timeout=0.2)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for thing in things:
                hand_over(thing)
                if stop.is_set():
                    return
            hand_over(None)
        except BaseException as error:  # it belongs to whoever waits
            hand_over(error)

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while (thing := made.get()) is not None:
            if isinstance(thing, BaseException):
                raise thing
            yield thing
    finally:
        stop.set()
        thread.join()
