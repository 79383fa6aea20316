"""The pages in a real browser against the real server: each way to ask, keys, tabs, a restart."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from echoclip_r.serve.access import Access
from echoclip_r.serve.service import Progress
from tests.conftest import CHROMIUM
from tests.echoclip_r.serve.conftest import (
    HOSTS,
    Archive,
    Running,
    open_service,
    run_server,
)

TEXT = "Severe mitral regurgitation. The LVEF is 55%."


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no browser: playwright is not installed"
    )
    if CHROMIUM is None:
        pytest.skip("no browser: there is no chromium on this machine")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; an error on its console, or a request to another host, fails the test."""
    said: list[str] = []
    hosts: set[str] = set()
    contexts = []

    def hear(message: Any) -> None:
        # What a server refuses on purpose is told on the console, too.
        if message.type in ("error", "warning") and not re.search(
            "status of (4..|503)", message.text
        ):
            said.append(message.text)

    def visit(url: str, *, context: Any = None, **options: Any) -> Any:
        if context is None:
            context = chromium.new_context(**options)
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", hear)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0]))
        page.goto(url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert said == []
    assert hosts - {""} <= {"127.0.0.1"}


def ask(page: Any, **fields: str) -> None:
    for name, value in fields.items():
        page.fill(f"#{name}", value)
    with page.expect_navigation():
        page.click("#ask .main")


def test_a_text_a_filter_and_the_way_back(server: Running, visit: Callable[..., Any]) -> None:
    """The form keeps what was asked; back and forward show what was there."""
    page = visit(server.url)
    ask(page, text=TEXT)
    first = page.url
    assert page.locator("article.hit").count() == 10
    assert page.input_value("#text") == TEXT
    assert TEXT not in first
    page.click("#where-help summary")
    page.select_option("#finding", "Ejection fraction")
    page.fill("#value", "40")
    page.click("#add")
    assert page.input_value("#where") == "Ejection fraction >= 40"
    ask(page)
    assert "ejection fraction >= 40" in page.inner_text(".found")
    page.go_back()
    assert page.url == first
    assert page.locator("article.hit").count() == 10
    page.go_forward()
    assert "ejection fraction >= 40" in page.inner_text(".found")
    ask(page, text="", where="")
    assert "Nothing was searched." in page.inner_text("[role=alert]")
    page.go_back()
    assert page.locator("article.hit").count() > 0


def test_a_clip_is_dropped_and_wrong_files_are_told(
    server: Running, searched: Archive, visit: Callable[..., Any], tmp_path: Path
) -> None:
    """Shown before and after; what is no clip, or too large, is refused in words."""
    page = visit(server.url)
    page.set_input_files("#clip", searched.clip)
    ask(page)
    assert page.locator("figure img").count() == 2
    widths = page.eval_on_selector_all("figure img", "all => all.map(one => one.naturalWidth)")
    assert all(widths)
    (tmp_path / "letter.dcm").write_text("Dear colleague")
    page.set_input_files("#clip", tmp_path / "letter.dcm")
    ask(page)
    assert "cannot be used" in page.inner_text("[role=alert]")
    (tmp_path / "huge.avi").write_bytes(bytes(6 << 20))
    answer = server.client.post(
        "/search", files={"clip": ("huge.avi", (tmp_path / "huge.avi").read_bytes())}
    )
    assert (answer.status_code, "too long" in answer.text) == (413, True)
    drop = """file => {
        const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(file)], "dropped.avi"));
        window.dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
    }"""
    with page.expect_navigation():
        page.evaluate(drop, list(searched.clip.read_bytes()))
    assert "dropped.avi" in page.inner_text("h1")


def test_keys_lead_through_the_hits(server: Running, visit: Callable[..., Any]) -> None:
    """j and k, space, y and n, o, and / to write; none of them while one writes."""
    page = visit(server.url)
    ask(page, text=TEXT)
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.get_attribute("article.now", "aria-label") == "Number 2"
    page.keyboard.press("k")
    assert page.get_attribute("article.now", "aria-label") == "Number 1"
    image = page.locator("article.now img.clip").first
    page.wait_for_selector("article.now img.clip[src*=loop]")
    page.keyboard.press(" ")
    assert "still.webp" in str(image.get_attribute("src"))
    page.keyboard.press("y")
    page.wait_for_selector("article.now .mark [value=yes][aria-pressed=true]")
    page.keyboard.press("n")
    page.wait_for_selector("article.now .mark [value=no][aria-pressed=true]")
    page.reload()
    assert page.locator(".mark [value=no][aria-pressed=true]").count() == 1
    page.keyboard.press("j")
    page.keyboard.press("o")
    assert page.eval_on_selector("article.now details.text", "one => one.open") is False
    page.keyboard.press("/")
    page.keyboard.type("jjj/ yn")
    assert page.input_value("#text") == "jjj/ yn"
    assert page.get_attribute("article.now", "aria-label") == "Number 1"


def test_a_report_is_coloured_while_it_is_typed(server: Running, visit: Callable[..., Any]) -> None:
    """Below the letters, which stay where they are."""
    page = visit(server.url)
    page.fill("#text", "Mild mitral regurgitation is present. <b>x</b>")
    page.wait_for_selector("#mirror .value, #mirror .phrase")
    assert page.inner_text("#mirror").strip() == "Mild mitral regurgitation is present. <b>x</b>"
    sizes = page.evaluate(
        "['#text', '#mirror'].map(one => { const s = getComputedStyle(document.querySelector(one));"
        " return [s.fontSize, s.lineHeight, s.fontFamily, s.paddingLeft, s.width].join(); })"
    )
    assert sizes[0] == sizes[1]


def test_a_study_its_patient_and_others_like_it(server: Running, visit: Callable[..., Any]) -> None:
    """From a hit to its study, along the timeline, and to the studies like it."""
    page = visit(server.url)
    ask(page, text=TEXT)
    page.click("article.hit h3 a >> nth=0")
    assert page.locator("#study .timeline .this").count() == 1
    page.click("#study .acts button")
    page.wait_for_selector("article.hit")
    assert "A study of the archive" in page.inner_text("h1")


def test_where_the_model_looked_comes_later(server: Running, visit: Callable[..., Any]) -> None:
    """The page goes on meanwhile."""
    page = visit(server.url)
    ask(page, text=TEXT)
    page.click("a.heat >> nth=0")
    page.wait_for_selector(".heated img")
    assert page.eval_on_selector(".heated img", "one => one.naturalWidth") > 0
    page.click("a.heat >> nth=0")
    assert page.locator(".heated").count() == 0


def test_two_tabs_and_a_server_that_starts_again(
    searched: Archive, kept: Path, visit: Callable[..., Any], tmp_path: Path
) -> None:
    """Two questions do not mix; a server that forgot says so, and the tab asks again."""
    with run_server(open_service(searched, kept, tmp_path), Access(hosts=HOSTS), tmp_path) as one:
        first = visit(one.url)
        second = visit(one.url, context=first.context)
        ask(first, text="Severe mitral regurgitation.")
        ask(second, text="A pacemaker lead is seen.")
        first.reload()
        assert "Severe mitral" in first.input_value("#text")
        assert "pacemaker" in second.input_value("#text")
        port = int(one.url.rpartition(":")[2])
    again = open_service(searched, kept, tmp_path)
    with run_server(again, Access(hosts=HOSTS), tmp_path, port=port):
        first.reload()
        assert "no longer kept" in first.inner_text("h1")
        first.click("#again button")
        first.wait_for_selector("article.hit")
        assert first.input_value("#text") == "Severe mitral regurgitation."
        second.click("a.heat >> nth=0")
        second.wait_for_selector(".heated >> text=kept")


def test_without_scripts_it_still_searches(server: Running, visit: Callable[..., Any]) -> None:
    """Forms and links do all that is needed."""
    page = visit(server.url, java_script_enabled=False)
    ask(page, text=TEXT)
    assert page.locator("article.hit img.clip").count() >= 10
    assert page.locator("#build").is_hidden()
    page.click(".mark [value=yes] >> nth=0")
    page.wait_for_selector(".mark [value=yes][aria-pressed=true]")
    assert page.locator("a.play").first.get_attribute("href").endswith("loop.webp")


@pytest.mark.parametrize("width", [400, 768, 1400, 2560])
def test_it_fits_and_can_be_read(server: Running, visit: Callable[..., Any], width: int) -> None:
    """Nothing is wider than the screen; every picture and field has a name; dark unless chosen."""
    page = visit(server.url, viewport={"width": width, "height": 900})
    ask(page, text=TEXT, where="EF 20-100 %")
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate(fits)
    assert page.locator(".warn").is_visible()
    wide = """() => [...document.querySelectorAll("aside *")].filter(one =>
        one.getBoundingClientRect().right > document.documentElement.clientWidth)
        .map(one => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(wide) == []
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll(
            "input:not([type=hidden]), select, textarea, button, img")]
        .filter(one => !(one.alt || one.textContent.trim() || one.ariaLabel || one.labels?.length))
        .map(one => one.outerHTML)"""
    )
    assert unnamed == []
    levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(one => +one.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    back = "getComputedStyle(document.documentElement).backgroundColor"
    light = {}
    for theme in ("Dark", "Light"):
        with page.expect_navigation():
            page.click(f".themes >> text={theme}")
        light[theme] = sum(map(int, re.findall(r"\d+", page.evaluate(back))[:3])) / 3
        assert low_contrast(page) == []
    assert light["Dark"] < 40 < 200 < light["Light"]
    assert page.evaluate(fits)


def low_contrast(page: Any) -> list[str]:
    """Texts that stand out less than 4.5 : 1 from what is behind them (WCAG AA)."""
    return page.evaluate(
        """() => {
        const parts = (text) => text.match(/[\\d.]+/g).map(Number);
        const bright = ([r, g, b]) => [r, g, b].map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
        const behind = (one) => {
            for (; one; one = one.parentElement) {
                const colour = parts(getComputedStyle(one).backgroundColor);
                if (colour.length < 4 || colour[3] > 0) return colour;
            }
            return [255, 255, 255];
        };
        const found = [];
        for (const one of document.querySelectorAll("body *")) {
            const own = [...one.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
            const box = one.getBoundingClientRect();
            if (!own || !box.width) continue;
            if (one.closest("[hidden], #mirror, .heard, .skip, option")) continue;
            const two = [parts(getComputedStyle(one).color), behind(one)].map(bright);
            const ratio = (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05);
            const said = one.textContent.slice(0, 40);
            if (ratio < 4.5) found.push(`${ratio.toFixed(1)} ${one.className} ${said}`);
        }
        return found;
        }"""
    )


def test_it_prints_without_the_form(server: Running, visit: Callable[..., Any]) -> None:
    """On white, with the whole reports."""
    page = visit(server.url)
    ask(page, text=TEXT)
    page.emulate_media(media="print")
    assert page.locator("aside").is_hidden()
    assert page.locator("article.hit").first.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.report')).maxHeight") == "none"
    assert page.pdf()[:4] == b"%PDF"


def test_the_progress_turns_into_the_search(
    searched: Archive, kept: Path, visit: Callable[..., Any], tmp_path: Path
) -> None:
    """While clips are embedded a page says how many, and whether it failed."""
    service = open_service(searched, kept, tmp_path)
    engines, service.engines = service.engines, []
    service.progress = Progress(what="embedding clips", done=412, total=6000, since=0.0)
    with run_server(service, Access(hosts=HOSTS), tmp_path) as running:
        page = visit(running.url)
        page.wait_for_selector("text=412 of 6,000")
        service.engines, service.progress = engines, None
        page.wait_for_selector("#ask")


def test_the_page_comes_before_the_model(
    searched: Archive, kept: Path, visit: Callable[..., Any], tmp_path: Path
) -> None:
    """It says so; filters and studies are answered, words wait, and the note goes by itself."""
    service = open_service(searched, kept, tmp_path, loaded=False)
    with run_server(service, Access(hosts=HOSTS), tmp_path) as running:
        page = visit(running.url)
        assert "still loading" in page.inner_text("#loading")
        ask(page, where="EF 20-100 %")
        with page.expect_navigation():
            page.click("article.hit .acts >> text=More like this >> nth=0")
        assert page.locator("article.hit").count() > 0
        assert not service.is_loaded
        with ThreadPoolExecutor(1) as reader:
            words = reader.submit(running.ask, text=TEXT)
            page.wait_for_timeout(500)
            assert not words.done()
            assert page.locator("#loading").count() == 1
            service.load_models()
            assert words.result()["models"][0]["hits"]
        page.wait_for_selector("#loading", state="detached")
        second = visit(running.url)
        assert second.locator("#loading").count() == 0


def test_hostile_reports_do_nothing(server: Running, visit: Callable[..., Any]) -> None:
    """A script in a report and in a query is read, and not run."""
    page = visit(server.url)
    page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    ask(page, text='<img src=x onerror="alert(1)"> severe mitral regurgitation', where="EF 55 %")
    page.wait_for_selector("article.hit")
    assert '<script>alert("x")</script>' in page.inner_text("main")
