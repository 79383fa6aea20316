"""CSV, TSV and Parquet files as rows of text cells, each with its problem if it has one.

Every cell stays the text that it was: an id "007" keeps its zeros, and "NA" is not taken for a
missing value. For this, and to name the row of a stray byte, the csv module is used and not
`pandas.read_csv`.
Encodings, gzip and delimiters are those that `echotok` reads, by the same code.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

from echoclip_r.errors import ManifestError
from echoclip_r.places import local_file
from echotok.errors import InputError
from echotok.text_files import CellReader, find_dialect, open_lines

__all__ = ["AS_IT_IS", "RawRow", "TableFormat", "read_cells"]

# Longer than any report; a cell beyond it is a quote that never closes.
_MAX_CELL_CHARACTERS = 4_000_000
_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
_DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab"}
_TO_UTF8 = "save it as UTF-8, e.g. `iconv -f WINDOWS-1252 -t UTF-8 OLD.csv > NEW.csv`"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """One row of a file.

    Attributes:
        number: number of the row as a spreadsheet shows it: the header is row 1.
        cells: the stripped cells, as many as the header has; empty when `problem` is set.
        problem: why the row cannot be used, or "".
        column: the column that the problem is in, or "" when it concerns the whole row.
    """

    number: int
    cells: Sequence[str]
    problem: str = ""
    column: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFormat:
    """How a table is written, where that is not to be told from the table itself.

    Attributes:
        delimiter: the character between cells, or None to tell it from the header.
        encoding: of the text, as Python names it, or None for UTF-8 or what the file's mark says.
        columns: our name of a column -> the name that the file has for it.
    """

    delimiter: str | None = None
    encoding: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


AS_IT_IS = TableFormat()


@contextmanager
def read_cells(
    path: Path,
    *,
    ids: Sequence[str],
    names: Sequence[str] = (),
    form: TableFormat = AS_IT_IS,
    what: str = "manifest",
) -> Iterator[tuple[list[str], Iterator[RawRow]]]:
    """Open a table: its column names, and its rows one by one.

    Args:
        path: a `.csv`, `.tsv` or `.parquet` file; the first two may be packed with gzip, and be
            parted by comma, semicolon, tab or `|`.
        ids: columns that must not be floating-point numbers in Parquet.
        names: wanted columns, from which the delimiter is told; by default `ids`.
        form: what is known of how the table is written; the header that is given has our names.
        what: what such a table is called, for messages.

    Raises:
        ManifestError: the file as a whole cannot be read: it does not exist, has another format or
            encoding, no header, a column name twice, a quote that never closes, or lacks a column
            that `form` names.
    """
    if path.is_dir():
        raise ManifestError(f"{path}: this is a folder; name the .csv or .parquet file in it")
    if not path.is_file():
        raise ManifestError(f"{path}: there is no such file; a {what} is a .csv or .parquet file")
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind in (".parquet", ".pq"):
        with local_file(path) as file:
            header, rows = _read_parquet(file, [form.columns.get(name, name) for name in ids])
            yield _renamed(path, header, form.columns), rows
    elif kind in _DELIMITERS:
        try:
            # Surrogates carry a stray byte through the parser, so that only its row is lost.
            with open_lines(path, errors="surrogateescape", encoding=form.encoding) as lines:
                first = next(lines, "").removeprefix("\ufeff")
                wanted = [form.columns.get(name, name) for name in names or ids]
                dialect = find_dialect(first, names=wanted, default=_DELIMITERS[kind])
                delimiter = form.delimiter or dialect.delimiter
                reader = CellReader(
                    lines if dialect.declared else chain([first], lines),
                    delimiter=delimiter,
                    spaced=dialect.spaced,
                    longest=_MAX_CELL_CHARACTERS,
                )
                header, rows = _read_csv(path, reader, delimiter)
                yield _renamed(path, header, form.columns), rows
        except InputError as error:
            raise ManifestError(str(error)) from error
    else:
        hint = "; save the sheet as CSV UTF-8" if kind in (".xlsx", ".xls", ".ods") else ""
        raise ManifestError(
            f"{path}: {kind or 'no ending'} is not a known format; use .csv or .parquet{hint}"
        )


def _renamed(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> list[str]:
    """The header with our names; a column that another one stands in for loses its name."""
    for ours, theirs in columns.items():
        if theirs not in header:
            near = difflib.get_close_matches(theirs, header, n=1, cutoff=0.6)
            hint = f"; did you mean {ours}={near[0]}?" if near else ""
            raise ManifestError(
                f"{path}: row 1 has no column {theirs!r}, which is to be {ours!r}; it has "
                f"{', '.join(map(repr, header))}{hint}"
            )
    named = ["" if name in columns else name for name in header]
    for ours, theirs in columns.items():
        named[header.index(theirs)] = ours
    return named


def _read_csv(path: Path, reader: CellReader, delimiter: str) -> tuple[list[str], Iterator[RawRow]]:
    reader_rows = _guarded(path, reader)
    header = [name.strip() for name in next(reader_rows, [])]
    if stray := _stray_byte(header):
        raise ManifestError(f"{path}: row 1, the header, is not UTF-8 ({stray[1]}); {_TO_UTF8}")
    _check_header(path, header)
    return header, _csv_rows(header, reader_rows, delimiter)


def _csv_rows(
    header: Sequence[str], reader_rows: Iterator[list[str]], delimiter: str
) -> Iterator[RawRow]:
    what = _DELIMITER_NAMES.get(delimiter, repr(delimiter))
    for number, row in enumerate(reader_rows, start=2):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue  # spreadsheets like to leave some at the end
        if len(cells) != len(header):
            yield RawRow(
                number=number,
                cells=(),
                problem=f"{len(cells)} cells where the header has {len(header)}; "
                f"is a {what} in a text without quotes around it?",
            )
        elif stray := _stray_byte(cells):
            column, what = stray
            problem = f"not UTF-8 ({what}); {_TO_UTF8}"
            yield RawRow(number=number, cells=(), problem=problem, column=header[column])
        else:
            yield RawRow(number=number, cells=cells)


def _guarded(path: Path, reader: Any) -> Iterator[list[str]]:
    start = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ManifestError(
                f"{path}: the row that starts in line {start} cannot be parsed ({error}); look for "
                "a quote that opens and does not close there"
            ) from error
        yield row
        start = reader.line_num + 1


def _stray_byte(cells: Sequence[str]) -> tuple[int, str] | None:
    """The first cell with a byte that is not UTF-8: its index, and the byte and where it is."""
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        for index, cell in enumerate(cells):
            for offset, character in enumerate(cell):
                if "\ud800" <= character <= "\udfff":
                    return index, f"byte 0x{ord(character) & 0xFF:02x} at character {offset}"
    return None


def _check_header(path: Path, header: Sequence[str]) -> None:
    if not any(header):
        raise ManifestError(f"{path}: the file is empty; its first row must name the columns")
    for place, name in enumerate(header):
        if name and (other := header.index(name)) != place:
            # Not quoted: where the header is missing, this is a patient's data (I9).
            raise ManifestError(
                f"{path}: row 1 has the same name in columns {other + 1} and {place + 1}; "
                "rename or delete one"
            )


def _read_parquet(path: Path, ids: Sequence[str]) -> tuple[list[str], Iterator[RawRow]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise ManifestError(
            f"{path}: not a Parquet file ({type(error).__name__}); was it copied whole?"
        ) from error
    header = list(file.schema_arrow.names)
    _check_header(path, header)
    for name in ids:
        if name in header and pa.types.is_floating(file.schema_arrow.field(name).type):
            raise ManifestError(
                f"{path}: column {name!r} holds floating-point numbers, which change long ids; "
                "write it as text"
            )

    def rows() -> Iterator[RawRow]:
        number = 1
        for batch in file.iter_batches(batch_size=4096):
            columns = [column.to_pylist() for column in batch.columns]
            for values in zip(*columns, strict=True):
                number += 1
                yield RawRow(number=number, cells=[_as_text(value) for value in values])

    return header, rows()


def _as_text(value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    return str(value).strip()
