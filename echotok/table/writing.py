"""Writing phrase tables: a whole folder, or new rows behind those of a folder.

Changes to these files are easy to read in a diff: each row is one line, in order of the ids.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import tomli_w

from echotok.table.fallback import Fallback
from echotok.table.phrases import Phrase, PhraseTable
from echotok.table.reading import read_table
from echotok.table.rows import PHRASE_COLUMNS, VALUE_COLUMNS
from echotok.table.values import EnumValue

__all__ = ["append_phrases", "write_table"]


def write_table(table: PhraseTable, folder: Path | str, fallback: Fallback) -> None:
    """Write a table folder that `read_table` and `read_fallback` read back.

    Args:
        table: the table; the phrases of each section go into one CSV file, in order of their ids.
            Each row must tell the version that introduced it, as rows from `read_table` do. The
            values of a tokenizer's table do not, since an artifact does not hold these versions.
        folder: folder to write; it is made where needed, and files of the same name are replaced.
        fallback: fallback of the kind `domain`; a folder cannot hold CLIP's.

    Raises:
        ValueError: a row does not tell the version that introduced it, or the fallback is CLIP's.
    """
    if fallback.kind != "domain":
        raise ValueError("a table folder holds merges, and those of CLIP are not ours to copy")
    rows: tuple[Phrase | EnumValue, ...] = (*table.phrases, *table.values)
    for row in rows:
        if not row.since:
            raise ValueError(
                f"{type(row).__name__} {row.id} does not tell the version that introduced it, so "
                "the folder could not be read back; write a table that `read_table` has read"
            )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.toml").write_text(tomli_w.dumps(_settings(table, fallback)), encoding="utf-8")
    merges = "".join(f"{left} {right}\n" for left, right in fallback.merges)
    (folder / "merges.txt").write_text(merges, encoding="utf-8", newline="\n")
    sections: dict[str, list[Phrase]] = {}
    for phrase in table.phrases:
        sections.setdefault(phrase.section, []).append(phrase)
    for section, phrases in sections.items():
        cells = [[p.id, p.text, p.since, p.retired, p.note] for p in phrases]
        _write_csv(folder / f"{section}.csv", PHRASE_COLUMNS, cells)
    if table.values:
        values = [
            [v.id, v.slot, v.text, _rank(v.rank), v.since, v.retired, v.note] for v in table.values
        ]
        _write_csv(folder / "values.csv", VALUE_COLUMNS, values)


def _settings(table: PhraseTable, fallback: Fallback) -> dict[str, Any]:
    """What `table.toml` holds."""
    settings: dict[str, Any] = {
        name: getattr(table, name)
        for name in ("name", "version", "locale", "licence", "provenance", "units")
    }
    settings["capacity"] = {
        "phrases": table.phrase_capacity,
        "values": table.value_capacity,
        "merges": table.num_merges,
    }
    if table.closings:
        settings["closings"] = table.closings
    values: dict[str, Any] = {}
    if table.numbers is not None:
        values["number_starts"] = table.numbers.starts
        values["number_continues"] = table.numbers.continues
    if table.severity is not None:
        values["severity"] = table.severity
    if values:
        settings["values"] = values
    if fallback.base is not None:
        settings["fallback"] = {"base": fallback.base}
    if table.slots:
        settings["slots"] = dict(table.slots)
    return settings


def _rank(rank: float | None) -> str:
    return "" if rank is None else repr(float(rank)).removesuffix(".0")


def append_phrases(table: PhraseTable, folder: Path | str) -> None:
    """Add rows to a table folder so that a diff shows only these rows and the version.

    Args:
        table: a grown version of the table in the folder, with more phrases.
        folder: the folder that holds `table.toml`.
    """
    folder = Path(folder)
    known = {phrase.id for phrase in read_table(folder).phrases}
    for phrase in table.phrases:
        if phrase.id in known:
            continue
        path = folder / f"{phrase.section}.csv"
        if not path.exists():
            _write_csv(path, PHRASE_COLUMNS, ())
        elif not path.read_bytes().endswith(b"\n"):
            with path.open("a", encoding="utf-8") as stream:
                stream.write("\n")
        with path.open("a", encoding="utf-8", newline="") as stream:
            cells = [phrase.id, phrase.text, phrase.since, phrase.retired, phrase.note]
            _write_row(stream, cells)
    path = folder / "table.toml"
    toml = path.read_text(encoding="utf-8")
    line = f'version = "{table.version}"'
    path.write_text(re.sub(r"(?m)^version\s*=.*$", line, toml, count=1), encoding="utf-8")


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        for row in (columns, *rows):
            _write_row(stream, row)


def _write_row(stream: TextIO, cells: Sequence[Any]) -> None:
    # csv leaves a cell with a carriage return unquoted, and then takes it for the row's end.
    quote_all = any("\r" in str(cell) for cell in cells)
    csv.writer(
        stream, lineterminator="\n", quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    ).writerow(cells)
