"""How fast `echoclip-r prepare` is, with one and two workers, and whether its memory stays flat.

Speed: a few clips of the sizes that archives hold are written and named again and again under
different study ids. Memory: 20,000 small clips, with the resident memory of every process of the
run read twice a second. Both go through the command line, as a user's run would.

Run: .venv/bin/python benchmarks/prepare_speed.py
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

OUT = Path(__file__).parent / "results"
PACKAGES = ("echotok", "av", "numpy", "pandas", "pillow", "scipy")
CLIPS_PER_SHARD = 250  # of the long run
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process at one moment: resident memory, and processor time up to then."""

    pid: int
    resident_mb: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A run at one moment.

    Attributes:
        seconds: since its start.
        begun: whether a worker has begun with a clip.
        num_shards: shards that are finished.
        processes: the main one first.
    """

    seconds: float
    begun: bool
    num_shards: int
    processes: list[Process]


KINDS = (
    Kind(
        name="800 x 600, 60 frames, Motion JPEG",
        ending="avi",
        codec="mjpeg",
        height_px=600,
        width_px=800,
        num_frames=60,
        num_clips=64,
    ),
    Kind(
        name="800 x 600, 60 frames, H.264",
        ending="mp4",
        codec="libx264",
        height_px=600,
        width_px=800,
        num_frames=60,
        num_clips=64,
    ),
    Kind(
        name="112 x 112, 60 frames, Motion JPEG",
        ending="avi",
        codec="mjpeg",
        height_px=112,
        width_px=112,
        num_frames=60,
        num_clips=192,
    ),
)
SMALL = Kind(
    name="64 x 64, 12 frames, Motion JPEG",
    ending="avi",
    codec="mjpeg",
    height_px=64,
    width_px=64,
    num_frames=12,
    num_clips=20_000,
)


def main() -> None:
    """Measure and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the result files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory-clips", type=int, default=SMALL.num_clips, metavar="N")
    parser.add_argument("--only", choices=("speed", "memory"), help="measure one part anew")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "prepare_speed.json"
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for part in ("speed", "memory"):
        if arguments.only not in (None, part):
            continue
        start, load = time.time(), round(os.getloadavg()[0], 1)
        with tempfile.TemporaryDirectory() as folder:
            if part == "speed":
                runs: Any = [
                    measure_speed(kind, Path(folder), workers=workers, seed=arguments.seed)
                    for kind in KINDS
                    for workers in (1, 2)
                ]
            else:
                runs = measure_memory(Path(folder), arguments.memory_clips, seed=arguments.seed)
        result[part] = {
            "runs": runs,
            "machine": machine(load),
            "versions": {"python": platform.python_version()} | {n: version(n) for n in PACKAGES},
            "seed": arguments.seed,
            "command": f".venv/bin/python benchmarks/prepare_speed.py --only {part}",
            "seconds": round(time.time() - start, 1),
        }
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    page = markdown(result)
    (arguments.out / "prepare_speed.md").write_text(page, encoding="utf-8")
    print(page)


def measure_speed(kind: Kind, folder: Path, *, workers: int, seed: int) -> dict[str, Any]:
    """Clips, frames and reports a second of one run, once its workers have started."""
    manifest = write_archive(folder / kind.name, kind, num_clips=kind.num_clips, seed=seed)
    out = folder / f"{kind.name}-{workers}"
    # Shards of this size let both workers be busy to the end, as those of a large archive do.
    command = prepare_command(manifest, out, workers=workers, clips_per_shard=16, seed=seed)
    print(f"{kind.name}, {workers} workers", file=sys.stderr)
    made, seconds, readings = watch(command, out, period_s=0.1)
    start_up_s = next(reading.seconds for reading in readings if reading.begun)
    working_s = seconds - start_up_s
    # A process's time only grows, so its largest reading is (nearly) all of it.
    cpu_s: dict[int, float] = {}
    for reading in readings:
        cpu_s |= {process.pid: process.cpu_s for process in reading.processes}
    size = sum(path.stat().st_size for path in out.glob("*.tar"))
    return {
        "clips": kind.name,
        "workers": workers,
        "n_clips": made["num_clips"],
        "n_rejects": made["num_rejects"],
        "n_frames": made["num_frames"],
        "n_reports": made["num_studies"],
        "seconds": round(seconds, 2),
        "start_up_s": round(start_up_s, 2),
        "cpu_ms_per_clip": round(1000 * sum(cpu_s.values()) / made["num_clips"], 1),
        "clips_per_s": round(made["num_clips"] / working_s, 1),
        "frames_per_s": round(made["num_frames"] / working_s, 1),
        "reports_per_s": round(made["num_studies"] / working_s, 1),
        "kb_per_clip": round(size / made["num_clips"] / 1000, 1),
    }


def measure_memory(folder: Path, num_clips: int, *, seed: int) -> dict[str, Any]:
    """Resident memory of the main process and of a worker over a long run."""
    manifest = write_archive(folder / "small", SMALL, num_clips=num_clips, seed=seed)
    out = folder / "small-out"
    command = prepare_command(manifest, out, workers=2, clips_per_shard=CLIPS_PER_SHARD, seed=seed)
    command += ["--size", "64", "--frames", "4"]
    print(f"memory over {num_clips} clips", file=sys.stderr)
    made, seconds, readings = watch(command, out, period_s=0.5)
    # The first tenth is start-up: imports, buffers, and the allocator finding its level.
    table = [
        (
            CLIPS_PER_SHARD * reading.num_shards,
            reading.processes[0].resident_mb,
            max(process.resident_mb for process in reading.processes[1:]),
        )
        for reading in readings
        if len(reading.processes) > 1
    ]
    done, main_mb, worker_mb = np.array([row for row in table if row[0] >= num_clips / 10]).T
    marks = [
        {
            "n_clips": int(share * num_clips),
            "main_mb": round(float(main_mb[done <= share * num_clips].max()), 1),
            "worker_mb": round(float(worker_mb[done <= share * num_clips].max()), 1),
        }
        for share in (0.25, 0.5, 0.75, 1.0)
    ]
    return {
        "clips": SMALL.name,
        "n_clips": made["num_clips"],
        "n_rejects": made["num_rejects"],
        "n_readings": len(readings),
        "workers": 2,
        "seconds": round(seconds, 1),
        "clips_per_s": round(made["num_clips"] / seconds, 1),
        "peak_by_clips": marks,
        "main_kb_per_1000_clips": round(slope(done, main_mb) * 1e6, 1),
        "worker_kb_per_1000_clips": round(slope(done, worker_mb) * 1e6, 1),
    }


def slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Least-squares slope of y over x."""
    return float(np.polyfit(x, y, 1)[0])


def watch(
    command: list[str], out: Path, *, period_s: float
) -> tuple[dict[str, Any], float, list[Reading]]:
    """Run a command: what it printed, how long it took, and its processes while it ran."""
    readings = []
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        while running.poll() is None:
            processes = [read_process(pid) for pid in tree(running.pid)]
            readings.append(
                Reading(
                    seconds=time.perf_counter() - start,
                    begun=any((out / "state").glob("*.at")),
                    num_shards=len(list(out.glob("*.tar"))),
                    processes=[process for process in processes if process is not None],
                )
            )
            time.sleep(period_s)
        assert running.stdout is not None
        text = running.stdout.read()
    seconds = time.perf_counter() - start
    if running.returncode:
        sys.exit(f"{' '.join(command)}: exit status {running.returncode}")
    return json.loads(text), seconds, readings


def tree(pid: int) -> list[int]:
    """A process and all that it started, itself first."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(other for child in children for other in tree(int(child)))]


def read_process(pid: int) -> Process | None:
    """Memory and time of a process, or None when it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        # What stands behind the name in brackets; the name itself may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    ticks = int(fields[11]) + int(fields[12])
    return Process(
        pid=pid,
        resident_mb=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
    )


def prepare_command(
    manifest: Path, out: Path, *, workers: int, clips_per_shard: int, seed: int
) -> list[str]:
    """The command line of one run."""
    command = [sys.executable, "-m", "echoclip_r", "prepare", str(manifest), "--out", str(out)]
    command += ["--workers", str(workers), "--clips-per-shard", str(clips_per_shard)]
    return [*command, "--seed", str(seed), "--json"]


def write_archive(folder: Path, kind: Kind, *, num_clips: int, seed: int) -> Path:
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
        for number in range(num_clips):
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


def machine(load_at_start: float) -> dict[str, Any]:
    """Processor, cores, and how busy they were before and after."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load_average_at_start": load_at_start,
        "load_average_at_end": round(os.getloadavg()[0], 1),
    }


def markdown(result: dict[str, Any]) -> str:
    """The page for readers."""
    lines = ["# Speed and memory of `echoclip-r prepare`"]
    if "speed" in result:
        lines += ["", "## Speed", "", circumstances(result["speed"]), ""]
        lines += [
            f"10 frames a clip at 224 px as JPEG; one clip and one report a study; {NUM_FILES} "
            "simulated clips a kind, read again and again (from the page cache). Rates leave out "
            "start-up (Python, imports, workers), which has its own column; CPU is that of all "
            "processes a clip, start-up included; kB is a clip in a shard.",
            "",
            "| clips | workers | n | clips/s | frames/s | reports/s | start-up, s | CPU, ms | kB |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        columns = ["clips", "workers", "n_clips", "clips_per_s", "frames_per_s", "reports_per_s"]
        columns += ["start_up_s", "cpu_ms_per_clip", "kb_per_clip"]
        for row in result["speed"]["runs"]:
            lines.append("| " + " | ".join(str(row[name]) for name in columns) + " |")
    if "memory" in result:
        memory = result["memory"]["runs"]
        lines += ["", "## Memory", "", circumstances(result["memory"]), ""]
        lines += [
            f"{memory['n_clips']:,} clips ({memory['clips']}), {memory['workers']} workers, "
            f"{memory['seconds']:.0f} s, {memory['n_readings']} readings. Peak resident memory up "
            "to a number of clips, the first tenth left out as start-up:",
            "",
            "| clips | main process, MB | largest worker, MB |",
            "| ---: | ---: | ---: |",
        ]
        lines += [
            f"| {row['n_clips']:,} | {row['main_mb']} | {row['worker_mb']} |"
            for row in memory["peak_by_clips"]
        ]
        lines += [
            "",
            f"Least-squares slope: {memory['main_kb_per_1000_clips']} kB (main) and "
            f"{memory['worker_kb_per_1000_clips']} kB (worker) per 1,000 clips.",
        ]
    return "\n".join(lines) + "\n"


def circumstances(part: dict[str, Any]) -> str:
    """Machine, versions, seed and command of a part, in a sentence."""
    host = part["machine"]
    return (
        f"{host['processor']}, {host['cores']} cores, shared with others: load average "
        f"{host['load_average_at_start']} before and {host['load_average_at_end']} after; "
        f"{', '.join(f'{name} {number}' for name, number in part['versions'].items())}; "
        f"seed {part['seed']}. Made by `{part['command']}` in {part['seconds']:.0f} s."
    )


if __name__ == "__main__":
    main()
