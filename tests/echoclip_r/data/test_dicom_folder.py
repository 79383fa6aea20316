"""A folder of anything -> a manifest: what the headers say, and reports joined by their ids."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from echoclip_r.cli.main import main
from echoclip_r.data.dicom_folder import _view
from echoclip_r.data.manifest import read_manifest
from echoclip_r.phantom.archive import write_archive

REPORT = "The left ventricle is normal."


def write(path: Path, **tags: object) -> None:
    """A small clip with the given tags."""
    spec = importlib.util.spec_from_file_location(
        "decisions", Path(__file__).with_name("test_decisions.py")
    )
    decisions = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(decisions)
    path.parent.mkdir(parents=True, exist_ok=True)
    decisions.write_dicom(path, np.zeros((2, 16, 16, 3), np.uint8))
    data = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path)


@pytest.fixture
def root(tmp_path) -> Path:
    """Three studies of two patients in nested folders, beside files that are no clips."""
    folder = tmp_path / "export"
    for number, (patient, accession, day) in enumerate(
        [("P1", "00A1", "20200301"), ("P1", "00A2", "20210402"), ("P2", "00A3", "")]
    ):
        study = generate_uid(entropy_srcs=[accession])
        for clip in range(2):
            write(
                folder / str(number) / "deep" / f"IM{clip}",
                PatientID=patient,
                AccessionNumber=accession,
                StudyInstanceUID=study,
                SeriesInstanceUID=generate_uid(entropy_srcs=[accession, str(clip)]),
                SeriesNumber=clip,
                StudyDate=day,
                SeriesDescription="A4C" if clip else "",
            )
    (folder / "readme.txt").write_text("no DICOM")
    (folder / "empty").touch()
    return folder


def run(capsys, *argv: object) -> tuple[int, str, str]:
    status = main(["manifest", "dicom", *map(str, argv)])
    out = capsys.readouterr()
    return status, out.out, out.err


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_headers_and_reports_make_a_manifest(root, tmp_path, capsys):
    """Ids, dates, views and series of each clip; what is no clip is counted."""
    table = tmp_path / "reports.csv"
    table.write_text(
        "".join(
            f"{line}\n"
            for line in ("Accession;Report", *(f"00A{number};{REPORT}" for number in (1, 2, 3)))
        )
    )
    out = tmp_path / "m.csv"
    status, said, _ = run(capsys, root, "--reports", table, "--out", out)
    assert status == 0
    assert said.splitlines() == [f"6 clips: {out}", "2 files were left out: no DICOM files"]
    found = rows(out)
    assert [row["study_id"] for row in found] == ["00A1"] * 2 + ["00A2"] * 2 + ["00A3"] * 2
    assert [row["patient_id"] for row in found] == ["P1"] * 4 + ["P2"] * 2
    assert [row["date"] for row in found[::2]] == ["2020-03-01", "2021-04-02", ""]
    assert [row["view"] for row in found[:2]] == ["", "A4C"]
    assert all(row["report"] == REPORT for row in found)
    manifest = read_manifest(out)
    assert not manifest.rejects
    assert not manifest.ignored
    assert len(manifest.frame) == 6


def test_the_dicom_files_of_a_phantom_find_their_reports(tmp_path, capsys):
    """By accession number, each study its own: the way to try a folder of DICOM files."""
    archive = write_archive(
        tmp_path / "phantom", 10, seed=0, size_px=64, num_frames=2, overlays="none"
    )
    folder = tmp_path / "dicom"
    for file in sorted(archive.manifest.parent.rglob("*.dcm")):
        folder.mkdir(exist_ok=True)
        shutil.copy(file, folder)
    out = tmp_path / "m.csv"
    columns = ("--reports", archive.manifest, "--columns", "accession=study_id")
    assert run(capsys, folder, *columns, "--out", out)[0] == 0
    truth = {row["study_id"]: row for row in rows(archive.manifest)}
    found = rows(out)
    assert len({row["patient_id"] for row in found}) < len(found)
    for row in found:
        assert row["report"] == truth[row["study_id"]]["report"]
        assert row["date"] == truth[row["study_id"]]["date"]
        assert row["view"] == "A4C"


def test_ids_that_do_not_match_are_said(root, tmp_path, capsys):
    """None: an error with a hint; some: counts on both sides. No id is quoted."""
    table = tmp_path / "reports.csv"
    out = tmp_path / "m.csv"
    table.write_text(f"accession,report\nA1,{REPORT}\n0A2,{REPORT}\n")
    status, _, err = run(capsys, root, "--reports", table, "--out", out)
    assert status == 1
    assert "none of its 2 values of 'accession' is one of the 3 of the files" in err
    assert "some differ in leading zeros alone: did a spreadsheet drop them?" in err
    assert "A1" not in err
    table.write_text(f"accession,report\nX00A1,{REPORT}\n")
    assert (
        "does one of the two have a prefix?"
        in run(capsys, root, "--reports", table, "--out", out)[2]
    )
    table.write_text(f"accession,report\nQZ-917,{REPORT}\n")
    err = run(capsys, root, "--reports", table, "--out", out)[2]
    assert "most look like AA-000 in the table and like 00A0 in the files" in err
    assert "If another column holds them: --columns accession=NAME" in err
    assert "917" not in err
    assert "QZ" not in err
    assert not out.exists()
    table.write_text(f"accession,report\n00A1,{REPORT}\n00a2,{REPORT}\n77,{REPORT}\n")
    status, said, _ = run(capsys, root, "--reports", table, "--out", out)
    assert status == 0
    assert "2 of 3 studies have no report in reports.csv" in said
    assert "some differ in capitals, hyphens or spaces alone" in said
    assert "2 of 3 reports are of no study there" in said
    assert sum(row["report"] == "" for row in rows(out)) == 4


def test_the_table_of_reports_may_be_called_and_written_otherwise(root, tmp_path, capsys):
    """By Study Instance UID, other names of columns, packed, in another encoding."""
    uid = generate_uid(entropy_srcs=["00A1"])
    table = tmp_path / "befunde.csv.gz"
    table.write_bytes(gzip.compress(f"Studie|Befund\n{uid}|Größe normal.\n".encode("cp1252")))
    options = ["--columns", "study_uid=Studie,report=Befund"]
    options += ["--encoding", "cp1252", "--delimiter", "pipe"]
    out = tmp_path / "m.csv"
    status, _, err = run(capsys, root, "--reports", table, "--out", out, *options)
    assert (status, err) == (0, "")
    assert rows(out)[0]["report"] == "Größe normal."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,findings\n1,x\n", "must have the column report and one of accession and study_uid"),
        ("accession,report\n1,x\n1,y\n", "row 3: another report for the accession of row 2"),
        ("accession,report\n,x\n", "row 2, column 'accession': the cell is empty"),
    ],
)
def test_a_table_that_cannot_be_joined_is_refused(root, tmp_path, capsys, text, message):
    """The message names the row or the columns, and what to do."""
    table = tmp_path / "reports.csv"
    table.write_text(text)
    status, _, err = run(capsys, root, "--reports", table, "--out", tmp_path / "m.csv")
    assert status == 1
    assert message in err
    assert not (tmp_path / "m.csv").exists()


def test_without_reports_the_cells_are_blank(root, tmp_path, capsys):
    """It is said, and so is a folder without any DICOM file."""
    status, said, _ = run(capsys, root, "--out", tmp_path / "m.csv")
    assert status == 0
    assert "The reports are blank: fill the column report" in said
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").write_text("text")
    status, _, err = run(capsys, tmp_path / "none", "--out", tmp_path / "n.csv")
    assert status == 1
    assert "no DICOM file with pixels is there" in err


@pytest.mark.parametrize(
    ("typed", "view"),
    [
        ("A4C", "A4C"),
        ("apical 4 chamber", "apical 4 chamber"),
        ("PLAX view", "PLAX view"),
        ("subcostal view", "subcostal view"),
        ("Smith TTE repeat", ""),
        ("A4C Smith", ""),
        ("Mrs Jones A4C", ""),
        ("12345678", ""),
    ],
)
def test_a_typed_view_is_taken_over_only_where_it_is_one(typed, view):
    """Anything may be typed there, and a view goes into the shards as it is (I9)."""
    for keyword in ("ViewName", "SeriesDescription"):
        data = Dataset()
        setattr(data, keyword, typed)
        assert _view(data) == view


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither such names nor pipes")
def test_pipes_and_names_that_are_no_text_are_left_out(root, tmp_path, capsys):
    """They are counted; a pipe is not waited for."""
    os.mkfifo(root / "pipe.dcm")
    try:
        shutil.copy(root / "0" / "deep" / "IM0", os.fsencode(root) + b"/\xff.dcm")
    except OSError:
        pytest.skip("the file system takes no such name")
    status, said, _ = run(capsys, root, "--out", tmp_path / "m.csv")
    assert status == 0
    assert "1 files were left out: no files, such as pipes" in said
    assert "1 files were left out: their name or their folder's is not UTF-8" in said
    assert len(rows(tmp_path / "m.csv")) == 6
