"""Labels before and after: the phrases of an older checkout beside `echotok.findings`.

The older code (`echoclip_r.report_labels`, up to commit 3c55e8a) reads the same reports in a
checkout of its own: phantom reports, whose readers' own labels are the truth, and the synthetic
reports of benchmarks/reports. Of each finding it counts what became known, unknown or other.

    git worktree add --detach ../before 3c55e8a
    python benchmarks/tokenizer/findings_before.py --before ../before [--patients 150] [--seed 11]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks.common import OWN, OWN_CORPORA, facts, write_results
from benchmarks.tokenizer.findings import phantom_labels
from echoclip_r.evaluation.agreement import agreement_scores
from echoclip_r.evaluation.labels import read_findings
from echoclip_r.evaluation.tasks import read_tasks
from echotok.corpora import read_reports

_READ = """
import json, sys
from echoclip_r.report_labels import read_findings
from echoclip_r.tasks import read_tasks
findings = read_tasks().findings
values = read_findings(json.load(sys.stdin), findings)
print(json.dumps([[finding.name for finding in findings], values.tolist()]))
"""


def read_before(folder: Path, texts: list[str]) -> tuple[list[str], NDArray[np.float64]]:
    """Names and values (reports, findings) of the older checkout."""
    done = subprocess.run(
        [sys.executable, "-c", _READ],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    if done.returncode:
        raise SystemExit(f"{folder}: the older code failed: {done.stderr[-600:]}")
    names, values = json.loads(done.stdout)
    return names, np.array(values, np.float64)


def compare(before: NDArray[np.float64], after: NDArray[np.float64]) -> dict[str, int]:
    """How many labels of one finding are the same, new, gone or other."""
    was, now = ~np.isnan(before), ~np.isnan(after)
    same = was & now & (np.abs(before - after) < 1e-6)
    return {
        "same": int(same.sum()),
        "both unknown": int((~was & ~now).sum()),
        "became known": int((~was & now).sum()),
        "became unknown": int((was & ~now).sum()),
        "other value": int((was & now & ~same).sum()),
    }


def right(labels: NDArray[np.float64], truth: list[float | None]) -> tuple[int, int]:
    """How many labels are known where the truth is, and how many of them equal it."""
    known = [
        (value, true)
        for value, true in zip(labels, truth, strict=True)
        if true is not None and not math.isnan(value)
    ]
    return len(known), sum(abs(value - true) < 1e-6 for value, true in known)


def nearest(texts: list[str]) -> NDArray[np.intp]:
    """For each text the one of the others that is nearest by its words."""
    vectors = TfidfVectorizer().fit_transform(texts)
    near = (vectors @ vectors.T).toarray()
    np.fill_diagonal(near, -1)
    best: NDArray[np.intp] = near.argmax(axis=1)
    return best


def main() -> None:
    """Compare, and write results/findings_before.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", type=Path, required=True, help="a checkout of 3c55e8a")
    parser.add_argument("--patients", type=int, default=150)
    parser.add_argument("--seed", type=int, default=11)
    arguments = parser.parse_args()
    made = list(phantom_labels(patients=arguments.patients, seed=arguments.seed))
    own = [report.text for name in OWN_CORPORA for report in read_reports([OWN / name])]
    tasks = read_tasks()
    results: dict[str, Any] = {}
    lines = [
        "# Labels before and after",
        "",
        "What the phrases of commit 3c55e8a read from reports, and what `echotok.findings` reads.",
    ]
    for what, texts in (("phantom", [text for text, _ in made]), ("own", own)):
        names, before = read_before(arguments.before, texts)
        findings = [one for one in tasks.findings if one.name in names]
        after = read_findings(texts, findings)
        before = before[:, [names.index(one.name) for one in findings]]
        title = f"{len(texts)} phantom reports" if what == "phantom" else f"{len(texts)} of our own"
        lines += [
            "",
            f"## {title}",
            "",
            "| finding | same | both unknown | became known | became unknown | other value "
            "| right before | right after |",
            "|---|---|---|---|---|---|---|---|",
        ]
        sums: dict[str, int] = {}
        for column, finding in enumerate(findings):
            found = compare(before[:, column], after[:, column])
            cells = [str(number) for number in found.values()]
            if what == "phantom":
                truth = [labels.get(finding.name) for _, labels in made]
                for labels in (before[:, column], after[:, column]):
                    known, hits = right(labels, truth)
                    cells.append(f"{hits} of {known}" if known else "-")
            else:
                cells += ["-", "-"]
            lines.append(f"| {finding.name} | {' | '.join(cells)} |")
            results[f"{what} {finding.name}"] = found
            for key, number in found.items():
                sums[key] = sums.get(key, 0) + number
        lines += ["", "All: " + ", ".join(f"{n:,} {key}" for key, n in sums.items()) + "."]
        # A retriever by words stands for the model: each report finds its nearest other one.
        found = nearest(texts)
        people = np.arange(len(texts))
        scores = [
            agreement_scores(values, values[found], findings, people, pool_values=values).figures[
                "f1"
            ]
            for values in (before, after)
        ]
        lines.append(
            "Agreement (F1) with the nearest other report by its words (TF-IDF), and with a random "
            "one: "
            + "; ".join(
                f"{when} {one.value:.3f} ({one.low:.3f} to {one.high:.3f}), chance {one.chance:.3f}"
                for when, one in zip(("before", "after"), scores, strict=True)
            )
            + "."
        )
        results[f"{what} agreement"] = [one.value for one in scores]
    about = facts("python benchmarks/tokenizer/findings_before.py", ["numpy"])
    lines += ["", f"{about['machine']}, Python {about['python']}; `{about['command']}`."]
    write_results("findings_before", {**results, "facts": about}, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
