"""The sample of reports that `echotok` carries is the phantom's, and nothing else."""

import subprocess
import sys
from pathlib import Path

from echotok.sample import sample_csv

ROOT = Path(__file__).parents[3]


def test_the_sample_is_what_the_phantom_writes():
    """`make sample` gives the file that is there, byte for byte."""
    recipe = next(
        line
        for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
        if line.endswith("> echotok/data/sample_reports.csv")
    )
    _, script, *options = recipe.partition(" > ")[0].split()
    written = subprocess.run(
        [sys.executable, ROOT / script, *options], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    assert written == sample_csv()
