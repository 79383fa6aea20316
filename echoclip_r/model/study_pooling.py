"""How many embeddings become one: of the frames of a clip, and of all the frames of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["MeanPooling", "StudyPooling"]

Floats = NDArray[np.float32]

_AT_ONCE = 1024  # clips or studies


class StudyPooling(Protocol):
    """What pools the frames of each clip, or of each study, into one embedding."""

    def pool(self, frames: Floats, owner: NDArray[np.int64], *, num_owners: int) -> Floats:
        """One unit embedding for each owner.

        Args:
            frames: unit embeddings, (num_frames, D); the rows of one owner lie together.
            owner: the clip or study of each frame, (num_frames,), ascending from 0; each has one.
            num_owners: how many there are.

        Returns:
            Unit rows, float32 (num_owners, D).
        """
        ...


@dataclass(frozen=True, slots=True)
class MeanPooling:
    """The mean of the frames, scaled to length 1; every frame of a study counts alike.

    Example:
        >>> frames = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
        >>> MeanPooling().pool(frames, np.array([0, 0, 1]), num_owners=2).round(3).tolist()
        [[0.7070000171661377, 0.7070000171661377], [0.0, 1.0]]
    """

    def pool(self, frames: Floats, owner: NDArray[np.int64], *, num_owners: int) -> Floats:
        """The mean of each owner's rows, scaled to length 1; see `StudyPooling.pool`."""
        starts = np.searchsorted(owner, np.arange(num_owners + 1))
        pooled = np.empty((num_owners, frames.shape[1]), np.float32)
        # Some at a time, since sums are made of a copy of the frames in double precision.
        for first in range(0, num_owners, _AT_ONCE):
            last = min(first + _AT_ONCE, num_owners)
            begin, end = starts[first], starts[last]
            here = frames[begin:end].astype(np.float64)
            sums = np.add.reduceat(here, starts[first:last] - begin, axis=0)
            norms = np.linalg.norm(sums, axis=1, keepdims=True)
            pooled[first:last] = sums / np.maximum(norms, np.finfo(np.float64).tiny)
        return pooled
