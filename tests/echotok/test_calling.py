"""Calling a tokenizer with the options that users of Hugging Face know, and what it answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import texts

import echotok
from echotok import InputTypeError, OptionError, Tokenizer

LONG = (
    "LVEF is 55-60%. Mild to moderate mitral regurgitation. No pericardial effusion is seen. "
    "RVSP 35 mmHg. The qzvwk was seen."
)


def test_rows_without_special_tokens(tok: Tokenizer) -> None:
    """`add_special_tokens=False` leaves BOS and EOS out, and a length does not count them."""
    ids = tok.encode(LONG).ids
    assert tok(LONG, add_special_tokens=False)["input_ids"] == ids[1:-1]
    cut = tok(LONG, add_special_tokens=False, max_length=5)["input_ids"]
    assert cut == tok.encode(LONG).truncate(7).ids[1:-1]
    assert 1 <= len(cut) <= 5
    assert tok("", add_special_tokens=False) == {"input_ids": [], "attention_mask": []}


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_on_either_side(tok: Tokenizer, side: Any) -> None:
    """The mask is 0 exactly at the padding, on the side that was asked for."""
    batch = tok(["", LONG], padding=True, padding_side=side)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    assert (ids[mask == 0] == tok.pad_id).all()
    assert mask[0].sum() == 2
    assert mask[0][:2].all() == (side == "right")
    assert mask[0][-2:].all() == (side == "left")
    assert [row[keep == 1].tolist() for row, keep in zip(ids, mask, strict=True)] == [
        tok.encode("").ids,
        tok.encode(LONG).ids,
    ]
    assert tok.decode_batch(ids) == ["", tok.normalize(LONG)]


def test_lengths_of_hugging_face(tok: Tokenizer) -> None:
    """`max_length` cuts unless `truncation=False`; `padding="max_length"` pads up to it."""
    longest = len(tok.encode(LONG))
    assert tok(["", LONG], max_length=8, padding=True)["input_ids"].shape[1] <= 8
    assert tok(["", LONG], max_length=8, padding="max_length")["input_ids"].shape == (2, 8)
    wide = tok([LONG], max_length=longest + 5, padding="max_length")
    assert wide["input_ids"].shape == (1, longest + 5)
    whole = tok([LONG], max_length=8, truncation=False, padding="max_length")
    assert whole["input_ids"].shape == (1, longest)
    same = tok(["", LONG], context_length=8)["input_ids"]
    assert (tok(["", LONG], max_length=8, padding="max_length")["input_ids"] == same).all()
    one = tok(LONG, max_length=longest + 2, padding="max_length")["input_ids"]
    assert len(one) == longest + 2


def test_tensors(tok: Tokenizer) -> None:
    """Lists, arrays and tensors hold the same; one text has a row in arrays and tensors."""
    torch = pytest.importorskip("torch")
    lists = tok(["", LONG], padding=True, return_tensors="list")
    assert isinstance(lists["input_ids"], list)
    assert isinstance(lists["input_ids"][0], list)
    arrays = tok(["", LONG], padding=True, return_tensors="np")
    tensors = tok(["", LONG], padding=True, return_tensors="pt")
    for name in ("input_ids", "attention_mask"):
        assert arrays[name].dtype == np.int64
        assert tensors[name].dtype == torch.int64
        assert lists[name] == arrays[name].tolist() == tensors[name].tolist()
    assert tok(LONG, return_tensors="np")["input_ids"].shape == (1, len(tok.encode(LONG)))
    assert tuple(tok(LONG, return_tensors="pt")["attention_mask"].shape) == (
        1,
        len(tok.encode(LONG)),
    )
    assert tok(LONG, return_tensors="list")["input_ids"] == tok.encode(LONG).ids
    empty = tok([], padding=True, return_tensors="pt")
    assert tuple(empty["input_ids"].shape) == (0, 0)


def test_windows_of_a_long_report(tok: Tokenizer) -> None:
    """`stride` gives a report as many rows as hold it, and says whose row each is."""
    batch = tok(["", LONG], max_length=10, stride=3, padding=True)
    assert batch["overflow_to_sample_mapping"][0] == 0
    assert set(batch["overflow_to_sample_mapping"][1:]) == {1}
    assert batch["input_ids"].shape[1] <= 10
    windows = tok.encode(LONG).windows(10, stride=3)
    assert [
        row[mask == 1].tolist()
        for row, mask in zip(batch["input_ids"][1:], batch["attention_mask"][1:], strict=True)
    ] == [window.ids for window in windows]
    alone = tok(LONG, max_length=10, stride=0)
    assert alone["overflow_to_sample_mapping"] == [0] * len(alone["input_ids"])
    without = tok(LONG, max_length=8, stride=3, add_special_tokens=False)["input_ids"]
    assert without == [window.ids[1:-1] for window in windows]


@given(text=texts, context_length=st.integers(3, 20), stride=st.integers(0, 17))
@example(text="\u0301\u0301", context_length=3, stride=0)  # windows that are the same
@settings(max_examples=150)
def test_windows_hold_every_unit(
    tok: Tokenizer, text: str, context_length: int, stride: int
) -> None:
    """Each window fits, starts and ends with a whole unit, and all together hold every unit."""
    encoding = tok.encode(text)
    stride = min(stride, context_length - 3)
    windows = encoding.windows(context_length, stride=stride)
    assert [window.ids for window in windows] == encoding.window_ids(context_length, stride=stride)
    new: list[int] = []
    end = -1
    for window in windows:
        assert len(window) <= context_length
        assert window.ids[0] == tok.bos_id
        assert window.ids[-1] == tok.eos_id
        assert window.num_dropped == 0
        assert len(window.unit_offsets) == len(window.unit_ends) == len(window.piece_ends)
        assert window.units[-2 if len(window) > 2 else 0] == (
            len(window.unit_ends) - 1 if len(window) > 2 else None
        )
        begin = _place(encoding, window, after=end)
        assert begin <= end + 1 if end >= 0 else begin == 1
        repeated = max(0, end - begin) if end >= 0 else 0
        assert repeated <= stride
        if not window.cut_inside_unit:
            assert begin in (1, *encoding.unit_ends)
        assert window.offsets == [None, *encoding.offsets[begin : begin + len(window) - 2], None]
        new += window.ids[1 + repeated : -1]
        end = begin + len(window) - 2
    assert new == encoding.ids[1:-1]


def _place(encoding: echotok.Encoding, window: echotok.Encoding, *, after: int) -> int:
    """The index of the window's first id.

    Of the places where it could stand: the first for the first window, then the last possible.
    """
    ids = window.ids[1:-1]
    if not ids:
        return 1
    latest = len(encoding.ids) - 1 - len(ids)
    fits = [
        at
        for at in range(1, latest + 1)
        if encoding.ids[at : at + len(ids)] == ids
        and encoding.offsets[at : at + len(ids)] == window.offsets[1:-1]
    ]
    return min(fits) if after < 0 else max(at for at in fits if at <= after)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "longer"}, "padding is 'longer'; it is one of False, True, 'longest'"),
        ({"padding_side": "top"}, "padding_side is 'top'; it is one of 'right', 'left'"),
        ({"return_tensors": "tf"}, "return_tensors is 'tf'; it is one of None, 'list', 'np', 'pt'"),
        ({"padding": "max_length"}, 'padding="max_length" needs max_length'),
        ({"truncation": True}, "truncation=True needs max_length"),
        ({"stride": 2}, "stride needs max_length"),
        ({"stride": 2, "max_length": 9, "truncation": False}, "truncation=False cuts nothing"),
        ({"context_length": 9, "max_length": 9}, "context_length is max_length with truncation"),
        ({"return_tensors": "np"}, "needs rows of one length: add padding=True"),
    ],
)
def test_options_that_cannot_be(tok: Tokenizer, options: Any, message: str) -> None:
    """Each says what it could be, or which other option it needs."""
    with pytest.raises(OptionError) as caught:
        tok(["", LONG], **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 2}, "max_length is 2; BOS, one id and EOS need 3"),
        ({"max_length": 0, "add_special_tokens": False}, "max_length is 0; one id needs 1"),
        ({"max_length": 5, "stride": 3}, "stride is 3; with a context length of 5"),
        ({"max_length": 5, "stride": -1}, "stride is -1"),
    ],
)
def test_lengths_that_cannot_be(tok: Tokenizer, options: Any, message: str) -> None:
    """A length has to have room for something new."""
    with pytest.raises(ValueError, match=message):
        tok(LONG, **options)


def test_a_missing_report_is_named_by_its_row(tok: Tokenizer) -> None:
    """None, NaN of Python and NumPy, and the missing values of pandas, each with its row."""
    pandas = pytest.importorskip("pandas")
    for value, name in (
        (None, "None"),
        (float("nan"), "NaN (a missing value)"),
        (np.float32("nan"), "NaN (a missing value)"),
        (pandas.NA, "pandas.NA (a missing value)"),
        (pandas.NaT, "pandas.NaT (a missing value)"),
    ):
        for padding in (False, True):
            with pytest.raises(InputTypeError) as caught:
                tok(["Mild MR.", "", value], padding=padding)
            assert f"row 2 of the batch must be a str, not {name}" in str(caught.value)
            assert "leave out the reports that are missing" in str(caught.value)
    with pytest.raises(InputTypeError, match=r"row 1 of the batch must be a str, not pandas\.NA"):
        tok(pandas.Series(["Mild MR.", pandas.NA], dtype="string"))


def test_the_vocabulary_as_a_dictionary(tok: Tokenizer) -> None:
    """Every id with a meaning has one text of its own, and the length is that of an embedding."""
    vocabulary = tok.get_vocab()
    assert sorted(vocabulary.values()) == tok.assigned_ids
    assert len(tok) == tok.vocab_size > max(tok.assigned_ids)
    assert vocabulary["<eos>"] == tok.eos_id
    for token in ("5", "<bos>", "mild", tok.table.live[7].text):
        assert vocabulary[token] == tok.token_to_id(token)
    assert vocabulary["5 <continue>"] != vocabulary["5"]
    assert bool(tok)


def test_names_of_hugging_face_lead_to_ours(tok: Tokenizer) -> None:
    """A name of theirs is answered with ours; other names are plain errors."""
    with pytest.raises(AttributeError, match=r"no 'batch_decode'; use decode_batch\(rows\)"):
        _ = tok.batch_decode
    with pytest.raises(AttributeError, match=r"no 'nothing'$"):
        _ = tok.nothing
    assert not hasattr(tok, "pad_token_id")


def test_values_with_their_phrases(tok: Tokenizer) -> None:
    """Each value comes with its phrase or None, its slot, its text and its span in the original."""
    text = "LVEF is  55 - 60 %, PASP >35.5. Mild to  moderate MR. It is 1,234.05 or -18.4."
    found = tok.encode(text).slots()
    assert [(one.slot, one.value) for one in found] == [
        ("number", "55 - 60"),
        ("number", ">35.5"),
        ("severity", "mild to moderate"),
        ("number", "1,234.05"),
        ("number", "-18.4"),
    ]
    for phrase, slot, value, (start, end) in found:
        assert tok.normalize(text[start:end]) == value
        assert phrase is None or "{" + slot + "}" in phrase
    assert found[0].phrase is not None
    assert found[-1].phrase is None
    assert tok.encode("").slots() == []


def test_values_of_the_tables_own_slots(small_tok: Tokenizer) -> None:
    """A phrase with several slots gives each in order, bare values have no phrase."""
    text = "Moderate dilation of the LEFT atrium; blood pressure is 120/80, right."
    assert [tuple(one) for one in small_tok.encode(text).slots()] == [
        ("{severity} dilation of the {side} atrium", "severity", "moderate", (0, 8)),
        ("{severity} dilation of the {side} atrium", "side", "left", (25, 29)),
        ("blood pressure is {number}/{number}", "number", "120", (56, 59)),
        ("blood pressure is {number}/{number}", "number", "80", (60, 62)),
        (None, "side", "right", (64, 69)),
    ]


@given(text=texts)
@settings(max_examples=100)
def test_values_cover_the_ids_of_values(tok: Tokenizer, text: str) -> None:
    """On any text every id of a value is in exactly one of the values, in order."""
    encoding = tok.encode(text)
    written = [
        token
        for token, kind in zip(encoding.tokens, encoding.kinds, strict=True)
        if kind == "value"
    ]
    assert "".join(one.value for one in encoding.slots()) == "".join(written)
    spans = [one.span for one in encoding.slots()]
    assert all(start < end for start, end in spans)
