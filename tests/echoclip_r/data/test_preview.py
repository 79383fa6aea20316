"""The page on which a person decides, and the way back from it to `prepare`."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from echoclip_r.cli.main import main
from echoclip_r.data.outlines import COLUMNS, read_outlines

SIZE_PX = 128


def patches(frames: np.ndarray) -> np.ndarray:
    """A clip of which so little is lit that its sector is not sure."""
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX
    radius, angle = np.hypot(x - 0.5, y - 0.05), np.arctan2(x - 0.5, y - 0.05)
    lit = (np.hypot(x - 0.4, y - 0.45) < 0.15) | (
        (radius > 0.6) & (radius < 0.8) & (angle > 0.1) & (angle < 0.5)
    )
    lit[:14] = True
    return np.where(lit[..., None], frames, np.uint8(0))


@pytest.fixture
def folder(tmp_path, helpers) -> Path:
    """Four clips: two doubtful, one of them with a comma and brackets in its name; two good."""
    rows = []
    for number, name in enumerate(["good.avi", "a, [1].avi", "dim.avi", "last.avi"]):
        frames = helpers.fan_frames(12, size_px=SIZE_PX, seed=number)
        helpers.write_video(tmp_path / name, patches(frames) if number in (1, 2) else frames)
        study = {"study_id": f"S{number}", "patient_id": "P", "video": name, "report": "Text."}
        rows.append(study)
    helpers.write_manifest(tmp_path / "m.csv", rows)
    return tmp_path


def preview(folder: Path, *options: object) -> Path:
    out = folder / "page.html"
    command = ["preview", folder / "m.csv", "--out", out, *options]
    assert main(list(map(str, command))) == 0
    return out


def prepare(folder: Path, *options: object) -> int:
    command = ["prepare", folder / "m.csv", "--out", folder / "out", "--size", 64, "--frames", 3]
    command += ["--min-free-gb", 0, "--workers", 0, "--overwrite", *options]
    return main(list(map(str, command)))


def table(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {row["file"]: row.get("reason") or row["remark"] for row in csv.DictReader(file)}


def test_doubtful_clips_come_first_with_their_reasons(folder, capsys):
    """At their true sizes, and what is wrong with them is said in plain words."""
    page = preview(folder).read_text()
    heads = re.findall(r"<h2>(.*)</h2>", page)
    assert set(heads[:2]) == {"a, [1].avi", "dim.avi"}
    assert set(heads[2:]) == {"good.avi", "last.avi"}
    assert page.count("<b>Left out.</b>") == 2
    assert page.count('width="128" height="128"') == 4
    assert "http" not in page.split("<style>")[0].replace("http-equiv", "")
    assert "4 clips, 2 of them unsure" in capsys.readouterr().out


def test_names_are_text_on_the_page(folder, helpers):
    """A file's name cannot run as a script or end the page's data."""
    name = "x<script>alert(1)<!--script>.avi".replace("/", "")
    helpers.write_video(folder / name, helpers.fan_frames(12, size_px=SIZE_PX))
    row = {"study_id": "</script>", "patient_id": "P", "video": name, "report": "Text."}
    helpers.write_manifest(folder / "m.csv", [row])
    page = preview(folder).read_text()
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    data = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(data)["clips"][0]["study_id"] == "</script>"


def test_what_a_person_decides_on_the_page_holds_in_prepare(folder, browse, capsys):
    """Keys and clicks -> sectors.csv -> prepare: kept, refused and drawn as on the page."""
    page = browse(preview(folder, "--show-outside"), viewport={"width": 1400, "height": 900})
    cards = page.locator("article")
    names = cards.locator("h2").all_inner_texts()
    assert set(names[:2]) == {"a, [1].avi", "dim.avi"}
    # Draw the first with three clicks, keep the second, refuse the third.
    page.keyboard.press("d")
    svg = cards.nth(0).locator("svg")
    box = svg.bounding_box()
    assert (box["width"], box["height"]) == (SIZE_PX, SIZE_PX)
    for x, y in [(64, 6.4), (126, 90), (2, 90)]:
        page.mouse.click(box["x"] + x, box["y"] + y)
    assert cards.nth(0).locator(".made").inner_text() == "drawn: this clip"
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("r")
    assert page.locator("#num").inner_text() == "3 decisions"
    with page.expect_download() as download:
        page.keyboard.press("s")
    assert download.value.suggested_filename == "sectors.csv"
    given = folder / "sectors.csv"
    download.value.save_as(given)
    rules = read_outlines(given).rules
    assert [rule.decision for rule in rules] == ["fan", "keep", "refuse"]
    assert [rule.names(name) for rule, name in zip(rules, names, strict=False)] == [True] * 3
    assert np.allclose(np.array(rules[0].shape.apex) * SIZE_PX, (64, 6.4), atol=1.5)
    capsys.readouterr()
    assert prepare(folder, "--sector", given) == 0
    assert "2 clips were used as" in capsys.readouterr().out
    assert table(folder / "out" / "rejects.csv") == {names[2]: "the file of sectors refuses it"}
    remarks = table(folder / "out" / "remarks.csv")
    assert remarks[names[0]].startswith("its outline was given by the file of sectors")
    assert remarks[names[1]].startswith("the file of sectors keeps it")


def test_one_drawing_holds_for_a_machine(folder, browse):
    """A page of machines; older rows are kept behind the new ones."""
    old = folder / "old.csv"
    old.write_text("video,decision\nlast.avi,refuse\n")
    page = browse(
        preview(folder, "--show-outside", "--machines", "--sector", old),
        viewport={"width": 400, "height": 800},
    )
    cards = page.locator("article")
    assert cards.count() == 1
    assert cards.locator("h2").inner_text() == "128 x 128"
    cards.locator("select.kind").select_option("polygon")
    svg = cards.locator("svg")
    svg.evaluate("picture => picture.scrollIntoView({ block: 'center' })")
    box = svg.bounding_box()
    for x, y in [(64, 3), (126, 84), (100, 121), (28, 121), (2, 84)]:
        page.mouse.click(box["x"] + x, box["y"] + y)
    page.keyboard.press("Enter")
    with page.expect_download() as download:
        page.locator("#save").click()
    given = folder / "sectors.csv"
    download.value.save_as(given)
    assert given.read_text().splitlines()[0] == ",".join(COLUMNS)
    first, second = read_outlines(given).rules
    assert (first.decision, first.video, first.size_px) == ("polygon", "", (128, 128))
    assert (second.decision, second.video) == ("refuse", "last.avi")
    assert prepare(folder, "--sector", given) == 0
    assert len(table(folder / "out" / "remarks.csv")) == 4  # the drawing comes first


def test_nothing_can_be_drawn_over_coarse_blocks(folder, browse):
    """The page says how to make one that can, and an undone decision is none."""
    page = browse(preview(folder), viewport={"width": 1400, "height": 900})
    card = page.locator("article").first
    page.keyboard.press("d")
    assert "make it with --show-outside" in card.locator(".made").inner_text()
    page.keyboard.press("r")
    page.keyboard.press("u")
    assert page.locator("#num").inner_text() == "0 decisions"
    assert page.locator("#save").is_disabled()


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_the_screen(folder, browse, width, scheme):
    """Nothing scrolls sideways, and the console stays silent."""
    page = browse(preview(folder), viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_missing_frame_is_said_on_the_page(folder):
    """One frame that does not decode is no broken clip."""
    path = folder / "good.avi"
    data = bytearray(path.read_bytes())
    place = data.index(b"movi")
    for _ in range(6):
        place = data.index(b"00dc", place + 4)
    size = int.from_bytes(data[place + 4 : place + 8], "little")
    data[place + 8 : place + 8 + size] = b"\x55" * size
    path.write_bytes(data)
    page = preview(folder).read_text()
    said = "pixel data cannot be decoded in frame 5 of 12, which is left out."
    assert said in page
    assert page.index(said) < page.index("last.avi")
    assert prepare(folder) == 0
    assert "frame 5 of 12" in table(folder / "out" / "remarks.csv")["good.avi"]
