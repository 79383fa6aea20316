"""The command that searches, `retrieve`."""

from __future__ import annotations

import json
import re
import shutil
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
    files = (*files, "--sheet", tmp_path / "sheet.png")
    assert run(*command, "--column", "finding", "-k", 2, *files) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("examples_ybr_color.dcm: the best 2 of 3\n")
    assert "page.html; it holds reports: keep it as safe as the reports" in captured.err
    assert (tmp_path / "page.html").read_text().count("<article") == 2
    with Image.open(tmp_path / "clip.png") as image:
        assert image.size == (8 * 160, 160)
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width > 1000
    assert "sheet.png; it holds parts of reports" in captured.err
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
        ((), "one of the arguments --video --report --text is required"),
        (("--video", "v", "--report", "r"), "not allowed with argument"),
        (("--video", "v"), "--video needs --reports"),
        (("--report", "r"), "--report needs --shards or --embeddings"),
        (("--text", "mild MR"), "--text needs --shards or --embeddings"),
        (("--video", "v", "--reports", "r", "-k", "0"), "is not a whole number of at least 1"),
        (("--text", "", "--embeddings", "e"), "it holds no word"),
        (("--text", " \n\t", "--embeddings", "e"), "it holds no word"),
        (("--text", "?!. --", "--embeddings", "e"), "it holds no word; give what a report would"),
        (("--text", "x", "--reports", "r", "--shards", "s"), "not allowed with argument"),
        (("--text", "x", "--shards", "s", "--column", "c"), "--column is for --reports"),
        (("--text", "x", "--embeddings", "e", "--id-column", "c"), "--id-column is for --reports"),
        (("--text", "x", "--embeddings", "e", "--own-report", "o"), "--own-report is for the clip"),
        (("--text", "x", "--embeddings", "e", "--html", "no/such/x.html"), "no folder no/such"),
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


@pytest.fixture
def archive_table(tmp_path: Path) -> Path:
    path = tmp_path / "archive.csv"
    path.write_text(
        "study_id,view,date,text\n"
        'S-1,A4C,2019-05-01,"The LVEF is 60%. No pericardial effusion."\n'
        'S-2,A4C,2020-05-01,"There is a pacemaker lead. The LVEF is 35%."\n'
        'S-3,PLAX,2021-05-01,"the lvef is 60 %.  no pericardial effusion."\n'
        "S-4,A4C,2022-05-01,Severe mitral regurgitation.\n"
        "S-5,A4C,2022-05-01,\n",
        encoding="utf-8",
    )
    return path


def test_search_in_embeddings_that_were_kept(
    untrained_folder: Path, archive_table: Path, tmp_path: Path, capsys: Any
) -> None:
    """In place of the table: the same hits, by their studies, in the rows that fit."""
    kept = tmp_path / "kept"
    assert run("embed", untrained_folder, "--reports", archive_table, "--out", kept) == 0
    capsys.readouterr()
    command = ("retrieve", untrained_folder, "--text", "The LVEF is 60%.", "--json", "--top", 9)
    assert run(*command, "--reports", archive_table) == 0
    from_table = json.loads(capsys.readouterr().out)
    assert run(*command, "--embeddings", kept) == 0
    from_kept = json.loads(capsys.readouterr().out)
    for one, other in zip(from_table["hits"], from_kept["hits"], strict=True):
        assert one.pop("cosine") == pytest.approx(other.pop("cosine"), abs=1e-5)
        assert one == other
    assert any("1 of 5 reports are missing" in note for note in from_table["notes"])
    [folded] = [hit for hit in from_kept["hits"] if hit["num_same"] == 2]
    assert folded["studies"] == ["S-1", "S-3"]
    [ef] = [row for row in folded["findings"] if row["name"] == "ejection_fraction"]
    assert (ef["query"], ef["hit"], ef["verdict"]) == ("60 %", "60 %", "agree")
    where = ("--where", "view = A4C and date >= 2020")
    assert run(*command, "--embeddings", kept, *where) == 0
    found = json.loads(capsys.readouterr().out)
    assert {hit["name"] for hit in found["hits"]} == {"S-2", "S-4"}
    assert run(*command, "--embeddings", kept, "--where", "vew = A4C") == 2
    assert "did you mean 'view'" in capsys.readouterr().err


def test_reports_of_a_grown_table_are_added_to_what_is_kept(
    untrained_folder: Path, archive_table: Path, tmp_path: Path, capsys: Any
) -> None:
    """With both --reports and --embeddings, the folder follows the table."""
    command = ("retrieve", untrained_folder, "--text", "Mild tricuspid regurgitation.", "--json")
    both = (*command, "--reports", archive_table, "--embeddings", tmp_path / "kept")
    assert run(*both) == 0
    assert json.loads(capsys.readouterr().out)["pool_size"] == 3
    with archive_table.open("a", encoding="utf-8") as file:
        file.write("S-6,A2C,2023-01-01,Mild tricuspid regurgitation.\n")
    assert run(*both) == 0
    assert json.loads(capsys.readouterr().out)["hits"][0]["name"] == "S-6"
    assert run(*command, "--embeddings", tmp_path / "kept") == 0
    assert json.loads(capsys.readouterr().out)["pool_size"] == 4


def test_embedded_reports_of_another_model_are_refused(
    untrained_folder: Path, archive_table: Path, grown_echo: Path, tmp_path: Path, capsys: Any
) -> None:
    """Cosines of two models mean nothing."""
    kept = tmp_path / "kept"
    assert run("embed", untrained_folder, "--reports", archive_table, "--out", kept) == 0
    command = ("retrieve", untrained_folder, "--text", "Mild MR.", "--embeddings", kept)
    assert run(*command, "--tokenizer", grown_echo) == 1
    assert "made by another model" in capsys.readouterr().err


def test_the_first_line_names_the_device_and_quiet_says_nothing(
    untrained_folder: Path, archive_table: Path, capsys: Any
) -> None:
    """The best device there is, unless another one is asked for."""
    command = ("retrieve", untrained_folder, "--text", "Mild MR.", "--reports", archive_table)
    assert run(*command) == 0
    captured = capsys.readouterr()
    assert re.match("computing on (cpu|cuda)", captured.err)
    assert "--full prints it" in captured.err
    assert "Severe mitral regurgitation." not in captured.out
    assert run(*command, "--full", "-q") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "Severe mitral regurgitation." in captured.out


def test_a_folder_without_embeddings_says_how_to_make_them(
    untrained_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    """Of reports or of clips."""
    command = ("retrieve", untrained_folder, "--text", "Mild MR.", "--embeddings", tmp_path / "no")
    assert run(*command) == 1
    err = capsys.readouterr().err
    assert "no embeddings there; make them with `echoclip-r embed CHECKPOINT --out" in err
    assert "--reports FILE or --shards DIR" in err


def test_an_empty_report_file_is_an_error(
    untrained_folder: Path, archive_table: Path, tmp_path: Path, capsys: Any
) -> None:
    """White space is no text to look for."""
    (tmp_path / "note.txt").write_text(" \n\n", encoding="utf-8")
    command = ("retrieve", untrained_folder, "--reports", archive_table)
    assert run(*command, "--report", tmp_path / "note.txt") == 1
    assert "no word in it; --report takes a file with one" in capsys.readouterr().err


def test_findings_of_the_runs_own_tasks_are_compared(
    untrained_folder: Path, archive_table: Path, tmp_path: Path, capsys: Any
) -> None:
    """A run that names a task file with findings of its own knows them in an answer, too."""
    model = Path(shutil.copytree(untrained_folder, tmp_path / "model"))
    (model / "tasks-1.toml").write_text(
        '[[finding]]\nname = "wombat"\ntitle = "Wombat sign"\nfamily = "Signs"\nkind = "sign"\n'
        'phrases = { "pacemaker lead" = 1 }\n',
        encoding="utf-8",
    )
    described = json.loads((model / "echoclip_r.json").read_text(encoding="utf-8"))
    described["tasks"] = ["tasks-1.toml"]
    (model / "echoclip_r.json").write_text(json.dumps(described), encoding="utf-8")
    command = ("retrieve", model, "--text", "A pacemaker lead.", "--reports", archive_table)
    assert run(*command, "--json") == 0
    hits = json.loads(capsys.readouterr().out)["hits"]
    said = {hit["name"]: {row["name"]: row["verdict"] for row in hit["findings"]} for hit in hits}
    assert said["S-2"]["wombat"] == "agree"
    assert said["S-1"]["wombat"] == "query"


def test_a_clip_with_its_own_report_is_compared_with_it(
    untrained_folder: Path, archive_table: Path, tmp_path: Path, capsys: Any
) -> None:
    """Its rank is told, and each hit agrees or differs; an empty file is refused."""
    (tmp_path / "own.txt").write_text("SEVERE  mitral regurgitation.", encoding="utf-8")
    command = ("retrieve", untrained_folder, "--video", REAL, "--reports", archive_table)
    own = ("--own-report", tmp_path / "own.txt")
    assert run(*command, *own, "--html", tmp_path / "p.html") == 0
    out = capsys.readouterr().out
    assert re.search(r"its own report is rank [123]\n", out)
    assert re.search(r"Mitral regurgitation +severe .*✓ severe", out)
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "Its own report is <b>rank " in page
    assert "the right one" in page
    assert run(*command, *own, "--json") == 0
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert {hit["name"]: hit["right"] for hit in hits} == {"S-1": False, "S-2": False, "S-4": True}
    (tmp_path / "own.txt").write_text("\n", encoding="utf-8")
    assert run(*command, *own) == 1
    assert "no word in it; --own-report takes a file with one" in capsys.readouterr().err
