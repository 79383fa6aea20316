"""The cases of `cases.txt`, one text and one finding a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from echotok.findings.reading import findings
from echotok.findings.rule_files import read_findings_rules


def read_cases() -> list[tuple[str, str, str, str]]:
    """Text, finding, status and value of each line."""
    lines = (Path(__file__).parent / "cases.txt").read_text(encoding="utf-8").splitlines()
    cases = []
    for line in lines:
        if line and not line.startswith("#"):
            text, finding, status, value = line.rsplit(" | ", 3)
            text = text.replace("\\n", "\n").replace("\\r", "\r")
            cases.append((text, finding, status, value))
    return cases


CASES = read_cases()


def test_there_are_enough() -> None:
    """The table has at least 450 lines, and no line twice."""
    assert len(CASES) >= 450
    assert len(set(CASES)) == len(CASES)


@pytest.mark.parametrize(("text", "finding", "status", "value"), CASES)
def test_case(text: str, finding: str, status: str, value: str) -> None:
    """The finding has one row of that status, with that value, at a place in the text."""
    rows = [row for row in findings(text, read_findings_rules("echo")) if row.name == finding]
    if status == "nothing":
        assert rows == []
        return
    assert status in [row.status for row in rows]
    [row] = [row for row in rows if row.status == status]
    assert 0 <= row.start < row.end <= len(text)
    if value == "-" or status == "not_assessed":
        assert value == "-"
    elif isinstance(row.value, str):
        assert row.value == value
    else:
        assert row.value == pytest.approx(float(value))


def test_any_space_is_a_space() -> None:
    """The spaces of word processors and web pages change no case, and no place."""
    rules = read_findings_rules("echo")
    for text in dict.fromkeys(case[0] for case in CASES):
        for space in "\u00a0\u2009\u202f\u3000":
            assert findings(text.replace(" ", space), rules) == findings(text, rules)
