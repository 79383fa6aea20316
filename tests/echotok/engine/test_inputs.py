"""What is given to encode and is no text gets an error that teaches, also a TypeError (I14)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import echotok
from echotok import InputError, InputTypeError

NAN = float("nan")
SECRET = "Zanzibar Quagmire"


def frame() -> Any:
    """A table of pandas with a column of reports."""
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"report": ["Mild MR.", SECRET]})


def message_of(call: Any, value: Any) -> str:
    with pytest.raises(InputTypeError) as caught:
        call(value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, InputError)
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "not None: leave out the reports that are missing, or pass an empty text for them"),
        (NAN, "not NaN (a missing value): leave out the reports that are missing"),
        (5, "not int: pass the report's text"),
        (1.5, "not float: pass the report's text"),
        (SECRET.encode(), "not bytes: decode it first, as in raw.decode('utf-8')"),
        ([SECRET], "not list: pass a list of str, and encode several reports with encode_batch"),
        ((SECRET,), "not tuple: pass a list of str, and encode several reports with"),
        ({"report": SECRET}, "not dict: choose its column of reports"),
        (np.array([SECRET]), "not ndarray: pass a list of str, and encode several reports with"),
    ],
)
def test_what_is_no_report(tok: echotok.Tokenizer, value: Any, message: str) -> None:
    """`encode` and `normalize` name the type and what to do instead."""
    for call in (tok.encode, tok.normalize):
        assert f"one report must be a str, {message}" in message_of(call, value)


def test_a_frame_is_no_report(tok: echotok.Tokenizer) -> None:
    """A table of pandas is told to choose a column."""
    assert message_of(tok.encode, frame()) == (
        "one report must be a str, not DataFrame: choose its column of reports, as in "
        "frame['report'].tolist(), and encode several reports with encode_batch"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (SECRET, "not one str: encode one report with encode, or put it into a list"),
        (SECRET.encode(), "not one bytes: encode one report with encode, or put it into a list"),
        (None, "not None: pass a list of str"),
        (5, "not int: pass a list of str"),
        ({"report": [SECRET]}, "not dict: choose its column of reports"),
        (np.array(5), "not ndarray: pass a list of str"),
    ],
)
def test_what_is_no_batch(tok: echotok.Tokenizer, value: Any, message: str) -> None:
    """`encode_batch` names the type and what to do instead; letters are never taken for reports."""
    assert f"a batch must be a list of reports, {message}" in message_of(tok.encode_batch, value)


@pytest.mark.parametrize("value", [None, 5, SECRET.encode(), {"report": [SECRET]}, np.array(5)])
def test_what_cannot_be_called_with(tok: echotok.Tokenizer, value: Any) -> None:
    """Calling the tokenizer refuses the same, whatever the options."""
    message_of(tok, value)
    message_of(lambda given: tok(given, padding=True), value)
    message_of(lambda given: tok(given, context_length=8), value)


def test_a_frame_is_no_batch(tok: echotok.Tokenizer) -> None:
    """Python would iterate over the names of its columns, and encode these."""
    for call in (tok.encode_batch, tok):
        assert "not DataFrame: choose its column of reports" in message_of(call, frame())
    assert tok.encode_batch(frame()["report"]).ids.shape[0] == 2, "a column is a batch"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "not None: leave out the reports that are missing, or pass an empty text for them"),
        (NAN, "not NaN (a missing value): leave out the reports that are missing, or pass"),
        (7, "not int: pass the report's text"),
        (b"Mild MR.", "not bytes: decode it first, as in raw.decode('utf-8')"),
        ([SECRET], "not list: pass the report's text"),
    ],
)
@pytest.mark.parametrize("context_length", [None, 8])
def test_a_row_that_is_no_report(
    tok: echotok.Tokenizer, value: Any, message: str, context_length: int | None
) -> None:
    """The row is named by its number, counted from 0, and the others are not quoted."""
    rows = [SECRET, "Mild MR.", "", value, SECRET]
    found = message_of(lambda given: tok.encode_batch(given, context_length=context_length), rows)
    assert found.startswith("row 3 of the batch must be a str, ")
    assert message in found
    assert message_of(tok, rows) == found


def test_texts_of_any_kind_are_batches(tok: echotok.Tokenizer) -> None:
    """A tuple, an iterator, an array of NumPy and nothing at all are batches."""
    texts = ["Mild MR.", "LVEF 55%."]
    expected = tok.encode_batch(texts).ids.tolist()
    for batch in (tuple(texts), iter(texts), np.array(texts)):
        assert tok.encode_batch(batch).ids.tolist() == expected
    assert tok.encode_batch([]).ids.shape == (0, 0)
