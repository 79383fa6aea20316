"""Writing phrase tables: a whole folder, new rows behind those of a folder, or a reviewed copy.

Changes to these files are easy to read in a diff: each row is one line, in order of the ids.
"""

from __future__ import annotations

import csv
import math
import re
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from echotok.errors import InputError
from echotok.table.fallback import Fallback
from echotok.table.phrases import Phrase, PhraseTable
from echotok.table.reading import read_table, read_with_places
from echotok.table.review import MINED_SHEET, read_mined_sheet
from echotok.table.rows import PHRASE_COLUMNS, VALUE_COLUMNS, write_row
from echotok.table.values import EnumValue

__all__ = ["append_phrases", "write_changed", "write_table"]

_NOT_SECTIONS = ("table.toml", "values.csv", "merges.txt", "clip_merges.txt")


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
            write_row(stream, cells)
    _write_version(table, folder)


def _write_version(table: PhraseTable, folder: Path) -> None:
    path = folder / "table.toml"
    toml = path.read_text(encoding="utf-8")
    line = f'version = "{table.version}"'
    path.write_text(re.sub(r"(?m)^version\s*=.*$", line, toml, count=1), encoding="utf-8")


def write_changed(table: PhraseTable, source: Path | str, out: Path | str) -> None:
    """Write a changed table to a folder of its own; the folder appears whole or not at all.

    Rows stay where they stood, so that a diff shows only what changed. The sheet of a mined table
    (`review.tsv`) loses the rows of the phrases that are gone.

    Args:
        table: a changed form of the table in `source`: rows may be gone, changed or appended.
        source: its folder.
        out: the folder to write. A table there is replaced, unless it holds a phrase of an id that
            neither table knows: it has grown since.

    Raises:
        InputError: `out` is `source`, holds something else, or has grown since.
    """
    source, out = Path(source), Path(out)
    old, places = read_with_places(source)
    _check_replaceable(out, source, {phrase.id for phrase in (*old.phrases, *table.phrases)})
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, replaced = (out.with_name(f".{out.name}.{what}") for what in ("partial", "replaced"))
    for folder in (partial, replaced):
        shutil.rmtree(folder, ignore_errors=True)
    partial.mkdir()
    for name in _NOT_SECTIONS:
        if (source / name).exists():
            shutil.copyfile(source / name, partial / name)
    _write_version(table, partial)
    sections: dict[str, list[Phrase]] = {path.stem: [] for path, _ in sorted(places.values())}
    # As in the source, by line; what is appended stands behind all rows.
    lines = {number: line for number, (_, line) in places.items()}
    for phrase in sorted(table.phrases, key=lambda row: lines.get(row.id, math.inf)):
        sections[phrase.section].append(phrase)
    for section, phrases in sections.items():
        cells = [[p.id, p.text, p.since, p.retired, p.note] for p in phrases]
        _write_csv(partial / f"{section}.csv", PHRASE_COLUMNS, cells)
    _write_mined_sheet(table, source, partial)
    if out.exists():
        out.rename(replaced)
    partial.rename(out)
    shutil.rmtree(replaced, ignore_errors=True)


def _check_replaceable(out: Path, source: Path, known: Collection[int]) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if out.resolve() == source.resolve():
        raise InputError(
            f"{out} is the folder of the table itself, and the review would not fit it any more; "
            "name another folder"
        )
    if not (out / "table.toml").is_file():
        raise InputError(f"{out} is there already and holds no table; name another folder")
    grown = [phrase.id for phrase in read_table(out).phrases if phrase.id not in known]
    if grown:
        raise InputError(
            f"{out} has phrases that {source} has not (such as id {grown[0]}): it has grown since "
            "and is left as it is; review that folder, or name another one"
        )


def _write_mined_sheet(table: PhraseTable, source: Path, out: Path) -> None:
    """Copy the sheet of a mined table without the phrases that are gone."""
    columns, rows = read_mined_sheet(source)
    if not rows:
        return
    live = {str(phrase.id): phrase.text for phrase in table.live}
    with (out / MINED_SHEET).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"phrase": live[row["id"]]} for row in rows if row["id"] in live)


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        for row in (columns, *rows):
            write_row(stream, row)
