"""Each command and Python block of the README is run here, or stands in a list that says why not.

Whatever is not run is parsed by the program's own parser, so that no option can be out of date;
`tests/echoclip_r/cli/test_readme.py` does so for the torch half.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command_line import needs_clip
from guides import (
    GUIDES,
    PROGRAMS,
    README,
    ROOT,
    Block,
    blocks,
    check_commands,
    commands,
    inline,
    parser_of,
    unknown_options,
)

from echotok.cli.main import make_parser

# What is not run, and why; everything else is.
NOT_RUN = {
    "pip": "it installs; the wheel itself is tried in test_wheel.py, and the extras are looked up",
    "make": "it sets up, trains or measures for minutes to hours; its targets are looked up",
    "echoclip-r": "it needs torch and an archive of clips; its options are parsed",
    "torchrun": "it trains for hours on several GPUs; its options are parsed",
}
NO_COMMANDS = ["report -> normalize -> pieces"]  # how these blocks begin: a drawing


@pytest.fixture
def bash(tmp_path: Path) -> list[str]:
    """A shell in an empty folder's face of `pip install`: `echotok` is this checkout's."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "echotok"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec "{sys.executable}" -m echotok "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    (tmp_path / "empty").mkdir()
    return ["env", f"PATH={programs}:{os.environ['PATH']}", "bash", "-euo", "pipefail", "-c"]


@needs_clip
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.name != "posix", reason="it runs a POSIX shell")
def test_the_commands_run_in_order(bash: list[str], tmp_path: Path) -> None:
    """From top to bottom in one empty folder: each ends well and leaves its files."""
    pytest.importorskip("tokenizers")
    ran: list[str] = []
    for block in blocks(README):
        for command in commands(block):
            if command.split()[0] in NOT_RUN:
                continue
            done = subprocess.run(
                [*bash, command], cwd=tmp_path / "empty", capture_output=True, text=True
            )
            assert done.returncode == 0, f"{block.where}: {command}\n{done.stderr}"
            assert "Traceback" not in done.stderr
            ran.append(command)
    assert [command.split()[1] for command in ran[:6]] == [
        "sample", "show", "stats", "findings", "encode", "decode",
    ]  # fmt: skip
    assert {command.split()[1] for command in ran} >= {"mine", "build"}
    written = {path.name for path in (tmp_path / "empty").iterdir()}
    assert {"reports.csv", "findings.csv", "my_table", "my_tokenizer.json", "my.json"} <= written


def test_the_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is run as it stands, after those above it."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    found = [block for block in blocks(README) if block.language == "python"]
    assert found
    for block in found:
        exec(compile(block.text, block.where, "exec"), names)


def test_no_block_is_passed_over() -> None:
    """A block of the README is Python, or commands, or stands in the list of drawings."""
    for block in blocks(README):
        assert (
            block.language == "python"
            or commands(block)
            or any(block.text.startswith(start) for start in NO_COMMANDS)
        ), f"{block.where}: a line of this block begins with none of {', '.join(PROGRAMS)}"


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_every_command_of_a_guide_parses(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No option or sub-command of `echotok` is out of date."""
    monkeypatch.chdir(tmp_path)
    check_commands(path, make_parser(), "echotok")


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_every_target_of_make_is_there(path: Path) -> None:
    """`make NAME` in a guide is a target of the Makefile."""
    targets = set(
        re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    )
    told = [*inline(path), *(command for block in blocks(path) for command in commands(block))]
    for command in told:
        if command.startswith("make "):
            names = [word for word in command.split()[1:] if "=" not in word]
            assert set(names) <= targets, f"{path.name}: {command}"


def test_every_extra_is_there() -> None:
    """`pip install "echotok[NAME]"` names an extra of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"echotok\[([a-z-]+)\]", README.read_text(encoding="utf-8")))
    assert named <= set(project["optional-dependencies"])
    assert {"build", "echoclip-r", "completion"} <= named


def test_every_link_within_the_project_leads_somewhere() -> None:
    """A file that a guide links to is there."""
    for path in GUIDES:
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
        for link in re.findall(r"\]\(([^)#\s]+)", text):
            if not link.startswith(("http://", "https://", "mailto:")):
                assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_the_checks_can_fail() -> None:
    """A wrong option, a command that is not there, an unknown program: each is found."""
    parser = make_parser()
    assert [*unknown_options(parser, ["stats", "--colum", "x"])] == ["--colum"]
    assert parser_of(parser, ["stat"]) is parser
    assert commands(Block("x:1", "", "echotok stats a.csv  # why\nls\n")) == []
    assert commands(Block("x:1", "", "echotok stats \\\n  a.csv  # why\n")) == [
        "echotok stats a.csv"
    ]
