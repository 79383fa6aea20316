"""Reports to try everything on: of simulated patients, written by the phantom of this project."""

from __future__ import annotations

import csv
import io
from importlib import resources

__all__ = ["sample_csv", "sample_reports"]


def sample_csv() -> str:
    """The sample as a CSV table: study_id, patient_id, date, report; one row a study."""
    return (resources.files("echotok") / "data" / "sample_reports.csv").read_text(encoding="utf-8")


def sample_reports() -> list[str]:
    """79 echo reports of 40 simulated patients, in four styles. No patient stands behind them.

    Example:
        >>> len(sample_reports())
        79
    """
    return [row["report"] for row in csv.DictReader(io.StringIO(sample_csv()))]
