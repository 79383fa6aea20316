"""Reading the files of a table folder: settings and rows, with the problems met on the way."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echotok.errors import Problem

__all__ = ["TableReader"]


@dataclass(slots=True)
class TableReader:
    """Reads the files of one folder and gathers the problems found on the way.

    Attributes:
        folder: the folder that holds `table.toml`.
        problems: those found so far.
    """

    folder: Path
    problems: list[Problem] = field(default_factory=list)

    def problem(self, rule: str, file: Path, line: int | None, message: str) -> None:
        """Note a broken rule; `line` is None when it concerns the whole file."""
        self.problems.append(Problem(rule=rule, file=file, line=line, message=message))

    def toml(self) -> dict[str, Any] | None:
        """The settings in `table.toml`, or None with the problem noted."""
        path = self.folder / "table.toml"
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError:
            message = "no such file; a table is a folder with table.toml and CSV files"
            self.problem("missing-file", path, None, message)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            self.problem("bad-toml", path, None, f"{error}; see phrase_tables/README.md")
        return None

    def rows(self, path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows of a CSV file that are not empty, each with its line.

        Args:
            path: of the file.
            columns: what its header must be.
        """
        try:
            content = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            message = f"not UTF-8 at byte {error.start}; save the file as UTF-8"
            self.problem("not-utf-8", path, None, message)
            return
        reader = csv.reader(io.StringIO(content, newline=""), strict=True)
        try:
            header = next(reader, [])
            if tuple(header) != tuple(columns):
                message = f"the header must be {','.join(columns)}, not {','.join(header)}"
                self.problem("bad-header", path, 1, message)
                return
            for cells in reader:
                if cells and len(cells) != len(columns):
                    message = f"{len(cells)} cells where {len(columns)} are needed; quote commas"
                    self.problem("bad-row", path, reader.line_num, message)
                elif any(cells):
                    yield reader.line_num, dict(zip(columns, cells, strict=True))
        except csv.Error as error:
            self.problem("bad-csv", path, reader.line_num, f"{error}; check the quotes")
