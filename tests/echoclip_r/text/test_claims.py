"""What texts claim, and texts that claim otherwise."""

from __future__ import annotations

import random

import numpy as np
import pytest

from echoclip_r.text.claims import default_claims, remark_on_silence
from echoclip_r.text.edits import EDITS, edit

REPORT = (
    "The left ventricular ejection fraction is 55-60%. The left atrium is mildly dilated. "
    "No pericardial effusion. It was seen before. The patient is in sinus rhythm."
)
claims = default_claims()


def said(text: str) -> dict[str, float]:
    """Finding -> value, of those that a text claims."""
    values = claims.read(text)
    return {claims.names[i]: float(values[i]) for i in np.flatnonzero(~np.isnan(values))}


def test_a_text_claims_what_it_says_and_nothing_of_what_it_does_not() -> None:
    """Ranges by their middle, denials as 0; a rhythm has no order and so no column."""
    assert said(REPORT) == {
        "ejection_fraction": 57.5,
        "la_dilation": 1.0,
        "pericardial_effusion": 0.0,
    }
    assert not said("The study was technically difficult.")
    assert np.isnan(claims.nothing).all()


def test_silence_counts_for_a_report_where_its_rule_says_so() -> None:
    """A report that names no device denies it; a sentence that names none says nothing of it."""
    lead = claims.names.index("pacemaker_lead")
    assert claims.of_report(REPORT).values[lead] == 0
    assert np.isnan(claims.read(REPORT)[lead])


def test_every_finding_of_a_report_is_drawn_as_often_as_the_others() -> None:
    """With its own sentence, alone or in a run that holds it."""
    claimed = claims.of_report(REPORT)
    draw = random.Random(0)
    drawn = [claimed.draw(draw, max_sentences=2) for _ in range(600)]
    for name in ("ejection_fraction", "la_dilation", "pericardial_effusion"):
        texts = [REPORT[s:e] for c, (s, e) in drawn if claims.names[c] == name]
        assert 150 < len(texts) < 250
        assert all(name in said(text) for text in texts)
        assert len(set(texts)) > 1  # runs of one and of two sentences
    with pytest.raises(ValueError, match="claims nothing"):
        claims.of_report("Poor windows.").draw(draw, max_sentences=1)


@pytest.mark.parametrize(
    ("text", "name", "kind", "expected"),
    [
        ("No pericardial effusion.", "pericardial_effusion", "denied", {"a pericardial effusion."}),
        ("There is a ventricular septal defect.", "ventricular_septal_defect", "denied",
         {"There is no ventricular septal defect."}),
        ("There is mild mitral regurgitation.", "mitral_regurgitation", "denied",
         {"There is no mitral regurgitation."}),
        ("The left atrium is mildly dilated.", "la_dilation", "denied",
         {"The left atrium is not dilated."}),
        ("The left atrium is mildly dilated.", "la_dilation", "grade",
         {"The left atrium is moderately dilated.", "The left atrium is severely dilated."}),
        ("Mod MR.", "mitral_regurgitation", "grade", {"mild MR.", "sev MR."}),
        ("The left atrium is mildly dilated.", "la_dilation", "side",
         {"The right atrium is mildly dilated."}),
        ("LA not dilated.", "la_dilation", "side", {"RA not dilated."}),
    ],
)  # fmt: skip
def test_an_edit_says_otherwise_in_words_of_its_kind(
    text: str, name: str, kind: str, expected: set[str]
) -> None:
    """Adverbs stay adverbs, abbreviations abbreviations."""
    column = claims.names.index(name)
    found = [edit(text, column, kind, claims, random.Random(seed)) for seed in range(20)]
    assert all(one is not None for one in found)
    if expected == {"a pericardial effusion."}:  # a grade's denial is undone by any grade
        expected = {f"{grade} pericardial effusion." for grade in ("mild", "moderate", "severe")}
    assert {one.text for one in found if one is not None} == expected
    for one in found:
        assert one is not None
        np.testing.assert_array_equal(one.values, claims.read(one.text))


def test_a_number_is_moved_within_its_rules_range_and_keeps_its_decimals_and_unit() -> None:
    """In every mention alike; the values are those that are read again."""
    text = "LVEF is 55-60%. RVSP 30 mmHg. TAPSE 2.1 cm. Impression: LVEF 55-60%."
    for name, low, high in (("ejection_fraction", 32, 83), ("tapse", 8, 34)):
        column = claims.names.index(name)
        values = set()
        for seed in range(40):
            changed = edit(text, column, "number", claims, random.Random(seed))
            assert changed is not None
            value = float(changed.values[column])
            assert low <= value <= high
            values.add(value)
            wanted = said(text) | {name: value}
            assert said(changed.text) == wanted
        assert len(values) > 20


@pytest.mark.parametrize("kind", list(EDITS))
def test_a_text_without_the_words_is_left_alone(kind: str) -> None:
    """No edit is made up."""
    column = claims.names.index("ra_dilation")
    assert edit("Normal study.", column, kind, claims, random.Random(0)) is None
    assert edit("The lead ends in the heart.", column, kind, claims, random.Random(0)) is None


def test_what_is_read_is_the_callers_own() -> None:
    """Who changes the values of a text does not change what the next one reads of it."""
    first = claims.read("Mild mitral regurgitation.")
    first[:] = 9.0
    assert np.nansum(claims.read("Mild mitral regurgitation.")) == 1.0


def test_reports_that_claim_nothing_are_said_before_a_training() -> None:
    """As another language's; an archive of which half can be read is not nagged about."""
    silent = "Linker Ventrikel normal gro\xdf."
    said = remark_on_silence([silent] * 600)
    assert said is not None and said.startswith("500 of the first 500 training reports claim no")
    assert remark_on_silence([silent, REPORT]) is None
    assert remark_on_silence([]) is None
