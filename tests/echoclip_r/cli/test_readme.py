"""Each command of the torch half in the guides is parsed by its own parser; see tests/echotok."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "echotok"))
from guides import GUIDES, blocks, check_commands, commands, words_of

from echoclip_r.cli.main import build_parser


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_every_command_of_a_guide_parses(path, tmp_path, monkeypatch):
    """No option or sub-command of `echoclip-r` is out of date."""
    monkeypatch.chdir(tmp_path)
    check_commands(path, build_parser(), "echoclip-r")


def test_the_readme_has_commands_of_the_torch_half():
    """The tests above have something to parse: five commands in blocks at least."""
    found = [
        command
        for block in blocks(GUIDES[0])
        for command in commands(block)
        if words_of(command, "echoclip-r") is not None
    ]
    assert {command.split()[1] for command in found} >= {"summary", "preview", "prepare"}
    assert any("train" in command for command in found)
    assert len(found) >= 5
