"""Which words a model has read."""

from __future__ import annotations

import json

import pytest

import echotok
from echoclip_r.text.codec import TextCodec
from echoclip_r.text.readers import Unit
from echoclip_r.text.word_counts import KnownWords, WordCounts, count_words

CODECS = {
    "echo": TextCodec(echotok.load("echo"), context_length=77),
    "clip": TextCodec(None, context_length=77),
}
REPORTS = [
    (
        f"P{number}",
        f"There is mild mitral regurgitation. A pacemaker lead is seen. EF {50 + number}%.",
    )
    for number in range(8)
]
OTHERS = [
    *((f"P{number}", "Seen by Doctor Quibblethwaite.") for number in range(4)),
    *(("P9", f"A wombat on day {number}.") for number in range(20)),
]


@pytest.fixture(params=sorted(CODECS))
def codec(request: pytest.FixtureRequest) -> TextCodec:
    """Our tokenizer, and CLIP's own."""
    return CODECS[request.param]


def known(codec: TextCodec) -> KnownWords:
    return KnownWords(codec, count_words([*REPORTS, *OTHERS], codec))


def test_units_are_phrases_values_and_words_without_numbers() -> None:
    """As the tokenizer cuts a text; a word of several ids is one unit."""
    text = "LVEF is 55-60%, xylophone wombat. Mild mitral regurgitation."
    assert CODECS["echo"].units(text) == [
        Unit("bpe", "lvef"),
        Unit("phrase", "is {number}%,"),
        Unit("bpe", "xylophone"),
        Unit("bpe", "wombat"),
        Unit("bpe", "."),
        Unit("value", "mild"),
        Unit("value", "mitral regurgitation."),
    ]
    words = [unit.form for unit in CODECS["clip"].units("Pacemaker lead, wombats.")]
    assert words == ["pacemaker", "lead", ",", "wombats", "."]


@pytest.mark.parametrize(
    "text",
    [
        "There is mild mitral regurgitation.",
        "THERE is  mild mitral regurgitation.",
        "A pacemaker lead is seen.",
        "EF 23%.",
        "EF 99%. A pacemaker lead is seen.",
        "12 %",
        "",
    ],
)
def test_nothing_is_said_of_what_was_read_often(codec: TextCodec, text: str) -> None:
    """Other numbers, letter case and white space are no other words."""
    assert known(codec).look_up(text) is None


def test_a_word_that_was_never_read_is_named_with_what_is_near(codec: TextCodec) -> None:
    """With the number of words; known ones are not named."""
    remark = known(codec).look_up("A pacemakers lead was seen.")
    assert remark is not None
    assert (remark.num_words, remark.num_unknown) == (5, 2)
    assert remark.unknown == ("pacemakers", "was")
    assert "pacemaker" in " ".join(remark.nearest)
    assert str(remark).startswith(
        "2 of 5 words were read in the training reports of fewer than 5 patients "
        "('pacemakers', 'was'); "
    )
    assert "nearest that it knows: 'pacemaker" in str(remark)
    assert json.loads(json.dumps(remark.to_dict()))["nearest"] == list(remark.nearest)


def test_nothing_near_is_said_so(codec: TextCodec) -> None:
    """A word that is like none, such as one of another script."""
    remark = known(codec).look_up("心")
    assert remark is not None
    assert str(remark).startswith("1 of 1 word was read")
    assert str(remark).endswith("it knows nothing spelled like that")


def test_patients_count_and_not_reports(codec: TextCodec) -> None:
    """What only one patient's twenty reports say is unknown, and so is a name in four."""
    words = known(codec)
    for text in ("A wombat.", "Doctor Quibblethwaite."):
        remark = words.look_up(text)
        assert remark is not None
        assert remark.unknown
        assert not {"wombat", "quibblethwaite"} & set(remark.nearest)


def test_counts_hold_no_words(codec: TextCodec) -> None:
    """Neither rare nor common ones; the file gives the same counts back (I9)."""
    counts = count_words([*REPORTS, *OTHERS], codec)
    text = counts.to_json()
    for word in ("mitral", "pacemaker", "wombat", "uibbleth", "doctor"):
        assert word not in text.lower()
    assert WordCounts.from_json(text) == counts
    assert counts.num_reports == len(REPORTS) + len(OTHERS)
    assert min(counts.reports_with.values()) == 8
    for broken in ("{}", "[]", '{"format": 2}', "no json"):
        with pytest.raises(ValueError):
            WordCounts.from_json(broken)


def test_words_that_were_read_in_other_phrases() -> None:
    """A phrase is one id, which says nothing of its words; half of a text must be such."""
    codec = CODECS["echo"]
    inside = [(f"P{number}", "A pacemaker lead is seen.") for number in range(9)]
    words = KnownWords(codec, count_words(inside, codec))
    remark = words.look_up("Lead pacemaker.")
    assert remark is not None
    assert (remark.num_unknown, remark.num_outside, remark.outside) == (0, 2, ("lead", "pacemaker"))
    assert str(remark) == (
        "2 of 2 words were read, but in other phrases than here ('lead', 'pacemaker'); nearest "
        "that it knows: 'pacemaker lead'"
    )
    assert words.look_up("A pacemaker lead is seen. A lead is seen.") is None


def test_a_unit_that_was_read_only_with_its_full_stop() -> None:
    """`regurgitation` and `regurgitation.` are two ids: it is said how to ask."""
    remark = known(CODECS["echo"]).look_up("there is mild mitral regurgitation")
    assert remark is not None
    assert remark.needs_stop
    assert str(remark).endswith("end it with a full stop")
    assert known(CODECS["clip"]).look_up("there is mild mitral regurgitation") is None


def test_a_run_that_did_not_count_knows_its_phrases() -> None:
    """An older run: the share in phrases is all that there is; CLIP's tokenizer has none."""
    words = KnownWords(CODECS["echo"], None)
    assert words.look_up("Mild mitral regurgitation.") is None
    assert words.look_up("Mild MR.") is None
    assert words.look_up("A pacemaker lead is seen.") is None
    assert words.look_up("Mild mitral regurgitation of the wombat.") is None
    remark = words.look_up("Mild xylophone wombat.")
    assert remark is not None
    assert (remark.num_outside, remark.is_counted, remark.unknown) == (2, False, ())
    assert "stand in no phrase of the tokenizer" in str(remark)
    assert "did not count" in str(remark)
    assert remark.share_bpe == pytest.approx(2 / 3)
    assert KnownWords(CODECS["clip"], None).look_up("A wombat.") is None


def test_of_a_whole_report_only_many_unknown_words_are_told(codec: TextCodec) -> None:
    """And none of them is repeated: it may be a name."""
    report = "There is mild mitral regurgitation. A pacemaker lead is seen. " * 4
    assert known(codec).look_up(f"{report} Quibblethwaite.") is None
    remark = known(codec).look_up(report + "Quibblethwaite was here yesterday. " * 4)
    assert remark is not None
    assert "uibble" not in str(remark)
    assert remark.num_unknown == 16
