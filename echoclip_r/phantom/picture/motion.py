"""The cardiac cycle: how far the heart is contracted, and how far its valves are open."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from echoclip_r.phantom.picture.anatomy import Floats
from echoclip_r.phantom.study import Latents


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """State of the heart in each frame of a clip; arrays of shape (num_frames,)."""

    contraction: Floats
    """0 at end-diastole, 1 at end-systole."""
    opening: Floats
    """Of the mitral and tricuspid valves, 0 closed to 1 wide open."""
    sway: Floats
    """Of the whole heart with the beat, -1 to 1."""

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.contraction)


def cardiac_cycle(latents: Latents, phases: Floats) -> Motion:
    """Follow the heart through its cycle.

    Args:
        latents: The study; heart rate and rhythm matter here.
        phases: Time in beats, 0 at the beginning of systole, any shape (num_frames,).

    Returns:
        What the heart does at these times.
    """
    # Systole hardly shortens as the heart beats faster, so it fills more of the beat.
    systole = float(np.clip(0.36 * math.sqrt(latents.heart_rate_bpm / 70), 0.29, 0.48))
    filled = systole + 0.2
    if latents.rhythm == "atrial fibrillation":  # no atrial kick: filling is over early
        knots = [(0, 0), (filled, 0.1), (1, 0)]
        valve = [
            (0.05, 0),
            (systole + 0.04, 0),
            (systole + 0.12, 1),
            (filled + 0.06, 0.3),
            (1, 0.25),
        ]
    else:
        knots = [(0, 0), (filled, 0.3), (0.85, 0.24), (1, 0)]
        valve = [
            (0.05, 0),
            (systole + 0.04, 0),
            (systole + 0.12, 1),
            (filled + 0.06, 0.35),
            (0.85, 0.3),
            (0.93, 0.8),
            (1, 0.3),
        ]
    knots += [(systole * x, 0.5 - 0.5 * math.cos(math.pi * x)) for x in (0.2, 0.4, 0.6, 0.8, 1)]
    knots.sort()
    valve = [(0, valve[-1][1]), *valve]
    turn = np.asarray(phases) % 1.0
    times, amounts = np.array(knots).T
    valve_times, openings = np.array(valve).T
    return Motion(
        contraction=np.interp(turn, times, amounts),
        opening=np.interp(turn, valve_times, openings),
        sway=np.sin(2 * np.pi * turn),
    )
