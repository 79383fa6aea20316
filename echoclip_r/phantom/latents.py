"""The findings of a phantom patient: the one source of both pictures and reports.

A `Latents` is one study. `sample_patient` draws all the studies of a patient, with the
correlations that make an archive believable: a low ejection fraction goes with a large left
ventricle, mitral regurgitation, a high pulmonary pressure and a large right heart; devices sit
where they are used; anatomy and implants stay the patient's from study to study, unless an event
(valve surgery, a transplant) lies between. Nothing here knows how a picture or a sentence is made.

The numbers are chosen for learning, not for epidemiology: disease and devices are far more common
than in any clinic. Grades follow the cut-offs of the ASE/EACVI chamber quantification guideline
(Lang et al., J Am Soc Echocardiogr 2015;28:1-39) where it gives any.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from echoclip_r.phantom.study import Akinesia, Event, Latents, Sex

__all__ = ["sample_patient"]

# Upper limits of normal, mild and moderate.
_LV_LIMITS_MM: dict[Sex, tuple[float, ...]] = {"M": (58.5, 63.5, 68.5), "F": (52.5, 57.0, 61.5)}
_LA_LIMITS_ML_M2 = (34.5, 41.5, 48.5)
_RV_LIMITS_MM = (41.5, 46.5, 51.5)
_RA_LIMITS_CM2 = (18.5, 22.5, 27.5)


# By site: odds of a normal, a reduced and a severely reduced function, and how common devices are.
_EF_ODDS = ((0.46, 0.27, 0.27), (0.62, 0.24, 0.14))
_DEVICE_RATES = (1.0, 0.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patient:
    """What a patient keeps: liabilities are standard normal deviates."""

    ef_percent: float
    lv: float
    la: float
    rv: float
    ra: float
    wall: float
    pressure: float
    quality: float
    sex: Sex
    stature: float
    aortic_root_mm: float
    pfo: bool
    fibrillation: bool
    akinesia: Akinesia


def sample_patient(patient_index: int, seed: int, *, site: int = 0) -> list[Latents]:
    """Draw one patient's studies.

    Args:
        patient_index: Which patient, from 0; becomes `patient_id`.
        seed: The archive's seed. The same pair always gives the same patient, whichever other
            patients are drawn.
        site: the laboratory, see `echoclip_r.phantom.study.SITES`.

    Returns:
        One to four studies in order of date.

    Raises:
        ValueError: `patient_index` or `seed` is negative.

    >>> studies = sample_patient(3, seed=0)
    >>> studies == sample_patient(3, seed=0), [study.study_index for study in studies][0]
    (True, 0)
    """
    if patient_index < 0 or seed < 0:
        raise ValueError(
            f"patient_index and seed are {patient_index} and {seed}; both must be 0 or more"
        )
    rng = np.random.default_rng([seed, patient_index])
    patient = _draw_patient(rng, _EF_ODDS[site])
    num_studies = int(rng.choice([1, 2, 3, 4], p=[0.45, 0.27, 0.17, 0.11]))
    when = date(2012, 1, 2) + timedelta(days=int(rng.integers(0, 3650)))
    age_years = float(np.clip(rng.normal(64, 15), 20, 92))
    seeds = [int(value) for value in rng.integers(0, 2**31, size=2)]

    studies: list[Latents] = []
    previous: Latents | None = None
    for _ in range(num_studies):
        event: Event = "none"
        if previous is not None:
            days = int(rng.integers(20, 700))
            when, age_years = when + timedelta(days=days), min(age_years + days / 365.25, 99)
            event = _draw_event(rng, previous)
        if event == "transplant":
            patient = _new_heart(rng, patient)
            seeds[0] = seeds[1]
        previous = _draw_study(
            rng,
            patient=patient,
            previous=previous,
            event=event,
            patient_id=patient_index,
            when=when,
            age_years=int(age_years),
            anatomy_seed=seeds[0],
            site=site,
        )
        studies.append(previous)
    return studies


def _draw_patient(rng: np.random.Generator, ef_odds: tuple[float, ...]) -> _Patient:
    mean, spread = [(61.0, 5.0), (43.0, 7.0), (26.0, 6.0)][rng.choice(3, p=ef_odds)]
    ef_percent = float(np.clip(rng.normal(mean, spread), 16, 74))
    failing = (60 - ef_percent) / 20  # about 0 when normal, 2 when severely reduced
    shared = rng.normal()  # congestion: both atria and the right heart together
    pressure = 0.35 * failing + 0.55 * shared + 0.75 * rng.normal()
    akinesia: Akinesia = "none"
    if ef_percent < 56 and rng.random() < 0.42:
        akinesia = ("apex", "septum", "lateral")[rng.integers(3)]
    return _Patient(
        ef_percent=ef_percent,
        lv=float(0.7 * failing + 0.1 + 0.8 * rng.normal()),
        la=float(0.35 * failing + 0.5 * shared - 0.15 + 0.75 * rng.normal()),
        rv=float(0.15 * failing + 0.5 * pressure - 0.2 + 0.8 * rng.normal()),
        ra=float(0.1 * failing + 0.45 * pressure + 0.3 * shared - 0.2 + 0.75 * rng.normal()),
        wall=float(rng.normal() - 0.2 * failing),
        pressure=float(pressure),
        quality=float(np.clip(rng.beta(4, 2.2), 0.05, 1)),
        sex="F" if rng.random() < 0.45 else "M",
        stature=float(rng.normal()),
        aortic_root_mm=float(np.clip(rng.normal(33, 4), 24, 52)),
        pfo=bool(rng.random() < 0.1),
        fibrillation=bool(rng.random() < 0.12 + 0.1 * max(shared, 0)),
        akinesia=akinesia,
    )


def _new_heart(rng: np.random.Generator, patient: _Patient) -> _Patient:
    """The donor's heart in the same body."""
    return _Patient(
        ef_percent=float(np.clip(rng.normal(61, 4), 50, 72)),
        lv=float(rng.normal(-0.6, 0.4)),
        la=float(rng.normal(0.6, 0.5)),  # the recipient's atrial cuff stays
        rv=float(rng.normal(0.0, 0.6)),
        ra=float(rng.normal(0.4, 0.5)),
        wall=float(rng.normal(0.3, 0.6)),
        pressure=float(rng.normal(-0.2, 0.5)),
        quality=patient.quality,
        sex=patient.sex,
        stature=patient.stature,
        aortic_root_mm=patient.aortic_root_mm,
        pfo=False,
        fibrillation=False,
        akinesia="none",
    )


def _draw_event(rng: np.random.Generator, previous: Latents) -> Event:
    if previous.ef_percent < 30 and not previous.transplanted and rng.random() < 0.3:
        return "transplant"
    wants_surgery = previous.mr_grade >= 2 or previous.akinesia != "none"
    operable = not (previous.annuloplasty_ring or previous.mitraclip or previous.transplanted)
    if wants_surgery and operable and rng.random() < 0.4:
        return "surgery"
    return "none"


def _grade(value: float, limits: tuple[float, ...]) -> int:
    return sum(value > limit for limit in limits)


def _draw_grade(rng: np.random.Generator, mean: float, spread: float = 0.8) -> int:
    return int(np.clip(round(rng.normal(mean, spread)), 0, 3))


def _draw_study(
    rng: np.random.Generator,
    *,
    patient: _Patient,
    previous: Latents | None,
    event: Event,
    patient_id: int,
    when: date,
    age_years: int,
    anatomy_seed: int,
    site: int,
) -> Latents:
    devices = _DEVICE_RATES[site]
    # A transplant leaves nothing of the old heart to carry on from.
    kept = None if event == "transplant" else previous
    repaired = event == "surgery" or (kept is not None and kept.annuloplasty_ring)
    ef_percent = float(np.clip(patient.ef_percent + rng.normal(0, 3) + 4 * repaired, 15, 75))

    edd_mm = (50.0 if patient.sex == "M" else 44.5) + 1.5 * patient.stature
    edd_mm = float(np.clip(edd_mm + 8.0 * patient.lv + rng.normal(0, 1), 36, 82))
    la = float(np.clip(30 * np.exp(0.45 * patient.la) + rng.normal(0, 1), 14, 100))
    rv = float(np.clip(37.5 + 8.5 * patient.rv + rng.normal(0, 0.7), 24, 66))
    ra = float(np.clip(16.8 * np.exp(0.4 * patient.ra) + rng.normal(0, 0.5), 9, 46))
    la_dilation, rv_dilation = _grade(la, _LA_LIMITS_ML_M2), _grade(rv, _RV_LIMITS_MM)
    ra_dilation = _grade(ra, _RA_LIMITS_CM2)
    wall_mm = float(np.clip(9.8 + 1.9 * patient.wall + rng.normal(0, 0.3), 6.5, 18))

    pacer = (kept is not None and kept.pacer_lead) or bool(
        rng.random() < devices * (0.22 if ef_percent < 35 else 0.09)
    )
    clip = (kept is not None and kept.mitraclip) or bool(
        not repaired
        and age_years > 50
        and rng.random() < devices * (0.20 if ef_percent < 50 else 0.09)
    )
    tavr = (kept is not None and kept.tavr) or bool(
        age_years > 62 and rng.random() < devices * 0.21
    )
    impella = bool(ef_percent < 45 and not tavr and rng.random() < devices * 0.54)
    fibrillation = patient.fibrillation and not (pacer and rng.random() < 0.3)

    mr_mean = 0.4 + 0.5 * la_dilation + (0.6 if ef_percent < 35 else 0.1) - (clip + repaired)
    mr_grade = _draw_grade(rng, mr_mean)
    tr_grade = _draw_grade(rng, 0.2 + 0.4 * rv_dilation + 0.35 * ra_dilation + 0.3 * pacer)
    as_grade = 0 if tavr or age_years < 50 else _draw_grade(rng, 0.02 * (age_years - 45), 1.0)
    ar_grade = _draw_grade(rng, 0.3 + 0.2 * tavr, 0.6)
    pap = 30 + 13 * patient.pressure + 4 * mr_grade + rng.normal(0, 3)
    rap = rng.choice([3, 8, 15], p=_rap_odds(ra_dilation + 0.5 * rv_dilation))
    effusion = int(rng.choice(4, p=[0.79, 0.07, 0.07, 0.07]))
    stiff = 0.3 + 0.5 * la_dilation + (0.6 if ef_percent < 45 else 0) + 0.01 * (age_years - 60)
    diastolic = _draw_grade(rng, stiff, 0.7)
    mean_gradient = (
        [6, 14, 28, 46][as_grade] if not tavr else 10  # a TAVR's own, small gradient
    ) * float(np.exp(rng.normal(0, 0.18)))
    rate = 70 + 8 * (ef_percent < 35) + 12 * fibrillation + rng.normal(0, 11)
    # The operator takes as much depth as the heart needs.
    size_cm = 0.06 * (edd_mm - 48) + 0.03 * (la - 30) + 0.04 * (rv - 37) + 0.25 * effusion
    systolic_mmhg = int(np.clip(rng.normal(126, 17) - 12 * (ef_percent < 30), 84, 200))
    return Latents(
        patient_id=patient_id,
        study_index=0 if previous is None else previous.study_index + 1,
        date=when,
        age_years=age_years,
        sex=patient.sex,
        anatomy_seed=anatomy_seed,
        study_seed=int(rng.integers(0, 2**31)),
        ef_percent=ef_percent,
        lv_edd_mm=edd_mm,
        wall_thickness_mm=wall_mm,
        lv_dilation=_grade(edd_mm, _LV_LIMITS_MM[patient.sex]),
        rv_dilation=rv_dilation,
        la_dilation=la_dilation,
        ra_dilation=ra_dilation,
        la_volume_index_ml_m2=la,
        rv_basal_mm=rv,
        ra_area_cm2=ra,
        akinesia=patient.akinesia,
        effusion=effusion,
        pacer_lead=pacer,
        impella=impella,
        tavr=tavr,
        mitraclip=clip,
        annuloplasty_ring=repaired,
        transplanted=event == "transplant" or (kept is not None and kept.transplanted),
        event=event,
        mr_grade=mr_grade,
        tr_grade=tr_grade,
        as_grade=as_grade,
        pap_mmhg=float(np.clip(pap, 14, 105)),
        rap_mmhg=float(rap),
        heart_rate_bpm=float(np.clip(rate, 45, 135)),
        image_quality=float(np.clip(patient.quality + rng.normal(0, 0.07), 0.05, 1)),
        gain=float(np.clip(rng.normal(0, 0.4), -1, 1)),
        depth_cm=float(np.clip(rng.normal(16.7, 1.0) + size_cm, 14, 23)),
        ar_grade=ar_grade,
        site=site,
        diastolic_grade=diastolic,
        e_over_e_prime=float(np.clip(7 + 3.2 * diastolic + rng.normal(0, 1.5), 4, 32)),
        tapse_mm=float(
            np.clip(rng.normal(22 - 2.2 * rv_dilation - 2 * (ef_percent < 35), 2), 9, 30)
        ),
        av_peak_gradient_mmhg=mean_gradient * float(rng.uniform(1.55, 1.8)),
        av_mean_gradient_mmhg=mean_gradient,
        mv_mean_gradient_mmhg=float(np.clip(rng.normal(2 + 2.2 * (clip or repaired), 0.7), 1, 9)),
        aortic_root_mm=float(patient.aortic_root_mm + rng.normal(0, 0.5)),
        ascending_aorta_mm=float(patient.aortic_root_mm + rng.normal(1, 1.5)),
        ivc_mm=float(np.clip(rng.normal({3: 15, 8: 20, 15: 25}[int(rap)], 1.5), 9, 34)),
        pfo=patient.pfo,
        rhythm="atrial fibrillation" if fibrillation else "paced" if pacer else "sinus",
        blood_pressure_mmhg=(systolic_mmhg, int(systolic_mmhg * rng.uniform(0.54, 0.66))),
    )


def _rap_odds(congestion: float) -> list[float]:
    high, middle = min(0.03 + 0.11 * congestion, 0.6), min(0.15 + 0.07 * congestion, 0.4)
    return [1 - high - middle, middle, high]
