"""A reader's findings in a phantom study, before any word is chosen.

A reader sees the latents through noise: an ejection fraction a few points off and rounded, a
grade that is off by one now and then, a finding that is left out now and then. Findings that no
picture shows and that the latents lack (strain, valve area, ...) are drawn here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from echoclip_r.phantom.study import Latents

__all__ = ["DEVICES", "GRADES", "EfHabit", "Reading", "read_study"]

EfHabit = Literal["fives", "range", "exact"]

DEVICES = ("pacer", "impella", "tavr", "mitraclip", "ring", "transplant")
"""The devices as reports name them, in the order in which they are listed."""

GRADES = ("trace", "mild", "mild_moderate", "moderate", "moderate_severe", "severe")
"""The names of the grades of severity, in order."""

_WHOLE = ("", "mild", "moderate", "severe")
_BETWEEN = {"mild": "mild_moderate", "moderate": "moderate_severe"}
_VALVES = ("mr", "ar", "tr", "pr")

_MENTIONED = 0.97
_OFF_BY_ONE = 0.06
_IN_BETWEEN = 0.12
_TRACE = 0.4

# Upper limits of normal, mild and moderate.
_WALL_LIMITS_MM = {"M": (11.5, 13.5, 16.5), "F": (10.5, 13.0, 15.5)}
_PAP_LIMITS_MMHG = (36.0, 50.0, 65.0)
_ROOT_LIMITS_MM = (40.0, 44.0, 49.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One study as one reader sees it.

    Attributes:
        latents: the truth, which is used where a reader does not grade.
        ef_percent: lowest and highest ejection fraction stated; equal when it is one figure.
        grades: severity of each finding that is there, one of `GRADES`; a finding that the
            reader does not see is absent.
        left_out: findings and devices that the reader forgets to mention.
        devices: the devices that are there, a subset of `DEVICES`.
        numbers: measurements as they are written, by name.
        contrast: whether an enhancing agent was given.
    """

    latents: Latents
    ef_percent: tuple[int, int]
    grades: Mapping[str, str]
    left_out: frozenset[str]
    devices: tuple[str, ...]
    numbers: Mapping[str, str]
    contrast: bool

    @property
    def ef_case(self) -> str:
        """The kind of ejection fraction: `normal`, `borderline` or `reduced`."""
        low, high = self.ef_percent
        if low >= 55:
            return "normal"
        return "borderline" if (low + high) / 2 >= 50 else "reduced"

    @property
    def is_normal(self) -> bool:
        """Whether the reader finds nothing that a normal report does not cover.

        A trivial or mild leak counts as physiological, and two more mild findings are passed over.
        """
        study = self.latents
        mild = [name for name in self.grades if name not in _VALVES]
        return (
            self.ef_case == "normal"
            and not self.devices
            and set(self.grades.values()) <= set(GRADES[:2])
            and not {"effusion", "aortic_stenosis"} & set(mild)
            and len(mild) <= 2
            and study.akinesia == "none"
            and study.tapse_mm >= 17
            and study.rap_mmhg < 10
            and study.rhythm == "sinus"
        )


def read_study(latents: Latents, *, ef_habit: EfHabit, rng: np.random.Generator) -> Reading:
    """Look at a study as a reader does.

    Args:
        latents: the study.
        ef_habit: how this reader gives an ejection fraction: rounded to five, as a range of
            five, or as the exact figure.
        rng: source of the reader's noise.

    Returns:
        The reading.
    """
    pap_mmhg = float(np.clip(latents.pap_mmhg + rng.normal(0, 2.5), 14, 110))
    truth = {
        "lv_size": latents.lv_dilation,
        "rv_size": latents.rv_dilation,
        "la_size": latents.la_dilation,
        "ra_size": latents.ra_dilation,
        "lv_wall": _grade(latents.wall_thickness_mm, _WALL_LIMITS_MM[latents.sex]),
        "mr": latents.mr_grade,
        "aortic_stenosis": latents.as_grade,
        "ar": latents.ar_grade,
        "tr": latents.tr_grade,
        "pr": int(rng.choice([0, 1, 2], p=[0.55, 0.4, 0.05])),
        "effusion": latents.effusion,
        "root": _grade(latents.aortic_root_mm, _ROOT_LIMITS_MM),
    }
    grades = {}
    for name, grade in truth.items():
        if seen := _see(name, grade, rng):
            grades[name] = seen
    if pressure := _grade(pap_mmhg, _PAP_LIMITS_MMHG):
        grades["rvsp"] = _WHOLE[pressure]
    ef_percent = _read_ef(latents.ef_percent, ef_habit, rng)
    if sum(ef_percent) / 2 < 50:
        grades["lv_ef"] = _grade_ef(sum(ef_percent) / 2)
    present = (
        latents.pacer_lead,
        latents.impella,
        latents.tavr,
        latents.mitraclip,
        latents.annuloplasty_ring,
        latents.transplanted,
    )
    devices = tuple(name for name, there in zip(DEVICES, present, strict=True) if there)
    forgettable = (set(grades) - {"lv_ef", "rvsp"}) | set(devices) | {"wall_motion"}
    return Reading(
        latents=latents,
        ef_percent=ef_percent,
        grades=grades,
        left_out=frozenset(
            name for name in sorted(forgettable) if float(rng.random()) > _MENTIONED
        ),
        devices=devices,
        numbers=_measure(latents, pap_mmhg, rng),
        contrast=latents.image_quality < 0.45 and bool(rng.random() < 0.6),
    )


def _grade(value: float, limits: tuple[float, ...]) -> int:
    return sum(value > limit for limit in limits)


def _see(name: str, grade: int, rng: np.random.Generator) -> str:
    """The severity that a reader gives a finding; "" where none is seen."""
    luck, trace = rng.random(2)
    off = int(luck < _OFF_BY_ONE / 2) - int(_OFF_BY_ONE / 2 <= luck < _OFF_BY_ONE)
    if name == "effusion":
        # How much fluid there is can be disputed, whether there is any hardly.
        grade = int(np.clip(grade + off, 1, 3)) if grade else 0
    elif grade or name in _VALVES:
        # What is measured is not called enlarged beside a normal figure.
        grade = int(np.clip(grade + off, 0, 3))
    word = _WHOLE[grade]
    if not word:
        return "trace" if name in _VALVES and trace < _TRACE else ""
    if name not in ("effusion", "root") and 1 - luck < _IN_BETWEEN:
        return _BETWEEN.get(word, word)
    return word


def _read_ef(truth_percent: float, habit: EfHabit, rng: np.random.Generator) -> tuple[int, int]:
    seen = truth_percent + float(rng.uniform(-3, 3))
    if habit == "exact":
        return round(seen), round(seen)
    if habit == "fives":
        nearest = 5 * round(seen / 5)
        return nearest, nearest
    low = 5 * int(seen // 5)
    return low, low + 5


def _grade_ef(percent: float) -> str:
    if percent >= 41:
        return "mild"
    if percent >= 39:
        return "mild_moderate"
    if percent >= 31:
        return "moderate"
    return "moderate_severe" if percent >= 29 else "severe"


def _measure(latents: Latents, pap_mmhg: float, rng: np.random.Generator) -> dict[str, str]:
    """What is written for each measurement, as figures without a unit."""
    error = rng.normal(0, 1, size=8)
    edd_mm = latents.lv_edd_mm + error[0]
    wall_mm = latents.wall_thickness_mm + 0.4 * error[1]
    base_mm = latents.rv_basal_mm + error[2]
    tapse_mm = latents.tapse_mm
    # Simplified Bernoulli: a pressure drop of 4 v^2.
    peak_m_s = float(np.sqrt(latents.av_peak_gradient_mmhg / 4))
    area_cm2 = (2.3, 1.7, 1.25, 0.8)[latents.as_grade] * float(np.exp(0.08 * error[3]))
    systolic, diastolic = latents.blood_pressure_mmhg
    return {
        "age": str(latents.age_years),
        "hr": f"{latents.heart_rate_bpm:.0f}",
        "bp": f"{systolic}/{diastolic}",
        "edd_mm": f"{edd_mm:.0f}",
        "edd_cm": f"{edd_mm / 10:.1f}",
        "wall_mm": f"{wall_mm:.0f}",
        "wall_cm": f"{wall_mm / 10:.1f}",
        "gls": f"{np.clip(0.33 * latents.ef_percent + error[4], 3, 25):.1f}",
        "ee": f"{latents.e_over_e_prime:.0f}",
        "rvd_mm": f"{base_mm:.0f}",
        "rvd_cm": f"{base_mm / 10:.1f}",
        "tapse_mm": f"{tapse_mm:.0f}",
        "tapse_cm": f"{tapse_mm / 10:.1f}",
        "s_cm": f"{np.clip(0.5 * tapse_mm + error[5], 4, 18):.0f}",
        "lavi": f"{latents.la_volume_index_ml_m2 + error[6]:.0f}",
        "raa": f"{latents.ra_area_cm2 + 0.5 * error[7]:.0f}",
        "mvg": f"{latents.mv_mean_gradient_mmhg:.0f}",
        "avm": f"{latents.av_mean_gradient_mmhg:.0f}",
        "avp": f"{latents.av_peak_gradient_mmhg:.0f}",
        "vmax": f"{peak_m_s:.1f}",
        "ava": f"{area_cm2:.1f}",
        "pap": f"{pap_mmhg:.0f}",
        "rap": f"{latents.rap_mmhg:.0f}",
        "root_mm": f"{latents.aortic_root_mm:.0f}",
        "root_cm": f"{latents.aortic_root_mm / 10:.1f}",
        "asc_mm": f"{latents.ascending_aorta_mm:.0f}",
        "asc_cm": f"{latents.ascending_aorta_mm / 10:.1f}",
        "ivc_mm": f"{latents.ivc_mm:.0f}",
        "ivc_cm": f"{latents.ivc_mm / 10:.1f}",
    }
