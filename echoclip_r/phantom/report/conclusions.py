"""The end of a report: what has changed since the study before, and the conclusion."""

from __future__ import annotations

from echoclip_r.phantom.report.reading import DEVICES, GRADES, Reading
from echoclip_r.phantom.report.statements import Statement

__all__ = ["compare", "conclude", "list_findings", "list_new_devices"]

_MAX_ITEMS = 5
_LISTED = (
    "wall_motion",
    "lv_size",
    "lv_wall",
    "rv_size",
    "rv_function",
    "la_size",
    "ra_size",
    "mr",
    "aortic_stenosis",
    "ar",
    "tr",
    "rvsp",
    "effusion",
)


def list_new_devices(reading: Reading, prior: Reading) -> tuple[str, ...]:
    """Devices that are new since the reading before."""
    new = set(reading.devices) - set(prior.devices) - reading.left_out
    return tuple(name for name in DEVICES if name in new and name not in ("ring", "transplant"))


def compare(reading: Reading, prior: Reading | None) -> list[Statement]:
    """What is said of an earlier study; `prior` is None where there is none."""
    if prior is None:
        return [Statement(section="comparison", topic="prior", case="none", rank="spare")]
    step = sum(reading.ef_percent) / 2 - sum(prior.ef_percent) / 2
    case = "better" if step >= 8 else "worse" if step <= -8 else ""
    since: list[str] = []
    event = reading.latents.event
    if event != "none":
        since.append(event)
    if list_new_devices(reading, prior):
        since.append("device")
    if "effusion" not in reading.left_out | prior.left_out:
        size = [GRADES.index(one.grades.get("effusion", "trace")) for one in (prior, reading)]
        if size[0] != size[1] and min(size) > 0:
            since.append("effusion_more" if size[1] > size[0] else "effusion_less")
    pressure = reading.latents.pap_mmhg - prior.latents.pap_mmhg
    if abs(pressure) > 10 and abs(_pap(reading) - _pap(prior)) > 8:
        since.append("pap_more" if pressure > 0 else "pap_less")
    if not case and not since:
        case = "same"
    pairs = [("prior", case)] * bool(case) + [("since", change) for change in since]
    return [
        Statement(section="comparison", topic=topic, case=name, rank="needed")
        for topic, name in pairs
    ]


def _pap(reading: Reading) -> int:
    return int(reading.numbers["pap"])


def conclude(reading: Reading) -> list[Statement]:
    """The conclusion; its list is that of `list_findings`."""
    section = "conclusion"
    said = [
        Statement(
            section=section,
            topic="c_ef",
            case=reading.ef_case,
            grade=reading.grades.get("lv_ef", ""),
            rank="needed",
        )
    ]
    if list_findings(reading):
        said.append(Statement(section=section, topic="c_list", rank="needed"))
    if set(reading.devices) - reading.left_out:
        said.append(Statement(section=section, topic="c_devices", rank="usual"))
    said.append(Statement(section=section, topic="c_end", rank="spare"))
    return said


def list_findings(reading: Reading) -> list[str]:
    """Findings that a conclusion lists: the gravest ones, in the order of the report."""
    found: dict[str, int] = {}
    for name in _LISTED:
        if name in reading.left_out:
            continue
        grade = reading.grades.get(name, "trace")
        if GRADES.index(grade) > 0:
            found[name] = GRADES.index(grade)
    if reading.latents.akinesia != "none" and "wall_motion" not in reading.left_out:
        found["wall_motion"] = len(GRADES)
    if reading.latents.tapse_mm < 17:
        found["rv_function"] = 3
    gravest = sorted(found, key=lambda name: -found[name])[:_MAX_ITEMS]
    return [name for name in _LISTED if name in gravest]
