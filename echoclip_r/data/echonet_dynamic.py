"""EchoNet-Dynamic: `FileList.csv` and a folder `Videos`, one video a patient.

The archive (Ouyang et al., Nature 2020) has apical four-chamber videos with traced volumes and
ejection fractions, and neither reports nor ids. Its file names stand for study and patient, and
what stands for a report is one sentence of ours that states the ejection fraction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from echoclip_r.data.cells import read_cells
from echoclip_r.errors import ManifestError

__all__ = ["rows"]

_COLUMNS = ("FileName", "EF", "ESV", "EDV", "Split")


def rows(root: Path) -> Iterator[dict[str, str]]:
    """The rows of the manifest; videos are relative to the archive's folder.

    Args:
        root: the folder that holds `FileList.csv`.

    Raises:
        ManifestError: `FileList.csv` cannot be read, lacks a column, or has a row that cannot be
            used.
    """
    path = root / "FileList.csv"
    if not path.is_file():
        raise ManifestError(
            f"{root}: it holds no FileList.csv, so it is not the folder of EchoNet-Dynamic as it "
            "was downloaded; give the folder that holds FileList.csv and the folder Videos"
            f"{_whereabouts(root)}"
        )
    with read_cells(path, ids=("FileName",), names=_COLUMNS, what="list of clips") as (
        header,
        cells,
    ):
        if missing := [name for name in _COLUMNS if name not in header]:
            raise ManifestError(
                f"{path}: row 1 has no column {', '.join(map(repr, missing))}; is it the list of "
                "EchoNet-Dynamic?"
            )
        for row in cells:
            if row.problem:
                raise ManifestError(f"{path}: row {row.number}: {row.problem}")
            record = dict(zip(header, row.cells, strict=True))
            name = record["FileName"].removesuffix(".avi")
            yield {
                "study_id": name,
                "patient_id": name,
                "video": f"Videos/{name}.avi",
                "report": "The left ventricular ejection fraction is "
                f"{_percent(record['EF'], f'{path}: row {row.number}')}%.",
                "split": record["Split"].lower(),
                "view": "A4C",
                "ef": record["EF"],
                "esv_ml": record["ESV"],
                "edv_ml": record["EDV"],
            }


def _whereabouts(root: Path) -> str:
    """A hint where the list lies one folder below or above, or the archive is another one."""
    below = [path.parent.name for path in root.glob("*/FileList.csv")]
    if below:
        return f" (there is one in the folder {min(below)} below it)"
    if (root.parent / "FileList.csv").is_file():
        return " (there is one in the folder above it)"
    return ""


def _percent(cell: str, where: str) -> int:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 100:
        raise ManifestError(f"{where}, column 'EF': write a number of percent from 0 to 100")
    return round(number)
