"""From a heart to scatterers: where each point echo is in each frame, and how strong it is.

Tissue is a cloud of scatterers, strewn once over the sector, that moves with the heart and keeps
its strengths: so speckle follows the wall as it does in life. Leaflets and devices are curves of
scatterers of their own. What a device casts a shadow with is listed beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echoclip_r.phantom.picture.anatomy import Floats, Heart, Placement
from echoclip_r.phantom.picture.devices import Shadow, device_curves, leaflet_curves
from echoclip_r.phantom.picture.motion import Motion
from echoclip_r.phantom.picture.proportions import build_heart
from echoclip_r.phantom.picture.tissue import tissue_strength
from echoclip_r.phantom.study import Latents


@dataclass(frozen=True, slots=True, kw_only=True)
class Sector:
    """The part of the plane that the probe sees: beams from one point."""

    half_angle_rad: float
    depth_mm: float
    num_ranges: int
    num_beams: int

    @property
    def range_step_mm(self) -> float:
        """Depth of a cell of the polar grid."""
        return self.depth_mm / self.num_ranges

    @property
    def beam_step_rad(self) -> float:
        """Angle between beams."""
        return 2 * self.half_angle_rad / self.num_beams


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Echoes of a clip in polar coordinates about the probe: range (mm) and angle (rad).

    Shapes: T frames; N scatterers of tissue, K of curves.
    """

    range_mm: Floats
    """(N,) tissue at end-diastole."""
    angle_rad: Floats
    """(N,) from the middle of the sector, positive to the right."""
    range_travel_mm: Floats
    """(N,) how much farther it is at end-systole."""
    angle_travel_rad: Floats
    """(N,)"""
    strength: Floats
    """(N,) amplitude of tissue, 1 for myocardium."""
    contraction: Floats
    """(T,) 0 at end-diastole to 1 at end-systole."""
    whole_range_mm: Floats
    """(T,) how far breathing and the beat move the whole heart."""
    whole_angle_rad: Floats
    """(T,)"""
    curve_range_mm: Floats
    """(T, K) distance of leaflets and devices."""
    curve_angle_rad: Floats
    """(T, K) their angle."""
    curve_strength: Floats
    """(K,) their amplitude per millimetre of curve."""
    shadows: tuple[tuple[Shadow, Floats, Floats], ...]
    """Each with the range and the angle, (T,) each, of what casts it."""

    def tissue_at(self, frame: int) -> tuple[Floats, Floats]:
        """Range (mm) and angle (rad) of all tissue in a frame, (N,) each."""
        contraction = self.contraction[frame]
        range_mm = self.range_mm + contraction * self.range_travel_mm + self.whole_range_mm[frame]
        turned = self.angle_rad + contraction * self.angle_travel_rad
        return range_mm, turned + self.whole_angle_rad[frame]


def place(latents: Latents, heart: Heart, rng: np.random.Generator) -> Placement:
    """Lay the heart into the picture: the same for a patient but for the operator's hand."""
    own = np.random.default_rng([latents.anatomy_seed, 2]).normal(size=3)
    study = np.random.default_rng([latents.study_seed, 2]).normal(size=3)
    hand = rng.normal(size=3)
    shift, deep, tilt = 0.75 * own + 0.5 * study + 0.3 * hand
    # The middle of the heart, not the apex, is what operators centre.
    middle = 0.55 * (heart.rv_width_mm - 36) - 0.2 * (heart.lv_width_mm - 48)
    return Placement(
        apex_x_mm=float(5 + middle + 4 * shift),
        apex_z_mm=float(max(15 + 0.8 * heart.wall_mm + 0.85 * heart.effusion_mm + 3 * deep, 14.0)),
        tilt_rad=float(np.deg2rad(5 + 5 * tilt)),
    )


def build_scene(
    latents: Latents,
    motion: Motion,
    *,
    sector: Sector,
    scatterers_a_cell: int,
    rng: np.random.Generator,
) -> Scene:
    """Strew scatterers over the sector and move them through the clip.

    Args:
        latents: The study.
        motion: The heart's state in each frame.
        sector: What the probe sees.
        scatterers_a_cell: How many scatterers of tissue in each cell of the polar grid.
        rng: Draws what differs between two clips of a study.
    """
    heart = build_heart(latents)
    placement = place(latents, heart, rng)

    # A few cells beyond the sector, as they move in and out.
    rows, columns = np.mgrid[0 : sector.num_ranges + 4, -3 : sector.num_beams + 3]
    rows, columns = rows.ravel().astype(np.float32), columns.ravel().astype(np.float32)
    middle_mm = (rows + np.float32(0.5)) * np.float32(sector.range_step_mm)
    middle_rad = (columns + np.float32(0.5)) * np.float32(sector.beam_step_rad)
    middle_rad -= np.float32(sector.half_angle_rad)
    # Scatterers of one cell lie anywhere in it, but share strength and motion: three times as
    # fast, and finer than the point-spread function can tell.
    u, v = placement.to_heart(middle_mm * np.sin(middle_rad), middle_mm * np.cos(middle_rad))
    strength = tissue_strength(heart, placement, u, v, rng)
    du, dv = heart.displacement(u, v)
    end_mm, end_rad = placement.to_polar(u + du, v + dv)
    jitter = rng.random((2, scatterers_a_cell, len(u)), dtype=np.float32) - np.float32(0.5)

    drift = rng.uniform(0, 2 * np.pi)
    breath = np.sin(np.linspace(0, 1.2, motion.num_frames) + drift)
    whole_mm = (1.2 * breath + 0.7 * motion.sway).astype(np.float32)
    whole_rad = (0.006 * breath + 0.005 * motion.sway).astype(np.float32)

    curves = leaflet_curves(latents, heart, motion) + device_curves(latents, heart, motion, rng)
    places = [placement.to_polar(curve.u_mm, curve.v_mm) for curve in curves]
    shadows = tuple(
        (
            curve.shadow,
            range_mm[:, curve.shadow.point] + whole_mm,
            angle_rad[:, curve.shadow.point] + whole_rad,
        )
        for curve, (range_mm, angle_rad) in zip(curves, places, strict=True)
        if curve.shadow is not None
    )
    return Scene(
        range_mm=(middle_mm + jitter[0] * np.float32(sector.range_step_mm)).ravel(),
        angle_rad=(middle_rad + jitter[1] * np.float32(sector.beam_step_rad)).ravel(),
        range_travel_mm=np.tile(end_mm - middle_mm, scatterers_a_cell),
        angle_travel_rad=np.tile(end_rad - middle_rad, scatterers_a_cell),
        strength=np.tile(strength, scatterers_a_cell),
        contraction=motion.contraction.astype(np.float32),
        whole_range_mm=whole_mm,
        whole_angle_rad=whole_rad,
        curve_range_mm=np.concatenate([mm for mm, _ in places], axis=1) + whole_mm[:, None],
        curve_angle_rad=np.concatenate([rad for _, rad in places], axis=1) + whole_rad[:, None],
        curve_strength=np.concatenate([curve.strength for curve in curves]),
        shadows=shadows,
    )
