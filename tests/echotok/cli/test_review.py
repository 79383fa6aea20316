"""`echotok review` and `echotok build --review`: a sheet goes out, decisions come back."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from command_line import Run

import echotok


def decide(sheet: Path, decisions: dict[str, tuple[str, str]]) -> None:
    """Fill a sheet as a person does in a spreadsheet."""
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["decision"], row["new_phrase"] = decisions.get(row["phrase"], ("", ""))
    with sheet.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def test_a_sheet_there_and_back(run: Run, small_table: Path, tmp_path: Path) -> None:
    """Live phrases go out, one row each; `build` does what was filled in, and says so."""
    sheet, out = tmp_path / "review.csv", tmp_path / "small.json"
    done = run("review", small_table, "--sheet", sheet)
    assert done.code == 0
    assert f"echotok build {small_table} --review {sheet} --out small.json" in done.err
    with sheet.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["phrase", "decision", "new_phrase", "note", "section"]
    assert {row[0] for row in rows[1:]} == {
        phrase.text for phrase in echotok.read_table(small_table).live
    }
    done = run("build", small_table, "--review", sheet, "--out", out)
    assert "0 kept, 0 dropped, 0 renamed, 4 without a decision, which stay" in done.err
    decide(
        sheet,
        {
            "blood pressure is {number}/{number}": ("drop", ""),
            "{severity} mitral regurgitation": ("rename", "{severity} MR"),
            "the ejection fraction is {number}%": ("keep", ""),
        },
    )
    done = run("build", small_table, "--review", sheet, "--out", out, "--force")
    assert done.code == 0
    assert "1 kept, 1 dropped, 1 renamed, 1 without a decision, which stay" in done.err
    assert f"{small_table} is as it was; with --write-table NEW_DIR" in done.err
    rows = {phrase.id: (phrase.text, phrase.retired) for phrase in echotok.load(out).table.phrases}
    assert 4 not in rows  # new in this version, and never built with a model
    assert rows[0] == ("{severity} mitral regurgitation", "1.2.0")
    assert rows[5] == ("{severity} mr", "")


def test_going_on_takes_what_build_takes(run: Run, small_table: Path, tmp_path: Path) -> None:
    """Of two rows on one phrase the one without a decision undoes nothing, though it has a note."""
    review, sheet = tmp_path / "review.csv", tmp_path / "sheet.csv"
    phrase = "the ejection fraction is {number}%"
    review.write_text(
        f"phrase,decision,new_phrase,note\n{phrase},drop,,\n{phrase},,,only a note\n",
        encoding="utf-8",
    )
    assert run("review", small_table, "--review", review, "--sheet", sheet).code == 0
    with sheet.open(encoding="utf-8", newline="") as stream:
        decisions = {row["phrase"]: row["decision"] for row in csv.DictReader(stream)}
    assert decisions[phrase] == "drop"
    for one in (review, sheet):
        done = run("build", small_table, "--review", one, "--out", tmp_path / f"{one.stem}.json")
        assert "0 kept, 1 dropped" in done.err, done.err


def test_the_same_command_again(run: Run, small_table: Path, tmp_path: Path) -> None:
    """A build that was stopped anywhere is repeated; artifact and folder are the same."""
    review = tmp_path / "review.csv"
    review.write_text("phrase,decision\nblood pressure is {number}/{number},drop\n")
    reviewed, out = tmp_path / "reviewed", tmp_path / "small.json"
    command = ["build", small_table, "--review", review, "--write-table", reviewed, "--out", out]
    assert run(*command).code == 0
    first = out.read_bytes(), (reviewed / "all.csv").read_bytes()
    (tmp_path / ".reviewed.partial").mkdir()  # left by a run that was killed
    assert run(*command).code == 0
    assert (out.read_bytes(), (reviewed / "all.csv").read_bytes()) == first
    assert not (tmp_path / ".reviewed.partial").exists()
    assert run("validate", reviewed).code == 0
    # An artifact that models may know is not changed under them; with --base it grows.
    review.write_text("phrase,decision\nthe ejection fraction is {number}%,drop\n")
    assert run("build", small_table, "--out", tmp_path / "old.json").code == 0
    review.write_text("phrase,decision\nblood pressure is {number}/{number},drop\n")
    command = ["build", small_table, "--review", review, "--out", tmp_path / "old.json"]
    done = run(*command)
    assert done.code == 1
    assert "a review then retires what it drops" in done.err
    assert run(*command, "--base", tmp_path / "old.json").code == 0
    retired = {p.id: p.retired for p in echotok.load(tmp_path / "old.json").table.phrases}
    assert retired[4] == "1.2.0"


def test_a_sheet_with_decisions_is_not_lost(run: Run, small_table: Path, tmp_path: Path) -> None:
    """It is never written over, unless its decisions go on in the new one."""
    sheet = tmp_path / "review.csv"
    assert run("review", small_table, "--sheet", sheet).code == 0
    decide(sheet, {"the ejection fraction is {number}%": ("r", "ef {number}%")})
    before = sheet.read_bytes()
    done = run("review", small_table, "--sheet", sheet)
    assert done.code == 1
    assert f"--review {sheet}" in done.err
    assert sheet.read_bytes() == before
    with (small_table / "all.csv").open("a") as stream:
        stream.write("5,grown since,1.1.0,,\n")
    assert run("review", small_table, "--sheet", sheet, "--review", sheet).code == 0
    text = sheet.read_text()
    assert "the ejection fraction is {number}%,rename,ef {number}%,,all" in text
    assert "grown since,,,,all" in text


def test_a_review_of_an_older_state(run: Run, small_table: Path, tmp_path: Path) -> None:
    """`review` goes on with what still fits, and says how much does not; `build` takes no such."""
    old = tmp_path / "old.csv"
    old.write_text("phrase,decision\nnever there,drop\nthe ejection fraction is {number}%,drop\n")
    done = run("review", small_table, "--review", old, "--sheet", tmp_path / "new.csv")
    assert done.code == 0
    assert "1 phrases of" in done.err
    assert "the ejection fraction is {number}%,drop" in (tmp_path / "new.csv").read_text()
    done = run("build", small_table, "--review", old, "--out", tmp_path / "a.json")
    assert done.code == 1
    assert f"{old}:2: unknown-phrase" in done.err
    old.write_text("phrase,decision\nnever there,drop\n")
    done = run("review", small_table, "--review", old, "--sheet", tmp_path / "new2.csv")
    assert done.code == 1
    assert "the review of another table" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["review", "{table}"], 2, "--out PAGE"),
        (["review", "{table}", "--out", "{table}"], 1, "is a folder; name a file"),
        (["review", "{table}/nowhere", "--out", "{table}/a.html"], 1, "no such file"),
        (["build", "{table}", "--out", "a.json", "--write-table", "b"], 2, "add --review"),
        (["build", "{table}", "--out", "a.json", "--review", "{table}/none.csv"], 1, "cannot read"),
        (["build", "{table}", "--out", "a.json", "--review", "{table}"], 1, "cannot read"),
        (["build", "{table}", "--out", "a.json", "--reviw", "x.csv"], 2, "--review"),
        (["reveiw", "{table}"], 2, "did you mean 'review'"),
    ],
)
def test_wrong_calls(
    run: Run, small_table: Path, arguments: list[str], code: int, told: str
) -> None:
    """Each is answered in a sentence."""
    done = run(*(argument.format(table=small_table) for argument in arguments))
    assert done.code == code
    assert told in done.err


def test_the_page_on_stdout(run: Run, small_table: Path, tmp_path: Path) -> None:
    """As with the other pages; messages go to stderr."""
    done = run("review", small_table, "--out", "-")
    assert done.out.startswith("<!DOCTYPE html>")
    assert run("review", small_table, "--out", tmp_path / "a.html").out == ""
    assert done.out == (tmp_path / "a.html").read_text(encoding="utf-8")


def test_a_table_of_tombstones(run: Run, small_table: Path, tmp_path: Path) -> None:
    """There is nothing to review in it, and an empty table is no table."""
    rows = small_table / "all.csv"
    rows.write_text(
        rows.read_text().replace("1.0.0,,", "1.0.0,1.1.0,").replace("1.1.0,,", "1.1.0,1.1.0,")
    )
    done = run("review", small_table, "--out", tmp_path / "a.html")
    assert done.code == 1
    assert "every phrase is retired" in done.err
    rows.write_text("id,phrase,since,retired,note\n")
    done = run("review", small_table, "--out", tmp_path / "a.html")
    assert done.code == 1
    assert "there is no phrase in any CSV file" in done.err


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16-le"])
def test_the_encoding_of_a_sheet(
    run: Run, small_table: Path, tmp_path: Path, encoding: str
) -> None:
    """Where it cannot be told, `build --encoding` tells it."""
    review = tmp_path / "review.txt"
    text = "phrase;decision;new phrase\n"
    text += "the ejection fraction is {number}%;rename;schlagvolumen für {number}%\n"
    review.write_bytes(text.encode(encoding))
    done = run("build", small_table, "--review", review, "--out", tmp_path / "a.json")
    assert done.code == 1
    assert "--encoding" in done.err
    done = run(
        "build", small_table, "--review", review, "--out", tmp_path / "a.json",
        "--encoding", encoding, "--delimiter", ";",
    )  # fmt: skip
    assert done.code == 0
    assert "schlagvolumen f\u00fcr {number}%" in {
        phrase.text for phrase in echotok.load(tmp_path / "a.json").table.live
    }
