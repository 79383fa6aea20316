"""Writes the README's figures from benchmarks/results: `make readme`."""

from __future__ import annotations

import json
import re
from statistics import fmean
from typing import Any

from benchmarks.common import RESULTS, ROOT

ROWS = {
    "house": "36 complete reports of a synthetic house whose template sentences the table holds",
    "site_b": "30 of a second synthetic site, consulted while the table was made",
    "site_a": "30 of a third synthetic site, never looked at",
    "mtsamples_echo": "15 real dictated echo reports (public transcriptions)",
}


def figures() -> str:
    """The block between the README's markers."""
    compression = json.loads((RESULTS / "compression.json").read_text(encoding="utf-8"))
    lines = [
        "| reports | CLIP BPE | `echo-clip` | times fewer | in phrases, values | fit 77 | lost |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, what in ROWS.items():
        entry = compression["corpora"].get(name)
        if entry is None:
            continue
        own: dict[str, Any] = entry["echo-clip"]
        covered = own["shares"]["phrase"] + own["shares"]["value"]
        lines.append(
            f"| {what} | {entry['CLIP BPE']['mean']:.0f} | **{own['mean']:.0f}** "
            f"| {own['ratio']:.1f} | {covered:.0%} | {own['fit']['77']:.0%} | {own['num_lossy']} |"
        )
    lines += [
        "",
        "Mean tokens a report with BOS and EOS; the synthetic reports are our own text.",
        "All corpora, `echo`'s figures and the peers:",
        "[compression](benchmarks/results/compression.md).",
    ]
    path = RESULTS / "throughput.json"
    if path.exists():
        sets = json.loads(path.read_text(encoding="utf-8"))["sets"]
        ratios = {
            which: entry["megabytes_per_second"]["echo-clip"]["median"]
            / entry["megabytes_per_second"]["HF tokenizers, CLIP BPE"]["median"]
            for which, entry in sets.items()
        }
        lines.append(
            "On one core, cold, `echo-clip` runs at "
            + " and ".join(f"{ratio:.1f} times ({which})" for which, ratio in ratios.items())
            + " the speed of HF `tokenizers`: [throughput](benchmarks/results/throughput.md)."
        )
    return "\n".join(lines)


def phantom_figures() -> str:
    """Three recipes side by side: means over the seeds that were run."""
    results = json.loads((RESULTS / "phantom_training.json").read_text(encoding="utf-8"))
    lines = [
        "| trained on phantoms | reports read as | MCMRR of 500 | R@10 | EF, r "
        "| pacemaker lead, AUC | effusion, AUC |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, by_seed in results["stages"].items():
        found = list(by_seed.values())
        for how in found[0]["retrieval"]:
            ways = [
                one["retrieval"][how][way]["recall_at_10"]["value"]
                for one in found
                for way in ("video_to_report", "report_to_video")
            ]
            lines.append(
                f"| `{name}` | {how} "
                f"| {fmean(one['retrieval'][how]['mcmrr']['value'] for one in found):.1f} "
                f"| {fmean(ways):.0%} "
                f"| {fmean(one['ef']['r']['value'] for one in found):.2f} "
                f"| {fmean(one['pacemaker_lead']['value'] for one in found):.3f} "
                f"| {fmean(one['pericardial_effusion']['value'] for one in found):.3f} |"
            )
    seeds = results["facts"]["seeds"]
    which = ("seeds " if len(seeds) > 1 else "seed ") + ", ".join(map(str, seeds))
    lines += [
        "| chance | | 250 | 2% | 0 | 0.5 | 0.5 |",
        "",
        f"Simulated patients, {found[0]['num_studies']} held-out studies, {which}, the "
        "paper's scoring rules; intervals and bars:",
        "[phantom_training.md](benchmarks/results/phantom_training.md); every task of the paper:",
        "[evaluation.md](benchmarks/results/evaluation.md).",
    ]
    return "\n".join(lines)


def main() -> None:
    """Rewrite the README's blocks."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    for name, block in (("figures", figures()), ("phantom figures", phantom_figures())):
        pattern = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- end of {name} -->)", re.S)
        text = pattern.sub(lambda match, block=block: match[1] + block + "\n" + match[2], text)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
