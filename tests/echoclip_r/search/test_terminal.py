"""An answer on a terminal, and piped."""

from __future__ import annotations

import io
import sys
from typing import Any

from echoclip_r.model.trained import TrainedModel
from echoclip_r.search.answers import Answer
from echoclip_r.search.terminal import show


def test_the_terminal_gets_marked_reports_and_no_control_characters(
    answer: Answer, untrained: TrainedModel, capsys: Any
) -> None:
    """Piped, there is no picture and no colour; every report is one line."""
    show(answer, untrained.text.tokenizer)
    out = capsys.readouterr().out
    assert out.startswith("<i>S-1</i>: the best 2 of 500\n")
    assert "2. cosine -0.200, S-1, 3 times the same text" in out
    assert "<mild>" in out.lower()
    assert "\x1b" not in out
    assert "▀" not in out
    show(answer, None)
    assert (answer.query.report or "").replace("\x1b", "\u241b") in capsys.readouterr().out


def test_a_terminal_shows_the_clip(answer: Answer, monkeypatch: Any) -> None:
    """In half blocks, two pixels a character, where a person watches."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    show(answer, None)
    assert terminal.getvalue().count("▀") == 66 * 11
