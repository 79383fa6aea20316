"""The rows of a table folder: values and phrases, with their ids, versions and texts checked."""

from __future__ import annotations

import csv
import io
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from echotok.errors import Problem
from echotok.table.phrases import Phrase, parse_phrase
from echotok.table.values import EnumValue

__all__ = [
    "PHRASE_COLUMNS",
    "VALUE_COLUMNS",
    "VERSION",
    "Place",
    "TableReader",
    "is_review",
    "next_version",
    "read_phrases",
    "read_values",
    "version_numbers",
    "write_row",
]

PHRASE_COLUMNS = ("id", "phrase", "since", "retired", "note")
VALUE_COLUMNS = ("id", "slot", "value", "rank", "since", "retired", "note")
VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
"""How the version of a table is written, as are the versions that its rows name."""

Place: TypeAlias = tuple[Path, int]
"""A file and the number of a line in it, counted from 1."""


@dataclass(slots=True)
class TableReader:
    """Reads the files of one folder and gathers the problems found on the way.

    Attributes:
        folder: the folder that holds `table.toml`.
        problems: the problems found so far.
        phrase_places: file and line of each phrase that was read, by its id.
    """

    folder: Path
    problems: list[Problem] = field(default_factory=list)
    phrase_places: dict[int, Place] = field(default_factory=dict)

    def problem(self, rule: str, file: Path, line: int | None, message: str) -> None:
        """Note a broken rule; `line` is None when the problem concerns the whole file."""
        self.problems.append(Problem(rule=rule, file=file, line=line, message=message))

    def toml(self) -> dict[str, Any] | None:
        """The settings in `table.toml`, or None with the problem noted."""
        path = self.folder / "table.toml"
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError:
            message = "no such file; a table is a folder with table.toml and CSV files"
            self.problem("missing-file", path, None, message)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            self.problem("bad-toml", path, None, f"{error}; see phrase_tables/README.md")
        return None

    def rows(self, path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows of a CSV file that are not empty, each with its line.

        Args:
            path: path of the file.
            columns: names that the header must hold, in this order.
        """
        try:
            # Bytes: reading as text would make a carriage return inside of a cell a line feed.
            content = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            message = f"not UTF-8 at byte {error.start}; save the file as UTF-8"
            self.problem("not-utf-8", path, None, message)
            return
        reader = csv.reader(io.StringIO(content, newline=""), strict=True)
        try:
            header = next(reader, [])
            if tuple(header) != tuple(columns):
                message = f"the header must be {','.join(columns)}, not {','.join(header)}"
                self.problem("bad-header", path, 1, message)
                return
            for cells in reader:
                if cells and len(cells) != len(columns):
                    message = f"{len(cells)} cells where {len(columns)} are needed; quote commas"
                    self.problem("bad-row", path, reader.line_num, message)
                elif any(cells):
                    yield reader.line_num, dict(zip(columns, cells, strict=True))
        except csv.Error as error:
            self.problem("bad-csv", path, reader.line_num, f"{error}; check the quotes")


def read_values(
    reader: TableReader,
    *,
    slots: Mapping[str, str],
    units: tuple[str, ...],
    capacity: int,
    table_version: str,
) -> tuple[EnumValue, ...]:
    """The members of the enumerations, in order of their ids.

    Args:
        reader: reader of the folder, which gathers the problems.
        slots: description of each enumeration by name.
        units: spellings of units, as in `PhraseTable.units`.
        capacity: number of ids that there is room for.
        table_version: the latest version that a row may name.
    """
    path = reader.folder / "values.csv"
    values: list[EnumValue] = []
    places: dict[int, Place] = {}
    seen: dict[tuple[str, str], int] = {}
    rows = reader.rows(path, VALUE_COLUMNS) if path.exists() else iter(())
    for line, row in rows:
        number = _row_id(reader, (path, line), row["id"], capacity, places)
        _check_versions(reader, path, line, row, table_version)
        slot, text = row["slot"], row["value"]
        if slot not in slots:
            message = f"slot {slot!r} is not declared under [slots] in table.toml"
            reader.problem("bad-slot", path, line, message)
            continue
        if (slot, text) in seen:
            message = f"the same value stands at line {seen[slot, text]}"
            reader.problem("duplicate", path, line, message)
        seen[slot, text] = line
        try:
            parse_phrase(text, slots=(), units=units)
        except ValueError as error:
            reader.problem("bad-value", path, line, str(error))
        try:
            rank = float(row["rank"]) if row["rank"] else None
            if rank is not None and not math.isfinite(rank):
                raise ValueError
        except ValueError:
            reader.problem("bad-value", path, line, "`rank` must be a number or empty")
            continue
        if number is not None:
            values.append(
                EnumValue(
                    id=number,
                    slot=slot,
                    text=text,
                    rank=rank,
                    since=row["since"],
                    retired=row["retired"],
                    note=row["note"],
                )
            )
    for name in slots:
        if not any(value.slot == name for value in values):
            message = f"slot {name!r} is declared but has no value; add rows or drop it"
            reader.problem("bad-slot", path, None, message)
    return tuple(sorted(values, key=lambda value: value.id))


def read_phrases(
    reader: TableReader,
    *,
    slots: Sequence[str],
    units: tuple[str, ...],
    capacity: int,
    table_version: str,
) -> tuple[Phrase, ...]:
    """The phrases of all sections, in order of their ids.

    Args:
        reader: reader of the folder, which gathers the problems.
        slots: names of the slot types that exist, built-in ones included.
        units: spellings of units, as in `PhraseTable.units`.
        capacity: number of ids that there is room for.
        table_version: the latest version that a row may name.
    """
    phrases: list[Phrase] = []
    seen: dict[str, str] = {}
    for path in sorted(reader.folder.glob("*.csv")):
        if path.name == "values.csv" or is_review(path):
            continue
        for line, row in reader.rows(path, PHRASE_COLUMNS):
            number = _row_id(reader, (path, line), row["id"], capacity, reader.phrase_places)
            _check_versions(reader, path, line, row, table_version)
            text = row["phrase"]
            try:
                items = parse_phrase(text, slots=slots, units=units)
            except ValueError as error:
                reader.problem("bad-phrase", path, line, str(error))
                continue
            if not row["retired"]:
                if text in seen:
                    message = f"the same phrase stands at {seen[text]}; keep the older row"
                    reader.problem("duplicate", path, line, message)
                seen[text] = f"{path.name}:{line}"
            if number is not None:
                phrases.append(
                    Phrase(
                        id=number,
                        text=text,
                        items=items,
                        section=path.stem,
                        since=row["since"],
                        retired=row["retired"],
                        note=row["note"],
                    )
                )
    if not phrases and not reader.problems:
        reader.problem("empty-table", reader.folder, None, "there is no phrase in any CSV file")
    return tuple(sorted(phrases, key=lambda phrase: phrase.id))


def is_review(path: Path) -> bool:
    """Whether a CSV file in a table's folder is a review (`echotok.table.review`), not a section.

    Args:
        path: the file. A review has the columns `phrase` and `decision`, and may come from a
            spreadsheet, in another encoding and with another delimiter.
    """
    with path.open("rb") as stream:
        lines = stream.read(1000).replace(b"\x00", b"").lower().splitlines() or [b""]
    # Excel may write the delimiter into a line before the header.
    header = lines[1] if re.match(rb"\W*sep=", lines[0]) and len(lines) > 1 else lines[0]
    names = {re.sub(rb"\W", b"", name) for name in re.split(rb"[,;\t|]", header)}
    return {b"phrase", b"decision"} <= names


def _row_id(
    reader: TableReader, place: Place, text: str, capacity: int, places: dict[int, Place]
) -> int | None:
    """The id of a row; `places` are those of the ids so far, and this one is added."""
    if not text.isascii() or not text.isdigit():
        message = "the id must be a whole number; take the next free one"
        reader.problem("bad-id", *place, message)
        return None
    number = int(text)
    if number >= capacity:
        message = (
            f"the table is full: id {number} is beyond the capacity of {capacity}; raising the "
            "capacity in table.toml changes the model's shape and needs a new table version"
        )
        reader.problem("full-table", *place, message)
        return None
    if number in places:
        path, line = places[number]
        message = f"id {number} is already used at {path.name}:{line}; ids are never used twice"
        reader.problem("reused-id", *place, message)
        return None
    places[number] = place
    return number


def _check_versions(
    reader: TableReader, path: Path, line: int, row: dict[str, str], now: str
) -> None:
    for column in ("since", "retired"):
        text = row[column]
        if text and not VERSION.fullmatch(text):
            message = f"`{column}` must be a version such as 1.0.0"
            reader.problem("bad-version", path, line, message)
        elif text and version_numbers(text) > version_numbers(now):
            message = f"`{column}` {text} is later than the table's version {now}"
            reader.problem("bad-version", path, line, message)
    if not row["since"]:
        message = "`since` is empty; give the table version that adds the row"
        reader.problem("bad-version", path, line, message)


def version_numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, by which versions are ordered."""
    return tuple(int(part) for part in version.split("."))


def next_version(version: str) -> str:
    """The version of a table that has grown: the minor version raised.

    Example:
        >>> next_version("1.9.2")
        '1.10.0'
    """
    major, minor, _ = version_numbers(version)
    return f"{major}.{minor + 1}.0"


def write_row(stream: TextIO, cells: Iterable[Any]) -> None:
    """Write one row of a CSV file.

    Args:
        stream: the file, opened with `newline=""`.
        cells: the cells.
    """
    texts = [str(cell) for cell in cells]
    # csv leaves a cell with a carriage return unquoted, and then takes it for the row's end.
    quote_all = any("\r" in text for text in texts)
    csv.writer(
        stream, lineterminator="\n", quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    ).writerow(texts)
