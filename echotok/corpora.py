"""Reading reports from files and streams, one at a time.

    *.csv, *.tsv           a column of a table with a header
    *.jsonl, *.ndjson      a key of one JSON object a line
    *.parquet, *.pq        a column of text, read with pyarrow
    a folder               every *.txt and *.text below it, in order
    anything else, or "-"  the whole file (or stdin) is one report; with `lines`, each of its lines

Each may be packed with gzip (`reports.csv.gz`). Tables may be parted by comma, semicolon, tab or
`|`. A row, or a file of a folder, without a word in it (blank, null, NaN) is not a report: it is
left out, and a warning of this module's logger says how many were left out. Rows that are wholly
empty, as spreadsheets leave them at the end, are passed over.

Errors name file, row and column or byte; they never quote a report (I9).
"""

from __future__ import annotations

import csv
import json
import logging
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from echotok.errors import InputError
from echotok.spelling import did_you_mean
from echotok.text_files import CellReader, decode, find_dialect, open_lines, read_text

__all__ = ["Report", "has_columns", "holds_text", "read_reports"]

_log = logging.getLogger(__name__)

_DEFAULT_COLUMNS = ("text", "report", "report_text")
_TEXT_ENDINGS = (".txt", ".text")
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")
_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
# What programs write into a cell that holds nothing.
_MISSING = frozenset({"nan", "null", "none", "na", "n/a", "<na>", "nat", "#n/a", "nil"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report and where it came from.

    Attributes:
        text: the report.
        source: `file` or `file:row`. Rows are counted from 1 behind the header, lines from 1.
        patient: the patient, where a column with patients was asked for; else None.
        id: the report's own name, where a column with ids was asked for; else None.
        cells: the other cells of its row by column, "" where one is blank; empty unless asked for.
    """

    text: str
    source: str
    patient: str | None = None
    id: str | None = None
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blank:
    """A place where a report is missing."""

    source: str
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    """How files are read: what `read_reports` was asked for."""

    column: str | None
    key: _Key | None
    lines: bool
    keep_cells: bool
    delimiter: str | None
    encoding: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """A column that says whose a report is, or which one it is.

    Attributes:
        column: its name.
        field: the attribute of `Report` that it fills.
        missing: what is said of a row that leaves it blank.
    """

    column: str
    field: Literal["patient", "id"]
    missing: str


_NO_PATIENT = (
    "no patient in this row; fill it in, or give no patient column: then every report counts as a "
    "patient of its own"
)
_NO_ID = "no id in this row; fill it in, or give no id column: then reports are numbered from 1"


def read_reports(
    paths: Iterable[str | Path],
    *,
    column: str | None = None,
    lines: bool = False,
    patient_column: str | None = None,
    id_column: str | None = None,
    keep_blank: bool = False,
    keep_cells: bool = False,
    delimiter: str | None = None,
    encoding: str | None = None,
    warn: Callable[[str], None] = _log.warning,
) -> Iterator[Report]:
    """Read the reports of files, folders or stdin one at a time.

    Args:
        paths: files and folders, as at the head of this module; `"-"` is stdin.
        column: column or JSON key of the reports; by default `text`, `report` or `report_text`,
            whichever is there.
        lines: take each line of a plain text file as a report; empty lines are left out.
        patient_column: column or JSON key of the patient; plain text has none.
        id_column: column or JSON key of the report's own name; give one of the two.
        keep_blank: also yield rows and files without a report, with an empty text, for output that
            has one line for each of them.
        keep_cells: also give the other cells of a table's rows; plain text has none.
        delimiter: the character between the cells of a CSV or TSV file; None finds it.
        encoding: encoding of text files and tables, such as `cp1252`; None reads UTF-8, and what
            begins with a byte-order mark.
        warn: called with one sentence for each kind of thing that is left out.

    Raises:
        InputError: a file or column is missing, text is not UTF-8, a line is malformed, or a row
            names no patient, or no id, although they were asked for.
    """
    key = None
    if patient_column is not None:
        key = _Key(column=patient_column, field="patient", missing=_NO_PATIENT)
    elif id_column is not None:
        key = _Key(column=id_column, field="id", missing=_NO_ID)
    how = _How(
        column=column,
        key=key,
        lines=lines,
        keep_cells=keep_cells,
        delimiter=delimiter,
        encoding=encoding,
    )
    for path in paths:
        if str(path) == "-":
            # Read as bytes, so that the encoding does not depend on the terminal's.
            raw = sys.stdin.buffer.read()
            yield from _plain(decode(raw, "stdin", encoding=encoding), "stdin", lines=lines)
            continue
        path = Path(path)
        reports = _folder(path, warn, how) if path.is_dir() else _file(path, how)
        yield from _without_blank(reports, path, warn, keep=keep_blank)


def _without_blank(
    reports: Iterator[Report | _Blank], path: Path, warn: Callable[[str], None], *, keep: bool
) -> Iterator[Report]:
    num_rows = num_blank = 0
    for report in reports:
        num_rows += 1
        if isinstance(report, Report):
            yield report
            continue
        num_blank += 1
        if keep:
            yield Report(text="", source=report.source, id=report.id)
    if num_blank:
        what = (
            "each is taken as an empty text, so that line n stays report n"
            if keep
            else "they were left out, and no figure counts them"
        )
        warn(
            f"{path}: {num_blank:,} of {num_rows:,} reports are missing (blank, null or NaN); "
            f"{what}"
        )


def holds_text(cell: object) -> bool:
    """Whether a cell holds a text with a word in it: not blank, null, NaN or a bare dash.

    Args:
        cell: cell of a table, or value in a JSON object.
    """
    if not isinstance(cell, str):
        return cell is not None and cell == cell  # NaN is not
    return any(map(str.isalnum, cell)) and cell.strip().lower() not in _MISSING


def has_columns(path: str | Path) -> bool:
    """Whether a file's name says that it is a table, JSON Lines among them."""
    return _ending(Path(path)) in (*_DELIMITERS, *_JSON_LINES, *_PARQUET)


def _folder(folder: Path, warn: Callable[[str], None], how: _How) -> Iterator[Report | _Blank]:
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    files = [path for path in found if _ending(path) in _TEXT_ENDINGS]
    others = Counter(_ending(path) or "no ending" for path in found if path not in set(files))
    told = ", ".join(f"{count:,} {ending}" for ending, count in sorted(others.items()))
    if not files:
        holds = f" (it holds {told})" if told else ""
        raise InputError(f"{folder} holds no *.txt file{holds}; name the files, or another folder")
    if others:
        warn(f"{folder}: only *.txt and *.text files of a folder are read; left out: {told}")
    for path in files:
        text = read_text(path, encoding=how.encoding)
        if holds_text(text):
            yield from _plain(text, str(path), lines=how.lines)
        else:
            yield _Blank(source=str(path))


def _ending(path: Path) -> str:
    """The ending of a file's name, in small letters, without that of gzip."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _file(path: Path, how: _How) -> Iterator[Report | _Blank]:
    ending = _ending(path)
    if ending in _DELIMITERS:
        with open_lines(path, encoding=how.encoding) as stream:
            yield from _table(stream, path, how, default=_DELIMITERS[ending])
    elif ending in _JSON_LINES:
        with open_lines(path, encoding=how.encoding) as stream:
            yield from _json_lines(stream, path, how)
    elif ending in _PARQUET:
        try:
            yield from _parquet(path, how)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
    else:
        yield from _plain(read_text(path, encoding=how.encoding), str(path), lines=how.lines)


def _plain(text: str, name: str, *, lines: bool) -> Iterator[Report]:
    if not lines:
        yield Report(text=text, source=name)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield Report(text=line, source=f"{name}:{number}")


def _table(
    stream: Iterator[str], path: Path, how: _How, *, default: str
) -> Iterator[Report | _Blank]:
    column, key = how.column, how.key
    first = next(stream, "")
    wanted = (column, None if key is None else key.column)
    sought = [name for name in wanted if name is not None]
    dialect = find_dialect(
        first, names=sought or _DEFAULT_COLUMNS, default=default, delimiter=how.delimiter
    )
    reader = CellReader(
        stream if dialect.declared else chain([first], stream),
        delimiter=dialect.delimiter,
        spaced=dialect.spaced,
    )
    try:
        header = [name.strip() for name in next(reader, [])]
        at = header.index(_choose(column, header, path))
        whose = None
        if key is not None:
            whose = header.index(_choose(key.column, header, path))
        for row, cells in enumerate(reader, 1):
            if not any(map(str.strip, cells)):
                continue  # spreadsheets leave some at the end
            if len(cells) != len(header):
                raise InputError(
                    f"{path}: row {row} (line {reader.line_num}) has {len(cells)} cells, the "
                    f"header has {len(header)}; quote reports that hold commas or line breaks"
                    + ("" if dialect.delimiter == "," else f" or {dialect.delimiter!r}")
                )
            source = f"{path}:{row}"
            if not holds_text(cells[at]):
                yield _Blank(source=source, id=_id(key, None if whose is None else cells[whose]))
                continue
            named = {} if key is None or whose is None else _named(key, cells[whose], source)
            others = _others(zip(header, cells, strict=True), header[at]) if how.keep_cells else {}
            yield Report(text=cells[at], source=source, cells=others, **named)
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: {error}; check the quotes") from error


def _json_lines(stream: Iterator[str], path: Path, how: _How) -> Iterator[Report | _Blank]:
    column, key = how.column, how.key
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
        at = _choose(column, list(record), path, where=f" in line {number}")
        source = f"{path}:{number}"
        if not holds_text(record[at]):
            yield _Blank(
                source=source, id=_id(key, None if key is None else record.get(key.column))
            )
            continue
        if not isinstance(record[at], str):
            raise InputError(f"{path}: line {number}: {at!r} is not a string")
        named = {}
        if key is not None:
            whose = _choose(key.column, list(record), path, where=f" in line {number}")
            named = _named(key, record[whose], source)
        others = _others(record.items(), at) if how.keep_cells else {}
        yield Report(text=record[at], source=source, cells=others, **named)


def _parquet(path: Path, how: _How) -> Iterator[Report | _Blank]:
    column, key = how.column, how.key
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(
            f"reading {path} needs pyarrow: pip install pyarrow, or save the table as CSV"
        ) from error
    row = 0
    try:
        with ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            text_name = _choose(column, names, path)
            columns = [text_name]
            if key is not None:
                columns.append(_choose(key.column, names, path))
            if how.keep_cells:
                columns += [name for name in names if name not in columns]
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                for cells in zip(
                    *(batch.column(name).to_pylist() for name in columns), strict=True
                ):
                    row += 1
                    source = f"{path}:{row}"
                    if not holds_text(cells[0]):
                        yield _Blank(source=source, id=_id(key, cells[1] if key else None))
                        continue
                    if not isinstance(cells[0], str):
                        raise InputError(f"{path}: row {row}: {text_name!r} is not a string")
                    named = {} if key is None else _named(key, cells[1], source)
                    others = {}
                    if how.keep_cells:
                        others = _others(zip(columns, cells, strict=True), text_name)
                    yield Report(text=cells[0], source=source, cells=others, **named)
    except ArrowException as error:
        raise InputError(f"{path} is not a Parquet file that pyarrow can read") from error


def _named(key: _Key, value: object, source: str) -> dict[str, str]:
    """The attribute of `Report` that a cell fills."""
    if _is_missing(value):
        raise InputError(f"{source}: {key.missing}")
    return {key.field: str(value)}


def _id(key: _Key | None, value: object) -> str | None:
    """The id of a report that is missing, where its row has one."""
    return str(value) if key is not None and key.field == "id" and not _is_missing(value) else None


def _is_missing(value: object) -> bool:
    return value is None or value != value or str(value).strip().lower() in ("", *_MISSING)


def _others(cells: Iterable[tuple[str, object]], text_name: str) -> dict[str, str]:
    """Cells as text by their column, without the report's own."""
    return {
        name: "" if value is None or value != value else str(value).strip()
        for name, value in cells
        if name and name != text_name
    }


def _choose(column: str | None, names: list[str], path: Path, where: str = "") -> str:
    if not any(names):
        raise InputError(
            f"{path} has no names of columns{where or ' in its first line'}, so it holds no "
            "reports; give a table with a header"
        )
    if column is None:
        plain = {name.casefold(): name for name in reversed(names)}
        for name in _DEFAULT_COLUMNS:
            if name in plain:
                return plain[name]
        raise InputError(
            f"{path} has no column text or report{where}; name one of its columns with --column: "
            f"{_listed(names)}"
        )
    if column not in names:
        # A header that is no header is not shown, nor is a name out of it.
        near = did_you_mean(column, names) if _are_names(names) else ""
        raise InputError(f"{path} has no column {column!r}{where}; it has: {_listed(names)}{near}")
    return column


def _are_names(names: list[str]) -> bool:
    return bool(names) and all(re.fullmatch(r"[^\W\d][\w .-]{0,30}", name) for name in names)


def _listed(names: list[str]) -> str:
    """Column names for a message, unless they look like report text (a file without header)."""
    if _are_names(names):
        return ", ".join(names)
    other = (
        ", or does something else than a comma part the cells? --delimiter says what"
        if len(names) == 1
        else "?"
    )
    return f"{len(names)} cells that do not look like names (is the header row missing{other})"
