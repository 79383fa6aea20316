"""One clip -> the files of one sample: some frames, masked and resized, the report and a record.

Everything here depends on the row, the clip's bytes and the options alone, never on the clips
before it: that is what makes shards the same in any order of work (I13).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echoclip_r.data.clips import look_at, mask_frames
from echoclip_r.data.outlines import Rule, fingerprint_of
from echoclip_r.data.pseudonyms import check_salt, pseudonym, shifted_date
from echoclip_r.data.siblings import Look, Sibling
from echoclip_r.errors import OptionError
from echoclip_r.places import file_states

__all__ = [
    "IMAGE_FORMATS",
    "Attempt",
    "ClipRow",
    "Sample",
    "SampleOptions",
    "make_sample",
    "sample_of",
    "source_fingerprint",
]

# Ending in a shard -> Pillow's name and settings. Full chroma: Doppler is colour, speckle is fine.
IMAGE_FORMATS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "jpeg": ("jpg", {"quality": 92, "subsampling": 0}),
    "png": ("png", {"compress_level": 6}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """What decides a sample's bytes.

    Attributes:
        size_px: side of the square frames.
        frames_per_clip: frames a clip; a shorter clip gives all that it has.
        image_format: `jpeg` (quality 92, full chroma) or `png` (lossless).
        seed: of the choice of frames.
        keep_unsure: keep clips whose sector was not found for sure.
        masked: the clips were masked already; each is held against that.
        hash_salt: secret that turns ids into pseudonyms and shifts dates, or None for neither.

    Raises:
        OptionError: a value is out of range.
    """

    size_px: int = 224
    frames_per_clip: int = 10
    image_format: str = "jpeg"
    seed: int = 0
    keep_unsure: bool = False
    masked: bool = False
    hash_salt: str | None = None

    def __post_init__(self) -> None:
        if not 16 <= self.size_px <= 2048:
            raise OptionError(f"size_px is {self.size_px}; it must be 16 to 2048")
        if not 1 <= self.frames_per_clip <= 999:
            raise OptionError(f"frames_per_clip is {self.frames_per_clip}; it must be 1 to 999")
        if self.image_format not in IMAGE_FORMATS:
            raise OptionError(
                f"image_format is {self.image_format!r}; it must be {' or '.join(IMAGE_FORMATS)}"
            )
        if self.hash_salt is not None:
            check_salt(self.hash_salt)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRow:
    """One usable row of a manifest, with its key in the shards; see `Manifest.frame`.

    `rules` are the rows of a file of sectors that may hold for the clip.
    """

    key: str
    row: int
    study_id: str
    patient_id: str
    video: str
    path: str
    report: str
    view: str
    date: str
    labels: Mapping[str, float]
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One clip as it goes into a shard.

    Attributes:
        files: name and content, in the order of the shard.
        num_frames: how many of them are frames.
        sure: whether the sector was found for sure.
        notes: what is wrong with the file of the clip; see `MaskedClip`.
    """

    files: tuple[tuple[str, bytes], ...]
    num_frames: int
    sure: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempt:
    """What came of one clip.

    Attributes:
        sample: its sample, or None where it is refused.
        refusal: why it is refused, or "".
        doubt: the first doubt about its sector, where that is why; see `Seen`.
        look: how it looks from far away, where its sector is sure or doubtful; None where it
            tells nothing to its siblings.
        rule: key of the row of the file of sectors that held for it, or None.
    """

    sample: Sample | None
    refusal: str = ""
    doubt: str = ""
    look: Look | None = None
    rule: str | None = None


def make_sample(row: ClipRow, options: SampleOptions, *, sibling: Sibling | None = None) -> Attempt:
    """Read a clip and make its sample, or say why there is none.

    Args:
        row: of the clip.
        options: how a sample is made.
        sibling: an outline to try where the clip's own sector is not sure.

    Raises:
        MediaError: the clip cannot be read.
    """
    seen = look_at(
        row.path,
        num_frames=options.frames_per_clip,
        seed=f"{options.seed}\0{row.study_id}\0{row.video}",
        rules=row.rules,
        video=row.video,
        sibling=sibling,
        masked=options.masked,
    )
    tells = seen.doubt or seen.look.shape is not None
    look = seen.look if tells and not options.masked else None
    if seen.refusal and not (seen.doubt and options.keep_unsure):
        return Attempt(
            sample=None, refusal=seen.reason, doubt=seen.doubt, look=look, rule=seen.rule
        )
    clip = mask_frames(seen, options.size_px)
    ending = IMAGE_FORMATS[options.image_format][0]
    files = [
        (f"{row.key}.{number:03d}.{ending}", _encode(frame, options.image_format))
        for number, frame in enumerate(clip.frames)
    ]
    sample = sample_of(
        row,
        files,
        indices=clip.indices,
        sure=clip.sector.sure,
        reason=clip.sector.reason,
        notes=clip.notes,
        hash_salt=options.hash_salt,
    )
    return Attempt(sample=sample, look=look, rule=seen.rule)


def sample_of(
    row: ClipRow,
    frames: Sequence[tuple[str, bytes]],
    *,
    indices: Sequence[int],
    sure: bool,
    reason: str,
    notes: tuple[str, ...] = (),
    hash_salt: str | None = None,
) -> Sample:
    """The sample of a clip whose frames are files already.

    Args:
        row: of the clip.
        frames: name and content of each frame.
        indices: where each of them is in the clip.
        sure: whether what lies outside of the sector is away for sure.
        reason: why.
        notes: see `MaskedClip`.
        hash_salt: see `SampleOptions`.
    """
    study_id, patient_id, day = row.study_id, row.patient_id, row.date
    if hash_salt is not None:
        study_id = pseudonym("study", row.study_id, hash_salt)
        patient_id = pseudonym("patient", row.patient_id, hash_salt)
        day = shifted_date(row.date, row.patient_id, hash_salt)
    # It names all that it takes, so that nothing else of the source gets in.
    record: dict[str, Any] = {
        "study_id": study_id,
        "patient_id": patient_id,
        "view": row.view or None,
        "date": day or None,
        "labels": dict(row.labels),
        "frames": [*indices],
        "sector": {"sure": sure, "reason": reason},
    }
    if notes:
        record["notes"] = notes
    content = json.dumps(record, ensure_ascii=False, sort_keys=True).encode()
    text = (f"{row.key}.txt", row.report.encode())
    return Sample(
        files=(*frames, text, (f"{row.key}.json", content)),
        num_frames=len(frames),
        sure=sure,
        notes=notes,
    )


def source_fingerprint(rows: tuple[ClipRow, ...]) -> str:
    """Sha256 over the clips as they are on disk now, and over the rules that may hold for them.

    A clip's name is that of the manifest: on another machine the archive may be mounted elsewhere.
    """
    digest = hashlib.sha256()
    for row, state in zip(rows, file_states([row.path for row in rows]), strict=True):
        digest.update(f"{row.video}\0{state}\0{fingerprint_of(row.rules)}\n".encode())
    return digest.hexdigest()


def _encode(frame: NDArray[np.uint8], image_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format=image_format, **IMAGE_FORMATS[image_format][1])
    return buffer.getvalue()
