"""Embedded reports: each text once, kept on disk, grown, and never mixed up."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from echoclip_r.cli.main import main
from echoclip_r.data.report_table import read_report_table, report_table
from echoclip_r.embedding.embedder import embed, embed_texts
from echoclip_r.embedding.embeddings import load_embedded
from echoclip_r.embedding.reports import embed_reports, load_reports, write_report_table
from echoclip_r.errors import EchoclipError, EvaluationError, OptionError, ShardError
from echoclip_r.model.trained import TrainedModel
from echoclip_r.storage import lock

REPORTS = [
    ("S-1", "The LVEF is 60%. No pericardial effusion."),
    ("S-2", "There is a pacemaker lead."),
    ("S-3", "the lvef is  60 %. no pericardial effusion."),
    ("S-4", "Severe mitral regurgitation."),
]


class Counting:
    """A model that notes the texts that it embeds."""

    def __init__(self, model: TrainedModel, *, stop_after: int | None = None) -> None:
        self._model, self._stop_after = model, stop_after
        self.texts: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def embed_texts(self, texts: Sequence[str]) -> Any:
        if self._stop_after is not None and len(self.texts) >= self._stop_after:
            raise KeyboardInterrupt
        self.texts += texts
        return self._model.embed_texts(texts)


def test_each_different_text_is_embedded_once(untrained: TrainedModel) -> None:
    """What normalizes alike shares a number; texts are numbered as they first occur."""
    model: Any = Counting(untrained)
    found = embed_reports(model, REPORTS)
    assert sorted(model.texts) == sorted(text for _, text in (REPORTS[0], REPORTS[1], REPORTS[3]))
    assert found.text_of.tolist() == [0, 1, 0, 2]
    expected = embed_texts(untrained, [REPORTS[0][1], REPORTS[1][1], REPORTS[3][1]])
    assert found.texts == pytest.approx(expected, abs=1e-5)
    assert found.table.names == ("S-1", "S-2", "S-3", "S-4")


def test_what_is_kept_is_read_back_and_grows(untrained: TrainedModel, tmp_path: Path) -> None:
    """Only new texts are embedded; what is gone from the table is gone from the folder."""
    out = tmp_path / "kept"
    first = embed_reports(untrained, REPORTS[:3], out=out)
    loaded, run = load_reports(out)
    assert run["fingerprint"] == untrained.fingerprint
    assert loaded.table.reports == first.table.reports
    assert loaded.text_of.tolist() == [0, 1, 0]
    assert (loaded.texts == first.texts).all()
    model: Any = Counting(untrained)
    grown = embed_reports(model, [*REPORTS, ("S-5", "SEVERE mitral  regurgitation.")], out=out)
    assert model.texts == [REPORTS[3][1]]
    assert (grown.texts[:2] == first.texts).all()
    assert load_reports(out)[0].table.names == ("S-1", "S-2", "S-3", "S-4", "S-5")
    before = (out / "rows.parquet").stat().st_mtime_ns
    embed_reports(model, [*REPORTS, ("S-5", "SEVERE mitral  regurgitation.")], out=out)
    assert model.texts == [REPORTS[3][1]]
    assert (out / "rows.parquet").stat().st_mtime_ns == before, "nothing was new"


def test_removed_reports_leave_the_folder(
    untrained: TrainedModel, tmp_path: Path, caplog: Any
) -> None:
    """It is said, and no trace of their text stays (I9)."""
    embed_reports(untrained, REPORTS, out=tmp_path / "kept")
    embed_reports(untrained, REPORTS[:2], out=tmp_path / "kept")
    assert "1 texts are no longer in the table; they are removed there" in caplog.text
    assert load_reports(tmp_path / "kept")[0].table.names == ("S-1", "S-2")
    for path in (tmp_path / "kept").iterdir():
        assert b"mitral" not in path.read_bytes()


def test_files_for_other_tools_are_of_the_same_reports(
    untrained: TrainedModel, tmp_path: Path
) -> None:
    """What names reports that have left the folder leaves it, too."""
    out = tmp_path / "kept"
    write_report_table(embed_reports(untrained, REPORTS, out=out), out, form="npy")
    assert {"reports.npy", "reports.csv"} <= {path.name for path in out.iterdir()}
    embed_reports(untrained, REPORTS, out=out)
    assert (out / "reports.npy").exists(), "nothing has changed"
    embed_reports(untrained, REPORTS[:2], out=out)
    assert not [path.name for path in out.glob("reports.*")]


def test_several_searches_may_read_one_folder(untrained: TrainedModel, tmp_path: Path) -> None:
    """Only who writes there locks it."""
    out = tmp_path / "kept"
    first = embed_reports(untrained, REPORTS, out=out)
    with lock(out, what="embeddings", error=ShardError):
        again = embed_reports(untrained, REPORTS, out=out)
        with pytest.raises(ShardError, match="another run is writing embeddings there"):
            embed_reports(untrained, REPORTS[:2], out=out)
    assert np.array_equal(again.texts, first.texts)
    assert again.table.names == first.table.names


def test_a_stopped_run_goes_on(
    untrained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that were finished are kept, without a text in them; the result is the same."""
    monkeypatch.setattr("echoclip_r.embedding.reports._BATCH", 2)
    monkeypatch.setattr("echoclip_r.embedding.reports._PART", 4)
    reports = [(f"S-{number}", f"The LVEF is {number}%.") for number in range(20)]
    out = tmp_path / "kept"
    stopping: Any = Counting(untrained, stop_after=10)
    with pytest.raises(KeyboardInterrupt):
        embed_reports(stopping, reports, out=out)
    parts = sorted(out.glob("part-*.parquet"))
    assert len(parts) == 2
    assert all(set(pd.read_parquet(path)) == {"key", "vector"} for path in parts)
    with pytest.raises(ShardError, match="not embedded to the end yet"):
        load_reports(out)
    parts[1].write_bytes(parts[1].read_bytes()[:50])
    model: Any = Counting(untrained)
    found = embed_reports(model, reports, out=out)
    assert len(model.texts) == 16, "one part of four texts was whole"
    whole = embed_reports(untrained, reports)
    assert found.texts == pytest.approx(whole.texts, abs=1e-5)
    assert {path.name for path in out.iterdir()} == {"run.json", "rows.parquet"}


def test_models_and_kinds_are_not_mixed_up(
    untrained: TrainedModel, other_model: TrainedModel, training_shards: Path, tmp_path: Path
) -> None:
    """Another model, other reports, embeddings of clips: refused unless it is asked for."""
    out = tmp_path / "kept"
    embed_reports(untrained, REPORTS, out=out)
    with pytest.raises(ShardError, match=r"of another run \(another model\)"):
        embed_reports(other_model, REPORTS, out=out)
    with pytest.raises(ShardError, match="embeddings of other reports, of which none is in this"):
        embed_reports(untrained, [("S-1", "Mild MR.")], out=out)
    assert len(load_reports(out)[0]) == 4
    with pytest.raises(ShardError, match="embeddings of reports"):
        embed(untrained, training_shards, split="test", out=out)
    with pytest.raises(ShardError, match="it holds embeddings of reports, and none of clips"):
        load_embedded(out)
    embed_reports(other_model, [("S-1", "Mild MR.")], out=out, overwrite=True)
    assert load_reports(out)[1]["fingerprint"] == other_model.fingerprint
    embed(untrained, training_shards, split="test", out=tmp_path / "clips")
    with pytest.raises(ShardError, match="embeddings of clips"):
        embed_reports(untrained, REPORTS, out=tmp_path / "clips")
    with pytest.raises(ShardError, match="no embeddings of reports there; make them with"):
        load_reports(tmp_path / "clips")


def test_damaged_files_are_named(untrained: TrainedModel, tmp_path: Path) -> None:
    """Half a file is no file; NaN is no embedding."""
    out = tmp_path / "kept"
    embed_reports(untrained, REPORTS, out=out)
    path = out / "rows.parquet"
    table = pd.read_parquet(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ShardError, match=r"the file is damaged; run .*embed CHECKPOINT --reports"):
        load_reports(out)
    embed_reports(untrained, REPORTS, out=out)
    assert len(load_reports(out)[0]) == 4
    nan = np.full(untrained.embed_dim, np.nan, "<f4").tobytes()
    table.assign(vector=[nan] * 4).to_parquet(path)
    with pytest.raises(EvaluationError, match="embeddings of reports hold NaN"):
        load_reports(out)


def test_names_and_columns_come_from_the_table(tmp_path: Path, caplog: Any) -> None:
    """The study by default, another column by name, file and row where there is none."""
    path = tmp_path / "r.csv"
    path.write_text(
        "study_id,accession,report,view\nS-1,A1,Mild MR.,A4C\n,A2,No MR.,\nS-3,A3,  ,PLAX\n"
        "S-4,A4,null,A4C\n",
        encoding="utf-8",
    )
    table = read_report_table(path)
    assert table.names == ("S-1", f"{path}:2")
    assert table.columns["view"].tolist() == ["A4C", ""]
    assert table.notes == (
        f"{path}: 2 of 4 reports are missing (blank, null or NaN); they were left out, and no "
        "figure counts them",
    )
    assert table.notes[0] in caplog.text
    assert read_report_table(path, id_column="accession").names == ("A1", "A2")
    with pytest.raises(OptionError, match=r"no column 'acession' .* did you mean 'accession'"):
        read_report_table(path, id_column="acession")
    text = tmp_path / "r.txt"
    text.write_text("Mild MR.", encoding="utf-8")
    assert read_report_table(text).names == (str(text),)
    with pytest.raises(OptionError, match="no columns beside the reports"):
        read_report_table(text, id_column="study_id")
    text.write_text(" \n", encoding="utf-8")
    with pytest.raises(EchoclipError, match="it holds no report"):
        read_report_table(text)


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv"])
def test_every_kind_of_table_has_columns(tmp_path: Path, ending: str) -> None:
    """And null cells in all of them are blank."""
    frame = pd.DataFrame(
        {
            "study_id": ["1", "2", "3"],
            "report": ["Mild MR.", None, "No AS."],
            "ef": [55.0, 20.0, None],
        }
    )
    path = tmp_path / f"r.{ending}"
    if ending == "parquet":
        frame.to_parquet(path)
    elif ending == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False)
    table = read_report_table(path)
    assert table.names == ("1", "3")
    assert table.columns["ef"].tolist()[1] == ""
    assert float(table.columns["ef"][0]) == 55
    assert "1 of 3 reports are missing" in table.notes[0]


def test_a_report_that_is_no_text_is_refused() -> None:
    """A number is no report."""
    wrong: Any = [("S-1", "Mild MR."), ("S-2", 5)]
    with pytest.raises(EchoclipError, match="report 1 is a int and no text"):
        report_table(wrong)


def test_half_a_character_harms_nothing(untrained: TrainedModel, tmp_path: Path) -> None:
    """JSON may hold half of a surrogate pair, which no file can: it is kept as its number."""
    path = tmp_path / "r.jsonl"
    path.write_text(
        '{"study_id": "S\\ud800", "report": "Mild MR \\ud800.", "x": "\\udfff"}\n', encoding="utf-8"
    )
    embed_reports(untrained, read_report_table(path), out=tmp_path / "kept")
    loaded, _ = load_reports(tmp_path / "kept")
    assert loaded.table.names == ("S\\ud800",)
    assert loaded.table.reports == ("Mild MR \\ud800.",)
    assert loaded.table.columns["x"].tolist() == ["\\udfff"]


@pytest.mark.parametrize("form", ["parquet", "npy"])
def test_the_command_embeds_reports(
    untrained_folder: Path, tmp_path: Path, capsys: Any, caplog: Any, form: str
) -> None:
    """Names and embeddings for other tools, without a text."""
    path = tmp_path / "r.csv"
    lines = [f'{name},"{text}"' for name, text in REPORTS]
    path.write_text("\n".join(["id,finding", *lines, "S-9,"]) + "\n", encoding="utf-8")
    command = ["embed", untrained_folder, "--reports", path, "--column", "finding"]
    command += ["--id-column", "id", "--out", tmp_path / "out", "--format", form]
    assert main([str(word) for word in [*command, "--json"]]) == 0
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    assert (figures["num_reports"], figures["num_texts"]) == (4, 3)
    assert captured.err.startswith("computing on ")
    assert "1 of 5 reports are missing" in caplog.text
    if form == "parquet":
        table = pd.read_parquet(figures["files"][0])
        rows = np.stack(table["embedding"].tolist())
    else:
        rows, table = np.load(figures["files"][0]), pd.read_csv(figures["files"][1])
    assert table["name"].tolist() == ["S-1", "S-2", "S-3", "S-4"]
    assert (rows[0] == rows[2]).all()
    assert set(table) <= {"name", "embedding"}
    assert main([str(word) for word in command]) == 0
    out = capsys.readouterr().out
    assert out.startswith("4 reports (3 different texts), 128 dimensions: ")
    # What it says to type next is right, and the slip beside it is told what it should have been.
    said = next(line for line in out.splitlines() if line.startswith("search them: echoclip-r "))
    words = shlex.split(said.partition("echoclip-r ")[2])
    assert words[2:4] == ["--video", "CLIP"]
    folder = words[words.index("--embeddings") + 1]
    assert main(["retrieve", words[1], "--text", "mild MR", "--reports", folder]) != 0
    assert f"give it as --embeddings {folder}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "one of the arguments --shards --reports is required"),
        (("--shards", "s", "--reports", "r"), "not allowed with argument"),
        (("--reports", "r", "--level", "study"), "--level is for the clips of --shards"),
        (("--shards", "s", "--column", "c"), "--column is for --reports"),
        (("--shards", "s", "--id-column", "c"), "--id-column is for --reports"),
    ],
)
def test_wrong_usage_is_status_2(words: tuple[str, ...], message: str, capsys: Any) -> None:
    """Before anything is loaded."""
    try:
        code: object = main(["embed", "nowhere", "--out", "o", *words])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err
