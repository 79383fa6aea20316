"""Clips from files: AVI, MP4, GIF, folders of pictures, DICOM and NIfTI, all as RGB bytes.

    path -> probe       -> ClipInfo (frames, size, rate)
         -> read_clip   -> every frame, uint8 (T, H, W, 3)
         -> read_frames -> the frames asked for, without decoding the others where the format allows
         -> read        -> the same, without those that do not decode, and with the clip's notes

What is read is always RGB, upright and on square pixels, as a player shows it (see `display`);
grey becomes three equal channels, an alpha channel is laid over black, and more than 8 bits are
scaled to 8 by a rule that is the same for every frame. Whatever cannot be read raises
`MediaError`, which names the file and the reason and quotes neither DICOM tag values nor pixels
(I9, I12). Whatever could be read only by not believing the file is said in `ClipInfo.notes` (I15).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from echoclip_r.errors import MediaError
from echoclip_r.media import dicom, nifti, pictures, video
from echoclip_r.media.clip import Clip, ClipInfo, shown
from echoclip_r.media.display import Display
from echoclip_r.media.missing import why_missing

__all__ = ["probe", "read", "read_clip", "read_frames"]


class _Reader(Protocol):
    """What each of the four modules offers: frames as they are stored, and how to show them."""

    def probe(self, path: Path) -> tuple[ClipInfo, Display]: ...

    def read(self, path: Path, indices: Sequence[int] | None) -> Clip: ...


def probe(path: Path | str) -> ClipInfo:
    """Say what a clip holds, without decoding it.

    Args:
        path: a video, a picture, a DICOM file, or a folder of pictures.

    Raises:
        MediaError: there is no such file, it is not a clip, or it was cut off.
    """
    path = Path(path)
    return shown(*_reader(path).probe(path))


def read(path: Path | str, indices: Sequence[int] | None = None) -> Clip:
    """Read a clip, or some frames of it, as it is to be shown.

    One frame in ten may be damaged; such frames are left out and named in the clip's notes.

    Args:
        path: the clip.
        indices: frame numbers from 0, in any order, repeats allowed; None for all.

    Raises:
        MediaError: the clip cannot be read, has no such frame, or too many are damaged.
    """
    path = Path(path)
    wanted = None if indices is None else [int(index) for index in indices]
    stored = _reader(path).read(path, wanted)
    return replace(
        stored,
        info=shown(stored.info, stored.display),
        frames=stored.display.frames(stored.frames),
    )


def read_clip(path: Path | str) -> NDArray[np.uint8]:
    """Read every frame of a clip, in display order.

    Returns:
        RGB, uint8, shape (num_frames, height, width, 3).

    Raises:
        MediaError: the clip cannot be read whole; `read` leaves a damaged frame out.
    """
    clip = read(path)
    _check_whole(clip, range(clip.info.num_frames))
    return clip.frames


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
        MediaError: the clip cannot be read, has no such frame, or one of them is damaged.
    """
    clip = read(path, indices)
    _check_whole(clip, indices)
    return clip.frames


def _check_whole(clip: Clip, indices: Sequence[int]) -> None:
    if missing := sorted(set(indices) - set(clip.indices)):
        raise MediaError(
            clip.info.path,
            f"its pixel data cannot be decoded in frame {missing[0]} of {clip.info.num_frames}; "
            "copy or export it again",
        )


def _reader(path: Path) -> _Reader:
    """The module that reads this kind of file: by content first, since names lie."""
    try:
        if path.is_dir():
            return pictures
        with path.open("rb") as file:
            head = file.read(132)
    except FileNotFoundError:
        raise MediaError(path, why_missing(path)) from None
    except OSError as error:
        raise MediaError(path, f"it cannot be opened ({os.strerror(error.errno or 0)})") from error
    if not head:
        raise MediaError(path, "the file is empty (0 bytes)")
    if dicom.looks_like(path, head):
        return dicom
    if nifti.looks_like(path, head):
        return nifti
    if pictures.looks_like(head):
        return pictures
    return video
