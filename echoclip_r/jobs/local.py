"""Jobs in worker processes, here or of an executor; a crash costs one item of one job, not the run.

One call of `run_jobs` does all jobs. A decoder that meets a broken file can end its process
outright (by a segmentation fault, or because the system ends it when memory runs out), which no
`except` catches. So a job notes each item before it touches it. After a crash the jobs that were
running are tried again one at a time; an item that ends the process twice is then skipped. An
executor of a cluster goes on by itself with other processes, so that only the job is tried again.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.context import BaseContext
from typing import Generic, TypeVar

from echoclip_r.errors import EchoclipError
from echotok.cpus import end_with_parent

__all__ = ["BROKEN", "Job", "num_workers", "run_jobs", "say_broken"]

BROKEN = (BrokenExecutor, ConnectionError, CancelledError)
"""What an executor raises whose processes have ended or cannot be reached."""

_TICK_S = 1.0
_MAX_LOST = 5  # times that the processes of a job may end, whose items are not to blame

PayloadT = TypeVar("PayloadT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[PayloadT]):
    """Work for one process.

    Attributes:
        name: name that no other job of the run has.
        payload: picklable data that say what to do.
        skip: items to leave out, since they ended the process before.
    """

    name: str
    payload: PayloadT
    skip: frozenset[int] = frozenset()


def run_jobs(
    jobs: Iterable[Job[PayloadT]],
    work: Callable[[Job[PayloadT]], ResultT],
    *,
    workers: int,
    error: type[EchoclipError],
    executor: Executor | None = None,
    item_at_crash: Callable[[str], int | None] = lambda name: None,
    meanwhile: Callable[[Sequence[str]], None] | None = None,
) -> Iterator[tuple[Job[PayloadT], ResultT]]:
    """Do all jobs and give their results as they come, in any order.

    Args:
        jobs: the jobs, which are taken one by one as workers become free.
        work: function that does a job; it must stand in a module, so that processes can import it.
        workers: number of processes; 0 works in this process, without any guard against crashes.
        error: class of the error to raise when a job cannot be done.
        executor: what does the work in place of processes of this machine: anything of the
            interface of `concurrent.futures`, such as a cluster's. It gets twice as many jobs as it
            has workers: its own attribute `num_workers` where it has one, else `workers`.
        item_at_crash: function from a job's name to the item that it noted last; None if it noted
            no item, as jobs do of which no part can be skipped.
        meanwhile: function that is called about once a second with the names of the jobs that are
            running, to show how far they are.

    Raises:
        EchoclipError: of the class `error`: a process ended before its job noted an item, or the
            executor has broken down.
        Exception: any error that `work` raises; jobs that are running are finished first.
    """
    waiting = iter(jobs)
    if executor is not None:
        yield from _run_on(
            executor,
            waiting,
            work,
            workers=workers,
            error=error,
            item_at_crash=item_at_crash,
            meanwhile=meanwhile,
        )
        return
    if workers == 0:
        for job in waiting:
            yield job, work(job)
        return
    # Its server imports what workers need once, then forks: no thread of ours is forked with it.
    # Windows has no such server.
    if "forkserver" in multiprocessing.get_all_start_methods():
        context: BaseContext = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([work.__module__])
    else:
        context = multiprocessing.get_context("spawn")
    suspects: deque[Job[PayloadT]] = deque()
    crashes: Counter[tuple[str, int]] = Counter()
    while True:
        alone = bool(suspects)
        source = _drain(suspects) if alone else waiting
        running: dict[Future[ResultT], Job[PayloadT]] = {}
        pool = ProcessPoolExecutor(1 if alone else workers, context, initializer=_start_worker)
        next_job: Job[PayloadT] | None = None
        try:
            with pool:
                while True:
                    while len(running) < (1 if alone else workers):
                        next_job = next(source, None)
                        if next_job is None:
                            break
                        running[pool.submit(work, next_job)] = next_job
                    if not running:
                        break
                    timeout_s = None if meanwhile is None else _TICK_S
                    finished = wait(running, timeout_s, return_when=FIRST_COMPLETED).done
                    if meanwhile is not None and not finished:
                        meanwhile([job.name for job in running.values()])
                    for future in finished:
                        result = future.result()
                        yield running.pop(future), result
            if not alone:
                return
        except BrokenProcessPool:
            crashed = list(running.values())
            if next_job is not None and next_job not in crashed:
                crashed.append(next_job)  # it was about to be submitted
            if len(crashed) > 1:
                suspects.extend(crashed)
                continue
            (suspect,) = crashed
            item = item_at_crash(suspect.name)
            if item is None:
                raise error(
                    f"the system ended the worker process that had {suspect.name}; is there enough "
                    "memory? Run the command again to continue, perhaps with fewer workers"
                ) from None
            crashes[suspect.name, item] += 1
            if crashes[suspect.name, item] > 1:
                suspect = replace(suspect, skip=suspect.skip | {item})
            suspects.appendleft(suspect)


def _run_on(
    executor: Executor,
    waiting: Iterator[Job[PayloadT]],
    work: Callable[[Job[PayloadT]], ResultT],
    *,
    workers: int,
    error: type[EchoclipError],
    item_at_crash: Callable[[str], int | None],
    meanwhile: Callable[[Sequence[str]], None] | None,
) -> Iterator[tuple[Job[PayloadT], ResultT]]:
    """`run_jobs` by an executor of others."""
    again: deque[Job[PayloadT]] = deque()
    crashes: Counter[tuple[str, int | None]] = Counter()
    lost: Counter[str] = Counter()
    running: dict[Future[ResultT], Job[PayloadT]] = {}
    try:
        while True:
            # Asked each time, since workers of a cluster come and go.
            while len(running) < 2 * num_workers(executor, workers):
                job = again.popleft() if again else next(waiting, None)
                if job is None:
                    break
                running[executor.submit(work, job)] = job
            if not running:
                return
            finished = wait(running, _TICK_S, return_when=FIRST_COMPLETED).done
            if meanwhile is not None and not finished:
                meanwhile([job.name for job in running.values()])
            for future in finished:
                job = running.pop(future)
                try:
                    result = future.result()
                except BrokenExecutor as cause:
                    item = item_at_crash(job.name)
                    crashes[job.name, item] += 1
                    lost[job.name] += 1
                    if item is not None and crashes[job.name, item] > 1:
                        job, lost[job.name] = replace(job, skip=job.skip | {item}), 0
                    elif lost[job.name] > (_MAX_LOST if item is not None else 1):
                        raise error(
                            f"the processes that had {job.name} ended again and again; is there "
                            "enough memory? Run the command again to continue"
                        ) from cause
                    again.append(job)
                    continue
                yield job, result
    except BROKEN as cause:
        raise error(say_broken(cause)) from cause
    finally:
        for future in running:
            future.cancel()


def num_workers(executor: Executor, otherwise: int = 1) -> int:
    """How many pieces of work an executor does at once by now; at least 1.

    Args:
        executor: anything of the interface of `concurrent.futures`.
        otherwise: taken where the executor has no attribute `num_workers`.
    """
    return max(1, getattr(executor, "num_workers", otherwise))


def say_broken(cause: BaseException) -> str:
    """What to tell a user whose executor gave one of `BROKEN`."""
    return (
        f"the executor has broken down ({cause or type(cause).__name__}); run the command again to "
        "continue"
    )


def _drain(jobs: deque[Job[PayloadT]]) -> Iterator[Job[PayloadT]]:
    while jobs:
        yield jobs.popleft()


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
