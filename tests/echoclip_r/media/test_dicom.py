"""DICOM files whose headers are wrong, whose pixels are a video stream, or that are no clip."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended, fragment_frame, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from echoclip_r.errors import MediaError
from echoclip_r.media.reading import probe, read, read_clip, read_frames

Frames = NDArray[np.uint8]

NUM_FRAMES, HEIGHT, WIDTH = 20, 48, 64


def make_clip(num_frames: int = NUM_FRAMES) -> Frames:
    """Grey rows that brighten with time, a red patch, and black: what screens are made of."""
    frames = np.zeros((num_frames, HEIGHT, WIDTH, 3), np.uint8)
    frames[:, 16:32] = np.linspace(40, 220, WIDTH, dtype=np.uint8)[:, None]
    frames[:, 2:12, 4:24] = (230, 20, 20)
    frames[:, 34:46, :32] = np.arange(num_frames, dtype=np.uint8)[:, None, None, None] * 10
    return frames


def make_dicom(pixels: NDArray[Any], photometric: str = "RGB", **tags: object) -> Dataset:
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
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    for keyword, value in tags.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    data.HighBit = data.BitsStored - 1
    return data


def save(path: Path, data: Dataset) -> Path:
    data.save_as(path, enforce_file_format=True)
    return path


def packed_422(frames: Frames) -> bytes:
    """Uncompressed YBR_FULL_422: Y1 Y2 Cb Cr for two pixels."""
    ybr = np.stack([np.asarray(Image.fromarray(frame).convert("YCbCr")) for frame in frames])
    pairs = ybr.reshape(len(frames), HEIGHT, WIDTH // 2, 2, 3)
    order = [pairs[..., 0, 0], pairs[..., 1, 0], pairs[..., 0, 1], pairs[..., 0, 2]]
    return np.stack(order, axis=-1).tobytes()


def jpeg(frame: Frames, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=97, **({"subsampling": 0} | options))
    return buffer.getvalue()


def without(encoded: bytes, *markers: int) -> bytes:
    """A JPEG without some of its application segments."""
    out, place = bytearray(encoded[:2]), 2
    while encoded[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(encoded[place + 2 : place + 4], "big")
        if encoded[place + 1] not in markers:
            out += encoded[place:end]
        place = end
    return bytes(out + encoded[place:])


def compressed(parts: list[bytes], syntax: str = JPEGBaseline8Bit, **tags: object) -> Dataset:
    data = make_dicom(make_clip(), **({"photometric": "YBR_FULL_422"} | tags))  # type: ignore[arg-type]
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = encapsulate(parts)
    data["PixelData"].is_undefined_length = True
    return data


def encode(codec: str, container: str, frames: Frames, *, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        quiet = {"libx265": {"x265-params": "log-level=none"}}.get(codec, {})
        stream = file.add_stream(codec, rate=25, options=quiet)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.gop_size = 6
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()


STREAMS = {  # encoder, container, transfer syntax
    "mpeg-2": ("mpeg2video", "mpeg2video", "1.2.840.10008.1.2.4.100"),
    "mpeg-2 high": ("mpeg2video", "mpegts", "1.2.840.10008.1.2.4.101"),
    "h.264": ("libx264", "h264", "1.2.840.10008.1.2.4.102"),
    "h.264 in mp4": ("libx264", "mp4", "1.2.840.10008.1.2.4.103"),
    "h.264 in ts, fragmentable": ("libx264", "mpegts", "1.2.840.10008.1.2.4.102.1"),
    "h.264 2d": ("libx264", "h264", "1.2.840.10008.1.2.4.104"),
    "h.264 3d": ("libx264", "h264", "1.2.840.10008.1.2.4.105"),
    "h.264 stereo": ("libx264", "h264", "1.2.840.10008.1.2.4.106"),
    "hevc": ("libx265", "hevc", "1.2.840.10008.1.2.4.107"),
    "hevc main 10": ("libx265", "hevc", "1.2.840.10008.1.2.4.108"),
}


@pytest.mark.parametrize("fragments", [1, 4])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_video_stream_is_read(tmp_path: Path, kind: str, fragments: int) -> None:
    """MPEG-2, MPEG-4 and HEVC, in one fragment or several: every frame, in order, any of them."""
    codec, container, syntax = STREAMS[kind]
    stream = encode(codec, container, make_clip(), size=(HEIGHT, WIDTH))
    data = compressed([], syntax, photometric="YBR_PARTIAL_420", FrameTime="40")
    data.PixelData = encapsulate([stream], fragments_per_frame=fragments)
    path = save(tmp_path / "clip.dcm", data)
    info = probe(path)
    assert (info.num_frames, info.height_px, info.width_px) == (NUM_FRAMES, HEIGHT, WIDTH)
    assert (info.fps_hz, info.notes) == (25.0, ())
    frames = read_clip(path)
    assert np.abs(frames.astype(int) - make_clip()).mean() < 4
    np.testing.assert_array_equal(read_frames(path, [17, 0, 9]), frames[[17, 0, 9]])


@pytest.mark.parametrize("stated", [None, 1, 137])
def test_a_stream_knows_its_frames_better_than_the_header(
    tmp_path: Path, stated: int | None
) -> None:
    """The stream's frames are used; a number that differs is said, a missing one is filled in."""
    stream = encode("libx264", "h264", make_clip(), size=(HEIGHT, WIDTH))
    path = save(
        tmp_path / "clip.dcm",
        compressed([stream], "1.2.840.10008.1.2.4.102", NumberOfFrames=stated, Rows=HEIGHT - 8),
    )
    clip = read(path)
    assert len(clip.frames) == clip.info.num_frames == NUM_FRAMES
    notes = clip.info.notes
    assert notes[-1] == (
        "its header states frames of 64 x 40, and its video stream has 64 x 48; those of the "
        "stream are used"
    )
    assert notes[:-1] == (
        ()
        if stated is None
        else (
            f"its header states {stated} frames, and its video stream holds 20; those of the "
            "stream are used",
        )
    )


@pytest.mark.parametrize("stated", [None, NUM_FRAMES])
def test_a_stream_that_was_cut_off_says_so(tmp_path: Path, stated: int | None) -> None:
    """A transport stream ends with a whole packet; what is left of one that does not is counted."""
    stream = encode("mpeg2video", "mpegts", make_clip(), size=(HEIGHT, WIDTH))
    syntax = "1.2.840.10008.1.2.4.101"
    path = save(tmp_path / "a.dcm", compressed([stream], syntax, NumberOfFrames=stated))
    assert read(path).info.notes == ()
    cut = stream[: len(stream) * 6 // 10 // 188 * 188 + 100]
    (tmp_path / "b.ts").write_bytes(cut)
    path = save(tmp_path / "b.dcm", compressed([cut], syntax, NumberOfFrames=stated))
    for clip in (read(path), read(tmp_path / "b.ts")):
        left = clip.info.num_frames
        assert 0 < left < NUM_FRAMES
        assert clip.info.notes[0] == (
            f"its stream breaks off within a packet, so it was cut off; the {left} frames that "
            "are left are used, and the last of them may be damaged"
        )
        assert len(clip.frames) == left
    assert any("its header states 20 frames" in note for note in read(path).info.notes) == (
        stated is not None
    )


def test_a_stream_has_the_pixels_of_its_header(tmp_path: Path) -> None:
    """PixelAspectRatio holds for a stream, too."""
    stream = encode("mpeg2video", "mpeg2video", make_clip(), size=(HEIGHT, WIDTH))
    tags: dict[str, object] = {"PixelAspectRatio": [3, 4]}
    path = save(tmp_path / "a.dcm", compressed([stream], "1.2.840.10008.1.2.4.100", **tags))
    assert read_clip(path).shape == (NUM_FRAMES, 48, 85, 3)


def test_a_stream_that_is_none_is_named(tmp_path: Path) -> None:
    """What is wrong is said of the stream, and a file that was cut off is called so."""
    path = save(tmp_path / "a.dcm", compressed([b"noise" * 400], "1.2.840.10008.1.2.4.102"))
    with pytest.raises(MediaError, match=r"a video stream \(MPEG-4 AVC/H\.264 .*FFmpeg reads no"):
        probe(path)
    stream = encode("libx264", "h264", make_clip(), size=(HEIGHT, WIDTH))
    path = save(tmp_path / "b.dcm", compressed([stream], "1.2.840.10008.1.2.4.102"))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MediaError, match=r"breaks off: the file was cut off"):
        probe(path)


def plain(frames: Frames, **tags: object) -> Dataset:
    return make_dicom(frames, **tags)  # type: ignore[arg-type]


def ybr_422(frames: Frames, **tags: object) -> Dataset:
    return make_dicom(frames, "YBR_FULL_422", PixelData=packed_422(frames), **tags)


def grey(frames: Frames, **tags: object) -> Dataset:
    return make_dicom(frames[..., 0], "MONOCHROME2", **tags)


def big_endian(frames: Frames, **tags: object) -> Dataset:
    data = make_dicom(frames[..., 0].astype(">u2"), "MONOCHROME2", BitsStored=8, **tags)
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    return data


def deflated(frames: Frames, **tags: object) -> Dataset:
    data = make_dicom(frames, **tags)  # type: ignore[arg-type]
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return data


def as_jpeg(frames: Frames, **tags: object) -> Dataset:
    return compressed([jpeg(frame) for frame in frames], **tags)


def as_jpeg_without_table(frames: Frames, **tags: object) -> Dataset:
    data = as_jpeg(frames, **tags)
    data.PixelData = encapsulate([jpeg(frame) for frame in frames], has_bot=False)
    return data


def as_jpeg_with_an_extended_table(frames: Frames, **tags: object) -> Dataset:
    data = as_jpeg(frames, **tags)
    parts = encapsulate_extended([jpeg(frame) for frame in frames])
    data.PixelData, data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths = parts
    return data


def as_jpeg_in_pieces(frames: Frames, **tags: object) -> Dataset:
    data = as_jpeg(frames, **tags)
    data.PixelData = encapsulate([jpeg(frame) for frame in frames], fragments_per_frame=3)
    return data


def as_jpeg_in_pieces_without_table(frames: Frames, **tags: object) -> Dataset:
    data = as_jpeg(frames, **tags)
    pieces = [piece for frame in frames for piece in fragment_frame(jpeg(frame), 3)]
    data.PixelData = encapsulate(pieces, has_bot=False)
    return data


def as_codec(syntax: str) -> Callable[..., Dataset]:
    def make(frames: Frames, **tags: object) -> Dataset:
        data = make_dicom(frames)
        data.compress(syntax, generate_instance_uid=False)
        for keyword, value in tags.items():
            if value is None:
                delattr(data, keyword)
            else:
                setattr(data, keyword, value)
        return data

    return make


STORED: dict[str, tuple[Callable[..., Dataset], float]] = {  # maker, largest error
    "rgb": (plain, 0),
    "ybr 4:2:2": (ybr_422, 6),
    "grey": (grey, 230),
    "big endian": (big_endian, 230),
    "deflated": (deflated, 0),
    "jpeg": (as_jpeg, 8),
    "jpeg without an offset table": (as_jpeg_without_table, 8),
    "jpeg with an extended offset table": (as_jpeg_with_an_extended_table, 8),
    "jpeg in pieces": (as_jpeg_in_pieces, 8),
    "jpeg in pieces without a table": (as_jpeg_in_pieces_without_table, 8),
    "rle": (as_codec(RLELossless), 0),
    "jpeg 2000": (as_codec(JPEG2000Lossless), 0),
}


@pytest.mark.parametrize("kind", STORED)
@pytest.mark.parametrize("stated", [None, 1, 5, 20, 21, 137])
def test_the_pixels_know_the_number_of_frames(
    tmp_path: Path, kind: str, stated: int | None
) -> None:
    """A number that is missing, too small or too large changes no frame, and is said."""
    make, error = STORED[kind]
    path = save(tmp_path / "clip.dcm", make(make_clip(), NumberOfFrames=stated))
    clip = read(path)
    assert probe(path) == clip.info
    assert clip.frames.shape == (NUM_FRAMES, HEIGHT, WIDTH, 3)
    assert np.abs(clip.frames.astype(int) - make_clip()).max() <= error
    np.testing.assert_array_equal(read_frames(path, [19, 3]), clip.frames[[19, 3]])
    said = {
        None: "its header states no number of frames, and it holds 20; all 20 are used",
        20: None,
    }.get(stated, f"its header states {stated} frames, and it holds 20; all 20 are used")
    assert clip.info.notes == (() if said is None else (said,))


def test_a_single_frame_needs_no_number(tmp_path: Path) -> None:
    """A picture has no NumberOfFrames, and that is no fault."""
    path = save(tmp_path / "a.dcm", plain(make_clip(1), NumberOfFrames=None))
    assert (probe(path).num_frames, probe(path).notes) == (1, ())


def test_an_offset_table_of_too_few_frames_hides_none(tmp_path: Path) -> None:
    """Header and table agree on 5 frames, and 20 are there."""
    parts = [jpeg(frame) for frame in make_clip()]
    data = as_jpeg(make_clip(), NumberOfFrames=5)
    whole, few = encapsulate(parts), encapsulate(parts[:5])
    data.PixelData = few[: 8 + 4 * 5] + whole[8 + 4 * 20 :]
    clip = read(save(tmp_path / "clip.dcm", data))
    assert np.abs(clip.frames.astype(int) - make_clip()).max() <= 8
    assert clip.info.notes == ("its header states 5 frames, and it holds 20; all 20 are used",)


def rgb_under_422(**tags: object) -> Dataset:
    return make_dicom(make_clip(), "YBR_FULL_422", **tags)


def planar_rgb_under_422(**tags: object) -> Dataset:
    planes = np.ascontiguousarray(make_clip().transpose(0, 3, 1, 2)).tobytes()
    return make_dicom(make_clip(), "YBR_FULL_422", PixelData=planes, PlanarConfiguration=1, **tags)


def ybr_under_422(**tags: object) -> Dataset:
    ybr = [np.asarray(Image.fromarray(frame).convert("YCbCr")) for frame in make_clip()]
    return make_dicom(np.stack(ybr), "YBR_FULL_422", **tags)


def four_two_two_under_rgb(**tags: object) -> Dataset:
    return make_dicom(make_clip(), PixelData=packed_422(make_clip()), **tags)


def rgb_with_one_sample_stated(**tags: object) -> Dataset:
    return make_dicom(make_clip(), SamplesPerPixel=1, PlanarConfiguration=None, **tags)


@pytest.mark.parametrize("stated", [None, 5, 20])
@pytest.mark.parametrize(
    ("make", "found"),
    [
        (rgb_under_422, "RGB"),
        (planar_rgb_under_422, "RGB"),
        (ybr_under_422, "YBR_FULL"),
        (four_two_two_under_rgb, "YBR_FULL_422"),
        (rgb_with_one_sample_stated, "RGB"),
    ],
)
def test_the_length_proves_the_form_of_the_colours(
    tmp_path: Path, make: Callable[..., Dataset], found: str, stated: int | None
) -> None:
    """Full colour under a header of 4:2:2, and the other way round, also with a wrong number."""
    clip = read(save(tmp_path / "clip.dcm", make(NumberOfFrames=stated)))
    assert clip.frames.shape == (NUM_FRAMES, HEIGHT, WIDTH, 3)
    assert np.abs(clip.frames.astype(int) - make_clip()).max() <= 6
    assert f"the length of its pixels is that of {found}" in clip.info.notes[0]


def test_right_headers_stay_right(tmp_path: Path) -> None:
    """Planar configuration 1, 10 and 12 bits, both greys: as they were, and nothing to remark."""
    planes = np.ascontiguousarray(make_clip().transpose(0, 3, 1, 2)).tobytes()
    data = make_dicom(make_clip(), PixelData=planes, PlanarConfiguration=1)
    clip = read(save(tmp_path / "planar.dcm", data))
    np.testing.assert_array_equal(clip.frames, make_clip())
    assert clip.info.notes == ()
    for bits in (10, 12, 16):
        deep = make_clip()[..., 0].astype(np.uint16) << (bits - 8)
        path = tmp_path / f"{bits}.dcm"
        clip = read(save(path, make_dicom(deep, "MONOCHROME2", BitsStored=bits)))
        assert np.abs(clip.frames[..., 0].astype(int) - make_clip()[..., 0]).max() <= 1
        assert clip.info.notes == ()


JPEGS: dict[str, tuple[str, Callable[[Frames], bytes]]] = {  # header, coder
    "rgb by names and mark": ("YBR_FULL_422", lambda f: jpeg(f, keep_rgb=True)),
    "rgb by names": ("YBR_FULL_422", lambda f: without(jpeg(f, keep_rgb=True), 0xEE)),
    "rgb by small names": (
        "YBR_FULL_422",
        lambda f: (
            without(jpeg(f, keep_rgb=True), 0xEE)
            .replace(b"\x03R\x11\0G\x11\0B\x11\0", b"\x03r\x11\0g\x11\0b\x11\0")
            .replace(b"\x03R\0G\0B\0", b"\x03r\0g\0b\0")
        ),
    ),
    "rgb under ybr full": ("YBR_FULL", lambda f: jpeg(f, keep_rgb=True)),
    "rgb": ("RGB", lambda f: jpeg(f, keep_rgb=True)),
    "ycbcr": ("YBR_FULL_422", jpeg),
    "ycbcr without a mark": ("YBR_FULL_422", lambda f: without(jpeg(f), 0xE0)),
    "ycbcr under rgb": ("RGB", jpeg),
    "ycbcr by adobe's mark": (
        "YBR_FULL_422",
        lambda f: b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x01" + without(jpeg(f), 0xE0)[2:],
    ),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_says_itself_how_its_colours_are_stored(tmp_path: Path, kind: str) -> None:
    """Black is black and red is red, whatever the header says over it."""
    header, coder = JPEGS[kind]
    parts = [coder(frame) for frame in make_clip()]
    frames = read_clip(save(tmp_path / "clip.dcm", compressed(parts, photometric=header)))
    assert (frames[:, 40, 50] == 0).all()
    assert np.abs(frames.astype(int) - make_clip()).max() <= 8


@pytest.mark.parametrize("said", ["MONOCHROME2", "RGB", "YBR_FULL_422"])
@pytest.mark.parametrize("stored", ["grey", "colour"])
def test_a_jpeg_says_itself_whether_it_is_in_colour(tmp_path: Path, said: str, stored: str) -> None:
    """One value a pixel in the header and three in the JPEG, and the other way round."""
    frames = make_clip() if stored == "colour" else np.repeat(make_clip()[..., :1], 3, axis=-1)
    parts = [jpeg(frame if stored == "colour" else frame[..., 0]) for frame in frames]
    samples = 1 if said == "MONOCHROME2" else 3
    data = compressed(parts, photometric=said, SamplesPerPixel=samples)
    clip = read(save(tmp_path / "a.dcm", data))
    assert np.abs(clip.frames.astype(int) - frames).max() <= 8
    agrees = (said == "MONOCHROME2") == (stored == "grey")
    assert bool(clip.info.notes) == (not agrees)


def test_a_jpeg_2000_that_mixed_its_colours_gives_rgb(tmp_path: Path) -> None:
    """Its decoder undoes the mixing, so a header of YBR_FULL must not convert once more."""
    data = make_dicom(make_clip(), "YBR_RCT")
    data.compress(JPEG2000Lossless, generate_instance_uid=False)
    data.PhotometricInterpretation = "YBR_FULL"
    np.testing.assert_array_equal(read_clip(save(tmp_path / "a.dcm", data)), make_clip())
    data.PhotometricInterpretation = "YBR_RCT"
    clip = read(save(tmp_path / "a.dcm", data))
    np.testing.assert_array_equal(clip.frames, make_clip())
    assert clip.info.notes == ()


# The first frame of `make_clip`, and its green alone, as OpenJPH codes them, in imagecodecs
# 2026.10.10, by `htj2k_encode(frame, rgb=True, reversible=True)`.
HTJ2K_RGB = base64.b64decode(
    "/0//UQAvQAAAAABAAAAAMAAAAAAAAAAAAAAAQAAAADAAAAAAAAAAAAADBwEBBwEBBwEB/1AACAACAAAAA/9SAAwAAgABAQ"
    "UEBEAB/1wAEyBQWFhYWFhYWFhYWFhYUFBQ/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAABA4AAf+TwBUAo83m"
    "6wCHNAAAwBUA8g/x8ACDNADACogBNACYdsSB/ABBtAAWqgBCNACl/gACNAAAwAqIATQAmF4vGAMAwzQASfUAgXQA7fEAgX"
    "QAwArIAWjACtCEMx1gEUAA4ZDrNgADTeMBVkn++Y0XAT7gRDK3AJrQAQBkAcwAsTIjNgAAwAq4AVkAKoBO1/AB/kXYoXs2"
    "AGAI4MBQAvgAoCaVABQMXwX+QOP7NQDAC3IAXXQAtQCMMCBhRYUDIBQCEAEhOQrwAtbHvjI0LynyEJwAw4i92oTmHyh0ak"
    "8FCuLDYD1ukUHlgdls0CSqdEqp2O0C1rOwQRoAAKWYImK+ADxUPcaAABQYGtLZ86osjvKUe3wAAMALUgBaUAK4LOABHoKH"
    "okcACPw8BI+5BAAQmQATDACRBJNQK8s8adcLwhACmQBaHAD40EH8PnvS5FM3AMALr4AXuMALpRkCaNkmBAC4kiQABAAABg"
    "A6QMf0HV4AlbZzmpp++FpUdsttMqLMihyk4bKEDnsBk0UMA5J68r20CW2hZ64ukVcY+axuxei3TRAGgjAMhwMikVgsGAyL"
    "Cclj8QaJh4UzSsHuoTiOZGk0HpHIpHK5ZP4cfLWta1rOEID37EID37EEDP7CAD2Xa1rWtZwhAe/YhAe/YggB+YQAc3TT3V"
    "JqMANHoC1BANjwABD+Oqk/AKNNSYos2mWtHIUXAj/PABbAA2mAAXsBAMALagBdRAC2AAAHOSjsQg4HAYNORwEf/JndweUg"
    "YN+jAJ0AORwqFOqWIWgAG+Geoc5Ql4GhAz8MHP9AAAwC/MQgOboAgN0AAGozATVDb+DAEEBoHBx/4ACgP7xA3ONphAF/AM"
    "AXpcAX03AF1ACwR38chnE8BjQAAgCAAAAAREREAHP9hBEeAAP9JKnkklTySpxnQkKM6EhdT9BegtP0F6C0ZPSoUnpUKmyD"
    "J5GjKeJyTwnABKACVwPoj+M4juM4nvcNwzAMwzAgnGt894LH5zT7Lafvew8cGpHLZ5R61XK/4zJ6NZnEPKE4lAaSrGzzAg"
    "SDovGQVDAaT2hkSrEP+fi4AAAAAAQgPfsQgPfsQgPfsQgPfsIQPfsIQPfsIQPecAAPZYAAAAAIQHv2IQHv2IQHv2IQHv2E"
    "fcvTT005S6RhCB79hCB79hFnLHvJrXJrWY02BWIMAQAAAcBz+zxRH5xEj+AAAQ7BSdgpAABKdgpKiKQAFABQATABMQIAwB"
    "bsAXYwBaKy28wWjUKh0TVUnfhz/3gMjwjKeJynicCEogJRAXiLRqPRaDQaXWfaoFAoFAqFQtX4D/n/QAGRiEB79iEB79ii"
    "ey4egABrQAAa0AS9PQHoeaJz+z/4AAQUIFAhMIE+AP/Z"
)
HTJ2K_GREY = base64.b64decode(
    "/0//UQApQAAAAABAAAAAMAAAAAAAAAAAAAAAQAAAADAAAAAAAAAAAAABBwEB/1AACAACAAAAAv9SAAwAAgABAAUEBEAB/1"
    "wAEyBIUFBQUFBQUFBQUFBQSEhI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAn8AAf+TwCoA3cdv6wCHNADA"
    "E8ATQBKA3oAoACOUACSuAEI0AAsAAjQAwBVQBaMAVYAkEwsB9DhJGzUAmVzJe1VJ/vmNFwJ9wImXlwCcAGQBzAC0pSF2AM"
    "AWvAF1cAWmRIiFQgAIKJIcBfgBa2PfGRiblOibfAAlZsFGIy501p4KCvkYLMctMqg8MJsNmkSVTikVu/0WtZ2CCNAABSjy"
    "CF0AmFADC2Ew/ga0tnzq4mR3nGp8AMAXUQBe2wBbwHAFvgKAFiAAAoAO0DH9OrwErbOc1NP3wtKjtltptRZk1PNSY3uAmg"
    "FjIjIlhXbrsKpWqL0J8gojn9WtGP22CcJAEIbhcEAkEosFg2ExIXks3iDxsHBGKdg9FMeRLI3GIxKZVC6XzDr61rWtazhC"
    "A9+xCA9+xBAz+wgA9l2ta1rWcIQHv2IQHv2IIAemEAFN0p7q6j8CARoA8AEg/DqpPwKNNSYos2mWtBoUXI/oLaCaAXcBwC"
    "9GgF9JQC6UFAMzIlNiAQEAQAAAACIiIoBz/YQRHgAD/JKnkklTySpxnQkKM6EhdT9BegtP0F6C0ZPSoUnpUKmyDJ4aSnic"
    "p4nGS4JVA2JmZmamBhERERFyrvHdCx6f0+y3nL7vPXBoRC6fUepVy/2Oy+jVZBLzhOJQGkiyss0LEAyKxkNSwWg8oZEpxf"
    "4f8/FwAAAAAIQHv2IQHv2IQHv2IQHv2EIHv2EIHv2EIHvOAAHssAAAAAEID37EID37EID37EID37CE9yklNJJTTVJceT37"
    "5PfvPcErWq1rF6IFSAAAEAD8c/s8UR+cRI/gAAEOwUnYKQAASnYKSoikIVBRE0E/Af/Z"
)


@pytest.mark.parametrize("syntax", ["201", "202", "203"])
@pytest.mark.parametrize("said", ["RGB", "YBR_RCT", "YBR_FULL", "MONOCHROME2"])
def test_a_high_throughput_jpeg_2000_is_read(tmp_path: Path, syntax: str, said: str) -> None:
    """Another library's files give the very pixels, whatever colours the header says."""
    grey = said == "MONOCHROME2"
    part, samples = (HTJ2K_GREY, 1) if grey else (HTJ2K_RGB, 3)
    data = compressed(
        [part], f"1.2.840.10008.1.2.4.{syntax}", photometric=said, SamplesPerPixel=samples
    )
    data.NumberOfFrames = 1
    clip = read(save(tmp_path / "a.dcm", data))
    frame = make_clip()[:1]
    np.testing.assert_array_equal(clip.frames, frame[..., [1, 1, 1]] if grey else frame)
    assert bool(clip.info.notes) == (said == "YBR_FULL")
    part = part[: len(part) // 2]
    data.PixelData = encapsulate([part])
    with pytest.raises(MediaError, match="none of the frames that were tried can be decoded"):
        read(save(tmp_path / "b.dcm", data))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_one_frame_missing_is_not_a_broken_clip(tmp_path: Path, syntax: str) -> None:
    """It is left out and named, but whoever asks for it or for all is told; half is too much."""
    data = as_codec(syntax)(make_clip())
    parts = list(generate_frames(data.PixelData, number_of_frames=NUM_FRAMES))
    for broken, path in (([7], tmp_path / "one.dcm"), (range(0, 20, 2), tmp_path / "half.dcm")):
        for index in broken:
            parts[index] = parts[index][:40] + bytes(20)
        data.PixelData = encapsulate(parts)
        save(path, data)
    clip = read(tmp_path / "one.dcm")
    kept = [index for index in range(NUM_FRAMES) if index != 7]
    assert list(clip.indices) == kept
    np.testing.assert_array_equal(clip.frames, make_clip()[kept])
    assert clip.info.notes == (
        "its pixel data cannot be decoded in frame 7 of 20, which is left out",
    )
    np.testing.assert_array_equal(read_frames(tmp_path / "one.dcm", [8, 6]), make_clip()[[8, 6]])
    with pytest.raises(MediaError, match=r"its pixel data cannot be decoded"):
        read_frames(tmp_path / "one.dcm", [6, 7])
    with pytest.raises(MediaError, match=r"cannot be decoded in frame 7 of 20"):
        read_clip(tmp_path / "one.dcm")
    with pytest.raises(MediaError, match=r"decoded in 1[01] of 20 frames, the first of them 0: "):
        read(tmp_path / "half.dcm")


def in_form(form: str) -> Frames:
    """Pixels of the clip as RGB or as YCbCr of full colour."""
    if form == "RGB":
        return make_clip()
    return np.stack([np.asarray(Image.fromarray(frame).convert("YCbCr")) for frame in make_clip()])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize(
    ("said", "stored"), [("RGB", "RGB"), ("YBR_FULL", "YBR_FULL"), ("YBR_FULL", "RGB")]
)
def test_pixels_that_cannot_be_what_the_header_says(
    tmp_path: Path, syntax: str, said: str, stored: str
) -> None:
    """Where lengths prove nothing, black does: RGB's black is no colour at all in YCbCr."""
    data = make_dicom(in_form(stored), stored)
    if syntax != ExplicitVRLittleEndian:
        data.compress(syntax, generate_instance_uid=False)
    data.PhotometricInterpretation = said
    clip = read(save(tmp_path / "a.dcm", data))
    assert np.abs(clip.frames.astype(int) - make_clip()).max() <= 3
    assert clip.info.notes == (
        ()
        if said == stored
        else (f"its header says {said}, but its pixels are {stored}; they were read as that",)
    )


def test_grey_pixels_of_ybr_under_a_header_of_rgb(tmp_path: Path) -> None:
    """A screen all in one teal is no picture, but the greys of YCbCr."""
    frames = np.repeat(make_clip()[..., 1:2], 3, axis=-1)
    ybr = np.stack([np.asarray(Image.fromarray(frame).convert("YCbCr")) for frame in frames])
    clip = read(save(tmp_path / "a.dcm", make_dicom(ybr)))
    assert np.abs(clip.frames.astype(int) - frames).max() <= 3
    assert "but its pixels are YBR_FULL" in clip.info.notes[0]


def region(box: tuple[int, int, int, int], **tags: object) -> Dataset:
    item = Dataset()
    names = ("MinX0", "MinY0", "MaxX1", "MaxY1")
    for name, value in zip(names, box, strict=True):
        setattr(item, f"RegionLocation{name}", value)
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return item


def test_the_regions_of_the_file_are_facts(tmp_path: Path) -> None:
    """Boxes, layouts and data types, cut to the picture; a box outside of it is none."""
    items = [
        region((4, 2, 59, 40), RegionSpatialFormat=1, RegionDataType=1),
        region((10, 10, 30, 20), RegionSpatialFormat=1, RegionDataType=2),
        region((0, 41, 200, 47), RegionSpatialFormat=3, RegionDataType=4),
        region((0, 0, 63, 47), RegionSpatialFormat=2, RegionDataType=1),
        region((500, 500, 600, 600), RegionSpatialFormat=1, RegionDataType=1),
        Dataset(),
    ]
    data = make_dicom(make_clip(), SequenceOfUltrasoundRegions=Sequence(items))
    found = probe(save(tmp_path / "a.dcm", data)).regions
    assert [(one.box, one.layout, one.data_type) for one in found] == [
        ((4, 2, 60, 41), "2d", "tissue"),
        ((10, 10, 31, 21), "2d", "colour flow"),
        ((0, 41, 64, 48), "spectral", "cw doppler"),
        ((0, 0, 64, 48), "m-mode", "tissue"),
    ]
    assert probe(save(tmp_path / "b.dcm", make_dicom(make_clip()))).regions == ()


ASPECTS: dict[str, tuple[dict[str, object], tuple[int, int]]] = {  # tags, shown height and width
    "ratio 3 to 4": ({"PixelAspectRatio": [3, 4]}, (48, 85)),
    "ratio 4 to 3": ({"PixelAspectRatio": [4, 3]}, (64, 64)),
    "ratio 1 to 1": ({"PixelAspectRatio": [1, 1]}, (48, 64)),
    "spacing": ({"PixelSpacing": [0.2, 0.3]}, (48, 96)),
    "equal spacing": ({"PixelSpacing": [0.2, 0.2001]}, (48, 64)),
    "no spacing": ({"PixelSpacing": [0, 0]}, (48, 64)),
    "absurd": ({"PixelSpacing": [0.1, 4.0]}, (48, 64)),
}


def calibrated(unit: int, layout: int = 1) -> Sequence:
    item = region(
        (0, 0, 31, 47),
        RegionSpatialFormat=layout,
        RegionDataType=1,
        PhysicalUnitsXDirection=unit,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=0.04,
        PhysicalDeltaY=-0.02,
    )
    return Sequence([item])


ASPECTS["region"] = ({"SequenceOfUltrasoundRegions": calibrated(3)}, (48, 128))
ASPECTS["region in seconds"] = ({"SequenceOfUltrasoundRegions": calibrated(4)}, (48, 64))
ASPECTS["region of m-mode"] = ({"SequenceOfUltrasoundRegions": calibrated(3, 2)}, (48, 64))


@pytest.mark.parametrize("kind", ASPECTS)
def test_pixels_become_square(tmp_path: Path, kind: str) -> None:
    """From any attribute that says they are not; regions are given in the shown picture."""
    tags, size = ASPECTS[kind]
    path = save(tmp_path / "a.dcm", make_dicom(make_clip(), **tags))  # type: ignore[arg-type]
    clip = read(path)
    assert clip.frames.shape == (NUM_FRAMES, *size, 3)
    assert probe(path) == clip.info
    assert (clip.info.height_px, clip.info.width_px) == size
    if size == (HEIGHT, WIDTH):
        np.testing.assert_array_equal(clip.frames, make_clip())
        assert bool(clip.info.notes) == (kind == "absurd")
    else:
        assert "were made square" in clip.info.notes[0]
    if kind == "region":
        assert clip.info.regions[0].box == (0, 0, 64, 48)


def float_pixels() -> Dataset:
    data = make_dicom(make_clip()[..., 0], "MONOCHROME2", PixelData=None, BitsAllocated=32)
    data.FloatPixelData = make_clip()[..., 0].astype(np.float32).tobytes()
    return data


def volume() -> Dataset:
    return make_dicom(make_clip(), SOPClassUID="1.2.840.10008.5.1.4.1.1.6.2")


def unknown_coding() -> Dataset:
    return compressed([b"\0" * 400], "1.2.840.10008.1.2.4.94")


def private_coding() -> Dataset:
    return compressed([b"\0" * 400], "1.2.3.4.5.6")


def unknown_colours() -> Dataset:
    return make_dicom(make_clip(), "CMYK")


NO_CLIPS = {
    float_pixels: r"its pixels are floating-point numbers, .*; export it with pixels of 8 or 16",
    volume: r"it is a volume \(Enhanced US Volume\)",
    unknown_coding: r"its pixels are coded as JPIP Referenced.*which cannot be read; export it",
    private_coding: r"its pixels are coded as a private transfer syntax, which cannot be read",
    unknown_colours: r"names a form that is not read; export it as one of RGB, YBR_FULL,",
}


@pytest.mark.parametrize("make", NO_CLIPS)
def test_what_is_no_clip_is_called_what_it_is(tmp_path: Path, make: Callable[[], Dataset]) -> None:
    """Not "damaged": the reason is true, and says what to do."""
    make().save_as(
        tmp_path / "a.dcm", implicit_vr=False, little_endian=True, enforce_file_format=True
    )
    with pytest.raises(MediaError, match=NO_CLIPS[make]):
        probe(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    ("syntax", "package"),
    [(JPEGLSLossless, "pyjpegls"), (JPEGLosslessSV1, r'"echotok\[gpl-decoders\]"')],
)
def test_a_missing_decoder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str, package: str
) -> None:
    """A coding that only a further package reads: the message says which."""
    data = compressed([b"\xff\xd8\xff" + bytes(400)], syntax)
    path = save(tmp_path / "a.dcm", data)
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    with pytest.raises(MediaError, match=f"needs a further decoder: pip install {package}"):
        probe(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("value", [b"1A", b"-1", b"", b"2\\3 ", b"1e1 "])
def test_a_number_of_frames_that_is_none_is_counted_anew(
    tmp_path: Path, value: bytes, compressed: bool
) -> None:
    """All frames are read and the remark says so, whatever stands in the header."""
    path = tmp_path / "a.dcm"
    data = make_dicom(make_clip(), "RGB")
    if compressed:
        data.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    data.save_as(path, enforce_file_format=True)
    raw = path.read_bytes()
    place = raw.index(b"\x28\x00\x08\x00IS")
    length = int.from_bytes(raw[place + 6 : place + 8], "little")
    header = raw[: place + 6] + len(value).to_bytes(2, "little") + value
    path.write_bytes(header + raw[place + 8 + length :])
    clip = read(path)
    assert len(clip.frames) == clip.info.num_frames == NUM_FRAMES
    assert np.array_equal(clip.frames, make_clip())
    (note,) = clip.info.notes
    assert note.endswith(f"and it holds {NUM_FRAMES}; all {NUM_FRAMES} are used")


@pytest.mark.parametrize("uid", ["201", "202", "203", "90"])
def test_a_coding_that_does_not_decode_is_named(tmp_path: Path, uid: str) -> None:
    """High-throughput JPEG 2000 and its older kin: the coding's name, and what to do."""
    data = make_dicom(make_clip(), "RGB")
    data.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.4.{uid}"
    data.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(60)] * NUM_FRAMES)
    data["PixelData"].is_undefined_length = True
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(MediaError, match=r"coded as .*JPEG 2000.*; export it again uncompressed"):
        read(tmp_path / "a.dcm")
