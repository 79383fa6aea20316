"""Phantom clips in the looks of many machines, harder than the archive's own: a measuring rod.

    Look (what a machine does to a picture and puts around it) + seed -> render_look -> LookClip

The simulated hearts are those of `ultrasound`; what differs is what the finder of the sector must
cope with: blacks clamped to nothing, persistence, a near field that stands still, gain that leaves
a half dark, colour boxes, curved and linear probes, cropped and masked fans, screens of several
makes with ticks, grey wedges, traces and lettering over the edge. And clips that must be refused:
two fans, duplex, a montage, M-mode, spectral Doppler, a probe in air, a still picture, a fan on its
side. The true mask and every lettered pixel are known. The archive (`echoclip_r.phantom.archive`)
uses none of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.picture.anatomy import Floats
from echoclip_r.phantom.picture.ultrasound import scan, set_scene

__all__ = ["LOOKS", "REFUSED", "Look", "LookClip", "render_look"]

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Probe = Literal["phased", "convex", "linear", "trapezoid"]
Range = tuple[float, float]

_NUM_FRAMES = 16
_NUM_HEARTS = 32
_SCAN_PX = 160
# Brighter than this, of 255, is seen.
_SEEN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a machine does to a picture and what it puts around it.

    Attributes:
        name: of the look.
        probe: phased (a fan to a point), convex, linear (a rectangle) or trapezoid.
        size: height and width of the screen in pixels.
        half_angle_deg: from and to; not of a linear probe.
        reach: from and to, how deep the picture goes, of the screen's height.
        zoom: from and to; above 1 the sides or the bottom leave the screen.
        black: from and to, the share of the picture that is clamped to black in every frame.
        persistence: from and to, how much of the last frame stays.
        near_field: how often the near field stands still.
        dim_half: how often one half is far darker than the other.
        colour_box: how often there is one.
        tilt_deg: how far the fan's axis leans, at most.
        ground: grey level of the screen.
        tint: of tissue.
        decor: what stands around: names of drawings.
        frames: from and to.
        held_out: kept for testing: no rule was fitted to it.
    """

    name: str
    probe: Probe = "phased"
    size: tuple[int, int] = (480, 640)
    half_angle_deg: Range = (32.0, 46.0)
    reach: Range = (0.72, 0.92)
    zoom: Range = (1.0, 1.0)
    black: Range = (0.03, 0.45)
    persistence: Range = (0.0, 0.6)
    near_field: float = 0.5
    dim_half: float = 0.2
    colour_box: float = 0.15
    tilt_deg: float = 0.0
    ground: int = 0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    decor: tuple[str, ...] = ()
    frames: tuple[int, int] = (8, 16)
    held_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LookClip:
    """A clip and what is known of it.

    Attributes:
        frames: RGB, uint8 (T, height, width, 3).
        truth: bool (height, width); the picture as deep as it ever shows anything.
        lettering: bool (height, width); pixels that lettering, marks or a trace cover in any frame.
    """

    frames: Bytes
    truth: Mask
    lettering: Mask


_CART = ("name", "column", "wedge", "ticks", "logo", "clock")
LOOKS: tuple[Look, ...] = (
    Look(name="bare fan", decor=("edge ticks",), size=(600, 800), black=(0.16, 0.54)),
    Look(name="cart", decor=(*_CART, "trace")),
    Look(
        name="cart, large", size=(708, 1016), decor=(*_CART, "trace below"), tint=(1.0, 0.95, 0.8)
    ),
    Look(name="grey screen", ground=28, decor=("bar", "name", "wedge", "ticks", "trace below")),
    Look(
        name="masked, 112 px",
        size=(112, 112),
        zoom=(1.0, 1.25),
        reach=(0.9, 1.0),
        half_angle_deg=(36.0, 46.0),
    ),
    Look(
        name="112 px with marks",
        size=(112, 112),
        zoom=(1.0, 1.2),
        reach=(0.88, 1.0),
        decor=("edge ticks", "logo"),
    ),
    Look(name="zoomed", zoom=(1.15, 1.5), decor=("name", "wedge", "edge ticks")),
    Look(
        name="convex",
        probe="convex",
        half_angle_deg=(25.0, 36.0),
        decor=("name", "column", "wedge", "ticks"),
    ),
    Look(name="linear", probe="linear", decor=("name", "ticks", "wedge", "column")),
    Look(
        name="handheld",
        probe="trapezoid",
        size=(960, 700),
        reach=(0.6, 0.75),
        half_angle_deg=(7.0, 14.0),
        decor=("name", "ticks"),
    ),
    Look(name="lettering over the edge", decor=("across", "wedge", "ticks")),
    Look(name="colour", colour_box=1.0, decor=(*_CART, "colour wedge")),
    Look(name="white trace", decor=("name", "ticks", "white trace"), reach=(0.78, 0.9)),
    Look(
        name="blue screen",
        probe="convex",
        size=(540, 720),
        half_angle_deg=(22.0, 40.0),
        decor=("bar", "name", "wedge left", "toolbar", "clock"),
        colour_box=0.3,
    ),
    # For testing alone.
    Look(
        name="masked, 128 px",
        size=(128, 128),
        zoom=(1.0, 1.35),
        reach=(0.85, 1.0),
        half_angle_deg=(30.0, 48.0),
        black=(0.16, 0.54),
        held_out=True,
    ),
    Look(
        name="wide and tilted",
        size=(576, 768),
        half_angle_deg=(44.0, 54.0),
        tilt_deg=2.5,
        reach=(0.6, 0.85),
        decor=("name", "column", "body mark", "trace", "ticks"),
        tint=(1.0, 0.85, 0.6),
        held_out=True,
    ),
    Look(
        name="portrait phone",
        size=(800, 450),
        reach=(0.4, 0.5),
        half_angle_deg=(36.0, 45.0),
        decor=("bar", "name", "toolbar", "edge ticks"),
        black=(0.1, 0.5),
        held_out=True,
    ),
    Look(
        name="narrow, dim",
        size=(480, 640),
        half_angle_deg=(26.0, 34.0),
        dim_half=0.6,
        black=(0.2, 0.5),
        decor=(*_CART, "trace below"),
        held_out=True,
    ),
    Look(
        name="sweeping trace",
        size=(434, 636),
        half_angle_deg=(34.0, 45.0),
        reach=(0.75, 0.88),
        decor=("name", "wedge left", "logo", "ticks", "sweep"),
        tint=(0.9, 0.95, 1.0),
        held_out=True,
    ),
    Look(
        name="tablet",
        probe="convex",
        size=(600, 860),
        half_angle_deg=(26.0, 36.0),
        reach=(0.75, 0.95),
        decor=("toolbar", "column", "wedge", "ticks"),
        tint=(0.95, 1.0, 1.0),
        held_out=True,
    ),
    Look(
        name="convex, small",
        probe="convex",
        size=(240, 320),
        half_angle_deg=(28.0, 38.0),
        decor=("name", "ticks", "wedge"),
        black=(0.1, 0.5),
        held_out=True,
    ),
)
"""The looks that show one moving picture."""

_DUAL = Look(
    name="half of a dual screen", size=(480, 400), half_angle_deg=(30.0, 40.0), reach=(0.7, 0.85)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Geometry:
    """Where the picture is on the screen, in pixels; a linear probe's apex is None."""

    apex: tuple[float, float] | None
    angles: tuple[float, float]
    radii: tuple[float, float]
    box: tuple[float, float, float, float]


def render_look(look: Look, seed: int) -> LookClip:
    """Make a clip in a look; the same look and seed give the same clip.

    Args:
        look: one of `LOOKS`.
        seed: 0 or more: which heart, and everything that a look leaves open.
    """
    rng = np.random.default_rng([seed, *look.name.encode()])
    polar = _treat(_heart(int(rng.integers(_NUM_HEARTS))), look, rng)
    geometry = _place(look, rng)
    grey, inside, colour = _draw_picture(polar, geometry, look, rng)
    frames = np.full((*grey.shape, 3), look.ground, np.uint8)
    frames[:, inside] = np.clip(grey[:, inside, None] * np.array(look.tint), 0, 255).astype(
        np.uint8
    )
    if colour is not None:
        painted, where = colour
        frames[where] = painted[where]
    seen = (frames.max(axis=-1) > _SEEN).any(axis=0) & inside
    truth = inside
    if look.ground <= _SEEN:  # on a lighter screen the black of the picture is seen as well
        truth = inside & (_depth_of(geometry, inside.shape) <= _deepest(geometry, seen))
    lettering = np.zeros(inside.shape, bool)
    for name in look.decor:
        _DECOR[name](frames, lettering, truth, geometry, rng)
    return LookClip(frames=frames, truth=truth, lettering=lettering)


@lru_cache(maxsize=_NUM_HEARTS)
def _heart(number: int) -> Floats:
    """A beating heart over (frames, ranges, beams), brightness 0 to 1."""
    latents = sample_patient(number, seed=12)[0]
    scene, scanner, rng = set_scene(latents, _NUM_FRAMES, _SCAN_PX, seed=number)
    # Little electronic noise: it is what made our own clips move everywhere.
    scanner = replace(scanner, noise_db=scanner.noise_db - 6, haze_db=scanner.haze_db - 4)
    return scan(scene, scanner, rng).astype(np.float32)


def _treat(polar: Floats, look: Look, rng: np.random.Generator) -> Floats:
    """Gain, clamp, persistence and a near field that stands still."""
    num_frames = int(rng.integers(look.frames[0], look.frames[1] + 1))
    picks = np.unique(np.linspace(0, len(polar) - 1, num_frames).round()).astype(int)
    polar = polar[picks].copy()
    _, ranges, beams = polar.shape
    depth = np.linspace(0, 1, ranges, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, beams, dtype=np.float32)
    gain = np.interp(depth[:, 0], np.linspace(0, 1, 5), rng.uniform(-0.12, 0.14, 5))
    polar += gain.astype(np.float32)[:, None]
    if rng.random() < look.dim_half:
        side = rng.choice([-1.0, 1.0])
        start = rng.uniform(-0.2, 0.4)
        # A poor contact: the half fades out below the near field.
        fade = np.clip((side * across - start) / 0.4, 0, 1) * np.clip((depth - 0.12) / 0.2, 0, 1)
        polar -= rng.uniform(0.2, 0.5) * fade
    # Of each cell of the screen, not of the polar grid, whose cells near the probe are small.
    weight = np.repeat(depth[:, 0] + 0.1, beams)
    brightest = polar.max(axis=0).ravel()
    order = np.argsort(brightest)
    share = np.cumsum(weight[order]) / weight.sum()
    clamp = brightest[order][np.searchsorted(share, rng.uniform(*look.black))]
    polar = np.clip((polar - clamp) / max(1 - clamp, 0.3), 0, 1)
    stay = rng.uniform(*look.persistence)
    for earlier, later in itertools.pairwise(polar):
        later *= 1 - stay
        later += stay * earlier
    if rng.random() < look.near_field:
        reach = rng.uniform(0.06, 0.2)
        bands = 0.5 + 0.5 * np.sin(depth / reach * rng.uniform(6, 20))
        grain = ndimage.gaussian_filter(rng.random((ranges, beams)), (1.0, 4.0))
        still = (0.35 + 0.5 * bands * (grain / grain.max())) * np.exp(-((depth / reach) ** 3))
        np.maximum(polar, still.astype(np.float32), out=polar)
    return polar


def _place(look: Look, rng: np.random.Generator) -> _Geometry:
    height, width = look.size
    reach = rng.uniform(*look.reach) * height
    zoom = rng.uniform(*look.zoom)
    middle = width * rng.uniform(0.47, 0.53)
    top = height * rng.uniform(0.03, 0.09) if height > 200 else height * rng.uniform(0.0, 0.05)
    whole = (0.0, 0.0, float(width), float(height))
    half = np.deg2rad(rng.uniform(*look.half_angle_deg))
    if look.probe == "linear":
        top = height * rng.uniform(0.1, 0.2)
        deep = min(reach, 0.94 * height - top)
        wide = min(deep * rng.uniform(0.7, 1.3), 0.62 * width)
        return _Geometry(
            apex=None,
            angles=(0.0, 0.0),
            radii=(0.0, 0.0),
            box=(middle - wide / 2, top, middle + wide / 2, top + deep),
        )
    if look.probe == "phased":
        lean = np.deg2rad(rng.uniform(-look.tilt_deg, look.tilt_deg))
        room = 0.98 * min(middle, width - middle) / np.sin(half)
        reach = zoom * (reach if zoom > 1 else min(reach, room))
        inner = rng.uniform(0.0, 0.04) * reach
        return _Geometry(
            apex=(middle, top), angles=(lean - half, lean + half), radii=(inner, reach), box=whole
        )
    # A footprint: the face of a curved probe, or the flat face of a linear one that fans out.
    top = height * rng.uniform(0.08, 0.16)
    deep = min(reach, 0.95 * height - top)
    face = rng.uniform(0.35, 0.8) if look.probe == "convex" else rng.uniform(1.2, 2.5)
    room = 0.94 * min(middle, width - middle) / np.sin(half)
    scale = min(1.0, room / (deep * (1 + face)))
    inner, outer = scale * face * deep, scale * deep * (1 + face)
    if look.probe == "convex":
        apex = (middle, top - inner * np.cos(half))
        return _Geometry(apex=apex, angles=(-half, half), radii=(inner, outer), box=whole)
    apex = (middle, top - inner)
    return _Geometry(
        apex=apex, angles=(-half, half), radii=(0.0, outer), box=(0.0, top, width, height)
    )


def _depth_of(geometry: _Geometry, shape: tuple[int, int]) -> Floats:
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    depth: Floats = y
    if geometry.apex is None:
        return depth
    depth = np.hypot(x - geometry.apex[0], y - geometry.apex[1])
    return depth


def _deepest(geometry: _Geometry, seen: Mask) -> float:
    depth = _depth_of(geometry, seen.shape)[seen]
    # A few specks do not tell a viewer how deep it goes.
    return float(np.quantile(depth, 0.998)) + 1.0 if len(depth) else 0.0


def _draw_picture(
    polar: Floats, geometry: _Geometry, look: Look, rng: np.random.Generator
) -> tuple[Bytes, Mask, tuple[Bytes, Mask] | None]:
    """Grey frames, the true mask, and the colour of a colour box with where it is painted."""
    height, width = look.size
    y, x = np.mgrid[:height, :width] + 0.5
    left, top, right, bottom = geometry.box
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    if geometry.apex is None:
        deep, across = (y - top) / (bottom - top), (x - left) / (right - left)
    else:
        dx, dy = x - geometry.apex[0], y - geometry.apex[1]
        radius, angle = np.hypot(dx, dy), np.arctan2(dx, dy)
        first, last = geometry.angles
        inner, outer = geometry.radii
        inside &= (radius >= inner) & (radius <= outer) & (angle >= first) & (angle <= last)
        near = max(inner, top - geometry.apex[1]) if look.probe == "trapezoid" else inner
        deep, across = (radius - near) / (outer - near), (angle - first) / (last - first)
    _, ranges, beams = polar.shape
    places = np.stack([deep[inside] * (ranges - 1), across[inside] * (beams - 1)])
    grey = np.zeros((len(polar), height, width), np.uint8)
    for frame, picture in zip(polar, grey, strict=True):
        level = ndimage.map_coordinates(frame, places, order=1, mode="nearest")
        picture[inside] = (255 * np.clip(level, 0, 1)).astype(np.uint8)
    if rng.random() >= look.colour_box:
        return grey, inside, None
    low, wide = rng.uniform(0.2, 0.4), rng.uniform(0.25, 0.4)
    start, long = rng.uniform(0.1, 0.5), rng.uniform(0.25, 0.4)
    box = (across > low) & (across < low + wide) & (deep > start) & (deep < start + long) & inside
    rim = box & ~ndimage.binary_erosion(box, iterations=max(1, height // 400))
    frames = np.zeros((len(polar), height, width, 3), np.uint8)
    where = np.zeros(frames.shape[:3], bool)
    for number in range(len(polar)):
        flow = ndimage.gaussian_filter(rng.normal(size=(height // 4 + 1, width // 4 + 1)), 4)
        flow = (flow / np.abs(flow).max()).repeat(4, 0).repeat(4, 1)[:height, :width]
        frames[number][box & (flow > 0.3)] = (220, 60, 20)
        frames[number][box & (flow < -0.3)] = (20, 60, 230)
        where[number] = (box & (np.abs(flow) > 0.3)) | rim
        frames[number][rim] = (230, 230, 230)
    return grey, inside, (frames, where)


# -- what stands around ----------------------------------------------------------------------

Drawing = Callable[[Bytes, Mask, Mask, _Geometry, np.random.Generator], None]


def _put(frames: Bytes, lettering: Mask, still: Bytes, avoid: Mask | None = None) -> None:
    """Lay a still drawing over all frames; ``avoid`` stays free of it."""
    lit = still.max(axis=-1) > 0
    if avoid is not None:
        lit &= ~avoid
    frames[:, lit] = still[lit]
    lettering |= lit


def _canvas(frames: Bytes) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (frames.shape[2], frames.shape[1]))
    return image, ImageDraw.Draw(image)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _words(rng: np.random.Generator, letters: int) -> str:
    return "".join(rng.choice(list("ABCDEFGHIKLMNOPRSTUVXYZ0123456789^. "), letters))


def _letter_px(frames: Bytes, rng: np.random.Generator) -> int:
    return int(max(9, frames.shape[1] * rng.uniform(0.024, 0.036)))


def _around(truth: Mask) -> Mask:
    return ndimage.binary_dilation(truth, iterations=3)


def _name(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    image, draw = _canvas(frames)
    size = _letter_px(frames, rng)
    for line in range(3):
        draw.text(
            (3, 2 + line * (size + 1)), _words(rng, 13), fill=(240, 235, 200), font=_font(size)
        )
    text = _words(rng, 10)
    draw.text(
        (frames.shape[2] - draw.textlength(text, _font(size)) - 3, 2),
        text,
        fill=(220, 220, 240),
        font=_font(size),
    )
    _put(frames, lettering, np.array(image), _around(truth))


def _column(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    image, draw = _canvas(frames)
    size = _letter_px(frames, rng)
    for line in range(8):
        place = (3, frames.shape[1] * 0.3 + line * (size + 3))
        draw.text(place, _words(rng, 5), fill=(180, 200, 180), font=_font(size))
    _put(frames, lettering, np.array(image), _around(truth))


def _across(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    """A line of letters that begins outside of the picture and ends inside of it."""
    image, draw = _canvas(frames)
    size = _letter_px(frames, rng)
    row = int(frames.shape[1] * rng.uniform(0.3, 0.6))
    columns = np.flatnonzero(truth[row])
    if not len(columns):
        return
    text = _words(rng, 10).replace(" ", "X")
    length = draw.textlength(text, _font(size))
    left = columns[0] - rng.uniform(0.45, 0.75) * length
    draw.text((left, row), text, fill=(255, 255, 255), font=_font(size))
    _put(frames, lettering, np.array(image))


def _ticks(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    image, draw = _canvas(frames)
    height, width = frames.shape[1:3]
    step = int(rng.integers(12, 30))
    for number, row in enumerate(range(height // 10, int(0.95 * height), step)):
        draw.line((width - (12 if number % 5 == 0 else 8), row, width - 4, row), fill=(170,) * 3)
    _put(frames, lettering, np.array(image), _around(truth))


def _edge_ticks(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    """Dots and a focus mark along the fan's right edge."""
    if geometry.apex is None:
        return
    image, draw = _canvas(frames)
    size = max(1, frames.shape[1] // 300)
    gap = max(2.0, 0.006 * frames.shape[1])
    last = geometry.angles[1]
    inner, outer = geometry.radii
    marks = np.arange(inner + 0.1 * (outer - inner), outer, (outer - inner) / rng.integers(10, 20))
    focus = int(rng.integers(len(marks)))
    for number, radius in enumerate(marks):
        x = geometry.apex[0] + radius * np.sin(last) + gap * np.cos(last)
        y = geometry.apex[1] + radius * np.cos(last) - gap * np.sin(last)
        half = 2 * size if number == focus else size / 2
        draw.ellipse((x - half, y - half, x + half, y + half), fill=(220, 220, 220))
    _put(frames, lettering, np.array(image), truth)


def _wedge(
    frames: Bytes,
    lettering: Mask,
    truth: Mask,
    geometry: _Geometry,
    rng: np.random.Generator,
    *,
    left: bool = False,
    colour: bool = False,
) -> None:
    still = np.zeros(frames.shape[1:], np.uint8)
    height, width = frames.shape[1:3]
    wide, high = max(4, width // 60), height // 3
    place = width // 60 if left else width - width // 30 - wide
    top = int(height * rng.uniform(0.1, 0.3))
    ramp = np.linspace(255, 1, high)
    bar = still[top : top + high, place : place + wide]
    bar[:] = ramp[:, None, None].astype(np.uint8)
    if colour:
        bar[..., 1] //= 3
        bar[: high // 2, :, 2] //= 8
        bar[high // 2 :, :, 0] //= 8
    _put(frames, lettering, still, _around(truth))


def _wedge_left(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    _wedge(frames, lettering, truth, geometry, rng, left=True)


def _colour_wedge(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    _wedge(frames, lettering, truth, geometry, rng, left=True, colour=True)


def _logo(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    """A mark beside the probe's face."""
    if geometry.apex is None:
        return
    image, draw = _canvas(frames)
    size = max(2.0, 0.013 * frames.shape[1])
    x = geometry.apex[0] + rng.choice([-1, 1]) * (0.05 * frames.shape[2] + size)
    y = max(size, geometry.apex[1] + rng.uniform(-0.01, 0.01) * frames.shape[1])
    draw.ellipse((x - size, y - size, x + size, y + size), fill=(60, 160, 230))
    _put(frames, lettering, np.array(image), _around(truth))


def _bar(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    still = np.zeros(frames.shape[1:], np.uint8)
    still[: int(frames.shape[1] * rng.uniform(0.04, 0.07))] = (40, 60, 110)
    _put(frames, lettering, still, _around(truth))


def _toolbar(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    image, draw = _canvas(frames)
    height, width = frames.shape[1:3]
    size = _letter_px(frames, rng)
    draw.rectangle((0, height - 1.8 * size, width, height), fill=(70, 80, 120))
    draw.text((8, height - 1.5 * size), _words(rng, 24), fill=(230, 230, 230), font=_font(size))
    _put(frames, lettering, np.array(image), _around(truth))


def _body_mark(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    image, draw = _canvas(frames)
    height, width = frames.shape[1:3]
    x, y, size = 0.85 * width, 0.8 * height, 0.05 * height
    draw.ellipse(
        (x - size, y - 1.4 * size, x + size, y + 1.4 * size), outline=(200, 200, 160), width=2
    )
    draw.line((x, y - size, x + 0.5 * size, y), fill=(255, 80, 80), width=3)
    _put(frames, lettering, np.array(image), _around(truth))


def _clock(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    size = _letter_px(frames, rng)
    avoid = _around(truth)
    for number, frame in enumerate(frames):
        image, draw = _canvas(frames)
        place = (frames.shape[2] - 6 * size, frames.shape[1] - 1.4 * size)
        draw.text(
            place, f"{number // 4:02d}:{7 * number % 60:02d}", fill=(255,) * 3, font=_font(size)
        )
        _put(frame[None], lettering, np.array(image), avoid)


def _trace(
    frames: Bytes,
    lettering: Mask,
    truth: Mask,
    geometry: _Geometry,
    rng: np.random.Generator,
    *,
    below: bool = False,
    sweeps: bool = False,
    colour: tuple[int, int, int] = (40, 240, 90),
) -> None:
    """An ECG that scrolls, or stands while a gap sweeps over it; over the foot, or below it."""
    height, width = frames.shape[1:3]
    foot = np.flatnonzero(truth.any(axis=1))[-1]
    tall = 0.08 * height
    base = height - 3.0 if below else min(height - 3.0, foot + 0.4 * tall)
    if below and foot > base - 1.3 * tall:
        return
    columns = np.arange(width)
    start, rate = rng.uniform(0, 1), rng.uniform(2, 4)
    for number, frame in enumerate(frames):
        beat = (columns / width * rate + start + (0.0 if sweeps else 0.31 * number)) % 1.0
        level = np.exp(-(((beat - 0.3) / 0.02) ** 2)) + 0.25 * np.exp(-(((beat - 0.6) / 0.06) ** 2))
        rows = base - tall * level
        image, draw = _canvas(frames)
        points = [(float(c), float(r)) for c, r in zip(columns, rows, strict=True)]
        draw.line(points, fill=colour, width=max(1, height // 400))
        if sweeps:
            gap = (start + number / len(frames)) % 1.0 * width
            draw.rectangle((gap, 0, gap + 0.05 * width, height), fill=0)
        _put(frame[None], lettering, np.array(image), _around(truth) if below else None)


def _trace_below(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    _trace(frames, lettering, truth, geometry, rng, below=True)


def _white_trace(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    _trace(frames, lettering, truth, geometry, rng, colour=(235, 235, 235))


def _sweep(
    frames: Bytes, lettering: Mask, truth: Mask, geometry: _Geometry, rng: np.random.Generator
) -> None:
    _trace(frames, lettering, truth, geometry, rng, sweeps=True, colour=(240, 230, 60))


_DECOR: dict[str, Drawing] = {
    "name": _name,
    "column": _column,
    "across": _across,
    "ticks": _ticks,
    "edge ticks": _edge_ticks,
    "wedge": _wedge,
    "wedge left": _wedge_left,
    "colour wedge": _colour_wedge,
    "logo": _logo,
    "bar": _bar,
    "toolbar": _toolbar,
    "body mark": _body_mark,
    "clock": _clock,
    "trace": _trace,
    "trace below": _trace_below,
    "white trace": _white_trace,
    "sweep": _sweep,
}


# -- what must be refused --------------------------------------------------------------------


def _screen(frames: Bytes, seed: int) -> Bytes:
    """A clip of some kind with lettering around it, as on a machine."""
    rng = np.random.default_rng([seed, 77])
    lit = ndimage.binary_dilation((frames.max(axis=-1) > 4).any(axis=0), iterations=4)
    lettering = np.zeros(lit.shape, bool)
    nowhere = _Geometry(apex=None, angles=(0, 0), radii=(0, 0), box=(0, 0, 0, 0))
    for draw in (_name, _ticks):
        draw(frames, lettering, lit, nowhere, rng)
    return frames


def _two_fans(seed: int) -> Bytes:
    rng = np.random.default_rng([seed, 1])
    first = render_look(_DUAL, seed).frames
    second = render_look(_DUAL, seed + 1).frames
    if rng.random() < 0.3:  # one of them frozen
        second = np.repeat(second[:1], len(second), axis=0)
    num = min(len(first), len(second))
    halves = [first[:num], second[:num]]
    if rng.random() < 0.5:
        halves.reverse()
    return _screen(np.concatenate(halves, axis=2), seed)


def _montage(seed: int) -> Bytes:
    looks = [replace(_DUAL, size=(240, 320)) for _ in range(4)]
    clips = [render_look(look, 4 * seed + n).frames for n, look in enumerate(looks)]
    num = min(map(len, clips))
    rows = [np.concatenate([clips[n][:num], clips[n + 1][:num]], axis=2) for n in (0, 2)]
    return np.concatenate(rows, axis=1)


def _strip(seed: int, height: int, width: int, *, spectral: bool) -> Bytes:
    """A strip of M-mode or spectral Doppler, grey (T, height, width): swept, or scrolling."""
    rng = np.random.default_rng([seed, 2])
    num, whole = _NUM_FRAMES, 3 * width
    time = np.arange(whole) / width * rng.uniform(3, 6)
    phase = time % 1.0
    rows = np.arange(height)[:, None] / height
    noise = rng.exponential(1.0, (height, whole)).astype(np.float32)
    noise = ndimage.gaussian_filter(noise, (1.0, 0.7))
    if spectral:
        base = rng.uniform(0.3, 0.7)
        flow = 0.6 * np.exp(-(((phase - 0.3) / 0.12) ** 2)) + 0.3 * np.exp(
            -(((phase - 0.7) / 0.1) ** 2)
        )
        side = 1 if base < 0.5 else -1
        speed = side * (rows - base)
        level = np.where((speed > 0.01) & (speed < 0.6 * flow), 160.0, 6.0)
        level = np.where(np.abs(rows - base) < 0.006, 200.0, level)
    else:
        beat = 0.03 * np.sin(2 * np.pi * phase)
        level = np.zeros((height, whole))
        for place in np.sort(rng.uniform(0.05, 0.95, 9)):
            moved = place + rng.uniform(-1, 1) * beat
            level += rng.uniform(40, 160) * np.exp(-(((rows - moved) / 0.02) ** 2))
        level += 25 * np.exp(-2 * rows)
    page = np.clip(level * noise, 0, 255)
    out = np.zeros((num, height, width))
    scrolls, pace = rng.random() < 0.5, rng.uniform(0.03, 0.06)
    for frame in range(num):
        if scrolls:
            start = round(frame * pace * width)
            out[frame] = page[:, start : start + width]
        else:
            bar = frame * width // num
            out[frame, :, :bar] = page[:, width : width + bar]
            out[frame, :, bar + 4 :] = page[:, bar + 4 : width]
    return out.astype(np.uint8)


def _m_mode(seed: int) -> Bytes:
    frames = np.zeros((_NUM_FRAMES, 480, 640, 3), np.uint8)
    frames[:, 120:440, 60:580] = _strip(seed, 320, 520, spectral=False)[..., None]
    return _screen(frames, seed)


def _spectral(seed: int) -> Bytes:
    frames = np.zeros((_NUM_FRAMES, 480, 640, 3), np.uint8)
    frames[:, 120:440, 60:580] = _strip(seed, 320, 520, spectral=True)[..., None]
    return _screen(frames, seed)


def _duplex(seed: int) -> Bytes:
    rng = np.random.default_rng([seed, 3])
    small = replace(_DUAL, size=(240, 320), frames=(16, 16), reach=(0.8, 0.9))
    fan = render_look(small, seed).frames
    if rng.random() < 0.6:  # the picture is frozen while the strip runs
        fan = np.repeat(fan[:1], len(fan), axis=0)
    frames = np.zeros((_NUM_FRAMES, 480, 640, 3), np.uint8)
    left = int(rng.uniform(40, 260))
    frames[:, 8:248, left : left + 320] = fan[: len(frames)]
    strip = _strip(seed, 200, 540, spectral=bool(rng.random() < 0.7))
    frames[:, 262:462, 50:590] = strip[..., None]
    return _screen(frames, seed)


def _air(seed: int) -> Bytes:
    """A probe that touches nobody: bands near its face, a little noise below."""
    rng = np.random.default_rng([seed, 4])
    look = LOOKS[int(rng.choice([1, 7, 8]))]
    look = replace(look, colour_box=0.0)
    geometry = _place(look, rng)
    depth = np.linspace(0, 1, 200, dtype=np.float32)[:, None]
    reach = rng.uniform(0.05, 0.25)
    bands = (0.5 + 0.5 * np.sin(depth / reach * rng.uniform(8, 25))) * np.exp(-depth / reach)
    noise = rng.uniform(0.0, 0.12) * depth ** rng.uniform(1, 3)
    polar = np.repeat(bands[None], _NUM_FRAMES, axis=0) * np.ones((1, 1, 168), np.float32)
    polar = polar * rng.normal(1, 0.02, polar.shape) + noise * rng.exponential(1, polar.shape)
    grey, inside, _ = _draw_picture(np.clip(polar, 0, 1), geometry, look, rng)
    frames = np.repeat(grey[..., None], 3, axis=-1)
    frames[:, ~inside] = 0
    return _screen(frames, seed)


def _still(seed: int) -> Bytes:
    look = LOOKS[seed % 12]
    frames = render_look(
        replace(look, decor=tuple(d for d in look.decor if d != "trace")), seed
    ).frames
    return np.repeat(frames[:1], len(frames), axis=0)


def _on_its_side(seed: int) -> Bytes:
    rng = np.random.default_rng([seed, 5])
    look = LOOKS[int(rng.choice([0, 1, 3, 4, 6, 7, 11]))]
    quarters = int(rng.choice([1, 3]))
    return np.ascontiguousarray(np.rot90(render_look(look, seed).frames, quarters, axes=(1, 2)))


REFUSED: dict[str, Callable[[int], Bytes]] = {
    "two fans": _two_fans,
    "montage": _montage,
    "duplex": _duplex,
    "M-mode": _m_mode,
    "spectral Doppler": _spectral,
    "air": _air,
    "still": _still,
    "on its side": _on_its_side,
}
"""The word that must be in the reason, and what makes such a clip of a seed."""
