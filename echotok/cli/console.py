"""What the commands say on a terminal: messages, styled text, progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["mining_bar", "progress", "tell", "write_styled"]


def tell(message: str) -> None:
    """Print a message to stderr."""
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


@contextmanager
def progress(description: str) -> Iterator[Callable[[int], None]]:
    """A count of reports on stderr while a person watches, else nothing.

    Args:
        description: what is being done.

    Yields:
        A function to call with the number of reports done since the last call.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),  # pulses: a stream has no length
        TextColumn("{task.completed:,} reports"),
        TimeElapsedColumn(),
    )
    # Redrawn by hand: a thread of rich's would be copied into forked workers.
    bar = Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
    with bar:
        task = bar.add_task(description, total=None)
        drawn = 0.0

        def advance(count: int) -> None:
            nonlocal drawn
            now = time.monotonic()
            bar.update(task, advance=count, refresh=now - drawn > 0.1)
            if now - drawn > 0.1:
                drawn = now

        yield advance


@contextmanager
def mining_bar(*, steps: bool) -> Iterator[Callable[[str, float], None]]:
    """A progress bar while a person watches, and how long each step took where that is asked for.

    Args:
        steps: say it.
    """
    begun: list[tuple[str, float]] = []

    def note(what: str, share: float) -> None:
        now = time.monotonic()
        if begun and begun[-1][0] != what and steps:
            tell(f"step: {now - begun[-1][1]:.1f} s {begun[-1][0]}")
        if not begun or begun[-1][0] != what:
            begun.append((what, now))

    if not sys.stderr.isatty():
        yield note
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("mining", total=1.0)

        def draw(what: str, share: float) -> None:
            note(what, share)
            bar.update(task, description=what, completed=share)

        yield draw
