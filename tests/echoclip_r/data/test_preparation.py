"""Shards: what is in them, that nothing spoils them, and that they are the same every time."""

import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import av
import numpy as np
import pydicom
import pydicom.data
import pytest
import webdataset
from PIL import Image

from echoclip_r.data.manifest import read_manifest
from echoclip_r.data.preparation import prepare
from echoclip_r.errors import ShardError
from echoclip_r.media.reading import read_clip

SALT = "0123456789abcdef0123"
SMALL = {"size_px": 32, "frames_per_clip": 4, "clips_per_shard": 3, "min_free_bytes": 0}


def contents(folder: Path) -> dict[str, str]:
    """Sha256 of every file of a folder of shards."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def samples(folder: Path, split: str | None = None) -> dict[str, dict[str, bytes]]:
    """All samples by key: ending -> bytes."""
    found: dict[str, dict[str, bytes]] = {}
    for shard in sorted(folder.glob(f"{split or ''}*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                key, ending = member.name.split(".", 1)
                found.setdefault(key, {})[ending] = tar.extractfile(member).read()
    return found


def records(folder: Path) -> list[dict]:
    return [json.loads(sample["json"]) for sample in samples(folder).values()]


def rejects(folder: Path) -> list[dict[str, str]]:
    with (folder / "rejects.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def shards(archive, tmp_path_factory):
    """The archive prepared once, in this process."""
    out = tmp_path_factory.mktemp("shards") / "out"
    prepare(archive / "manifest.csv", out, workers=0, **SMALL)
    return out


# What is in them


def test_every_clip_is_in_the_shards_of_its_split(archive, shards):
    """Each row becomes one sample: its frames, its report, its record."""
    with (archive / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for split in ("train", "validation", "test"):
        found = samples(shards, split)
        expected = sorted(row["report"] for row in rows if row["split"] == split)
        assert sorted(sample["txt"].decode() for sample in found.values()) == expected
        for sample in found.values():
            assert sorted(sample) == ["000.jpg", "001.jpg", "002.jpg", "003.jpg", "json", "txt"]
            for number in range(4):
                image = Image.open(io.BytesIO(sample[f"00{number}.jpg"]))
                assert (image.size, image.mode) == ((32, 32), "RGB")


def test_the_record_holds_what_it_should_and_nothing_else(shards):
    """No file name, no column that was not asked for; a blank label is left out."""
    for record in records(shards):
        assert set(record) == {
            "study_id",
            "patient_id",
            "view",
            "date",
            "labels",
            "frames",
            "sector",
        }
        assert record["study_id"].startswith("STUDY-")
        assert record["view"] == "A4C"
        assert set(record["labels"]) <= {"ef"}
        assert record["frames"] == sorted(set(record["frames"]))
        assert set(record["sector"]) == {"sure", "reason"}
    assert sorted(len(record["labels"]) for record in records(shards)) == [0] * 6 + [1] * 6
    for shard in shards.glob("*.tar"):
        assert b"Hidden" not in shard.read_bytes()
        assert b".avi" not in shard.read_bytes()


# webdataset leaves closing to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_webdataset_reads_the_shards(shards):
    """The library's own loader finds samples, decodes images, and gives text and record."""
    urls = [str(path) for path in sorted(shards.glob("*.tar"))]
    dataset = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8")
    seen = 0
    for sample in dataset:
        assert sample["000.jpg"].shape == (32, 32, 3)
        assert sample["000.jpg"].dtype == np.uint8
        assert "ejection fraction" in sample["txt"]
        assert sample["json"]["patient_id"].startswith("PATIENT-")
        seen += 1
    assert seen == 12


def test_burned_in_text_is_gone_and_the_picture_is_not(archive, tmp_path, helpers):
    """No pixel has the text's colour; lossless frames still hold speckle."""
    prepare(archive / "manifest.csv", tmp_path, workers=0, image_format="png", **SMALL)
    for sample in samples(tmp_path).values():
        frame = np.array(Image.open(io.BytesIO(sample["000.png"]))).astype(int)
        assert frame.std() > 20
        assert not (np.abs(frame - helpers.burned_in).max(axis=-1) < 90).any()


def test_the_index_and_the_sums_tell_the_truth(shards):
    """Counts are those of the files, sums are those of `sha256sum`, and nothing tells the time."""
    index = json.loads((shards / "index.json").read_text())
    lines = (shards / "SHA256SUMS").read_text().splitlines()
    assert [line.split("  ") for line in lines] == [
        [shard["sha256"], shard["name"]] for shard in index["shards"]
    ]
    for shard in index["shards"]:
        content = (shards / shard["name"]).read_bytes()
        assert shard["num_bytes"] == len(content)
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()
        with tarfile.open(shards / shard["name"]) as tar:
            assert {(member.mtime, member.uid, member.uname) for member in tar} == {(0, 0, "")}
            names = tar.getnames()
        assert shard["num_clips"] == sum(name.endswith(".json") for name in names)
        assert shard["num_frames"] == sum(name.endswith(".jpg") for name in names)
    assert index["splits"]["train"] == {"num_patients": 2, "num_studies": 4, "num_clips": 8}
    assert index["splits"]["validation"]["num_clips"] == 0
    assert index["options"]["size_px"] == 32


def test_a_short_clip_gives_the_frames_that_it_has(tmp_path, helpers):
    """None is repeated and none is made up."""
    row = helpers.archive_rows(1)
    helpers.write_video(tmp_path / row[0]["video"], helpers.fan_frames(7))
    path = helpers.write_manifest(tmp_path / "m.csv", row)
    result = prepare(
        path, tmp_path / "out", workers=0, size_px=32, keep_unsure=True, min_free_bytes=0
    )
    assert result.num_frames == 7
    assert records(tmp_path / "out")[0]["frames"] == list(range(7))


# The same every time


def test_the_shards_do_not_depend_on_workers_or_on_the_manifests_order(archive, shards, tmp_path):
    """Every file of the folder is the same, byte for byte, with none, one and two processes."""
    for workers in (1, 2):
        prepare(archive / "manifest.csv", tmp_path / str(workers), workers=workers, **SMALL)
        assert contents(tmp_path / str(workers)) == contents(shards)
    header, *lines = (archive / "manifest.csv").read_text().splitlines()
    turned = archive / "turned.csv"
    turned.write_text("\n".join([header, *reversed(lines)]) + "\n")
    prepare(turned, tmp_path / "turned", workers=0, **SMALL)
    assert samples(tmp_path / "turned") == samples(shards)


def test_another_seed_gives_another_choice(archive, shards, tmp_path):
    """Else the test above would say nothing."""
    prepare(archive / "manifest.csv", tmp_path, workers=0, seed=1, **SMALL)
    assert contents(tmp_path)["train-000000.tar"] != contents(shards)["train-000000.tar"]


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_run_again_gives_the_same(archive, shards, tmp_path, workers):
    """SIGKILL in the middle leaves whole shards only; the next run finishes with the same bytes."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "echoclip_r", "prepare", str(archive / "manifest.csv")]
    command += ["--out", str(out), "--size", "32", "--frames", "4", "--clips-per-shard", "3"]
    command += ["--min-free-gb", "0", "--workers", str(workers), "--json"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        # A shard is finished once its record is there, which comes after the file.
        while not list(out.glob("state/*-0*.json")) and time.monotonic() < deadline:
            time.sleep(0.002)
    finally:
        running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    expected = contents(shards)
    done = {name: digest for name, digest in contents(out).items() if name.endswith(".tar")}
    assert done.items() <= expected.items()
    assert 1 <= len(done) < 4
    assert not (out / "index.json").exists()
    again = subprocess.run(command, capture_output=True, check=True, text=True)
    assert json.loads(again.stdout)["num_resumed"] >= 1
    assert contents(out) == expected


def test_a_finished_run_is_left_as_it_is(archive, shards, tmp_path):
    """Running again reads no clip; a shard that was damaged is written again."""
    out = tmp_path / "out"
    shutil.copytree(shards, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    result = prepare(archive / "manifest.csv", out, workers=0, **SMALL)
    assert result.num_resumed == result.num_clips == 12
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")} == before
    os.truncate(out / "train-000001.tar", 1000)
    (out / "test-000000.tar").unlink()
    result = prepare(archive / "manifest.csv", out, workers=0, **SMALL)
    assert result.num_resumed == 12 - 3 - 3
    assert contents(out) == contents(shards)


def test_a_clip_that_changed_on_disk_is_read_again(archive, tmp_path, helpers):
    """Only its shard is; so a file that was missing can be put back and the run repeated."""
    folder = tmp_path / "archive"
    shutil.copytree(archive, folder)
    clip = folder / "clip-00.avi"
    clip.rename(folder / "away.avi")
    out = tmp_path / "out"
    result = prepare(folder / "manifest.csv", out, workers=0, **SMALL)
    assert (result.num_clips, len(result.rejects)) == (11, 1)
    (folder / "away.avi").rename(clip)
    result = prepare(folder / "manifest.csv", out, workers=0, **SMALL)
    assert (result.num_clips, len(result.rejects)) == (12, 0)
    assert result.num_resumed == 9
    assert rejects(out) == []


# Bad data


def test_bad_files_are_named_and_nothing_else_is_lost(archive, tmp_path, helpers):
    """Every bad row of the archive is in rejects.csv with its reason; the good ones are whole."""
    rows = helpers.archive_rows(12)
    for row in rows:
        os.link(archive / row["video"], tmp_path / row["video"])
    whole = (archive / "clip-11.avi").read_bytes()
    (tmp_path / "half.avi").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.avi").touch()
    with av.open(tmp_path / "frameless.avi", "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuvj444p"
        container.start_encoding()
    (tmp_path / "noise.avi").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "folder").mkdir()
    header = pydicom.Dataset()
    header.PatientName = "Hidden^Name"
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = pydicom.uid.EnhancedSRStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = "1.2.3"
    header.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    bad = {
        "half.avi": "cut off",
        "empty.avi": "the file is empty (0 bytes)",
        "frameless.avi": "zero frames",
        "noise.avi": "",
        "folder": "",
        "report.dcm": "it holds no pixel data",
        "gone.avi": "there is no such file or folder",
    }
    for number, name in enumerate(bad):
        rows.insert(
            2 * number,
            rows[-1] | {"study_id": f"BAD-{number}", "patient_id": f"BAD-{number}", "video": name},
        )
    rows.append(rows[-1] | {"study_id": "BAD-7", "patient_id": "BAD-7", "report": ""})
    rows.append(
        rows[-2]
        | {"study_id": "LONG", "patient_id": "LONG", "report": "word " * 5000, "video": "long.avi"}
    )
    os.link(archive / "clip-00.avi", tmp_path / "long.avi")
    path = helpers.write_manifest(tmp_path / "manifest.csv", rows)
    out = tmp_path / "out"
    result = prepare(path, out, workers=0, **SMALL)
    assert result.num_clips == 13
    found = {reject["file"]: reject for reject in rejects(out)}
    for name, reason in bad.items():
        assert reason in found[name]["reason"], name
        assert found[name]["reason"]
        row = int(found[name]["row"])
        assert rows[row - 2]["video"] == name
        assert found[name]["study_id"] == rows[row - 2]["study_id"]
        assert "Hidden" not in found[name]["reason"]
    assert found[""]["column"] == "report"
    assert len(found) == len(bad) + 1
    reports = [sample["txt"].decode() for sample in samples(out).values()]
    assert max(len(report.split()) for report in reports) == 5000


def test_real_ultrasound_files_go_through(tmp_path, helpers):
    """All of the pydicom package's, and its cardiac clip as AVI, MP4, GIF and folder of images.

    What moves is kept; the still pictures are rejected as unsure, or kept when that is asked for.
    """
    test_files = Path(pydicom.data.__file__).parent / "test_files"
    stills = ["ExplVR_BigEnd.dcm", "examples_jpeg2k.dcm", "examples_palette.dcm"]
    stills.append("examples_rgb_color.dcm")
    for name in [*stills, "examples_ybr_color.dcm"]:
        shutil.copy(test_files / name, tmp_path)
    frames = read_clip(test_files / "examples_ybr_color.dcm")
    helpers.write_video(tmp_path / "cardiac.avi", frames)
    helpers.write_video(tmp_path / "cardiac.mp4", frames, codec="mpeg4")
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(tmp_path / "cardiac.gif", save_all=True, append_images=images[1:])
    (tmp_path / "cardiac").mkdir()
    for number, image in enumerate(images):
        image.save(tmp_path / "cardiac" / f"{number:03d}.png")
    clips = ["examples_ybr_color.dcm", "cardiac.avi", "cardiac.mp4", "cardiac.gif", "cardiac"]
    rows = [
        {"study_id": name, "patient_id": "P", "video": name, "report": "A report."}
        for name in [*stills, *clips]
    ]
    path = helpers.write_manifest(tmp_path / "manifest.csv", rows)
    result = prepare(path, tmp_path / "strict", workers=0, **SMALL)
    assert sorted(record["study_id"] for record in records(tmp_path / "strict")) == sorted(clips)
    assert [reject.file for reject in result.rejects] == stills
    assert all("the sector is not sure" in reject.reason for reject in result.rejects)
    result = prepare(path, tmp_path / "all", workers=0, keep_unsure=True, **SMALL)
    assert not result.rejects
    assert (result.num_clips, result.num_unsure) == (9, 4)
    assert result.num_frames == 4 * 1 + 5 * 4


def test_when_no_clip_is_good_the_error_says_why(tmp_path, helpers):
    """No empty shard is left for a training to stumble over."""
    path = helpers.write_manifest(tmp_path / "m.csv", helpers.archive_rows(2))
    with pytest.raises(ShardError, match=r"every clip was rejected, .*there is no such file"):
        prepare(path, tmp_path / "out", workers=0, min_free_bytes=0)
    assert not list((tmp_path / "out").glob("*.tar"))
    assert len(rejects(tmp_path / "out")) == 2
    rows = [row | {"report": ""} for row in helpers.archive_rows(2)]
    path = helpers.write_manifest(tmp_path / "m.csv", rows)
    with pytest.raises(ShardError, match="none of the 2 rows can be used; the first, row 2, be"):
        prepare(path, tmp_path / "other", workers=0, min_free_bytes=0)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("clip-00", "one with the ending .avi; write the name with its ending"),
        ("CLIP-00.AVI", "differs in capital letters; write the name as the folder has it"),
        ("clip-00.mp4", "one of that name with the ending .avi; write the ending that it has"),
        ("clip-xx.avi", "there is no such file or folder"),
    ],
)
def test_a_file_that_is_not_there_is_explained_in_the_rejects(archive, tmp_path, written, reason):
    """As in the summary: the file that was probably meant, and how to write its name."""
    lines = (archive / "manifest.csv").read_text().splitlines()[:3]
    folder = shutil.copytree(archive, tmp_path / "archive")
    path = folder / "m.csv"
    path.write_text("\n".join(lines).replace("clip-00.avi", written, 1) + "\n")
    prepare(path, tmp_path / "out", workers=0, keep_unsure=True, **SMALL)
    (reject,) = rejects(tmp_path / "out")
    assert reject["reason"].endswith(reason)


def test_an_unforeseen_error_of_a_decoder_is_a_reject_without_its_text(
    archive, tmp_path, monkeypatch
):
    """The text of such an error may quote the file, so only its kind and place are told."""

    def fails(path, indices):
        raise ZeroDivisionError("Patient^Name")

    monkeypatch.setattr("echoclip_r.data.clips.read", fails)
    with pytest.raises(ShardError, match=r"ZeroDivisionError in test_preparation\.py") as error:
        prepare(archive / "manifest.csv", tmp_path, workers=0, **SMALL)
    assert "Patient^Name" not in str(error.value)
    assert "Patient^Name" not in (tmp_path / "rejects.csv").read_text()


def test_a_decoder_that_kills_its_process_costs_one_clip(archive, shards, tmp_path):
    """The clip is found by trying again alone; two workers' other shards stay the same."""
    script = tmp_path / "run.py"
    script.write_text(
        f"""
import os, signal, sys
import echoclip_r.data.clips as clips

read = clips.read

def dies(path, indices):
    if path.endswith("clip-05.avi"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return read(path, indices)

clips.read = dies  # workers import this file too

if __name__ == "__main__":
    from echoclip_r.data.preparation import prepare
    prepare({str(archive / "manifest.csv")!r}, {str(tmp_path / "out")!r}, workers=2, **{SMALL!r})
"""
    )
    subprocess.run([sys.executable, str(script)], check=True, cwd=tmp_path)
    (reject,) = rejects(tmp_path / "out")
    assert (reject["row"], reject["file"]) == ("7", "clip-05.avi")
    assert reject["reason"].startswith("reading it ended the worker process, twice")
    expected, found = samples(shards), samples(tmp_path / "out")
    assert len(found) == 11
    assert found.items() <= expected.items()


# The disk and the folder


def test_too_little_free_space_stops_before_a_shard(archive, tmp_path):
    """The error gives both figures and what to do."""
    with pytest.raises(
        ShardError,
        match=r"GB of disk are free, and 1000000000\.00 GB are asked for, so train-000000\.tar "
        r"was not begun\. Free some space.*Run the same command again",
    ):
        prepare(archive / "manifest.csv", tmp_path, workers=0, **SMALL | {"min_free_bytes": 10**18})
    assert not list(tmp_path.glob("*.tar*"))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_leaves_no_half_shard(archive, shards, tmp_path, monkeypatch, code):
    """The error names disk and shard; with space again the run goes on to the same bytes."""
    written = 0
    addfile = tarfile.TarFile.addfile

    def fills_up(self, *arguments):
        nonlocal written
        written += 1
        if written > 30:
            raise OSError(code, os.strerror(code))
        return addfile(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "addfile", fills_up)
        with pytest.raises(ShardError, match=r"the disk is full, so \w+-000001\.tar was not writ"):
            prepare(archive / "manifest.csv", tmp_path, workers=0, **SMALL)
    expected = contents(shards)
    left = contents(tmp_path)
    assert [name for name in left if ".tar" in name] == [
        name for name in expected if name in left and name.endswith(".tar")
    ]
    result = prepare(archive / "manifest.csv", tmp_path, workers=0, **SMALL)
    assert result.num_resumed == 3
    assert contents(tmp_path) == expected


def test_a_really_full_disk(archive, shards, small_disk):
    """The same on a file system of 64 kB, with a worker."""
    out = small_disk(64_000) / "out"
    with pytest.raises(ShardError, match=r"the disk is full, so .*no half of it is left"):
        prepare(archive / "manifest.csv", out, workers=1, **SMALL)
    assert not list(out.rglob("*.partial"))
    small_disk(4_000_000)
    prepare(archive / "manifest.csv", out, workers=1, **SMALL)
    assert contents(out) == contents(shards)


def test_a_folder_that_cannot_be_written_is_named(archive, tmp_path):
    """A file in its place, for instance."""
    (tmp_path / "file").touch()
    with pytest.raises(ShardError, match="file: the folder cannot be written"):
        prepare(archive / "manifest.csv", tmp_path / "file", workers=0, **SMALL)


def test_shards_of_other_options_are_refused_or_replaced(archive, shards, tmp_path):
    """The error says what differs; --overwrite deletes shards and nothing else."""
    out = tmp_path / "out"
    shutil.copytree(shards, out)
    (out / "notes.md").touch()
    larger = SMALL | {"size_px": 48, "clips_per_shard": 12}
    with pytest.raises(ShardError, match=r"another run \(size_px 32, now 48; clips_per_shard 3, n"):
        prepare(archive / "manifest.csv", out, workers=0, **larger)
    assert contents(out).items() >= contents(shards).items()
    prepare(archive / "manifest.csv", out, workers=0, overwrite=True, **larger)
    assert sorted(path.name for path in out.iterdir()) == [
        "SHA256SUMS",
        "index.json",
        "notes.md",
        "rejects.csv",
        "state",
        "test-000000.tar",
        "train-000000.tar",
    ]


def test_shards_of_another_manifest_are_refused(archive, shards, tmp_path):
    """Also when only a report has changed."""
    out = tmp_path / "out"
    shutil.copytree(shards, out)
    changed = archive / "changed.csv"
    changed.write_text((archive / "manifest.csv").read_text().replace("50%", "51%"))
    with pytest.raises(ShardError, match="the manifest's rows, its reports or the salt have chang"):
        prepare(changed, out, workers=0, **SMALL)


def test_a_folder_with_other_files_is_left_alone(archive, tmp_path):
    """Shards don't get mixed into somebody's home."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ShardError, match=r"it holds other files \(thesis\.tex\) and no shards"):
        prepare(archive / "manifest.csv", tmp_path, workers=0, overwrite=True, **SMALL)


def test_two_runs_do_not_write_to_one_folder(archive, shards, tmp_path):
    """The second one is told; the lock goes with its process, so none is ever left behind."""
    out = tmp_path / "out"
    shutil.copytree(shards, out)
    with (out / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ShardError, match="another run is writing shards there"):
            prepare(archive / "manifest.csv", out, workers=0, **SMALL)
    prepare(archive / "manifest.csv", out, workers=0, **SMALL)


# Privacy


def test_hashed_ids_hide_the_names_and_keep_what_belongs_together(archive, shards, tmp_path):
    """Pseudonyms match as the ids do; dates move, the days between a patient's studies stay."""
    prepare(archive / "manifest.csv", tmp_path, workers=0, hash_salt=SALT, **SMALL)
    for path in [*tmp_path.glob("*.tar"), tmp_path / "index.json"]:
        for secret in (b"STUDY-", b"PATIENT-", SALT.encode()):
            assert secret not in path.read_bytes()
    plain, hashed = records(shards), records(tmp_path)
    for name in ("study_id", "patient_id"):
        pairs = {(one[name], other[name]) for one, other in zip(plain, hashed, strict=True)}
        assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
    shifts: dict[str, set] = {}
    for one, other in zip(plain, hashed, strict=True):
        days = np.datetime64(one["date"]) - np.datetime64(other["date"])
        shifts.setdefault(one["patient_id"], set()).add(int(days.astype(int)))
    assert all(len(days) == 1 and 1 <= min(days) <= 365 for days in shifts.values())
    assert len(set.union(*shifts.values())) > 1


def test_a_salt_that_can_be_guessed_is_refused(archive, tmp_path):
    """The error says how to make a good one and doesn't show the bad one."""
    with pytest.raises(ValueError, match=r"the salt has 5 characters; .*openssl rand") as error:
        prepare(archive / "manifest.csv", tmp_path, hash_salt="hello")
    assert "hello" not in str(error.value)


def test_an_unsure_sector_is_rejected_unless_asked_for(tmp_path, helpers):
    """A clip in which nothing moves could hold text anywhere."""
    rows = helpers.archive_rows(2)
    helpers.write_video(tmp_path / rows[0]["video"], helpers.fan_frames(20))
    still = np.repeat(helpers.fan_frames(1), 20, axis=0)
    helpers.write_video(tmp_path / rows[1]["video"], still)
    path = helpers.write_manifest(tmp_path / "m.csv", rows)
    result = prepare(path, tmp_path / "strict", workers=0, **SMALL)
    assert (result.num_clips, result.num_unsure) == (1, 0)
    assert "the sector is not sure" in result.rejects[0].reason
    result = prepare(path, tmp_path / "kept", workers=0, keep_unsure=True, **SMALL)
    assert (result.num_clips, result.num_unsure) == (2, 1)
    assert sorted(record["sector"]["sure"] for record in records(tmp_path / "kept")) == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_px": 0}, "size_px is 0; it must be 16 to 2048"),
        ({"frames_per_clip": 0}, "frames_per_clip is 0; it must be 1 to 999"),
        ({"image_format": "gif"}, "image_format is 'gif'; it must be jpeg or png"),
        ({"clips_per_shard": 0}, "clips_per_shard is 0; it must be at least 1"),
        ({"workers": -1}, "workers is -1; it must be 0 or more"),
    ],
)
def test_options_out_of_range_are_refused(archive, tmp_path, options, message):
    """Before anything is written."""
    with pytest.raises(ValueError, match=message):
        prepare(archive / "manifest.csv", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_clip_with_a_damaged_frame_is_used_and_remarked(archive, tmp_path):
    """The sample's record, `remarks.csv` and the result say it; the other clips are as before."""
    for file in archive.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damaged = tmp_path / "clip-05.avi"
    data = bytearray(damaged.read_bytes())
    place = data.index(b"movi")
    for _ in range(8):
        place = data.index(b"00dc", place + 4)
    size = int.from_bytes(data[place + 4 : place + 8], "little")
    data[place + 8 : place + 8 + size] = b"\x55" * size
    damaged.write_bytes(data)
    options = SMALL | {"frames_per_clip": 99}
    result = prepare(tmp_path / "manifest.csv", tmp_path / "out", workers=0, **options)
    assert not result.rejects
    (remark,) = result.remarks
    assert (remark.row, remark.file) == (7, "clip-05.avi")
    assert remark.remark == "its pixel data cannot be decoded in frame 7 of 17, which is left out"
    written = read_rows(tmp_path / "out" / "remarks.csv")
    assert [line["remark"] for line in written] == [remark.remark]
    (record,) = [record for record in records(tmp_path / "out") if "notes" in record]
    assert record["notes"] == [remark.remark]
    assert record["frames"] == [index for index in range(17) if index != 7]
    again = prepare(tmp_path / "manifest.csv", tmp_path / "out", workers=0, **options)
    assert again.remarks == result.remarks
    assert again.num_resumed == 12


def test_an_archive_without_faults_has_no_remarks(shards):
    """Nothing is written where there is nothing to say."""
    assert not (shards / "remarks.csv").exists()


@pytest.mark.parametrize("mark", ["yes", "1", "TRUE", "x", "1.0"])
def test_a_column_leaves_clips_out(archive, tmp_path, mark):
    """What a mask cannot remove can be marked in the manifest; no or blank keeps the clip."""
    rows = read_rows(archive / "manifest.csv")
    for number, row in enumerate(rows):
        row["video"] = str(archive / row["video"])
        row["exclude"] = {3: mark, 4: "no", 5: "0"}.get(number, "")
    write_rows(tmp_path / "manifest.csv", rows)
    manifest = read_manifest(tmp_path / "manifest.csv")
    assert len(manifest.frame) == len(rows) - 1
    assert "exclude" not in manifest.labels
    (reject,) = manifest.rejects
    assert (reject.row, reject.column) == (5, "exclude")
    assert reject.reason == "the manifest marks it to be left out"


def test_an_unclear_mark_is_not_guessed(archive, tmp_path):
    """The row is named, and the message says what to write."""
    rows = read_rows(archive / "manifest.csv")
    marked = [row | {"exclude": "perhaps"} for row in rows]
    write_rows(tmp_path / "manifest.csv", marked)
    manifest = read_manifest(tmp_path / "manifest.csv", check_files=False)
    assert len(manifest.rejects) == len(rows)
    assert manifest.rejects[0].reason == (
        "the mark is unclear; write yes to leave the clip out, or no"
    )
