"""The compiled core and the Python engine give the same: ids, units and spans, for any text."""

from __future__ import annotations

import random
import string
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import ADVERSARIAL, adversarial, table_texts, tables, texts

from echotok import Tokenizer, load
from echotok.corpora import read_reports
from echotok.engine.core import engine_in_use
from echotok.engine.engine import Engine, Trace
from echotok.table.fallback import Fallback
from echotok.table.phrases import PhraseTable

if engine_in_use() != "compiled core":
    pytest.skip(f"no compiled core: {engine_in_use()}", allow_module_level=True)


def assert_same(engine: Engine, text: str) -> None:
    assert engine.core is not None
    ours, oracle = engine.core.encode(text), Trace(engine, text)
    assert ours.ids == oracle.ids, repr(text)
    assert ours.ends == oracle.ends, repr(text)
    assert ours.unit_spans == oracle.unit_spans, repr(text)
    assert ours.spans == oracle.spans, repr(text)
    assert ours.units == oracle.units, repr(text)
    assert ours.sentences == oracle.sentences, repr(text)
    assert ours.text == text


@settings(max_examples=400)
@given(st.one_of(texts, adversarial, st.tuples(texts, adversarial).map(". ".join)))
@example("")
@example(" \n ")
@example(". . . .5 . ,5 . ) .\u0301 .\u2019s")
@example("5-6x 5.6.7x >5 to -.6. a2-5mm 5mm-6mm (-5 55%- .5")
@example("x" * 300 + ". Mild MR. " + "-" * 300)
def test_any_text(tok: Tokenizer, text: str) -> None:
    """The shipped tokenizers give the same by both engines, for any text."""
    assert_same(tok._engine, text)


@settings(max_examples=300)
@given(
    tables,
    st.lists(table_texts, max_size=3).map(". ".join),
    st.sampled_from([None, "abcdefghilmnorstuvwxyz.-"]),
)
def test_any_table(table: PhraseTable, text: str, base: str | None) -> None:
    """So do tokenizers of any table, with a full and with a compact base."""
    merges = (("m", "i"), ("l", "d</w>" if base is None else "d"), ("mi", "ld</w>"), ("a", "b"))
    if base is not None:
        merges = (("m", "i"), ("l", "d"), ("ld", "</w>"), ("mi", "ld</w>"))
    fallback = Fallback(kind="domain", merges=merges, base=base)
    tok = Tokenizer.from_table(replace(table, num_merges=8), fallback)
    assert_same(tok._engine, text)


@settings(max_examples=300)
@given(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=12) | table_texts)
@example("\ud800x\udfff")
@example("\u2460\u24ea")
@example("</w>")
@example("\u5fc3" * 200)
def test_words(tok: Tokenizer, text: str) -> None:
    """The core encodes each word to the ids of the Python BPE, be it ASCII or not."""
    engine = tok._engine
    assert engine.core is not None
    for word in text.split():
        raw = word.encode("utf-8", "surrogatepass")
        found = engine.core.encode_word(raw)
        assert found == (None if len(raw) > 256 else engine.encoder.bpe.encode_word(word))


def test_words_of_a_compact_base() -> None:
    """So it does where a byte outside of the base is written as two halves."""
    merges = (("m", "i"), ("l", "d"), ("ld", "</w>"), ("\u246b", "\u2462"), ("\u246b\u2462", "e"))
    table = replace(load("echo").table, num_merges=8)
    fallback = Fallback(kind="domain", merges=merges, base="abcdefghilmnorstuvwxyz.-")
    engine = Tokenizer.from_table(table, fallback)._engine
    assert engine.core is not None
    for word in (
        "mild",
        "\xe9t\xe9",
        "na\xefve",
        "\u5fc3",
        "a\u0301",
        "\xb3e",
        "x\ud800",
        "\U0001f600",
    ):
        found = engine.core.encode_word(word.encode("utf-8", "surrogatepass"))
        assert found == engine.encoder.bpe.encode_word(word), repr(word)


def test_merge_that_comes_twice() -> None:
    """The core leaves a fallback with a merge that comes twice to the Python engine."""
    merges = (("m", "i"), ("mi", "l"), ("m", "i"), ("mil", "d</w>"))
    table = replace(load("echo").table, num_merges=8)
    tok = Tokenizer.from_table(table, Fallback(kind="domain", merges=merges))
    assert tok._engine.core is None
    assert tok.decode(tok.encode("Mil miles").ids) == "mil miles"


def test_loading_leaves_the_python_dictionaries() -> None:
    """A tokenizer loads, and encodes any Unicode text, before Python's merges are made."""
    tok = load("echo")
    assert tok.encode("na\xefve K\xf6rper \u5fc3").ids[0] == tok.bos_id
    assert "bpe" not in tok._engine.encoder.__dict__


def test_reports(tok: Tokenizer) -> None:
    """Every synthetic report, as it is, in capitals, and without its line breaks."""
    folder = ROOT / "benchmarks" / "reports"
    reports = [report.text for report in read_reports(sorted(folder.iterdir()))]
    assert len(reports) > 90
    for report in reports:
        for text in (report, report.upper(), " ".join(report.split())):
            assert_same(tok._engine, text)


def test_corpora(tok: Tokenizer, corpus_files: list[Path]) -> None:
    """Every report of the corpora beside the checkout."""
    for report in read_reports(corpus_files):
        assert_same(tok._engine, report.text)


def test_long_texts(tok: Tokenizer) -> None:
    """A long text of everything, and long words, numbers and runs."""
    rng = random.Random(0)
    assert_same(tok._engine, "".join(rng.choices(ADVERSARIAL, k=100_000)))
    for one in ("x", "5", "-", "1,", "1-", ">1 ", "a1", ". ", "' ", "mild to ", "\u2013", "1 to "):
        assert_same(tok._engine, one * 5_000)


def test_characters_that_fold() -> None:
    """Each character that may fold to ASCII or to white space, where spacing looks at it."""
    engine = load("echo")._engine
    codes = [*range(0x80, 0x600), *range(0x1F00, 0x2100), 0x3000, 0xFE58, 0xFE63, 0xFF0E, 0xD800]
    for one in map(chr, codes):
        for text in (one, f"a. {one}b. C", f"5{one}mm", f"5 {one} .{one}5"):
            assert_same(engine, text)


def test_printable_words(tok: Tokenizer) -> None:
    """All words of two printable characters, in one text for each first one."""
    for first in string.printable:
        words = [f"{first}{second} {second}{first}" for second in string.printable]
        assert_same(tok._engine, " ".join(words))
