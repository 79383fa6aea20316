"""The progress bar: on a terminal, and nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from echoclip_r.jobs.progress import Progress

CODE = """
from echoclip_r.jobs.progress import Progress
with Progress(1200, unit="clips", what="prepare", done=200, shown=SHOWN) as bar:
    bar.note("loss 0.5")
    bar.advance(1000)
print("result")
"""


def on_a_terminal(code: str) -> tuple[str, str]:
    """What a process writes to a terminal as stderr, and to a pipe as stdout."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env=environment,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    return shown.decode(), said


def test_a_terminal_shows_how_far_the_work_is() -> None:
    """Work, count, unit and note, on stderr; results stay alone on stdout."""
    shown, said = on_a_terminal(CODE.replace("SHOWN", "True"))
    assert "prepare" in shown
    assert "1,200 of 1,200 clips" in shown
    assert "loss 0.5" in shown
    assert said == "result\n"


def test_a_silent_one_shows_nothing() -> None:
    """As in every process of a run but the first."""
    shown, said = on_a_terminal(CODE.replace("SHOWN", "False"))
    assert (shown, said) == ("", "result\n")


def test_a_batch_jobs_output_stays_clean(capfd: pytest.CaptureFixture[str]) -> None:
    """Where stderr is no terminal, nothing is written."""
    with Progress(10, unit="clips", what="prepare") as bar:
        bar.note("loss 0.5")
        bar.advance(10)
    assert capfd.readouterr() == ("", "")
