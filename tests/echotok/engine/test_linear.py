"""Long runs of one kind take time in proportion to their length, whatever they are made of."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable

import pytest

from echotok import Tokenizer
from echotok.coverage import measure
from echotok.mining.options import UNITS
from echotok.text import make_normalizer, split_pieces
from tests.echotok.linear_time import assert_linear

_RUNS = {
    "digits": "5",
    "numbers joined by commas": "12,",
    "numbers joined by points": "1.",
    "numbers joined by dashes": "1-",
    "ranges": "1 to ",
    "comparisons": ">1",
    "open comparisons": "<=",
    "commas": ",",
    "points": ".",
    "spaced points": " .",
    "dashes": "-",
    "typographic dashes": "\u2013",
    "quotes": "'",
    "typographic quotes": "\u201c",
    "spaces": " ",
    "hard spaces": "\u00a0",
    "line breaks": "\r\n",
    "brackets": "( ",
    "percent": "1%-",
    "units": "mmHg",
    "glued units": "5mmHg",
    "glued units with commas": "5mmHg,",
    "letters and digits": "a1",
    "marks": "\u0301",
    "marks out of order": "\u0301\u0316",
    "marks that composition moves": "\u0345\u0301",
    "digits with marks": "1\u0301",
    "Hangul": "\u1100\u1161",
    "soft hyphens": "\u00ad",
    "full-width digits": "\uff11",
    "HTML": "<p>.</p>",
}
_ENDS = ["", " 5mmHg", " \u00e9 5mmHg", "x"]


@pytest.mark.parametrize("end", _ENDS)
@pytest.mark.parametrize("kind", _RUNS)
def test_long_runs_are_normalized_and_split_in_linear_time(kind: str, end: str) -> None:
    """150,000 characters take a second at most, which a quadratic step misses tenfold."""
    normalize = make_normalizer(UNITS)
    text = _RUNS[kind] * (150_000 // len(_RUNS[kind])) + end
    best = float("inf")
    for _ in range(3):  # another process may hold the machine up once
        begin = time.process_time()
        normalized = normalize(text)
        split_pieces(normalized)
        best = min(best, time.process_time() - begin)
        if best < 1:
            break
    assert best < 1


_WAYS: dict[str, Callable[[Tokenizer, str], object]] = {
    "offsets": lambda tok, text: tok.encode(text).offsets,
    "slots": lambda tok, text: tok.encode(text).slots(),
    "sentences": lambda tok, text: tok.encode(text).sentences,
    "windows": lambda tok, text: tok.encode(text).windows(77, stride=20),
    "window_ids": lambda tok, text: tok.encode(text).window_ids(77),
    "batch": lambda tok, text: tok.encode_batch([text], pack=True),
    "decode": lambda tok, text: tok.decode(tok.encode(text).ids),
    "measure": lambda tok, text: measure([text], tok).stretches(min_reports=1),
}


@pytest.mark.parametrize("unit", ["w{}. ", "LVEF is {}%. ", "No AS.\nw{} "])
@pytest.mark.parametrize("way", _WAYS)
def test_time_is_linear_in_the_number_of_sentences(tok: Tokenizer, way: str, unit: str) -> None:
    """What a report gives takes time in proportion to how many distinct sentences it has."""
    assert_linear(
        lambda text: _WAYS[way](tok, text),
        lambda count: "".join(unit.format(at) for at in range(count)),
        size=3_000,
        slack=3,
        least_s=0.004,
    )


def test_many_numbers_beside_a_glued_unit(tok: Tokenizer) -> None:
    """20,000 numbers with commas, and one with its unit glued to it, are encoded at once."""
    text = ",".join(map(str, range(20_000))) + "; gradient 35mmHg"
    begin = time.process_time()
    encoding = tok.encode(text)
    assert time.process_time() - begin < 10
    assert tok.decode(encoding.ids) == tok.normalize(text)
    assert tok.normalize(text).endswith("19999; gradient 35 mmhg")


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("1,5mmHg", "1,5 mmhg"),
        ("1.2.3cm, 4,5cm2", "1.2.3 cm, 4,5 cm2"),
        ("a2cm", "a2cm"),
        ("a2,5cm", "a2,5 cm"),
        ("a\u0301\u03165cm", "\u00e1\u03165cm"),
        (".5cm", ".5 cm"),
        ("5cm2x", "5cm2x"),
    ],
)
def test_a_glued_unit_is_parted_behind_the_end_of_a_number(text: str, normalized: str) -> None:
    """Only the digits before the unit decide, and what they belong to."""
    expected = unicodedata.normalize("NFC", normalized)
    assert make_normalizer(UNITS)(text) == expected


def test_marks_in_any_order_are_one_cluster() -> None:
    """A long run of marks folds to what NFC gives."""
    text = "a" + "\u0301\u0316\u0345" * 500
    folded = make_normalizer(())(text)
    assert folded == unicodedata.normalize("NFC", text).lower()
