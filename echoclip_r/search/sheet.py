"""Answers as one picture: the clip, its own report, and beside them the best of the pool.

In the reports found, sentences that the right report has too are grey, so that differences stand
out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from echoclip_r.search.answers import Answer, shared_sentences
from echoclip_r.search.pictures import film_strip
from echotok.view.tree import visible

__all__ = ["draw_answers"]

_MARGIN_PX, _GAP_PX = 24, 18
_STILL_PX, _NUM_STILLS = 144, 4
_COLUMN_PX, _LINE_PX = 372, 17
_INK, _SOFT, _GOOD, _PAPER, _RULE = "#1b1f24", "#8a939c", "#1a7f37", "#ffffff", "#d5dae0"

Line = list[tuple[str, str]]
"""The words of a line, each with its colour."""


def draw_answers(
    answers: Sequence[Answer], *, title: str, foot: str, num_hits: int = 3, max_lines: int = 40
) -> Image.Image:
    """Draw answers to clips, one row each.

    Args:
        answers: answers to clips; frames or own reports that are not known are left out.
        title: heading above the answers.
        foot: line below them, which names the data and says what grey means.
        num_hits: number of reports found that are shown for each answer.
        max_lines: largest number of lines of a report; the last line says how many more there are.

    Returns:
        The sheet, RGB.
    """
    columns = 1 + num_hits
    width = 2 * _MARGIN_PX + columns * _COLUMN_PX + (columns - 1) * _GAP_PX
    rows = [list(_row(answer, num_hits, max_lines)) for answer in answers]
    heights = [
        _STILL_PX + _GAP_PX + 3 * _LINE_PX + _LINE_PX * max(len(lines) for _, _, lines in row)
        for row in rows
    ]
    header_px = 2 * _MARGIN_PX + 20
    total = header_px + sum(heights) + 2 * _GAP_PX * len(rows) + 3 * _MARGIN_PX
    sheet = Image.new("RGB", (width, total), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN_PX, _MARGIN_PX), visible(title), fill=_INK, font=_font(20, "Bold"))
    top = header_px
    for answer, row, height in zip(answers, rows, heights, strict=True):
        draw.line((_MARGIN_PX, top, width - _MARGIN_PX, top), fill=_RULE)
        _draw_row(sheet, draw, top + _GAP_PX, answer, row)
        top += height + 2 * _GAP_PX
    draw.text((_MARGIN_PX, top + _GAP_PX), visible(foot), fill=_SOFT, font=_font(13, ""))
    return sheet


def _row(answer: Answer, num_hits: int, max_lines: int) -> Iterator[tuple[str, str, list[Line]]]:
    """Heading, its colour and the lines of each column."""
    own = answer.query.report
    if own is not None:
        yield "Its own report", _INK, _lines([(s, _INK) for s, _ in _sentences(own)], max_lines)
    for hit in answer.hits[:num_hits]:
        mark = "  right" if hit.right else ""
        heading = f"#{hit.rank}  cosine {hit.cosine:.3f}{mark}"
        sentences = shared_sentences(hit.item.report or "", own)
        words = [(text, _SOFT if same and not hit.right else _INK) for text, same in sentences]
        yield heading, _GOOD if hit.right else _INK, _lines(words, max_lines)


def _sentences(report: str) -> list[tuple[str, bool]]:
    return shared_sentences(report, None)


def _draw_row(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    top: int,
    answer: Answer,
    row: Sequence[tuple[str, str, list[Line]]],
) -> None:
    left = _MARGIN_PX
    if answer.query.frames is not None:
        strip = film_strip(answer.query.frames, num=_NUM_STILLS, side_px=_STILL_PX)
        sheet.paste(strip, (left, top))
        left += strip.width + _GAP_PX
    draw.text((left, top), visible(answer.query.name), fill=_INK, font=_font(15, "Bold"))
    if answer.right_rank is not None:
        said = f"its own report: rank {answer.right_rank:,} of {answer.pool_size:,}"
        colour = _GOOD if answer.right_rank == 1 else _INK
    else:
        said, colour = f"the best of {answer.pool_size:,} reports", _INK
    draw.text((left, top + 26), said, fill=colour, font=_font(15, ""))
    top += _STILL_PX + _GAP_PX
    for number, (heading, colour, lines) in enumerate(row):
        left = _MARGIN_PX + number * (_COLUMN_PX + _GAP_PX)
        draw.text((left, top), heading, fill=colour, font=_font(14, "Bold"))
        if colour == _GOOD:
            draw.line((left - 8, top, left - 8, top + 24 + len(lines) * _LINE_PX), _GOOD, 3)
        for place, line in enumerate(lines):
            x = float(left)
            for word, ink in line:
                draw.text((x, top + 24 + place * _LINE_PX), word, fill=ink, font=_font(13, ""))
                x += _font(13, "").getlength(word + " ")


def _lines(sentences: Sequence[tuple[str, str]], max_lines: int) -> list[Line]:
    """Break sentences into lines of a column's width, each word with its colour."""
    font = _font(13, "")
    space = font.getlength(" ")
    lines: list[Line] = [[]]
    used = 0.0
    for text, colour in sentences:
        for word in visible(text).split():
            # A word longer than a line is cut: it is a number or an address, not prose.
            while font.getlength(word) > _COLUMN_PX:
                word = word[: len(word) * 3 // 4]
            length = font.getlength(word)
            if lines[-1] and used + length > _COLUMN_PX:
                lines.append([])
                used = 0.0
            lines[-1].append((word, colour))
            used += length + space
    if len(lines) > max_lines:
        cut = len(lines) - max_lines + 1
        lines = [*lines[: max_lines - 1], [(f"… {cut} more lines", _SOFT)]]
    return lines


@cache
def _font(size_px: int, weight: str) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib ships it: it has the letters of most languages."""
    import matplotlib

    name = f"DejaVuSans-{weight}.ttf" if weight else "DejaVuSans.ttf"
    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size_px
    )
