"""CAMUS: a folder a patient, with apical two- and four-chamber sequences as NIfTI.

The archive (Leclerc et al., IEEE TMI 2019) has half a heartbeat of each of 500 patients in two
views, with the frames of end diastole and end systole, the quality of the picture and the ejection
fraction, and no reports. What stands for a report is one sentence of ours that states the ejection
fraction. `database_split` beside the patients' folders says who is in which split.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from echoclip_r.data.archives import (
    Findings,
    check_percentages,
    number,
    only_there,
    percentage,
)
from echoclip_r.errors import ManifestError

__all__ = ["rows"]

_VIEWS = {"4CH": "A4C", "2CH": "A2C"}
_QUALITY = {"poor": 0, "medium": 1, "good": 2}
_SPLITS = {"training": "train", "validation": "validation", "testing": "test"}
_FOLDER = "database_nifti"


def rows(root: Path, *, findings: Findings | None = None) -> Iterator[dict[str, str]]:
    """The rows of the manifest; videos are relative to the folder that is given.

    Args:
        root: the folder that holds `database_nifti`, or that folder itself.
        findings: gets sentences on views and splits that are not there.

    Raises:
        ManifestError: there is no patient's folder, it is the older release, a description cannot
            be used, the ejection fractions are fractions, or no sequence is there.
    """
    findings = findings or Findings()
    base = root / _FOLDER if (root / _FOLDER).is_dir() else root
    patients = sorted(path for path in base.glob("patient[0-9]*") if path.is_dir())
    if not patients:
        near = next(root.glob(f"*/{_FOLDER}"), None)
        hint = f" (there is one in the folder {near.parent.name} below it)" if near else ""
        raise ManifestError(
            f"{root}: it holds no folder {_FOLDER} with folders patient0001, patient0002, ..., so "
            f"it is not the folder of CAMUS as it was downloaded{hint}"
        )
    if not any(base.glob("patient*/*.nii*")) and any(base.glob("patient*/*.mhd")):
        raise ManifestError(
            f"{base}: the pictures are .mhd files, as in the release before 2023; download the "
            f"present one, in which the patients lie in {_FOLDER} as .nii.gz files"
        )
    splits = _splits(base.parent / "database_split", findings)
    found, fractions = [], []
    for folder in patients:
        infos = {view: _description(folder / f"Info_{view}.cfg") for view in _VIEWS}
        cells = {view: info.get("ef") or info.get("lvef") or "" for view, info in infos.items()}
        stated = [
            percentage(cell, f"{folder / f'Info_{view}.cfg'}, EF")
            for view, cell in cells.items()
            if cell
        ]
        fractions += stated
        # Both views are of one heart and state one ejection fraction.
        report = f"The left ventricular ejection fraction is {round(stated[0])}%." if stated else ""
        for view, info in infos.items():
            sequence = folder / f"{folder.name}_{view}_half_sequence.nii.gz"
            if not sequence.exists() and sequence.with_suffix("").exists():
                sequence = sequence.with_suffix("")  # a browser unpacked it
            age = info.get("age", "")
            found.append(
                {
                    "study_id": folder.name,
                    "patient_id": folder.name,
                    "video": sequence.relative_to(root).as_posix(),
                    "report": report,
                    "split": splits.get(folder.name, ""),
                    "view": _VIEWS[view],
                    "ef": cells[view],
                    "edv_ml": info.get("lvedv", ""),
                    "esv_ml": info.get("lvesv", ""),
                    "ed_frame": info.get("ed", ""),
                    "es_frame": info.get("es", ""),
                    "quality": str(_QUALITY.get(info.get("imagequality", "").lower(), "")),
                    "age_years": "" if math.isnan(number(age)) else age,
                }
            )
    check_percentages(fractions, f"{base}, EF in the files Info_*.cfg")
    if bare := sum(not row["report"] for row in found):
        findings.remarks.append(
            f"{bare:,} sequences have no ejection fraction in their Info_*.cfg; `prepare` will "
            "leave them out"
        )
    yield from only_there(root, found, findings, listed_in="the patients' folders")


def _description(path: Path) -> dict[str, str]:
    """The pairs in `Info_4CH.cfg`, by their names in small letters; {} where it is not there."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in pairs if value.strip()}


def _splits(folder: Path, findings: Findings) -> dict[str, str]:
    found: dict[str, str] = {}
    for part, split in _SPLITS.items():
        path = folder / f"subgroup_{part}.txt"
        if not path.is_file():
            findings.remarks.append(
                f"database_split/{path.name} is not there; patients without a split get one from "
                "their ids when the manifest is read"
            )
            continue
        try:
            names = path.read_text(encoding="utf-8-sig").split()
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(
                f"{path}: cannot be read ({type(error).__name__}); copy it again"
            ) from error
        for name in names:
            if found.setdefault(name, split) != split:
                raise ManifestError(
                    f"{path}: a patient of it is in another list beside it, too; a split is by "
                    "patient, so copy the lists again"
                )
    return found
