"""The sample of reports inside the package."""

from __future__ import annotations

from pathlib import Path

from command_line import Run

import echotok
from echotok.corpora import read_reports


def test_the_sample_is_written_and_read(run: Run, tmp_path: Path) -> None:
    """The file holds the reports that Python gets, each with a patient, none blank or twice."""
    out = tmp_path / "reports.csv"
    done = run("sample", "--out", out)
    assert done.code == 0
    assert "simulated patients" in done.err
    found = list(read_reports([out], column="report", patient_column="patient_id"))
    assert [report.text for report in found] == echotok.sample_reports()
    assert len(set(echotok.sample_reports())) == 79
    assert len({report.patient for report in found}) == 40


def test_nothing_is_overwritten_unless_asked(run: Run, tmp_path: Path) -> None:
    """A file that is there stays as it is, until `--force` is given."""
    out = tmp_path / "reports.csv"
    out.write_text("mine", encoding="utf-8")
    done = run("sample", "--out", out)
    assert (done.code, out.read_text(encoding="utf-8")) == (1, "mine")
    assert "is there already" in done.err and "--force" in done.err
    assert run("sample", "--out", out, "--force").code == 0
    assert out.read_text(encoding="utf-8") == run("sample").out


def test_what_cannot_be_written_is_said(run: Run, tmp_path: Path) -> None:
    """A folder that is not there is named."""
    done = run("sample", "--out", tmp_path / "nowhere" / "reports.csv")
    assert done.code == 1
    assert "nowhere" in done.err and "Traceback" not in done.err
