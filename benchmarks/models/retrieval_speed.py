"""Retrieval metrics at the size of the published test set, and beside those of open_clip.

Ranks both ways, recall, chance levels and 1,000-bootstrap intervals on 21,484 videos and as many
reports at width 512, with duplicate reports and several studies a patient; then open_clip's own
metric and ours on the same 5,000 pairs, in turn. Each measurement is a process of its own, so that
its peak memory is its own. Writes results/retrieval_speed.json and .md beside itself.

    python benchmarks/models/retrieval_speed.py [--large]      --large adds 200,000 x 200,000 (long)
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import facts, write_results

WIDTH, PAPER, BESIDE, LARGE = 512, 21_484, 5_000, 200_000
REPEATS = 3
SEED = 0


def embeddings(number: int, *, dtype: type = np.float32) -> tuple[npt.NDArray[Any], ...]:
    """Unit videos and reports, (number, 512): a report is near its video, as trained models do."""
    generator = np.random.default_rng(SEED)
    videos = generator.standard_normal((number, WIDTH), dtype=np.float32)
    noise = generator.standard_normal((number, WIDTH), dtype=np.float32)
    reports = videos + np.float32(8) * noise
    for rows in (videos, reports):
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return videos.astype(dtype), reports.astype(dtype)


def measure_ours(number: int) -> dict[str, Any]:
    """All figures with intervals; a tenth of the reports repeat another, as templates do."""
    from echoclip_r.metrics.retrieval import retrieval

    videos, reports = embeddings(number)
    generator = np.random.default_rng(SEED)
    text = np.arange(number)
    text[generator.random(number) < 0.1] = generator.integers(0, number // 50)
    patients = np.sort(generator.integers(0, number // 2, number))
    began = time.perf_counter()
    found = retrieval(
        videos,
        reports,
        video_text=text,
        report_text=text,
        video_patients=patients,
        report_patients=patients,
    )
    seconds = time.perf_counter() - began
    mcmrr = found.scores.figures["mcmrr"]
    return {
        "seconds": seconds,
        "mcmrr": mcmrr.value,
        "low": mcmrr.low,
        "high": mcmrr.high,
        "chance": mcmrr.chance,
    }


def measure_beside(number: int) -> dict[str, Any]:
    """open_clip's metric and our ranks and recalls of the same pairs, in turn, no ties."""
    import torch
    from open_clip_train.train import get_clip_metrics

    from echoclip_r.metrics.ranks import retrieval_ranks

    videos, reports = embeddings(number)
    pair = np.arange(number)
    seconds: dict[str, list[float]] = {"open_clip": [], "echoclip_r": []}
    for _ in range(REPEATS):
        began = time.perf_counter()
        theirs = get_clip_metrics(
            torch.from_numpy(videos), torch.from_numpy(reports), torch.tensor(1.0)
        )
        seconds["open_clip"].append(time.perf_counter() - began)
        began = time.perf_counter()
        ranks = retrieval_ranks(videos, reports, video_text=pair, report_text=pair)
        ours = figures(ranks)
        seconds["echoclip_r"].append(time.perf_counter() - began)
    wide = [rows.astype(np.float64) for rows in (videos, reports)]
    exact = get_clip_metrics(*map(torch.from_numpy, wide), torch.tensor(1.0, dtype=torch.float64))
    return {
        "seconds": seconds,
        "times_faster": statistics.median(seconds["open_clip"])
        / statistics.median(seconds["echoclip_r"]),
        "ours": ours,
        "largest_difference": max(abs(float(theirs[name]) - ours[name]) for name in ours),
        "largest_difference_float64": max(abs(float(exact[name]) - ours[name]) for name in ours),
    }


def figures(ranks: tuple[npt.NDArray[np.int64], ...]) -> dict[str, float]:
    """Ours under open_clip's names."""
    found: dict[str, float] = {}
    for name, rank in zip(("image_to_text", "text_to_image"), ranks, strict=True):
        found[f"{name}_mean_rank"] = float(rank.mean())
        found[f"{name}_median_rank"] = float(np.floor(np.median(rank)))
        for k in (1, 5, 10):
            found[f"{name}_R@{k}"] = float((rank <= k).mean())
    return found


MEASUREMENTS = {"ours": measure_ours, "beside": measure_beside}


def in_a_process(what: str, number: int) -> dict[str, Any]:
    """One measurement, with the peak memory of its process in GB."""
    command = [sys.executable, str(Path(__file__)), "--measure", what, str(number)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def to_markdown(results: dict[str, Any]) -> str:
    """The page."""
    about = results["facts"]
    lines = [
        "# Speed of the retrieval metrics",
        "",
        f"Width {WIDTH}, synthetic embeddings, seed {SEED}. All figures both ways, with duplicates "
        "as right answers, ties against, chance levels, and 1,000 resamples of the query patients.",
        "",
        "| pool | seconds | peak memory of the process, GB | MCMRR (95 % interval; chance) |",
        "| --- | --- | --- | --- |",
    ]
    for name, one in results["ours"].items():
        lines.append(
            f"| {int(name):,} x {int(name):,} | {one['seconds']:.1f} | {one['peak_gb']:.1f} "
            f"| {one['mcmrr']:.1f} ({one['low']:.1f}-{one['high']:.1f}; {one['chance']:.1f}) |"
        )
    beside = results["beside"]
    medians = {name: statistics.median(values) for name, values in beside["seconds"].items()}
    lines += [
        "",
        f"Beside open_clip's `get_clip_metrics` on the same {BESIDE:,} pairs without ties, in "
        f"turn, median of {REPEATS}: {medians['open_clip']:.2f} s and {medians['echoclip_r']:.2f} "
        f"s, **{beside['times_faster']:.1f} times faster**. Largest difference of any figure: "
        f"{beside['largest_difference']:.2g} where open_clip computes in float32, "
        f"{beside['largest_difference_float64']:.2g} in float64.",
        "",
        f"{about['machine']}; Python {about['python']}; "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        + f". `{about['command']}`",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--large", action="store_true", help="add 200,000 x 200,000")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, number = arguments.measure
        found = MEASUREMENTS[what](int(number))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({**found, "peak_gb": peak}))
        return 0
    sizes = [PAPER, LARGE] if arguments.large else [PAPER]
    results = {
        "ours": {str(number): in_a_process("ours", number) for number in sizes},
        "beside": in_a_process("beside", BESIDE),
        "facts": facts(
            "python benchmarks/models/retrieval_speed.py" + (" --large" if arguments.large else ""),
            ["numpy", "scipy", "torch", "open_clip_torch"],
            seed=SEED,
        ),
    }
    write_results("retrieval_speed", results, to_markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
