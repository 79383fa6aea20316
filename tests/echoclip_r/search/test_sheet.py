"""Answers as one picture."""

from __future__ import annotations

import numpy as np

from echoclip_r.search.answers import Answer, Item
from echoclip_r.search.sheet import draw_answers


def test_the_sheet_shows_clips_and_reports(answer: Answer) -> None:
    """One row an answer; a long report is cut and says so by its height."""
    one = draw_answers([answer], title="T", foot="simulated")
    two = draw_answers([answer, answer], title="T", foot="simulated")
    assert one.width == two.width
    assert two.height > one.height
    assert len(np.unique(np.asarray(one))) > 50
    assert np.asarray(one).reshape(-1, 3).tolist().count([0xE3, 0xF4, 0xE6]) > 100, "what agrees"
    long = Answer(
        query=Item(name="q", report="A sentence of some length. " * 400),
        hits=answer.hits,
        pool_size=9,
    )
    cut = draw_answers([long], title="T", foot="f", max_lines=10)
    assert cut.height < 600
