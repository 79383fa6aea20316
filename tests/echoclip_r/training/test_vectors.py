"""The text tower alone, on the embeddings of somebody else's image encoder."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from echoclip_r.cli.main import main
from echoclip_r.data.shards import read_clips, read_index
from echoclip_r.errors import ShardError
from echoclip_r.media.vectors import side_px, to_picture, to_vector
from echoclip_r.model.checkpoint import load_checkpoint

QUICK = ["--set", "epochs=30", "--set", "batch_size=22", "--set", "warmup_steps=10"]
QUICK += ["--set", "validate_every_epochs=20", "--set", "checkpoint_every_steps=1000"]


@pytest.mark.parametrize("dimensions", [1, 2, 3, 64, 511, 512, 1024])
def test_a_vector_in_a_picture_stays_as_it_is(dimensions):
    """Bit for bit, whatever the number of columns and the size of the numbers."""
    vector = np.random.default_rng(0).normal(size=dimensions).astype(np.float32)
    vector *= np.float32(10.0) ** np.random.default_rng(1).integers(-30, 30, dimensions)
    picture = to_picture(vector)
    assert picture.shape == (side_px(dimensions), side_px(dimensions), 3)
    assert np.array_equal(to_vector(picture, dimensions=dimensions), vector)


@pytest.fixture
def files(training_shards: Path, helpers: Any, tmp_path: Path) -> tuple[Path, Path]:
    """Embeddings as an encoder might give them, much alike each other, and a manifest."""
    with (training_shards.parent / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["video"] = f"not-here-{row['study_id']}.avi"
    manifest = helpers.write_manifest(tmp_path / "manifest.csv", rows)
    meant = helpers.text_embeddings([row["report"] for row in rows])
    generator = np.random.default_rng(0)
    common = 5 * generator.normal(size=64)
    ids, studies, vectors = [], [], []
    for row, vector in zip(rows, meant, strict=True):
        for clip in range(2):
            ids.append(f"{row['study_id']}-{clip}")
            studies.append(row["study_id"])
            vectors.append((common + vector + 0.02 * generator.normal(size=64)).astype(np.float32))
    table = pa.table({"id": ids, "study": studies, "vector": [list(one) for one in vectors]})
    pq.write_table(table, tmp_path / "embeddings.parquet")
    return tmp_path / "embeddings.parquet", manifest


def train(files: tuple[Path, Path], out: Path, *more: str) -> int:
    command = ["train", "--recipe", "echoclip-r", "--scale", "phantom", *QUICK]
    given = ["--frames-from", str(files[0]), "--manifest", str(files[1]), "--out", str(out)]
    return main([*command, *given, *more])


def test_a_text_tower_learns_from_embeddings_and_searches_them(files, tmp_path, capsys):
    """Train, embed, evaluate and search; the vectors come back as they were given."""
    run = tmp_path / "run"
    assert train(files, run) == 0
    said = capsys.readouterr()
    assert "120 clips of 60 studies with vectors of 64 columns" in said.err
    model = load_checkpoint(run)
    assert model.reads_vectors == model.embed_dim == 64
    assert model.spec.freeze_image
    index = read_index(run / "shards")
    table = pq.read_table(files[0]).to_pydict()
    given = np.array(table["vector"], np.float32)
    center = np.array(index.center, np.float32)
    for clip in read_clips(run / "shards", split="test"):
        vector = to_vector(clip.decode(0), dimensions=64)
        assert (given == vector).all(axis=1).sum() == 1
        wanted = (vector - center) / np.linalg.norm(vector - center)
        (found,) = model.embed_frames(clip.decode(0)[None])
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    data = ["--shards", str(run / "shards")]
    out = tmp_path / "evaluation"
    assert main(["evaluate", str(run), *data, "--out", str(out), "--draws", "20"]) == 0
    text = "The left ventricular ejection fraction is 30%. There is mild mitral regurgitation."
    found = ["retrieve", str(run), "--text", text, *data, "--split", "train"]
    assert main([*found, "--html", str(tmp_path / "page.html")]) == 0
    best = load_best(run)
    assert best["mcmrr"] < 0.6 * (best["num_clips"] + 1) / 2  # twice as good as chance, nearly
    assert train(files, run) == 0  # the same command goes on, and finds nothing to do
    assert "has made all of its" in capsys.readouterr().err


def load_best(run: Path) -> Any:
    from echoclip_r.model.description import read_description

    return read_description(run / "best").facts["best_validation"]


def test_weights_for_the_text_tower_may_be_given(files, tmp_path, helpers, capsys):
    """Of a run with pictures: its text tower is taken, and its image tower is not."""
    other = helpers.save_untrained(tmp_path / "other" / "best", seed=4, tokenizer="echo-clip")
    run = tmp_path / "run"
    assert train(files, run, "--pretrained", str(other), "--set", "epochs=6") == 0
    assert "tokenizer echo-clip" in capsys.readouterr().err


def test_a_recipe_of_cine_pictures_reads_vectors_as_they_are(files, tmp_path, capsys):
    """They have no channels; who asks for them by hand is told."""
    command = ["train", "--recipe", "echoclip-r-findings", "--scale", "phantom", *QUICK]
    data = ["--frames-from", str(files[0]), "--manifest", str(files[1])]
    run = tmp_path / "run"
    assert main([*command, *data, "--out", str(run), "--set", "epochs=3"]) == 0
    assert load_checkpoint(run).spec.channels == "color"
    given = ["--shards", str(run / "shards"), "--model", "vectors-64-tiny"]
    other = ["--out", str(tmp_path / "other"), "--set", "epochs=3"]
    capsys.readouterr()
    assert main([*command, *given, *other]) == 2
    assert "have no channels; leave it at color" in capsys.readouterr().err


def test_what_does_not_go_together_is_refused(files, tmp_path, training_shards, archive, capsys):
    """Pictures for a model of vectors, vectors for one of pictures, and a video for either."""
    run = tmp_path / "run"
    assert train(files, run, "--set", "epochs=6") == 0

    def refused(*command: Any) -> str:
        capsys.readouterr()
        assert main([str(one) for one in command]) in (1, 2)
        return capsys.readouterr().err

    said = refused("embed", run, "--shards", training_shards, "--out", tmp_path / "e")
    assert "hold pictures, and the model reads vectors of 64 columns" in said
    evaluated = ["evaluate", run, "--out", tmp_path / "v"]
    said = refused(*evaluated, "--manifest", archive / "manifest.csv")
    assert "reads embeddings of another image encoder" in said
    video = archive / "clip-00.avi"
    said = refused("retrieve", run, "--video", video, "--shards", run / "shards")
    assert "reads no video; look for a text" in said
    shown = ["explain", run, "--video", video, "--prompt", "A lead.", "--out", tmp_path / "c.png"]
    assert "no stages of maps to explain" in refused(*shown)
    pictures = ["train", "--recipe", "echoclip-r", "--scale", "phantom", "--out", tmp_path / "p"]
    said = refused(*pictures, *QUICK, "--shards", run / "shards")
    assert "hold vectors of 64 columns, and the model reads pictures" in said
    assert "--frames-from needs --manifest" in refused(*pictures, "--frames-from", files[0])
    named = [*pictures, "--frames-from", files[0], "--manifest", files[1], "--model", "RN50"]
    assert "--model and --frames-from do not go together" in refused(*named)


def test_shards_of_another_manifest_are_replaced_where_no_run_needs_them(
    files, tmp_path, archive, capsys
):
    """`--overwrite`, as the message says; what a run was trained on is not deleted for another."""
    run, new = tmp_path / "run", tmp_path / "new"
    given = ["train", "--recipe", "echoclip-r", "--scale", "phantom", "--manifest", str(files[1])]
    given += ["--frames-from", str(files[0])]
    for name in ("epochs=1", "batch_size=8", "warmup_steps=1"):
        given += ["--set", name]

    def said(out: Path, status: int, *more: str) -> str:
        capsys.readouterr()
        assert main([*given, "--out", str(out), *more]) == status
        return capsys.readouterr().err

    # Shards that a run which never began has left.
    made = ["--size", "32", "--out", str(run / "shards"), "--workers", "0", "--keep-unsure"]
    assert main(["prepare", str(archive / "manifest.csv"), *made]) == 0
    message = said(run, 1)
    assert "it holds shards of another run" in message
    assert "pass overwrite=True (--overwrite) to replace them" in message
    said(run, 0, "--overwrite")
    said(run, 0)
    message = said(run, 1, "--seed", "5")
    assert "(seed 0, now 5); choose another folder, or pass" in message
    before = (run / "shards" / "index.json").read_bytes()
    message = said(run, 2, "--seed", "5", "--overwrite")
    assert "--overwrite would delete the shards that the run in it was trained on" in message
    assert f"another --out (--pretrained {run} starts" in message
    assert (run / "shards" / "index.json").read_bytes() == before
    said(new, 0, "--seed", "5", "--pretrained", str(run))
    assert (
        main(["train", "--recipe", "echoclip", "--shards", "x", "--out", "y", "--overwrite"]) == 2
    )
    assert "--overwrite goes with --manifest" in capsys.readouterr().err


def test_the_option_reaches_shards_of_pictures(tmp_path, monkeypatch):
    """As it reaches those of vectors."""
    from echoclip_r.data import preparation

    asked = []

    def stop(*_: object, overwrite: bool, **__: object) -> None:
        asked.append(overwrite)
        raise ShardError("enough")

    monkeypatch.setattr(preparation, "prepare", stop)
    command = ["train", "--recipe", "echoclip-r", "--manifest", "m.csv", "--out", str(tmp_path)]
    assert main(command) == main([*command, "--overwrite"]) == 1
    assert asked == [False, True]


CHANGES = {
    "columns": (lambda t: t.rename_columns(["id", "study", "x"]), "it has no column vector; it is"),
    "studies": (
        lambda t: t.set_column(1, "study", [["other"] * 120]),
        "none of its 1 values of 'study' is a study_id",
    ),
    "lengths": (
        lambda t: t.set_column(2, "vector", pa.array([[1.0]] + [[1.0, 2.0]] * 119)),
        "the same number of columns, and there are some of 1, 2",
    ),
    "nan": (
        lambda t: t.set_column(2, "vector", pa.array([[1.0, 2.0]] + [[float("nan"), 1.0]] * 119)),
        "119 vectors hold NaN or infinity, or are all zeros, the first in row 2",
    ),
    "text": (
        lambda t: t.set_column(2, "vector", pa.array(["[1, 2]"] * 120)),
        "the column vector holds no lists of numbers",
    ),
    "null": (
        lambda t: t.set_column(2, "vector", pa.array([None] + [[1.0, 2.0]] * 119)),
        "there are some of 0, 2",
    ),
    "empty": (lambda t: t.slice(0, 0), "it has no row"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_embeddings_that_cannot_be_used_are_refused(change, files, tmp_path, capsys):
    """With what is wrong in the file, and no run is left."""
    make, said = CHANGES[change]
    pq.write_table(make(pq.read_table(files[0])), files[0])
    assert train(files, tmp_path / "run") == 1
    assert said in capsys.readouterr().err


def test_half_of_the_studies_is_counted(files, tmp_path, capsys):
    """Clips without a report, and reports without a clip; lists of a fixed size are read, too."""
    table = pq.read_table(files[0])
    studies = table["study"].to_pylist()
    studies[:2] = ["unknown", "unknown"]
    values = np.array(table["vector"].to_pylist(), np.float32)
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 64)
    table = pa.table({"clip_id": table["id"], "study_id": studies, "embedding": fixed})
    pq.write_table(table, files[0])
    assert train(files, tmp_path / "run", "--set", "epochs=6") == 0
    said = capsys.readouterr().err
    assert "118 clips of 59 studies" in said
    assert "2 clips were left out: their study is not in the manifest" in said
    assert "1 studies of the manifest have no vector" in said
