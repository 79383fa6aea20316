"""Reports to ids."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import open_clip
import pytest
import torch

import echotok
from echoclip_r.text.codec import TextCodec, text_ids
from echotok.building import build

REPORT = (
    "The left ventricular ejection fraction is 55-60%. There is mild mitral regurgitation. "
    "No pericardial effusion. The aortic root measures 3.4 cm."
)


@pytest.fixture(scope="module")
def echo() -> TextCodec:
    return TextCodec(echotok.load("echo"), context_length=77)


@pytest.fixture(scope="module")
def clip() -> TextCodec:
    return TextCodec(None, context_length=77)


def test_open_clips_own_tokenizer_is_untouched(clip: TextCodec) -> None:
    """The base path gives open_clip's rows, at full width, cut where open_clip cuts."""
    texts = ["", "Mild MR.", REPORT, REPORT * 9]
    encoded = clip.encode(texts)
    assert torch.equal(encoded.ids, open_clip.tokenize(texts))
    assert encoded.num_truncated == 1
    assert clip.vocab_size == 49408


def test_rows_of_a_phrase_tokenizer_are_trimmed_to_the_longest(echo: TextCodec) -> None:
    """They are the tokenizer's own rows without the padding that all of them have."""
    texts = ["Mild mitral regurgitation.", REPORT]
    encoded = echo.encode(texts)
    assert echo.tokenizer is not None
    assert torch.equal(encoded.ids, torch.from_numpy(echo.tokenizer.encode_batch(texts).ids))
    assert encoded.num_truncated == 0


def test_a_long_report_is_cut_between_units_and_counted(echo: TextCodec) -> None:
    """As `Encoding.truncate` cuts it."""
    short = TextCodec(echo.tokenizer, context_length=6)
    assert echo.tokenizer is not None
    encoded = short.encode([REPORT, "No effusion."])
    expected = echo.tokenizer.encode(REPORT).truncate(6).ids
    assert encoded.ids[0, : len(expected)].tolist() == expected
    assert encoded.num_truncated == 1


def test_a_token_span_is_a_window_of_the_report(clip: TextCodec) -> None:
    """75 ids in a row between start and end of text; every start comes up."""
    everything = TextCodec(None, context_length=4096).whole(REPORT * 3)[1:-1]
    starts = set()
    for seed in range(300):
        start_of_text, *ids, end_of_text = clip.token_span(REPORT * 3, random.Random(seed))
        assert (start_of_text, end_of_text, len(ids)) == (49406, 49407, 75)
        places = [k for k in range(len(everything) - 74) if everything[k : k + 75] == ids]
        assert places
        starts.update(places)
    assert {0, len(everything) - 75} <= starts
    assert clip.token_span("No effusion.", random.Random(0)) == clip.whole("No effusion.")


def test_a_sentence_run_is_whole_sentences_in_a_row(echo: TextCodec) -> None:
    """Its ids are those of the sentences read alone."""
    sentences = [f"{part}." for part in REPORT.rstrip(".").split(". ")]
    runs = {
        " ".join(sentences[first:last]).lower(): last - first
        for first in range(4)
        for last in range(first + 1, 5)
    }
    seen = set()
    assert echo.tokenizer is not None
    for seed in range(200):
        ids = echo.sentence_run(REPORT, random.Random(seed), max_sentences=2)
        text = echo.tokenizer.decode(ids)
        assert ids == echo.whole(text)
        assert runs[text] <= 2
        seen.add(text)
    assert len(seen) == 4 + 3


def test_a_thinned_report_has_some_of_its_sentences_in_order(echo: TextCodec) -> None:
    """Each is left out about as often as asked; one always stays."""
    sentences = [f"{part}.".lower() for part in REPORT.rstrip(".").split(". ")]
    assert echo.tokenizer is not None
    counts = dict.fromkeys(sentences, 0)
    for seed in range(400):
        ids = echo.thinned(REPORT, random.Random(seed), drop=0.25)
        text = echo.tokenizer.decode(ids)
        kept = [sentence for sentence in sentences if sentence in text]
        assert kept
        assert text == " ".join(kept)
        for sentence in kept:
            counts[sentence] += 1
    assert all(250 < count < 350 for count in counts.values())
    assert echo.thinned(REPORT, random.Random(0), drop=0) == echo.whole(REPORT)
    assert len(echo.thinned(REPORT, random.Random(1), drop=0.9)) < len(echo.whole(REPORT))
    short = TextCodec(echo.tokenizer, context_length=6)
    assert len(short.thinned(REPORT, random.Random(0), drop=0.1)) <= 6


def test_a_run_that_does_not_fit_is_cut_between_units(echo: TextCodec) -> None:
    """EOS is kept."""
    short = TextCodec(echo.tokenizer, context_length=4)
    for seed in range(20):
        ids = short.sentence_run(REPORT, random.Random(seed), max_sentences=4)
        assert len(ids) <= 4
        assert ids[-1] == short.eos_id


@pytest.mark.parametrize("text", ["", "   ", "."])
def test_an_empty_report_gives_a_row(echo: TextCodec, clip: TextCodec, text: str) -> None:
    """No report is too short for any recipe."""
    draw = random.Random(0)
    assert echo.sentence_run(text, draw, max_sentences=3)[-1] == echo.eos_id
    assert echo.thinned(text, draw, drop=0.5)[-1] == echo.eos_id
    assert clip.token_span(text, draw)[-1] == clip.eos_id
    assert len(echo.whole(text)) >= 2


def test_text_ids_tell_texts_apart() -> None:
    """Equal for equal rows, different for others, and the same in every process."""
    rows = [[1, 2, 3], [1, 2], [1, 2, 3], [1, 2, 3, 0], []]
    ids = text_ids(rows).tolist()
    assert ids[0] == ids[2]
    assert len(set(ids)) == 4
    assert ids[0] == -2982413795409117794


def test_a_codec_can_be_sent_to_another_process(echo: TextCodec, clip: TextCodec) -> None:
    """As DataLoader does with it."""
    for codec in (echo, clip):
        again = pickle.loads(pickle.dumps(codec))
        assert again.fingerprint == codec.fingerprint
        assert again.whole(REPORT) == codec.whole(REPORT)


def test_words_of_a_compact_base_are_read_in_any_script() -> None:
    """Its tokens write other bytes in halves: they are words, too, and every id can be decoded."""
    tokenizer = build(Path(__file__).parents[3] / "phrase_tables" / "phantom")
    codec = TextCodec(tokenizer, context_length=77)
    for text in ("\U0001f600\U0001f600", "\u65e5\u672c", "caf\u00e9", "\x00", "\u202e"):
        assert [unit.form for unit in codec.units(text)] == [text]
    for number in tokenizer.assigned_ids:
        assert isinstance(tokenizer.decode([number]), str)
    assert all(unit.form for unit in codec.vocabulary())
