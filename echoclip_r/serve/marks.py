"""Readers' marks, relevant or not, in a file of SQLite; and what they say of a model.

A mark is of one hit of one question; the question itself is kept nowhere, only its kind and how
many hits were shown.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from echoclip_r.errors import EvaluationError
from echoclip_r.metrics.bootstrap import Estimate, Resampling, Weights, estimate, mean

__all__ = ["MarkCounts", "Marks", "count_marks"]

_TABLE = """
CREATE TABLE IF NOT EXISTS marks (
    question TEXT NOT NULL, reader TEXT NOT NULL, model TEXT NOT NULL, rank INTEGER NOT NULL,
    fingerprint TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, study TEXT NOT NULL,
    shown INTEGER NOT NULL, relevant INTEGER NOT NULL CHECK (relevant IN (0, 1)),
    time TEXT NOT NULL,
    PRIMARY KEY (question, reader, fingerprint, rank)
)
"""
_FIRST = 5


class Marks:
    """The file of marks.

    Args:
        path: the file, which is made when the first mark is set.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=10)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(_TABLE)
            with connection:
                yield connection

    def set(
        self,
        *,
        question: str,
        reader: str,
        model: str,
        fingerprint: str,
        kind: str,
        target: str,
        rank: int,
        study: str,
        shown: int,
        relevant: bool | None,
    ) -> None:
        """Set a reader's mark of a hit, or take it away with None.

        Raises:
            sqlite3.Error: the file cannot be written.
        """
        with self._open() as connection:
            if relevant is None:
                connection.execute(
                    "DELETE FROM marks WHERE question=? AND reader=? AND fingerprint=? AND rank=?",
                    (question, reader, fingerprint, rank),
                )
                return
            now = datetime.now(UTC).isoformat(timespec="seconds")
            connection.execute(
                "INSERT OR REPLACE INTO marks (question, reader, model, fingerprint, kind, target, "
                "rank, study, shown, relevant, time) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                (
                    question, reader, model, fingerprint, kind, target, rank, study, shown,
                    int(relevant), now,
                ),
            )  # fmt: skip

    def of(self, question: str, reader: str) -> dict[tuple[str, int], bool]:
        """A reader's marks of a question's hits, by the model's fingerprint and rank."""
        if not self.path.exists():
            return {}
        with self._open() as connection:
            found = connection.execute(
                "SELECT fingerprint, rank, relevant FROM marks WHERE question=? AND reader=?",
                (question, reader),
            )
            return {(fingerprint, rank): bool(said) for fingerprint, rank, said in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkCounts:
    """What readers say of a model's answers.

    Attributes:
        model, fingerprint: the model.
        kind: what was asked by: text, clip, study, filter, or `all`.
        precision: relevant ones among the first five, or among all that were shown where these are
            fewer; with the interval over questions.
        num_questions: number of questions of which all of these were marked, by reader.
        num_partly: number of questions of which only some were marked; they do not count.
        num_readers: number of readers.
        num_marks: number of all marks.
    """

    model: str
    fingerprint: str
    kind: str
    precision: Estimate
    num_questions: int
    num_partly: int
    num_readers: int
    num_marks: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def count_marks(path: Path, resampling: Resampling) -> list[MarkCounts]:
    """Precision at 5 of each model and kind of question, from a file of marks.

    Args:
        path: file that the server wrote.
        resampling: draws of the intervals; a question is drawn with all its readers.

    Raises:
        EvaluationError: it is no such file, or holds no mark.
    """
    columns = "question, reader, model, fingerprint, kind, rank, shown, relevant"
    try:
        with closing(sqlite3.connect(f"file:{path.resolve()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(f"SELECT {columns} FROM marks ORDER BY time").fetchall()
    except sqlite3.Error as error:
        raise EvaluationError(
            f"{path}: the marks cannot be read ({error}); give the file marks.sqlite that "
            "`echoclip-r serve` keeps"
        ) from error
    if not rows:
        raise EvaluationError(f"{path}: nobody has marked a hit yet")
    by_model: dict[tuple[str, str], list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        for kind in (row[4], "all"):
            by_model[row[3], kind].append(row)
    return [
        _count(fingerprint, kind, held, resampling)
        for (fingerprint, kind), held in sorted(by_model.items())
    ]


def _count(
    fingerprint: str, kind: str, rows: list[tuple[Any, ...]], resampling: Resampling
) -> MarkCounts:
    said: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    shown: dict[tuple[str, str], int] = {}
    for question, reader, _, _, _, rank, num_shown, relevant in rows:
        shown[question, reader] = min(_FIRST, num_shown)
        if rank <= _FIRST:
            said[question, reader][rank] = relevant
    whole = [name for name, marks in said.items() if len(marks) == shown[name]]
    nothing = Estimate(value=float("nan"), low=float("nan"), high=float("nan"))
    values = np.array([sum(said[name].values()) / shown[name] for name in whole])

    def figure(weights: Weights) -> Any:
        return mean(values, weights)

    return MarkCounts(
        model=rows[-1][2],
        fingerprint=fingerprint,
        kind=kind,
        precision=estimate(figure, [name[0] for name in whole], resampling) if whole else nothing,
        num_questions=len(whole),
        num_partly=len({(row[0], row[1]) for row in rows}) - len(whole),
        num_readers=len({row[1] for row in rows}),
        num_marks=len(rows),
    )
