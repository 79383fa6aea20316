"""Answers as one picture."""

from __future__ import annotations

from dataclasses import replace

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
    report = "a sentence of some length and no end " * 400
    long = Answer(query=Item(name="q", report=report), hits=answer.hits, pool_size=9)
    cut, whole = (draw_answers([long], title="T", foot="f", max_lines=n) for n in (10, 1000))
    assert cut.height < 600 < whole.height


def test_a_hit_has_its_study_and_percentile(answer: Answer) -> None:
    """Other ones are other pictures, and a text needs no room for a clip."""
    hit = answer.hits[0]
    plain, other, studies = (
        np.asarray(draw_answers([replace(answer, hits=(one,))], title="T", foot="f", num_hits=1))
        for one in (
            replace(hit, percentile=99.0),
            replace(hit, percentile=98.0),
            replace(hit, percentile=99.0, studies=("S-1", "S-2")),
        )
    )
    assert plain.shape == other.shape == studies.shape
    assert (plain != other).any()
    assert (plain != studies).any()
    text = replace(answer, query=Item(name="q", report="EF 55%."))
    clip = replace(text, query=replace(text.query, frames=np.zeros((4, 64, 64, 3), np.uint8)))
    heights = [draw_answers([one], title="T", foot="f").height for one in (text, clip)]
    assert heights[1] - heights[0] == 98


def test_a_long_name_ends_with_the_sheet(answer: Answer) -> None:
    """Title, foot and the name of a query are cut with a mark, and leave the margin white."""
    long = "S" * 400
    query = replace(answer.query, name=long)
    sheet = np.asarray(draw_answers([replace(answer, query=query)], title=long, foot=long))
    assert (sheet[:, -23:] == 255).all()
