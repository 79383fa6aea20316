"""A manifest -> WebDataset shards that a kill, a full disk or a broken file cannot spoil.

    OUT/train-000000.tar ...  KEY.000.jpg ... KEY.009.jpg, KEY.txt, KEY.json of each clip
    OUT/index.json            options, counts, and each shard's name, counts and sha256
    OUT/SHA256SUMS            the same sums for `sha256sum -c`
    OUT/rejects.csv           the rows that were left out: row, study, column, file and reason
    OUT/remarks.csv           faults of files that were used nevertheless, and sectors that are from
                              elsewhere (given, or of siblings), where there are any
    OUT/state/                files that a second run needs to continue; not for training

`rejects.csv`, `remarks.csv` and `state` name studies and files as the archive does, even where the
shards hold pseudonyms: keep them with the archive.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from echoclip_r.data.cells import AS_IT_IS, TableFormat
from echoclip_r.data.manifest import read_manifest
from echoclip_r.data.outlines import read_outlines
from echoclip_r.data.plan import Plan, PlannedShard, make_plan
from echoclip_r.data.rows import Reject
from echoclip_r.data.samples import SampleOptions, source_fingerprint
from echoclip_r.data.shard_records import (
    Record,
    Remark,
    ShardInfo,
    claim_shards,
    finished_s,
    load_record,
    noted_item,
    read_looks,
    run_options,
    write_index,
    write_rejects,
    write_remarks,
    writing_shards,
)
from echoclip_r.data.shard_writer import (
    ShardTask,
    settle_shard,
    settled_fingerprint,
    write_shard,
)
from echoclip_r.data.siblings import ClipLook, Sibling, groups_of, settle
from echoclip_r.data.splits import SPLITS
from echoclip_r.errors import OptionError, ShardError
from echoclip_r.jobs.local import Job, run_jobs
from echoclip_r.jobs.parts import Part, parts_of
from echoclip_r.jobs.progress import Progress
from echoclip_r.jobs.status import Status, Unit, status_of
from echoclip_r.places import at_once, is_remote, place

__all__ = ["PrepareResult", "prepare", "prepare_status"]

_log = logging.getLogger(__name__)

_MAX_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareResult:
    """The shards that `prepare` made; of a part of the run, what is in its own shards.

    Attributes:
        out_dir: folder of the shards.
        shards: all shards that hold a clip, in order.
        rejects: all rows that were left out, in order, because of the manifest or of the clip.
        remarks: remarks, in order of rows, on clips that were used although their files have
            faults, or whose sector is from elsewhere.
        unused_rules: rows of the file of sectors that held for no clip.
        num_studies: number of studies with at least one clip; each has one report.
        num_given: number of clips on which a row of the file of sectors decided to use them.
        num_settled: number of clips that have the outline of their siblings.
        num_resumed: number of clips in shards that an earlier run had finished.
    """

    out_dir: Path
    shards: tuple[ShardInfo, ...]
    rejects: tuple[Reject, ...]
    remarks: tuple[Remark, ...]
    unused_rules: tuple[int, ...]
    num_studies: int
    num_given: int
    num_settled: int
    num_resumed: int

    @property
    def num_clips(self) -> int:
        """Number of clips in all shards."""
        return sum(shard.num_clips for shard in self.shards)

    @property
    def num_frames(self) -> int:
        """Number of frames in all shards."""
        return sum(shard.num_frames for shard in self.shards)

    @property
    def num_unsure(self) -> int:
        """Number of clips whose sector was not found with certainty."""
        return sum(shard.num_unsure for shard in self.shards)


def prepare(
    manifest_path: str | Path,
    out_dir: str | Path,
    *,
    size_px: int = 224,
    frames_per_clip: int = 10,
    image_format: str = "jpeg",
    workers: int = 1,
    seed: int = 0,
    clips_per_shard: int = 256,
    labels: Sequence[str] | None = None,
    keep_unsure: bool = False,
    sectors: str | Path | None = None,
    masked: bool = False,
    form: TableFormat = AS_IT_IS,
    hash_salt: str | None = None,
    min_free_bytes: int = 1 << 30,
    overwrite: bool = False,
    part: Part | None = None,
    finish: bool = False,
    executor: Executor | None = None,
) -> PrepareResult:
    """Turn an archive into shards: clips masked to the sector, cropped, resized, with reports.

    The same manifest, options and seed give the same bytes, whatever the number of workers and
    however often the run was stopped. In a folder with unfinished shards a new call continues; in a
    folder with finished shards it makes again only those whose clips changed on disk.

    Parts of a run can be made by processes on several machines that see the same folder, in any
    order and at once; `finish` then settles doubtful clips by their siblings, which may be in any
    shard, and writes the index. The bytes are those of one call without parts.

    Worker processes start afresh, so a script must call this under `if __name__ == "__main__":`.

    Args:
        manifest_path: the manifest; see `echoclip_r.data.manifest`.
        out_dir: a folder that is empty, does not exist, or holds shards of this same run.
        size_px: side of the square frames, in pixels.
        frames_per_clip: number of frames kept of each clip; a shorter clip keeps all its frames.
        image_format: `jpeg` or `png` (lossless).
        workers: number of processes; 0 works in this process, which a decoder's crash would end.
        seed: seed of the splits, of the order of clips and of the choice of frames.
        clips_per_shard: number of clips in each shard, with rejected ones.
        labels: columns that are labels; see `read_manifest`.
        keep_unsure: keep clips whose sector was not found with certainty, instead of rejecting
            them.
        sectors: a file of sectors, which says by hand what the pictures of clips, studies or
            machines are; see `echoclip_r.data.outlines`. When it changes, the shards in which that
            may change a clip are made again.
        masked: the clips were masked already; each is held against that instead of being guessed.
        form: how the manifest is written, where that is not to be told from the file.
        hash_salt: secret of at least 16 characters; the shards then hold pseudonyms for study and
            patient ids, and dates moved by up to a year, by the same time for all studies of a
            patient. The reports' text is never changed: remove names from it before.
        min_free_bytes: stop before a shard when less disk space than this is free.
        overwrite: first delete shards of other options or of another manifest from `out_dir`;
            never done by a part.
        part: make only the shards of this part, without an index.
        finish: the parts have been made: make no shard, but an error that names those that are
            missing; `part` then says among how many parts they are looked for.
        executor: what does the work in place of processes of this machine; see
            `echoclip_r.jobs.local.run_jobs`. Its processes must see the same files.

    Returns:
        The counts, shards and rejected rows.

    Raises:
        ManifestError: the manifest or the file of sectors cannot be used; see `read_manifest` and
            `read_outlines`.
        ShardError: there is no usable row, `out_dir` holds something else or is in use, the
            disk is full, or shards are missing that parts should have made.
        OptionError: an option is out of range.
    """
    options = SampleOptions(
        size_px=size_px,
        frames_per_clip=frames_per_clip,
        image_format=image_format,
        seed=seed,
        keep_unsure=keep_unsure,
        masked=masked,
        hash_salt=hash_salt,
    )
    if workers < 0:
        raise OptionError(f"workers is {workers}; it must be 0 or more")
    if executor is not None:  # its processes may stand in another folder
        manifest_path, out_dir = place(manifest_path).absolute(), place(out_dir).absolute()
    outlines = None if sectors is None else read_outlines(sectors)
    manifest = read_manifest(manifest_path, seed=seed, labels=labels, check_files=False, form=form)
    plan = make_plan(manifest, options, clips_per_shard=clips_per_shard, outlines=outlines)
    if not plan.shards:
        first = manifest.rejects[0]
        raise ShardError(
            f"{manifest_path}: none of the {manifest.num_rows} rows can be used; the first, row "
            f"{first.row}, because of {first.column or 'its cells'}: {first.reason}"
        )
    for name, why in manifest.ignored.items():
        _log.warning("column %r is not used as a label: %s", name, why)
    out_dir = place(out_dir)
    with claim_shards(
        out_dir,
        options=plan.options,
        rows_fingerprint=plan.rows_fingerprint,
        overwrite=overwrite,
        shared=part is not None and not finish,
    ):
        due = plan.shards if part is None or finish else part.of(plan.shards)
        known = at_once(
            lambda shard: load_record(out_dir, shard.name), due, remote=is_remote(out_dir)
        )
        records = {
            shard.name: record
            for shard, record in zip(due, known, strict=True)
            if record is not None and record.sources == source_fingerprint(plan.rows(shard))
        }
        num_resumed = sum(record.info.num_clips for record in records.values())
        if num_resumed:
            _log.info("%d clips were finished by an earlier run", num_resumed)
        if finish and len(records) < len(due):
            raise _missing(plan, records, out_dir, part)
        done = sum(len(shard.indices) for shard in due if shard.name in records)
        tasks = {shard.name: _task(plan, shard, out_dir, options, min_free_bytes) for shard in due}
        left = (
            Job(name=name, payload=task()) for name, task in tasks.items() if name not in records
        )
        num_clips = sum(len(shard.indices) for shard in due)
        with Progress(num_clips, unit="clips", what="prepare", done=done) as bar:
            records |= _run(left, write_shard, out_dir, workers, bar, executor)
        if part is not None and not finish:
            return _result(plan, due, out_dir, records, num_resumed)
        if not masked:
            _settle(records, tasks, out_dir, workers, executor)
        return _finish(plan, out_dir, records, num_resumed)


def prepare_status(
    manifest_path: str | Path,
    out_dir: str | Path,
    *,
    seed: int = 0,
    clips_per_shard: int = 256,
    labels: Sequence[str] | None = None,
    form: TableFormat = AS_IT_IS,
    num_parts: int = 1,
) -> tuple[Status, tuple[Reject, ...]]:
    """How far a run is that many machines share, and which clips were left out so far.

    Args:
        manifest_path: as in `prepare`.
        out_dir: as in `prepare`.
        seed: as in `prepare`.
        clips_per_shard: as in `prepare`.
        labels: as in `prepare`.
        form: as in `prepare`.
        num_parts: number of parts whose state is told.

    Raises:
        ManifestError: as in `prepare`.
        ShardError: there is no run in `out_dir`, or one of other options.
    """
    out_dir = place(out_dir)
    manifest = read_manifest(manifest_path, seed=seed, labels=labels, check_files=False, form=form)
    plan = make_plan(manifest, SampleOptions(seed=seed), clips_per_shard=clips_per_shard)
    known = run_options(out_dir)
    if known is None:
        raise ShardError(f"{out_dir}: no run has begun there")
    for name, value in (("seed", seed), ("clips_per_shard", clips_per_shard)):
        if known.get(name) != value:
            raise ShardError(f"{out_dir}: its run has {name} {known.get(name)}, and not {value}")
    records = at_once(
        lambda shard: load_record(out_dir, shard.name), plan.shards, remote=is_remote(out_dir)
    )
    units = [
        Unit(
            num_clips=len(shard.indices),
            finished_s=None if record is None else finished_s(out_dir, shard.name),
        )
        for shard, record in zip(plan.shards, records, strict=True)
    ]
    rejects = [reject for record in records if record is not None for reject in record.rejects]
    return status_of(units, num_parts=num_parts), (*manifest.rejects, *rejects)


def _task(
    plan: Plan, shard: PlannedShard, out_dir: Path, options: SampleOptions, min_free_bytes: int
) -> Callable[[], ShardTask]:
    """Makes the task of a shard when it is due: the rows of all shards at once may be millions."""
    return lambda: ShardTask(
        out_dir=out_dir,
        split=shard.split,
        rows=plan.rows(shard),
        options=options,
        min_free_bytes=min_free_bytes,
    )


def _run(
    jobs: Iterable[Job[ShardTask]],
    work: Callable[[Job[ShardTask]], Record],
    out_dir: Path,
    workers: int,
    bar: Progress,
    executor: Executor | None,
) -> dict[str, Record]:
    """Write shards in worker processes, and show clip by clip how far they are."""
    records = {}
    done = bar.done

    def meanwhile(names: Sequence[str]) -> None:
        bar.at(done + sum(noted_item(out_dir, name) or 0 for name in names))

    for job, record in run_jobs(
        jobs,
        work,
        workers=workers,
        error=ShardError,
        executor=executor,
        item_at_crash=lambda name: noted_item(out_dir, name),
        meanwhile=meanwhile,
    ):
        records[job.name] = record
        done += len(job.payload.siblings or job.payload.rows)
        bar.at(done)
    return records


def _settle(
    records: dict[str, Record],
    tasks: Mapping[str, Callable[[], ShardTask]],
    out_dir: Path,
    workers: int,
    executor: Executor | None,
) -> None:
    """Give doubtful clips the outlines of their siblings, where these have one."""
    wanted = _siblings_of_doubtful(out_dir, list(records))
    prints = {name: settled_fingerprint(wanted.get(name, {})) for name in records}
    spoilt = [name for name in records if records[name].settled not in ("", prints[name])]
    due = [name for name in records if records[name].settled != prints[name] and prints[name]]
    if spoilt:
        # Siblings have changed since: back to what the clips themselves say.
        jobs = (Job(name=name, payload=tasks[name]()) for name in spoilt)
        with Progress(len(spoilt), unit="shards", what="again") as bar:
            records |= _run(jobs, write_shard, out_dir, workers, bar, executor)
    if due:
        num_clips = sum(len(wanted[name]) for name in due)
        _log.info("%d doubtful clips have siblings whose sectors are sure", num_clips)
        jobs = (
            Job(name=name, payload=replace(tasks[name](), siblings=wanted[name])) for name in due
        )
        with Progress(num_clips, unit="doubtful clips", what="siblings") as bar:
            records |= _run(jobs, settle_shard, out_dir, workers, bar, executor)


def _siblings_of_doubtful(out_dir: Path, names: Sequence[str]) -> dict[str, dict[str, Sibling]]:
    """For each shard the doubtful clips with siblings; only their groups are held in memory."""
    groups = {
        group
        for name in names
        for clip in read_looks(out_dir, name)
        if clip.look.shape is None
        for group in groups_of(clip)
    }
    relatives: list[ClipLook] = []
    shard_of: dict[str, str] = {}
    for name in names if groups else ():
        for clip in read_looks(out_dir, name):
            if not groups.isdisjoint(groups_of(clip)):
                relatives.append(clip)
                shard_of[clip.key] = name
    found: dict[str, dict[str, Sibling]] = {}
    for key, sibling in settle(relatives).items():
        found.setdefault(shard_of[key], {})[key] = sibling
    return found


def _missing(
    plan: Plan, records: Mapping[str, Record], out_dir: Path, part: Part | None
) -> ShardError:
    """Names the shards that parts have not made, and the parts, where it is said how many."""
    missing = [number for number, shard in enumerate(plan.shards) if shard.name not in records]
    names = [f"{plan.shards[number].name}.tar" for number in missing]
    message = (
        f"{out_dir}: {len(missing):,} of {len(plan.shards):,} shards are missing, or their clips "
        f"have changed since: {_some(names)}. "
    )
    if part is None:
        return ShardError(message + "Run their parts again: finished shards are kept")
    parts = [*map(str, parts_of(missing, part.count))]
    return ShardError(
        f"{message}Run part {_some(parts)} of {part.count} again: finished shards are kept"
    )


def _some(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def _result(
    plan: Plan,
    due: Sequence[PlannedShard],
    out_dir: Path,
    records: Mapping[str, Record],
    num_resumed: int,
) -> PrepareResult:
    """What has become of some shards; of all, with what was wrong with the manifest."""
    found = [records[shard.name] for shard in due]
    rejects = [reject for record in found for reject in record.rejects]
    used = {rule for record in found for rule in record.rules}
    whole = len(due) == len(plan.shards)
    if whole:
        rejects += plan.manifest.rejects
    rows = np.concatenate([np.empty(0, np.int64), *(shard.indices for shard in due)])
    frame = plan.manifest.frame.iloc[rows]
    kept = frame[~frame["row"].isin([reject.row for reject in rejects])]
    return PrepareResult(
        out_dir=out_dir,
        shards=tuple(record.info for record in found if record.info.num_clips),
        rejects=tuple(sorted(rejects, key=lambda reject: reject.row)),
        remarks=tuple(
            sorted(
                (remark for record in found for remark in record.remarks),
                key=lambda remark: remark.row,
            )
        ),
        unused_rules=plan.outlines.unused(used) if plan.outlines is not None and whole else (),
        num_given=sum(record.num_given for record in found),
        num_settled=sum(record.num_settled for record in found),
        num_studies=int(kept["study_id"].nunique()),
        num_resumed=num_resumed,
    )


def _finish(
    plan: Plan, out_dir: Path, records: Mapping[str, Record], num_resumed: int
) -> PrepareResult:
    """Write index and rejects once every shard is finished."""
    result = _result(plan, plan.shards, out_dir, records, num_resumed)
    frame = plan.manifest.frame
    kept = frame[~frame["row"].isin([reject.row for reject in result.rejects])]
    counts = {}
    for split in SPLITS:
        part = kept[kept["split"] == split]
        counts[split] = {
            "num_patients": int(part["patient_id"].nunique()),
            "num_studies": int(part["study_id"].nunique()),
            "num_clips": len(part),
        }
    with writing_shards(out_dir, "the index"):
        write_rejects(out_dir, result.rejects)
        write_remarks(out_dir, result.remarks)
        write_index(
            out_dir,
            result.shards,
            options=plan.options,
            rows_fingerprint=plan.rows_fingerprint,
            counts=counts,
            num_rejects=len(result.rejects),
            num_given=result.num_given,
            num_settled=result.num_settled,
        )
    if not result.shards:
        raise ShardError(
            f"{out_dir}: every clip was rejected, the first, row {result.rejects[0].row}, because: "
            f"{result.rejects[0].reason}; rejects.csv there names them all"
        )
    return result
