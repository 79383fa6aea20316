"""Phantom patients in an archive: clips on disk, and the rows that describe them.

Worker processes run this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from echoclip_r.errors import OptionError
from echoclip_r.jobs.local import Job
from echoclip_r.phantom.clip_files import FORMATS, DicomStudy, suffix_of, write_clip
from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.picture.screen import Identity, draw_screen, invent_identity, lay_out_screen
from echoclip_r.phantom.picture.ultrasound import render_clip
from echoclip_r.phantom.report.reports import Report, write_reports
from echoclip_r.phantom.study import SITES, Latents
from echoclip_r.storage import whole_folder

__all__ = [
    "DEFAULT_FORMATS",
    "ArchiveOptions",
    "ClipRow",
    "Overlays",
    "PatientRange",
    "choose_format",
    "find_study",
    "label_cells",
    "write_patient",
    "write_patients",
]

Overlays = Literal["dicom", "all", "none"]

DEFAULT_FORMATS: Mapping[str, float] = {
    "avi": 0.4,
    "mp4": 0.3,
    "dicom-rgb": 0.09,
    "dicom-monochrome": 0.09,
    "dicom-jpeg": 0.09,
    "dicom-rle": 0.03,  # it takes ten times as long to write as the others
}
"""The share of clips in each format."""

# Keeps the generator apart from those of latents, reports and names.
_STREAM = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveOptions:
    """The options that decide every byte of an archive's clips.

    Attributes:
        seed: seed of patients, pictures and reports, at least 0.
        size_px: side of the square picture in pixels, an even number from 32 to 512.
        num_frames: number of frames of each clip, which shows about one heartbeat.
        clips_per_study: number of clips of each study, at least 1.
        overlays: which files show a scanner's screen around the picture.
        formats: share of each of `FORMATS`; the shares are scaled to add up to 1.
        site: the laboratory, see `echoclip_r.phantom.study.SITES`.
    """

    seed: int = 0
    size_px: int = 112
    num_frames: int = 10
    clips_per_study: int = 1
    overlays: Overlays = "dicom"
    formats: Mapping[str, float] = field(default_factory=lambda: DEFAULT_FORMATS)
    site: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise OptionError(f"seed is {self.seed}; give 0 or more")
        if self.site not in SITES:
            raise OptionError(f"site is {self.site}; give one of {', '.join(map(str, SITES))}")
        if not 32 <= self.size_px <= 512 or self.size_px % 2:
            raise OptionError(
                f"size_px is {self.size_px}; give 32 to 512, even because H.264 needs it"
            )
        for name in ("num_frames", "clips_per_study"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; give 1 or more")
        if self.overlays not in get_args(Overlays):
            raise OptionError(
                f"overlays is {self.overlays!r}; give one of {', '.join(get_args(Overlays))}"
            )
        if unknown := sorted(set(self.formats) - set(FORMATS)):
            raise OptionError(f"formats names {unknown[0]!r}; choose from {', '.join(FORMATS)}")
        if min(self.formats.values(), default=0) < 0 or sum(self.formats.values()) <= 0:
            raise OptionError("the shares in formats must be 0 or more and not all 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRow:
    """One clip of an archive.

    Attributes:
        manifest: cells of the manifest, with a blank split.
        provenance: facts that are known of a phantom but of no real clip.
    """

    manifest: Mapping[str, str]
    provenance: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientRange:
    """Work for one process: the patients from `first` to the one before `last`."""

    out_dir: Path
    options: ArchiveOptions
    first: int
    last: int


def write_patients(job: Job[PatientRange]) -> list[tuple[list[ClipRow], bool]]:
    """Write a range of patients, each with `write_patient`."""
    patients = job.payload
    return [
        write_patient(patients.out_dir, number, patients.options)
        for number in range(patients.first, patients.last)
    ]


def write_patient(
    out_dir: Path, number: int, options: ArchiveOptions
) -> tuple[list[ClipRow], bool]:
    """Write a patient's clips, unless they are there already.

    Args:
        out_dir: folder of the archive.
        number: number of the patient, from 0.
        options: options of the archive.

    Returns:
        One row for each clip, and whether the clips were there already.

    Raises:
        OSError: a file cannot be written.
    """
    studies = sample_patient(number, options.seed, site=options.site)
    reports = write_reports(studies, seed=options.seed)
    folder = out_dir / "clips" / _patient_id(number)
    # A folder that has its name is whole, so a run that was stopped can go on.
    finished = folder.exists()
    identity = invent_identity(studies[0], seed=options.seed)
    rows = []
    with nullcontext() if finished else whole_folder(folder) as partial:
        for latents, report in zip(studies, reports, strict=True):
            for clip in range(options.clips_per_study):
                form = choose_format(latents, clip, options)
                name = f"{_study_id(latents)}-{clip}{suffix_of(form)}"
                if partial is not None:
                    _write(partial / name, latents, identity, clip, form, options)
                video = f"clips/{folder.name}/{name}"
                rows.append(_row(video, latents, report, identity, form, options))
    return rows, finished


def find_study(study_id: str, seed: int, *, site: int = 0) -> Latents:
    """The study of a row of the manifest.

    Args:
        study_id: its cell, such as `P000003-S0`.
        seed: the archive's seed.
        site: the archive's site.
    """
    patient, _, study = study_id.removeprefix("P").partition("-S")
    return sample_patient(int(patient), seed, site=site)[int(study)]


def _patient_id(number: int) -> str:
    return f"P{number:06d}"


def _study_id(latents: Latents) -> str:
    return f"{_patient_id(latents.patient_id)}-S{latents.study_index}"


def choose_format(latents: Latents, clip: int, options: ArchiveOptions) -> str:
    """Choose a clip's format at random, so that it tells nothing about the study."""
    shares = np.array([options.formats.get(form, 0.0) for form in FORMATS])
    rng = np.random.default_rng([options.seed, latents.study_seed, clip, _STREAM])
    return FORMATS[int(rng.choice(len(FORMATS), p=shares / shares.sum()))]


def _has_screen(form: str, options: ArchiveOptions) -> bool:
    return options.overlays == "all" or (options.overlays == "dicom" and form.startswith("dicom"))


def _write(
    path: Path,
    latents: Latents,
    identity: Identity,
    clip: int,
    form: str,
    options: ArchiveOptions,
) -> None:
    picture = render_clip(latents, options.num_frames, options.size_px, clip)
    if _has_screen(form, options):
        phase = (latents.study_seed + 37 * clip) % 100 / 100
        frames = draw_screen(picture, latents, identity, phase=phase)
    else:
        frames = np.repeat(picture[..., None], 3, axis=-1)
    study_key = f"{options.seed}:{_study_id(latents)}"
    write_clip(
        path,
        frames,
        form=form,
        # A clip lasts about one beat.
        fps_hz=max(5, round(options.num_frames * latents.heart_rate_bpm / 60 / 1.1)),
        study=DicomStudy(
            identity=identity,
            sex=latents.sex,
            day=latents.date,
            heart_rate_bpm=round(latents.heart_rate_bpm),
            key=f"{study_key}:{clip}",
            study_id=_study_id(latents),
            study_key=study_key,
        ),
    )


def _row(
    video: str,
    latents: Latents,
    report: Report,
    identity: Identity,
    form: str,
    options: ArchiveOptions,
) -> ClipRow:
    screen = _has_screen(form, options)
    layout = lay_out_screen(options.size_px)
    manifest = {
        "study_id": _study_id(latents),
        "patient_id": _patient_id(latents.patient_id),
        "video": video,
        "report": report.text,
        "split": "",  # the whole archive's to decide
        "view": "A4C",
        "date": latents.date.isoformat(),
        **label_cells(latents),
    }
    provenance = {
        "video": video,
        "format": form,
        "style": report.reader.style,
        "reader": str(report.reader.number),
        "keystroke": str(int(report.keystroke)),
        "family_name": identity.family_name,
        "given_name": identity.given_name,
        "record_number": identity.record_number,
        "burned_in": str(int(screen)),
        "picture_top": str(layout.top * screen),
        "picture_left": str(layout.left * screen),
        "picture_size": str(options.size_px),
    }
    return ClipRow(manifest=manifest, provenance=provenance)


def label_cells(latents: Latents) -> dict[str, str]:
    """The truth, not what the report says of it."""
    return {
        "ef": f"{latents.ef_percent:.1f}",
        "pap_mmhg": f"{latents.pap_mmhg:.0f}",
        "rap_mmhg": f"{latents.rap_mmhg:.0f}",
        "age_years": str(latents.age_years),
        "pacer": str(int(latents.pacer_lead)),
        "impella": str(int(latents.impella)),
        "tavr": str(int(latents.tavr)),
        "mitraclip": str(int(latents.mitraclip)),
        "annuloplasty_ring": str(int(latents.annuloplasty_ring)),
        "transplanted": str(int(latents.transplanted)),
        "effusion": str(latents.effusion),
        "akinesia": str(int(latents.akinesia != "none")),
        "lv_dilation": str(latents.lv_dilation),
        "rv_dilation": str(latents.rv_dilation),
        "la_dilation": str(latents.la_dilation),
        "ra_dilation": str(latents.ra_dilation),
        "wall_thickness_mm": f"{latents.wall_thickness_mm:.1f}",
        "mr_grade": str(latents.mr_grade),
        "tr_grade": str(latents.tr_grade),
        "as_grade": str(latents.as_grade),
        "since_surgery": str(int(latents.event == "surgery")),
        "since_transplant": str(int(latents.event == "transplant")),
    }
