"""Things made by a thread while their user is busy."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

__all__ = ["made_ahead"]

Thing = TypeVar("Thing")


def made_ahead(things: Iterator[Thing], *, num: int) -> Iterator[Thing]:
    """The same things, up to `num` of them made ahead by a thread.

    An error of theirs is raised where they are asked for; left early, the thread ends.
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
