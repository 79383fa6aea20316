r"""Tokens a report beside CLIP's BPE, with coverage and losslessness.

Without options (`make bench-compression`): all corpora at hand, written to
benchmarks/results/compression.md. With corpora or tokenizers of your own, the figures stand on the
terminal beside those of the peers, and no file is written unless --out names one.

Examples:
  python benchmarks/tokenizer/compression.py --corpus ours=reports.csv:report
  python benchmarks/tokenizer/compression.py --corpus ours=notes/ \
      --corpus theirs=their.jsonl:text \
      --tokenizer mine=my_package.tokens:encode --tokenizer gpt=tiktoken:cl100k_base
  python benchmarks/tokenizer/compression.py --tokenizer mine=my_file.py:Tokenizer --out mine.md

Peers read the same reports in the same run: open_clip's own SimpleTokenizer (its cleaning and all),
and HF tokenizers with our slot-free phrases as added tokens.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

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
from benchmarks.tokenizer.own_tokenizers import read_corpus, read_tokenizer
from echotok.corpora import read_reports
from echotok.coverage import CONTEXT_LENGTHS, CorpusStats, measure, summarize
from echotok.errors import EchotokError, InputError
from echotok.peers import Peer
from echotok.tokenizer import Tokenizer

_PEERS = ("echo", "echo-clip", "HF CLIP BPE + phrases as added tokens")
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


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the command line names, or every corpus at hand.

    Args:
        argv: the arguments behind the program's name; None takes the process's own.

    Returns:
        The exit code.
    """
    arguments = _parser().parse_args(argv)
    if not arguments.corpus and not arguments.tokenizer:
        if arguments.out:
            _parser().error("--out goes with --corpus or --tokenizer")
        _measure_all()
        return 0
    try:
        _measure_own(arguments)
    except (EchotokError, OSError) as error:
        print(f"compression.py: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="compression.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--corpus",
        action="append",
        default=[],
        metavar="NAME=PATH[:COLUMN]",
        help="a corpus of your own, as often as you like: CSV, TSV, JSON Lines or Parquet (also "
        "packed with gzip) with the reports in COLUMN, a text file, or a folder of *.txt; without "
        "it, the corpora of this project that are at hand",
    )
    parser.add_argument(
        "--tokenizer",
        action="append",
        default=[],
        metavar="NAME=MODULE:CALLABLE",
        help="a tokenizer of your own, as often as you like: a callable that takes a text and "
        "gives a sequence of ids, or an object with `ids` or `input_ids` (and `attention_mask`: "
        "what it masks is not counted). MODULE is importable from here, or a file my.py. CALLABLE "
        "may also be an object or class with the methods encode and decode; "
        "MODULE:CALLABLE:DECODER names a function that decodes. With a decoder the round trip "
        "of each report is tried. All ids count, special ones and padding too. Also: the path of "
        "an artifact, a Hugging Face folder or tokenizer.json, tiktoken:cl100k_base",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="also write the figures to this file: JSON if it ends in .json, else Markdown",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    return parser


# Corpora and tokenizers of a user


def _measure_own(arguments: argparse.Namespace) -> None:
    """Measure what the command line names, beside the peers, and print the figures."""
    out = None if arguments.out is None else Path(arguments.out)
    if out is not None:
        if out.exists() and not arguments.force:
            raise InputError(f"{out} is there already; name another file, or give --force")
        if not out.parent.is_dir():
            raise InputError(f"{out.parent} is no folder; make it first")
    named = [read_corpus(given) for given in arguments.corpus]
    corpora_at_hand = named or [(name, texts) for name, (_, texts) in corpora().items()]
    own = [read_tokenizer(given) for given in arguments.tokenizer]
    for what, names in (
        ("corpora", [name for name, _ in named]),
        ("tokenizers", [*_PEERS, *(name for name, _ in own)]),
    ):
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"two {what} are called {twice[0]}; give each a name of its own")
    tokenizers = [*_peers(), *own]
    rows = [
        {"corpus": corpus, "tokenizer": name, **_own_figures(measure(texts, tokenizer), tokenizer)}
        for corpus, texts in corpora_at_hand
        for name, tokenizer in tokenizers
    ]
    page = _own_markdown(rows)
    print(page)
    if out is not None:
        text = json.dumps(rows, indent=1) + "\n" if out.suffix == ".json" else page + "\n"
        out.write_text(text, encoding="utf-8")
        print(f"wrote {out}", file=sys.stderr)


def _peers() -> list[tuple[str, Tokenizer | Peer]]:
    """Ours, and those that stand beside them in the published figures, where they are installed."""
    echo = echotok.load("echo")
    found: list[tuple[str, Tokenizer | Peer]] = [("echo", echo)]
    try:
        found.append(("echo-clip", echotok.load("echo-clip")))
        plain = [phrase.text for phrase in echo.table.live if not phrase.num_slots]
        added = hf_clip(plain)
    except (EchotokError, ModuleNotFoundError) as error:
        print(f"compression.py: left out, since {error}", file=sys.stderr)
        return found
    peer = Peer(name=_PEERS[-1], encode=partial(_with_ends, added.encode))
    return [*found, (peer.name, peer)]


def _with_ends(encode: Callable[[str], Any], text: str) -> list[int]:
    """The ids with one for BOS and one for EOS, which our lengths count too."""
    return [0, *encode(text).ids, 0]


def _own_figures(stats: CorpusStats, tokenizer: Tokenizer | Peer) -> dict[str, Any]:
    shares = stats.shares()
    return {
        "num_reports": stats.num_reports,
        **summarize(stats.lengths),
        "min": min(stats.lengths),
        "max": max(stats.lengths),
        "clip_mean": statistics.fmean(stats.clip_lengths) if stats.clip_lengths else None,
        "ratio": stats.ratio,
        "worst_share_of_clip": stats.worst_ratio,
        "covered": None if isinstance(tokenizer, Peer) else shares["phrase"] + shares["value"],
        "fit": {str(size): share for size, share in stats.fitting().items()},
        "num_lossy": stats.num_lossy,
    }


def _own_markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "Tokens a report. `times fewer`: CLIP's tokens over the tokenizer's, summed. `covered`:",
        "share of visible characters in phrases and values, which only ours have. `worst`: the",
        "dearest single report against CLIP's count. `lost`: reports that do not come back, where",
        "letter case, white space and typography do not count; `?`: there is no decoder.",
        "",
        "| corpus | n | tokenizer | mean | median | p95 | CLIP BPE, mean | times fewer | covered "
        "| fit " + " / ".join(map(str, CONTEXT_LENGTHS)) + " | worst | lost |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        fit = " / ".join(f"{share:.0%}" for share in row["fit"].values())
        lines.append(
            f"| {row['corpus']} | {row['num_reports']} | {row['tokenizer']} | {row['mean']:.1f} "
            f"| {row['median']:.1f} | {row['p95']:.0f} | {_or_dash(row['clip_mean'], '.1f')} "
            f"| {_or_dash(row['ratio'], '.2f')} | {_or_dash(row['covered'], '.0%')} | {fit} "
            f"| {_or_dash(row['worst_share_of_clip'], '.2f')} "
            f"| {'?' if row['num_lossy'] is None else row['num_lossy']} |"
        )
    remarks = [remark for row in rows for remark in _remarks(row)]
    return "\n".join([*lines, *([""] if remarks else []), *remarks])


def _remarks(row: dict[str, Any]) -> Iterator[str]:
    """What makes a count of tokens worth less than it seems."""
    who = f"- {row['tokenizer']} on {row['corpus']}:"
    if row["num_lossy"]:
        yield f"{who} {row['num_lossy']:,} of {row['num_reports']:,} reports do not come back."
    if row["num_reports"] > 1 and row["min"] == row["max"]:
        yield f"{who} each report has {row['max']} ids; does this tokenizer pad or cut its texts?"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


# All corpora at hand


def _measure_all() -> None:
    """Measure every corpus at hand and write the results."""
    import open_clip

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
    from benchmarks.tokenizer.select_rows import ECHO_SOURCES

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
    sys.exit(main())
