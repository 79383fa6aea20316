"""Phantom patients: what is the matter with them, study by study."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.study import Latents


@pytest.fixture(scope="module")
def archive() -> list[list[Latents]]:
    return [sample_patient(index, seed=7) for index in range(600)]


def column(archive: list[list[Latents]], name: str) -> NDArray[np.float64]:
    return np.array([getattr(one, name) for studies in archive for one in studies], float)


def test_a_patient_is_the_same_whoever_else_is_drawn() -> None:
    """A patient depends on the index and the seed alone, and differs with either."""
    later = [sample_patient(index, seed=1) for index in (5, 2)]
    assert later[1] == sample_patient(2, seed=1)
    assert sample_patient(2, seed=1) != sample_patient(2, seed=2)
    assert later[0][0].ef_percent != later[1][0].ef_percent


def test_studies_are_dated_in_order_and_few(archive: list[list[Latents]]) -> None:
    """A patient has one to four studies, numbered and dated in order."""
    assert {len(studies) for studies in archive} == {1, 2, 3, 4}
    for studies in archive:
        assert [one.study_index for one in studies] == list(range(len(studies)))
        dates = [one.date for one in studies]
        assert dates == sorted(set(dates))
        assert len({(one.patient_id, one.sex) for one in studies}) == 1


def test_anatomy_and_implants_stay_until_a_transplant(archive: list[list[Latents]]) -> None:
    """From study to study a heart and its implants stay, and a transplant changes both."""
    transplants = 0
    for studies in archive:
        for before, after in pairwise(studies):
            if after.event == "transplant":
                transplants += 1
                assert after.anatomy_seed != before.anatomy_seed
                assert after.transplanted and after.ef_percent > before.ef_percent
                continue
            assert after.anatomy_seed == before.anatomy_seed
            assert after.study_seed != before.study_seed
            for implant in ("pacer_lead", "tavr", "mitraclip", "annuloplasty_ring", "transplanted"):
                assert getattr(after, implant) >= getattr(before, implant)
            assert after.annuloplasty_ring or after.event != "surgery"
    assert transplants > 5


def test_what_belongs_together_goes_together(archive: list[list[Latents]]) -> None:
    """A low ejection fraction goes with a large ventricle and high pressures, as in a clinic."""

    def together(one: str, other: str) -> float:
        return float(np.corrcoef(column(archive, one), column(archive, other))[0, 1])

    assert together("ef_percent", "lv_edd_mm") < -0.4
    assert together("ef_percent", "pap_mmhg") < -0.15
    assert together("mr_grade", "la_volume_index_ml_m2") > 0.3
    assert together("pap_mmhg", "rv_basal_mm") > 0.3
    assert together("ra_area_cm2", "rap_mmhg") > 0.2


@pytest.mark.parametrize("device", ["pacer_lead", "impella", "tavr", "mitraclip"])
def test_devices_are_common_enough_to_learn(archive: list[list[Latents]], device: str) -> None:
    """Each device is in some 15 to 20 % of studies."""
    assert 0.13 < column(archive, device).mean() < 0.23


@pytest.mark.parametrize("chamber", ["lv", "rv", "la", "ra"])
def test_every_grade_of_dilation_occurs(archive: list[list[Latents]], chamber: str) -> None:
    """Each chamber is dilated to every grade, and moderately or more in over 7 % of studies."""
    grades = column(archive, f"{chamber}_dilation")
    assert set(grades) == {0, 1, 2, 3}
    assert (grades >= 2).mean() > 0.07


@pytest.mark.parametrize(
    ("name", "value"),
    [("ef_percent", 8.0), ("effusion", 4), ("akinesia", "inferior"), ("image_quality", -0.1)],
)
def test_impossible_latents_are_refused_by_name(name: str, value: Any) -> None:
    """A value that means nothing is refused, and the message names field and remedy."""
    with pytest.raises(ValueError, match=rf"{name} is .*give"):
        dataclasses.replace(sample_patient(0, seed=0)[0], **{name: value})


def test_negative_patients_are_refused() -> None:
    """A negative index or seed is refused."""
    with pytest.raises(ValueError, match="0 or more"):
        sample_patient(-1, seed=0)
