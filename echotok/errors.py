"""The exceptions of echotok. Each message says what is wrong, which rule, where, and what to do.

    EchotokError
    +-- TableError       a phrase table breaks a rule (carries the list of problems)
    +-- ArtifactError    a tokenizer file is unknown, damaged, edited or of another format
    |   +-- MergesError  CLIP's merges, which `echo-clip` needs, are missing or not the known file
    +-- InputError       reports cannot be read: no such column, not UTF-8, a malformed line
    |   +-- InputTypeError   what was given to encode is not text
    +-- IdError          ids that this tokenizer does not have
    +-- OptionError      an argument is outside of its range, or conflicts with another one

None of them ever quotes report text (I9): they name the file, row, column or offset instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "ArtifactError",
    "EchotokError",
    "IdError",
    "InputError",
    "InputTypeError",
    "MergesError",
    "OptionError",
    "Problem",
    "TableError",
]

_MOST_SHOWN = 100  # a file of another kind may break a rule in each of its rows


class EchotokError(Exception):
    """Base class of every error that echotok raises on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One broken rule in a phrase table.

    Attributes:
        rule: short name of the rule, e.g. ``reused-id``.
        file: the file that holds the problem.
        line: 1-based line in that file, or None when it concerns the whole file.
        message: what is wrong and what to do.
    """

    rule: str
    file: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line is not None else str(self.file)
        return f"{where}: {self.rule}: {self.message}"


class TableError(EchotokError):
    """A phrase table breaks one or more rules; ``problems`` lists all of them.

    Args:
        problems: the broken rules.
        where: what holds them, for the message.
    """

    def __init__(self, problems: Sequence[Problem], where: str = "the phrase table") -> None:
        self.problems = tuple(problems)
        self.where = where
        lines = [f"  {problem}" for problem in self.problems[:_MOST_SHOWN]]
        if len(self.problems) > _MOST_SHOWN:
            lines.append(f"  and {len(self.problems) - _MOST_SHOWN:,} more")
        super().__init__("\n".join([f"{len(self.problems):,} problem(s) in {where}:", *lines]))

    def __reduce__(self) -> tuple[type[TableError], tuple[tuple[Problem, ...], str]]:
        return (TableError, (self.problems, self.where))


class ArtifactError(EchotokError):
    """A tokenizer artifact cannot be loaded as what it claims to be."""


class MergesError(ArtifactError):
    """CLIP's merges file is not there, or is not the file that the ids were defined on."""


class InputError(EchotokError, ValueError):
    """Reports cannot be read, or hold text that the caller asked to refuse."""


class InputTypeError(InputError, TypeError):
    """What was given to encode is neither a text nor a batch of texts."""


class IdError(EchotokError, ValueError):
    """A sequence of ids holds something that is not an id of this tokenizer."""


class OptionError(EchotokError, ValueError):
    """An argument has a value that it cannot have, or does not go together with another one."""
