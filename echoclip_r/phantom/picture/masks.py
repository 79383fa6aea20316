"""The place of a device in a phantom clip, with which a model's heatmap is compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from echoclip_r.phantom.picture.ultrasound import sector_layout, set_scene
from echoclip_r.phantom.study import Latents

__all__ = ["DEVICES", "device_mask"]

# Not the MitraClip: it changes the leaflets, too, so that it cannot be told by leaving it out.
DEVICES = ("pacer_lead", "impella", "tavr", "annuloplasty_ring")


def device_mask(
    latents: Latents,
    device: str,
    *,
    num_frames: int,
    size_px: int,
    seed: int,
    margin_mm: float = 2.5,
) -> npt.NDArray[np.bool_]:
    """The pixels of a device in the clip that `render_clip` makes of the same arguments.

    Args:
        latents: a study that has the device.
        device: one of `DEVICES`, a field of `Latents`.
        num_frames: as of `render_clip`.
        size_px: as of `render_clip`.
        seed: as of `render_clip`.
        margin_mm: how far around its line a device reaches, blurred as it is drawn.

    Returns:
        bool (num_frames, size_px, size_px); its shadow is not part of it.

    Raises:
        ValueError: no such device, or the study does not have it.

    Example:
        >>> from echoclip_r.phantom.latents import sample_patient
        >>> study = next(s for n in range(50) for s in sample_patient(n, seed=0) if s.pacer_lead)
        >>> device_mask(study, "pacer_lead", num_frames=2, size_px=64, seed=0).any(axis=(1, 2))
        array([ True,  True])
    """
    if device not in DEVICES:
        raise ValueError(f"device is {device!r}; give one of {', '.join(DEVICES)}")
    if not getattr(latents, device):
        raise ValueError(f"this study has no {device}")
    scene, scanner, _ = set_scene(latents, num_frames, size_px, seed)
    bare: dict[str, Any] = {device: False}
    without, _, _ = set_scene(replace(latents, **bare), num_frames, size_px, seed)
    range_mm, angle_rad = scene.curve_range_mm, scene.curve_angle_rad
    # The dice are the same with and without, and a device's curves lie together among the others:
    # what is there without it comes before and behind them.
    num_points = range_mm.shape[1] - without.curve_range_mm.shape[1]
    same = (range_mm[:, :-num_points] == without.curve_range_mm).all(axis=0)
    first = int(np.argmin(same)) if not same.all() else len(same)
    own = slice(first, first + num_points)
    sector = scanner.sector
    radius_px, top_px = sector_layout(sector, size_px)
    scale = radius_px / sector.depth_mm  # pixels a millimetre
    x = (size_px - 1) / 2 + scale * range_mm[:, own] * np.sin(angle_rad[:, own])
    y = top_px + scale * range_mm[:, own] * np.cos(angle_rad[:, own])
    rows, columns = np.mgrid[0:size_px, 0:size_px]
    reach_px = max(margin_mm * scale, 0.75)
    mask = np.zeros((num_frames, size_px, size_px), bool)
    for frame in range(num_frames):
        # Points are a third of a millimetre apart: some of them are enough.
        for across, down in zip(x[frame, ::3], y[frame, ::3], strict=True):
            mask[frame] |= (columns - across) ** 2 + (rows - down) ** 2 <= reach_px**2
    radius = np.hypot(columns - (size_px - 1) / 2, rows - top_px)
    angle = np.abs(np.arctan2(columns - (size_px - 1) / 2, rows - top_px))
    return np.asarray(mask & (radius <= radius_px) & (angle <= sector.half_angle_rad))
