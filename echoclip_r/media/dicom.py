"""DICOM pixel data: one frame or many, single pictures or a video stream, of any colours, as RGB.

Only pixels and what is needed to show them leave this module: no other tag is kept, and no error
quotes a tag's value, which may be a patient's name (I9).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin
from pydicom.encaps import encapsulate
from pydicom.errors import InvalidDicomError
from pydicom.pixels.common import PhotometricInterpretation
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, convert_color_space
from pydicom.pixels.utils import as_pixel_options, iter_pixels, pixel_array
from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSTransferSyntaxes,
)

from echoclip_r.errors import MediaError
from echoclip_r.media import video
from echoclip_r.media.clip import Clip, ClipInfo, check_indices, collect
from echoclip_r.media.dicom_header import (
    UNREAD_CODING,
    Fragment,
    Header,
    form_note,
    is_video,
    proven_form,
    read_header,
)
from echoclip_r.media.display import Display

__all__ = ["looks_like", "probe", "read"]

_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
_WINDOW = ("WindowCenter", "WindowWidth")
_DAMAGED = "the file is damaged or its header is wrong; copy or export it again"


def looks_like(path: Path, head: bytes) -> bool:
    """Whether a file has DICOM's mark at byte 128, or else a DICOM name."""
    return head[128:132] == b"DICM" or path.suffix.lower() in _SUFFIXES


def probe(path: Path) -> tuple[ClipInfo, Display]:
    """Size and rate of a DICOM clip; see `echoclip_r.media.reading.probe`."""
    with _reading(path):
        header = read_header(path)
        _check_decoder(header)
        if not is_video(header.syntax):
            return header.info, header.display
        stream_data = _read(path, header.frames[0])
        with _reading_stream(header):
            info, display = video.probe(path, stream_data)
        return _facts_of_stream(header, info, display)


def read(path: Path, indices: Sequence[int] | None) -> Clip:
    """All frames (``indices`` None) or some; see `echoclip_r.media.reading.read`."""
    with _reading(path):
        header = read_header(path)
        _check_decoder(header)
        if is_video(header.syntax):
            stream_data = _read(path, header.frames[0])
            with _reading_stream(header):
                clip = video.read(path, indices, stream_data)
            info, display = _facts_of_stream(header, clip.info, clip.display)
            return replace(clip, info=info, display=display)
        indices = range(header.info.num_frames) if indices is None else indices
        check_indices(header.info, indices)
        wanted = sorted(set(indices))
        notes: list[str] = []
        if header.syntax.is_encapsulated:
            decoded = _decode_compressed(path, header, wanted, notes)
        else:
            decoded = _decode_plain(path, header, wanted)
        clip = collect(header.info, header.display, indices=indices, decoded=decoded, why=_DAMAGED)
        return replace(clip, info=replace(clip.info, notes=(*clip.info.notes, *notes)))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what pydicom and its plugins raise into `MediaError`."""
    log = logging.getLogger("pydicom")
    level = log.level
    try:
        with warnings.catch_warnings():
            # Both quote tag values, and what matters here comes back as an error or a note.
            warnings.simplefilter("ignore")
            log.setLevel(logging.CRITICAL + 1)
            yield
    except MediaError:
        raise
    except InvalidDicomError:
        raise MediaError(path, "it is not a DICOM file: no DICM mark at byte 128") from None
    except MemoryError:
        raise
    except Exception as error:
        # Plugins raise whatever they like. The text may quote the file, so only its kind is told.
        raise MediaError(
            path, f"its pixel data cannot be decoded ({type(error).__name__}): {_DAMAGED}"
        ) from None
    finally:
        log.setLevel(level)


@contextmanager
def _reading_stream(header: Header) -> Iterator[None]:
    try:
        yield
    except MediaError as error:
        raise MediaError(
            error.path,
            f"its pixels are a video stream ({header.syntax.name}), and {error.reason}",
        ) from None


def _facts_of_stream(header: Header, info: ClipInfo, display: Display) -> tuple[ClipInfo, Display]:
    """What is known of a stream, with what only the DICOM header says."""
    stated, notes = header.info, list(info.notes)
    if "NumberOfFrames" in header.dataset and stated.num_frames != info.num_frames:
        notes.append(
            f"its header states {stated.num_frames} frames, and its video stream holds "
            f"{info.num_frames}; those of the stream are used"
        )
    if (stated.height_px, stated.width_px) != (info.height_px, info.width_px):
        notes.append(
            f"its header states frames of {stated.width_px} x {stated.height_px}, and its video "
            f"stream has {info.width_px} x {info.height_px}; those of the stream are used"
        )
    info = replace(
        info,
        fps_hz=stated.fps_hz or info.fps_hz,
        codec=stated.codec,
        regions=stated.regions,
        machine=stated.machine,
        notes=tuple(notes),
    )
    if header.display.pixel_aspect != 1.0:
        display = replace(display, pixel_aspect=header.display.pixel_aspect)
    return info, display


def _check_decoder(header: Header) -> None:
    """Refuse a coding that nothing here reads, with its name and what would read it."""
    syntax = header.syntax
    if is_video(syntax) or not syntax.is_encapsulated:
        return
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise MediaError(header.info.path, UNREAD_CODING.format(syntax.name)) from None
    # Pillow calls itself a decoder of this coding, but reads no more than 8 bits of it.
    is_deep = syntax == JPEGExtended12Bit and header.dataset.get("BitsStored", 8) > 8
    if decoder.is_available and not (is_deep and decoder.available_plugins == ("pillow",)):
        return
    how = (
        "pip install pyjpegls"
        if syntax in JPEGLSTransferSyntaxes
        else 'pip install "echotok[gpl-decoders]" (it is under GPL-3.0)'
    )
    raise MediaError(
        header.info.path,
        f"its pixels are coded as {syntax.name}, which needs a further decoder: {how}; or export "
        "it again uncompressed",
    )


def _read(path: Path, fragments: Sequence[Fragment]) -> bytes:
    with path.open("rb") as file:
        parts = []
        for start, length in fragments:
            file.seek(start)
            parts.append(file.read(length))
    return b"".join(parts)


def _decode_plain(
    path: Path, header: Header, indices: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """RGB frames of uncompressed pixels, in the order of ``indices``."""
    if not indices:
        return
    to_rgb = _converter(header)
    # pydicom reads single frames from a path; only a deflated file must be unpacked whole.
    source = header.dataset if header.syntax.is_deflated else path
    if header.is_unreadable_count and not header.syntax.is_deflated:
        source = pydicom.dcmread(path)
        del source.NumberOfFrames
    options = header.options
    if header.photometric == "YBR_FULL_422":
        # pydicom 3.0.2's iterator takes every frame after the first to be of full colour.
        for index in indices:
            yield index, to_rgb(pixel_array(source, index=index, **options))
        return
    frames = iter_pixels(source, indices=indices, **options)
    for index, pixels in zip(indices, frames, strict=True):
        yield index, to_rgb(pixels)


def _decode_compressed(
    path: Path, header: Header, indices: Sequence[int], notes: list[str]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """RGB frames of compressed pixels, in the order of ``indices``, without damaged ones.

    Where their colours are not what the header says, a sentence is added to ``notes``.
    """
    to_rgb = _converter(header)
    said = header.photometric
    form = None
    failure = None
    for index in indices:
        encoded = _read(path, header.frames[index])
        try:
            if header.syntax == JPEGBaseline8Bit and (
                said.startswith("YBR_FULL") or _num_components(encoded) != header.samples
            ):
                pixels, true_form = _jpeg_to_rgb(encoded)
            else:
                decoded, true_form = _decode_frame(encoded, header, form)
                pixels = to_rgb(decoded)
        except MemoryError:
            raise
        except Exception as error:
            failure = error
            continue
        is_rgb = true_form == "RGB" and said.startswith("YBR_FULL")
        is_other_depth = true_form.startswith("MONOCHROME") != said.startswith("MONOCHROME")
        if form is None and (is_rgb or is_other_depth) and said != "PALETTE COLOR":
            notes.append(form_note(said, true_form))
        form = form or true_form
        yield index, pixels
    if failure is not None and form is None:
        raise MediaError(
            path,
            f"its pixels are coded as {header.syntax.name}, and none of the frames that were tried "
            f"can be decoded ({type(failure).__name__}): the file is damaged, or uses what the "
            "decoder does not know; export it again uncompressed, or as JPEG",
        )


def _decode_frame(
    encoded: bytes, header: Header, form: str | None
) -> tuple[NDArray[np.integer], str]:
    """One frame as RGB or as single values, and the form that its colours were stored in.

    Args:
        encoded: the frame.
        header: of the file.
        form: of the frames before it, or None for the first: one file has one form.
    """
    options = as_pixel_options(header.dataset, number_of_frames=1, pixel_keyword="PixelData")
    options.pop("extended_offsets", None)
    said = header.photometric
    if header.syntax in JPEG2000TransferSyntaxes and said.startswith("YBR") and _is_mixed(encoded):
        options["photometric_interpretation"] = PhotometricInterpretation.RGB
    decoder = get_decoder(header.syntax)
    pixels, properties = decoder.as_array(encapsulate([encoded]), raw=True, **options)
    decided = str(properties["photometric_interpretation"])  # pydicom looks into JPEG's own marks
    if pixels.dtype == np.uint8 and decided.startswith("YBR_FULL"):
        decided = form or proven_form(pixels, decided)
    if decided.startswith("YBR_FULL"):
        pixels = convert_color_space(pixels, "YBR_FULL", "RGB")
    return pixels, decided


def _jpeg_to_rgb(encoded: bytes) -> tuple[NDArray[np.uint8], str]:
    """A baseline JPEG by its own word, which goes before a header of YCbCr or of another depth.

    For YCbCr this gives the values of pydicom's own conversion (within rounding) in a fraction of
    its time. A JPEG of RGB names its components so, or says in Adobe's mark that nothing was
    transformed.
    """
    with Image.open(BytesIO(encoded), formats=["JPEG"]) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        if len(image.layer) == 1:
            return np.asarray(image.convert("RGB")), "MONOCHROME2"
        names = bytes(component[0] for component in image.layer)
        transform = None if "jfif" in image.info else image.info.get("adobe_transform")
        is_rgb = names in (b"RGB", b"rgb") or transform == 0
        if not (transform == 0 or (names == b"RGB" and transform is None)):
            # Else Pillow takes what is YCbCr, or is called "rgb", for YCbCr and converts it.
            image.draft("YCbCr", image.size)
        pixels = np.asarray(image if is_rgb else image.convert("RGB"))
    return pixels, "RGB" if is_rgb else "YBR_FULL_422"


def _num_components(encoded: bytes) -> int:
    with Image.open(BytesIO(encoded), formats=["JPEG"]) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        return len(image.layer)


def _is_mixed(encoded: bytes) -> bool:
    """Whether a JPEG 2000 frame was mixed from RGB before coding: its decoder gives RGB back."""
    place = encoded.find(b"\xff\x52")  # the marker of the coding style
    return place > 0 and encoded[place + 8 : place + 9] == b"\x01"


def _converter(header: Header) -> Callable[[NDArray[np.integer]], NDArray[np.uint8]]:
    """The function from one decoded frame to RGB bytes; the same for every frame of a file."""
    dataset = header.dataset
    bits = int(dataset.BitsStored)
    if header.samples == 3:
        return lambda pixels: (pixels >> max(bits - 8, 0)).astype(np.uint8)
    if header.photometric == "PALETTE COLOR":
        every_value = np.arange(2**bits, dtype=np.uint8 if bits <= 8 else np.uint16)
        palette = apply_color_lut(every_value, dataset)[:, :3]
        if palette.max() > 255:
            palette = palette >> 8
        colours = palette.astype(np.uint8)
        return lambda pixels: colours[pixels]
    low, high = _grey_range(dataset, bits)
    if header.photometric == "MONOCHROME1":
        low, high = high, low

    def to_grey(pixels: NDArray[np.integer]) -> NDArray[np.uint8]:
        values = apply_modality_lut(pixels, dataset).astype(np.float32)
        scaled = np.clip((values - low) * (255.0 / (high - low)), 0, 255)
        grey = np.rint(scaled).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)

    return to_grey


def _grey_range(dataset: pydicom.Dataset, bits: int) -> tuple[float, float]:
    """The values shown as black and as white: the file's window, else all that can be stored."""
    if bits > 8 and dataset.get("WindowWidth") and dataset.get("WindowCenter") is not None:
        # Several windows are alternatives; the first is the default view.
        center, width = (float(np.ravel(dataset[key].value)[0]) for key in _WINDOW)
        # PS3.3 C.11.2.1.2.1: the range is one value narrower than the width says.
        half = max(width - 1.0, 1.0) / 2.0
        return center - 0.5 - half, center - 0.5 + half
    signed = dataset.get("PixelRepresentation", 0) == 1
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
    low, high = apply_modality_lut(ends, dataset)
    return float(low), float(high)
