"""An answer on the terminal: the clip as coloured half blocks, and the findings as a table.

The reports' text is left out unless it is asked for, or no finding was read in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from echoclip_r.search.answers import Answer, Hit
from echoclip_r.search.comparison import (
    Cell,
    Comparison,
    GridRow,
    Verdict,
    make_grid,
    stretches,
)
from echoclip_r.search.pictures import half_blocks
from echotok.view.console import printing
from echotok.view.tree import visible

if TYPE_CHECKING:
    from rich.console import Console

    from echotok.findings.rules import FindingsRules

__all__ = ["show"]

_STYLES: dict[Verdict | None, str] = {
    "agree": "green",
    "differ": "bold red",
    "query": "dim",
    "hit": "dim",
    None: "",
}
_SIGNS: dict[Verdict | None, str] = {"agree": "✓ ", "differ": "≠ "}
_MOST_COLUMNS = 6
_MOST_NAMES = 4


def show(answer: Answer, rules: FindingsRules | None = None, *, full: bool = False) -> None:
    """Print an answer to stdout; pictures and colours are drawn only on a terminal.

    Args:
        answer: the answer to show.
        rules: findings to compare reports by; None for those that ship with echotok.
        full: print the text of each report, too.
    """
    with printing() as console:
        _show(answer, rules, full=full, console=console)


def _show(answer: Answer, rules: FindingsRules | None, *, full: bool, console: Console) -> None:
    query = answer.query
    what = "clips" if answer.of_clips else "reports"
    console.print(f"{visible(query.name)}: the best {len(answer.hits)} of {answer.pool_size:,}")
    if answer.right_rank is not None:
        console.print(f"its own report is rank {answer.right_rank:,}")
    for note in answer.notes:
        console.print(Text(visible(note), style="dim"), soft_wrap=not console.is_terminal)
    if console.is_terminal and query.frames is not None:
        console.print(half_blocks(query.frames))
    grid = make_grid(answer, rules)
    if grid.rows:
        console.print()
        _show_grid(grid.rows, answer.hits, known=grid.known, console=console)
    for place, hit in enumerate(answer.hits):
        console.print()
        if console.is_terminal and hit.item.frames is not None:
            console.print(half_blocks(hit.item.frames))
        compared = grid.beside(place)
        _show_hit(hit, compared, what, is_own=query.frames is not None, console=console)
        if hit.item.report is not None and (full or not grid.rows):
            _show_text(hit.item.report, compared, rules, console)


def _show_grid(
    rows: Sequence[GridRow], hits: Sequence[Hit], *, known: bool, console: Console
) -> None:
    """Print findings, a row each, beside what the query and the best hits say."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("finding")
    if known:
        table.add_column("query")
    for hit in hits[:_MOST_COLUMNS]:
        table.add_column(f"#{hit.rank}")
    for row in rows:
        own = [Text(visible(row.query) or "-")] if known else []
        cells = [_cell(cell) for cell in row.cells[:_MOST_COLUMNS]]
        table.add_row(Text(visible(row.title)), *own, *cells)
    console.print(table)


def _cell(cell: Cell) -> Text:
    text = f"{_SIGNS.get(cell.verdict, '')}{visible(cell.text) or '-'}"
    return Text(text, style=_STYLES[cell.verdict])


def _show_hit(
    hit: Hit, compared: Comparison | None, what: str, *, is_own: bool, console: Console
) -> None:
    names = hit.studies or (hit.item.name,)
    told = "; ".join(names[:_MOST_NAMES])
    if len(names) > _MOST_NAMES:
        told += f" and {len(names) - _MOST_NAMES:,} more"
    head = f"{hit.rank}. cosine {hit.cosine:.3f}, {told}"
    if hit.num_same > 1:
        head += f", {hit.num_same:,} times the same {'text' if what == 'reports' else 'clip'}"
    if hit.right:
        head += ", the query's own report" if is_own else ", the same text"
    console.print(Text(visible(head), style="bold"), soft_wrap=not console.is_terminal)
    said = []
    if hit.percentile == hit.percentile:
        said.append(f"cosine higher than {hit.percentile:.1f} % of the {what}")
    if compared is not None:
        counts = compared.counts
        said.append(
            f"findings: {counts['agree']} agree, {counts['differ']} differ, {counts['query']} only "
            f"the query says, {counts['hit']} only this one says"
        )
    if said:
        console.print("   " + "; ".join(said), soft_wrap=not console.is_terminal)


def _show_text(
    report: str, compared: Comparison | None, rules: FindingsRules | None, console: Console
) -> None:
    text = Text()
    for part, verdict in stretches(report, {} if compared is None else compared.verdicts, rules):
        text.append(visible(part), style=_STYLES[verdict])
    console.print(text, soft_wrap=not console.is_terminal)
