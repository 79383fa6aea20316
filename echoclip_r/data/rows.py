"""One manifest row at a time: cells -> checked values, or the reason why the row cannot be used."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from echoclip_r.data.splits import split_named
from echoclip_r.media.missing import why_missing
from echoclip_r.places import exists, is_remote, within
from echotok.corpora import holds_text
from echotok.errors import InputError
from echotok.text_files import decode

__all__ = ["OPTIONAL", "REQUIRED", "Reject", "RowReader", "number_of"]

REQUIRED = ("study_id", "patient_id", "video", "report")
OPTIONAL = ("split", "view", "date", "exclude", "series")

_KEPT = ("split", "view", "date")  # by the usable rows; the other one marks those that are not
_BLANK_LABELS = frozenset({"", "-", "na", "n/a", "none", "null"})
_WORDS = {
    **dict.fromkeys(("true", "yes", "y", "t", "present", "positive"), 1.0),
    **dict.fromkeys(("false", "no", "n", "f", "absent", "negative"), 0.0),
    # Grades have the ranks that `echotok.findings` gives them.
    **dict.fromkeys(("trace", "trivial"), 0.0),
    "mild": 1.0,
    "mild to moderate": 1.5,
    "mild-moderate": 1.5,
    "moderate": 2.0,
    "moderate to severe": 2.5,
    "moderate-severe": 2.5,
    "severe": 3.0,
}
# A comma before three digits may stand for thousands, so it is not taken for a decimal one.
_NUMBER = re.compile(r"([+-]?\d+)(?:,(\d{1,2}|\d{4,}))?\s*%?|([+-]?\d*\.\d+|[+-]?\d+\.)\s*%")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_YEARS = range(1900, 2251)  # MIMIC's makers moved its dates to years up to 2214


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A row that is not used, and the reason.

    Attributes:
        row: number of the row as a spreadsheet shows it: the header is row 1.
        column: column of the problem; "" when it concerns the whole row.
        reason: what is wrong, which rule it breaks and what to do; never report text.
        study_id: id of the row's study, or "" where it is not known.
        file: the file that has the problem, or "".
        doubt: where the clip's sector is not sure, the first of what speaks against it; else "".
    """

    row: int
    column: str
    reason: str
    study_id: str = ""
    file: str = ""
    doubt: str = ""


class RowReader:
    """Checks rows one by one and collects the good ones as columns."""

    def __init__(self, path: Path, header: Sequence[str], *, strict_labels: Sequence[str]) -> None:
        self.path = path
        self.header = header
        self.strict_labels = strict_labels
        self.rejects: list[Reject] = []
        self.num_rows = 0
        names = ("row", "study_id", "patient_id", "video", "path", "report", *_KEPT)
        self.columns: dict[str, list[Any]] = {name: [] for name in names}
        self.extras: dict[str, list[str]] = {
            name: [] for name in header if name and name not in REQUIRED + OPTIONAL
        }
        # Clips of one study share one text, so an archive's reports are held once.
        self._texts: dict[str, str] = {}
        self._files: dict[str, str | ValueError] = {}

    def reject(
        self, row: int, column: str, reason: str, *, study_id: str = "", file: str = ""
    ) -> None:
        """Name a row that cannot be used and count it."""
        self.num_rows += 1
        self.rejects.append(
            Reject(row=row, column=column, reason=reason, study_id=study_id, file=file)
        )

    def add(self, row: int, cells: Sequence[str], *, check_files: bool) -> None:
        """Check a row and keep it, or reject it for the first rule that it breaks."""
        record = dict(zip(self.header, cells, strict=True))
        study_id = record["study_id"]
        file = ""
        column = ""
        try:
            column = "exclude"
            if _is_marked(record.get("exclude", "")):
                raise ValueError("the manifest marks it to be left out")
            for column in REQUIRED:
                if not record[column]:
                    raise ValueError("the cell is empty; every clip needs a value here")
            column, file = "video", record["video"]
            path = self._path_of(file)
            if check_files and not exists(path):
                raise ValueError(self._why_missing(file))
            column, file = "report", ""
            if _is_text_file(record["report"]):
                file = record["report"]
                record["report"] = self._report_of(file)
            if not holds_text(record["report"]):
                raise ValueError("the report holds no word; a clip without a report trains nothing")
            column, file = "split", ""
            cell = record.get("split", "")
            split = split_named(cell) if cell else ""
            column = "date"
            day = _date_of(record.get("date", ""))
            for column in self.strict_labels:
                number_of(record[column])
        except ValueError as error:
            self.reject(row, column, str(error), study_id=study_id, file=file)
            return
        self.num_rows += 1
        report = self._texts.setdefault(record["report"], record["report"])
        values = (row, study_id, record["patient_id"], record["video"], path, report)
        optional = (split, record.get("view", ""), day)
        for values_of, value in zip(self.columns.values(), values + optional, strict=True):
            values_of.append(value)
        for name, extra in self.extras.items():
            extra.append(record[name])

    def reject_kept(self, index: int, column: str, reason: str) -> None:
        """Name a row that was kept first but contradicts another; the columns still hold it."""
        self.rejects.append(
            Reject(
                row=self.columns["row"][index],
                column=column,
                reason=reason,
                study_id=self.columns["study_id"][index],
                file=self.columns["video"][index],
            )
        )

    def _path_of(self, file: str) -> str:
        if is_remote(self.path) or "://" in file:
            return within(self.path.parent, file)
        return os.path.normpath(self._find(file))

    def _find(self, file: str) -> Path:
        """Where a file lies; a path as Windows writes it is read where the other is not there."""
        path = self.path.parent / file
        if "\\" in file and not path.exists():
            other = self.path.parent / file.replace("\\", "/")
            if other.exists() or not _DRIVE.match(file):
                return other
        return path

    def _why_missing(self, file: str) -> str:
        if _DRIVE.match(file):
            return (
                "a path of a Windows machine, which is not there on this one; write it relative to "
                "the folder of the manifest"
            )
        why = why_missing(self._find(file))
        return why if ";" in why else f"{why}; is the archive mounted?"

    def _report_of(self, file: str) -> str:
        if file not in self._files:
            try:
                self._files[file] = decode(self._find(file).read_bytes(), "the report").strip()
            except ConnectionError:
                raise  # of a store, where it may be
            except OSError as error:
                why = f"the report cannot be read: {error.strerror}"
                if isinstance(error, FileNotFoundError):
                    why += f"; {self._why_missing(file)}"
                self._files[file] = ValueError(why)
            except InputError as error:
                self._files[file] = ValueError(str(error))
        text = self._files[file]
        if isinstance(text, ValueError):
            raise text
        return text


def _is_marked(cell: str) -> bool:
    try:
        number = 1.0 if cell.lower() == "x" else number_of(cell)
    except ValueError:
        number = math.inf
    if number not in (0.0, 1.0) and not math.isnan(number):
        raise ValueError("the mark is unclear; write yes to leave the clip out, or no")
    return number == 1.0


def _is_text_file(report: str) -> bool:
    return report.lower().endswith(".txt") and "\n" not in report and len(report) <= 1024


def _date_of(cell: str) -> str:
    if not cell:
        return ""
    try:
        # A time behind the day is dropped: the order of studies needs days.
        day = date.fromisoformat(re.split("[T ]", cell, maxsplit=1)[0])
    except ValueError:
        raise ValueError("the date cannot be read; write it as 2024-03-31") from None
    if day.year not in _YEARS:
        raise ValueError(f"no study is from the year {day.year}; write the date as 2024-03-31")
    return day.isoformat()


def number_of(cell: str) -> float:
    """The number in a label's cell: NaN where it is blank, 1 and 0 for yes and no.

    A percent sign is left out, a decimal comma is read, and a grade in words is its rank.

    Raises:
        ValueError: the cell holds something else, or an infinite number.

    Example:
        >>> number_of("55 %"), number_of("55,5"), number_of("Mild to moderate"), number_of("n/a")
        (55.0, 55.5, 1.5, nan)
    """
    try:
        number = float(cell)
    except ValueError:
        word = " ".join(cell.lower().split())
        if word in _BLANK_LABELS:
            return math.nan
        if found := _NUMBER.fullmatch(word):
            whole, part, dotted = found.groups()
            number = float(dotted or f"{whole}.{part or 0}")
        else:
            number = _WORDS.get(word, math.inf)
    if math.isinf(number):
        raise ValueError("the label is not a number; write one, or leave the cell blank")
    return number
