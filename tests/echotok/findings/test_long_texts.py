"""Reports without an end: time is in proportion to their length, and nothing in them is lost."""

from __future__ import annotations

import time

import pytest

import echotok

RULES = echotok.read_findings_rules("echo")


@pytest.mark.parametrize(
    "unit",
    [
        "there is mild mitral regurgitation and no aortic stenosis, ",
        "MR: AS: TR: ",
        "LVEF 55% ",
        "no ",
        "a",
        "(",
        "mild/",
        "1,5-",
    ],
)
def test_time_is_linear_in_a_sentence_that_never_ends(unit: str) -> None:
    """Eight times the text takes about eight times as long, not sixty-four."""

    def seconds(characters: int) -> float:
        text = unit * (characters // len(unit))
        begin = time.process_time()
        echotok.findings(text, RULES)
        return time.process_time() - begin

    seconds(1_000)
    small = min(seconds(8_000) for _ in range(2))
    large = min(seconds(64_000) for _ in range(2))  # the garbage collector may come in between
    assert large < 8 * 3 * max(small, 0.02)


def test_every_finding_of_a_long_sentence_is_found() -> None:
    """A sentence that is cut, since nobody writes one so long, is cut between its parts."""
    part = "there is mild mitral regurgitation and no aortic stenosis, "
    found = echotok.findings(part * 200, RULES)
    for name, status in (("mitral_regurgitation", "present"), ("aortic_stenosis", "absent")):
        assert [one.status for one in found if one.name == name] == [status] * 200
