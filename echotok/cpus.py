"""How many processors this process may use: not those that the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

__all__ = ["cpu_quota", "end_with_parent", "num_cpus"]

_ROOT = Path("/")


def num_cpus() -> int:
    """The processors that this process may use, at least 1.

    A batch system pins a job to some of a machine's processors (`sched_getaffinity`), a container
    gets a share of their time (the quota of its cgroup, rounded up). More threads or processes than
    that would only take turns.
    """
    num = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on Windows and macOS
        num = len(os.sched_getaffinity(0))
    quota = _own_quota()
    return num if quota is None else max(1, min(num, math.ceil(quota)))


def end_with_parent() -> None:
    """Have this worker process end when the process that started it is gone, however it went.

    A worker of a pool waits for work for ever when the pool's process was killed.
    """
    import multiprocessing  # takes a while that `import echotok` need not
    import threading

    parent = multiprocessing.parent_process()
    if parent is None:  # of an executor of others
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Processors' time that the cgroup of this process gets, e.g. 1.5; None where it is not bound.

    Reads version 2 (`cpu.max`) and version 1 (`cpu.cfs_quota_us`), of the process's group and of
    the groups above it, of which the least counts.

    Args:
        root: folder in which `proc` and `sys` lie.
    """
    found = [quota for folder in _groups(root) if (quota := _quota_in(folder)) is not None]
    return min(found, default=None)


@cache
def _own_quota() -> float | None:
    return cpu_quota()


def _groups(root: Path) -> Iterator[Path]:
    """Folders of the groups of this process and of those above, as far as they are seen here.

    Inside of a container the group's path may be that of the host, of which only the root is there.
    """
    mount = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            mounts = [mount, mount / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [mount / controllers, mount / "cpu"]
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        if ".." in group.parts:  # of a process that was moved out of this container's view
            group = PurePosixPath()
        for folder in mounts:
            for above in (group, *group.parents):
                yield folder / above


def _quota_in(folder: Path) -> float | None:
    if words := _text(folder / "cpu.max").split():
        return _share(words[0], words[1] if len(words) > 1 else "100000")
    return _share(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _share(quota_us: str, period_us: str) -> float | None:
    """The two numbers' ratio; None for `max`, -1, or what is no number."""
    try:
        quota, period = int(quota_us), int(period_us)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
