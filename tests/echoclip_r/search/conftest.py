"""A real clip and an answer for every test of search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from numpy.typing import NDArray

from echoclip_r.data.clips import read_masked
from echoclip_r.search.answers import Answer, Hit, Item

HOSTILE = 'EF 55%. <script>alert("x")</script> & <b>bold</b>\x1b[31m red'
REAL = Path(str(pydicom.data.get_testdata_file("examples_ybr_color.dcm", download=False)))


@pytest.fixture(scope="session")
def frames() -> NDArray[np.uint8]:
    """The real cardiac clip inside pydicom, as `prepare` would make it."""
    return read_masked(REAL, size_px=64).frames


@pytest.fixture
def answer(frames: NDArray[np.uint8]) -> Answer:
    """Of a clip whose own report is hostile, and was found second."""
    hits = (
        Hit(rank=1, cosine=0.91, item=Item(name="S-2", report="EF 55%. Mild AS."), right=False),
        Hit(rank=2, cosine=-0.2, item=Item(name="S-1", report=HOSTILE), right=True, num_same=3),
    )
    query = Item(name="<i>S-1</i>", report=HOSTILE, frames=frames)
    return Answer(query=query, hits=hits, pool_size=500, right_rank=2)
