"""PromptCAM drawn over a clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from echoclip_r.data.clips import read_masked
from echoclip_r.explain.prompt_cam import Method, prompt_cam
from echoclip_r.media.writing import write_animation, write_picture
from echoclip_r.model.trained import TrainedModel

__all__ = ["draw_prompt_cam", "heatmaps", "overlay"]

_SHOWN_PX = 320
"""Side of a drawn frame, in pixels."""
_NUM_STILLS = 5
"""Number of frames in a still picture."""
_STRONGEST = 0.65
"""Share by which the brightest heat covers the frame below it."""


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


def overlay(frames: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay heat over frames, in colours that go from dark to bright for every eye.

    Args:
        frames: uint8 RGB (N, H, W, 3).
        heat: heat of 0 or more (N, H, W); the highest value of all frames is the brightest.

    Returns:
        uint8 RGB (N, H, W, 3).
    """
    highest = float(heat.max(initial=0))
    share = heat / highest if highest > 0 else heat
    colours = mpl.colormaps["inferno"](share)[..., :3] * 255
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
    shown = np.stack(
        [np.asarray(Image.fromarray(one).resize((_SHOWN_PX, _SHOWN_PX))) for one in frames]
    )
    # One scale for the whole clip, so that a frame without heat looks like one.
    heated = overlay(shown, heatmaps(cells, _SHOWN_PX))
    if out.suffix.lower() == ".png":
        few = np.unique(np.linspace(0, len(frames) - 1, _NUM_STILLS).round().astype(int))
        rows = [np.concatenate(list(part[few]), axis=1) for part in (shown, heated)]
        write_picture(out, np.concatenate(rows))
    else:
        write_animation(out, np.concatenate([shown, heated], axis=2), fps_hz=10)
    target = model.embed_texts(list(prompts)).mean(axis=0)
    return float((model.embed_frames(frames) @ target).mean())
