"""What of a burned-in name, trace or tag survives `prepare`: `make bench-privacy`.

The same phantom patients are written twice as DICOM, with and without a screen around the picture,
so that the pixels of lettering and ECG trace are known exactly. Counted: how many of them lie in
the sector that is found, and whether a name or record number stands in any byte of the shards.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import facts, write_results
from echoclip_r.data.preparation import prepare
from echoclip_r.media.reading import read_clip
from echoclip_r.phantom.archive import write_archive
from echoclip_r.sector.find import find_sector

NUM_PATIENTS = 110
SEED = 7
# Uncompressed, so that a difference is an overlay and not a codec's noise.
FORMATS = {"dicom-rgb": 0.5, "dicom-monochrome": 0.5}
LETTERING = 24


def main() -> None:
    """Write the archives, find the sectors, prepare the shards, count."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, overlays in (("screen", "all"), ("plain", "none")):
            write_archive(
                root / name,
                NUM_PATIENTS,
                seed=SEED,
                workers=2,
                overlays=overlays,  # type: ignore[arg-type]  # a literal, from the tuple above
                formats=FORMATS,
            )
        results = {
            **facts("make bench-privacy", ["numpy", "pydicom"], seed=SEED),
            **_pixels(root),
            **_bytes(root),
        }
    write_results("privacy", results, _markdown(results))


def _pixels(root: Path) -> dict[str, Any]:
    clips = sure = lettering = survived = clean = 0
    kept: list[float] = []
    with (root / "screen" / "provenance.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            frames = read_clip(root / "screen" / row["video"]).astype(np.int16)
            plain = read_clip(root / "plain" / row["video"]).astype(np.int16)
            top, left = int(row["picture_top"]), int(row["picture_left"])
            height, width = plain.shape[1:3]
            bare = np.zeros_like(frames)
            bare[:, top : top + height, left : left + width] = plain
            overlay = (np.abs(frames - bare) > LETTERING).any(axis=(0, 3))
            picture = (bare > LETTERING).any(axis=(0, 3))
            sector = find_sector(frames.astype(np.uint8))
            clips += 1
            sure += sector.sure
            lettering += int(overlay.sum())
            inside = int((overlay & sector.mask).sum())
            survived += inside
            clean += inside == 0
            kept.append(float((picture & sector.mask).sum() / max(1, picture.sum())))
    return {
        "num_clips": clips,
        "num_sure": sure,
        "overlay_pixels": lettering,
        "overlay_pixels_inside": survived,
        "clips_without_any": clean,
        "picture_kept_mean": float(np.mean(kept)),
        "picture_kept_min": float(np.min(kept)),
    }


def _bytes(root: Path) -> dict[str, Any]:
    result = prepare(root / "screen" / "manifest.csv", root / "shards", size_px=112, workers=2)
    del result
    shards = b"".join(path.read_bytes() for path in sorted((root / "shards").rglob("*.tar")))
    with (root / "screen" / "provenance.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = {row[key] for row in rows for key in ("family_name", "given_name", "record_number")}
    sources = b"".join(path.read_bytes() for path in (root / "screen" / "clips").rglob("*.dcm"))
    return {
        "num_names": len(names),
        "names_in_dicom_files": sum(name.encode() in sources for name in names),
        "names_in_shards": sum(name.encode() in shards for name in names),
        "shard_bytes": len(shards),
    }


def _markdown(results: dict[str, Any]) -> str:
    share = results["overlay_pixels_inside"] / max(1, results["overlay_pixels"])
    return f"""# What survives of names, traces and tags

{results["num_clips"]} phantom DICOM clips with burned-in name, date, heart rate and ECG trace.

| | |
| --- | --- |
| sectors found for sure | {results["num_sure"]} of {results["num_clips"]} |
| lettering and trace pixels | {results["overlay_pixels"]:,} |
| of them inside the sector found | {results["overlay_pixels_inside"]:,} ({share:.4%}) |
| clips without a single one | {results["clips_without_any"]} of {results["num_clips"]} |
| bright picture kept, mean (least) | {results["picture_kept_mean"]:.1%} \
({results["picture_kept_min"]:.1%}) |
| names and record numbers in the DICOM files | {results["names_in_dicom_files"]} |
| of them in any byte of the shards | {results["names_in_shards"]} |

Invented names, simulated clips. {results["machine"]}; Python {results["python"]}. Made by \
`{results["command"]}`, seed {results["seed"]}.
"""


if __name__ == "__main__":
    main()
