"""The page: self-contained, well formed, safe, and plain about what is weak."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from echoclip_r.evaluation.figures import FIGURES, SECTIONS
from echoclip_r.evaluation.outcomes import Evaluation, Outcome, Section, Skipped
from echoclip_r.evaluation.plots.draw import Plot
from echoclip_r.evaluation.report.page import as_text, render_report
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


def test_text_for_a_terminal_says_the_same(evaluation: Evaluation) -> None:
    """One line a task, model and data set, with what guessing gives."""
    lines = as_text(evaluation).splitlines()
    lead = next(line for line in lines if line.startswith("Pacemaker lead, good <model>: AUC 0."))
    assert re.search(r"AUC 0\.\d\d \(0\.\d\d to \d\.\d\d\), chance 0\.50, n = \d+ of \d+", lead)
    assert any("always the median" in line for line in lines)


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
        ((0.3, 0.2, 0.4), "saves 30% of the median guess's error"),
        ((0.05, 0.01, 0.1), "weak"),
        ((0.05, -0.01, 0.1), "no better than the median guess"),
        ((-0.3, -0.4, -0.2), "worse than the median guess"),
    ],
)
def test_words_for_an_error(
    evaluation: Evaluation, gain: tuple[float, float, float], said: str
) -> None:
    """A measurement is judged by what it saves of the median guess's error."""
    one = outcome(evaluation, "regression")
    made = Figure(value=gain[0], low=gain[1], high=gain[2], chance=0.0)
    scores = replace(one.scores, figures={**one.scores.figures, "gain": made})
    found = verdict(replace(one, scores=scores), "mae")
    assert found is not None
    assert found.text == said


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
