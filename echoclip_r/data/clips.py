"""The one way from a file to masked frames."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoclip_r.errors import MediaError
from echoclip_r.media import probe, read_frames
from echoclip_r.sector.find import apply_sector, find_sector

__all__ = ["Frames", "frames_to_read", "pick_frames", "read_video"]


# A sector is what moves, and in a few frames little does.
_NUM_SECTOR_FRAMES = 16


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


def frames_to_read(num_frames: int, chosen: Sequence[int] = ()) -> list[int]:
    """The chosen frames, and those that a clip's sector is found in: some evenly spread ones."""
    count = min(num_frames, _NUM_SECTOR_FRAMES)
    evenly = ((2 * place + 1) * num_frames // (2 * count) for place in range(count))
    return sorted({*chosen, *evenly})


Frames = NDArray[np.uint8]


def read_video(
    path: Path | str, *, size_px: int, num_frames: int = 10, keep_unsure: bool = False
) -> Frames:
    """Frames of a clip as `prepare` makes them: chosen over its length, masked, resized.

    Args:
        path: a video, a DICOM file, or a folder of pictures.
        size_px: side of the frames.
        num_frames: at most so many.
        keep_unsure: use a clip whose sector was not found for sure.

    Returns:
        RGB, uint8 (T, size_px, size_px, 3).

    Raises:
        MediaError: it cannot be read, or its sector is not sure.
    """
    path = Path(path)
    total = probe(path).num_frames
    chosen = pick_frames(total, num_frames, seed=f"0\0{path.name}")
    wanted = frames_to_read(total, chosen)
    frames = read_frames(path, wanted)
    evenly = frames_to_read(total)
    sector = find_sector(frames[np.searchsorted(wanted, evenly)])
    if not (sector.sure or keep_unsure):
        raise MediaError(
            path,
            f"the sector is not sure ({sector.reason}), so what is seen may be no ultrasound; look "
            "at it with `echoclip-r preview` and pass --keep-unsure if all is well",
        )
    return apply_sector(frames[np.searchsorted(wanted, chosen)], sector, size_px)
