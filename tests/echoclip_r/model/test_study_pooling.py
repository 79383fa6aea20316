"""Frames to clips and studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.model.study_pooling import MeanPooling


def unit(rows: int, *, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, 5))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_the_mean_of_each_owners_frames_has_length_one() -> None:
    """Frame by frame in double precision, as one would write it down."""
    frames, owner = unit(9, seed=0), np.array([0, 0, 0, 1, 2, 2, 2, 2, 3])
    pooled = MeanPooling().pool(frames, owner, num_owners=4)
    assert pooled.dtype == np.float32
    for number in range(4):
        mean = frames[owner == number].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(pooled[number], mean / np.linalg.norm(mean), atol=1e-7)


def test_frames_that_cancel_out_give_zeros_and_no_nan() -> None:
    """There is no direction in them."""
    frames = np.array([[1, 0], [-1, 0]], np.float32)
    pooled = MeanPooling().pool(frames, np.zeros(2, np.int64), num_owners=1)
    assert pooled.tolist() == [[0, 0]]


class FirstFrame:
    """Another way to pool, as a later module would bring it."""

    def pool(self, frames: np.ndarray, owner: np.ndarray, *, num_owners: int) -> np.ndarray:
        return frames[np.searchsorted(owner, np.arange(num_owners))]


@pytest.mark.parametrize("level", ["clip", "study"])
def test_embedded_clips_are_pooled_by_the_object_that_they_hold(level: str) -> None:
    """Clips and studies alike; nothing else needs to change for another pooling."""
    frames, owner = unit(6, seed=1), np.array([0, 0, 1, 1, 2, 2])
    clips = pd.DataFrame({"study_id": ["S0", "S1", "S0"]})
    embedded = Embedded(clips=clips, frames=frames, frame_clip=owner, pooling=FirstFrame())
    found = embedded.clip_embeddings() if level == "clip" else embedded.studies()[1]
    first = {"clip": [0, 2, 4], "study": [0, 2]}[level]
    np.testing.assert_array_equal(found, frames[first])
