"""How strongly each place of the four-chamber plane echoes: muscle, blood, fluid, what lies around.

Painted at end-diastole, once for each clip; the scatterers carry it along from there.
"""

from __future__ import annotations

import numpy as np

from echoclip_r.phantom.picture.anatomy import Floats, Heart, Placement

# Strengths relative to myocardium (amplitudes).
_BLOOD, _EFFUSION, _PERICARDIUM, _OUTSIDE = 0.035, 0.02, 2.6, 0.3


def tissue_strength(
    heart: Heart, placement: Placement, u: Floats, v: Floats, rng: np.random.Generator
) -> Floats:
    """Amplitude of the echo from each place at end-diastole, 1 for plain myocardium."""
    base, tricuspid = heart.lv_length_mm, heart.tricuspid_v_mm
    lv, wall = heart.lv_distance(u, v), heart.lv_wall(v, u)
    rv, la, ra = heart.rv_distance(u, v), heart.la_distance(u, v), heart.ra_distance(u, v)
    parts = np.stack(
        [
            np.maximum(lv - wall, v - base - 4),
            np.maximum(rv - 4, v - tricuspid - 4),
            la - 2.2,
            ra - 2.2,
        ]
    )
    outside = parts.min(axis=0)
    # The pericardium wraps the chambers without following the grooves between them.
    wrap = -5 * np.log(np.exp(np.clip(-parts / 5, -60, 60)).sum(axis=0))
    facing = _facing(heart, u, v, placement)

    # Beyond the heart: fluid, the bright pericardium, then lung and fat, which fade.
    tilt = 0.5 * heart.effusion_side * np.tanh((u + heart.lv_width_mm / 2) / 30)
    behind_la = np.clip((v - base) / heart.la_half_height_mm, 0, 1) * (u > heart.septum_u_mm)
    fluid = heart.effusion_mm * (1 + tilt) * (1 - 0.9 * behind_la)
    beyond = wrap - fluid
    hazy = float(rng.normal(0, 0.55))
    patches = _waves(u, v, rng, num=3, wavelengths_mm=(25, 70))
    lung = _OUTSIDE * np.exp(hazy + 0.35 * patches)
    lung *= 0.25 + 0.75 * np.exp(-np.maximum(beyond, 0) / 18)
    tissue = np.where(beyond < 2.0, _PERICARDIUM * facing, lung)
    tissue = np.where(beyond < 0, _EFFUSION if heart.effusion_mm else 0.8, tissue)

    # The heart itself: muscle, brighter at the blood's edge; thin, dimmer walls of the atria.
    inner = np.where(np.abs(lv - 0.8) < 0.9, 1.3, 1.0) * (0.6 + 0.4 * facing)
    muscle = np.where(v > base + 2, 0.25 + 0.75 * facing, inner)
    tissue = np.where(outside < 0, muscle, tissue)
    septum = np.abs(u - heart.septum_u_mm)
    fossa = np.abs(v - heart.la_centre_v_mm) < 0.45 * heart.la_half_height_mm
    tissue = np.where((outside < 0) & fossa & (septum < 3) & (v > base), 0.35, tissue)

    ventricle = (lv < 0) & (v < base)
    right = (rv < 0) & (lv > wall) & (v < tricuspid)
    left_atrium = (la < 0) & (v >= base) & (u > heart.septum_u_mm + 1.3)
    right_atrium = (ra < 0) & (v >= tricuspid) & (u < heart.septum_u_mm - 1.3)
    right_atrium &= (v > base + 1) | (lv > wall)
    anterior, posterior = heart.mitral_hinges_u_mm
    mitral = (np.abs(v - base) < 3.5) & (u > anterior) & (u < posterior)
    lateral, septal = heart.tricuspid_hinges_u_mm
    tricuspid_ring = (np.abs(v - tricuspid) < 3.5) & (u > lateral) & (u < septal)
    blood = ventricle | right | left_atrium | right_atrium | mitral | tricuspid_ring
    tissue = np.where(blood, _BLOOD, tissue)

    own = np.random.default_rng([heart.texture_seed, 4])
    for bump in _bumps(heart, own):
        centre_u, centre_v, half_u, half_v, strength = bump
        hit = np.hypot((u - centre_u) / half_u, (v - centre_v) / half_v) < 1
        tissue = np.where(hit & blood, strength, tissue)
    own = np.random.default_rng([heart.texture_seed, 3])
    grain = _waves(u, v, own, num=6, wavelengths_mm=(7, 26))
    painted: Floats = (tissue * np.exp(0.16 * grain)).astype(np.float32)
    return painted


def _facing(heart: Heart, u: Floats, v: Floats, placement: Placement) -> Floats:
    """How squarely the beam meets a wall there: 0 along it to 1 head on.

    What lies across the beam reflects it, what lies along it hardly does: this is why the far
    walls of the atria are bright and their sides drop out.
    """
    probe_u, probe_v = placement.probe()
    beam_u, beam_v = u - probe_u, v - probe_v
    atrial = v > heart.lv_length_mm
    middle_u = np.where(
        u > heart.septum_u_mm,
        np.where(atrial, heart.la_centre_u_mm, 0.0),
        np.where(atrial, heart.ra_centre_u_mm, heart.rv_inner_u_mm),
    )
    middle_v = np.where(atrial, heart.la_centre_v_mm, 0.6 * heart.lv_length_mm)
    half = np.where(atrial, heart.la_half_height_mm, 0.6 * heart.lv_length_mm)
    across, along = (u - middle_u) / (0.8 * half), (v - middle_v) / half
    both = np.hypot(beam_u, beam_v) * np.hypot(across, along) + 1e-3
    cosine: Floats = np.abs(beam_u * across + beam_v * along) / both
    return cosine


def _waves(
    u: Floats, v: Floats, rng: np.random.Generator, *, num: int, wavelengths_mm: tuple[float, float]
) -> Floats:
    """Uneven patches: `num` plane waves of random direction added up, about -num / 2 to num / 2."""
    total = np.zeros_like(u)
    for _ in range(num):
        number, direction = 2 * np.pi / rng.uniform(*wavelengths_mm), rng.uniform(0, np.pi)
        along_u, along_v = float(number * np.cos(direction)), float(number * np.sin(direction))
        total += np.sin(along_u * u + along_v * v + float(rng.uniform(0, 2 * np.pi)))
    return total


def _bumps(
    heart: Heart, own: np.random.Generator
) -> list[tuple[float, float, float, float, float]]:
    """Papillary muscle and moderator band, where this heart shows them: centre, size, strength."""
    bumps = []
    if own.random() < 0.6:
        level = heart.lv_length_mm * own.uniform(0.42, 0.58)
        bumps.append((0.44 * heart.lv_width_mm, level, own.uniform(4, 6), own.uniform(7, 11), 0.85))
    if own.random() < 0.7:
        level = heart.lv_length_mm * own.uniform(0.48, 0.6)
        middle = heart.rv_inner_u_mm - 0.3 * heart.rv_width_mm
        bumps.append((middle, level, 0.5 * heart.rv_width_mm, own.uniform(1.4, 2.4), 0.7))
    return bumps
