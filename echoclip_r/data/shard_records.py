"""The files beside the shards: the records of the run and of finished shards, index, rejects."""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from functools import partial
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

from echoclip_r.data.rows import Reject
from echoclip_r.data.siblings import ClipLook, from_json, to_json
from echoclip_r.data.splits import SPLITS
from echoclip_r.errors import ShardError
from echoclip_r.places import is_remote
from echoclip_r.storage import claim, read_json, write_text, writing

__all__ = [
    "Record",
    "Remark",
    "ShardInfo",
    "begin_settling",
    "claim_shards",
    "drop_note",
    "finished_s",
    "load_record",
    "note_item",
    "noted_item",
    "read_looks",
    "run_options",
    "save_record",
    "write_index",
    "write_looks",
    "write_rejects",
    "write_remarks",
    "writing_shards",
]

FORMAT = 1

writing_shards = partial(
    writing,
    error=ShardError,
    go_on="Run the same command again to go on: finished shards are kept",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """A finished shard.

    Attributes:
        name: file name, e.g. `train-000000.tar`.
        split: train, validation or test.
        num_clips: number of clips in it; if every clip was rejected, 0, and there is no file.
        num_frames: number of frames of all clips.
        num_unsure: number of clips whose sector was not found with certainty.
        num_bytes: size of the file.
        sha256: sha256 of the file, or "" where there is no file.
    """

    name: str
    split: str
    num_clips: int
    num_frames: int
    num_unsure: int
    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A fault in the file of a clip that is used nevertheless.

    Attributes:
        row: row of the manifest.
        study_id: id of the row's study.
        file: the clip's file as the manifest writes it.
        remark: a sentence that says what is wrong.
    """

    row: int
    study_id: str
    file: str
    remark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The record of a finished shard in the folder `state`.

    Attributes:
        info: the shard.
        sources: fingerprint of the clips from which it was made.
        rejects: rows of the shard that were left out.
        remarks: remarks on rows of the shard that were used.
        rules: keys of the rows of the file of sectors that held for a clip of it.
        num_given: number of clips whose outline is from that file.
        settled: tells which outlines of siblings were tried on its clips; "" before that.
        num_settled: number of clips that have the outline of their siblings.
    """

    info: ShardInfo
    sources: str
    rejects: tuple[Reject, ...]
    remarks: tuple[Remark, ...] = ()
    rules: tuple[str, ...] = ()
    num_given: int = 0
    settled: str = ""
    num_settled: int = 0


def claim_shards(
    out_dir: Path,
    *,
    options: Mapping[str, Any],
    rows_fingerprint: str,
    overwrite: bool,
    shared: bool = False,
) -> AbstractContextManager[None]:
    """Lock a folder for this run, or for a part of it; see `echoclip_r.storage.claim`.

    The record that the first part writes freezes the plan: which clip goes into which shard follows
    from what it holds, and a part that finds another record is refused.

    Raises:
        ShardError: the folder is in use, it holds shards of another run and `overwrite` is not set,
            or it holds other files.
    """
    return claim(
        out_dir / "state" / "run.json",
        {"format": FORMAT, "options": dict(options), "rows": rows_fingerprint},
        folder=out_dir,
        what="shards",
        error=ShardError,
        differences=_differences,
        replace=lambda: _delete_shards(out_dir),
        overwrite=overwrite,
        shared=shared,
    )


def save_record(out_dir: Path, name: str, record: Record) -> None:
    """Keep the record of a shard that has just been finished."""
    write_text(out_dir / "state" / f"{name}.json", json.dumps(asdict(record), sort_keys=True))
    _settling(out_dir, name).unlink(missing_ok=True)


def load_record(out_dir: Path, name: str, *, settling: bool = False) -> Record | None:
    """The record of a finished shard, or None where its file is missing or not whole.

    Args:
        out_dir: folder of the shards.
        name: of the shard, without its ending.
        settling: whether this process is the one that writes the shard a second time; for any
            other, a shard that was being written is not whole.
    """
    if not settling and _settling(out_dir, name).exists():
        return None
    record = read_json(out_dir / "state" / f"{name}.json") or {}
    try:
        info = ShardInfo(**record["info"])
        found = Record(
            info=info,
            sources=str(record["sources"]),
            rejects=tuple(Reject(**reject) for reject in record["rejects"]),
            remarks=tuple(Remark(**remark) for remark in record["remarks"]),
            rules=tuple(record["rules"]),
            num_given=record["num_given"],
            settled=record["settled"],
            num_settled=record["num_settled"],
        )
    except (KeyError, TypeError):  # of an earlier version, too
        return None
    path = out_dir / info.name
    if info.num_clips and not (path.is_file() and path.stat().st_size == info.num_bytes):
        return None
    return found if _looks(out_dir, name).is_file() else None


def finished_s(out_dir: Path, name: str) -> float:
    """When the record of a finished shard was written, as `time.time` has it."""
    return (out_dir / "state" / f"{name}.json").stat().st_mtime


def run_options(out_dir: Path) -> dict[str, Any] | None:
    """The options of the run that a folder belongs to; None where it belongs to none."""
    run = read_json(out_dir / "state" / "run.json")
    return None if run is None else dict(run.get("options", {}))


def write_looks(out_dir: Path, name: str, clips: Iterable[ClipLook]) -> None:
    """Keep how the clips of a shard look from far away."""
    lines = (json.dumps(to_json(clip), ensure_ascii=False) + "\n" for clip in clips)
    write_text(_looks(out_dir, name), "".join(lines))


def read_looks(out_dir: Path, name: str) -> Iterator[ClipLook]:
    """The clips that `write_looks` kept."""
    with _looks(out_dir, name).open(encoding="utf-8") as file:
        for line in file:
            yield from_json(json.loads(line))


def begin_settling(out_dir: Path, name: str) -> None:
    """Mark a shard that is about to be replaced: until `save_record`, file and record differ."""
    _settling(out_dir, name).touch()


def _settling(out_dir: Path, name: str) -> Path:
    return out_dir / "state" / f"{name}.settling"


def _looks(out_dir: Path, name: str) -> Path:
    return out_dir / "state" / f"{name}.looks"


def note_item(out_dir: Path, name: str, item: int) -> None:
    """Note the clip that a worker is about to read, in case reading it ends the process."""
    _note(out_dir, name).write_text(str(item))


def drop_note(out_dir: Path, name: str) -> None:
    """Delete the note of a shard that is finished or given up."""
    _note(out_dir, name).unlink(missing_ok=True)


def noted_item(out_dir: Path, name: str) -> int | None:
    """The clip that a worker noted last and did not finish, or None."""
    try:
        return int(_note(out_dir, name).read_text())
    except (OSError, ValueError):
        return None


def write_rejects(out_dir: Path, rejects: Iterable[Reject]) -> None:
    """Write `rejects.csv`."""
    lines = [
        (reject.row, reject.study_id, reject.column, reject.file, reject.reason)
        for reject in rejects
    ]
    _write_csv(out_dir / "rejects.csv", ("row", "study_id", "column", "file", "reason"), lines)


def write_remarks(out_dir: Path, remarks: Sequence[Remark]) -> None:
    """Write `remarks.csv`, or remove an older one where there is nothing to say."""
    path = out_dir / "remarks.csv"
    if not remarks:
        path.unlink(missing_ok=True)
        return
    lines = [(remark.row, remark.study_id, remark.file, remark.remark) for remark in remarks]
    _write_csv(path, ("row", "study_id", "file", "remark"), lines)


def _write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    write_text(path, buffer.getvalue())


def write_index(
    out_dir: Path,
    shards: Sequence[ShardInfo],
    *,
    options: Mapping[str, Any],
    rows_fingerprint: str,
    counts: Mapping[str, Mapping[str, int]],
    num_rejects: int,
    num_given: int,
    num_settled: int,
    center: Sequence[float] | None = None,
) -> None:
    """Write `index.json` and `SHA256SUMS`.

    They hold neither a time nor a path, so that the same run gives the same bytes.
    """
    index = {
        "format": FORMAT,
        "options": dict(options),
        "rows_sha256": rows_fingerprint,
        "made_with": {name: version(name) for name in ("echotok", "av", "pillow", "pydicom")},
        "splits": {split: counts[split] for split in SPLITS},
        "num_rejects": num_rejects,
        "num_unsure": sum(shard.num_unsure for shard in shards),
        "num_given": num_given,
        "num_settled": num_settled,
        "shards": [
            {field.name: getattr(shard, field.name) for field in fields(shard)} for shard in shards
        ],
    }
    if center is not None:  # of shards that hold vectors, see `echoclip_r.data.vectors`
        index["center"] = list(center)
    write_text(out_dir / "index.json", json.dumps(index, indent=1, sort_keys=True) + "\n")
    sums = "".join(f"{shard.sha256}  {shard.name}\n" for shard in shards)
    write_text(out_dir / "SHA256SUMS", sums)


def _note(out_dir: Path, name: str) -> Path:
    if not is_remote(out_dir):
        return out_dir / "state" / f"{name}.at"
    # A request for each clip would take as long as reading it; what ends a process is found by
    # those of the same machine.
    run = hashlib.sha256(str(out_dir).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"echoclip-r-{run}-{name}.at"


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What tells two runs apart, in words; the salt and the rows only as such."""
    if old.get("format") != new["format"]:
        return [f"format {old.get('format')}, this version writes {new['format']}"]
    before, now = old.get("options", {}), new["options"]
    found = [
        f"{name} {before.get(name)!r}, now {now[name]!r}"
        for name in now
        if before.get(name) != now[name]
    ]
    if not found and old.get("rows") != new["rows"]:
        found = ["the manifest's rows, its reports or the salt have changed since"]
    return found


def _delete_shards(out_dir: Path) -> None:
    ours = [out_dir / name for name in ("index.json", "SHA256SUMS", "rejects.csv", "remarks.csv")]
    for split in SPLITS:
        ours += out_dir.glob(f"{split}-[0-9][0-9][0-9][0-9][0-9][0-9].tar")
    ours += (out_dir / "state").glob("*-[0-9][0-9][0-9][0-9][0-9][0-9].*")
    # Last, so that a run that is stopped here still finds what the rest is.
    ours.append(out_dir / "state" / "run.json")
    for path in ours:
        path.unlink(missing_ok=True)
