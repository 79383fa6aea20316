"""Plots: each has axes, units, n and an interval, and two colours for two archives."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from echoclip_r.evaluation.files import write_evaluation
from echoclip_r.evaluation.outcomes import Evaluation, Outcome
from echoclip_r.evaluation.plots import pairs as plot_pairs
from echoclip_r.evaluation.plots import zero_shot as plot_zero_shot
from echoclip_r.evaluation.plots.draw import Plot, draw_plots
from echoclip_r.evaluation.plots.style import BLUE, ORANGE, RC
from echoclip_r.evaluation.tasks import read_tasks

TASKS = read_tasks("phantom")
INTERVAL = re.compile(r"-?[0-9.]+ \(-?[0-9.]+ to -?[0-9.]+\)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plots")


@pytest.fixture(scope="module")
def plots(evaluation: Evaluation, folder: Path) -> list[Plot]:
    """Those of one model, and of one family of findings: all would take half a minute."""
    few = [
        one
        for one in evaluation.outcomes
        if one.model == "bad model" and one.family in ("", "Devices")
    ]
    return draw_plots(replace(evaluation, outcomes=tuple(few)), TASKS, folder)


def of(evaluation: Evaluation, section: str, task: str = "") -> list[Outcome]:
    return [
        one
        for one in evaluation.outcomes
        if one.section == section
        and one.model == "good <model>"
        and (not task or task in (one.task, one.family))
    ]


def drawn(draw: Callable[..., None], *arguments: Any, **options: Any) -> tuple[Axes, str]:
    """The axes, and all text in and around them."""
    figure = Figure(layout="constrained")
    ax = figure.add_subplot()
    draw(ax, *arguments, **options)
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    texts += [text.get_text() for text in ax.texts]
    return ax, "\n".join([ax.get_xlabel(), ax.get_ylabel(), *texts])


def test_each_plot_is_a_png_and_a_valid_svg(plots: list[Plot], folder: Path) -> None:
    """Two files of each, and nothing of the machine or the time in them."""
    assert len({plot.name for plot in plots}) == len(plots) > 10
    for plot in plots:
        with Image.open(folder / f"{plot.name}.png") as image:
            assert image.width == 672  # all alike, so that letters are of one size
        assert ET.fromstring(plot.svg).tag.endswith("svg")
        assert (folder / f"{plot.name}.svg").read_text() == plot.svg
        assert "<dc:date>" not in plot.svg


def test_every_section_of_the_paper_has_a_picture(plots: list[Plot]) -> None:
    """Scatter, Bland-Altman, ROC by family, calibration, ranks, agreement, pairs, timelines."""
    sections = {plot.section for plot in plots}
    assert sections == {
        "regression", "binary", "retrieval", "agreement", "identification", "change",
    }  # fmt: skip
    names = " ".join(plot.name for plot in plots)
    for part in ("scatter", "bland-altman", "roc-Devices", "calibration", "video-to-report"):
        assert part in names


def test_any_name_of_a_model_has_pictures_of_its_own(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    """Formulas and emoji are text; names that are alike but for signs or case share no file."""
    names = ["a b", "A-b", "\U0001f600", "\U0001fac0", r"$\fo$ x_$y$"]
    base = of(evaluation, "regression", "ejection_fraction")[:1]
    base += of(evaluation, "retrieval")[:1]
    outcomes = [replace(one, model=name) for name in names for one in base]
    plots = draw_plots(replace(evaluation, outcomes=tuple(outcomes)), TASKS, tmp_path)
    files = [path.name.casefold() for path in tmp_path.iterdir()]
    assert len(set(files)) == len(files) == 2 * len(plots)
    for name in names:
        (scatter,) = (plot for plot in plots if plot.title == name)
        assert name in [
            element.text for element in ET.fromstring(scatter.svg).iter() if element.text
        ]
    ranks = next(plot for plot in plots if plot.section == "retrieval")
    assert "mathdefault" not in ranks.svg


def test_models_of_like_names_have_predictions_of_their_own(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    """A table each, and no column twice in one."""
    base = of(evaluation, "regression", "ejection_fraction")[:1]
    outcomes = [replace(one, model=name) for name in ("a b", "a-b", "A b") for one in base]
    few = replace(evaluation, outcomes=tuple(outcomes), comparisons=())
    facts = {
        **few.facts,
        "models": {one.model: few.facts["models"]["bad model"] for one in outcomes},
    }
    write_evaluation(replace(few, facts=facts), TASKS, tmp_path)
    tables = [pd.read_csv(path) for path in (tmp_path / "predictions").iterdir()]
    assert len(tables) == 3
    assert all(len(table) == len(base[0].items) for table in tables)
    assert len({tuple(table.columns) for table in tables}) == 1


def test_a_pool_of_one_is_drawn_without_a_warning(evaluation: Evaluation) -> None:
    """The axis has a width, though there is one candidate alone."""
    (one, *_) = of(evaluation, "retrieval")
    alone = replace(one, about={**one.about, "num_reports": 1})
    with mpl.rc_context(RC):
        ax, _ = drawn(plot_pairs.draw_rank_curve, [alone], "video_to_report")
    low, high = ax.get_xlim()
    assert low < high


@pytest.mark.parametrize("num_reports", [3, 8, 40])
def test_few_candidates_have_plain_ticks(evaluation: Evaluation, num_reports: int) -> None:
    """Where the axis is short, its small ticks are named, and no formula is seen."""
    (one, *_) = of(evaluation, "retrieval")
    few = replace(one, about={**one.about, "num_reports": num_reports})
    with mpl.rc_context(RC):
        ax, _ = drawn(plot_pairs.draw_rank_curve, [few], "video_to_report")
        ax.get_figure().draw_without_rendering()
        ticks = ax.get_xticklabels(minor=True)
        small = [one.get_text() for one in ticks if 1 <= one.get_position()[0] <= num_reports]
    assert "1" in [tick.get_text() for tick in ax.get_xticklabels()]
    assert all(re.fullmatch(r"\d*", label) for label in small)
    assert any(small) == (num_reports < 10)


def test_scatter_shows_identity_human_range_and_two_colours(evaluation: Evaluation) -> None:
    """Internal and external points, the diagonal, and how far people are apart for EF."""
    ax, text = drawn(plot_zero_shot.draw_scatter, of(evaluation, "regression", "ejection_fraction"))
    assert "true value (%)" in text
    assert "predicted (%)" in text
    assert "people differ by 7 to 10 %" in text
    assert "identity" in text
    assert text.count("n = ") == 2
    assert len(INTERVAL.findall(text)) == 2
    colours = [to_hex(points.get_facecolor()[0]).upper() for points in ax.collections[2:]]
    assert colours == [BLUE, ORANGE]
    assert ax.get_xlim() == ax.get_ylim()
    pressure = of(evaluation, "regression", "pulmonary_artery_pressure")
    assert "people differ" not in drawn(plot_zero_shot.draw_scatter, pressure)[1]


def test_bland_altman_draws_bias_and_limits(evaluation: Evaluation) -> None:
    """The lines are where the figures are."""
    (outcome, *_) = of(evaluation, "regression", "ejection_fraction")
    ax, text = drawn(plot_zero_shot.draw_bland_altman, [outcome])
    heights = {round(float(np.asarray(line.get_ydata())[0]), 6) for line in ax.lines}
    figures = outcome.scores.figures
    for name in ("bias", "limit_low", "limit_high"):
        assert round(figures[name].value, 6) in heights
    assert "predicted - true (%)" in text
    assert INTERVAL.search(text)


def test_roc_curve_has_the_area_that_it_says(evaluation: Evaluation) -> None:
    """The drawn corners enclose the AUC, ties included."""
    (outcome, *_) = of(evaluation, "binary", "pacemaker_lead")
    ax, text = drawn(plot_zero_shot.draw_roc, [outcome])
    curve = max(ax.lines, key=lambda line: len(np.asarray(line.get_xdata())))
    x, y = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    assert np.trapezoid(y, x) == pytest.approx(outcome.scores.figures["auc"].value)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert f"({outcome.about['num_positive']} of {outcome.scores.num_items})" in text
    assert "chance, AUC 0.50" in text
    assert INTERVAL.search(text)


def test_calibration_groups_are_means_and_shares(evaluation: Evaluation) -> None:
    """Weighted by their size, the groups give prevalence and mean probability back."""
    (outcome, *_) = of(evaluation, "binary", "pericardial_effusion")
    ax, text = drawn(plot_zero_shot.draw_calibration, [outcome])
    line = next(line for line in ax.lines if len(np.asarray(line.get_xdata())) == 5)
    sizes = [len(part) for part in np.array_split(np.arange(len(outcome.items)), 5)]
    for column, data in (("probability", line.get_xdata()), ("truth", line.get_ydata())):
        mean = np.average(np.asarray(data), weights=sizes)
        assert mean == pytest.approx(outcome.items[column].mean())
    assert "Brier" in text


def test_forest_has_a_row_a_task(evaluation: Evaluation) -> None:
    """Titles, AUC and contrast with their intervals, and the line of chance."""
    outcomes = of(evaluation, "binary", "Devices")
    titles = dict.fromkeys(one.title for one in outcomes)
    groups = [(title, [one for one in outcomes if one.title == title]) for title in titles]
    _, text = drawn(plot_zero_shot.draw_forest, groups)
    assert all(title in text for title, _ in groups)
    assert "AUC, with 95 % interval" in text
    assert "chance" in text
    assert "contrast score" in text


def test_rank_curve_passes_through_recall(evaluation: Evaluation) -> None:
    """At ten candidates the curve has the height of R@10."""
    outcomes = [one for one in evaluation.outcomes if one.section == "retrieval"]
    bad = next(one for one in outcomes if one.model == "bad model" and one.dataset == "internal")
    for way in ("video_to_report", "report_to_video"):
        ax, text = drawn(plot_pairs.draw_rank_curve, [bad], way)
        x, y = (np.asarray(data) for data in ax.lines[0].get_data())
        height = y[np.searchsorted(x, 10, side="right") - 1]
        assert height == pytest.approx(bad.scores.figures[f"recall_at_10:{way}"].value)
        assert "candidates" in text
        assert "queries" in text
        assert "chance" in text


def test_agreement_identification_and_change_say_n_and_interval(evaluation: Evaluation) -> None:
    """Families and chance; three kinds of pairs; before, after and no event."""
    (agreed, *_) = of(evaluation, "agreement")
    _, text = drawn(plot_pairs.draw_agreement, agreed, TASKS.findings)
    assert "Valves" in text
    assert "Ejection fraction within 5" in text
    assert "a random report" in text
    assert f"n = {agreed.scores.num_items}" in text
    (pairs, *_) = of(evaluation, "identification")
    _, text = drawn(plot_pairs.draw_identification, pairs)
    assert all(kind in text for kind in ("same study", "same patient", "different patients"))
    assert text.count("n = ") == 3
    assert len(INTERVAL.findall(text)) == 4
    (surgery, *_) = of(evaluation, "change", "mitral_surgery")
    _, text = drawn(plot_pairs.draw_change, surgery)
    assert "after the event, n = " in text
    assert "years since the event" in text
    assert INTERVAL.search(text)


def test_a_model_whose_name_begins_with_an_underscore_has_its_entry(evaluation: Evaluation) -> None:
    """Matplotlib drops such an entry by itself."""
    ranks, *_ = of(evaluation, "retrieval")
    roc = next(one for one in evaluation.outcomes if "auc" in one.scores.figures)
    _, text = drawn(plot_pairs.draw_rank_curve, [replace(ranks, model="_old")], "video_to_report")
    assert "_old\nR@10" in text
    groups = [("title", [replace(roc, model="_old")])]
    assert "_old" in drawn(plot_zero_shot.draw_forest, groups)[1]
