"""A phantom archive on disk, which looks like a hospital's export: clips and a manifest.

    DIR/manifest.csv        for each clip: ids, file, report, split, view, date, labels (the truth)
    DIR/clips/PATIENT/...   AVI, MP4 and DICOM files
    DIR/provenance.csv      facts that are known only of a phantom: format, burned-in name, reader
    DIR/contact_sheet.png   some of the clips
    DIR/archive.json        the options, so that a stopped run can go on
    DIR/README.txt          what this is, and what it is not

The same options always give the same bytes, whatever the number of workers.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from echoclip_r.data.splits import assign_split
from echoclip_r.errors import EchoclipError, OptionError
from echoclip_r.jobs.local import Job, run_jobs
from echoclip_r.jobs.progress import Progress
from echoclip_r.phantom.patient_files import (
    DEFAULT_FORMATS,
    ArchiveOptions,
    ClipRow,
    Overlays,
    PatientRange,
    write_patients,
)
from echoclip_r.phantom.sheet import choose_clips, draw_sheet
from echoclip_r.storage import claim, differences_of, whole_file, write_text, writing

__all__ = ["ArchiveResult", "write_archive"]

_log = logging.getLogger(__name__)

_FORMAT = 1
_PATIENTS_A_JOB = 8
_GO_ON = "Run the same command again to go on: finished patients are kept"
_SHEET_PATIENTS = 400  # the contact sheet is chosen from the first of them
_README = """\
Phantom echocardiography archive, written by echoclip_r

EVERYTHING HERE IS SIMULATED. The clips are computed from scatterers, the reports from sentence
lists, the names from syllables. No patient, recording or real report stands behind any of it, and
nothing that is measured on it is clinical evidence: it shows that software works, not that it
works on people.

{num_patients} patients, {num_studies} studies, {num_clips} clips; {num_frames} frames a clip;
seed {seed}.

manifest.csv       one row a clip; the labels are the truth, the reports are off by a little
clips/             apical four-chamber clips; the accession number of a DICOM file is its study_id
provenance.csv     the format of each clip, the invented name, where the picture is on the screen
contact_sheet.png  some of the clips
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveResult:
    """The size of an archive that was written.

    Attributes:
        manifest: path of the manifest.
        num_patients: number of patients.
        num_studies: number of studies, each of which has one report.
        num_clips: number of clips.
        num_resumed: number of patients that an earlier run had finished.
    """

    manifest: Path
    num_patients: int
    num_studies: int
    num_clips: int
    num_resumed: int


def write_archive(
    out_dir: Path | str,
    num_patients: int,
    *,
    seed: int = 0,
    workers: int = 1,
    size_px: int = 112,
    num_frames: int = 10,
    clips_per_study: int = 1,
    overlays: Overlays = "dicom",
    formats: Mapping[str, float] = DEFAULT_FORMATS,
    site: int = 0,
    executor: Executor | None = None,
) -> ArchiveResult:
    """Write an archive of phantom patients, or continue one.

    Patients that are finished are skipped, so a run that was stopped can be repeated, and an
    archive can grow: patient 7 is the same in an archive of 10 and in one of 10,000.

    Args:
        out_dir: a new or empty folder, or one with an archive of the same options.
        num_patients: number of patients, at least 1; each has one to four studies.
        seed: seed of patients, pictures and reports, at least 0.
        workers: number of processes, at least 1.
        size_px: side of the square picture in pixels, an even number from 32 to 512.
        num_frames: number of frames of a clip, which shows about one heartbeat.
        clips_per_study: number of clips of each study, from slightly different angles.
        overlays: which files show a scanner's screen with an invented name, a date and an ECG
            trace around the picture: those in DICOM, all, or none.
        formats: share of each of `echoclip_r.phantom.clip_files.FORMATS`.
        site: the laboratory, see `echoclip_r.phantom.study.SITES`.
        executor: what does the work in place of processes of this machine; see
            `echoclip_r.jobs.local.run_jobs`.

    Returns:
        The size of the archive.

    Raises:
        OptionError: an option is out of range.
        EchoclipError: the folder holds something else, or cannot be written to.
    """
    for name, value in (("num_patients", num_patients), ("workers", workers)):
        if value < 1:
            raise OptionError(f"{name} is {value}; give 1 or more")
    options = ArchiveOptions(
        seed=seed,
        size_px=size_px,
        num_frames=num_frames,
        clips_per_study=clips_per_study,
        overlays=overlays,
        formats=formats,
        site=site,
    )
    out_dir = Path(out_dir)
    if executor is not None:  # its processes may stand in another folder
        out_dir = out_dir.absolute()
    with (
        claim(
            out_dir / "archive.json",
            _as_json(options),
            folder=out_dir,
            what="phantom patients",
            error=EchoclipError,
            differences=_differences,
        ),
        writing(out_dir, "the rest of the archive", error=EchoclipError, go_on=_GO_ON),
    ):
        result, shown = _write_rows(out_dir, num_patients, options, workers, executor)
        picked = [shown[index] for index in choose_clips(shown)]
        with whole_file(out_dir / "contact_sheet.png") as partial:
            draw_sheet(out_dir, picked, seed=options.seed, site=options.site).save(partial, "PNG")
        figures = {**_as_json(options), **asdict(result)}
        write_text(out_dir / "README.txt", _README.format(**figures))
    if result.num_resumed:
        _log.info("%d patients were finished by an earlier run", result.num_resumed)
    return result


def _write_rows(
    out_dir: Path,
    num_patients: int,
    options: ArchiveOptions,
    workers: int,
    executor: Executor | None,
) -> tuple[ArchiveResult, list[dict[str, str]]]:
    """Write clips and tables; also the rows of the first patients, without reports."""
    studies = resumed = clips = 0
    shown: list[dict[str, str]] = []
    with (
        _whole_table(out_dir / "manifest.csv") as manifest,
        _whole_table(out_dir / "provenance.csv") as provenance,
        Progress(num_patients, unit="patients", what="phantom") as bar,
    ):
        for patient, (rows, finished) in enumerate(
            _in_order(out_dir, num_patients, options, workers, executor)
        ):
            split = assign_split(rows[0].manifest["patient_id"], seed=options.seed)
            for row in rows:
                cells = {**row.manifest, "split": split}
                manifest(cells)
                provenance(row.provenance)
                if patient < _SHEET_PATIENTS:
                    shown.append({**cells, **row.provenance, "report": ""})
            studies += len({row.manifest["study_id"] for row in rows})
            clips += len(rows)
            resumed += finished
            bar.advance()
    result = ArchiveResult(
        manifest=out_dir / "manifest.csv",
        num_patients=num_patients,
        num_studies=studies,
        num_clips=clips,
        num_resumed=resumed,
    )
    return result, shown


def _in_order(
    out_dir: Path,
    num_patients: int,
    options: ArchiveOptions,
    workers: int,
    executor: Executor | None,
) -> Iterator[tuple[list[ClipRow], bool]]:
    """Patients by number, however the workers finish them."""
    jobs = (
        Job(
            name=f"the patients from {first} on",
            payload=PatientRange(
                out_dir=out_dir,
                options=options,
                first=first,
                last=min(first + _PATIENTS_A_JOB, num_patients),
            ),
        )
        for first in range(0, num_patients, _PATIENTS_A_JOB)
    )
    early: dict[int, list[tuple[list[ClipRow], bool]]] = {}
    due = 0
    for job, patients in run_jobs(
        jobs,
        write_patients,
        workers=0 if workers == 1 else workers,
        error=EchoclipError,
        executor=executor,
    ):
        early[job.payload.first] = patients
        while due in early:
            yield from early.pop(due)
            due += _PATIENTS_A_JOB


def _as_json(options: ArchiveOptions) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "seed": options.seed,
        "size_px": options.size_px,
        "num_frames": options.num_frames,
        "clips_per_study": options.clips_per_study,
        "overlays": options.overlays,
        "formats": dict(options.formats),
        "site": options.site,
    }


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Sequence[str]:
    """Archives that were made before there were two sites say nothing of theirs, and go on."""
    return differences_of({"site": 0} | dict(old), new)


@contextmanager
def _whole_table(path: Path) -> Iterator[Callable[[Mapping[str, str]], None]]:
    """A function that writes a row of a CSV file; the first row gives the header."""
    header: list[str] = []
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")

        def write(cells: Mapping[str, str]) -> None:
            if not header:
                header.extend(cells)
                writer.writerow(header)
            writer.writerow([cells[name] for name in header])

        yield write
