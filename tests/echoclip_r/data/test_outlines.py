"""A file of sectors: which clips a row holds for, what it draws, and what is wrong with it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from echoclip_r.data.outlines import COLUMNS, Rule, fingerprint_of, read_outlines
from echoclip_r.errors import ManifestError
from echoclip_r.media.clip import ClipInfo, Machine

FAN = {"width_px": "800", "height_px": "600", "decision": "fan", "points": "400,20 90,450 710,450"}


def write(path: Path, *rows: dict[str, str]) -> Path:
    names = [name for name in COLUMNS if any(name in row for row in rows)]
    lines = [",".join(f'"{row.get(name, "")}"' for name in names) for row in rows]
    path.write_text("\n".join([",".join(names), *lines]) + "\n")
    return path


def only_rule(path: Path, **cells: str) -> Rule:
    (rule,) = read_outlines(write(path / "s.csv", FAN | cells)).rules
    return rule


def info(width: int = 800, height: int = 600, **machine: object) -> ClipInfo:
    return ClipInfo(
        path=Path("clip"),
        num_frames=1,
        height_px=height,
        width_px=width,
        fps_hz=None,
        codec="",
        machine=Machine(**machine),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("points", ["400,20 90,450 710,450", "400,20; 710,450; 90,450"])
def test_three_clicks_are_a_fan(tmp_path, points):
    """The point where its edges meet and the lower corners, left and right in any order."""
    shape = only_rule(tmp_path, points=points).shape
    mask = shape.mask(600, 800)
    y, x = np.mgrid[:600, :800] + 0.5
    radius, angle = np.hypot(x - 400, y - 20), np.arctan2(x - 400, y - 20)
    reach = math.hypot(310, 430)
    truth = (radius <= reach) & (np.abs(angle) <= math.atan2(310, 430))
    assert (mask == truth).mean() > 0.999


def test_four_clicks_are_a_curved_probes_fan(tmp_path):
    """Its corners clockwise from the upper left one; the edges meet above the picture."""
    shape = only_rule(tmp_path, points="300,40 500,40 700,440 100,440").shape
    # Both edges fall by two for one aside, so they meet in the middle, 200 above the upper corners.
    assert np.allclose(np.array(shape.apex) * 800, (400, -160))
    assert math.isclose(shape.radii[0] * 800, math.hypot(100, 200))
    mask = shape.mask(600, 800)
    assert not mask[50, 400]
    assert mask[70, 400]
    assert mask[500, 400]
    assert not mask[300, 100]


def test_a_polygon_is_as_drawn(tmp_path):
    """Also at another resolution, and within its edges where a margin is asked for."""
    shape = only_rule(tmp_path, decision="polygon", points="100,100 700,100 700,500 100,500").shape
    assert shape.mask(600, 800).sum() == pytest.approx(600 * 400, rel=0.01)
    assert shape.mask(300, 400)[60, 60]
    assert not shape.mask(300, 400)[40, 60]
    assert shape.mask(600, 800, margin_px=10.0).sum() == pytest.approx(580 * 380, rel=0.01)


def test_a_row_holds_for_what_fits_all_its_cells(tmp_path):
    """Size, machine (capitals do not count) and depth."""
    rule = only_rule(tmp_path, manufacturer="GE", model="Vivid E95", depth_mm="150")
    fitting = {"manufacturer": "ge", "model": "VIVID E95", "depth_mm": 150.2}
    assert rule.fits(info(**fitting))
    assert not rule.fits(info(640, 480, **fitting))
    assert not rule.fits(info(**fitting | {"model": "Vivid E9"}))
    assert not rule.fits(info(**fitting | {"depth_mm": 180.0}))
    assert not rule.fits(info(**fitting | {"depth_mm": None}))


@pytest.mark.parametrize(
    ("cell", "video", "fits", "names"),
    [
        ("a/b.avi", "a/b.avi", True, True),
        ("a/b.avi", r"a\b.avi", True, True),
        ("b.avi", "a/b.avi", True, False),
        ("b.avi", "b.avi", True, True),
        ("a/*.avi", "a/b.avi", True, False),
        ("*.avi", "a/b.avi", True, False),
        ("c/*.avi", "a/b.avi", False, False),
        ("a[[]1].avi", "a[1].avi", True, True),
        ("a[1].avi", "a[1].avi", True, True),
        ("a[1].avi", "a1.avi", True, False),
        ("b.avi", "a/bb.avi", False, False),
    ],
)
def test_a_row_holds_for_a_file_or_a_pattern(tmp_path, cell, video, fits, names):
    """And it knows whether it names the very clip."""
    outlines = read_outlines(write(tmp_path / "s.csv", {"video": cell, "decision": "keep"}))
    found = outlines.for_clip(video=video, path=f"/archive/{video}", study_id="S")
    assert len(found) == fits
    assert outlines.rules[0].names(video) == names


def test_the_first_row_that_fits_counts(tmp_path):
    """For a clip, what may fit it keeps the order of the file, and other studies' rows are gone."""
    rows = [
        {"study_id": "S", "decision": "refuse"},
        {"video": "b.avi", "decision": "keep"},
        {"study_id": "T", "decision": "refuse", "reason": "another one"},
        {"width_px": "800", "height_px": "600", "decision": "refuse"},
    ]
    outlines = read_outlines(write(tmp_path / "s.csv", *rows))
    found = outlines.for_clip(video="a/b.avi", path="/x/a/b.avi", study_id="S")
    assert [rule.row for rule in found] == [2, 3, 5]
    assert outlines.unused({outlines.rules[0].key, outlines.rules[3].key}) == (3, 4)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"decision": "drop"}, "row 2: column 'decision' must be one of fan, polygon, keep, ref"),
        ({"points": ""}, "row 2: a fan has 3 points .* not 0"),
        ({"points": "400,20 90"}, "row 2: column 'points' must hold pairs of numbers, x,y"),
        ({"points": "400,20 90,x 710,450"}, "row 2: column 'points' must hold pairs"),
        ({"points": "400,20 90,nan 710,450"}, "row 2: column 'points' must hold pairs"),
        ({"points": "400,20 90,450 810,450"}, "row 2: the point 810,450 does not lie in the pict"),
        ({"points": "400,500 90,50 710,50"}, "row 2: a fan opens downwards"),
        ({"points": "400,20 410,30 405,31"}, "row 2: the outline covers 0.0% of the picture"),
        ({"points": "100,9 700,9 700,440 100,440"}, "row 2: its edges are parallel"),
        ({"decision": "polygon", "points": "1,1 9,9"}, "row 2: a polygon has 3 points or more"),
        ({"decision": "keep"}, "row 2: the decision keep has no points"),
        (
            {"decision": "keep", "points": ""},
            "row 2: keep holds for a clip that somebody has looked at: name it in the column video",
        ),
        ({"width_px": ""}, "row 2: width_px and height_px go together"),
        ({"width_px": "", "height_px": "", "study_id": "S"}, "row 2: an outline needs width_px"),
        ({"width_px": "8e2.5"}, "row 2: column 'width_px' must be a whole number above 0"),
        ({"depth_mm": "-4"}, "row 2: column 'depth_mm' must be a number above 0"),
        (
            {"decision": "keep", "points": "", "width_px": "", "height_px": ""},
            "row 2: it would hold for every clip; fill at least one of the columns video, study_id",
        ),
    ],
)
def test_wrong_values_are_named_with_their_row(tmp_path, cells, message):
    """The rule that is broken, and what to write instead."""
    with pytest.raises(ManifestError, match=message):
        read_outlines(write(tmp_path / "s.csv", FAN | cells))


def test_all_wrong_rows_are_named_at_once(tmp_path):
    """Up to five, and how many more there are."""
    rows = [FAN, *[FAN | {"decision": "no"}] * 7]
    with pytest.raises(ManifestError, match=r"row 3: .*; row 7: .*; and 2 rows more$"):
        read_outlines(write(tmp_path / "s.csv", *rows))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "video,verdict\na,keep\n",
            "row 1 has the unknown column 'verdict'; a file of sectors has",
        ),
        ("video,points\na,\n", "row 1 has no column 'decision'"),
        ("video,decison\na,keep\n", "did you mean 'decision'?"),
        ("video,decision\n", "no row below the header"),
        ("video,decision\na,keep,more\n", "row 2: 3 cells where the header has 2"),
        ("", "the file is empty"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, message):
    """The message speaks of sectors, not of manifests."""
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(ManifestError, match=message):
        read_outlines(tmp_path / "s.csv")
    with pytest.raises(ManifestError, match=r"a file of sectors is a \.csv or \.parquet file"):
        read_outlines(tmp_path / "gone.csv")


def test_a_row_is_known_again_wherever_it_stands(tmp_path):
    """A page puts new rows first: what a row decides is no other thing for that."""
    old = {"video": "b.avi", "decision": "refuse"}
    new = {"video": "a.avi", "decision": "refuse"}
    before = read_outlines(write(tmp_path / "s.csv", old)).rules[0]
    after = read_outlines(write(tmp_path / "s.csv", new, old)).rules[1]
    assert (before.row, after.row) == (2, 3)
    assert before.key == after.key
    assert fingerprint_of([before]) == fingerprint_of([after])
    narrower = read_outlines(write(tmp_path / "s.csv", old | {"video": "a/b.avi"})).rules
    assert fingerprint_of(narrower) != fingerprint_of([before])
