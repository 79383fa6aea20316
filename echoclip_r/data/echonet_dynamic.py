"""EchoNet-Dynamic: `FileList.csv` and a folder `Videos`, one video a patient.

The archive (Ouyang et al., Nature 2020) has apical four-chamber videos with traced volumes and
ejection fractions, and neither reports nor ids. Its file names stand for study and patient, and
what stands for a report is one sentence of ours that states the ejection fraction.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from echoclip_r.data.archives import (
    Findings,
    check_percentages,
    find_root,
    only_there,
    percentage,
    read_list,
)
from echoclip_r.errors import ManifestError

__all__ = ["rows"]

_ARCHIVE = "EchoNet-Dynamic"
_LIST = "FileList.csv"
_COLUMNS = ("FileName", "EF", "ESV", "EDV", "Split")


def rows(root: Path, *, findings: Findings | None = None) -> Iterator[dict[str, str]]:
    """The rows of the manifest; videos are relative to the archive's folder.

    Args:
        root: the folder that holds `FileList.csv`.
        findings: gets sentences on clips that were left out.

    Raises:
        ManifestError: `FileList.csv` cannot be read, lacks a column, or has a row that cannot be
            used; the ejection fractions are fractions; or no video is there.
    """
    if (root / "A4C" / _LIST).is_file():
        raise ManifestError(
            f"{root}: it holds no {_LIST}, so it is not the folder of {_ARCHIVE}; the folders A4C "
            "and PSAX are those of EchoNet-Pediatric: give the layout echonet-pediatric"
        )
    path = find_root(root, _LIST, archive=_ARCHIVE) / _LIST
    found, fractions = [], []
    for where, record in read_list(path, needed=_COLUMNS, ids=("FileName",), archive=_ARCHIVE):
        name = record["FileName"].removesuffix(".avi")
        fraction = percentage(record["EF"], f"{where}, column 'EF'")
        fractions.append(fraction)
        found.append(
            {
                "study_id": name,
                "patient_id": name,
                "video": f"Videos/{name}.avi",
                "report": f"The left ventricular ejection fraction is {round(fraction)}%.",
                "split": record["Split"].lower(),
                "view": "A4C",
                "ef": record["EF"],
                "esv_ml": record["ESV"],
                "edv_ml": record["EDV"],
            }
        )
    check_percentages(fractions, f"{path}, column 'EF'")
    yield from only_there(root, found, findings or Findings(), listed_in=_LIST)
