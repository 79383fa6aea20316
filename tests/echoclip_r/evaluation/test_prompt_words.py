"""Prompts in words that a model hardly knows are said, and never bury what else is said."""

from __future__ import annotations

import logging

import pytest

from echoclip_r.evaluation.prompt_words import say_remarks
from echoclip_r.text.word_counts import Remark


@pytest.mark.parametrize(("num", "lines"), [(0, 0), (2, 2), (3, 3), (40, 4)])
def test_the_first_prompts_are_said_and_the_others_counted(
    caplog: pytest.LogCaptureFixture, num: int, lines: int
) -> None:
    """Forty prompts take three lines and a number."""
    remark = Remark(num_words=4, unknown=("wombat",), num_unknown=1, share_bpe=0, is_counted=True)
    with caplog.at_level(logging.WARNING):
        say_remarks("r (run)", {f"Prompt {number}.": remark for number in range(num)})
    assert len(caplog.messages) == lines
    if num == 40:
        assert "and so of 37 more prompts; metrics.json names them" in caplog.messages[-1]
