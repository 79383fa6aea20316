"""INT and TERM during a run: a wish that is seen to between two steps, so that nothing is lost.

Ctrl-C sends INT, batch systems send TERM some time before they kill.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Interrupted", "StopSignals", "ignore_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN_S = 1.0  # launchers pass on what the terminal sent to all: that is one wish, not two
_STDERR = 2


class Interrupted(KeyboardInterrupt):
    """A run was stopped by a signal; its checkpoint is written where there was a step to keep."""


class StopSignals:
    """INT and TERM while a run lasts; outside of the main thread they keep their meaning.

    Until `wait` is called a signal raises `Interrupted` where the run is, as Ctrl-C does. From then
    on it is noted, and the run looks at `asked` between two steps. A second one, a second later or
    more, raises at once, unless the run has several processes: they stop together.

    Args:
        one_process: whether the run has one process only.
    """

    def __init__(self, *, one_process: bool) -> None:
        self.asked = False
        self._one_process = one_process
        self._waits = False
        self._asked_s = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self) -> None:
        """From here on let a step end before the run stops."""
        self._waits = True

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        late = self.asked and now - self._asked_s > _AGAIN_S
        if not self._waits or (late and self._one_process):
            raise Interrupted(signal.Signals(number).name)
        if not self.asked:
            self.asked, self._asked_s = True, now
            # Not by print, which may be in the middle of a line of this very thread.
            os.write(_STDERR, b"\nstopping: this step is finished and a checkpoint is written\n")


def ignore_signals(_: int) -> None:
    """Let a reader live on when the terminal sends a signal to all: its parent ends it."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
