"""The report at rank 1 of each video."""

from __future__ import annotations

import numpy as np

from echoclip_r.evaluation.retrieval import top_reports


def test_top_candidate_of_each_query() -> None:
    """The highest cosine wins, also where queries take more than one block."""
    rng = np.random.default_rng(1)
    queries, candidates = rng.normal(size=(6000, 4)), rng.normal(size=(4000, 4))
    expected = (queries @ candidates.T).argmax(axis=1)
    assert top_reports(queries, candidates).tolist() == expected.tolist()
