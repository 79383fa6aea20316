"""Leaflets and devices as curves of scatterers, in the heart's own coordinates, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echoclip_r.phantom.picture.anatomy import Floats, Heart
from echoclip_r.phantom.picture.motion import Motion
from echoclip_r.phantom.study import Latents

_STEP_MM = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """What a curve hides behind itself."""

    point: int
    """Which point of the curve casts it."""
    half_width_mm: float
    depth_db: float
    """How much weaker the echoes behind it are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line of echoes. Shapes: T frames, P points."""

    u_mm: Floats
    """(T, P)"""
    v_mm: Floats
    """(T, P)"""
    strength: Floats
    """(P,) amplitude, relative to myocardium, of a line a millimetre thick."""
    shadow: Shadow | None = None


def _bezier(
    points: list[tuple[Floats | float, Floats | float]], step_mm: float = _STEP_MM
) -> tuple[Floats, Floats]:
    """A quadratic curve through start, control and end; each coordinate a number or (T, 1)."""
    (u0, v0), (u1, v1), (u2, v2) = points
    length = np.hypot(np.mean(u1) - np.mean(u0), np.mean(v1) - np.mean(v0)) + np.hypot(
        np.mean(u2) - np.mean(u1), np.mean(v2) - np.mean(v1)
    )
    p = np.linspace(0, 1, max(int(length / step_mm), 6))
    a, b, c = (1 - p) ** 2, 2 * p * (1 - p), p**2
    return a * u0 + b * u1 + c * u2, a * v0 + b * v1 + c * v2


def _carried(heart: Heart, motion: Motion, u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Points of the heart (P,) where they are in each frame (T, P)."""
    du, dv = heart.displacement(u, v)
    contraction = motion.contraction[:, None]
    return u + contraction * du, v + contraction * dv


def leaflet_curves(latents: Latents, heart: Heart, motion: Motion) -> list[Curve]:
    """Mitral and tricuspid leaflets, which swing towards the apex as they open."""
    # Little flow opens a valve little.
    wide = motion.opening[:, None] * float(np.clip(0.62 + 0.0065 * latents.ef_percent, 0.6, 1))
    base = heart.lv_length_mm
    anterior, posterior = heart.mitral_hinges_u_mm
    span = posterior - anterior
    tent = 4.5 + 0.16 * max(heart.lv_width_mm - 48, 0)  # a large ventricle holds the leaflets back
    clip = _clip_point(heart, motion) if latents.mitraclip else None
    meet = (anterior + 0.64 * span, base - tent)
    curves = [
        _leaflet(heart, motion, (anterior, base), meet, wide, open_rad=-1.25, clip=clip),
        _leaflet(heart, motion, (posterior, base), meet, wide, open_rad=-1.85, clip=clip),
    ]
    lateral, septal = heart.tricuspid_hinges_u_mm
    meet = (lateral + 0.58 * (septal - lateral), heart.tricuspid_v_mm - 4.5)
    for hinge_u, open_rad in ((lateral, -1.2), (septal, -1.9)):
        hinge = (hinge_u, heart.tricuspid_v_mm)
        curves.append(_leaflet(heart, motion, hinge, meet, wide, open_rad=open_rad, clip=None))
    return curves


def _leaflet(
    heart: Heart,
    motion: Motion,
    hinge: tuple[float, float],
    meet: tuple[float, float],
    opening: Floats,
    *,
    open_rad: float,
    clip: tuple[Floats, Floats] | None,
) -> Curve:
    """One leaflet: a curve from its hinge to its tip; `open_rad` is its direction wide open."""
    ends_u, ends_v = _carried(
        heart, motion, np.array([hinge[0], meet[0]]), np.array([hinge[1], meet[1]])
    )
    hinge_u, hinge_v = ends_u[:, :1], ends_v[:, :1]
    across, along = ends_u[:, 1:] - hinge_u, ends_v[:, 1:] - hinge_v
    length = np.hypot(across, along)
    if clip is None:
        shut_rad = np.arctan2(along, across)
        turn = shut_rad + opening * (open_rad - shut_rad)
        tip_u, tip_v = hinge_u + length * np.cos(turn), hinge_v + length * np.sin(turn)
        belly = 0.12 * length * (1 - 1.6 * opening)
    else:  # the tips are held together, and only the bellies open
        tip_u, tip_v = clip
        belly = -0.25 * length * opening
    side = np.sign(np.cos(open_rad)) if clip is None else np.sign(meet[0] - hinge[0])
    control_u = (hinge_u + tip_u) / 2 - side * 0.5 * belly
    control_v = (hinge_v + tip_v) / 2 + belly
    u, v = _bezier([(hinge_u, hinge_v), (control_u, control_v), (tip_u, tip_v)])
    along = np.linspace(0, 1, u.shape[1])
    # Thick at the hinge and at the rough zone of the tip; the thin part between comes and goes.
    strength = 1.6 + 1.4 * np.exp(-along / 0.15) + 1.8 * np.exp(-(1 - along) / 0.2)
    strength = strength * (1 + 0.5 * np.sin(9 * along + hinge[0]))
    return Curve(u_mm=u, v_mm=v, strength=strength)


def _clip_point(heart: Heart, motion: Motion) -> tuple[Floats, Floats]:
    anterior, posterior = heart.mitral_hinges_u_mm
    u = np.array([anterior + 0.6 * (posterior - anterior)])
    u, v = _carried(heart, motion, u, np.array([heart.lv_length_mm - 7.5]))
    return u, v - 3.0 * motion.opening[:, None]


def device_curves(
    latents: Latents, heart: Heart, motion: Motion, rng: np.random.Generator
) -> list[Curve]:
    """Implants, and the calcium that may be taken for one.

    Args:
        latents: The study.
        heart: Its heart.
        motion: The heart's state in each frame.
        rng: Draws how much of each device lies in the plane of this clip.
    """
    curves: list[Curve] = []
    # Drawn whatever devices there are, so that all else in the clip is the same with and without.
    fade = np.exp(rng.uniform(-0.7, 0.2, size=5))
    gaps = rng.uniform(0, 1, size=2)
    own = np.random.default_rng([latents.anatomy_seed, 6])
    anterior, posterior = heart.mitral_hinges_u_mm
    base = heart.lv_length_mm
    if latents.age_years > 60 and own.random() < 0.3:  # calcium of the mitral annulus
        spot = [(posterior + 1, base + 1.0), (posterior - 1, base + 3), (posterior - 3, base + 2.0)]
        curves.append(
            _fixed(heart, motion, spot, 5.0, Shadow(point=3, half_width_mm=2, depth_db=5))
        )
    if latents.annuloplasty_ring:
        for hinge_u, inward in ((anterior, 1.0), (posterior, -1.0)):
            spot = [
                (hinge_u, base - 1.5),
                (hinge_u + inward, base + 1),
                (hinge_u + 2 * inward, base + 2.5),
            ]
            shadow = Shadow(point=4, half_width_mm=2.5, depth_db=7)
            curves.append(_fixed(heart, motion, spot, 20 * float(fade[0]), shadow))
    if latents.pacer_lead:
        curves += _pacer_lead(heart, motion, 14 * float(fade[1]), gaps)
    if latents.impella:
        curves += _impella(heart, motion, 11 * float(fade[2]))
    if latents.tavr:
        curves += _tavr(heart, motion, 10 * float(fade[3]))
    if latents.mitraclip:
        curves += _mitraclip(heart, motion, 16 * float(fade[4]))
    return curves


def _fixed(
    heart: Heart,
    motion: Motion,
    points: list[tuple[float, float]],
    strength: float,
    shadow: Shadow | None = None,
) -> Curve:
    """A curve that the heart carries along; `points` are its start, control and end."""
    u, v = _carried(heart, motion, *_bezier([*points]))
    return Curve(u_mm=u, v_mm=v, strength=np.full(u.shape[1], strength), shadow=shadow)


def _pacer_lead(heart: Heart, motion: Motion, strength: float, gaps: Floats) -> list[Curve]:
    """A lead from the right atrium through the tricuspid valve to the apex of the ventricle."""
    lateral, septal = heart.tricuspid_hinges_u_mm
    valve = (lateral + 0.6 * (septal - lateral), heart.tricuspid_v_mm)
    roof = (
        heart.ra_centre_u_mm - 0.25 * heart.ra_half_width_mm,
        heart.ra_centre_v_mm + 0.85 * heart.ra_half_height_mm,
    )
    up = 0.74 * heart.rv_length_mm
    tip = (heart.rv_inner_u_mm - 0.3 * heart.rv_width_mm + 0.3 * up, heart.tricuspid_v_mm - up)
    entry = (valve[0] - 7, (valve[1] + roof[1]) / 2)
    inflow = (valve[0] + 2, (valve[1] + tip[1]) / 2)
    curves = []
    ways = (([roof, entry, valve], 60), ([valve, inflow, tip], 90))
    for (points, point), gap_at in zip(ways, gaps, strict=True):
        curve = _fixed(heart, motion, points, strength)
        # Parts of it leave the plane.
        along = np.linspace(0, 1, curve.u_mm.shape[1])
        gap = 1 - 0.6 * np.exp(-(((along - gap_at) / 0.14) ** 2))
        shadow = Shadow(point=point, half_width_mm=3, depth_db=5)
        curves.append(
            Curve(u_mm=curve.u_mm, v_mm=curve.v_mm, strength=curve.strength * gap, shadow=shadow)
        )
    return curves


def _impella(heart: Heart, motion: Motion, strength: float) -> list[Curve]:
    """A pump's cannula: two parallel walls from the outflow tract to the middle of the cavity."""
    width, base = heart.lv_width_mm, heart.lv_length_mm
    start, end = (-0.33 * width, base + 5), (0.04 * width, 0.42 * base)
    bend = (-0.2 * width, 0.72 * base)
    shadow = Shadow(point=40, half_width_mm=3.5, depth_db=6)
    curves = []
    for side in (-3.4, 3.4):
        points = [(u + side, v) for u, v in (start, bend, end)]
        curves.append(_fixed(heart, motion, points, strength, shadow if side < 0 else None))
    tail = [end, (end[0] + 1, end[1] - 9), (end[0] + 8, end[1] - 11)]
    curves.append(_fixed(heart, motion, tail, 0.45 * strength))
    return curves


def _tavr(heart: Heart, motion: Motion, strength: float) -> list[Curve]:
    """A stent seen from its side: two struts, joined by a mesh, in the outflow tract."""
    centre = (-0.27 * heart.lv_width_mm, heart.lv_length_mm + 5.0)
    half_u, half_v, lean = 9.5, 9.0, 2.5

    def at(across: float, along: float) -> tuple[float, float]:
        return centre[0] + half_u * across - lean * along, centre[1] + half_v * along

    curves = []
    for side in (-1.0, 1.0):  # struts splay a little at both ends
        strut = [at(1.1 * side, -1), at(0.85 * side, 0), at(1.1 * side, 1)]
        shadow = Shadow(point=25, half_width_mm=4, depth_db=6)
        curves.append(_fixed(heart, motion, strut, strength, shadow))
        for level in (-0.95, 0.0):
            brace = [at(-side, level), at(0, level + 0.45), at(side, level + 0.9)]
            curves.append(_fixed(heart, motion, brace, 0.3 * strength))
    return curves


def _mitraclip(heart: Heart, motion: Motion, strength: float) -> list[Curve]:
    """A clip on both tips: the brightest spot of the picture, and what it hides."""
    u, v = _clip_point(heart, motion)
    curves = []
    for side in (-1.6, 0.0, 1.6):
        along = np.linspace(-3, 3.5, 18)
        shadow = Shadow(point=9, half_width_mm=4, depth_db=13) if side == 0 else None
        curves.append(
            Curve(
                u_mm=u + side * (1 + 0.05 * along),
                v_mm=v + along,
                strength=np.full(len(along), strength),
                shadow=shadow,
            )
        )
    return curves
