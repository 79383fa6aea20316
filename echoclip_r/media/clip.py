"""What is known of a clip before it is decoded, what was read of it, and checks of all formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoclip_r.errors import MediaError
from echoclip_r.media.display import Box, Display

__all__ = [
    "Clip",
    "ClipInfo",
    "Machine",
    "Region",
    "check_indices",
    "collect",
    "over_black",
    "shown",
]

# Of the frames that are asked for, so many may fail to decode before the clip is refused; of a few
# frames, one.
_TOLERATED_SHARE = 0.1
_FEW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One box of a DICOM file's SequenceOfUltrasoundRegions, as the file states it.

    Archives hold boxes that are stale, cover the lettering, or span the whole screen: an outer
    bound and a hint at the kind of picture, never the sector itself.

    Attributes:
        box: left, top, right, bottom in pixels of a shown frame; right and bottom are exclusive.
        layout: `2d`, `m-mode`, `spectral`, `waveform`, `graphics` or `none`.
        data_type: e.g. `tissue`, `colour flow`, `pw doppler`, `cw doppler`, `ecg`, or `none`.
    """

    box: Box
    layout: str
    data_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a clip was made with, as far as its file says so; nothing here is about the patient.

    Attributes:
        manufacturer: of the scanner, or "".
        model: of the scanner, or "".
        depth_mm: how deep the picture reaches, or None.
    """

    manufacturer: str = ""
    model: str = ""
    depth_mm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipInfo:
    """Size and rate of a clip, and what is remarkable about its file.

    Attributes:
        path: the file or folder.
        num_frames: frames that the file holds, at least 1.
        height_px: rows of a frame.
        width_px: columns of a frame.
        fps_hz: frames a second as the file states them, or None where it does not.
        codec: how the frames are stored, e.g. ``mjpeg``, ``h264``, ``gif``, or a DICOM transfer
            syntax.
        regions: of a DICOM file, the boxes that it declares.
        machine: of a DICOM file, the scanner.
        notes: sentences on what the file says wrongly and how it was read in spite of that.

    Raises:
        MediaError: the clip has no frames or no pixels.
    """

    path: Path
    num_frames: int
    height_px: int
    width_px: int
    fps_hz: float | None
    codec: str
    regions: tuple[Region, ...] = ()
    machine: Machine = Machine()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.num_frames < 1:
            raise MediaError(self.path, "it holds zero frames")
        if self.height_px < 1 or self.width_px < 1:
            raise MediaError(
                self.path, f"its frames have no pixels ({self.width_px} x {self.height_px})"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """Frames that were read from a clip.

    Attributes:
        info: of the clip; its notes also name frames that could not be decoded.
        display: how the frames are to be shown.
        indices: which frames they are: those asked for, without the ones that do not decode.
        frames: RGB, uint8 (len(indices), height, width, 3).
    """

    info: ClipInfo
    display: Display
    indices: tuple[int, ...]
    frames: NDArray[np.uint8]


def shown(info: ClipInfo, display: Display) -> ClipInfo:
    """A stored clip's facts -> those of the clip as it is shown."""
    height, width = info.height_px, info.width_px
    regions = tuple(
        replace(region, box=display.box(region.box, height_px=height, width_px=width))
        for region in info.regions
    )
    height, width = display.size(height, width)
    return replace(
        info,
        height_px=height,
        width_px=width,
        regions=regions,
        notes=info.notes + display.notes,
    )


def check_indices(info: ClipInfo, indices: Iterable[int]) -> None:
    """Refuse frame numbers that the clip does not have.

    Raises:
        MediaError: an index is negative or too large.
    """
    for index in indices:
        if not 0 <= index < info.num_frames:
            raise MediaError(
                info.path,
                f"frame {index} was asked for, but its frames are 0 to {info.num_frames - 1}",
            )


def collect(
    info: ClipInfo,
    display: Display,
    *,
    indices: Sequence[int],
    decoded: Iterable[tuple[int, NDArray[np.uint8]]],
    why: str,
) -> Clip:
    """Put decoded frames into the order in which they were asked for.

    One frame in ten may be missing, or one of at least four: a dropped frame does not spoil a clip.

    Args:
        info: of the clip.
        display: how its frames are to be shown.
        indices: the frames asked for.
        decoded: frames with their numbers, in any order, each of them once.
        why: what to say where too many are missing.

    Raises:
        MediaError: too many frames are missing, or one has another size than the first.
    """
    check_indices(info, indices)
    places: dict[int, list[int]] = {}
    for place, index in enumerate(indices):
        places.setdefault(index, []).append(place)
    num_wanted = len(places)
    out = np.empty((len(indices), info.height_px, info.width_px, 3), np.uint8)
    for index, frame in decoded:
        if frame.shape != out.shape[1:]:
            raise MediaError(
                info.path,
                f"frame {index} is {frame.shape[1]} x {frame.shape[0]}, the first one "
                f"{info.width_px} x {info.height_px}; a file must hold one clip",
            )
        out[places.pop(index)] = frame
    missing = sorted(places)
    if len(missing) > max(_TOLERATED_SHARE * num_wanted, num_wanted >= _FEW):
        which = (
            f"frame {missing[0]}"
            if len(missing) == 1
            else f"{len(missing)} of {num_wanted} frames, the first of them {missing[0]}"
        )
        raise MediaError(info.path, f"its pixel data cannot be decoded in {which}: {why}")
    if missing:
        named = f"{'frames' if len(missing) > 1 else 'frame'} {', '.join(map(str, missing))}"
        left_out = "which are" if len(missing) > 1 else "which is"
        note = (
            f"its pixel data cannot be decoded in {named} of {info.num_frames}, {left_out} left out"
        )
        info = replace(info, notes=(*info.notes, note))
        out = out[[index not in places for index in indices]]
    kept = tuple(index for index in indices if index not in places)
    return Clip(info=info, display=display, indices=kept, frames=out)


def over_black(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a picture with an alpha channel over black, so that what was hidden stays hidden.

    Args:
        rgba: uint8, shape (height, width, 4), straight alpha.

    Returns:
        RGB, uint8, shape (height, width, 3).
    """
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)
