"""Reading phrase tables, with every rule checked.

A table is a folder:

    table.toml       name, version, locale, licence, provenance, units, slot types, capacity; and
                     where the table has them, its own number tokens and spellings of severity
                     ([values]) and the bytes of a compact fallback ([fallback])
    clip_merges.txt  merges that come after CLIP's own, of `build --fallback clip` (optional)
    merges.txt       the fallback's merges, one on each line (optional; without this file
                     `echotok build` trains them)
    values.csv       id, slot, value, rank, since, retired, note      (enumerations; optional)
    <section>.csv    id, phrase, since, retired, note                 (one file for each section)

Ids are explicit, local to the table and append-only; a phrase that is no longer wanted keeps its
row with the version in `retired` (a tombstone: it decodes for ever and is never produced).
A review (`echotok.table.review`) that lies in the folder is no part of the table.
All problems are reported at once, with file and line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from echotok.bpe import ByteBPE
from echotok.errors import TableError
from echotok.table.fallback import Fallback
from echotok.table.phrases import BUILT_IN_SLOTS, PhraseTable
from echotok.table.rows import VERSION, Place, TableReader, read_phrases, read_values
from echotok.table.values import SEVERITY, NumberCode

__all__ = ["read_clip_fallback", "read_fallback", "read_table", "read_with_places"]

_PACKAGE = Path(__file__).resolve().parent.parent
_INSTALLED = _PACKAGE / "phrase_tables" / "echo"


def read_table(folder: Path | str) -> PhraseTable:
    """Read and check a table folder.

    Args:
        folder: the folder that holds `table.toml`.

    Returns:
        The table, with its phrases in the order of their ids.

    Raises:
        TableError: the table breaks a rule; the error lists all problems.
    """
    return read_with_places(folder)[0]


def read_with_places(folder: Path | str) -> tuple[PhraseTable, Mapping[int, Place]]:
    """Read a table as `read_table` does, with the file and line of each phrase by its id.

    Raises:
        TableError: the table breaks a rule; the error lists all problems.
    """
    reader = TableReader(Path(folder))
    config = reader.toml()
    table = _assemble(reader, config) if config is not None else None
    if table is None or reader.problems:
        raise TableError(reader.problems)
    return table, reader.phrase_places


def _assemble(reader: TableReader, config: dict[str, Any]) -> PhraseTable | None:
    path = reader.folder / "table.toml"

    def setting(name: str, kind: type, where: dict[str, Any] = config) -> Any:
        value = where.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            reader.problem("bad-setting", path, None, f"`{name}` must be given as {kind.__name__}")
            return kind()
        return value

    capacity: dict[str, Any] = setting("capacity", dict)
    slots: dict[str, str] = setting("slots", dict) if "slots" in config else {}
    for name in slots:
        if name in BUILT_IN_SLOTS or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            message = f"slot {name!r}: use lower-case letters, and not a built-in name"
            reader.problem("bad-slot", path, None, message)
    units = tuple(setting("units", list))
    for unit in units:
        if not isinstance(unit, str) or not unit or not unit[0].isalpha() or unit != unit.lower():
            message = f"unit {unit!r}: a unit is lower case and begins with a letter"
            reader.problem("bad-unit", path, None, message)
    closings = config.get("closings", "")
    if not isinstance(closings, str) or not set(closings) <= set(".,;:!?)"):
        message = "`closings` holds characters that close a unit, out of . , ; : ! ? )"
        reader.problem("bad-setting", path, None, message)
    elif len(set(closings)) < len(closings):
        reader.problem("bad-setting", path, None, "`closings` names a character twice")
    version = setting("version", str)
    if not VERSION.fullmatch(version):
        reader.problem("bad-setting", path, None, "`version` must look like 1.0.0")
    phrase_capacity = setting("phrases", int, capacity)
    value_capacity = setting("values", int, capacity)
    num_merges = setting("merges", int, capacity)
    if reader.problems:
        return None
    numbers, severity = _value_settings(reader, config)
    values = read_values(
        reader, slots=slots, units=units, capacity=value_capacity, table_version=version
    )
    phrases = read_phrases(
        reader,
        slots=(*BUILT_IN_SLOTS, *slots),
        units=units,
        capacity=phrase_capacity,
        table_version=version,
    )
    return PhraseTable(
        name=setting("name", str),
        version=version,
        locale=setting("locale", str),
        licence=setting("licence", str),
        provenance=setting("provenance", str),
        units=units,
        slots=slots,
        values=values,
        phrases=phrases,
        phrase_capacity=phrase_capacity,
        value_capacity=value_capacity,
        num_merges=num_merges,
        numbers=numbers,
        severity=severity,
        closings=closings,
    )


def _value_settings(
    reader: TableReader, config: dict[str, Any]
) -> tuple[NumberCode | None, tuple[str, ...] | None]:
    """The table's own number tokens and spellings of severity, where it has them."""
    path = reader.folder / "table.toml"
    given = config.get("values", {})

    def texts(name: str) -> tuple[str, ...] | None:
        value = given.get(name) if isinstance(given, dict) else ()
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            reader.problem("bad-setting", path, None, f"`values.{name}` must be a list of texts")
            return ()
        return tuple(value)

    starts, continues, severity = map(texts, ("number_starts", "number_continues", "severity"))
    numbers = None
    if starts is not None or continues is not None:
        try:
            numbers = NumberCode(starts=starts or (), continues=continues or ())
        except ValueError as error:
            reader.problem("bad-value", path, None, str(error))
    known = {value.text for value in SEVERITY}
    for text in severity or ():
        if text not in known or (severity or ()).count(text) > 1:
            message = f"severity {text!r}: give each spelling once, of those built in"
            reader.problem("bad-value", path, None, message)
            severity = None
            break
    return numbers, severity


def read_fallback(folder: Path | str) -> Fallback | None:
    """The domain fallback that a table folder carries; None when it holds no `merges.txt`.

    Args:
        folder: the folder that holds `table.toml`.

    Raises:
        TableError: a merge or the base is malformed.
    """
    reader = TableReader(Path(folder))
    path = reader.folder / "merges.txt"
    lines = _merge_lines(path, "echo")
    if lines is None:
        return None
    base = (reader.toml() or {}).get("fallback", {}).get("base")
    pairs = _read_merges(reader, path, lines)
    if not reader.problems:
        try:
            known = set(ByteBPE((), base=base).tokens)
        except (TypeError, ValueError) as error:
            reader.problem("bad-setting", reader.folder / "table.toml", None, str(error))
        else:
            for line, pair in enumerate(pairs, 1):
                if not known.issuperset(pair):
                    message = "the merge joins a piece that no line above makes"
                    reader.problem("bad-merge", path, line, message)
                known.add("".join(pair))
    if reader.problems:
        raise TableError(reader.problems)
    return Fallback(kind="domain", merges=tuple(pairs), base=base)


def read_clip_fallback(folder: Path | str) -> Fallback:
    """CLIP's fallback, with the merges that a table folder adds to CLIP's (`clip_merges.txt`).

    Args:
        folder: the folder that holds `table.toml`.

    Raises:
        TableError: a merge is malformed.
    """
    reader = TableReader(Path(folder))
    path = reader.folder / "clip_merges.txt"
    pairs = _read_merges(reader, path, _merge_lines(path, "echo-clip") or [])
    if reader.problems:
        raise TableError(reader.problems)
    return Fallback(kind="clip", merges=tuple(pairs))


def _merge_lines(path: Path, artifact: str) -> list[str] | None:
    """The lines of a file of merges; None where there is none.

    An installed package holds the merges of its own table once, in the artifact.
    """
    if path.exists():
        return path.read_text(encoding="utf-8").split("\n")[:-1]
    if path.parent.resolve() != _INSTALLED:
        return None
    content = (_PACKAGE / "artifacts" / f"{artifact}.json").read_text(encoding="utf-8")
    merges: list[str] = json.loads(content)["fallback"]["merges"]
    return merges


def _read_merges(reader: TableReader, path: Path, lines: Sequence[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for line, merge in enumerate(lines, 1):
        left, space, right = merge.partition(" ")
        if not (left and space and right) or " " in right:
            reader.problem("bad-merge", path, line, "a merge is two pieces with a space between")
        pairs.append((left, right))
    return pairs
