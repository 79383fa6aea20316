"""Build the documentation as a site of plain files: README, docs, results, and both packages' API.

    make docs        the site in runs/site: open runs/site/index.html (its search needs a server)

Pages keep the places that they have in the repository, so that links hold here and there.
"""

from __future__ import annotations

import argparse
import inspect
import re
import shutil
import sys
from pathlib import Path

import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config

import echoclip_r
import echotok

ROOT = Path(__file__).parents[1]
_REMOTE = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^\"' >]+"
)
_BESIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
_GUIDES = {
    "mining": "From a CSV to a tokenizer",
    "findings": "Findings",
    "clips": "Clips and masks",
    "archives": "Archives",
    "scale": "More than one machine",
    "exchange": "open_clip and models of others",
    "evaluation": "Evaluation",
    "search": "Search",
    "transformers": "transformers",
    "recipes": "Recipes for other libraries",
    "architecture": "Architecture",
    "log": "Log",
}


def main() -> int:
    """Build the site; 1 if a page of it would load anything from elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "site", metavar="FOLDER")
    out: Path = parser.parse_args().out
    pages = out.with_name(f"{out.name}-pages")
    shutil.rmtree(pages, ignore_errors=True)
    nav = stage(pages)
    config = pages.with_name(f"{pages.name}.yml")
    content = yaml.safe_load((ROOT / "docs" / "site.yml").read_text(encoding="utf-8"))
    content |= {"docs_dir": str(pages.resolve()), "site_dir": str(out.resolve()), "nav": nav}
    config.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    build(load_config(str(config)))
    shutil.rmtree(pages)
    config.unlink()
    bad = [
        f"{path.relative_to(out)}: {found[0]}"
        for path in sorted(out.rglob("*.html"))
        for found in _REMOTE.finditer(path.read_text(encoding="utf-8"))
        if "rel=canonical" not in found[0]
    ]
    print("\n".join(bad) or f"{sum(1 for _ in out.rglob('*.html'))} pages in {out}")
    return bool(bad)


def stage(pages: Path) -> list[object]:
    """Copy what becomes a page into a folder, and write its pages of the API.

    Returns:
        The site's table of contents.
    """
    shutil.copytree(
        ROOT / "docs", pages / "docs", ignore=shutil.ignore_patterns("*.py", "*.yml", "api")
    )
    shutil.copytree(
        ROOT / "benchmarks" / "results",
        pages / "benchmarks" / "results",
        ignore=shutil.ignore_patterns("*.json"),
    )
    shutil.copy(ROOT / "README.md", pages / "index.md")
    for name in _BESIDE:
        shutil.copy(ROOT / name, pages / name)
    for package in (echotok, echoclip_r):
        path = pages / "docs" / "api" / f"{package.__name__}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(api_page(package), encoding="utf-8")
    guides = {
        title: f"docs/{name}.md"
        for name, title in _GUIDES.items()
        if (pages / "docs" / f"{name}.md").exists()
    }
    return [
        {"echotok": "index.md"},
        {"Guides": [{title: path} for title, path in guides.items()]},
        {"API": [{one: f"docs/api/{one}.md"} for one in ("echotok", "echoclip_r")]},
        {"Decisions": [f"docs/adr/{path.name}" for path in sorted((ROOT / "docs/adr").glob("*"))]},
        {
            "Results": [
                f"benchmarks/results/{path.name}"
                for path in sorted((ROOT / "benchmarks" / "results").glob("*.md"))
            ]
        },
        {"Project": list(_BESIDE)},
    ]


def api_page(package: object) -> str:
    """A page with every public name of a package, taken from where it is defined."""
    name = package.__name__  # type: ignore[attr-defined]
    lines = [f"# API of {name}", "", (inspect.getdoc(package) or "").split("\n\n")[0], ""]
    for public in sorted(package.__all__):  # type: ignore[attr-defined]
        thing = getattr(package, public)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        lines += [f"## {public}", "", f"::: {thing.__module__}.{thing.__qualname__}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
