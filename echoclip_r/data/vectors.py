"""Embeddings of somebody else's image encoder -> shards to train and evaluate a text tower on.

The embeddings are a Parquet file with a row for each clip: `id`, `study`, and `vector`, a list of
numbers. Several rows of one id are several frames of the clip. Reports, patients, splits, views,
dates and labels are the studies' in a manifest, whose videos need not be there.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import tarfile
from collections import defaultdict
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
from echoclip_r.data.shard_records import ShardInfo, claim_shards, write_index, writing_shards
from echoclip_r.data.splits import SPLITS
from echoclip_r.errors import ManifestError, ShardError
from echoclip_r.jobs.progress import Progress
from echoclip_r.media.vectors import side_px, to_picture
from echoclip_r.storage import whole_file

__all__ = ["VectorShards", "check_kind", "prepare_vectors"]

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
        without_report: clips whose study is not in the manifest; they were left out.
        without_vector: studies of the manifest that have no clip.
    """

    folder: Path
    dimensions: int
    num_clips: int
    num_studies: int
    without_report: int
    without_vector: int

    @property
    def remarks(self) -> list[str]:
        """Sentences on what does not match."""
        found = []
        if self.without_report:
            found.append(
                f"{self.without_report:,} clips were left out: their study is not in the manifest"
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
    form: TableFormat = AS_IT_IS,
) -> VectorShards:
    """Make shards of embeddings; where they are there already and the same, they are kept.

    Args:
        embeddings: the Parquet file.
        manifest_path: the manifest with the studies' reports.
        out: folder of the shards.
        seed: of splits that the manifest does not give, and of the order.
        form: how the manifest is written.

    Raises:
        ManifestError: a file cannot be used, or no study of one is in the other.
        ShardError: `out` holds other shards, or cannot be written.
    """
    ids, studies, vectors = _read(embeddings)
    manifest = read_manifest(manifest_path, seed=seed, check_files=False, form=form)
    if manifest.rejects and manifest.frame.empty:
        first = manifest.rejects[0]
        raise ManifestError(
            f"{manifest_path}: none of the {manifest.num_rows} rows can be used; the first, row "
            f"{first.row}, because of {first.column or 'its cells'}: {first.reason}"
        )
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
    digest = hashlib.sha256()
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
        "labels": list(manifest.labels),
    }
    result = VectorShards(
        folder=out,
        dimensions=dimensions,
        num_clips=len(known),
        num_studies=len(found),
        without_report=len(frames_of) - len(known),
        without_vector=len(about) - len(found),
    )
    rows = digest.hexdigest()
    with claim_shards(out, options=options, rows_fingerprint=rows, overwrite=False):
        if (out / "index.json").is_file():
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
                    name = f"{split}-{start // _CLIPS_PER_SHARD:06d}.tar"
                    samples = [
                        _sample(
                            f"{split}-{start + number:08d}",
                            about[key[0]],
                            vectors[known[key]],
                            manifest.labels,
                        )
                        for number, key in enumerate(keys)
                    ]
                    shards.append(_write(out / name, split, samples))
                    bar.advance(len(keys))
        center = (vectors[train] if train else vectors).mean(axis=0, dtype=np.float64)
        with writing_shards(out, "the index"):
            write_index(
                out,
                shards,
                options=options,
                rows_fingerprint=rows,
                counts=counts,
                num_rejects=0,
                num_given=0,
                num_settled=0,
                center=[float(value) for value in center],
            )
    return result


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
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    vectors = values.reshape(table.num_rows, -1)
    bad = ~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)
    if bad.any():
        raise ManifestError(
            f"{path}: {int(bad.sum()):,} vectors hold NaN or infinity, or are all zeros, the first "
            f"in row {int(np.flatnonzero(bad)[0]) + 1}; leave these rows out"
        )
    ids, studies = (
        ["" if cell is None else str(cell).strip() for cell in table[names[one]].to_pylist()]
        for one in ("id", "study")
    )
    return ids, studies, vectors


def _is_fixed(kind: Any) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))


def _sample(
    key: str, about: dict[str, Any], vectors: NDArray[np.float32], labels: tuple[str, ...]
) -> list[tuple[str, bytes]]:
    """The files of a clip."""
    files = []
    for number, vector in enumerate(vectors):
        buffer = io.BytesIO()
        Image.fromarray(to_picture(vector)).save(buffer, format="png", compress_level=1)
        files.append((f"{key}.{number:03d}.png", buffer.getvalue()))
    record = {
        "study_id": str(about["study_id"]),
        "patient_id": str(about["patient_id"]),
        "view": about["view"] or None,
        "date": about["date"] or None,
        "labels": {name: about[name] for name in labels if not math.isnan(about[name])},
        "frames": list(range(len(vectors))),
        "sector": {"sure": True, "reason": "embeddings of another encoder"},
    }
    files.append((f"{key}.txt", str(about["report"]).encode()))
    files.append((f"{key}.json", json.dumps(record, ensure_ascii=False, sort_keys=True).encode()))
    return files


def _write(path: Path, split: str, samples: list[list[tuple[str, bytes]]]) -> ShardInfo:
    num_frames = sum(len(files) - 2 for files in samples)
    with writing_shards(path.parent, path.name), whole_file(path) as partial:
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in (file for files in samples for file in files):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        with partial.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        num_bytes = partial.stat().st_size
    return ShardInfo(
        name=path.name,
        split=split,
        num_clips=len(samples),
        num_frames=num_frames,
        num_unsure=0,
        num_bytes=num_bytes,
        sha256=sha256,
    )


def check_kind(holds: int | None, reads: int | None, where: Path) -> None:
    """Refuse shards of vectors for a model of pictures, and the other way round.

    Args:
        holds: columns of the vectors in the shards, None for pictures.
        reads: columns of the vectors that the model reads, None for pictures.
        where: the shards, for the message.

    Raises:
        ShardError: they do not go together.
    """
    if holds == reads:
        return
    kinds = ["pictures" if one is None else f"vectors of {one} columns" for one in (holds, reads)]
    raise ShardError(
        f"{where}: the shards hold {kinds[0]}, and the model reads {kinds[1]}. A model that was "
        "trained with --frames-from reads embeddings of that encoder alone: give the shards in its "
        "own folder, or make some of other embeddings with `echoclip-r prepare --frames-from`"
    )
