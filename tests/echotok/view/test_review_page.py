"""The page on which a person reviews a phrase table, and the way back from it to `build`."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from command_line import Run

import echotok
from echotok.table.phrases import Phrase, PhraseTable, parse_phrase
from echotok.table.reading import read_table
from echotok.table.review import read_review
from echotok.view.review import arrange, to_review_page

STARTS = ["the left ventricle is", "right atrium is", "no evidence of", "ef {number}%, and"]
ENDS = ["normal", "dilated", "{severity}", "small", "seen", "not seen"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A mined table of 24 phrases in four groups, and of some that begin like no other."""
    folder = tmp_path / "house"
    folder.mkdir()
    (folder / "table.toml").write_text(
        'name = "house"\nversion = "1.0.0"\nlocale = "en"\nlicence = "unspecified"\n'
        'provenance = "written for the tests"\nunits = []\n'
        "[capacity]\nphrases = 64\nvalues = 8\nmerges = 0\n"
    )
    (folder / "merges.txt").write_text("")
    texts = [f"{start} {end}" for start in STARTS for end in ENDS]
    texts += ["- none -", "=sum of it", "</script><!--<script>", "\U0001f600 well", "2/6 murmur"]
    with (folder / "all.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "phrase", "since", "retired", "note"])
        writer.writerows([number, text, "1.0.0", "", ""] for number, text in enumerate(texts))
    with (folder / "review.tsv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        head = ["id", "section", "phrase", "documents", "patients", "tokens_saved", "mid_phrase"]
        writer.writerow(head)
        for number, text in enumerate(texts):
            row = [number, "all", text, 9, 7, 1000 * (number == 11) + number, "yes" * (number == 2)]
            writer.writerow(row)
    return folder


@pytest.fixture
def page(table: Path, run: Run) -> Path:
    out = table.parent / "review.html"
    done = run("review", table, "--out", out)
    assert done.code == 0, done.err
    assert "29 phrases in 5 groups of the same start" in done.err
    assert f"then: echotok build {table} --review review.csv --out house.json" in done.err
    return out


def texts_of(page: str) -> list[str]:
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])["phrases"]


def test_every_phrase_stands_once_beside_those_of_its_start(page: Path, table: Path) -> None:
    """With its slots, its figures and the mark of an open end."""
    text = page.read_text(encoding="utf-8")
    assert sorted(texts_of(text)) == sorted(phrase.text for phrase in read_table(table).live)
    heads = re.findall(r"<h2><span[^>]*>(.*?)</span> (\d+)", text)
    assert heads == [
        ("ef <i>number</i>%, and &hellip;", "6"),
        ("no evidence of &hellip;", "6"),
        ("right atrium is &hellip;", "6"),
        ("the left ventricle is &hellip;", "6"),
        ("other beginnings", "5"),
    ]
    assert "the left ventricle is <i>severity</i>" in text
    assert "9 · 7 · 1,011" in text
    assert text.count("<em>open end</em>") == 1
    assert "<dt><i>severity</i></dt><dd>trivial, trace," in text


def test_phrases_are_text_on_the_page(page: Path) -> None:
    """No phrase can run, end the page's data or load anything."""
    text = page.read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script>") == 2
    assert "&lt;/script&gt;&lt;!--&lt;script&gt;" in text
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)=(?!\"data:)|url\(|@import|https?://", text)


def phrase_table(*texts: str) -> PhraseTable:
    phrases = tuple(
        Phrase(id=number, text=text, items=parse_phrase(text, slots=["number"]), section="all")
        for number, text in enumerate(texts)
    )
    return PhraseTable(
        name="t", version="1.0.0", locale="en", licence="", provenance="", units=(), slots={},
        values=(), phrases=phrases, phrase_capacity=9999, value_capacity=0, num_merges=0,
    )  # fmt: skip


def test_groups_are_of_a_size_to_look_at() -> None:
    """Many alike are split by their next words; a phrase that others begin with is among them."""
    words = [f"w{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(200)]
    texts = ["a b", *(f"a b {one} {two}" for one in words[:30] for two in words[:5]), *words]
    groups = arrange(phrase_table(*texts), ())
    assert sorted(row.phrase.text for group in groups for row in group.rows) == sorted(texts)
    assert max(len(group.rows) for group in groups) <= 40
    starts = [" ".join(item.text for item in group.start) for group in groups]
    assert starts[:3] == ["a b waa", "a b wab", "a b wac"]
    assert "a b" in starts
    assert to_review_page(phrase_table("one"), arrange(phrase_table("one"), ())).count("<li ") == 1


def test_a_whole_review_with_keys(
    page: Path, table: Path, browse, run: Run, tmp_path: Path
) -> None:
    """Keep, drop, rename, note, undo, a whole group, a filter; saved; followed by `build`."""
    tab = browse(page, viewport={"width": 1400, "height": 900})
    texts = texts_of(page.read_text(encoding="utf-8"))
    counts = tab.locator("#counts")
    assert counts.inner_text() == "0 of 29 decided: 0 kept, 0 dropped, 0 renamed"
    for key in "kd":
        tab.keyboard.press(key)
    tab.keyboard.press("r")
    tab.locator("form input").fill("{organ} is gone")
    tab.keyboard.press("Enter")
    assert "There is no slot {organ}" in tab.locator("form output").inner_text()
    tab.locator("form input").fill(texts[0])
    tab.keyboard.press("Enter")
    assert "a phrase of this text already" in tab.locator("form output").inner_text()
    tab.locator("form input").fill(" EF  {number}% as seen, and kept ")
    tab.keyboard.press("Enter")
    tab.keyboard.press("n")
    tab.locator("form input").fill("kd u")  # letters in a note are no keys
    tab.keyboard.press("Enter")
    assert counts.inner_text() == "3 of 29 decided: 1 kept, 1 dropped, 1 renamed · not saved"
    tab.keyboard.press("d")
    tab.keyboard.press("u")
    assert "1 dropped" in counts.inner_text()
    tab.keyboard.press("Shift+K")  # the rest of the first group
    assert counts.inner_text().startswith("6 of 29 decided: 4 kept, 1 dropped")
    tab.keyboard.press("Shift+D")  # the whole second group
    assert counts.inner_text().startswith("12 of 29 decided: 4 kept, 7 dropped")
    tab.keyboard.press("u")
    assert counts.inner_text().startswith("6 of 29 decided")
    tab.keyboard.press("/")
    tab.keyboard.type("left seen")
    assert tab.locator("li:visible").count() == 2
    tab.locator("[data-all=drop]").click()
    tab.keyboard.press("/")
    tab.keyboard.press("Escape")
    assert tab.locator("li:visible").count() == 29
    tab.locator("#show").select_option("drop")
    assert tab.locator("li:visible").count() == 3
    tab.locator("#show").select_option("all")
    tab.locator("#sort").select_option("weight")
    assert tab.locator("li:visible span").first.inner_text() == "right atrium is not seen"
    tab.keyboard.press("Home")
    with tab.expect_download() as download:
        tab.keyboard.press("s")
    assert download.value.suggested_filename == "review.csv"
    assert "not saved" not in counts.inner_text()
    given = tmp_path / "review.csv"
    download.value.save_as(given)
    with given.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["phrase", "decision", "new_phrase", "note"]
    assert len(rows) == 30
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "-", "2"))]
    decided = {row.phrase: row for row in read_review(given).of(read_table(table)).rows}
    assert [decided[text].decision for text in texts[:6]] == [
        "keep", "drop", "rename", "keep", "keep", "keep",
    ]  # fmt: skip
    assert decided[texts[3]].note == "kd u"
    done = run("build", table, "--review", given, "--out", tmp_path / "house.json")
    assert done.code == 0, done.err
    assert "4 kept, 3 dropped, 1 renamed, 21 without a decision, which stay" in done.err
    tok = echotok.load(tmp_path / "house.json")
    live = {phrase.text for phrase in tok.table.live}
    gone = {text for text, row in decided.items() if row.decision in ("drop", "rename")}
    assert live == set(texts) - gone | {"ef {number}% as seen, and kept"}


def test_decisions_outlive_the_tab(page: Path, browse, run: Run, table: Path) -> None:
    """A page that is closed half-way goes on where it was; leaving it unsaved is asked about."""
    tab = browse(page, viewport={"width": 1400, "height": 900})
    asked: list[str] = []
    tab.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    for key in "kdk":
        tab.keyboard.press(key)
    tab.reload()
    assert asked == ["beforeunload"]
    assert "3 of 29 decided: 2 kept, 1 dropped" in tab.locator("#counts").inner_text()
    assert "not saved" in tab.locator("#counts").inner_text()
    assert tab.locator("li.current").get_attribute("data-n") == "3"
    assert "3 decisions that this browser has kept" in tab.locator("#said").inner_text()
    with tab.expect_download() as download:
        tab.locator("#save").click()
    given = page.parent / "half.csv"
    download.value.save_as(given)
    tab.reload()
    assert asked == ["beforeunload"]
    # On another machine: a page that begins with the decisions of the file.
    other = page.parent / "other.html"
    assert run("review", table, "--review", given, "--out", other).code == 0
    assert "3 of 29 decided" in browse(other).locator("#counts").inner_text()


def test_what_the_browser_kept_may_be_broken(page: Path, browse) -> None:
    """A storage with nonsense, or none at all, costs no decision and no error."""
    tab = browse(page)
    key = tab.evaluate("document.querySelector('main').dataset.key")
    tab.evaluate("key => localStorage.setItem(key, '{\"decisions\": 7')", key)
    tab.reload()
    assert "0 of 29" in tab.locator("#counts").inner_text()
    tab.evaluate("void (Storage.prototype.setItem = () => { throw new Error('full'); })")
    tab.keyboard.press("n")
    tab.locator("form input").fill("x")
    tab.keyboard.press("Enter")
    assert "keeps nothing: save the file" in tab.locator("#said").inner_text()


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_the_screen(page: Path, browse, width: int, scheme: str) -> None:
    """Nothing scrolls sideways, also while a phrase is renamed; fingers have buttons."""
    tab = browse(page, viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab.locator("li").nth(3).click()
    tab.locator("[data-act=rename]").click()
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    tab.keyboard.press("Escape")
    tab.locator("[data-act=drop]").click()
    tab.locator("[data-group=keep]").first.click()
    assert "6 of 29 decided: 5 kept, 1 dropped" in tab.locator("#counts").inner_text()
