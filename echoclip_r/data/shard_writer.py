"""Writing one shard, whole or not at all, which is the work of a worker process."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import traceback
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from echoclip_r.data.rows import Reject
from echoclip_r.data.samples import ClipRow, Sample, SampleOptions, make_sample, source_fingerprint
from echoclip_r.data.shard_records import (
    Record,
    Remark,
    ShardInfo,
    drop_note,
    note_item,
    save_record,
    writing_shards,
)
from echoclip_r.errors import MediaError, ShardError
from echoclip_r.jobs.local import Job
from echoclip_r.storage import whole_file

__all__ = ["ShardTask", "write_shard"]

_CRASHED = (
    "reading it ended the worker process, twice: the decoder crashed, or memory ran out; convert "
    "the clip to another format and try again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """Everything that a worker needs to write one shard.

    Attributes:
        out_dir: folder to write to.
        split: split of all its clips.
        rows: its clips in order.
        options: options that say how a sample is made.
        min_free_bytes: stop when less disk space than this is free.
    """

    out_dir: Path
    split: str
    rows: tuple[ClipRow, ...]
    options: SampleOptions
    min_free_bytes: int


def write_shard(job: Job[ShardTask]) -> Record:
    """Write a shard and its record.

    Raises:
        ShardError: the shard cannot be written; no part of it is left then.
    """
    task, name = job.payload, job.name
    _check_space(task.out_dir, name, task.min_free_bytes)
    final = task.out_dir / f"{name}.tar"
    sources = source_fingerprint(task.rows)
    rejects: list[Reject] = []
    remarks: list[Remark] = []
    samples = num_frames = num_unsure = 0
    # Making a sample turns whatever a clip does into a reject, so an OSError is one of writing.
    with writing_shards(task.out_dir, final.name):
        try:
            with whole_file(final) as partial:
                with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
                    for position, row in enumerate(task.rows):
                        note_item(task.out_dir, name, position)
                        result = _CRASHED if position in job.skip else _try(row, task.options)
                        if isinstance(result, str):
                            rejects.append(
                                Reject(
                                    row=row.row,
                                    column="video",
                                    reason=result,
                                    study_id=row.study_id,
                                    file=row.video,
                                )
                            )
                            continue
                        _add(tar, result)
                        remarks += [
                            Remark(row=row.row, study_id=row.study_id, file=row.video, remark=note)
                            for note in result.notes
                        ]
                        samples += 1
                        num_frames += result.num_frames
                        num_unsure += not result.sure
                with partial.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                num_bytes = partial.stat().st_size
            if not samples:  # readers of WebDataset take an empty shard for an error
                final.unlink()
        finally:
            drop_note(task.out_dir, name)
        # After the note is gone: a run that is killed here makes the shard again.
        info = ShardInfo(
            name=final.name,
            split=task.split,
            num_clips=samples,
            num_frames=num_frames,
            num_unsure=num_unsure,
            num_bytes=num_bytes if samples else 0,
            sha256=sha256 if samples else "",
        )
        record = Record(info=info, sources=sources, rejects=tuple(rejects), remarks=tuple(remarks))
        save_record(task.out_dir, name, record)
    return record


def _try(row: ClipRow, options: SampleOptions) -> Sample | str:
    """The clip's sample, or why there is none."""
    try:
        return make_sample(row, options)
    except MediaError as error:
        return error.reason
    except Exception as error:
        # A clip must not end the run (I12). The message may quote the file, so it is left out.
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return f"it cannot be read ({type(error).__name__} in {where}); please report this"


def _add(tar: tarfile.TarFile, sample: Sample) -> None:
    for name, content in sample.files:
        entry = tarfile.TarInfo(name)  # owner 0, time 0: nothing of this machine
        entry.size = len(content)
        tar.addfile(entry, BytesIO(content))


def _check_space(out_dir: Path, name: str, min_free_bytes: int) -> None:
    free = shutil.disk_usage(out_dir).free
    if free < min_free_bytes:
        raise ShardError(
            f"{out_dir}: {free / 1e9:.2f} GB of disk are free, and {min_free_bytes / 1e9:.2f} GB "
            f"are asked for, so {name}.tar was not begun. Free some space, or ask for less "
            "(--min-free-gb). Run the same command again to go on: finished shards are kept"
        )
