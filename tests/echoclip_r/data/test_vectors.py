"""Embeddings of another image encoder become shards, and what is wrong with them is said."""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from echoclip_r.cli.main import main
from echoclip_r.data.pseudonyms import pseudonym
from echoclip_r.data.shards import read_clips, read_index

SALT = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A manifest of five studies, one without a report, and embeddings of all of them."""
    with (tmp_path / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["study_id", "patient_id", "video", "report", "split", "date", "ef"])
        for number in range(5):
            report = "" if number == 4 else f"The ejection fraction is {50 + number}%. 😀"
            split = ("train", "train", "validation", "test", "test")[number]
            row = [f"s{number}", f"p{number}", f"{number}.avi", report, split, "2020-05-05", 50]
            table.writerow(row)
    vectors = np.random.default_rng(0).normal(size=(5, 8))
    write(tmp_path, [f"clip 😀 {number}" for number in range(5)], vectors)
    return tmp_path


def write(folder: Path, ids: list[object], vectors: np.ndarray, **columns: object) -> None:
    studies = [f"s{number}" for number in range(len(ids))]
    table = {"id": ids, "study": studies, "vector": list(vectors)} | columns
    pq.write_table(pa.table(table), folder / "vectors.parquet")


@pytest.fixture
def run(folder: Path, capsys):
    """Runs `prepare --frames-from` and gives exit code, and what was printed."""

    def command(*more: str) -> tuple[int, str]:
        capsys.readouterr()
        given = ["--frames-from", str(folder / "vectors.parquet"), "--out", str(folder / "out")]
        code = main(["prepare", str(folder / "manifest.csv"), *given, *more])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return command


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rows_of_the_manifest_that_are_left_out_are_named(folder, run):
    """In rejects.csv, as for clips; an embedding of such a study says that it may be one."""
    code, said = run()
    assert code == 0 and "4 clips of 4 studies with vectors of 8 columns" in said
    assert "1 rows of the manifest were left out; " in said
    assert "their study is not in the manifest, or in rows that were left out" in said
    with (folder / "out" / "rejects.csv").open(newline="") as file:
        (reject,) = csv.DictReader(file)
    assert (reject["row"], reject["column"]) == ("6", "report")


def test_shards_that_are_gone_or_cut_are_made_again(folder, run):
    """The same command mends them, and else changes nothing."""
    assert run()[0] == 0
    out = folder / "out"
    before = contents(out)
    (out / "train-000000.tar").unlink()
    (out / "test-000000.tar").write_bytes(b"half")
    assert run()[0] == 0
    assert contents(out) == before
    (out / "index.json").write_text('{"format": 1, "op')
    assert run()[0] == 0
    assert contents(out) == before


def test_pseudonyms_overwrite_and_labels_hold_for_embeddings_too(folder, run):
    """No id and no true date is in the shards, and shards of other options are replaced."""
    assert run()[0] == 0
    (folder / "salt").write_text(SALT)
    hashed = ["--hash-ids", str(folder / "salt"), "--labels", ""]
    code, said = run(*hashed)
    assert code == 1 and "holds shards of another run" in said
    assert run(*hashed, "--overwrite")[0] == 0
    assert read_index(folder / "out").labels == ()
    (clip,) = read_clips(folder / "out", split="validation")
    assert clip.record["study_id"] == pseudonym("study", "s2", SALT)
    assert clip.record["patient_id"] == pseudonym("patient", "p2", SALT)
    assert clip.record["date"] < "2020-05-05"
    for shard in (folder / "out").glob("*.tar"):
        with tarfile.open(shard) as tar:
            records = [json.load(tar.extractfile(one)) for one in tar if ".json" in one.name]
        assert not {record["patient_id"] for record in records} & {f"p{n}" for n in range(5)}
    (folder / "salt").write_text("short")
    assert "the salt has 5 characters" in run(*hashed)[1]


@pytest.mark.parametrize(
    "option", [["--size", "64"], ["--frames", "3"], ["--keep-unsure"], ["--masked"]]
)
def test_options_of_clips_are_refused(option, folder, run):
    """Nothing is left out in silence."""
    code, said = run(*option)
    assert code == 2 and f"{option[0]} is for clips; --frames-from takes embeddings" in said
    assert not (folder / "out").exists()


def test_ids_that_cannot_name_clips_are_refused(folder, run):
    """Blank ones would make one clip of several, and floating-point ones are other numbers."""
    vectors = np.ones((3, 8))
    write(folder, ["a", None, " "], vectors)
    assert "2 rows have no 'id', the first row 2" in run()[1]
    write(folder, [1.0, 2.0, 3.0], vectors)
    assert "column 'id' holds floating-point numbers, which change long ids" in run()[1]
    write(folder, ["a", "b", "c"], vectors, study=[1.0, 2.0, 3.0])
    assert "column 'study' holds floating-point numbers" in run()[1]
    write(folder, ["a", "b", "c"], 1e300 * vectors)
    assert "3 vectors hold NaN or infinity" in run()[1]
    assert not (folder / "out").exists()


def test_a_file_that_is_not_whole_is_refused(folder, run):
    """Half of it, none of it, or a column twice."""
    path = folder / "vectors.parquet"
    whole = path.read_bytes()
    for content in (whole[:300], b"", b"PAR1"):
        path.write_bytes(content)
        code, said = run()
        assert code == 1 and "it cannot be read as a Parquet file" in said
    arrays = [pa.array(["a"]), pa.array(["a"]), pa.array(["s0"]), pa.array([[1.0]])]
    pq.write_table(pa.table(arrays, names=["id", "id", "study", "vector"]), path)
    assert "it cannot be read as a Parquet file" in run()[1]
