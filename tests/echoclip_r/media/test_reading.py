"""Clips from files: what is read is right in every format, and what cannot be read says why."""

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from echoclip_r.errors import MediaError
from echoclip_r.media.reading import probe, read, read_clip, read_frames

Frames = NDArray[np.uint8]

NUM_FRAMES, HEIGHT, WIDTH = 20, 48, 64
ULTRASOUND = {  # every ultrasound file inside the pydicom wheel: frames, height, width, rate
    "ExplVR_BigEnd.dcm": (1, 60, 80, None),
    "examples_jpeg2k.dcm": (1, 480, 640, None),
    "examples_palette.dcm": (1, 350, 800, None),
    "examples_rgb_color.dcm": (1, 240, 320, None),
    "examples_ybr_color.dcm": (30, 240, 320, 30.0),
}


def make_clip(num_frames: int = NUM_FRAMES) -> Frames:
    """Large patches of pure colours and a bar that moves, so that order and colours show."""
    frames = np.zeros((num_frames, HEIGHT, WIDTH, 3), np.uint8)
    frames[:, :16, :16] = (250, 10, 10)
    frames[:, :16, 16:32] = (10, 10, 250)
    frames[:, :16, 32:48] = (10, 250, 10)
    for number, frame in enumerate(frames):
        frame[16:32] = number * 10
        frame[32:, 2 * number : 2 * number + 12] = 255
    return frames


def write_video(path: Path, frames: Frames, codec: str, pixels: str, **options: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        stream.codec_context.gop_size = 6
        source = "rgba" if frames.shape[-1] == 4 else "rgb24"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format=source)))
        container.mux(stream.encode())


def write_gif(path: Path, frames: Frames) -> None:
    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=rest, duration=40)


def write_folder(path: Path, frames: Frames) -> None:
    path.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"frame{number}.png")
    (path / ".hidden.png").write_bytes(b"not a picture")
    (path / "notes.txt").write_text("not a picture either")


def make_dicom(pixels: NDArray[np.generic], photometric: str, **tags: object) -> Dataset:
    """A multi-frame ultrasound file; pixels are (T, H, W) or (T, H, W, 3)."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = UltrasoundMultiFrameImageStorage
    data.SOPInstanceUID = generate_uid()
    data.PatientName = "DOE^JANE"
    data.NumberOfFrames, data.Rows, data.Columns = pixels.shape[:3]
    data.SamplesPerPixel = 3 if pixels.ndim == 4 else 1
    data.PhotometricInterpretation = photometric
    if pixels.ndim == 4:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.PixelRepresentation = 0
    data.FrameTime = "20"
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    data.HighBit = data.BitsStored - 1
    return data


def save_dicom(path: Path, data: Dataset) -> Path:
    data.save_as(path, enforce_file_format=True)
    return path


def make_jpeg_dicom(frames: Frames) -> Dataset:
    def encode(frame: Frames) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=95, subsampling="4:2:2")
        return buffer.getvalue()

    data = make_dicom(frames, "YBR_FULL_422")
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.PixelData = encapsulate([encode(frame) for frame in frames])
    data["PixelData"].is_undefined_length = True
    return data


def compressed(data: Dataset, syntax: str) -> Dataset:
    data.compress(syntax, generate_instance_uid=False)
    return data


Writer = Callable[[Path, Frames], object]
FORMATS: dict[str, tuple[str, Writer, float, str]] = {  # file name, writer, largest error, codec
    "avi-mjpeg": (
        "clip.avi",
        lambda p, f: write_video(p, f, "mjpeg", "yuvj444p", qmin="1", qmax="2"),
        8,
        "mjpeg",
    ),
    "avi-ffv1": ("clip.avi", lambda p, f: write_video(p, f, "ffv1", "bgr0"), 0, "ffv1"),
    "avi-raw": ("clip.avi", lambda p, f: write_video(p, f, "rawvideo", "bgr24"), 0, "rawvideo"),
    "avi-mpeg4-b-frames": (
        "clip.avi",
        lambda p, f: write_video(p, f, "mpeg4", "yuv420p", bf="2", qmin="1", qmax="2"),
        60,
        "mpeg4",
    ),
    "mp4-mpeg4": (
        "clip.mp4",
        lambda p, f: write_video(p, f, "mpeg4", "yuv420p", bf="2", qmin="1", qmax="2"),
        60,
        "mpeg4",
    ),
    # Program streams have no index: a seek may end at a later key frame than was asked for.
    "mpg-mpeg2": (
        "clip.mpg",
        lambda p, f: write_video(p, f, "mpeg2video", "yuv420p", qmin="1", qmax="2"),
        60,
        "mpeg2video",
    ),
    "ts-mpeg2": (
        "clip.ts",
        lambda p, f: write_video(p, f, "mpeg2video", "yuv420p", qmin="1", qmax="2"),
        60,
        "mpeg2video",
    ),
    "wmv": (
        "clip.wmv",
        lambda p, f: write_video(p, f, "wmv2", "yuv420p", qmin="1", qmax="2"),
        60,
        "wmv2",
    ),
    "mkv-ffv1": ("clip.mkv", lambda p, f: write_video(p, f, "ffv1", "bgr0"), 0, "ffv1"),
    "gif": ("clip.gif", write_gif, 0, "gif"),
    "folder": ("clip", write_folder, 0, "folder of png"),
    "dicom-rgb": (
        "clip.dcm",
        lambda p, f: save_dicom(p, make_dicom(f, "RGB")),
        0,
        "Explicit VR Little Endian",
    ),
    "dicom-no-suffix": (
        "IM0001",
        lambda p, f: save_dicom(p, make_dicom(f, "RGB")),
        0,
        "Explicit VR Little Endian",
    ),
    "dicom-rle": (
        "clip.dcm",
        lambda p, f: save_dicom(p, compressed(make_dicom(f, "RGB"), RLELossless)),
        0,
        "RLE Lossless",
    ),
    "dicom-jpeg2000": (
        "clip.dcm",
        lambda p, f: save_dicom(p, compressed(make_dicom(f, "RGB"), JPEG2000Lossless)),
        0,
        "JPEG 2000 Image Compression (Lossless Only)",
    ),
    "dicom-jpeg": (
        "clip.dcm",
        lambda p, f: save_dicom(p, make_jpeg_dicom(f)),
        60,
        "JPEG Baseline (Process 1)",
    ),
}
if "libx264" in av.codecs_available:
    FORMATS["mp4-h264"] = (
        "clip.mp4",
        lambda p, f: write_video(p, f, "libx264", "yuv420p", crf="4", bf="2"),
        60,
        "h264",
    )


@pytest.fixture(params=FORMATS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, float, str]:
    name, write, error, codec = FORMATS[request.param]
    write(tmp_path / name, make_clip())
    return tmp_path / name, error, codec


def test_every_format_gives_the_frames_in_order_and_in_rgb(
    written: tuple[Path, float, str],
) -> None:
    """A clip comes back as it was written, as far as its coding is lossless."""
    path, error, _ = written
    frames = read_clip(path)
    assert frames.dtype == np.uint8
    assert frames.shape == (NUM_FRAMES, HEIGHT, WIDTH, 3)
    difference = np.abs(frames.astype(int) - make_clip())
    assert difference.max() <= error or difference.mean() < 2.0
    # Inside the patches, away from what coding smears: red, blue and green are what they were.
    for column, colour in ((8, (250, 10, 10)), (24, (10, 10, 250)), (40, (10, 250, 10))):
        np.testing.assert_allclose(frames[:, 8, column], [colour] * NUM_FRAMES, atol=8)


def test_probe_agrees_with_what_is_read(written: tuple[Path, float, str]) -> None:
    """Size, number of frames, rate and codec are known before anything is decoded."""
    path, _, codec = written
    info = probe(path)
    assert (info.num_frames, info.height_px, info.width_px) == (NUM_FRAMES, HEIGHT, WIDTH)
    assert info.codec == codec
    expected = None if path.is_dir() else 50.0 if "VR" in codec or path.suffix == ".dcm" else 25.0
    assert info.fps_hz == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("indices", [[0], [19], [13], [5, 6], [19, 0, 7, 7, 12], [3, 15, 4], []])
def test_single_frames_are_those_of_the_whole_clip(
    written: tuple[Path, float, str], indices: list[int]
) -> None:
    """Seeking gives the same bytes as decoding everything, in any order and with repeats."""
    path, _, _ = written
    picked = read_frames(path, indices)
    assert picked.shape == (len(indices), HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(picked, read_clip(path)[indices])


@pytest.mark.parametrize("index", [-1, 20, 1000])
def test_a_frame_that_is_not_there_is_refused(written: tuple[Path, float, str], index: int) -> None:
    """The message gives the frames that there are."""
    with pytest.raises(
        MediaError, match=rf"frame {index} was asked for, but its frames are 0 to 19"
    ):
        read_frames(written[0], [0, index])


def test_other_frames_are_not_decoded(tmp_path: Path) -> None:
    """A damaged frame of a clip that stores each frame on its own leaves the others readable."""
    data = make_jpeg_dicom(make_clip())
    parts = list(generate_frames(data.PixelData, number_of_frames=NUM_FRAMES))
    whole = read_clip(save_dicom(tmp_path / "whole.dcm", data))
    parts[7] = b"\xff\xd8" + bytes(len(parts[7]) - 2)
    data.PixelData = encapsulate(parts)
    path = save_dicom(tmp_path / "damaged.dcm", data)
    np.testing.assert_array_equal(read_frames(path, [0, 19]), whole[[0, 19]])
    with pytest.raises(MediaError, match=r"damaged\.dcm: its pixel data cannot be decoded"):
        read_clip(path)


def test_other_pictures_of_a_folder_are_not_opened(tmp_path: Path) -> None:
    """A damaged picture is named when it is asked for, and only then."""
    write_folder(tmp_path / "clip", make_clip())
    (tmp_path / "clip" / "frame11.png").write_bytes(b"\x89PNG\r\n damaged")
    assert len(read_frames(tmp_path / "clip", [3, 12])) == 2
    with pytest.raises(MediaError, match=r"the picture frame11\.png is not a picture"):
        read_frames(tmp_path / "clip", [11])


@pytest.mark.parametrize("name", ULTRASOUND)
def test_ultrasound_files_of_pydicom_match_its_own_conversion(name: str) -> None:
    """Every ultrasound file in the wheel is read in its own size and in pydicom's colours."""
    path = get_testdata_file(name, download=False)
    num_frames, height, width, fps_hz = ULTRASOUND[name]
    info = probe(path)
    assert (info.num_frames, info.height_px, info.width_px) == (num_frames, height, width)
    assert info.fps_hz == (None if fps_hz is None else pytest.approx(fps_hz, abs=0.01))
    data = pydicom.dcmread(path)
    expected = data.pixel_array  # YBR becomes RGB in here
    if name == "examples_palette.dcm":
        expected = pydicom.pixels.apply_color_lut(expected, data) >> 8
    frames = read_clip(path)
    assert frames.shape == (num_frames, height, width, 3)
    # Two JPEG libraries round differently, by a few of 255 and seldom.
    difference = np.abs(frames.astype(int) - expected.reshape(frames.shape))
    assert difference.max() <= 4
    assert difference.mean() < 0.1


@pytest.mark.filterwarnings("ignore:Expected explicit VR")
def test_the_wheel_holds_no_other_ultrasound_files() -> None:
    """The list above is complete: it has every file in the wheel whose modality is ultrasound."""
    folder = Path(get_testdata_file("examples_ybr_color.dcm", download=False)).parent
    found = {
        path.name
        for path in folder.glob("*.dcm")
        if pydicom.dcmread(path, force=True, specific_tags=["Modality"]).get("Modality") == "US"
    }
    assert found == set(ULTRASOUND)


def test_the_cardiac_clip_is_a_grey_moving_heart() -> None:
    """Where there is tissue, the three channels are nearly equal, and it moves."""
    frames = read_clip(get_testdata_file("examples_ybr_color.dcm", download=False)).astype(int)
    heart = frames[:, 60:180, 100:220]
    assert heart.mean() > 20
    assert np.abs(heart[..., 0] - heart[..., 2]).mean() < 4
    assert heart.std(axis=0).mean() > 3


@pytest.mark.parametrize(("photometric", "flip"), [("MONOCHROME2", False), ("MONOCHROME1", True)])
def test_grey_dicom(tmp_path: Path, photometric: str, flip: bool) -> None:
    """Grey becomes three equal channels; MONOCHROME1 shows 0 as white."""
    grey = make_clip()[..., 0]
    path = save_dicom(tmp_path / "clip.dcm", make_dicom(grey, photometric))
    expected = 255 - grey if flip else grey
    np.testing.assert_array_equal(read_clip(path), np.repeat(expected[..., None], 3, axis=-1))


def test_deep_dicom_uses_its_window_or_else_its_range(tmp_path: Path) -> None:
    """12 bits become 8 by the window in the file, and by all storable values without one."""
    deep = np.array([[[0, 1000, 1500, 2000, 4095]]], np.uint16)
    plain = make_dicom(deep, "MONOCHROME2", BitsStored=12)
    assert read_clip(save_dicom(tmp_path / "plain.dcm", plain))[0, 0, :, 0].tolist() == [
        0, 62, 93, 125, 255,
    ]  # fmt: skip
    windowed = make_dicom(deep, "MONOCHROME2", BitsStored=12, WindowCenter=1500, WindowWidth=1001)
    levels = read_clip(save_dicom(tmp_path / "window.dcm", windowed))[0, 0, :, 0]
    assert levels.tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_uncompressed_ybr_becomes_rgb(tmp_path: Path, photometric: str) -> None:
    """Uncompressed YBR, subsampled or not, is converted as pydicom converts it."""
    frames = make_clip(2)
    ybr = np.stack([np.asarray(Image.fromarray(frame).convert("YCbCr")) for frame in frames])
    data = make_dicom(ybr, photometric)
    if photometric == "YBR_FULL_422":
        pairs = ybr.reshape(2, HEIGHT, WIDTH // 2, 2, 3)
        packed = np.stack(
            [pairs[..., 0, 0], pairs[..., 1, 0], pairs[..., 0, 1], pairs[..., 0, 2]], axis=-1
        )
        data.PixelData = packed.tobytes()
    read = read_clip(save_dicom(tmp_path / "clip.dcm", data))
    # Patches and bar begin at even columns, so that halving the chroma loses nothing.
    assert np.abs(read.astype(int) - frames).max() <= 3


def test_palette_dicom(tmp_path: Path) -> None:
    """A palette gives each value its colour."""
    values = np.arange(4, dtype=np.uint8).reshape(1, 2, 2)
    colours = np.array([[0, 0, 0], [200, 0, 0], [0, 150, 0], [0, 0, 100]])
    data = make_dicom(values, "PALETTE COLOR")
    for number, name in enumerate(("Red", "Green", "Blue")):
        setattr(data, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 16])
        table = (colours[:, number] << 8).astype("<u2").tobytes()
        setattr(data, f"{name}PaletteColorLookupTableData", table)
    read = read_clip(save_dicom(tmp_path / "clip.dcm", data))
    np.testing.assert_array_equal(read.reshape(4, 3), colours)


def test_pictures_of_any_depth(tmp_path: Path) -> None:
    """Grey, palette, alpha and 16-bit pictures become RGB bytes; what alpha hides stays hidden."""
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    as_rgb = np.repeat(grey[..., None], 3, axis=-1)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    for name in ("grey.png", "deep.png", "palette.png"):
        np.testing.assert_array_equal(read_clip(tmp_path / name), as_rgb[None])
    rgba = np.dstack(
        [np.full((6, 8, 3), 200, np.uint8), np.repeat([[0, 255]], [6], 0).repeat(4, 1)]
    )
    Image.fromarray(rgba.astype(np.uint8)).save(tmp_path / "alpha.png")
    alpha = read_clip(tmp_path / "alpha.png")[0]
    assert (alpha[:, :4] == 0).all()
    assert (alpha[:, 4:] == 200).all()


def test_a_video_with_an_alpha_channel(tmp_path: Path) -> None:
    """Four channels become three, with what alpha hides black."""
    frames = np.dstack([make_clip(1)[0], np.full((HEIGHT, WIDTH), 255, np.uint8)])[None]
    frames[:, 32:, :, 3] = 0
    write_video(tmp_path / "clip.avi", frames, "png", "rgba")
    read = read_clip(tmp_path / "clip.avi")
    np.testing.assert_array_equal(read[:, :32], make_clip(1)[:, :32])
    assert not read[:, 32:].any()


def test_a_grey_video(tmp_path: Path) -> None:
    """One channel becomes three equal ones."""
    frames = make_clip(4)
    frames[..., 1:] = frames[..., :1]
    write_video(tmp_path / "clip.avi", frames, "ffv1", "gray")
    read = read_clip(tmp_path / "clip.avi").astype(int)
    assert np.abs(read - frames).max() <= 1


def test_frames_that_an_avi_skips_are_not_missed(tmp_path: Path) -> None:
    """An AVI whose header counts skipped frames is whole, and has the frames that were stored."""
    path = tmp_path / "skips.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuvj420p"
        for number, pixels in enumerate(make_clip(5)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = 3 * number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert len(read_clip(path)) == probe(path).num_frames == 5


def avi_cut(path: Path) -> None:
    write_video(path, make_clip(), "mjpeg", "yuvj420p")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def avi_cut_between_frames(path: Path) -> None:
    write_video(path, make_clip(), "mjpeg", "yuvj420p")
    whole = path.read_bytes()
    # The tenth stored frame begins here: cut exactly before it.
    place = whole.index(b"movi")
    for _ in range(10):
        place = whole.index(b"00dc", place + 1)
    path.write_bytes(whole[:place])


def avi_without_frames(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuvj420p"
        container.start_encoding()


def avi_damaged(path: Path) -> None:
    write_video(path, make_clip(), "ffv1", "bgr0", level="3", slicecrc="1")
    data = bytearray(path.read_bytes())
    start = data.index(b"00dc", data.index(b"movi")) + 8
    size = struct.unpack("<I", data[start - 4 : start])[0]
    data[start : start + size] = bytes(size)
    path.write_bytes(data)


def mp4_cut(path: Path) -> None:
    write_video(path, make_clip(), "mpeg4", "yuv420p")
    path.write_bytes(path.read_bytes()[:-200])


def mp4_with_the_index_first_cut(path: Path) -> None:
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for pixels in make_clip():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes()[:-300])


def mp3_named_avi(path: Path) -> None:
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def dicom_without_pixels(path: Path) -> None:
    data = make_dicom(make_clip(1), "RGB")
    del data.PixelData
    save_dicom(path, data)


def dicom_report(path: Path) -> None:
    path.write_bytes(Path(get_testdata_file("reportsi.dcm", download=False)).read_bytes())


def dicom_of_no_frames(path: Path) -> None:
    save_dicom(path, make_dicom(make_clip(1), "RGB", NumberOfFrames=0))


def dicom_cut(path: Path) -> None:
    save_dicom(path, make_dicom(make_clip(), "RGB"))
    path.write_bytes(path.read_bytes()[:-1000])


def jpeg_dicom_cut(path: Path) -> None:
    save_dicom(path, make_jpeg_dicom(make_clip()))
    path.write_bytes(path.read_bytes()[:-300])


def jpeg_dicom_of_half_the_frames(path: Path) -> None:
    save_dicom(path, make_jpeg_dicom(make_clip()))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def folder_of_two_sizes(path: Path) -> None:
    write_folder(path, make_clip(3))
    Image.new("RGB", (10, 10)).save(path / "frame2.png")


def float_picture(path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(path, format="TIFF")


def png_cut(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:4000])


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "avi cut off": ("a.avi", avi_cut, r"frame \d+ breaks off: the file was cut off"),
    "avi cut between frames": ("a.avi", avi_cut_between_frames, r"it holds 9 of 20 frames"),
    "avi without frames": ("a.avi", avi_without_frames, r"it holds zero frames|no video in it"),
    "avi damaged": ("a.avi", avi_damaged, r"damaged|cannot be decoded|no video in it"),
    "avi with sound only": ("a.avi", mp3_named_avi, r"it holds no video stream"),
    "mp4 cut off": ("a.mp4", mp4_cut, r"FFmpeg reads no video in it .*cut off"),
    "mp4 cut off, index first": (
        "a.mp4", mp4_with_the_index_first_cut, r"breaks off|it holds \d+ of 20 frames",
    ),
    "text named avi": ("a.avi", lambda p: p.write_text("LV is normal.\n" * 50), r"not a video"),
    "text": ("a.txt", lambda p: p.write_text("LV is normal.\n" * 50), r"not a video"),
    "playlist": ("a.m3u8", lambda p: p.write_text("#EXTM3U\nother.avi\n"), r"not a video"),
    "empty file": ("a.avi", lambda p: p.touch(), r"the file is empty \(0 bytes\)"),
    "missing file": ("a.avi", lambda p: None, r"there is no such file or folder"),
    "text named dcm": ("a.dcm", lambda p: p.write_text("x" * 500), r"it is not a DICOM file"),
    "dicom without pixels": ("a.dcm", dicom_without_pixels, r"it holds no pixel data"),
    "dicom report": ("a.dcm", dicom_report, r"it holds no pixel data \(a report, waveform"),
    "dicom of no frames": ("a.dcm", dicom_of_no_frames, r"it holds zero frames"),
    "dicom cut off": ("a.dcm", dicom_cut, r"it holds \d+ of 184320 bytes of pixels: the file was"),
    "jpeg dicom cut off": ("a.dcm", jpeg_dicom_cut, r"its last frame breaks off: the file was cut"),
    "jpeg dicom, half the frames": (
        "a.dcm", jpeg_dicom_of_half_the_frames, r"breaks off|it holds \d+ of 20 frames",
    ),
    "folder without pictures": ("a", lambda p: p.mkdir(), r"the folder holds no pictures \(\.bmp"),
    "folder of two sizes": (
        "a", folder_of_two_sizes, r"the picture frame2\.png is 10 x 10, the first one 64 x 48",
    ),
    "picture of floats": ("a.tif", float_picture, r"it has 32-bit values"),
    "picture cut off": ("a.png", png_cut, r"it is damaged or cut off"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_named_with_the_reason(tmp_path: Path, case: str) -> None:
    """Bad input raises MediaError that begins with the file and says why; nothing else escapes."""
    name, make, reason = BAD[case]
    path = tmp_path / name
    make(path)
    with pytest.raises(MediaError, match=reason) as caught:
        read_clip(path)
    assert caught.value.path == path
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    assert "DOE" not in str(caught.value)
    assert "LV is normal" not in str(caught.value)


@pytest.mark.parametrize(
    "case",
    [case for case in BAD if case not in ("avi damaged", "picture cut off", "picture of floats")],
)
def test_probe_finds_most_of_it_without_decoding(tmp_path: Path, case: str) -> None:
    """Whatever is missing, cut off or of another kind is found before any frame is decoded."""
    name, make, reason = BAD[case]
    make(tmp_path / name)
    with pytest.raises(MediaError, match=reason):
        probe(tmp_path / name)


def test_an_error_survives_the_way_between_processes() -> None:
    """Workers hand errors back pickled: path and reason stay apart."""
    error = pickle.loads(pickle.dumps(MediaError("a.avi", "it holds zero frames")))
    assert (error.path, error.reason) == (Path("a.avi"), "it holds zero frames")


def test_a_clip_without_its_last_frame_is_used_and_said(tmp_path: Path) -> None:
    """136 of 137 frames are a clip; with more missing the file is refused as cut off."""
    path = tmp_path / "a.avi"
    write_noise(path, 137)
    whole = path.read_bytes()
    movi = whole.index(b"movi")
    places, place = [], movi
    while (place := whole.find(b"00dc", place + 4)) > 0 and place < whole.index(b"idx1"):
        places.append(place)
    assert len(places) == 137
    path.write_bytes(whole[: places[-1] + 60])
    clip = read(path)
    assert len(clip.frames) == 136
    assert clip.info.notes == ("its last frame breaks off; the 136 before it are used",)
    path.write_bytes(whole[: places[-3] + 60])
    with pytest.raises(MediaError, match="cut off"):
        read(path)


def test_a_matroska_file_that_was_cut_off_says_so(tmp_path: Path) -> None:
    """It plays as far as it goes; its header tells how long it was."""
    path = tmp_path / "a.mkv"
    write_noise(path, 40, codec="ffv1", pixels="bgr0")
    assert read(path).info.notes == ()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = read(path)
    assert 5 < len(clip.frames) < 30
    (note,) = clip.info.notes
    assert note.startswith("its header states a length of about 40 frames, and it holds ")


def write_noise(
    path: Path, num_frames: int, *, codec: str = "mjpeg", pixels: str = "yuvj444p"
) -> None:
    """Noise, so that no frame is small."""
    frames = np.random.default_rng(0).integers(0, 255, (num_frames, 48, 64, 3), dtype=np.uint8)
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())
