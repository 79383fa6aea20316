"""Misspelt commands, options and columns are answered with the nearest known name; completion."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Run

from echotok.spelling import did_you_mean


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("reprot", ["report", "patient"], "report"),
        ("Report", ["patient", "report "], "report "),
        ("report", ["id", "report_text"], "report_text"),
        ("Report Text", ["id", "report_text"], "report_text"),
        ("REPORTTEXT", ["id", "report-text"], "report-text"),
        ("patientid", ["patient_id", "study_id"], "patient_id"),
        ("--colunm", ["--column", "--clip-merges"], "--column"),
        ("--min-report", ["--min-reports", "--merges"], "--min-reports"),
        ("xyz", ["report", "patient"], None),
        ("a", ["report", "patient"], None),
        ("", ["report"], None),
        ("report" * 30, ["report"], None),
    ],
)
def test_the_nearest_name(name: str, known: list[str], near: str | None) -> None:
    """Letter case, separators and slips do not hide a name; a far one is not suggested."""
    assert did_you_mean(name, known) == (f"; did you mean {near!r}?" if near else "")


@pytest.mark.parametrize(
    ("command", "near"),
    [
        ("echotok stat a.csv", "stats"),
        ("echotok finding a.csv", "findings"),
        ("echotok stats --colunm report a.csv", "--column"),
        ("echotok stats --worker=2 --jsn a.csv", "--json"),
        ("echotok mine a.csv --vocabsize 9 --out b", "--vocab-size"),
        ("echotok mine a.csv --outt b", "--out"),
        ("echotok build b --oot b.json", "--out"),
        ("echoclip_r trian --recipe x", "train"),
        ("echoclip_r summary a.csv --jsno", "--json"),
        ("echoclip_r train --recipy echoclip", "--recipe"),
    ],
)
def test_slips_on_the_command_line(command: str, near: str) -> None:
    """Both commands end with code 2 and say which name was meant."""
    module, *arguments = command.split()
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"did you mean '{near}'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_text_of_a_report_is_not_repeated(run: Run) -> None:
    """A report that was given as an argument may be a patient's (I9)."""
    for arguments in (["stats", "-", "-Zanzibar"], ["validate", "folder", "Zanzibar Quagmire"]):
        done = run(*arguments)
        assert done.code != 0
        assert "Zanzibar" not in done.err


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_slips_in_the_name_of_a_column(run: Run, tmp_path: Path, ending: str) -> None:
    """The nearest column is named behind all of them, for reports and for patients."""
    path = tmp_path / f"reports{ending}"
    if ending == ".csv":
        path.write_text("Patient ID,Findings Text\np1,Mild MR.\n", encoding="utf-8")
    else:
        path.write_text('{"Patient ID": "p1", "Findings Text": "Mild MR."}\n', encoding="utf-8")
    done = run("stats", path, "--column", "findings_text")
    assert done.code == 1
    assert "did you mean 'Findings Text'?" in done.err
    done = run("mine", path, "--column", "Findings Text", "--patient-column", "patient_id",
               "--out", tmp_path / "out")  # fmt: skip
    assert "did you mean 'Patient ID'?" in done.err


def test_a_table_without_a_header_gives_no_name_away(run: Run, tmp_path: Path) -> None:
    """What stands in the first line may be a report, and is no suggestion."""
    path = tmp_path / "reports.csv"
    path.write_text('p1,"Report: Zanzibar, mild MR."\np2,Normal.\n', encoding="utf-8")
    done = run("stats", path, "--column", "report")
    assert done.code == 1
    assert "Zanzibar" not in done.err
    assert "did you mean" not in done.err


@pytest.mark.parametrize("module", ["echotok", "echoclip_r"])
@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_for_each_shell(module: str, shell: str) -> None:
    """The script names commands and options, and is one that the shell can read."""
    pytest.importorskip("shtab")
    done = subprocess.run(
        [sys.executable, "-m", module, "--print-completion", shell], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for word in {"echotok": ("stats", "vocab-size"), "echoclip_r": ("train", "recipe")}[module]:
        assert word in done.stdout
    if shutil.which(shell):
        check = subprocess.run([shell, "-n"], input=done.stdout, text=True, capture_output=True)
        assert check.returncode == 0, check.stderr


def test_bash_completes_commands_options_and_files(tmp_path: Path) -> None:
    """The script at work in bash: `st` becomes `stats`, `--col` is `--column`, a file is found."""
    pytest.importorskip("shtab")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    (tmp_path / "my_reports.csv").touch()
    script = subprocess.run(
        [sys.executable, "-m", "echotok", "--print-completion", "bash"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    name = re.search(r"-F (\S+) echotok", script)
    assert name is not None
    for words, found in (
        (["st"], "stats"),
        (["stats", "--col"], "--column"),
        (["stats", "my_re"], "my_reports.csv"),
    ):
        line = ["echotok", *words]
        ask = (
            f"COMP_WORDS=({' '.join(line)}); COMP_CWORD={len(words)}\n{name[1]}\n"
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            [bash, "-c", f"{script}\n{ask}"], capture_output=True, text=True, cwd=tmp_path
        )
        assert found in done.stdout.split(), done.stderr
