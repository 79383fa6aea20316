"""The files of a folder of shards: who may write there, what is finished, index and rejects.

Each file appears whole or not at all: it is written under another name and then renamed.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

from echoclip_r.errors import ShardError
from echoclip_r.rows import SPLITS, Reject

__all__ = [
    "Record",
    "ShardInfo",
    "claim",
    "load_record",
    "lock",
    "noted_item",
    "partial_path",
    "save_record",
    "write_index",
    "write_rejects",
    "writing",
]

FORMAT = 1
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_GO_ON = "Run the same command again to go on: finished shards are kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """A finished shard.

    Attributes:
        name: file name, e.g. `train-000000.tar`.
        split: train, validation or test.
        num_clips: samples in it; where every clip was rejected 0, and there is no file.
        num_frames: frames of all samples.
        num_unsure: samples whose sector was not found for sure.
        num_bytes: size of the file.
        sha256: of the file, "" where there is none.
    """

    name: str
    split: str
    num_clips: int
    num_frames: int
    num_unsure: int
    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What `state` keeps of a finished shard.

    Attributes:
        info: the shard.
        sources: fingerprint of the clips that it was made from.
        rejects: its rows that were left out.
    """

    info: ShardInfo
    sources: str
    rejects: tuple[Reject, ...]


@contextmanager
def writing(out_dir: Path, what: str) -> Iterator[None]:
    """Turn errors of writing into `ShardError`, a full disk above all.

    Args:
        out_dir: where is written.
        what: what is written, for the message.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise ShardError(
                f"{out_dir}: the disk is full, so {what} was not written and no half of it is "
                f"left. Free some space. {_GO_ON}"
            ) from error
        raise ShardError(
            f"{out_dir}: {what} cannot be written ({error.strerror}); check that the folder is "
            f"there and yours to write to. {_GO_ON}"
        ) from error


@contextmanager
def lock(out_dir: Path) -> Iterator[None]:
    """Make the folder and keep it for this process; the system lets go of it on any end.

    Raises:
        ShardError: another run is writing there, or nobody can.
    """
    with writing(out_dir, "the folder"):
        (out_dir / "state").mkdir(parents=True, exist_ok=True)
        file = (out_dir / "state" / "lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ShardError(
                f"{out_dir}: another run is writing shards there; wait for it, or choose another "
                "folder"
            ) from None
        yield


def claim(
    out_dir: Path, *, options: Mapping[str, Any], rows_fingerprint: str, overwrite: bool
) -> None:
    """Check that what lies in the folder is of this run, or nothing; delete unfinished files.

    Raises:
        ShardError: it holds shards of another run, and `overwrite` is not set, or other files.
    """
    run = {"format": FORMAT, "options": dict(options), "rows": rows_fingerprint}
    path = out_dir / "state" / "run.json"
    with writing(out_dir, "state/run.json"):
        ours = path.exists()
        if ours and (differences := _differences(_load(path), run)):
            if not overwrite:
                raise ShardError(
                    f"{out_dir}: it holds shards of another run ({'; '.join(differences)}); "
                    "choose another folder, or pass overwrite=True (--overwrite) to replace them"
                )
            _delete_shards(out_dir)
        if not path.exists():
            others = sorted(file.name for file in out_dir.iterdir() if file.name != "state")
            if others and not ours:
                raise ShardError(
                    f"{out_dir}: it holds other files ({others[0]}) and no shards of ours; "
                    "choose an empty or a new folder"
                )
            _write_whole(path, json.dumps(run, indent=1, sort_keys=True))
        for file in [*out_dir.glob("*.partial"), *(out_dir / "state").glob("*.partial")]:
            file.unlink()


def partial_path(path: Path) -> Path:
    """The name under which a file is written.

    With the process's id in it: what a killed run's worker may still be writing is not ours.
    """
    return path.with_name(f"{path.name}.{os.getpid()}.partial")


def save_record(out_dir: Path, name: str, record: Record) -> None:
    """Keep the record of a shard that has just been finished."""
    _write_whole(out_dir / "state" / f"{name}.json", json.dumps(asdict(record), sort_keys=True))


def load_record(out_dir: Path, name: str) -> Record | None:
    """The record of a finished shard whose file is there whole, else None."""
    record = _load(out_dir / "state" / f"{name}.json")
    try:
        info = ShardInfo(**record["info"])
        rejects = tuple(Reject(**reject) for reject in record["rejects"])
        sources = str(record["sources"])
    except (KeyError, TypeError):
        return None
    path = out_dir / info.name
    if info.num_clips and not (path.is_file() and path.stat().st_size == info.num_bytes):
        return None
    return Record(info=info, sources=sources, rejects=rejects)


def noted_item(out_dir: Path, name: str) -> int | None:
    """The clip that a worker noted last before its shard was finished, or None."""
    try:
        return int((out_dir / "state" / f"{name}.at").read_text())
    except (OSError, ValueError):
        return None


def write_rejects(out_dir: Path, rejects: Iterable[Reject]) -> None:
    """Write `rejects.csv`."""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["row", "study_id", "column", "file", "reason"])
    for reject in rejects:
        writer.writerow([reject.row, reject.study_id, reject.column, reject.file, reject.reason])
    _write_whole(out_dir / "rejects.csv", buffer.getvalue())


def write_index(
    out_dir: Path,
    shards: Sequence[ShardInfo],
    *,
    options: Mapping[str, Any],
    rows_fingerprint: str,
    counts: Mapping[str, Mapping[str, int]],
    num_rejects: int,
) -> None:
    """Write `index.json` and `SHA256SUMS`. No time and no path is in them: same run, same bytes."""
    index = {
        "format": FORMAT,
        "options": dict(options),
        "rows_sha256": rows_fingerprint,
        "made_with": {name: version(name) for name in ("echotok", "av", "pillow", "pydicom")},
        "splits": {split: counts[split] for split in SPLITS},
        "num_rejects": num_rejects,
        "num_unsure": sum(shard.num_unsure for shard in shards),
        "shards": [
            {field.name: getattr(shard, field.name) for field in fields(shard)} for shard in shards
        ],
    }
    _write_whole(out_dir / "index.json", json.dumps(index, indent=1, sort_keys=True) + "\n")
    sums = "".join(f"{shard.sha256}  {shard.name}\n" for shard in shards)
    _write_whole(out_dir / "SHA256SUMS", sums)


def _write_whole(path: Path, text: str) -> None:
    partial = partial_path(path)
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


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
    ours = [out_dir / name for name in ("index.json", "SHA256SUMS", "rejects.csv")]
    for split in SPLITS:
        ours += out_dir.glob(f"{split}-[0-9][0-9][0-9][0-9][0-9][0-9].tar")
    ours += (out_dir / "state").glob("*-[0-9][0-9][0-9][0-9][0-9][0-9].*")
    # Last, so that a run that is stopped here still finds what the rest is.
    ours.append(out_dir / "state" / "run.json")
    for path in ours:
        path.unlink(missing_ok=True)
