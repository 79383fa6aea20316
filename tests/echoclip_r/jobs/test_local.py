"""Jobs in worker processes: what a crash costs, and whose error it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

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


def double(job: Job[int]) -> int:
    return 2 * job.payload


def test_any_executor_does_the_jobs(tmp_path: Path) -> None:
    """It gets twice as many as it has workers, whatever the number of jobs is."""
    taken = 0

    def jobs() -> Iterator[Job[int]]:
        nonlocal taken
        for number in range(20):
            taken += 1
            yield Job(name=str(number), payload=number)

    with ThreadPoolExecutor(2) as executor:
        results = run_jobs(jobs(), double, workers=2, error=ShardError, executor=executor)
        found = [next(results)[1]]
        assert taken == 4
        found += [result for _, result in results]
    assert sorted(found) == [2 * number for number in range(20)]


class Losing(Executor):
    """Loses the processes of some jobs, as often as is said."""

    num_workers = 3

    def __init__(self, times: dict[str, int]) -> None:
        self.times, self.skipped = times, {}

    def submit(self, fn, job):
        future: Future[int] = Future()
        self.skipped[job.name] = sorted(job.skip)
        if self.times.get(job.name, 0) and not job.skip:
            self.times[job.name] -= 1
            future.set_exception(BrokenExecutor("a worker died"))
        else:
            future.set_result(fn(job))
        return future


def run_losing(times: dict[str, int], item_at_crash: Callable[[str], int | None]) -> Any:
    executor = Losing(times)
    jobs = [Job(name=str(number), payload=number) for number in range(5)]
    results = run_jobs(
        jobs, double, workers=1, error=ShardError, executor=executor, item_at_crash=item_at_crash
    )
    assert sorted(result for _, result in results) == [0, 2, 4, 6, 8]
    return executor.skipped


def test_an_executor_that_loses_a_worker_costs_one_item_at_most() -> None:
    """A job is tried again; an item at which two processes ended is left out, and no other."""
    assert run_losing({"3": 1}, lambda name: 7)["3"] == []
    assert run_losing({"3": 9}, lambda name: 7)["3"] == [7]
    others = iter(range(100))
    assert run_losing({"3": 5}, lambda name: next(others))["3"] == []
    with pytest.raises(ShardError, match="the processes that had 3 ended again and again; is ther"):
        run_losing({"3": 9}, lambda name: next(others))
    with pytest.raises(ShardError, match="the processes that had 2 ended again and again"):
        run_losing({"2": 2}, lambda name: None)


def test_an_executor_that_is_broken_is_said() -> None:
    """As a pool whose process was killed: it takes no more work."""
    executor = Losing({})
    executor.submit = lambda fn, job: (_ for _ in ()).throw(BrokenExecutor("no more"))
    jobs = [Job(name="a", payload=1)]
    with pytest.raises(ShardError, match=r"the executor has broken down \(no more\); run the com"):
        list(run_jobs(jobs, double, workers=1, error=ShardError, executor=executor))
    with ThreadPoolExecutor(1) as threads, pytest.raises(ZeroDivisionError):
        list(run_jobs(jobs, fail, workers=1, error=ShardError, executor=threads))


def fail(job: Job[int]) -> int:
    return job.payload // 0
