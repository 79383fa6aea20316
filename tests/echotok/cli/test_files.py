"""Delimiters, encodings and packed files, in every command alike."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from command_line import Run

REPORT = "Mild mitral regurgitation. LVEF is 55%."
COMMANDS = (
    ["encode"],
    ["show"],
    ["stats"],
    ["findings"],
    ["mine", "--vocab-size", "300", "--out", "OUT"],
    ["build", "TABLE", "--out", "OUT.json", "--corpus"],
)


def _table(path: Path, *, delimiter: str, encoding: str, packed: bool) -> Path:
    rows = [f"id{delimiter}befund{delimiter}note"]
    rows += [f"{n}{delimiter}Größe normal. {REPORT}{delimiter}x" for n in range(12)]
    raw = ("\n".join(rows) + "\n").encode(encoding)
    path.write_bytes(gzip.compress(raw) if packed else raw)
    return path


def _command(command: list[str], small_table: Path, tmp_path: Path) -> list[str]:
    names = {"OUT": str(tmp_path / "out"), "OUT.json": str(tmp_path / "out.json")}
    return [names.get(word, str(small_table) if word == "TABLE" else word) for word in command]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("delimiter", "encoding"), [("~", "windows-1252"), (":", "utf-8"), ("semicolon", "latin-1")]
)
def test_any_table_in_any_command(
    run: Run,
    small_table: Path,
    tmp_path: Path,
    command: list[str],
    packed: bool,
    delimiter: str,
    encoding: str,
) -> None:
    """What is said of a table holds in each command that reads reports, packed or not."""
    path = tmp_path / ("reports.csv.gz" if packed else "reports.csv")
    character = {"semicolon": ";"}.get(delimiter, delimiter)
    _table(path, delimiter=character, encoding=encoding, packed=packed)
    told = ["--column", "befund", "--delimiter", delimiter, "--encoding", encoding]
    done = run(*_command(command, small_table, tmp_path), path, *told)
    assert done.code == 0, done.err


def test_another_encoding_gives_the_same_ids(run: Run, tmp_path: Path) -> None:
    """A file in another encoding reads as the same text, and a wrong encoding is told."""
    text = "Größe normal. " + REPORT
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (tmp_path / "b.txt").write_bytes(text.encode("utf-16-le"))
    (tmp_path / "c.txt").write_bytes(text.encode("windows-1252"))
    wanted = run("encode", tmp_path / "a.txt").out
    assert run("encode", tmp_path / "b.txt", "--encoding", "utf-16-le").out == wanted
    assert run("encode", tmp_path / "c.txt", "--encoding", "windows-1252").out == wanted
    refused = run("encode", tmp_path / "c.txt")
    assert refused.code == 1
    assert "read reports in it with --encoding WINDOWS-1252" in refused.err
    wrong = run("encode", tmp_path / "c.txt", "--encoding", "ascii")
    assert wrong.code == 1
    assert "is not ASCII at byte 2 (line 1); leave --encoding out to learn more" in wrong.err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--delimiter", "ab", "'ab' is not a delimiter"),
        ("--delimiter", "x", "'x' is not a delimiter"),
        ("--encoding", "rot13", "'rot13' is not an encoding of text"),
        ("--encoding", "utf-9", "'utf-9' is not an encoding of text"),
    ],
)
def test_what_is_no_delimiter_or_encoding(
    run: Run, tmp_path: Path, option: str, value: str, message: str
) -> None:
    """The message says what could be given."""
    done = run("stats", tmp_path, option, value)
    assert done.code == 2
    assert message in done.err


def test_ids_in_a_packed_file_decode(run: Run, tmp_path: Path) -> None:
    """`decode` reads what `encode` wrote, packed too."""
    ids = run("encode", stdin=REPORT.encode()).out
    path = tmp_path / "ids.txt.gz"
    path.write_bytes(gzip.compress(ids.encode()))
    assert run("decode", path).out == "mild mitral regurgitation. lvef is 55%.\n"


def test_a_delimiter_needs_a_table(run: Run, tmp_path: Path) -> None:
    """For plain text it means nothing, and that is said; a packed table is a table."""
    (tmp_path / "a.txt").write_text(REPORT)
    done = run("stats", tmp_path / "a.txt", "--delimiter", ";")
    assert done.code == 2
    assert "--delimiter is for tables" in done.err
