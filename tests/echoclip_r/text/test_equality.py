"""Reports are equal when they normalize alike, for every model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import echotok
from echoclip_r.text.equality import normalize_report, report_ids

TOKENIZERS = [echotok.load(name) for name in ("echo", "echo-clip")]
FOUR_WAYS = (
    "Mild mitral regurgitation. EF 55%.",
    "MILD MITRAL REGURGITATION. EF 55%.",
    "Mild  mitral\tregurgitation.\nEF 55 %.",
    " mild Mitral regurgitation .\r\n\r\nef 55% . ",
)


def test_white_space_and_case_make_no_difference() -> None:
    """One text in four ways is one report; another number is another."""
    (ids,) = report_ids([*FOUR_WAYS, "Mild mitral regurgitation. EF 56%."])
    assert ids.tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("No effusion.", "Effusion."),
        ("Mild MR.", "Moderate MR."),
        ("EF 55%.", "EF 5.5%."),
        ("E' 8 cm/s", "E 8 cm/s"),
        ("10\u00b2", "102"),
    ],
)
def test_what_means_something_else_is_another_report(one: str, other: str) -> None:
    """Negation, severity, number and unit stay apart (I4)."""
    assert normalize_report(one) != normalize_report(other)


@given(st.text(max_size=40))
def test_equality_is_that_of_the_shipped_tokenizers(text: str) -> None:
    """The same function as theirs, so that equal reports have equal ids."""
    for tokenizer in TOKENIZERS:
        assert normalize_report(text) == tokenizer.normalize(text)
