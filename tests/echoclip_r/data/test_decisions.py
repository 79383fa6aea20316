"""What is decided on a clip's sector: by hand, as masked already, by siblings, by its header."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

from echoclip_r.cli.main import main
from echoclip_r.data.clips import look_at
from echoclip_r.data.outlines import read_outlines
from echoclip_r.data.siblings import Sibling
from echoclip_r.phantom.picture.looks import LOOKS, REFUSED, LookClip, render_look
from echoclip_r.sector.find import find_sector

SIZE_PX = 128


def fan_points() -> str:
    reach, half = 0.9 * SIZE_PX, 0.7
    x, y = reach * np.sin(half), 0.05 * SIZE_PX + reach * np.cos(half)
    return f"64,{0.05 * SIZE_PX:g} {64 - min(x, 64):g},{y:g} {64 + min(x, 63.9):g},{y:g}"


def fan_mask() -> np.ndarray:
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX
    radius, angle = np.hypot(x - 0.5, y - 0.05), np.arctan2(x - 0.5, y - 0.05)
    return (radius > 0.06) & (radius < 0.9) & (np.abs(angle) < 0.7)


def patches(frames: np.ndarray) -> np.ndarray:
    """A clip of which so little is lit that its sector is not sure."""
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX
    radius, angle = np.hypot(x - 0.5, y - 0.05), np.arctan2(x - 0.5, y - 0.05)
    lit = (np.hypot(x - 0.4, y - 0.45) < 0.15) | (
        (radius > 0.6) & (radius < 0.8) & (angle > 0.1) & (angle < 0.5)
    )
    lit[:14] = True
    return np.where(lit[..., None], frames, np.uint8(0))


class Archive:
    """A folder of clips, each a study's, with a manifest, and what `prepare` makes of it."""

    def __init__(self, folder: Path, helpers) -> None:
        self.folder, self.helpers = folder, helpers
        self.rows: list[dict[str, object]] = []

    def add(self, name: str, frames: np.ndarray, *, study: str = "S") -> None:
        self.helpers.write_video(self.folder / name, frames)
        self.row(name, study=study)

    def row(self, name: str, *, study: str = "S") -> None:
        row = {"study_id": study, "patient_id": "P", "video": name, "report": "A report."}
        self.rows.append(row)

    def sectors(self, *rows: dict[str, object]) -> Path:
        names = list(dict.fromkeys(name for row in rows for name in row))
        full = [{name: row.get(name, "") for name in names} for row in rows]
        return self.helpers.write_manifest(self.folder / "sectors.csv", full)

    def prepare(self, out: str, *options: object, workers: int = 0) -> int:
        self.helpers.write_manifest(self.folder / "m.csv", self.rows)
        fixed = ["--size", 64, "--frames", 4, "--min-free-gb", 0, "--format", "png"]
        fixed += ["--clips-per-shard", 3, "--workers", workers]
        command = ["prepare", self.folder / "m.csv", "--out", self.folder / out, *fixed, *options]
        return main(list(map(str, command)))

    def table(self, out: str, name: str) -> dict[str, str]:
        """File -> reason or remark, in order of rows."""
        path = self.folder / out / f"{name}.csv"
        if not path.exists():
            return {}
        with path.open(newline="") as file:
            return {row["file"]: row.get("reason") or row["remark"] for row in csv.DictReader(file)}

    def records(self, out: str) -> list[dict]:
        found = []
        for shard in sorted((self.folder / out).glob("*.tar")):
            with tarfile.open(shard) as tar:
                found += [json.load(tar.extractfile(name)) for name in tar if ".json" in name.name]
        return found

    def frames(self, out: str) -> np.ndarray:
        found = []
        for shard in sorted((self.folder / out).glob("*.tar")):
            with tarfile.open(shard) as tar:
                for name in tar:
                    if name.name.endswith(".png"):
                        content = tar.extractfile(name).read()
                        found.append(np.asarray(Image.open(io.BytesIO(content))))
        return np.stack(found)


@pytest.fixture
def clips(tmp_path, helpers) -> Archive:
    return Archive(tmp_path, helpers)


def lettering(frames: np.ndarray, helpers) -> int:
    return int((np.abs(frames.astype(int) - helpers.burned_in).max(axis=-1) < 90).sum())


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# By hand


def test_an_outline_holds_for_all_clips_of_its_size(clips, helpers, capsys):
    """Doubtful ones are used with it, lettering around it is gone, and remarks say it."""
    for number in range(3):
        clips.add(f"{number}.avi", patches(helpers.fan_frames(12, size_px=SIZE_PX, seed=number)))
    clips.add("other.avi", patches(helpers.fan_frames(12, size_px=SIZE_PX))[:, :, :120])
    size = {"width_px": SIZE_PX, "height_px": SIZE_PX}
    given = clips.sectors(
        {**size, "decision": "fan", "points": fan_points(), "reason": "drawn on 0.avi"},
        {"study_id": "nobody", **size, "decision": "refuse", "points": "", "reason": ""},
    )
    assert clips.prepare("plain") == 1  # nothing is sure
    capsys.readouterr()
    assert clips.prepare("out", "--sector", given) == 0
    out = capsys.readouterr().out
    assert f"3 clips were used as {given} says" in out
    assert f"1 rows of {given} held for no clip, or stand behind a row that did: 3" in out
    assert list(clips.table("out", "rejects")) == ["other.avi"]
    said = "its outline was given by the file of sectors (drawn on 0.avi)"
    assert clips.table("out", "remarks") == dict.fromkeys(["0.avi", "1.avi", "2.avi"], said)
    assert lettering(clips.frames("out"), helpers) == 0
    assert clips.frames("out").std() > 10
    for record in clips.records("out"):
        assert record["sector"] == {
            "sure": True,
            "reason": "its outline was given by the file of sectors",
        }


def test_keep_and_refuse_hold_for_the_clip_they_name(clips, helpers):
    """The reason is in the tables; a clip that is sure can be refused."""
    for number in range(3):
        frames = helpers.fan_frames(12, size_px=SIZE_PX, seed=number)
        clips.add(f"{number}.avi", patches(frames) if number else frames, study=f"S{number}")
    given = clips.sectors(
        {"video": "0.avi", "decision": "refuse", "reason": "a name inside of the fan"},
        {"video": "1.avi", "decision": "keep", "reason": ""},
    )
    assert clips.prepare("out", "--sector", given) == 0
    rejects = clips.table("out", "rejects")
    assert rejects["0.avi"] == "the file of sectors refuses it (a name inside of the fan)"
    assert rejects["2.avi"].startswith("the sector is not sure")
    remark = clips.table("out", "remarks")["1.avi"]
    assert remark.startswith("the file of sectors keeps it, although its sector is not sure: ")
    (record,) = clips.records("out")
    assert record["sector"]["sure"] is False


def test_a_file_name_of_many_studies_keeps_no_doubtful_clip(clips, helpers):
    """Scanners call the files of every study alike, and somebody has looked at one of them."""
    for study in ("a", "b"):
        (clips.folder / study).mkdir()
        frames = patches(helpers.fan_frames(12, size_px=SIZE_PX, seed=ord(study)))
        clips.add(f"{study}/IM_1.avi", frames, study=study)
    given = clips.sectors({"video": "IM_1.avi", "decision": "keep"})
    assert clips.prepare("none", "--sector", given) == 1
    given = clips.sectors({"video": "a/IM_1.avi", "decision": "keep"})
    assert clips.prepare("one", "--sector", given) == 0
    assert list(clips.table("one", "rejects")) == ["b/IM_1.avi"]


def test_what_moves_outside_of_an_outline_is_said(clips, helpers):
    """A little is a remark; an outline that is not this clip's is refused, unless it is named."""
    frames = helpers.fan_frames(12, size_px=SIZE_PX)
    clips.add("0.avi", frames)
    size = {"width_px": SIZE_PX, "height_px": SIZE_PX}
    small = {"decision": "polygon", "points": "30,40 98,40 98,120 30,120"}
    tiny = {"decision": "polygon", "points": "50,40 78,40 78,70 50,70"}
    assert clips.prepare("small", "--sector", clips.sectors({**size, **small})) == 1
    assert (
        "its outline in the file of sectors does not hold for it: picture that moves"
        in (clips.table("small", "rejects")["0.avi"])
    )
    named = {"video": "0.avi", **size, **tiny}
    assert clips.prepare("tiny", "--sector", clips.sectors(named)) == 0
    assert (
        "; picture that moves lies outside of the given outline"
        in (clips.table("tiny", "remarks")["0.avi"])
    )
    most = {"decision": "polygon", "points": "64,2 126,80 100,121 28,121 2,80"}
    assert clips.prepare("most", "--sector", clips.sectors({**size, **most})) == 0
    assert "picture that moves lies outside" in clips.table("most", "remarks")["0.avi"]


def test_a_machines_outline_is_no_pass_for_a_still_picture(clips, helpers):
    """Nothing tells its tissue from lettering; somebody who looked at it may say so."""
    still = np.repeat(helpers.fan_frames(1, size_px=SIZE_PX), 12, axis=0)
    clips.add("still.avi", still)
    size = {"width_px": SIZE_PX, "height_px": SIZE_PX}
    drawn = {**size, "decision": "fan", "points": fan_points()}
    assert clips.prepare("all", "--sector", clips.sectors(drawn)) == 1
    assert "hardly anything in it moves" in clips.table("all", "rejects")["still.avi"]
    assert clips.prepare("one", "--sector", clips.sectors({"video": "still.avi", **drawn})) == 0
    assert lettering(clips.frames("one"), helpers) == 0


@pytest.mark.parametrize("kind", ["M-mode", "spectral Doppler", "duplex", "two fans"])
def test_a_machines_outline_is_no_pass_for_other_kinds(clips, kind):
    """A fan that was drawn for a machine does not fit its strips, nor two pictures."""
    frames = REFUSED[kind](3)
    clips.add("other.avi", frames)
    height, width = frames.shape[1:3]
    points = f"{width / 2:g},{0.05 * height:g} {0.2 * width:g},{0.8 * height:g} "
    points += f"{0.8 * width:g},{0.8 * height:g}"
    drawn = {"width_px": width, "height_px": height, "decision": "fan", "points": points}
    assert clips.prepare("out", "--sector", clips.sectors(drawn)) == 1
    assert (
        "its outline in the file of sectors does not hold"
        in (clips.table("out", "rejects")["other.avi"])
    )


def test_a_trace_below_the_picture_is_no_strip_in_an_outline(clips, helpers):
    """What runs outside of a given outline is a remark at most."""
    frames = helpers.fan_frames(16, size_px=SIZE_PX)
    frames = np.concatenate([frames, np.zeros_like(frames[:, :40])], axis=1)
    x = np.arange(SIZE_PX)
    for number, frame in enumerate(frames):
        y = 148 + np.round(12 * np.sin(0.4 * x + 0.9 * number) ** 7).astype(int)
        frame[y, x] = frame[y + 1, x] = (40, 230, 60)
    clips.add("ecg.avi", frames)
    drawn = {"width_px": SIZE_PX, "height_px": 168, "decision": "fan", "points": fan_points()}
    assert clips.prepare("out", "--sector", clips.sectors(drawn)) == 0
    assert clips.frames("out")[..., 1].max() > 60


def test_a_changed_file_of_sectors_makes_only_its_shards_again(clips, helpers, capsys):
    """In the same folder: the others are left as they are."""
    for number in range(9):
        frames = helpers.fan_frames(12, size_px=SIZE_PX, seed=number)
        clips.add(f"{number}.avi", patches(frames) if number == 4 else frames, study=f"S{number}")
    assert clips.prepare("out") == 0
    before = {path.name: path.stat().st_mtime_ns for path in (clips.folder / "out").glob("*.tar")}
    given = clips.sectors({"video": "4.avi", "decision": "keep"})
    capsys.readouterr()
    assert clips.prepare("out", "--sector", given, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["num_clips"], figures["num_given"], figures["num_rejects"]) == (9, 1, 0)
    after = {path.name: path.stat().st_mtime_ns for path in (clips.folder / "out").glob("*.tar")}
    assert sum(before[name] != after[name] for name in before) == 1


def test_a_wrong_file_of_sectors_is_found_before_any_work(clips, helpers, capsys):
    """One line, no traceback, no shards."""
    clips.add("0.avi", helpers.fan_frames(12, size_px=SIZE_PX))
    given = clips.sectors({"video": "0.avi", "decision": "perhaps"})
    assert clips.prepare("out", "--sector", given) == 1
    assert "row 2: column 'decision' must be one of fan, polygon, keep, refuse" in (
        capsys.readouterr().err
    )
    assert not (clips.folder / "out").exists()


# Lettering in an outline that was given


def save_pictures(folder: Path, frames: np.ndarray) -> Path:
    """A folder of pictures, which keeps each pixel as it is."""
    folder.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:03d}.png")
    return folder


def lettered(name: str) -> LookClip:
    return render_look(next(look for look in LOOKS if look.name == name), 0)


@pytest.mark.parametrize("name", ["white trace", "cart"])
@pytest.mark.parametrize("video", ["", "clip"])
def test_a_drawn_outline_lets_no_lettering_over_its_edge(tmp_path, helpers, name, video):
    """For all clips of a size or for one: a trace over the foot shows by its part outside."""
    clip = lettered(name)
    height, width = clip.truth.shape
    shape = find_sector(clip.frames).shape
    apex, reach = np.array(shape.apex) * width, shape.radii[1] * width
    left, right = (apex + reach * np.array([np.sin(a), np.cos(a)]) for a in shape.angles)
    row = {
        "video": video,
        "width_px": width,
        "height_px": height,
        "decision": "fan",
        "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in (apex, left, right)),
    }
    rules = read_outlines(helpers.write_manifest(tmp_path / "sectors.csv", [row])).rules
    path = save_pictures(tmp_path / "clip", clip.frames)
    seen = look_at(path, num_frames=4, rules=rules, video="clip")
    assert not seen.refusal
    assert (seen.sector.mask & clip.truth).sum() > 0.9 * clip.truth.sum()
    assert not (seen.sector.mask & clip.lettering).any()


@pytest.mark.parametrize("name", ["white trace", "cart"])
def test_a_siblings_outline_lets_no_lettering_over_its_edge(tmp_path, name):
    """Of a clip of which too little is lit to know its sector by itself."""
    clip = lettered(name)
    height, width = clip.truth.shape
    shape = find_sector(clip.frames).shape
    y, x = np.mgrid[:height, :width] / width
    lit = np.hypot(x - shape.apex[0], y - 0.55 * height / width) < 0.16
    frames = np.where((lit | clip.lettering)[..., None], clip.frames, np.uint8(0))
    assert not find_sector(frames).sure
    path = save_pictures(tmp_path / "clip", frames)
    sibling = Sibling(shape=shape, num_clips=2, of="study")
    seen = look_at(path, num_frames=4, sibling=sibling)
    assert not seen.refusal
    assert seen.sector.sure
    assert not (seen.sector.mask & clip.lettering).any()


# Masked already


def test_masked_clips_are_checked_and_not_guessed(clips, helpers, capsys):
    """A clip whose sector is doubtful is used when it is black around a fan that moves."""
    inside = fan_mask()[None, ..., None]
    fan = helpers.fan_frames(12, size_px=SIZE_PX)
    masked = np.where(inside, fan, np.uint8(0))
    clips.add("masked.avi", masked, study="A")
    small = np.stack([np.asarray(Image.fromarray(frame).resize((64, 64))) for frame in masked])
    clips.add("small.avi", small, study="B")
    clips.add("screen.avi", fan, study="C")
    two = np.concatenate([masked[:, ::2, ::2]] * 2, axis=2)
    two = np.concatenate([two, np.zeros_like(two)], axis=1)
    clips.add("two.avi", two, study="D")
    clips.add("still.avi", np.repeat(masked[:1], 12, axis=0), study="E")
    clips.add("black.avi", np.zeros_like(masked), study="F")
    noise = np.random.default_rng(0).integers(30, 220, (12, 64, 64, 1), dtype=np.uint8)
    clips.add("full.avi", np.repeat(noise, 3, axis=3), study="G")
    assert clips.prepare("out", "--masked") == 0
    rejects = clips.table("out", "rejects")
    assert set(rejects) == {"screen.avi", "two.avi", "still.avi", "black.avi", "full.avi"}
    said = "it is not masked to an ultrasound picture: "
    assert all(reason.startswith(said) for reason in rejects.values())
    assert "lit pixels lie beside its picture (2." in rejects["screen.avi"]
    assert "two pictures side by side" in rejects["two.avi"]
    assert "hardly anything in it moves" in rejects["still.avi"]
    assert "it is black throughout" in rejects["black.avi"]
    assert "its picture fills the frame" in rejects["full.avi"]
    assert all(record["sector"]["sure"] for record in clips.records("out"))


# Siblings


@pytest.fixture
def study(clips, helpers) -> Archive:
    """Study A has three clear clips and a doubtful one; B has one of each; C a doubtful one."""
    for number in range(3):
        clips.add(f"a{number}.avi", helpers.fan_frames(12, size_px=SIZE_PX, seed=number), study="A")
    clips.add("a-dim.avi", patches(helpers.fan_frames(12, size_px=SIZE_PX, seed=7)), study="A")
    clips.add("b0.avi", helpers.fan_frames(12, size_px=SIZE_PX, seed=5), study="B")
    for name in ("b", "c"):
        frames = patches(helpers.fan_frames(12, size_px=SIZE_PX, seed=8))
        clips.add(f"{name}-dim.avi", frames, study=name.upper())
    return clips


def test_a_doubtful_clip_is_settled_by_its_study(study, helpers, capsys):
    """By two siblings or more that agree; remarks and summary say it, the others stay refused."""
    assert study.prepare("out") == 0
    out = capsys.readouterr().out
    assert "1 doubtful clips were settled by clips of their study or machine" in out
    assert set(study.table("out", "rejects")) == {"b-dim.avi", "c-dim.avi"}
    (remark,) = study.table("out", "remarks").items()
    assert remark[0] == "a-dim.avi"
    assert remark[1].startswith("its own sector was not sure (")
    assert remark[1].endswith("it has that of 3 clips of its study that look the same around it")
    assert lettering(study.frames("out"), helpers) == 0
    index = json.loads((study.folder / "out" / "index.json").read_text())
    assert index["num_settled"] == 1
    assert sum(shard["num_clips"] for shard in index["shards"]) == 5


def test_other_surroundings_settle_nothing(clips, helpers):
    """Another screen, a second picture beside it, or a frozen one: siblings say nothing of it."""
    for number in range(3):
        clips.add(f"{number}.avi", helpers.fan_frames(12, size_px=SIZE_PX, seed=number))
    dim = patches(helpers.fan_frames(12, size_px=SIZE_PX, seed=7))
    other = dim.copy()
    other[:, 2:20, 90:126] = 200
    clips.add("other.avi", other)
    clips.add("frozen.avi", np.repeat(dim[:1], 12, axis=0))
    beside = dim.copy()
    beside[:, 100:, :20] = np.random.default_rng(0).integers(
        0, 255, (12, 28, 20, 1), dtype=np.uint8
    )
    clips.add("beside.avi", beside)
    clips.add("dim.avi", dim)
    assert clips.prepare("out") == 0
    assert set(clips.table("out", "rejects")) == {"other.avi", "frozen.avi", "beside.avi"}


def test_settling_does_not_depend_on_workers_or_stops(study, tmp_path):
    """The same bytes with none, one and two processes, and after a kill at any stage."""
    assert study.prepare("none") == 0
    for workers in (1, 2):
        assert study.prepare(str(workers), workers=workers) == 0
        assert contents(study.folder / str(workers)) == contents(study.folder / "none")
    command = [sys.executable, "-m", "echoclip_r", "prepare", str(study.folder / "m.csv"), "--out"]
    command += [str(study.folder / "killed"), "--size", "64", "--frames", "4", "--format", "png"]
    command += ["--min-free-gb", "0", "--clips-per-shard", "3", "--workers", "1"]
    state = study.folder / "killed" / "state"
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while len(list(state.glob("*-*.json"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.002)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    subprocess.run(command, check=True, capture_output=True)
    assert contents(study.folder / "killed") == contents(study.folder / "none")
    # As if it had been killed between the new shard and its record.
    (settled,) = [
        path for path in state.glob("*.json") if json.loads(path.read_text()).get("num_settled")
    ]
    settled.with_suffix(".settling").touch()
    subprocess.run(command, check=True, capture_output=True)
    assert not settled.with_suffix(".settling").exists()
    assert contents(study.folder / "killed") == contents(study.folder / "none")


def test_siblings_in_other_parts_settle_a_clip(study):
    """Its part refuses it, since the siblings may be in any other; finishing settles it."""
    assert study.prepare("whole") == 0
    for number in (2, 1):
        assert study.prepare("parts", "--part", f"{number}/2") == 0
    looks = [json.loads(path.read_text()) for path in study.folder.glob("parts/state/*-*.json")]
    assert not any(look["settled"] for look in looks)
    assert study.prepare("parts", "--finish") == 0
    assert contents(study.folder / "parts") == contents(study.folder / "whole")
    # A part that runs once more finds its shards as they are.
    assert study.prepare("parts", "--part", "1/2") == 0
    (study.folder / "parts" / ".lock").unlink()
    assert contents(study.folder / "parts") == contents(study.folder / "whole")


def test_a_sibling_that_changes_takes_its_word_back(study, helpers):
    """Without siblings that agree the clip is refused as it would have been at once."""
    assert study.prepare("out") == 0
    for number in range(2):
        frames = patches(helpers.fan_frames(12, size_px=SIZE_PX, seed=20 + number))
        helpers.write_video(study.folder / f"a{number}.avi", frames)
    assert study.prepare("out") == 0
    assert "a-dim.avi" in study.table("out", "rejects")
    assert study.prepare("fresh") == 0
    assert contents(study.folder / "out") == contents(study.folder / "fresh")


# DICOM's own word


def region(box: tuple[int, int, int, int], layout: int = 1, data_type: int = 1) -> Dataset:
    item = Dataset()
    item.RegionLocationMinX0, item.RegionLocationMinY0 = box[:2]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box[2] - 1, box[3] - 1
    item.RegionSpatialFormat, item.RegionDataType = layout, data_type
    return item


def write_dicom(path: Path, frames: np.ndarray, *regions: Dataset, model: str = "") -> None:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.SOPClassUID = UltrasoundMultiFrameImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID
    data.Manufacturer, data.ManufacturerModelName, data.PatientName = "Maker", model, "Hidden^Name"
    data.NumberOfFrames, data.Rows, data.Columns = frames.shape[:3]
    data.SamplesPerPixel, data.PhotometricInterpretation = 3, "RGB"
    data.PlanarConfiguration, data.PixelRepresentation = 0, 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit = 7
    data.FrameTime = 33
    data.SequenceOfUltrasoundRegions = Sequence(regions)
    data.PixelData = frames.tobytes()
    data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)


def test_two_declared_pictures_that_are_lit_are_a_split_screen(clips, helpers):
    """By that word; a box in which nothing is lit is stale, and a box in a box is one picture."""
    fan = helpers.fan_frames(12, size_px=SIZE_PX)
    black = np.zeros_like(fan)
    both = np.concatenate([fan, fan[::-1]], axis=2)
    one = np.concatenate([fan, black], axis=2)
    left, right = (0, 14, 128, 128), (128, 14, 256, 128)
    write_dicom(clips.folder / "both.dcm", both, region(left), region(right))
    write_dicom(clips.folder / "one.dcm", one, region(left), region(right))
    write_dicom(clips.folder / "box.dcm", fan, region(left), region((30, 40, 90, 90), 1, 2))
    write_dicom(clips.folder / "doppler.dcm", both, region(left), region(right, 3, 3))
    write_dicom(clips.folder / "stale.dcm", one, region(left), region(right, 3, 3))
    for name in ("both", "one", "box", "doppler", "stale"):
        clips.row(f"{name}.dcm", study=name)
    assert clips.prepare("out") == 0
    rejects = clips.table("out", "rejects")
    assert set(rejects) == {"both.dcm", "doppler.dcm"}
    assert rejects["both.dcm"].startswith("split screen: its DICOM header declares 2 pictures")
    assert rejects["doppler.dcm"].startswith("duplex: its DICOM header declares spectral Doppler")


def test_a_machine_is_known_by_its_dicom_header(clips, helpers):
    """A row for a model holds for its clips alone, of any study; so do siblings of a machine."""
    dim = patches(helpers.fan_frames(12, size_px=SIZE_PX, seed=9))
    for number in range(2):
        frames = helpers.fan_frames(12, size_px=SIZE_PX, seed=number)
        write_dicom(clips.folder / f"{number}.dcm", frames, model="Scanner 9")
        clips.row(f"{number}.dcm", study=f"S{number}")
    for name, model in (("same", "Scanner 9"), ("else", "Scanner 8")):
        write_dicom(clips.folder / f"{name}.dcm", dim, model=model)
        clips.row(f"{name}.dcm", study=name)
    assert clips.prepare("siblings") == 0
    assert set(clips.table("siblings", "rejects")) == {"else.dcm"}
    assert clips.table("siblings", "remarks")["same.dcm"].endswith(
        "it has that of 2 clips of its machine that look the same around it"
    )
    given = clips.sectors(
        {
            "model": "scanner 8",
            "width_px": SIZE_PX,
            "height_px": SIZE_PX,
            "decision": "fan",
            "points": fan_points(),
        }
    )
    assert clips.prepare("given", "--sector", given) == 0
    assert clips.table("given", "rejects") == {}
    assert set(clips.table("given", "remarks")) == {"same.dcm", "else.dcm"}


# Reasons on the terminal


def test_reasons_are_counted_on_the_terminal(clips, helpers, capsys):
    """One line a kind, most frequent first, with a row as an example."""
    for number in (1, 2, 3):
        clips.add(f"{number}.avi", patches(helpers.fan_frames(12, size_px=SIZE_PX, seed=8)))
    clips.add("good.avi", helpers.fan_frames(12, size_px=SIZE_PX), study="T")
    clips.row("gone.avi", study="T")
    assert clips.prepare("out") == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(place for place, line in enumerate(lines) if "rows were left out" in line)
    assert lines[start].startswith("4 rows were left out; ")
    assert lines[start + 1].startswith("      3  video: the sector is not sure: ")
    assert lines[start + 1].endswith("(e.g. row 2)")
    assert lines[start + 2] == ("      1  video: there is no such file or folder (e.g. row 6)")
    assert "echoclip-r preview ... --out page.html" in lines[start + 3]
    # The records of finished shards say the same; one of an earlier release is still read.
    assert clips.prepare("out") == 0
    assert capsys.readouterr().out.splitlines()[start + 2 :] == lines[start + 1 :]
    for path in (clips.folder / "out" / "state").glob("*-[0-9]*.json"):
        record = json.loads(path.read_text())
        for reject in record["rejects"]:
            del reject["doubt"]
        path.write_text(json.dumps(record))
    assert clips.prepare("out") == 0
    said = capsys.readouterr().out
    assert "of the clips were finished by an earlier run" in said
    assert "      3  video: the sector is not sure (" in said
