"""All plots of an evaluation, each of which is a small picture, as PNG and as SVG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from echoclip_r.evaluation.outcomes import Evaluation, Outcome, file_names
from echoclip_r.evaluation.plots.pairs import (
    draw_agreement,
    draw_change,
    draw_identification,
    draw_rank_curve,
)
from echoclip_r.evaluation.plots.style import MAX_POINTS, RC
from echoclip_r.evaluation.plots.zero_shot import (
    draw_bland_altman,
    draw_calibration,
    draw_forest,
    draw_roc,
    draw_scatter,
)
from echoclip_r.evaluation.tasks import Tasks

__all__ = ["Plot", "draw_plots"]

_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
# Wide enough for a phone, at which its smallest letters can still be read.
_WIDTH_IN = 4.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A picture.

    Attributes:
        section: part of the report that the picture belongs to.
        group: title of the task that it shows, or of the family, if it shows several.
        name: name of its PNG and SVG files, without the ending.
        title: heading inside the picture.
        caption: a sentence that says what the picture shows.
        svg: the picture itself, as SVG.
    """

    section: str
    group: str
    name: str
    title: str
    caption: str
    svg: str


Draw = Callable[[Axes], None]
# section, group, name, title, caption, height in inches, how it is drawn
_Job = tuple[str, str, str, str, str, float, Draw]


def draw_plots(evaluation: Evaluation, tasks: Tasks, folder: Path) -> list[Plot]:
    """Draw everything, and write PNG and SVG files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [*_zero_shot(evaluation, tasks), *_pairs(evaluation, tasks)]
    files = file_names(name for _, _, name, *_ in jobs)
    with warnings.catch_warnings():
        # What the font lacks, such as an emoji in a model's name, is a box in the PNG alone.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        return [_draw(job, files[job[2]], folder) for job in jobs]


def _draw(job: _Job, name: str, folder: Path) -> Plot:
    section, group, _, title, caption, height_in, draw = job
    with mpl.rc_context(RC):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        FigureCanvasAgg(figure)
        ax = figure.add_subplot()
        draw(ax)
        ax.set_title(title)
        # Once is enough for both files.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        figure.savefig(folder / f"{name}.png", metadata={"Software": None}, dpi=160)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    svg = buffer.getvalue()
    (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    return Plot(section=section, group=group, name=name, title=title, caption=caption, svg=svg)


def _models(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, list[Outcome]]]:
    """Outcomes by model, in order."""
    for model in dict.fromkeys(one.model for one in outcomes):
        yield model, [one for one in outcomes if one.model == model]


def _zero_shot(evaluation: Evaluation, tasks: Tasks) -> Iterator[_Job]:
    of = [one for one in evaluation.outcomes if one.section == "regression"]
    for task in tasks.regressions:
        by_model = list(_models([one for one in of if one.task == task.name]))
        for model, outcomes in by_model:
            yield (
                "regression",
                task.title,
                f"{task.name}-scatter-{model}",
                model,
                "Predicted against true values." + _thinned(outcomes),
                3.9,
                partial(draw_scatter, outcomes=outcomes),
            )
        for model, outcomes in by_model:
            yield (
                "regression",
                task.title,
                f"{task.name}-bland-altman-{model}",
                f"{model}: Bland-Altman",
                "Solid lines are the bias, dashed ones the limits of agreement."
                + _thinned(outcomes),
                3.2,
                partial(draw_bland_altman, outcomes=outcomes),
            )
    of = [one for one in evaluation.outcomes if one.section == "binary"]
    for family in dict.fromkeys(one.family for one in of):
        members = [one for one in of if one.family == family]
        groups = [
            (title, [one for one in members if one.title == title])
            for title in dict.fromkeys(one.title for one in members)
        ]
        for title, outcomes in groups:
            name = f"{family}-{outcomes[0].task}"
            yield (
                "binary",
                title,
                f"roc-{name}",
                "ROC curves",
                "In brackets the number of positive items of all items.",
                3.6,
                partial(draw_roc, outcomes=outcomes),
            )
            fitted = [
                one for one in outcomes if "probability" in one.items and one.dataset == "internal"
            ]
            if fitted:
                yield (
                    "binary",
                    title,
                    f"calibration-{name}",
                    "Calibration",
                    "Probabilities of a logistic curve that was fitted on the validation split; "
                    "groups of equal size with 95 % intervals.",
                    3.6,
                    partial(draw_calibration, outcomes=fitted),
                )
        num_names = len({(one.model, one.dataset) for one in members})
        yield (
            "binary",
            family,
            f"auc-{family}",
            family,
            "Area under the ROC curve with its 95 % interval.",
            0.7 + (0.32 + 0.16 * num_names) * len(groups),
            partial(draw_forest, groups=groups),
        )


def _pairs(evaluation: Evaluation, tasks: Tasks) -> Iterator[_Job]:
    by_section = {
        section: [one for one in evaluation.outcomes if one.section == section]
        for section in ("retrieval", "agreement", "identification", "change")
    }
    for dataset in dict.fromkeys(one.dataset for one in by_section["retrieval"]):
        outcomes = [one for one in by_section["retrieval"] if one.dataset == dataset]
        for way, title in (
            ("video_to_report", "From video to report"),
            ("report_to_video", "From report to video"),
        ):
            yield (
                "retrieval",
                outcomes[0].title,
                f"retrieval-{dataset}-{way}",
                title if dataset == "internal" else f"{title}, {dataset}",
                "Share of queries whose right answer is among the first k.",
                3.2,
                partial(draw_rank_curve, outcomes=outcomes, way=way),
            )
    for one in by_section["agreement"]:
        yield (
            "agreement",
            one.title,
            f"agreement-{one.dataset}-{one.model}",
            f"{one.model}{_where(one)}",
            "How well the findings of the report that is found agree with those of the true one.",
            5.2,
            partial(draw_agreement, outcome=one, findings=tasks.findings),
        )
    for one in by_section["identification"]:
        yield (
            "identification",
            one.title,
            f"identification-{one.dataset}-{one.model}",
            f"{one.model}{_where(one)}",
            f"Pairs of one study are {one.about['same_study']}.",
            2.9,
            partial(draw_identification, outcome=one),
        )
    for one in by_section["change"]:
        yield (
            "change",
            one.title,
            f"change-{one.task}-{one.dataset}-{one.model}",
            f"{one.model}{_where(one)}",
            "Each study against the patient's earliest; horizontal lines are means."
            + _thinned([one]),
            3.2,
            partial(draw_change, outcome=one),
        )


def _thinned(outcomes: Sequence[Outcome]) -> str:
    """Say so where a cloud of points is not all that there are."""
    if all(len(one.items) <= MAX_POINTS for one in outcomes):
        return ""
    return f" At most {MAX_POINTS:,} points of a kind are drawn, taken at random."


def _where(outcome: Outcome) -> str:
    return "" if outcome.dataset == "internal" else ", external"
