"""The screen around a scanner's picture: a name, dates, an ECG trace, a depth scale.

All of it is invented and lies outside of the sector, as on a real screen. Masking has to remove it,
so privacy can be measured on files where the truth is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from echoclip_r.phantom.study import Latents

__all__ = ["Identity", "Layout", "draw_screen", "invent_identity", "lay_out_screen"]

Bytes = npt.NDArray[np.uint8]

_ONSETS = ("b", "br", "d", "f", "g", "gr", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v", "z")
_VOWELS = ("a", "e", "i", "o", "u")
_ENDS = ("", "l", "n", "r", "s", "x", "rk", "nt")

_TEXT = (235, 235, 215)
_TRACE = (40, 220, 110)
_SCALE = (150, 150, 150)
_MIN_FONT_PX = 9
_SECONDS_SHOWN = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The invented identity of a phantom patient, whose names are made of random syllables.

    Attributes:
        family_name: family name in capitals.
        given_name: given name in capitals.
        record_number: record number in the hospital.
        birth_date: date of birth as DICOM writes it, YYYYMMDD.
    """

    family_name: str
    given_name: str
    record_number: str
    birth_date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the parts of a screen are, in pixels.

    Attributes:
        height: height of the screen, an even number, as H.264 needs it.
        width: width of the screen, an even number.
        top: first row of the square picture.
        left: first column of the square picture.
        size: side of the square picture.
        font: height of the letters.
    """

    height: int
    width: int
    top: int
    left: int
    size: int
    font: int


def invent_identity(latents: Latents, *, seed: int) -> Identity:
    """Invent a patient's identity, which is the same for all studies of the patient.

    Example:
        >>> from echoclip_r.phantom.latents import sample_patient
        >>> first, *_ = sample_patient(5, seed=0)
        >>> invent_identity(first, seed=0) == invent_identity(first, seed=0)
        True
    """
    rng = np.random.default_rng([seed, latents.patient_id, 11])

    def syllable() -> str:
        parts = (_ONSETS, _VOWELS, _ENDS)
        return "".join(part[int(rng.integers(len(part)))] for part in parts)

    family = (syllable() + syllable() + syllable()).upper()
    given = (syllable() + syllable()).upper()
    record = f"PH{int(rng.integers(10**6, 10**7))}"
    month, day = int(rng.integers(1, 13)), int(rng.integers(1, 29))
    # An age is in whole years: the birthday of the first study's year can lie after that study.
    year = latents.date.year - latents.age_years - latents.study_index
    return Identity(
        family_name=family,
        given_name=given,
        record_number=record,
        birth_date=f"{year}{month:02d}{day:02d}",
    )


def lay_out_screen(size_px: int) -> Layout:
    """Find room around a square picture of that side."""
    font = max(_MIN_FONT_PX, round(size_px / 14))
    head, foot, side = 2 * (font + 2), max(20, size_px // 6), max(16, size_px // 8)
    return Layout(
        height=(head + size_px + foot + 1) // 2 * 2,
        width=(side // 2 + size_px + side + 1) // 2 * 2,
        top=head,
        left=side // 2,
        size=size_px,
        font=font,
    )


def draw_screen(clip: Bytes, latents: Latents, identity: Identity, *, phase: float) -> Bytes:
    """Put a clip onto a scanner's screen.

    Args:
        clip: uint8 (num_frames, size, size), 0 outside the sector.
        latents: the study, for date, depth and heart rate.
        identity: the name that is burned in.
        phase: where in the heartbeat the ECG trace begins, 0 to 1.

    Returns:
        RGB, uint8 (num_frames, height, width, 3), as `lay_out_screen` says. No pixel of the
        sector is touched.
    """
    layout = lay_out_screen(clip.shape[-1])
    rows = slice(layout.top, layout.top + layout.size)
    columns = slice(layout.left, layout.left + layout.size)
    still = _draw_still(layout, latents, identity)
    # Lettering may stand in the corners of the picture, never in the sector.
    still[rows, columns][clip.max(axis=0) > 0] = 0
    frames = np.repeat(still[None], len(clip), axis=0)
    for number, frame in enumerate(frames):
        _draw_trace(frame, layout, latents.heart_rate_bpm, phase + number / len(clip))
    inside = frames[:, rows, columns]
    np.maximum(inside, clip[..., None], out=inside)
    return frames


def _draw_still(layout: Layout, latents: Latents, identity: Identity) -> Bytes:
    image = Image.new("RGB", (layout.width, layout.height))
    draw, font = ImageDraw.Draw(image), _load_font(layout.font)
    line = layout.font + 1
    draw.text((2, 0), f"{identity.family_name}, {identity.given_name}", fill=_TEXT, font=font)
    draw.text((2, line), f"{identity.record_number}  {latents.date}", fill=_TEXT, font=font)
    low = layout.top + layout.size - line
    rate = f"{latents.heart_rate_bpm:.0f} bpm"
    draw.text((layout.width - draw.textlength(rate, font) - 2, low), rate, fill=_TRACE, font=font)
    draw.text((2, layout.top + line), "A4C", fill=_SCALE, font=font)
    # A tick each centimetre of depth, and the bar of grey levels.
    right = layout.left + layout.size
    for depth_cm in range(int(latents.depth_cm) + 1):
        row = layout.top + round(depth_cm / latents.depth_cm * (layout.size - 1))
        draw.line((right + 1, row, right + (5 if depth_cm % 5 == 0 else 3), row), fill=_SCALE)
    pixels = np.array(image)
    height = layout.size // 3
    bar = np.linspace(255, 0, height).astype(np.uint8)
    place = pixels[layout.top + 4 : layout.top + 4 + height, layout.width - 6 : layout.width - 2]
    place[:] = bar[:, None, None]
    return pixels


def _draw_trace(frame: Bytes, layout: Layout, rate_bpm: float, beats: float) -> None:
    """Draw the ECG below the picture; it runs from right to left as `beats` go on."""
    top = layout.top + layout.size + 2
    height = layout.height - top - 2
    columns = np.arange(layout.width)
    beats_shown = _SECONDS_SHOWN * rate_bpm / 60
    phase = (beats + (columns / layout.width - 1) * beats_shown) % 1
    # P, Q, R, S and T: place in the beat, width, height.
    waves = ((0.12, 0.025, 0.15), (0.24, 0.008, -0.1), (0.26, 0.01, 1.0), (0.285, 0.01, -0.25))
    level = sum(
        size * np.exp(-0.5 * ((phase - place) / width) ** 2)
        for place, width, size in (*waves, (0.5, 0.045, 0.3))
    )
    row = top + np.round((0.75 - 0.7 * np.asarray(level)) * height).astype(int)
    row = np.clip(row, top, layout.height - 1)
    begin, end = np.minimum(row[:-1], row[1:]), np.maximum(row[:-1], row[1:])
    lines = np.arange(layout.height)[:, None]
    frame[:, 1:][(lines >= begin) & (lines <= end)] = _TRACE


@cache
def _load_font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size_px)
