"""NIfTI sequences (.nii, .nii.gz): grey pictures over time, as CAMUS stores them.

The header is 348 bytes; of it the shape, the kind of numbers, their scale and the spacing of pixels
are read (https://nifti.nimh.nih.gov/nifti-1). Columns come first in the file, then rows, then
frames.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoclip_r.errors import MediaError
from echoclip_r.media.clip import Clip, ClipInfo, check_indices, collect
from echoclip_r.media.display import Display

__all__ = ["looks_like", "probe", "read"]

_HEADER = 348
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
_CUT = "it is damaged or cut off; copy it again"


def looks_like(path: Path, head: bytes) -> bool:
    """Whether a file begins as a NIfTI file does, or is a packed one by its name."""
    if head[:2] == b"\x1f\x8b":
        return path.name.lower().endswith(".nii.gz")
    return head[:4] in (struct.pack("<i", _HEADER), struct.pack(">i", _HEADER))


def probe(path: Path) -> tuple[ClipInfo, Display]:
    """Size of a sequence; see `echoclip_r.media.reading.probe`."""
    info, display, _ = _parse(path, _bytes(path, only_header=True))
    return info, display


def read(path: Path, indices: Sequence[int] | None) -> Clip:
    """All frames (``indices`` None) or some; see `echoclip_r.media.reading.read`."""
    content = _bytes(path)
    info, display, (dtype, start, slope, shift) = _parse(path, content)
    indices = range(info.num_frames) if indices is None else indices
    check_indices(info, indices)
    shape = (info.num_frames, info.height_px, info.width_px)
    count = int(np.prod(shape))
    if len(content) < start + count * dtype.itemsize:
        raise MediaError(path, _CUT)
    stored = np.frombuffer(content, dtype, count=count, offset=start).reshape(shape)
    grey = _to_bytes(stored, slope, shift)
    decoded = ((index, np.repeat(grey[index][..., None], 3, -1)) for index in sorted(set(indices)))
    return collect(info, display, indices=indices, decoded=decoded, why=_CUT)


def _bytes(path: Path, *, only_header: bool = False) -> bytes:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            return file.read(_HEADER if only_header else -1)
    except (OSError, EOFError, zlib.error) as error:
        raise MediaError(path, _CUT) from error


def _parse(
    path: Path, content: bytes
) -> tuple[ClipInfo, Display, tuple[np.dtype[np.generic], int, float, float]]:
    if len(content) < _HEADER:
        raise MediaError(path, _CUT)
    order = "<" if content[:4] == struct.pack("<i", _HEADER) else ">"
    if content[:4] != struct.pack(f"{order}i", _HEADER) or content[344:347] != b"n+1":
        raise MediaError(path, "it is not a NIfTI file with the pictures in it (.nii, .nii.gz)")
    rank, *sizes = struct.unpack(f"{order}8h", content[40:56])
    kind = struct.unpack(f"{order}h", content[70:72])[0]
    _, across, down, *_ = struct.unpack(f"{order}8f", content[76:108])
    start, slope, shift = struct.unpack(f"{order}3f", content[108:120])
    if not _HEADER <= start < math.inf:  # else the header, which may name people, were a picture
        raise MediaError(path, _CUT)
    if kind not in _TYPES:
        raise MediaError(path, f"its kind of numbers (NIfTI code {kind}) is not one of grey values")
    # A picture is flat: of the sizes behind rows and columns only one, the frames, is above 1.
    long = [size for size in sizes[2:rank] if size != 1]
    if not 2 <= rank <= 7 or len(long) > 1 or min(sizes[:rank]) < 1:
        raise MediaError(path, "it is not a sequence of flat pictures; volumes cannot be read")
    aspect = across / down if across > 0 and down > 0 else 1.0
    info = ClipInfo(
        path=path,
        num_frames=long[0] if long else 1,
        height_px=sizes[1],
        width_px=sizes[0],
        fps_hz=None,
        codec="nifti",
    )
    dtype = np.dtype(f"{order}{_TYPES[kind]}")
    return info, Display(pixel_aspect=aspect), (dtype, int(start), slope, shift)


def _to_bytes(stored: NDArray[np.generic], slope: float, shift: float) -> NDArray[np.uint8]:
    """8 bits a pixel, by one rule for all frames: as they are where they fit, else stretched."""
    if stored.dtype == np.uint8 and slope in (0.0, 1.0) and shift == 0.0:
        return stored.astype(np.uint8)
    values = stored.astype(np.float64)
    if slope not in (0.0, 1.0) or shift != 0.0:
        with np.errstate(invalid="ignore", over="ignore"):
            values = values * (slope or 1.0) + shift
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255 or high <= 1:
        values = (values - low) * (255 / (high - low) if high > low else 0.0)
    return np.round(values).astype(np.uint8)
