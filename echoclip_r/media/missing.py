"""Why a file is not there: one of nearly that name is, or there is none."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

__all__ = ["why_missing"]


def why_missing(path: Path) -> str:
    """A sentence about a file that is not there, with the one beside it that was probably meant.

    Args:
        path: the file.
    """
    name = path.name.casefold()
    for other in _names(path.parent):
        if other.casefold() == name:
            return (
                "there is no such file or folder, but one whose name differs in capital letters; "
                "write the name as the folder has it"
            )
        if Path(other).stem.casefold() == name:
            return (
                "there is no such file or folder, but one with the ending "
                f"{Path(other).suffix}; write the name with its ending"
            )
        if Path(other).stem.casefold() == path.stem.casefold():
            return (
                "there is no such file or folder, but one of that name with the ending "
                f"{Path(other).suffix or '(none)'}; write the ending that it has"
            )
    return "there is no such file or folder"


def _names(folder: Path) -> tuple[str, ...]:
    try:
        return _listed(folder, folder.stat().st_mtime_ns)
    except OSError:
        return ()


@lru_cache(maxsize=16)
def _listed(folder: Path, changed_ns: int) -> tuple[str, ...]:
    """A folder's names as they were when it was changed last; many files of one may be missing."""
    return tuple(sorted(path.name for path in folder.iterdir()))
