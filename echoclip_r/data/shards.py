"""Reading shards: whole clips in order, for embedding and evaluation; the index; the split check.

Training reads them through `echoclip_r.training.batches`.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from echoclip_r.data.splits import SPLITS
from echoclip_r.errors import ShardError
from echoclip_r.places import place, sizes

__all__ = [
    "BadClip",
    "Clip",
    "Shard",
    "ShardIndex",
    "check_kind",
    "check_splits",
    "decode_frame",
    "is_shards",
    "read_clips",
    "read_index",
    "read_reports",
    "read_samples",
    "read_shard",
    "split_of_patients",
]

_log = logging.getLogger(__name__)

FRAME_ENDINGS = ("jpg", "png")


class BadClip(NamedTuple):
    """A clip that cannot be used: its key, as far as it can be read, and the reason."""

    key: str
    reason: str


class Shard(NamedTuple):
    """A shard of one split: the file, the clips in it and its size."""

    path: Path
    num_clips: int
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardIndex:
    """The content of a folder's `index.json`.

    Attributes:
        folder: folder of the shards.
        shards: for each split its shards in order.
        labels: names of the label columns.
        size_px: side of the frames, in pixels.
        sha256: sha256 of the index, which names each shard's sha256: it identifies the data.
        center: where the shards hold vectors of another encoder in place of frames, the mean of
            those of the training split (D,); None where they hold frames.
    """

    folder: Path
    shards: Mapping[str, tuple[Shard, ...]]
    labels: tuple[str, ...]
    size_px: int
    sha256: str
    center: tuple[float, ...] | None = None

    @property
    def dimensions(self) -> int | None:
        """Columns of the vectors, None where the shards hold frames."""
        return None if self.center is None else len(self.center)

    def num_clips(self, split: str) -> int:
        """Number of clips of a split."""
        return sum(shard.num_clips for shard in self.shards[split])


def is_shards(folder: Path) -> bool:
    """Whether a folder holds shards, or some that are being made."""
    return any((folder / name).is_file() for name in ("index.json", "rejects.csv")) or any(
        folder.glob("*.tar")
    )


def read_index(shards_dir: Path | str) -> ShardIndex:
    """Read a folder's index and check that all its shards are there with their full size.

    Raises:
        ShardError: the index is missing or damaged, or a shard is missing or has another size.
    """
    folder = place(shards_dir)
    path = folder / "index.json"
    try:
        content = path.read_bytes()
        index = json.loads(content)
        shards: dict[str, list[Shard]] = {split: [] for split in SPLITS}
        for entry in index["shards"]:
            shard = Shard(folder / entry["name"], int(entry["num_clips"]), int(entry["num_bytes"]))
            shards[entry["split"]].append(shard)
        labels = tuple(map(str, index["options"]["labels"]))
        size_px = int(index["options"]["size_px"])
        center = tuple(map(float, index["center"])) if "center" in index else None
    except (FileNotFoundError, NotADirectoryError):
        raise ShardError(
            f"{folder}: it holds no index.json, so it has no finished shards; make some with "
            f"`echoclip-r prepare MANIFEST --out {folder}`"
        ) from None
    except ConnectionError as error:
        raise _no_answer(path, error) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShardError(
            f"{path}: it cannot be read ({type(error).__name__}: {error}); make the shards again "
            "with `echoclip-r prepare`"
        ) from error
    there = sizes(folder)
    for shard in (shard for part in shards.values() for shard in part):
        found = there.get(shard.path.name)
        if found != shard.num_bytes:
            state = "is missing" if found is None else f"has {found:,} bytes"
            raise ShardError(
                f"{shard.path}: it {state}, and index.json says {shard.num_bytes:,} bytes; copy it "
                "again (`sha256sum -c SHA256SUMS` there tells which), or run `echoclip-r prepare`"
            )
    return ShardIndex(
        folder=folder,
        shards={split: tuple(part) for split, part in shards.items()},
        labels=labels,
        size_px=size_px,
        sha256=hashlib.sha256(content).hexdigest(),
        center=center,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One clip of a shard.

    Attributes:
        key: name of the clip in the shard, e.g. `test-00000012`.
        frames_encoded: each frame as JPEG or PNG, in order.
        report: the study's report.
        record: study_id, patient_id, view, date, labels, frames, sector, and perhaps notes.
    """

    key: str
    frames_encoded: tuple[bytes, ...]
    report: str
    record: Mapping[str, Any]

    def decode(self, number: int) -> NDArray[np.uint8]:
        """Frame `number` as uint8 RGB (H, W, 3).

        Raises:
            ShardError: it is not a picture.
        """
        return np.asarray(self.picture(number))

    def picture(self, number: int) -> Image.Image:
        """Frame `number` as an RGB picture.

        Raises:
            ShardError: it is not a picture.
        """
        try:
            return decode_frame(self.frames_encoded[number])
        except ValueError as error:
            raise ShardError(f"{self.key}: frame {number}: {error}") from error


def read_clips(
    shards_dir: Path | str, *, split: str, bad: list[BadClip] | None = None
) -> Iterator[Clip]:
    """All clips of a split, in the order of the shards.

    Args:
        shards_dir: folder of shards from `echoclip_r.data.preparation.prepare`.
        split: train, validation or test.
        bad: list to which clips that cannot be read are added; they are logged and left out (I12).

    Raises:
        ShardError: the shards cannot be used (see `read_index`), or there is no such split.
    """
    index = read_index(shards_dir)
    if split not in index.shards:
        raise ShardError(f"{split!r} is not a split; there are {', '.join(SPLITS)}")
    for shard in index.shards[split]:
        yield from read_shard(shard, bad=bad)


def read_shard(shard: Shard, *, bad: list[BadClip] | None = None) -> Iterator[Clip]:
    """The clips of one shard, in order, without those that cannot be read; see `read_clips`."""
    for sample in read_samples(shard):
        clip = sample if isinstance(sample, BadClip) else _clip(sample)
        if isinstance(clip, Clip):
            yield clip
            continue
        _log.warning("%s is left out: %s", clip.key, clip.reason)
        if bad is not None:
            bad.append(clip)


def read_samples(shard: Shard) -> Iterator[dict[str, Any] | BadClip]:
    """The samples of a shard as webdataset gives them: exactly as many as the index says.

    Where a sample cannot be read there is a `BadClip` in its place, so that a place in the shard
    always means the same clip.
    """
    # webdataset imports torch, which takes seconds: whoever reads the index alone needs neither.
    from webdataset import tariterators

    count = 0
    reason = "the shard ends before it"
    try:
        with shard.path.open("rb") as file:  # webdataset would leave closing it to chance
            source = [{"url": str(shard.path), "stream": file}]
            members = tariterators.tar_file_expander(source)
            for sample in tariterators.group_by_keys(members):
                if count == shard.num_clips:
                    break
                count += 1
                yield sample
    except ConnectionError as error:
        raise _no_answer(shard.path, error) from error
    except (OSError, ValueError, EOFError, tarfile.TarError) as error:
        reason = f"the shard is damaged before it ({type(error).__name__})"
    for missing in range(count, shard.num_clips):
        yield BadClip(f"{shard.path.name}#{missing}", reason)


def frame_names(sample: Mapping[str, Any]) -> list[str]:
    """The names of a sample's frames, in order."""
    return sorted(name for name in sample if name.rpartition(".")[2] in FRAME_ENDINGS)


def decode_frame(encoded: bytes) -> Image.Image:
    """A frame as an RGB picture.

    Raises:
        ValueError: the frame is not a picture, or it is damaged.
    """
    try:
        return Image.open(io.BytesIO(encoded)).convert("RGB")
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise ValueError(f"it cannot be decoded ({type(error).__name__})") from error


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


def check_splits(index: ShardIndex) -> Mapping[str, int]:
    """Check that no patient is in two splits, see `split_of_patients`; how many each split has."""
    patients = Counter(split_of_patients(index).values())
    return {split: patients[split] for split in SPLITS}


def split_of_patients(index: ShardIndex) -> Mapping[str, str]:
    """The split of each patient, checked to be one alone (I10), from every clip's record.

    Only the records are read; the frames are passed over.

    Raises:
        ShardError: a patient is in two splits; the message names the places and never an id.
    """
    first: dict[str, tuple[str, str]] = {}  # patient -> split and key of the first clip
    for split, shards in index.shards.items():
        for shard in shards:
            for key, patient in _patients(shard):
                other, where = first.setdefault(patient, (split, key))
                if other != split:
                    raise ShardError(
                        f"{index.folder}: the patient of {key} is in {split}, but in {where} in "
                        f"{other}; a split is by patient, or a model is tested on what it has "
                        "seen. Make the shards again from one manifest (`echoclip-r prepare`)"
                    )
    return {patient: split for patient, (split, _) in first.items()}


def read_reports(index: ShardIndex, split: str) -> Iterator[tuple[str, str]]:
    """Patient and text of each study's report in a split; the frames are passed over.

    Raises:
        ShardError: a shard cannot be read.
    """
    seen: set[tuple[str, str]] = set()
    for shard in index.shards[split]:
        texts: dict[str, str] = {}  # of clips whose record has not come yet, and the other way
        studies: dict[str, tuple[str, str]] = {}
        for name, content in _files(shard, (".txt", ".json")):
            key, _, ending = name.rpartition(".")
            try:
                if ending == "txt":
                    texts[key] = content.decode()
                else:
                    record = json.loads(content)
                    studies[key] = str(record["study_id"]), str(record["patient_id"])
            except (ValueError, KeyError, TypeError):
                continue
            if key in texts and key in studies:
                text, study = texts.pop(key), studies.pop(key)
                if study not in seen:
                    seen.add(study)
                    yield study[1], text


def _patients(shard: Shard) -> Iterator[tuple[str, str]]:
    for name, content in _files(shard, (".json",)):
        try:
            yield name[:-5], str(json.loads(content)["patient_id"])
        except (ValueError, KeyError, TypeError):
            continue  # named and left out by whoever reads the clip


def _files(shard: Shard, endings: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Name and content of a shard's files with these endings; the others are passed over."""
    try:
        with shard.path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.name.endswith(endings):
                    content = tar.extractfile(member)
                    assert content is not None  # it is a file
                    yield member.name, content.read()
                tar.members = []  # type: ignore[attr-defined]  # else all headers stay in memory
    except ConnectionError as error:
        raise _no_answer(shard.path, error) from error
    except (OSError, tarfile.TarError) as error:
        raise ShardError(
            f"{shard.path}: it cannot be read ({type(error).__name__}); copy it again "
            "(`sha256sum -c SHA256SUMS` there checks all), or run `echoclip-r prepare`"
        ) from error


def _no_answer(path: Path, error: ConnectionError) -> ShardError:
    return ShardError(
        f"{path}: the store does not answer ({error}); when it does, give the same command again"
    )


def _clip(sample: Mapping[str, Any]) -> Clip | BadClip:
    names = frame_names(sample)
    key = str(sample["__key__"])
    if not names or "txt" not in sample or "json" not in sample:
        return BadClip(key, "frames, report or record are missing")
    try:
        report = sample["txt"].decode()
        record = json.loads(sample["json"])
    except ValueError as error:
        return BadClip(key, f"its report or record cannot be read ({type(error).__name__})")
    frames = tuple(sample[name] for name in names)
    return Clip(key=key, frames_encoded=frames, report=report, record=record)
