"""The sector: found from the clip, nothing of what surrounds it survives, and doubts are said.

The clips are synthetic, so that the true sector and every lettered pixel are known: a fan of
speckle that moves, with black chambers, depth attenuation and noise; a name, a date, a logo, a
colour bar and ticks that stand still; a frame counter that changes; an ECG trace that runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.data import get_testdata_file
from scipy import ndimage

from echoclip_r.media.reading import read_clip
from echoclip_r.sector.find import Sector, apply_sector, find_sector
from echoclip_r.sector.sheet import preview_sheet

Frames = NDArray[np.uint8]
Mask = NDArray[np.bool_]

STILL = ("name", "corners", "ticks", "bar", "logo")
ALL = (*STILL, "counter", "ecg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """A clip, its true sector, and the pixels of lettering and trace in any of its frames."""

    frames: Frames
    truth: Mask
    lettering: Mask

    def overlap(self, sector: Sector) -> float:
        """Intersection over union of the found and the true sector."""
        return float((sector.mask & self.truth).sum() / (sector.mask | self.truth).sum())

    def survivors(self, sector: Sector) -> int:
        """Lettered pixels outside of the true sector that the found one keeps."""
        return int((sector.mask & self.lettering & ~self.truth).sum())


def make_clip(
    *,
    height: int = 240,
    width: int = 320,
    num_frames: int = 14,
    apex: tuple[float, float] = (0.5, 0.06),
    half_angle: float = 0.72,
    tilt: float = 0.0,
    radii: tuple[float, float] = (0.03, 0.86),
    box: tuple[float, float, float, float] | None = None,
    fan: bool = True,
    gain: float = 1.0,
    noise: float = 2.0,
    motion: float = 1.0,
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
    doppler: bool = False,
    graphics: tuple[str, ...] = ALL,
    seed: int = 0,
) -> Synthetic:
    """Make a clip; lengths are in heights of the picture, except x of the apex, in widths."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] + 0.5
    dx, dy = x - apex[0] * width, y - apex[1] * height
    angle, radius = np.arctan2(dx, dy) - tilt, np.hypot(dx, dy) / height
    truth = np.ones((height, width), bool)
    if fan:
        truth &= (np.abs(angle) <= half_angle) & (radius >= radii[0]) & (radius <= radii[1])
    if box is not None:
        left, top, right, bottom = box
        truth &= (x >= left * width) & (x < right * width)
        truth &= (y >= top * height) & (y < bottom * height)

    speckle = ndimage.gaussian_filter(rng.exponential(1.0, (height, width)), max(1, height / 200))
    speckle = (speckle / speckle.mean()) ** 1.5
    grey = np.empty((num_frames, height, width))
    for number, frame in enumerate(grey):
        phase = 8.0 * number / num_frames
        shift = motion * height / 30 * np.array([np.sin(phase + 1), np.sin(phase)])
        echo = 60 * gain * np.exp(-1.2 * radius / radii[1])
        grow = 1 + 0.15 * motion * np.sin(phase)
        for column, row, wide, high in ((-0.1, 0.4, 0.1, 0.18), (0.12, 0.42, 0.09, 0.16)):
            across = (dx / height - column) / (wide * grow)
            down = (dy / height - row) / (high * grow)
            echo = np.where(across**2 + down**2 < 1, 0.04 * echo, echo)
        moved = np.roll(speckle, shift.round().astype(int), axis=(0, 1))
        frame[:] = echo * moved + rng.exponential(1.0, (height, width)) * noise
    grey[:, ~truth] = 0
    frames = np.clip(grey[..., None] * np.array(tint), 0, 255).astype(np.uint8)
    if doppler:
        window = truth & (np.abs(angle) < 0.3) & (radius > 0.25) & (radius < 0.6)
        for frame in frames:
            flow = ndimage.gaussian_filter(rng.normal(size=(height, width)), height / 60)
            frame[window & (flow > 0.015)] = (230, 60, 10)
            frame[window & (flow < -0.015)] = (20, 80, 240)
    overlay = np.stack(
        [draw_graphics(height, width, number, graphics) for number in range(num_frames)]
    )
    lit = overlay.max(axis=-1) > 0
    return Synthetic(
        frames=np.where(lit[..., None], overlay, frames),
        truth=truth,
        lettering=lit.any(axis=0),
    )


def draw_graphics(height: int, width: int, number: int, kinds: tuple[str, ...]) -> Frames:
    """What a scanner shows around its picture, in one frame."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    size = max(6, round(0.04 * height))
    font = ImageFont.load_default(size)
    if "name" in kinds:
        for line, text in enumerate(("DOE^JANE", "ID 4711-0815", "01.02.1950", "MI 1.2")):
            draw.text((2, 2 + 1.15 * line * size), text, font=font, fill=(255, 220, 80))
    if "corners" in kinds:
        for line, text in enumerate(("Hospital", "S5-1 53Hz", "24/11/2026")):
            place = (width - draw.textlength(text, font) - 2, 2 + 1.15 * line * size)
            draw.text(place, text, font=font, fill=(200, 200, 255))
        draw.text((2, height - 1.3 * size), "ROE, RICHARD", font=font, fill=(255, 255, 255))
    if "ticks" in kinds:
        for row in range(0, height, height // 16):
            draw.line((width - 5, row, width - 2, row), fill=(180, 180, 180))
    if "bar" in kinds:
        for row in range(height // 3):
            level = 255 - 700 * row // height
            draw.line((width - 13, height // 3 + row, width - 9, height // 3 + row), (level,) * 3)
    if "logo" in kinds:
        draw.rectangle((0.46 * width, 0, 0.5 * width, 0.04 * height), fill=(40, 120, 220))
    if "across" in kinds:
        draw.text((0.12 * width, 0.42 * height), "SMITH^JOHN", font=font, fill=(255, 255, 255))
    if "counter" in kinds:
        place = (width - 4 * size, height - 1.3 * size)
        draw.text(place, f"{number}", font=font, fill=(255, 255, 255))
    if "ecg" in kinds:
        beat = (np.arange(width) / (0.42 * width) - 0.043 * number) % 1.0
        trace = np.exp(-(((beat - 0.3) / 0.012) ** 2)) + 0.2 * np.exp(-(((beat - 0.6) / 0.05) ** 2))
        rows = 0.96 * height - 0.05 * height * trace
        points = [(float(column), float(row)) for column, row in enumerate(rows)]
        draw.line(points, fill=(40, 255, 60), width=max(1, height // 300))
    return np.asarray(image)


def recode(frames: Frames, path: Path, codec: str, pixels: str, **options: str) -> Frames:
    """Write a clip with losses and read it back."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return read_clip(path)


SURE: dict[str, dict[str, object]] = {
    "fan": {},
    "narrow": {"half_angle": 0.5, "seed": 1},
    "wide, off centre": {"half_angle": 0.8, "apex": (0.45, 0.03), "seed": 2},
    "tilted": {"half_angle": 0.6, "tilt": 0.15, "seed": 3},
    "curved probe": {"half_angle": 0.5, "apex": (0.5, -0.25), "radii": (0.36, 1.15), "seed": 4},
    "sides cut off": {"half_angle": 0.8, "box": (0.16, 0.0, 0.84, 1.0), "seed": 5},
    "linear probe": {"fan": False, "box": (0.2, 0.25, 0.8, 0.85), "seed": 6},
    "colour Doppler": {"doppler": True, "seed": 7},
    "sepia": {"tint": (1.0, 0.8, 0.5), "seed": 8},
    "low gain": {"gain": 0.35, "noise": 0.6, "seed": 9},
    "no noise": {"noise": 0.0, "seed": 10},
    "little motion": {"motion": 0.3, "noise": 0.5, "seed": 11},
    "few frames": {"num_frames": 6, "seed": 12},
    "small": {"height": 112, "width": 150, "seed": 13},
    "large": {"height": 708, "width": 1016, "half_angle": 0.65, "num_frames": 8, "seed": 14},
    "trace across the sector's foot": {"radii": (0.03, 0.91), "seed": 15},
    "nothing around it": {"graphics": (), "seed": 16},
}


@pytest.mark.parametrize("case", SURE)
def test_the_sector_is_found_and_nothing_around_it_survives(case: str) -> None:
    """On clips of known truth: sure, overlap at least .95, and no lettered pixel left outside."""
    clip = make_clip(**SURE[case])  # type: ignore[arg-type]
    sector = find_sector(clip.frames)
    assert sector.sure, sector.reason
    assert clip.overlap(sector) >= 0.95
    assert clip.survivors(sector) == 0


LOSSY: dict[str, Callable[[Frames, Path], Frames]] = {
    "motion jpeg": lambda f, p: recode(f, p / "a.avi", "mjpeg", "yuvj420p", qmin="5", qmax="5"),
    "mpeg4": lambda f, p: recode(f, p / "a.mp4", "mpeg4", "yuv420p", qmin="4", qmax="4"),
}
if "libx264" in av.codecs_available:
    LOSSY["h264"] = lambda f, p: recode(f, p / "a.mp4", "libx264", "yuv420p", crf="23")


@pytest.mark.parametrize("codec", LOSSY)
@pytest.mark.parametrize("case", ["fan", "no noise", "colour Doppler"])
def test_lossy_coding_changes_nothing_of_that(tmp_path: Path, codec: str, case: str) -> None:
    """Flicker that coding puts around lettering and trace is not taken for tissue."""
    clip = make_clip(**{**SURE[case], "height": 480, "width": 640})  # type: ignore[arg-type]
    sector = find_sector(LOSSY[codec](clip.frames, tmp_path))
    assert sector.sure, sector.reason
    assert clip.overlap(sector) >= 0.95
    assert clip.survivors(sector) == 0


def test_lettering_within_the_box_but_beside_the_fan_goes() -> None:
    """The corners between a fan and its box hold names; cropping alone would keep them."""
    clip = make_clip()
    sector = find_sector(clip.frames)
    box = np.zeros_like(clip.truth)
    box[sector.top : sector.bottom, sector.left : sector.right] = True
    assert (box & clip.lettering & ~clip.truth).sum() > 100
    blanked = apply_sector(clip.frames, sector, 320)
    lone = apply_sector(np.where(clip.truth[..., None], clip.frames, 0), sector, 320)
    np.testing.assert_array_equal(blanked, lone)


def test_lettering_laid_over_the_edge_goes_with_its_inner_part() -> None:
    """A name that runs into the sector is blanked inside of it too."""
    clip = make_clip(height=480, width=640, graphics=("across",))
    inside = clip.lettering & ndimage.binary_erosion(clip.truth, iterations=5)
    assert inside.sum() > 200
    sector = find_sector(clip.frames)
    assert sector.sure, sector.reason
    assert (sector.mask & inside).sum() < 0.1 * inside.sum()
    assert clip.overlap(sector) >= 0.95


def side_by_side() -> Frames:
    shape = {"width": 200, "half_angle": 0.5, "radii": (0.03, 0.6), "apex": (0.5, 0.2)}
    one, two = make_clip(**shape, seed=1), make_clip(**shape, seed=2)  # type: ignore[arg-type]
    return np.concatenate([one.frames, two.frames], axis=2)


def static() -> Frames:
    return np.repeat(make_clip().frames[:1], 12, axis=0)


def noise_everywhere() -> Frames:
    return np.random.default_rng(0).integers(0, 256, (8, 120, 160, 3), dtype=np.uint8)


def still_tissue() -> Frames:
    # Half of the fan moves, the other half is lit and stands still.
    clip = make_clip(graphics=())
    frames = clip.frames.copy()
    frames[:, :, 160:] = np.median(frames[:, :, 160:], axis=0).astype(np.uint8)
    return frames


UNSURE: dict[str, tuple[Callable[[], Frames], str]] = {
    "one frame": (lambda: make_clip(num_frames=1).frames, "one frame alone"),
    "three frames": (lambda: make_clip(num_frames=3).frames, "3 frames alone: too few"),
    "a still clip": (static, "hardly anything moves in it"),
    "a split screen": (side_by_side, "two fans"),
    "noise": (noise_everywhere, "its corners move as much as the rest"),
    "half of it still": (still_tissue, "of what is lit in it never moves"),
    "black": (lambda: np.zeros((5, 60, 80, 3), np.uint8), "nothing in it looks like tissue"),
    "white": (lambda: np.full((5, 60, 80, 3), 255, np.uint8), "nothing in it looks like tissue"),
}


@pytest.mark.parametrize("case", UNSURE)
def test_it_says_when_it_is_not_sure(case: str) -> None:
    """A clip that gives too little to go by still gets a sector, marked unsure with the reason."""
    make, reason = UNSURE[case]
    sector = find_sector(make())
    assert not sector.sure
    assert reason in sector.reason


@pytest.mark.parametrize("num_frames", [1, 12])
def test_a_still_picture_falls_back_on_its_largest_textured_region(num_frames: int) -> None:
    """Without motion the fan is found all the same, and most lettering is gone."""
    clip = make_clip(num_frames=1, graphics=STILL)
    sector = find_sector(np.repeat(clip.frames, num_frames, axis=0))
    assert clip.overlap(sector) >= 0.9
    assert clip.survivors(sector) <= 0.01 * clip.lettering.sum()


@pytest.mark.parametrize("level", [0, 255])
def test_what_holds_no_tissue_is_blanked_whole(level: int) -> None:
    """Where no region can be found nothing is shown."""
    frames = np.full((5, 60, 80, 3), level, np.uint8)
    assert not apply_sector(frames, find_sector(frames), 32).any()


def test_the_cardiac_clip_of_pydicom() -> None:
    """On the real clip it is sure, keeps the whole fan and drops all that is written around it."""
    frames = read_clip(get_testdata_file("examples_ybr_color.dcm", download=False))
    sector = find_sector(frames)
    assert sector.sure, sector.reason
    # Read off the picture by eye: the apex, the corners of the arc and its lowest point.
    assert (sector.top, sector.bottom) == (pytest.approx(21, abs=4), pytest.approx(202, abs=4))
    assert (sector.left, sector.right) == (pytest.approx(39, abs=5), pytest.approx(301, abs=5))
    moving = frames[..., 1].astype(int).std(axis=0) > 3
    assert moving[sector.mask].sum() > 0.98 * moving.sum()
    for rows, columns in ((slice(0, 28), slice(0, 60)), (slice(0, 240), slice(306, 320))):
        assert not sector.mask[rows, columns].any()
    assert not sector.mask[210:].any()


@pytest.mark.parametrize(
    ("name", "box"),
    [
        ("examples_rgb_color.dcm", (55, 5, 168, 313)),
        ("examples_jpeg2k.dcm", (114, 16, 332, 623)),
        ("examples_palette.dcm", (69, 333, 151, 585)),
    ],
)
def test_the_still_pictures_of_pydicom(name: str, box: tuple[int, int, int, int]) -> None:
    """Real single frames fall back on geometry, say so, and lose their letterheads."""
    frames = read_clip(get_testdata_file(name, download=False))
    sector = find_sector(frames)
    assert not sector.sure
    assert sector.reason.startswith("one frame alone")
    found = (sector.top, sector.left, sector.bottom, sector.right)
    assert found == pytest.approx(box, abs=0.02 * frames.shape[2])


def test_the_same_clip_gives_the_same_sector() -> None:
    """Nothing in it is drawn by lot."""
    frames = make_clip().frames
    first, second = find_sector(frames), find_sector(frames.copy())
    np.testing.assert_array_equal(first.mask, second.mask)
    assert (first.sure, first.reason) == (second.sure, second.reason)


def rectangle(top: int, left: int, bottom: int, right: int) -> Sector:
    mask = np.zeros((100, 160), bool)
    mask[top:bottom, left:right] = True
    return Sector(
        mask=mask, top=top, left=left, bottom=bottom, right=right, sure=True, reason="by hand"
    )


def test_blanking_keeps_the_aspect_and_pads_to_a_square() -> None:
    """A sector twice as wide as high fills the middle half of the square, in its own colours."""
    frames = np.full((3, 100, 160, 3), (200, 100, 50), np.uint8)
    out = apply_sector(frames, rectangle(20, 30, 70, 130), 64)
    assert out.shape == (3, 64, 64, 3)
    assert not out[:, :16].any()
    assert not out[:, 48:].any()
    assert (out[:, 16:48] == (200, 100, 50)).all()


def test_a_circle_stays_a_circle() -> None:
    """Height and width are scaled alike, up or down."""
    y, x = np.mgrid[:100, :160]
    frames = (
        np.repeat((np.hypot(y - 50, x - 80) < 30)[None, ..., None], 3, -1).astype(np.uint8) * 255
    )
    for size in (48, 224):
        disc = apply_sector(frames, rectangle(10, 20, 90, 140), size)[0, ..., 0] > 127
        height, width = disc.any(axis=1).sum(), disc.any(axis=0).sum()
        assert abs(height - width) <= 1
        assert height == pytest.approx(59 * size / 120, abs=1.5)


def test_blanked_is_exactly_black_at_every_size() -> None:
    """Whatever lies outside the sector leaves no trace in the result, not even in its last bit."""
    clip = make_clip(seed=3)
    sector = find_sector(clip.frames)
    other = np.where(sector.mask[..., None], clip.frames, 255 - clip.frames)
    for size in (17, 112, 500):
        out = apply_sector(clip.frames, sector, size)
        np.testing.assert_array_equal(out, apply_sector(other, sector, size))
        assert not out[:, 0, 0].any()


def test_frames_of_another_size_are_refused() -> None:
    """A sector belongs to the clip it was found in."""
    with pytest.raises(ValueError, match=r"do not fit a sector of \(100, 160\)"):
        apply_sector(np.zeros((1, 90, 160, 3), np.uint8), rectangle(0, 0, 10, 10), 64)
    with pytest.raises(ValueError, match="size_px must be at least 1"):
        apply_sector(np.zeros((1, 100, 160, 3), np.uint8), rectangle(0, 0, 10, 10), 0)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((5, 60, 80), np.uint8),
        np.zeros((5, 60, 80, 4), np.uint8),
        np.zeros((5, 60, 80, 3), np.float32),
        np.zeros((0, 60, 80, 3), np.uint8),
    ],
    ids=["grey", "four channels", "floats", "no frames"],
)
def test_frames_of_another_kind_are_refused(frames: NDArray[np.generic]) -> None:
    """Shape and type are checked before anything is looked for."""
    with pytest.raises(ValueError, match="frames must be RGB bytes of shape"):
        find_sector(frames)  # type: ignore[arg-type]


def test_a_sector_checks_itself() -> None:
    """A box outside of the mask, or a mask that is not bool, cannot be made."""
    with pytest.raises(ValueError, match="does not lie in the mask"):
        rectangle(0, 0, 101, 10)
    with pytest.raises(ValueError, match="must be bool"):
        Sector(
            mask=np.zeros((4, 4), np.uint8),  # type: ignore[arg-type]
            top=0, left=0, bottom=4, right=4, sure=True, reason="",
        )  # fmt: skip


def test_the_sheet_shows_pairs_and_hides_names() -> None:
    """Before and after side by side; outside the sector no letter can be read unless asked for."""
    clip = make_clip(height=480, width=640, num_frames=12)
    sector = find_sector(clip.frames)
    sheet = preview_sheet([(clip.frames, sector)] * 4, size_px=320, columns=3)
    assert sheet.width == pytest.approx(3 * 2 * 320, rel=0.05)
    assert sheet.height == pytest.approx(2 * 320, rel=0.15)
    # Lettering is the brightest there is: in the name's corner it is seen or it is not.
    corner = (6, 46, 80, 70)
    hidden = np.asarray(sheet.crop(corner)).max()
    shown = preview_sheet([(clip.frames, sector)], size_px=320, show_outside=True)
    assert hidden < 110 < 200 < np.asarray(shown.crop(corner)).max()


def test_the_sheet_asks_for_clips_and_as_many_labels() -> None:
    """An empty sheet and a missing label are errors, not pictures."""
    clip = make_clip(num_frames=4)
    pair = (clip.frames, find_sector(clip.frames))
    with pytest.raises(ValueError, match="at least one clip"):
        preview_sheet([])
    with pytest.raises(ValueError, match="shorter"):
        preview_sheet([pair, pair], labels=["one"])
