"""EchoNet-Pediatric: the folders `A4C` and `PSAX`, each with `FileList.csv` and `Videos`.

The archive (Reddy et al., JASE 2023) has apical four-chamber and short-axis videos of children with
ejection fractions, and ten folds in place of splits: folds 0 to 7 train, 8 validates, 9 tests. The
first two parts of a file's name stand for patient and study. What stands for a report is one
sentence of ours that states the ejection fraction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from echoclip_r.data.archives import (
    Findings,
    check_percentages,
    find_root,
    number,
    only_there,
    percentage,
    read_list,
)
from echoclip_r.errors import ManifestError

__all__ = ["rows"]

_ARCHIVE = "EchoNet-Pediatric"
_LIST = "FileList.csv"
_VIEWS = ("A4C", "PSAX")
_COLUMNS = ("FileName", "EF", "Split")
_FOLDS = {**dict.fromkeys(range(8), "train"), 8: "validation", 9: "test"}
_MORE = {"Age": "age_years", "Weight": "weight_kg", "Height": "height_cm"}


def rows(root: Path, *, findings: Findings | None = None) -> Iterator[dict[str, str]]:
    """The rows of the manifest; videos are relative to the folder that is given.

    Args:
        root: the folder that holds `A4C` and `PSAX`.
        findings: gets sentences on clips and views that were left out.

    Raises:
        ManifestError: neither view is there, a list cannot be read or used, the ejection fractions
            are fractions, or no video is there.
    """
    findings = findings or Findings()
    inner = ("pediatric_echo_avi", "pediatric_echo_avi/pediatric_echo_avi")
    base = next((root / one for one in ("", *inner) if (root / one / "A4C").is_dir()), None)
    if base is None and not (root / "PSAX").is_dir():
        find_root(root, "A4C", archive=_ARCHIVE)
    base = base or root
    found, fractions, lists = [], [], []
    folds: dict[str, int] = {}
    moved: set[str] = set()
    reports: dict[str, str] = {}
    for view in _VIEWS:
        path = base / view / _LIST
        if not path.is_file():
            findings.remarks.append(
                f"the view {view} is left out: there is no {view}/{_LIST}. The archive has both "
                "A4C and PSAX"
            )
            continue
        lists.append(path)
        for where, record in read_list(path, needed=_COLUMNS, ids=("FileName",), archive=_ARCHIVE):
            name = record["FileName"].removesuffix(".avi")
            parts = name.split("-")
            patient = parts[0]
            fold = number(record["Split"])
            if fold not in _FOLDS:
                raise ManifestError(f"{where}, column 'Split': a fold is a number from 0 to 9")
            if folds.setdefault(patient, int(fold)) != fold:
                moved.add(patient)
            study = "-".join(parts[:2])
            fraction = percentage(record["EF"], f"{where}, column 'EF'")
            fractions.append(fraction)
            more = {ours: record.get(theirs, "") for theirs, ours in _MORE.items()}
            found.append(
                {
                    "study_id": study,
                    "patient_id": patient,
                    "video": (base / view / "Videos" / f"{name}.avi").relative_to(root).as_posix(),
                    # Both views are of one heart: the first one's measurement is stated.
                    "report": reports.setdefault(
                        study, f"The left ventricular ejection fraction is {round(fraction)}%."
                    ),
                    "split": _FOLDS[folds[patient]],
                    "view": view,
                    "ef": record["EF"],
                    **{
                        ours: "" if math.isnan(number(cell)) else cell
                        for ours, cell in more.items()
                    },
                }
            )
    if not lists:
        raise ManifestError(
            f"{base}: neither A4C nor PSAX holds a {_LIST}; unpack the whole archive"
        )
    check_percentages(fractions, f"{lists[0]}, column 'EF'")
    if moved:
        findings.remarks.append(
            f"{len(moved):,} patients have clips in several folds; all of theirs go with the first"
        )
    yield from only_there(root, found, findings, listed_in=_LIST)
