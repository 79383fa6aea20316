"""The pictures of `make demo`: curves, a retrieval sheet, and one page that holds everything."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogFormatter

from benchmarks.models.phantom_steps import Judged, loss_curve, validation_curve
from echoclip_r.data.clips import read_masked
from echoclip_r.evaluation.plots.inline import inline_svg
from echoclip_r.evaluation.plots.style import COLOURS, GREY, MARKERS, RC, add_legend
from echoclip_r.metrics.chance import chance_recall
from echoclip_r.search.answers import Answer, Item, find_reports, read_pictures
from echoclip_r.search.page import to_page
from echotok.view.templates import render

__all__ = [
    "draw_curves",
    "example_answers",
    "figures_html",
    "film_answer",
    "lead_sentence",
    "page_curves",
    "tables",
    "write_page",
]

# A line style a way of reading reports.
_STYLES = ("-", "--")


def draw_curves(judged: Mapping[str, Judged], runs: Mapping[str, Path]) -> Drawing:
    """Loss, validation MCMRR and rank curves side by side, a colour a model."""
    with mpl.rc_context(RC):
        drawing = Drawing(figsize=(15, 4.8), layout="constrained")
        for ax, panel in zip(drawing.subplots(1, len(_PANELS)), _PANELS, strict=True):
            panel(ax, judged, runs)
            # Below the picture: every place inside of it may have a curve.
            ax.legend(loc="upper left", bbox_to_anchor=(0, -0.14), fontsize=8, frameon=False)
        drawing.suptitle("Phantoms: simulated data, no clinical evidence", fontsize=10)
    return drawing


def page_curves(judged: Mapping[str, Judged], runs: Mapping[str, Path]) -> list[Markup]:
    """The same curves for a page, each by itself."""
    pictures = []
    for number, panel in enumerate(_PANELS):
        with mpl.rc_context(RC):
            drawing = Drawing(figsize=(4.2, 3.2), layout="constrained")
            ax = drawing.add_subplot()
            panel(ax, judged, runs)
            add_legend(ax)
            buffer = io.StringIO()
            drawing.savefig(buffer, format="svg")
        pictures.append(
            inline_svg(buffer.getvalue(), name=f"curve{number}", label=ax.get_title(loc="left"))
        )
    return pictures


def _draw_loss(ax: Axes, judged: Mapping[str, Judged], runs: Mapping[str, Path]) -> None:
    for name, colour in zip(judged, COLOURS, strict=False):
        ax.plot(*loss_curve(runs[name]), color=colour, linewidth=1.2, label=name)
    ax.set(title="Training loss", xlabel="step", ylabel="loss")


def _draw_ranks(ax: Axes, judged: Mapping[str, Judged], runs: Mapping[str, Path]) -> None:
    for name, colour, marker in zip(judged, COLOURS, MARKERS, strict=False):
        ax.plot(
            *validation_curve(runs[name]), color=colour, marker=marker, markersize=4, label=name
        )
    ax.set(title="Validation, mean of both mean ranks", xlabel="step", ylabel="MCMRR")
    ax.set_ylim(bottom=0)


def _draw_found(ax: Axes, judged: Mapping[str, Judged], runs: Mapping[str, Path]) -> None:
    for (name, one), colour in zip(judged.items(), COLOURS, strict=False):
        for (how, result), style in zip(one.retrieval.items(), _STYLES, strict=False):
            both = np.sort(result.items[["rank_of_report", "rank_of_video"]].to_numpy(int).ravel())
            share = np.arange(1, len(both) + 1) / len(both)
            label = f"{name}, {how}: MCMRR {result.scores.figures['mcmrr'].value:.1f}"
            ax.step(both, share, where="post", color=colour, linestyle=style, label=label)
    pool = next(iter(judged.values())).figures["num_studies"]
    at = np.unique(np.geomspace(1, pool, 60).round().astype(int))
    right = np.ones(1, np.int64)
    chance = [chance_recall(right, pool, int(k)) for k in at]
    ax.plot(at, chance, color=GREY, linestyle=":", label="a random order")
    ax.set(
        title=f"{pool} held-out studies, both ways",
        xlabel="rank of the right answer, at most",
        ylabel="share of queries",
        xscale="log",
        xlim=(1, pool),
        ylim=(0, 1),
    )
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.xaxis.set_minor_formatter(LogFormatter())  # the usual one writes formulas


_PANELS = (_draw_loss, _draw_ranks, _draw_found)


def example_answers(judged: Judged, shards: Path) -> list[Answer]:
    """What was found for three held-out clips, chosen by rank alone: a good, a middling, a bad."""
    result = next(iter(judged.retrieval.values()))
    order = np.argsort(result.items["rank_of_report"].to_numpy(), kind="stable")
    rows = judged.items.rows
    answers = []
    for share, what in (
        (0.25, "found better than 75 % of"),
        (0.5, "found in the middle of"),
        (0.9, "found worse than 90 % of"),
    ):
        place = int(order[int(share * (len(order) - 1))])
        row = rows.iloc[place]
        frames = read_pictures(shards, [row["key"]])[row["key"]]
        query = Item(
            name=f"{row['study_id']}, {what} the {len(order)} studies",
            report=row["report"],
            frames=frames,
        )
        answers.append(
            find_reports(
                judged.model,
                query,
                list(zip(rows["study_id"], rows["report"], strict=True)),
                k=3,
                embeddings=judged.report_embeddings,
                query_embedding=judged.items.embeddings[place],
            )
        )
    return answers


def film_answer(judged: Judged, video: Path, name: str) -> Answer:
    """The phantom reports that fit a real clip best."""
    frames = read_masked(video, size_px=judged.model.image_size_px).frames
    rows = judged.items.rows
    return find_reports(
        judged.model,
        Item(name=name, frames=frames),
        list(zip(rows["study_id"], rows["report"], strict=True)),
        k=3,
        embeddings=judged.report_embeddings,
    )


def figures_html(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    curves: Sequence[Markup],
    *,
    lead: str,
    notes: Sequence[str],
) -> Markup:
    """What was shown in one sentence, the table and the curves as HTML."""
    return Markup(
        render(
            "benchmarks.models",
            "phantom_figures.html",
            lead=lead,
            header=header,
            # Value and interval of each cell.
            rows=[[cell.partition("\n")[::2] for cell in row] for row in rows],
            notes=notes,
            curves=curves,
        )
    )


def lead_sentence(judged: Mapping[str, Judged], *, num_train: int) -> str:
    """What the demo showed, with the last model's share of right first answers."""
    name, one = list(judged.items())[-1]
    found = next(iter(one.retrieval.values())).scores.figures["recall_at_1:video_to_report"]
    return (
        f"{' and '.join(judged)} learned from {num_train:,} simulated echo studies and their "
        f"reports, and then looked for the report of each of {one.figures['num_studies']} studies "
        f"that they had never seen: {name} put the right one first for {found.value:.1%} of them "
        f"(95 % interval {found.low:.1%} to {found.high:.1%}), where a random order gives "
        f"{found.chance:.1%}."
    )


def write_page(path: Path, answers: Sequence[Answer], *, before: Markup) -> None:
    """One self-contained page: what was shown, the table, the curves, the answers."""
    page = to_page(answers, title="EchoCLIP and EchoCLIP-R on phantoms", about="", before=before)
    path.write_text(page, encoding="utf-8")


def tables(figures: Mapping[str, dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of models."""
    header = ["", *_COLUMNS]
    rows = []
    for name, one in figures.items():
        for how, found in one["retrieval"].items():
            rows.append([f"{name} ({how})", *_cells(one, found)])
    first = next(iter(figures.values()))
    found = next(iter(first["retrieval"].values()))
    rows.append(["chance, or always the median", *_cells(first, found, chance=True)])
    return header, rows


_COLUMNS = (
    "MCMRR",
    "R@1, %",
    "R@10, %",
    "EF MAE, %",
    "EF r",
    "pacemaker lead AUC",
    "effusion AUC",
)


def _cells(one: Mapping[str, Any], found: Mapping[str, Any], *, chance: bool = False) -> list[str]:
    recall = found["video_to_report"]
    figures = (
        (found["mcmrr"], ".1f", 1),
        (recall["recall_at_1"], ".1f", 100),
        (recall["recall_at_10"], ".1f", 100),
        (one["ef"]["mae"], ".1f", 1),
        (one["ef"]["r"], ".2f", 1),
        (one["pacemaker_lead"], ".3f", 1),
        (one["pericardial_effusion"], ".3f", 1),
    )
    if chance:
        return [format(scale * figure["chance"], form) for figure, form, scale in figures]
    cells = []
    for figure, form, scale in figures:
        value, low, high = (format(scale * figure[name], form) for name in ("value", "low", "high"))
        cells.append(f"{value}\n{low} to {high}")
    return cells
