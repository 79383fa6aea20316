"""What only POSIX has is needed by nothing of echotok; no Windows machine was at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import REPORTS

HERE = Path(__file__).parent
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.path.insert(0, {here!r})
from without_posix import hide
{first}
hide()
import {package}
names = [module.name for module in pkgutil.walk_packages({package}.__path__, "{package}.")]
for name in names:
    # An adapter needs its library, and that may itself need POSIX.
    if not name.endswith("__main__") and not name.startswith("echotok.adapters."):
        importlib.import_module(name)
assert "fcntl" not in sys.modules or sys.modules["fcntl"] is None
print(len(names))
"""
COMMANDS = """
import multiprocessing, sys
sys.path.insert(0, {here!r})
from without_posix import hide
hide()
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    import echotok.coverage
    echotok.coverage._ALONE = 0.0
    from echotok.cli.main import main
    sys.exit(main(sys.argv[1:]))
"""


def python(*arguments: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_is_imported_without_posix(tmp_path: Path) -> None:
    """All of echotok is imported where fcntl and its like are not."""
    code = IMPORT_ALL.format(here=str(HERE), package="echotok", first="")
    assert int(python("-c", code, cwd=tmp_path)) > 50


def test_the_hiding_hides(tmp_path: Path) -> None:
    """A module that needs fcntl fails there: the tests above and below can fail."""
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import without_posix as w; w.hide()\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "import fcntl"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "fcntl" in done.stderr
    done = subprocess.run(
        [sys.executable, "-c", code + "import os; os.fork()"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "AttributeError" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="it is about POSIX")
def test_the_commands_work_without_posix(tmp_path: Path) -> None:
    """Commands, worker processes among them, run without fork, in processes that start afresh."""
    program = tmp_path / "program.py"
    program.write_text(COMMANDS.format(here=str(HERE)), encoding="utf-8")
    path = tmp_path / "reports.txt"
    text = REPORTS[0] + "\n"
    path.write_text(text * 500, encoding="utf-8")
    told = python(program, "stats", "--lines", "--workers", "2", path, cwd=tmp_path)
    assert "500 of 500 decode exactly" in told
    ids = tmp_path / "ids.txt"
    ids.write_text(python(program, "encode", "--lines", path, cwd=tmp_path), encoding="utf-8")
    assert python(program, "decode", ids, cwd=tmp_path).count("lvef is 55-60%.\n") == 500
    python(program, "findings", "--lines", path, "--out", tmp_path / "found.csv", cwd=tmp_path)
    python(program, "show", path, "--html", tmp_path / "page.html", cwd=tmp_path)
    assert (tmp_path / "page.html").stat().st_size > 1000
