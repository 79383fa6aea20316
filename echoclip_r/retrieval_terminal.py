"""An answer on the terminal: the clip as coloured half blocks, the reports with phrases marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echoclip_r.retrieval import Answer, Hit
from echotok.layout import View
from echotok.render import legend, to_terminal, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from echotok import Tokenizer

__all__ = ["half_blocks", "show"]

_COLUMNS, _ROWS = 22, 11
_STILLS = 3


def show(answer: Answer, tokenizer: Tokenizer | None) -> None:
    """Print an answer to stdout; pictures only where a person watches.

    Args:
        answer: what was found.
        tokenizer: of the model, where it is one of echotok's: it marks phrases and values.
    """
    from rich.console import Console

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
    from rich.text import Text

    same = f", {hit.num_same:,} times the same text" if hit.num_same > 1 else ""
    head = f"{hit.rank}. cosine {hit.cosine:.3f}, {hit.item.name}{same}"
    text = hit.item.report or ""
    if tokenizer is None:
        console.print(Text(visible(head), style="bold"), soft_wrap=not console.is_terminal)
        console.print(visible(text), soft_wrap=not console.is_terminal)
        return
    view = View(source=head, text=text, encoding=tokenizer.encode(text))
    console.print(to_terminal(view, tokenizer), soft_wrap=not console.is_terminal)


def half_blocks(frames: NDArray[np.uint8]) -> Text:
    """Some frames of a clip as characters: each shows two pixels, one above the other.

    Args:
        frames: uint8 (T, S, S, 3).
    """
    from rich.text import Text

    places = np.linspace(0, len(frames) - 1, _STILLS).round().astype(int)
    size = (_COLUMNS, 2 * _ROWS)
    stills = [np.asarray(Image.fromarray(frames[place]).resize(size)) for place in places]
    picture = np.concatenate(stills, axis=1)
    text = Text()
    for upper, lower in zip(picture[::2], picture[1::2], strict=True):
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", style=f"rgb{tuple(above)} on rgb{tuple(below)}".replace(" (", "("))
        text.append("\n")
    return text
