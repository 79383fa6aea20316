"""The command that searches, `retrieve`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from PIL import Image

from echoclip_r.cli.main import main
from echoclip_r.embedding.embedder import embed
from echoclip_r.model.trained import TrainedModel

REPORTS = [
    ("r.csv:1", "The LVEF is 60%. No pericardial effusion."),
    ("r.csv:2", "There is a pacemaker lead. The LVEF is 35%."),
    ("r.csv:3", "The LVEF is 60%. No pericardial effusion."),
    ("r.csv:4", "Severe mitral regurgitation."),
]
REAL = Path(str(pydicom.data.get_testdata_file("examples_ybr_color.dcm", download=False)))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "reports.csv"
    lines = [f'{number},"{text}"' for number, (_, text) in enumerate(REPORTS)]
    path.write_text("\n".join(["id,finding", *lines]) + "\n", encoding="utf-8")
    return path


def run(*words: object) -> int:
    try:
        return main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)


def test_retrieve_reports_for_a_real_clip(
    untrained_folder: Path, table: Path, tmp_path: Path, capsys: Any
) -> None:
    """On the terminal, as JSON, as a page and as a picture."""
    command = ("retrieve", untrained_folder, "--video", REAL, "--reports", table)
    files = ("--html", tmp_path / "page.html", "--picture", tmp_path / "clip.png")
    assert run(*command, "--column", "finding", "-k", 2, *files) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("examples_ybr_color.dcm: the best 2 of 3\n")
    assert "page.html; it holds reports: keep it as safe as the reports" in captured.err
    assert (tmp_path / "page.html").read_text().count("<article") == 2
    with Image.open(tmp_path / "clip.png") as image:
        assert image.size == (8 * 160, 160)
    assert run(*command, "--column", "finding", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pool_size"], len(found["hits"])) == (3, 3)
    assert {hit["num_same"] for hit in found["hits"]} == {1, 2}


def test_retrieve_clips_for_a_report(
    untrained_folder: Path, training_shards: Path, tmp_path: Path, capsys: Any
) -> None:
    """From shards, keeping the embeddings; then from those alone, with the same answer."""
    (tmp_path / "note.txt").write_text("The left atrium is severely dilated.", encoding="utf-8")
    command = ("retrieve", untrained_folder, "--report", tmp_path / "note.txt", "-k", 2)
    kept = ("--embeddings", tmp_path / "kept")
    assert run(*command, "--shards", training_shards, *kept, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert first["pool_size"] == 6
    assert run(*command, *kept, "--json", "--picture", tmp_path / "best.png") == 0
    assert json.loads(capsys.readouterr().out) == first
    assert (tmp_path / "best.png").exists()


def test_embeddings_of_another_model_are_refused(
    untrained_folder: Path,
    other_model: TrainedModel,
    training_shards: Path,
    tmp_path: Path,
    capsys: Any,
) -> None:
    """Cosines between two models' spaces mean nothing."""
    embed(other_model, training_shards, split="test", out=tmp_path / "kept")
    (tmp_path / "note.txt").write_text("Mild.", encoding="utf-8")
    command = ("retrieve", untrained_folder, "--report", tmp_path / "note.txt")
    assert run(*command, "--embeddings", tmp_path / "kept") == 1
    assert "made by another model" in capsys.readouterr().err


def test_a_grown_tokenizer_is_taken_and_another_refused(
    untrained_folder: Path, grown_echo: Path, table: Path, capsys: Any
) -> None:
    """The checkpoint knows its own tokenizer (I6)."""
    command = ("retrieve", untrained_folder, "--video", REAL, "--reports", table)
    command = (*command, "--column", "finding", "--json")
    assert run(*command, "--tokenizer", grown_echo) == 0
    capsys.readouterr()
    assert run(*command, "--tokenizer", "echo-clip") == 1
    assert "echo-clip" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "one of the arguments --video --report is required"),
        (("--video", "v", "--report", "r"), "not allowed with argument"),
        (("--video", "v"), "--video needs --reports"),
        (("--report", "r"), "--report needs --shards or --embeddings"),
        (("--video", "v", "--reports", "r", "-k", "0"), "is not a whole number of at least 1"),
    ],
)
def test_wrong_usage_is_status_2(words: tuple[str, ...], message: str, capsys: Any) -> None:
    """Before anything is loaded."""
    assert run("retrieve", "nowhere", *words) == 2
    assert message in capsys.readouterr().err


def test_errors_name_files_and_never_quote_a_report(
    untrained_folder: Path, table: Path, tmp_path: Path, capsys: Any
) -> None:
    """A clip that is none, a column that is not there, a report file with several (I9)."""
    (tmp_path / "bad.avi").write_bytes(b"no video")
    clip = ("retrieve", untrained_folder, "--video", tmp_path / "bad.avi", "--reports", table)
    assert run(*clip, "--column", "finding") == 1
    assert "bad.avi" in capsys.readouterr().err
    assert run("retrieve", untrained_folder, "--video", REAL, "--reports", table) == 1
    first = capsys.readouterr().err
    note = ("retrieve", untrained_folder, "--report", table, "--column", "finding")
    assert run(*note, "--shards", tmp_path) == 1
    second = capsys.readouterr().err
    assert "4 reports; --report takes a file with one" in second
    assert "LVEF" not in first + second
