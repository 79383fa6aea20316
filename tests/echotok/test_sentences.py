"""One rule of where a sentence ends."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import echotok
from echotok.sentences import number_sentences, sentence_runs, split_sentences
from tests.echotok.linear_time import assert_linear
from tests.echotok.sentence_cases import SENTENCES

CASES = [case if isinstance(case, tuple) else (case,) for case in SENTENCES]


def joined(sentences: tuple[str, ...]) -> str:
    return "".join(
        part if part.endswith(("\n", "\r")) else f"{part} " for part in sentences
    ).rstrip(" ")


@pytest.mark.parametrize("case", CASES, ids=[str(n) for n in range(len(CASES))])
def test_a_text_falls_into_its_sentences(case: tuple[str, ...]) -> None:
    """Each text of the table is cut where the table says so, and nowhere else."""
    assert split_sentences(joined(case)) == [part.strip() for part in case if part.strip()]


@pytest.mark.parametrize(
    "text",
    ["LV is normal.Left atrium is normal.", "LV is normal.LA 38 mm.", "LV is normal.2. LA 38 mm."],
)
def test_a_stop_without_a_space_behind_it_ends_a_sentence(text: str) -> None:
    """A space that was forgotten glues no sentences together."""
    first, second = split_sentences(text)
    assert first == "LV is normal."
    assert text == first + second


def test_the_table_holds_at_least_forty_texts() -> None:
    """The table is long enough to be read as the rule."""
    assert len(CASES) >= 40


@pytest.mark.parametrize("case", CASES[:40], ids=[str(n) for n in range(40)])
def test_an_encoding_counts_the_same_sentences(
    case: tuple[str, ...], tok: echotok.Tokenizer
) -> None:
    """The sentences of an encoding are those of the table, numbered from 0 without a gap."""
    text = joined(case)
    numbers = tok.encode(text).sentences
    assert sorted(set(numbers)) == list(range(len(split_sentences(text))))
    assert numbers == sorted(numbers)


@given(st.text(alphabet="aB1 .\n\r?!,()-;:\u2028"))
def test_runs_cover_the_text(text: str) -> None:
    """Runs follow one another and leave out nothing but stops and line breaks."""
    runs = list(sentence_runs(text))
    assert all(one.behind == two.start for one, two in pairwise(runs))
    assert "".join(text[run.start : run.behind] for run in runs) == text
    assert all(run.start <= run.end <= run.behind for run in runs)


def test_a_stretch_belongs_to_the_sentence_it_begins_in() -> None:
    """A phrase that reaches over a stop is counted where it begins."""
    assert number_sentences("No AS. No AR. EF 55", [(0, 9), (10, 13), (14, 16)]) == [0, 1, 2]
    assert number_sentences("", []) == []


@pytest.mark.parametrize(
    "unit", ["mitral regurgitation and\n", "a.", "1. ", "dr. ", "\n", "? ", "a ", "(", "x\r"]
)
def test_time_is_linear(unit: str) -> None:
    """A long run of anything takes time in proportion to its length."""
    assert_linear(
        lambda text: list(sentence_runs(text)),
        lambda count: unit * count,
        size=10_000,
        slack=4,
        least_s=0.002,
    )
