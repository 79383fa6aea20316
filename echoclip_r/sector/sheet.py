"""A sheet of clips before and after masking, drawn for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from echoclip_r.sector.find import Sector, apply_sector

__all__ = ["preview_sheet"]

Frames = NDArray[np.uint8]

_GAP_PX, _CAPTION_PX, _NUM_BLOCKS = 4, 12, 24
_PAPER, _SURE, _UNSURE = (48, 48, 48), (80, 230, 90), (255, 160, 0)


def preview_sheet(
    clips: Sequence[tuple[Frames, Sector]],
    *,
    labels: Sequence[str] | None = None,
    size_px: int = 224,
    columns: int = 3,
    show_outside: bool = False,
) -> Image.Image:
    """Draw the middle frame of each clip before and after blanking, for a person to look at.

    The sector's edge is drawn in green where it is sure and in orange where it is not. What lies
    outside of it is shown as coarse blocks, so that nobody's name leaves the archive on a sheet.

    Args:
        clips: frames, RGB, uint8, shape (T, height, width, 3), each with its sector.
        labels: a caption for each clip; None for the sector's own verdict.
        size_px: side of each picture.
        columns: pairs in a row.
        show_outside: show what lies outside as it is, burned-in names included.

    Returns:
        The sheet, RGB.

    Raises:
        ValueError: there are no clips, or not as many labels as clips.
    """
    if not clips:
        raise ValueError("a preview needs at least one clip")
    if labels is None:
        labels = ["sure" if sector.sure else sector.reason for _, sector in clips]
    cell = (2 * size_px + 3 * _GAP_PX, size_px + 2 * _GAP_PX + _CAPTION_PX)
    columns = min(columns, len(clips))
    num_rows = -(-len(clips) // columns)
    sheet = Image.new("RGB", (columns * cell[0], num_rows * cell[1]), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, ((frames, sector), label) in enumerate(zip(clips, labels, strict=True)):
        left = number % columns * cell[0] + _GAP_PX
        top = number // columns * cell[1] + _GAP_PX
        middle = frames[len(frames) // 2]
        before = _outlined(middle, sector, size_px, show_outside=show_outside)
        sheet.paste(before, (left, top))
        after = Image.fromarray(apply_sector(middle[None], sector, size_px)[0])
        sheet.paste(after, (left + size_px + _GAP_PX, top))
        while label and draw.textlength(label) > 2 * size_px:
            label = label[:-1]
        draw.text((left, top + size_px + 1), label, fill=_SURE if sector.sure else _UNSURE)
    return sheet


def _outlined(
    frame: NDArray[np.uint8], sector: Sector, size_px: int, *, show_outside: bool
) -> Image.Image:
    """A frame in a square, its sector's edge drawn in, the rest in coarse blocks or as it is."""
    picture = Image.fromarray(frame)
    if not show_outside:
        height, width = sector.mask.shape
        blocks = picture.reduce(max(4, max(height, width) // _NUM_BLOCKS)).resize(
            (width, height), Image.Resampling.NEAREST
        )
        picture = Image.composite(picture, blocks, Image.fromarray(sector.mask))
    scale = size_px / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    mask = np.asarray(Image.fromarray(sector.mask).resize(picture.size, Image.Resampling.NEAREST))
    pixels = np.array(picture)
    pixels[mask & ~ndimage.binary_erosion(mask)] = _SURE if sector.sure else _UNSURE
    square = Image.new("RGB", (size_px, size_px))
    square.paste(
        Image.fromarray(pixels), ((size_px - picture.width) // 2, (size_px - picture.height) // 2)
    )
    return square
