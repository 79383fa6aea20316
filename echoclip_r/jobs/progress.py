"""The progress of a long piece of work, shown to a person who watches."""

from __future__ import annotations

import logging
import sys
import time
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

__all__ = ["Progress"]

_log = logging.getLogger("echoclip_r")  # the command line sets its level: -q is for errors only
_REDRAW_S = 0.1
_LINE_S = 60.0


class Progress:
    """A progress bar on stderr if that is a terminal; else, as in a batch job, a line each minute.

    The thread that works draws the bar, never a thread of the bar's own, so that processes can be
    forked meanwhile.

    Args:
        total: number of units of work.
        unit: name of the units, e.g. "clips".
        what: the work, in one word, e.g. "prepare".
        done: number of units that are finished already.
        shown: False shows nothing, e.g. in every process of a run but the first.
    """

    def __init__(
        self, total: int, *, unit: str, what: str, done: int = 0, shown: bool = True
    ) -> None:
        self._bar: Bar | None = None
        shown = shown and _log.isEnabledFor(logging.WARNING)
        self._lines = shown and not sys.stderr.isatty()
        self._total, self._unit, self._what, self._note = total, unit, what, ""
        self._first = self._done = done
        self._began_s = self._drawn_s = time.monotonic()
        if not shown or self._lines:
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

    @property
    def done(self) -> int:
        """Number of units that are finished."""
        return self._done

    def advance(self, num: int = 1) -> None:
        """Count units that have been finished."""
        self.at(self._done + num)

    def at(self, done: int) -> None:
        """Say how many units are finished by now, of those at work too; never fewer than before."""
        self._done = max(done, self._done)
        if self._lines and time.monotonic() - self._drawn_s >= _LINE_S:
            self._drawn_s = time.monotonic()
            print(self._line(), file=sys.stderr, flush=True)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
            if time.monotonic() - self._drawn_s > _REDRAW_S:
                self._drawn_s = time.monotonic()
                self._bar.refresh()

    def note(self, text: str) -> None:
        """Show a text at the end of the bar's line, in place of the text before."""
        self._note = text
        if self._bar is not None:
            self._bar.update(self._task, note=text)

    def close(self) -> None:
        """Draw the bar a last time and leave it on the screen."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _line(self) -> str:
        """Where the work is, as a line of a log."""
        rate = max(self._done - self._first, 1) / (time.monotonic() - self._began_s)
        left = timedelta(seconds=round((self._total - self._done) / rate))
        note = f"; {self._note}" if self._note else ""
        return (
            f"{self._what}: {self._done:,} of {self._total:,} {self._unit}, about {left} left{note}"
        )
