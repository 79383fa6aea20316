"""How far work is that many machines share, told from the files that they have finished."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

__all__ = ["Status", "Unit", "status_of"]

_WINDOW_S = 900.0
"""The rate is that of the last quarter of an hour: machines come and go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A shard of the work.

    Attributes:
        num_clips: number of its clips.
        finished_s: when it was finished, as `time.time` has it; None where it is not.
    """

    num_clips: int
    finished_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far the work is.

    Attributes:
        num_units: number of shards.
        units_done: how many of them are finished.
        num_clips: number of clips.
        clips_done: how many of them are in finished shards.
        clips_per_s: of the last quarter of an hour; None where nothing was finished in it.
        parts_left: parts with shards that are not finished, where it is asked for.
    """

    num_units: int
    units_done: int
    num_clips: int
    clips_done: int
    clips_per_s: float | None
    parts_left: tuple[int, ...]

    @property
    def seconds_left(self) -> float | None:
        """At the rate of the last quarter of an hour; None where there is none."""
        if self.clips_per_s is None:
            return None
        return (self.num_clips - self.clips_done) / self.clips_per_s

    def to_dict(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        left = self.seconds_left
        return {
            "num_shards": self.num_units,
            "shards_done": self.units_done,
            "num_clips": self.num_clips,
            "clips_done": self.clips_done,
            "clips_per_s": None if self.clips_per_s is None else round(self.clips_per_s, 2),
            "seconds_left": None if left is None else round(left),
            "parts_left": list(self.parts_left),
        }

    def lines(self) -> list[str]:
        """The same for people."""
        found = [
            f"{self.units_done:,} of {self.num_units:,} shards, {self.clips_done:,} of "
            f"{self.num_clips:,} clips ({100 * self.clips_done / max(1, self.num_clips):.1f} %)"
        ]
        left = self.seconds_left
        if self.units_done == self.num_units:
            found.append("all are done; run the command with --finish")
        elif left is None or self.clips_per_s is None:
            found.append("no shard was finished in the last 15 minutes: is anything at work?")
        else:
            found.append(
                f"{self.clips_per_s:.1f} clips a second in the last 15 minutes, about "
                f"{timedelta(seconds=round(left))} left"
            )
        if self.parts_left:
            shown = ", ".join(map(str, self.parts_left[:20]))
            more = ", ..." if len(self.parts_left) > 20 else ""
            found.append(f"{len(self.parts_left):,} parts are not finished: {shown}{more}")
        return found


def status_of(units: Sequence[Unit], *, num_parts: int = 1, now_s: float | None = None) -> Status:
    """How far the work is.

    Args:
        units: all shards, in the order in which parts take them.
        num_parts: number of parts; 1 for none.
        now_s: by default the time.
    """
    now_s = time.time() if now_s is None else now_s
    done = [unit for unit in units if unit.finished_s is not None]
    times = [unit.finished_s for unit in done if unit.finished_s is not None]
    # Of work that is younger than the window, the first shard began before it was finished.
    begin_s = max(now_s - _WINDOW_S, min(times, default=now_s))
    lately = sum(unit.num_clips for unit in done if (unit.finished_s or 0.0) > begin_s)
    left = {number % num_parts + 1 for number, unit in enumerate(units) if unit.finished_s is None}
    return Status(
        num_units=len(units),
        units_done=len(done),
        num_clips=sum(unit.num_clips for unit in units),
        clips_done=sum(unit.num_clips for unit in done),
        clips_per_s=lately / (now_s - begin_s) if lately else None,
        parts_left=tuple(sorted(left)) if num_parts > 1 else (),
    )
