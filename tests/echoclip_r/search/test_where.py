"""Expressions that choose rows by their columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echoclip_r.errors import OptionError
from echoclip_r.search.where import select_rows

CLIPS = pd.DataFrame(
    {
        "study_id": ["007", "7", "8", "9"],
        "view": ["A4C", "PLAX", "", "a4c zoom"],
        "date": ["2019-12-31", "2020-01-01", "2021-05-05", ""],
        "ef": [55.0, np.nan, 20.0, 60.0],
        "age": ["80", "", "64.5", "1e2"],
        "read at": ["X", "Y", "X", None],
    }
)


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("view = A4C", [0]),
        ("VIEW == a4c", [0]),
        ("view='A4C  ZOOM'", [3]),
        ("view != A4C", [1, 3]),
        ("view <> A4C", [1, 3]),
        ("view in (A4C, plax)", [0, 1]),
        ("view not in (A4C, plax)", [3]),
        ("not view in (A4C)", [1, 3]),
        ('view = ""', [2]),
        ("view != ''", [0, 1, 3]),
        ("date = 2020", [1]),
        ("date != 2020", [0, 2]),
        ("date >= 2020", [1, 2]),
        ("date > 2020", [2]),
        ("date <= 2020", [0, 1]),
        ("date < 2020", [0]),
        ("date > 2019-12", [1, 2]),
        ("date = 2021-05-05", [2]),
        ("date in (2019, 2021-05)", [0, 2]),
        ("not date < 2021", [2]),
        ("ef >= 55", [0, 3]),
        ("ef != 55", [2, 3]),
        ("not ef < 50", [0, 3]),
        ("ef < 50 or view = PLAX", [1, 2]),
        ("ef > -1e3 and ef <= 20", [2]),
        ("age >= 80", [0, 3]),
        ("age = 64.5", [2]),
        ("study_id = 7", [1]),
        ("study_id = 007", [0]),
        ("`read at` = x", [0, 2]),
        ("view = A4C and date >= 2020 or ef = 60", [3]),
        ("(view = A4C or view = PLAX) and not (date < 2020)", [1]),
        ("NOT (view = A4C) AND ef IN (20, 60)", [3]),
        ("view = PLAX or (ef > 50 and view = A4C)", [0, 1]),
    ],
)
def test_rows_that_fit_are_chosen(expression: str, rows: list[int]) -> None:
    """Numbers, dates and words each by their own order; a blank cell fits no comparison."""
    assert np.flatnonzero(select_rows(expression, CLIPS).mask).tolist() == rows


def test_rows_of_which_nothing_can_be_said_are_counted() -> None:
    """A row that another part of the expression decides is not among them."""
    assert select_rows("not ef < 50", CLIPS).num_unknown == 1
    assert select_rows("ef < 50 or view = PLAX", CLIPS).num_unknown == 0
    assert select_rows("ef > 0 and date > 2000", CLIPS).num_unknown == 2


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "the expression is empty; write a condition such as view = A4C"),
        ("   ", "the expression is empty"),
        (
            "viw = A4C",
            "character 1, 'viw': there is no such column; there are .*; did you mean 'view'[?]",
        ),
        ("view = A4C and dat > 2020", "character 16, 'dat': .* did you mean 'date'?"),
        ("nonsense = 1", "there are study_id, view, date, ef, age, read at"),
        ("view < 3", "column 'view' holds words, which have no order"),
        ("ef > high", "column 'ef' holds numbers, and 'high' is none"),
        ("ef = nan", "column 'ef' holds numbers, and 'nan' is none"),
        ("date > 2020-13", "'2020-13' is none; write 2020, 2020-03 or 2020-03-31"),
        ("date = 2021-02-30", "is none"),
        ("date > yesterday", "is none"),
        ("view = a b", "character 10, 'b': 'and', 'or' or the end .* stands in quotes"),
        ("view", "at the end: one of =, !=, <, <=, >, >= and in was expected"),
        ("view A4C", "character 6, 'A4C': one of"),
        ("view =", "at the end: a value was expected"),
        ("view = and", "a value was expected"),
        ("view not = A4C", "in was expected behind the column 'view'"),
        ("view in A4C", "in takes values in parentheses"),
        ("view in ()", "a value was expected"),
        ("view in (A4C", "a comma or a closing parenthesis"),
        ("(view = A4C", "a closing parenthesis was expected"),
        ("view = A4C)", "'and', 'or' or the end"),
        ("view = 'A4C", "character 8: a quote opens here and does not close"),
        ("!view = A4C", "write != for 'not equal'"),
        ("2019 < date", "there is no such column"),
        ("view = A5C", "none of the 4 rows fits; among them, view is A4C .1., PLAX .1."),
        ("ef > 90 and view = A4C", "ef goes from 20 to 60; view is"),
        ("date > 2030", "date goes from 2019-12-31 to 2021-05-05"),
        ("study_id = 5", "study_id has 4 different values"),
        ("view < ''", "only = and != compare with an empty value"),
        ("(" * 5000 + "view = A4C", "lie inside one another"),
        ("not " * 5000 + "view = A4C", "lie inside one another"),
        ("__import__('os').system('true') = 1", "there is no such column"),
        ("view.str.len() = 3", "there is no such column"),
        ("@view = 3", "there is no such column"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(expression: str, message: str) -> None:
    """And with what to write; nothing is run as a program."""
    with pytest.raises(OptionError, match=message):
        select_rows(expression, CLIPS)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(expression: str) -> None:
    """No other error, whatever is written."""
    try:
        selection = select_rows(expression, CLIPS)
    except OptionError:
        return
    assert selection.mask.any()


def test_a_column_without_a_value_is_told() -> None:
    """A comparison with it can fit no row."""
    with pytest.raises(OptionError, match="view is blank everywhere"):
        select_rows("view = A4C", pd.DataFrame({"view": ["", None]}))
