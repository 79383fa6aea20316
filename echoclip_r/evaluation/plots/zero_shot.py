"""Pictures of predictions: small enough for a phone, with axes, units and n.

Every function draws on the axes that it is given.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from echoclip_r.evaluation.outcomes import Outcome
from echoclip_r.evaluation.plots.style import (
    COLOURS,
    DASHES,
    DATASET_COLOURS,
    DATASET_MARKERS,
    GREY,
    MARKERS,
    add_legend,
    interval_text,
    legend_name,
    thinned,
)

__all__ = ["draw_bland_altman", "draw_calibration", "draw_forest", "draw_roc", "draw_scatter"]

_BINS = 5
_MAX_CORNERS = 200


def draw_scatter(ax: Axes, outcomes: Sequence[Outcome]) -> None:
    """Draw predicted against true values of one model, internal and external in two colours."""
    unit = outcomes[0].about["unit"]
    values = np.concatenate(
        [one.items[["truth", "predicted"]].to_numpy().ravel() for one in outcomes]
    )
    low, high = float(values.min()), float(values.max())
    pad = 0.05 * (high - low or 1)
    ends = np.array([low - pad, high + pad])
    human = outcomes[0].about["human_range"]
    if human is not None:
        for width, shade in zip(human, (0.28, 0.14), strict=True):
            ax.fill_between(ends, ends - width, ends + width, color=GREY, alpha=shade, lw=0)
        ax.plot(
            [],
            [],
            color=GREY,
            alpha=0.4,
            lw=6,
            label="people differ by {:g} to {:g} {}".format(*human, unit),
        )
    ax.plot(ends, ends, color="black", lw=1, label="identity")
    for one in outcomes:
        points = thinned(one.items)
        ax.scatter(
            points["truth"],
            points["predicted"],
            s=9,
            alpha=0.55,
            lw=0,
            color=DATASET_COLOURS[one.dataset],
            marker=DATASET_MARKERS[one.dataset],
            label=f"{one.dataset}, n = {one.scores.num_items:,}\n"
            f"MAE {interval_text(one.scores.figures['mae'], 1)}",
        )
    ax.set(xlim=ends, ylim=ends, xlabel=f"true value ({unit})", ylabel=f"predicted ({unit})")
    ax.set_aspect("equal", anchor="S")  # else the layout cuts the title
    add_legend(ax)


def draw_bland_altman(ax: Axes, outcomes: Sequence[Outcome]) -> None:
    """Draw the difference against the mean, with bias and limits of the first data set."""
    unit = outcomes[0].about["unit"]
    for one in outcomes:
        points = thinned(one.items)
        ax.scatter(
            (points["truth"] + points["predicted"]) / 2,
            points["predicted"] - points["truth"],
            s=9,
            alpha=0.55,
            lw=0,
            color=DATASET_COLOURS[one.dataset],
            marker=DATASET_MARKERS[one.dataset],
            label=f"{one.dataset}, n = {one.scores.num_items:,}",
        )
        figures = one.scores.figures
        for name, dash in (("bias", "-"), ("limit_low", "--"), ("limit_high", "--")):
            ax.axhline(
                figures[name].value,
                color=DATASET_COLOURS[one.dataset],
                ls=dash,
                lw=1.2,
                label=None
                if name == "limit_high"
                else f"bias {interval_text(figures['bias'], 1)}"
                if name == "bias"
                else "limits of agreement "
                f"{figures['limit_low'].value:.1f} to {figures['limit_high'].value:.1f}",
            )
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xlabel=f"mean of true and predicted ({unit})", ylabel=f"predicted - true ({unit})")
    add_legend(ax)


def draw_roc(ax: Axes, outcomes: Sequence[Outcome]) -> None:
    """Draw the ROC curves of one task, a colour a model, with thin lines for external data sets."""
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="chance, AUC 0.50")
    models = list(dict.fromkeys(one.model for one in outcomes))
    for one in outcomes:
        place = models.index(one.model) % len(COLOURS)
        misses, hits = _roc(one.items["truth"].to_numpy(), one.items["score"].to_numpy())
        ax.plot(
            misses,
            hits,
            color=COLOURS[place],
            ls=DASHES[place],
            lw=1.8 if one.dataset == "internal" else 0.9,
            label=f"{_name(one)} "
            f"({one.about['num_positive']:,} of {one.scores.num_items:,})\n"
            f"AUC {interval_text(one.scores.figures['auc'])}",
        )
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="1 - specificity", ylabel="sensitivity")
    ax.set_aspect("equal", anchor="S")  # else the layout cuts the title
    add_legend(ax)


def draw_calibration(ax: Axes, outcomes: Sequence[Outcome]) -> None:
    """Draw observed shares against probabilities of one task, in groups of equal size."""
    ax.plot([0, 1], [0, 1], color="black", lw=0.8, label="perfect")
    models = list(dict.fromkeys(one.model for one in outcomes))
    for one in outcomes:
        place = models.index(one.model) % len(COLOURS)
        predicted, observed, low, high = _reliability(
            one.items["truth"].to_numpy(), one.items["probability"].to_numpy()
        )
        brier = one.scores.figures["brier"]
        ax.errorbar(
            predicted,
            observed,
            yerr=[observed - low, high - observed],
            color=COLOURS[place],
            ls=DASHES[place],
            marker=MARKERS[place],
            ms=4,
            lw=1.2,
            elinewidth=0.6,
            label=f"{_name(one)}\nBrier {brier.value:.3f}, by prevalence {brier.chance:.3f}",
        )
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="observed share")
    ax.set_aspect("equal", anchor="S")  # else the layout cuts the title
    add_legend(ax)


def draw_forest(ax: Axes, groups: Sequence[tuple[str, Sequence[Outcome]]]) -> None:
    """Draw the AUC with its interval for each task (a row) and model or data set (a colour)."""
    names = list(dict.fromkeys(_name(one) for _, outcomes in groups for one in outcomes))
    step = 0.5 / max(2 * len(names), 2)
    for row, (title, outcomes) in enumerate(groups):
        ax.text(0.0, row - 0.16, title, fontsize=8, transform=ax.get_yaxis_transform())
        for one in outcomes:
            place = names.index(_name(one))
            colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
            for number, name in enumerate(("auc", "auc:contrast")):
                if name not in one.scores.figures:
                    continue
                found = one.scores.figures[name]
                y = row + step * (2 * place + number)
                ax.plot([found.low, found.high], [y, y], color=colour, lw=1.2)
                ax.plot(
                    found.value,
                    y,
                    color=colour,
                    marker=marker,
                    ms=4.5,
                    ls="none",
                    markerfacecolor=colour if number == 0 else "white",
                )
    for place, label in enumerate(names):
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        ax.plot([], [], color=colour, marker=marker, ms=4.5, label=label, lw=1.2)
    contrasted = any("auc:contrast" in one.scores.figures for _, many in groups for one in many)
    if contrasted:
        ax.plot([], [], color="black", marker="o", mfc="white", ls="none", label="contrast score")
    ax.axvline(0.5, color=GREY, lw=0.8, ls=":", label="chance")
    lowest = min(
        one.scores.figures[name].low
        for _, outcomes in groups
        for one in outcomes
        for name in ("auc", "auc:contrast")
        if name in one.scores.figures
    )
    ax.set(xlim=(min(0.4, lowest - 0.02), 1.01), ylim=(len(groups) - 0.3, -0.55))
    ax.set_xlabel("AUC, with 95 % interval")
    ax.yaxis.set_visible(False)
    ax.spines["left"].set_visible(False)
    add_legend(ax)


def _name(outcome: Outcome) -> str:
    return legend_name(outcome.model) + ("" if outcome.dataset == "internal" else ", external")


def _roc(
    truth: NDArray[np.int64], score: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The curve's corners, or as many as can be seen: false and true positive rates."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])
    hits = np.r_[0, np.cumsum(truth[order])[ends]]
    misses = np.r_[0, np.cumsum(1 - truth[order])[ends]]
    shown = np.unique(np.linspace(0, len(hits) - 1, _MAX_CORNERS).round().astype(int))
    return misses[shown] / misses[-1], hits[shown] / hits[-1]


def _reliability(
    truth: NDArray[np.int64], probability: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Mean prediction, observed share and its Wilson interval in groups of equal size."""
    order = np.argsort(probability, kind="stable")
    groups = np.array_split(order, min(_BINS, len(order)))
    count = np.array([len(group) for group in groups])
    predicted = np.array([probability[group].mean() for group in groups])
    share = np.array([truth[group].mean() for group in groups])
    z = 1.96
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return predicted, share, np.minimum(centre - half, share), np.maximum(centre + half, share)
