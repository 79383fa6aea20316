"""How fast `echoclip-r prepare` is, with one and two workers, on the sizes that archives hold.

A few clips are written and named again and again under different study ids. Everything goes
through the command line, as a user's run would. For memory see prepare_long_run.py.

Run: .venv/bin/python benchmarks/data/prepare_speed.py
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.common import facts, write_results
from benchmarks.data.watched_run import run_prepare

PACKAGES = ["av", "numpy", "pandas", "pillow", "scipy"]
NUM_FILES = 8  # different clips; a shard reads each many times, so the page cache holds them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of clip that archives hold."""

    name: str
    ending: str
    codec: str
    height_px: int
    width_px: int
    num_frames: int
    num_clips: int


KINDS = (
    Kind(
        name="800 x 600, 60 frames, Motion JPEG",
        ending="avi",
        codec="mjpeg",
        height_px=600,
        width_px=800,
        num_frames=60,
        num_clips=128,
    ),
    Kind(
        name="800 x 600, 60 frames, H.264",
        ending="mp4",
        codec="libx264",
        height_px=600,
        width_px=800,
        num_frames=60,
        num_clips=128,
    ),
    Kind(
        name="112 x 112, 60 frames, Motion JPEG",
        ending="avi",
        codec="mjpeg",
        height_px=112,
        width_px=112,
        num_frames=60,
        num_clips=320,
    ),
)


def main() -> None:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # Else a run that is told to stop leaves its `prepare` behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    start, load = time.time(), round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            measure(kind, Path(folder), workers=workers, seed=arguments.seed)
            for kind in KINDS
            for workers in (1, 2)
        ]
    results = facts(
        ".venv/bin/python benchmarks/data/prepare_speed.py",
        PACKAGES,
        seed=arguments.seed,
        # Others may be at work on the machine; without this, a rate says little.
        load_average=[load, round(os.getloadavg()[0], 1)],
        seconds=round(time.time() - start, 1),
        runs=runs,
    )
    write_results("prepare_speed", results, markdown(results))


def measure(kind: Kind, folder: Path, *, workers: int, seed: int) -> dict[str, Any]:
    """Clips, frames and reports a second of one run, once its workers have started."""
    manifest = write_archive(folder / kind.name, kind, seed=seed)
    out = folder / f"{kind.name}-{workers}"
    print(f"{kind.name}, {workers} workers", file=sys.stderr)
    # Shards of this size let both workers be busy to the end, as those of a large archive do.
    run = run_prepare(manifest, out, {"workers": workers, "clips-per-shard": 16, "seed": seed})
    made = run.made
    assert made is not None
    working_s = run.seconds - run.start_up_s
    size = sum(path.stat().st_size for path in out.glob("*.tar"))
    return {
        "clips": kind.name,
        "workers": workers,
        "n_clips": made["num_clips"],
        "n_rejects": made["num_rejects"],
        "n_frames": made["num_frames"],
        "n_reports": made["num_studies"],
        "seconds": round(run.seconds, 2),
        "start_up_s": round(run.start_up_s, 2),
        "cpu_ms_per_clip": round(1000 * run.cpu_s / made["num_clips"], 1),
        "clips_per_s": round(made["num_clips"] / working_s, 1),
        "frames_per_s": round(made["num_frames"] / working_s, 1),
        "reports_per_s": round(made["num_studies"] / working_s, 1),
        "kb_per_clip": round(size / made["num_clips"] / 1000, 1),
    }


def write_archive(folder: Path, kind: Kind, *, seed: int) -> Path:
    """Clips of one kind and a manifest that names them again and again, a study each."""
    path = folder / "manifest.csv"
    if path.exists():
        return path
    folder.mkdir()
    for number in range(NUM_FILES):
        frames = fan_frames(kind, seed=seed + number)
        write_video(folder / f"{number}.{kind.ending}", frames, codec=kind.codec)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["study_id", "patient_id", "video", "report", "split", "ef"])
        for number in range(kind.num_clips):
            patient = number % NUM_FILES  # a video belongs to one patient
            report = f"Study {number}. " + "The left ventricle is normal in size. " * 50
            name = f"{patient}.{kind.ending}"
            writer.writerow([f"S{number}", f"P{patient}", name, report, "train", number % 60 + 15])
    return path


def fan_frames(kind: Kind, *, seed: int) -> NDArray[np.uint8]:
    """Moving speckle in a fan; uint8, (T, height, width, 3)."""
    generator = np.random.default_rng(seed)
    height, width = kind.height_px, kind.width_px
    y, x = np.mgrid[:height, :width] / height
    x = x - width / height / 2
    radius, angle = np.hypot(x, y - 0.05), np.arctan2(x, y - 0.05)
    fan = (radius > 0.06) & (radius < 0.9) & (np.abs(angle) < 0.7)
    frames = np.zeros((kind.num_frames, height, width, 3), np.uint8)
    for number, frame in enumerate(frames):
        speckle = ndimage.gaussian_filter(generator.random((height, width)), height / 250)
        speckle = (speckle - speckle.mean()) / speckle.std()
        wall = 110 + 70 * np.sin(9 * radius + number / 3)
        frame[fan] = np.clip(wall + 30 * speckle, 10, 245)[fan, None]
    return frames


def write_video(path: Path, frames: NDArray[np.uint8], *, codec: str) -> None:
    """Write frames as a video of 30 Hz."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "mjpeg":
            stream.codec_context.qmin = stream.codec_context.qmax = 3
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())


def markdown(results: dict[str, Any]) -> str:
    """The page for readers."""
    before, after = results["load_average"]
    columns = ["clips", "workers", "n_clips", "clips_per_s", "frames_per_s", "reports_per_s"]
    columns += ["start_up_s", "cpu_ms_per_clip", "kb_per_clip"]
    lines = [
        "# Speed of `echoclip-r prepare`",
        "",
        f"{results['machine']}, shared with others: load average {before} before and {after} "
        f"after; Python {results['python']}; "
        f"{', '.join(f'{name} {number}' for name, number in results['versions'].items())}. Seed "
        f"{results['seed']}. Made by `{results['command']}` in {results['seconds']:.0f} s.",
        "",
        f"10 frames a clip at 224 px as JPEG; one clip and one report a study; {NUM_FILES} "
        "simulated clips a kind, read again and again (from the page cache). Rates leave out "
        "start-up (Python, imports, workers), which has its own column; CPU is that of all "
        "processes a clip, start-up included; kB is a clip in a shard.",
        "",
        "| clips | workers | n | clips/s | frames/s | reports/s | start-up, s | CPU, ms | kB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in results["runs"]:
        lines.append("| " + " | ".join(str(row[name]) for name in columns) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
