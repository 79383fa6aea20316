"""From a study's findings to a heart: how large its parts are, and how much they move.

Contraction is scaled so that the cavity drawn has the ejection fraction of the latents.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from echoclip_r.phantom.picture.anatomy import Floats, Heart, regional_motion
from echoclip_r.phantom.study import Akinesia, Latents

__all__ = ["build_heart"]

_DISCS = (np.arange(40) + 0.5) / 40


def build_heart(latents: Latents) -> Heart:
    """Give a study's findings a shape.

    What the latents leave open (proportions, curvature of the septum, ...) is drawn from their
    `anatomy_seed`, and so is the same in all studies of a heart.
    """
    rng = np.random.default_rng([latents.anatomy_seed, 1])
    length, blunt, bow, rv_length, la_tall, ra_tall, shift = rng.normal(size=7)
    effusion_side = float(rng.uniform(-1, 1))
    edd = latents.lv_edd_mm
    lv_length_mm = float(80 + 0.3 * (edd - 48) + 3.5 * length)
    lv_width_mm = 0.98 * edd
    la = 20.0 * (latents.la_volume_index_ml_m2 / 30) ** 0.42
    ra = 18.5 * math.sqrt(latents.ra_area_cm2 / 16)
    roundness = float(np.clip(2.15 + 0.2 * blunt + 0.012 * (edd - 50), 1.8, 3))
    shell = Heart(
        lv_length_mm=lv_length_mm,
        lv_width_mm=lv_width_mm,
        lv_roundness=roundness,
        wall_mm=latents.wall_thickness_mm,
        septum_mm=latents.wall_thickness_mm * 1.02,
        # High pressure in the right heart flattens the septum.
        septum_bow_mm=float(-1.5 + 1.6 * bow + 0.09 * max(latents.pap_mmhg - 38, 0)),
        rv_length_mm=float(
            np.clip(
                lv_length_mm * (0.77 + 0.03 * rv_length) + 0.35 * (latents.rv_basal_mm - 37),
                45,
                lv_length_mm + 4,
            )
        ),
        rv_width_mm=0.95 * latents.rv_basal_mm,
        la_half_width_mm=la * float(1 - 0.03 * la_tall),
        la_half_height_mm=la * float(1.12 + 0.05 * la_tall),
        la_centre_u_mm=float(-2 + 1.5 * shift + 0.55 * (la - 20)),
        ra_half_width_mm=ra * float(1 - 0.03 * ra_tall),
        ra_half_height_mm=ra * float(1.14 + 0.05 * ra_tall),
        effusion_mm=(0.0, 6.0, 13.0, 23.0)[latents.effusion],
        effusion_side=effusion_side,
        akinesia=latents.akinesia,
        long_shortening=0.0,
        short_shortening=0.0,
        rv_descent_mm=0.7 * latents.tapse_mm,
        rv_shortening=float(np.clip(0.34 - 0.07 * latents.rv_dilation, 0.08, 0.4)),
        texture_seed=latents.anatomy_seed,
    )
    profile = shell.lv_half_width(_DISCS * lv_length_mm)
    along, across = _contraction(latents.akinesia, latents.ef_percent, profile)
    return replace(shell, long_shortening=along, short_shortening=across)


def _contraction(akinesia: Akinesia, ef_percent: float, profile: Floats) -> tuple[float, float]:
    """Shortening along and across that ejects `ef_percent`, by the method of discs."""
    side = np.ones_like(_DISCS)
    left = regional_motion(akinesia, _DISCS, -side)
    right = regional_motion(akinesia, _DISCS, side)
    along = 0.27 * ef_percent / 100
    low, high = 0.0, 3.0
    for _ in range(24):
        across = (low + high) / 2
        width = profile * (2 - np.minimum(left * across, 0.66) - np.minimum(right * across, 0.66))
        volume = float(np.sum(width**2) * (1 - along) / np.sum((2 * profile) ** 2))
        low, high = (across, high) if 1 - volume < ef_percent / 100 else (low, across)
    return along, (low + high) / 2
