"""Tokens a report beside CLIP's BPE, with coverage and losslessness: `make bench-compression`.

Peers read the same reports in the same run: open_clip's own SimpleTokenizer (its cleaning and all),
and HF tokenizers with our slot-free phrases as added tokens.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

import open_clip

import echotok
from benchmarks.common import (
    CORPUS,
    OUTSIDE_CORPORA,
    OWN_CORPORA,
    RESULTS,
    corpora,
    facts,
    hf_clip,
    write_results,
)
from benchmarks.tokenizer.select_rows import ECHO_SOURCES
from echotok.corpora import read_reports
from echotok.coverage import CONTEXT_LENGTHS, CorpusStats, measure, summarize

WHAT = {
    "mtsamples_echo": "dictated whole echo reports (one transcription service)",
    "mtsamples_sections_dev": "echo sections of other dictated notes of that service",
    "va_reports_dev": "whole reports, rewritten for a test of US Veterans' software",
    "e3c_english_dev": "echo passages of published case reports",
    "spring_cardio": "statements of a clinic's reporting software",
    "iheartecho": "statements of a teaching site, after a vendor's template",
    "explify": "samples of a reporting app",
    "aci_bench": "echo lines of acted visits' notes",
    "thoriqmacto_statements": "statement library of a reporting project",
    "wallinator_paediatric_echo": "statement library of a paediatric project, half of it C# text",
    "e3c_other_languages": "echo passages of Spanish, French and Italian case reports",
}


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
        "leave_one_out": _left_out(),
        "corpora": {},
    }
    for name, (what, texts) in all_corpora().items():
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


def all_corpora() -> dict[str, tuple[str, list[str]]]:
    """Echo text of others first, dictated reports among it, then other text, then our own."""
    others = corpora()
    found = {}
    for name in (*ECHO_SOURCES, "echo/e3c_other_languages"):
        path = CORPUS / f"{name}.jsonl"
        if path.exists():
            texts = [report.text for report in read_reports([path])]
            found[path.stem] = (WHAT[path.stem], texts)
    for name in (*OUTSIDE_CORPORA, *OWN_CORPORA):
        if name in others:
            found.setdefault(name, others[name])
    return found


def _left_out() -> dict[str, Any]:
    """Figures of each source with rows chosen without it, of `make echo-rows`."""
    path = RESULTS / "leave_one_out.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


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
        "## Sites that the rows were not chosen on",
        "",
        "Times fewer tokens than CLIP (start and end left out) on each source of echo text,",
        "with the rows chosen without that source. The fallback saw none of them. The shapes were",
        "written with these sources at hand, so text that nobody here has seen will do worse.",
        "",
        "| source | texts | echo | echo-clip |",
        "| --- | --- | --- | --- |",
    ]
    left_out = results["leave_one_out"]
    for source, row in left_out.items():
        lines.append(
            f"| {source} | {row['num_texts']} | {row['echo']:.2f} | {row['echo-clip']:.2f} |"
        )
    if left_out:
        means = [
            statistics.fmean(row[label] for row in left_out.values())
            for label in ("echo", "echo-clip")
        ]
        lines.append(f"| mean of {len(left_out)} sources | | {means[0]:.2f} | {means[1]:.2f} |")
    lines += [
        "",
        "## The shipped tokenizers, corpus by corpus",
        "",
        "Mean tokens a report, BOS and EOS included. `times fewer`: CLIP's tokens over ours,",
        "summed over the corpus. `covered`: share of visible characters in phrases and values.",
        "`worst`: the dearest single report against CLIP's count. `lossy`: reports that do not",
        "decode to their normalized text. Rows were chosen on the English echo sources, and on our",
        "own reports at half of their weight.",
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
        "A hospital's own table, alone and on top of `echo`: [layered](layered.md).",
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
