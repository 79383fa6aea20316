"""Candidate rows from shapes: `the {chamber} is (normal in size|{severity} dilated)(.|)`.

A shape file holds one shape a line. `(a|b|)` stands for each of its parts in turn, `@name` for a
part of `macros.txt`, and a backslash in front of a bracket makes it an ordinary one. A line that
begins with `## ` names the idea that the lines below it serve; other lines with `#` are comments.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["SHAPES", "read_shapes"]

SHAPES = Path(__file__).parents[2] / "phrase_tables" / "candidates"
_CLOSING = re.compile(r" ([.,;:)%])(?![0-9])")


def read_shapes(folder: Path = SHAPES) -> dict[str, str]:
    """Every candidate that the shapes of a folder make.

    Args:
        folder: holds `macros.txt` and the shape files.

    Returns:
        Candidate -> the idea that it serves, in the order of the files.

    Raises:
        ValueError: a shape names no macro that exists, or leaves a bracket open.
    """
    macros: dict[str, str] = {}
    for line in (folder / "macros.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, parts = line.split(" = ", 1)
            macros[name] = parts
    candidates: dict[str, str] = {}
    for path in sorted(folder.glob("*.txt")):
        if path.name == "macros.txt":
            continue
        idea = path.stem
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line.startswith("## "):
                idea = line[3:]
            elif line and not line.startswith("#"):
                try:
                    texts = _expand(_with_macros(line, macros))
                except ValueError as error:
                    raise ValueError(f"{path.name}:{number}: {error}") from None
                for text in texts:
                    candidates.setdefault(_tidy(text), idea)
    candidates.pop("", None)
    return candidates


def _with_macros(shape: str, macros: dict[str, str]) -> str:
    names = "|".join(sorted(macros, key=len, reverse=True))
    written = re.sub(rf"@({names})", lambda found: f"({macros[found[1]]})", shape)
    if "@" in written:
        raise ValueError("unknown macro behind @")
    return written


def _tidy(text: str) -> str:
    """One space between words, none before closing punctuation, one stop at the end."""
    text = _CLOSING.sub(r"\1", " ".join(text.split())).replace("( ", "(")
    return text[:-1] if text.endswith("..") else text


def _expand(shape: str) -> list[str]:
    texts, at = _parts(shape, 0, nested=False)
    assert at == len(shape), "the outermost sequence ends with the shape"
    return texts


def _parts(shape: str, at: int, *, nested: bool) -> tuple[list[str], int]:
    """The texts of a sequence, and where it ends: at `|` or `)` when nested, else at the end."""
    texts = [""]
    while at < len(shape):
        character = shape[at]
        if nested and character in "|)":
            return texts, at
        if character == "(":
            options: list[str] = []
            while shape[at] != ")":
                found, at = _parts(shape, at + 1, nested=True)
                options += found
            texts = [text + option for text in texts for option in options]
        else:
            if character == "\\":
                at += 1
            texts = [text + shape[at] for text in texts]
        at += 1
    if nested:
        raise ValueError("a bracket is left open")
    return texts, at
