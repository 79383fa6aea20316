"""The page: self-contained, well formed, safe, and plain about what is weak."""

from __future__ import annotations

import io
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure as Figure_

from echoclip_r.evaluation.figures import FIGURES, SECTIONS
from echoclip_r.evaluation.outcomes import Evaluation, Outcome, Section, Skipped
from echoclip_r.evaluation.plots.draw import Plot, draw_plots
from echoclip_r.evaluation.plots.inline import inline_svg
from echoclip_r.evaluation.plots.style import RC
from echoclip_r.evaluation.report.glance import Scale, make_rows, scale_of
from echoclip_r.evaluation.report.page import render_report
from echoclip_r.evaluation.report.terminal import show
from echoclip_r.evaluation.runner import compare
from echoclip_r.evaluation.tasks import read_tasks
from echoclip_r.evaluation.verdicts import verdict
from echoclip_r.metrics.bootstrap import Figure

SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'
PLOT = Plot(section="retrieval", group="G", name="n", title="<T>", caption="C & D", svg=SVG)
VOID = {"meta", "link", "br", "img"}


class Checker(HTMLParser):
    """Sees that tags are closed in order; keeps text, ids, links and cells without a label."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.unlabelled = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td" and not found.get("data-label"):
            self.unlabelled += 1
        if found.get("id"):
            self.ids.add(str(found["id"]))
        if tag == "img":
            assert found["alt"]
        self.links += [str(found[name]) for name in ("href", "src") if found.get(name)]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def page(evaluation: Evaluation) -> tuple[str, Checker]:
    missed = Skipped(
        section="binary", task="x", title="A <task>", dataset="internal", reason="no <label>"
    )
    html = render_report(replace(evaluation, skipped=(*evaluation.skipped, missed)), [PLOT])
    checker = Checker()
    checker.feed(html)
    return html, checker


def test_page_is_well_formed_and_self_contained(page: tuple[str, Checker]) -> None:
    """Every tag is closed; nothing is loaded from anywhere; no script; links lead somewhere."""
    html, checker = page
    assert checker.open == []
    for link in checker.links:
        assert link.startswith(("#", "data:"))
    assert {link[1:] for link in checker.links if link.startswith("#")} <= checker.ids
    assert "<script" not in html
    assert 'name="viewport"' in html
    assert "@media print" in html


def test_names_are_escaped(page: tuple[str, Checker]) -> None:
    """A model called <model> is shown and not obeyed."""
    html, checker = page
    text = "".join(checker.text)
    for name in ("good <model>", "Made-up <models>", "A <task>", "no <label>", "Simulated & small"):
        assert name in text
    assert "<model" not in html


def test_a_script_is_text_wherever_it_stands(evaluation: Evaluation) -> None:
    """In the title, the note, names of models, tasks, data and files, reasons and captions."""
    script = "<script>alert(1)</script>"
    facts = {
        **evaluation.facts,
        "title": f"title {script}",
        "note": f"note {script}",
        "split": f"split {script}",
        "tasks": [f"file {script}"],
        "models": {
            f"{name} {script}": {"checkpoint": f"path {script}", "fingerprint": "0" * 64}
            for name in evaluation.facts["models"]
        },
    }
    outcomes = tuple(
        replace(
            one,
            model=f"{one.model} {script}",
            title=f"task {script}",
            family=one.family and f"family {script}",
            about={**one.about, "labels": f"label column '{script}'"},
        )
        for one in evaluation.outcomes
    )
    missed = Skipped(
        section="binary", task="x", title=f"t {script}", dataset="internal", reason=f"r {script}"
    )
    plot = replace(PLOT, group=f"group {script}", title=script, caption=f"caption {script}")
    made = replace(evaluation, facts=facts, outcomes=outcomes, skipped=(missed,))
    html = render_report(made, [plot])
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert "<script" not in html.lower()
    text = "".join(checker.text)
    for what in ("title", "note", "split", "file", "path", "task", "family", "t", "r", "caption"):
        assert f"{what} {script}" in text


def test_every_outcome_is_there_with_interval_chance_and_n(
    page: tuple[str, Checker], evaluation: Evaluation
) -> None:
    """At a glance and in detail."""
    text = " ".join(page[1].text)
    for one in evaluation.outcomes:
        assert one.title in text
    assert "always the median" in page[0]
    assert re.search(r"0\.\d\d +\(0\.\d\d to 0\.\d\d\)", text)
    assert "no better than chance" in text
    assert page[1].unlabelled == 0, "a phone shows the label in place of the column's head"


def test_few_patients_are_too_few_for_an_error_too(evaluation: Evaluation) -> None:
    """One patient gives an interval of no width, and no verdict on a measurement."""
    one = outcome(evaluation, "regression")
    gain = Figure(value=-0.5, low=-0.5, high=-0.5, chance=0.0)
    scores = replace(one.scores, num_items=1, figures={**one.scores.figures, "gain": gain})
    found = verdict(replace(one, scores=scores), "mae")
    assert found is not None
    assert found.text == "too few to tell: 1"


def test_the_terminal_gives_a_reason_once_for_all_its_tasks(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tasks that were not run for the same reason share a line."""
    names = [("A", "no label"), ("B", "one class"), ("C", "no label")]
    skipped = tuple(
        Skipped(section="binary", task=task, title=task, dataset="internal", reason=reason)
        for task, reason in names
    )
    show(replace(evaluation, skipped=skipped))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Not run")] == [
        "Not run (internal), since no label: A, C",
        "Not run (internal), since one class: B",
    ]


def test_a_terminal_gets_a_table_of_the_same(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row a task and figure with n and guess, a column a model, then the paired difference."""
    show(evaluation)
    lines = capsys.readouterr().out.splitlines()
    assert re.split(r"  +", lines[0].strip()) == [
        "Task", "Figure", "good <model>", "bad model", "bad model minus good <model>",
    ]  # fmt: skip
    number = "\u2212?\\d+\\.\\d+"
    found = rf"{number} \({number} to {number}\)"
    lead = next(line for line in lines if line.startswith("Pacemaker lead  "))
    assert re.search(rf"AUC +{found} +{found} +{found}", lead)
    below = lines[lines.index(lead) + 1]
    assert re.match(r"n = \d+ of \d+ +chance 0\.50 ", below)
    assert re.search(r"good <model> is better|bad model is better|no clear difference", below)
    assert any(line.startswith("Pacemaker lead (external)") for line in lines)
    assert all(any(one.title in line for line in lines) for one in evaluation.outcomes)
    assert "always the median" in "\n".join(lines)


def test_one_model_has_a_table_without_differences(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a page without a column for them."""
    facts = {**evaluation.facts, "models": {"bad model": evaluation.facts["models"]["bad model"]}}
    few = tuple(one for one in evaluation.outcomes if one.model == "bad model")
    alone = replace(evaluation, outcomes=few, comparisons=(), facts=facts)
    show(alone)
    assert "minus" not in capsys.readouterr().out
    html = render_report(alone, [])
    assert 'class="diffs"' not in html
    assert 'class="single"' in html


LONG = "vit_b_32_frames_of_ten_laboratories_learning_rate_0.0003_seed_12345_2026"


def named(evaluation: Evaluation, names: list[str]) -> Evaluation:
    """The same with other models, which take turns at the figures of the two."""
    models = list(evaluation.facts["models"])
    outcomes = [
        replace(one, model=name)
        for number, name in enumerate(names)
        for one in evaluation.outcomes
        if one.model == models[number % 2]
    ]
    told = {name: {"checkpoint": name, "fingerprint": "0" * 64} for name in names}
    return replace(
        evaluation,
        outcomes=tuple(outcomes),
        comparisons=tuple(compare(outcomes)),
        facts={**evaluation.facts, "models": told},
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_no_name_is_wider_than_the_page(
    evaluation: Evaluation, browse: Callable[..., Any], tmp_path: Path, width: int, scheme: str
) -> None:
    """Five models with long names, all rows open: a wide table moves by itself."""
    made = named(evaluation, ["a", LONG, LONG + "_2", "\U0001f600 " + LONG, "b"])
    path = tmp_path / "report.html"
    path.write_text(render_report(made, []), encoding="utf-8")
    page = browse(path, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    legend = page.locator(".legend").bounding_box()
    for entry in page.locator(".legend > span").all():
        inside = entry.bounding_box()
        assert inside["x"] + inside["width"] <= legend["x"] + legend["width"]


def test_paper_is_no_phone(
    evaluation: Evaluation, browse: Callable[..., Any], tmp_path: Path
) -> None:
    """A sheet of A4 is narrow, and still has figures beside their bars and tables with columns."""
    path = tmp_path / "report.html"
    reason = "no label column 'annuloplasty_ring', and no report has a phrase of 'mitral_ring'"
    left = Skipped(section="binary", task="r", title=LONG, dataset="internal", reason=reason)
    shown = replace(named(evaluation, ["a", LONG, "b"]), skipped=(left,))
    path.write_text(render_report(shown, []), encoding="utf-8")
    page = browse(path, viewport={"width": 680, "height": 1000}, color_scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    strip, value = (
        page.locator(f".task .lane {what}").first.bounding_box() for what in (".strip", ".value")
    )
    assert value["x"] >= strip["x"] + strip["width"]
    assert abs(value["y"] + value["height"] / 2 - strip["y"] - strip["height"] / 2) < 6
    assert page.evaluate("getComputedStyle(document.querySelector('.figures td')).display") == (
        "table-cell"
    )
    heights = page.evaluate(
        "[...document.querySelectorAll('#skipped td:nth-of-type(1)')].map((cell) => {"
        " const all = document.createRange(); all.selectNodeContents(cell);"
        " return new Set([...all.getClientRects()].map((one) => one.top)).size; })"
    )
    assert heights
    assert set(heights) == {1}, "the name of the data is not broken within a word"


class Strips(HTMLParser):
    """The rows of the page: title, number of lanes, and the places that are drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, dict[str, str]]]] = []
        self.is_inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "summary":
            self.is_inside = found.get("class") == "row"
            if self.is_inside:
                self.rows.append([])
        if self.is_inside:
            self.rows[-1].append((tag, found))

    def handle_endtag(self, tag: str) -> None:
        if tag == "summary":
            self.is_inside = False


def percent(text: str) -> float:
    assert text.endswith("%")
    return float(text[:-1])


def test_each_task_is_one_row_with_a_dot_and_a_bar_for_each_model(
    page: tuple[str, Checker], evaluation: Evaluation
) -> None:
    """On a common scale: a larger figure is drawn further right, inside of its own interval."""
    html, _ = page
    strips = Strips()
    strips.feed(html)
    tasks = list(dict.fromkeys((one.section, one.task) for one in evaluation.outcomes))
    assert len(strips.rows) == len(tasks)
    for (_, task), row in zip(sorted(tasks, key=order), strips.rows, strict=True):
        lanes = [found["title"] for _, found in row if "lane" in found.get("class", "").split()]
        group = [one for one in evaluation.outcomes if one.task == task]
        for one in group:
            where = "" if one.dataset == "internal" else " (external)"
            for figure in SECTIONS[one.section].main:
                if figure in one.scores.figures:
                    assert f"{one.model}{where}: {FIGURES[figure].label}" in lanes
        for one in evaluation.comparisons:
            if one.task == task and one.figure in SECTIONS[group[0].section].main:
                where = "" if one.dataset == "internal" else f" ({one.dataset})"
                label = FIGURES[one.figure].label
                assert f"bad model minus good <model>{where}: {label}" in lanes
        ranges = [found for _, found in row if found.get("class") == "range"]
        dots = [found for tag, found in row if tag == "use" and found["x"] != "50%"]
        for bar in ranges:
            assert 0 <= percent(bar["x1"]) <= percent(bar["x2"]) <= 100
        assert dots
    rows = make_rows(evaluation, auc_outcomes(evaluation), scale_of(auc_outcomes(evaluation)))
    drawn = {lane.name: lane for row in rows for lane in row.lanes if row.task == "pacemaker_lead"}
    good, bad = drawn["good <model>: AUC"], drawn["bad model: AUC"]
    assert good.at is not None and bad.at is not None and good.low is not None
    assert bad.at < good.at
    assert good.low <= good.at


def order(key: tuple[str, str]) -> int:
    return list(SECTIONS).index(key[0])


def auc_outcomes(evaluation: Evaluation) -> list[Outcome]:
    return [one for one in evaluation.outcomes if one.section == "binary"]


def test_differences_are_those_of_the_same_draws(evaluation: Evaluation) -> None:
    """The interval is that of the difference draw by draw, not of two intervals."""
    pair = [
        next(one for one in evaluation.outcomes if (one.task, one.model) == ("tavr", model))
        for model in evaluation.facts["models"]
    ]
    found = next(
        one
        for one in evaluation.comparisons
        if (one.task, one.dataset, one.figure) == ("tavr", "internal", "auc")
    )
    by_draw = pair[1].scores.draws["auc"] - pair[0].scores.draws["auc"]
    low, high = np.quantile(by_draw[~np.isnan(by_draw)], [0.025, 0.975])
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high))


def test_a_scale_has_round_ticks_and_keeps_the_order() -> None:
    """Linear and logarithmic; what lies beyond an end lies on it."""
    for scale in (Scale(low=0.3, high=1), Scale(low=1, high=250, is_log=True)):
        places = [scale.place(value) for value in (-5, 0.4, 0.9, 30, 1e9)]
        assert places == sorted(places)
        assert (places[0], places[-1]) == (0, 100)
        assert 2 <= len(scale.ticks) <= 7
        assert all(0 <= place <= 100 for place, _ in scale.ticks)
    assert Scale(low=1, high=100, is_log=True).place(10) == 50


def test_pictures_follow_the_colours_of_the_page() -> None:
    """A drawing has no colour, size, font or address of its own, and its ids are its own."""
    figure = Figure_(figsize=(3, 2))
    ax = figure.add_subplot()
    ax.scatter([1, 2, 3], [1.23456789, 2, 3], color="#0072B2", alpha=0.5)
    ax.plot([1, 3], [1, 3], color="black")
    ax.set_xlabel("a < b & c")
    buffer = io.StringIO()
    with matplotlib.rc_context(RC):
        figure.savefig(buffer, format="svg")
    first, second = (
        inline_svg(buffer.getvalue(), name=name, label='x " < y') for name in ("p1", "p2")
    )
    assert "http" not in first
    assert not re.search(r"#[0-9a-f]{6}\b", first, re.IGNORECASE)
    for part in ("var(--series-0)", "currentColor", "viewBox", "a &lt; b &amp; c", "&#34; &lt; y"):
        assert part in first
    assert not re.search(r"\.\d{3}", first)
    assert "font-family" not in first
    ids = [set(re.findall(r'id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r"[\"(]#([\w-]+)", first)) <= ids[0]


def test_what_is_written_in_a_picture_stays_as_it_was() -> None:
    """Digits, colours and attributes that a label only speaks of are no part of the drawing."""
    label = "model-v1.23456, Brier 0.123, #000000, xlink:href font-family: x; <b> & two"
    figure = Figure_(figsize=(3, 2))
    ax = figure.add_subplot()
    ax.plot([0, 1], [0, 1 / 3], marker="o")
    ax.set_title(label)
    buffer = io.StringIO()
    with matplotlib.rc_context(RC):
        figure.savefig(buffer, format="svg")
    svg = ET.fromstring(inline_svg(buffer.getvalue(), name="p", label=""))
    assert label in [element.text for element in svg.iter("text")]
    assert len(list(svg.iter("use"))) > 2
    assert not any(re.search(r"\.\d\d", use.attrib["x"]) for use in svg.iter("use"))


def outcome(evaluation: Evaluation, section: Section, num_positive: int = 50) -> Outcome:
    one = next(one for one in evaluation.outcomes if one.section == section)
    about = {"num_positive": num_positive} if section == "binary" else {}
    return replace(one, about={**one.about, **about})


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.95, 0.92, 0.97, "strong"),
        (0.85, 0.8, 0.9, "good"),
        (0.75, 0.7, 0.8, "moderate"),
        (0.62, 0.55, 0.7, "weak"),
        (0.62, 0.49, 0.7, "no better than chance"),
        (0.3, 0.2, 0.4, "worse than chance"),
    ],
)
def test_words_for_an_auc(
    evaluation: Evaluation, value: float, low: float, high: float, said: str
) -> None:
    """An interval that reaches chance is no better than chance, however high its middle."""
    one = outcome(evaluation, "binary")
    figures = {"auc": Figure(value=value, low=low, high=high, chance=0.5)}
    found = verdict(replace(one, scores=replace(one.scores, figures=figures)), "auc")
    assert found is not None
    assert found.text == said


def test_few_positives_are_too_few_to_tell(evaluation: Evaluation) -> None:
    """Three positive studies give no verdict, even at AUC 1."""
    one = outcome(evaluation, "binary", num_positive=3)
    figures = {"auc": Figure(value=1.0, low=1.0, high=1.0, chance=0.5)}
    found = verdict(replace(one, scores=replace(one.scores, figures=figures)), "auc")
    assert found is not None
    assert found.text == "too few to tell: 3"
    assert found.kind == "weak"


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        ((math.nan, math.nan, math.nan), None),
        ((0.3, math.nan, math.nan), None),
        ((0.3, 0.2, 0.4), "saves 30% of the median guess's error"),
        ((0.05, 0.01, 0.1), "weak"),
        ((0.05, -0.01, 0.1), "no better than the median guess"),
        ((-0.3, -0.4, -0.2), "worse than the median guess"),
    ],
)
def test_words_for_an_error(
    evaluation: Evaluation, gain: tuple[float, float, float], said: str | None
) -> None:
    """By what it saves of the median guess's error; without an interval nothing is said."""
    one = outcome(evaluation, "regression")
    made = Figure(value=gain[0], low=gain[1], high=gain[2], chance=0.0)
    scores = replace(one.scores, figures={**one.scores.figures, "gain": made})
    found = verdict(replace(one, scores=scores), "mae")
    assert (found and found.text) == said


def test_rank_is_better_when_low(evaluation: Evaluation) -> None:
    """A mean rank above chance is worse than chance, one below it better."""
    one = outcome(evaluation, "retrieval")
    for value, low, high, said in (
        (10.0, 5.0, 20.0, "5.0 times better than chance"),
        (50.0, 40.0, 60.0, "no better than chance"),
        (80.0, 70.0, 90.0, "worse than chance"),
    ):
        figures = {"mcmrr": Figure(value=value, low=low, high=high, chance=50.0)}
        found = verdict(replace(one, scores=replace(one.scores, figures=figures)), "mcmrr")
        assert found is not None
        assert found.text == said


def test_no_word_without_an_interval(evaluation: Evaluation) -> None:
    """Where there is no chance level or no interval, nothing is claimed."""
    one = outcome(evaluation, "identification")
    figures = {"auc": Figure(value=0.9, low=math.nan, high=math.nan, chance=0.5)}
    assert verdict(replace(one, scores=replace(one.scores, figures=figures)), "auc") is None


def test_every_figure_that_is_shown_has_a_name() -> None:
    """No table head is a key of JSON."""
    for section in SECTIONS.values():
        assert {*section.figures, *section.main, *section.compared} <= set(FIGURES)
        assert set(section.main) <= set(section.figures)


@pytest.mark.timeout(600)
def test_two_models_on_two_large_archives_are_a_page_under_two_megabytes(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    """With every picture, however many studies there are; each cloud of points says its limit."""
    generator = np.random.default_rng(0)

    def many(one: Outcome) -> Outcome:
        items = one.items.iloc[generator.integers(len(one.items), size=5000)].reset_index(drop=True)
        for name in ("predicted", "score", "cosine", "probability"):
            if name in items:
                items[name] = items[name] + generator.normal(0, 1e-3, len(items))
        return replace(one, items=items) if len(one.items) else one

    large = replace(evaluation, outcomes=tuple(map(many, evaluation.outcomes)))
    plots = draw_plots(large, read_tasks("phantom"), tmp_path)
    page = render_report(large, plots)
    assert len(page.encode()) < 2_000_000
    assert page.count('<svg class="plot"') == len(plots) > 60
    assert "At most 400 points of a kind are drawn" in page
    assert "data:image" not in page
