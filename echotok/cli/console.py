"""What the commands say on a terminal: messages, styled text, progress.

How much is said follows the level of the logger `echotok`, which `-v` and `-q` set.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Told", "progress", "tell", "write_styled"]

_log = logging.getLogger("echotok")


def tell(message: str) -> None:
    """Print a message to stderr, unless `-q` asks for quiet."""
    if _log.isEnabledFor(logging.WARNING):
        print(message, file=sys.stderr, flush=True)


def write_styled(texts: Iterable[Text]) -> None:
    """Print to stdout, in colour where it is a terminal; lines keep their length elsewhere."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    for text in texts:
        # Captured, since rich would end the process by itself on a broken pipe.
        with console.capture() as capture:
            console.print(text, soft_wrap=not sys.stdout.isatty())
        sys.stdout.write(capture.get())


class Told(Protocol):
    """What `progress` yields: a function that takes notes on how far the work is."""

    def __call__(self, step: str, share: float | None = None, *, count: int = 0) -> None:
        """Note how far the work is.

        Args:
            step: what is being done.
            share: the share of the work that is done, 0 to 1; None where it cannot be known.
            count: number of reports done since the last call.
        """


@contextmanager
def progress() -> Iterator[Told]:
    """A bar on stderr while a person watches; with `-v`, a line for each step that is over.

    Yields:
        The function to call with each piece of progress.
    """
    step, begun = "", time.monotonic()

    def finish(next_step: str) -> bool:
        nonlocal step, begun
        if next_step == step:
            return False
        now = time.monotonic()
        if step and _log.isEnabledFor(logging.INFO):
            tell(f"step: {now - begun:.1f} s {step}")
        step, begun = next_step, now
        return True

    if not sys.stderr.isatty() or not _log.isEnabledFor(logging.WARNING):

        def note(step: str, share: float | None = None, *, count: int = 0) -> None:
            finish(step)

        yield note
        finish("")
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),  # pulses where the share is not known
        TextColumn("{task.fields[counted]}"),
        TimeElapsedColumn(),
    )
    # Redrawn by hand: a thread of rich's would be copied into forked workers.
    with Progress(
        *columns, console=Console(stderr=True), auto_refresh=False, transient=True
    ) as bar:
        task = bar.add_task("", total=None, counted="")
        drawn, num_reports = 0.0, 0

        def draw(step: str, share: float | None = None, *, count: int = 0) -> None:
            nonlocal drawn, num_reports
            is_new = finish(step)
            num_reports = count if is_new else num_reports + count
            now = time.monotonic()
            is_due = is_new or now - drawn > 0.1
            bar.update(
                task,
                description=step,
                total=None if share is None else 1.0,
                completed=share or 0.0,
                counted=f"{num_reports:,} reports" if num_reports else "",
                refresh=is_due,
            )
            if is_due:
                drawn = now

        yield draw
        finish("")
