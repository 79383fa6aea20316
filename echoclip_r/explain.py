"""Where a model looks: PromptCAM, which is Grad-CAM with a prompt in place of a class.

    frame -> image tower -> maps of a stage -> ... -> embedding -> cosine with the prompt
                                 ^------------- gradient ----------------'

The map of each channel is weighted with the mean of its gradient, summed, and cut at 0 (Selvaraju
et al., ICCV 2017; with the cosine as target Christensen et al., Nature Medicine 2024). A heatmap
shows what raises the cosine; it is no proof of why.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import av
import matplotlib as mpl
import numpy as np
import torch
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from echoclip_r.errors import EvaluationError
from echoclip_r.model import TrainedModel, normalize_frames
from echoclip_r.retrieval import read_video

__all__ = ["Method", "draw_prompt_cam", "heatmaps", "overlay", "prompt_cam", "write_animation"]

Method = Literal["gradcam", "elementwise"]

# A coarser map cannot tell a device from the chamber around it; ConvNeXt's last stage has 7 x 7
# cells. With a gradient for each cell an earlier, finer stage says as much.
_LEAST_CELLS: dict[Method, int] = {"gradcam": 7, "elementwise": 14}
_FADE = 0.65
_SHOWN_PX = 320  # side of a drawn frame
_STRIP = 5  # frames of a still picture


def prompt_cam(
    model: TrainedModel,
    frames: NDArray[np.uint8],
    prompts: Sequence[str],
    *,
    against: Sequence[str] = (),
    method: Method = "gradcam",
    stage: int | None = None,
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """Heat of each cell of an image tower's stage for prompts.

    Args:
        model: with a ConvNeXt or a small ResNet of this package as its image tower.
        frames: uint8 RGB (N, H, W, 3), of the model's size.
        prompts: texts whose mean cosine is the target.
        against: texts whose mean cosine is subtracted from it, such as the prompt's opposite.
        method: `gradcam`, or `elementwise` (HiResCAM, Draelos and Carin 2020), which keeps each
            cell's own gradient in place of its mean and so fits a tower that knows places.
        stage: of the tower, from 0; None takes the last of at least 7 x 7 cells, for `elementwise`
            of 14 x 14.
        batch_size: frames at a time.

    Returns:
        float32 (N, cells, cells), 0 or more; 0 everywhere where nothing speaks for the prompt.

    Raises:
        EvaluationError: the tower has no stages.
        ValueError: frames of another size, no such stage or method, no prompt.
    """
    size = model.image_size_px
    if frames.ndim != 4 or frames.shape[1:] != (size, size, 3):
        raise ValueError(f"frames are {frames.shape}; the model reads (N, {size}, {size}, 3)")
    if method not in ("gradcam", "elementwise"):
        raise ValueError(f"method is {method!r}; give 'gradcam' or 'elementwise'")
    if not prompts:
        raise ValueError("give at least one prompt")
    target = model.embed_texts(list(prompts)).mean(axis=0)
    if against:
        target = target - model.embed_texts(list(against)).mean(axis=0)
    wanted = torch.from_numpy(np.asarray(target, np.float32)).to(model.device)
    layer = _stage(model, stage, least_cells=_LEAST_CELLS[method])
    kept: list[torch.Tensor] = []

    def keep(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
        # What comes before needs no gradient, and the weights none at all.
        maps = output.detach().requires_grad_()
        kept.append(maps)
        return maps

    handle = layer.register_forward_hook(keep)
    heat: list[NDArray[np.float32]] = []
    try:
        for start in range(0, len(frames), batch_size):
            kept.clear()
            batch = torch.from_numpy(np.ascontiguousarray(frames[start : start + batch_size]))
            image = normalize_frames(batch.to(model.device), model.model)
            embedded = functional.normalize(model.model.encode_image(image).float(), dim=-1)
            (slopes,) = torch.autograd.grad((embedded @ wanted).sum(), kept)
            weights = slopes.mean(dim=(2, 3), keepdim=True) if method == "gradcam" else slopes
            cam = torch.relu((weights * kept[0].detach()).sum(dim=1))
            heat.append(cam.float().cpu().numpy())
    finally:
        handle.remove()
    return np.concatenate(heat) if heat else np.zeros((0, 0, 0), np.float32)


def heatmaps(cells: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    """Heat over whole frames: cells blended bilinearly.

    Args:
        cells: from `prompt_cam` (N, cells, cells).
        size_px: side of the result.

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
        heat: 0 or more (N, H, W); the highest of all frames is the brightest.

    Returns:
        uint8 RGB (N, H, W, 3).
    """
    highest = float(heat.max(initial=0))
    share = heat / highest if highest > 0 else heat
    colours = mpl.colormaps["inferno"](share)[..., :3] * 255
    strength = _FADE * share[..., None]
    mixed = frames * (1 - strength) + colours * strength
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


def write_animation(path: Path, frames: NDArray[np.uint8], *, fps_hz: int = 20) -> None:
    """Write frames as a GIF or MP4, by the path's ending, for a browser to play.

    Args:
        path: `.gif` or `.mp4`.
        frames: uint8 RGB (N, H, W, 3).
        fps_hz: frames a second.

    Raises:
        EvaluationError: another ending, or the file cannot be written.
    """
    try:
        if path.suffix.lower() == ".gif":
            images = [Image.fromarray(frame) for frame in frames]
            images[0].save(
                path, save_all=True, append_images=images[1:], duration=1000 // fps_hz, loop=0
            )
        elif path.suffix.lower() == ".mp4":
            _write_mp4(path, frames, fps_hz)
        else:
            raise EvaluationError(f"{path}: give a name that ends in .gif or .mp4")
    except OSError as error:
        raise EvaluationError(f"{path}: it cannot be written ({error})") from error


def draw_prompt_cam(
    model: TrainedModel,
    video: Path,
    out: Path,
    *,
    prompts: Sequence[str],
    against: Sequence[str] = (),
    method: Method = "gradcam",
    num_frames: int = 20,
) -> float:
    """Draw a clip beside its heat for prompts: moving (`.gif`, `.mp4`), or some frames (`.png`).

    Args:
        model: see `prompt_cam`.
        video: a video, a DICOM file, or a folder of pictures.
        out: the file.
        prompts: see `prompt_cam`.
        against: see `prompt_cam`.
        method: see `prompt_cam`.
        num_frames: of the clip, chosen over its length.

    Returns:
        Mean cosine of the frames with the prompts.

    Raises:
        EvaluationError: see `prompt_cam` and `write_animation`.
        MediaError: the clip cannot be read.
    """
    frames = read_video(video, size_px=model.image_size_px, num_frames=num_frames)
    cells = prompt_cam(model, frames, prompts, against=against, method=method)
    shown = np.stack(
        [np.asarray(Image.fromarray(one).resize((_SHOWN_PX, _SHOWN_PX))) for one in frames]
    )
    # One scale for the whole clip, so that a frame without heat looks like one.
    heated = overlay(shown, heatmaps(cells, _SHOWN_PX))
    if out.suffix.lower() == ".png":
        few = np.unique(np.linspace(0, len(frames) - 1, _STRIP).round().astype(int))
        rows = [np.concatenate(list(part[few]), axis=1) for part in (shown, heated)]
        Image.fromarray(np.concatenate(rows)).save(out)
    else:
        write_animation(out, np.concatenate([shown, heated], axis=2), fps_hz=10)
    target = model.embed_texts(list(prompts)).mean(axis=0)
    return float((model.embed_frames(frames) @ target).mean())


def _write_mp4(path: Path, frames: NDArray[np.uint8], fps_hz: int) -> None:
    even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps_hz)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = even.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in even:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _stage(model: TrainedModel, number: int | None, *, least_cells: int) -> torch.nn.Module:
    """The module whose maps are explained."""
    trunk = getattr(model.model.visual, "trunk", None)
    stages: Any = getattr(trunk, "stages", None)
    if stages is None:
        raise EvaluationError(
            f"{model.name}: its image tower has no stages of maps to explain; PromptCAM is there "
            "for ConvNeXt and for the small ResNet of this package"
        )
    if number is not None:
        if not 0 <= number < len(stages):
            raise ValueError(f"stage is {number}; the tower has stages 0 to {len(stages) - 1}")
        return _module(stages[number])
    cells: list[int] = []
    handles = [
        stage.register_forward_hook(lambda _, __, output: cells.append(output.shape[-1]))
        for stage in stages
    ]
    size = model.image_size_px
    with torch.inference_mode():
        model.model.encode_image(torch.zeros(1, 3, size, size, device=model.device))
    for handle in handles:
        handle.remove()
    fine = [place for place, count in enumerate(cells) if count >= least_cells]
    return _module(stages[fine[-1] if fine else 0])


def _module(stage: Any) -> torch.nn.Module:
    assert isinstance(stage, torch.nn.Module)
    return stage
