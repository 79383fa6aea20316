"""PromptCAM drawn over a clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch.nn import functional

from echoclip_r.data.clips import read_masked
from echoclip_r.explain.prompt_cam import Method, prompt_cam
from echoclip_r.media.lettering import break_lines, font
from echoclip_r.media.writing import write_animation, write_picture
from echoclip_r.model.trained import TrainedModel
from echotok.view.tree import visible

__all__ = ["draw_prompt_cam", "heatmaps", "overlay"]

_SHOWN_PX = 320
"""Side of a drawn frame, in pixels."""
_NUM_STILLS = 5
"""Number of frames in a still picture."""
_STRONGEST = 0.65
"""Share by which the brightest heat covers the frame below it."""
_EDGE_PX, _LINE_PX, _BAR_PX, _SCALE_PX = 12, 22, 18, 96
"""Around words; a line of them; the scale, without and with its numbers."""


def heatmaps(cells: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    """Heat over whole frames: cells blended bilinearly.

    Args:
        cells: heat that `prompt_cam` gave (N, cells, cells).
        size_px: side of the frames.

    Returns:
        float32 (N, size_px, size_px).
    """
    grown = functional.interpolate(
        torch.from_numpy(cells)[:, None], size=size_px, mode="bilinear", align_corners=False
    )
    return np.asarray(grown[:, 0].numpy(), np.float32)


def overlay(
    frames: NDArray[np.uint8],
    heat: NDArray[np.float32],
    *,
    inside: NDArray[np.bool_] | None = None,
    highest: float | None = None,
) -> NDArray[np.uint8]:
    """Lay heat over frames, in colours that go from dark to bright for every eye.

    Args:
        frames: uint8 RGB (N, H, W, 3).
        heat: heat of 0 or more (N, H, W).
        inside: the pixels that heat may cover, (H, W) or (N, H, W), such as those of the
            ultrasound sector; None for all. The others stay as they are.
        highest: heat that gets the brightest colour; None for the highest that is shown.

    Returns:
        uint8 RGB (N, H, W, 3).
    """
    if inside is not None:
        heat = np.where(inside, heat, np.float32(0))
    if highest is None:
        highest = float(heat.max(initial=0))
    share = np.clip(heat / highest, 0, 1) if highest > 0 else np.zeros_like(heat)
    colours = _colours(share)
    strength = _STRONGEST * share[..., None]
    mixed = frames * (1 - strength) + colours * strength
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


def draw_prompt_cam(
    model: TrainedModel,
    video: Path,
    out: Path,
    *,
    prompts: Sequence[str],
    against: Sequence[str] = (),
    method: Method = "gradcam",
    num_frames: int = 20,
    keep_unsure: bool = False,
) -> float:
    """Draw a clip beside its heat for prompts: as a film (`.gif`, `.mp4`) or some frames (`.png`).

    The heat covers the ultrasound sector alone. The prompts stand above, and a scale of the
    colours beside.

    Args:
        model: a model with a ConvNeXt or a small ResNet of this package as its image tower.
        video: a video, a DICOM file, or a folder of pictures.
        out: the file to write; its ending decides between a moving and a still picture.
        prompts: texts whose mean cosine with the frames is explained.
        against: texts whose mean cosine is subtracted from that.
        method: `gradcam` or `elementwise`; see `prompt_cam`.
        num_frames: number of frames of the clip to take, spread evenly over its length.
        keep_unsure: also draw a clip whose ultrasound sector was not found with certainty.

    Returns:
        The mean cosine of the frames with the prompts.

    Raises:
        EvaluationError: the image tower has no maps to explain.
        MediaError: the clip cannot be read, its sector is not certain, or `out` has an unknown
            ending or cannot be written.
    """
    clip = read_masked(
        video, size_px=model.image_size_px, num_frames=num_frames, keep_unsure=keep_unsure
    )
    frames = clip.frames
    cells = prompt_cam(model, frames, prompts, against=against, method=method)
    target = model.embed_texts(list(prompts)).mean(axis=0)
    cosine = float((model.embed_frames(frames) @ target).mean())
    shown = np.stack(
        [np.asarray(Image.fromarray(one).resize((_SHOWN_PX, _SHOWN_PX))) for one in frames]
    )
    heat = heatmaps(cells, _SHOWN_PX) * clip.inside(_SHOWN_PX)
    # One scale for the whole clip, so that a frame without heat looks like one.
    highest = float(heat.max(initial=0))
    heated = overlay(shown, heat, highest=highest)
    is_still = out.suffix.lower() == ".png"
    if is_still:
        few = np.unique(np.linspace(0, len(frames) - 1, _NUM_STILLS).round().astype(int))
        rows = [np.concatenate(list(part[few]), axis=1) for part in (shown, heated)]
        pictures = np.concatenate(rows)[None]
    else:
        pictures = np.concatenate([shown, heated], axis=2)
    texts = [*(f"Prompt: {text}" for text in prompts), *(f"less: {text}" for text in against)]
    drawn = _with_words(pictures, texts, cosine=cosine, highest=highest)
    if is_still:
        write_picture(out, drawn[0])
    else:
        write_animation(out, drawn, fps_hz=10)
    return cosine


def _colours(share: NDArray[Any]) -> NDArray[Any]:
    """The colour of each share of the highest heat, 0 to 255 (..., 3)."""
    return np.asarray(mpl.colormaps["inferno"](share)[..., :3] * 255)


def _with_words(
    pictures: NDArray[np.uint8], texts: Sequence[str], *, cosine: float, highest: float
) -> NDArray[np.uint8]:
    """Pictures (N, H, W, 3) with the prompts above them and a scale at their right."""
    height, width = pictures.shape[1:3]
    full = width + _SCALE_PX
    full += full % 2  # an MP4 has even sides
    lines = [
        (line, "Bold", "white")
        for text in texts
        for line in break_lines(visible(text), full - 2 * _EDGE_PX, font(15, "Bold"))
    ]
    said = f"Mean cosine of the clip with the prompt: {cosine:.3f}. "
    if highest > 0:
        said += "Coloured places raise it. Each clip has a scale of its own."
    else:
        said += "No place in the sector raises it."
    lines += [(line, "", "#b8b8b8") for line in break_lines(said, full - 2 * _EDGE_PX, font(13))]
    top = _EDGE_PX + len(lines) * _LINE_PX + _EDGE_PX // 2
    top += (top + height) % 2
    page = Image.new("RGB", (full, top + height))
    draw = ImageDraw.Draw(page)
    for number, (line, weight, colour) in enumerate(lines):
        face = font(15 if weight else 13, weight)
        draw.text((_EDGE_PX, _EDGE_PX + number * _LINE_PX), line, fill=colour, font=face)
    _draw_scale(page, width, top, height, highest)
    drawn = np.repeat(np.asarray(page)[None], len(pictures), axis=0)
    drawn[:, top:, :width] = pictures
    return drawn


def _draw_scale(page: Image.Image, left: int, top: int, height: int, highest: float) -> None:
    """A bar of the colours with numbers, from 0 at its foot to the highest heat at its head."""
    draw, face = ImageDraw.Draw(page), font(12)
    bar = min(height, _SHOWN_PX) - 4 * _EDGE_PX
    first = top + (height - bar) // 2
    # As it looks over a frame of middle grey, since what is cold lets the frame be seen.
    share = np.linspace(1, 0, bar)[:, None]
    grey = np.full((1, bar, _BAR_PX, 3), 110, np.uint8)
    ramp = overlay(grey, np.repeat(share, _BAR_PX, axis=1)[None].astype(np.float32), highest=1.0)
    page.paste(Image.fromarray(ramp[0]), (left + _EDGE_PX, first))
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = first + round((1 - part) * (bar - 1))
        x = left + _EDGE_PX + _BAR_PX
        draw.line((x, y, x + 4, y), fill="white")
        # Of no heat at all there is no other number than 0.
        if highest > 0 or part == 0:
            draw.text((x + 8, y), f"{part * highest:.2g}", fill="white", font=face, anchor="lm")
    draw.text((left + _EDGE_PX, first - 10), "heat", fill="white", font=face, anchor="lb")
