"""Does a model look at the pacemaker lead when it is asked for one? For `evaluation.py`.

The renderer knows where the lead is, so the share of heat on it can be held against its share of
the sector. Two controls: the heat for another prompt (effusion) on the same lead, and the heat for
the lead on the place where another clip has its lead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from echoclip_r.evaluation.tasks import read_tasks
from echoclip_r.explain.drawing import heatmaps, overlay
from echoclip_r.explain.prompt_cam import Method, prompt_cam
from echoclip_r.metrics.bootstrap import Resampling, Weights, estimate
from echoclip_r.model.trained import TrainedModel
from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.picture.masks import device_mask
from echoclip_r.phantom.picture.ultrasound import render_clip
from echoclip_r.sector.find import apply_sector, find_sector

Floats = npt.NDArray[np.float64]

WAYS: dict[str, tuple[Method, bool]] = {
    "as published: Grad-CAM, cosine with the prompts": ("gradcam", False),
    "Grad-CAM, prompts against a normal study": ("gradcam", True),
    "each cell's gradient, cosine with the prompts": ("elementwise", False),
    "each cell's gradient, prompts against a normal study": ("elementwise", True),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeadClips:
    """Clips with a pacemaker lead as a model sees them; C clips of T frames."""

    frames: npt.NDArray[np.uint8]
    """(C, T, size, size, 3)"""
    lead: npt.NDArray[np.bool_]
    """(C, T, size, size)"""
    inside: npt.NDArray[np.bool_]
    """(C, T, size, size), the sector."""
    patients: list[str]


def render_leads(
    patient_ids: Sequence[str], *, archive_seed: int, size_px: int, num_frames: int
) -> LeadClips:
    """One clip of each of these patients' studies that has a lead, rendered anew."""
    clips, leads, sectors, owners = [], [], [], []
    for patient_id in patient_ids:
        for study in sample_patient(int(patient_id[1:]), archive_seed):
            if not study.pacer_lead:
                continue
            grey = render_clip(study, num_frames, size_px, 0)
            mask = device_mask(study, "pacer_lead", num_frames=num_frames, size_px=size_px, seed=0)
            frames = np.repeat(grey[..., None], 3, axis=-1)
            sector = find_sector(frames)
            if not sector.sure:
                continue
            drawn = np.repeat(np.where(mask, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
            clips.append(apply_sector(frames, sector, size_px))
            leads.append(apply_sector(drawn, sector, size_px)[..., 0] > 127)
            sectors.append(apply_sector(np.full_like(frames, 255), sector, size_px)[..., 0] > 0)
            owners.append(patient_id)
    return LeadClips(
        frames=np.stack(clips), lead=np.stack(leads), inside=np.stack(sectors), patients=owners
    )


def measure_heat(model: TrainedModel, clips: LeadClips, *, seed: int) -> list[dict[str, Any]]:
    """Heat on the lead against its share of area, for each way of making the heat."""
    tasks = read_tasks("phantom")
    lead, effusion = tasks.binary("pacemaker_lead"), tasks.binary("pericardial_effusion")
    area = _share(clips.inside, clips.lead)
    # The place of another clip's lead, where both sectors are the same size.
    elsewhere = np.roll(clips.lead, 1, axis=0)
    rows = []
    for way, (method, contrasted) in WAYS.items():
        heat, other = (
            _heat(
                model,
                clips,
                prompts=task.prompts,
                against=task.against if contrasted else (),
                method=method,
            )
            for task in (lead, effusion)
        )
        share = _share(heat, clips.lead)
        known = ~np.isnan(share)
        patients = np.array(clips.patients)[known]

        def ratio(
            weights: Weights, share: Floats = share[known], area: Floats = area[known]
        ) -> Floats:
            return np.asarray((weights @ share) / (weights @ area))

        found = estimate(ratio, patients, Resampling(seed=seed))
        rows.append(
            {
                "way": way,
                "num_clips": int(known.sum()),
                "num_without_heat": int((~known).sum()),
                "share_of_heat": float(share[known].mean()),
                "share_of_area": float(area[known].mean()),
                "ratio": {"value": found.value, "low": found.low, "high": found.high},
                "clips_above_area": float((share[known] > area[known]).mean()),
                "other_prompt_ratio": float(np.nanmean(_share(other, clips.lead)) / area.mean()),
                "other_place_ratio": float(
                    np.nanmean(_share(heat, elsewhere)) / _share(clips.inside, elsewhere).mean()
                ),
            }
        )
    return rows


def draw_heat(model: TrainedModel, clips: LeadClips, path: Path, *, num_clips: int = 6) -> None:
    """A sheet: a column a clip; the frame, the lead in red, and both kinds of heat."""
    lead = read_tasks("phantom").binary("pacemaker_lead")
    chosen = np.linspace(0, len(clips.frames) - 1, num_clips).astype(int)
    frames, inside = clips.frames[chosen, 0], clips.inside[chosen, 0]
    marked = frames.copy()
    marked[clips.lead[chosen, 0]] = (213, 94, 0)
    rows = [frames, marked]
    for method, against in (("gradcam", ()), ("elementwise", lead.against)):
        cells = prompt_cam(model, frames, lead.prompts, against=against, method=method)
        heat = heatmaps(cells, model.image_size_px)
        # Each clip has a scale of its own: they are different patients.
        rows.append(
            np.concatenate(
                [
                    overlay(frames[k : k + 1], heat[k : k + 1], inside=inside[k])
                    for k in range(num_clips)
                ]
            )
        )
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    image = Image.fromarray(sheet)
    image.resize((3 * image.width, 3 * image.height), Image.Resampling.BICUBIC).save(path)


def _heat(
    model: TrainedModel,
    clips: LeadClips,
    *,
    prompts: Sequence[str],
    against: Sequence[str],
    method: Method,
) -> npt.NDArray[np.float32]:
    """Heat inside the sector, (C, T, size, size)."""
    size = model.image_size_px
    flat = clips.frames.reshape(-1, size, size, 3)
    cells = prompt_cam(model, flat, prompts, against=against, method=method)
    return heatmaps(cells, size).reshape(clips.lead.shape) * clips.inside


def _share(heat: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> Floats:
    """Part of each clip's heat that lies in the mask (C,); NaN where there is no heat."""
    total = heat.sum(axis=(1, 2, 3), dtype=np.float64)
    part = (heat * mask).sum(axis=(1, 2, 3), dtype=np.float64)
    return np.where(total > 0, part / np.where(total > 0, total, 1), np.nan)
