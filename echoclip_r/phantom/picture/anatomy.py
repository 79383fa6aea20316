"""The shape of one heart in the apical four-chamber plane, and how far each point of it moves.

Two frames of reference, both in millimetres. The heart's own: `v` runs along the long axis of the
left ventricle from its apex (0) to the mitral annulus (`lv_length_mm`) and on into the atria, `u`
across it, positive towards the lateral wall. The picture's: `x` to the right, `z` down from the
probe; the left ventricle is on the right, as usual.

Everything is said of end-diastole. Contraction moves each point in a straight line to where it is
at end-systole. `proportions` says how large each part is, and how much it moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from echoclip_r.phantom.study import Akinesia

__all__ = ["Floats", "Heart", "Placement", "regional_motion"]

Floats = npt.NDArray[np.floating[Any]]

# Fraction of the long axis at which the left ventricle is widest.
_WIDEST = 0.66


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the heart lies in the picture."""

    apex_x_mm: float
    apex_z_mm: float
    tilt_rad: float

    def to_picture(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Heart coordinates to picture coordinates `(x, z)`, all in mm."""
        cos, sin = math.cos(self.tilt_rad), math.sin(self.tilt_rad)
        return self.apex_x_mm + cos * u + sin * v, self.apex_z_mm - sin * u + cos * v

    def to_heart(self, x: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Picture coordinates to heart coordinates `(u, v)`, all in mm."""
        cos, sin = math.cos(self.tilt_rad), math.sin(self.tilt_rad)
        x, z = x - self.apex_x_mm, z - self.apex_z_mm
        return cos * x - sin * z, sin * x + cos * z

    def to_polar(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Heart coordinates to range from the probe (mm) and angle (rad), positive to the right."""
        x, z = self.to_picture(u, v)
        return np.hypot(x, z), np.arctan2(x, z)

    def probe(self) -> tuple[float, float]:
        """Where the probe is in heart coordinates (mm)."""
        cos, sin = math.cos(self.tilt_rad), math.sin(self.tilt_rad)
        x, z = -self.apex_x_mm, -self.apex_z_mm
        return cos * x - sin * z, sin * x + cos * z


@dataclass(frozen=True, slots=True, kw_only=True)
class Heart:
    """Dimensions at end-diastole, in millimetres, and the amounts of contraction."""

    lv_length_mm: float
    lv_width_mm: float
    lv_roundness: float
    """Exponent of the apical half's superellipse: 2 is an ellipse, more is blunter."""
    wall_mm: float
    septum_mm: float
    septum_bow_mm: float
    """How far the middle of the septum bulges towards the left ventricle."""
    rv_length_mm: float
    rv_width_mm: float
    la_half_width_mm: float
    la_half_height_mm: float
    la_centre_u_mm: float
    ra_half_width_mm: float
    ra_half_height_mm: float
    effusion_mm: float
    effusion_side: float
    """Where the effusion gathers: -1 along the right heart, 1 along the left, 0 evenly."""
    akinesia: Akinesia
    long_shortening: float
    """Fraction by which the long axis of the left ventricle shortens."""
    short_shortening: float
    """Fraction by which its half-width shortens where the wall moves."""
    rv_descent_mm: float
    rv_shortening: float
    texture_seed: int

    @property
    def septum_u_mm(self) -> float:
        """Where the atrial septum stands."""
        return self.la_centre_u_mm - self.la_half_width_mm - 1.5

    @property
    def tricuspid_v_mm(self) -> float:
        """Level of the tricuspid annulus; it lies nearer to the apex than the mitral one."""
        return self.lv_length_mm - 5.5

    @property
    def la_centre_v_mm(self) -> float:
        """Level of the middle of the left atrium."""
        return self.lv_length_mm + 0.72 * self.la_half_height_mm

    @property
    def ra_centre_v_mm(self) -> float:
        """Level of the middle of the right atrium."""
        return self.tricuspid_v_mm + 0.72 * self.ra_half_height_mm

    @property
    def ra_centre_u_mm(self) -> float:
        """Middle of the right atrium, across."""
        return self.septum_u_mm - 1.5 - self.ra_half_width_mm

    @property
    def rv_inner_u_mm(self) -> float:
        """Right face of the ventricular septum at the base."""
        return -0.88 * self.lv_width_mm / 2 - self.septum_mm

    @property
    def mitral_hinges_u_mm(self) -> tuple[float, float]:
        """Hinges of the anterior and the posterior mitral leaflet."""
        half = 0.33 * self.lv_width_mm + 1.5
        return -half - 1.0, half

    @property
    def tricuspid_hinges_u_mm(self) -> tuple[float, float]:
        """Hinges of the lateral and the septal tricuspid leaflet."""
        inner = self.rv_inner_u_mm
        return inner - 0.92 * self.rv_width_mm, inner - 0.5

    def bowed(self, u: Floats, v: Floats) -> Floats:
        """`u` with the bow of the septum taken out (mm)."""
        along = np.clip(v / self.lv_length_mm, 0, 1)
        bow: Floats = self.septum_bow_mm * np.sin(np.pi * along)
        return np.where(u < 0, u - bow, u)

    def lv_half_width(self, v: Floats) -> Floats:
        """Half-width of the left ventricle's cavity at level `v` (mm)."""
        s = v / self.lv_length_mm
        n = self.lv_roundness
        apical: Floats = (1 - np.clip((_WIDEST - s) / _WIDEST, 0, 1) ** n) ** (1 / n)
        basal: Floats = 1 - 0.13 * np.clip((s - _WIDEST) / (1 - _WIDEST), 0, 1.2) ** 2
        return self.lv_width_mm / 2 * apical * basal

    def lv_distance(self, u: Floats, v: Floats) -> Floats:
        """Distance from the left ventricle's endocardium (mm), negative in the cavity.

        The cavity is taken to run on below the annulus, where the atrium is.
        """
        u = self.bowed(u, v)
        length, half = _WIDEST * self.lv_length_mm, self.lv_width_mm / 2
        n = self.lv_roundness
        a = np.maximum(length - v, 0) / length
        b = np.abs(u) / half
        rho = (a**n + b**n + 1e-6) ** (1 / n)
        slope = np.hypot((a / rho) ** (n - 1) / length, (b / rho) ** (n - 1) / half)
        apical = (rho - 1) / np.maximum(slope, 1 / length)
        return np.where(v < length, apical, np.abs(u) - self.lv_half_width(v))

    def lv_wall(self, v: Floats, u: Floats) -> Floats:
        """Thickness of the left ventricle's wall (mm); thinner at the apex."""
        share: Floats = 0.68 + 0.32 * np.clip(v / (0.3 * self.lv_length_mm), 0, 1)
        return np.where(u < 0, self.septum_mm * share, self.wall_mm * share)

    def rv_distance(self, u: Floats, v: Floats) -> Floats:
        """Distance from the right ventricle's free wall (mm), negative inside."""
        up = np.maximum(self.tricuspid_v_mm - v, 0)
        half = 0.62 * self.rv_width_mm
        centre = self.rv_inner_u_mm - self.rv_width_mm + half + 0.3 * up
        a, b = up / self.rv_length_mm, np.abs(u - centre) / half
        n = 2.3
        rho: Floats = (a**n + b**n + 1e-6) ** (1 / n)
        slope = np.hypot((a / rho) ** (n - 1) / self.rv_length_mm, (b / rho) ** (n - 1) / half)
        distance: Floats = (rho - 1) / np.maximum(slope, 1 / self.rv_length_mm)
        return distance

    def la_distance(self, u: Floats, v: Floats) -> Floats:
        """Distance from the left atrium's wall (mm), negative inside."""
        return _round_distance(
            u - self.la_centre_u_mm,
            v - self.la_centre_v_mm,
            self.la_half_width_mm,
            self.la_half_height_mm,
        )

    def ra_distance(self, u: Floats, v: Floats) -> Floats:
        """Distance from the right atrium's wall (mm), negative inside."""
        return _round_distance(
            u - self.ra_centre_u_mm,
            v - self.ra_centre_v_mm,
            self.ra_half_width_mm,
            self.ra_half_height_mm,
        )

    def displacement(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        """How far points move from end-diastole to end-systole (mm).

        Args:
            u: Positions across the long axis (mm), any shape.
            v: Positions along it (mm), the same shape.

        Returns:
            Displacements `(du, dv)`, each of that shape.
        """
        length = self.lv_length_mm
        s = v / length
        # Along: the apex stands still, the annulus comes down, the atria's floor stands still.
        rightness = 1 / (1 + np.exp((u - self.rv_inner_u_mm) / 4))
        descent = self.long_shortening * length * (1 - rightness) + self.rv_descent_mm * rightness
        depth = np.where(u > self.septum_u_mm, self.la_half_height_mm, self.ra_half_height_mm)
        dv = -descent * np.clip(s, 0, 1) * np.clip(1 - (v - length) / (1.7 * depth), 0, 1)

        # Across: the endocardium moves most, the epicardium less, so that the wall thickens.
        distance = self.lv_distance(u, v)
        wall = self.lv_wall(v, u)
        share = np.where(
            distance < wall,
            1 - 0.7 * np.clip(distance / wall, 0, 1),
            0.3 * np.exp(-np.maximum(distance - wall, 0) / 12),
        )
        fade = np.clip(1 - (v - length) / 12, 0, 1)
        reach = np.minimum(np.abs(u), self.lv_half_width(np.maximum(v, 0.04 * length)))
        amount = regional_motion(self.akinesia, s, u) * self.short_shortening
        du = -np.sign(u) * reach * np.minimum(amount, 0.66) * share * fade

        beyond = self.rv_inner_u_mm - u  # into the right ventricle from the septum
        inside = np.clip(beyond, 0, self.rv_width_mm)
        outside = np.exp(-np.maximum(beyond - self.rv_width_mm, 0) / 10)
        level = np.clip(s * 2.5 - 0.3, 0, 1) * fade
        return du + self.rv_shortening * inside * outside * level, dv


def _round_distance(u: Floats, v: Floats, half_width: float, half_height: float) -> Floats:
    a, b = np.abs(u) / half_width, np.abs(v) / half_height
    n = 2.4
    rho: Floats = (a**n + b**n + 1e-6) ** (1 / n)
    return (rho - 1) * min(half_width, half_height)


def regional_motion(akinesia: Akinesia, s: Floats, u: Floats) -> Floats:
    """How much of the normal inward motion each place of the left ventricle's wall has.

    Args:
        akinesia: The region that does not move.
        s: Levels as fractions of the long axis, 0 at the apex.
        u: Positions across (mm); their sign tells the septum from the lateral wall.

    Returns:
        Fractions, 0 (still) to 1.
    """
    if akinesia == "apex":
        moving: Floats = 1 / (1 + np.exp((0.42 - s) / 0.05))
        return moving
    # The base of an akinetic wall still moves somewhat, as the neighbours pull it along.
    if akinesia == "septum":
        return np.where(u < 0, 0.05 + 0.3 * np.clip(s - 0.75, 0, 0.25), 1)
    if akinesia == "lateral":
        return np.where(u > 0, 0.05 + 0.3 * np.clip(s - 0.75, 0, 0.25), 1)
    return np.ones_like(s)
