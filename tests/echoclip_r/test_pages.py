"""Every page that a command makes: alone, safe, and readable in the dark and on a phone."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydicom.data
import pytest
from markupsafe import Markup

import echoclip_r.cli.main
import echotok.cli.main
from benchmarks.models import phantom_pictures as pictures
from echoclip_r.evaluation.outcomes import Evaluation
from echoclip_r.search.answers import Answer, Hit, Item

ROOT = Path(__file__).parents[2]
REAL = Path(str(pydicom.data.get_testdata_file("examples_ybr_color.dcm", download=False)))
SCRIPT = "<script>alert(1)</script>"
REPORT = f"LVEF is 55-60%. Mild mitral regurgitation. No pericardial effusion. {SCRIPT}"
VOID = {"meta", "link", "br", "img", "source", "input"}
ADDRESSES = {"src", "srcset", "href", "data", "action", "formaction", "poster", "background"}


def show(folder: Path, fixture: Callable[[str], Any]) -> Path:
    (folder / "report.txt").write_text(REPORT)
    page = folder / "show.html"
    assert echotok.cli.main.main(["show", str(folder / "report.txt"), "--html", str(page)]) == 0
    return page


def findings(folder: Path, fixture: Callable[[str], Any]) -> Path:
    (folder / "report.txt").write_text(REPORT)
    page = folder / "findings.html"
    report = str(folder / "report.txt")
    command = ["findings", report, "--explain", "1", "--html", str(page)]
    assert echotok.cli.main.main(command) == 0
    return page


def review(folder: Path, fixture: Callable[[str], Any]) -> Path:
    table = shutil.copytree(ROOT / "phrase_tables" / "phantom", folder / "table")
    with (table / "terms.csv").open("a", encoding="utf-8") as stream:
        stream.write(f"1700,{SCRIPT},1.0.0,,{SCRIPT}\n")
    page = folder / "review.html"
    assert echotok.cli.main.main(["review", str(table), "--out", str(page)]) == 0
    return page


def preview(folder: Path, fixture: Callable[[str], Any]) -> Path:
    page = folder / "preview.html"
    manifest = fixture("archive") / "manifest.csv"
    return made(page, "preview", manifest, "--out", page)


def summary(folder: Path, fixture: Callable[[str], Any]) -> Path:
    page = folder / "summary.html"
    with page.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        return made(page, "summary", fixture("archive") / "manifest.csv", "--html")


def retrieve(folder: Path, fixture: Callable[[str], Any]) -> Path:
    table = folder / "reports.csv"
    table.write_text(f'report\n"{REPORT}"\nLVEF 20%. Severe mitral regurgitation.\n')
    page = folder / "retrieve.html"
    model = fixture("untrained_folder")
    return made(page, "retrieve", model, "--video", REAL, "--reports", table, "--html", page)


def evaluate(folder: Path, fixture: Callable[[str], Any]) -> Path:
    out = folder / "evaluated"
    data = ("--shards", fixture("training_shards"), "--out", out, "--draws", 20)
    return made(out / "report.html", "evaluate", fixture("untrained_folder"), *data)


def demo(folder: Path, fixture: Callable[[str], Any]) -> Path:
    """What `make demo` writes around its answers; tests of the demo run it whole."""
    page = folder / "index.html"
    before = pictures.figures_html(
        ["", "MCMRR"],
        [["model", "1.0\n0.5 to 2.0"]],
        [Markup('<svg class="plot" viewBox="0 0 9 9"></svg>')],
        lead="What was shown.",
        notes=["No clinical evidence."],
    )
    hit = Hit(rank=1, cosine=0.9, item=Item(name="S", report=REPORT), right=True)
    query = Item(name="S", report=REPORT)
    answers = [Answer(query=query, hits=(hit,), pool_size=9, right_rank=1)]
    pictures.write_page(page, answers, before=before)
    return page


def made(page: Path, *words: object) -> Path:
    assert echoclip_r.cli.main.main([str(word) for word in words]) == 0
    return page


PAGES = (show, findings, review, preview, summary, retrieve, evaluate, demo)


class Tags(HTMLParser):
    """Tags that close in order, their attributes, and what stands in scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.styles = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script" and found.get("type") != "application/json":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"] and self.elements[-1][1].get("type") is None:
            self.scripts[-1] += data
        if self.open[-1:] == ["style"]:
            self.styles += data


@pytest.fixture(scope="module", params=PAGES, ids=lambda make: make.__name__)
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page, as its command writes it."""
    path: Path = request.param(tmp_path_factory.mktemp("page"), request.getfixturevalue)
    return path


@pytest.mark.timeout(600)
def test_a_page_loads_nothing_and_runs_nothing_but_its_own_script(page: Path) -> None:
    """Its policy forbids all else, every address is inside of it, a script in text is text."""
    text = page.read_text(encoding="utf-8")
    tags = Tags(text)
    policies = [
        found["content"]
        for tag, found in tags.elements
        if tag == "meta" and found.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    rules = dict(rule.strip().split(" ", 1) for rule in policies[0].split(";"))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert rules.pop("style-src") == "'unsafe-inline'"
    assert rules.pop("img-src") == "data:"
    digests = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in tags.scripts
    ]
    assert rules == ({"script-src": " ".join(digests)} if digests else {})
    for _, found in tags.elements:
        for name, value in found.items():
            assert not name.startswith("on"), "a policy without 'unsafe-inline' stops handlers"
            if name.removeprefix("xlink:") in ADDRESSES:
                assert value.startswith(("data:", "#")), value[:80]
    assert "//" not in re.sub(r"/\*.*?\*/", "", tags.styles)
    assert "@import" not in tags.styles
    assert "<script>alert" not in text


@pytest.mark.timeout(600)
def test_a_page_has_the_one_palette_dark_phone_and_print(page: Path) -> None:
    """Colours are those of the base: none is of a page that forgot the dark."""
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    for part in (
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        "@media screen and (prefers-color-scheme: dark)",
        "@media print",
        "@media (max-width",
    ):
        assert part in text
    assert text.count("--page: #f6f7f9") == 1
    assert text.count("--page: #101418") == 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_a_browser_shows_a_page_without_a_word(
    page: Path, browse: Callable[..., Any], scheme: str, width: int
) -> None:
    """No console message, nothing asked of the network, nothing wider than a phone."""
    view = {"width": width, "height": 900}
    shown = browse(page, viewport=view, color_scheme=scheme)
    shown.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    wide = shown.evaluate(
        "[...document.querySelectorAll('body *')]"
        ".filter(one => !one.closest('.wide'))"
        ".filter(one => one.getBoundingClientRect().right > innerWidth + 1)"
        ".map(one => one.outerHTML.slice(0, 80))"
    )
    assert shown.evaluate("document.documentElement.scrollWidth") <= width, wide
    ground, letters = shown.evaluate(
        "(style => [style.backgroundColor, style.color])(getComputedStyle(document.body))"
    )
    is_dark = [max(map(int, re.findall(r"\d+", colour))) < 100 for colour in (ground, letters)]
    assert is_dark == ([True, False] if scheme == "dark" else [False, True])
    fills = shown.evaluate(
        "[...document.querySelectorAll('svg.plot text')].map(one => getComputedStyle(one).fill)"
    )
    assert set(fills) <= {letters}


def test_every_template_extends_the_base() -> None:
    """A page of its own head, palette or policy is none of ours; a fragment has none of these."""
    templates = [
        path
        for folder in ("echotok", "echoclip_r", "benchmarks")
        for path in (ROOT / folder).rglob("*.html")
        if path.name != "base.html"
    ]
    assert len(templates) >= 7
    for path in templates:
        text = path.read_text(encoding="utf-8")
        assert text.startswith('{% extends "base.html" %}\n') or "<head" not in text.lower(), path
        assert "<!doctype" not in text.lower()
        assert "prefers-color-scheme: dark) {\n  :root {\n    --page" not in text


def test_a_script_is_text_in_the_demos_table() -> None:
    """In the sentence, the head, a value, an interval and a note; what was shown comes first."""
    page = pictures.figures_html(
        ["", f"head {SCRIPT}"],
        [["model", f"value {SCRIPT}\ninterval {SCRIPT}"]],
        [Markup("<svg></svg>")],
        lead=f"lead {SCRIPT}",
        notes=[f"note {SCRIPT}"],
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 5
    assert page.count("<svg>") == 1
    assert page.index("lead") < page.index("table") < page.index("<svg>")
    assert "moved sideways" in page


def test_the_demos_sentence_says_what_was_shown(evaluation: Evaluation) -> None:
    """Models, studies, the share found first with its interval, and chance."""
    found = next(
        one
        for one in evaluation.outcomes
        if (one.section, one.model, one.dataset) == ("retrieval", "good <model>", "internal")
    )
    judged: Any = SimpleNamespace(
        figures={"num_studies": found.scores.num_items}, retrieval={"whole reports": found}
    )
    said = pictures.lead_sentence({"a": judged, "b": judged}, num_train=3000)
    first = found.scores.figures["recall_at_1:video_to_report"]
    assert said.startswith("a and b learned from 3,000 simulated echo studies")
    assert said.count(".") - said.count("%") <= 1, "one sentence"
    for value in (first.value, first.low, first.high, first.chance):
        assert f"{value:.1%}" in said
