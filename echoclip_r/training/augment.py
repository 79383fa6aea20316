"""Random changes of a frame that leave what it shows as it is: a turn, a crop, a shift, a gain."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echoclip_r.model.settings import check, rule

__all__ = ["Augmentation", "Augmented"]


class Augmented(NamedTuple):
    """A changed frame.

    Attributes:
        frame: uint8 RGB (size, size, 3).
        gain: the factor of brightness that is still to be applied, on the model's device.
    """

    frame: NDArray[np.uint8]
    gain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far a frame may be changed.

    The crop is torchvision's RandomResizedCrop at a fixed aspect, which open_clip trains with; but
    that one draws from torch's only generator, which the model's dropout uses too.
    """

    min_crop: float = field(default=0.9, metadata=rule(least=0.1, most=1))
    """Smallest share of a frame's area that a random crop keeps; 1 for no crops."""
    max_gain: float = field(default=0.15, metadata=rule(least=0, most=0.9))
    """Largest share by which a frame is made brighter or darker; 0 for never."""
    max_shift_px: int = field(default=0, metadata=rule(least=0))
    """Most pixels by which a frame is moved, sideways and up or down; the strip that becomes free
    is black. 0 for never."""
    max_rotation_deg: float = field(default=0.0, metadata=rule(least=0, most=45))
    """Most degrees by which a frame is turned about its middle, to either side; 0 for never."""

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def none(cls) -> Augmentation:
        """Frames as they are."""
        return cls(min_crop=1.0, max_gain=0.0)

    def apply(self, picture: Image.Image, draw: random.Random, *, size_px: int) -> Augmented:
        """Change a frame by chance.

        Args:
            picture: RGB, of any size.
            draw: the item's own source of chance.
            size_px: the side of the model's frames.
        """
        width, height = picture.size
        if self.max_rotation_deg:
            angle = draw.uniform(-1, 1) * self.max_rotation_deg
            picture = picture.rotate(angle, Image.Resampling.BILINEAR)
        side = draw.uniform(self.min_crop, 1) ** 0.5
        left, top = draw.random() * (1 - side) * width, draw.random() * (1 - side) * height
        size = (size_px, size_px)
        if side < 1 or picture.size != size:
            box = (left, top, left + side * width, top + side * height)
            picture = picture.resize(size, Image.Resampling.BICUBIC, box=box)
        if self.max_shift_px:
            most = self.max_shift_px
            x, y = draw.randint(-most, most), draw.randint(-most, most)
            picture = picture.crop((x, y, x + size_px, y + size_px))
        gain = 1 + draw.uniform(-1, 1) * self.max_gain
        return Augmented(np.asarray(picture), gain)
