"""The sector in the looks of many machines, and what must be refused with the word of its kind.

Simulated clips whose true masks and lettered pixels are known, and real ones against outlines
drawn by hand: those that come with pydicom always, the others where they are at hand.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.data.sector import CLIPS, draw_outline, overlap, real_clips
from echoclip_r.media.reading import read_clip
from echoclip_r.phantom.archive import write_archive
from echoclip_r.phantom.picture.looks import LOOKS, REFUSED, render_look
from echoclip_r.sector.find import apply_sector, find_sector
from echoclip_r.sector.shape import SectorShape

Frames = NDArray[np.uint8]


# The looks kept for testing are measured by the benchmark alone: a test would be a rule to fit.
@pytest.mark.parametrize(
    "look", [look for look in LOOKS if not look.held_out], ids=lambda look: look.name
)
def test_in_every_look_the_picture_is_kept_and_no_letter_is(look: Any) -> None:
    """Phased, convex and linear probes, whole, cut, masked, on bare and on crowded screens."""
    clips = [render_look(look, seed) for seed in range(2)]
    sectors = [find_sector(clip.frames) for clip in clips]
    assert any(sector.sure for sector in sectors), [sector.reason for sector in sectors]
    for clip, sector in zip(clips, sectors, strict=True):
        if sector.sure:
            assert overlap(sector.mask, clip.truth) >= 0.9
            assert not (sector.mask & clip.lettering).any()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_one_moving_picture_is_refused_in_a_word(kind: str, seed: int) -> None:
    """Two fans, montage, duplex, M-mode, spectral Doppler, air, a still picture, a turned fan."""
    sector = find_sector(REFUSED[kind](seed))
    assert not sector.sure
    assert kind in sector.reason


@pytest.mark.parametrize(
    ("quarters", "word"), [(1, "on its side"), (2, "upside down"), (3, "on its side")]
)
def test_a_turned_fan_is_refused_and_the_same_fan_upright_is_not(quarters: int, word: str) -> None:
    """It says which way it lies and what to do."""
    frames = render_look(LOOKS[1], 0).frames
    assert find_sector(frames).sure
    sector = find_sector(np.ascontiguousarray(np.rot90(frames, quarters, axes=(1, 2))))
    assert not sector.sure
    assert f"a fan that lies {word}: turn the clip first" in sector.reason


@pytest.mark.parametrize("probe", ["linear", "convex"])
def test_a_picture_without_converging_edges_is_never_called_turned(probe: str) -> None:
    """A rectangle is as wide as it likes; a curved probe has a broad face."""
    look = next(one for one in LOOKS if one.name == probe)
    for seed in range(3):
        assert "turn the clip" not in find_sector(render_look(look, seed).frames).reason


def test_a_near_field_that_a_dark_band_parts_from_the_rest_belongs_to_it() -> None:
    """A linear probe's, as wide as the picture, and a fan's, narrow: neither is cut off."""
    for name, seed in (("linear", 211), ("cart, large", 4), ("112 px with marks", 32)):
        clip = render_look(next(one for one in LOOKS if one.name == name), seed)
        sector = find_sector(clip.frames)
        assert sector.sure, sector.reason
        assert overlap(sector.mask, clip.truth) >= 0.95


def test_a_bar_of_one_colour_under_the_foot_is_cut_out() -> None:
    """A toolbar that the outline reaches into: none of it is kept, or the clip is doubted."""
    look = next(one for one in LOOKS if one.name == "blue screen")
    for seed in (100_020, 100_026):
        clip = render_look(look, seed)
        sector = find_sector(clip.frames)
        assert not sector.sure or not (sector.mask & clip.lettering).any()


def test_a_foot_given_up_to_a_trace_is_a_doubt_where_it_is_much() -> None:
    """A trace as grey as tissue over a tenth of the picture: said, not cut off in silence."""
    look = next(one for one in LOOKS if one.name == "white trace")
    sector = find_sector(render_look(look, 100_030).frames)
    assert not sector.sure
    assert "a trace as grey as tissue lies over" in sector.reason


@pytest.mark.parametrize("name", ["white trace", "cart"])
def test_a_trace_over_the_foot_leaves_no_pixel(name: str) -> None:
    """A trace of a colour of its own, and one of the colour of tissue."""
    look = next(one for one in LOOKS if one.name == name)
    sure = 0
    for seed in range(4):
        clip = render_look(look, seed)
        assert (clip.lettering & clip.truth).any() or name == "cart"
        sector = find_sector(clip.frames)
        sure += sector.sure
        if sector.sure:
            assert not (sector.mask & clip.lettering).any()
    assert sure >= 3


@pytest.mark.parametrize("form", ["avi", "mp4", "dicom-rgb"])
def test_the_base_line_of_a_trace_is_no_picture(tmp_path: Path, form: str) -> None:
    """On small screens the line of an ECG is as thick as tissue: neither fan nor strip."""
    for name, overlays in (("screen", "all"), ("plain", "none")):
        write_archive(
            tmp_path / name,
            5,
            seed=4,
            overlays=overlays,  # type: ignore[arg-type]  # a literal, from the tuple above
            formats={form: 1.0},
        )
    with (tmp_path / "screen" / "provenance.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 5
    for row in rows:
        sector = find_sector(read_clip(tmp_path / "screen" / row["video"]))
        assert sector.sure, sector.reason
        alone = find_sector(read_clip(tmp_path / "plain" / row["video"]))
        top, left = int(row["picture_top"]), int(row["picture_left"])
        height, width = alone.mask.shape
        placed = np.zeros_like(sector.mask)
        placed[top : top + height, left : left + width] = alone.mask
        assert overlap(sector.mask, placed) >= 0.93


def real(*kinds: str) -> list[tuple[dict[str, Any], Frames]]:
    """Real clips of some kinds that are at hand."""
    return [(entry, frames) for entry, frames in real_clips() if entry["kind"] in kinds]


def test_real_cines_agree_with_outlines_drawn_by_hand() -> None:
    """Sure, and an overlap of at least .9 each; of pydicom's clip and of those in the folder."""
    clips = real("echo cine", "linear cine")
    assert len(clips) >= (22 if CLIPS.exists() else 1)
    for entry, frames in clips:
        sector = find_sector(frames)
        assert sector.sure, (entry["file"], sector.reason)
        truth = draw_outline(entry, *frames.shape[1:3])
        assert overlap(sector.mask, truth) >= 0.9, entry["file"]


def test_real_pictures_without_motion_are_refused() -> None:
    """Single frames, and a cine in which nothing moves."""
    clips = real("still", "still cine")
    assert len(clips) >= 3
    for entry, frames in clips:
        sector = find_sector(frames)
        assert not sector.sure, entry["file"]
        assert "still picture" in sector.reason


def test_a_mirrored_clip_has_the_mirrored_sector() -> None:
    """Left and right are treated alike."""
    frames = render_look(LOOKS[1], 0).frames
    first, second = find_sector(frames), find_sector(np.ascontiguousarray(frames[:, :, ::-1]))
    assert first.sure
    assert second.sure
    assert overlap(first.mask, second.mask[:, ::-1]) >= 0.97


def test_a_bound_keeps_all_else_out() -> None:
    """Of two fans, a bound about one leaves that one, sure, and nothing beyond the bound."""
    frames = REFUSED["two fans"](1)
    assert not find_sector(frames).sure
    half = frames.shape[2] // 2
    sector = find_sector(frames, bound=(0, 0, half, frames.shape[1]))
    assert sector.sure, sector.reason
    assert not sector.mask[:, half:].any()
    assert sector.mask[:, :half].any()


def test_a_bound_must_lie_in_the_frames() -> None:
    """An empty one, or one that leaves the frames, is an error that says so."""
    frames = np.zeros((5, 60, 80, 3), np.uint8)
    for bound in ((0, 0, 81, 60), (10, 10, 10, 50), (-1, 0, 10, 10)):
        with pytest.raises(ValueError, match="does not lie in frames of 60 x 80"):
            find_sector(frames, bound=bound)


def test_a_given_outline_is_used_and_checked() -> None:
    """It holds for a clip that would be refused, and not for one with picture outside of it."""
    clip = render_look(LOOKS[1], 0)
    found = find_sector(clip.frames)
    assert found.shape is not None
    still = np.repeat(clip.frames[:1], 8, axis=0)
    assert not find_sector(still).sure
    given = find_sector(still, shape=found.shape)
    assert given.sure, given.reason
    assert "given" in given.reason
    assert overlap(given.mask, found.mask) >= 0.95
    narrow = SectorShape(
        apex=found.shape.apex,
        angles=(0.5 * found.shape.angles[0], 0.5 * found.shape.angles[1]),
        radii=found.shape.radii,
        box=found.shape.box,
    )
    wrong = find_sector(clip.frames, shape=narrow)
    assert not wrong.sure
    assert "outside of the given outline" in wrong.reason


def test_a_name_written_over_the_edge_leaves_no_pixel() -> None:
    """Nor does a trace that runs over the foot of the picture, in the frames that go on."""
    for look in ("lettering over the edge", "cart"):
        clip = render_look(next(one for one in LOOKS if one.name == look), 0)
        bare = np.where(clip.lettering[..., None], 0, clip.frames)
        sector = find_sector(clip.frames)
        np.testing.assert_array_equal(
            apply_sector(clip.frames, sector, 224), apply_sector(bare, sector, 224)
        )


def test_a_look_gives_the_same_clip_again() -> None:
    """One seed, one clip."""
    first, second = render_look(LOOKS[11], 5), render_look(LOOKS[11], 5)
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(first.truth, second.truth)
