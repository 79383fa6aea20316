"""A file of sectors: what people know of an archive's pictures, row by row, in `sectors.csv`.

    video           the clip's file as the manifest writes it, or a pattern (`room3/*.dcm`)
    study_id        the study
    width_px, height_px         the size of a frame
    manufacturer, model, depth_mm   what a DICOM file says of the scanner
    decision        fan, polygon, keep or refuse
    points          of an outline: x,y x,y ... in pixels of a frame of width_px x height_px
    reason          why, e.g. for a refusal

A blank cell fits every clip, and a row holds for all clips that fit all of its cells; the first row
that fits a clip is the one that counts. A fan is three points (where its edges meet, its left and
its right lower corner) or four (the corners of a curved probe's picture, clockwise from the upper
left one). A polygon has three points or more. `keep` uses what was found although it is not sure;
`refuse` leaves the clip out.

A row that names one clip was made by somebody who looked at it; one for a whole machine was not, so
`echoclip_r.data.clips` still holds it against each clip.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import itertools
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from echoclip_r.data.cells import AS_IT_IS, TableFormat, read_cells
from echoclip_r.errors import ManifestError
from echoclip_r.media.clip import ClipInfo
from echoclip_r.places import place
from echoclip_r.sector.shape import SectorShape
from echotok.spelling import did_you_mean

__all__ = [
    "COLUMNS",
    "Outline",
    "Outlines",
    "PolygonShape",
    "Rule",
    "fingerprint_of",
    "read_outlines",
]

COLUMNS = (
    "video",
    "study_id",
    "width_px",
    "height_px",
    "manufacturer",
    "model",
    "depth_mm",
    "decision",
    "points",
    "reason",
)
_MATCHED = COLUMNS[:7]
_DECISIONS = ("fan", "polygon", "keep", "refuse")
_ESCAPED = re.compile(r"\[([*?\[])\]")
# A fan's apex may lie above its picture by so many of its heights: curved and cropped fans.
_APEX_ABOVE = 3.0
_MIN_AREA = 0.02
_MAX_NAMED = 5
_SAME_DEPTH_MM = 0.5

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolygonShape(SectorShape):
    """A shape with straight edges that a person drew.

    Attributes:
        points: (x, y) of its corners in units of the picture's longer side.
    """

    points: tuple[tuple[float, float], ...]

    def mask(self, height: int, width: int, *, margin_px: float = 0.0) -> Mask:
        """Draw the shape; see `SectorShape.mask`."""
        scale = float(max(height, width))
        picture = Image.new("1", (width, height))
        corners = [(x * scale - 0.5, y * scale - 0.5) for x, y in self.points]
        ImageDraw.Draw(picture).polygon(corners, fill=1)
        drawn: Mask = np.asarray(picture)
        if round(margin_px) > 0:
            drawn = ndimage.binary_erosion(drawn, iterations=round(margin_px))
        return drawn


Outline = SectorShape
"""A fan, a rectangle or a polygon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of a file of sectors.

    Attributes:
        row: number of the row as a spreadsheet shows it.
        video: the clip's file or a pattern, or "" for any; so are the next.
        study_id: the study.
        size_px: width and height of a frame, or None for any.
        manufacturer: of the scanner.
        model: of the scanner.
        depth_mm: how deep the picture reaches, or None for any.
        decision: `fan`, `polygon`, `keep` or `refuse`.
        shape: of a fan or a polygon.
        reason: why, in the words of whoever wrote it.
        cells: the row as it was written, in the order of `COLUMNS`.
    """

    row: int
    video: str
    study_id: str
    size_px: tuple[int, int] | None
    manufacturer: str
    model: str
    depth_mm: float | None
    decision: str
    shape: Outline | None
    reason: str
    cells: tuple[str, ...]

    def names(self, video: str) -> bool:
        """Whether the row is about this very clip, and not about a group of clips.

        A bare file name is about a group: scanners call the files of every study alike.
        """
        file = _posix(video)
        return self.video in (file, glob.escape(file))

    def may_fit(self, *, video: str, path: str, study_id: str) -> bool:
        """Whether the row fits by what the manifest says of a clip."""
        return (not self.study_id or self.study_id == study_id) and (
            not self.video
            or self.names(video)
            or self.video in (_base(_posix(video)), glob.escape(_base(_posix(video))))
            or any(fnmatch.fnmatchcase(name, self.video) for name in self._spellings(video, path))
        )

    def fits(self, info: ClipInfo) -> bool:
        """Whether the row fits by what the clip's file says."""
        machine = info.machine
        return (
            self.size_px in (None, (info.width_px, info.height_px))
            and self.manufacturer.casefold() in ("", machine.manufacturer.casefold())
            and self.model.casefold() in ("", machine.model.casefold())
            and (
                self.depth_mm is None
                or (
                    machine.depth_mm is not None
                    and abs(self.depth_mm - machine.depth_mm) <= _SAME_DEPTH_MM
                )
            )
        )

    @property
    def key(self) -> str:
        """Tells the row from others wherever it stands in the file."""
        return hashlib.sha256(json.dumps(self.cells).encode()).hexdigest()[:16]

    def _spellings(self, video: str, path: str) -> Iterable[str]:
        yield _posix(video)
        yield _posix(path)
        if "/" not in self.video:
            yield _base(_posix(video))


class Outlines:
    """All rows of a file of sectors.

    Args:
        rules: the rows in order.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        # A page writes a row for each clip: these are looked up, the others are tried one by one.
        self._by_name: dict[str, list[int]] = {}
        self._others: list[int] = []
        for at, rule in enumerate(self.rules):
            plain = _ESCAPED.sub(r"\1", rule.video)
            if rule.video and (glob.escape(plain) == rule.video or not glob.has_magic(rule.video)):
                self._by_name.setdefault(plain, []).append(at)
            else:
                self._others.append(at)

    def for_clip(self, *, video: str, path: str, study_id: str) -> tuple[Rule, ...]:
        """The rows that may hold for a clip, in order; its file's size and machine decide."""
        file = _posix(video)
        names = {file, _base(file), _posix(path)}
        places = sorted(
            {*self._others, *itertools.chain(*(self._by_name.get(name, ()) for name in names))}
        )
        return tuple(
            rule
            for rule in (self.rules[place] for place in places)
            if rule.may_fit(video=video, path=path, study_id=study_id)
        )

    def unused(self, used: Collection[str]) -> tuple[int, ...]:
        """The numbers of the rows whose keys are not among those used."""
        return tuple(rule.row for rule in self.rules if rule.key not in used)


def fingerprint_of(rules: Sequence[Rule]) -> str:
    """Tells whether the rows that may hold for a clip are still the same; "" for none."""
    return " ".join(rule.key for rule in rules)


def read_outlines(path: str | Path, *, form: TableFormat = AS_IT_IS) -> Outlines:
    """Read and check a file of sectors.

    Args:
        path: a `.csv`, `.tsv` or `.parquet` file.
        form: how it is written, where that is not to be told from the file.

    Raises:
        ManifestError: the file cannot be read, or has wrong columns or values; the message names
            the rows.
    """
    path = place(path)
    rules: list[Rule] = []
    wrong: list[str] = []
    with read_cells(path, ids=("study_id",), names=COLUMNS, form=form, what="file of sectors") as (
        header,
        rows,
    ):
        _check_header(path, header)
        for row in rows:
            try:
                if row.problem:
                    raise ValueError(row.problem)
                rules.append(_rule(row.number, dict(zip(header, row.cells, strict=True))))
            except ValueError as error:
                wrong.append(f"row {row.number}: {error}")
    if wrong:
        more = f"; and {len(wrong) - _MAX_NAMED} rows more" if len(wrong) > _MAX_NAMED else ""
        raise ManifestError(f"{path}: {'; '.join(wrong[:_MAX_NAMED])}{more}")
    if not rules:
        raise ManifestError(
            f"{path}: no row below the header; a file of sectors has a row for each decision"
        )
    return Outlines(rules)


def _check_header(path: Path, header: Sequence[str]) -> None:
    unknown = [name for name in header if name and name not in COLUMNS]
    if "decision" not in header or unknown:
        what = f"has the unknown column {unknown[0]!r}" if unknown else "has no column 'decision'"
        raise ManifestError(
            f"{path}: row 1 {what}; a file of sectors has the column decision and any of "
            f"{', '.join(name for name in COLUMNS if name != 'decision')}"
            f"{did_you_mean(unknown[0], COLUMNS) if unknown else ''}"
        )


def _rule(number: int, cells: Mapping[str, str]) -> Rule:
    decision = cells["decision"].lower()
    if decision not in _DECISIONS:
        raise ValueError(f"column 'decision' must be one of {', '.join(_DECISIONS)}")
    if not any(cells.get(name) for name in _MATCHED):
        raise ValueError(
            f"it would hold for every clip; fill at least one of the columns {', '.join(_MATCHED)}"
        )
    size = [_length(cells.get(name, ""), name) for name in ("width_px", "height_px")]
    if (size[0] is None) != (size[1] is None):
        raise ValueError("width_px and height_px go together; fill both or none")
    size_px = None if size[0] is None or size[1] is None else (round(size[0]), round(size[1]))
    points = _points(cells.get("points", ""))
    shape = None
    if decision in ("fan", "polygon"):
        if size_px is None:
            raise ValueError(
                "an outline needs width_px and height_px, the size of the frame that it was "
                "drawn on"
            )
        shape = _fan(points, size_px) if decision == "fan" else _polygon(points, size_px)
        area = shape.mask(size_px[1], size_px[0]).mean()
        if area < _MIN_AREA:
            raise ValueError(
                f"the outline covers {area:.1%} of the picture; no sector is so small. Are the "
                "points in pixels of a frame?"
            )
    elif points:
        raise ValueError(f"the decision {decision} has no points; leave the cell blank")
    if decision == "keep" and not cells.get("video"):
        raise ValueError(
            "keep holds for a clip that somebody has looked at: name it in the column video; for "
            "more than one clip give an outline"
        )
    return Rule(
        row=number,
        video=_posix(cells.get("video", "")),
        study_id=cells.get("study_id", ""),
        size_px=size_px,
        manufacturer=" ".join(cells.get("manufacturer", "").split()),
        model=" ".join(cells.get("model", "").split()),
        depth_mm=_length(cells.get("depth_mm", ""), "depth_mm"),
        decision=decision,
        shape=shape,
        reason=cells.get("reason", ""),
        cells=tuple(cells.get(name, "") for name in COLUMNS),
    )


def _length(cell: str, name: str) -> float | None:
    if not cell:
        return None
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf or (name != "depth_mm" and not number.is_integer()):
        kind = "number" if name == "depth_mm" else "whole number"
        raise ValueError(f"column {name!r} must be a {kind} above 0, or blank")
    return number


def _points(cell: str) -> list[tuple[float, float]]:
    points = []
    for pair in cell.replace(";", " ").split():
        try:
            x, y = map(float, pair.split(","))
        except ValueError:
            x = y = math.nan
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError(
                "column 'points' must hold pairs of numbers, x,y with a space between the pairs: "
                "400,20 90,560 710,560"
            )
        points.append((x, y))
    return points


def _fan(points: Sequence[tuple[float, float]], size_px: tuple[int, int]) -> SectorShape:
    if len(points) == 3:
        apex, *lower = points
        left, right = sorted(lower)
        inner = 0.0
    elif len(points) == 4:
        upper_left, upper_right, right, left = points
        apex = _crossing((upper_left, left), (upper_right, right))
        inner = (math.dist(apex, upper_left) + math.dist(apex, upper_right)) / 2
    else:
        raise ValueError(
            f"a fan has 3 points (where its edges meet, then its lower corners) or 4 (its corners "
            f"clockwise from the upper left one), not {len(points)}"
        )
    _check_inside(points[1:] if len(points) == 3 else points, size_px)
    width, height = size_px
    if not (-width <= apex[0] <= 2 * width and -_APEX_ABOVE * height <= apex[1] < height):
        raise ValueError(
            f"its edges meet at {apex[0]:.0f},{apex[1]:.0f}, too far outside of the picture of "
            f"{width} x {height}; draw it as a polygon"
        )
    if min(left[1], right[1]) <= apex[1] or not left[0] < right[0]:
        raise ValueError(
            "a fan opens downwards: its lower corners must lie below the point where its edges "
            "meet, one left and one right; draw any other shape as a polygon"
        )
    angles = tuple(math.atan2(x - apex[0], y - apex[1]) for x, y in (left, right))
    outer = (math.dist(apex, left) + math.dist(apex, right)) / 2
    scale = float(max(size_px))
    return SectorShape(
        apex=(apex[0] / scale, apex[1] / scale),
        angles=(angles[0], angles[1]),
        radii=(inner / scale, outer / scale),
        box=(0.0, 0.0, width / scale, height / scale),
    )


def _crossing(
    first: tuple[tuple[float, float], tuple[float, float]],
    second: tuple[tuple[float, float], tuple[float, float]],
) -> tuple[float, float]:
    """Where two lines, each through two points, meet."""
    (x1, y1), (x2, y2) = first
    (x3, y3), (x4, y4) = second
    turn = (x1 - x2) * (y3 - y4) - (y1 - y2) * (x3 - x4)
    if abs(turn) < 1e-6:
        raise ValueError("its edges are parallel and never meet; draw it as a polygon")
    a, b = x1 * y2 - y1 * x2, x3 * y4 - y3 * x4
    return (
        (a * (x3 - x4) - (x1 - x2) * b) / turn,
        (a * (y3 - y4) - (y1 - y2) * b) / turn,
    )


def _polygon(points: Sequence[tuple[float, float]], size_px: tuple[int, int]) -> PolygonShape:
    if len(points) < 3:
        raise ValueError(f"a polygon has 3 points or more, not {len(points)}")
    _check_inside(points, size_px)
    scale = float(max(size_px))
    corners = tuple((x / scale, y / scale) for x, y in points)
    xs, ys = zip(*corners, strict=True)
    return PolygonShape(
        apex=None,
        angles=(0.0, 0.0),
        radii=(0.0, 0.0),
        box=(min(xs), min(ys), max(xs), max(ys)),
        points=corners,
    )


def _check_inside(points: Iterable[tuple[float, float]], size_px: tuple[int, int]) -> None:
    width, height = size_px
    for x, y in points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise ValueError(
                f"the point {x:g},{y:g} does not lie in the picture of {width} x {height}"
            )


def _posix(name: str) -> str:
    return name.replace("\\", "/")


def _base(name: str) -> str:
    return PurePosixPath(name).name
