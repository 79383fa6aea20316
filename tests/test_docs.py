"""The notebooks run, and the documentation becomes a site that needs no network."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell, in order, in a folder of its own; what is committed holds no results."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    client = NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert any(cell.get("outputs") for cell in notebook.cells)


def test_the_citation_is_whole_and_of_this_version() -> None:
    """What the schema of CITATION.cff 1.2.0 asks for, and the project's own version and licence."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert all(author.keys() & {"name", "family-names"} for author in citation["authors"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    (paper,) = citation["references"]
    assert re.fullmatch(r"10\.\d{4,}/\S+", paper["doi"])


@pytest.mark.timeout(600)
def test_the_site_is_whole_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """README, guides and both packages' API; the command itself fails where a page is remote."""
    pytest.importorskip("mkdocstrings", reason="needs the extra docs")
    out = tmp_path / "site"
    command = [sys.executable, ROOT / "docs" / "site.py", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert re.search(r"\d+ pages in ", done.stdout)
    api = (out / "docs" / "api" / "echotok.html").read_text(encoding="utf-8")
    for name in ("Tokenizer", "encode_batch", "sample_reports"):
        assert name in api
    assert "docs/mining.html" in (out / "index.html").read_text(encoding="utf-8")
