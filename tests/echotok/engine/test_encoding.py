"""What an encoding answers, and that it still answers after a journey by pickle."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import texts

from echotok import Encoding, Tokenizer

ANSWERS = (
    "ids",
    "tokens",
    "kinds",
    "roles",
    "slot_types",
    "units",
    "unit_ends",
    "piece_ends",
    "offsets",
    "unit_offsets",
    "sentences",
    "num_dropped",
    "cut_inside_unit",
)
REPORT = (
    "1. Mild LVH; LVEF 62-67%.\n2. Zanzibaritis was not seen. RVSP 35 mmHg + RAP!\n"
    "- The patient\u2019s left atrium is moderately dilated"
)


def answers(encoding: Encoding) -> dict[str, Any]:
    return {name: getattr(encoding, name) for name in ANSWERS}


@given(text=texts, context_length=st.integers(3, 30))
@settings(max_examples=200)
def test_a_pickled_encoding_answers_alike(tok: Tokenizer, text: str, context_length: int) -> None:
    """Everything that it answers comes through, and so does cutting it before or afterwards."""
    encoding = tok.encode(text)
    copied = pickle.loads(pickle.dumps(encoding))
    assert answers(copied) == answers(encoding)
    cut = encoding.truncate(context_length)
    assert answers(copied.truncate(context_length)) == answers(cut)
    assert answers(pickle.loads(pickle.dumps(cut))) == answers(cut)


@pytest.mark.parametrize("context_length", range(3, 40))
def test_cutting_a_cut_encoding(tok: Tokenizer, context_length: int) -> None:
    """Cutting twice is cutting once, by pickle or not."""
    once = tok.encode(REPORT).truncate(context_length)
    twice = tok.encode(REPORT).truncate(context_length + 5).truncate(context_length)
    assert answers(twice) == answers(once)
    copied = pickle.loads(pickle.dumps(tok.encode(REPORT).truncate(context_length + 5)))
    assert answers(copied.truncate(context_length)) == answers(once)


def test_another_process_reads_it(tok: Tokenizer, tmp_path: Path) -> None:
    """A process that loads no tokenizer gets all answers from the file."""
    path = tmp_path / "encoding.pickle"
    encoding = tok.encode(REPORT)
    path.write_bytes(pickle.dumps(encoding))
    code = (
        "import json, pickle, sys\n"
        "encoding = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(json.dumps({name: getattr(encoding, name) for name in sys.argv[2:]}))\n"
    )
    command = [sys.executable, "-c", code, str(path), *ANSWERS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(json.dumps(answers(encoding)))


def test_a_pickled_encoding_is_small_and_holds_no_text(tok: Tokenizer) -> None:
    """It carries neither the tokenizer, some 150 kB, nor the report's text (I9)."""
    for path in sorted((ROOT / "benchmarks" / "reports" / "house").glob("*.txt"))[:5]:
        encoding = tok.encode(path.read_text(encoding="utf-8"))
        assert len(pickle.dumps(encoding)) < 1_000 + 50 * len(encoding.ids)
    raw = pickle.dumps(tok.encode(REPORT))
    assert REPORT[:20].encode() not in raw
    assert b"Zanzibaritis" not in raw


def test_offsets_units_and_sentences_normalize_once(
    tok: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pass that gave the ids gives all the rest: nothing is normalized or matched anew."""
    calls = []
    space = "echotok.text._space"
    from echotok import text as module

    original = module._space
    monkeypatch.setattr(space, lambda folded: (calls.append(1), original(folded))[1])
    for text in (REPORT, f"{REPORT} LA 20 cm\u00b2. {REPORT}"):
        calls.clear()
        encoding = tok.encode(text)
        assert len(calls) <= 1  # the compiled core normalizes by itself what is ASCII
        made = len(calls)
        _ = encoding.offsets, encoding.units, encoding.sentences, encoding.tokens
        _ = encoding.truncate(9).offsets, encoding.truncate(9).sentences
        assert len(calls) == made


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Mild MR. No AS.", 2),
        ("1. Mild MR. No AS.", 2),
        ("Vmax 4.3 m/s", 1),
        ("Mild MR\nNo AS", 2),
        ("Mild MR with\na posterior jet", 1),
        ("Mild MR!\n\nno AS?", 2),
        ("- Mild MR\n- no AS", 2),
        ("", 0),
    ],
)
def test_sentences(tok: Tokenizer, text: str, sentences: int) -> None:
    """A sentence ends at a stop with white space behind it, or before what looks like a new one."""
    assert max(tok.encode(text).sentences, default=-1) + 1 == sentences


def test_roles_and_slots_tell_values_apart(tok: Tokenizer) -> None:
    """The parts of a number, a grade and what is no value."""
    encoding = tok.encode("Moderate qzv of >1.25")
    told = zip(encoding.tokens, encoding.roles, encoding.slot_types, strict=True)
    values = [told_of for told_of in told if told_of[2]]
    assert values == [
        ("moderate", "whole", "severity"),
        (">", "prefix", "number"),
        ("1", "start", "number"),
        (".25", "continue", "number"),
    ]
