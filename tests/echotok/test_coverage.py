"""Worker processes of `measure`: they give the same figures, and are used only where they pay."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import echotok
from echotok import coverage
from echotok.coverage import measure

TEXTS = echotok.sample_reports()


def _slow(texts: list[str]) -> coverage.CorpusStats:
    """The work of a worker on a machine that is busy with other things."""
    time.sleep(0.3)
    with Path(os.environ["ECHOTOK_TEST_NOTES"]).open("a", encoding="utf-8") as notes:
        notes.write("a batch\n")
    assert coverage._measurer is not None
    return coverage._measurer(texts)


def _fast(texts: list[str]) -> coverage.CorpusStats:
    with Path(os.environ["ECHOTOK_TEST_NOTES"]).open("a", encoding="utf-8") as notes:
        notes.write("a batch\n")
    assert coverage._measurer is not None
    return coverage._measurer(texts)


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A line for each batch that a worker measured; two processors, and reports in batches of 4."""
    path = tmp_path / "notes.txt"
    path.touch()
    monkeypatch.setenv("ECHOTOK_TEST_NOTES", str(path))
    monkeypatch.setattr(coverage, "_BATCH", 4)
    monkeypatch.setattr(coverage, "num_cpus", lambda: 2)
    monkeypatch.setattr(coverage, "_ALONE", 0.0)
    return path


def reports(count: int) -> Iterator[str]:
    for number in range(count):
        yield f"{TEXTS[number % len(TEXTS)]} Case {number}."


def test_workers_that_are_faster_measure_the_rest(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly all batches are theirs, and the figures are those of one process."""
    monkeypatch.setattr(coverage, "_work", _fast)
    tok = echotok.load("echo")
    # Slow by itself: workers have been faster whenever they are asked.
    original = coverage._Measurer.__call__

    def call(self: coverage._Measurer, texts: list[str]) -> coverage.CorpusStats:
        time.sleep(1.0 if coverage._measurer is None else 0.0)
        return original(self, texts)

    monkeypatch.setattr(coverage._Measurer, "__call__", call)
    two = measure(reports(80), tok, workers=2)
    assert len(notes.read_text().splitlines()) == 80 / 4 - 1
    monkeypatch.setattr(coverage._Measurer, "__call__", original)
    assert two == measure(reports(80), tok)


def test_workers_that_are_slower_are_let_go(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine one process measures what is left, and none is lost or counted twice."""
    monkeypatch.setattr(coverage, "_work", _slow)
    tok = echotok.load("echo")
    tok.encode_batch(list(reports(8)))
    two = measure(reports(400), tok, workers=2)
    assert 0 < len(notes.read_text().splitlines()) < 30  # of 100
    assert two == measure(reports(400), tok)


def test_no_worker_without_a_processor_for_it(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one processor may be used, workers would only take turns."""
    monkeypatch.setattr(coverage, "_work", _fast)
    monkeypatch.setattr(coverage, "num_cpus", lambda: 1)
    assert measure(reports(40), echotok.load("echo"), workers=4).num_reports == 40
    assert not notes.read_text()


def test_no_worker_for_little_work(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus of which less is left than was done alone is measured by one process."""
    monkeypatch.setattr(coverage, "_work", _fast)
    assert measure(reports(4), echotok.load("echo"), workers=2).num_reports == 4
    monkeypatch.setattr(coverage, "_ALONE", 60.0)
    assert measure(reports(40), echotok.load("echo"), workers=2).num_reports == 40
    assert not notes.read_text()
