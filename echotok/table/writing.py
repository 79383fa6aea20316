"""Writing phrase tables: a whole folder, or rows behind those of a folder.

What is written reads as a diff: a row is a line, in the order of the ids.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from echotok.table.phrases import Phrase, PhraseTable
from echotok.table.reading import read_table
from echotok.table.rows import PHRASE_COLUMNS, VALUE_COLUMNS

__all__ = ["append_phrases", "write_table"]


def write_table(table: PhraseTable, folder: Path | str, fallback: Mapping[str, Any]) -> None:
    """Write a table folder that `read_table` and `read_fallback` read back.

    Args:
        table: the table; its phrases go into one CSV file a section, by id.
        folder: is made when it is not there; files of the same name are replaced.
        fallback: as `read_fallback` gives it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    def quoted(value: Any) -> str:
        # A JSON string is a TOML basic string, but for DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

    lines = [
        f"{name} = {quoted(getattr(table, name))}"
        for name in ("name", "version", "locale", "licence", "provenance")
    ]
    lines += ["", f"units = {quoted(list(table.units))}", "", "[capacity]"]
    lines += [f"phrases = {table.phrase_capacity}", f"values = {table.value_capacity}"]
    lines += [f"merges = {table.num_merges}"]
    if table.numbers is not None or table.severity is not None:
        lines += ["", "[values]"]
    if table.numbers is not None:
        lines += [f"number_starts = {quoted(list(table.numbers.starts))}"]
        lines += [f"number_continues = {quoted(list(table.numbers.continues))}"]
    if table.severity is not None:
        lines += [f"severity = {quoted(list(table.severity))}"]
    if "base" in fallback:
        lines += ["", "[fallback]", f"base = {quoted(fallback['base'])}"]
    if table.slots:
        lines += ["", "[slots]"]
        lines += [f"{name} = {quoted(what)}" for name, what in table.slots.items()]
    (folder / "table.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    merges = "".join(f"{merge}\n" for merge in fallback["merges"])
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    sections: dict[str, list[Phrase]] = {}
    for phrase in table.phrases:
        sections.setdefault(phrase.section, []).append(phrase)
    for section, phrases in sections.items():
        rows = [[p.id, p.text, p.since, p.retired, p.note] for p in phrases]
        _write_csv(folder / f"{section}.csv", PHRASE_COLUMNS, rows)
    if table.values:
        values = [
            [v.id, v.slot, v.text, "" if v.rank is None else f"{v.rank:g}", "1.0.0", v.retired, ""]
            for v in table.values
        ]
        _write_csv(folder / "values.csv", VALUE_COLUMNS, values)


def append_phrases(table: PhraseTable, folder: Path | str) -> None:
    """Add rows to a table folder so that a diff shows these rows and the version alone.

    Args:
        table: a growth of the table in the folder: more phrases, a later version.
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
            csv.writer(stream, lineterminator="\n").writerow(cells)
    path = folder / "table.toml"
    toml = path.read_text(encoding="utf-8")
    line = f'version = "{table.version}"'
    path.write_text(re.sub(r"(?m)^version\s*=.*$", line, toml, count=1), encoding="utf-8")


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([columns, *rows])
