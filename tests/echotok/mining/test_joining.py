"""Rows of several sentences, which `join_sentences` allows."""

from __future__ import annotations

import random

import pytest

from echotok.mining.assembly import Mined
from echotok.mining.growth import grow
from echotok.mining.options import UNITS, Options
from echotok.mining.pipeline import mine
from echotok.mining.privacy import PrivateFinder
from echotok.mining.store import ReportStore

_ORDER = (
    "The left ventricle is normal in size.",
    "Ejection fraction is {}%.",
    "The right ventricle is normal.",
    "There is {} mitral regurgitation.",
    "No pericardial effusion.",
    "The aortic root measures {} cm.",
)
_GRADES = ("mild", "moderate", "severe", "trace")


def _reports(number: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    reports = []
    for _ in range(number):
        filled = [
            sentence.format(
                rng.choice(_GRADES) if "mitral" in sentence else rng.choice(["55", "60", "3.1"])
            )
            for sentence in _ORDER
            if rng.random() < 0.9
        ]
        if rng.random() < 0.2:
            filled.insert(rng.randrange(len(filled) + 1), f"Seen beside Dr. Quill{rng.random()}.")
        reports.append(" ".join(filled))
    return reports


@pytest.fixture(scope="module")
def store() -> ReportStore:
    store = ReportStore(units=UNITS, find_private=PrivateFinder())
    for patient, text in enumerate(_reports(200, 1)):
        store.add(text, patient=patient)
    return store


def _mined(store: ReportStore, *, join: bool, k: int = 5) -> Mined:
    return mine(store, Options(vocab_size=260, k=k, num_merges=40, join_sentences=join))


def test_neighbouring_sentences_become_one_row(store: ReportStore) -> None:
    """Fewer tokens, nothing lost, no more rows; what it says of the corpus is what it needs."""
    apart, joined = _mined(store, join=False), _mined(store, join=True)
    assert any(". " in phrase.text for phrase in joined.table.live)
    assert not any(". " in phrase.text for phrase in apart.table.live)
    assert joined.vocab_size <= apart.vocab_size
    before, after = apart.tokenizer(), joined.tokenizer()
    for text in _reports(50, 2):
        assert after.decode(after.encode(text).ids) == after.normalize(text)
    texts = _reports(200, 1)
    needed = [sum(len(tok.encode(t).ids) - 2 for t in texts) for tok in (before, after)]
    assert needed[1] == joined.num_tokens
    assert needed[1] < 0.8 * needed[0]


def test_k_patients_hold_a_joined_row(store: ReportStore) -> None:
    """Each row of several sentences stands in the reports of k patients (I9)."""
    mined = _mined(store, join=True, k=8)
    tokenizer = mined.tokenizer()
    encodings = [tokenizer.encode(text) for text in _reports(200, 1)]
    for phrase in mined.table.live:
        if ". " in phrase.text:
            number = tokenizer.token_to_id(phrase.text)
            assert sum(number in encoding.ids for encoding in encodings) >= 8, phrase.text
        assert "quill" not in phrase.text


def test_the_same_table_every_time(store: ReportStore) -> None:
    """One result, whatever order a set comes in (I13)."""
    assert _mined(store, join=True) == _mined(store, join=True)


def test_growth_keeps_the_old_rows(store: ReportStore) -> None:
    """Rows of several sentences come behind those of the table that grows."""
    old = _mined(store, join=False)
    others = ReportStore(units=UNITS, find_private=PrivateFinder())
    for patient, text in enumerate(_reports(200, 3)):
        others.add(f"{text} No thrombus is seen. The study is complete.", patient=patient)
    options = Options(vocab_size=old.vocab_size + 6, join_sentences=True)
    grown = grow(others, options, old)
    size = len(old.table.phrases)
    assert grown.table.phrases[:size] == old.table.phrases
    assert grown.vocab_size <= options.vocab_size
    assert any(". " in phrase.text for phrase in grown.table.phrases[size:])
    assert grown.tokenizer().added_since(old.tokenizer())
