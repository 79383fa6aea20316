"""Reading reports from files and streams, one at a time.

    *.csv, *.tsv           a column of a table with a header
    *.jsonl, *.ndjson      a key of one JSON object a line
    a folder               every *.txt below it, in order
    anything else, or "-"  the whole file (or stdin) is one report; with `lines`, each line is

Errors name file, row and column or byte; they never quote a report (I9).
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from echotok.errors import InputError

__all__ = ["Report", "read_reports"]

_DEFAULT_COLUMNS = ("text", "report", "report_text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report and where it came from.

    Attributes:
        text: the report.
        source: `file` or `file:row` (rows of tables count from 1 behind the header, lines from 1).
    """

    text: str
    source: str


def read_reports(
    paths: Iterable[str | Path], *, column: str | None = None, lines: bool = False
) -> Iterator[Report]:
    """Stream the reports of files, folders or stdin.

    Args:
        paths: as in the module's head; `"-"` is stdin.
        column: column or JSON key; default `text`, `report` or `report_text`, whichever is there.
        lines: take each line of a plain text file as a report; empty lines are left out.

    Raises:
        InputError: missing file or column, text that is not UTF-8, a malformed line.
    """
    for path in paths:
        if str(path) == "-":
            # Read as bytes, so that the encoding does not depend on the terminal's.
            yield from _plain(_decode(sys.stdin.buffer.read(), "stdin"), "stdin", lines=lines)
            continue
        path = Path(path)
        if path.is_dir():
            files = sorted(path.rglob("*.txt"))
            if not files:
                raise InputError(f"{path} holds no *.txt file; name the files, or another folder")
            for file in files:
                yield from _file(file, column, lines=lines)
        else:
            yield from _file(path, column, lines=lines)


def _file(path: Path, column: str | None, *, lines: bool) -> Iterator[Report]:
    suffix = path.suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            with path.open(encoding="utf-8-sig", newline="") as stream:
                yield from _table(stream, path, column, "\t" if suffix == ".tsv" else ",")
        elif suffix in (".jsonl", ".ndjson"):
            with path.open(encoding="utf-8-sig") as stream:
                yield from _json_lines(stream, path, column)
        else:
            yield from _plain(_decode(path.read_bytes(), str(path)), str(path), lines=lines)
    except UnicodeDecodeError as error:
        # A stream's decoder counts from its last block: ask the whole file instead.
        _decode(path.read_bytes(), str(path))
        raise InputError(f"{path} is not UTF-8") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _decode(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name} is not UTF-8 at byte {error.start} (line {line}); convert it first, for "
            "example with iconv -f WINDOWS-1252 -t UTF-8"
        ) from error


def _plain(text: str, name: str, *, lines: bool) -> Iterator[Report]:
    if not lines:
        yield Report(text=text, source=name)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield Report(text=line, source=f"{name}:{number}")


def _table(stream: TextIO, path: Path, column: str | None, delimiter: str) -> Iterator[Report]:
    # A report may be longer than the csv module's default limit of 128 KiB.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        at = header.index(_choose(column, header, path))
        for row, cells in enumerate(reader, 1):
            if not cells:
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"{path}: row {row} (line {reader.line_num}) has {len(cells)} cells, the "
                    f"header has {len(header)}; quote reports that hold commas or line breaks"
                )
            yield Report(text=cells[at], source=f"{path}:{row}")
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: {error}; check the quotes") from error


def _json_lines(stream: TextIO, path: Path, column: str | None) -> Iterator[Report]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            # From no other: the parser's own message could quote the line.
            where = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            raise InputError(
                f"{path}: line {number} is not JSON{where}; JSON Lines has one object a line"
            ) from None
        if not isinstance(record, dict):
            raise InputError(f"{path}: line {number} is not a JSON object")
        key = _choose(column, list(record), path, where=f" in line {number}")
        if not isinstance(record[key], str):
            raise InputError(f"{path}: line {number}: {key!r} is not a string")
        yield Report(text=record[key], source=f"{path}:{number}")


def _choose(column: str | None, names: list[str], path: Path, where: str = "") -> str:
    if column is None:
        for name in _DEFAULT_COLUMNS:
            if name in names:
                return name
        raise InputError(
            f"{path} has no column text or report{where}; name one of its columns with --column: "
            f"{_listed(names)}"
        )
    if column not in names:
        raise InputError(f"{path} has no column {column!r}{where}; it has: {_listed(names)}")
    return column


def _listed(names: list[str]) -> str:
    """Column names for a message, unless they look like report text (a file without header)."""
    if all(re.fullmatch(r"[A-Za-z_][\w.-]{0,30}", name) for name in names) and names:
        return ", ".join(names)
    return f"{len(names)} that do not look like column names (is the header row missing?)"
