"""From scatterers to a B-mode picture, in the order of a scanner's own signal path.

Echoes are summed on a polar grid, blurred by the point-spread function as complex numbers (which
is what makes speckle), weakened by shadows and depth, joined by noise, detected, log-compressed
and scan-converted. `render_clip` is the phantom's whole picture half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from echoclip_r.phantom.picture.anatomy import Floats
from echoclip_r.phantom.picture.motion import cardiac_cycle
from echoclip_r.phantom.picture.scene import Scene, Sector, build_scene
from echoclip_r.phantom.study import Latents

_SCATTERERS_A_CELL = 3
_USUAL_MUSCLE, _USUAL_GREY = 0.55, 0.27  # brightness of myocardium, and mean of a picture
_MIN_SIZE_PX, _MAX_SIZE_PX = 32, 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """Settings of the machine in one study."""

    sector: Sector
    axial_mm: float
    """Standard deviation of the point-spread function along a beam."""
    lateral_rad: float
    """Its standard deviation across beams."""
    noise_db: float
    """Electronic noise at full depth, relative to myocardium."""
    haze_db: float
    """Reverberation close to the probe."""
    range_gain_db: Floats
    """(num_ranges,) error of the depth gain."""
    beam_gain_db: Floats
    """(num_beams,) drop-out by ribs and lung."""
    dynamic_range_db: float
    brightness: float
    """Grey level of myocardium, 0 to 1, before the automatic gain."""


def render_clip(
    latents: Latents, num_frames: int, size_px: int, seed: int
) -> npt.NDArray[np.uint8]:
    """Make an apical four-chamber clip of a study.

    The frames are evenly spread over about one heartbeat, from a random phase of it.

    Args:
        latents: The study.
        num_frames: How many frames, at least 1.
        size_px: Height and width, 32 to 512.
        seed: Tells the clips of one study apart: phase, speckle, the operator's hand.

    Returns:
        Grey levels, uint8 (num_frames, size_px, size_px), 0 outside the sector.

    Raises:
        ValueError: A size or a count out of range.

    >>> from echoclip_r.phantom.latents import sample_patient
    >>> render_clip(sample_patient(0, seed=0)[0], num_frames=2, size_px=64, seed=0).shape
    (2, 64, 64)
    """
    if num_frames < 1:
        raise ValueError(f"num_frames is {num_frames}; a clip has at least 1 frame")
    if not _MIN_SIZE_PX <= size_px <= _MAX_SIZE_PX:
        raise ValueError(f"size_px is {size_px}; give {_MIN_SIZE_PX} to {_MAX_SIZE_PX}")
    if seed < 0:
        raise ValueError(f"seed is {seed}; give 0 or more")
    scene, scanner, rng = set_scene(latents, num_frames, size_px, seed)
    return scan_convert(scan(scene, scanner, rng), scanner.sector, size_px)


def set_scene(
    latents: Latents, num_frames: int, size_px: int, seed: int
) -> tuple[Scene, Scanner, np.random.Generator]:
    """What `render_clip` scans: where everything is in the clip, with what, and the dice so far."""
    rng = np.random.default_rng([latents.study_seed, seed, 7])
    scanner = set_up(latents, size_px)
    beats = rng.uniform(0.95, 1.25)
    phases = rng.uniform(0, 1) + beats * np.arange(num_frames) / num_frames
    scene = build_scene(
        latents,
        cardiac_cycle(latents, phases),
        sector=scanner.sector,
        scatterers_a_cell=_SCATTERERS_A_CELL,
        rng=rng,
    )
    return scene, scanner, rng


# By site: how much narrower the sector is to each side, how much coarser speckle is, more noise.
_MACHINES = ((0.0, 1.0, 0.0), (5.0, 1.35, 4.0))


def set_up(latents: Latents, size_px: int) -> Scanner:
    """Choose a study's machine settings; grid cells are about the size of pixels."""
    rng = np.random.default_rng([latents.study_seed, 5])
    poor = 1 - latents.image_quality
    narrower_deg, coarser, noisier_db = _MACHINES[latents.site]
    sector = Sector(
        half_angle_rad=float(np.deg2rad(rng.uniform(38, 44) - narrower_deg)),
        depth_mm=10 * latents.depth_cm,
        num_ranges=round(1.25 * size_px),
        num_beams=round(1.05 * size_px),
    )
    depth = np.linspace(0, 1, sector.num_ranges)
    beam = np.linspace(-1, 1, sector.num_beams)
    # Knobs of the depth gain, none of them quite right.
    knobs = rng.normal(0, 1.6, size=6)
    range_gain_db = np.interp(depth, np.linspace(0, 1, 6), knobs) - 3 * poor * depth
    wander = np.interp(beam, np.linspace(-1, 1, 9), rng.normal(0, 1.6 + 2.2 * poor, size=9))
    edge_db = 4.0 * np.clip((np.abs(beam) - 0.72) / 0.28, 0, 1) ** 2
    side, width = rng.choice([-1, 1]), rng.uniform(0.1, 0.35)
    rib_db = rng.uniform(6, 22) * (rng.random() < 0.15 + 0.4 * poor)
    lung = rib_db / (1 + np.exp((1 - side * beam - width) / 0.05))
    return Scanner(
        sector=sector,
        axial_mm=coarser * float(rng.uniform(0.65, 1.2) + 0.35 * poor),
        lateral_rad=coarser * float(np.deg2rad(rng.uniform(0.7, 1.25) + 0.55 * poor)),
        noise_db=-31 + 13 * poor + float(rng.normal(0, 2.5)) + noisier_db,
        haze_db=-9 + 8 * poor + float(rng.normal(0, 2)),
        range_gain_db=range_gain_db,
        beam_gain_db=wander - edge_db - lung,
        dynamic_range_db=float(rng.uniform(43, 66)),
        brightness=_USUAL_MUSCLE + 0.16 * latents.gain,
    )


def scan(scene: Scene, scanner: Scanner, rng: np.random.Generator) -> Floats:
    """Detect and log-compress the echoes of a clip.

    Returns:
        Brightness 0 to 1 over (frames, ranges, beams).
    """
    sector, num_frames = scanner.sector, len(scene.contraction)
    size = sector.num_ranges * sector.num_beams
    # So that a cloud of strength 1 comes out of the blur with a mean square of 1.
    sigma_r = max(scanner.axial_mm / sector.range_step_mm, 0.55)
    sigma_b = max(scanner.lateral_rad / sector.beam_step_rad, 0.55)
    scale = math.sqrt(4 * np.pi * sigma_r * sigma_b / _SCATTERERS_A_CELL)
    phase = rng.random(scene.strength.shape, dtype=np.float32) * np.float32(2 * np.pi)
    amplitude = scale * scene.strength
    # In double precision, as bincount would convert them in each frame.
    quadratures = [(amplitude * wave(phase)).astype(np.float64) for wave in (np.cos, np.sin)]
    # Specular lines add up in phase; their strength is per millimetre, whatever the grid.
    area_mm2 = sector.range_step_mm * sector.beam_step_rad * np.maximum(scene.curve_range_mm, 15)
    lines = 0.35 * scene.curve_strength / area_mm2

    echoes = np.empty((2, num_frames, size), np.float32)
    for frame in range(num_frames):  # one at a time: the arrays of a frame stay in the cache
        cells = _cells(*scene.tissue_at(frame), sector)
        for part, weights in enumerate(quadratures):
            echoes[part, frame] = np.bincount(cells, weights, size + 1)[:size]
        cells = _cells(scene.curve_range_mm[frame], scene.curve_angle_rad[frame], sector)
        echoes[0, frame] += np.bincount(cells, lines[frame], size + 1)[:size]
    blurred = echoes.reshape(2, num_frames, sector.num_ranges, sector.num_beams)
    blurred = gaussian_filter1d(blurred, sigma_r, axis=2, truncate=2.5, mode="nearest")
    blurred = gaussian_filter1d(blurred, sigma_b, axis=3, truncate=2.5, mode="nearest")
    power = blurred[0] ** 2 + blurred[1] ** 2

    power *= _decibels(scanner.range_gain_db[:, None] + scanner.beam_gain_db)
    _cast_shadows(power, scene, scanner)
    depth = np.linspace(0, 1, sector.num_ranges, dtype=np.float32)[:, None]
    floor = _decibels(scanner.noise_db) * (0.25 + 0.75 * depth**1.5)
    floor += _decibels(scanner.haze_db) * np.exp(-depth / 0.07)
    power += floor.astype(np.float32) * rng.standard_exponential(power.shape, dtype=np.float32)
    grey = 10 / scanner.dynamic_range_db * np.log10(power + np.float32(1e-7))
    grey += scanner.brightness
    # Automatic gain, as machines have it: without it a dark rim of fluid, or a large dark
    # ventricle, could be told from the picture's mean. Half-hearted, as the whole of it would
    # make such pictures brighter elsewhere, and larger as JPEG.
    grey += 0.5 * (
        _USUAL_GREY + 0.5 * (scanner.brightness - _USUAL_MUSCLE) - np.clip(grey, 0, 1).mean()
    )
    brightness: Floats = np.clip(grey, 0, 1)
    return brightness


def _decibels(decibels: Floats | float) -> Floats:
    """A factor of power."""
    factor: Floats = np.exp(np.asarray(decibels, np.float32) * np.float32(np.log(10) / 10))
    return factor


def _cells(range_mm: Floats, angle_rad: Floats, sector: Sector) -> npt.NDArray[np.int32]:
    """Flat grid cell of each echo over (ranges, beams); one past the end for those outside."""
    row = (range_mm * (1 / sector.range_step_mm)).astype(np.int32)
    # Shifted by one, as a cast rounds towards 0.
    beams = (angle_rad + sector.half_angle_rad) * (1 / sector.beam_step_rad) + 1
    column = beams.astype(np.int32) - 1
    seen = (row >= 0) & (row < sector.num_ranges) & (column >= 0) & (column < sector.num_beams)
    return np.where(seen, row * sector.num_beams + column, sector.num_ranges * sector.num_beams)


def _cast_shadows(power: Floats, scene: Scene, scanner: Scanner) -> None:
    """Weaken what lies behind devices, in place: (frames, ranges, beams)."""
    sector = scanner.sector
    ranges = (np.arange(sector.num_ranges, dtype=np.float32) + 0.5) * sector.range_step_mm
    beams = (np.arange(sector.num_beams, dtype=np.float32) + 0.5) * sector.beam_step_rad
    beams -= sector.half_angle_rad
    for shadow, range_mm, angle_rad in scene.shadows:
        width_rad = shadow.half_width_mm / np.maximum(range_mm, 20) + scanner.lateral_rad
        across = np.exp(-0.5 * ((beams - angle_rad[:, None]) / width_rad[:, None]) ** 2)
        behind = np.clip((ranges - range_mm[:, None] - 3) / 5, 0, 1)
        power *= _decibels(-shadow.depth_db * behind[:, :, None] * across[:, None, :])


def sector_layout(sector: Sector, size_px: int) -> tuple[float, float]:
    """Radius of the sector in a square picture, and how far below the upper edge its tip is."""
    radius_px = 0.985 * size_px * min(1.0, 0.5 / float(np.sin(sector.half_angle_rad)))
    return radius_px, (size_px - radius_px) / 2


def sector_mask(sector: Sector, size_px: int) -> npt.NDArray[np.bool_]:
    """The pixels of a square picture that a sector covers, bool (size_px, size_px)."""
    return _grid(sector, size_px, sector.num_ranges, sector.num_beams)[2]


def _grid(
    sector: Sector, size_px: int, num_ranges: int, num_beams: int
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """For each pixel its row and column in the polar grid, and whether it is in the sector."""
    half = sector.half_angle_rad
    radius_px, top_px = sector_layout(sector, size_px)
    y, x = np.mgrid[0:size_px, 0:size_px].astype(np.float32)
    x, y = x - np.float32((size_px - 1) / 2), y - np.float32(top_px)
    row = np.hypot(x, y) * np.float32(num_ranges / radius_px) - np.float32(0.5)
    column = (np.arctan2(x, y) + half) * np.float32(num_beams / (2 * half)) - np.float32(0.5)
    inside = (row < num_ranges - 0.5) & (np.abs(column - (num_beams - 1) / 2) < num_beams / 2)
    return row, column, inside


def scan_convert(polar: Floats, sector: Sector, size_px: int) -> npt.NDArray[np.uint8]:
    """Draw a polar picture as the sector that a screen shows, as large as fits.

    Args:
        polar: Brightness 0 to 1, (frames, ranges, beams).
        sector: Its extent.
        size_px: Height and width of the picture.

    Returns:
        uint8 (frames, size_px, size_px), 0 outside the sector.
    """
    num_frames, num_ranges, num_beams = polar.shape
    row, column, inside = _grid(sector, size_px, num_ranges, num_beams)
    row, column = row[inside].clip(0, num_ranges - 1.001), column[inside].clip(0, num_beams - 1.001)
    top, left = row.astype(np.int32), column.astype(np.int32)
    down, right = row - top, column - left
    corner = top * num_beams + left
    flat = polar.reshape(num_frames, -1)
    grey = flat[:, corner] * ((1 - down) * (1 - right))
    grey += flat[:, corner + 1] * ((1 - down) * right)
    grey += flat[:, corner + num_beams] * (down * (1 - right))
    grey += flat[:, corner + num_beams + 1] * (down * right)
    picture = np.zeros((num_frames, size_px, size_px), np.uint8)
    picture[:, inside] = (255 * grey + 0.5).astype(np.uint8)
    return picture
