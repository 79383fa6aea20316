"""Readers' marks: what is kept, and what the command counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from echoclip_r.cli.main import main
from echoclip_r.errors import EvaluationError
from echoclip_r.metrics.bootstrap import Resampling
from echoclip_r.serve.marks import Marks, count_marks


def mark(marks: Marks, question: str, rank: int, relevant: bool | None, **others: Any) -> None:
    facts = {"reader": "a", "model": "m", "fingerprint": "f", "kind": "text", "target": "clips"}
    facts |= {"study": f"S{rank}", "shown": 10, **others}
    marks.set(question=question, rank=rank, relevant=relevant, **facts)


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    """Two whole questions (4 of 5, 1 of 5), one of three hits (3 of 3), and one in part."""
    found = Marks(tmp_path / "marks.sqlite")
    for rank in range(1, 6):
        mark(found, "one", rank, rank != 2)
        mark(found, "two", rank, rank == 1)
    for rank in range(1, 4):
        mark(found, "few", rank, True, kind="clip", shown=3)
    mark(found, "part", 1, True)
    mark(found, "one", 9, True)
    return found


def test_precision_at_5_counts_questions_that_are_marked_to_the_end(marks: Marks) -> None:
    """Of three hits all three; a mark beyond the fifth changes nothing."""
    counts = {one.kind: one for one in count_marks(marks.path, Resampling(num_draws=200))}
    assert counts["text"].precision.value == pytest.approx((4 / 5 + 1 / 5) / 2)
    assert counts["text"].precision.low <= 0.5 <= counts["text"].precision.high
    assert counts["clip"].precision.value == 1
    assert counts["all"].precision.value == pytest.approx((0.8 + 0.2 + 1) / 3)
    assert (counts["all"].num_questions, counts["all"].num_partly) == (3, 1)
    assert counts["all"].num_marks == 15


def test_a_mark_is_changed_and_taken_away(marks: Marks) -> None:
    """Each reader has one for a hit."""
    mark(marks, "one", 2, True)
    mark(marks, "one", 2, False, reader="b")
    assert marks.of("one", "a")["f", 2] is True
    assert marks.of("one", "b") == {("f", 2): False}
    mark(marks, "one", 2, None)
    assert ("f", 2) not in marks.of("one", "a")


def test_the_command_counts_marks(marks: Marks, capsys: pytest.CaptureFixture[str]) -> None:
    """For people and as JSON."""
    assert main(["evaluate", "--marks", str(marks.path), "--draws", "50"]) == 0
    assert "by clip: precision at 5 1 (1-1), of 1 questions" in capsys.readouterr().out
    assert main(["evaluate", "--marks", str(marks.path), "--draws", "50", "--json"]) == 0
    assert {one["kind"] for one in json.loads(capsys.readouterr().out)} == {"all", "text", "clip"}


def test_what_the_command_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Marks or models, and not both; a file that holds no marks is told."""
    assert main(["evaluate"]) == 2
    assert "CHECKPOINT, --manifest, --shards or --marks, --out" in capsys.readouterr().err
    assert main(["evaluate", "run", "--marks", "x"]) == 2
    (tmp_path / "other.sqlite").write_text("no database")
    with pytest.raises(EvaluationError, match="cannot be read"):
        count_marks(tmp_path / "other.sqlite", Resampling())
    empty = Marks(tmp_path / "empty.sqlite")
    mark(empty, "one", 1, True)
    mark(empty, "one", 1, None)
    with pytest.raises(EvaluationError, match="nobody has marked"):
        count_marks(empty.path, Resampling())
