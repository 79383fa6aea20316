"""One study of a phantom patient: all its findings, as numbers and grades."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import Literal, get_args

Sex = Literal["F", "M"]
Akinesia = Literal["none", "apex", "septum", "lateral"]
Event = Literal["none", "surgery", "transplant"]
Rhythm = Literal["sinus", "atrial fibrillation", "paced"]

_CHOICES = {"sex": Sex, "akinesia": Akinesia, "event": Event, "rhythm": Rhythm}
_GRADES = (
    "lv_dilation",
    "rv_dilation",
    "la_dilation",
    "ra_dilation",
    "effusion",
    "mr_grade",
    "tr_grade",
    "as_grade",
    "ar_grade",
    "diastolic_grade",
)
SITES = (0, 1)
"""Laboratories that were made up. Choices are made on the first. The second has a narrower sector
with coarser speckle and more noise, other readers, and fewer of the sick and of devices."""

# Inclusive limits. The renderer and the readers know no values outside of these.
_RANGES: dict[str, tuple[float, float]] = {
    "age_years": (18, 100),
    "ef_percent": (15, 75),
    "lv_edd_mm": (34, 85),
    "wall_thickness_mm": (6, 20),
    "la_volume_index_ml_m2": (12, 110),
    "rv_basal_mm": (22, 70),
    "ra_area_cm2": (8, 50),
    "pap_mmhg": (12, 110),
    "rap_mmhg": (3, 20),
    "heart_rate_bpm": (40, 150),
    "image_quality": (0, 1),
    "gain": (-1, 1),
    "depth_cm": (12, 24),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Latents:
    """One study of one phantom patient. Grades: 0 none, 1 mild, 2 moderate, 3 severe."""

    patient_id: int
    study_index: int
    """Place among the patient's studies, by date, from 0."""
    date: date
    age_years: int
    sex: Sex
    anatomy_seed: int
    """Seeds the shape, tilt and wall texture of this heart; a transplant brings a new one."""
    study_seed: int
    """Seeds what differs between the studies of one heart: probe position, shadows, noise."""

    ef_percent: float
    lv_edd_mm: float
    """Left ventricular inner diameter at end-diastole."""
    wall_thickness_mm: float
    lv_dilation: int
    rv_dilation: int
    la_dilation: int
    ra_dilation: int
    la_volume_index_ml_m2: float
    rv_basal_mm: float
    ra_area_cm2: float
    akinesia: Akinesia
    effusion: int
    """Pericardial effusion: 0 none, 1 small, 2 moderate, 3 large."""

    pacer_lead: bool
    impella: bool
    tavr: bool
    mitraclip: bool
    annuloplasty_ring: bool
    """A mitral ring, left by surgery."""
    transplanted: bool
    """Whether the patient had a transplant before this study, however long ago."""
    event: Event
    """The event since the patient's previous study."""

    mr_grade: int
    tr_grade: int
    as_grade: int
    """Native aortic stenosis; 0 once a TAVR is in place."""
    pap_mmhg: float
    """Systolic pulmonary artery pressure."""
    rap_mmhg: float
    heart_rate_bpm: float

    image_quality: float
    """0 barely diagnostic to 1 excellent."""
    gain: float
    """Overall receive gain, -1 dark to 1 bright."""
    depth_cm: float

    # Findings that no B-mode picture shows.
    ar_grade: int
    diastolic_grade: int
    e_over_e_prime: float
    tapse_mm: float
    av_peak_gradient_mmhg: float
    av_mean_gradient_mmhg: float
    mv_mean_gradient_mmhg: float
    aortic_root_mm: float
    ascending_aorta_mm: float
    ivc_mm: float
    pfo: bool
    rhythm: Rhythm
    blood_pressure_mmhg: tuple[int, int]
    """Systolic and diastolic arterial pressure during the study."""

    site: int = 0
    """The laboratory, one of `SITES`: its scanner, its readers, and who comes to it."""

    def __post_init__(self) -> None:
        if self.site not in SITES:
            raise ValueError(f"Latents.site is {self.site!r}; give one of {SITES}")
        for name, kind in _CHOICES.items():
            if getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"Latents.{name} is {getattr(self, name)!r}; give one of {get_args(kind)}"
                )
        for name in _GRADES:
            if getattr(self, name) not in (0, 1, 2, 3):
                raise ValueError(f"Latents.{name} is {getattr(self, name)!r}; give 0, 1, 2 or 3")
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(
                    f"Latents.{name} is {getattr(self, name)!r}; give a value in {low} to {high}"
                )

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all latents, in order."""
        return tuple(field.name for field in fields(cls))
