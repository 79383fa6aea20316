"""How far a long piece of work is, for a person who watches."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

__all__ = ["Progress"]

_log = logging.getLogger("echoclip_r")  # the command line sets its level: -q is for errors only
_REDRAW_S = 0.1


class Progress:
    """A bar on stderr where that is a terminal; elsewhere, as in a batch job's output, nothing.

    It is drawn from the thread that works, never from one of its own, so that processes can be
    forked beside it.

    Args:
        total: how many units there are.
        unit: of what, e.g. "clips".
        what: the work, in one word, e.g. "prepare".
        done: units that are finished already.
        shown: False for a silent one, e.g. in every process of a run but the first.
    """

    def __init__(
        self, total: int, *, unit: str, what: str, done: int = 0, shown: bool = True
    ) -> None:
        self._bar: Bar | None = None
        if not (shown and sys.stderr.isatty() and _log.isEnabledFor(logging.WARNING)):
            return
        from rich import progress  # only who watches waits for it
        from rich.console import Console

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn(f"{{task.completed:,.0f}} of {{task.total:,.0f}} {unit}"),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self._task = self._bar.add_task(what, total=total, completed=done, note="")
        self._drawn_s = time.monotonic()
        self._bar.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def advance(self, num: int = 1) -> None:
        """Count units that have been finished."""
        if self._bar is not None:
            self._bar.advance(self._task, num)
            if time.monotonic() - self._drawn_s > _REDRAW_S:
                self._drawn_s = time.monotonic()
                self._bar.refresh()

    def note(self, text: str) -> None:
        """Say something at the end of the bar's line, in place of what was said there."""
        if self._bar is not None:
            self._bar.update(self._task, note=text)

    def close(self) -> None:
        """Draw the bar a last time and leave it."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
