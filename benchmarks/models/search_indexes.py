"""Would an approximate index serve the search better than comparing with everything?

    python -m benchmarks.models.search_indexes          1,000,000 x 512 (half an hour)
    python -m benchmarks.models.search_indexes --clips N

Indexes of faiss and usearch beside `echoclip_r.search.nearest`: recall at 10, time of a query,
time to build and memory, with all clips and with those that a filter leaves (one in a hundred).
Where an index cannot filter by itself, 20 times as many as are asked for are taken from it, and
those that fit are kept. The embeddings are a smooth map of 24 latent numbers to 512 with noise,
nearer to those of a trained model than random ones, in which no index finds anything.
Needs faiss-cpu and usearch.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import ROOT, facts, write_results
from benchmarks.models.search_scale import memory
from echoclip_r.search.nearest import find_nearest

Floats = NDArray[np.float32]
Find = Callable[[Floats, NDArray[np.bool_] | None], NDArray[np.int64]]

NAMES = ("exact", "faiss IVF1024", "usearch HNSW16, f16", "faiss HNSW16")
NUM_QUERIES, K, SHARE, MORE = 100, 10, 0.01, 20
LATENT, DIMENSIONS = 24, 512


def main() -> None:
    """Measure each index in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = ROOT / "runs" / f"indexes-{arguments.clips}"
    if arguments.one:
        print(json.dumps(measure(folder, arguments.one)))
        return
    if not (folder / "queries.npy").exists():
        make(folder, arguments.clips)
    found = {}
    for name in NAMES:
        command = [sys.executable, "-m", "benchmarks.models.search_indexes", "--one", name]
        command += ["--clips", str(arguments.clips)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        found[name] = json.loads(done.stdout)
        print(name, found[name], file=sys.stderr)
        write(found, arguments.clips)


def make(folder: Path, num: int) -> None:
    """Write embeddings, queries, a filter, and what is nearest to each query."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    first = generator.standard_normal((LATENT, 128), dtype=np.float32) / LATENT**0.5
    second = generator.standard_normal((128, DIMENSIONS), dtype=np.float32) / 128**0.5

    def embed(size: int) -> Floats:
        found = np.tanh(generator.standard_normal((size, LATENT), dtype=np.float32) @ first)
        found = found @ second
        found += 0.1 * generator.standard_normal((size, DIMENSIONS), dtype=np.float32)
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)

    shape = (num, DIMENSIONS)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, shape)
    for start in range(0, num, 50_000):
        vectors[start : start + 50_000] = embed(min(50_000, num - start))
    vectors.flush()
    keep = generator.random(num) < SHARE
    queries = embed(NUM_QUERIES)
    np.save(folder / "keep.npy", keep)
    for name, mask in (("all", None), ("kept", keep)):
        rows = [find_nearest(vectors, query, k=K, keep=mask).rows for query in queries]
        np.save(folder / f"nearest_{name}.npy", np.stack(rows))
    np.save(folder / "queries.npy", queries)


def measure(folder: Path, name: str) -> dict[str, Any]:
    """Build an index and ask it."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    queries, keep = np.load(folder / "queries.npy"), np.load(folder / "keep.npy")
    vectors[::7].sum()  # into the system's cache
    before, began, busy = memory()["RssAnon"], time.perf_counter(), time.process_time()
    find = build(name, vectors)
    figures: dict[str, Any] = {
        "build_s": time.perf_counter() - began,
        "build_cpu_s": time.process_time() - busy,
        "mb": memory()["RssAnon"] - before,
    }
    for what, mask in (("all", None), ("kept", keep)):
        truth = np.load(folder / f"nearest_{what}.npy")
        times, worked, recalls = [], [], []
        for query, nearest in zip(queries, truth, strict=True):
            began, busy = time.perf_counter(), time.process_time()
            rows = find(query, mask)
            times.append(time.perf_counter() - began)
            worked.append(time.process_time() - busy)
            recalls.append(len(np.intersect1d(rows, nearest)) / K)
        figures[what] = {
            "recall": float(np.mean(recalls)),
            "p50_ms": 1000 * float(np.median(times)),
            "cpu_ms": 1000 * float(np.median(worked)),
        }
    return figures


def build(name: str, vectors: Floats) -> Find:
    """What finds rows for a query, from an index that it makes."""
    if name == "exact":
        return lambda query, keep: find_nearest(vectors, query, k=K, keep=keep).rows
    if name.startswith("faiss"):
        return _build_faiss(name, vectors)
    from usearch.index import Index

    index = Index(
        ndim=DIMENSIONS, metric="ip", dtype="f16", connectivity=16, expansion_add=100,
        expansion_search=100,
    )  # fmt: skip
    for start in range(0, len(vectors), 50_000):
        part = np.asarray(vectors[start : start + 50_000])
        index.add(np.arange(start, start + len(part)), part)

    def find(query: Floats, keep: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        keys = index.search(query, K if keep is None else MORE * K).keys.astype(np.int64)
        return keys if keep is None else keys[keep[keys]][:K]

    return find


def _build_faiss(name: str, vectors: Floats) -> Find:
    import faiss

    is_ivf = "IVF" in name
    if is_ivf:
        quantizer = faiss.IndexFlatIP(DIMENSIONS)
        index = faiss.IndexIVFFlat(quantizer, DIMENSIONS, 1024, faiss.METRIC_INNER_PRODUCT)
        index.train(np.ascontiguousarray(vectors[:: max(1, len(vectors) // 50_000)]))
    else:
        index = faiss.IndexHNSWFlat(DIMENSIONS, 16, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 100
    for start in range(0, len(vectors), 50_000):
        index.add(np.asarray(vectors[start : start + 50_000]))

    def find(query: Floats, keep: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        asked: dict[str, Any] = {}
        if keep is not None:  # the mask comes anew with each question, as in the server
            asked["sel"] = faiss.IDSelectorBitmap(np.packbits(keep, bitorder="little"))
        how = (
            faiss.SearchParametersIVF(nprobe=32, **asked)
            if is_ivf
            else faiss.SearchParametersHNSW(efSearch=100, **asked)
        )
        return np.asarray(index.search(query[None], K, params=how)[1][0], np.int64)

    return find


def write(found: dict[str, Any], num: int) -> None:
    """The figures as a table."""
    load = os.getloadavg()[0]
    lines = [
        "# Approximate indexes beside the exact search",
        "",
        f"{num:,} x {DIMENSIONS}, float32, simulated embeddings (a map of {LATENT} latent numbers, "
        f"and noise); {NUM_QUERIES} queries that are not among them, the best {K}; the filter "
        f"leaves {SHARE:.0%}. Exact: the embeddings stay on disk, mapped, in the system's cache. "
        f"One thread where the library lets one choose; load of the machine {load:.1f} on "
        f"{os.cpu_count()} cores, shared with others, so the work (CPU) is what to compare.",
        "",
        "| index | built in, s of CPU | memory, MB | recall@10 | a query, ms of CPU (p50 of the "
        "clock) | with the filter: recall@10 | ms of CPU (p50) |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, one in found.items():
        cells = [f"{one['build_cpu_s']:,.0f}", f"{one['mb']:,.0f}"]
        for what in ("all", "kept"):
            part = one[what]
            cells += [f"{part['recall']:.2f}", f"{part['cpu_ms']:.1f} ({part['p50_ms']:.1f})"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    command = f"python -m benchmarks.models.search_indexes --clips {num}"
    content = {**facts(command, ["numpy", "faiss-cpu", "usearch"], load=load), **found}
    write_results("search_indexes", content, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
