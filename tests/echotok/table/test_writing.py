"""Writing a table folder: what is written reads back to the same table."""

from __future__ import annotations

import string
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

import echotok
from echotok.bpe import byte_alphabet
from echotok.table.fallback import CLIP, Fallback
from echotok.table.phrases import BUILT_IN_SLOTS, Phrase, PhraseTable, parse_phrase
from echotok.table.reading import read_fallback, read_table
from echotok.table.values import SEVERITY, EnumValue, NumberCode
from echotok.table.writing import write_table

LATEST = (3, 2, 1)
versions = st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 3)).map(
    lambda parts: ".".join(map(str, parts))
)
# Any text that UTF-8 can hold: quotes, commas, line breaks, what TOML escapes.
notes = st.text(st.characters(codec="utf-8"), max_size=12)
words = st.text(string.ascii_lowercase, min_size=1, max_size=6)
names = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True).filter(
    lambda name: name not in BUILT_IN_SLOTS
)
ranks = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def tables(draw: st.DrawFn) -> PhraseTable:
    """Any table that `read_table` can give."""
    slots = draw(st.dictionaries(names, notes, max_size=3))
    ids = draw(st.lists(st.integers(0, 99), min_size=len(slots), max_size=8, unique=True))
    spelled = draw(st.lists(words, min_size=len(ids), max_size=len(ids), unique=True))
    # Each slot has a value; the rest fall to any of them.
    of_slot = [*slots, *(draw(st.sampled_from([*slots])) for _ in ids[len(slots) :] if slots)]
    values = [
        EnumValue(
            id=number,
            slot=slot,
            text=text,
            rank=draw(ranks),
            since=draw(versions),
            retired=draw(st.just("") | versions),
            note=draw(notes),
        )
        for number, slot, text in zip(ids, of_slot, spelled, strict=False)
    ]
    items = st.sampled_from([*("{" + slot + "}" for slot in (*BUILT_IN_SLOTS, *slots)), "a", "b2"])
    texts = draw(
        st.lists(
            st.lists(items, min_size=1, max_size=5).map(lambda parts: " ".join(["the", *parts])),
            min_size=1,
            max_size=6,
            unique=True,
        )
    )
    numbers = draw(st.lists(st.integers(0, 999), min_size=6, max_size=6, unique=True))
    phrases = [
        Phrase(
            id=number,
            text=text,
            items=parse_phrase(text, slots=(*BUILT_IN_SLOTS, *slots)),
            section=draw(st.sampled_from(["left_ventricle", "terms", "a b"])),
            since=draw(versions),
            retired=draw(st.just("") | versions),
            note=draw(notes),
        )
        for number, text in zip(numbers, texts, strict=False)
    ]
    grades = st.lists(st.sampled_from([value.text for value in SEVERITY]), unique=True)
    codes = st.builds(
        NumberCode,
        starts=st.sampled_from([(), ("55-60", "12")]),
        continues=st.sampled_from([(), (".5", " to ")]),
    )
    return PhraseTable(
        name=draw(notes),
        version=".".join(map(str, LATEST)),
        locale=draw(notes),
        licence=draw(notes),
        provenance=draw(notes),
        units=draw(st.sampled_from([(), ("mm",), ("mmhg", "cm²")])),
        slots=slots,
        values=tuple(sorted(values, key=lambda value: value.id)),
        phrases=tuple(sorted(phrases, key=lambda phrase: phrase.id)),
        phrase_capacity=1000,
        value_capacity=100,
        num_merges=draw(st.integers(0, 500)),
        numbers=draw(st.none() | codes),
        severity=draw(st.none() | grades.map(tuple)),
    )


fallbacks = st.sampled_from(
    [
        Fallback(kind="domain"),
        Fallback(kind="domain", merges=(("t", "h"), ("th", "e</w>"))),
        Fallback(kind="domain", base="aeht\x7f\"'\\"[:4], merges=(("t", "h"), ("th", "e"))),
        Fallback(kind="domain", base="".join(byte_alphabet()[:250]), merges=(("t", "h"),)),
    ]
)


@given(table=tables(), fallback=fallbacks)
@settings(max_examples=150)
def test_what_is_written_reads_back(table: PhraseTable, fallback: Fallback) -> None:
    """Every field of the table, its phrases and its values, and the fallback, come back."""
    with tempfile.TemporaryDirectory() as folder:
        write_table(table, folder, fallback)
        assert read_table(folder) == table
        assert read_fallback(folder) == fallback


def test_the_shipped_table_reads_back(tmp_path: Path) -> None:
    """Our own table, with its tombstones, ranks and notes."""
    table = read_table(ROOT / "phrase_tables" / "echo")
    fallback = echotok.load("echo").fallback
    write_table(table, tmp_path, fallback)
    assert read_table(tmp_path) == table
    assert read_fallback(tmp_path) == fallback


def test_what_could_not_be_read_back_is_refused(tmp_path: Path) -> None:
    """An artifact does not tell when a value came; CLIP's merges are not ours to copy."""
    table = echotok.load("echo").table
    with pytest.raises(ValueError, match="EnumValue 0 does not tell the version"):
        write_table(table, tmp_path / "a", Fallback(kind="domain"))
    with pytest.raises(ValueError, match="those of CLIP are not ours to copy"):
        write_table(replace(table, values=(), slots={}), tmp_path / "b", CLIP)
    assert not list(tmp_path.iterdir()), "nothing was written"
