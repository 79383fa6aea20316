"""What is written to a file is whole, whoever leaves a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import shell

import echotok
from echotok.cli.running import run_command


def _closed(*arguments: str | Path, stderr: bool) -> int:
    """Run the command with a stdout (and stderr) whose reader has left already."""
    read, write = os.pipe()
    os.close(read)
    try:
        return subprocess.run(
            [sys.executable, "-m", "echotok", *map(str, arguments)],
            stdout=write,
            stderr=write if stderr else subprocess.DEVNULL,
        ).returncode
    finally:
        os.close(write)


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A table of reports, one of them blank, so that something is said on stderr."""
    path = tmp_path / "reports.csv"
    rows = [f'r{n},"Mild mitral regurgitation. LVEF is {n}%."' for n in range(20, 70)]
    path.write_text("\n".join(["id,report", *rows, "r99,"]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("stderr", [False, True])
def test_files_outlive_the_reader(reports: Path, tmp_path: Path, stderr: bool) -> None:
    """A page, a table of findings and an artifact are written as if somebody had read on."""
    commands = {
        "page.html": ["show", reports, "--html"],
        "findings.csv": ["findings", reports, "--id-column", "id", "--out"],
        "explained.html": ["findings", reports, "--explain", "2", "--html"],
    }
    for name, command in commands.items():
        whole, left = tmp_path / f"whole-{name}", tmp_path / f"left-{name}"
        assert shell(*command, whole).code == 0
        assert _closed(*command, left, stderr=stderr) in (0, 141)
        assert left.read_bytes() == whole.read_bytes()


def test_a_mined_table_outlives_the_reader(reports: Path, tmp_path: Path) -> None:
    """Mining and building, which say much on stderr, end as they would."""
    options = ["--vocab-size", "200", "--k", "2"]
    assert _closed("mine", reports, *options, "--out", tmp_path / "left", stderr=True) == 0
    assert shell("mine", reports, *options, "--out", tmp_path / "whole").code == 0
    left, whole = (
        {
            path.name: path.read_bytes()
            for path in (tmp_path / name).iterdir()
            if path.suffix != ".toml"
        }
        for name in ("left", "whole")
    )
    assert left == whole
    out = tmp_path / "left.json"
    assert _closed("build", tmp_path / "left", "--out", out, stderr=True) == 0
    assert echotok.load(out).name == "left"


def test_a_command_that_prints_and_writes_does_both(tmp_path: Path) -> None:
    """Whatever it prints first, its file comes; what only prints ends with its reader."""
    code = (
        "import sys; from argparse import ArgumentParser\n"
        "from pathlib import Path\n"
        "from echotok.cli.running import add_version, run_command\n"
        "def run(arguments):\n"
        "    for line in range(200_000): print('line', line)\n"
        "    Path('reached').touch()\n"
        "    if arguments.html: arguments.html.write_text('whole')\n"
        "parser = ArgumentParser(prog='both'); add_version(parser)\n"
        "parser.add_argument('--html', type=Path)\n"
        "parser.set_defaults(run=run)\n"
        "sys.exit(run_command(parser, None, errors=(), usage_errors=(), extra='x'))\n"
    )
    assert callable(run_command)
    for arguments, reached in (([], False), (["--html", "page.html"], True)):
        command = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
        )
        assert command.stdout is not None and command.stderr is not None
        assert command.stdout.readline() == b"line 0\n"
        command.stdout.close()
        assert command.stderr.read() == b""
        command.stderr.close()
        assert command.wait() == 141
        assert (tmp_path / "reached").exists() is reached
    assert (tmp_path / "page.html").read_text() == "whole"
