"""Shards read back, whole and as training batches."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echoclip_r.data.shards import BadClip, check_splits, read_clips, read_index
from echoclip_r.errors import ShardError
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.batches import Batch, TrainData
from echoclip_r.training.config import TrainConfig, changed
from echoclip_r.training.recipes import echoclip, echoclip_r_span, phantom_scale

NUM_TRAIN = 44


def config(**changes: Any) -> TrainConfig:
    """Batches of four, four epochs of eleven steps."""
    settings: dict[str, Any] = {"batch_size": 4, "epochs": 4, "warmup_steps": 2}
    return changed(phantom_scale(echoclip_r_span()), **settings | changes)


def data(
    shards: Path,
    *,
    rank: int = 0,
    world_size: int = 1,
    lanes: int | None = None,
    **changes: Any,
) -> TrainData:
    """One rank's data."""
    chosen = config(**changes)
    codec = TextCodec.load(chosen.model.tokenizer, context_length=chosen.model.context_length)
    return TrainData(
        read_index(shards),
        config=chosen,
        codec=codec,
        size_px=64,
        rank=rank,
        world_size=world_size,
        lanes=lanes,
    )


def same(first: Batch, second: Batch) -> bool:
    """Whether two batches are equal in every bit."""
    pairs = zip(
        (first.frames, first.gains, *first.texts, *first.answers.text_ids),
        (second.frames, second.gains, *second.texts, *second.answers.text_ids),
        strict=True,
    )
    return all(torch.equal(a, b) for a, b in pairs) and first.bad == second.bad


@pytest.fixture
def broken(training_shards: Path, tmp_path: Path) -> Callable[[Callable[..., Any]], Path]:
    """A copy of the shards in which each member of the training tars was passed through."""

    def rewrite(change: Callable[[str, bytes], bytes | None]) -> Path:
        folder = tmp_path / "shards"
        shutil.copytree(training_shards, folder)
        index = json.loads((folder / "index.json").read_text())
        for entry in index["shards"]:
            if entry["split"] == "train":
                path = folder / entry["name"]
                _rewrite(path, change)
                entry["num_bytes"] = path.stat().st_size
        (folder / "index.json").write_text(json.dumps(index))
        return folder

    return rewrite


def _rewrite(path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    with tarfile.open(path) as tar:
        members = [(m.name, f.read()) for m in tar if (f := tar.extractfile(m)) is not None]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            changed = change(name, content)
            if changed is not None:
                info = tarfile.TarInfo(name)
                info.size = len(changed)
                tar.addfile(info, BytesIO(changed))


def test_clips_come_back_whole_and_in_order(training_shards: Path) -> None:
    """Every clip of a split once, with its frames, report and record."""
    clips = list(read_clips(training_shards, split="train"))
    assert [clip.key for clip in clips] == [f"train-{n:08d}" for n in range(NUM_TRAIN)]
    assert {clip.record["study_id"] for clip in clips} == {f"S{n}" for n in range(NUM_TRAIN)}
    for clip in clips:
        number = int(clip.record["study_id"][1:])
        assert clip.record["patient_id"] == f"P{number}"
        assert clip.record["labels"]["ef"] == 30 + number // 9
        assert clip.report.endswith(".")
        assert len(clip.frames_encoded) == 2
        assert clip.decode(1).shape == (64, 64, 3)
        assert clip.decode(0).dtype == np.uint8
    assert len(list(read_clips(training_shards, split="validation"))) == 10


def test_a_split_that_is_none_is_refused(training_shards: Path) -> None:
    """With those that there are."""
    with pytest.raises(ShardError, match="'dev' is not a split; there are train, validation, test"):
        next(read_clips(training_shards, split="dev"))


def test_the_index_and_the_files_must_agree(training_shards: Path, tmp_path: Path) -> None:
    """No index, a damaged one, a missing shard and a shortened one each have their message."""
    with pytest.raises(ShardError, match=r"holds no index\.json"):
        read_index(tmp_path)
    folder = tmp_path / "shards"
    shutil.copytree(training_shards, folder)
    shard = folder / "train-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    with pytest.raises(ShardError, match=r"train-000000\.tar: it has .* bytes, and index"):
        read_index(folder)
    shard.unlink()
    with pytest.raises(ShardError, match="is missing"):
        read_index(folder)
    (folder / "index.json").write_text("{")
    with pytest.raises(ShardError, match="cannot be read"):
        read_index(folder)


def test_a_patient_in_two_splits_is_an_error(
    training_shards: Path, broken: Callable[..., Path]
) -> None:
    """Found from the records, whatever the index says, and named by place alone (I10, I9)."""
    assert check_splits(read_index(training_shards)) == {"train": 44, "validation": 10, "test": 6}

    def change(name: str, content: bytes) -> bytes:
        if name == "train-00000007.json":
            return json.dumps(json.loads(content) | {"patient_id": "P50"}).encode()
        return content

    with pytest.raises(ShardError, match="a split is by patient") as caught:
        check_splits(read_index(broken(change)))
    assert "P50" not in str(caught.value)
    assert "train-00000007 in train" in str(caught.value)


@pytest.mark.parametrize(("world_size", "workers"), [(1, 0), (2, 0), (4, 0), (1, 2), (2, 2)])
def test_every_clip_is_read_once_an_epoch(
    training_shards: Path, world_size: int, workers: int
) -> None:
    """By one rank and reader, in as many batches on each rank; other clips are left each time."""
    per_epoch: list[list[int]] = [[], []]
    # Without turns, crops and shifts a frame is known by its pixels.
    plain = {
        "workers": workers,
        "epochs": 2,
        "max_rotation_deg": 0.0,
        "min_crop": 1.0,
        "max_shift_px": 0,
    }
    for rank in range(world_size):
        part = data(training_shards, rank=rank, world_size=world_size, **plain)
        batches = list(part.batches(0))
        assert len(batches) == part.num_steps == 22
        for step, batch in enumerate(batches):
            assert len(batch.frames) == 4 // world_size
            per_epoch[step // 11] += [_number(frame) for frame in batch.frames]
    keys = _frame_numbers(training_shards)
    for epoch in per_epoch:
        assert len(epoch) == NUM_TRAIN
        assert len({keys[frame] for frame in epoch}) == NUM_TRAIN
    assert per_epoch[0] != per_epoch[1]


@pytest.mark.parametrize(("begun_with", "readers"), [(1, 1), (2, 2), (4, 1)])
def test_another_number_of_processes_reads_the_same_batches(
    training_shards: Path, begun_with: int, readers: int
) -> None:
    """In the same order, from any step on, so that a run may go on with more or fewer of them."""

    def frames(world_size: int, first_step: int) -> list[torch.Tensor]:
        ranks = [
            data(
                training_shards,
                rank=rank,
                world_size=world_size,
                lanes=begun_with,
                epochs=2,
                readers=readers,
            ).batches(first_step)
            for rank in range(world_size)
        ]
        return [torch.cat([batch.frames for batch in parts]) for parts in zip(*ranks, strict=True)]

    begun = frames(begun_with, 0)
    assert len(begun) == 22
    for world_size in (1, 2, 4):
        for first_step in (0, 13):
            found = frames(world_size, first_step)
            assert len(found) == len(begun) - first_step
            for step, batch in enumerate(found, first_step):
                assert torch.equal(batch, begun[step])


def _number(frame: torch.Tensor) -> int:
    return hash(frame.numpy().tobytes())


def _frame_numbers(shards: Path) -> dict[int, str]:
    return {
        hash(clip.decode(n).tobytes()): clip.key
        for clip in read_clips(shards, split="train")
        for n in range(2)
    }


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("first", [1, 7, 11, 25])
def test_the_sequence_goes_on_where_it_was(training_shards: Path, workers: int, first: int) -> None:
    """From any step on, the batches are those of the unbroken sequence, bit for bit."""
    unbroken = list(data(training_shards, workers=workers).batches(0))
    again = list(data(training_shards, workers=workers).batches(first))
    assert len(again) == len(unbroken) - first
    assert all(same(a, b) for a, b in zip(again, unbroken[first:], strict=True))


def test_a_seed_gives_one_sequence_and_another_seed_another(training_shards: Path) -> None:
    """In order, frames, spans and crops; a small cache changes nothing."""
    first = list(islice(data(training_shards).batches(0), 12))
    again = list(islice(data(training_shards, cache_mb=0).batches(0), 12))
    other = list(islice(data(training_shards, seed=1).batches(0), 12))
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert not any(same(a, b) for a, b in zip(first, other, strict=True))


def test_batches_hold_what_the_recipe_reads(training_shards: Path) -> None:
    """Whole reports and runs of their sentences; a base model has rows of the full context."""
    batch = next(data(training_shards, drop_sentences=0.0).batches(0))
    whole, run = batch.texts
    assert batch.frames.shape == (4, 64, 64, 3)
    assert batch.frames.dtype == torch.uint8
    assert whole.shape[0] == run.shape[0] == 4
    assert ((batch.gains - 1).abs() <= config().augmentation.max_gain).all()
    assert len(batch.answers.text_ids) == 2
    for ids, text in zip(batch.answers.text_ids, batch.texts, strict=True):
        for i in range(4):
            for j in range(4):
                assert (ids[i] == ids[j]) == torch.equal(text[i], text[j])
    base = replace(phantom_scale(echoclip()), batch_size=4, epochs=1, warmup_steps=1)
    reader = TrainData(read_index(training_shards), config=base, codec=TextCodec(None), size_px=32)
    batch = next(reader.batches(0))
    assert [text.shape for text in batch.texts] == [(4, 77)]
    assert batch.frames.shape == (4, 32, 32, 3)


def test_equal_reports_stay_equal_whatever_is_left_out(training_shards: Path) -> None:
    """Targets know the report by all of it, not by the sentences that this epoch shows."""
    reports = {clip.key: clip.report for clip in read_clips(training_shards, split="train")}
    assert len(set(reports.values())) < len(reports)
    found = set()
    for batch in data(training_shards, drop_sentences=0.5, epochs=2).batches(0):
        found.update(batch.answers.text_ids[0].tolist())
    assert len(found) == len(set(reports.values()))


def test_a_clip_that_cannot_be_used_is_named_and_replaced(broken: Callable[..., Path]) -> None:
    """Broken pictures, missing reports, other encodings: batches stay whole (I12)."""

    def change(name: str, content: bytes) -> bytes | None:
        key, _, ending = name.partition(".")
        if key.endswith("3") and ending.endswith("jpg"):
            return content[:40]
        if key.endswith("4") and ending == "txt":
            return b"\xff\xfe report"
        if key.endswith("05") and ending == "txt":
            return None
        return content

    shards = broken(change)
    batches = list(data(shards, epochs=1).batches(0))
    assert [len(batch.frames) for batch in batches] == [4] * 11
    bad = {clip.key: clip.reason for batch in batches for clip in batch.bad}
    assert set(bad) == {
        *(f"train-000000{n:02d}" for n in (3, 13, 23, 33, 43)),
        *(f"train-000000{n:02d}" for n in (4, 14, 24, 34)),
        "train-00000005",
    }
    assert "cannot be decoded" in bad["train-00000003"]
    assert "UTF-8" in bad["train-00000004"]
    assert "missing" in bad["train-00000005"]
    left_out: list[BadClip] = []
    kept = list(read_clips(shards, split="train", bad=left_out))
    assert {clip.key for clip in left_out} == set(bad) - {k for k in bad if k.endswith("3")}
    with pytest.raises(ShardError, match="train-00000003: frame 0: it cannot be decoded"):
        next(clip for clip in kept if clip.key == "train-00000003").decode(0)


def test_a_shard_that_breaks_off_keeps_the_places_of_the_rest(
    training_shards: Path, tmp_path: Path
) -> None:
    """What is lost is counted, and the other shards are read as ever."""
    folder = tmp_path / "shards"
    shutil.copytree(training_shards, folder)
    index = json.loads((folder / "index.json").read_text())
    (entry,) = (e for e in index["shards"] if e["name"] == "train-000001.tar")
    path = folder / entry["name"]
    path.write_bytes(path.read_bytes()[: entry["num_bytes"] // 2])
    entry["num_bytes"] //= 2
    (folder / "index.json").write_text(json.dumps(index))
    lost: list[BadClip] = []
    kept = [clip.key for clip in read_clips(folder, split="train", bad=lost)]
    assert len(kept) + len(lost) == NUM_TRAIN
    assert kept[-1] == f"train-{NUM_TRAIN - 1:08d}"
    assert lost
    assert len(list(data(folder, epochs=1).batches(0))) == 11


def test_a_batch_of_nothing_but_broken_clips_is_an_error(broken: Callable[..., Path]) -> None:
    """Then the shards are to be looked at; the thread that found it hands the error over."""
    shards = broken(lambda name, content: b"" if name.endswith("jpg") else content)
    with pytest.raises(ShardError, match="all 4 clips of its batch cannot be read"):
        next(data(shards).batches(0))


def test_too_large_a_batch_and_uneven_parts_are_refused(training_shards: Path) -> None:
    """With the numbers that do not go together."""
    with pytest.raises(ShardError, match="44 clips, fewer than a batch of 64"):
        data(training_shards, batch_size=64)
    with pytest.raises(ValueError, match="3 processes x accumulate 1"):
        data(training_shards, world_size=3)


def test_a_sequence_can_be_left_early(training_shards: Path) -> None:
    """The thread that makes batches ahead ends with it."""
    import threading

    before = threading.active_count()
    batches: Iterator[Batch] = data(training_shards).batches(0)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
