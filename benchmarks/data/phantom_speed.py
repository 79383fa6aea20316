"""How fast `echoclip-r phantom` is: clips, frames and reports a second, one and two workers.

Each figure is a whole archive: pictures, reports, files, tables and contact sheet. Archives take
turns over several rounds and the fastest counts, since the machine is shared; with one worker the
processor time is given too, which others hardly change.

Run: .venv/bin/python benchmarks/data/phantom_speed.py
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import facts, write_results
from echoclip_r.phantom.archive import write_archive
from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.report.reports import write_reports

PACKAGES = ["echotok", "av", "numpy", "pillow", "pydicom", "scipy"]
SIZES = [(64, 6), (64, 10), (112, 6), (112, 10)]
NUM_REPORT_PATIENTS = 1000
ROUNDS = 2


def main() -> None:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=120, help="of each archive")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    fastest: dict[tuple[int, int, int], dict[str, Any]] = {}
    for number in range(ROUNDS):
        for size_px, num_frames in SIZES:
            for workers in (1, 2):
                print(f"round {number}: {size_px} px, {num_frames} frames", file=sys.stderr)
                row = measure(
                    num_patients=arguments.patients,
                    size_px=size_px,
                    num_frames=num_frames,
                    workers=workers,
                    seed=arguments.seed,
                )
                key = (size_px, num_frames, workers)
                if key not in fastest or row["seconds"] < fastest[key]["seconds"]:
                    fastest[key] = row
    results = facts(
        ".venv/bin/python benchmarks/data/phantom_speed.py",
        PACKAGES,
        seed=arguments.seed,
        load_average_at_end=round(os.getloadavg()[0], 1),
        rounds=ROUNDS,
        archives=[fastest[key] for key in sorted(fastest)],
        reports=measure_reports(seed=arguments.seed),
    )
    write_results("phantom_speed", results, markdown(results))


def measure(
    *, num_patients: int, size_px: int, num_frames: int, workers: int, seed: int
) -> dict[str, Any]:
    """One archive from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        start, processor = time.perf_counter(), time.process_time()
        made = write_archive(
            Path(folder),
            num_patients,
            size_px=size_px,
            num_frames=num_frames,
            workers=workers,
            seed=seed,
        )
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {
        "size_px": size_px,
        "num_frames": num_frames,
        "workers": workers,
        "n_clips": made.num_clips,
        "seconds": round(seconds, 2),
        "clips_per_s": round(made.num_clips / seconds, 1),
        "clips_per_minute": round(60 * made.num_clips / seconds),
        "frames_per_s": round(made.num_clips * num_frames / seconds),
        "cpu_ms_per_clip": round(1000 * processor / made.num_clips, 1) if workers == 1 else None,
        "kb_per_clip": round(size / made.num_clips / 1000, 1),
    }


def measure_reports(*, seed: int) -> dict[str, Any]:
    """Reports alone, on one core."""
    patients = [sample_patient(number, seed) for number in range(NUM_REPORT_PATIENTS)]
    start, processor = time.perf_counter(), time.process_time()
    count = sum(len(write_reports(studies, seed=seed)) for studies in patients)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    return {
        "n_reports": count,
        "reports_per_s": round(count / seconds),
        "cpu_ms_per_report": round(1000 * processor / count, 2),
    }


def markdown(results: dict[str, Any]) -> str:
    """The page for readers."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    reports = results["reports"]
    lines = [
        "# Speed of `echoclip-r phantom`",
        "",
        f"{results['machine']}, load average {results['load_average_at_end']} at the end; Python "
        f"{results['python']}, {versions}; seed {results['seed']}. Made by "
        f"`{results['command']}`. Default mix of formats; everything of an archive is "
        f"counted; the fastest of {results['rounds']} rounds.",
        "",
        "| px | frames | procs | n | clips/s | clips/min | frames/s | ms CPU/clip | kB/clip |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['size_px']} | {row['num_frames']} | {row['workers']} | {row['n_clips']} | "
        f"{row['clips_per_s']} | {row['clips_per_minute']:,} | {row['frames_per_s']} | "
        f"{row['cpu_ms_per_clip'] or ''} | {row['kb_per_clip']} |"
        for row in results["archives"]
    ]
    if results["load_average_at_end"] > (os.cpu_count() or 1) + 1:
        lines += [
            "",
            "Other work kept the cores busy, so the second worker had no core of its own: only the "
            "processor time is to be trusted. Run it again on a quiet machine.",
        ]
    lines += [
        "",
        f"Reports alone, one core: {reports['reports_per_s']:,} a second "
        f"({reports['cpu_ms_per_report']} ms of CPU time each, n = {reports['n_reports']:,}).",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
