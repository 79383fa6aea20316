"""The one way from a file to masked frames, which is where privacy is decided (I9).

    file -> some evenly spread frames -> the sector
         -> the chosen frames         -> masked to the sector, cropped, resized

Nothing that lies outside of the sector gets past `read_masked`, and a clip whose sector is not
sure is refused unless the caller says to keep it. Only `read_unmasked` gives pixels as they are in
the file, for the sheet on which people check the sectors.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoclip_r.errors import MediaError
from echoclip_r.media.clip import Clip
from echoclip_r.media.reading import probe, read
from echoclip_r.sector.find import Sector, apply_sector, find_sector

__all__ = ["Frames", "MaskedClip", "pick_frames", "read_masked", "read_unmasked"]

Frames = NDArray[np.uint8]

# A sector is what moves, and in a few frames little does.
_NUM_SECTOR_FRAMES = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskedClip:
    """Frames of a clip that hold its sector alone.

    Attributes:
        frames: RGB, uint8 (T, size_px, size_px, 3).
        indices: where each of them is in the file, from 0, rising.
        sector: what they were masked with, and whether it was found for sure.
        notes: sentences on what is wrong with the file, and how it was read in spite of that.
    """

    frames: Frames
    indices: tuple[int, ...]
    sector: Sector
    notes: tuple[str, ...] = ()


def read_masked(
    path: Path | str,
    *,
    size_px: int,
    num_frames: int = 10,
    seed: str | None = None,
    keep_unsure: bool = False,
) -> MaskedClip:
    """Read some frames of a clip, chosen over its length, masked to the sector and resized.

    Args:
        path: a video, a DICOM file, or a folder of pictures.
        size_px: side of the frames.
        num_frames: how many frames; a shorter clip gives all that it has.
        seed: of the choice of frames; made from the file's name where it is None.
        keep_unsure: use a clip whose sector was not found for sure, instead of refusing it.

    Raises:
        MediaError: the clip cannot be read, or its sector is not sure.
    """
    seed = f"0\0{Path(path).name}" if seed is None else seed
    clip, chosen, sector = _read(path, lambda total: pick_frames(total, num_frames, seed=seed))
    if not (sector.sure or keep_unsure):
        raise MediaError(
            path,
            f"the sector is not sure ({sector.reason}), so burned-in text may be left in it; "
            "look at it with `echoclip-r preview` and pass keep_unsure=True (--keep-unsure) if "
            "all is well",
        )
    return MaskedClip(
        frames=apply_sector(clip.frames[chosen], sector, size_px),
        indices=tuple(clip.indices[place] for place in chosen),
        sector=sector,
        notes=clip.info.notes,
    )


def read_unmasked(path: Path | str) -> tuple[Frames, Sector]:
    """The frame in the middle of a clip as it is in the file, and the clip's sector.

    Whatever is burned into the picture is still there: this is for people who check sectors.

    Returns:
        RGB, uint8 (1, height, width, 3), and the sector that `read_masked` would use.

    Raises:
        MediaError: the clip cannot be read.
    """
    clip, chosen, sector = _read(path, lambda total: [_evenly(total)[_num_evenly(total) // 2]])
    return clip.frames[chosen], sector


def pick_frames(num_frames: int, num_wanted: int, *, seed: str) -> list[int]:
    """One frame at random from each of equal parts of a clip, in order.

    Random, so that no phase of the heart cycle is always hit or missed; from parts, so that the
    whole clip is seen.

    Returns:
        `min(num_frames, num_wanted)` different indices.

    Example:
        >>> pick_frames(30, 3, seed="s")
        [4, 17, 27]
    """
    count = min(num_frames, num_wanted)
    # random.Random promises the same numbers in every version of Python; numpy's does not.
    generator = random.Random(seed)
    edges = [part * num_frames // count for part in range(count + 1)]
    return [low + int(generator.random() * (high - low)) for low, high in itertools.pairwise(edges)]


def _read(path: Path | str, choose: Callable[[int], list[int]]) -> tuple[Clip, list[int], Sector]:
    """Some frames as they are in the file, the places of the chosen ones, and the sector."""
    total = probe(path).num_frames
    chosen, evenly = choose(total), _evenly(total)
    clip = read(path, sorted({*chosen, *evenly}))
    # From the evenly spread ones alone: neither seed nor number of frames moves the mask.
    sector = find_sector(clip.frames[_places(clip, evenly)])
    return clip, _places(clip, chosen), sector


def _places(clip: Clip, wanted: Sequence[int]) -> list[int]:
    """Where the wanted frames are in what was read; for a damaged one, the nearest that was."""
    read_ones = np.asarray(clip.indices)
    return sorted({int(np.abs(read_ones - index).argmin()) for index in wanted})


def _evenly(num_frames: int) -> list[int]:
    """The frames that a clip's sector is found in: some evenly spread ones."""
    count = _num_evenly(num_frames)
    return [(2 * place + 1) * num_frames // (2 * count) for place in range(count)]


def _num_evenly(num_frames: int) -> int:
    return min(num_frames, _NUM_SECTOR_FRAMES)
