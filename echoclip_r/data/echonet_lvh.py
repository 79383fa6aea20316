"""EchoNet-LVH: `MeasurementsList.csv` and the folders `Batch1` to `Batch4`.

The archive (Duffy et al., JAMA Cardiology 2022) has parasternal long-axis videos with measurements
of the left ventricle's walls and diameters in centimetres, one row for each measurement, and
neither reports nor ids. Its file names stand for study and patient, and what stands for a report
is a sentence of ours for each measurement.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from pathlib import Path

from echoclip_r.data.archives import (
    Findings,
    find_root,
    number,
    only_there,
    read_list,
    sentence,
)
from echoclip_r.errors import ManifestError

__all__ = ["rows"]

_ARCHIVE = "EchoNet-LVH"
_LIST = "MeasurementsList.csv"
_COLUMNS = ("HashedFileName", "Calc", "CalcValue", "split")
_BATCHES = tuple(f"Batch{number}" for number in range(1, 5))
_MEASURES = {
    "ivsd": ("ivsd_cm", "interventricular septal thickness in diastole"),
    "lvidd": ("lvidd_cm", "left ventricular internal diameter in diastole"),
    "lvpwd": ("lvpwd_cm", "left ventricular posterior wall thickness in diastole"),
    "ivss": ("ivss_cm", "interventricular septal thickness in systole"),
    "lvids": ("lvids_cm", "left ventricular internal diameter in systole"),
    "lvpws": ("lvpws_cm", "left ventricular posterior wall thickness in systole"),
}
_MOST_CM = 12  # no ventricle is wider; ten times as much is millimetres


def rows(root: Path, *, findings: Findings | None = None) -> Iterator[dict[str, str]]:
    """The rows of the manifest; videos are relative to the archive's folder.

    Args:
        root: the folder that holds `MeasurementsList.csv`.
        findings: gets sentences on clips and batches that were left out.

    Raises:
        ManifestError: the list cannot be read or used, its unit is not the centimetre, or no video
            is there.
    """
    findings = findings or Findings()
    path = find_root(root, _LIST, archive=_ARCHIVE) / _LIST
    places = _places(root, findings)
    splits: dict[str, str] = {}
    values: dict[str, dict[str, list[float]]] = {}
    for where, record in read_list(
        path, needed=_COLUMNS, ids=("HashedFileName",), archive=_ARCHIVE
    ):
        name = record["HashedFileName"].removesuffix(".avi")
        split = record["split"].lower()
        if splits.setdefault(name, split) != split:
            raise ManifestError(f"{where}, column 'split': another one than in an earlier row")
        value = number(record["CalcValue"])
        if (known := _MEASURES.get(record["Calc"].lower())) is not None and value > 0:
            values.setdefault(name, {}).setdefault(known[0], []).append(value)
    diameters = [max(one["lvidd_cm"]) for one in values.values() if "lvidd_cm" in one]
    if diameters and statistics.median(diameters) > _MOST_CM:
        raise ManifestError(
            f"{path}, column 'CalcValue': half of the diameters are above {_MOST_CM}, and the "
            "archive gives centimetres; were they changed into millimetres? Divide them by 10, or "
            "copy the list of the archive again"
        )
    found = []
    for name, split in splits.items():
        means = {
            label: statistics.fmean(values[name][label])
            if label in values.get(name, {})
            else math.nan
            for label, _ in _MEASURES.values()
        }
        sentences = [
            sentence(words, means[label], "cm")
            for label, words in _MEASURES.values()
            if not math.isnan(means[label])
        ]
        found.append(
            {
                "study_id": name,
                "patient_id": name,
                "video": places.get(name, f"Batch1/{name}.avi"),
                "report": " ".join(sentences),
                "split": split,
                "view": "PLAX",
                **{
                    label: "" if math.isnan(value) else f"{value:.4g}"
                    for label, value in means.items()
                },
            }
        )
    if bare := sum(not row["report"] for row in found):
        findings.remarks.append(
            f"{bare:,} clips have no measurement; `prepare` will leave them out"
        )
    yield from only_there(root, found, findings, listed_in=_LIST)


def _places(root: Path, findings: Findings) -> dict[str, str]:
    """Where each video lies, relative to the archive's folder."""
    if missing := [name for name in _BATCHES if not (root / name).is_dir()]:
        findings.remarks.append(
            f"{', '.join(missing)}: not there; the archive has {_BATCHES[0]} to {_BATCHES[-1]}"
        )
    return {
        path.stem: path.relative_to(root).as_posix()
        for name in _BATCHES
        for path in sorted((root / name).rglob("*.avi"))
    }
