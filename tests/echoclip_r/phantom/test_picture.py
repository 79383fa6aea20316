"""Phantom pictures: what is drawn is what the latents say, and nothing else."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.picture.anatomy import Placement
from echoclip_r.phantom.picture.motion import cardiac_cycle
from echoclip_r.phantom.picture.proportions import build_heart
from echoclip_r.phantom.picture.tissue import tissue_strength
from echoclip_r.phantom.picture.ultrasound import render_clip
from echoclip_r.phantom.study import Latents

NORMAL: dict[str, Any] = {
    "anatomy_seed": 11,
    "study_seed": 5,
    "sex": "M",
    "age_years": 50,
    "ef_percent": 60.0,
    "lv_edd_mm": 48.0,
    "wall_thickness_mm": 9.5,
    "la_volume_index_ml_m2": 28.0,
    "rv_basal_mm": 36.0,
    "rv_dilation": 0,
    "ra_area_cm2": 16.0,
    "akinesia": "none",
    "effusion": 0,
    "pacer_lead": False,
    "impella": False,
    "tavr": False,
    "mitraclip": False,
    "annuloplasty_ring": False,
    "image_quality": 0.9,
    "gain": 0.0,
    "depth_cm": 17.0,
    "rhythm": "sinus",
    "heart_rate_bpm": 70.0,
    "pap_mmhg": 28.0,
}


def study(**changes: Any) -> Latents:
    return dataclasses.replace(sample_patient(0, seed=0)[0], **{**NORMAL, **changes})


# --- the heart ---------------------------------------------------------------------------------


def ejection_fraction(latents: Latents) -> float:
    """By the method of discs, from points of the endocardium followed to end-systole."""
    heart = build_heart(latents)
    levels = (np.arange(60) + 0.5) / 60 * heart.lv_length_mm
    half = heart.lv_half_width(levels)
    volumes = []
    for contraction in (0.0, 1.0):
        walls = []
        for side in (-1, 1):
            # The septum's bow moves both walls alike; it is left out as the volumes are of discs.
            du, dv = dataclasses.replace(heart, septum_bow_mm=0.0).displacement(side * half, levels)
            walls.append((side * half + contraction * du, levels + contraction * dv))
        width = walls[1][0] - walls[0][0]
        height = np.gradient((walls[0][1] + walls[1][1]) / 2)
        volumes.append(float(np.sum(width**2 * height)))
    return 100 * (1 - volumes[1] / volumes[0])


@pytest.mark.parametrize("ef_percent", [15.0, 30.0, 45.0, 60.0, 75.0])
@pytest.mark.parametrize("edd_mm", [40.0, 72.0])
def test_the_cavity_ejects_what_the_latents_say(ef_percent: float, edd_mm: float) -> None:
    """The drawn ventricle has the ejection fraction of the latents, small or large."""
    measured = ejection_fraction(study(ef_percent=ef_percent, lv_edd_mm=edd_mm))
    assert measured == pytest.approx(ef_percent, abs=2.5)


@pytest.mark.parametrize("akinesia", ["apex", "septum", "lateral"])
def test_an_akinetic_region_stands_still_and_the_rest_makes_up_for_it(akinesia: str) -> None:
    """Where the wall is akinetic it hardly moves inward; the ejection fraction is kept."""
    latents = study(akinesia=akinesia, ef_percent=40.0)
    assert ejection_fraction(latents) == pytest.approx(40, abs=3.5)
    heart = build_heart(latents)
    where = {"apex": (1, 0.15), "septum": (-1, 0.5), "lateral": (1, 0.5)}
    side, share = where[akinesia]
    moved = []
    for across, along in ((side, share), (-side if akinesia != "apex" else side, 0.7)):
        level = np.array([along * heart.lv_length_mm])
        point = across * heart.lv_half_width(level)
        du, _ = heart.displacement(point, level)
        moved.append(float(np.abs(du / point)[0]))
    assert moved[0] < 0.3 * moved[1]


def test_the_valves_open_in_diastole_only() -> None:
    """While the ventricle ejects its inlet is shut; in early diastole it is wide open."""
    motion = cardiac_cycle(study(), np.linspace(0, 1, 200, endpoint=False))
    ejecting = np.diff(motion.contraction, append=0) > 0.004
    assert motion.contraction[0] == 0 and motion.contraction.max() > 0.99
    assert motion.opening[ejecting][12:].max() < 0.05
    assert motion.opening.max() > 0.95


# --- pictures ----------------------------------------------------------------------------------


def test_a_clip_is_grey_levels_in_a_sector() -> None:
    """A clip has the asked shape, uint8, is black in the corners and bright in the sector."""
    clip = render_clip(study(), num_frames=3, size_px=64, seed=0)
    assert clip.shape == (3, 64, 64) and clip.dtype == np.uint8
    for corner in (clip[:, :16, :16], clip[:, :16, -16:], clip[:, -4:, :4], clip[:, -4:, -4:]):
        assert corner.max() == 0
    assert 40 < clip[:, 20:50, 24:40].mean() < 140


def test_one_seed_gives_one_clip() -> None:
    """The same seed gives the same pixels; another seed another clip of the same study."""
    first, again, other = (render_clip(study(), 2, 64, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_frames_follow_the_whole_beat() -> None:
    """The cavity's dark area shrinks and grows again over the frames of a clip."""
    clip = render_clip(study(ef_percent=70.0), num_frames=12, size_px=96, seed=0)
    still = render_clip(study(ef_percent=15.0, tapse_mm=10.0), 12, 96, 0)

    def swing(frames: NDArray[np.uint8]) -> float:
        bright = (frames > 80).mean(axis=(1, 2))
        return float(np.ptp(np.convolve(bright, np.ones(3) / 3, "valid")))

    moving, resting = (np.abs(np.diff(c.astype(float), axis=0)).mean() for c in (clip, still))
    assert moving > 1.15 * resting
    assert swing(clip) > swing(still)


def test_speckle_is_fully_developed() -> None:
    """In muscle the amplitude is spread as speckle is: Rayleigh, a contrast near 0.52."""
    clip = render_clip(study(wall_thickness_mm=18.0, image_quality=1.0), 1, 256, 0)[0]
    heart = clip[clip > 60].astype(float)
    # Log-compressed Rayleigh has a standard deviation of 5.6 dB; the grey scale is 43-66 dB wide.
    assert 255 * 4 / 66 < heart.std() < 255 * 9 / 43


DEVICES = ["pacer_lead", "impella", "tavr", "mitraclip", "annuloplasty_ring"]


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_is_bright_and_local(device: str) -> None:
    """Each device makes some pixels much brighter and leaves most of the picture as it is."""
    counts = []
    for seed in range(4):
        with_it, without = (
            render_clip(study(**{device: there, "study_seed": seed}), 4, 112, 0).astype(float)
            for there in (True, False)
        )
        change = with_it - without
        counts.append(int((change.max(0) > 60).sum()))
        assert np.median(np.abs(change)[:, with_it[0] > 0]) < 12
    assert np.mean(counts) > (8 if device in ("mitraclip", "annuloplasty_ring") else 25)
    assert np.max(counts) < 1200


def test_a_mitraclip_casts_a_shadow() -> None:
    """Behind the clip the picture is darker than without it, in front it is not."""
    change = np.mean(
        [
            render_clip(study(mitraclip=True, study_seed=seed), 4, 112, 0).astype(float).mean(0)
            - render_clip(study(study_seed=seed), 4, 112, 0).astype(float).mean(0)
            for seed in range(4)
        ],
        axis=0,
    )
    row, column = np.unravel_index(np.argmax(change), change.shape)
    behind = change[row + 14 :, column - 2 : column + 3]
    assert behind[behind != 0].mean() < -6


def test_an_effusion_is_a_dark_rim_that_grows() -> None:
    """Each grade of effusion adds at least 4 cm2 of echo-free fluid, outside of all chambers."""
    u, v = np.meshgrid(np.arange(-130, 110.0), np.arange(-40, 200.0))
    placement = Placement(apex_x_mm=5.0, apex_z_mm=40.0, tilt_rad=0.0)
    fluid_cm2 = []
    for grade in range(4):
        heart = build_heart(study(effusion=grade))
        strength = tissue_strength(heart, placement, u, v, np.random.default_rng(0))
        outside = heart.lv_distance(u, v) > heart.lv_wall(v, u)
        for distance in (heart.rv_distance, heart.la_distance, heart.ra_distance):
            outside &= distance(u, v) > 0
        fluid_cm2.append(float(((strength < 0.05) & outside & (v < 180)).sum()) / 100)
    assert all(more > less + 4 for less, more in pairwise(fluid_cm2)), fluid_cm2


def test_a_large_effusion_darkens_a_share_of_the_picture() -> None:
    """More of the sector is black with a large effusion, though the gain makes up for it."""
    dark = []
    for grade in (0, 3):
        clips = [render_clip(study(effusion=grade, study_seed=s), 4, 96, 0) for s in range(6)]
        sectors = [clip.mean(axis=0)[clip.max(axis=0) > 0] for clip in clips]
        dark.append(float(np.mean([(levels < 25).mean() for levels in sectors])))
    assert dark[1] > dark[0] + 0.03


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lv_edd_mm", (48.0, 60.0, 66.0, 75.0)),
        ("rv_basal_mm", (36.0, 44.0, 49.0, 56.0)),
        ("la_volume_index_ml_m2", (28.0, 38.0, 45.0, 65.0)),
        ("ra_area_cm2", (16.0, 20.5, 25.0, 32.0)),
    ],
)
def test_a_dilated_chamber_is_drawn_larger(name: str, values: tuple[float, ...]) -> None:
    """The area of each chamber grows by 8 % or more from grade to grade."""
    u, v = np.meshgrid(np.arange(-130, 90.0), np.arange(-10, 200.0))
    areas = []
    for value in values:
        heart = build_heart(study(**{name: value}))
        inside = {
            "lv_edd_mm": (heart.lv_distance(u, v) < 0) & (v < heart.lv_length_mm),
            "rv_basal_mm": (heart.rv_distance(u, v) < 0)
            & (v < heart.tricuspid_v_mm)
            & (heart.lv_distance(u, v) > heart.lv_wall(v, u)),
            "la_volume_index_ml_m2": heart.la_distance(u, v) < 0,
            "ra_area_cm2": heart.ra_distance(u, v) < 0,
        }
        areas.append(float(inside[name].sum()))
    assert all(more > 1.08 * less for less, more in pairwise(areas))


def test_the_studies_of_a_patient_look_more_alike_than_those_of_two() -> None:
    """Averaged over the beat, two studies of one heart correlate better than two hearts."""

    def mean_picture(latents: Latents) -> NDArray[np.float64]:
        picture = render_clip(latents, 8, 64, 0).astype(float).mean(axis=0)
        return picture.reshape(16, 4, 16, 4).mean(axis=(1, 3)).ravel()

    hearts = [
        [mean_picture(study(anatomy_seed=a, study_seed=10 * a + s)) for s in range(2)]
        for a in range(8)
    ]
    first, second = (np.array([heart[k] for heart in hearts]) for k in (0, 1))
    table = np.corrcoef(first, second)[:8, 8:]
    assert np.diag(table).mean() > table[~np.eye(8, dtype=bool)].mean() + 0.01


def test_brightness_alone_tells_no_label() -> None:
    """Over a small archive, mean brightness hardly correlates with any finding."""
    latents = [one for index in range(120) for one in sample_patient(index, seed=3)]
    mean = np.array([render_clip(one, 2, 48, 0).mean() for one in latents])
    for name in ("ef_percent", "effusion", *DEVICES[:4], "lv_dilation", "la_dilation"):
        label = np.array([getattr(one, name) for one in latents], float)
        assert abs(np.corrcoef(mean, label)[0, 1]) < 0.22, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 64, 0), "num_frames is 0"),
        ((2, 8, 0), "size_px is 8; give 32 to 512"),
        ((2, 64, -1), "seed is -1"),
    ],
)
def test_impossible_clips_are_refused(arguments: tuple[int, int, int], message: str) -> None:
    """A clip without frames, too small, or with a negative seed is refused with the reason."""
    with pytest.raises(ValueError, match=message):
        render_clip(study(), *arguments)
