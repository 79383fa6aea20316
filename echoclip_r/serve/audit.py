"""Who asked, when, and which studies were shown: a line of JSON for each, and no word of a report.

A page is sent only once its line is on the disk: what is not written down is not shown.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from echoclip_r.errors import EchoclipError

__all__ = ["Audit"]


class Audit:
    """The file of what was asked; it is only added to, and readable by its owner alone.

    Args:
        path: the file, or None for none.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()

    def note(self, *, user: str, action: str, studies: Sequence[str], model: str = "") -> None:
        """Write a line.

        Args:
            user: who asked, as the proxy or the token says; "" where nobody asks for it.
            action: `text`, `clip`, `study`, `filter`, `show`, `heatmap`, `csv` or `page`.
            studies: ids of the studies that are shown.
            model: name of the model that was asked.

        Raises:
            EchoclipError: it cannot be written.
        """
        if self.path is None:
            return
        line = json.dumps(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "user": user,
                "action": action,
                "model": model,
                "studies": list(studies),
            },
            ensure_ascii=True,
        )
        try:
            with self._lock:
                file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    os.write(file, (line + "\n").encode("ascii"))
                    os.fsync(file)
                finally:
                    os.close(file)
        except OSError as error:
            raise EchoclipError(
                f"the audit file cannot be written ({error.strerror or type(error).__name__}), so "
                "nothing is shown; tell whoever runs this server"
            ) from error
