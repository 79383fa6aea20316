"""Reports of phantom studies, written from the same latents as the pictures.

A study belongs to one reader, who has a style, habits, and favourite sentences. Each report is
400 to 500 CLIP tokens long: what is found and implanted, what is normal, a conclusion, and free
remarks that fit no list. Normal studies are reported with one keystroke, so that some reports are
the same text, as they are in real archives.

The text was invented for the phantom and says nothing of any person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echoclip_r.phantom.report.composition import choose, choose_normal, lay_out, severity
from echoclip_r.phantom.report.conclusions import compare, conclude, list_findings, list_new_devices
from echoclip_r.phantom.report.reading import EfHabit, Reading, read_study
from echoclip_r.phantom.report.statements import SECTIONS, describe, describe_normal
from echoclip_r.phantom.report.wording import Style, Wording, free_remarks, read_wording
from echoclip_r.phantom.study import Latents

__all__ = ["OTHER_READERS", "READERS", "Reader", "Report", "write_report", "write_reports"]

# Keeps the generator apart from those of latents and pictures, which share a study's seed.
_STREAM = 3
_ONE_KEYSTROKE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A person who reports studies.

    Attributes:
        number: number of the reader, from 0; the favourite sentences follow from it.
        style: how the reader writes.
        ef_habit: how the reader gives an ejection fraction.
        share: part of all studies that this reader reports.
        conclusion_first: whether the conclusion stands at the head of the report.
    """

    number: int
    style: Style
    ef_habit: EfHabit
    share: float
    conclusion_first: bool = False


READERS = (
    Reader(number=0, style="template", ef_habit="range", share=0.18),
    Reader(number=1, style="template", ef_habit="fives", share=0.14),
    Reader(number=2, style="template", ef_habit="fives", share=0.1, conclusion_first=True),
    Reader(number=3, style="sectioned", ef_habit="fives", share=0.14),
    Reader(number=4, style="sectioned", ef_habit="exact", share=0.1),
    Reader(number=5, style="abbreviated", ef_habit="range", share=0.1),
    Reader(number=6, style="abbreviated", ef_habit="fives", share=0.08, conclusion_first=True),
    Reader(number=7, style="dictation", ef_habit="range", share=0.08),
    Reader(number=8, style="dictation", ef_habit="fives", share=0.08),
)
"""The readers of the phantom's first laboratory."""

OTHER_READERS = (
    Reader(number=20, style="template", ef_habit="exact", share=0.2, conclusion_first=True),
    Reader(number=21, style="sectioned", ef_habit="range", share=0.15),
    Reader(number=22, style="abbreviated", ef_habit="exact", share=0.25),
    Reader(number=23, style="dictation", ef_habit="exact", share=0.2),
    Reader(number=24, style="dictation", ef_habit="range", share=0.2, conclusion_first=True),
)
"""Those of the second: the same styles, with other favourite sentences and habits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A written report.

    Attributes:
        text: the report.
        reader: reader who wrote it.
        keystroke: whether it is a normal report that another patient can have word for word.
    """

    text: str
    reader: Reader
    keystroke: bool


def write_reports(studies: Sequence[Latents], *, seed: int) -> list[Report]:
    """Report all the studies of a patient; each is compared with the one before.

    Args:
        studies: one patient's studies by date, as `sample_patient` gives them.
        seed: seed of the archive, which chooses readers and words.

    Returns:
        One report for each study.

    Raises:
        ValueError: `seed` is negative.

    Example:
        >>> from echoclip_r.phantom.latents import sample_patient
        >>> studies = sample_patient(0, seed=0)
        >>> len(write_reports(studies, seed=0)) == len(studies)
        True
    """
    reports, prior = [], None
    for latents in studies:
        rng = _generator(latents, seed)
        readers = READERS if latents.site == 0 else OTHER_READERS
        shares = [reader.share for reader in readers]
        reader = readers[int(rng.choice(len(readers), p=shares))]
        reading = read_study(latents, ef_habit=reader.ef_habit, rng=rng)
        reports.append(_write(reading, prior, reader, rng))
        prior = reading
    return reports


def write_report(latents: Latents, style: Style, *, seed: int) -> str:
    """Report one study by the first reader of a style, without comparing it with earlier studies.

    Args:
        latents: the study.
        style: how it is written.
        seed: at least 0; another seed gives other words and other noise.

    Returns:
        The text.

    Raises:
        ValueError: there is no such style, or `seed` is negative.
    """
    read_wording(style)  # an unknown style is an error there
    reader = next(reader for reader in READERS if reader.style == style)
    rng = _generator(latents, seed)
    reading = read_study(latents, ef_habit=reader.ef_habit, rng=rng)
    return _write(reading, None, reader, rng).text


def _generator(latents: Latents, seed: int) -> np.random.Generator:
    if seed < 0:
        raise ValueError(f"seed is {seed}; give 0 or more")
    return np.random.default_rng([seed, latents.study_seed, _STREAM])


def _write(
    reading: Reading, prior: Reading | None, reader: Reader, rng: np.random.Generator
) -> Report:
    wording = read_wording(reader.style)
    fields = _fields(reading, prior, wording, rng)
    keystroke = reading.is_normal and bool(rng.random() < _ONE_KEYSTROKE)
    if keystroke:
        fields["rap"] = "3"  # what the prepared text says
        said = choose_normal(describe_normal(reading), reader.number, wording, fields)
    else:
        plan = [*describe(reading), *compare(reading, prior), *conclude(reading)]
        said = choose(plan, reader.number, wording, fields, rng=rng)
    order = (SECTIONS[-1], *SECTIONS[:-1]) if reader.conclusion_first else SECTIONS
    return Report(text=lay_out(said, wording, order), reader=reader, keystroke=keystroke)


def _fields(
    reading: Reading, prior: Reading | None, wording: Wording, rng: np.random.Generator
) -> dict[str, str]:
    """What goes into the sentences, severities aside."""
    fields = {**reading.numbers, "ef": _percent(reading, wording)}
    fields["indication"] = _indication(reading, rng)
    found = (
        wording.items[name].format(**severity(reading.grades.get(name, ""), wording))
        for name in list_findings(reading)
    )
    fields["items"] = _join(list(found))
    implants = [wording.items[name] for name in reading.devices if name not in reading.left_out]
    fields["devices"] = _join(implants)
    if prior is not None:
        fields["prior_ef"] = _percent(prior, wording)
        fields["prior_pap"] = prior.numbers["pap"]
        fields["prior_date"] = prior.latents.date.strftime(wording.date)
        fields["new_devices"] = _join(
            [wording.items[name] for name in list_new_devices(reading, prior)]
        )
    return fields


def _percent(reading: Reading, wording: Wording) -> str:
    low, high = reading.ef_percent
    if low == high:
        return wording.single.format(value=low)
    return wording.range.format(low=low, high=high)


def _indication(reading: Reading, rng: np.random.Generator) -> str:
    # Whoever refers a patient knows the history, so this depends on the truth.
    study = reading.latents
    start = "indication_any"
    if study.transplanted:
        start = "indication_transplant"
    elif study.ef_percent < 40 and rng.random() < 0.5:
        start = "indication_failing"
    elif (study.mitraclip or study.tavr or study.as_grade > 1) and rng.random() < 0.5:
        start = "indication_valve"
    return free_remarks(start, number=1, rng=rng)[0]


def _join(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
