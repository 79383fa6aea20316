"""Jobs in worker processes: what a crash costs, and whose error it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from echoclip_r.errors import ShardError
from echoclip_r.jobs.local import Job, run_jobs

SCRIPT = """
import os, signal, sys
from pathlib import Path
from echoclip_r.errors import TrainingError
from echoclip_r.jobs.local import Job, run_jobs

NOTES = Path(sys.argv[1])

def add_up(job):
    total = 0
    for item in job.payload:
        if item in job.skip:
            continue
        (NOTES / job.name).write_text(str(item))
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        total += item
    return total

def noted(name):
    path = NOTES / name
    return int(path.read_text()) if sys.argv[2] == "noted" and path.exists() else None

if __name__ == "__main__":
    jobs = [Job(name=name, payload=items) for name, items in [("a", (1, 2)), ("b", (3, 4))]]
    try:
        found = {
            job.name: (result, sorted(job.skip))
            for job, result in run_jobs(
                jobs, add_up, workers=2, error=TrainingError, item_at_crash=noted
            )
        }
        print(sorted(found.items()))
    except TrainingError as error:
        print(error)
"""


def run(folder: Path, notes: str) -> str:
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", str(folder), notes]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_item_that_ends_its_process_twice_is_left_out(tmp_path: Path) -> None:
    """The other items of the job and the other jobs are done."""
    assert run(tmp_path, "noted") == "[('a', (3, [])), ('b', (4, [3]))]"


def test_a_job_that_notes_nothing_is_named_in_the_callers_error(tmp_path: Path) -> None:
    """With what to do."""
    said = run(tmp_path, "silent")
    assert said.startswith("the system ended the worker process that had b;")
    assert "Run the command again to continue, perhaps with fewer workers" in said


def test_without_workers_the_jobs_are_done_here_in_order() -> None:
    """Their own errors come through as they are."""
    jobs = [Job(name=str(number), payload=number) for number in (3, 1, 2)]
    results = run_jobs(jobs, lambda job: 6 // job.payload, workers=0, error=ShardError)
    assert [(job.name, result) for job, result in results] == [("3", 2), ("1", 6), ("2", 3)]
    broken = run_jobs(
        [Job(name="0", payload=0)], lambda job: 6 // job.payload, workers=0, error=ShardError
    )
    with pytest.raises(ZeroDivisionError):
        next(broken)


TICKS = """
import time
from echoclip_r.errors import ShardError
from echoclip_r.jobs.local import Job, run_jobs

def wait(job):
    time.sleep(job.payload)
    return job.payload

if __name__ == "__main__":
    seen = []
    jobs = [Job(name="long", payload=2.5)]
    for job, result in run_jobs(jobs, wait, workers=1, error=ShardError, meanwhile=seen.append):
        print(result, seen[:1], len(seen) >= 2)
"""


def test_who_waits_is_told_each_second_what_is_running(tmp_path: Path) -> None:
    """So that a long job shows its progress before its end."""
    (tmp_path / "script.py").write_text(TICKS)
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == ("2.5 [['long']] True", "")
