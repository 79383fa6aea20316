"""Files in, a table folder out: mining as one call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from echotok.errors import InputError
from echotok.mining import Mined, Options, ReportStore

__all__ = ["kept_state", "read_base", "read_public_words"]


_LONGEST_WORD = 100


def read_public_words(paths: Sequence[str], units: tuple[str, ...]) -> tuple[str, ...]:
    """The words of public word lists, normalized."""
    from echotok.text import is_number, make_normalizer, split_pieces

    normalize = make_normalizer(units)
    words: set[str] = set()
    for path in paths:
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: byte {error.start:,} is not UTF-8; --words takes a text file with one "
                "word a line"
            ) from error
        for number, line in enumerate(lines, 1):
            word = line.strip().partition("\t")[0].partition(" ")[0]
            if len(word) > _LONGEST_WORD:
                raise InputError(
                    f"{path}:{number}: {len(word):,} letters are no word; --words takes a text "
                    f"file with one word a line, of {_LONGEST_WORD} letters at most"
                )
            words.update(piece for piece in split_pieces(normalize(word)) if not is_number(piece))
    return tuple(sorted(words))


def read_base(folder: Path) -> Mined:
    """A table folder that a mined table grows from."""
    from echotok.mining import Mined
    from echotok.table.checks import validate_table
    from echotok.table.reading import read_fallback

    table = validate_table(folder)
    fallback = read_fallback(folder)
    if fallback is None:
        raise InputError(
            f"{folder} holds no merges.txt: growth keeps the fallback, so it needs a folder that "
            "echotok mine wrote"
        )
    return Mined(table=table, fallback=fallback, saved={}, num_tokens=0)


@contextmanager
def kept_state(
    path: Path, options: Options, store: ReportStore
) -> Iterator[tuple[dict[int, float], Callable[[Mapping[int, float]], None]]]:
    """What a stopped run has found so far: sizes tried and their figures, and nothing of a report.

    The file is deleted when the run ends well.
    """
    key = hashlib.sha256(f"{options!r} {store.digest()}".encode()).hexdigest()
    trials: dict[int, float] = {}
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["key"] == key:
            trials = {int(size): float(tokens) for size, tokens in state["trials"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # none, or another run's: start afresh

    def keep(tried: Mapping[int, float]) -> None:
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps({"key": key, "trials": tried}), encoding="utf-8")
        partial.replace(path)

    yield trials, keep
    path.unlink(missing_ok=True)
