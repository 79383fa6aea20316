"""Small folders laid out as public archives are become manifests, and slips are told."""

from __future__ import annotations

import csv
import gzip
import shutil
import struct
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from echoclip_r.cli.main import main
from echoclip_r.data.layouts import LAYOUTS
from echoclip_r.data.manifest import read_manifest
from echoclip_r.data.preparation import prepare
from echoclip_r.phantom.clip_files import DicomStudy, write_clip
from echoclip_r.phantom.picture.screen import Identity


def write_nifti(path: Path, frames: np.ndarray, *, spacing=(0.3, 0.3), code=2) -> None:
    """Grey frames (T, H, W) as NIfTI stores them: columns first."""
    kinds = {2: "u1", 4: "<i2", 16: "<f4"}
    count, height, width = frames.shape
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, width, height, count, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, code, 8 * np.dtype(kinds[code]).itemsize)
    struct.pack_into("<8f", header, 76, 1, *spacing, 1, 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    header[344:348] = b"n+1\0"
    content = bytes(header) + frames.astype(kinds[code]).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def make(tmp_path, helpers):
    """Makes an archive of a layout and gives its folder; every clip can be prepared."""

    def video(path: Path, seed: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        helpers.write_video(path, helpers.fan_frames(12, seed=seed))

    def dynamic(root: Path) -> None:
        rows = [["FileName", "EF", "ESV", "EDV", "FrameHeight", "Split"]]
        for number in range(4):
            video(root / "Videos" / f"0X{number}.avi", number)
            rows.append([f"0X{number}", 50.5 + number, 40, 90, 64, ("TRAIN", "TEST")[number % 2]])
        write(root / "FileList.csv", rows)

    def pediatric(root: Path) -> None:
        for view in ("A4C", "PSAX"):
            rows = [["FileName", "EF", "Sex", "Age", "Weight", "Height", "Split"]]
            for number in range(4):
                name = f"CR{number}-CS{number}-00000{number}"
                video(root / view / "Videos" / f"{name}.avi", number)
                rows.append([f"{name}.avi", 60.2, "F", number, "", 120, 2 * number + 3])
            write(root / view / "FileList.csv", rows)

    def lvh(root: Path) -> None:
        rows = [["", "HashedFileName", "Calc", "CalcValue", "Frame", "X1", "split"]]
        for number in range(4):
            video(root / f"Batch{number + 1}" / f"0X{number}.avi", number)
            for calc, value in (("IVSd", 1.1), ("LVIDd", 4.6), ("LVPWd", 0.9)):
                rows.append(
                    [len(rows), f"0X{number}", calc, value, 3, 5, ("train", "val")[number % 2]]
                )
            rows.append(
                [len(rows), f"0X{number}", "LVIDd", 4.4, 9, 5, ("train", "val")[number % 2]]
            )
        write(root / "MeasurementsList.csv", rows)

    def camus(root: Path) -> None:
        names = [f"patient000{number}" for number in range(1, 5)]
        for number, name in enumerate(names):
            folder = root / "database_nifti" / name
            folder.mkdir(parents=True)
            for view in ("2CH", "4CH"):
                frames = helpers.fan_frames(6, seed=number, size_px=96)[..., 1]
                write_nifti(folder / f"{name}_{view}_half_sequence.nii.gz", frames)
                write_nifti(folder / f"{name}_{view}_ED.nii.gz", frames[:1])
                (folder / f"Info_{view}.cfg").write_text(
                    f"ED: 1\nES: 6\nNbFrame: 6\nSex: F\nAge: 56\nImageQuality: Good\nEF: 5{number}"
                )
        (root / "database_split").mkdir()
        for split, part in (
            ("training", names[:2]),
            ("validation", names[2:3]),
            ("testing", names[3:]),
        ):
            (root / "database_split" / f"subgroup_{split}.txt").write_text("\n".join(part))

    def mimic(root: Path) -> None:
        clips = [["subject_id", "study_id", "acquisition_datetime", "dicom_filepath"]]
        studies = [["subject_id", "study_id", "study_datetime", "note_id", "measurement_id"]]
        measured = [["subject_id", "measurement_id", "test_type", "measurement"]]
        measured[0] += ["measurement_description", "result", "unit"]
        for number in range(4):
            subject, study = 10000 + number, 9000 + number
            path = f"files/p10/p{subject}/s{study}/{study}_0001.dcm"
            (root / path).parent.mkdir(parents=True)
            tags = DicomStudy(
                study_id="A1",
                identity=Identity(
                    family_name="A", given_name="B", record_number="1", birth_date="19500101"
                ),
                sex="F",
                day=date(2180, 1, 2),
                heart_rate_bpm=70,
                key=str(number),
                study_key=str(number),
            )
            write_clip(
                root / path,
                helpers.fan_frames(12, seed=number),
                form="dicom-rgb",
                fps_hz=30,
                study=tags,
            )
            clips.append([subject, study, "2180-01-02 10:00:00", path])
            note = f"{subject}-EC-1" if number < 2 else ""
            studies.append([subject, study, "2180-01-02 09:00:00", note, 70 + number])
            if number < 3:
                about = "Left ventricular ejection fraction"
                measured.append([subject, 70 + number, "tte", "lvef", about, 55, "%"])
                measured.append([subject, 70 + number, "tte", "mr", "", "Mild", ""])
        measured.append([1, 999, "tte", "lvef", "", 20, "%"])
        write(root / "echo-record-list.csv", clips)
        write(root / "echo-study-list.csv", studies)
        write(root / "structured-measurement.csv", measured)
        packed = gzip.compress((root / "structured-measurement.csv").read_bytes())
        (root / "structured-measurement.csv.gz").write_bytes(packed)
        (root / "structured-measurement.csv").unlink()

    makers = {
        "echonet-dynamic": dynamic,
        "echonet-pediatric": pediatric,
        "echonet-lvh": lvh,
        "camus": camus,
        "mimic-iv-echo": mimic,
    }

    def of(layout: str) -> Path:
        root = tmp_path / layout
        root.mkdir()
        makers[layout](root)
        return root

    return of


def write(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def run(tmp_path, capsys):
    """Runs `manifest` and gives exit code, and what was printed."""

    def command(layout: str, root: Path, *more: str) -> tuple[int, str]:
        out = tmp_path / "manifest.csv"
        out.unlink(missing_ok=True)
        capsys.readouterr()
        code = main(["manifest", layout, str(root), "--out", str(out), *more])
        printed = capsys.readouterr()
        assert out.exists() == (code == 0)
        return code, printed.out + printed.err

    return command


NUM_CLIPS = {
    "echonet-dynamic": 4,
    "echonet-pediatric": 8,
    "echonet-lvh": 4,
    "camus": 8,
    "mimic-iv-echo": 4,
}


@pytest.mark.parametrize("layout", NUM_CLIPS)
def test_every_archive_becomes_a_manifest_that_prepare_reads(layout, make, run, tmp_path):
    """No row is rejected but those that the command announced, and frames come out."""
    code, said = run(layout, make(layout))
    assert code == 0 and f"{NUM_CLIPS[layout]} clips: " in said
    manifest = read_manifest(tmp_path / "manifest.csv")
    blank = 1 if layout == "mimic-iv-echo" else 0  # a study without note and measurements
    assert len(manifest.rejects) == blank
    assert len(manifest.frame) == NUM_CLIPS[layout] - blank
    if layout == "mimic-iv-echo":
        assert "Left ventricular ejection fraction: 55%." in manifest.frame["report"][0]
    result = prepare(tmp_path / "manifest.csv", tmp_path / "shards", size_px=64, workers=0)
    assert result.num_clips == NUM_CLIPS[layout] - blank, [one.reason for one in result.rejects]


def test_dicom_and_the_public_archives_are_the_layouts():
    """Each of them has a test here, or in the tests of the folder of DICOM files."""
    assert {*LAYOUTS} == {*NUM_CLIPS, "dicom"}


def test_pediatric_folds_views_and_patients(make, run, tmp_path):
    """Folds become splits, both views of a study share its report, extra columns are labels."""
    root = make("echonet-pediatric")
    assert run("echonet-pediatric", root)[0] == 0
    frame = read_manifest(tmp_path / "manifest.csv").frame
    assert list(frame["split"][:4]) == ["train", "train", "train", "test"]
    assert set(frame["view"]) == {"A4C", "PSAX"}
    assert frame["study_id"][0] == "CR0-CS0" and frame["patient_id"][0] == "CR0"
    assert list(frame["age_years"][:2]) == [0, 1]
    inner = tmp_path / "download" / "pediatric_echo_avi" / "pediatric_echo_avi"
    inner.parent.mkdir(parents=True)
    root.rename(inner)
    assert "8 clips" in run("echonet-pediatric", tmp_path / "download")[1]
    shutil.rmtree(inner / "PSAX")
    code, said = run("echonet-pediatric", tmp_path / "download")
    assert code == 0 and "the view PSAX is left out: there is no PSAX/FileList.csv" in said


def test_a_patient_in_two_folds_stays_together(make, run, tmp_path):
    """The split is by patient (I10), and it is said."""
    root = make("echonet-pediatric")
    edit(root / "PSAX" / "FileList.csv", ",120,3", ",120,9")
    code, said = run("echonet-pediatric", root)
    assert code == 0 and "1 patients have clips in several folds" in said
    assert set(read_manifest(tmp_path / "manifest.csv").frame["split"][4:5]) == {"train"}


def test_lvh_measurements_are_means_in_centimetres(make, run, tmp_path):
    """One row for each clip, in whichever batch it lies."""
    root = make("echonet-lvh")
    assert run("echonet-lvh", root)[0] == 0
    frame = read_manifest(tmp_path / "manifest.csv").frame
    assert list(frame["lvidd_cm"]) == [4.5] * 4 and set(frame["view"]) == {"PLAX"}
    assert "internal diameter in diastole is 4.5 cm." in frame["report"][0]
    edit(root / "MeasurementsList.csv", ",LVIDd,4.", ",LVIDd,4")
    assert "were they changed into millimetres" in run("echonet-lvh", root)[1]


def test_camus_views_quality_and_splits(make, run, tmp_path):
    """From the descriptions and the official split; without it the ids decide, which is said."""
    root = make("camus")
    assert run("camus", root)[0] == 0
    frame = read_manifest(tmp_path / "manifest.csv").frame
    assert list(frame["view"][:2]) == ["A4C", "A2C"] and list(frame["quality"]) == [2] * 8
    assert list(frame["split"][::2]) == ["train", "train", "validation", "test"]
    assert frame["report"][2] == "The left ventricular ejection fraction is 51%."
    assert list(frame["es_frame"]) == [6] * 8
    assert run("camus", root / "database_nifti")[0] == 0
    shutil.rmtree(root / "database_split")
    assert "database_split/subgroup_training.txt is not there" in run("camus", root)[1]
    for path in root.rglob("*.nii.gz"):
        path.rename(path.with_name(path.name.replace(".nii.gz", ".mhd")))
    assert "the pictures are .mhd files, as in the release before 2023" in run("camus", root)[1]


def test_mimic_notes_and_measurements(make, run, tmp_path):
    """A note where the user has it, else the measurements written out, and it is said which."""
    root = make("mimic-iv-echo")
    code, said = run("mimic-iv-echo", root)
    assert code == 0
    assert "3 of 4 studies have no note here: what stands for their report is written from" in said
    assert "1 of 4 studies have neither a note nor measurements" in said
    frame = read_manifest(tmp_path / "manifest.csv").frame
    assert frame["report"][0] == "Left ventricular ejection fraction: 55%. Mr: Mild."
    assert list(frame["lvef"]) == [55] * 3 and frame["date"][0] == "2180-01-02"
    assert "mr" not in frame
    write(tmp_path / "n.csv", [["note_id", "text"], ["10001-EC-1", "The EF is\nnormal."]])
    code, said = run("mimic-iv-echo", root, "--reports", str(tmp_path / "n.csv"))
    assert code == 0 and "2 of 4 studies have no note here" in said
    assert read_manifest(tmp_path / "manifest.csv").frame["report"][1] == "The EF is\nnormal."
    with (tmp_path / "manifest.csv").open(newline="") as file:
        assert [row["report_from"] for row in csv.DictReader(file)] == [
            "measurements",
            "note",
            "measurements",
            "none",
        ]
    write(tmp_path / "n.csv", [["note_id", "text"], ["7", "secret words"]])
    code, said = run("mimic-iv-echo", root, "--reports", str(tmp_path / "n.csv"))
    assert code == 1 and "none of its 1 values of 'note_id' belongs to one of the 4" in said
    assert "secret" not in said
    (root / "structured-measurement.csv.gz").unlink()
    assert "no structured measurements: there is no" in run("mimic-iv-echo", root)[1]
    (root / "echo-study-list.csv").unlink()
    assert "it holds no echo-study-list.csv" in run("mimic-iv-echo", root)[1]


LISTS = {
    "echonet-dynamic": "FileList.csv",
    "echonet-pediatric": "A4C",
    "echonet-lvh": "MeasurementsList.csv",
    "camus": "database_nifti",
    "mimic-iv-echo": "echo-record-list.csv",
}


@pytest.mark.parametrize("layout", LISTS)
@pytest.mark.parametrize("other", LISTS)
def test_a_folder_of_another_layout_is_refused(layout, other, make, run):
    """With the list that is missing; and no layout takes another's folder."""
    if layout == other:
        return
    code, said = run(layout, make(other))
    assert code == 1 and "so it is not the folder of" in said and LISTS[layout] in said


@pytest.mark.parametrize("layout", NUM_CLIPS)
def test_half_a_data_set_is_counted_and_none_of_it_refused(layout, make, run, tmp_path):
    """The clips that are there go on."""
    root = make(layout)
    clips = sorted(p for p in root.rglob("*") if p.suffix in (".avi", ".dcm") or "half" in p.name)
    clips[0].unlink()
    code, said = run(layout, root)
    total = NUM_CLIPS[layout]
    assert code == 0 and f"1 of the {total} clips that" in said
    assert f"{total - 1} clips: " in said and "the download is not complete" in said
    for path in clips[1:]:
        path.unlink()
    code, said = run(layout, root)
    assert code == 1 and f"none of the {total} clips that" in said and "unpacked" in said


@pytest.mark.parametrize(
    "layout", ["echonet-dynamic", "echonet-pediatric", "camus", "mimic-iv-echo"]
)
def test_fractions_for_percentages_are_refused(layout, make, run):
    """0.55 is no ejection fraction in percent."""
    root = make(layout)
    if layout == "camus":
        for path in root.rglob("*.cfg"):
            edit(path, "EF: 5", "EF: 0.5")
    elif layout == "mimic-iv-echo":
        packed = root / "structured-measurement.csv.gz"
        packed.write_bytes(
            gzip.compress(gzip.decompress(packed.read_bytes()).replace(b",55,", b",.55,"))
        )
    else:
        for path in root.rglob("FileList.csv"):
            text = path.read_text()
            for value in ("50.5", "51.5", "52.5", "53.5", "60.2"):
                text = text.replace(f",{value},", f",{float(value) / 100},")
            path.write_text(text)
    code, said = run(layout, root)
    assert code == 1
    assert "they are fractions and not percentages: 0.55 would be taken for 0.55 %" in said


def test_reports_are_for_the_layouts_that_have_them(make, run, tmp_path):
    """The others have texts of their own."""
    code, said = run("camus", make("camus"), "--reports", str(tmp_path / "x.csv"))
    assert code == 2 and "--reports is for dicom and mimic-iv-echo; camus has texts of its" in said


def test_a_path_of_a_list_stays_inside_of_the_archive(make, run):
    """An absolute, blank or climbing path is named by its row, and not followed."""
    for path in ("/etc/passwd", "", "../../secret.dcm"):
        root = make("mimic-iv-echo")
        rows = [["subject_id", "study_id", "dicom_filepath"], [10000, 9000, path]]
        write(root / "echo-record-list.csv", rows)
        code, said = run("mimic-iv-echo", root)
        assert code == 1 and "row 2, column 'dicom_filepath': a path is to name a file in" in said
        assert "secret" not in said and "passwd" not in said
        shutil.rmtree(root)


def test_a_name_that_no_file_can_have_is_a_clip_that_is_not_there(make, run, tmp_path):
    """In a list of an archive, and in a manifest."""
    root = make("echonet-dynamic")
    edit(root / "FileList.csv", "0X1,", f"{'x' * 300},")
    code, said = run("echonet-dynamic", root)
    assert code == 0 and "1 of the 4 clips that FileList.csv names are not there" in said
    edit(tmp_path / "manifest.csv", "0X0.avi", f"{'x' * 300}.avi")
    manifest = read_manifest(tmp_path / "manifest.csv")
    assert len(manifest.frame) == 2
    assert "there is no such file" in manifest.rejects[0].reason


def test_camus_lists_of_splits_that_cannot_be_used_are_refused(make, run):
    """One that is no text, and a patient in two of them (I10)."""
    root = make("camus")
    lists = root / "database_split"
    shutil.copy(lists / "subgroup_training.txt", lists / "subgroup_testing.txt")
    code, said = run("camus", root)
    assert code == 1 and "a patient of it is in another list beside it" in said
    (lists / "subgroup_testing.txt").write_bytes(b"\xff\xfe\0patient")
    code, said = run("camus", root)
    assert code == 1 and "subgroup_testing.txt: cannot be read (UnicodeDecodeError)" in said


def test_camus_views_share_the_fraction_that_one_of_them_states(make, run, tmp_path):
    """Only a heart without any is left out, and counted."""
    root = make("camus")
    folders = sorted((root / "database_nifti").iterdir())
    edit(folders[0] / "Info_4CH.cfg", "EF: 50", "")
    for path in folders[1].glob("*.cfg"):
        edit(path, "EF: 51", "")
    code, said = run("camus", root)
    assert code == 0 and "2 sequences have no ejection fraction" in said
    manifest = read_manifest(tmp_path / "manifest.csv")
    assert [one.row for one in manifest.rejects] == [4, 5]
    stated = "The left ventricular ejection fraction is 50%."
    assert list(manifest.frame["report"][:2]) == [stated] * 2


def test_a_manifest_is_a_csv_file(make, tmp_path, capsys):
    """Its name says so, since no other command reads it else."""
    root = make("echonet-dynamic")
    assert main(["manifest", "echonet-dynamic", str(root), "--out", str(tmp_path / "m")]) == 1
    assert "give a name that ends in .csv" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_a_table_of_notes_that_cannot_be_joined_is_refused(make, run, tmp_path):
    """By its row, and without a word or an id of it; notes of other studies are passed over."""
    root, table = make("mimic-iv-echo"), tmp_path / "n.csv"
    for rows, said in (
        ([["subject", "note"], [1, "secret"]], "row 1 must have the column text and one of note"),
        ([["note_id", "text"], ["", "secret"]], "row 2, column 'note_id': the cell is empty"),
        (
            [["note_id", "text"], ["10001-EC-1", "secret"], ["10001-EC-1", "secret, too"]],
            "row 3: another report for the note_id of row 2",
        ),
    ):
        write(table, rows)
        code, err = run("mimic-iv-echo", root, "--reports", str(table))
        assert code == 1 and said in err
        assert "secret" not in err and "EC" not in err
    others = [["x", "One."], ["x", "Another."]]
    write(table, [["study_id", "report"], *others, [9001, "The EF is normal."]])
    code, said = run("mimic-iv-echo", root, "--reports", str(table))
    assert code == 0 and "2 of 4 studies have no note here" in said
    assert "The EF is normal." in list(read_manifest(tmp_path / "manifest.csv").frame["report"])
