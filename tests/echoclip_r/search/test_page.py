"""The page of an answer: whole, alone, and text where a report holds HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from echoclip_r.model.trained import TrainedModel
from echoclip_r.search.answers import Answer, Hit, Item
from echoclip_r.search.page import to_page


class _Tags(HTMLParser):
    """Checks that tags close in order, and keeps their names, addresses and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("coloured", [True, False])
def test_the_page_is_whole_and_a_report_with_html_is_text(
    answer: Answer, untrained: TrainedModel, coloured: bool
) -> None:
    """Well-formed, no script, nothing fetched, controls shown as pictures."""
    tokenizer = untrained.text.tokenizer if coloured else None
    page = to_page([answer], title="a < b", about="100 % & more", tokenizer=tokenizer)
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert "script" not in tags.seen
    assert "b" in tags.seen  # ours, around the rank
    assert all(address.startswith("data:image/jpeg;base64,") for address in tags.addresses)
    assert tags.text.count('<script>alert("x")</script> & <b>bold</b>\u241b[31m red') == 2
    assert "rank 2 of 500" in tags.text
    assert "3 reports of the pool are this text" in tags.text
    assert "1 of its 2 sentences are in the right one, too" in tags.text
    assert "the right one" in tags.text
    assert ('class="phrase"' in page or 'class="value"' in page) is coloured
    assert "default-src 'none'" in page
    assert '<meta name="viewport"' in page
    assert "@media print" in page


def test_a_page_without_pictures_or_own_report(untrained: TrainedModel) -> None:
    """Clips found for a report may have no frames at hand."""
    hit = Hit(rank=1, cosine=0.5, item=Item(name="S-9"))
    page = to_page(
        [Answer(query=Item(name="note.txt", report="Mild AS."), hits=(hit,), pool_size=1)],
        title="t",
        about="a",
        tokenizer=untrained.text.tokenizer,
    )
    assert "The report</h3>" in page
    assert "<img" not in page
    assert "The best of 1." in page


@pytest.mark.parametrize("coloured", [True, False])
def test_a_script_is_text_wherever_it_stands(untrained: TrainedModel, coloured: bool) -> None:
    """In title, line, file name, query, report, found name, found report, and ahead of them."""
    places = [f'<script>alert("{number}")</script>' for number in range(7)]
    hit = Hit(rank=1, cosine=0.5, item=Item(name=places[0], report=places[1]))
    answer = Answer(query=Item(name=places[2], report=places[3]), hits=(hit,), pool_size=1)
    page = to_page(
        [answer],
        title=places[4],
        about=places[5],
        before=places[6],
        tokenizer=untrained.text.tokenizer if coloured else None,
    )
    tags = _Tags()
    tags.feed(page)
    assert "script" not in tags.seen
    assert "<script" not in page.lower()
    for place in places:
        assert place in tags.text
