"""Public archives: a folder as its makers laid it out -> a manifest that `prepare` reads.

A layout is a function from the archive's folder to rows with a manifest's columns. A new one is a
module beside this one and a line in `LAYOUTS`. docs/archives.md says how to get each archive.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from echoclip_r.data import (
    camus,
    echonet_dynamic,
    echonet_lvh,
    echonet_pediatric,
    mimic_iv_echo,
)
from echoclip_r.errors import ManifestError
from echoclip_r.storage import whole_file

__all__ = ["LAYOUTS", "WITH_REPORTS", "write_manifest"]


def _dicom_rows(root: Path, **options: Any) -> Iterator[dict[str, str]]:
    from echoclip_r.data.dicom_folder import rows  # pydicom takes a while to import

    yield from rows(root, **options)


LAYOUTS: Mapping[str, Callable[..., Iterator[dict[str, str]]]] = MappingProxyType(
    {
        "camus": camus.rows,
        "dicom": _dicom_rows,
        "echonet-dynamic": echonet_dynamic.rows,
        "echonet-lvh": echonet_lvh.rows,
        "echonet-pediatric": echonet_pediatric.rows,
        "mimic-iv-echo": mimic_iv_echo.rows,
    }
)
"""Functions from an archive's folder to rows. All take `findings`, see
`echoclip_r.data.archives.Findings`; those in `WITH_REPORTS` also take `reports` and `form`."""

WITH_REPORTS = ("dicom", "mimic-iv-echo")


def write_manifest(rows: Callable[[Path], Iterator[dict[str, str]]], root: Path, out: Path) -> int:
    """Write the manifest of an archive.

    Args:
        rows: a value of `LAYOUTS`, or another function from the archive's folder to rows.
        root: the archive's folder.
        out: the `.csv` file to write; the paths of videos are made relative to its folder.

    Returns:
        The number of rows below the header.

    Raises:
        ManifestError: the archive is not laid out so, has no clip, or `out` is there already,
            in no folder, or no `.csv` file.
        OSError: `out` cannot be written.
    """
    if not root.is_dir():
        raise ManifestError(f"{root}: there is no such folder; is the archive mounted?")
    if not out.parent.is_dir():
        raise ManifestError(
            f"{out.parent}: there is no such folder to write {out.name} to; make it"
        )
    if out.suffix.lower() != ".csv":
        raise ManifestError(f"{out}: a manifest is written as CSV; give a name that ends in .csv")
    if out.exists():
        raise ManifestError(f"{out}: this file is there already; give another name with --out")
    found = list(rows(root))
    if not found:
        raise ManifestError(f"{root}: no clip is listed there")
    base = Path(os.path.relpath(root.resolve(), out.resolve().parent))
    with whole_file(out) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "video": (base / row["video"]).as_posix()} for row in found)
    return len(found)
