"""Reports of phantom studies say what the latents hold, in several hands, at the right length."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import numpy as np
import pytest

from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.report.reports import READERS, Report, write_report, write_reports
from echoclip_r.phantom.report.wording import STYLES, fields_of, free_remarks, read_wording
from echoclip_r.phantom.study import Latents
from echotok.bpe import ByteBPE
from echotok.clip_merges import clip_merges, count_clip_tokens

NUM_PATIENTS = 400

DEVICES = {
    "pacer_lead": r"pacemaker|pacing|pacer|PPM",
    "impella": r"Impella",
    "tavr": r"TAVR|[Tt]ranscatheter aortic",
    "mitraclip": r"MitraClip",
    "transplanted": r"transplant|OHT",
}
FLUID = (
    r"(small|mod|moderate|large)( sized)?( circumferential)? (pericardial )?(effusion|PE|eff)\b"
    r"|Pericardial effusion, (small|moderate|large)"
)


@cache
def corpus() -> tuple[tuple[Latents, Report], ...]:
    pairs = []
    for number in range(NUM_PATIENTS):
        studies = sample_patient(number, seed=1)
        pairs += list(zip(studies, write_reports(studies, seed=1), strict=True))
    return tuple(pairs)


def test_reports_have_400_to_500_clip_tokens_in_every_style() -> None:
    """Every style stays within the length that CLIP's own tokenizer is measured at."""
    bpe = ByteBPE(clip_merges())
    lengths: dict[str, list[int]] = {style: [] for style in STYLES}
    for _, report in corpus():
        lengths[report.reader.style].append(count_clip_tokens(report.text, bpe) - 2)
    for style, counts in lengths.items():
        assert len(counts) > 50, style
        assert np.mean([400 <= count <= 500 for count in counts]) >= 0.99, style
        assert 430 <= np.mean(counts) <= 475, style


def test_a_report_depends_on_study_and_seed_alone() -> None:
    """The same arguments give the same text, another seed another one."""
    studies = sample_patient(3, seed=0)
    texts = [report.text for report in write_reports(studies, seed=0)]
    assert texts == [report.text for report in write_reports(studies, seed=0)]
    assert texts != [report.text for report in write_reports(studies, seed=1)]
    study = studies[0]
    assert write_report(study, "template", seed=0) != write_report(study, "template", seed=1)


def test_a_style_is_its_own() -> None:
    """One study is worded otherwise in every style."""
    study = sample_patient(3, seed=0)[0]
    assert len({write_report(study, style, seed=0) for style in STYLES}) == len(STYLES)
    assert write_report(study, "sectioned", seed=0).count(":") > 8


def test_the_styles_say_the_same_things() -> None:
    """Every style has words for the same topics, cases and items, and leaves no list empty."""
    keys = []
    for style in STYLES:
        wording = read_wording(style)
        assert all(texts for cases in wording.sentences.values() for texts in cases.values())
        keys.append({(t, c) for t, cases in wording.sentences.items() for c in cases})
        assert set(wording.items) == set(read_wording("template").items)
    assert all(key == keys[0] for key in keys)


@pytest.mark.parametrize("style", STYLES)
def test_the_ejection_fraction_is_off_by_three_and_rounding_at_most(style: str) -> None:
    """What a report gives as ejection fraction is the truth plus a reader's noise."""
    said = re.compile(
        r"(?:EF|[Ee]jection fraction)\D{0,40}?(\d+)(?:(?:-| to )(\d+))? ?(?:%|percent)"
    )
    errors = []
    for study, report in corpus():
        if report.reader.style == style:
            # The last mention can be that of an earlier study, so the first is read.
            found = said.search(report.text)
            assert found, report.reader
            low, high = int(found[1]), int(found[2] or found[1])
            errors.append((low + high) / 2 - study.ef_percent)
    assert np.abs(errors).max() <= 3 + 2.5 + 0.01
    assert abs(np.mean(errors)) < 0.6
    assert np.std(errors) > 1


@pytest.mark.parametrize("device", DEVICES)
def test_devices_are_mentioned_when_there_and_only_then(device: str) -> None:
    """A device that is there is mentioned in about 97 reports of 100, another one never."""
    there = [bool(getattr(study, device)) for study, _ in corpus()]
    pattern = re.compile(DEVICES[device])
    said = [bool(pattern.search(report.text)) for _, report in corpus()]
    found = [spoken for spoken, real in zip(said, there, strict=True) if real]
    assert len(found) > 10
    assert 0.9 <= np.mean(found) <= 1
    assert not any(spoken for spoken, real in zip(said, there, strict=True) if not real)


def test_something_is_forgotten_now_and_then() -> None:
    """Readers are not perfect: some of the devices of some studies go unmentioned."""
    pairs = [(study, report) for study, report in corpus() if study.impella or study.mitraclip]
    silent = [
        report
        for study, report in pairs
        if (study.impella and "Impella" not in report.text)
        or (study.mitraclip and "MitraClip" not in report.text)
    ]
    assert 0.005 < len(silent) / len(pairs) < 0.08


def test_fluid_is_never_made_up() -> None:
    """An effusion is reported in most studies that have one, and in no other."""
    said = [bool(re.search(FLUID, report.text)) for _, report in corpus()]
    there = [study.effusion > 0 for study, _ in corpus()]
    assert not any(s and not t for s, t in zip(said, there, strict=True))
    assert np.mean([s for s, t in zip(said, there, strict=True) if t]) > 0.9


def test_later_studies_are_compared_and_first_ones_are_not() -> None:
    """Most later reports name the date of the study before, and no first report has a date."""
    dated, before = [], None
    for study, report in corpus():
        if study.study_index == 0:
            assert not re.search(r"\b20[0-2]\d\b", report.text)
        elif not report.keystroke:
            assert before is not None
            dated.append(str(before.date.year) in report.text)
        before = study
    assert 0.6 < np.mean(dated) < 1


def test_a_great_change_of_function_is_told() -> None:
    """Where the ejection fraction has risen or fallen by 20 points, the report says which."""
    rise = re.compile(r"improved|risen|is better|EF up")
    fall = re.compile(r"declined|fallen|is worse|EF down")
    before = None
    for study, report in corpus():
        if study.study_index and before is not None and not report.keystroke:
            step = study.ef_percent - before.ef_percent
            if abs(step) >= 20:
                assert bool(rise.search(report.text)) == (step > 0)
                assert bool(fall.search(report.text)) == (step < 0)
        before = study


def test_normal_studies_share_reports_and_no_others_do() -> None:
    """A few reports of a hundred are another one's text, and all of those are normal."""
    texts = Counter(report.text for _, report in corpus())
    twins = [(study, report) for study, report in corpus() if texts[report.text] > 1]
    assert 0.005 <= len(twins) / len(corpus()) <= 0.06
    for study, report in twins:
        assert report.keystroke
        assert study.ef_percent > 50
        assert not (study.impella or study.tavr or study.mitraclip or study.pacer_lead)
        assert study.effusion == 0


def test_most_reports_hold_a_sentence_of_their_own() -> None:
    """Free remarks are too many for any table: other reports do not have them."""
    sentences = [
        {
            sentence
            for sentence in re.split(r"(?<=[.:]) |\n", report.text)
            if not re.search(r"\d", sentence)
        }
        for _, report in corpus()
    ]
    owners = Counter(sentence for held in sentences for sentence in held)
    unique = [any(owners[sentence] == 1 for sentence in held) for held in sentences]
    assert np.mean(unique) > 0.85


def test_remarks_do_not_repeat_within_a_report() -> None:
    """Several remarks at once come from several patterns, with nothing left to fill in."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        remarks = free_remarks("prose", number=3, rng=rng)
        assert len(set(remarks)) == 3
        assert not any("<" in remark for remark in remarks)


def test_no_field_is_left_open() -> None:
    """No report shows a brace, and every field has a value in some study of the corpus."""
    assert not any(re.search(r"[{}]|<[a-z]|[a-z]>", report.text) for _, report in corpus())
    assert "prior_date" in fields_of(read_wording("template").sentences["prior"]["same"][0])


def test_every_reader_reports() -> None:
    """Readers get their shares of the studies, whatever the findings."""
    counts = Counter(report.reader.number for _, report in corpus())
    for reader in READERS:
        assert counts[reader.number] / len(corpus()) == pytest.approx(reader.share, abs=0.04)
    assert sum(reader.share for reader in READERS) == pytest.approx(1)


def test_a_wrong_style_or_seed_is_explained() -> None:
    """Errors name the value and the choices."""
    study = sample_patient(0, seed=0)[0]
    with pytest.raises(ValueError, match="'poem'; give one of template"):
        write_report(study, "poem", seed=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed is -1"):
        write_reports([study], seed=-1)
