"""Tables of dated events: whom and what a row is about is known, or it is said."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from echoclip_r.errors import EvaluationError, ManifestError
from echoclip_r.evaluation.events import match_events, read_events
from echoclip_r.evaluation.tasks import Event

EVENTS = (
    Event(name="mitral_surgery", title="Mitral valve surgery", columns=()),
    Event(name="transplant", title="Heart transplant", columns=()),
)
PATIENTS = ("0007", "0042", "P-013", "ABC", "9", "00100", "\u00e91")


def match(tmp_path: Path, *rows: str) -> tuple[dict[str, dict[str, str]], list[str]]:
    path = tmp_path / "events.csv"
    path.write_text("\n".join(["patient_id,event,date", *rows]) + "\n", encoding="utf-8")
    return match_events(read_events(path), events=EVENTS, patients=PATIENTS)


def test_the_first_event_of_a_kind_counts(tmp_path: Path) -> None:
    """Events by name and patient, each with its earliest date."""
    found, remarks = match(
        tmp_path,
        "0042,transplant,2021-01-01",
        "0042,transplant,2020-01-21T10:30",
        "9,mitral_surgery,20200102",
    )
    assert found == {"transplant": {"0042": "2020-01-21"}, "mitral_surgery": {"9": "2020-01-02"}}
    assert remarks == []


@pytest.mark.parametrize(
    "patient",
    [
        "7",
        "42",
        "42.0",
        "p-013",
        "P013",
        "P-13",
        "abc",
        "00009",
        "\uff14\uff12",
        "1E+02",
        "E\u03011",
    ],
)
def test_an_id_in_another_spelling_is_an_error(tmp_path: Path, patient: str) -> None:
    """Lost zeros, `.0` and letter case would make controls of these patients; no id is quoted."""
    with pytest.raises(EvaluationError, match="1 cells in row 3 are known in another") as error:
        match(tmp_path, "ABC,transplant,2020-01-01", f"{patient},transplant,2020-01-01")
    assert f"{patient}" not in str(error.value).replace("row 3", "").replace("1 cells", "")


def test_unknown_patients_are_counted(tmp_path: Path) -> None:
    """A hospital's table knows more patients than the archive; how many is said."""
    found, remarks = match(
        tmp_path,
        "0007,transplant,2020-01-01",
        "X1,transplant,2020-01-01",
        "X1,transplant,2020-01-02",
        "X2,transplant,2020-01-01",
    )
    assert found == {"transplant": {"0007": "2020-01-01"}}
    assert remarks == [
        "Table of events: 2 patients (3 rows, rows 3, 4, 5) are in none of the data."
    ]


@pytest.mark.parametrize(
    "name", ["Mitral Surgery", "mitral-surgery", "Mitral valve surgery", "mitral_surgry"]
)
def test_an_event_in_another_spelling_is_an_error(tmp_path: Path, name: str) -> None:
    """The message says how it is written here."""
    with pytest.raises(EvaluationError, match="write mitral_surgery or transplant"):
        match(tmp_path, "0007,transplant,2020-01-01", f"0042,{name},2020-01-01")


def test_other_events_are_counted_with_the_nearest_name(tmp_path: Path) -> None:
    """An event that no task asks for is left aside, and said."""
    _, remarks = match(
        tmp_path,
        "0007,transplant,2020-01-01",
        "0042,discharge,2020-01-01",
        "0042,surgery,2020-01-01",
    )
    assert remarks == [
        "Table of events: 1 rows have the event 'discharge', which no task has.",
        "Table of events: 1 rows have the event 'surgery', which no task has; the nearest that is "
        "known is 'mitral_surgery'.",
    ]


def test_a_table_about_nobody_is_an_error(tmp_path: Path) -> None:
    """Without one row that fits there is nothing to judge by."""
    with pytest.raises(EvaluationError, match="no row is about a patient of the data"):
        match(tmp_path, "X1,transplant,2020-01-01")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("patient_id,event\nA,op\n", "no column 'date'"),
        ("patient_id,event,dates\nA,op,2020-01-01\n", r"'date'; .* did you mean 'dates'\?"),
        ("patient_id,event,date\nA,op,2020-01-01\nA,op,1.2.2020\n", "row 3: .*month cannot be"),
        ("patient_id,event,date\nA,op,05/31/2020\n", "row 2: the date is not of the form"),
        ("patient_id,event,date\nA,op,2202-01-01\n", "row 2: no event is from the year 2202"),
        ("patient_id,event,date\nA,,2020-01-01\n", "row 2: event is blank"),
        ("patient_id,event,date\n1.23E+12,op,2020-01-01\n", "row 2: patient_id is a number that a"),
        ("patient_id,event,date\nA,op\n", "row 2: 2 cells where the header has 3"),
    ],
)
def test_bad_events_file(tmp_path: Path, content: str, message: str) -> None:
    """Rule and row are named, and no id."""
    path = tmp_path / "events.csv"
    path.write_text(content)
    with pytest.raises(EvaluationError, match=message):
        read_events(path)


def test_other_forms_of_table_are_read(tmp_path: Path) -> None:
    """Semicolons, spaces around cells, and gzip; a missing file is named."""
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(b"date;patient_id;event\n2020-01-01; 0007 ;transplant\n"))
    (row,) = read_events(path)
    assert (row.row, row.patient_id, row.event, row.date) == (2, "0007", "transplant", "2020-01-01")
    with pytest.raises(ManifestError, match=r"there is no such file; a table of events is a \.csv"):
        read_events(tmp_path / "other.csv")
