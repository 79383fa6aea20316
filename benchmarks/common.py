"""What the benchmarks share: corpora, peers' set-up, and results with the facts to repeat them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from echotok.corpora import read_reports

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README_FIGURES = RESULTS / "readme.json"
OWN = ROOT / "benchmarks" / "reports"
CORPUS = Path(os.environ.get("ECHOTOK_CORPUS", ROOT.parent / "shared" / "data"))

OWN_CORPORA = {
    "house": "36 reports of one synthetic house",
    "site_b": "30 synthetic reports of a second site",
    "site_a": "30 synthetic reports of a third site",
}
OUTSIDE_CORPORA = {
    "mtsamples_echo": "15 dictated echo reports (public transcriptions)",
    "mtsamples_other": "1,580 other dictated reports of the same site",
    "indiana_cxr": "2,050 chest X-ray reports",
    "ptbxl_ecg": "1,535 short ECG reports, mostly German",
}


def corpora() -> dict[str, tuple[str, list[str]]]:
    """Name -> (what it is, its reports): our own always, the others where they are at hand.

    The outside corpora are read from the folder in ECHOTOK_CORPUS, or from ../shared/data.
    """
    found = {
        name: (what, [report.text for report in read_reports([OWN / name])])
        for name, what in OWN_CORPORA.items()
    }
    for name, what in OUTSIDE_CORPORA.items():
        path = CORPUS / f"{name}.jsonl"
        if path.exists():
            found[name] = (what, [report.text for report in read_reports([path])])
    return found


def facts(command: str, packages: list[str], **more: Any) -> dict[str, Any]:
    """The facts that stand beside every figure."""
    return {
        "command": command,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "python": sys.version.split()[0],
        "versions": {name: importlib.metadata.version(name) for name in packages},
        **more,
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def write_results(
    name: str, results: dict[str, Any], markdown: str, *, readme: dict[str, Any] | None = None
) -> None:
    """Write a benchmark's page and figures, and print the page.

    Args:
        name: of the benchmark.
        results: everything that was measured: runs/results/NAME.json, which git does not keep.
        markdown: the page: benchmarks/results/NAME.md.
        readme: what `make readme` reads of it, kept in benchmarks/results/readme.json.
    """
    RESULTS.mkdir(exist_ok=True)
    all_of_it = ROOT / "runs" / "results" / f"{name}.json"
    all_of_it.parent.mkdir(parents=True, exist_ok=True)
    all_of_it.write_text(_json(results), encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(markdown, encoding="utf-8")
    if readme is not None:
        README_FIGURES.write_text(_json({**readme_figures(), name: readme}), encoding="utf-8")
    print(markdown)


def readme_figures() -> dict[str, Any]:
    """Benchmark -> the figures that the README shows, as the benchmarks last wrote them."""
    found: dict[str, Any] = {}
    if README_FIGURES.exists():
        found = json.loads(README_FIGURES.read_text(encoding="utf-8"))
    return found


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def hf_clip(added: list[str] | None = None) -> Any:
    """CLIP's BPE in HF tokenizers, from the merges inside open_clip_torch.

    Args:
        added: phrases to add as tokens (HF's own way to a phrase vocabulary).
    """
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

    from echotok.bpe import ByteBPE
    from echotok.clip_merges import clip_merges

    merges = clip_merges()
    tokens = ByteBPE(merges).tokens
    vocab = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    if added:
        tokenizer.add_tokens([AddedToken(text, normalized=True) for text in added])
    return tokenizer
