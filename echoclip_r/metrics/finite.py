"""Checks that embeddings and scores are finite numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoclip_r.errors import EvaluationError

__all__ = ["check_embeddings", "check_finite"]


def check_embeddings(embeddings: NDArray[np.floating[Any]], what: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        EvaluationError: an embedding is not finite; the message names `what` and the first row.
    """
    # Most often all is well, and a sum tells so without an array of the same size.
    if np.isfinite(embeddings.sum(dtype=np.float64)):
        return
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(bad):
        raise EvaluationError(
            f"{len(bad)} of {len(embeddings)} embeddings of {what} hold NaN or infinity, the first "
            f"in row {bad[0]}; the checkpoint's weights may have diverged: look at its training "
            "log, take an earlier checkpoint, and embed again"
        )


def check_finite(*arrays: NDArray[np.float64]) -> None:
    """Refuse NaN and infinity in figures' inputs.

    Raises:
        EvaluationError: a number is not finite; the message says how many are not.
    """
    for array in arrays:
        if not np.isfinite(array).all():
            raise EvaluationError(
                f"{int((~np.isfinite(array)).sum())} of {len(array)} numbers are NaN or infinite; "
                "no figure is computed from them"
            )
