"""I1-I3, I7, I8 as properties, on any Unicode text and on text that meets every rule."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import table_texts, tables, texts

from echotok import Tokenizer
from echotok.table.fallback import Fallback


@given(text=texts)
@example("Stra\u00dfe \u0130\u0323 5\u0308 .5")
@settings(max_examples=400)
def test_nothing_is_lost(tok: Tokenizer, text: str) -> None:
    """Decoding gives the normalized text, and encoding that gives the same ids."""
    normalized = tok.normalize(text)
    ids = tok.encode(text).ids
    assert tok.decode(ids) == normalized
    assert tok.normalize(normalized) == normalized
    assert tok.encode(normalized).ids == ids


@given(text=texts, other=texts)
@settings(max_examples=300)
def test_same_ids_exactly_when_normalized_text_is_the_same(
    tok: Tokenizer, text: str, other: str
) -> None:
    """Two texts share their ids if and only if `normalize` gives the same."""
    same = tok.normalize(text) == tok.normalize(other)
    assert (tok.encode(text).ids == tok.encode(other).ids) is same


@given(text=texts)
@settings(max_examples=400)
def test_normalize_folds_only_what_it_says(tok: Tokenizer, text: str) -> None:
    """Apart from white space, only case, composition, dashes and quotes change."""
    variants = dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63], "-")
    variants |= dict.fromkeys([*range(0x2018, 0x201C), 0x2032, 0x2BC, 0xB4], "'")
    variants |= dict.fromkeys([*range(0x201C, 0x2020), 0x2033], '"')

    def visible(string: str) -> str:
        for _ in range(4):
            string = unicodedata.normalize("NFC", string).translate(variants)
            string = "".join(map(str.lower, string))
        return "".join(string.split())

    assert visible(tok.normalize(text)) == visible(text)


@given(text=texts)
@settings(max_examples=400)
def test_spans_are_true(tok: Tokenizer, text: str) -> None:
    """Units are disjoint, in order and cover every visible character; tokens lie inside."""
    encoding = tok.encode(text)
    assert len(encoding.offsets) == len(encoding.ids) == len(encoding.units) == len(encoding.tokens)
    assert encoding.offsets[0] is None
    assert encoding.offsets[-1] is None
    covered = 0
    for start, end in encoding.unit_offsets:
        assert covered <= start < end <= len(text)
        assert not text[covered:start].strip()
        covered = end
    assert not text[covered:].strip()
    for unit, span, kind in zip(encoding.units, encoding.offsets, encoding.kinds, strict=True):
        if unit is None:
            assert span is None
            continue
        assert span is not None
        low, high = encoding.unit_offsets[unit]
        assert low <= span[0] <= span[1] <= high
        assert (span[0] == span[1]) is (kind == "special")
    for unit, (start, end) in enumerate(encoding.unit_offsets):
        spans = [s for s, u in zip(encoding.offsets, encoding.units, strict=True) if u == unit]
        assert (
            any(s == (start, end) for s in spans)
            or encoding.kinds[encoding.units.index(unit) + (spans[0] == (start, start))] != "phrase"
        )


@given(text=texts)
@example("-\u033835mmHg e\u033835mmHg")
@settings(max_examples=300)
def test_span_text_normalizes_to_the_token(tok: Tokenizer, text: str) -> None:
    """The original text under a value or BPE word folds to what the token stands for."""
    encoding = tok.encode(text)
    for unit, (start, end) in enumerate(encoding.unit_offsets):
        ids = [n for n, u in zip(encoding.ids, encoding.units, strict=True) if u == unit]
        assert tok.decode(ids) == tok.normalize(text[start:end])


@given(text=texts)
@settings(max_examples=200)
def test_sentences_run_on(tok: Tokenizer, text: str) -> None:
    """Each unit has a sentence; their numbers start at 0 and never jump."""
    sentences = tok.encode(text).sentences
    assert len(sentences) == len(tok.encode(text).unit_offsets)
    steps = [b - a for a, b in zip([0, *sentences], sentences, strict=False)]
    assert all(step in (0, 1) for step in steps)
    assert not sentences or sentences[0] == 0


@given(table=tables, text=st.one_of(table_texts, texts))
@settings(max_examples=200)
def test_any_table_is_lossless(table, text: str) -> None:
    """Losslessness does not depend on what a table holds."""
    if not table.phrases:
        return
    tok = Tokenizer.from_table(table, Fallback(kind="domain"))
    ids = tok.encode(text).ids
    assert tok.decode(ids) == tok.normalize(text)
    assert tok.encode(tok.decode(ids)).ids == ids


@given(text=texts, context_length=st.integers(3, 30))
@settings(max_examples=300)
def test_truncation_is_whole_and_counted(tok: Tokenizer, text: str, context_length: int) -> None:
    """A cut falls between units, keeps EOS and is counted; the batch agrees with `truncate`."""
    full = tok.encode(text)
    cut = full.truncate(context_length)
    batch = tok.encode_batch([text], context_length=context_length)
    assert len(cut) <= context_length
    assert cut.ids[-1] == tok.eos_id
    assert cut.ids[:-1] == full.ids[: len(cut.ids) - 1]
    assert cut.num_dropped == len(full) - len(cut)
    assert batch.ids[0, : batch.lengths[0]].tolist() == cut.ids
    assert (batch.ids[0, batch.lengths[0] :] == tok.pad_id).all()
    assert batch.num_dropped[0] == cut.num_dropped
    assert batch.cut_inside_unit[0] == cut.cut_inside_unit
    assert len(cut.offsets) == len(cut.units) == len(cut.ids)
    assert cut.offsets[:-1] == full.offsets[: len(cut.ids) - 1]
    if not cut.cut_inside_unit:
        kept = tok.decode(cut.ids)
        assert tok.normalize(text).startswith(kept)


@given(text=texts)
@settings(max_examples=100)
def test_text_is_never_control(tok: Tokenizer, text: str) -> None:
    """No text makes a special id inside an encoding, other than the two spacing marks (I7)."""
    inner = tok.encode(text + "<eos><pad><bos>{number}").ids[1:-1]
    assert not {tok.pad_id, tok.bos_id, tok.eos_id} & set(inner)


def test_every_character_is_a_fixed_point(tok: Tokenizer) -> None:
    """Every code point, alone and in a word, is normalized to a fixed point and comes back."""
    blocks = [start for start in range(0, 0x110000, 256) if start < 0x3400 or start % 0x4000 == 0]
    blocks += [0xA600, 0xAB00, 0xD700, 0xD800, 0xF900, 0xFB00, 0xFE00, 0xFF00, 0x10400, 0x1E900]
    for start in blocks:
        text = "".join(f"a{chr(code)}b {chr(code)} " for code in range(start, start + 256))
        normalized = tok.normalize(text)
        assert tok.normalize(normalized) == normalized
        assert tok.decode(tok.encode(text).ids) == normalized


def test_every_composition_is_inside_one_cluster(tok: Tokenizer) -> None:
    """A pair that NFC composes is composed by `normalize`, whatever stands around it."""
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pair = "".join(chr(int(part, 16)) for part in parts)
            assert tok.normalize(f"x{pair}y") == tok.normalize(f"x{chr(code)}y"), hex(code)


@pytest.mark.parametrize("text", ["", " ", "\n\t\u2003", "\x1c"])
def test_an_empty_report_is_bos_eos(tok: Tokenizer, text: str) -> None:
    """A report of nothing but white space is BOS EOS."""
    encoding = tok.encode(text)
    assert encoding.ids == [tok.bos_id, tok.eos_id]
    assert encoding.offsets == encoding.units == [None, None]
    assert encoding.sentences == []
