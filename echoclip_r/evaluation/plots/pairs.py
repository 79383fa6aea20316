"""Pictures of retrieval, agreement, identification and change; see also `plots.zero_shot`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, StrMethodFormatter

from echoclip_r.evaluation.agreement import families, is_number
from echoclip_r.evaluation.identification import KINDS
from echoclip_r.evaluation.labels import Finding
from echoclip_r.evaluation.outcomes import Outcome
from echoclip_r.evaluation.plots.style import (
    BLUE,
    COLOURS,
    DASHES,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    add_legend,
    interval_text,
    legend_name,
    thinned,
)

__all__ = ["draw_agreement", "draw_change", "draw_identification", "draw_rank_curve"]


def draw_rank_curve(ax: Axes, outcomes: Sequence[Outcome], way: str) -> None:
    """Draw the share of queries whose right answer is among the first k, and the chance level."""
    column = "rank_of_report" if way == "video_to_report" else "rank_of_video"
    pool = outcomes[0].about["num_reports" if way == "video_to_report" else "num_videos"]
    k = np.unique([*range(1, 51), *np.geomspace(1, pool, 300).round()])
    k = k[k <= pool]
    for place, one in enumerate(outcomes):
        ranks = np.sort(one.items[column].dropna().to_numpy(np.float64))
        figure = one.scores.figures[f"recall_at_10:{way}"]
        ax.step(
            k,
            np.searchsorted(ranks, k, side="right") / len(ranks),
            where="post",
            color=COLOURS[place % 6],
            ls=DASHES[place % 6],
            lw=1.6,
            label=f"{legend_name(one.model)}\nR@10 {interval_text(figure)}",
        )
    ax.plot(k, k / pool, color=GREY, ls=":", lw=1, label="chance (were all reports different)")
    num = int(outcomes[0].items[column].notna().sum())
    ax.set(xscale="log", ylim=(0, 1.01), xlim=(1, max(pool, 2)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.xaxis.set_minor_formatter(LogFormatter())  # the usual one writes formulas
    ax.set(xlabel=f"k of {pool:,} candidates", ylabel=f"share of {num:,} queries found")
    add_legend(ax)


def draw_agreement(ax: Axes, outcome: Outcome, findings: Sequence[Finding]) -> None:
    """Draw precision and recall by family, the share of measurements in tolerance, and chance."""
    rows = [(family, f"precision:{family}", f"recall:{family}") for family in families(findings)]
    rows += [
        (f"{one.title} within {one.tolerance:g}", f"within:{one.name}", "")
        for one in findings
        if is_number(one)
    ]
    shown = [row for row in rows if not np.isnan(outcome.scores.figures[row[1]].value)]
    for row, (title, *names) in enumerate(shown):
        ax.text(0.0, row - 0.28, title, fontsize=8)
        for number, name in enumerate(filter(None, names)):
            found, y = outcome.scores.figures[name], row - 0.05 + 0.28 * number
            place = number if len(names[1]) else 2
            ax.plot([found.low, found.high], [y, y], color=COLOURS[place], lw=1.4)
            ax.plot(found.value, y, color=COLOURS[place], marker=MARKERS[place], ms=5, ls="none")
            ax.plot(found.chance, y, color="black", marker="|", ms=9, ls="none")
    for place, name in enumerate(("precision", "recall", "share of measurements that agree")):
        ax.plot([], [], color=COLOURS[place], marker=MARKERS[place], label=name)
    ax.plot([], [], color="black", marker="|", ls="none", label="a random report")
    ax.set(xlim=(0, 1.01), ylim=(len(shown) - 0.4, -0.7))
    ax.set_xlabel(f"share, with 95 % interval (n = {outcome.scores.num_items:,})")
    ax.yaxis.set_visible(False)
    ax.spines["left"].set_visible(False)
    add_legend(ax)


def draw_identification(ax: Axes, outcome: Outcome) -> None:
    """Draw histograms of the cosines of pairs: of one study, of one patient, of two patients."""
    cosines = outcome.items["cosine"]
    edges = np.linspace(float(cosines.min()), float(cosines.max()) + 1e-9, 41).tolist()
    for place, kind in enumerate(KINDS):
        chosen = cosines[outcome.items["kind"] == kind].to_numpy()
        if not len(chosen):
            continue
        colour = (GREEN, BLUE, ORANGE)[place]
        weights = np.full(len(chosen), 1 / len(chosen))
        mean = outcome.scores.figures[kind.replace(" ", "_")]
        ax.hist(
            chosen,
            edges,
            weights=weights,
            histtype="stepfilled",
            alpha=0.35,
            color=colour,
            label=f"{kind}, n = {len(chosen):,}\nmean {interval_text(mean)}",
        )
        ax.hist(chosen, edges, weights=weights, histtype="step", color=colour, ls=DASHES[place])
    auc = interval_text(outcome.scores.figures["auc"])
    ax.plot([], [], ls="none", label=f"same or different patient: AUC {auc}")
    ax.set(xlabel="cosine of two embeddings", ylabel="share of pairs")
    add_legend(ax)


def draw_change(ax: Axes, outcome: Outcome) -> None:
    """Draw the cosine with the earliest study over time, with and without an event."""
    table = outcome.items
    ax.axvline(0, color="black", lw=0.8)
    for when, colour, marker in (
        ("no event", GREY, "x"),
        ("before", BLUE, "o"),
        ("after", ORANGE, "^"),
    ):
        part = thinned(table[table["when"] == when])
        if not len(part):
            continue
        mean = outcome.scores.figures[f"cosine:{when}"]
        years = part["days"].to_numpy() / 365.25
        ax.scatter(
            years,
            part["cosine"],
            s=12,
            alpha=0.35 if when == "no event" else 0.75,
            lw=0.8 if marker == "x" else 0,
            color=colour,
            marker=marker,
            label=f"{'event' if when != 'no event' else ''} {when}".strip()
            .replace("event before", "before the event")
            .replace("event after", "after the event")
            + f", n = {int((table['when'] == when).sum()):,}\nmean {interval_text(mean)}",
        )
        ax.plot([float(years.min()), float(years.max())], [mean.value] * 2, color=colour, lw=1.6)
    auc = interval_text(outcome.scores.figures["auc"])
    ax.plot([], [], ls="none", label=f"after the event or not: AUC {auc}")
    ax.set_xlabel("years since the event (without one: since the first study)")
    ax.set_ylabel("cosine with the patient's earliest study")
    add_legend(ax)
