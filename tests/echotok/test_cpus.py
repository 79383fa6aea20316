"""The processors that this process may use, with made-up files of cgroups."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from echotok import cpus
from echotok.cpus import cpu_quota, num_cpus


def write(root: Path, group: str, contents: dict[str, str]) -> Path:
    for name, content in {"proc/self/cgroup": group, **contents}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("group", "contents", "quota"),
    [
        # Version 2, as in a container, without and with a limit.
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        # A job of Slurm below a slice: the least of those above counts.
        (
            "0::/system.slice/job_7/step_0\n",
            {
                "sys/fs/cgroup/system.slice/job_7/step_0/cpu.max": "max 100000\n",
                "sys/fs/cgroup/system.slice/job_7/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/system.slice/cpu.max": "800000 100000\n",
            },
            4.0,
        ),
        # Version 1: the controllers' names are those of the folder, or there is a link `cpu`.
        (
            "5:memory:/a\n4:cpu,cpuacct:/a\n",
            {
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/memory/a/cpu.cfs_quota_us": "1\n",
            },
            3.0,
        ),
        # The group's path is that of the host, and only its own root is seen.
        (
            "4:cpuacct,cpu:/docker/0123\n0::/\n",
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            "4:cpu:/\n",
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ("0::/../other\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2.0),
        ("not a line", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, None),
    ],
)
def test_the_quota_of_a_cgroup(
    tmp_path: Path, group: str, contents: dict[str, str], quota: float | None
) -> None:
    """Of both versions, wherever the group lies; none where there is no limit."""
    assert cpu_quota(write(tmp_path, group, contents)) == quota


def test_without_cgroups_there_is_no_quota(tmp_path: Path) -> None:
    """As on macOS and Windows."""
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize(("quota", "num"), [(None, 3), (0.5, 1), (1.5, 2), (2.0, 2), (64.0, 3)])
def test_the_least_of_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, num: int
) -> None:
    """A part of a processor's time is used, too."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 5}, raising=False)
    monkeypatch.setattr(cpus, "_own_quota", lambda: quota)
    assert num_cpus() == num


def test_nothing_else_counts_processors() -> None:
    """`cpu_count` is asked in one place, and pools of threads are never as large as the machine."""
    root = Path(__file__).parents[2]
    for package in ("echotok", "echoclip_r"):
        for path in (root / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "ThreadPoolExecutor()" not in text, path
            assert "cpu_count" not in text or path.name == "cpus.py", path


_POOL = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from echotok.cpus import end_with_parent

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    pool = ProcessPoolExecutor(1, context, initializer=end_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc on this system")
@pytest.mark.parametrize("way", ["spawn", "fork"])
def test_workers_end_with_the_process_that_was_killed(tmp_path: Path, way: str) -> None:
    """As when memory runs out; else they would wait for ever, and keep their pipes open."""
    script = tmp_path / "pool.py"
    script.write_text(_POOL)
    process = subprocess.Popen(
        [sys.executable, str(script), way], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while _is_alive(worker):
        assert time.monotonic() < deadline, "the worker is still there"
        time.sleep(0.05)
    process.stdout.close()


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
