"""Clips as pictures for pages and terminals."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.text import Text

__all__ = ["animated", "data_uri", "film_strip", "half_blocks", "moving"]

_STILLS = 3
"""Number of frames that a terminal shows side by side."""
_FRAME_MS = 120
"""How long each frame of a moving picture stays."""
_COLUMNS, _ROWS = 22, 11
"""Number of characters in the width of each of these frames."""


def film_strip(frames: NDArray[np.uint8], *, num: int, side_px: int = 160) -> Image.Image:
    """Some frames of a clip in a row, spread evenly over its length.

    Args:
        frames: uint8 RGB (T, S, S, 3).
        num: number of frames to show.
        side_px: side of each frame in the strip.
    """
    places = np.linspace(0, len(frames) - 1, num).round().astype(int)
    strip = Image.new("RGB", (num * side_px, side_px))
    for number, place in enumerate(places):
        frame = Image.fromarray(frames[place])
        strip.paste(
            frame.resize((side_px, side_px), Image.Resampling.BICUBIC), (number * side_px, 0)
        )
    return strip


def moving(frames: NDArray[np.uint8], *, side_px: int = 224, max_frames: int = 32) -> str:
    """A clip that plays by itself: a `data:` address with an animated WebP picture inside.

    Args:
        frames: uint8 RGB (T, S, S, 3); of more than `max_frames`, some spread evenly are shown.
        side_px: side of the picture; smaller frames keep their size.
        max_frames: largest number of frames.
    """
    encoded = animated(frames, side_px=side_px, max_frames=max_frames)
    return "data:image/webp;base64," + base64.b64encode(encoded).decode("ascii")


def animated(
    frames: NDArray[np.uint8], *, side_px: int = 224, max_frames: int = 32, method: int = 4
) -> bytes:
    """A clip that plays by itself, as an animated WebP picture.

    Args:
        frames: as in `moving`.
        side_px: as in `moving`.
        max_frames: as in `moving`.
        method: from 0, fast, to 6, small.
    """
    places = np.linspace(0, len(frames) - 1, min(len(frames), max_frames)).round().astype(int)
    size = min(side_px, frames.shape[1])
    pictures = [Image.fromarray(frames[place]) for place in places]
    pictures = [one.resize((size, size), Image.Resampling.LANCZOS) for one in pictures]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=_FRAME_MS,
        loop=0,
        quality=70,
        method=method,
    )
    return buffer.getvalue()


def data_uri(image: Image.Image) -> str:
    """A picture as a `data:` address with the JPEG inside, for an image on a page."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def half_blocks(frames: NDArray[np.uint8]) -> Text:
    """Some frames of a clip as characters: each shows two pixels, one above the other.

    Args:
        frames: uint8 RGB (T, S, S, 3).
    """
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
