"""Where a model looks: PromptCAM, which is Grad-CAM with a prompt in place of a class.

    frame -> image tower -> maps of a stage -> ... -> embedding -> cosine with the prompt
                                 ^------------- gradient ----------------'

The map of each channel is weighted with the mean of its gradient; the maps are summed, and negative
sums are set to 0 (Selvaraju et al., ICCV 2017; with the cosine as target Christensen et al., Nature
Medicine 2024). A heatmap shows what raises the cosine; it does not prove why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from echoclip_r.errors import EvaluationError, OptionError
from echoclip_r.model.build import normalize_frames
from echoclip_r.model.channels import shown
from echoclip_r.model.trained import TrainedModel

__all__ = ["Method", "prompt_cam"]

Method = Literal["gradcam", "elementwise"]

# A coarser map cannot tell a device from the chamber around it; ConvNeXt's last stage has 7 x 7
# cells. With a gradient for each cell an earlier, finer stage says as much.
_LEAST_CELLS: dict[Method, int] = {"gradcam": 7, "elementwise": 14}


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
    """The heat for prompts in each cell of a stage of the image tower.

    Args:
        model: a model with a ConvNeXt or a small ResNet of this package as its image tower.
        frames: uint8 RGB (N, H, W, 3), of the model's size; of one clip, in their order, where its
            channels are `cine`.
        prompts: texts whose mean cosine is the target.
        against: texts whose mean cosine is subtracted from it, such as the prompt's opposite.
        method: `gradcam`, or `elementwise` (HiResCAM, Draelos and Carin 2020), which keeps each
            cell's own gradient in place of the mean, and so suits a tower that keeps track of
            places.
        stage: stage of the tower, from 0; None takes the last one of at least 7 x 7 cells, or of
            14 x 14 for `elementwise`.
        batch_size: number of frames at a time.

    Returns:
        float32 (N, cells, cells), 0 or more; all 0 for a frame in which nothing supports the
        prompt.

    Raises:
        EvaluationError: the tower has no stages.
        OptionError: there is no such stage or method, or no prompt is given.
        ValueError: the frames have another size than the model reads.
    """
    size = model.image_size_px
    if frames.ndim != 4 or frames.shape[1:] != (size, size, 3):
        raise ValueError(f"frames are {frames.shape}; the model reads (N, {size}, {size}, 3)")
    if method not in ("gradcam", "elementwise"):
        raise OptionError(f"method is {method!r}; give 'gradcam' or 'elementwise'")
    if not prompts:
        raise OptionError("give at least one prompt")
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

    pictures = np.stack(shown(frames, model.spec.channels)) if len(frames) else frames
    handle = layer.register_forward_hook(keep)
    heat: list[NDArray[np.float32]] = []
    try:
        for start in range(0, len(pictures), batch_size):
            kept.clear()
            batch = torch.from_numpy(np.ascontiguousarray(pictures[start : start + batch_size]))
            image = normalize_frames(batch.to(model.device), model.model)
            embedded = functional.normalize(model.model.encode_image(image).float(), dim=-1)
            (slopes,) = torch.autograd.grad((embedded @ wanted).sum(), kept)
            weights = slopes.mean(dim=(2, 3), keepdim=True) if method == "gradcam" else slopes
            cam = torch.relu((weights * kept[0].detach()).sum(dim=1))
            heat.append(cam.float().cpu().numpy())
    finally:
        handle.remove()
    return np.concatenate(heat) if heat else np.zeros((0, 0, 0), np.float32)


def _stage(model: TrainedModel, number: int | None, *, least_cells: int) -> torch.nn.Module:
    """The module whose maps are explained."""
    trunk = getattr(model.model.visual, "trunk", None)
    stages: Any = getattr(trunk, "stages", None)
    if stages is None:
        raise EvaluationError(
            f"{model.name}: its image tower has no stages of maps to explain; PromptCAM works "
            "with ConvNeXt and with the small ResNet of this package"
        )
    if number is not None:
        if not 0 <= number < len(stages):
            raise OptionError(f"stage is {number}; the tower has stages 0 to {len(stages) - 1}")
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
