"""The page of an answer: whole, alone, and text where a report holds HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
from numpy.typing import NDArray

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
        if tag in ("td", "th", "p"):
            self.text += " "
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "srcset", "href")
        ]
        if tag not in ("meta", "img", "br", "link", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_a_report_with_html_is_text(answer: Answer) -> None:
    """Well-formed, no script, nothing fetched, controls shown as pictures."""
    page = to_page([answer], title="a < b", about="100 % & more")
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert "script" not in tags.seen
    assert "b" in tags.seen  # ours, around the rank
    assert all(address.startswith("data:") for address in tags.addresses)
    assert tags.text.count('<script>alert("x")</script> & <b>bold</b>\u241b[31m red') == 2
    assert "rank 2 of 500" in tags.text
    assert "3 reports of the pool are this text" in tags.text
    assert "the right one" in tags.text
    assert "default-src 'none'" in page
    assert '<meta name="viewport"' in page
    assert "@media print" in page
    assert "prefers-color-scheme: dark" in page


def test_an_answer_opens_with_findings_and_the_text_is_folded() -> None:
    """A table of query, hit and verdict; every report's text lies inside of a fold."""
    query = Item(name="q", report="EF 55%. Severe MR. No pericardial effusion.")
    hit = Item(name="S-2", report="EF 57%. Mild MR. There is severe aortic stenosis.")
    page = to_page(
        [
            Answer(
                query=query, hits=(Hit(rank=1, cosine=0.5, item=hit, percentile=87.5),), pool_size=8
            )
        ],
        title="t",
        about="a",
    )
    tags = _Tags()
    tags.feed(page)
    words = " ".join(tags.text.split())
    assert "Ejection fraction 55 % \u2713 57 %" in words
    assert "Ejection fraction 55 % 57 % \u2713 agree" in words
    assert "Mitral regurgitation severe mild \u2260 differ" in words
    assert "Pericardial effusion no \u2013 only the query" in words
    assert "Aortic stenosis \u2013 severe only this report" in words
    assert "1 agree, 1 differ, 1 only the query says, 1 only this report says" in words
    assert "cosine 0.500, higher than 87.5 % of the 8 reports" in words
    assert "0 are in the query's report word for word and 1 with other numbers" in words
    assert page.index("<table") < page.index("EF 57%")
    folds = page.split("<details>")
    assert all("EF 57%" not in part.split("</details>")[-1] for part in folds)
    assert '<mark class="differ" title="they differ">Mild MR</mark>' in page
    assert '<mark class="agree" title="both say the same">EF 57%</mark>' in page


def test_a_clip_moves_and_ten_hits_stay_small(frames: NDArray[np.uint8]) -> None:
    """An animated picture for each clip, a still one for who asks for less motion; under 2 MB."""
    large = np.repeat(np.repeat(frames, 4, axis=1), 4, axis=2)
    noise = np.random.default_rng(0).integers(0, 40, large.shape)
    large = np.clip(large.astype(int) + noise, 0, 255).astype(np.uint8)
    hits = tuple(
        Hit(
            rank=rank, cosine=0.5, item=Item(name=f"S-{rank}", report="EF 50%. " * 60, frames=large)
        )
        for rank in range(1, 11)
    )
    query = Item(name="q", report="EF 55%.", frames=large)
    page = to_page([Answer(query=query, hits=hits, pool_size=99)], title="t", about="a")
    assert page.count("data:image/webp;base64,") == 11
    assert page.count("prefers-reduced-motion: reduce)") == 11
    assert len(page) < 2_000_000


def test_what_was_left_out_is_said(frames: NDArray[np.uint8]) -> None:
    """The notes of an answer stand on its page; without a known report nothing is judged."""
    hit = Hit(rank=1, cosine=0.5, item=Item(name="S-1", report="EF 50%. Mild MR."))
    page = to_page(
        [
            Answer(
                query=Item(name="clip", frames=frames),
                hits=(hit,),
                pool_size=1,
                notes=("2 of 3 reports are missing",),
            )
        ],
        title="t",
        about="a",
    )
    assert "2 of 3 reports are missing." in page
    assert "the query's own report is not known" in page.replace("&#39;", "'")
    assert "differ</td>" not in page


def test_a_page_without_pictures_or_own_report() -> None:
    """Clips found for a report may have no frames at hand."""
    hit = Hit(rank=1, cosine=0.5, item=Item(name="S-9"))
    page = to_page(
        [Answer(query=Item(name="note.txt", report="Mild AS."), hits=(hit,), pool_size=1)],
        title="t",
        about="a",
    )
    assert "The query&#39;s text" in page
    assert "<img" not in page
    assert "The best of 1 reports." in page


def test_a_script_is_text_wherever_it_stands() -> None:
    """In title, line, file name, query, report, found name, found report, and ahead of them."""
    places = [f'<script>alert("{number}")</script>' for number in range(9)]
    hit = Hit(
        rank=1,
        cosine=0.5,
        item=Item(name="n", report=places[1]),
        num_same=2,
        studies=(places[0], places[7]),
    )
    query = Item(name=places[2], report=places[3])
    answer = Answer(query=query, hits=(hit,), pool_size=1, notes=(places[8],))
    page = to_page(
        [answer],
        title=places[4],
        about=places[5],
        before=places[6],
    )
    tags = _Tags()
    tags.feed(page)
    assert "script" not in tags.seen
    assert "<script" not in page.lower()
    for place in places:
        assert place in tags.text
