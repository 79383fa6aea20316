"""Letters in pictures: a font with the letters of most languages, and lines that fit a width."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import ImageFont

__all__ = ["break_lines", "cut_text", "font"]


@cache
def font(size_px: int, weight: str = "") -> ImageFont.FreeTypeFont:
    """DejaVu Sans, as matplotlib ships it.

    Args:
        size_px: height of a line of letters, about.
        weight: `Bold`, or nothing for the plain one.
    """
    import matplotlib

    name = f"DejaVuSans-{weight}.ttf" if weight else "DejaVuSans.ttf"
    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size_px
    )


def break_lines(text: str, width_px: int, face: ImageFont.FreeTypeFont) -> list[str]:
    """Break a text into lines of a width; a word that is longer than a line is cut."""
    lines = [""]
    for word in text.split():
        shown = cut_text(word, width_px, face)
        longer = f"{lines[-1]} {shown}".strip()
        if lines[-1] and face.getlength(longer) > width_px:
            lines.append(shown)
        else:
            lines[-1] = longer
    return lines


def cut_text(text: str, width_px: int, face: ImageFont.FreeTypeFont) -> str:
    """A text as far as it fits into a width."""
    if face.getlength(text) <= width_px:
        return text
    while text and face.getlength(f"{text}…") > width_px:
        text = text[: len(text) * 9 // 10]
    return f"{text}…"
