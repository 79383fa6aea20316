"""Training batches from shards: deterministic, resumable at any step, read by many processes.

The batches of a run are one long sequence. In every epoch the shards are put in a new order, and
the row of clips that this gives is cut into one slice for each rank and each of its readers, so
that all clips are read by someone, none by two, and every rank has the same number of batches.
A reader takes one frame of each clip and mixes what it has read in a buffer. What is drawn for a
clip (its frame, how that is changed, and its texts, in this order) depends on (seed, epoch, key)
alone. How many ranks and readers there are belongs to the sequence and stays as the run was begun;
how many processes do their work does not. A run that goes on with other ranks takes its part of
each batch out of those of the ranks that it was begun with, its lanes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from echoclip_r.data.shards import (
    BadClip,
    Shard,
    ShardIndex,
    decode_frame,
    frame_names,
    read_samples,
)
from echoclip_r.errors import OptionError, ShardError
from echoclip_r.model.channels import cine, cine_frames
from echoclip_r.places import is_remote
from echoclip_r.text.claims import default_claims
from echoclip_r.text.codec import TextCodec, text_ids
from echoclip_r.training.augment import Augmented
from echoclip_r.training.config import TrainConfig
from echoclip_r.training.loss import Answers
from echoclip_r.training.prefetch import made_ahead
from echoclip_r.training.stopping import ignore_signals
from echoclip_r.training.views import Reading

__all__ = ["Batch", "TrainData"]

_BUFFER = 8192  # clips, one frame each: some 100 MB of 224-px frames
_AHEAD = 4  # batches made ahead of the one in use


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A rank's part of one step.

    Attributes:
        frames: uint8 (B, S, S, 3), cropped and moved.
        gains: float32 (B,), factors of brightness.
        texts: int64 (B, L) for each text view of the recipe.
        answers: which texts are right answers to which clips.
        num_truncated: items with a report that should have been read whole and did not fit.
        bad: clips that could not be used; another of the batch stands in their place.
    """

    frames: torch.Tensor
    gains: torch.Tensor
    texts: tuple[torch.Tensor, ...]
    answers: Answers
    num_truncated: int
    bad: tuple[BadClip, ...]

    def pin_memory(self) -> Batch:
        """The batch in pinned memory, from which a GPU copies without waiting."""
        return self._map(torch.Tensor.pin_memory)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; where its memory is pinned, the copy is not waited for."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def _map(self, function: Any) -> Batch:
        return replace(
            self,
            frames=function(self.frames),
            gains=function(self.gains),
            texts=tuple(map(function, self.texts)),
            answers=self.answers.map(function),
        )


class _Item(NamedTuple):
    """A clip with the frames of the one picture that was drawn."""

    key: str
    frames: tuple[bytes, ...]
    report: str
    draw: random.Random


class TrainData(IterableDataset[Batch]):
    """One rank's batches from `first_step` to the end of the run.

    Args:
        index: the shards.
        config: of the run.
        codec: the model's tokenizer.
        size_px: side of the model's frames.
        rank: number of this process, from 0.
        world_size: number of processes.
        lanes: number of processes that the run was begun with; None for `world_size`.

    Raises:
        ShardError: the training split has fewer clips than a batch, or fewer than two.
        OptionError: the batch size is not a multiple of the processes times `accumulate`.
    """

    def __init__(
        self,
        index: ShardIndex,
        *,
        config: TrainConfig,
        codec: TextCodec,
        size_px: int,
        rank: int = 0,
        world_size: int = 1,
        lanes: int | None = None,
    ) -> None:
        parts = world_size * config.accumulate
        if config.batch_size % parts:
            raise OptionError(
                f"batch_size is {config.batch_size}, which cannot be cut into {parts} equal parts "
                f"({world_size} processes x accumulate {config.accumulate}); change one of them"
            )
        num_clips = index.num_clips("train")
        if num_clips < 2:
            raise ShardError(
                f"{index.folder}: the training split has {num_clips} clips, and a model learns by "
                "telling two or more apart; prepare shards with more clips in the split `train`"
            )
        if num_clips < config.batch_size:
            raise ShardError(
                f"{index.folder}: the training split has {num_clips:,} clips, fewer than a batch "
                f"of {config.batch_size:,}; set a smaller batch_size (--set "
                f"batch_size={num_clips}, or less), or add clips"
            )
        self._shards = index.shards["train"]
        self._config = config
        self._codec = codec
        self._size_px = size_px
        self.lanes = lanes or world_size
        self._lane_size = config.batch_size // self.lanes
        size = config.batch_size // world_size
        self._mine = range(rank * size, (rank + 1) * size)  # places in the whole batch
        self.steps_per_epoch = num_clips // config.batch_size
        self.num_steps = self.steps_per_epoch * config.epochs
        total_mb = sum(shard.num_bytes for shard in self._shards) / 1e6
        self._keep = total_mb <= config.cache_mb
        self._kept: dict[Shard, list[Any]] = {}
        self._first_step = 0

    def batches(self, first_step: int, *, pin_memory: bool = False) -> Iterator[Batch]:
        """The batches from a step on, made ahead by worker processes or by a thread.

        Args:
            first_step: number of the first batch in the whole run, from 0.
            pin_memory: whether batches come in pinned memory.
        """
        self._first_step = first_step
        if not self._config.workers:
            made = (batch.pin_memory() for batch in self) if pin_memory else iter(self)
            return made_ahead(made, num=_AHEAD)
        loader: DataLoader[Batch] = DataLoader(
            self,
            batch_size=None,
            num_workers=self._config.workers,
            pin_memory=pin_memory,
            # It draws a seed that nothing uses; not from the generator that serves dropout.
            generator=torch.Generator(),
            worker_init_fn=ignore_signals,
            # What speaks to a store has threads, which no fork takes along.
            multiprocessing_context="spawn" if is_remote(self._shards[0].path) else None,
        )
        return iter(loader)

    def __iter__(self) -> Iterator[Batch]:
        """The batches from the first step on: every one, or a worker's share of them in its order.

        Batch b comes from slice b % readers of its epoch's clips, whoever makes it. DataLoader
        asks worker 0 first, wherever the run goes on, and then the others in turn.
        """
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        readers = self._config.num_readers
        first_epoch, done = divmod(self._first_step, self.steps_per_epoch)
        for epoch in range(first_epoch, self._config.epochs):
            begin = epoch * self.steps_per_epoch
            shares = [
                len(range((r - begin) % readers, self.steps_per_epoch, readers))
                for r in range(readers)
            ]
            slices: dict[int, Iterator[Batch]] = {}
            for batch in range(begin + done, begin + self.steps_per_epoch):
                if (batch - self._first_step) % workers != worker:
                    continue
                reader = batch % readers
                if reader not in slices:
                    slices[reader] = self._batches(
                        epoch,
                        start=sum(shares[:reader]),
                        num=shares[reader],
                        passed=len(range((reader - begin) % readers, done, readers)),
                    )
                yield next(slices[reader])
            done = 0

    def _batches(self, epoch: int, *, start: int, num: int, passed: int) -> Iterator[Batch]:
        """This rank's part of `num` batches from `start` on, without the first `passed`."""
        size, mine = self._lane_size, self._mine
        lanes = range(mine.start // size, (mine.stop - 1) // size + 1)
        made = [
            self._lane(epoch, start=lane * self.steps_per_epoch + start, num=num, passed=passed)
            for lane in lanes
        ]
        for parts in zip(*made, strict=True):
            items = [item for part in parts for item in part]
            first = mine.start - lanes.start * size
            yield self._make(items[first : first + len(mine)])

    def _lane(
        self, epoch: int, *, start: int, num: int, passed: int
    ) -> Iterator[list[_Item | BadClip]]:
        """What a rank that the run was begun with reads: batches of the epoch's row of clips."""
        size = self._lane_size
        clips = self._clips(epoch, start * size, (start + num) * size)
        mixed = _mix(clips, random.Random(f"mix:{self._config.seed}:{epoch}:{start}"))
        batch: list[_Item | BadClip] = []
        for place, item in enumerate(mixed):
            if place < passed * size:
                continue
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []

    def _clips(self, epoch: int, start: int, end: int) -> Iterator[_Item | BadClip]:
        """Clips `start` to `end` of the row that the epoch's order of shards gives."""
        order = list(self._shards)
        random.Random(f"shards:{self._config.seed}:{epoch}").shuffle(order)
        first = 0
        for shard in order:
            low, high = max(start - first, 0), min(end - first, shard.num_clips)
            if low < high:
                for place, sample in enumerate(self._samples(shard)):
                    if low <= place < high:
                        yield self._pick(sample, epoch)
                    elif place >= high:
                        break
            first += shard.num_clips

    def _samples(self, shard: Shard) -> Iterator[Any]:
        if not self._keep:
            return read_samples(shard)
        if shard not in self._kept:
            self._kept[shard] = list(read_samples(shard))
        return iter(self._kept[shard])

    def _pick(self, sample: Any, epoch: int) -> _Item | BadClip:
        """Draw the frame now, so that only what its picture shows is kept in the buffer."""
        if isinstance(sample, BadClip):
            return sample
        key = str(sample["__key__"])
        names = frame_names(sample)
        if not names or "txt" not in sample:
            return BadClip(key, "frames or report are missing")
        draw = random.Random(f"{self._config.seed}:{epoch}:{key}")
        number = self._config.frame.pick(len(names), draw)
        is_cine = self._config.model.channels == "cine"
        numbers = cine_frames(number, len(names)) if is_cine else (number,)
        frames = tuple(sample[names[one]] for one in numbers)
        try:
            return _Item(key, frames, sample["txt"].decode(), draw)
        except ValueError:
            return BadClip(key, "its report is not UTF-8 text")

    def _make(self, items: Sequence[_Item | BadClip]) -> Batch:
        config, codec = self._config, self._codec
        states = any(view.states_findings for view in config.texts)
        frames: list[Augmented] = []
        said: list[NDArray[np.float32] | None] = []
        readings: list[tuple[Reading, ...]] = []
        bad: list[BadClip] = []
        for item in items:
            try:
                if isinstance(item, BadClip):
                    bad.append(item)
                    continue
                pictures = [decode_frame(frame) for frame in item.frames]
            except ValueError as error:
                bad.append(BadClip(item.key, str(error)))
                continue
            frames.append(
                config.augmentation.apply(_one(pictures), item.draw, size_px=self._size_px)
            )
            said.append(default_claims().of_report(item.report).values if states else None)
            readings.append(
                tuple(
                    reading
                    for view in config.texts
                    for reading in view.read(item.report, codec, item.draw)
                )
            )
        if not frames:
            raise ShardError(
                f"{items[0].key} and all {len(items)} clips of its batch cannot be read, the first "
                f"because: {bad[0].reason}; check the shards (`sha256sum -c SHA256SUMS` there)"
            )
        good = len(frames)
        for number in range(len(items) - good):
            frames.append(frames[number % good])
            readings.append(readings[number % good])
            said.append(said[number % good])
        by_view = list(zip(*readings, strict=True))
        return Batch(
            frames=torch.from_numpy(np.stack([one.frame for one in frames])),
            gains=torch.tensor([one.gain for one in frames], dtype=torch.float32),
            texts=tuple(codec.pad([one.ids for one in view]) for view in by_view),
            answers=Answers(
                text_ids=tuple(text_ids([one.identity for one in view]) for view in by_view),
                states=tuple(_rows([one.states for one in view], len(view)) for view in by_view),
                said=_rows(said, len(frames)),
            ),
            num_truncated=sum(
                any(view.is_cut(item.report, codec) for view in config.texts)
                for item in items
                if not isinstance(item, BadClip)
            ),
            bad=tuple(bad),
        )


def _one(pictures: Sequence[Image.Image]) -> Image.Image:
    return cine(pictures) if len(pictures) > 1 else pictures[0]


def _rows(rows: Sequence[NDArray[np.float32] | None], num: int) -> torch.Tensor:
    """Rows as one tensor; of no width where they are none."""
    known = [row for row in rows if row is not None]
    return torch.from_numpy(np.stack(known)) if known else torch.empty(num, 0)


def _mix(items: Iterator[_Item | BadClip], draw: random.Random) -> Iterator[_Item | BadClip]:
    """All items, in an order that a buffer of some thousand of them can give."""
    buffer: list[_Item | BadClip] = []
    for item in items:
        if len(buffer) < _BUFFER:
            buffer.append(item)
            continue
        place = draw.randrange(_BUFFER)
        buffer[place], item = item, buffer[place]
        yield item
    draw.shuffle(buffer)
    yield from buffer
