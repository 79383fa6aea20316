"""Writes the picture and the lists of docs/architecture.md from the code: `make architecture`.

Between its markers that page holds nothing by hand: which room imports which comes from the import
statements, what a room is from the docstring of its package or module. `--check` says whether the
page is up to date (exit 1 if not); a test runs it.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import networkx as nx

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
# Everything stands on these two grounds, and everything stands below the command line: arrows to
# them would say nothing.
_LEFT_OUT = ("__main__", "errors", "cli")


def main() -> int:
    """Write the page, or say that it is stale."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    arguments = parser.parse_args()
    before = PAGE.read_text(encoding="utf-8")
    after = before
    for package in ("echotok", "echoclip_r"):
        rooms = dict(describe(package))
        after = _put(after, f"picture of {package}", draw(package, rooms))
        lines = [f"- **`{name}`**: {what}" for name, what in rooms.items()]
        after = _put(after, f"rooms of {package}", "\n".join(lines))
    if arguments.check:
        if before != after:
            print("docs/architecture.md is stale: run `make architecture`", file=sys.stderr)
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


def describe(package: str) -> Iterator[tuple[str, str]]:
    """Each room and the first line of its docstring."""
    for path in sorted((ROOT / package).iterdir()):
        file = path / "__init__.py" if path.is_dir() else path
        if path.name.startswith("__") or file.suffix != ".py" or not file.is_file():
            continue
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        yield path.stem, text.split("\n", maxsplit=1)[0]


def draw(package: str, rooms: dict[str, str]) -> str:
    """A Mermaid chart: who imports whom, without arrows that a longer way implies."""
    graph = grimp.build_graph(package, cache_dir=None)
    edges: nx.DiGraph[str] = nx.DiGraph()
    shown = [room for room in rooms if room not in _LEFT_OUT]
    edges.add_nodes_from(shown)
    for room in shown:
        for other in shown:
            if room != other and graph.direct_import_exists(
                importer=f"{package}.{room}", imported=f"{package}.{other}", as_packages=True
            ):
                edges.add_edge(room, other)
    circles = [sorted(part) for part in nx.strongly_connected_components(edges) if len(part) > 1]
    if circles:
        raise SystemExit(f"{package}: rooms import each other in a circle: {circles}")
    reduced = nx.transitive_reduction(edges)
    arrows = sorted(f"    {room} --> {other}" for room, other in reduced.edges)
    return "\n".join(["```mermaid", "flowchart TD", *arrows, "```"])


def _put(text: str, name: str, block: str) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"docs/architecture.md has no place for the {name}")
    return pattern.sub(lambda match: f"{match[1]}{block}\n{match[2]}", text)


if __name__ == "__main__":
    sys.exit(main())
