"""What is printed to stdout: with colours on a terminal, on wide plain lines anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["printing"]

_PIPED_WIDTH = 200


@contextmanager
def printing() -> Iterator[Console]:
    """A console whose text reaches stdout when the block is over.

    Yields:
        The console. It takes nothing for markup or emoji, and is 200 columns wide where stdout is
        no terminal.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    # Captured, since rich would end the process by itself on a broken pipe.
    with console.capture() as capture:
        yield console
    sys.stdout.write(capture.get())
