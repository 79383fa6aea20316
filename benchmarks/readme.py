"""Writes the README's figures from benchmarks/results: `make readme`."""

from __future__ import annotations

import json
import re
from typing import Any

from common import RESULTS, ROOT

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


def main() -> None:
    """Rewrite the README's block."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(r"(<!-- figures: .*? -->\n).*?(<!-- end of figures -->)", re.S)
    path.write_text(
        pattern.sub(lambda match: match[1] + figures() + "\n" + match[2], text), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
