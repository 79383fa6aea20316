"""A million clips: how long a server takes to open them and to answer, and in how much memory.

    python -m benchmarks.models.search_scale            1,000,000 clips x 512 (3 GB in runs/)
    python -m benchmarks.models.search_scale --clips N

The embeddings are random, in clusters; the reports are those of phantoms, each made different by
its number. Ranks mean nothing here; times and memory do. A question is a study of the archive, so
that no model's own time is in it; what a model adds is measured by `make bench-search`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

import echotok
from benchmarks.common import ROOT, facts, write_results
from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.report.reports import write_reports
from echoclip_r.serve.engine import Engine, Question
from echoclip_r.serve.index import ArchiveIndex, _write_arrow, _write_clips
from echoclip_r.serve.report_findings import read_findings
from echoclip_r.storage import json_text
from echotok.findings.rule_files import read_findings_rules

QUESTIONS = {
    "no filter": "",
    "a view (a third of the clips)": "view = A4C",
    "a year (a tenth)": "date = 2015",
    "EF 30-40 %": "EF 30-40 %",
    "two findings and a year": "mitral regurgitation >= moderate; EF < 50; date = 2015",
}
TIMES = 20


def main() -> None:
    """Make the index where it is not there, and measure in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = ROOT / "runs" / f"search-{arguments.clips}-{arguments.dimensions}"
    if arguments.measure:
        print(json.dumps(measure(folder)))
        return
    if not (folder / "index.json").exists():
        make(folder, arguments.clips, arguments.dimensions)
    command = [sys.executable, "-m", "benchmarks.models.search_scale", "--measure"]
    command += ["--clips", str(arguments.clips), "--dimensions", str(arguments.dimensions)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    write(json.loads(done.stdout), arguments.clips, arguments.dimensions)


def make(folder: Path, num: int, dimensions: int) -> None:
    """Write an index of random embeddings and phantom reports."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    studies = generator.integers(0, num // 4, num)
    studies.sort()
    patients = studies // 2
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (num, dimensions))
    centres = generator.normal(size=(200, dimensions)).astype(np.float32)
    for start in range(0, num, 50_000):
        size = min(50_000, num - start)
        block = generator.standard_normal((size, dimensions), dtype=np.float32)
        block += 0.5 * centres[generator.integers(0, 200, size)]
        vectors[start : start + size] = block / np.linalg.norm(block, axis=1, keepdims=True)
    vectors.flush()
    base = [
        report.text
        for patient in range(1000)
        for report in write_reports(sample_patient(patient, 5), seed=5)
    ]
    rules = read_findings_rules()
    said = read_findings(base, rules, lambda _what, _done, _total: None)
    num_texts = int(studies.max()) + 1
    of_base = generator.integers(0, len(base), num_texts)
    texts = [f"{base[of]} Study number {text}." for text, of in enumerate(of_base)]
    _write_arrow(folder / "reports.arrow", pa.table({"report": pa.array(texts, pa.large_string())}))
    record = replace(said, values=said.values[of_base]).save(folder)
    block = generator.standard_normal((num_texts, dimensions), dtype=np.float32)
    np.save(folder / "texts.npy", block / np.linalg.norm(block, axis=1, keepdims=True))
    days = pd.date_range("2010-01-01", "2019-12-31").strftime("%Y-%m-%d").to_numpy()
    numbers = np.arange(num)
    clips = pd.DataFrame(
        {
            "key": np.char.add("train-", np.char.zfill(numbers.astype(str), 8)),
            "study_id": np.char.add("S", studies.astype(str)),
            "patient_id": np.char.add("P", patients.astype(str)),
            "split": "train",
            "view": generator.choice(["A4C", "A2C", "PLAX"], num),
            "date": days[generator.integers(0, len(days), num_texts)][studies],
            "text": studies.astype(np.int32),
            "shard": np.int32(0),
            "offset": numbers,
            "size": 1,
        }
    )
    codes = _write_clips(folder, clips)
    np.save(folder / "by_patient.npy", np.argsort(codes, kind="stable"))
    np.save(folder / "patient_starts.npy", np.concatenate([[0], np.cumsum(np.bincount(codes))]))
    content = {"labels": [], "num_studies": num_texts, "notes": [], "findings": record}
    (folder / "index.json").write_text(json_text(content), encoding="utf-8")


def measure(folder: Path) -> dict[str, Any]:
    """Open the index and ask."""
    before = memory()
    began = time.perf_counter()
    shards = SimpleNamespace(shards={"train": [SimpleNamespace(path=folder / "none.tar")]})
    index = ArchiveIndex(folder, json.loads((folder / "index.json").read_text()), cast(Any, shards))
    opened = time.perf_counter() - began
    model: Any = SimpleNamespace(tokenizer=echotok.load("echo"), name="none", fingerprint="0")
    engine = Engine(model, index, read_findings_rules())
    found: dict[str, Any] = {"open_s": opened, "questions": {}}
    generator = np.random.default_rng(1)
    for name, where in QUESTIONS.items():
        times, worked = [], []
        for number in range(TIMES + 1):
            key = index.cell("key", int(generator.integers(0, len(index))))
            began, busy = time.perf_counter(), time.process_time()
            answer = engine.ask(Question(kind="study", key=key, where=where), k=10)
            times.append(time.perf_counter() - began)
            worked.append(time.process_time() - busy)
            num = answer.num_compared
            if not number:
                first = times.pop()
        found["questions"][name] = {
            "num_compared": num,
            "first_s": first,
            "cpu_s": float(np.median(worked)),
            "p50_s": float(np.median(times)),
            "p95_s": float(np.quantile(times, 0.95)),
        }
    found |= {"memory": memory(), "memory_before": before}
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def memory() -> dict[str, float]:
    """What this process holds, in MB: of its own, and of files that are mapped."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split() for line in lines if line.startswith("Rss")}
    return {name: int(parts[1]) / 1024 for name, parts in sizes.items()}


def write(found: dict[str, Any], num: int, dimensions: int) -> None:
    """The figures as a table."""
    own, mapped = found["memory"]["RssAnon"], found["memory"]["RssFile"]
    load = os.getloadavg()[0]
    lines = [
        "# A million clips in the browser's search",
        "",
        f"{num:,} clips x {dimensions}, float32, memory-mapped, exact search; random embeddings. "
        f"{TIMES} questions each, each of another study. A time holds all but HTTP, the page and a "
        "model: filter, search, folding, findings of ten reports. The files are in the system's "
        f"cache. Load of the machine {load:.1f} on {os.cpu_count()} cores, shared with others.",
        "",
        f"Opened in {found['open_s']:.2f} s. Memory of its own {own:,.0f} MB, of which "
        f"{found['memory_before']['RssAnon']:,.0f} MB before opening; mapped files, which the "
        f"system takes back when it needs memory, {mapped:,.0f} MB.",
        "",
        "| filter | clips compared | first, s | p50, s | p95, s | both cores' work, s |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, one in found["questions"].items():
        lines.append(
            f"| {name} | {one['num_compared']:,} | {one['first_s']:.2f} | {one['p50_s']:.2f} | "
            f"{one['p95_s']:.2f} | {one['cpu_s']:.2f} |"
        )
    command = f"python -m benchmarks.models.search_scale --clips {num}"
    content = {**facts(command, ["numpy", "pyarrow", "pandas"], load=load), **found}
    write_results("search_scale", content, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
