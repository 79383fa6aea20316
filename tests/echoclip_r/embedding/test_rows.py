"""Rows that lie in a file are those that lie in memory, for everything that is made of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from echoclip_r.embedding import rows
from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.embedding.rows import blocks_of, stack, take
from echoclip_r.errors import ShardError
from echoclip_r.evaluation.datasets import Dataset, make_items
from echoclip_r.evaluation.outcomes import Outcome
from echoclip_r.evaluation.runner import evaluate_model
from echoclip_r.evaluation.tasks import read_tasks
from echoclip_r.metrics.bootstrap import Resampling


@pytest.fixture
def in_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keeps nothing in memory, and a few rows in a block; gives the folder of the files."""
    monkeypatch.setattr(rows, "_MOST_IN_MEMORY", 0)
    monkeypatch.setattr(rows, "_BLOCK", 256)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def some(number: int, width: int = 5) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((number, width)).astype(np.float32)


@pytest.mark.parametrize("sizes", [[1], [0, 3], [7, 0, 2], [40, 1, 40]])
def test_a_stack(in_files: Path, sizes: list[int]) -> None:
    """The rows in their order; a file that has no name is left by none."""
    blocks = [some(size) for size in sizes]
    whole = stack(iter(blocks))
    np.testing.assert_array_equal(whole, np.concatenate(blocks))
    assert whole.dtype == np.float32
    assert not list(in_files.iterdir())


def test_a_block_at_a_time(in_files: Path) -> None:
    """What was written is let go before the next block is made."""
    import weakref

    seen: list[weakref.ref[np.ndarray]] = []

    def blocks() -> Iterator[np.ndarray]:
        for number in range(1, 9):
            block = some(number)
            seen.append(weakref.ref(block))
            yield block
            del block
            assert sum(one() is not None for one in seen) <= 1

    assert len(stack(blocks())) == 36


def test_no_rows_and_rows_of_two_widths() -> None:
    """Both are told."""
    with pytest.raises(ValueError, match="no block"):
        stack([])
    with pytest.raises(ValueError, match="rows of 4 numbers, after rows of 5"):
        stack([some(2), some(2, width=4)])


def test_a_disk_that_is_full(
    in_files: Path, small_disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says which folder, and how to name another; what was written is gone."""
    disk = small_disk(8_192)
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    with pytest.raises(ShardError, match=r"disk: the disk is full.*TMPDIR"):
        stack(some(400) for _ in range(3))
    assert not list(disk.iterdir())
    assert len(stack([some(100)])) == 100  # there is room again


def test_taking_rows(in_files: Path) -> None:
    """In any order, with some left out or none."""
    whole = some(50)
    draw = np.random.default_rng(0)
    for order in (draw.permutation(50), draw.integers(0, 50, 80), np.array([], np.int64)):
        np.testing.assert_array_equal(take(whole, order), whole[order])
    assert take(whole, np.arange(50)) is whole
    assert np.concatenate([whole[part] for part in blocks_of(whole)]).tolist() == whole.tolist()


def test_an_evaluation(
    helpers: SimpleNamespace, in_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every figure of every task is the same."""
    embedded = helpers.phantom_embedded(40, seed=3, noise=0.2)
    tasks = read_tasks("phantom")

    def outcomes(clips: Embedded) -> list[Outcome]:
        items = make_items(clips, "study", tasks.findings)
        data = Dataset(name="internal", test=items, validation=items)
        draws = Resampling(num_draws=5)
        return evaluate_model("m", [data], helpers.text_embeddings, tasks, resampling=draws)[0]

    mapped = Embedded(
        clips=embedded.clips, frames=stack([embedded.frames]), frame_clip=embedded.frame_clip
    )
    assert not mapped.frames.flags.writeable
    found = outcomes(mapped)
    monkeypatch.undo()
    for one, other in zip(found, outcomes(embedded), strict=True):
        assert repr(one.scores.figures) == repr(other.scores.figures), one.task
