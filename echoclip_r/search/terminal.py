"""An answer on the terminal: the clip as coloured half blocks, the reports with phrases marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from echoclip_r.search.answers import Answer, Hit
from echoclip_r.search.pictures import half_blocks
from echotok.view.terminal import legend, to_terminal
from echotok.view.tree import View, visible

if TYPE_CHECKING:
    from echotok import Tokenizer

__all__ = ["show"]


def show(answer: Answer, tokenizer: Tokenizer | None) -> None:
    """Print an answer to stdout; pictures are drawn only on a terminal.

    Args:
        answer: the answer to show.
        tokenizer: the model's tokenizer where it is one of echotok's, to mark phrases and values;
            else None.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    query = answer.query
    console.print(f"{visible(query.name)}: the best {len(answer.hits)} of {answer.pool_size:,}")
    if console.is_terminal and query.frames is not None:
        console.print(half_blocks(query.frames))
    if tokenizer is not None:
        console.print(legend())
    for hit in answer.hits:
        console.print()
        if console.is_terminal and hit.item.frames is not None:
            console.print(half_blocks(hit.item.frames))
        _show_hit(hit, tokenizer, console)


def _show_hit(hit: Hit, tokenizer: Tokenizer | None, console: Console) -> None:
    same = f", {hit.num_same:,} times the same text" if hit.num_same > 1 else ""
    head = f"{hit.rank}. cosine {hit.cosine:.3f}, {hit.item.name}{same}"
    text = hit.item.report or ""
    if tokenizer is None:
        console.print(Text(visible(head), style="bold"), soft_wrap=not console.is_terminal)
        console.print(visible(text), soft_wrap=not console.is_terminal)
        return
    view = View(source=head, text=text, encoding=tokenizer.encode(text))
    console.print(to_terminal(view), soft_wrap=not console.is_terminal)
