"""Writing one shard, whole or not at all, which is the work of a worker process."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

from echoclip_r.data.rows import Reject
from echoclip_r.data.samples import (
    Attempt,
    ClipRow,
    Sample,
    SampleOptions,
    make_sample,
    source_fingerprint,
)
from echoclip_r.data.shard_records import (
    Record,
    Remark,
    ShardInfo,
    begin_settling,
    drop_note,
    load_record,
    note_item,
    save_record,
    write_looks,
    writing_shards,
)
from echoclip_r.data.siblings import ClipLook, Sibling, shape_to_json
from echoclip_r.errors import MediaError, ShardError
from echoclip_r.jobs.local import Job
from echoclip_r.places import is_remote
from echoclip_r.storage import sha256_of, whole_file

__all__ = ["ShardTask", "add_sample", "settle_shard", "settled_fingerprint", "write_shard"]

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
        siblings: for the keys of doubtful clips, what their siblings say; see `settle_shard`.
    """

    out_dir: Path
    split: str
    rows: tuple[ClipRow, ...]
    options: SampleOptions
    min_free_bytes: int
    siblings: Mapping[str, Sibling] = field(default_factory=dict)


def write_shard(job: Job[ShardTask]) -> Record:
    """Write a shard, its record and how its clips look.

    Raises:
        ShardError: the shard cannot be written; no part of it is left then.
    """
    task, looks, used = job.payload, [], []

    def attempt(position: int, row: ClipRow) -> Attempt:
        if position in job.skip:
            return Attempt(sample=None, refusal=_CRASHED)
        made = _try(row, task.options)
        if made.look is not None:
            looks.append(ClipLook(key=row.key, study_id=row.study_id, look=made.look))
        if made.rule is not None:
            used.append((made.rule, made.sample is not None))
        return made

    record = _write(job, attempt)
    record = replace(
        record,
        rules=tuple(sorted({rule for rule, _ in used})),
        num_given=sum(kept for _, kept in used),
    )
    with writing_shards(task.out_dir, f"the record of {record.info.name}"):
        write_looks(task.out_dir, job.name, looks)
        save_record(task.out_dir, job.name, record)
    return record


def settle_shard(job: Job[ShardTask]) -> Record:
    """Write a finished shard again with the outlines that siblings give to its doubtful clips.

    Only those clips are read; all others are copied from the shard as it is.

    Raises:
        ShardError: the shard cannot be written; the one before is left then.
    """
    task = job.payload
    before = load_record(task.out_dir, job.name, settling=True)
    assert before is not None and not before.settled, "only a finished shard is settled, and once"
    num_settled = 0
    rejects = {reject.row: reject for reject in before.rejects}
    notes: dict[int, list[str]] = {}
    for remark in before.remarks:
        notes.setdefault(remark.row, []).append(remark.remark)
    begin_settling(task.out_dir, job.name)
    with ExitStack() as stack:
        finished: Iterator[tuple[str, list[tuple[str, bytes]]]] = iter(())
        if before.info.num_clips:
            file = stack.enter_context((task.out_dir / before.info.name).open("rb"))
            tar = stack.enter_context(tarfile.open(fileobj=file, mode="r:"))
            finished = _samples_of(tar)

        def attempt(position: int, row: ClipRow) -> Attempt:
            nonlocal num_settled
            if row.row in rejects:
                reject = rejects[row.row]
                old = Attempt(sample=None, refusal=reject.reason, doubt=reject.doubt)
            else:
                key, files = next(finished)
                assert key == row.key, "a shard holds its clips in the order of its rows"
                old = Attempt(sample=_sample_again(files, tuple(notes.get(row.row, ()))))
            sibling = task.siblings.get(row.key)
            if sibling is None or position in job.skip:
                return old
            made = _try(row, task.options, sibling)
            if made.sample is None or not made.sample.sure:
                return old
            num_settled += 1
            return made

        record = replace(
            _write(job, attempt),
            rules=before.rules,
            num_given=before.num_given,
            settled=settled_fingerprint(task.siblings),
        )
        record = replace(record, num_settled=num_settled)
        with writing_shards(task.out_dir, f"the record of {record.info.name}"):
            save_record(task.out_dir, job.name, record)
    return record


def settled_fingerprint(siblings: Mapping[str, Sibling]) -> str:
    """Tells whether the siblings of a shard's doubtful clips are still the same; "" for none."""
    if not siblings:
        return ""
    facts = [
        [key, shape_to_json(sibling.shape), sibling.num_clips, sibling.of]
        for key, sibling in sorted(siblings.items())
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _write(job: Job[ShardTask], attempt: Callable[[int, ClipRow], Attempt]) -> Record:
    """Write the shard of what came of each clip; its record is not saved yet."""
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
                        made = attempt(position, row)
                        if made.sample is None:
                            rejects.append(
                                Reject(
                                    row=row.row,
                                    column="video",
                                    reason=made.refusal,
                                    study_id=row.study_id,
                                    file=row.video,
                                    doubt=made.doubt,
                                )
                            )
                            continue
                        add_sample(tar, made.sample)
                        remarks += [
                            Remark(row=row.row, study_id=row.study_id, file=row.video, remark=note)
                            for note in made.sample.notes
                        ]
                        samples += 1
                        num_frames += made.sample.num_frames
                        num_unsure += not made.sample.sure
                sha256 = sha256_of(partial)
                num_bytes = partial.stat().st_size
            if not samples:  # readers of WebDataset take an empty shard for an error
                final.unlink(missing_ok=True)  # two may have made it
        finally:
            drop_note(task.out_dir, name)
    # The note is gone before the record is there: a run killed between makes the shard again.
    info = ShardInfo(
        name=final.name,
        split=task.split,
        num_clips=samples,
        num_frames=num_frames,
        num_unsure=num_unsure,
        num_bytes=num_bytes if samples else 0,
        sha256=sha256 if samples else "",
    )
    return Record(info=info, sources=sources, rejects=tuple(rejects), remarks=tuple(remarks))


def _try(row: ClipRow, options: SampleOptions, sibling: Sibling | None = None) -> Attempt:
    """What comes of a clip, whatever reading it does."""
    try:
        return make_sample(row, options, sibling=sibling)
    except MediaError as error:
        return Attempt(sample=None, refusal=error.reason)
    except ConnectionError:
        raise  # the store of the clips does not answer, which is no fault of this one
    except Exception as error:
        # A clip must not end the run (I12). The message may quote the file, so it is left out.
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return Attempt(
            sample=None,
            refusal=f"it cannot be read ({type(error).__name__} in {where}); please report this",
        )


def _samples_of(tar: tarfile.TarFile) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Key and files of each sample of a shard, in order."""
    key = ""
    files: list[tuple[str, bytes]] = []
    for member in tar:
        content = tar.extractfile(member)
        assert content is not None, "a shard holds files alone"
        own = member.name.split(".", 1)[0]
        if own != key and files:
            yield key, files
            files = []
        key = own
        files.append((member.name, content.read()))
    if files:
        yield key, files


def _sample_again(files: list[tuple[str, bytes]], notes: tuple[str, ...]) -> Sample:
    record = json.loads(files[-1][1])
    return Sample(
        files=tuple(files),
        num_frames=len(record["frames"]),
        sure=record["sector"]["sure"],
        notes=notes,
    )


def add_sample(tar: tarfile.TarFile, sample: Sample) -> None:
    """Add a sample's files to a shard that is being written."""
    for name, content in sample.files:
        entry = tarfile.TarInfo(name)  # owner 0, time 0: nothing of this machine
        entry.size = len(content)
        tar.addfile(entry, BytesIO(content))


def _check_space(out_dir: Path, name: str, min_free_bytes: int) -> None:
    where = Path(tempfile.gettempdir()) if is_remote(out_dir) else out_dir
    free = shutil.disk_usage(where).free
    if free < min_free_bytes:
        raise ShardError(
            f"{where}: {free / 1e9:.2f} GB of disk are free, and {min_free_bytes / 1e9:.2f} GB "
            f"are asked for, so {name}.tar was not begun. Free some space, or ask for less "
            "(--min-free-gb). Run the same command again to go on: finished shards are kept"
        )
