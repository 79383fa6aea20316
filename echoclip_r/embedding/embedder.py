"""Shards -> embeddings, one shard at a time, so that a run that was stopped can continue."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.data.shards import (
    BadClip,
    Clip,
    Shard,
    ShardIndex,
    check_kind,
    read_index,
    read_shard,
)
from echoclip_r.embedding.embeddings import (
    FORMAT,
    ID_COLUMNS,
    Embedded,
    OldEmbeddings,
    claim_embeddings,
    joined,
    read_part,
    read_run,
    write_part,
)
from echoclip_r.errors import EchoclipError, ShardError
from echoclip_r.jobs.local import Job, run_jobs
from echoclip_r.jobs.parts import Part, parts_of
from echoclip_r.jobs.progress import Progress
from echoclip_r.jobs.status import Status, Unit, status_of
from echoclip_r.metrics.finite import check_embeddings
from echoclip_r.model.channels import shown
from echoclip_r.model.study_pooling import MeanPooling
from echoclip_r.places import place, sizes
from echoclip_r.text.losses import tell_losses
from echotok.cpus import num_cpus

if TYPE_CHECKING:
    from echoclip_r.data.clips import Frames
    from echoclip_r.model.trained import TrainedModel

__all__ = ["embed", "embed_by_shard", "embed_part", "embed_status", "embed_texts", "embed_video"]

_log = logging.getLogger(__name__)

Floats = NDArray[np.float32]


def embed(
    model: TrainedModel,
    shards_dir: Path | str,
    *,
    split: str,
    out: Path | str | None = None,
    batch_size: int = 256,
    overwrite: bool = False,
    finish: Part | None = None,
    executor: Executor | None = None,
    load: Callable[[], TrainedModel] | None = None,
) -> Embedded:
    """Embed every frame of a split.

    Args:
        model: model from `echoclip_r.model.checkpoint.load_checkpoint`.
        shards_dir: folder of shards from `echoclip_r.data.preparation.prepare`.
        split: train, validation or test.
        out: folder to keep the embeddings in. A run that was stopped continues there, and the
            embeddings of a finished run are only read. Where the shards were made again, only
            clips whose frames are new are embedded.
        batch_size: number of frames at a time.
        overwrite: replace embeddings of another model or of other shards in `out`.
        finish: parts have been made by `embed_part`: an error names those of so many that are
            missing, instead of making them here.
        executor: what embeds the shards in place of this process; see
            `echoclip_r.jobs.local.run_jobs`. Its processes must see the same files.
        load: picklable function that loads the model in such a process.

    Returns:
        The clips in the order of the shards; a clip that cannot be read is logged and left out.

    Raises:
        ShardError: the shards cannot be read, the split holds no clip, `out` holds something else
            or is in use, or parts are missing.
        EvaluationError: an embedding holds NaN or infinity.
    """
    index = _index_for(model, shards_dir, split)
    shards = index.shards[split]
    if out is None:
        return joined(_parts(model, index, shards, split, batch_size), index.folder)
    folder, run = place(out), _run(model, index, split)
    paths = [_part_path(folder, shard) for shard in shards]
    if read_run(folder) == run and {path.name for path in paths} <= sizes(folder).keys():
        # Without the lock, so that several searches can read one folder.
        with suppress(_DamagedError):
            return joined(map(_read_whole, paths), index.folder)
    with claim_embeddings(folder, run, overwrite=overwrite and finish is None):
        there = sizes(folder)
        missing = [number for number, path in enumerate(paths) if path.name not in there]
        if finish is not None and missing:
            numbers = ", ".join(map(str, parts_of(missing, finish.count)))
            again = f"part {numbers} of {finish.count}" if finish.count > 1 else "their parts"
            raise ShardError(
                f"{folder}: {len(missing):,} of {len(paths):,} shards are not embedded, the first "
                f"{paths[missing[0]].stem}. Run {again} again: what is "
                "embedded is kept"
            )
        if executor is not None:
            assert load is not None, "another process loads the model itself"
            units = [shards[number] for number in missing]
            _embed_elsewhere(executor, load, model, index, units, split, batch_size, folder)
        return joined(_parts(model, index, shards, split, batch_size, folder), index.folder)


def embed_part(
    model: TrainedModel,
    shards_dir: Path | str,
    *,
    split: str,
    out: Path | str,
    part: Part,
    batch_size: int = 256,
) -> list[int]:
    """Embed a part of a split's shards, as `embed` does, while others do the other parts.

    Args:
        model: model from `echoclip_r.model.checkpoint.load_checkpoint`.
        shards_dir: folder of shards from `echoclip_r.data.preparation.prepare`.
        split: train, validation or test.
        out: folder to keep the embeddings in, the same for all parts. What is there is kept.
        part: which of the split's shards are embedded.
        batch_size: number of frames at a time.

    Returns:
        The number of clips of each of the part's shards, of which one at a time is in memory; none
        where there are more parts than shards.

    Raises:
        ShardError, EvaluationError: as `embed`.
    """
    index = _index_for(model, shards_dir, split)
    folder = place(out)
    with claim_embeddings(folder, _run(model, index, split), overwrite=False, shared=True):
        shards = part.of(index.shards[split])
        parts = _parts(model, index, shards, split, batch_size, folder, whole=False)
        return [len(made.clips) for made in parts]


def embed_status(
    shards_dir: Path | str, *, split: str, out: Path | str, num_parts: int = 1
) -> Status:
    """How far the embeddings of a split are that many machines make.

    Args:
        shards_dir: folder of shards from `echoclip_r.data.preparation.prepare`.
        split: train, validation or test.
        out: folder of the embeddings.
        num_parts: number of parts whose state is told.

    Raises:
        ShardError: the shards cannot be read, or no run has begun in `out`.
    """
    index, folder = read_index(shards_dir), place(out)
    if read_run(folder) is None:
        raise ShardError(f"{folder}: no run has begun there")
    there = sizes(folder)
    units = []
    for shard in index.shards[split]:
        path = _part_path(folder, shard)
        finished_s = path.stat().st_mtime if path.name in there else None
        units.append(Unit(num_clips=shard.num_clips, finished_s=finished_s))
    return status_of(units, num_parts=num_parts)


def embed_by_shard(
    model: TrainedModel,
    shards_dir: Path | str,
    *,
    split: str,
    out: Path | str,
    batch_size: int = 256,
) -> Iterator[tuple[Shard, Embedded]]:
    """Embed a split as `embed` does, and give it shard by shard: no more is held in memory.

    Args:
        model: as in `embed`.
        shards_dir: as in `embed`.
        split: train, validation or test.
        out: folder to keep the embeddings in; what lies there already is only read.
        batch_size: number of frames at a time.

    Raises:
        ShardError: as in `embed`.
        EvaluationError: an embedding holds NaN or infinity.
    """
    index = _index_for(model, shards_dir, split)
    folder, shards = place(out), index.shards[split]
    with claim_embeddings(folder, _run(model, index, split), overwrite=False):
        parts = _parts(model, index, shards, split, batch_size, folder)
        yield from zip(shards, parts, strict=True)


def _index_for(model: TrainedModel, shards_dir: Path | str, split: str) -> ShardIndex:
    index = read_index(shards_dir)
    check_kind(index.dimensions, model.reads_vectors, index.folder)
    if not index.shards.get(split):
        held = ", ".join(f"{name} {index.num_clips(name):,}" for name in index.shards)
        raise ShardError(f"{index.folder}: no clip in split {split!r} (clips: {held})")
    return index


def embed_texts(model: TrainedModel, texts: Sequence[str]) -> Floats:
    """Unit embeddings of texts, float32 (N, D); equal texts are embedded once."""
    places: dict[str, int] = {}
    at = [places.setdefault(text, len(places)) for text in texts]
    tell_losses(model.text, places)
    embeddings = model.embed_texts(list(places))
    check_embeddings(embeddings, "reports")
    return np.asarray(embeddings[at])


def embed_video(model: TrainedModel, frames: Frames) -> Floats:
    """The unit embedding, float32 (D,), of a clip's frames, pooled as for clips of shards."""
    if model.reads_vectors is not None:
        raise EchoclipError(
            f"{model.name} was trained on the embeddings of another image encoder (--frames-from) "
            "and reads no video; look for a text, or in clips of its own shards"
        )
    found = model.embed_frames(frames)
    check_embeddings(found, "frames")
    owner = np.zeros(len(found), np.int64)
    return np.asarray(MeanPooling().pool(found, owner, num_owners=1)[0])


def _parts(
    model: TrainedModel,
    index: ShardIndex,
    shards: Sequence[Shard],
    split: str,
    batch_size: int,
    folder: Path | None = None,
    *,
    whole: bool = True,
) -> Iterator[Embedded]:
    """The embeddings of each shard: read from `folder`, or made, and then kept there.

    `whole` says that these are all shards of the split, so that what is old is not needed any more.
    """
    old = None if folder is None else OldEmbeddings(folder)
    num_clips = sum(shard.num_clips for shard in shards)
    with Progress(num_clips, unit="clips", what="embed") as bar:
        for shard in shards:
            part = None if folder is None else read_part(_part_path(folder, shard))
            if part is None:
                part, contents = _embed_shard(model, shard, index, split, batch_size, old)
                if folder is not None:
                    write_part(_part_path(folder, shard), part, contents)
            yield part
            bar.advance(shard.num_clips)
    if old is not None and whole:
        old.drop()


# By other processes


@dataclass(frozen=True, slots=True, kw_only=True)
class _ShardTask:
    """What another process needs to embed a shard; `number` is its place in the split."""

    load: Callable[[], TrainedModel]
    fingerprint: str
    shards_dir: Path
    shards_sha256: str
    split: str
    number: int
    batch_size: int
    folder: Path


def _embed_elsewhere(
    executor: Executor,
    load: Callable[[], TrainedModel],
    model: TrainedModel,
    index: ShardIndex,
    shards: Sequence[Shard],
    split: str,
    batch_size: int,
    folder: Path,
) -> None:
    """Let an executor embed shards; each is in `folder` when it is whole."""
    places = {shard: number for number, shard in enumerate(index.shards[split])}
    jobs = (
        Job(
            name=shard.path.stem,
            payload=_ShardTask(
                load=load,
                fingerprint=model.fingerprint,
                shards_dir=index.folder.absolute(),
                shards_sha256=index.sha256,
                split=split,
                number=places[shard],
                batch_size=batch_size,
                folder=folder.absolute(),
            ),
        )
        for shard in shards
    )
    num_clips = sum(shard.num_clips for shard in shards)
    with Progress(num_clips, unit="clips", what="embed") as bar:
        for _, done in run_jobs(jobs, _embed_here, workers=1, error=ShardError, executor=executor):
            bar.advance(done)


_loaded: dict[str, TrainedModel] = {}
"""The model of this process, by its fingerprint: a worker embeds many shards with one."""
_load_lock = threading.Lock()


def _embed_here(job: Job[_ShardTask]) -> int:
    """Embed a shard as another process asked for it; how many clips it has."""
    task = job.payload
    with _load_lock:  # where a worker has threads
        if task.fingerprint not in _loaded:
            _loaded.clear()
            found = task.load()
            _loaded[found.fingerprint] = found
    model = _loaded.get(task.fingerprint)
    index = read_index(task.shards_dir)
    if model is None or index.sha256 != task.shards_sha256:
        what = "model" if model is None else f"shards in {task.shards_dir}"
        raise ShardError(
            f"{job.name}: the {what} of this worker is not that of the command; workers must see "
            "the same files"
        )
    shard = index.shards[task.split][task.number]
    old = OldEmbeddings(task.folder)
    part, contents = _embed_shard(model, shard, index, task.split, task.batch_size, old)
    write_part(_part_path(task.folder, shard), part, contents)
    return shard.num_clips


class _DamagedError(Exception):
    """A file of embeddings cannot be read, and is made again."""


def _read_whole(path: Path) -> Embedded:
    part = read_part(path)
    if part is None:
        raise _DamagedError
    return part


def _part_path(folder: Path, shard: Shard) -> Path:
    return folder / f"{shard.path.stem}.parquet"


# One shard


def _embed_shard(
    model: TrainedModel,
    shard: Shard,
    index: ShardIndex,
    split: str,
    batch_size: int,
    old: OldEmbeddings | None,
) -> tuple[Embedded, list[bytes]]:
    """The embeddings of a shard, and what names the frames of each of its clips."""
    rows: list[dict[str, Any]] = []
    contents: list[bytes] = []
    embedded: list[Floats] = []
    owners: list[NDArray[np.int64]] = []
    for clips, decoded in _batches(model, shard, batch_size, old):
        counts = []
        for clip in clips:
            record = clip.record
            labels = record.get("labels") or {}
            ids = {
                "key": clip.key,
                "study_id": str(record["study_id"]),
                "patient_id": str(record["patient_id"]),
                "split": split,
                "view": record.get("view") or "",
                "date": record.get("date") or "",
                "report": clip.report,
            }
            rows.append({**ids, **{name: float(labels.get(name, np.nan)) for name in index.labels}})
            contents.append(_content(clip))
            counts.append(len(clip.frames_encoded))
        owners.append(np.repeat(np.arange(len(rows) - len(clips), len(rows)), counts))
        new = [picture for held in decoded if isinstance(held, list) for picture in held]
        found = model.embed_pictures(new, batch_size=batch_size)
        check_embeddings(found, "frames")
        at = 0
        for held in decoded:
            if isinstance(held, list):
                embedded.append(found[at : at + len(held)])
                at += len(held)
            else:
                embedded.append(held)
    columns = [*ID_COLUMNS, "report", *index.labels]
    part = Embedded(
        clips=pd.DataFrame(rows, columns=columns),
        frames=np.concatenate(embedded) if embedded else np.zeros((0, model.embed_dim), np.float32),
        frame_clip=np.concatenate(owners) if owners else np.zeros(0, np.int64),
    )
    return part, contents


_Held = list[NDArray[np.uint8]] | Floats
"""A clip's pictures, or their embeddings where these are known already."""


def _content(clip: Clip) -> bytes:
    """What names a clip's frames."""
    digest = hashlib.sha256()
    for encoded in clip.frames_encoded:
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.digest()


def _batches(
    model: TrainedModel, shard: Shard, batch_size: int, old: OldEmbeddings | None
) -> Iterator[tuple[list[Clip], list[_Held]]]:
    """Whole clips of at least `batch_size` frames together, the next decoded ahead of its use."""

    def held(clip: Clip) -> _Held | BadClip:
        known = None if old is None else old.find(_content(clip), model.embed_dim)
        return _decode(clip, model.spec.channels) if known is None else known

    with ThreadPoolExecutor(num_cpus()) as pool:
        ahead: list[Any] = []
        for clips in _groups(shard, batch_size):
            # Pillow decodes without holding the interpreter's lock.
            ahead.append((clips, [pool.submit(held, clip) for clip in clips]))
            if len(ahead) > 1:
                yield _decoded(*ahead.pop(0))
        for waiting in ahead:
            yield _decoded(*waiting)


def _groups(shard: Shard, batch_size: int) -> Iterator[list[Clip]]:
    group: list[Clip] = []
    num_frames = 0
    for clip in read_shard(shard):
        group.append(clip)
        num_frames += len(clip.frames_encoded)
        if num_frames >= batch_size:
            yield group
            group, num_frames = [], 0
    if group:
        yield group


def _decode(clip: Clip, channels: str) -> list[NDArray[np.uint8]] | BadClip:
    try:
        frames = [clip.decode(number) for number in range(len(clip.frames_encoded))]
        return shown(frames, channels)
    except ShardError as error:
        return BadClip(clip.key, str(error))


def _decoded(clips: Sequence[Clip], waiting: Sequence[Any]) -> tuple[list[Clip], list[_Held]]:
    kept: list[Clip] = []
    frames: list[_Held] = []
    for clip, future in zip(clips, waiting, strict=True):
        found = future.result()
        if isinstance(found, BadClip):
            _log.warning("%s is left out: %s", clip.key, found.reason)
            continue
        kept.append(clip)
        frames.append(found)
    return kept, frames


def _run(model: TrainedModel, index: ShardIndex, split: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "model": model.name,
        "fingerprint": model.fingerprint,
        "dimensions": model.embed_dim,
        "shards": str(index.folder.resolve()),
        "shards_sha256": index.sha256,
        "split": split,
        "parts": [shard.path.stem for shard in index.shards[split]],
    }
