"""Slot values as tokens: each comes back digit for digit, and different values differ."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echotok import Tokenizer
from echotok.table.values import NUMBER_TOKENS, SEVERITY


def test_every_number_token_is_used(tok: Tokenizer) -> None:
    """Each number token has a text that needs it, and comes back from it."""
    examples = {
        "start": "{}",
        "continue": "250{}",
        "prefix": "{}5",
        "separator": "5{}700",
    }
    for role, text in NUMBER_TOKENS:
        example = examples[role].format(text)
        if role == "continue" and text == ",":
            example = "1,000"
        elif role == "continue" and text[0] == ".":
            example = f"251{text}"
        encoding = tok.encode(f"q {example}")
        assert text in encoding.tokens[2:], (role, text)
        assert set(encoding.kinds[2:-1]) <= {"value"}, (role, text)
        assert tok.decode(encoding.ids) == f"q {example}"


def test_common_numbers_take_one_token(tok: Tokenizer) -> None:
    """Integers to 250, tenths below 10 and ranges in fives are one id; most others two."""
    common = [*range(251), *(f"{tenths / 10}" for tenths in range(100)), "55-60", "50 to 55"]
    for number in common:
        assert len(tok.encode(f"q {number} q").ids) == len(tok.encode("q q").ids) + 1, number
    for number in ("0.85", "12.5", ">15", "<50", "1340", "-18", "999"):
        assert len(tok.encode(f"q {number} q").ids) == len(tok.encode("q q").ids) + 2, number


@pytest.mark.parametrize("value", SEVERITY, ids=lambda value: value.text)
def test_every_severity_has_a_token(tok: Tokenizer, value: Any) -> None:
    """Each spelling is a value of its own, alone and before what no table holds."""
    for text in (value.text, f"{value.text} qzvwk", f"qzvwk is {value.text}, qzvwk"):
        encoding = tok.encode(text)
        values = [
            token
            for token, kind in zip(encoding.tokens, encoding.kinds, strict=True)
            if kind == "value"
        ]
        assert [token.removesuffix(",") for token in values] == [value.text]
        assert tok.decode(encoding.ids) == text


def test_every_enumeration_value_has_a_token(tok: Tokenizer) -> None:
    """Each live member of each enumeration is one id, alone and between words."""
    for value in tok.table.values:
        if value.retired:
            continue
        assert tok.encode(value.text).tokens[1:-1] == [value.text]
        text = f"qzvwk {value.text} qzvwk"
        assert value.text in tok.encode(text).tokens
        assert tok.decode(tok.encode(text).ids) == text


digits = st.text("0123456789", min_size=1, max_size=7)
plain_number = st.one_of(
    digits,
    st.tuples(digits, st.sampled_from([".", ","]), digits).map("".join),
    st.tuples(digits, st.just(","), digits, st.just("."), digits).map("".join),
    st.tuples(st.just("."), digits).map("".join),
)
signed_number = st.tuples(
    st.sampled_from(["", "", "-", "+", "±", "<", ">", "<=", ">=", "≤", "≥", "~", "≈", "> ", ">-"]),
    plain_number,
).map("".join)
number_texts = st.one_of(
    signed_number,
    st.tuples(
        signed_number,
        st.sampled_from(["-", " - ", "- ", " -", " to ", "%-", "% - ", "% to ", "/", "x", " x "]),
        plain_number,
    ).map("".join),
)


@given(number=number_texts, frame=st.sampled_from(["{}", "LVEF is {}%.", "q {} mm, q", "({})"]))
@settings(max_examples=500)
def test_numbers_come_back_digit_for_digit(tok: Tokenizer, number: str, frame: str) -> None:
    """Whatever its form, a number is decoded as it was written, with its sign and marks."""
    text = frame.format(number)
    decoded = tok.decode(tok.encode(text).ids)
    assert decoded == tok.normalize(text)
    assert decoded.replace(" ", "") == text.lower().replace(" ", "")


@given(number=signed_number)
@settings(max_examples=300)
def test_a_number_is_values_alone(tok: Tokenizer, number: str) -> None:
    """A number takes no BPE token."""
    assert set(tok.encode(number).kinds[1:-1]) == {"value"}


@given(one=number_texts, other=number_texts)
@settings(max_examples=300)
def test_two_numbers_share_no_ids(tok: Tokenizer, one: str, other: str) -> None:
    """Different numbers have different ids, in a phrase too."""
    texts = [f"LVEF is {number}%." for number in (one, other)]
    same = tok.normalize(texts[0]) == tok.normalize(texts[1])
    assert (tok.encode(texts[0]).ids == tok.encode(texts[1]).ids) is same
