"""A doubtful clip settled by its siblings: clips of the same study or machine, of the same size.

What a clip looks like around its sector (`Look`) is kept coarsely, in cells in which no letter can
be read. Where at least two clips whose sectors are sure have the same surroundings as a doubtful
one, and agree with each other, their outline is tried on it. `echoclip_r.data.clips` has the last
word: the outline must hold for that clip's own pixels, too.

What is settled depends on the clips alone, not on the order in which they were looked at (I13).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from echoclip_r.data.outlines import Outline, PolygonShape
from echoclip_r.media.clip import Machine
from echoclip_r.sector.shape import SectorShape

__all__ = ["ClipLook", "Look", "Sibling", "cells_of", "from_json", "groups_of", "settle", "to_json"]

_CELLS = 24
_FINER = 4
_NUM_NEEDED = 2
_MOST_COMPARED = 48
_MIN_OVERLAP = 0.95
_MIN_AGREEING = 0.9
# Grey levels by which the surroundings of two clips may differ, in the mean and in a cell: a clock
# and a heart rate count on, and a trace is caught at other times.
_MEAN_LEVELS = 3.0
_CELL_LEVELS = 24.0
_MAX_OTHER_CELLS = 0.03
# A frozen picture is not settled: nothing tells its tissue from lettering.
_MIN_CHANGE = 3.0
_MIN_SHARE_OF_CHANGE = 0.25

Cells = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """A clip as it looks from far away.

    Attributes:
        width_px: columns of a frame.
        height_px: rows.
        machine: the scanner, as far as the file says.
        floor: the darkest that each cell is over time, uint8 (24, 24).
        peak: the brightest.
        shape: the outline of its sector where that is sure, else None.
    """

    width_px: int
    height_px: int
    machine: Machine
    floor: Cells
    peak: Cells
    shape: Outline | None

    def change_within(self, inside: Mask) -> float:
        """Grey levels by which cells of a mask (24, 24) change over time, in the mean."""
        return float((self.peak.astype(np.float32) - self.floor)[inside].mean())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClipLook:
    """A clip's look, and which clip it is.

    Attributes:
        key: of the clip in the shards.
        study_id: of its study.
        look: the look.
    """

    key: str
    study_id: str
    look: Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """What other clips say of a doubtful one.

    Attributes:
        shape: their outline.
        num_clips: how many agree on it.
        of: `study` or `machine`, which they have in common.
    """

    shape: Outline
    num_clips: int
    of: str


def cells_of(frames: NDArray[np.uint8]) -> tuple[Cells, Cells]:
    """The darkest and the brightest of each cell of some frames (T, height, width, 3)."""
    # Every pixel of a large frame would cost a fifteenth of finding its sector, and change nothing.
    step = max(1, min(frames.shape[1:3]) // (8 * _CELLS))
    small = np.stack(
        [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(frame[::step, ::step]))
                .convert("L")
                .resize((_CELLS, _CELLS), Image.Resampling.BOX)
            )
            for frame in frames
        ]
    )
    return small.min(axis=0), small.max(axis=0)


def inside_cells(shape: Outline, *, width_px: int, height_px: int) -> tuple[Mask, Mask]:
    """The cells that lie wholly inside an outline, and those wholly outside of it and not beside.

    Returns:
        Two masks (24, 24).
    """
    scale = _CELLS * _FINER / max(width_px, height_px)
    # Drawn at the frame's own proportions, then cut into cells.
    drawn = shape.mask(max(1, round(height_px * scale)), max(1, round(width_px * scale)))
    picture = Image.fromarray(drawn.astype(np.uint8) * 255)
    cells = np.asarray(picture.resize((_CELLS, _CELLS), Image.Resampling.BOX))
    return cells > 250, ~ndimage.binary_dilation(cells > 0)


def groups_of(clip: ClipLook) -> tuple[tuple[object, ...], ...]:
    """The groups that a clip belongs to: its study and, where it is known, its machine."""
    look, machine = clip.look, clip.look.machine
    size = (look.width_px, look.height_px)
    groups: list[tuple[object, ...]] = [("study", clip.study_id, *size)]
    if machine.model:
        groups.append(
            ("machine", machine.manufacturer, machine.model, machine.depth_mm, *size),
        )
    return tuple(groups)


def settle(clips: Iterable[ClipLook]) -> dict[str, Sibling]:
    """Find outlines for doubtful clips among their siblings.

    Args:
        clips: all clips of some groups, sure and doubtful ones, in any order.

    Returns:
        For the key of each doubtful clip that has such siblings, what they say.
    """
    groups: dict[tuple[object, ...], list[ClipLook]] = {}
    doubtful = []
    for clip in sorted(clips, key=lambda clip: clip.key):
        if clip.look.shape is None:
            doubtful.append(clip)
            continue
        for group in groups_of(clip):
            groups.setdefault(group, []).append(clip)
    found = {}
    for clip in doubtful:
        for group in groups_of(clip):
            if sibling := _settle_one(clip.look, groups.get(group, ()), str(group[0])):
                found[clip.key] = sibling
                break
    return found


def _settle_one(look: Look, sure: Sequence[ClipLook], of: str) -> Sibling | None:
    alike = list(_alike(look, sure))
    if len(alike) < _NUM_NEEDED:
        return None
    size = (96, max(1, round(96 * look.width_px / look.height_px)))
    masks = np.stack([shape.mask(*size) for shape in alike]).reshape(len(alike), -1)
    both = masks.astype(np.float32) @ masks.T.astype(np.float32)
    areas = masks.sum(axis=1)
    overlap = both / np.maximum(areas[:, None] + areas[None] - both, 1)
    middle = int(overlap.sum(axis=1).argmax())  # the first of equal ones
    agreeing = int((overlap[middle] >= _MIN_OVERLAP).sum())
    if agreeing < max(_NUM_NEEDED, _MIN_AGREEING * len(alike)):
        return None
    return Sibling(shape=alike[middle], num_clips=agreeing, of=of)


def _alike(look: Look, sure: Sequence[ClipLook]) -> Iterator[Outline]:
    """Outlines of clips whose surroundings are those of this one, and which move as it does."""
    num = 0
    for other in sure:
        shape = other.look.shape
        assert shape is not None, "only clips that are sure are asked"
        inside, outside = inside_cells(shape, width_px=look.width_px, height_px=look.height_px)
        if not inside.any() or not _same_surroundings(look, other.look, outside):
            continue
        least = max(_MIN_CHANGE, _MIN_SHARE_OF_CHANGE * other.look.change_within(inside))
        if look.change_within(inside) < least:
            continue
        yield shape
        num += 1
        if num == _MOST_COMPARED:
            return


def _same_surroundings(one: Look, other: Look, outside: Mask) -> bool:
    if not outside.any():
        return False
    for mine, theirs in ((one.floor, other.floor), (one.peak, other.peak)):
        levels = np.abs(mine.astype(np.float32) - theirs)[outside]
        if levels.mean() > _MEAN_LEVELS or (levels > _CELL_LEVELS).mean() > _MAX_OTHER_CELLS:
            return False
    return True


def to_json(clip: ClipLook) -> dict[str, Any]:
    """The record of a clip's look, ready for JSON."""
    look = clip.look
    return {
        "key": clip.key,
        "study_id": clip.study_id,
        "size": [look.width_px, look.height_px],
        "machine": [look.machine.manufacturer, look.machine.model, look.machine.depth_mm],
        "cells": [base64.b64encode(cells.tobytes()).decode() for cells in (look.floor, look.peak)],
        "shape": None if look.shape is None else shape_to_json(look.shape),
    }


def from_json(record: Mapping[str, Any]) -> ClipLook:
    """The inverse of `to_json`.

    Raises:
        KeyError, TypeError, ValueError: the record is not one of a look.
    """
    manufacturer, model, depth_mm = record["machine"]
    width_px, height_px = record["size"]
    floor, peak = (
        np.frombuffer(base64.b64decode(cells), np.uint8).reshape(_CELLS, _CELLS)
        for cells in record["cells"]
    )
    shape = record["shape"]
    return ClipLook(
        key=record["key"],
        study_id=record["study_id"],
        look=Look(
            width_px=width_px,
            height_px=height_px,
            machine=Machine(manufacturer=manufacturer, model=model, depth_mm=depth_mm),
            floor=floor,
            peak=peak,
            shape=None if shape is None else shape_from_json(shape),
        ),
    )


def shape_to_json(shape: Outline) -> dict[str, Any]:
    """An outline's record."""
    record: dict[str, Any] = {
        "apex": shape.apex,
        "angles": shape.angles,
        "radii": shape.radii,
        "box": shape.box,
    }
    if isinstance(shape, PolygonShape):
        record["points"] = shape.points
    return record


def shape_from_json(record: Mapping[str, Any]) -> Outline:
    """The inverse of `shape_to_json`."""
    left, top, right, bottom = record["box"]
    apex, angles, radii = record["apex"], record["angles"], record["radii"]
    common: dict[str, Any] = {
        "apex": None if apex is None else (apex[0], apex[1]),
        "angles": (angles[0], angles[1]),
        "radii": (radii[0], radii[1]),
        "box": (left, top, right, bottom),
    }
    if "points" in record:
        return PolygonShape(points=tuple((x, y) for x, y in record["points"]), **common)
    return SectorShape(**common)
