"""A folder of DICOM files, of any depth and beside files of any kind: rows for a manifest.

Ids, series, views and dates are from the headers. Reports are from a table and are joined by
accession number or by Study Instance UID, whichever of the two the table has. No other tag is read,
and no error quotes an id (I9): it names rows and counts.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from echoclip_r.data.archives import Findings, read_texts
from echoclip_r.data.cells import AS_IT_IS, TableFormat
from echoclip_r.errors import ManifestError
from echoclip_r.jobs.progress import Progress

__all__ = ["rows"]

_KEYS = {
    "accession": ("accession", "accession_number", "accessionnumber", "acc", "acc_no"),
    "study_uid": ("study_uid", "studyinstanceuid", "study_instance_uid", "studyuid"),
}
_TAGS = (
    "SOPClassUID",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "AccessionNumber",
    "StudyDate",
    "AcquisitionDate",
    "ContentDate",
    "SeriesDescription",
    "ViewName",
    "ViewCodeSequence",
    "NumberOfFrames",
    "Rows",
)
_DICOMDIR = "1.2.840.10008.1.3.10"
_FORM_LENGTH = 40
_TEXTS = ("report", "text", "report_text")
_VIEW_NAME = re.compile(
    r"(?:a|ap|apical)?[ -]?(?:[2-5]|two|three|four|five)[ -]?(?:c|ch|chamber|chambers)(?: view)?"
    r"|(?:plax|psax|p[ls]ax|sax|lax|a?lax)(?:[ -]?(?:av|mv|pm|pap|apex|base|mid))?(?: view)?"
    r"|parasternal (?:long|short)[ -]axis(?: view)?|apical long[ -]axis(?: view)?"
    r"|(?:subcostal|sc|ssn|suprasternal|rvot|rv inflow)(?: notch| ivc| [2-5]c| view)?",
    re.IGNORECASE,
)


def rows(
    root: Path,
    *,
    reports: Path | None = None,
    form: TableFormat = AS_IT_IS,
    findings: Findings | None = None,
) -> Iterator[dict[str, str]]:
    """The rows of the manifest; videos are relative to the folder.

    Args:
        root: the folder.
        reports: a table with the columns `accession` or `study_uid`, and `report`; None leaves
            the reports blank.
        form: how that table is written, and what its columns are called.
        findings: gets sentences on files that were left out and ids that do not match.

    Raises:
        ManifestError: no DICOM clip is there, the table cannot be used, or no id of it is one of
            a file.
    """
    findings = findings or Findings()
    found = sorted(_clips(root, findings), key=_order)
    if not found:
        raise ManifestError(
            f"{root}: no DICOM file with pixels is there, nor in a folder below it"
            + "".join(f"; {remark}" for remark in findings.remarks)
        )
    key, texts = "study_uid", dict[str, str]()
    if reports is not None:
        key, texts = read_texts(reports, keys=_KEYS, texts=_TEXTS, form=form)
        _check_match(root, reports, key, found, texts, findings)
    for clip in found:
        study = clip[key] or clip["study_uid"]
        yield {
            "study_id": study,
            "patient_id": clip["patient_id"] or study,
            "video": clip["video"],
            "report": texts.get(clip[key], ""),
            "view": clip["view"],
            "date": clip["date"],
            "series": clip["series"],
        }


def _order(clip: Mapping[str, str]) -> tuple[str, ...]:
    numbers = (clip[name].zfill(9) for name in ("series_number", "instance_number"))
    return (clip["patient_id"], clip["date"], clip["study_uid"], *numbers, clip["video"])


def _clips(root: Path, findings: Findings) -> Iterator[dict[str, str]]:
    paths = sorted(Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    left_out: Counter[str] = Counter()
    no_patient = 0
    with Progress(len(paths), unit="files", what="headers") as bar:
        for path in paths:
            clip = _header(path)
            if isinstance(clip, str):
                left_out[clip] += 1
            else:
                no_patient += not clip["patient_id"]
                yield {**clip, "video": path.relative_to(root).as_posix()}
            bar.advance()
    for what, count in sorted(left_out.items(), key=lambda item: -item[1]):
        findings.remarks.append(f"{count:,} files were left out: {what}")
    if no_patient:
        findings.remarks.append(
            f"{no_patient:,} files name no patient; their study stands for the patient, so two "
            "studies of one patient may fall into different splits"
        )


def _header(path: Path) -> dict[str, str] | str:
    """What a manifest needs of a file, or why it is left out."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "their name or their folder's is not UTF-8, so no manifest can hold it; rename them"
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        return "no files, such as pipes"
    log = logging.getLogger("pydicom")
    level = log.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote values
            log.setLevel(logging.CRITICAL + 1)
            data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
            if data.file_meta.get("MediaStorageSOPClassUID") == _DICOMDIR:
                return "DICOMDIR, a table of contents"
            if "Rows" not in data:
                return "DICOM without pixels, such as reports and waveforms"
            if not data.get("StudyInstanceUID"):
                return "DICOM without a Study Instance UID"
            return {
                "patient_id": _text(data, "PatientID"),
                "study_uid": _text(data, "StudyInstanceUID"),
                "accession": _text(data, "AccessionNumber"),
                "series": _text(data, "SeriesInstanceUID"),
                "series_number": _text(data, "SeriesNumber"),
                "instance_number": _text(data, "InstanceNumber"),
                "view": _view(data),
                "date": _date(data),
            }
    except (InvalidDicomError, EOFError):
        return "no DICOM files"
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    except Exception as error:  # pydicom raises whatever a broken header makes it meet
        return f"DICOM with a header that cannot be read ({type(error).__name__})"
    finally:
        log.setLevel(level)


def _text(data: pydicom.Dataset, keyword: str) -> str:
    return " ".join(str(data.get(keyword) or "").split())


def _view(data: pydicom.Dataset) -> str:
    """The view's coded name, else a usual name of a view that was typed, alone in its cell.

    Anything may be typed into a description, a patient's name among it, and a view goes into the
    shards as it is: no other words are taken over (I9).
    """
    for item in data.get("ViewCodeSequence") or []:
        if meaning := _text(item, "CodeMeaning"):
            return meaning
    typed = (_text(data, keyword) for keyword in ("ViewName", "SeriesDescription"))
    return next((name for name in typed if _VIEW_NAME.fullmatch(name)), "")


def _date(data: pydicom.Dataset) -> str:
    for keyword in ("StudyDate", "AcquisitionDate", "ContentDate"):
        try:
            return date.fromisoformat(_text(data, keyword).replace(".", "")).isoformat()
        except ValueError:
            continue
    return ""


def _check_match(
    root: Path,
    reports: Path,
    key: str,
    found: list[dict[str, str]],
    texts: Mapping[str, str],
    findings: Findings,
) -> None:
    """Say which ids of files and of reports do not meet, and refuse where none do."""
    ids = {clip[key] for clip in found} - {""}
    missing = sum(not clip[key] for clip in found)
    if missing:
        findings.remarks.append(f"{missing:,} files have no {key} and so no report")
    both = ids & set(texts)
    if not both:
        raise ManifestError(
            f"{reports}: none of its {len(texts):,} values of {key!r} is one of the {len(ids):,} "
            f"of the files in {root}{_hint(ids, texts) or _forms(key, ids, set(texts))}"
        )
    if without := len(ids - both):
        findings.remarks.append(
            f"{without:,} of {len(ids):,} studies have no report in {reports.name}; `prepare` "
            f"will leave their clips out{_hint(ids - both, set(texts) - both)}"
        )
    if unused := len(set(texts) - both):
        findings.remarks.append(f"{unused:,} of {len(texts):,} reports are of no study there")


def _forms(key: str, ids: set[str], texts: set[str]) -> str:
    """What ids of either side look like, where nothing else is known: no id is quoted."""

    def form(values: set[str]) -> str:
        forms = Counter(
            re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "0", value))[:_FORM_LENGTH] for value in values
        )
        return max(sorted(forms), key=forms.__getitem__, default="nothing")

    return (
        f"; most look like {form(texts)} in the table and like {form(ids)} in the files, each "
        f"digit shown as 0 and each letter as A. If another column holds them: --columns {key}=NAME"
    )


def _hint(ids: set[str], texts: Mapping[str, str] | set[str]) -> str:
    """What would make ids equal that are not."""

    def unpadded(value: str) -> str:
        return value.lstrip("0")

    def folded(value: str) -> str:
        return unpadded(value.casefold().replace("-", "").replace(" ", ""))

    others = set(texts)
    if {*map(unpadded, ids)} & {*map(unpadded, others)}:
        return "; some differ in leading zeros alone: did a spreadsheet drop them?"
    if {*map(folded, ids)} & {*map(folded, others)}:
        return "; some differ in capitals, hyphens or spaces alone"
    if any(
        len(value) > 3 and len(other) > 3 and (value in other or other in value)
        for value in sorted(ids)[:200]
        for other in sorted(others)[:200]
    ):
        return "; some are a part of the other: does one of the two have a prefix?"
    return ""
