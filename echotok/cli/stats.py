"""`echotok stats`: the figures of a corpus as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from echotok.cli.console import progress
from echotok.coverage import CorpusStats, measure, summarize
from echotok.errors import InputError
from echotok.leftovers import describe_leftovers
from echotok.peers import Peer
from echotok.tokenizer import Tokenizer

if TYPE_CHECKING:
    from rich.text import Text

    from echotok.corpora import Report

__all__ = ["run"]


def run(
    reports: Iterable[Report],
    tokenizer: Tokenizer | Peer,
    *,
    as_json: bool,
    min_reports: int,
    top: int,
    workers: int,
    merges_path: str | None,
) -> int:
    """Measure a corpus and print its figures.

    Args:
        reports: the corpus, as a stream.
        tokenizer: the tokenizer to measure.
        as_json: print one JSON object instead of text.
        min_reports: number of reports that must hold a stretch for it to be shown (I9).
        top: number of stretches to show.
        workers: number of processes.
        merges_path: path of CLIP's merges, as in `echotok.coverage.measure`.

    Returns:
        0, or 1 when a tokenizer of ours does not decode a report to its normalized text.

    Raises:
        InputError: there is no report in the corpus.
    """
    sources: list[str] = []

    def texts() -> Iterator[str]:
        for report in reports:
            sources.append(report.source)
            yield report.text

    with progress() as told:
        stats = measure(
            texts(),
            tokenizer,
            workers=workers,
            merges_path=merges_path,
            progress=lambda count: told("measuring", count=count),
        )
    if not stats.num_reports:
        raise InputError("the inputs hold no report: there is nothing to measure")
    figures = _figures(stats, tokenizer, sources, min_reports=min_reports, top=top)
    if as_json:
        print(json.dumps(figures, indent=1))
    else:
        from echotok.cli.console import write_styled

        write_styled(_lines(figures))
    return 1 if stats.num_lossy and not isinstance(tokenizer, Peer) else 0


def _figures(
    stats: CorpusStats,
    tokenizer: Tokenizer | Peer,
    sources: list[str],
    *,
    min_reports: int,
    top: int,
) -> dict[str, Any]:
    """Everything that `stats` says, ready for JSON."""
    stretches = stats.stretches(min_reports=min_reports, limit=top) if top else []
    is_peer = isinstance(tokenizer, Peer)
    about = {"name": tokenizer.name, "vocab_size": tokenizer.vocab_size}
    if not isinstance(tokenizer, Peer):
        about |= {
            "fingerprint": tokenizer.fingerprint,
            "table": tokenizer.table.name,
            "table_version": tokenizer.table.version,
        }
    return {
        "tokenizer": about,
        "num_reports": stats.num_reports,
        "num_lossy": stats.num_lossy,
        "num_exact": stats.num_exact if is_peer else None,
        "leftovers": dict(sorted(stats.leftovers.items())),
        "tokens": _lengths(stats.lengths),
        "clip_tokens": _lengths(stats.clip_lengths) if stats.clip_lengths else None,
        "ratio": stats.ratio,
        "worst": _worst(stats, sources),
        "character_shares": None if is_peer else stats.shares(),
        "fitting": {str(size): share for size, share in stats.fitting().items()},
        "min_reports": min_reports,
        "stretches": [
            {
                "template": stretch.template,
                "num_reports": stretch.num_reports,
                "tokens_saved": stretch.tokens_saved,
            }
            for stretch in stretches
        ],
    }


def _lengths(lengths: list[int]) -> dict[str, float]:
    return {**summarize(lengths), "max": max(lengths), "total": sum(lengths)}


def _worst(stats: CorpusStats, sources: list[str]) -> dict[str, Any]:
    """The report that does worst beside CLIP's BPE; without CLIP's merges, the longest."""
    own, clip = stats.lengths, stats.clip_lengths
    cost = [mine / theirs for mine, theirs in zip(own, clip, strict=True)] if clip else own
    at = max(range(len(own)), key=cost.__getitem__)
    return {
        "source": sources[at],
        "tokens": own[at],
        "clip_tokens": clip[at] if clip else None,
        "share_of_clip": cost[at] if clip else None,
    }


# Text

_WIDTH = 20


def _lines(figures: dict[str, Any]) -> Iterator[Text]:
    from rich.text import Text

    about, clip, worst = figures["tokenizer"], figures["clip_tokens"], figures["worst"]
    num_reports = figures["num_reports"]

    def line(name: str, value: str, style: str = "") -> Text:
        return Text.assemble((f"{name:<{_WIDTH}}", "cyan"), (value, style))

    is_peer = "fingerprint" not in about
    facts = f"{about['vocab_size']:,} ids"
    if not is_peer:
        facts = (
            f"table {about['table']} {about['table_version']}, {facts}, "
            f"fingerprint {about['fingerprint'][:12]}"
        )
    yield Text(f"{_visible(about['name'])} ({facts})\n", style="bold")
    yield line("reports", f"{num_reports:,}")
    width = max(12, len(about["name"]) + 2)
    header = f"{_visible(about['name']):>{width}}" + (f"{'CLIP BPE':>12}" if clip else "")
    yield line("tokens per report", header, "dim")
    for name, key in (
        ("mean", "mean"),
        ("median", "median"),
        ("95th percentile", "p95"),
        ("longest", "max"),
        ("all reports", "total"),
    ):
        digits = 0 if key in ("max", "total") else 1
        written = f"{figures['tokens'][key]:>{width},.{digits}f}"
        yield line(f"  {name}", written + (f"{clip[key]:>12,.{digits}f}" if clip else ""))
    if clip:
        yield line("ratio", f"CLIP BPE needs {figures['ratio']:.2f} times as many tokens")
        found = f"{worst['tokens']:,} tokens, {worst['share_of_clip']:.2f} of CLIP's"
        yield line("worst report", f"{_visible(worst['source'])}: {found} {worst['clip_tokens']:,}")
    else:
        yield line("CLIP BPE", "not counted: install open_clip_torch, or pass --clip-merges")
        yield line("longest report", f"{_visible(worst['source'])}: {worst['tokens']:,} tokens")
    if shares := figures["character_shares"]:
        yield line(
            "characters in",
            f"phrases {shares['phrase']:.1%}, values {shares['value']:.1%}, "
            f"BPE {shares['bpe']:.1%}",
        )
    fitting = (
        f"{size} ids: {share:.1%} ({round(share * num_reports):,})"
        for size, share in figures["fitting"].items()
    )
    yield line("fit whole", ",  ".join(fitting))
    if is_peer:
        told, style = _round_trip(figures)
        yield line("lost", told, style)
    elif lossy := figures["num_lossy"]:
        message = f"{lossy:,} reports do not decode to their normalized text: report this bug"
        yield line("lost", message, "bold red")
    else:
        yield line("lost", f"nothing: {num_reports:,} of {num_reports:,} decode exactly")
    for told in describe_leftovers(figures["leftovers"], num_reports):
        yield line("look", told, "bold yellow")
    if not is_peer:
        yield from _stretch_lines(figures)


def _round_trip(figures: dict[str, Any]) -> tuple[str, str]:
    """Whether a tokenizer of others gives the reports back, and the style of the line."""
    num_reports, lossy, exact = (figures[key] for key in ("num_reports", "num_lossy", "num_exact"))
    if lossy:
        return (
            f"{lossy:,} of {num_reports:,} reports do not come back: this tokenizer's decoded text "
            "differs in more than letter case, white space and typography",
            "bold yellow",
        )
    return f"nothing: {num_reports:,} of {num_reports:,} come back, {exact:,} to the letter", ""


def _stretch_lines(figures: dict[str, Any]) -> Iterator[Text]:
    from rich.text import Text

    least = figures["min_reports"]
    held = "1 report or more" if least == 1 else f"{least:,} reports or more"
    yield Text(f"\nMost costly uncovered stretches, in {held}", style="bold")
    if figures["stretches"]:
        yield Text(f"{'saves':>8}{'reports':>9}  stretch", style="dim")
    else:
        yield Text("(none)")
    for stretch in figures["stretches"]:
        numbers = f"{stretch['tokens_saved']:>8,}{stretch['num_reports']:>9,}  "
        yield Text(numbers + _visible(stretch["template"]))
    if least > 1:
        yield Text(
            "Rarer stretches are left out: a text that few reports hold may be a patient's own (a "
            "name, a date). --min-reports N lowers the limit, for a corpus that you may read.",
            style="dim",
        )


def _visible(text: str) -> str:
    from echotok.view.tree import visible

    return visible(text).replace("\n", " ")
