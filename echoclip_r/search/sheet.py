"""Answers as one picture: the clip, the conclusions, and what the query and the best hits say.

Findings stand in a grid, green where a hit agrees with the query and orange where it differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from echoclip_r.media.lettering import break_lines, cut_text, font
from echoclip_r.search.answers import Answer
from echoclip_r.search.comparison import Cell, Grid, GridRow, Verdict, conclusion, make_grid
from echoclip_r.search.pictures import film_strip
from echotok.view.tree import visible

if TYPE_CHECKING:
    from echotok.findings.rules import FindingsRules

__all__ = ["draw_answers"]

_MARGIN_PX, _GAP_PX = 24, 18
_STILL_PX, _NUM_STILLS = 144, 4
_NUM_BELOW = 3  # lines between the heading of a report and its conclusion
_TITLE_PX, _COLUMN_PX, _LINE_PX, _ROW_PX = 252, 300, 17, 24
_INK, _SOFT, _GOOD, _BAD, _PAPER, _RULE = (
    "#1b1f24", "#6e7781", "#1a7f37", "#a43d00", "#ffffff", "#d5dae0",
)  # fmt: skip
_BACK: dict[Verdict | None, str] = {"agree": "#e3f4e6", "differ": "#fdebd9"}
_CELL_INK: dict[Verdict | None, str] = {"agree": _GOOD, "differ": _BAD, None: _INK}
_SIGNS: dict[Verdict | None, str] = {"agree": "✓ ", "differ": "≠ "}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A report: its heading, the colour of that, lines below it, and its conclusion."""

    heading: str
    colour: str
    below: tuple[str, ...]
    lines: tuple[str, ...]


def draw_answers(
    answers: Sequence[Answer],
    *,
    title: str,
    foot: str,
    num_hits: int = 3,
    max_lines: int = 8,
    max_rows: int = 16,
    rules: FindingsRules | None = None,
) -> Image.Image:
    """Draw answers to clips, one row each.

    Args:
        answers: answers to clips; frames or own reports that are not known are left out.
        title: heading above the answers.
        foot: line below them, which names the data.
        num_hits: number of hits that are shown for each answer.
        max_lines: largest number of lines of a conclusion; the last line says how many more there
            are.
        max_rows: largest number of findings of an answer; those that some hit says otherwise than
            the query come first, and a last line says how many more there are.
        rules: findings to compare reports by; None for those that ship with echotok.

    Returns:
        The sheet, RGB.
    """
    num_columns = num_hits + any(answer.query.report is not None for answer in answers)
    width = 2 * _MARGIN_PX + _TITLE_PX + num_columns * (_COLUMN_PX + _GAP_PX)
    parts = []
    for answer in answers:
        grid = make_grid(answer, rules)
        columns = _columns(answer, grid, num_hits, max_lines, rules)
        rows = sorted(grid.rows, key=lambda row: not _differs(row, num_hits))
        parts.append((answer, columns, rows[:max_rows], len(rows)))
    heights = [
        _top_px(answer) + 4 * _GAP_PX + 30
        + _LINE_PX * (_NUM_BELOW + max((len(column.lines) for column in columns), default=0))
        + _ROW_PX * (len(rows) + (total > len(rows)))
        for answer, columns, rows, total in parts
    ]  # fmt: skip
    header_px = 2 * _MARGIN_PX + 20
    sheet = Image.new("RGB", (width, header_px + sum(heights) + 3 * _MARGIN_PX), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _write(draw, (_MARGIN_PX, _MARGIN_PX), title, _INK, font(20, "Bold"))
    top = header_px
    for (answer, columns, rows, total), height in zip(parts, heights, strict=True):
        draw.line((_MARGIN_PX, top, width - _MARGIN_PX, top), fill=_RULE)
        below = _draw_head(sheet, draw, top + _GAP_PX, answer, columns)
        _draw_grid(draw, below, rows, total, num_hits, known=answer.query.report is not None)
        top += height
    _write(draw, (_MARGIN_PX, top + _GAP_PX), foot, _SOFT, font(13))
    return sheet


def _columns(
    answer: Answer, grid: Grid, num_hits: int, max_lines: int, rules: FindingsRules | None
) -> list[_Column]:
    """The query's report, where it is known, and those of the best hits."""
    own = answer.query.report
    columns = []
    if own is not None:
        heading = "The query" if answer.query.frames is None else "Its own report"
        lines = _lines(conclusion(own, rules), max_lines)
        columns.append(_Column(heading=heading, colour=_INK, below=(), lines=lines))
    for place, hit in enumerate(answer.hits[:num_hits]):
        names = hit.studies or (hit.item.name,)
        others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        below = [cut_text(visible(names[0]) + others, _COLUMN_PX, font(12))]
        if hit.percentile == hit.percentile:
            what = "clips" if answer.of_clips else "reports"
            below.append(f"cosine higher than {hit.percentile:.1f} % of the {what}")
        report = hit.item.report or ""
        if (compared := grid.beside(place)) is not None:
            counts = compared.counts
            below.append(f"{counts['agree']} findings agree, {counts['differ']} differ")
        columns.append(
            _Column(
                heading=f"#{hit.rank}  cosine {hit.cosine:.3f}{'  right' if hit.right else ''}",
                colour=_GOOD if hit.right else _INK,
                below=tuple(below),
                lines=_lines(conclusion(report, rules), max_lines),
            )
        )
    return columns


def _top_px(answer: Answer) -> int:
    """Height of the clip, or of the two lines that stand beside one."""
    return _STILL_PX if answer.query.frames is not None else 46


def _differs(row: GridRow, num_hits: int) -> bool:
    return any(cell.verdict == "differ" for cell in row.cells[:num_hits])


def _draw_head(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    top: int,
    answer: Answer,
    columns: Sequence[_Column],
) -> int:
    """Draw the clip and the conclusions; returns where the grid begins."""
    left = _MARGIN_PX
    if answer.query.frames is not None:
        strip = film_strip(answer.query.frames, num=_NUM_STILLS, side_px=_STILL_PX)
        sheet.paste(strip, (left, top))
        left += strip.width + _GAP_PX
    _write(draw, (left, top), answer.query.name, _INK, font(15, "Bold"))
    if answer.right_rank is not None:
        said = f"its own report: rank {answer.right_rank:,} of {answer.pool_size:,}"
        colour = _GOOD if answer.right_rank == 1 else _INK
    else:
        said, colour = f"the best of {answer.pool_size:,}", _INK
    draw.text((left, top + 26), said, fill=colour, font=font(15))
    top += _top_px(answer) + _GAP_PX
    draw.text((_MARGIN_PX, top), "Conclusions", fill=_SOFT, font=font(13))
    for number, column in enumerate(columns):
        left = _left(number)
        draw.text((left, top), column.heading, fill=column.colour, font=font(14, "Bold"))
        for place, line in enumerate(column.below):
            draw.text((left, top + 20 + place * _LINE_PX), line, fill=_SOFT, font=font(12))
        for place, line in enumerate(column.lines):
            y = top + 26 + (_NUM_BELOW + place) * _LINE_PX
            draw.text((left, y), line, fill=_INK, font=font(13))
    longest = max((len(column.lines) for column in columns), default=0)
    return top + 30 + (_NUM_BELOW + longest) * _LINE_PX + _GAP_PX


def _draw_grid(
    draw: ImageDraw.ImageDraw,
    top: int,
    rows: Sequence[GridRow],
    total: int,
    num_hits: int,
    *,
    known: bool,
) -> None:
    for number, row in enumerate(rows):
        y = top + number * _ROW_PX
        title = cut_text(visible(row.title), _TITLE_PX, font(13))
        draw.text((_MARGIN_PX, y), title, fill=_SOFT, font=font(13))
        cells = [Cell(row.query, None)] if known else []
        for place, cell in enumerate([*cells, *row.cells[:num_hits]]):
            left = _left(place)
            if cell.verdict in _BACK:
                box = (left - 6, y - 3, left + _COLUMN_PX, y + _ROW_PX - 5)
                draw.rectangle(box, fill=_BACK[cell.verdict])
            text = f"{_SIGNS.get(cell.verdict, '')}{visible(cell.text) or '–'}"
            ink = _CELL_INK.get(cell.verdict, _SOFT)
            draw.text((left, y), cut_text(text, _COLUMN_PX - 8, font(13)), fill=ink, font=font(13))
    if total > len(rows):
        y = top + len(rows) * _ROW_PX
        text = f"… {total - len(rows)} more findings"
        draw.text((_MARGIN_PX, y), text, fill=_SOFT, font=font(13))


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    colour: str,
    face: ImageFont.FreeTypeFont,
) -> None:
    """Write a line, as far as the sheet is wide."""
    width_px = draw.im.size[0] - _MARGIN_PX - at[0]
    draw.text(at, cut_text(visible(text), width_px, face), fill=colour, font=face)


def _left(column: int) -> int:
    return _MARGIN_PX + _TITLE_PX + column * (_COLUMN_PX + _GAP_PX)


def _lines(text: str, max_lines: int) -> tuple[str, ...]:
    """Break a text into lines of a column's width."""
    lines = break_lines(visible(text), _COLUMN_PX, font(13))
    if len(lines) > max_lines:
        cut = len(lines) - max_lines + 1
        lines = [*lines[: max_lines - 1], f"… {cut} more lines"]
    return tuple(lines)
