"""Filters as a clinician writes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from echoclip_r.errors import OptionError
from echoclip_r.search.where import select_rows
from echoclip_r.serve.filters import choose, condition_of
from echotok.findings.rule_files import read_findings_rules

NAN = float("nan")
CLIPS = pd.DataFrame(
    {
        "view": pd.Categorical(["A4C", "PLAX", "A4C", None]),
        "date": pd.Categorical(["2019-05-01", "2020-01-31", "2020-02-01", None]),
        "mitral_regurgitation": [3.0, 2.0, 0.0, NAN],
        "ejection_fraction": [30.0, 35.0, 60.0, NAN],
        "gls": [15.0, 20.0, NAN, NAN],
        "pacemaker_lead": [1.0, 0.0, NAN, 0.0],
        "rhythm": pd.Categorical(["sinus", "atrial fibrillation", "sinus", None]),
    }
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("mitral regurgitation >= moderate", [0, 1]),
        ("MR > moderate", [0]),
        ("severe MR", [0]),
        ("no mitral regurgitation", [2]),
        ("mitral regurgitation", [0, 1]),
        ("EF 30-40 %", [0, 1]),
        ("LVEF < 35", [0]),
        ("EF 35%", [0, 1]),
        ("pacemaker lead", [0]),
        ("pacemaker", [0]),
        ("no pacemaker", [1, 3]),
        ("pacemaker lead = no", [1, 3]),
        ("rhythm = atrial fibrillation", [1]),
        ("view = A4C and date >= 2020", [2]),
        ("MR >= mild; view = a4c", [0]),
        ("MR >= mild and EF < 33", [0]),
        ("MR >= mild, date = 2020-01", [1]),
        ("(view = A4C or view = PLAX) and mitral_regurgitation >= 2\nEF > 31", [1]),
        ("EF 30-40 %;;", [0, 1]),
        ("gls > 18 %", [1]),
        ("severe MR and gls < 18 %", [0]),
    ],
)
def test_a_filter_keeps_what_fits(text: str, kept: list[int]) -> None:
    """Findings and columns; what a report does not say fits nothing."""
    chosen = choose(text, CLIPS, read_findings_rules())
    assert np.flatnonzero(chosen.keep).tolist() == kept
    assert all(chosen.said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wombat >= 3", "neither a column nor a finding"),
        ("some words", "no finding is named"),
        ("MR >= ", "one finding, one sign and one value"),
        ("MR >= much", "takes a grade such as moderate"),
        ("EF >= moderate", "takes a number"),
        ("EF > 90", "none of the 4 rows fits"),
        ("EF < 35; view = PLAX", "none of the 4 clips fits all of"),
        ("view = ", "a value was expected"),
        ("; ".join(["EF > 1"] * 21), "21 conditions"),
    ],
)
def test_a_filter_that_cannot_be_read_is_told(text: str, said: str) -> None:
    """What is wrong, and what would be right."""
    with pytest.raises(OptionError, match=said):
        choose(text, CLIPS, read_findings_rules())


def test_clips_of_which_nothing_is_said_are_counted() -> None:
    """They are neither kept nor known not to fit."""
    assert choose("EF < 50", CLIPS, read_findings_rules()).num_unknown == 1


@pytest.mark.parametrize("name", ["ejection fraction", "Ejection_Fraction", "EF", "LVEF"])
def test_a_finding_has_many_names(name: str) -> None:
    """Its title, its name in tables, and what reports call it."""
    assert condition_of(f"{name} < 40", read_findings_rules())[0] == "`ejection_fraction` < 40"


@pytest.mark.parametrize(
    "where", ["view = a4c", "view != A4C", "not view in (A4C)", 'view = ""', "date >= 2020"]
)
def test_categories_are_compared_as_their_cells_are(where: str) -> None:
    """Each different cell is read once, and the rows are the same."""
    plain = CLIPS.astype({"view": object, "date": object})
    one, other = select_rows(where, CLIPS), select_rows(where, plain)
    assert one.mask.tolist() == other.mask.tolist()
    assert one.num_unknown == other.num_unknown
    with pytest.raises(OptionError, match=r"view is A4C \(2\), PLAX \(1\)"):
        select_rows("view = A2C", CLIPS)
