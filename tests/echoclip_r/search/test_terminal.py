"""An answer on a terminal, and piped."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

from echoclip_r.search.answers import Answer, Hit, Item
from echoclip_r.search.terminal import show


def test_the_terminal_gets_findings_and_no_control_characters(answer: Answer, capsys: Any) -> None:
    """Piped, there is no picture and no colour; the text is printed where it is asked for."""
    show(answer)
    out = capsys.readouterr().out
    assert out.startswith("<i>S-1</i>: the best 2 of 500\nits own report is rank 2\n")
    assert "2. cosine -0.200, S-1, 3 times the same text, the query's own report" in out
    assert re.search(r"Ejection fraction +55 % +✓ 55 % +✓ 55 %", out)
    assert "findings: 1 agree, 0 differ, 0 only the query says, 1 only this one says" in out
    assert "<script>" not in out
    assert "\x1b" not in out
    assert "▀" not in out
    show(answer, full=True)
    assert (answer.query.report or "").replace("\x1b", "\u241b") in capsys.readouterr().out


def test_a_report_without_a_finding_is_shown_itself(capsys: Any) -> None:
    """Else nothing would be seen of it."""
    hit = Hit(rank=1, cosine=0.5, item=Item(name="S-1", report="Poor windows today."))
    show(Answer(query=Item(name="q", report="hello"), hits=(hit,), pool_size=1, notes=("said",)))
    out = capsys.readouterr().out
    assert "Poor windows today." in out
    assert "\nsaid\n" in out


def test_a_terminal_shows_the_clip(answer: Answer, monkeypatch: Any) -> None:
    """In half blocks, two pixels a character, where a person watches."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    show(answer)
    assert terminal.getvalue().count("▀") == 66 * 11
