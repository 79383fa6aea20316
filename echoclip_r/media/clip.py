"""What is known of a clip before it is decoded, and the checks that all formats share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoclip_r.errors import MediaError

__all__ = ["ClipInfo", "check_indices", "over_black"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipInfo:
    """Size and rate of a clip.

    Attributes:
        path: the file or folder.
        num_frames: frames that can be read, at least 1.
        height_px: rows of a frame.
        width_px: columns of a frame.
        fps_hz: frames a second as the file states them, or None where it does not.
        codec: how the frames are stored, e.g. ``mjpeg``, ``h264``, ``gif``, or a DICOM transfer
            syntax.

    Raises:
        MediaError: the clip has no frames or no pixels.
    """

    path: Path
    num_frames: int
    height_px: int
    width_px: int
    fps_hz: float | None
    codec: str

    def __post_init__(self) -> None:
        if self.num_frames < 1:
            raise MediaError(self.path, "it holds zero frames")
        if self.height_px < 1 or self.width_px < 1:
            raise MediaError(
                self.path, f"its frames have no pixels ({self.width_px} x {self.height_px})"
            )


def check_indices(info: ClipInfo, indices: Sequence[int]) -> None:
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


def over_black(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a picture with an alpha channel over black, so that what was hidden stays hidden.

    Args:
        rgba: uint8, shape (height, width, 4), straight alpha.

    Returns:
        RGB, uint8, shape (height, width, 3).
    """
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)
