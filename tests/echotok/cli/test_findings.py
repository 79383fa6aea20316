"""`echotok findings`: tables in each format, the wide table, an explanation, the summary."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from echotok.cli.main import main

REPORTS = (
    "study_id,empty,report\n"
    'a1,,"LVEF is 55-60%. No MR. Conclusion: Mild MR."\n'
    "b2,,LVIDd 4.7 cm. LVEF 155%. Possible vegetation.\n"
)


@pytest.fixture
def reports(tmp_path: Path) -> str:
    path = tmp_path / "reports.csv"
    path.write_text(REPORTS)
    return str(path)


def test_long_table_on_stdout(reports: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A row a mention, named by the id column; the summary goes to stderr."""
    assert main(["findings", reports, "--column", "report", "--id-column", "study_id"]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["report"] for row in rows] == ["a1"] * 3 + ["b2"] * 3
    assert (rows[0]["value"], rows[0]["low"], rows[0]["high"]) == ("57.5", "55", "60")
    assert "2 reports, 6 findings" in err
    assert "1 answers rest on mentions that contradict" in err and "1 numbers are outside" in err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_wide_table(
    reports: str, tmp_path: Path, workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row a report; JSON Lines and Parquet say the same."""
    from pyarrow.parquet import read_table

    for ending in ("jsonl", "parquet"):
        out = str(tmp_path / f"wide.{ending}")
        assert main(["findings", reports, "--wide", "--out", out, "--workers", workers]) == 0
    rows = [json.loads(line) for line in (tmp_path / "wide.jsonl").read_text().splitlines()]
    assert [row["report"] for row in rows] == [1, 2]
    assert (
        rows[0]["mitral_regurgitation"] == 1 and rows[0]["contradictory"] == "mitral_regurgitation"
    )
    assert rows[1]["vegetation"] is None and rows[1]["impella"] == 0
    table = read_table(tmp_path / "wide.parquet").to_pylist()
    assert table[1]["lv_internal_diameter_diastole"] == 47
    assert not list(tmp_path.glob("*.partial"))


def test_explanation(reports: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The words that made a row are named, in the terminal and on a page."""
    assert main(["findings", reports, "--explain", "1"]) == 0
    assert "deny_before 'No'" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert main(["findings", reports, "--explain", "2", "--html", str(page)]) == 0
    assert "ejection_fraction" in page.read_text(encoding="utf-8")


def test_rules_of_ones_own(
    reports: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file given with --rules is laid over those that ship; a wrong one is named."""
    rules = tmp_path / "house.toml"
    rules.write_text('[[finding]]\nname = "impella"\nterms = ["lvidd"]\n')
    assert main(["findings", reports, "--rules", str(rules)]) == 0
    assert ",impella," in capsys.readouterr().out
    rules.write_text('[[finding]]\nname = "impella"\nterm = ["a"]\n')
    assert main(["findings", reports, "--rules", str(rules)]) == 1
    assert "key 'term' is not known" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (["--out", "a.xlsx"], "--out must end in .csv, .jsonl, .parquet", 2),
        (["--html", "a.html"], "give --explain, too", 2),
        (["--explain", "9"], "hold fewer reports", 1),
        (["--id-column", "nobody"], "no column 'nobody'", 1),
        (["--id-column", "empty"], "reports.csv:1: no id in this row; fill it in, or give no", 1),
        (["--out", "no/such/a.csv"], "no/such", 1),
    ],
)
def test_what_is_wrong_is_said(
    reports: str, options: list[str], message: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad usage and bad input name the option; no traceback, and no half of a table is shown."""
    assert main(["findings", reports, *options]) == code
    out, err = capsys.readouterr()
    assert message in err and not out
    assert "patient" not in err


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_row_without_a_report_keeps_its_id(tmp_path: Path, ending: str) -> None:
    """In the wide table each row of the input has one, by its own name, also where it is blank."""
    from pyarrow import table
    from pyarrow.parquet import read_table, write_table

    names, texts = ["a", "b", "c"], ["No MR.", None, "Hello."]
    path, out = tmp_path / f"in.{ending}", tmp_path / "out.jsonl"
    if ending == "parquet":
        write_table(table({"n": names, "report": texts}), path)
        assert read_table(path).num_rows == 3
    elif ending == "csv":
        rows = zip(names, texts, strict=True)
        path.write_text("n,report\n" + "".join(f"{n},{text or ''}\n" for n, text in rows))
    else:
        records = ({"n": n, "report": text} for n, text in zip(names, texts, strict=True))
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert main(["findings", str(path), "--id-column", "n", "--wide", "--out", str(out)]) == 0
    said = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["report"] for row in said] == names
    assert [row["mitral_regurgitation"] for row in said] == [0, None, None]


def test_long_table_of_nothing_has_its_header(tmp_path: Path) -> None:
    """A table of reports that say nothing can still be read."""
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text("report\nHello.\n")
    assert main(["findings", str(path), "--out", str(out)]) == 0
    assert out.read_text().startswith("report,name,value,")
    assert len(out.read_text().splitlines()) == 1
