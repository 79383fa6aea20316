"""Writes the README's figures from benchmarks/results: `make readme`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from benchmarks.common import ROOT, readme_figures

OTHERS = {
    "mtsamples_other": "other dictated clinical reports (public transcriptions)",
    "indiana_cxr": "chest X-ray reports",
    "ptbxl_ecg": "short ECG reports, mostly German",
    "e3c_other_languages": "cardiac passages of case reports in four other languages",
}
_HF = "HF tokenizers, CLIP BPE"


def figures() -> str:
    """The block between the README's markers."""
    found = readme_figures()
    compression = found["compression"]
    corpora, left_out = compression["corpora"], compression["leave_one_out"]
    lines = [
        "| text | n | CLIP BPE | `echo` | times fewer: `echo` | `echo-clip` | lost |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    unseen = {name: fmean(one[name] for one in left_out.values()) for name in ("echo", "echo-clip")}
    worst = min(one["echo"] for one in left_out.values())
    num_texts = sum(one["num_texts"] for one in left_out.values())
    lost = {
        name: sum(corpora[one][name]["num_lossy"] for one in left_out)
        for name in ("echo", "echo-clip")
    }
    lines.append(
        f"| **{len(left_out)} sources of echo text of others, each counted with rows that were "
        f"chosen without it** (mean of the sources; the worst {worst:.1f}) | {num_texts} texts "
        f"| | | **{unseen['echo']:.2f}** | **{unseen['echo-clip']:.2f}** | {sum(lost.values())} |"
    )
    dictated = left_out["mtsamples_echo"]
    lines.append(
        f"| of these: whole dictated echo reports | {dictated['num_texts']} "
        f"| {corpora['mtsamples_echo']['CLIP BPE']['mean']:.0f} | | {dictated['echo']:.2f} "
        f"| {dictated['echo-clip']:.2f} | 0 |"
    )
    for name, what in OTHERS.items():
        entry = corpora[name]
        lines.append(
            f"| {what} | {entry['num_reports']:,} | {entry['CLIP BPE']['mean']:.0f} "
            f"| {entry['echo']['mean']:.0f} | {entry['echo']['ratio']:.2f} "
            f"| {entry['echo-clip']['ratio']:.2f} "
            f"| {entry['echo']['num_lossy'] + entry['echo-clip']['num_lossy']} |"
        )
    for name, row in found["layered"]["rows"].items():
        if name == "phantoms, 1000 reports" or name.startswith("house"):
            own = row["on top of echo"]
            lines.append(
                f"| {row['held out']} new reports of a site whose own table was mined on top of "
                f"`echo` ({name} of **our own synthetic text**); {own['fit 77']:.0%} fit 77 tokens "
                f"| {row['held out']} | {row['CLIP']:.0f} | {own['mean']:.0f} "
                f"| {row['CLIP'] / own['mean']:.1f} | | {own['lossy']} |"
            )
    lines += [
        "",
        "Mean tokens a report. The shapes that rows are chosen from were written with the ten "
        "sources at hand, so text that nobody here has seen will do somewhat worse. All corpora, "
        "coverage and the peers: [compression](benchmarks/results/compression.md); a table of "
        "your own, by the number of reports: [layered](benchmarks/results/layered.md).",
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
            f"Speed on one core with the compiled core, cold, HF `tokenizers` with CLIP's BPE "
            f"being 1: `echo-clip` "
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


def recipe_figures(*, all_rows: bool) -> str:
    """The recipes on every task, and ours on the phantoms of another laboratory.

    Args:
        all_rows: those that fewer seeds were trained for, too.
    """
    results = readme_figures()
    own, other = results["recipes"], results["recipes_other_site"]
    ef, pap = own["guess"].values()
    lines = [
        "| recipe | MCMRR | EF, r | EF, MAE | PAP, MAE | devices, AUC | dilation, AUC "
        "| change seen |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            _recipe_row(f"`{row['recipe']}`{_fewer(row, own)}", row)
            for row in own["rows"]
            if all_rows or not _fewer(row, own)
        ),
        *(_recipe_row(f"`{row['recipe']}`, another laboratory", row) for row in other["rows"]),
        f"| chance; the median guess | 250 | 0 | {ef:.1f} | {pap:.1f} | 0.5 | 0.5 | 0.5 |",
    ]
    which = ("seeds " if len(own["seeds"]) > 1 else "seed ") + ", ".join(map(str, own["seeds"]))
    ef_other, pap_other = other["guess"].values()
    lines += [
        "",
        f"Simulated patients, {own['num_studies']} held-out studies, {own['num_train']:,} to train "
        f"on, {which}, the paper's scoring rules; devices and at least moderate dilation: the "
        "lowest of four. 'Change seen': of a report and the same with one finding changed that "
        "the picture shows, a clip is nearer to the one that is true of it (clips of either "
        "kind alike). In the other laboratory, on which no choice was "
        f"made, the guess is {ef_other:.1f} and {pap_other:.1f}.",
    ]
    return "\n".join(lines)


def _fewer(row: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """How many seeds a recipe has, where it has fewer than others."""
    num = row["seeds"]
    return "" if num == len(own["seeds"]) else f" ({num} seed{'' if num == 1 else 's'})"


def _recipe_row(name: str, row: Mapping[str, Any]) -> str:
    return (
        f"| {name} | {row['mcmrr']:.1f} | {row['ef_r']:.2f} | {row['ef_mae']:.1f} "
        f"| {row['pap_mae']:.1f} | {row['devices']:.3f} | {row['dilation']:.3f} "
        f"| {row['drawn']:.2f} |"
    )


def sector_figures() -> str:
    """What the finder does on looks that were kept aside."""
    found = readme_figures()["sector"]
    return (
        f"  right and sure in {found['right']:.0%} of {found['num']:,} phantoms, and wrong and "
        f"sure in {found['wrong']}: [sector.md](benchmarks/results/sector.md)."
    )


def main() -> None:
    """Rewrite the blocks."""
    own = readme_figures()["recipes"]
    num_fewer = sum(bool(_fewer(row, own)) for row in own["rows"])
    for page, blocks in (
        (
            "README.md",
            {
                "figures": figures(),
                "phantom figures": phantom_figures(),
                "recipe figures": f"{recipe_figures(all_rows=False)}\nIntervals, and {num_fewer} "
                "recipes and controls with fewer seeds: "
                "[recipes.md](benchmarks/results/recipes.md), "
                "[both_skills.md](docs/both_skills.md).",
                "sector": sector_figures(),
            },
        ),
        ("docs/both_skills.md", {"recipe figures": recipe_figures(all_rows=True)}),
    ):
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        for name, block in blocks.items():
            pattern = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- end of {name} -->)", re.S)
            text = pattern.sub(lambda match, block=block: match[1] + block + "\n" + match[2], text)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
