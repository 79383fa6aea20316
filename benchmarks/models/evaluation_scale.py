"""Evaluation of many studies: memory beside the size of the embeddings, and an executor.

Studies of phantom reports have made-up embeddings, kept as `embed` keeps them; what is measured is
reading them, making items of them, and judging every task with 1,000 draws. Each way is a process
of its own. `anonymous` memory is what cannot be given back: mapped files do not count.

    python benchmarks/models/evaluation_scale.py [--studies 20000] [--clips 8]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.common import ROOT, facts, write_results
from echoclip_r.embedding.embeddings import FORMAT, Embedded, load_embedded, write_part
from echoclip_r.evaluation.datasets import Dataset, make_items
from echoclip_r.evaluation.runner import evaluate_model
from echoclip_r.evaluation.tasks import read_tasks
from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.patient_files import label_cells
from echoclip_r.phantom.report.reports import write_reports

FOLDER = ROOT / "runs" / "bench-evaluation-scale"
WIDTH, FRAMES, PATIENTS, SHARD, NOISE = 512, 10, 2_000, 2_000, 0.05
WAYS = (0, 1, 2)  # processes of an executor; 0: none


def main() -> None:
    """Make the embeddings, measure each way, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--studies", type=int, default=20_000)
    parser.add_argument("--clips", type=int, default=8, help="clips of a study")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--judge", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = FOLDER / f"{arguments.studies}-{arguments.clips}"
    if arguments.judge is not None:
        print(json.dumps(judge(folder, arguments.judge, arguments.draws)))
        return
    make(folder, arguments.studies, arguments.clips)
    found = {}
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.models.evaluation_scale", *sys.argv[1:]]
        done = subprocess.run(
            [*command, "--judge", str(way)], cwd=ROOT, stdout=subprocess.PIPE, check=True
        )
        found[way] = json.loads(done.stdout.splitlines()[-1])
    figures = {one.pop("figures") for one in found.values()}
    num_clips = arguments.studies * arguments.clips
    about = facts("benchmarks/models/evaluation_scale.py", ["numpy"])
    rows = [
        f"| {'none' if way == 0 else way} | {one['read_s']:.0f} | {one['items_s']:.0f} "
        f"| {one['judge_s']:.0f} | {one['anonymous_gb']:.1f} |"
        for way, one in found.items()
    ]
    page = [
        "# Evaluation of many studies",
        "",
        f"{arguments.studies:,} studies of {arguments.clips} clips ({num_clips:,} clips, "
        f"{num_clips * FRAMES * WIDTH * 4 / 1e9:.1f} GB of frames' embeddings), made up around "
        f"phantom reports; every task, {arguments.draws:,} draws, one run each.",
        "",
        "| processes of an executor | reading, s | items, s | tasks, s | anonymous memory, GB |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
        f"All figures {'are the same' if len(figures) == 1 else 'DIFFER'} (to nine digits). Memory "
        "is that of the command; a process of the executor has the scores of one task.",
        "",
        f"{about['machine']}, shared; Python {about['python']}; numpy "
        f"{about['versions']['numpy']}. `python {about['command']} --studies {arguments.studies} "
        f"--clips {arguments.clips}`",
    ]
    write_results(
        "evaluation_scale", {str(way): one for way, one in found.items()}, "\n".join(page) + "\n"
    )


def make(folder: Path, num_studies: int, num_clips: int) -> None:
    """Embeddings as `embed` keeps them; what is there is kept."""
    if (folder / "run.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    known: list[dict[str, Any]] = []
    for number in range(PATIENTS):
        studies = sample_patient(number, 0)
        for study, report in zip(studies, write_reports(studies, seed=0), strict=True):
            labels = {name: float(cell) for name, cell in label_cells(study).items()}
            ids = {"patient_id": str(number), "date": study.date.isoformat()}
            known.append({**ids, "report": report.text, **labels})
    parts, draw = [], np.random.default_rng(0)
    for first in range(0, num_studies, SHARD // num_clips):
        numbers = range(first, min(first + SHARD // num_clips, num_studies))
        rows = []
        for number in numbers:
            again, which = divmod(number, len(known))
            study = known[which]
            ids = {"study_id": f"S{number}", "split": "test", "view": "A4C"}
            ids["patient_id"] = f"{again}-{study['patient_id']}"
            rows += [{**study, **ids, "key": f"{number}-{clip}"} for clip in range(num_clips)]
        clips = pd.DataFrame(rows)
        frames = np.repeat(embed_texts(list(clips["report"])), FRAMES, axis=0)
        frames += NOISE * draw.standard_normal(frames.shape, dtype=np.float32)
        frames /= np.linalg.norm(frames, axis=1, keepdims=True)
        owner = np.repeat(np.arange(len(clips)), FRAMES)
        parts.append(f"test-{len(parts):06d}")
        (folder / "run.json").unlink(missing_ok=True)
        write_part(
            folder / f"{parts[-1]}.parquet",
            Embedded(clips=clips, frames=frames, frame_clip=owner),
            [key.encode() for key in clips["key"]],
        )
    run = {"format": FORMAT, "model": "made up", "dimensions": WIDTH, "parts": parts}
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")


@cache
def _of_text(text: str) -> NDArray[np.float32]:
    draw = np.random.default_rng(list(text.encode()))
    row = draw.standard_normal(WIDTH, dtype=np.float32)
    return row / np.linalg.norm(row)


def embed_texts(texts: list[str]) -> NDArray[np.float32]:
    """A direction for each text, drawn from it."""
    return np.stack([_of_text(text) for text in texts])


def judge(folder: Path, processes: int, draws: int) -> dict[str, Any]:
    """Time of each step and the most memory, in this process."""
    from echoclip_r.metrics.bootstrap import Resampling

    most = [0.0]
    threading.Thread(target=_watch, args=(most,), daemon=True).start()
    tasks = read_tasks("phantom")
    times = [time.perf_counter()]
    embedded, _ = load_embedded(folder)
    times.append(time.perf_counter())
    items = make_items(embedded, "study", tasks.findings)
    del embedded
    times.append(time.perf_counter())
    with ExitStack() as stack:
        executor = None
        if processes:
            context = multiprocessing.get_context("spawn")
            executor = stack.enter_context(ProcessPoolExecutor(processes, context))
            executor.num_workers = processes  # type: ignore[attr-defined]
        outcomes, _ = evaluate_model(
            "made up",
            [Dataset(name="internal", test=items, validation=None)],
            embed_texts,
            tasks,
            resampling=Resampling(num_draws=draws),
            executor=executor,
        )
    times.append(time.perf_counter())
    shown = [
        f"{one.task} {name} {figure.value:.9g} {figure.low:.9g} {figure.high:.9g}"
        for one in outcomes
        for name, figure in one.scores.figures.items()
    ]
    seconds = dict(zip(("read_s", "items_s", "judge_s"), np.diff(times).tolist(), strict=True))
    return {**seconds, "anonymous_gb": most[0], "figures": "\n".join(shown)}


def _watch(most: list[float]) -> None:
    while True:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("RssAnon:"):
                most[0] = max(most[0], int(line.split()[1]) / 1e6)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
