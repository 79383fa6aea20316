"""The pictures of `make demo`: curves, a retrieval sheet, and one page that holds everything."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing
from phantom_steps import Judged, loss_curve, validation_curve
from PIL import Image

from echoclip_r.chance import chance_recall
from echoclip_r.retrieval import Answer, Item, find_reports, read_pictures, read_video
from echoclip_r.retrieval_page import data_uri, to_page

__all__ = ["draw_curves", "example_answers", "figures_html", "film_answer", "write_page"]

# Told apart by line style as well as by colour.
_STYLES = (("#2a66b1", "-"), ("#c2570c", "--"), ("#1a7f37", "-."), ("#6b4fa0", ":"))


def draw_curves(judged: Mapping[str, Judged], runs: Mapping[str, Path]) -> Drawing:
    """Loss, validation MCMRR and rank curves, a line a model."""
    drawing = Drawing(figsize=(15, 4.6), layout="constrained")
    loss, ranks, found = drawing.subplots(1, 3)
    lines = 0
    for (name, one), (colour, style) in zip(judged.items(), _STYLES, strict=False):
        steps, values = loss_curve(runs[name])
        loss.plot(steps, values, color=colour, linestyle=style, label=name)
        steps, values = validation_curve(runs[name])
        ranks.plot(steps, values, color=colour, linestyle=style, marker=".", label=name)
        for how, result in one.found.items():
            colour, style = _STYLES[lines]
            lines += 1
            both = np.sort(
                np.concatenate([result.video_to_report.ranks, result.report_to_video.ranks])
            )
            share = np.arange(1, len(both) + 1) / len(both)
            label = f"{name}: {how}, MCMRR {result.mcmrr.value:.1f}"
            found.step(both, share, where="post", color=colour, linestyle=style, label=label)
    pool = one.figures["num_studies"]
    at = np.unique(np.geomspace(1, pool, 60).round().astype(int))
    right = np.ones(1, np.int64)
    found.plot(
        at, [chance_recall(right, pool, int(k)) for k in at], color="#8a939c", label="by chance"
    )
    loss.set(title="Training loss", xlabel="step", ylabel="contrastive loss")
    ranks.set(title="Validation, mean of both mean ranks", xlabel="step", ylabel="MCMRR")
    ranks.set_yscale("log")
    found.set(
        title=f"{pool} held-out phantom studies, both ways",
        xlabel="rank of the right answer",
        ylabel="share of queries that reach it",
        xscale="log",
        xlim=(1, pool),
        ylim=(0, 1),
    )
    for axes in (loss, ranks, found):
        axes.grid(color="#e3e7eb")
        axes.spines[["top", "right"]].set_visible(False)
    loss.legend()
    found.legend(loc="upper left", fontsize=8)
    drawing.text(
        1, 0, "Simulated data: no clinical evidence. ", ha="right", va="bottom", fontsize=8
    )
    return drawing


def example_answers(judged: Judged, shards: Path) -> list[Answer]:
    """What was found for three held-out clips, chosen by rank alone: a good, a middling, a bad."""
    result = next(iter(judged.found.values()))
    order = np.argsort(result.video_to_report.ranks, kind="stable")
    rows, _ = judged.embedded.studies()
    answers = []
    for share, what in ((0.25, "better than"), (0.5, "in the middle of"), (0.9, "worse than")):
        place = int(order[int(share * (len(order) - 1))])
        row = rows.iloc[place]
        part = f"{what} {max(share, 1 - share):.0%}" if share != 0.5 else f"{what}"
        frames = read_pictures(shards, [row["key"]])[row["key"]]
        query = Item(
            name=f"{row['study_id']}: {part} the {len(order)} studies",
            report=row["report"],
            frames=frames,
        )
        answers.append(
            find_reports(
                judged.model,
                query,
                list(zip(rows["study_id"][: len(order)], judged.reports, strict=True)),
                k=3,
                embeddings=judged.report_embeddings,
                query_embedding=judged.studies[place],
            )
        )
    return answers


def film_answer(judged: Judged, video: Path, name: str) -> Answer:
    """The phantom reports that fit a real clip best."""
    frames = read_video(video, size_px=judged.model.image_size_px)
    rows, _ = judged.embedded.studies()
    names = rows["study_id"][: len(judged.reports)]
    return find_reports(
        judged.model,
        Item(name=name, frames=frames),
        list(zip(names, judged.reports, strict=True)),
        k=3,
        embeddings=judged.report_embeddings,
    )


def figures_html(
    header: Sequence[str], rows: Sequence[Sequence[str]], curves: Path, notes: Sequence[str]
) -> str:
    """The table and the curves as HTML."""
    cells = [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    with Image.open(curves) as image:
        picture = data_uri(image.convert("RGB"))
        width, height = image.size
    said = "".join(f'<p class="soft">{html.escape(note)}</p>' for note in notes)
    return (
        f'<section><h2>Held-out studies</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(cells)}</tbody></table></div>{said}"
        f'<figure><img src="{picture}" width="{width}" height="{height}" '
        'alt="Loss, validation rank and rank curves"></figure></section>'
    )


def write_page(
    path: Path, answers: Sequence[Answer], judged: Judged, *, before: str, about: str
) -> None:
    """One self-contained page: the table, the curves, the answers."""
    page = to_page(
        answers,
        title="EchoCLIP and EchoCLIP-R on phantoms",
        about=about,
        tokenizer=judged.model.text.tokenizer,
        before=before,
    )
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
    rows.append(["chance, or always the median", *_cells(first, found, key="chance")])
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


def _cells(one: Mapping[str, Any], found: Mapping[str, Any], key: str = "value") -> list[str]:
    def both(name: str) -> float:
        return float(np.mean([found[way][name][key] for way in _WAYS]))

    return [
        f"{found['mcmrr'][key]:.1f}",
        f"{100 * both('recall_at_1'):.1f}",
        f"{100 * both('recall_at_10'):.1f}",
        f"{one['ef']['mae'][key]:.1f}",
        f"{one['ef']['r'][key]:.2f}",
        f"{one['pacemaker_lead'][key]:.3f}",
        f"{one['pericardial_effusion'][key]:.3f}",
    ]


_WAYS = ("video_to_report", "report_to_video")
