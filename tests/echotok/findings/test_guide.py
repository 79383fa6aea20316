"""What docs/findings.md shows is what happens."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import echotok
from echotok.cli.main import main
from echotok.findings.reading import findings
from echotok.findings.rule_files import read_findings_rules
from echotok.findings.rules import FindingRule
from echotok.findings.table import COLUMNS

GUIDE = (Path(__file__).parents[3] / "docs" / "findings.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", GUIDE, flags=re.DOTALL)
REPORTS = ["No MR. LVEF is 55-60%.", "Severe AS.", "LVIDd 4.7 cm. Heart wire in the RV."]


def block(language: str) -> str:
    """The one block of a language."""
    [text] = [text for name, text in BLOCKS if name == language]
    return str(text)


def rows_of_tables() -> list[list[str]]:
    """The cells of every table whose head begins with "text"."""
    rows: list[list[str]] = []
    wanted = False
    for line in GUIDE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("|"):
            wanted = False
        elif cells[0] == "text":
            wanted = True
        elif wanted and not line.startswith("|---"):
            rows.append(cells)
    return rows


def test_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command of the guide ends well and writes what it says."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f's{at},"{text}"\n' for at, text in enumerate(REPORTS))
    Path("reports.csv").write_text("study_id,report\n" + rows)
    commands = [line.partition("#")[0] for line in block("").splitlines() if line]
    assert len(commands) >= 4
    for command in commands:
        name, *arguments = shlex.split(command)
        assert name == "echotok"
        assert main(arguments) == 0, capsys.readouterr().err
    assert Path("findings.csv").read_text().startswith("report,name,value")
    assert Path("answers.parquet").exists() and "<table>" in Path("report3.html").read_text()


def test_python_example_says_what_it_shows() -> None:
    """The values behind the comment sign are those of the line."""
    code = block("python")
    space: dict[str, object] = {"reports": REPORTS, "echotok": echotok}
    exec(code, space)
    [shown] = re.findall(r"^(rows\[1\].*?)  # (.*)$", code, flags=re.MULTILINE)
    assert eval(shown[0], space) == eval(shown[1])
    assert len(space["table"]) == 4  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "finding", "status", "value"), rows_of_tables())
def test_line_of_a_table(text: str, finding: str, status: str, value: str) -> None:
    """The text says the finding with that status and value."""
    [row] = [row for row in findings(text) if (row.name, row.status) == (finding, status)]
    assert row.value is None if value == "-" else row.value == pytest.approx(float(value))


def test_columns_and_keys_are_those_of_the_code() -> None:
    """Each column has its line; each key of a rule that the guide names is one."""
    table = GUIDE[GUIDE.index("## The columns") : GUIDE.index("**One answer")]
    named = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))
    assert set(named) == set(COLUMNS)
    keys = GUIDE[GUIDE.index("## Rules of your own") : GUIDE.index("## What is not")]
    heads = " ".join(re.findall(r"^\| (.*?) \|", keys, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", heads)) <= set(FindingRule.__dataclass_fields__)


def test_rules_of_the_guide_can_be_laid_over(tmp_path: Path) -> None:
    """The example file is read, and its words are found."""
    path = tmp_path / "house.toml"
    path.write_text(block("toml"))
    rules = read_findings_rules(path)
    assert [row.name for row in findings("Heart wire in the RV.", rules)] == ["pacemaker_lead"]


def test_counts_of_the_guide_hold() -> None:
    """There are as many rows as the tables need to be worth a look."""
    assert len(rows_of_tables()) >= 20
