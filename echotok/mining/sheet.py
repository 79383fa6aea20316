"""The review sheet: what a person looks at before a mined table is used."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from echotok.mining.assembly import Mined
from echotok.mining.store import HeldBack, ReportStore
from echotok.table.match import BARE_VALUE, Matcher
from echotok.text import split_pieces

__all__ = ["Row", "review_rows", "write_held_back", "write_sheet"]

_COLUMNS = ("id", "section", "phrase", "documents", "patients", "tokens_saved", "mid_phrase")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the review sheet.

    Attributes:
        id, section, phrase: id, section and text of the phrase, as in the table.
        documents, patients: number of documents, and of patients, for which the phrase is used.
        tokens_saved: number of tokens that the corpus would need more without the phrase.
        mid_phrase: `yes` where the phrase ends or begins in the middle of an expression, else "".
    """

    id: int
    section: str
    phrase: str
    documents: int
    patients: int
    tokens_saved: int
    mid_phrase: str


def review_rows(store: ReportStore, mined: Mined) -> Iterator[Row]:
    """Count where each phrase is used, by encoding every distinct segment.

    Args:
        store: the reports that were mined.
        mined: the table.

    Yields:
        One row for each phrase, those that save most tokens first.
    """
    matcher = Matcher.of(mined.table)
    users: dict[int, list[int]] = {}
    for number, text in enumerate(store.texts):
        for used in _phrases(matcher, split_pieces(text)):
            users.setdefault(used, []).append(number)
    posted, report = store.postings()
    order = np.argsort(posted, kind="stable")
    by_segment = report[order]
    bounds = np.searchsorted(posted[order], np.arange(len(store.texts) + 1))
    patients = store.patient_of_report
    in_report = np.zeros(store.num_reports, dtype=bool)
    of_patient = np.zeros(store.num_patients, dtype=bool)
    ranked = sorted(mined.table.phrases, key=lambda phrase: (-mined.saved[phrase.id], phrase.id))
    for phrase in ranked:
        in_report[:] = of_patient[:] = False
        for segment in users.get(phrase.id, ()):
            in_report[by_segment[bounds[segment] : bounds[segment + 1]]] = True
        of_patient[patients[in_report]] = True
        yield Row(
            id=phrase.id,
            section=phrase.section,
            phrase=phrase.text,
            documents=int(in_report.sum()),
            patients=int(of_patient.sum()),
            tokens_saved=mined.saved[phrase.id],
            mid_phrase="yes" if phrase.id in mined.mid_phrase else "",
        )


def _phrases(matcher: Matcher, pieces: list[str]) -> set[int]:
    found = set()
    at = 0
    while at < len(pieces):
        match = matcher.longest(pieces, at)
        if match is None:
            at += 1
            continue
        if match.phrase != BARE_VALUE:
            found.add(match.phrase)
        at = match.end
    return found


def write_sheet(rows: Iterator[Row], path: Path) -> None:
    """Write the sheet as tab-separated text, which spreadsheets open."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in rows:
            writer.writerow([getattr(row, name) for name in _COLUMNS])


def write_held_back(held: Sequence[HeldBack], path: Path) -> None:
    """Write the held-back texts, only for people who may read the reports.

    Args:
        held: the texts, as `ReportStore.held_back` gives them.
        path: the file, which only its owner can read.
    """
    path.touch(mode=0o600)
    path.chmod(0o600)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["text", "reason", "documents", "patients"])
        writer.writerows([h.text, h.reason, h.documents, h.patients] for h in held)
