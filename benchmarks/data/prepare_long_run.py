"""Two promises of `echoclip-r prepare` on a long run: flat memory, and the same bytes after a kill.

A phantom archive of a hundred patients (64 px, AVI, MP4 and DICOM) is multiplied: every clip gets
further names by hard links, with study and patient ids of their own, so that each row is a file,
a study and a patient's like any other. Memory: all rows, two workers, the resident memory of every
process read twice a second. Killed: a part of the rows is prepared three times: without a break,
with one worker, and with SIGKILL to the main process at a quarter, half and three quarters.

Run: .venv/bin/python benchmarks/data/prepare_long_run.py
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import facts, write_results
from benchmarks.data.watched_run import Run, run_prepare
from echoclip_r.phantom.archive import write_archive

PACKAGES = ["av", "numpy", "pandas", "pillow", "pydicom", "scipy"]
NUM_PATIENTS, SIZE_PX, NUM_FRAMES = 100, 64, 6
NUM_SHARDS = 80  # finished shards tell how far a run is
# All rows are to go through, so small phantoms whose sector is not sure are kept.
OPTIONS = {"size": SIZE_PX, "frames": 4, "keep-unsure": True}
START_UP = 0.05  # share of the clips: imports, buffers, the allocator finding its level


def main() -> None:
    """Measure both and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=20_000, help="of the run for memory")
    parser.add_argument("--killed-clips", type=int, default=2_000, help="of the runs with kills")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # Else a run that is told to stop leaves its `prepare` behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    start, load = time.time(), round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = write_archive(
            folder / "base",
            NUM_PATIENTS,
            size_px=SIZE_PX,
            num_frames=NUM_FRAMES,
            seed=arguments.seed,
        ).manifest
        options = OPTIONS | {"seed": arguments.seed}
        few = multiply(base, folder / "few", arguments.killed_clips)
        killed = measure_kills(few, folder, arguments.killed_clips, options)
        many = multiply(base, folder / "many", arguments.clips)
        memory = measure_memory(many, folder / "many-out", arguments.clips, options)
    results = facts(
        ".venv/bin/python benchmarks/data/prepare_long_run.py",
        PACKAGES,
        seed=arguments.seed,
        load_average=[load, round(os.getloadavg()[0], 1)],
        seconds=round(time.time() - start),
        memory=memory,
        killed=killed,
    )
    write_results("prepare_long_run", results, markdown(results))
    if not killed["all_equal"]:
        sys.exit("a run that was killed made other bytes")


def multiply(base: Path, folder: Path, num_clips: int) -> Path:
    """An archive of `num_clips` rows, each with a file of its own: hard links to the base's."""
    (folder / "clips").mkdir(parents=True)
    with base.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        for number, row in enumerate(itertools.islice(itertools.cycle(rows), num_clips)):
            turn = number // len(rows)
            video = f"clips/{turn}-{Path(row['video']).name}"
            (folder / video).hardlink_to(base.parent / row["video"])
            ids = {name: f"{row[name]}-{turn}" for name in ("study_id", "patient_id")}
            writer.writerow(row | ids | {"video": video})
    return path


def measure_memory(
    manifest: Path, out: Path, num_clips: int, options: dict[str, object]
) -> dict[str, Any]:
    """Resident memory of the main process and of the larger worker over a long run."""
    print(f"memory over {num_clips:,} clips", file=sys.stderr)
    per_shard = max(1, num_clips // NUM_SHARDS)
    options = options | {"workers": 2, "clips-per-shard": per_shard}
    run = run_prepare(manifest, out, options, period_s=0.5)
    assert run.made is not None
    table = []
    for reading in run.readings:
        workers_mb = [entry.resident_mb for entry in reading.processes if entry.generation == 2]
        if workers_mb:
            main_mb = reading.processes[0].resident_mb
            table.append((per_shard * reading.num_shards, main_mb, max(workers_mb)))
    rows = np.array([row for row in table if row[0] >= START_UP * num_clips])
    done, main_mb, worker_mb = rows.T
    quarters = []
    for number in range(4):
        within = (done >= number / 4 * num_clips) & (done < (number + 1) / 4 * num_clips)
        quarters.append(
            {
                "up_to_clips": (number + 1) * num_clips // 4,
                "n_readings": int(within.sum()),
                "main_mean_mb": round(float(main_mb[within].mean()), 1),
                "main_peak_mb": round(float(main_mb[within].max()), 1),
                "worker_mean_mb": round(float(worker_mb[within].mean()), 1),
                "worker_peak_mb": round(float(worker_mb[within].max()), 1),
            }
        )
    return {
        "n_clips": run.made["num_clips"],
        "n_rejects": run.made["num_rejects"],
        "seconds": round(run.seconds, 1),
        "clips_per_s": round(run.made["num_clips"] / run.seconds, 1),
        "quarters": quarters,
        "main_kb_per_1000_clips": round(_slope(done, main_mb) * 1e6, 1),
        "worker_kb_per_1000_clips": round(_slope(done, worker_mb) * 1e6, 1),
    }


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Least-squares slope of y over x."""
    return float(np.polyfit(x, y, 1)[0])


def measure_kills(
    manifest: Path, folder: Path, num_clips: int, options: dict[str, object]
) -> dict[str, Any]:
    """Sums of all shards: unbroken, with another number of workers, and killed three times."""
    num_shards = 16
    options = options | {"clips-per-shard": -(-num_clips // num_shards)}
    sums: dict[str, dict[str, str]] = {}
    for name, workers in (("unbroken", 2), ("one worker", 1)):
        print(f"{name}: {num_clips:,} clips", file=sys.stderr)
        _whole(run_prepare(manifest, folder / name, options | {"workers": workers}))
        sums[name] = _sums(folder / name)
    out, kills = folder / "killed", []
    for share in (0.25, 0.5, 0.75):
        print(f"killed at {share:.0%}", file=sys.stderr)
        run = run_prepare(
            manifest,
            out,
            options | {"workers": 2},
            kill_when=lambda reading, due=share * num_shards: reading.num_shards >= due,
        )
        assert run.made is None, "it ended before it could be killed"
        kills.append({"seconds": round(run.seconds, 1), "n_shards": len(list(out.glob("*.tar")))})
    made = _whole(run_prepare(manifest, out, options | {"workers": 2}))
    sums["killed"] = _sums(out)
    return {
        "n_clips": made["num_clips"],
        "n_shards": made["num_shards"],
        "n_resumed": made["num_resumed"],
        "kills": kills,
        "n_files": len(sums["unbroken"]),
        "n_different": {
            name: sum(sums["unbroken"].get(path) != digest for path, digest in found.items())
            for name, found in sums.items()
            if name != "unbroken"
        },
        "all_equal": all(found == sums["unbroken"] for found in sums.values()),
    }


def _whole(run: Run) -> dict[str, Any]:
    assert run.made is not None
    return run.made


def _sums(out: Path) -> dict[str, str]:
    """Sha256 of everything that a run leaves for its user: shards, index, sums, rejects."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.iterdir())
        if path.is_file() and not path.name.startswith(".")
    }


def markdown(results: dict[str, Any]) -> str:
    """The page for readers."""
    memory, killed = results["memory"], results["killed"]
    before, after = results["load_average"]
    stops = ", ".join(f"{kill['n_shards']}" for kill in killed["kills"])
    different = killed["n_different"]
    lines = [
        "# A long run of `echoclip-r prepare`",
        "",
        f"{results['machine']}, load average {before} before and {after} after; Python "
        f"{results['python']}; "
        f"{', '.join(f'{name} {number}' for name, number in results['versions'].items())}. Seed "
        f"{results['seed']}. Made by `{results['command']}` in {results['seconds']} s. Phantom "
        f"clips of {SIZE_PX} px and {NUM_FRAMES} frames (AVI, MP4, DICOM); every row is a file.",
        "",
        "## Memory",
        "",
        f"{memory['n_clips']:,} clips ({memory['n_rejects']} rejects), 2 workers, "
        f"{memory['seconds']:.0f} s, {memory['clips_per_s']} clips/s with start-up. Resident "
        f"memory in MB; the first {START_UP:.0%} of the clips are left out as start-up.",
        "",
        "| up to clip | readings | main, mean | main, peak | larger worker, mean | and peak |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['up_to_clips']:,} | {row['n_readings']} | {row['main_mean_mb']} | "
        f"{row['main_peak_mb']} | {row['worker_mean_mb']} | {row['worker_peak_mb']} |"
        for row in memory["quarters"]
    ]
    lines += [
        "",
        f"Least-squares slope: {memory['main_kb_per_1000_clips']} kB (main) and "
        f"{memory['worker_kb_per_1000_clips']} kB (worker) per 1,000 clips.",
        "",
        "## Killed and run again",
        "",
        f"{killed['n_clips']:,} clips in {killed['n_shards']} shards. SIGKILL to the main process "
        f"of a run with two workers, three times, when {stops} shards were whole; the fourth run "
        f"finished, and found {killed['n_resumed']:,} clips done. Of {killed['n_files']} files "
        f"(shards, index, sums, rejects), {different['killed']} differ from those of an unbroken "
        f"run, and {different['one worker']} from those of a run with one worker (sha256).",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
