"""Mining hundreds of thousands of reports: time, memory, and the same table after a kill.

The reports are made of sentences of the real ones: a report of a corpus lends its length, its
sentences are drawn from all of that corpus, so that frequencies are natural. The command line runs
in processes of its own: once through, then killed and started again. Each number of reports has a
row in benchmarks/results/mining_scale.md, which is written from all that were run here.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import CORPUS, ROOT, facts, write_results
from echotok.corpora import read_reports
from echotok.mining.options import MAX_DISTINCT

WORK = ROOT / "runs" / "bench-mining"
_COLUMNS = (
    *("reports", "MB", "sentences", "of distinct", "mined at once", "workers", "minutes"),
    "minutes of a core",
    *("GB at most", "killed on the way and started again"),
)
CORPORA = ("indiana_cxr", "ptbxl_ecg", "mtsamples_other")


def main() -> None:
    """Make the reports, mine them, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=300_000)
    parser.add_argument("--size", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that read the reports")
    parser.add_argument("--max-distinct", type=int, default=MAX_DISTINCT, help="as the command's")
    parser.add_argument("--no-kill", action="store_true", help="leave out the second run")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    source = WORK / f"scale-{arguments.reports}.csv"
    sentences, distinct = write_reports(source, arguments.reports, arguments.seed)
    figures = {
        "reports": arguments.reports,
        "size": arguments.size,
        "seed": arguments.seed,
        "workers": arguments.workers,
        "max_distinct": arguments.max_distinct,
        "sentences": sentences,
        "distinct": distinct,
        "megabytes": source.stat().st_size / 1e6,
    }
    asked = command(source, arguments)
    figures |= run(asked, WORK / "scale")
    if not arguments.no_kill and not figures["killed"]:
        figures["resumed"] = killed(asked, WORK / "scale-again")
    source.unlink()  # it is real text
    kept = WORK / f"scale-{arguments.reports}-{arguments.max_distinct}.json"
    kept.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    write_page()


def write_page() -> None:
    """A row for each number of reports that was mined, and where the time went."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in WORK.glob("scale-*.json")]
    rows = ["| " + " | ".join(_COLUMNS) + " |", "| " + "--- | " * len(_COLUMNS)]
    steps = []
    for one in sorted(found, key=lambda one: (one["reports"], one["max_distinct"])):
        cells = [
            f"{one['reports']:,}",
            f"{one['megabytes']:,.0f}",
            f"{one['sentences']:,}",
            f"{one['distinct']:,}",
            f"{one['drawn_from']} drawn to {one['max_distinct']:,}" if one["drawn_from"] else "all",
            str(one["workers"]),
            f"{'**ended by the system** after ' * one['killed']}{one['seconds'] / 60:.1f}",
            f"{one['cpu_seconds'] / 60:.1f}",
            f"{one['gigabytes']:.1f}",
            str(one.get("resumed", "not tried")),
        ]
        rows.append("| " + " | ".join(cells) + " |")
        parts = ", ".join(f"{what} {seconds:.0f} s" for what, seconds in one["steps"].items())
        steps.append(f"- {one['reports']:,}, at most {one['max_distinct']:,}: {parts}.")
    about = facts("benchmarks/tokenizer/mining_scale.py", ["numpy"])
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    page = [
        "# Mining many reports",
        "",
        "Sentences of the real corpora, drawn anew for each report. Some end in an initial or an",
        "abbreviation, and mining takes them together with the next, so that more reports bring",
        "some more distinct ones. Workers read; the rest is done by one process. 'Mined at once':",
        "all distinct sentences, or a draw of them (`--max-distinct`).",
        f"Vocabulary {found[0]['size']:,}, seed {found[0]['seed']}.",
        "",
        *rows,
        "",
        "Where the time went:",
        "",
        *steps,
        "",
        f"{about['machine']}, {memory_gb:.0f} GB, shared with other work; Python "
        f"{about['python']}; numpy {about['versions']['numpy']}. "
        f"`python {about['command']} --reports N --workers N`",
    ]
    write_results("mining_scale", {"runs": found}, "\n".join(page) + "\n")


def write_reports(path: Path, count: int, seed: int) -> tuple[int, int]:
    """A CSV of `count` reports of two or three a patient; sentences in all, and distinct ones."""
    rng = random.Random(seed)
    pools: list[list[str]] = []
    lengths: list[tuple[int, int]] = []
    for number, corpus in enumerate(CORPORA):
        pool: list[str] = []
        for report in read_reports([CORPUS / f"{corpus}.jsonl"]):
            sentences = " ".join(report.text.split()).split(". ")
            lengths.append((number, len(sentences)))
            pool += sentences
        pools.append(pool)
    total = 0
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient", "report"])
        for row in range(count):
            number, length = rng.choice(lengths)
            total += length
            writer.writerow([row * 2 // 5, ". ".join(rng.choices(pools[number], k=length))])
    return total, sum(len(set(pool)) for pool in pools)


def command(source: Path, arguments: argparse.Namespace) -> list[str | Path]:
    """What a user types, but for the folder to write."""
    columns = ["--column", "report", "--patient-column", "patient"]
    options = ["--vocab-size", str(arguments.size), "--workers", str(arguments.workers)]
    options += ["--max-distinct", str(arguments.max_distinct), "--name", "scale", "-v", "--out"]
    return [sys.executable, "-m", "echotok", "mine", source, *columns, *options]


def run(asked: list[str | Path], out: Path) -> dict[str, object]:
    """Mine once; time, peak memory, and when each step began."""
    clear(out)
    begin = time.perf_counter()
    process = subprocess.Popen([*asked, out], stderr=subprocess.PIPE, text=True)
    return wait(process, begin)


def wait(process: subprocess.Popen[str], begin: float) -> dict[str, object]:
    """The figures of a run that is under way."""
    _, said = process.communicate()
    _, status, usage = 0, process.returncode, resource_usage()
    if status and status != -signal.SIGKILL:
        raise SystemExit(said)
    steps: dict[str, float] = {}
    for line in said.splitlines():
        if line.startswith("step: "):
            seconds, what = line.removeprefix("step: ").split(" s ", 1)
            steps[what] = steps.get(what, 0) + float(seconds)
    drawn = re.search(r"the reports hold ([\d,]+) distinct sentences", said)
    return {
        "drawn_from": drawn[1] if drawn else "",
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": usage[0],
        "gigabytes": usage[1],
        "steps": steps,
        "killed": status == -signal.SIGKILL,  # as the system does when memory runs out
    }


def resource_usage() -> tuple[float, float]:
    """Processor seconds and peak gigabytes of the children so far."""
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


def killed(asked: list[str | Path], out: Path) -> str:
    """Kill a run when a size of the fallback has been tried, go on, and compare the folders."""
    clear(out)
    state = Path(f"{out}.mining-state.json")
    process = subprocess.Popen([*asked, out], stderr=subprocess.DEVNULL)
    begin = time.perf_counter()
    while not state.exists() and process.poll() is None:
        time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = time.perf_counter() - begin
    tried = len(json.loads(state.read_text(encoding="utf-8"))["trials"])
    begin = time.perf_counter()
    subprocess.run([*asked, out], stderr=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - begin
    same = digest(out) == digest(WORK / "scale")
    verdict = "the same table, byte for byte" if same else "ANOTHER TABLE"
    return (
        f"{verdict}, {seconds / 60:.1f} minutes more after {before / 60:.1f} "
        f"({tried} size of the fallback had been tried)"
    )


def digest(folder: Path) -> str:
    """Sha256 over the files of a folder."""
    seen = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        seen.update(path.name.encode() + path.read_bytes())
    return seen.hexdigest()


def clear(folder: Path) -> None:
    """Remove what an earlier benchmark wrote."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    for suffix in (".private.csv", ".mining-state.json"):
        Path(f"{folder}{suffix}").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
