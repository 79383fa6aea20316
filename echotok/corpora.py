"""Reading reports from files and streams, one at a time.

    *.csv, *.tsv           a column of a table with a header
    *.jsonl, *.ndjson      a key of one JSON object a line
    *.parquet              a column of text, read with pyarrow
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
        patient: whose report it is, where a column with patients was asked for.
    """

    text: str
    source: str
    patient: str | None = None


def read_reports(
    paths: Iterable[str | Path],
    *,
    column: str | None = None,
    lines: bool = False,
    patient_column: str | None = None,
) -> Iterator[Report]:
    """Stream the reports of files, folders or stdin.

    Args:
        paths: as in the module's head; `"-"` is stdin.
        column: column or JSON key; default `text`, `report` or `report_text`, whichever is there.
        lines: take each line of a plain text file as a report; empty lines are left out.
        patient_column: column or JSON key of the patient; plain text has none.

    Raises:
        InputError: missing file or column, text that is not UTF-8, a malformed line, a table
            without a patient in one of its rows where patients were asked for.
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
                yield from _file(file, column, patient_column, lines=lines)
        else:
            yield from _file(path, column, patient_column, lines=lines)


def _file(
    path: Path, column: str | None, patient_column: str | None, *, lines: bool
) -> Iterator[Report]:
    suffix = path.suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            with path.open(encoding="utf-8-sig", newline="") as stream:
                delimiter = "\t" if suffix == ".tsv" else ","
                yield from _table(stream, path, column, patient_column, delimiter)
        elif suffix in (".jsonl", ".ndjson"):
            with path.open(encoding="utf-8-sig") as stream:
                yield from _json_lines(stream, path, column, patient_column)
        elif suffix == ".parquet":
            yield from _parquet(path, column, patient_column)
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


def _table(
    stream: TextIO, path: Path, column: str | None, patient_column: str | None, delimiter: str
) -> Iterator[Report]:
    # A report may be longer than the csv module's default limit of 128 KiB.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        at = header.index(_choose(column, header, path))
        whose = None
        if patient_column is not None:
            whose = header.index(_choose(patient_column, header, path))
        for row, cells in enumerate(reader, 1):
            if not cells:
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"{path}: row {row} (line {reader.line_num}) has {len(cells)} cells, the "
                    f"header has {len(header)}; quote reports that hold commas or line breaks"
                )
            source = f"{path}:{row}"
            patient = None if whose is None else _patient(cells[whose], source)
            yield Report(text=cells[at], source=source, patient=patient)
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: {error}; check the quotes") from error


def _json_lines(
    stream: TextIO, path: Path, column: str | None, patient_column: str | None
) -> Iterator[Report]:
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
        source = f"{path}:{number}"
        patient = None
        if patient_column is not None:
            patient_key = _choose(patient_column, list(record), path, where=f" in line {number}")
            patient = _patient(record[patient_key], source)
        yield Report(text=record[key], source=source, patient=patient)


def _parquet(path: Path, column: str | None, patient_column: str | None) -> Iterator[Report]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(
            f"reading {path} needs pyarrow: pip install pyarrow, or save the table as CSV"
        ) from error
    try:
        with ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            text_name = _choose(column, names, path)
            columns = [text_name]
            if patient_column is not None:
                columns.append(_choose(patient_column, names, path))
            row = 0
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                for cells in zip(
                    *(batch.column(name).to_pylist() for name in columns), strict=True
                ):
                    row += 1
                    source = f"{path}:{row}"
                    if not isinstance(cells[0], str):
                        raise InputError(f"{path}: row {row}: {text_name!r} is not a string")
                    patient = None if patient_column is None else _patient(cells[1], source)
                    yield Report(text=cells[0], source=source, patient=patient)
    except ArrowException as error:
        raise InputError(f"{path} is not a Parquet file that pyarrow can read") from error


def _patient(value: object, source: str) -> str:
    if value is None or str(value) == "":
        raise InputError(
            f"{source}: no patient in this row; fill it in, or leave the patients out: then every "
            "report counts as a patient of its own"
        )
    return str(value)


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
