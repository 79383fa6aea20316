"""Embedded clips: in memory, and as the files that `echoclip-r embed` keeps.

    frames -> unit embedding of each -> mean over the clip (or study) -> scaled to unit length

    OUT/run.json                  the model's and the shards' fingerprints
    OUT/test-000000.parquet ...   one row for each clip: ids, report, labels, frames' embeddings

These files hold the reports, as the shards do: keep them with the archive.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from echoclip_r.embedding.rows import stack, take
from echoclip_r.errors import ShardError
from echoclip_r.model.study_pooling import MeanPooling, StudyPooling
from echoclip_r.places import local_file, place
from echoclip_r.storage import claim, read_json, whole_file, writing

__all__ = [
    "CLIPS",
    "FORMAT",
    "ID_COLUMNS",
    "REPORTS",
    "Embedded",
    "OldEmbeddings",
    "claim_embeddings",
    "joined",
    "load_embedded",
    "read_kept",
    "read_part",
    "read_run",
    "write_part",
    "write_table",
    "write_vectors",
    "writing_embeddings",
]

_log = logging.getLogger(__name__)

FORMAT = 1
CLIPS, REPORTS = "clips", "reports"
"""What the embeddings of a folder are of."""
ID_COLUMNS = ("key", "study_id", "patient_id", "split", "view", "date")
_FRAMES, _CONTENT = "frames", "content"  # columns of bytes
_OLD = "old-"
_MOST_READ = 3

writing_embeddings = partial(
    writing,
    error=ShardError,
    go_on="Run the same command again to go on: finished parts are kept",
)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """Embedded clips.

    Attributes:
        clips: a table with one row for each clip: `key`, `study_id`, `patient_id`, `split`, `view`,
            `date`, `report`, and one float column for each label, NaN where the label is blank.
        frames: unit embeddings, float32 (num_frames, D).
        frame_clip: for each frame its row in `clips`, int64 (num_frames,), non-decreasing from 0.
        pooling: how the frames of a clip, or of a study, become one embedding.
    """

    clips: pd.DataFrame
    frames: Floats
    frame_clip: NDArray[np.int64]
    pooling: StudyPooling = field(default_factory=MeanPooling)

    @property
    def labels(self) -> list[str]:
        """Names of the label columns."""
        return [name for name in self.clips.columns if name not in (*ID_COLUMNS, "report")]

    def clip_embeddings(self) -> Floats:
        """Unit embeddings of the clips, float32 (num_clips, D)."""
        return self.pooling.pool(self.frames, self.frame_clip, num_owners=len(self.clips))

    def pooled(self) -> Embedded:
        """The same clips with one embedding each in place of their frames'; no study is pooled so.

        A tenth of the memory, for a clip of ten frames.
        """
        return Embedded(
            clips=self.clips,
            frames=self.clip_embeddings(),
            frame_clip=np.arange(len(self.clips)),
            pooling=self.pooling,
        )

    def studies(self) -> tuple[pd.DataFrame, Floats]:
        """The studies in the order of their first clip, with one unit embedding for each.

        Returns:
            For each study the row of its first clip, and the unit embeddings pooled from all its
            frames, float32 (num_studies, D).
        """
        rows, _, frame_study, frames = self._by_study()
        return rows, self.pooling.pool(frames, frame_study, num_owners=len(rows))

    def study_frames(self) -> tuple[Floats, NDArray[np.int64]]:
        """All frames, grouped by study, and the number of each frame's study in `studies`."""
        _, _, frame_study, frames = self._by_study()
        return frames, frame_study

    def _by_study(self) -> tuple[pd.DataFrame, NDArray[np.int64], NDArray[np.int64], Floats]:
        of_clip, _ = pd.factorize(self.clips["study_id"])
        of_clip = of_clip.astype(np.int64)
        rows = self.clips[~self.clips["study_id"].duplicated()].reset_index(drop=True)
        of_frame = of_clip[self.frame_clip]
        order = np.argsort(of_frame, kind="stable")
        return rows, of_clip, of_frame[order], take(self.frames, order)


def load_embedded(folder: Path | str, *, pooled: bool = False) -> tuple[Embedded, dict[str, Any]]:
    """Read back what `embed` kept, without the model or the shards.

    Args:
        folder: where `embed` kept them.
        pooled: keep one embedding for each clip, as `Embedded.pooled`; the frames of one shard at
            a time are in memory.

    Returns:
        The clips, and the record of the run: `model`, `fingerprint`, `shards`, `split`,
        `dimensions`.

    Raises:
        ShardError: the folder holds no embeddings, or some are still missing.
    """
    folder = place(folder)
    run = read_run(folder)
    if run is None and read_run(folder, REPORTS) is not None:
        raise ShardError(f"{folder}: it holds embeddings of reports, and none of clips")
    if run is None:
        raise ShardError(
            f"{folder}: no embeddings there; make them with `echoclip-r embed CHECKPOINT --shards "
            f"DIR --out {folder}`"
        )

    def parts() -> Iterator[Embedded]:
        missing = 0
        for name in run["parts"]:
            part = read_part(folder / f"{name}.parquet")
            if part is None:
                missing += 1
            elif not missing:  # else they are only counted
                yield part.pooled() if pooled else part
        if missing:
            raise ShardError(
                f"{folder}: {missing} of {len(run['parts'])} shards are not embedded yet or "
                "damaged; run the same `echoclip-r embed` again to finish them"
            )

    return joined(parts(), folder), run


def joined(parts: Iterable[Embedded], source: Path) -> Embedded:
    """Join the embeddings of several shards, of which one at a time need be in memory.

    Equal reports become one text, and many frames lie in a file; see `echoclip_r.embedding.rows`.

    Raises:
        ShardError: there is no clip in them; the message names `source`.
    """
    clips: list[pd.DataFrame] = []
    owners: list[NDArray[np.int64]] = []
    reports: dict[str, str] = {}
    num_clips = 0

    def frames() -> Iterator[Floats]:
        nonlocal num_clips
        for part in parts:
            same = [reports.setdefault(report, report) for report in part.clips["report"]]
            clips.append(part.clips.assign(report=same))
            owners.append(part.frame_clip + num_clips)
            num_clips += len(part.clips)
            yield part.frames

    whole = stack(frames())
    if not num_clips:
        raise ShardError(f"{source}: none of its clips can be read; see the messages above")
    return Embedded(
        clips=pd.concat(clips, ignore_index=True),
        frames=whole,
        frame_clip=np.concatenate(owners),
    )


def read_run(folder: Path, kind: str = CLIPS) -> dict[str, Any] | None:
    """The record of a folder's embeddings; None where it holds none of this format and kind."""
    run = read_json(folder / "run.json")
    if run is None or run.get("format") != FORMAT or run.get("kind", CLIPS) != kind:
        return None
    return run


def claim_embeddings(
    folder: Path, run: Mapping[str, Any], *, overwrite: bool, shared: bool = False
) -> AbstractContextManager[None]:
    """Lock a folder for this run, or for a part of it; see `echoclip_r.storage.claim`.

    Embeddings of the same model stay at hand as `old-*.parquet`, for the clips that are as before:
    where the shards of the same folder were made again, from a manifest that grew, or with
    `overwrite`.

    Raises:
        ShardError: the folder is in use, it holds embeddings of another run and `overwrite` is not
            set, or it holds other files.
    """
    before = read_run(folder)
    same_model = before is not None and all(
        before.get(name) == run.get(name) for name in ("format", "fingerprint", "dimensions")
    )
    has_grown = same_model and all(
        (before or {}).get(name) == run.get(name) for name in ("shards", "split")
    )

    def replace() -> None:
        parts = {f"{name}.parquet" for name in (before or {}).get("parts", ())}
        for pattern in ("*.parquet", "*.npy", "*.csv"):  # those for other tools, too
            for path in folder.glob(pattern):
                if same_model and path.name in parts:
                    path.replace(path.with_name(f"{_OLD}{path.name}"))
                elif not (same_model and path.name.startswith(_OLD)):
                    path.unlink()

    return claim(
        folder / "run.json",
        run,
        folder=folder,
        what="embeddings",
        error=ShardError,
        differences=_differences,
        replace=replace,
        overwrite=overwrite or has_grown,
        shared=shared,
    )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    if old.get("kind", CLIPS) != new.get("kind", CLIPS):
        return [f"embeddings of {old.get('kind', CLIPS)}"]
    kinds = {
        "format": "another format",
        "fingerprint": "another model",
        "shards_sha256": "other shards",
        "split": "another split",
    }
    return [kind for name, kind in kinds.items() if old.get(name) != new.get(name)]


def write_part(path: Path, part: Embedded, contents: Sequence[bytes]) -> None:
    """Write the embeddings of a finished shard; the file appears only when it is whole.

    Args:
        path: the file.
        part: the embeddings.
        contents: what names the frames of each clip, by which they are known again.
    """
    ends = np.searchsorted(part.frame_clip, np.arange(1, len(part.clips) + 1))
    starts = [0, *ends[:-1]]
    table = part.clips.assign(
        **{
            _CONTENT: list(contents),
            _FRAMES: [
                part.frames[start:end].tobytes() for start, end in zip(starts, ends, strict=False)
            ],
        }
    )
    with writing_embeddings(path.parent, path.name), whole_file(path) as partial:
        table.to_parquet(partial, index=False)


def read_kept(path: Path, *, needed: Sequence[str]) -> pd.DataFrame | None:
    """A file of embeddings; None where it is missing or damaged, or lacks a column."""
    try:
        with local_file(path) as file:
            table = pd.read_parquet(file)
    except FileNotFoundError:
        return None
    except ConnectionError:
        raise  # of a store, where it may be whole
    except (OSError, ValueError, pa.ArrowException) as error:
        _log.warning("%s is damaged (%s) and made again", path, type(error).__name__)
        return None
    return table if {*needed} <= {*table.columns} else None


def read_part(path: Path) -> Embedded | None:
    """Read the embeddings of a finished shard; None where the file is missing or damaged."""
    table, run = read_kept(path, needed=(_FRAMES,)), read_run(path.parent)
    if table is None or run is None:
        return None
    width = int(run["dimensions"])
    encoded = table[_FRAMES].tolist()
    frames = np.frombuffer(b"".join(encoded), dtype="<f4").reshape(-1, width)
    counts = [len(cell) // (4 * width) for cell in encoded]
    return Embedded(
        clips=table.drop(columns=[_FRAMES, _CONTENT], errors="ignore"),
        frames=frames.astype(np.float32, copy=False),
        frame_clip=np.repeat(np.arange(len(table)), counts),
    )


class OldEmbeddings:
    """Embeddings of an archive as it was before it grew, by the content of the clips' frames.

    Args:
        folder: folder that `claim_embeddings` locked.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(folder.glob(f"{_OLD}*.parquet"))
        self._places: dict[bytes, tuple[int, int]] = {}
        self._read: dict[int, list[bytes]] = {}
        for number, path in enumerate(self._paths):
            table = read_kept(path, needed=(_FRAMES, _CONTENT))
            for row, content in enumerate(() if table is None else table[_CONTENT]):
                self._places[content] = (number, row)

    def find(self, content: bytes, width: int) -> Floats | None:
        """The embeddings (T, D) of a clip's frames; None where they are not known."""
        place = self._places.get(content)
        if place is None:
            return None
        number, row = place
        if number not in self._read:
            while len(self._read) >= _MOST_READ:  # clips lie in nearly the order of before
                del self._read[next(iter(self._read))]
            table = read_kept(self._paths[number], needed=(_FRAMES,))
            if table is None:
                return None
            self._read[number] = table[_FRAMES].tolist()
        return np.frombuffer(self._read[number][row], "<f4").reshape(-1, width)

    def drop(self) -> None:
        """Delete them: all that was of use is in new files."""
        for path in self._paths:
            path.unlink(missing_ok=True)


def write_table(embedded: Embedded, folder: Path, *, level: str, form: str) -> tuple[Path, ...]:
    """Write clips' or studies' embeddings with their ids, but without reports, for other tools.

    Args:
        embedded: the embedded clips.
        folder: folder to write to.
        level: `clip` or `study`.
        form: `parquet` or `npy`, as in `write_vectors`.

    Returns:
        The files.
    """
    if level == "clip":
        rows, vectors, names = embedded.clips, embedded.clip_embeddings(), list(ID_COLUMNS)
    else:
        rows, vectors = embedded.studies()
        names = ["study_id", "patient_id", "split", "date"]
    stem = folder / ("clips" if level == "clip" else "studies")
    return write_vectors(rows[[*names, *embedded.labels]], vectors, stem, form=form)


def write_vectors(ids: pd.DataFrame, vectors: Floats, stem: Path, *, form: str) -> tuple[Path, ...]:
    """Write embeddings with their ids, for other tools.

    Args:
        ids: a row for each embedding.
        vectors: embeddings, float32 (N, D).
        stem: path of the files, without an ending.
        form: `parquet` writes one file, whose column `embedding` holds lists of float32; `npy`
            writes an array float32 (N, D), and a CSV file with the ids in the same order.

    Returns:
        The files.
    """
    with writing_embeddings(stem.parent, "the embeddings"):
        if form == "parquet":
            with whole_file(stem.with_suffix(".parquet")) as partial:
                ids.assign(embedding=list(vectors)).to_parquet(partial, index=False)
            return (stem.with_suffix(".parquet"),)
        array, table = stem.with_suffix(".npy"), stem.with_suffix(".csv")
        with whole_file(array) as partial, partial.open("wb") as file:
            np.save(file, vectors)
        with whole_file(table) as partial:
            ids.to_csv(partial, index=False)
        return (array, table)
