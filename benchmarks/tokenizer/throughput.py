"""MB/s on one core beside peers, in fresh processes: `make bench-throughput`.

Every figure is a new process, pinned to one core, that reads documents once, so that no memo is
warm: distinct ones, and templated ones in their natural frequency (drawn with replacement). Time is
the processor's, since the machine is shared; tokenizers take turns, and the median of the rounds
counts. "with offsets" asks for the offsets of each document, too.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.common import corpora, facts, hf_clip, write_results
from echotok.engine.core import engine_in_use

ROUNDS = 5
OFFSETS = ", with offsets"
SETS = {
    "natural": ["house", "site_a", "site_b", "indiana_cxr"],
    "templated": ["house", "site_a", "site_b", "indiana_cxr"],
    "dictated": ["mtsamples_echo", "mtsamples_other"],
}


def _encoder(name: str) -> Callable[[str], Any]:
    if name.endswith(OFFSETS):
        encode = _encoder(name.removesuffix(OFFSETS))
        return lambda text: encode(text).offsets
    if name in ("echo", "echo-clip"):
        import echotok

        return echotok.load(name).encode
    if name == "HF tokenizers, CLIP BPE":
        return hf_clip().encode
    if name == "open_clip SimpleTokenizer":
        import open_clip

        return open_clip.SimpleTokenizer().encode
    import instant_clip_tokenizer

    return instant_clip_tokenizer.Tokenizer().encode


NAMES = (
    "echo",
    "echo, with offsets",
    "echo-clip",
    "echo-clip, with offsets",
    "HF tokenizers, CLIP BPE",
    "HF tokenizers, CLIP BPE, with offsets",
    "open_clip SimpleTokenizer",
    "instant-clip-tokenizer",
)


def _texts(which: str, megabytes: float) -> list[str]:
    at_hand = corpora()
    texts = [t for name in SETS[which] if name in at_hand for t in at_hand[name][1]]
    if which == "natural":
        texts = random.Random(0).choices(texts, k=100_000)
    else:
        texts = list(dict.fromkeys(texts))
        random.Random(0).shuffle(texts)
    kept, size = [], 0
    for text in texts:
        kept.append(text)
        size += len(text.encode())
        if size > megabytes * 1e6:
            break
    return kept


def _measure(name: str, which: str, megabytes: float) -> None:
    """Child process: encode each document once, print seconds and bytes."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    encode = _encoder(name)
    texts = _texts(which, megabytes)
    start = time.process_time()
    for text in texts:
        encode(text)
    seconds = time.process_time() - start
    size = sum(len(text.encode()) for text in texts)
    print(json.dumps({"seconds": seconds, "bytes": size, "documents": len(texts)}))


def main() -> None:
    """Run the rounds and write the results."""
    environment = {**os.environ, "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    results: dict[str, Any] = {
        **facts(
            "make bench-throughput",
            ["open_clip_torch", "tokenizers", "instant-clip-tokenizer", "regex"],
            seed=0,
            engine=engine_in_use(),
        ),
        "rounds": ROUNDS,
        "sets": {},
    }
    for which in SETS:
        speeds: dict[str, list[float]] = {name: [] for name in NAMES}
        documents = size = 0
        for number in range(ROUNDS):
            for name in NAMES:
                print(f"{which}, round {number + 1} of {ROUNDS}: {name}", file=sys.stderr)
                output = subprocess.run(
                    [sys.executable, __file__, name, which],
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
                run = json.loads(output)
                speeds[name].append(run["bytes"] / run["seconds"] / 1e6)
                documents, size = run["documents"], run["bytes"]
        results["sets"][which] = {
            "documents": documents,
            "megabytes": size / 1e6,
            "megabytes_per_second": {
                name: {
                    "median": statistics.median(values),
                    "min": min(values),
                    "max": max(values),
                }
                for name, values in speeds.items()
            },
        }
    write_results("throughput", results, _markdown(results), readme=results)


def _markdown(results: dict[str, Any]) -> str:
    lines = [
        "# Throughput, one core",
        "",
        "Documents are read once in a fresh process (nothing is warm); they are distinct, but for",
        "the set natural, which is drawn with replacement. MB a second of the processor's time.",
        f"Ratios are against HF tokenizers in the same run. Engine of echo: {results['engine']}.",
        "",
        "| text | documents | MB | tokenizer | MB/s, median (min-max) | times HF |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for which, entry in results["sets"].items():
        speeds = entry["megabytes_per_second"]
        base = speeds["HF tokenizers, CLIP BPE"]["median"]
        for name, speed in speeds.items():
            lines.append(
                f"| {which} | {entry['documents']} | {entry['megabytes']:.2f} | {name} "
                f"| {speed['median']:.2f} ({speed['min']:.2f}-{speed['max']:.2f}) "
                f"| {speed['median'] / base:.2f} |"
            )
    lines += [
        "",
        f"{results['rounds']} rounds. {results['machine']}; Python {results['python']}; "
        + ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        + f". Made by `{results['command']}`, seed 0 for the order of documents.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _measure(sys.argv[1], sys.argv[2], megabytes=4 if sys.argv[2] == "natural" else 1.5)
    else:
        main()
