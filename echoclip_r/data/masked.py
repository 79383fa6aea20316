"""Archives that were masked already: the picture is what is lit, and all around it is black.

That is checked and not guessed: lit pixels beside the picture, a second picture, or a frame without
black around it mean that the clip was not masked, or not well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from echoclip_r.data.outlines import PolygonShape

__all__ = ["lit_outline"]

# Above what coding leaves in black.
_LIT = 20
_GAP = 0.02
_MIN_AREA = 0.03
_MAX_BESIDE = 0.0005
_MIN_SOLID = 0.75
_MAX_AREA = 0.97
# Rows of the picture, from the top, in which one fan has no gap, and how wide a gap is one.
_UPPER = (0.1, 0.4)
_GAP_WIDTH = 0.05
_MIN_GAPS = 0.6


def lit_outline(frames: NDArray[np.uint8]) -> PolygonShape:
    """The outline of all that is ever lit in a clip that was masked.

    Args:
        frames: RGB (T, height, width, 3).

    Raises:
        ValueError: the clip was not masked; the message says what shows it.
    """
    height, width = frames.shape[1:3]
    peak = frames.max(axis=(0, 3))
    lit = ndimage.uniform_filter((peak > _LIT).astype(np.float32), 3) > 0.5
    gap = max(1, round(_GAP * max(height, width)))
    # Padded, so that closing does not eat what touches the frame's edge.
    near = ndimage.binary_dilation(np.pad(lit, gap), iterations=gap)
    closed = ndimage.binary_fill_holes(ndimage.binary_erosion(near, iterations=gap))
    closed = closed[gap:-gap, gap:-gap]
    labels, count = ndimage.label(closed)
    if not count:
        raise ValueError("it is black throughout")
    sizes = np.bincount(labels.ravel())[1:]
    largest = labels == int(sizes.argmax()) + 1
    if largest.mean() < _MIN_AREA:
        raise ValueError(
            f"what is lit in it is too small for a sector ({largest.mean():.1%} of it)"
        )
    beside = lit & ~ndimage.binary_dilation(largest, iterations=gap)
    if beside.mean() > _MAX_BESIDE:
        raise ValueError(
            f"lit pixels lie beside its picture ({beside.mean():.1%} of the frame): lettering, a "
            "screen or a second picture"
        )
    if closed.mean() > _MAX_AREA:
        raise ValueError("its picture fills the frame, so no black around it shows a mask")
    if _is_split(largest):
        raise ValueError("a gap from above parts what is lit in it: two pictures side by side")
    rows, columns = np.nonzero(largest)
    pixels = np.stack([columns, rows], axis=1)
    # Corners of pixels, so that the outline holds them whole.
    corners = np.concatenate([pixels + np.array([dx, dy]) for dx in (0, 1) for dy in (0, 1)])
    try:
        hull = ConvexHull(corners)
    except QhullError:
        raise ValueError("what is lit in it has no area") from None
    solid = float(largest.sum() / hull.volume)  # of a plane hull this is the area
    if solid < _MIN_SOLID:
        raise ValueError(
            f"what is lit in it is neither a fan nor a rectangle (it fills {solid:.0%} of the "
            "outline around it; two pictures, or a screen?)"
        )
    scale = float(max(height, width))
    points = tuple((float(x) / scale, float(y) / scale) for x, y in corners[hull.vertices].tolist())
    xs, ys = zip(*points, strict=True)
    return PolygonShape(
        apex=None,
        angles=(0.0, 0.0),
        radii=(0.0, 0.0),
        box=(min(xs), min(ys), max(xs), max(ys)),
        points=points,
    )


def _is_split(picture: NDArray[np.bool_]) -> bool:
    """Whether a gap that comes from above parts a picture whose holes are filled."""
    rows, columns = (np.flatnonzero(picture.any(axis=axis)) for axis in (1, 0))
    top, height, width = rows[0], len(rows), columns[-1] + 1 - columns[0]
    upper = picture[top + int(_UPPER[0] * height) : top + int(_UPPER[1] * height) + 1]
    gaps = 0
    for row in upper:
        lit = np.flatnonzero(row)
        gaps += len(lit) > 1 and int(np.diff(lit).max()) - 1 > _GAP_WIDTH * width
    return gaps > _MIN_GAPS * len(upper)
