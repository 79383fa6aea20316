"""Embeddings of another image encoder as pictures, bit for bit.

A model with a frozen image tower of somebody else trains, validates, embeds and is evaluated as any
other one, on shards. Their "frames" are such pictures: the four bytes of each number, one after
another, as the red, green and blue of square PNG files. `echoclip_r.model.vector_tower` reads the
numbers back.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["side_px", "to_picture", "to_vector"]


def side_px(dimensions: int) -> int:
    """Side of the picture that holds a vector.

    Example:
        >>> side_px(512), side_px(3)
        (27, 2)
    """
    return math.isqrt(-(-4 * dimensions // 3) - 1) + 1


def to_picture(vector: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A vector (D,) as a picture, uint8 (S, S, 3).

    Example:
        >>> vector = np.array([0.5, -3.25e-9], np.float32)
        >>> bool((to_vector(to_picture(vector), dimensions=2) == vector).all())
        True
    """
    side = side_px(len(vector))
    content = np.zeros(3 * side * side, np.uint8)
    content[: 4 * len(vector)] = np.frombuffer(vector.astype("<f4").tobytes(), np.uint8)
    return content.reshape(side, side, 3)


def to_vector(picture: NDArray[np.uint8], *, dimensions: int) -> NDArray[np.float32]:
    """The vector (D,) in a picture."""
    found = np.frombuffer(picture.tobytes()[: 4 * dimensions], "<f4")
    return found.astype(np.float32)
