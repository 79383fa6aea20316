"""A phantom archive is read like a real one, is the same for every run, and says what it is."""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

from echoclip_r.data.manifest import read_manifest
from echoclip_r.errors import EchoclipError
from echoclip_r.media.reading import probe, read_clip
from echoclip_r.phantom import patient_files
from echoclip_r.phantom.archive import ArchiveResult, write_archive
from echoclip_r.phantom.clip_files import FORMATS
from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.report.reports import write_reports
from echoclip_r.phantom.sheet import choose_clips, draw_sheet

NUM_PATIENTS = 16
OPTIONS: dict[str, Any] = {
    "seed": 4,
    "size_px": 64,
    "num_frames": 3,
    "formats": dict.fromkeys(FORMATS, 1.0),
}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> ArchiveResult:
    """An archive with all formats; not to be written to."""
    return write_archive(tmp_path_factory.mktemp("phantom") / "out", NUM_PATIENTS, **OPTIONS)


def hashes(folder: Path) -> dict[str, str]:
    """Every file but the sheet and the words on it, by name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def clips_of(result: ArchiveResult, form: str) -> list[dict[str, str]]:
    rows = read_table(result.manifest.with_name("provenance.csv"))
    return [row for row in rows if row["format"] == form]


def test_the_manifest_passes_its_own_checks(phantom: ArchiveResult) -> None:
    """Every row is usable, every clip is there, labels are numbers, splits are by patient."""
    manifest = read_manifest(phantom.manifest)
    assert not manifest.rejects
    assert not manifest.num_split_by_hash
    assert (
        len(manifest.frame) == phantom.num_clips == len(list(phantom.manifest.parent.rglob("*-S*")))
    )
    assert manifest.frame["patient_id"].nunique() == NUM_PATIENTS
    wanted = {"ef", "pap_mmhg", "pacer", "impella", "tavr", "mitraclip", "effusion", "lv_dilation"}
    assert wanted <= set(manifest.labels)
    assert not manifest.ignored


def test_labels_and_reports_are_those_of_the_latents(phantom: ArchiveResult) -> None:
    """The labels are the truth, and the report is the one written for the study."""
    rows = {row["study_id"]: row for row in read_table(phantom.manifest)}
    for number in range(NUM_PATIENTS):
        studies = sample_patient(number, 4)
        for study, report in zip(studies, write_reports(studies, seed=4), strict=True):
            row = rows[f"P{number:06d}-S{study.study_index}"]
            assert float(row["ef"]) == pytest.approx(study.ef_percent, abs=0.05)
            assert row["report"] == report.text
            assert row["date"] == study.date.isoformat()
            assert row["impella"] == str(int(study.impella))


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_goes_through_the_loaders(phantom: ArchiveResult, form: str) -> None:
    """Clips of each format are read with all their frames, and none is black."""
    rows = clips_of(phantom, form)
    assert rows
    for row in rows[:2]:
        path = phantom.manifest.parent / row["video"]
        frames = read_clip(path)
        assert frames.shape[0] == probe(path).num_frames == 3
        assert frames.max() > 120
        assert np.abs(np.diff(frames.astype(int), axis=0)).mean() > 0.5


def picture_of(row: dict[str, str], frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left, size = (int(row[f"picture_{name}"]) for name in ("top", "left", "size"))
    return frames[:, top : top + size, left : left + size]


def test_dicom_clips_carry_a_name_in_tags_and_pixels(phantom: ArchiveResult) -> None:
    """What has to be removed is there to be removed: tags, lettering, a trace that moves."""
    for row in clips_of(phantom, "dicom-rgb"):
        path = phantom.manifest.parent / row["video"]
        data = pydicom.dcmread(path)
        assert data.PatientName == f"{row['family_name']}^{row['given_name']}"
        assert data.PatientID == row["record_number"]
        assert row["burned_in"] == "1"
        frames = read_clip(path)
        top, size = int(row["picture_top"]), int(row["picture_size"])
        assert (frames[:, :top].max(axis=(0, 3)) > 100).sum() > 50
        below = frames[:, top + size :].astype(int)
        assert (below[..., 1] - below[..., 0]).max() > 100
        assert np.abs(np.diff(below, axis=0)).max() > 100


def test_the_screen_leaves_the_sector_as_it_is(phantom: ArchiveResult, tmp_path: Path) -> None:
    """With and without a screen around it, the picture inside the sector is the same."""
    bare = write_archive(tmp_path / "bare", NUM_PATIENTS, **OPTIONS, overlays="none")
    rows = clips_of(phantom, "dicom-rgb")
    for row in rows:
        framed = picture_of(row, read_clip(phantom.manifest.parent / row["video"]))
        plain = read_clip(bare.manifest.parent / row["video"])
        lit = plain.max(axis=(0, 3)) > 0
        assert plain.shape == framed.shape
        assert (framed[:, lit] == plain[:, lit]).all()
    assert {row["burned_in"] for row in clips_of(bare, "dicom-rgb")} == {"0"}


def test_videos_can_carry_a_screen_too(tmp_path: Path) -> None:
    """With `overlays="all"` every clip is larger than its picture."""
    result = write_archive(
        tmp_path / "out", 3, size_px=64, num_frames=2, overlays="all", formats={"mp4": 1, "avi": 1}
    )
    for row in read_table(result.manifest):
        assert min(read_clip(tmp_path / "out" / row["video"]).shape[1:3]) > 64


def test_a_second_laboratory_is_another_one(tmp_path: Path) -> None:
    """Other readers, a narrower sector, fewer of the sick; a folder holds one site alone."""
    options: dict[str, Any] = {"seed": 3, "size_px": 64, "num_frames": 2, "formats": {"avi": 1.0}}
    first, second = (
        write_archive(tmp_path / str(site), 6, site=site, **options) for site in (0, 1)
    )
    readers = [
        {int(row["reader"]) for row in read_table(found.manifest.with_name("provenance.csv"))}
        for found in (first, second)
    ]
    assert max(readers[0]) < 20 <= min(readers[1])

    def proportion(found: ArchiveResult, row: dict[str, str]) -> float:
        lit = read_clip(found.manifest.parent / row["video"]).max(axis=(0, 3)) > 8
        return float(
            np.ptp(np.flatnonzero(lit.any(axis=0))) / np.ptp(np.flatnonzero(lit.any(axis=1)))
        )

    wide, narrow = (
        np.mean([proportion(found, row) for row in read_table(found.manifest)])
        for found in (first, second)
    )
    assert narrow < 0.95 * wide
    means = [
        np.mean([study.ef_percent for n in range(300) for study in sample_patient(n, 3, site=site)])
        for site in (0, 1)
    ]
    assert means[1] > means[0] + 3
    with pytest.raises(EchoclipError, match="site 1, now 0"):
        write_archive(tmp_path / "1", 6, **options)
    with pytest.raises(EchoclipError, match="site is 2; give one of 0, 1"):
        write_archive(tmp_path / "2", 1, site=2)


def test_two_workers_write_the_same_bytes_as_one(phantom: ArchiveResult, tmp_path: Path) -> None:
    """Nothing depends on how many processes work, nor on which is first."""
    write_archive(tmp_path / "out", NUM_PATIENTS, **OPTIONS, workers=2)
    assert hashes(tmp_path / "out") == hashes(phantom.manifest.parent)


def test_what_memory_held_before_does_not_matter(tmp_path: Path) -> None:
    """Every format has the same bytes whatever malloc hands out (glibc fills it when told to)."""
    code = (
        "import sys; from pathlib import Path;"
        "from echoclip_r.phantom.archive import write_archive;"
        "from echoclip_r.phantom.clip_files import FORMATS;"
        "write_archive(Path(sys.argv[1]), 16, seed=4, size_px=64, num_frames=3,"
        " formats=dict.fromkeys(FORMATS, 1.0))"
    )
    runs = {
        fill: subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / fill)],
            env={**os.environ, "MALLOC_PERTURB_": fill},
            stderr=subprocess.PIPE,
            text=True,
        )
        for fill in ("50", "200")
    }
    for run in runs.values():
        _, said = run.communicate(timeout=120)
        assert run.returncode == 0, said
    assert hashes(tmp_path / "50") == hashes(tmp_path / "200")


def test_a_stopped_run_goes_on(phantom: ArchiveResult, tmp_path: Path) -> None:
    """Finished patients are kept, half of one is written anew, and the end is the same."""
    folder = tmp_path / "out"
    shutil.copytree(phantom.manifest.parent, folder)
    (folder / "manifest.csv").unlink()
    (folder / "contact_sheet.png").unlink()
    (folder / "clips" / "P000003").rename(folder / "clips" / ".P000003.partial")
    next((folder / "clips" / ".P000003.partial").iterdir()).write_bytes(b"half")
    kept = next((folder / "clips" / "P000004").iterdir())
    before = kept.stat().st_mtime_ns
    result = write_archive(folder, NUM_PATIENTS, **OPTIONS)
    assert result.num_resumed == NUM_PATIENTS - 1
    assert kept.stat().st_mtime_ns == before
    assert hashes(folder) == hashes(phantom.manifest.parent)


def test_an_archive_can_grow(phantom: ArchiveResult, tmp_path: Path) -> None:
    """Patients of a small archive are those of a large one."""
    write_archive(tmp_path / "out", 5, **OPTIONS)
    result = write_archive(tmp_path / "out", NUM_PATIENTS, **OPTIONS)
    assert result.num_resumed == 5
    assert hashes(tmp_path / "out") == hashes(phantom.manifest.parent)


def test_a_study_can_have_several_clips(tmp_path: Path) -> None:
    """They are of one heart and one report, but not the same picture."""
    result = write_archive(
        tmp_path / "out", 2, size_px=64, num_frames=2, clips_per_study=2, formats={"dicom-rgb": 1}
    )
    assert result.num_clips == 2 * result.num_studies
    first, second = read_table(result.manifest)[:2]
    assert (first["study_id"], first["report"]) == (second["study_id"], second["report"])
    pictures = [read_clip(tmp_path / "out" / row["video"]) for row in (first, second)]
    assert (pictures[0] != pictures[1]).any()


def test_another_archive_is_not_overwritten(phantom: ArchiveResult, tmp_path: Path) -> None:
    """Other options or other files in the folder are refused with the reason."""
    with pytest.raises(
        EchoclipError, match=r"\(size_px 64, now 96\); choose another folder, or give"
    ):
        write_archive(phantom.manifest.parent, NUM_PATIENTS, **{**OPTIONS, "size_px": 96})
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(EchoclipError, match=r"it holds other files \(letter\.txt\)"):
        write_archive(tmp_path, 1)


def test_a_full_disk_is_named_and_leaves_no_half_patient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run stops with the reason; what is finished stays and the rest can be written later."""
    whole = patient_files.write_clip

    def fill_up(path: Path, *args: Any, **kwargs: Any) -> None:
        if "P000002" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, *args, **kwargs)

    options = {"size_px": 64, "num_frames": 2}
    with monkeypatch.context() as patch:
        patch.setattr(patient_files, "write_clip", fill_up)
        with pytest.raises(
            EchoclipError, match=r"the disk is full, so the rest of .* Run the same comm"
        ):
            write_archive(tmp_path / "out", 4, **options)  # type: ignore[arg-type]
    clips = tmp_path / "out" / "clips"
    assert sorted(path.name for path in clips.glob("P*")) == ["P000000", "P000001"]
    assert not (tmp_path / "out" / "manifest.csv").exists()
    assert write_archive(tmp_path / "out", 4, **options).num_resumed == 2  # type: ignore[arg-type]


def test_a_really_full_disk(small_disk: Callable[[int], Path]) -> None:
    """With workers: no half video takes a whole one's name, and the archive can be finished."""
    options: dict[str, Any] = {"size_px": 64, "num_frames": 4, "seed": 4}
    out = small_disk(300_000) / "out"
    with pytest.raises(EchoclipError, match="the disk is full, so the rest of the archive was no"):
        write_archive(out, NUM_PATIENTS, workers=2, **options)
    assert not list(out.rglob("*.partial"))
    assert list((out / "clips").glob("P*"))
    small_disk(50_000_000)
    result = write_archive(out, NUM_PATIENTS, workers=2, **options)
    assert result.num_resumed >= 1
    whole = write_archive(out.parent / "whole", NUM_PATIENTS, **options)
    assert hashes(out) == hashes(whole.manifest.parent)


def test_two_runs_do_not_write_one_archive(tmp_path: Path) -> None:
    """The second one is told, as long as the first one writes."""
    code = (
        "import sys; from echoclip_r.phantom.archive import write_archive;"
        "write_archive(sys.argv[1], 10_000, size_px=64, num_frames=2)"
    )
    first = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")])
    try:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "out").glob("clips/P*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(EchoclipError, match="another run is writing phantom patients there"):
            write_archive(tmp_path / "out", 10_000, size_px=64, num_frames=2)
    finally:
        first.kill()
        first.wait()
    result = write_archive(tmp_path / "out", 2, size_px=64, num_frames=2)
    assert result.num_resumed >= 1
    assert not list((tmp_path / "out").rglob("*.partial"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"num_patients": 0}, "num_patients is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"size_px": 63}, "size_px is 63; give 32 to 512, even"),
        ({"num_frames": 0}, "num_frames is 0"),
        ({"overlays": "some"}, "give one of dicom, all, none"),
        ({"formats": {"gif": 1.0}}, "names 'gif'; choose from avi"),
        ({"formats": {"avi": 0.0}}, "not all 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_options_out_of_range_are_explained(
    tmp_path: Path, option: dict[str, Any], message: str
) -> None:
    """The error says which option, its value and what to give; nothing is written."""
    with pytest.raises(ValueError, match=message):
        write_archive(tmp_path / "out", **{"num_patients": 1, **option})
    assert not (tmp_path / "out").exists()


def test_the_archive_says_what_it_is_not(phantom: ArchiveResult) -> None:
    """The README and the tags say that it is simulated; the contact sheet is a picture."""
    folder = phantom.manifest.parent
    text = (folder / "README.txt").read_text()
    assert "SIMULATED" in text
    assert "clinical evidence" in text
    assert f"{NUM_PATIENTS} patients" in text
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.width > 900
        assert np.asarray(sheet).max() > 150


def test_the_contact_sheet_has_no_lettering_of_screens(tmp_path: Path) -> None:
    """Around each sector it is black, though every clip is on a screen; captions are whole."""
    write_archive(tmp_path, 6, seed=4, num_frames=2, overlays="all")
    rows = [
        a | b
        for a, b in zip(
            read_table(tmp_path / "manifest.csv"),
            read_table(tmp_path / "provenance.csv"),
            strict=True,
        )
    ][:6]
    rows[2] |= dict.fromkeys(("lv_dilation", "rv_dilation", "la_dilation", "ra_dilation"), "3")
    rows[2] |= dict.fromkeys(("akinesia", "effusion", "pacer", "impella", "tavr", "mitraclip"), "1")
    sheet = np.asarray(draw_sheet(tmp_path, rows, seed=4)).astype(int)
    tiles = sheet[:180].reshape(180, 6, 180, 3)
    assert tiles[60:, :, 40:140].max() > 150
    assert tiles[:40, :, :60].max() < 10
    assert tiles[:40, :, 120:].max() < 10
    assert tiles[165:].max() < 10
    assert np.ptp(tiles, axis=-1).max() < 40
    # The last line of the longest caption stands clear of the foot.
    caption = sheet[182:-24, 360:540].max(axis=(1, 2)) > 100
    assert not caption[-8:].any()
    lines = np.flatnonzero(np.diff(caption.astype(int)) == 1)
    assert len(lines) >= 3


def test_the_contact_sheet_shows_devices_and_the_span_of_function(phantom: ArchiveResult) -> None:
    """Clips are chosen for what they show, one a patient, by ejection fraction."""
    rows = read_table(phantom.manifest)
    chosen = [rows[index] for index in choose_clips(rows, number=12)]
    assert len({row["patient_id"] for row in chosen}) == len(chosen) == 12
    fractions = [float(row["ef"]) for row in chosen]
    assert fractions == sorted(fractions)
    for label in ("pacer", "impella", "tavr", "mitraclip"):
        assert ("1" in {row[label] for row in rows}) == ("1" in {row[label] for row in chosen})


def test_format_and_split_tell_nothing_of_the_findings() -> None:
    """File kinds are drawn without a look at the patient, so they cannot leak a label."""
    options = patient_files.ArchiveOptions(seed=0)
    fractions: dict[bool, list[float]] = {True: [], False: []}
    for number in range(300):
        for study in sample_patient(number, 0):
            form = patient_files.choose_format(study, 0, options)
            fractions[form.startswith("dicom")].append(study.ef_percent)
    assert abs(np.mean(fractions[True]) - np.mean(fractions[False])) < 4
    assert len(fractions[True]) / (len(fractions[True]) + len(fractions[False])) == pytest.approx(
        0.3, abs=0.06
    )
