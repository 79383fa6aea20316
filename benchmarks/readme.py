"""Writes the README's figures from benchmarks/results: `make readme`."""

from __future__ import annotations

import re
from statistics import fmean
from typing import Any

from benchmarks.common import ROOT, readme_figures

ROWS = {
    "house": "36 complete reports of a synthetic house whose template sentences the table holds",
    "site_b": "30 of a second synthetic site, consulted while the table was made",
    "site_a": "30 of a third synthetic site, never looked at",
    "mtsamples_echo": "15 real dictated echo reports (public transcriptions)",
}
_HF = "HF tokenizers, CLIP BPE"


def figures() -> str:
    """The block between the README's markers."""
    found = readme_figures()
    compression = found["compression"]
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
    if "throughput" in found:
        sets = found["throughput"]["sets"]
        speeds = {which: entry["megabytes_per_second"] for which, entry in sets.items()}

        def times(peer: str) -> str:
            return " and ".join(
                f"{speed[peer]['median'] / speed[_HF]['median']:.1f} ({which})"
                for which, speed in speeds.items()
            )

        lines.append(
            f"Speed on one core, cold, HF `tokenizers` with CLIP's BPE being 1: `echo-clip` "
            f"{times('echo-clip')}, `echo` {times('echo')}, and the fastest peer of the same ids, "
            f"instant-clip-tokenizer, {times('instant-clip-tokenizer')}: "
            "[throughput](benchmarks/results/throughput.md)."
        )
    return "\n".join(lines)


def phantom_figures() -> str:
    """The recipes side by side: means over the seeds that were run."""
    results = readme_figures()["phantom_training"]
    guess = fmean(row["ef_mae_guess"] for row in results["rows"])
    lines = [
        "| trained on phantoms | reports read as | MCMRR of 500 | R@10 | EF, MAE "
        "| EF, r | pacemaker lead, AUC | effusion, AUC |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| `{row['recipe']}` | {row['reads']} | {row['mcmrr']:.1f} "
            f"| {row['recall_at_10']:.0%} | {row['ef_mae']:.1f} | {row['ef_r']:.2f} "
            f"| {row['pacemaker_lead']:.3f} | {row['pericardial_effusion']:.3f} |"
            for row in results["rows"]
        ),
        f"| chance; for EF's MAE the median guess | | 250 | 2% | {guess:.1f} | 0 | 0.5 | 0.5 |",
    ]
    worse = sum(row["ef_mae"] > row["ef_mae_guess"] for row in results["rows"])
    seeds = results["seeds"]
    which = ("seeds " if len(seeds) > 1 else "seed ") + ", ".join(map(str, seeds))
    lines += [
        "",
        f"Simulated patients, {results['num_studies']} held-out studies, {which}, the paper's "
        "scoring rules. **By the paper's rule, EF is worse than always guessing the median in "
        f"{worse} of {len(results['rows'])} rows**: the order of the hearts is learned (r), the "
        "value is not. Intervals and bars:",
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
