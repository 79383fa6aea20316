"""Reading reports: every error says where and what to do (I14), and none quotes a report (I9)."""

from __future__ import annotations

import io
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from echotok.corpora import read_reports
from echotok.errors import (
    InputError,
)

SECRET = "Zanzibar Quagmire"


def corpus_error(path: Path | str, **options: Any) -> str:
    """The error's text, after looking that neither it nor its causes quote a report."""
    with pytest.raises(InputError) as caught:
        list(read_reports([path], **options))
    whole = "".join(traceback.format_exception(caught.value))
    assert "Zanzibar" not in whole
    assert "Quagmire" not in whole
    return str(caught.value)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_missing_report_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    path = tmp_path / "reports.csv"
    assert corpus_error(path) == f"cannot read {path}: No such file or directory"
    path = tmp_path / "report.txt"
    assert corpus_error(path) == f"cannot read {path}: No such file or directory"


def test_folder_without_reports(tmp_path: Path) -> None:
    """A folder without *.txt files says what it looked for."""
    message = f"{tmp_path} holds no *.txt file; name the files, or another folder"
    assert corpus_error(tmp_path) == message


@pytest.mark.parametrize("name", ["reports.csv", "reports.jsonl", "report.txt"])
def test_report_not_utf8(tmp_path: Path, name: str) -> None:
    """A file in another encoding is named with byte and line, far into the file too."""
    head = '{"text": "a"}\n' if name.endswith("jsonl") else "text\n"
    good = (head + '{"text": "b"}\n' * 5000).encode()
    path = write(tmp_path / name, good + f"{SECRET} ÄÖ".encode("latin-1"))
    message = corpus_error(path)
    byte, line = len(good) + len(SECRET) + 1, good.count(b"\n") + 1
    assert f"{path} is not UTF-8 at byte {byte} (line {line}); convert it first" in message
    assert "iconv -f WINDOWS-1252 -t UTF-8" in message


def test_stdin_not_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for stdin."""
    raw = f"{SECRET}\nÄ".encode("latin-1")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="ascii"))
    assert f"stdin is not UTF-8 at byte {len(SECRET) + 1} (line 2)" in corpus_error("-")


def test_wrong_column(tmp_path: Path) -> None:
    """A column that is not there is named with those that are."""
    path = write(tmp_path / "reports.csv", f"id,findings\n1,{SECRET}\n")
    assert corpus_error(path, column="impression") == (
        f"{path} has no column 'impression'; it has: id, findings"
    )
    assert corpus_error(path) == (
        f"{path} has no column text or report; name one of its columns with --column: id, findings"
    )


@pytest.mark.parametrize("content", ["", "\n\n", ",,\n"])
def test_a_table_without_names_is_said_to_be_empty(tmp_path: Path, content: str) -> None:
    """An export that failed, or spare rows of a spreadsheet."""
    path = write(tmp_path / "reports.csv", content)
    for message in (corpus_error(path), corpus_error(path, column="text")):
        assert message == (
            f"{path} has no names of columns in its first line, so it holds no reports; give a "
            "table with a header"
        )


def test_a_table_without_header_is_not_quoted(tmp_path: Path) -> None:
    """Where the first row is a report, the error does not show it (I9)."""
    path = write(tmp_path / "reports.csv", f"1,Patient {SECRET} has mild MR.\n2,Normal.\n")
    for message in (corpus_error(path), corpus_error(path, column="text")):
        assert str(path) in message
        assert "is the header row missing?" in message


def test_wrong_json_key(tmp_path: Path) -> None:
    """A key that one line lacks is named with the line."""
    path = write(tmp_path / "reports.jsonl", f'{{"text": "a"}}\n{{"note": "{SECRET}"}}\n')
    assert "has no column text or report in line 2" in corpus_error(path)
    assert f"{path} has no column 'text' in line 2; it has: note" in corpus_error(
        path, column="text"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f'{{"text": "{SECRET}"', "line 2 is not JSON at column"),
        (SECRET, "line 2 is not JSON at column 1; JSON Lines has one object a line"),
        (f'["{SECRET}"]', "line 2 is not a JSON object"),
        (f'"{SECRET}"', "line 2 is not a JSON object"),
        (f'{{"text": ["{SECRET}"]}}', "line 2: 'text' is not a string"),
        ('{"text": 5}', "line 2: 'text' is not a string"),
    ],
)
def test_malformed_json_line(tmp_path: Path, line: str, message: str) -> None:
    """A malformed line is named by its number, never by its text."""
    path = write(tmp_path / "reports.jsonl", f'{{"text": "a"}}\n{line}\n')
    assert f"{path}: {message}" in corpus_error(path)


def test_short_csv_row(tmp_path: Path) -> None:
    """A row that does not reach the column is named by row and line."""
    path = write(tmp_path / "reports.csv", f'id,text\n1,"a\nb"\n{SECRET}\n')
    assert corpus_error(path) == (
        f"{path}: row 2 (line 4) has 1 cells, the header has 2; quote reports that hold commas or "
        "line breaks"
    )


def test_unquoted_commas_in_a_report(tmp_path: Path) -> None:
    """A row with more cells than the header would lose the rest of its report; it is refused."""
    path = write(tmp_path / "reports.csv", f"id,text\n1,Mild MR, {SECRET}, no TR\n")
    assert "row 1 (line 2) has 4 cells, the header has 2; quote reports" in corpus_error(path)


def test_an_open_quote_does_not_swallow_the_file(tmp_path: Path) -> None:
    """A quote that is never closed is an error, not one long report."""
    path = write(tmp_path / "reports.csv", f'text\n"{SECRET}\nb\nc\n')
    assert "check the quotes" in corpus_error(path)
