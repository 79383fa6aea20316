"""What a DICOM file's SequenceOfUltrasoundRegions says of the kind and the place of a picture.

Its boxes are stale in some archives, cover the lettering in others, or span the whole screen. So a
box counts only where pixels are lit in it, and it bounds a sector that the pixels alone do not
settle; it never replaces one that they do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from echoclip_r.media.clip import Region
from echoclip_r.media.display import Box

__all__ = ["declared_bound", "why_refused"]

_STRIPS = {"m-mode": "M-mode", "spectral": "spectral Doppler"}
_LIT = 24
# Of a box: less lit than this is a remnant of another layout.
_MIN_LIT = 0.15
# Overlapping boxes are one picture: tissue and its colour box, or the same box twice.
_MAX_SHARED = 0.2
_MIN_AREA, _MAX_AREA = 0.03, 0.9


def why_refused(regions: Sequence[Region], frames: NDArray[np.uint8]) -> str:
    """Why a clip is no single B-mode picture, by its header and its pixels; "" if it is one.

    Args:
        regions: the boxes that the file declares.
        frames: RGB (T, height, width, 3), as they are shown.
    """
    peak = frames.max(axis=(0, 3))
    pictures = [box for box in _pictures(regions) if _is_lit(peak, box)]
    if len(pictures) > 1:
        return (
            f"split screen: its DICOM header declares {len(pictures)} pictures (2D regions) side "
            "by side, and all of them are lit"
        )
    for region in regions:
        word = _STRIPS.get(region.layout)
        if word is None or not _is_lit(peak, region.box):
            continue
        if not pictures:
            return f"{word}: its DICOM header declares no 2D region, but one of {word}"
        if _shared(region.box, pictures[0]) <= _MAX_SHARED:
            return f"duplex: its DICOM header declares {word} beside the 2D region, and it is lit"
    return ""


def declared_bound(regions: Sequence[Region], frames: NDArray[np.uint8]) -> Box | None:
    """The box that the one lit 2D region of a clip lies in, or None where none helps."""
    height, width = frames.shape[1:3]
    peak = frames.max(axis=(0, 3))
    pictures = [box for box in _pictures(regions) if _is_lit(peak, box)]
    if len(pictures) != 1:
        return None
    (box,) = pictures
    share = _area(box) / (height * width)
    return box if _MIN_AREA <= share <= _MAX_AREA else None


def _pictures(regions: Sequence[Region]) -> list[Box]:
    """The boxes of 2D regions, without those that mostly lie in a larger one."""
    boxes = [region.box for region in regions if region.layout == "2d"]
    apart: list[Box] = []
    for box in sorted(boxes, key=_area, reverse=True):
        if all(_shared(box, other) <= _MAX_SHARED for other in apart):
            apart.append(box)
    return apart


def _is_lit(peak: NDArray[np.uint8], box: Box) -> bool:
    left, top, right, bottom = box
    return float((peak[top:bottom, left:right] > _LIT).mean()) >= _MIN_LIT


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(one: Box, other: Box) -> float:
    """The common area of two boxes against the smaller of them."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0) / max(min(_area(one), _area(other)), 1)
