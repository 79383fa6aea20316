"""Dated events, such as surgery, from a table of their own, and whom and what they are about.

    patient_id,event,date
    0042,mitral_surgery,2021-05-31

Nothing of it is lost in silence: an id or a name that the data or the tasks know in another
spelling is an error, since the patient would else count as one without an event; an id or a name
that is not known at all is counted and said.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from echoclip_r.data.cells import read_cells
from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.tasks import Event
from echotok.spelling import did_you_mean

__all__ = ["EventRow", "match_events", "read_events"]

_COLUMNS = ("patient_id", "event", "date")
_NUM_ROWS_NAMED = 5
_YEARS = range(1900, 2101)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A row of the table.

    Attributes:
        row: its number as a spreadsheet shows it; the header is row 1.
        patient_id: whose event it is.
        event: the event's name.
        date: ISO date.
    """

    row: int
    patient_id: str
    event: str
    date: str


def read_events(path: Path) -> list[EventRow]:
    """Read a table of dated events: a CSV, TSV or Parquet file with the columns of `EventRow`.

    Raises:
        EvaluationError: a column is missing, a cell is blank, or a date is not an ISO date; ids are
            not quoted.
        ManifestError: the file cannot be read.
    """
    cells = read_cells(path, ids=("patient_id",), names=_COLUMNS, what="table of events")
    with cells as (header, rows):
        if missing := [name for name in _COLUMNS if name not in header]:
            near = did_you_mean(missing[0], header) if set(_COLUMNS) & set(header) else ""
            raise EvaluationError(
                f"{path}: row 1 has no column {missing[0]!r}; it needs patient_id, event and date"
                f"{near}"
            )
        at = [header.index(name) for name in _COLUMNS]
        found = []
        for row in rows:
            if row.problem:
                raise EvaluationError(f"{path}: row {row.number}: {row.problem}")
            patient, event, day = (row.cells[place] for place in at)
            for name, cell in zip(_COLUMNS, (patient, event, day), strict=True):
                if not cell:
                    raise EvaluationError(
                        f"{path}: row {row.number}: {name} is blank; fill it in, or delete the row"
                    )
            if re.fullmatch(r"\d\.\d+[eE]\+\d{1,2}", patient):
                raise EvaluationError(
                    f"{path}: row {row.number}: patient_id is a number that a spreadsheet has "
                    "rounded (as in 1.23E+12), so its patient is lost; export ids as text"
                )
            try:
                found.append(
                    EventRow(row=row.number, patient_id=patient, event=event, date=_iso(day))
                )
            except ValueError as error:
                raise EvaluationError(f"{path}: row {row.number}: {error}") from None
    return found


def _iso(cell: str) -> str:
    try:
        day = date.fromisoformat(re.split("[T ]", cell, maxsplit=1)[0])
    except ValueError:
        hint = ""
        if re.fullmatch(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}", cell):
            hint = "; which number is the month cannot be told, so no other order is read"
        raise ValueError(f"the date is not of the form 2024-05-31{hint}") from None
    if day.year not in _YEARS:
        raise ValueError(f"no event is from the year {day.year}; write the date as 2024-05-31")
    return day.isoformat()


def match_events(
    rows: Sequence[EventRow], *, events: Sequence[Event], patients: Collection[str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Find out which events and patients the rows of a table mean.

    Args:
        rows: the table.
        events: the events of the tasks.
        patients: ids of all patients of the data, of all splits.

    Returns:
        For each event and patient the ISO date of the first such event; and remarks on the rows
        that are about nobody and nothing of the data.

    Raises:
        EvaluationError: an id or an event is known in another spelling only, or no row is about a
            known event and a known patient; rows are named, and no id.
    """
    known = [event.name for event in events]
    remarks = _check(
        "event",
        [(row.row, row.event) for row in rows],
        known=known,
        same=lambda name: re.sub(r"[\W_]+", "_", name.casefold()).strip("_"),
        others=[name for event in events for name in (event.name, event.title)],
        quoted=True,
    )
    remarks += _check(
        "patient_id",
        [(row.row, row.patient_id) for row in rows],
        known=patients,
        same=_plain_id,
        others=patients,
        quoted=False,
    )
    found: dict[str, dict[str, str]] = {}
    for row in sorted(rows, key=lambda one: one.date):
        if row.event in known and row.patient_id in patients:
            found.setdefault(row.event, {}).setdefault(row.patient_id, row.date)
    if rows and not found:
        raise EvaluationError(
            "table of events: no row is about a patient of the data and an event of the tasks ("
            f"{', '.join(known)}); {' '.join(remarks)}"
        )
    return found, remarks


def _check(
    column: str,
    cells: Iterable[tuple[int, str]],
    *,
    known: Collection[str],
    same: Callable[[str], str],
    others: Iterable[str],
    quoted: bool,
) -> list[str]:
    """Refuse cells that are known in another spelling; remark on those that are not known."""
    spellings = {same(other): other for other in others}
    strange = [(row, cell) for row, cell in cells if cell not in known]
    near = [(row, cell) for row, cell in strange if same(cell) in spellings]
    if near:
        said = f" ({', '.join(sorted({repr(cell) for _, cell in near}))})" if quoted else ""
        what = (
            f"write {' or '.join(sorted(known))}"
            if quoted
            else "a spreadsheet that takes ids for numbers drops their zeros; export them as text"
        )
        raise EvaluationError(
            f"table of events: column {column!r}: {len(near):,} cells{said} in {_rows(near)} are "
            "known in another spelling only: leading zeros, capital letters, spaces or signs "
            f"differ. Their patients would count as patients without the event, so nothing is "
            f"judged; {what}"
        )
    if not strange:
        return []
    if not quoted:
        num = len({cell for _, cell in strange})
        return [
            f"Table of events: {num:,} patients ({len(strange):,} rows, {_rows(strange)}) are in "
            "none of the data."
        ]
    remarks = []
    for name, times in Counter(cell for _, cell in strange).items():
        close = difflib.get_close_matches(same(name), list(spellings), n=1, cutoff=0.5)
        hint = f"; the nearest that is known is {spellings[close[0]]!r}" if close else ""
        if close and difflib.SequenceMatcher(None, same(name), close[0]).ratio() > _MISSPELT:
            raise EvaluationError(
                f"table of events: {times:,} rows ({_rows([c for c in strange if c[1] == name])}) "
                f"have the event {name!r}, which no task has{hint}. Their patients would count as "
                f"patients without the event; write {' or '.join(sorted(known))}"
            )
        remarks.append(
            f"Table of events: {times:,} rows have the event {name!r}, which no task has{hint}."
        )
    return remarks


_MISSPELT = 0.8


def _rows(cells: Sequence[tuple[int, str]]) -> str:
    numbers = [str(row) for row, _ in cells[:_NUM_ROWS_NAMED]]
    more = ", ..." if len(cells) > _NUM_ROWS_NAMED else ""
    return f"row{'s' if len(cells) > 1 else ''} {', '.join(numbers)}{more}"


def _plain_id(patient: str) -> str:
    """An id without what a spreadsheet or a typist changes: zeros, `.0`, letter case, signs."""
    plain = unicodedata.normalize("NFKC", patient).strip().casefold()
    if re.fullmatch(r"\d(?:\.\d+)?e\+?\d{1,2}", plain):  # 1E+02 for 00100
        plain = f"{float(plain):.0f}"
    plain = re.sub(r"[\W_]+", "", re.sub(r"\.0+$", "", plain))
    # Zeros are dropped ahead of each number, so that P-007 is P7.
    return re.sub(r"(?<!\d)0+(?=\d)", "", plain)
