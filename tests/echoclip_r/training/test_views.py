"""What a view reads of a report."""

from __future__ import annotations

import random

import numpy as np
import pytest

import echotok
from echoclip_r.text.claims import default_claims
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.views import (
    TEXT_VIEWS,
    RandomFrame,
    SentenceRun,
    Statement,
    TextView,
    TokenSpan,
    Twins,
    WholeReport,
)

REPORT = (
    "The left ventricular ejection fraction is 55-60%. There is mild mitral regurgitation. "
    "No pericardial effusion. The aortic root measures 3.4 cm."
)


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    return TextCodec(echotok.load("echo"), context_length=77)


@pytest.mark.parametrize(
    "view",
    [
        TokenSpan(),
        WholeReport(),
        WholeReport(drop_sentences=0.5),
        SentenceRun(),
        Statement(),
        Twins(),
    ],
)
def test_a_draw_gives_one_reading(view: TextView, codec: TextCodec) -> None:
    """The same source of chance, the same ids; with BOS and EOS, within the context (I13)."""
    for seed in range(20):
        readings = [view.read(REPORT, codec, random.Random(seed)) for _ in range(2)]
        assert [len(reading) for reading in readings] == [view.num_texts] * 2
        for first, again in zip(*readings, strict=True):
            assert (first.ids, first.identity) == (again.ids, again.identity)
            np.testing.assert_array_equal(first.states, again.states)  # type: ignore[arg-type]
            assert first.ids[0] == codec.bos_id
            assert first.ids[-1] == codec.eos_id
            assert len(first.ids) <= codec.context_length


def test_every_view_is_tried_above() -> None:
    """A view that is added is added there."""
    assert set(TEXT_VIEWS.values()) == {
        TokenSpan,
        WholeReport,
        SentenceRun,
        Statement,
        Twins,
    }


def test_a_whole_report_keeps_its_identity_whatever_is_left_out(codec: TextCodec) -> None:
    """Fewer sentences are read, and the text stays the same one."""
    view = WholeReport(drop_sentences=0.9)
    readings = [view.read(REPORT, codec, random.Random(seed))[0] for seed in range(50)]
    assert {tuple(reading.identity) for reading in readings} == {tuple(codec.whole(REPORT))}
    assert len({tuple(reading.ids) for reading in readings}) > 4


def test_a_whole_report_draws_nothing_where_nothing_is_left_out(codec: TextCodec) -> None:
    """What is drawn after it does not depend on it (I13)."""
    draw = random.Random(0)
    before = draw.getstate()
    assert WholeReport().read(REPORT, codec, draw)[0].ids == codec.whole(REPORT)
    assert draw.getstate() == before


def test_a_sentence_run_is_no_longer_than_asked(codec: TextCodec) -> None:
    """One sentence at a time gives the four sentences of the report, each as its own text."""
    view = SentenceRun(max_sentences=1)
    found = set()
    for seed in range(60):
        (reading,) = view.read(REPORT, codec, random.Random(seed))
        assert reading.ids == reading.identity
        found.add(tuple(reading.ids))
    assert len(found) == 4


@pytest.mark.parametrize("edited", [0.0, 1.0])
def test_a_statement_states_what_its_text_says(codec: TextCodec, edited: float) -> None:
    """True of its own report where nothing is edited; else nearly always another's.

    A number may be moved to where it was, once it is rounded.
    """
    claims = default_claims()
    said = claims.read(REPORT)
    view = Statement(edited=edited)
    num_true = 0
    for seed in range(20):
        (reading,) = view.read(REPORT, codec, random.Random(seed))
        assert reading.states is not None
        stated = ~np.isnan(reading.states)
        assert stated.any()
        num_true += np.array_equal(reading.states[stated], said[stated])
        assert codec.tokenizer is not None
        text = codec.tokenizer.decode(reading.ids)
        np.testing.assert_array_equal(claims.read(text), reading.states)
    assert num_true == 20 if edited == 0 else num_true <= 3


def test_a_report_that_claims_nothing_gives_a_statement_of_nothing(codec: TextCodec) -> None:
    """It is no answer and no question."""
    (reading,) = Statement().read("Poor windows.", codec, random.Random(0))
    assert reading.states is not None
    assert np.isnan(reading.states).all()
    assert reading.ids == [codec.bos_id, codec.eos_id]


def test_twins_differ_in_one_finding(codec: TextCodec) -> None:
    """The first is the report's own text; of the second some claim differs, and the text says it.

    Each finding that can be changed comes up, with the whole report around it more often than not.
    """
    claims = default_claims()
    said = claims.read(REPORT)
    changed_columns, num_whole = set(), 0
    for seed in range(60):
        first, second = Twins(longest_twin=8).read(REPORT, codec, random.Random(seed))
        assert first.states is not None
        assert second.states is not None
        stated = ~np.isnan(first.states)
        np.testing.assert_array_equal(first.states[stated], said[stated])
        assert codec.tokenizer is not None
        for reading in (first, second):
            text = codec.tokenizer.decode(reading.ids)
            np.testing.assert_array_equal(claims.read(text), reading.states)
        differs = ~(np.isnan(first.states) & np.isnan(second.states))
        differs &= first.states != second.states
        assert differs.any() == (first.ids != second.ids)
        changed_columns |= {claims.names[column] for column in np.flatnonzero(differs)}
        num_whole += first.ids == codec.whole(REPORT)
    assert changed_columns >= {"ejection_fraction", "mitral_regurgitation", "pericardial_effusion"}
    assert num_whole > 30


def test_a_report_that_claims_nothing_has_no_twin(codec: TextCodec) -> None:
    """Both are of nothing."""
    first, second = Twins().read("Poor windows.", codec, random.Random(0))
    assert first.ids == second.ids == [codec.bos_id, codec.eos_id]


def test_only_a_whole_report_can_be_cut(codec: TextCodec) -> None:
    """Parts are meant to be parts, so they are not counted (I8)."""
    short = TextCodec(codec.tokenizer, context_length=6)
    assert WholeReport().is_cut(REPORT, short)
    assert not WholeReport().is_cut(REPORT, codec)
    assert not TokenSpan().is_cut(REPORT, short)
    assert not SentenceRun().is_cut(REPORT, short)


def test_all_frames_come_up() -> None:
    """Each about as often as the others."""
    picks = [RandomFrame().pick(4, random.Random(seed)) for seed in range(800)]
    assert all(150 < picks.count(frame) < 250 for frame in range(4))
