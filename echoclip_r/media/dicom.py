"""DICOM pixel data through pydicom: one frame or many, any photometric interpretation, as RGB.

Only pixels and what is needed to show them leave this module: no other tag is kept, and no error
quotes a tag's value, which may be a patient's name (I9).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import parse_basic_offsets, parse_fragments
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import iter_pixels, pixel_array
from pydicom.uid import JPEGBaseline8Bit

from echoclip_r.errors import MediaError
from echoclip_r.media.clip import ClipInfo, check_indices

__all__ = ["looks_like", "probe", "read"]

_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
_WINDOW = ("WindowCenter", "WindowWidth")
_CUT_OFF = "the file was cut off; copy or export it again"


def looks_like(path: Path, head: bytes) -> bool:
    """Whether a file has DICOM's mark at byte 128, or else a DICOM name."""
    return head[128:132] == b"DICM" or path.suffix.lower() in _SUFFIXES


def probe(path: Path) -> ClipInfo:
    """Size and rate of a DICOM clip; see `echoclip_r.media.reading.probe`."""
    with _reading(path):
        return _header(path)[0]


def read(path: Path, indices: Sequence[int] | None) -> NDArray[np.uint8]:
    """All frames (``indices`` None) or some; see `echoclip_r.media.reading.read_frames`."""
    with _reading(path):
        info, header = _header(path)
        if indices is None:
            indices = range(info.num_frames)
        check_indices(info, indices)
        unique, places = np.unique(np.asarray(indices, np.int64), return_inverse=True)
        out = np.empty((len(unique), info.height_px, info.width_px, 3), np.uint8)
        for place, frame in enumerate(_decode(path, header, unique.tolist())):
            out[place] = frame
        # The usual case, every frame wanted once and in order, needs no second copy.
        return out if np.array_equal(unique, indices) else out[places]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what pydicom and its plugins raise into `MediaError`."""
    try:
        with warnings.catch_warnings():
            # They quote tag values, and every one that matters here comes back as an error.
            warnings.simplefilter("ignore")
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
            path,
            f"its pixel data cannot be decoded ({type(error).__name__}): it is damaged, or in a "
            "coding that no installed decoder of pydicom reads (for lossless and 12-bit JPEG: "
            'pip install "echotok[gpl-decoders]", which is under GPL-3.0)',
        ) from None


def _header(path: Path) -> tuple[ClipInfo, pydicom.Dataset]:
    """Everything before the pixels, and whether the pixels are all there."""
    with path.open("rb") as file:
        header = pydicom.dcmread(file, stop_before_pixels=True)
        syntax = header.file_meta.get("TransferSyntaxUID")
        if syntax is None:
            raise MediaError(path, "it states no transfer syntax, so its pixels cannot be decoded")
        if "Rows" not in header or not (syntax.is_deflated or file.read(4)):
            raise MediaError(path, "it holds no pixel data (a report, waveform or header alone)")
        frames = header.get("NumberOfFrames", 1)
        info = ClipInfo(
            path=path,
            num_frames=int(1 if frames is None else frames),
            height_px=int(header.Rows),
            width_px=int(header.Columns),
            fps_hz=_fps_hz(header),
            codec=str(syntax.name),
        )
        if header.get("SamplesPerPixel", 1) not in (1, 3):
            raise MediaError(path, "its pixels have neither one nor three values each")
        if syntax.is_encapsulated:
            _check_fragments(file, info)
        elif not syntax.is_deflated:
            _check_length(file, info, header)
    return info, header


def _check_fragments(file: BinaryIO, info: ClipInfo) -> None:
    """Walk over the compressed frames' lengths, without reading them."""
    file.seek(8, os.SEEK_CUR)
    parse_basic_offsets(file)
    try:
        num_fragments, offsets = parse_fragments(file)
    except (EOFError, ValueError):
        raise MediaError(info.path, f"its last frame breaks off: {_CUT_OFF}") from None
    if num_fragments < info.num_frames:
        raise MediaError(
            info.path, f"it holds {num_fragments} of {info.num_frames} frames: {_CUT_OFF}"
        )
    file.seek(offsets[-1] + 4)
    end = offsets[-1] + 8 + int.from_bytes(file.read(4), "little")
    if end > info.path.stat().st_size:
        raise MediaError(info.path, f"its last frame breaks off: {_CUT_OFF}")


def _check_length(file: BinaryIO, info: ClipInfo, header: pydicom.Dataset) -> None:
    left = info.path.stat().st_size - file.tell()
    samples = 2 if header.PhotometricInterpretation == "YBR_FULL_422" else header.SamplesPerPixel
    bits = info.num_frames * info.height_px * info.width_px * samples * header.BitsAllocated
    if left < bits // 8:
        raise MediaError(info.path, f"it holds {left} of {bits // 8} bytes of pixels: {_CUT_OFF}")


def _fps_hz(header: pydicom.Dataset) -> float | None:
    """Frames a second, from the first of the attributes that say so."""
    frame_time_ms = header.get("FrameTime")
    if frame_time_ms:
        return 1000.0 / float(frame_time_ms)
    steps = header.get("FrameTimeVector")
    if steps and np.ndim(steps) and len(steps) > 1 and sum(steps[1:]) > 0:
        return 1000.0 * (len(steps) - 1) / float(sum(steps[1:]))
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = header.get(keyword)
        if rate:
            return float(rate)
    return None


def _decode(
    path: Path, header: pydicom.Dataset, indices: Sequence[int]
) -> Iterator[NDArray[np.uint8]]:
    """RGB frames in the order of ``indices``."""
    if not indices:
        return
    syntax = header.file_meta.TransferSyntaxUID
    photometric = str(header.PhotometricInterpretation)
    # pydicom reads single frames from a path; only a deflated file must be unpacked whole.
    source = pydicom.dcmread(path) if syntax.is_deflated else path
    if syntax == JPEGBaseline8Bit and photometric.startswith("YBR_FULL"):
        # The values of pydicom's own conversion (within rounding) in a fraction of its time.
        size = (int(header.Columns), int(header.Rows))
        for raw in iter_pixels(source, indices=indices, raw=True, decoding_plugin="pillow"):
            yield np.asarray(Image.frombytes("YCbCr", size, raw.tobytes()).convert("RGB"))
        return
    if photometric == "YBR_FULL_422" and not syntax.is_encapsulated:
        # pydicom 3.0.2's iterator takes every frame after the first to be of full colour.
        for index in indices:
            yield pixel_array(source, index=index)
        return
    to_rgb = _converter(header, photometric)
    for pixels in iter_pixels(source, indices=indices):
        yield to_rgb(pixels)


def _converter(
    header: pydicom.Dataset, photometric: str
) -> Callable[[NDArray[np.integer]], NDArray[np.uint8]]:
    """The function from one decoded frame to RGB bytes; the same for every frame of a file."""
    bits = int(header.BitsStored)
    if header.get("SamplesPerPixel", 1) == 3:
        return lambda pixels: (pixels >> max(bits - 8, 0)).astype(np.uint8)
    if photometric == "PALETTE COLOR":
        every_value = np.arange(2**bits, dtype=np.uint8 if bits <= 8 else np.uint16)
        palette = apply_color_lut(every_value, header)[:, :3]
        if palette.max() > 255:
            palette = palette >> 8
        colours = palette.astype(np.uint8)
        return lambda pixels: colours[pixels]
    low, high = _grey_range(header, bits)
    if photometric == "MONOCHROME1":
        low, high = high, low

    def to_grey(pixels: NDArray[np.integer]) -> NDArray[np.uint8]:
        values = apply_modality_lut(pixels, header).astype(np.float32)
        scaled = np.clip((values - low) * (255.0 / (high - low)), 0, 255)
        grey = np.rint(scaled).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)

    return to_grey


def _grey_range(header: pydicom.Dataset, bits: int) -> tuple[float, float]:
    """The values shown as black and as white: the file's window, else all that can be stored."""
    if bits > 8 and header.get("WindowWidth") and header.get("WindowCenter") is not None:
        # Several windows are alternatives; the first is the default view.
        center, width = (float(np.ravel(header[key].value)[0]) for key in _WINDOW)
        # PS3.3 C.11.2.1.2.1: the range is one value narrower than the width says.
        half = max(width - 1.0, 1.0) / 2.0
        return center - 0.5 - half, center - 0.5 + half
    signed = header.get("PixelRepresentation", 0) == 1
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
    low, high = apply_modality_lut(ends, header)
    return float(low), float(high)
