"""Videos and pictures are shown upright, unmirrored and on square pixels, as players show them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from echoclip_r.data.clips import read_masked
from echoclip_r.errors import MediaError
from echoclip_r.media.display import Display, display_of_matrix
from echoclip_r.media.reading import probe, read, read_clip, read_frames

Frames = NDArray[np.uint8]

NUM_FRAMES, HEIGHT, WIDTH = 20, 48, 64


def make_clip(height: int = HEIGHT, width: int = WIDTH) -> Frames:
    """A red corner, a blue one and a bar that moves: every turn and mirroring shows."""
    frames = np.zeros((NUM_FRAMES, height, width, 3), np.uint8)
    frames[:, :16, :16] = (240, 16, 16)
    frames[:, :16, width - 16 :] = (16, 16, 240)
    for number, frame in enumerate(frames):
        frame[height - 16 :, number : number + 16] = 255
    return frames


def write(path: Path, frames: Frames, *, codec: str = "libx264", **settings: Any) -> Path:
    pixels = settings.get("pixels", "yuv420p")
    with av.open(str(path), "w", options=settings.get("container", {})) as container:
        stream = container.add_stream(codec, rate=25, options=settings.get("options", {}))
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        stream.codec_context.gop_size = settings.get("group", 6)
        if "aspect" in settings:
            stream.codec_context.sample_aspect_ratio = settings["aspect"]
        if "rotation" in settings:
            stream.set_display_rotation(*settings["rotation"])
        if "matrix" in settings:
            stream.set_display_matrix(settings["matrix"])
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if "times" in settings:
                frame.pts, frame.time_base = settings["times"][number], Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


ROTATIONS = [
    (degrees, horizontally, vertically)
    for degrees in (0, 90, 180, 270)
    for horizontally in (False, True)
    for vertically in (False, True)
]


def turned(frames: Frames, degrees: int, horizontally: bool, vertically: bool) -> Frames:
    """What PyAV says that a rotation does: counter-clockwise, and mirrored after it."""
    out = np.rot90(frames, degrees // 90, axes=(1, 2))
    out = out[:, :, ::-1] if horizontally else out
    return out[:, ::-1] if vertically else out


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.mkv"])
@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_phone_that_was_held_on_its_side(
    tmp_path: Path, name: str, rotation: tuple[int, bool, bool]
) -> None:
    """All eight ways in which a display matrix turns and mirrors come out upright, and are said."""
    path = write(tmp_path / name, make_clip(), rotation=rotation)
    stored = read_clip(write(tmp_path / f"stored-{name}", make_clip()))
    clip = read(path)
    # Two runs of the encoder differ by a few of 255.
    np.testing.assert_allclose(clip.frames.astype(int), turned(stored, *rotation), atol=8)
    assert probe(path) == clip.info
    assert (clip.info.height_px, clip.info.width_px) == clip.frames.shape[1:3]
    np.testing.assert_array_equal(read_frames(path, [13, 2]), clip.frames[[13, 2]])
    same = np.array_equal(turned(stored, *rotation), stored)
    assert clip.info.notes == (
        () if same else ("it is stored turned or mirrored, says so, and was set upright",)
    )


def test_a_turn_that_is_no_quarter_is_refused(tmp_path: Path) -> None:
    """Nobody films at 30 degrees and says so; the message says what is asked."""
    path = write(tmp_path / "clip.mp4", make_clip(), rotation=(30, False, False))
    with pytest.raises(MediaError, match=r"shown turned by -?30 degrees.*export it upright"):
        probe(path)


@pytest.mark.parametrize("matrix", [[0] * 9, [65536, 65536, 0, 65536, 65536, 0, 0, 0, 1 << 30]])
def test_a_matrix_that_leaves_no_picture_is_passed_over(matrix: list[int]) -> None:
    """Players do the same."""
    assert display_of_matrix(matrix, pixel_aspect=1.0) == Display()


SHAPES = {
    Fraction(4, 3): (48, 85),
    Fraction(3, 4): (64, 64),
    Fraction(16, 11): (48, 93),
    Fraction(1, 1): (48, 64),
    Fraction(200, 199): (48, 64),
    Fraction(20, 1): (48, 64),
}
"""Shape of a pixel, and the picture's size once pixels are square."""


@pytest.mark.parametrize(
    ("name", "codec", "aspect"),
    [
        *((f"clip.{kind}", "libx264", aspect) for kind in ("mp4", "mkv") for aspect in SHAPES),
        # MPEG-2 can state the shape of the whole picture alone, and only a few of them.
        ("clip.mpg", "mpeg2video", Fraction(4, 3)),
        ("clip.mpg", "mpeg2video", Fraction(1, 1)),
    ],
)
def test_pixels_become_square(tmp_path: Path, name: str, codec: str, aspect: Fraction) -> None:
    """The shorter side is resampled, so that nothing is lost; twice gives the same bytes."""
    size = SHAPES[aspect]
    path = write(tmp_path / name, make_clip(), codec=codec, aspect=aspect)
    clip = read(path)
    assert clip.frames.shape == (NUM_FRAMES, *size, 3)
    assert (probe(path).height_px, probe(path).width_px) == size
    np.testing.assert_array_equal(read_clip(path), clip.frames)
    assert bool(clip.info.notes) == (size != (48, 64) or aspect == 20)
    red = clip.frames[0].astype(int)
    red = (red[..., 0] > 128) & (red[..., 1] < 90)
    # The corner is 16 by 16 stored pixels.
    expected = 16 * 16 * size[0] * size[1] / (HEIGHT * WIDTH)
    assert red.sum() == pytest.approx(expected, rel=0.15)


def test_turned_and_not_square(tmp_path: Path) -> None:
    """The pixels' shape is that of the stored ones, before the turn."""
    path = write(
        tmp_path / "a.mp4", make_clip(), aspect=Fraction(4, 3), rotation=(90, False, False)
    )
    assert read_clip(path).shape == (NUM_FRAMES, 85, 48, 3)
    assert len(read(path).info.notes) == 2


def test_a_box_turns_with_its_frame() -> None:
    """A painted box is where the mapped one says, in all eight ways and stretched."""
    frame = np.zeros((1, 40, 60, 3), np.uint8)
    frame[:, 10:20, 30:50] = 255
    for transpose in (False, True):
        for flip_x in (False, True):
            for flip_y in (False, True):
                for aspect in (1.0, 2.0, 0.5):
                    display = Display(
                        pixel_aspect=aspect, transpose=transpose, flip_x=flip_x, flip_y=flip_y
                    )
                    shown = display.frames(frame)[0, ..., 0] > 127
                    left, top, right, bottom = display.box(
                        (30, 10, 50, 20), height_px=40, width_px=60
                    )
                    assert shown[top:bottom, left:right].all()
                    assert shown.sum() == (bottom - top) * (right - left)
                    assert display.size(40, 60) == shown.shape


@pytest.mark.parametrize("kind", ["turned", "squeezed"])
def test_the_sector_of_a_phones_clip_is_found_upright(
    tmp_path: Path, helpers: Any, kind: str
) -> None:
    """What goes into shards is the upright fan, not the stored one."""
    upright = helpers.fan_frames(20, size_px=96)
    plain = read_masked(write(tmp_path / "plain.mp4", upright, options={"crf": "4"}), size_px=64)
    if kind == "turned":
        stored = np.ascontiguousarray(np.rot90(upright, 1, axes=(1, 2)))
        path = write(tmp_path / "a.mp4", stored, rotation=(270, False, False), options={"crf": "4"})
    else:
        narrow = [Image.fromarray(frame).resize((72, 96)) for frame in upright]
        path = write(
            tmp_path / "a.mp4",
            np.stack([np.asarray(frame) for frame in narrow]),
            aspect=Fraction(4, 3),
            options={"crf": "4"},
        )
    clip = read_masked(path, size_px=64, seed="0\0plain.mp4")
    assert clip.notes
    both, either = clip.sector.mask & plain.sector.mask, clip.sector.mask | plain.sector.mask
    assert both.sum() > 0.9 * either.sum()


def test_a_variable_rate_changes_no_frame(tmp_path: Path) -> None:
    """Frames are counted, whatever the time between them."""
    times = np.cumsum([1, 5, 2, 9, 1] * 4).tolist()
    frames = read_clip(write(tmp_path / "vfr.mp4", make_clip(), times=times)).astype(int)
    even = read_clip(write(tmp_path / "cfr.mp4", make_clip()))
    assert np.abs(frames - even).mean() < 1


def test_frames_that_an_edit_list_cuts_away_are_not_missing(tmp_path: Path) -> None:
    """A clip that was trimmed without coding it again starts where the edit says."""
    path = write(tmp_path / "a.mp4", make_clip(), options={"bf": "0", "tune": "zerolatency"})
    whole = read_clip(path)
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 12  # version, flags and count stand between
    _, media_time = (int.from_bytes(data[place + i : place + i + 4], "big") for i in (0, 4))
    scale = int.from_bytes(data[data.index(b"mdhd") + 16 : data.index(b"mdhd") + 20], "big")
    data[place + 4 : place + 8] = (media_time + 5 * scale // 25).to_bytes(4, "big")
    path.write_bytes(data)
    clip = read(path)
    assert clip.info.num_frames == len(clip.frames) == 15
    np.testing.assert_array_equal(clip.frames, whole[5:])
    np.testing.assert_array_equal(read_frames(path, [3, 11]), whole[[8, 16]])


@pytest.mark.parametrize("size", [(49, 65), (47, 63), (16, 16)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    """No row and no column is lost or moved."""
    frames = make_clip(*size)
    path = write(tmp_path / "a.mkv", frames, codec="ffv1", pixels="bgr0")
    np.testing.assert_array_equal(read_clip(path), frames)
    path = write(tmp_path / "a.avi", frames, codec="mjpeg", pixels="yuvj420p")
    assert read_clip(path).shape == frames.shape


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    """A video of one frame is read; whether it shows a sector is another question."""
    path = write(tmp_path / "a.mp4", make_clip()[:1])
    assert probe(path).num_frames == len(read_clip(path)) == 1


def test_ten_bits(tmp_path: Path) -> None:
    """Deeper video gives the same picture."""
    deep = write(tmp_path / "deep.mp4", make_clip(), codec="libx265", pixels="yuv420p10le",
                 options={"x265-params": "log-level=none"})  # fmt: skip
    assert np.abs(read_clip(deep).astype(int) - make_clip()).mean() < 4


def test_interlaced_video_has_its_frames(tmp_path: Path) -> None:
    """Both half-pictures of a frame stay together, and no frame is counted twice."""
    path = write(
        tmp_path / "a.mpg",
        make_clip(),
        codec="mpeg2video",
        options={"flags": "+ildct+ilme"},
    )
    assert probe(path).num_frames == len(read_clip(path)) == NUM_FRAMES


def damage(path: Path, number: int, codec_mark: bytes = b"00dc") -> None:
    """Overwrite one stored frame of an AVI with noise that no decoder reads."""
    data = bytearray(path.read_bytes())
    place = data.index(b"movi")
    for _ in range(number + 1):
        place = data.index(codec_mark, place + 4)
    size = int.from_bytes(data[place + 4 : place + 8], "little")
    data[place + 8 : place + 8 + size] = b"\x55" * size
    path.write_bytes(data)


@pytest.mark.parametrize("codec", ["mjpeg", "ffv1"])
def test_one_frame_of_a_video_that_does_not_decode(tmp_path: Path, codec: str) -> None:
    """It is left out and named; every other frame is the one that was asked for."""
    pixels, options = {
        "mjpeg": ("yuvj444p", {}),
        "ffv1": ("bgr0", {"level": "3", "slicecrc": "1"}),
    }[codec]
    path = write(
        tmp_path / "a.avi", make_clip(), codec=codec, pixels=pixels, options=options, group=1
    )
    whole = read_clip(path)
    damage(path, 7)
    clip = read(path)
    kept = [index for index in range(NUM_FRAMES) if index != 7]
    assert list(clip.indices) == kept
    np.testing.assert_array_equal(clip.frames, whole[kept])
    assert clip.info.notes == (
        "its pixel data cannot be decoded in frame 7 of 20, which is left out",
    )
    some = read(path, [2, 6, 7, 8, *range(9, 20)])
    np.testing.assert_array_equal(some.frames, whole[[2, 6, 8, *range(9, 20)]])
    with pytest.raises(MediaError, match=r"cannot be decoded in frame 7"):
        read_frames(path, [7])


def test_the_first_frame_may_be_the_damaged_one(tmp_path: Path) -> None:
    """The clip begins with the second one then."""
    path = write(tmp_path / "a.avi", make_clip(), codec="mjpeg", pixels="yuvj444p")
    whole = read_clip(path)
    damage(path, 0)
    np.testing.assert_array_equal(read(path).frames, whole[1:])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["jpg", "png", "webp", "tif"])
def test_pictures_with_an_orientation(tmp_path: Path, name: str, orientation: int) -> None:
    """Single pictures and folders are upright, as EXIF and TIFF say it."""
    picture = Image.fromarray(make_clip()[0])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {
        "jpg": {"quality": 100, "subsampling": 0, "exif": exif},
        "png": {"exif": exif},
        "webp": {"lossless": True, "exif": exif},
        "tif": {"tiffinfo": {274: orientation}},
    }[name]
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(3):
        picture.save(folder / f"{number}.{name}", **options)
    upright = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: np.rot90(p, 1),
    }[orientation](make_clip()[0])
    for path in (folder, folder / f"0.{name}"):
        clip = read(path)
        assert clip.frames.shape[1:] == upright.shape
        assert np.abs(clip.frames[0].astype(int) - upright).max() <= 8
        assert probe(path) == clip.info
        assert bool(clip.info.notes) == (orientation != 1 and name != "tif")


def test_a_folder_in_which_the_camera_was_turned(tmp_path: Path) -> None:
    """Two orientations are two clips."""
    for number in range(4):
        exif = Image.Exif()
        exif[0x0112] = 3 if number == 2 else 1
        Image.fromarray(make_clip()[0]).save(tmp_path / f"{number}.png", exif=exif)
    with pytest.raises(MediaError, match=r"2\.png states another orientation"):
        probe(tmp_path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {"dpi": (100, 200)}),
        ("a.jpg", {"dpi": (100, 200)}),
        ("a.tif", {"dpi": (100, 200)}),
        ("a.bmp", {"dpi": (100, 200)}),
    ],
)
def test_pictures_whose_pixels_are_not_square(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    """Half as many pixels to an inch across as down: each is twice as wide as it is high."""
    Image.fromarray(make_clip()[0]).save(tmp_path / name, **options)
    assert read_clip(tmp_path / name).shape == (1, HEIGHT, 2 * WIDTH, 3)


@pytest.mark.parametrize("disposal", [0, 1, 2])
def test_gifs_that_store_only_what_changes(tmp_path: Path, disposal: int) -> None:
    """Partial frames are laid over the ones before, as their disposal says."""
    pictures = [Image.fromarray(frame).quantize(16) for frame in make_clip()]
    pictures[0].save(
        tmp_path / "a.gif",
        save_all=True,
        append_images=pictures[1:],
        disposal=disposal,
        optimize=True,
    )
    expected = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    np.testing.assert_array_equal(read_clip(tmp_path / "a.gif"), expected)


def test_a_gif_that_goes_back_to_an_earlier_picture(tmp_path: Path) -> None:
    """A patch that is to be removed again is gone in the next frame."""
    base = Image.new("P", (64, 48), 0)
    base.putpalette(bytes((0, 0, 0, 255, 0, 0, 0, 0, 255)) + bytes(759))
    blocks = b"".join(GifImagePlugin.getheader(base)[0])
    for color, offset, disposal in ((0, (0, 0), 1), (1, (8, 8), 3), (2, (30, 20), 1)):
        patch = Image.new("P", (64, 48) if color == 0 else (10, 6), color)
        patch.putpalette(base.getpalette() or [])
        data = GifImagePlugin.getdata(patch, offset, disposal=disposal, duration=40)
        blocks += b"".join(data)
    (tmp_path / "a.gif").write_bytes(blocks + b";")
    expected = np.zeros((3, 48, 64, 3), np.uint8)
    expected[1, 8:14, 8:18] = (255, 0, 0)
    expected[2, 20:26, 30:40] = (0, 0, 255)
    np.testing.assert_array_equal(read_clip(tmp_path / "a.gif"), expected)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_other_animations(tmp_path: Path, name: str) -> None:
    """Animated PNG and WebP, and TIFF of many pages, are clips."""
    pictures = [Image.fromarray(frame) for frame in make_clip()]
    pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], lossless=True)
    np.testing.assert_array_equal(read_clip(tmp_path / name), make_clip())
    np.testing.assert_array_equal(read_frames(tmp_path / name, [9, 4]), make_clip()[[9, 4]])


def test_pages_of_two_sizes(tmp_path: Path) -> None:
    """A TIFF with a thumbnail is not damaged, and not told so."""
    first, second = Image.fromarray(make_clip()[0]), Image.new("RGB", (8, 6))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    with pytest.raises(MediaError, match=r"frame 1 is 8 x 6, the first one 64 x 48"):
        read_clip(tmp_path / "a.tif")


def test_one_damaged_picture_of_a_folder(tmp_path: Path) -> None:
    """It is left out and named; the folder is used."""
    for number, frame in enumerate(make_clip()):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    path = tmp_path / "11.png"
    path.write_bytes(path.read_bytes()[:60])
    clip = read(tmp_path)
    kept = [index for index in range(NUM_FRAMES) if index != 11]
    np.testing.assert_array_equal(clip.frames, make_clip()[kept])
    assert "in frame 11 of 20, which is left out" in clip.info.notes[0]
