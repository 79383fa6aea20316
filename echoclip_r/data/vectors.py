"""Embeddings of somebody else's image encoder -> shards to train and evaluate a text tower on.

The embeddings are a Parquet file with a row for each clip: `id`, `study`, and `vector`, a list of
numbers. Several rows of one id are several frames of the clip. Reports, patients, splits, views,
dates and labels are the studies' in a manifest, whose videos need not be there.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import tarfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from echoclip_r.data.cells import AS_IT_IS, TableFormat
from echoclip_r.data.manifest import read_manifest
from echoclip_r.data.pseudonyms import check_salt
from echoclip_r.data.samples import ClipRow, Sample, sample_of
from echoclip_r.data.shard_records import (
    ShardInfo,
    claim_shards,
    write_index,
    write_rejects,
    writing_shards,
)
from echoclip_r.data.shard_writer import add_sample
from echoclip_r.data.shards import read_index
from echoclip_r.data.splits import SPLITS
from echoclip_r.errors import ManifestError, ShardError
from echoclip_r.jobs.progress import Progress
from echoclip_r.media.vectors import side_px, to_picture
from echoclip_r.storage import sha256_of, whole_file

__all__ = ["VectorShards", "prepare_vectors"]

_log = logging.getLogger(__name__)

_SPELLINGS = {
    "id": ("id", "clip", "clip_id", "key", "video"),
    "study": ("study", "study_id"),
    "vector": ("vector", "embedding", "embeddings"),
}
_CLIPS_PER_SHARD = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorShards:
    """What came of the embeddings.

    Attributes:
        folder: the shards.
        dimensions: columns of the vectors.
        num_clips: clips with a vector and a report.
        num_studies: studies of these clips.
        num_rejects: rows of the manifest that cannot be used; `rejects.csv` names them.
        without_report: clips whose study no usable row of the manifest has; they were left out.
        without_vector: studies of the manifest that have no clip.
    """

    folder: Path
    dimensions: int
    num_clips: int
    num_studies: int
    num_rejects: int
    without_report: int
    without_vector: int

    @property
    def remarks(self) -> list[str]:
        """Sentences on what does not match."""
        found = []
        if self.num_rejects:
            found.append(
                f"{self.num_rejects:,} rows of the manifest were left out; "
                f"{self.folder / 'rejects.csv'} says why each was"
            )
        if self.without_report:
            found.append(
                f"{self.without_report:,} clips were left out: their study is not in the manifest"
                + (", or in rows that were left out" if self.num_rejects else "")
            )
        if self.without_vector:
            found.append(f"{self.without_vector:,} studies of the manifest have no vector")
        return found


def prepare_vectors(
    embeddings: Path,
    manifest_path: Path,
    out: Path,
    *,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    form: TableFormat = AS_IT_IS,
    hash_salt: str | None = None,
    overwrite: bool = False,
) -> VectorShards:
    """Make shards of embeddings; where they are there already and the same, they are kept.

    Args:
        embeddings: the Parquet file.
        manifest_path: the manifest with the studies' reports.
        out: folder of the shards.
        seed: of splits that the manifest does not give, and of the order.
        labels: columns of the manifest that are labels; see `read_manifest`.
        form: how the manifest is written.
        hash_salt: secret that turns ids into pseudonyms and shifts dates; see
            `echoclip_r.data.preparation.prepare`.
        overwrite: first delete shards of other options, embeddings or reports from `out`.

    Raises:
        ManifestError: a file cannot be used, or no study of one is in the other.
        OptionError: the salt is too short.
        ShardError: `out` holds other shards, or cannot be written.
    """
    if hash_salt is not None:
        check_salt(hash_salt)
    ids, studies, vectors = _read(embeddings)
    manifest = read_manifest(manifest_path, seed=seed, labels=labels, check_files=False, form=form)
    if manifest.rejects and manifest.frame.empty:
        first = manifest.rejects[0]
        raise ManifestError(
            f"{manifest_path}: none of the {manifest.num_rows} rows can be used; the first, row "
            f"{first.row}, because of {first.column or 'its cells'}: {first.reason}"
        )
    for name, why in manifest.ignored.items():
        _log.warning("column %r is not used as a label: %s", name, why)
    about: dict[str, dict[str, Any]] = {}
    for row in manifest.frame.to_dict("records"):
        known_row = about.setdefault(
            str(row["study_id"]), {str(name): cell for name, cell in row.items()}
        )
        for name in manifest.labels:
            if math.isnan(known_row[name]):
                known_row[name] = row[name]
    frames_of: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, key in enumerate(zip(studies, ids, strict=True)):
        frames_of[key].append(place)
    known = {key: places for key, places in frames_of.items() if key[0] in about}
    found = {study for study, _ in known}
    if not known:
        raise ManifestError(
            f"{embeddings}: none of its {len(set(studies)):,} values of 'study' is a study_id of "
            f"{manifest_path} ({len(about):,} studies); is it the same archive, and are the ids "
            "written alike (leading zeros, capitals)?"
        )
    dimensions = vectors.shape[1]
    order = sorted(
        known, key=lambda key: hashlib.sha256(f"{seed}\0{key[0]}\0{key[1]}".encode()).digest()
    )
    digest = hashlib.sha256((hash_salt or "").encode())
    for study, name in order:
        facts = [
            study,
            name,
            *(str(about[study][one]) for one in ("patient_id", "report", "split")),
        ]
        facts += [str(about[study][one]) for one in ("view", "date", *manifest.labels)]
        digest.update(json.dumps(facts).encode() + vectors[known[study, name]].tobytes())
    options = {
        "kind": "vectors",
        "dimensions": dimensions,
        "size_px": side_px(dimensions),
        "image_format": "png",
        "seed": seed,
        "hash_ids": hash_salt is not None,
        "labels": list(manifest.labels),
    }
    result = VectorShards(
        folder=out,
        dimensions=dimensions,
        num_clips=len(known),
        num_studies=len(found),
        num_rejects=len(manifest.rejects),
        without_report=len(frames_of) - len(known),
        without_vector=len(about) - len(found),
    )
    rows = digest.hexdigest()
    with claim_shards(out, options=options, rows_fingerprint=rows, overwrite=overwrite):
        if _is_whole(out):
            return result
        train = [
            place for key in order if about[key[0]]["split"] == "train" for place in known[key]
        ]
        shards, counts = [], {}
        with Progress(len(order), unit="clips", what="vectors") as bar:
            for split in SPLITS:
                part = [key for key in order if about[key[0]]["split"] == split]
                counts[split] = {
                    "num_patients": len({about[study]["patient_id"] for study, _ in part}),
                    "num_studies": len({study for study, _ in part}),
                    "num_clips": len(part),
                }
                for start in range(0, len(part), _CLIPS_PER_SHARD):
                    keys = part[start : start + _CLIPS_PER_SHARD]
                    samples = [
                        _sample(
                            _row(f"{split}-{number:08d}", key[1], about[key[0]], manifest.labels),
                            vectors[known[key]],
                            hash_salt=hash_salt,
                        )
                        for number, key in enumerate(keys, start)
                    ]
                    path = out / f"{split}-{start // _CLIPS_PER_SHARD:06d}.tar"
                    shards.append(_write(path, split, samples))
                    bar.advance(len(keys))
        center = (vectors[train] if train else vectors).mean(axis=0, dtype=np.float64)
        with writing_shards(out, "the index"):
            write_rejects(out, manifest.rejects)
            write_index(
                out,
                shards,
                options=options,
                rows_fingerprint=rows,
                counts=counts,
                num_rejects=len(manifest.rejects),
                num_given=0,
                num_settled=0,
                center=[float(value) for value in center],
            )
    return result


def _is_whole(out: Path) -> bool:
    """Whether a folder holds all of its shards, with their full size."""
    try:
        read_index(out)
    except ShardError:
        return False
    return True


def _read(path: Path) -> tuple[list[str], list[str], NDArray[np.float32]]:
    """Ids, studies and vectors (N, D)."""
    try:
        table = pq.read_table(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ManifestError(
            f"{path}: it cannot be read as a Parquet file ({type(error).__name__}); it is to have "
            "the columns id, study and vector"
        ) from error
    names = {}
    for ours, spellings in _SPELLINGS.items():
        names[ours] = next((one for one in spellings if one in table.column_names), None)
    if missing := [ours for ours, name in names.items() if name is None]:
        raise ManifestError(
            f"{path}: it has no column {' and '.join(missing)}; it is to have id, study and vector "
            f"(a list of numbers), and has {', '.join(table.column_names) or 'none'}"
        )
    if not table.num_rows:
        raise ManifestError(f"{path}: it has no row")
    column = table[names["vector"]].combine_chunks()
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or _is_fixed(kind)):
        raise ManifestError(f"{path}: the column {names['vector']} holds no lists of numbers")
    if not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise ManifestError(f"{path}: the column {names['vector']} holds no lists of numbers")
    lengths = sorted({length or 0 for length in pc.list_value_length(column).to_pylist()})
    if len(lengths) != 1 or lengths == [0]:
        raise ManifestError(
            f"{path}: the vectors must all have the same number of columns, and there are some of "
            f"{', '.join(map(str, lengths[:5]))}"
        )
    with np.errstate(over="ignore"):  # what a float32 does not hold becomes infinity
        values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    vectors = values.reshape(table.num_rows, -1)
    bad = ~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)
    if bad.any():
        raise ManifestError(
            f"{path}: {int(bad.sum()):,} vectors hold NaN or infinity, or are all zeros, the first "
            f"in row {int(np.flatnonzero(bad)[0]) + 1}; leave these rows out"
        )
    for one in ("id", "study"):
        if pa.types.is_floating(table[names[one]].type):
            raise ManifestError(
                f"{path}: column {names[one]!r} holds floating-point numbers, which change long "
                "ids; write it as text"
            )
    ids, studies = (
        ["" if cell is None else str(cell).strip() for cell in table[names[one]].to_pylist()]
        for one in ("id", "study")
    )
    if blank := [number for number, name in enumerate(ids, start=1) if not name]:
        raise ManifestError(
            f"{path}: {len(blank):,} rows have no {names['id']!r}, the first row {blank[0]}; rows "
            "of one id are frames of one clip, so each row needs the id of its clip"
        )
    return ids, studies, vectors


def _is_fixed(kind: Any) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))


def _row(key: str, name: str, about: Mapping[str, Any], labels: Sequence[str]) -> ClipRow:
    """A clip with what the manifest says of its study."""
    return ClipRow(
        key=key,
        row=int(about["row"]),
        study_id=str(about["study_id"]),
        patient_id=str(about["patient_id"]),
        video=name,
        path="",
        report=str(about["report"]),
        view=str(about["view"]),
        date=str(about["date"]),
        labels={name: about[name] for name in labels if not math.isnan(about[name])},
    )


def _sample(row: ClipRow, vectors: NDArray[np.float32], *, hash_salt: str | None) -> Sample:
    frames = []
    for number, vector in enumerate(vectors):
        buffer = io.BytesIO()
        Image.fromarray(to_picture(vector)).save(buffer, format="png", compress_level=1)
        frames.append((f"{row.key}.{number:03d}.png", buffer.getvalue()))
    return sample_of(
        row,
        frames,
        indices=range(len(frames)),
        sure=True,
        reason="embeddings of another encoder",
        hash_salt=hash_salt,
    )


def _write(path: Path, split: str, samples: Sequence[Sample]) -> ShardInfo:
    with writing_shards(path.parent, path.name), whole_file(path) as partial:
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in samples:
                add_sample(tar, sample)
        sha256, num_bytes = sha256_of(partial), partial.stat().st_size
    return ShardInfo(
        name=path.name,
        split=split,
        num_clips=len(samples),
        num_frames=sum(sample.num_frames for sample in samples),
        num_unsure=0,
        num_bytes=num_bytes,
        sha256=sha256,
    )
