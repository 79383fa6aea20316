"""The statements of a report, in order, before they are put into a reader's words.

A `Statement` names a topic and a case; the wording files have sentences for each pair. Findings
and devices are `needed`, what is normal is `usual`, and the rest (`spare`) fills a report up to
its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from echoclip_r.phantom.report.reading import GRADES, Reading

__all__ = ["SECTIONS", "Rank", "Statement", "describe", "describe_normal"]

Rank = Literal["needed", "usual", "spare"]

SECTIONS = (
    "study",
    "left_ventricle",
    "right_ventricle",
    "atria",
    "mitral",
    "aortic",
    "tricuspid",
    "pulmonic",
    "aorta",
    "pericardium",
    "veins",
    "devices",
    "comparison",
    "remarks",
    "conclusion",
)
"""The sections in the order of a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One thing to say.

    Attributes:
        section: one of `SECTIONS`.
        topic: subject of the statement.
        case: what is said about the topic.
        grade: severity to name, one of `GRADES`, or "".
        rank: how much the report needs the statement.
    """

    section: str
    topic: str
    case: str = "any"
    grade: str = ""
    rank: Rank = "usual"


def describe(reading: Reading) -> list[Statement]:
    """The body of a report, without what the reader leaves out."""
    parts = (
        _study(reading),
        _left_ventricle(reading),
        _right_ventricle(reading),
        _atria(reading),
        _mitral(reading),
        _aortic(reading),
        _right_valves(reading),
        _around(reading),
    )
    return [
        statement for part in parts for statement in part if statement.topic not in reading.left_out
    ]


def describe_normal(reading: Reading) -> list[Statement]:
    """All that a normal report says, the same for every patient."""
    normal = replace(
        reading,
        latents=replace(
            reading.latents, ascending_aorta_mm=32.0, pfo=False, rap_mmhg=3.0, tapse_mm=22.0
        ),
        grades={},
        left_out=frozenset(),
    )
    # Said of all the valves at once, and without a figure.
    unsaid = {"rvsp", "pr", "mr", "tr", "ar", "aortic_stenosis", "mitral_stenosis"}
    said = [statement for statement in describe(normal) if statement.topic not in unsaid]
    said += [
        Statement(section="tricuspid", topic="rvsp", case="unremarkable"),
        Statement(section="pulmonic", topic="valves"),
        Statement(section="conclusion", topic="c_normal"),
        _spare("conclusion", "c_end"),
    ]
    return said


def _finding(
    reading: Reading, section: str, topic: str, *, absent: str = "normal", there: str = "dilated"
) -> Statement:
    grade = reading.grades.get(topic, "")
    if not grade:
        return Statement(section=section, topic=topic, case=absent)
    return Statement(section=section, topic=topic, case=there, grade=grade, rank="needed")


def _spare(section: str, topic: str, case: str = "any") -> Statement:
    return Statement(section=section, topic=topic, case=case, rank="spare")


def _device(reading: Reading, section: str, name: str) -> Iterator[Statement]:
    if name in reading.devices:
        yield Statement(section=section, topic=name, rank="needed")


def _study(reading: Reading) -> Iterator[Statement]:
    study, section = reading.latents, "study"
    yield Statement(section=section, topic="indication")
    yield _spare(section, "technique")
    quality = study.image_quality
    case = "good" if quality > 0.65 else "fair" if quality > 0.4 else "poor"
    yield Statement(section=section, topic="quality", case=case)
    if reading.contrast:
        yield _spare(section, "contrast")
    case = "fibrillation" if study.rhythm == "atrial fibrillation" else study.rhythm
    yield Statement(section=section, topic="rhythm", case=case)
    yield _spare(section, "pressure")
    yield _spare(section, "views")


def _left_ventricle(reading: Reading) -> Iterator[Statement]:
    study, section = reading.latents, "left_ventricle"
    yield _finding(reading, section, "lv_size")
    yield _finding(reading, section, "lv_wall", there="thick")
    grade = reading.grades.get("lv_ef", "")
    yield Statement(
        section=section, topic="lv_ef", case=reading.ef_case, grade=grade, rank="needed"
    )
    motion: str = study.akinesia
    rank: Rank = "usual" if motion == "none" else "needed"
    weak = motion == "none" and sum(reading.ef_percent) / 2 < 42
    case = "global" if weak else motion
    yield Statement(section=section, topic="wall_motion", case=case, rank=rank)
    yield _spare(section, "thrombus")
    yield _spare(section, "strain")
    irregular = study.rhythm == "atrial fibrillation"
    case = "unknown" if irregular else ("normal", *GRADES[1::2])[study.diastolic_grade]
    yield Statement(section=section, topic="diastolic", case=case)
    yield _spare(section, "filling", "raised" if study.e_over_e_prime > 14 else "normal")
    yield _spare(section, "vsd")
    yield _spare(section, "septal_motion")
    yield _spare(section, "outflow")
    if motion == "none":
        yield _spare(section, "aneurysm")


def _right_ventricle(reading: Reading) -> Iterator[Statement]:
    section = "right_ventricle"
    yield _finding(reading, section, "rv_size")
    weak = reading.latents.tapse_mm < 17
    yield Statement(section=section, topic="rv_function", case="reduced" if weak else "normal")
    yield _spare(section, "rv_s")
    yield _spare(section, "rv_wall")
    yield _spare(section, "rv_outflow")
    yield from _device(reading, section, "pacer")


def _atria(reading: Reading) -> Iterator[Statement]:
    section = "atria"
    yield _finding(reading, section, "la_size")
    yield _finding(reading, section, "ra_size")
    if reading.latents.pfo:
        yield Statement(section=section, topic="atrial_septum", case="pfo")
    else:
        yield _spare(section, "atrial_septum", "none")
    yield _spare(section, "atrial_mass")
    yield _spare(section, "pulmonary_veins")
    yield _spare(section, "coronary_sinus")


def _mitral(reading: Reading) -> Iterator[Statement]:
    section = "mitral"
    repaired = "mitraclip" in reading.devices or "ring" in reading.devices
    yield from _device(reading, section, "mitraclip")
    yield from _device(reading, section, "ring")
    if not repaired:
        leaky = reading.grades.get("mr", "") in GRADES[3:]
        yield _spare(section, "mv_structure", "thick" if leaky else "normal")
        yield _spare(section, "papillary")
        yield _spare(section, "annulus")
    yield _finding(reading, section, "mr", absent="none", there="present")
    if repaired:
        yield Statement(section=section, topic="mv_gradient")
    else:
        yield _spare(section, "mitral_stenosis")


def _aortic(reading: Reading) -> Iterator[Statement]:
    section = "aortic"
    yield from _device(reading, section, "tavr")
    yield from _device(reading, section, "impella")
    if "tavr" not in reading.devices:
        stenosed = "aortic_stenosis" in reading.grades
        yield _spare(section, "av_structure", "thick" if stenosed else "normal")
        yield _finding(reading, section, "aortic_stenosis", absent="none", there="present")
    yield _finding(reading, section, "ar", absent="none", there="present")


def _right_valves(reading: Reading) -> Iterator[Statement]:
    yield _spare("tricuspid", "tv_structure")
    yield _finding(reading, "tricuspid", "tr", absent="none", there="present")
    grade = reading.grades.get("rvsp", "")
    yield Statement(
        section="tricuspid",
        topic="rvsp",
        case="raised" if grade else "normal",
        grade=grade,
        rank="needed",
    )
    yield _spare("pulmonic", "pv_structure")
    leaky = "pr" in reading.grades
    yield Statement(
        section="pulmonic",
        topic="pr",
        case="present" if leaky else "none",
        grade=reading.grades.get("pr", ""),
        rank="usual" if leaky else "spare",
    )
    yield _spare("pulmonic", "pulmonary_artery")
    yield _spare("pulmonic", "vegetation")


def _around(reading: Reading) -> Iterator[Statement]:
    study = reading.latents
    yield _finding(reading, "aorta", "root")
    wide = study.ascending_aorta_mm > 40
    yield _spare("aorta", "ascending", "dilated" if wide else "normal")
    yield _spare("aorta", "arch")
    yield _spare("aorta", "descending")
    yield _finding(reading, "pericardium", "effusion", absent="none", there="present")
    if reading.grades.get("effusion", "") in GRADES[3:] and "effusion" not in reading.left_out:
        tight = study.effusion == 3 and study.rap_mmhg > 10
        yield _spare("pericardium", "tamponade", "suspected" if tight else "none")
    yield _spare("pericardium", "pericardium")
    if "effusion" not in reading.grades:
        yield _spare("pericardium", "fat")
    yield _spare("pericardium", "pleura")
    case = "raised" if study.rap_mmhg > 10 else "middle" if study.rap_mmhg > 5 else "normal"
    yield Statement(section="veins", topic="ivc", case=case, rank="needed")
    if case == "normal":
        yield _spare("veins", "hepatic_veins")
    yield from _device(reading, "devices", "transplant")
