"""How both commands start: quickly, with few imports; what `-v`, `-q` and `--version` do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Run, shell

import echotok

HEAVY = ["numpy", "torch", "pandas", "rich", "jinja2", "matplotlib", "scipy", "av", "open_clip"]
COMMANDS = {
    "echotok": ["encode", "decode", "show", "stats", "mine", "build", "validate"],
    "echoclip_r": [
        *("manifest", "prepare", "summary", "preview", "phantom", "train"),
        *("embed", "retrieve", "evaluate", "explain"),
    ],
}
STARTS = [
    (module, arguments)
    for module, names in COMMANDS.items()
    for arguments in (["--help"], ["--version"], *([name, "--help"] for name in names))
]


@pytest.mark.parametrize(("module", "arguments"), STARTS)
def test_a_start_imports_little(module: str, arguments: list[str]) -> None:
    """The help of every command comes at once: nothing heavy is imported for it."""
    code = (
        f"import sys; from {module}.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    if arguments[-1] == "--help":
        assert done.stdout.startswith("usage: ")


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("echotok", ["--version"]),
        ("echotok", ["--help"]),
        ("echoclip_r", ["--version"]),
        ("echoclip_r", ["train", "--help"]),
    ],
)
def test_a_start_takes_a_third_of_a_second(module: str, arguments: list[str]) -> None:
    """Of the processor's time, the best of five: the machine may be busy with other things."""
    best = float("inf")
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        best = min(best, usage.ru_utime + usage.ru_stime)
    assert best < 0.3


def test_quiet_and_verbose_stand_before_or_behind_the_command(tmp_path: Path) -> None:
    """`-q` leaves only errors on stderr, `-v` adds how long each step took."""
    (tmp_path / "a.txt").write_text("Mild mitral regurgitation. LVEF is 55%.")
    cut = ["encode", "--context-length", "4", tmp_path / "a.txt"]
    assert "reports were cut to 4 ids" in shell(*cut).err
    assert shell("-q", *cut) == shell(*cut, "-q")
    assert shell("-q", *cut).err == ""
    assert shell("-q", *cut).out == shell(*cut).out
    stats = ["stats", tmp_path / "a.txt"]
    assert shell(*stats).err == ""
    for loud in (shell("-v", *stats), shell(*stats, "-v")):
        assert loud.err.startswith("step: ")
        assert loud.err.endswith(" s measuring\n")
    assert "no such file" in shell("encode", "no.txt", "-q").err
    assert shell("stats", "-q", "-v", tmp_path / "a.txt").code == 2


def test_a_verbose_command_leaves_the_loggers_as_they_were(run: Run, tmp_path: Path) -> None:
    """The level is set for the command alone."""
    import logging

    (tmp_path / "a.txt").write_text("Mild MR.")
    before = [logging.getLogger(name).level for name in ("echotok", "echoclip_r")]
    assert run("encode", "-v", tmp_path / "a.txt").code == 0
    assert [logging.getLogger(name).level for name in ("echotok", "echoclip_r")] == before


def test_a_missing_package_says_what_to_install(small_table: Path, tmp_path: Path) -> None:
    """What trains the fallback is an extra; the message says which."""
    (tmp_path / "c.txt").write_text("Mild MR.")
    code = (
        "import sys; sys.modules['tokenizers'] = None\n"
        "from echotok.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    build = ["build", str(small_table), "--corpus", str(tmp_path / "c.txt"), "--min-documents", "1"]
    command = [sys.executable, "-c", code, *build, "--out", str(tmp_path / "o.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "echotok: training the domain fallback needs HF tokenizers: pip install 'echotok[build]', "
        "or build with --fallback clip\n"
    )


def test_a_package_that_every_command_needs(tmp_path: Path) -> None:
    """A damaged installation gives one line, too."""
    (tmp_path / "a.txt").write_text("Mild MR.")
    code = (
        "import sys; sys.modules['rich'] = None\n"
        "from echotok.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "show", str(tmp_path / "a.txt")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "echotok: this command needs the Python package rich, which is not installed; pip install "
        '"echotok[build]" installs everything that echotok needs\n'
    )


def test_a_value_error_of_our_own_shows_itself(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a bug, and no slip of a user."""

    def broken(self: echotok.Tokenizer, *_: object, **__: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(echotok.Tokenizer, "encode", broken)
    (tmp_path / "a.txt").write_text("Mild MR.")
    with pytest.raises(ValueError, match="a bug"):
        run("encode", tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("mine no.csv --out t", "cannot read no.csv: No such file or directory"),
        ("mine a.csv --column no --out t", "a.csv has no column 'no'; it has: text"),
        ("mine a.csv --out a.csv", "a.csv is there already and not empty; name another folder"),
        ("mine a.csv --out a.csv/t", "a.csv/t: Not a directory"),
        ("mine a.csv --out t --words no.txt", "cannot read no.txt: No such file or directory"),
        (
            "mine a.csv --out t --allow bad.txt",
            "bad.txt is not UTF-8 at byte 0 (line 1); convert it first, for example with iconv -f "
            "WINDOWS-1252 -t UTF-8 OLD > NEW; echotok's commands read reports in it with "
            "--encoding WINDOWS-1252 (Western Windows)",
        ),
        ("encode a.csv --column no", "a.csv has no column 'no'; it has: text"),
        ("decode folder", "cannot read folder: Is a directory"),
        ("validate nowhere", "1 problem(s) in nowhere"),
    ],
)
def test_slips(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    message: str,
) -> None:
    """One line that says what is wrong with what was given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("text\nMild MR.\n")
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    (tmp_path / "folder").mkdir()
    result = run(*arguments.split())
    assert (result.code, result.err) == (1, f"echotok: {message}\n")
    assert not (tmp_path / "t").exists()


def test_the_light_half_needs_nothing_of_unix(tmp_path: Path) -> None:
    """Where the modules of Unix are missing, as on Windows, echotok encodes, counts and finds."""
    report = tmp_path / "a.txt"
    report.write_text("Mild mitral regurgitation. LVEF is 55%.")
    code = (
        "import os, signal, sys\n"
        "for name in ('fcntl', 'grp', 'pwd', 'resource', 'termios'): sys.modules[name] = None\n"
        "for name in ('fork', 'getuid', 'wait4'): delattr(os, name)\n"
        "for name in ('SIGALRM', 'SIGHUP', 'SIGPIPE', 'SIGUSR1'): delattr(signal, name)\n"
        "from echotok.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    for command in ("encode", "show", "stats", "findings"):
        done = subprocess.run(
            [sys.executable, "-c", code, command, str(report)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == shell(command, report).out
