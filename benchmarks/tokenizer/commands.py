"""The commands of `echotok` on a CSV of 100,000 reports, end to end: `make bench-commands`.

The reports are of simulated patients, all with numbers of their own; they are made once, in
runs/commands. Each command is a process of its own: start, reading, work and writing. Its figures
are kept at once, so that a run that was stopped goes on where it was; `--again` begins anew.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, facts, write_results
from echotok.engine.core import engine_in_use
from echotok.text_files import whole_file

FOLDER = ROOT / "runs" / "commands"
SEED = 1900
COMMANDS = {
    "encode": ["encode", "{csv}", "--column", "report"],
    "encode --json": ["encode", "{csv}", "--column", "report", "--json"],
    "stats": ["stats", "{csv}", "--column", "report"],
    "stats --workers 2": ["stats", "{csv}", "--column", "report", "--workers", "2"],
    "findings": ["findings", "{csv}", "--column", "report", "--out", "{folder}/findings.csv"],
    "mine": [
        *["mine", "{csv}", "--column", "report", "--patient-column", "patient_id"],
        *["--vocab-size", "4000", "--out", "{folder}/mined"],
    ],
}


def _reports(number: int) -> Path:
    """A CSV of so many reports, made where it is not there yet."""
    path = FOLDER / f"reports_{number}.csv"
    if path.exists():
        return path
    from echoclip_r.phantom.latents import sample_patient
    from echoclip_r.phantom.report.reports import write_reports

    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = patient = 0
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["study_id", "patient_id", "report"])
        while rows < number:
            studies = sample_patient(patient, SEED)
            reports = write_reports(studies, seed=SEED)
            for study, report in zip(studies, reports, strict=True):
                if rows < number:
                    name = f"P{patient:06d}"
                    table.writerow([f"{name}-S{study.study_index}", name, report.text])
                    rows += 1
            patient += 1
    return path


def _measure(command: list[str]) -> dict[str, float]:
    """Run one command; seconds on the clock and of the processor, and peak memory."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "echotok", *command], stdout=subprocess.DEVNULL, cwd=ROOT
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"echotok {command[0]} failed")
    return {
        "wall_s": time.monotonic() - start,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Measure what is not measured yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--reports", type=int, default=100_000)
    parser.add_argument("--only", nargs="*", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--again", action="store_true", help="measure anew what is measured")
    options = parser.parse_args()
    path = _reports(options.reports)
    kept = FOLDER / f"figures_{options.reports}.json"
    figures: dict[str, Any] = {}
    if kept.exists() and not options.again:
        figures = json.loads(kept.read_text(encoding="utf-8"))
    for name in options.only:
        if name in figures:
            continue
        print(f"{name} ...", file=sys.stderr)
        shutil.rmtree(FOLDER / "mined", ignore_errors=True)
        command = [part.format(csv=path, folder=FOLDER) for part in COMMANDS[name]]
        figures[name] = _measure(command)
        kept.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    results = {
        **facts("make bench-commands", ["numpy", "regex"], seed=SEED, engine=engine_in_use()),
        "reports": options.reports,
        "megabytes": path.stat().st_size / 1e6,
        "commands": {name: figures[name] for name in COMMANDS if name in figures},
    }
    write_results("commands", results, _markdown(results))


def _markdown(results: dict[str, Any]) -> str:
    lines = [
        f"# Commands on {results['reports']:,} reports",
        "",
        f"A CSV of {results['megabytes']:.0f} MB with reports of simulated patients; each command",
        "is one run of one process from its start to its end, its output not on a terminal. Time",
        "of the processor stands beside, since other work ran on the machine (its load is that",
        f"of the last minute). Engine: {results['engine']}.",
        "",
        "| command | processor, s | clock, s | reports a second of the processor | peak memory, MB "
        "| load |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in results["commands"].items():
        lines.append(
            f"| `echotok {name}` | {one['cpu_s']:.1f} | {one['wall_s']:.1f} "
            f"| {results['reports'] / one['cpu_s']:,.0f} | {one['peak_mb']:.0f} "
            f"| {one['load']:.1f} |"
        )
    lines += [
        "",
        f"{results['machine']}; Python {results['python']}; seed {results['seed']}. Made by "
        f"`{results['command']}`.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    if not hasattr(os, "wait4"):
        sys.exit("this needs a system that says what a process used: Linux or macOS")
    main()
