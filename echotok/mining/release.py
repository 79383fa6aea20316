"""The file for `--allow`: lines of the private file that a person releases.

A line of this file is copied from the private file as it stands (`"doe, jane",name,12,9`), with or
without its other columns, or is the text alone. A spreadsheet may have written the file, with
semicolons in place of commas.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from echotok.mining.privacy import REASONS
from echotok.text import make_normalizer
from echotok.text_files import read_text

__all__ = ["Allowed", "read_allowed"]

_COLUMNS = ("text", "reason", "documents", "patients")
_MOST_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The held-back texts that a person releases.

    Attributes:
        path: the file.
        lines: the texts, each with the numbers of its lines, counted from 1.
    """

    path: Path
    lines: dict[str, tuple[int, ...]]

    def tell(self, released: Collection[str]) -> str:
        """A sentence that says how many texts were released, and which lines released none.

        Args:
            released: the released texts, as `ReportStore.released` gives them.
        """
        idle = sorted(
            number
            for text, numbers in self.lines.items()
            if text not in released
            for number in numbers
        )
        count = len(set(self.lines) & set(released))
        told = f"released {count:,} text{'' if count == 1 else 's'} of {self.path}"
        if not idle:
            return told
        shown = ", ".join(map(str, idle[:_MOST_SHOWN]))
        more = f" and {len(idle) - _MOST_SHOWN:,} more" if len(idle) > _MOST_SHOWN else ""
        return (
            f"{told}; {'lines' if len(idle) > 1 else 'line'} {shown}{more} of it "
            f"{'match' if len(idle) > 1 else 'matches'} nothing that is held back: copy lines of "
            "the private file as they stand"
        )


def read_allowed(path: Path, units: tuple[str, ...]) -> Allowed:
    """Read a file for `--allow`.

    Args:
        path: a file of texts, or of lines of a private file.
        units: spellings of units, as in `PhraseTable.units`.

    Raises:
        InputError: the file cannot be read as text.
    """
    normalize = make_normalizer(units)
    lines: dict[str, list[int]] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        text = _text_of(line.strip())
        if text:
            lines.setdefault(normalize(text), []).append(number)
    return Allowed(path=path, lines={text: tuple(numbers) for text, numbers in lines.items()})


def _text_of(line: str) -> str:
    """The text of a line; "" for the header and for an empty line."""
    for delimiter in ",;\t":
        cells = next(csv.reader([line], delimiter=delimiter), [])
        names = [cell.strip().lower() for cell in cells]
        if names[:1] == ["text"] and set(names) <= set(_COLUMNS):
            return ""
        while len(cells) > 1 and not cells[-1]:  # a spreadsheet fills short rows up
            cells.pop()
        rest = cells[1:]
        if rest and rest[0] in REASONS and all(cell.isdigit() for cell in rest[1:]):
            return cells[0]
    if len(line) > 1 and line[0] == line[-1] == '"':
        return line[1:-1].replace('""', '"')
    return line
