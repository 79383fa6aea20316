"""Reports without an end: time is in proportion to their length, and nothing in them is lost."""

from __future__ import annotations

import pytest

import echotok
from tests.echotok.linear_time import assert_linear

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
    """A report without a full stop takes time in proportion to its length."""
    assert_linear(
        lambda text: echotok.findings(text, RULES),
        lambda characters: unit * (characters // len(unit)),
        size=8_000,
        slack=3,
        least_s=0.02,
    )


def test_every_finding_of_a_long_sentence_is_found() -> None:
    """A sentence that is cut, since nobody writes one so long, is cut between its parts."""
    part = "there is mild mitral regurgitation and no aortic stenosis, "
    found = echotok.findings(part * 200, RULES)
    for name, status in (("mitral_regurgitation", "present"), ("aortic_stenosis", "absent")):
        assert [one.status for one in found if one.name == name] == [status] * 200
