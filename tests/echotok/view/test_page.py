"""What the terminal and the HTML page show of an encoding."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from strategies import texts

import echotok
from echotok.view.page import to_html
from echotok.view.terminal import legend, to_terminal
from echotok.view.tree import View, layout, shares, visible

ECHO = echotok.load("echo")
VOID = {"meta", "br", "link", "img", "input"}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []  # of each `div.text`
        self.tokens: list[dict[str, str]] = []  # attributes of each token, in order
        self.inside: list[list[str]] = []  # classes around each token
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if attributes.get("class") == "text":
            self.texts.append("")
        if "data-id" in attributes:
            self.tokens.append(attributes)
            self.inside.append([around.get("class", "") for _, around in self.open])
        if tag not in VOID:
            self.open.append((tag, attributes))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if any(attributes.get("class") == "text" for _, attributes in self.open):
            self.texts[-1] += data

    @property
    def ids(self) -> list[int]:
        return [int(number) for token in self.tokens for number in token["data-id"].split()]


def view_of(tok: echotok.Tokenizer, text: str, *, cut: int | None = None) -> View:
    encoding = tok.encode(text)
    return View(source="a.txt", text=text, encoding=encoding.truncate(cut) if cut else encoding)


def page_of(tok: echotok.Tokenizer, text: str, *, cut: int | None = None) -> Page:
    return Page(to_html([view_of(tok, text, cut=cut)], tok))


@given(texts, st.sampled_from([None, 3, 5, 9]))
def test_the_page_holds_the_text_and_every_id_in_order(text: str, cut: int | None) -> None:
    """Any text comes back from the page as it was written, and its tokens are the encoding's."""
    view = view_of(ECHO, text, cut=cut)
    page = page_of(ECHO, text, cut=cut)
    assert page.texts == [visible(text.rstrip())]
    assert page.ids == view.encoding.ids[1:-1]


@given(texts, st.sampled_from([None, 3, 5, 9]))
def test_the_terminal_gets_no_control_character(text: str, cut: int | None) -> None:
    """Whatever a report holds, the terminal is sent printable characters, tabs and line feeds."""
    plain = to_terminal(view_of(ECHO, text, cut=cut)).plain
    assert visible(plain) == plain


def test_a_phrase_holds_its_values(small_tok: echotok.Tokenizer) -> None:
    """The values of a phrase are drawn inside of it, each apart, in both views."""
    text = "Severe dilation of the LEFT\n atrium, the ejection fraction is 62 to 67%"
    plain = to_terminal(view_of(small_tok, text)).plain
    assert "[<Severe> dilation of the <LEFT>\n atrium]" in plain
    assert "[the ejection fraction is <62 to 67>%]" in plain
    page = page_of(small_tok, text)
    values = [
        around[-1]
        for token, around in zip(page.tokens, page.inside, strict=True)
        if token["class"] == "value"
    ]
    assert values == ["phrase", "phrase", "value word", "value word", "value word"]


def test_values_of_one_phrase_stay_apart(small_tok: echotok.Tokenizer) -> None:
    """Two numbers of one phrase are two values, each with its own tokens."""
    view = view_of(small_tok, "Blood pressure is 134.25/62-67")
    (phrase,) = layout(view)
    assert [view.text[slice(*value.span)] for value in phrase.children] == ["134.25", "62-67"]
    assert [len(value.children) for value in phrase.children] == [2, 2]


def test_marks_without_colour(small_tok: echotok.Tokenizer) -> None:
    """Phrases, values and BPE pieces differ in plain text, and a dot parts what no space parts."""
    plain = to_terminal(view_of(small_tok, "Mild mitral regurgitation. Gqx 1.25")).plain
    head, _, body = plain.partition("\n")
    assert head == f"a.txt  {len(small_tok.encode('Mild mitral regurgitation. Gqx 1.25'))} tokens"
    assert body.strip() == "[<Mild> mitral regurgitation]. G\u00b7q\u00b7x <1\u00b7.25>"


def test_marks_with_colour(small_tok: echotok.Tokenizer) -> None:
    """On a colour terminal the kinds have styles of their own beside the marks."""
    text = to_terminal(view_of(small_tok, "Mild mitral regurgitation of 5"))
    styles = {str(span.style) for span in text.spans}
    assert {"bold cyan", "bold yellow"} <= styles
    console = Console(force_terminal=True, color_system="standard", width=200)
    with console.capture() as capture:
        console.print(text)
    assert "\x1b[1;36m" in capture.get()


def test_the_legend_explains_every_mark() -> None:
    """The legend line names phrase, value, BPE, both markers and what truncation leaves out."""
    plain = legend().plain
    for mark in ("[phrase]", "<value>", "BPE\u00b7pieces", "\u203f", "\u2423", "{beyond"):
        assert mark in plain


def test_join_and_space_are_shown() -> None:
    """A marker token is drawn where it acts, without changing the text that one copies."""
    assert "<lv>\u203f<\u203f<rv>" in to_terminal(view_of(ECHO, "lv<rv")).plain
    page = page_of(ECHO, "lv<rv")
    assert [token["class"] for token in page.tokens].count("marker join") == 2
    assert page.texts == ["lv<rv"]


@pytest.mark.parametrize("cut", [3, 4, 7])
def test_what_truncation_drops_is_shown(small_tok: echotok.Tokenizer, cut: int) -> None:
    """The text beyond the context length stays visible, marked, and the number of ids is told."""
    text = "Mild mitral regurgitation with a flail leaflet, the ejection fraction is 55%."
    view = view_of(small_tok, text, cut=cut)
    plain = to_terminal(view).plain
    assert f"; {view.encoding.num_dropped} more did not fit" in plain
    assert plain.endswith("55%.}")
    page = to_html([view], small_tok)
    assert '<span class="dropped">' in page
    assert Page(page).texts == [text]


def test_html_is_escaped() -> None:
    """Markup in a report, in its source and in token texts is text on the page."""
    text = """<script>alert("x")</script> & <img src=x onerror='alert(1)'> </span></div>"""
    view = View(source="<b>&.txt", text=text, encoding=ECHO.encode(text))
    raw = to_html([view], ECHO)
    page = Page(raw)
    assert page.texts == [text]
    assert raw.count("<script") == 1
    assert "img" not in [tag for tag, _ in page.elements]
    assert "<h2>&lt;b&gt;&amp;.txt</h2>" in raw
    assert all("onerror" not in attributes for _, attributes in page.elements)


def test_a_script_is_text_wherever_it_stands(small_tok: echotok.Tokenizer) -> None:
    """In the name of the file, as a value, inside and between phrases, and cut off."""
    script = "<script>alert(1)</script>"
    for text in (
        script,
        f"Mild {script} mitral regurgitation {script}",
        f"5{script}6 MR. {script}",
    ):
        for cut in (None, 4):
            encoding = small_tok.encode(text)
            view = View(source=script, text=text, encoding=encoding.truncate(cut or 999))
            raw = to_html([view], small_tok)
            assert raw.lower().count("<script") == 1, "ours alone"
            assert Page(raw).texts == [text]


def test_the_page_needs_nothing_else() -> None:
    """No element loads anything, and the page's own policy forbids it."""
    raw = to_html([view_of(ECHO, "LVEF is 55%.")], ECHO)
    page = Page(raw)
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object")
        assert not {"src", "href"} & set(attributes)
    assert "default-src 'none'" in raw
    assert "http://" not in raw
    assert "https://" not in raw
    assert "url(" not in raw
    assert "@import" not in raw


def test_the_policy_names_the_script() -> None:
    """The hash in the page's policy is that of its script, or no browser would run it."""
    import base64
    import hashlib

    raw = to_html([], ECHO)
    script = raw.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in raw


def test_the_tip_of_a_token() -> None:
    """A token tells its text, kind, id and span, and can be reached by keyboard."""
    encoding = ECHO.encode("LVEF is 62-67.")
    page = page_of(ECHO, "LVEF is 62-67.")
    at = encoding.tokens.index("-67")
    token = page.tokens[at - 1]
    assert token["title"] == f"-67\nvalue, id {encoding.ids[at]}, characters 10-13"
    assert token["tabindex"] == "0"


def test_styles_differ_without_colour() -> None:
    """Kinds differ by the edge that is drawn, and dark, phone and print have rules of their own."""
    raw = to_html([], ECHO)
    for rule in (
        "solid var(--phrase-edge)",
        "1.5px solid var(--value-edge)",
        "dotted var(--bpe-edge)",
        "@media (prefers-color-scheme: dark)",
        "@media (max-width: 40rem)",
        "@media print",
        "pre-wrap",
    ):
        assert rule in raw


@pytest.mark.parametrize(
    "letter",
    [
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "e\u0323\u0301",
        "\U0001f1e9\U0001f1ea",
        "\u0627\u0644\u0628\u0637\u064a\u0646",
    ],
)
def test_letters_are_not_torn(letter: str) -> None:
    """An emoji, an accented letter, a flag and a joined Arabic word stay in one element."""
    text = f"seen {letter} here"
    view = view_of(ECHO, text)
    drawn = [text[slice(*node.span)] for node in layout(view) if not node.children]
    assert letter in drawn
    assert page_of(ECHO, text).ids == view.encoding.ids[1:-1]


def test_control_characters_are_shown() -> None:
    """Escape sequences, NUL and lone surrogates reach neither terminal nor browser as they are."""
    assert visible("\x1b[31m\x00\x7f\x9b\ud800\t\r\n\x85\r") == "␛[31m␀␡��\t\n\n\n"
    page = to_html([view_of(ECHO, "\x1b[31m \ud800 \x00")], ECHO)
    assert page.encode("utf-8")
    assert "\x1b" not in page


def test_counts_and_shares(small_tok: echotok.Tokenizer) -> None:
    """A report's head gives our tokens, CLIP's, the ratio and the shares that the bar draws."""
    text = "Mild mitral regurgitation 55"
    view = View(source="a", text=text, encoding=small_tok.encode(text), num_clip_tokens=10)
    assert len(view.encoding) == 5
    assert "5 tokens, CLIP BPE 10 (2.0 times as many)" in to_terminal(view).plain
    figures = shares(view, layout(view))
    assert figures == {"phrase": 19 / 25, "value": 6 / 25, "bpe": 0.0}
    raw = to_html([view], small_tok)
    assert "<b>5</b> tokens, CLIP BPE 10 (2.0 times as many)" in raw
    assert 'class="phrase" style="width:76.0%"' in raw
    assert "76.0% in phrases, 24.0% in values, 0.0% in BPE" in raw


def test_an_empty_report_is_drawn() -> None:
    """Nothing but BOS and EOS gives a head and an empty text."""
    assert page_of(ECHO, "").texts == [""]
    assert to_terminal(view_of(ECHO, "")).plain == "a.txt  2 tokens\n"


def test_many_reports_on_one_page() -> None:
    """Each report has a section of its own, in order, under one legend."""
    views = [view_of(ECHO, text) for text in ("Mild MR.", "No AS.", "")]
    raw = to_html(views, ECHO)
    assert Page(raw).texts == ["Mild MR.", "No AS.", ""]
    assert "3 reports, token by token" in raw
    assert raw.count('class="legend"') == 1
