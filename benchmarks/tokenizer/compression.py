"""Tokens a report beside CLIP's BPE, with coverage and losslessness: `make bench-compression`.

Peers read the same reports in the same run: open_clip's own SimpleTokenizer (its cleaning and all),
and HF tokenizers with our slot-free phrases as added tokens.
"""

from __future__ import annotations

import statistics
from typing import Any

import open_clip

import echotok
from benchmarks.common import corpora, facts, hf_clip, write_results
from echotok.coverage import CONTEXT_LENGTHS, CorpusStats, measure, summarize


def main() -> None:
    """Measure every corpus at hand and write the results."""
    tokenizers = {name: echotok.load(name) for name in ("echo", "echo-clip")}
    clip = open_clip.SimpleTokenizer()
    plain = [phrase.text for phrase in tokenizers["echo"].table.live if not phrase.num_slots]
    added = hf_clip(plain)
    results: dict[str, Any] = {
        **facts(
            "make bench-compression", ["open_clip_torch", "tokenizers", "numpy", "regex"], seed=None
        ),
        "tokenizers": {
            name: {"vocab_size": tok.vocab_size, "fingerprint": tok.fingerprint}
            for name, tok in tokenizers.items()
        },
        "table": {"version": tokenizers["echo"].table.version, "live": len(plain)},
        "corpora": {},
    }
    for name, (what, texts) in corpora().items():
        clip_lengths = [2 + len(clip.encode(text)) for text in texts]
        entry: dict[str, Any] = {
            "what": what,
            "num_reports": len(texts),
            "CLIP BPE": summarize(clip_lengths),
            "HF CLIP BPE + phrases as added tokens": summarize(
                [2 + len(added.encode(text).ids) for text in texts]
            ),
        }
        for label, tok in tokenizers.items():
            stats = measure(texts, tok)
            stats.clip_lengths = clip_lengths
            entry[label] = _figures(stats)
        results["corpora"][name] = entry
    results["table"]["live"] = len(tokenizers["echo"].table.live)
    write_results("compression", results, _markdown(results), readme=results)


def _figures(stats: CorpusStats) -> dict[str, Any]:
    ratios = [clip / own for clip, own in zip(stats.clip_lengths, stats.lengths, strict=True)]
    return {
        **summarize(stats.lengths),
        "ratio": stats.ratio,
        "ratio_median_report": statistics.median(ratios),
        "worst_share_of_clip": stats.worst_ratio,
        "shares": stats.shares(),
        "fit": {str(size): share for size, share in stats.fitting().items()},
        "num_lossy": stats.num_lossy,
    }


def _markdown(results: dict[str, Any]) -> str:
    lines = [
        "# Tokens a report",
        "",
        "Mean tokens a report, BOS and EOS included. `times fewer`: CLIP's tokens over ours,",
        "summed over the corpus. `covered`: share of visible characters in phrases and values.",
        "`worst`: the dearest single report against CLIP's count. `lossy`: reports that do not",
        "decode to their normalized text.",
        "",
        "| corpus | n | CLIP BPE | HF + added tokens | tokenizer | tokens | times fewer | covered "
        "| fit " + " / ".join(map(str, CONTEXT_LENGTHS)) + " | worst | lossy |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, entry in results["corpora"].items():
        for label in ("echo", "echo-clip"):
            own = entry[label]
            fit = " / ".join(f"{share:.0%}" for share in own["fit"].values())
            covered = own["shares"]["phrase"] + own["shares"]["value"]
            lines.append(
                f"| {name} | {entry['num_reports']} | {entry['CLIP BPE']['mean']:.1f} "
                f"| {entry['HF CLIP BPE + phrases as added tokens']['mean']:.1f} "
                f"| {label} | {own['mean']:.1f} | {own['ratio']:.2f} | {covered:.0%} | {fit} "
                f"| {own['worst_share_of_clip']:.2f} | {own['num_lossy']} |"
            )
    lines += ["", "The corpora:", ""]
    lines += [f"- `{name}`: {entry['what']}" for name, entry in results["corpora"].items()]
    lines += [
        "",
        "The synthetic reports are our own text, written before the table; the house's sentences",
        "were then taken into the table, as a hospital takes its own. `site_a` was not looked at.",
        "",
        f"Table version {results['table']['version']}, {results['table']['live']} live phrases. "
        f"{results['machine']}; Python {results['python']}; "
        + ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        + f". Made by `{results['command']}`; no randomness.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
