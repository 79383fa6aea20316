"""A run of `prepare` watched: memory, processor time and finished shards over time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process at one moment: resident memory, and processor time up to then."""

    pid: int
    generation: int  # 0 the main process, 1 what serves workers, 2 the workers
    resident_mb: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A run of `prepare` at one moment.

    Attributes:
        seconds: since its start.
        begun: whether a worker has begun with a clip.
        num_shards: shards that are finished.
        processes: the main one first.
    """

    seconds: float
    begun: bool
    num_shards: int
    processes: list[Process]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run printed (None where it was killed), its time and its readings."""

    made: dict[str, Any] | None
    seconds: float
    readings: list[Reading]

    @property
    def start_up_s(self) -> float:
        """Seconds until a worker began with its first clip."""
        return next(reading.seconds for reading in self.readings if reading.begun)

    @property
    def cpu_s(self) -> float:
        """Processor time of all processes: it only grows, so each one's last reading counts."""
        last: dict[int, float] = {}
        for reading in self.readings:
            last |= {process.pid: process.cpu_s for process in reading.processes}
        return sum(last.values())


def run_prepare(
    manifest: Path,
    out: Path,
    options: dict[str, object],
    *,
    period_s: float = 0.1,
    kill_when: Callable[[Reading], bool] | None = None,
) -> Run:
    """Run `echoclip-r prepare` through its command line, as a user would.

    Args:
        manifest: what to prepare.
        out: folder of shards.
        options: of the command, without their dashes; True for one that takes no value.
        period_s: between two readings.
        kill_when: SIGKILL the main process at the first reading of which this is true.
    """
    command = [sys.executable, "-m", "echoclip_r", "prepare", str(manifest), "--out", str(out)]
    for name, value in options.items():
        command += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    readings = []
    start = time.perf_counter()
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as running:
        try:
            while running.poll() is None:
                processes = [_read_process(*entry) for entry in _tree(running.pid)]
                readings.append(
                    Reading(
                        seconds=time.perf_counter() - start,
                        begun=any((out / "state").glob("*.at")),
                        num_shards=len(list(out.glob("*.tar"))),
                        processes=[process for process in processes if process is not None],
                    )
                )
                if kill_when is not None and kill_when(readings[-1]):
                    running.kill()
                    running.wait()
                time.sleep(period_s)
        except BaseException:  # nothing is left behind when the benchmark itself is stopped
            running.kill()
            raise
        assert running.stdout is not None
        text = running.stdout.read()
    killed = kill_when is not None and running.returncode == -9
    if running.returncode and not killed:
        sys.exit(f"{' '.join(command)}: exit status {running.returncode}")
    return Run(
        made=None if killed else json.loads(text),
        seconds=time.perf_counter() - start,
        readings=readings,
    )


def _tree(pid: int, generation: int = 0) -> list[tuple[int, int]]:
    """A process and all that it started, itself first: pid and generation."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    younger = [entry for child in children for entry in _tree(int(child), generation + 1)]
    return [(pid, generation), *younger]


def _read_process(pid: int, generation: int) -> Process | None:
    """Memory and time of a process, or None when it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        # What stands behind the name in brackets; the name itself may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    ticks = int(fields[11]) + int(fields[12])
    return Process(
        pid=pid,
        generation=generation,
        resident_mb=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
    )
