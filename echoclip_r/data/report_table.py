"""Reports with their names and the columns beside them, from a file or from Python.

A row whose report holds no word (blank, null, NaN) is no report: it is left out and counted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.errors import EchoclipError, OptionError
from echotok.corpora import holds_text, read_reports
from echotok.spelling import did_you_mean

__all__ = ["ReportTable", "read_report_table", "report_table"]

_log = logging.getLogger(__name__)

_ID_COLUMN = "study_id"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReportTable:
    """Reports, row by row.

    Attributes:
        names: name of each report: its study, or the file and row that it stands in.
        reports: the text of each report, which holds at least one word.
        columns: the other cells of their rows, as text; no column where there are none.
        notes: sentences on what was left out; they are logged, too.
    """

    names: tuple[str, ...]
    reports: tuple[str, ...]
    columns: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.reports)

    def take(self, mask: NDArray[np.bool_]) -> ReportTable:
        """The rows where `mask`, bool (N,), is true."""
        rows = np.flatnonzero(mask)
        return ReportTable(
            names=tuple(self.names[row] for row in rows),
            reports=tuple(self.reports[row] for row in rows),
            columns=self.columns[mask].reset_index(drop=True),
            notes=self.notes,
        )


def report_table(reports: Iterable[tuple[object, object]]) -> tuple[ReportTable, list[int]]:
    """A table from names and texts; rows without a report are left out and logged.

    Args:
        reports: name and text of each report; a text may be None or NaN.

    Returns:
        The table, and for each of its rows the place among what was given.

    Raises:
        EchoclipError: a report is neither text nor blank.
    """
    names, texts, places = [], [], []
    num_blank = 0
    for place, (name, text) in enumerate(reports):
        if text is pd.NA or not holds_text(text):
            num_blank += 1
        elif not isinstance(text, str):
            raise EchoclipError(
                f"report {place} is a {type(text).__name__} and no text; give name and text of "
                "each report"
            )
        else:
            names.append(_storable(str(name)))
            texts.append(_storable(text))
            places.append(place)
    notes = []
    if num_blank:
        notes.append(
            f"{num_blank:,} of {num_blank + len(texts):,} reports are missing (blank, null or "
            "NaN); they were left out"
        )
        _log.warning("%s", notes[0])
    table = ReportTable(
        names=tuple(names),
        reports=tuple(texts),
        columns=pd.DataFrame(index=range(len(texts))),
        notes=tuple(notes),
    )
    return table, places


def read_report_table(
    source: str | Path, *, column: str | None = None, id_column: str | None = None
) -> ReportTable:
    """Read a file of reports with the other columns of its rows.

    Args:
        source: a file or folder as `echotok.corpora.read_reports` takes it, or "-" for stdin.
        column: column of the reports; by default `text`, `report` or `report_text`.
        id_column: column that names a report; by default `study_id`, where there is one. Rows
            without a name, and files without that column, are named by file and row.

    Raises:
        InputError: the file cannot be read.
        OptionError: the file has no such column of names.
        EchoclipError: it holds no report.
    """
    notes: list[str] = []
    found = read_reports([source], column=column, keep_cells=True, warn=notes.append)
    rows = [report for report in found if holds_text(report.text)]
    for note in notes:
        _log.warning("%s", note)
    if not rows:
        raise EchoclipError(f"{source}: it holds no report; is it the right file and column?")
    cells = [{_storable(name): _storable(cell) for name, cell in row.cells.items()} for row in rows]
    columns = pd.DataFrame(cells, dtype=object).fillna("")
    names = [row.source for row in rows]
    chosen = _id_column(list(columns.columns), id_column, source)
    if chosen is not None:
        names = [cell or name for cell, name in zip(columns[chosen], names, strict=True)]
    return ReportTable(
        names=tuple(names),
        reports=tuple(_storable(row.text) for row in rows),
        columns=columns,
        notes=tuple(notes),
    )


def _storable(text: str) -> str:
    r"""A text that UTF-8 can hold: half a surrogate pair, as JSON may give it, becomes \udXXX."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _id_column(columns: Sequence[str], wanted: str | None, source: str | Path) -> str | None:
    if wanted is None:
        return _ID_COLUMN if _ID_COLUMN in columns else None
    if wanted in columns:
        return wanted
    if not columns:
        raise OptionError(
            f"{source}: it has no columns beside the reports, so none can name them; give a table, "
            "or leave out the column of names (--id-column)"
        )
    raise OptionError(
        f"{source}: no column {wanted!r} to name the reports; there are {', '.join(columns)}"
        f"{did_you_mean(wanted, columns)}"
    )
