"""From cosines with prompts to a number or a yes/no score, without training for either.

Two rules for a number are in use, and they are not the same:

    paper            in each frame the candidates are sorted by cosine, the best fifth of them is
                     kept and its median taken; the mean of that over the frames is the prediction
    published_code   the sorted values are averaged over the frames place by place, and the median
                     of the best fifth of places is taken (of an even number the lower one)

Christensen et al. describe the first rule (Nature Medicine 2024); the code that they published
follows the second. For a yes/no question both take the mean cosine over frames and prompts.

An *item* is what is judged: a clip, or a study with all its clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from echoclip_r.metrics.finite import check_embeddings

__all__ = ["Rule", "predict_values", "score_presence"]

Rule = Literal["paper", "published_code"]

_FRAMES_A_BLOCK = 16_384


def predict_values(
    frames: NDArray[np.floating[Any]],
    frame_item: NDArray[np.integer[Any]],
    prompts: NDArray[np.floating[Any]],
    values: NDArray[np.floating[Any]],
    *,
    rule: Rule = "paper",
    top_share: float = 0.2,
) -> NDArray[np.float64]:
    """Predict a number for each item from how well prompts for every value fit its frames.

    Args:
        frames: embeddings, unit rows (F, D).
        frame_item: item of each frame (F,), from 0, non-decreasing, none left out.
        prompts: embeddings of the candidates (C, D). A value that is worded in several ways is
            either several candidates, or one whose row is the mean of theirs: the cosine with that
            is the mean cosine.
        values: number that each candidate states (C,).
        rule: `paper` or `published_code`; see the head of this module.
        top_share: share of the candidates that is kept, rounded down, but at least one.

    Returns:
        One prediction for each item (N,), in the unit of `values`.

    Raises:
        EvaluationError: an embedding holds NaN or infinity.
        ValueError: the shapes do not fit, or the share is not above 0 and at most 1.

    Example:
        >>> frames = np.eye(3)[:2]  # the first fits candidate 0 best, the second candidate 1
        >>> predict_values(frames, np.array([0, 0]), np.eye(3), np.array([30.0, 50.0, 70.0]))
        array([40.])
    """
    _check(frames, frame_item, prompts)
    if len(values) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts say {len(values)} values; give one for each")
    if not 0 < top_share <= 1:
        raise ValueError(f"top_share is {top_share}; give more than 0 and at most 1")
    if rule not in ("paper", "published_code"):
        raise ValueError(f"rule is {rule!r}; give 'paper' or 'published_code'")
    num_kept = max(int(top_share * len(values)), 1)
    values = np.asarray(values, dtype=np.float64)
    num_items = int(frame_item[-1]) + 1
    sums = np.zeros((num_items, 1 if rule == "paper" else num_kept))
    for rows, cosines in _cosines(frames, prompts):
        # Stable, so that of equal cosines the candidate that was named first comes first.
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :num_kept]
        best = values[order]
        if rule == "paper":
            best = np.median(best, axis=1, keepdims=True)
        np.add.at(sums, frame_item[rows], best)
    means = sums / np.bincount(frame_item, minlength=num_items)[:, None]
    predicted: NDArray[np.float64] = np.sort(means, axis=1)[:, (means.shape[1] - 1) // 2]
    return predicted


def score_presence(
    frames: NDArray[np.floating[Any]],
    frame_item: NDArray[np.integer[Any]],
    prompts: NDArray[np.floating[Any]],
) -> NDArray[np.float64]:
    """Score how well an item fits prompts that say a finding is there: the mean cosine.

    Args:
        frames: embeddings, unit rows (F, D).
        frame_item: item of each frame (F,), from 0, non-decreasing, none left out.
        prompts: embeddings, unit rows (P, D).

    Returns:
        The mean cosine over each item's frames and all prompts (N,), from -1 to 1.

    Raises:
        EvaluationError: an embedding holds NaN or infinity.
        ValueError: the shapes do not fit.

    Example:
        >>> score_presence(np.eye(2), np.array([0, 1]), np.array([[0.6, 0.8]]))
        array([0.6, 0.8])
    """
    _check(frames, frame_item, prompts)
    # The mean of cosines is the cosine with the mean, so that one column is enough.
    mean_prompt = prompts.mean(axis=0, dtype=np.float64)
    cosines = frames @ mean_prompt
    totals = np.bincount(frame_item, weights=cosines)
    scores: NDArray[np.float64] = totals / np.bincount(frame_item)
    return scores


def _check(
    frames: NDArray[np.floating[Any]],
    frame_item: NDArray[np.integer[Any]],
    prompts: NDArray[np.floating[Any]],
) -> None:
    if frames.ndim != 2 or prompts.ndim != 2 or frames.shape[1] != prompts.shape[1]:
        raise ValueError(
            f"frames are {frames.shape} and prompts {prompts.shape}; give (F, D) and (P, D)"
        )
    if not (len(frames) and len(prompts)):
        raise ValueError("there must be at least one frame and one prompt")
    steps = np.diff(frame_item)
    if len(frame_item) != len(frames) or frame_item[0] != 0 or ((steps < 0) | (steps > 1)).any():
        raise ValueError("frame_item must number the items from 0 in order, leaving out none")
    check_embeddings(frames, "frames")
    check_embeddings(prompts, "prompts")


def _cosines(
    frames: NDArray[np.floating[Any]], prompts: NDArray[np.floating[Any]]
) -> Iterator[tuple[slice, NDArray[np.floating[Any]]]]:
    """Cosines (B, C) of one block of frames after another: all at once may not fit in memory."""
    for start in range(0, len(frames), _FRAMES_A_BLOCK):
        rows = slice(start, min(start + _FRAMES_A_BLOCK, len(frames)))
        yield rows, frames[rows] @ prompts.T
