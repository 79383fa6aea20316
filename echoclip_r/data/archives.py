"""What the layouts of public archives share: lists, percentages, and files that are not there.

No error quotes an id or a report (I9): it names rows and counts.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from echoclip_r.data.cells import AS_IT_IS, TableFormat, read_cells
from echoclip_r.errors import ManifestError

__all__ = [
    "Findings",
    "check_percentages",
    "find_root",
    "inside",
    "number",
    "only_there",
    "percentage",
    "read_list",
    "read_texts",
    "sentence",
]

_MAX_NAMED = 3


@dataclass(slots=True, kw_only=True)
class Findings:
    """What was left out of a manifest, and what does not match, as sentences.

    Attributes:
        remarks: the sentences.
    """

    remarks: list[str] = field(default_factory=list)


def find_root(root: Path, *names: str, archive: str, below: Sequence[str] = ()) -> Path:
    """The folder that holds an archive's list: the one that is given, or one inside of it.

    Args:
        root: the folder that is given.
        names: the list's file or folder, by which the archive is known, or several such.
        archive: what it is called, for the message.
        below: folders inside of `root` where it lies in a download, such as `files/x/1.0`.

    Raises:
        ManifestError: there is none; the message says where one is, if it is near.
    """
    for folder in (root, *(root / one for one in below)):
        if any((folder / name).exists() for name in names):
            return folder
    name, hint = names[0], ""
    near = sorted(path.parent.name for path in root.glob(f"*/{name}"))
    if near:
        hint = f" (there is one in the folder {near[0]} below it)"
    elif (root.parent / name).exists():
        hint = " (there is one in the folder above it)"
    raise ManifestError(
        f"{root}: it holds no {name}, so it is not the folder of {archive} as it was downloaded; "
        f"give the folder that holds {name}{hint}"
    )


def read_list(
    path: Path,
    *,
    needed: Sequence[str],
    ids: Sequence[str],
    archive: str,
    form: TableFormat = AS_IT_IS,
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of one of an archive's lists, and where each stands, for messages.

    Raises:
        ManifestError: the list cannot be read, lacks a column, or has a row that cannot be used.
    """
    what = f"list of {archive}"
    with read_cells(path, ids=ids, names=needed, form=form, what=what) as (header, rows):
        if missing := [name for name in needed if name not in header]:
            raise ManifestError(
                f"{path}: row 1 has no column {', '.join(map(repr, missing))}; is it the list of "
                f"{archive}?"
            )
        for row in rows:
            if row.problem:
                raise ManifestError(f"{path}: row {row.number}: {row.problem}")
            yield f"{path}: row {row.number}", dict(zip(header, row.cells, strict=True))


def read_texts(
    path: Path,
    *,
    keys: Mapping[str, Sequence[str]],
    texts: Sequence[str],
    form: TableFormat = AS_IT_IS,
    wanted: Mapping[str, Collection[str]] | None = None,
) -> tuple[str, dict[str, str]]:
    """A table of reports, by the ids by which they are joined.

    Args:
        path: the table.
        keys: the columns of which one joins, the best first, each with its spellings.
        texts: the spellings of the column of the reports.
        form: how the table is written, and what its columns are called.
        wanted: for each of `keys` the ids whose reports are kept; those of all others are "".

    Returns:
        The column that joins, and the report of each id.

    Raises:
        ManifestError: the table cannot be read, has no such columns, or has a row that cannot be
            used; the message names rows and neither ids nor reports.
    """
    found: dict[str, str] = {}
    rows_of: dict[str, int] = {}
    ids = [spelling for spellings in keys.values() for spelling in spellings]
    with read_cells(path, ids=ids, names=[*ids, *texts], form=form, what="table of reports") as (
        header,
        cells,
    ):
        key, at = next(
            ((key, at) for key in keys if (at := _place(header, keys[key])) is not None), ("", None)
        )
        of = _place(header, texts)
        if at is None or of is None:
            raise ManifestError(
                f"{path}: row 1 must have the column {texts[0]} and one of {' and '.join(keys)}; "
                f"it has {', '.join(map(repr, filter(None, header)))}. Say what they are called: "
                f"--columns {next(iter(keys))}=NAME,{texts[0]}=NAME"
            )
        for row in cells:
            if row.problem:
                raise ManifestError(f"{path}: row {row.number}: {row.problem}")
            value = " ".join(row.cells[at].split())
            if not value:
                raise ManifestError(f"{path}: row {row.number}, column {key!r}: the cell is empty")
            text = row.cells[of] if wanted is None or value in wanted[key] else ""
            if found.setdefault(value, text) != text:
                raise ManifestError(
                    f"{path}: row {row.number}: another report for the {key} of row "
                    f"{rows_of[value]}; which of them is right cannot be known"
                )
            rows_of.setdefault(value, row.number)
    return key, found


def _place(header: Sequence[str], spellings: Sequence[str]) -> int | None:
    plain = [column.lower().replace(" ", "_") for column in header]
    return next((plain.index(spelling) for spelling in spellings if spelling in plain), None)


def number(cell: str) -> float:
    """The finite number in a cell, NaN where there is none."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def percentage(cell: str, where: str) -> float:
    """A number of percent.

    Raises:
        ManifestError: it is none from 0 to 100; the message names the place and not the cell.
    """
    value = number(cell)
    if not 0 <= value <= 100:
        raise ManifestError(f"{where}: write a number of percent from 0 to 100")
    return value


def check_percentages(values: Sequence[float], where: str) -> None:
    """Refuse ejection fractions that were written as fractions of one.

    A heart that ejects 1 % is not alive: where half of the values lie below, the unit is another.

    Raises:
        ManifestError: they are fractions.
    """
    known = [value for value in values if not math.isnan(value)]
    if known and statistics.median(known) <= 1:
        raise ManifestError(
            f"{where}: half of the ejection fractions are 1 or less, so they are fractions and not "
            "percentages: 0.55 would be taken for 0.55 %, and every figure would be wrong. Was the "
            "list edited? Multiply them by 100, or copy the list of the archive again"
        )


def inside(name: str, where: str) -> PurePosixPath:
    """A path of a list, which is relative to the archive's folder.

    Raises:
        ManifestError: it is blank, or leads out of that folder; the message does not quote it.
    """
    path = PurePosixPath(name)
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise ManifestError(f"{where}: a path is to name a file inside of the archive's folder")
    return path


def only_there(
    root: Path, rows: Sequence[dict[str, str]], findings: Findings, *, listed_in: str
) -> Iterator[dict[str, str]]:
    """The rows whose video is there; the others are counted, as in half a download.

    Args:
        root: the folder that videos are relative to.
        rows: of a manifest.
        findings: gets a sentence on those that are left out.
        listed_in: the list that names them, for messages.

    Raises:
        ManifestError: none is there.
    """
    # `Path.exists` raises for a name that is too long for any file.
    missing = [row["video"] for row in rows if not os.path.exists(root / row["video"])]  # noqa: PTH110
    if rows and len(missing) == len(rows):
        raise ManifestError(
            f"{root}: none of the {len(rows):,} clips that {listed_in} names is there (the first "
            f"would be in {Path(missing[0]).parent.as_posix()}); was the archive unpacked, and "
            "the whole of it downloaded?"
        )
    if missing:
        findings.remarks.append(
            f"{len(missing):,} of the {len(rows):,} clips that {listed_in} names are not there and "
            "were left out; it seems that the download is not complete"
        )
    gone = set(missing)
    for row in rows:
        if row["video"] not in gone:
            yield row


def sentence(name: str, value: float, unit: str) -> str:
    """A sentence that states a measurement, in place of a report."""
    shown = f"{value:.1f}".removesuffix(".0")
    space = "" if unit == "%" else " "
    return f"The {name} is {shown}{space}{unit}."
