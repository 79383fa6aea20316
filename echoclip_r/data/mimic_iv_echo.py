"""MIMIC-IV-ECHO: `echo-record-list.csv`, `echo-study-list.csv`, and DICOM files in `files`.

The archive (Gow et al., PhysioNet) lists its clips and studies. The list of studies names the note
of each study (in MIMIC-IV-Note, for those who have it) and its structured measurements
(`structured-measurement.csv`, release 1.0). A study's report is its note where a table of notes is
given. Where there is none, its measurements are written out, which the column `report_from` and a
remark say: such text is for testing measurements, not retrieval. Measurements that are numbers
become labels under the archive's names, such as `lvef`.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from echoclip_r.data.archives import (
    Findings,
    check_percentages,
    find_root,
    inside,
    number,
    only_there,
    read_list,
    read_texts,
)
from echoclip_r.data.cells import AS_IT_IS, TableFormat
from echoclip_r.errors import ManifestError

__all__ = ["rows"]

_ARCHIVE = "MIMIC-IV-ECHO"
_CLIPS, _STUDIES = "echo-record-list.csv", "echo-study-list.csv"
_MEASUREMENTS = ("structured-measurement.csv", "structured_measurement.csv")
_DOWNLOADS = (
    "files/mimic-iv-echo/1.0",
    "physionet.org/files/mimic-iv-echo/1.0",
    "files/mimic-iv-echo/0.1",
    "physionet.org/files/mimic-iv-echo/0.1",
)
_FRACTIONS = ("lvef", "biplane_lvef", "lvef_3d")
_OURS = {"study_id", "patient_id", "video", "report", "split", "view", "date", "exclude", "series"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measurement:
    """One measurement of a study: its name, what it is called in words, the result, the unit."""

    name: str
    words: str
    result: str
    unit: str


def rows(
    root: Path,
    *,
    reports: Path | None = None,
    form: TableFormat = AS_IT_IS,
    findings: Findings | None = None,
) -> Iterator[dict[str, str]]:
    """The rows of the manifest; videos are relative to the folder that is given.

    Args:
        root: the folder that holds `echo-record-list.csv`, or the one that was downloaded into.
        reports: a table of notes with the columns `note_id` (or `study_id`) and `text` (or
            `report`), or None.
        form: how that table is written, and what its columns are called.
        findings: gets sentences on what is missing and on what stands for reports.

    Raises:
        ManifestError: a list cannot be read or used, the ejection fractions are fractions, no note
            of the table belongs to a study, or no clip is there.
    """
    findings = findings or Findings()
    base = find_root(root, *_packed(_CLIPS), archive=_ARCHIVE, below=_DOWNLOADS)
    clips = list(_read(base, _CLIPS, ("subject_id", "study_id", "dicom_filepath")))
    studies = {
        record["study_id"]: record
        for _, record in _read(base, _STUDIES, ("subject_id", "study_id"))
    }
    wanted = {record["study_id"] for _, record in clips}
    measured = _measurements(base, {name: studies.get(name, {}) for name in wanted}, findings)
    notes = {} if reports is None else _notes(reports, form, wanted, studies)
    labels = _labels(measured)
    found = []
    origins: dict[str, str] = {}
    for where, record in clips:
        study = record["study_id"]
        about = studies.get(study, {})
        if about and about["subject_id"] != record["subject_id"]:
            raise ManifestError(f"{where}: another subject_id than {_STUDIES} has for its study")
        ours = measured.get(study, ())
        written = " ".join(map(_sentence, ours))
        text = notes.get(study) or written
        origins[study] = "note" if notes.get(study) else "measurements" if written else "none"
        file = inside(record["dicom_filepath"], f"{where}, column 'dicom_filepath'")
        date = about.get("study_datetime") or record.get("acquisition_datetime", "")
        values = {one.name: one.result for one in ours}
        found.append(
            {
                "study_id": study,
                "patient_id": record["subject_id"],
                "video": (base / file).relative_to(root).as_posix(),
                "report": text,
                "report_from": origins[study],
                "date": date[:10],
                **{name: values.get(name, "") for name in labels},
            }
        )
    kept = list(only_there(root, found, findings, listed_in=_CLIPS))
    _say_origins({row["study_id"]: origins[row["study_id"]] for row in kept}, findings)
    yield from kept


def _packed(*names: str) -> list[str]:
    """What a list may be called: it may be packed."""
    return [spelling for name in names for spelling in (name, f"{name}.gz")]


def _file(base: Path, *names: str) -> Path | None:
    """The list of one of these names, packed or not, or None."""
    return next((base / name for name in _packed(*names) if (base / name).is_file()), None)


def _read(base: Path, name: str, needed: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    path = _file(base, name)
    if path is None:
        raise ManifestError(
            f"{base}: it holds no {name}; the archive has {_CLIPS} and {_STUDIES} beside the "
            "folder files: download both"
        )
    yield from read_list(path, needed=needed, ids=("study_id",), archive=_ARCHIVE)


def _measurements(
    base: Path, studies: Mapping[str, Mapping[str, str]], findings: Findings
) -> dict[str, tuple[_Measurement, ...]]:
    """The measurements of each study that has clips."""
    study_of = {
        about["measurement_id"]: study
        for study, about in studies.items()
        if about.get("measurement_id")
    }
    path = _file(base, *_MEASUREMENTS)
    if path is None or not study_of:
        why = f"there is no {_MEASUREMENTS[0]}" if path is None else f"{_STUDIES} names none"
        findings.remarks.append(f"no structured measurements: {why} (release 1.0 has them)")
        return {}
    found: dict[str, list[_Measurement]] = defaultdict(list)
    needed = ("measurement_id", "measurement", "result")
    for _, record in read_list(path, needed=needed, ids=("measurement_id",), archive=_ARCHIVE):
        study = study_of.get(record["measurement_id"])
        if study is None or not record["result"] or not record["measurement"]:
            continue
        words = record.get("measurement_description") or record["measurement"].replace("_", " ")
        found[study].append(
            _Measurement(
                name=re.sub(r"\W+", "_", record["measurement"].strip().lower()),
                words=" ".join(words.split()),
                result=record["result"],
                unit=record.get("unit", ""),
            )
        )
    fractions = [
        number(one.result) for ours in found.values() for one in ours if one.name in _FRACTIONS
    ]
    check_percentages(fractions, f"{path}, measurement lvef")
    return {study: tuple(ours) for study, ours in found.items()}


def _labels(measured: Mapping[str, tuple[_Measurement, ...]]) -> list[str]:
    """The measurements that are numbers wherever they are made, in order of their names."""
    numeric: dict[str, bool] = {}
    for ours in measured.values():
        for one in ours:
            is_number = not math.isnan(number(one.result))
            numeric[one.name] = numeric.get(one.name, True) and is_number
    return sorted(name for name, is_number in numeric.items() if is_number and name not in _OURS)


def _sentence(one: _Measurement) -> str:
    unit = one.unit.strip()
    space = "" if unit in ("", "%") else " "
    return f"{one.words[:1].upper()}{one.words[1:]}: {one.result}{space}{unit}."


def _notes(
    path: Path,
    form: TableFormat,
    wanted: set[str],
    studies: Mapping[str, Mapping[str, str]],
) -> dict[str, str]:
    """The note of each study that has one."""
    name_of = {study: studies.get(study, {}).get("note_id", "") for study in wanted}
    # The notes of all of MIMIC-IV are many gigabytes: only those of studies are kept.
    key, texts = read_texts(
        path,
        keys={"note_id": ("note_id",), "study_id": ("study_id",)},
        texts=("text", "report"),
        form=form,
        wanted={"note_id": {*name_of.values()}, "study_id": wanted},
    )
    if key == "study_id":
        name_of = {study: study for study in wanted}
    found = {study: texts[name] for study, name in name_of.items() if texts.get(name)}
    if not found:
        raise ManifestError(
            f"{path}: none of its {len(texts):,} values of {key!r} belongs to one of "
            f"the {len(wanted):,} studies; notes of echocardiograms are part of MIMIC-IV-Note"
        )
    return found


def _say_origins(origins: Mapping[str, str], findings: Findings) -> None:
    counts = {kind: sum(one == kind for one in origins.values()) for kind in set(origins.values())}
    total = len(origins)
    if written := counts.get("measurements"):
        findings.remarks.append(
            f"{written:,} of {total:,} studies have no note here: what stands for their report is "
            "written from their measurements (report_from says so). It is for testing "
            "measurements, not retrieval"
        )
    if blank := counts.get("none"):
        findings.remarks.append(
            f"{blank:,} of {total:,} studies have neither a note nor measurements; `prepare` will "
            "leave their clips out"
        )
