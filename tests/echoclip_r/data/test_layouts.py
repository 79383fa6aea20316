"""A public archive's folder becomes a manifest that every other command reads."""

from pathlib import Path

import pytest

from echoclip_r.cli.main import main
from echoclip_r.data.layouts import LAYOUTS, write_manifest
from echoclip_r.data.manifest import read_manifest
from echoclip_r.errors import ManifestError

HEADER = "FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split\n"
LIST = HEADER + "0XA,78.49,14.8,69.2,112,112,50,174,VAL\n0XB.avi,9.6,40,44,112,112,50,2,TRAIN\n"


@pytest.fixture
def root(tmp_path, helpers) -> Path:
    """A folder laid out as EchoNet-Dynamic is, with two videos of ours."""
    folder = tmp_path / "EchoNet-Dynamic"
    (folder / "Videos").mkdir(parents=True)
    for name in ("0XA", "0XB"):
        helpers.write_video(folder / "Videos" / f"{name}.avi", helpers.fan_frames(2))
    (folder / "FileList.csv").write_text(LIST)
    return folder


def test_the_command_writes_what_the_others_read(root, tmp_path, capsys):
    """Ids, splits, labels and videos of each row, from a manifest that lies elsewhere."""
    (tmp_path / "work").mkdir()
    out = tmp_path / "work" / "manifest.csv"
    assert main(["manifest", "echonet-dynamic", str(root), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"2 clips: {out}\n"
    manifest = read_manifest(out)
    assert not manifest.rejects
    assert manifest.labels == ("ef", "esv_ml", "edv_ml")
    frame = manifest.frame
    assert list(frame["split"]) == ["validation", "train"]
    assert list(frame["patient_id"]) == list(frame["study_id"]) == ["0XA", "0XB"]
    assert [Path(path).is_file() for path in frame["path"]] == [True, True]
    assert list(frame["ef"]) == [78.49, 9.6]
    assert frame["report"][1] == "The left ventricular ejection fraction is 10%."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER, "no clip is listed"),
        ("FileName,EF\n0XA,55\n", "row 1 has no column 'ESV', 'EDV', 'Split'"),
        (LIST.replace("9.6", "much"), "row 3, column 'EF': write a number of percent"),
        (LIST.replace("9.6", "101"), "row 3, column 'EF': write a number of percent"),
        (LIST.replace("9.6", "nan"), "row 3, column 'EF': write a number of percent"),
        (LIST.replace(",TRAIN", ""), "row 3"),
    ],
)
def test_a_list_that_cannot_be_used_leaves_no_manifest(root, tmp_path, text, said):
    """The error names the file and the row, and nothing half is written."""
    (root / "FileList.csv").write_text(text)
    with pytest.raises(ManifestError, match=said):
        write_manifest(LAYOUTS["echonet-dynamic"], root, tmp_path / "m.csv")
    assert not list(tmp_path.glob("*m.csv*"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_manifest_is_written_into_nothing_nor_over_another(root, tmp_path, layout):
    """The folders are looked at before the archive is."""
    with pytest.raises(ManifestError, match="there is no such folder"):
        write_manifest(LAYOUTS[layout], tmp_path / "nowhere", tmp_path / "m.csv")
    with pytest.raises(ManifestError, match=r"nowhere: there is no such folder to write m\.csv"):
        write_manifest(LAYOUTS[layout], root, tmp_path / "nowhere" / "m.csv")
    (tmp_path / "m.csv").write_text("mine")
    with pytest.raises(ManifestError, match="there already"):
        write_manifest(LAYOUTS[layout], root, tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text() == "mine"


def test_another_folder_is_refused_with_where_the_list_is(root, tmp_path):
    """One folder above, one below, or not at all."""

    def refused(folder: Path) -> str:
        with pytest.raises(ManifestError) as error:
            write_manifest(LAYOUTS["echonet-dynamic"], folder, tmp_path / "m.csv")
        return str(error.value)

    (tmp_path / "empty").mkdir()
    assert "it holds no FileList.csv, so it is not the folder of" in refused(tmp_path / "empty")
    assert "(there is one in the folder above it)" in refused(root / "Videos")
    assert "one in the folder EchoNet-Dynamic below it)" in refused(root.parent)
