"""What a second thread gives to `encode_batch`, beside what it gives to computing alone, by turns.

    python -m benchmarks.tokenizer.threads --rounds 15

The limit is a loop of SHA-256 that reads no memory: on a busy machine, or where two processors are
two threads of one core, it is far from 2. Each round measures the loop and the batch on one thread
and on two; the page, benchmarks/results/threads.md, says the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import echotok
from benchmarks.common import OWN, facts, write_results
from echotok.corpora import read_reports

TEXTS = 32_768


def _texts(rng: random.Random, *, distinct: bool) -> list[str]:
    """Texts of nine sentences, drawn from the reports; `distinct` puts their words in any order.

    A sentence that was met before is not encoded again, so that the two are the fastest texts and
    the slowest.
    """
    reports = [report.text for report in read_reports(sorted(OWN.iterdir()))]
    pool = [sentence.split() for report in reports for sentence in report.split(". ")]

    def sentence() -> str:
        words = rng.choice(pool)
        return " ".join(rng.sample(words, len(words)) if distinct else words)

    count = TEXTS // 4 if distinct else TEXTS
    return [". ".join(sentence() for _ in range(9)) for _ in range(count)]


def _compute(num_threads: int) -> None:
    """The same number of hashes, by one thread or shared between several."""

    def work() -> None:
        hashlib.pbkdf2_hmac("sha256", b"key", b"salt", 240_000 // num_threads)

    threads = [threading.Thread(target=work) for _ in range(num_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _encode(
    tok: echotok.Tokenizer, texts: list[str], options: dict[str, Any], num_threads: int
) -> None:
    tok.encode_batch(texts, num_threads=num_threads, **options)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    tok, rng = echotok.load("echo"), random.Random(0)
    ways: dict[str, Callable[[int], object]] = {"a loop of SHA-256": _compute}
    for name in ("repeated", "distinct"):
        texts = _texts(rng, distinct=name == "distinct")
        which = f"{name} sentences, {sum(map(len, texts)) / 1e6:.0f} MB"
        for how, options in {
            "packed": {"pack": True},
            "77 columns": {"context_length": 77},
        }.items():
            ways[f"{which}, {how}"] = partial(_encode, tok, texts, options)
    ratios: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            one, two = _seconds(lambda way=way: way(1)), _seconds(lambda way=way: way(2))
            if number:  # the first round warms what is kept
                ratios[name].append(one / two)
    rows = [
        f"| {name} | {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f}) |"
        for name, found in ratios.items()
    ]
    about = facts("python -m benchmarks.tokenizer.threads", ["numpy"])
    page = [
        "# Two threads",
        "",
        "How many times as fast two threads are as one, by the clock, by turns, warm; median",
        f"(least to most) of {rounds} rounds, load {os.getloadavg()[0]:.1f}. A loop of SHA-256",
        "says what two processors give here.",
        "Sentences that were met before are not encoded again; distinct ones have the words of the",
        "same reports in any order.",
        "",
        "| | two threads |",
        "| --- | --- |",
        *rows,
        "",
        f"{about['machine']}; Python {about['python']}; seed 0. Made by `{about['command']}`.",
    ]
    write_results("threads", {**about, "ratios": ratios}, "\n".join(page))


if __name__ == "__main__":
    main()
