"""The pages that show echotok inside other libraries, run block by block."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PAGES = {"recipes.md": "## ", "transformers.md": "# "}


def _sections() -> dict[str, str]:
    """The Python code of each section: of a page of recipes, or of a page as a whole."""
    found: dict[str, list[str]] = {}
    for page, heading in PAGES.items():
        title, inside = page, False
        for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
            if line.startswith("```"):
                inside = line == "```python"
            elif inside:
                found.setdefault(title, []).append(line)
            elif line.startswith(heading):
                title = f"{page}: {line.removeprefix(heading)}"
    return {title: "\n".join(lines) + "\n" for title, lines in found.items()}


SECTIONS = _sections()


def test_every_library_has_its_recipe() -> None:
    """A heading that is renamed is seen here."""
    titles = " ".join(SECTIONS)
    for library in ("pandas", "polars", "spaCy", "DataLoader", "open_clip", "transformers"):
        assert library in titles


@pytest.mark.parametrize("title", SECTIONS)
def test_a_recipe_runs(title: str, tmp_path: Path) -> None:
    """A section's code runs as a script of its own, without a warning of echotok's."""
    code = SECTIONS[title]
    for module in re.findall(r"^(?:import|from) (\w+)", code, flags=re.M):
        pytest.importorskip(module)
    script = tmp_path / "recipe.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=tmp_path, timeout=280
    )
    assert done.returncode == 0, done.stderr
