"""The export for HF tokenizers: exact without slots, and counted where it is not."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from command_line import Run, needs_clip
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import table_texts, tables, texts

import echotok
from echotok.adapters.huggingface import (
    compare,
    inexact_parts,
    synthetic_reports,
    to_tokenizer_json,
)
from echotok.bpe import byte_alphabet
from echotok.table.fallback import Fallback
from echotok.table.phrases import PhraseTable
from echotok.table.values import NumberCode
from echotok.tokenizer import Tokenizer

tokenizers = pytest.importorskip("tokenizers")

PHRASES = [
    "mitral regurgitation",
    "no mitral regurgitation",
    "there is mild mitral regurgitation",
    "no pericardial effusion.",
    "aortic valve",
    "aortic valve sclerosis",
    "(see comment)",
    "grade 2",
    "2d echo",
    "e/e'",
    "- normal",
    "normal; no",
    "moderate to severe",
    "the left ventricle is normal in size",
]
TEXTS = [
    "",
    " ",
    "Mild MR.",
    "no  mitral regurgitation . LVEF 55-60 %, e/e' 12.",
    "a-b x/y end-diastolic (see comment) 55-62 1.25 1340 05 >=15 0.6-1.1 50% to 60 5mmHg x_y",
    "2D echo grade 2-3 grade 2. Grade 2a",
    "- normal\n- normal size -- normal\n-- x",
    "moderate to severe mitral regurgitation; moderate to severely",
    "e's Patient's 2+ left-sided na\u00efve Ko\u0308rper 10\u00b2 \u5fc3 \u2212.5 <eos> {number}",
    "1,234.05 -5 5 to -3 .5 5-.5 7% - 9 1340.256 \u226515 > 15 250 251 12.5",
]


def other_tokenizer(tok: Tokenizer) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(json.dumps(to_tokenizer_json(tok)))


@pytest.fixture
def plain_table(tmp_path: Path) -> Path:
    """A table without slots."""
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "table.toml").write_text(
        'name = "plain"\nversion = "1.0.0"\nlocale = "en"\nlicence = "Apache-2.0"\n'
        'provenance = "written for the tests"\nunits = ["mmhg", "cm", "cm2", "m/s"]\n'
        '[slots]\nside = "left or right"\n'
        "[capacity]\nphrases = 32\nvalues = 8\nmerges = 300\n",
        encoding="utf-8",
    )
    (folder / "values.csv").write_text(
        "id,slot,value,rank,since,retired,note\n0,side,left,,1.0.0,,\n"
        "1,side,left-sided,,1.0.0,,\n2,side,right,,1.0.0,1.0.0,\n",
        encoding="utf-8",
    )
    rows = "".join(f'{row},"{text}",1.0.0,,\n' for row, text in enumerate(PHRASES))
    (folder / "all.csv").write_text("id,phrase,since,retired,note\n" + rows, encoding="utf-8")
    return folder


def own_reports() -> list[str]:
    files = sorted((ROOT / "benchmarks" / "reports").rglob("*.txt"))
    return [file.read_text(encoding="utf-8") for file in files]


@pytest.mark.parametrize("fallback", ["domain", pytest.param("clip", marks=needs_clip)])
def test_a_table_without_slots_is_exact(plain_table: Path, fallback) -> None:
    """Built by `echotok build`, it gets the same ids from HF tokenizers on every text."""
    tok = echotok.build(plain_table, fallback=fallback, corpus=[" ".join(TEXTS)] * 5)
    assert inexact_parts(tok) == []
    corpus = [*TEXTS, *own_reports(), *synthetic_reports(tok, count=50, seed=0)]
    found = compare(tok, to_tokenizer_json(tok), corpus)
    assert found.num_texts == len(corpus)
    assert found.num_other_ids == 0
    assert found.num_ids == found.num_exported_ids


def _assigned(text: str) -> str:
    """Without surrogates, and what this Python's Unicode does not know: Rust's may fold it."""
    return "".join(one for one in text if unicodedata.category(one) not in ("Cs", "Cn"))


def _without_slots(table: PhraseTable) -> PhraseTable:
    return replace(
        table,
        phrases=tuple(phrase for phrase in table.phrases if not phrase.num_slots),
        num_merges=8,
    )


FALLBACKS = [
    Fallback(kind="domain", joins=False),
    Fallback(
        kind="domain",
        joins=False,
        merges=(("t", "o</w>"), ("m", "i"), ("l", "d</w>"), ("mi", "ld</w>"), ("a", "b")),
    ),
    Fallback(
        kind="domain",
        base="".join(symbol for symbol in byte_alphabet()[33:126] if symbol not in "qz#_"),
        merges=(("o", "</w>"), ("t", "o</w>"), ("m", "i"), ("l", "d"), ("mi", "ld")),
    ),
]


@settings(max_examples=25)
@given(
    tables.map(_without_slots),
    st.sampled_from(FALLBACKS),
    st.sampled_from([None, NumberCode(), NumberCode(starts=("12", "55-60"), continues=(".05",))]),
    st.lists(st.one_of(table_texts, texts), min_size=1, max_size=8),
)
def test_any_table_without_slots_is_exact(table, fallback, code, found) -> None:
    """Random tables, closings, number codes and fallbacks, on random texts."""
    tok = Tokenizer.from_table(replace(table, numbers=code), fallback)
    assert inexact_parts(tok) == []
    other = other_tokenizer(tok)
    for text in map(_assigned, found):
        assert other.encode(text).ids == tok.encode(text).ids


@cache
def _plain() -> tuple[Tokenizer, tokenizers.Tokenizer]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        tok = echotok.build(plain_table.__wrapped__(Path(folder)))  # type: ignore[attr-defined]
    return tok, other_tokenizer(tok)


@given(texts)
def test_any_text_is_exact(text: str) -> None:
    """Any text without lone surrogates, which HF tokenizers do not take."""
    tok, other = _plain()
    text = _assigned(text)
    assert other.encode(text).ids == tok.encode(text).ids


def test_slots_are_measured_and_nothing_is_lost(tok: Tokenizer) -> None:
    """With slots the ids differ and are counted; each text still decodes to what it says."""
    exported = to_tokenizer_json(tok)
    told = inexact_parts(tok)
    assert "phrases have slots and are left out" in told[0]
    assert "joins words" in told[1]
    corpus = [*TEXTS, *own_reports()]
    found = compare(tok, exported, corpus)
    assert found.num_texts == len(corpus)
    assert 0 < found.num_other_ids <= len(corpus)
    assert found.num_exported_ids > found.num_ids
    other = tokenizers.Tokenizer.from_str(json.dumps(exported))
    for text in corpus:
        assert tok.decode(other.encode(text).ids) == tok.normalize(text)


def test_the_command_writes_it_and_says_what_differs(
    run: Run, plain_table: Path, tmp_path: Path
) -> None:
    """`echotok export` writes the file and prints the share of texts with other ids."""
    artifact, out = tmp_path / "plain.json", tmp_path / "tokenizer.json"
    assert run("build", plain_table, "--out", artifact).code == 0
    done = run("export", "--tokenizer", artifact, "--format", "huggingface", "--out", out)
    assert done.code == 0
    assert "0 of 200 texts get other ids (0.0%)" in done.out
    assert "not exact" not in done.err
    ids = tokenizers.Tokenizer.from_file(str(out)).encode(TEXTS[3]).ids
    assert ids == echotok.load(artifact).encode(TEXTS[3]).ids
    reports = tmp_path / "reports.txt"
    reports.write_text("LVEF is 55-60%.", encoding="utf-8")
    done = run("export", "--out", out, "--measure", reports)
    assert done.out.startswith("1 of 1 texts get other ids (100.0%)")
    assert "not exact: 346 of 1,200 phrases have slots" in done.err
    assert "no such file" in run("export", "--out", out, "--measure", tmp_path / "none").err
    (tmp_path / "none.csv").write_text("report\n", encoding="utf-8")
    assert "hold no report" in run("export", "--measure", tmp_path / "none.csv", "--out", out).err
    # A lone surrogate, which the other library does not take, is counted and ends nothing.
    reports = tmp_path / "reports.jsonl"
    reports.write_text('{"text": "aortic valve \\ud800"}\n{"text": "aortic valve"}\n')
    done = run("export", "--tokenizer", artifact, "--out", out, "--measure", reports)
    assert done.out.startswith("1 of 2 texts get other ids (50.0%)"), done.err


def test_a_literal_special_token_is_text(plain_table: Path) -> None:
    """No token is registered as added, so that nothing in a text is control (I7)."""
    tok = echotok.build(plain_table)
    other = other_tokenizer(tok)
    assert other.encode("<eos> <pad>").ids == tok.encode("<eos> <pad>").ids
    assert other.get_vocab_size() == tok.vocab_size
    assert other.token_to_id("<eos>") == tok.eos_id
    fast = pytest.importorskip("transformers").PreTrainedTokenizerFast(
        tokenizer_object=other, pad_token="<pad>", eos_token="<eos>", split_special_tokens=True
    )
    rows = fast(["<eos> mild", "mild"], padding=True)["input_ids"]
    assert rows == tok(["<eos> mild", "mild"], padding=True)["input_ids"].tolist()


def test_a_fallback_says_whether_it_joins(plain_table: Path, small_table: Path, tmp_path) -> None:
    """A table without slots is built without joining, and its artifact says so."""
    plain, small = echotok.build(plain_table), echotok.build(small_table)
    assert not plain.fallback.joins_parts
    assert small.fallback.joins_parts
    for tok in (plain, small):
        tok.save(tmp_path / "tok.json")
        again = echotok.load(tmp_path / "tok.json")
        assert again.fallback == tok.fallback
        assert again.fingerprint == tok.fingerprint
    grown = plain_table / "all.csv"
    grown.write_text(grown.read_text() + "20,ef is {number},1.0.0,,\n")
    assert not echotok.build(plain_table, base=plain).fallback.joins_parts
