"""A manifest -> WebDataset shards that a kill, a full disk or a broken file cannot spoil.

    OUT/train-000000.tar ...  KEY.000.jpg ... KEY.009.jpg, KEY.txt, KEY.json of each clip
    OUT/index.json            options, counts, and each shard's name, counts and sha256
    OUT/SHA256SUMS            the same sums for `sha256sum -c`
    OUT/rejects.csv           the rows that were left out: row, study, column, file and reason
    OUT/remarks.csv           faults of files that were used nevertheless, where there are any
    OUT/state/                files that a second run needs to continue; not for training

`rejects.csv`, `remarks.csv` and `state` name studies and files as the archive does, even where the
shards hold pseudonyms: keep them with the archive.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from echoclip_r.data.manifest import read_manifest
from echoclip_r.data.plan import Plan, make_plan
from echoclip_r.data.rows import Reject
from echoclip_r.data.samples import SampleOptions, source_fingerprint
from echoclip_r.data.shard_records import (
    Record,
    Remark,
    ShardInfo,
    claim_shards,
    load_record,
    noted_item,
    write_index,
    write_rejects,
    write_remarks,
    writing_shards,
)
from echoclip_r.data.shard_writer import ShardTask, write_shard
from echoclip_r.data.splits import SPLITS
from echoclip_r.errors import OptionError, ShardError
from echoclip_r.jobs.local import Job, run_jobs
from echoclip_r.jobs.progress import Progress

__all__ = ["PrepareResult", "prepare"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareResult:
    """The shards that `prepare` made.

    Attributes:
        out_dir: folder of the shards.
        shards: all shards that hold a clip, in order.
        rejects: all rows that were left out, in order, because of the manifest or of the clip.
        remarks: remarks, in order of rows, on clips that were used although their files have
            faults.
        num_studies: number of studies with at least one clip; each has one report.
        num_resumed: number of clips in shards that an earlier run had finished.
    """

    out_dir: Path
    shards: tuple[ShardInfo, ...]
    rejects: tuple[Reject, ...]
    remarks: tuple[Remark, ...]
    num_studies: int
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
    hash_salt: str | None = None,
    min_free_bytes: int = 1 << 30,
    overwrite: bool = False,
) -> PrepareResult:
    """Turn an archive into shards: clips masked to the sector, cropped, resized, with reports.

    The same manifest, options and seed give the same bytes, whatever the number of workers and
    however often the run was stopped. In a folder with unfinished shards a new call continues; in a
    folder with finished shards it makes again only those whose clips changed on disk.

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
        hash_salt: secret of at least 16 characters; the shards then hold pseudonyms for study and
            patient ids, and dates moved by up to a year, by the same time for all studies of a
            patient. The reports' text is never changed: remove names from it before.
        min_free_bytes: stop before a shard when less disk space than this is free.
        overwrite: first delete shards of other options or of another manifest from `out_dir`.

    Returns:
        The counts, shards and rejected rows.

    Raises:
        ManifestError: the manifest cannot be used; see `read_manifest`.
        ShardError: there is no usable row, `out_dir` holds something else or is in use, or the disk
            is full.
        OptionError: an option is out of range.
    """
    options = SampleOptions(
        size_px=size_px,
        frames_per_clip=frames_per_clip,
        image_format=image_format,
        seed=seed,
        keep_unsure=keep_unsure,
        hash_salt=hash_salt,
    )
    if workers < 0:
        raise OptionError(f"workers is {workers}; it must be 0 or more")
    manifest = read_manifest(manifest_path, seed=seed, labels=labels, check_files=False)
    plan = make_plan(manifest, options, clips_per_shard=clips_per_shard)
    if not plan.shards:
        first = manifest.rejects[0]
        raise ShardError(
            f"{manifest_path}: none of the {manifest.num_rows} rows can be used; the first, row "
            f"{first.row}, because of {first.column or 'its cells'}: {first.reason}"
        )
    for name, why in manifest.ignored.items():
        _log.warning("column %r is not used as a label: %s", name, why)
    out_dir = Path(out_dir)
    with claim_shards(
        out_dir,
        options=plan.options,
        rows_fingerprint=plan.rows_fingerprint,
        overwrite=overwrite,
    ):
        records = {
            shard.name: record
            for shard in plan.shards
            if (record := load_record(out_dir, shard.name)) is not None
            and record.sources == source_fingerprint(plan.rows(shard))
        }
        num_resumed = sum(record.info.num_clips for record in records.values())
        if num_resumed:
            _log.info("%d clips were finished by an earlier run", num_resumed)
        done = sum(len(shard.indices) for shard in plan.shards if shard.name in records)
        with Progress(len(manifest.frame), unit="clips", what="prepare", done=done) as bar:
            for job, record in run_jobs(
                _jobs(plan, out_dir, options, min_free_bytes, done=frozenset(records)),
                write_shard,
                workers=workers,
                error=ShardError,
                item_at_crash=lambda name: noted_item(out_dir, name),
            ):
                records[job.name] = record
                bar.advance(len(job.payload.rows))
        return _finish(plan, out_dir, records, num_resumed)


def _jobs(
    plan: Plan, out_dir: Path, options: SampleOptions, min_free_bytes: int, *, done: frozenset[str]
) -> Iterator[Job[ShardTask]]:
    for shard in plan.shards:
        if shard.name not in done:
            task = ShardTask(
                out_dir=out_dir,
                split=shard.split,
                rows=plan.rows(shard),
                options=options,
                min_free_bytes=min_free_bytes,
            )
            yield Job(name=shard.name, payload=task)


def _finish(
    plan: Plan, out_dir: Path, records: Mapping[str, Record], num_resumed: int
) -> PrepareResult:
    """Write index and rejects once every shard is finished."""
    found = [records[shard.name] for shard in plan.shards]
    rejects = [*plan.manifest.rejects, *(reject for record in found for reject in record.rejects)]
    rejects.sort(key=lambda reject: reject.row)
    remarks = [remark for record in found for remark in record.remarks]
    remarks.sort(key=lambda remark: remark.row)
    shards = tuple(record.info for record in found if record.info.num_clips)
    frame = plan.manifest.frame
    kept = frame[~frame["row"].isin([reject.row for reject in rejects])]
    counts = {}
    for split in SPLITS:
        part = kept[kept["split"] == split]
        counts[split] = {
            "num_patients": int(part["patient_id"].nunique()),
            "num_studies": int(part["study_id"].nunique()),
            "num_clips": len(part),
        }
    with writing_shards(out_dir, "the index"):
        write_rejects(out_dir, rejects)
        write_remarks(out_dir, remarks)
        write_index(
            out_dir,
            shards,
            options=plan.options,
            rows_fingerprint=plan.rows_fingerprint,
            counts=counts,
            num_rejects=len(rejects),
        )
    if not shards:
        raise ShardError(
            f"{out_dir}: every clip was rejected, the first, row {rejects[0].row}, because: "
            f"{rejects[0].reason}; rejects.csv there names them all"
        )
    return PrepareResult(
        out_dir=out_dir,
        shards=shards,
        rejects=tuple(rejects),
        remarks=tuple(remarks),
        num_studies=int(kept["study_id"].nunique()),
        num_resumed=num_resumed,
    )
