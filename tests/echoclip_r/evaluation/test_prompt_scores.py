"""Zero-shot prediction: both rules on examples that can be followed by hand, and an oracle."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from numpy.typing import NDArray

from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.prompt_scores import predict_values, score_presence

CANDIDATES = np.arange(0, 100, 10.0)
"""Ten values, so that a share of .3 keeps three of them; candidate k is unit vector k."""


def frame(*best: float, num: int = 10) -> NDArray[np.float64]:
    """A frame that fits the candidates of these values best, in this order, and no other."""
    row = np.zeros(num)
    row[[int(value // 10) for value in best]] = np.linspace(0.9, 0.5, len(best))
    return row


def predict(frames: list[NDArray[np.float64]], rule: str, items: list[int]) -> list[float]:
    return predict_values(
        np.array(frames), np.array(items), np.eye(10), CANDIDATES, rule=rule, top_share=0.3
    ).tolist()


@pytest.mark.parametrize("rule", ["paper", "published_code"])
def test_one_frame_gives_the_median_of_the_best_candidates(rule: str) -> None:
    """With one frame both rules are the median of what is kept, whatever its order."""
    assert predict([frame(60, 40, 50), frame(90, 10, 20)], rule, [0, 1]) == [50, 20]


def test_rules_differ_as_worked_out_by_hand() -> None:
    """Medians 10 and 50 have mean 30; places average to 45, 10, 35, whose median is 35."""
    frames = [frame(0, 10, 20), frame(90, 10, 50)]
    assert predict(frames, "paper", [0, 0]) == [30]
    assert predict(frames, "published_code", [0, 0]) == [35]


def test_paper_rule_over_ten_frames() -> None:
    """Nine frames say 50 and one says 60, so the mean is 51; the other rule has the same here."""
    frames = [frame(40, 50, 60)] * 9 + [frame(50, 60, 70)]
    assert predict(frames, "paper", [0] * 10) == [51]
    assert predict(frames, "published_code", [0] * 10) == pytest.approx([51])


def test_even_number_of_candidates_is_where_the_medians_differ() -> None:
    """Of two kept candidates the paper's median is their mean, the published code takes the lower.

    That is how PyTorch's median works, which the published code uses.
    """
    arguments = (frame(40, 60)[None], np.array([0]), np.eye(10), CANDIDATES)
    assert predict_values(*arguments, rule="paper") == [50]
    assert predict_values(*arguments, rule="published_code") == [40]


@pytest.mark.parametrize("rule", ["paper", "published_code"])
@pytest.mark.parametrize("seed", range(5))
def test_equals_a_naive_oracle(rule: str, seed: int) -> None:
    """Loops in plain Python give the same, with ties among cosines and repeated values."""
    rng = np.random.default_rng(seed)
    prompts = rng.integers(-2, 3, (23, 4)).astype(float)
    frames = rng.integers(-2, 3, (40, 4)).astype(float)
    items = np.sort(rng.integers(0, 9, 40))
    items = np.unique(items, return_inverse=True)[1]
    values = rng.integers(0, 12, 23).astype(float)
    expected = []
    for item in range(items.max() + 1):
        ranked = []
        for row in frames[items == item]:
            order = sorted(range(23), key=lambda k, row=row: (-float(row @ prompts[k]), k))
            ranked.append([values[k] for k in order[:4]])
        if rule == "paper":
            expected.append(statistics.mean(statistics.median(row) for row in ranked))
        else:
            places = [statistics.mean(column) for column in zip(*ranked, strict=True)]
            expected.append(statistics.median_low(places))
    found = predict_values(frames, items, prompts, values, rule=rule)
    assert found == pytest.approx(expected)


def test_mean_prompt_row_is_the_mean_cosine() -> None:
    """Averaging a value's wordings before sorting equals averaging their cosines."""
    rng = np.random.default_rng(0)
    wordings, frames = rng.normal(size=(3, 50, 8)), rng.normal(size=(7, 8))
    mean_cosine = (wordings @ frames.T).mean(axis=0).T
    by_mean = predict_values(frames, np.arange(7), wordings.mean(axis=0), np.arange(50.0))
    by_cosine = predict_values(mean_cosine, np.arange(7), np.eye(50), np.arange(50.0))
    assert by_mean == pytest.approx(by_cosine)


def test_presence_is_the_mean_over_frames_and_prompts() -> None:
    """An item's score is the plain mean of its block of the cosine matrix."""
    rng = np.random.default_rng(1)
    frames, prompts = rng.normal(size=(9, 5)), rng.normal(size=(3, 5))
    items = np.array([0, 0, 1, 1, 1, 1, 2, 3, 3])
    cosines = frames @ prompts.T
    expected = [cosines[items == item].mean() for item in range(4)]
    assert score_presence(frames, items, prompts) == pytest.approx(expected)


def test_blocks_do_not_change_the_result() -> None:
    """More frames than one block holds give what each alone gives."""
    rng = np.random.default_rng(2)
    frames = rng.normal(size=(20_000, 3)).astype(np.float32)
    prompts = rng.normal(size=(11, 3)).astype(np.float32)
    items = np.arange(20_000)
    together = predict_values(frames, items, prompts, np.arange(11.0))
    last = predict_values(frames[-5:], items[:5], prompts, np.arange(11.0))
    assert together[-5:] == pytest.approx(last)


def test_permuting_prompts_jointly_changes_nothing() -> None:
    """The order in which candidates are named does not matter where no cosines are equal."""
    rng = np.random.default_rng(3)
    frames, prompts, values = rng.normal(size=(30, 6)), rng.normal(size=(40, 6)), np.arange(40.0)
    order = rng.permutation(40)
    items = np.repeat(np.arange(10), 3)
    for rule in ("paper", "published_code"):
        plain = predict_values(frames, items, prompts, values, rule=rule)
        shuffled = predict_values(frames, items, prompts[order], values[order], rule=rule)
        assert plain == pytest.approx(shuffled)


@pytest.mark.parametrize("where", ["frames", "prompts"])
def test_nan_is_refused(where: str) -> None:
    """A NaN is never ranked: the error says where it is and what may be the matter."""
    arrays = {"frames": np.ones((4, 2)), "prompts": np.ones((3, 2))}
    arrays[where][2, 1] = np.nan
    with pytest.raises(EvaluationError, match=f"1 of . embeddings of {where} hold NaN.*row 2"):
        score_presence(arrays["frames"], np.arange(4), arrays["prompts"])
    with pytest.raises(EvaluationError, match="diverged"):
        predict_values(arrays["frames"], np.arange(4), arrays["prompts"], np.arange(3.0))


@pytest.mark.parametrize("items", [[1, 2, 3], [0, 2, 2], [0, 1, 0], [0, 1]])
def test_item_numbers_must_be_in_order_without_gaps(items: list[int]) -> None:
    """A gap would be an item without a frame, whose score would be 0/0."""
    with pytest.raises(ValueError, match="leaving out none"):
        score_presence(np.ones((3, 2)), np.array(items), np.ones((1, 2)))


def test_arguments_out_of_range() -> None:
    """Shapes, shares and rules are checked."""
    frames, items, prompts = np.ones((2, 2)), np.arange(2), np.ones((3, 2))
    with pytest.raises(ValueError, match="3 prompts say 2 values"):
        predict_values(frames, items, prompts, np.arange(2.0))
    with pytest.raises(ValueError, match="top_share is 0"):
        predict_values(frames, items, prompts, np.arange(3.0), top_share=0)
    with pytest.raises(ValueError, match="rule is 'best'"):
        predict_values(frames, items, prompts, np.arange(3.0), rule="best")
    with pytest.raises(ValueError, match=r"\(2, 2\) and prompts \(3, 4\)"):
        score_presence(frames, items, np.ones((3, 4)))
    with pytest.raises(ValueError, match="at least one"):
        score_presence(frames[:0], items[:0], prompts)
