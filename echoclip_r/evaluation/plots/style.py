"""Colours, markers and other things that all plots share.

Colours are those of Okabe and Ito, which people with any kind of colour vision can tell apart. A
marker or a dash always shows the same difference as the colour.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echoclip_r.metrics.bootstrap import Estimate

__all__ = [
    "COLOURS",
    "DASHES",
    "MARKERS",
    "MAX_POINTS",
    "RC",
    "add_legend",
    "interval_text",
    "thinned",
]

BLUE, ORANGE, GREEN, PURPLE, YELLOW, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#767676",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
DATASET_COLOURS = {"internal": BLUE, "external": ORANGE}
DATASET_MARKERS = {"internal": "o", "external": "^"}

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "path.simplify_threshold": 0.3,  # of a point: curves of thousands of corners get small files
    "text.parse_math": False,  # a dollar sign in a name is one
    "svg.hashsalt": "echoclip_r",  # one seed, one result
    "svg.fonttype": "none",  # letters as letters: a tenth of the size, and they can be edited
}

MAX_POINTS = 400
_LEGEND_SIZE = 8


def interval_text(estimate: Estimate, digits: int = 2) -> str:
    """A text such as `0.91 (0.88 to 0.94)`; only the value where there is no interval.

    Example:
        >>> interval_text(Estimate(value=0.912, low=0.88, high=0.94))
        '0.91 (0.88 to 0.94)'
    """
    if math.isnan(estimate.low):
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"


def legend_name(name: str) -> str:
    """A model's name as an entry of a legend, from which matplotlib drops what begins with `_`.

    Example:
        >>> legend_name("_old"), legend_name("new")
        (' _old', 'new')
    """
    return f" {name}" if name.startswith("_") else name


def add_legend(ax: Axes) -> None:
    """Add a legend below the picture, so that it hides no point; the figure becomes taller."""
    figure = ax.figure
    assert isinstance(figure, Figure)
    legend = figure.legend(
        *ax.get_legend_handles_labels(),
        loc="outside lower left",
        frameon=False,
        fontsize=_LEGEND_SIZE,
    )
    lines = sum(text.get_text().count("\n") + 1 for text in legend.get_texts())
    entries = len(legend.get_texts())
    width, height = figure.get_size_inches()
    # A line is 1.2 times its letters, and half a letter parts entries.
    figure.set_size_inches(width, height + _LEGEND_SIZE * (1.2 * lines + 0.5 * entries + 1) / 72)


def thinned(items: pd.DataFrame) -> pd.DataFrame:
    """At most some hundred of the points: more of them make a large file and a solid cloud."""
    if len(items) <= MAX_POINTS:
        return items
    return items.sample(MAX_POINTS, random_state=0)
