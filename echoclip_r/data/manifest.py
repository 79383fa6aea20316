"""The manifest: which clip belongs to which study, patient and report, checked row by row.

A manifest is a CSV or Parquet file with a header and one row for each clip:

    study_id, patient_id    text, as the archive calls them
    video                   a file or folder of images; relative to the manifest's folder
    report                  the text, or the path of a `.txt` file
    split                   optional: train, validation or test; a blank one is made by patient
    view, date              optional: "A4C"; an ISO date
    exclude                 optional: yes leaves the clip out, e.g. for lettering inside of the fan
    series                  optional and not used: what `echoclip-r manifest dicom` found
    anything else           a label, where every cell is a number or blank

A row that cannot be used is left out and named (`Reject`); a fault that would spoil the rest, such
as a missing column or a patient in two splits, raises a `ManifestError`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from echoclip_r.data.cells import AS_IT_IS, TableFormat, read_cells
from echoclip_r.data.rows import OPTIONAL, REQUIRED, Reject, RowReader, number_of
from echoclip_r.data.splits import assign_split
from echoclip_r.errors import ManifestError
from echoclip_r.places import place

__all__ = ["Manifest", "read_manifest"]

_IDENTIFIER_NAME = re.compile(
    r"(^|_)(id|ids|uid|mrn|accession|name|dob|birth\w*|phone|fax|ssn|zip|postcode|address)($|_)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A checked manifest.

    Attributes:
        path: the file.
        frame: one row for each usable clip, in the file's order: `row` (as a spreadsheet counts),
            `study_id`, `patient_id`, `video` (as written), `path` (the video's path, resolved
            against the manifest's folder), `report` (the text), `split` (never blank), `view`,
            `date` (ISO or ""), and one float column for each label, NaN where it is blank.
        labels: names of the label columns.
        ignored: names of the columns that are not used, with the reasons.
        rejects: rows that cannot be used, in order.
        num_rows: number of rows below the header, without blank ones.
        num_split_by_hash: number of rows whose split was made from the patient id and the seed.
    """

    path: Path
    frame: pd.DataFrame
    labels: tuple[str, ...]
    ignored: Mapping[str, str]
    rejects: tuple[Reject, ...]
    num_rows: int
    num_split_by_hash: int


def read_manifest(
    path: str | Path,
    *,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    check_files: bool = True,
    form: TableFormat = AS_IT_IS,
) -> Manifest:
    """Read and check a manifest.

    Args:
        path: a `.csv`, `.tsv` or `.parquet` file; `read_cells` says how it may be written.
        seed: seed of the splits that are made here.
        labels: columns that are labels; a row with a cell in them that is neither a number nor
            blank is rejected. None takes every further column that holds only numbers and blanks
            and does not look like an identifier.
        check_files: reject rows whose video does not exist. If this is off, a missing video is
            found when it is read.
        form: how the file is written and what its columns are called, where that is not to be
            told from the file.

    Returns:
        The usable rows, each with a split, and the rejected rows.

    Raises:
        ManifestError: the file cannot be read, a column is missing, there is no row, or a patient
            is in two splits (I10).
    """
    path = place(path)
    names = (*REQUIRED, *OPTIONAL, *(labels or ()))
    with read_cells(path, ids=("study_id", "patient_id"), names=names, form=form) as (
        header,
        rows,
    ):
        _check_columns(path, header, labels)
        reader = RowReader(path, header, strict_labels=labels or ())
        for row in rows:
            if row.problem:
                reader.reject(row.number, row.column, row.problem)
            else:
                reader.add(row.number, row.cells, check_files=check_files)
    if not reader.num_rows:
        raise ManifestError(f"{path}: no row below the header; a manifest has one row per clip")
    frame = pd.DataFrame(
        {name: pd.Series(cells, dtype=object) for name, cells in reader.columns.items()}
    ).astype({"row": "int64"})
    kept, ignored = _add_labels(frame, reader.extras, labels)
    conflicts = _find_conflicts(reader.columns)
    for index, (column, reason) in conflicts.items():
        reader.reject_kept(index, column, reason)
    frame = frame.drop(index=list(conflicts))
    _check_splits(path, frame)
    by_hash = _fill_splits(frame, seed)
    rejects = sorted(reader.rejects, key=lambda reject: reject.row)
    return Manifest(
        path=path,
        frame=frame.reset_index(drop=True),
        labels=kept,
        ignored=ignored,
        rejects=tuple(rejects),
        num_rows=reader.num_rows,
        num_split_by_hash=by_hash,
    )


def _check_columns(path: Path, header: Sequence[str], labels: Sequence[str] | None) -> None:
    missing = [name for name in (*REQUIRED, *(labels or ())) if name not in header]
    if not set(REQUIRED) & set(header) and not _near(header, "study_id"):
        # What stands there may be a report, so it is not quoted (I9).
        raise ManifestError(
            f"{path}: row 1 names none of the columns {', '.join(REQUIRED)}; is it a header? "
            "A delimiter other than , ; tab | is told with --delimiter of `echoclip-r prepare`"
        )
    if missing:
        hints = [
            f"; rename {found!r} to {name!r}"
            for name in missing
            for found in _near(header, name)
            if found not in REQUIRED + OPTIONAL
        ]
        raise ManifestError(
            f"{path}: row 1 has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, filter(None, header)))}{''.join(hints)}"
            f"; or say which column it is: --columns {missing[0]}=NAME"
        )
    if labels and (taken := [name for name in labels if name in REQUIRED + OPTIONAL]):
        raise ManifestError(f"{path}: column {taken[0]!r} has a fixed meaning and is not a label")


def _near(header: Sequence[str], name: str) -> list[str]:
    plain = {other.lower().replace(" ", "_").replace("-", "_"): other for other in header}
    return [plain[found] for found in difflib.get_close_matches(name, plain, n=1, cutoff=0.7)]


def _add_labels(
    frame: pd.DataFrame, extras: Mapping[str, Sequence[str]], labels: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Put the label columns into the frame: which were taken, and why the others were not."""
    kept, ignored = [], {}
    for name, cells in extras.items():
        if labels is not None and name not in labels:
            ignored[name] = "not among the labels asked for"
            continue
        numbers, bad = [], []
        for row, cell in zip(frame["row"], cells, strict=True):
            try:
                numbers.append(number_of(cell))
            except ValueError:
                bad.append(row)
        if bad:
            ignored[name] = f"row {bad[0]} does not hold a number"
            if len(bad) < len(cells) / 2:
                ignored[name] += (
                    f" ({len(bad):,} of {len(cells):,} rows do not); if it is a label, ask for it "
                    "by name (--labels), and these rows alone are left out"
                )
        else:
            filled = [number for number in numbers if not math.isnan(number)]
            if not filled:
                ignored[name] = "every cell is blank"
            elif labels is None and _looks_like_identifier(name, filled):
                ignored[name] = (
                    "it looks like an identifier; if it is a label, ask for it by name (--labels)"
                )
            else:
                frame[name] = pd.Series(numbers, dtype="float64")
                kept.append(name)
    return tuple(kept), ignored


def _looks_like_identifier(name: str, numbers: Sequence[float]) -> bool:
    """A record number that gets into a shard as a "label" would identify the patient (I9)."""
    return _IDENTIFIER_NAME.search(name) is not None or all(
        number.is_integer() and abs(number) >= 100_000 for number in numbers
    )


def _find_conflicts(columns: Mapping[str, Sequence[Any]]) -> dict[int, tuple[str, str]]:
    """Rows that contradict another one, and all but the first of equal ones: column and reason."""
    rows, patients, studies = columns["row"], columns["patient_id"], columns["study_id"]
    found: dict[int, tuple[str, str]] = {}
    for noun, column, values in (
        ("study", "patient_id", studies),
        ("video", "video", columns["path"]),
    ):
        owners: dict[str, dict[str, int]] = {}  # study or video -> patient -> first row
        for row, value, patient in zip(rows, values, patients, strict=True):
            owners.setdefault(value, {}).setdefault(patient, row)
        for index, (value, patient) in enumerate(zip(values, patients, strict=True)):
            if len(owners[value]) > 1 and index not in found:
                other = min(row for owner, row in owners[value].items() if owner != patient)
                found[index] = (
                    column,
                    f"the {noun} is of another patient in row {other}; which of them is right "
                    "cannot be known, so neither is used",
                )
    first: dict[tuple[str, str], int] = {}
    for index, key in enumerate(zip(studies, columns["path"], strict=True)):
        if index not in found and (row := first.setdefault(key, rows[index])) != rows[index]:
            found[index] = ("video", f"the same study and video as row {row}, which is used")
    return found


def _check_splits(path: Path, frame: pd.DataFrame) -> None:
    stated = frame[frame["split"] != ""].drop_duplicates(["patient_id", "split"])
    overlap = stated[stated.duplicated("patient_id", keep=False)]
    if len(overlap):
        patient_id = overlap["patient_id"].iloc[0]
        where = overlap[overlap["patient_id"] == patient_id]
        first, second = where.iloc[0], where.iloc[1]
        num_patients = overlap["patient_id"].nunique()
        raise ManifestError(
            f"{path}: column 'split': the patient of row {first['row']} is in {first['split']}, "
            f"but in row {second['row']} in {second['split']} ({num_patients} such "
            "patients); a split is by patient, or a model is tested on what it has seen. Correct "
            "the rows, or leave the column out: splits are then made by patient"
        )


def _fill_splits(frame: pd.DataFrame, seed: int) -> int:
    """Give rows without a split their patient's, else one from the hash; how many took the hash."""
    stated = frame[frame["split"] != ""].drop_duplicates("patient_id")
    known = dict(zip(stated["patient_id"], stated["split"], strict=True))
    by_hash = int((~frame["patient_id"].isin(known)).sum())
    frame["split"] = [
        known.get(patient_id) or assign_split(patient_id, seed=seed)
        for patient_id in frame["patient_id"]
    ]
    return by_hash
