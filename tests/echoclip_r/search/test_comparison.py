"""Two reports, finding by finding."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from echoclip_r.search.answers import Answer, Hit, Item
from echoclip_r.search.comparison import (
    compare,
    conclusion,
    make_grid,
    match_sentences,
    stretches,
)
from echotok.findings.rule_files import read_findings_rules


@pytest.mark.parametrize(
    ("query", "hit", "expected"),
    [
        ("EF 55%.", "LVEF is 58 %.", ("55 %", "58 %", "agree")),
        ("EF 55%.", "LVEF is 61 %.", ("55 %", "61 %", "differ")),
        ("EF 55-60%.", "EF 50-55%.", ("55 to 60 %", "50 to 55 %", "agree")),
        ("EF >70%.", "EF 82%.", ("at least 70 %", "82 %", "agree")),
        ("EF >70%.", "EF 40%.", ("at least 70 %", "40 %", "differ")),
        ("EF 55%.", "Technically difficult.", ("55 %", "", "query")),
    ],
)
def test_numbers_agree_within_their_tolerance(
    query: str, hit: str, expected: tuple[str, str, str]
) -> None:
    """A range agrees with what lies in it."""
    [row] = [row for row in compare(query, hit).rows if row.name == "ejection_fraction"]
    assert (row.query, row.hit, row.verdict) == expected


@pytest.mark.parametrize(
    ("query", "hit", "expected"),
    [
        ("Severe MR.", "Mitral regurgitation is severe.", ("severe", "severe", "agree")),
        ("Severe MR.", "Mild MR.", ("severe", "mild", "differ")),
        ("Moderate MR.", "Mild to moderate MR.", ("moderate", "mild to moderate", "agree")),
        ("No MR.", "Trace MR.", ("no", "trace", "agree")),
        ("No MR.", "Mild MR.", ("no", "mild", "differ")),
        ("There is MR.", "Severe MR.", ("yes", "severe", "agree")),
        ("There is MR.", "No MR.", ("yes", "no", "differ")),
        ("Possible MR.", "Severe MR.", ("possible", "severe", "differ")),
        ("Severe MR.", "Previously severe MR.", ("severe", "", "query")),
        ("Windows were poor.", "Severe MR.", ("", "severe", "hit")),
    ],
)
def test_grades_agree_within_half_a_grade(
    query: str, hit: str, expected: tuple[str, str, str]
) -> None:
    """A trace is none; what was so before is not said of now."""
    [row] = [row for row in compare(query, hit).rows if row.name == "mitral_regurgitation"]
    assert (row.query, row.hit, row.verdict) == expected


def test_a_comparison_counts_its_verdicts() -> None:
    """Each finding once, in the order of the rules."""
    both = compare("EF 55%. Severe MR. No AS.", "EF 57%. Mild MR. Severe TR.")
    assert both.counts == {"agree": 1, "differ": 1, "query": 1, "hit": 1}
    order = list(read_findings_rules().findings)
    assert [row.name for row in both.rows] == sorted(
        (row.name for row in both.rows), key=order.index
    )
    assert compare("", "").rows == ()


def test_words_are_marked_by_what_becomes_of_their_finding() -> None:
    """The runs are the whole report."""
    report = "Poor windows. EF 57%. Mild MR."
    verdicts = compare("EF 55%. Severe MR.", report).verdicts
    runs = stretches(report, verdicts)
    assert "".join(text for text, _ in runs) == report
    assert [run for run in runs if run[1]] == [("EF 57%", "agree"), ("Mild MR", "differ")]
    assert stretches("", {}) == []


def test_a_sentence_in_other_numbers_is_told_from_another_one() -> None:
    """Word for word, but for its numbers, or not at all; letter case does not count."""
    found = match_sentences(
        "NO EFFUSION. EF is 55 %. Vmax 2,5 m/s. Mild MR.", "EF is 60%. No effusion. Vmax 3.1 m/s."
    )
    assert [match for _, match in found] == ["same", "numbers", "numbers", "other"]
    for text in (
        "EF is 55-60%.",
        "EF is 55 to 60 %.",
        "EF is >70%.",
        "EF is 62.5%.",
        "EF is 55–60%.",
    ):
        assert match_sentences(text, "EF is 60%.") == [(text, "numbers")]
    assert match_sentences("EF is low at 60%.", "EF is 60%.") == [("EF is low at 60%.", "other")]


def test_a_conclusion_is_what_stands_below_its_heading() -> None:
    """Without a heading, the last sentences."""
    assert conclusion("LV: normal.\nConclusion: Severe MR. EF 55%.") == "Severe MR. EF 55%."
    assert conclusion("A one. B two. C three. D four. E five.").startswith("B two.")
    assert conclusion("") == ""


def test_a_grid_holds_what_the_query_says(frames: NDArray[np.uint8]) -> None:
    """Its findings first; those of the hits alone beside them; no verdict on an unknown report."""
    hits = tuple(
        Hit(rank=rank, cosine=0.5, item=Item(name="n", report=report))
        for rank, report in enumerate(("Mild MR. Severe AS.", "Severe MR.", "EF 50%."), 1)
    )
    grid = make_grid(Answer(query=Item(name="q", report="Severe MR."), hits=hits, pool_size=3))
    assert grid.known
    [row] = grid.rows
    assert (row.title, row.query) == ("Mitral regurgitation", "severe")
    assert row.cells == (("mild", "differ"), ("severe", "agree"), ("", "query"))
    assert {row.title for row in grid.others} == {"Aortic stenosis", "Ejection fraction"}
    unknown = make_grid(Answer(query=Item(name="q", frames=frames), hits=hits, pool_size=3))
    assert not unknown.known
    assert [row.title for row in unknown.rows] == ["Mitral regurgitation"]
    assert all(cell.verdict is None for row in unknown.rows for cell in row.cells)


def test_a_class_that_is_denied_is_left_open() -> None:
    """What a valve is not says neither what it is nor that another report is wrong."""
    assert not compare("No bicuspid aortic valve.", "").rows
    (row,) = compare("No bicuspid aortic valve.", "The aortic valve is tricuspid.").rows
    assert (row.query, row.hit, row.verdict) == ("", "trileaflet", "hit")
