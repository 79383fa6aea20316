"""Clips from files: AVI, MP4, GIF, folders of pictures and DICOM, all as RGB bytes.

    path -> probe       -> ClipInfo (frames, size, rate)
         -> read_clip   -> every frame, uint8 (T, H, W, 3)
         -> read_frames -> the frames asked for, without decoding the others where the format allows

What is read is always RGB, in the file's own size; grey becomes three equal channels, an alpha
channel is laid over black, and more than 8 bits are scaled to 8 by a rule that is the same for
every frame. Whatever cannot be read raises `MediaError`, which names the file and the reason and
quotes neither DICOM tag values nor pixels (I9, I12).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from echoclip_r.errors import MediaError
from echoclip_r.media import dicom, pictures, video
from echoclip_r.media.clip import ClipInfo

__all__ = ["probe", "read_clip", "read_frames"]


class _Reader(Protocol):
    """What each of the three modules offers."""

    def probe(self, path: Path) -> ClipInfo: ...

    def read(self, path: Path, indices: Sequence[int] | None) -> NDArray[np.uint8]: ...


def probe(path: Path | str) -> ClipInfo:
    """Say what a clip holds, without decoding it.

    Args:
        path: a video, a picture, a DICOM file, or a folder of pictures.

    Raises:
        MediaError: there is no such file, it is not a clip, or it was cut off.
    """
    path = Path(path)
    return _reader(path).probe(path)


def read_clip(path: Path | str) -> NDArray[np.uint8]:
    """Read every frame of a clip, in display order.

    Returns:
        RGB, uint8, shape (num_frames, height, width, 3).

    Raises:
        MediaError: the clip cannot be read whole.
    """
    path = Path(path)
    return _reader(path).read(path, None)


def read_frames(path: Path | str, indices: Sequence[int]) -> NDArray[np.uint8]:
    """Read some frames of a clip, as they stand in `read_clip`.

    Frames between key frames are reached from the key frame before them; formats that store every
    frame on its own (Motion JPEG, DICOM, folders) decode only what is asked for. A GIF is a chain
    of changes and is decoded from its start.

    Args:
        path: the clip.
        indices: frame numbers from 0, in any order, repeats allowed.

    Returns:
        RGB, uint8, shape (len(indices), height, width, 3), in the order of ``indices``.

    Raises:
        MediaError: the clip cannot be read, or has no such frame.
    """
    path = Path(path)
    return _reader(path).read(path, [int(index) for index in indices])


def _reader(path: Path) -> _Reader:
    """The module that reads this kind of file: by content first, since names lie."""
    try:
        if path.is_dir():
            return pictures
        with path.open("rb") as file:
            head = file.read(132)
    except FileNotFoundError:
        raise MediaError(path, "there is no such file or folder") from None
    except OSError as error:
        raise MediaError(path, f"it cannot be opened ({os.strerror(error.errno or 0)})") from error
    if not head:
        raise MediaError(path, "the file is empty (0 bytes)")
    if dicom.looks_like(path, head):
        return dicom
    if pictures.looks_like(head):
        return pictures
    return video
