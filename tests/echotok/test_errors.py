"""What holds for every error and every repr: they travel between processes and quote no report."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import echotok
from echotok.errors import (
    ArtifactError,
    EchotokError,
    IdError,
    InputError,
    MergesError,
    Problem,
    TableError,
)

SECRET = "Zanzibar Quagmire"


@pytest.mark.parametrize(
    "error",
    [
        EchotokError("a"),
        ArtifactError("a"),
        MergesError("a"),
        InputError("a"),
        IdError("a"),
        TableError([Problem(rule="bad-id", file=Path("t/lv.csv"), line=3, message="a")]),
        TableError([Problem(rule="empty-table", file=Path("t"), line=None, message="a")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pickle(error: EchotokError) -> None:
    """An error raised in a worker process arrives whole."""
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error)
    assert str(copied) == str(error)
    assert getattr(copied, "problems", ()) == getattr(error, "problems", ())
    assert isinstance(copied, EchotokError)


def test_errors_are_also_what_python_calls_them() -> None:
    """Bad input and bad ids can be caught as ValueError; missing merges as an ArtifactError."""
    assert issubclass(InputError, ValueError)
    assert issubclass(IdError, ValueError)
    assert issubclass(MergesError, ArtifactError)


def test_no_repr_shows_a_report(tok: echotok.Tokenizer) -> None:
    """What a log or a traceback may print of our objects holds no report text (I9)."""
    encoding = tok.encode(f"Patient {SECRET}: mild MR.")
    for value in (encoding, encoding.truncate(5), tok):
        assert "anzibar" not in repr(value)
        assert "anzibar" not in str(value)
