"""PromptCAM: heat where the towers' maps speak for a prompt, checked on towers that are known."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from echoclip_r.cli.main import main
from echoclip_r.errors import EvaluationError
from echoclip_r.explain.prompt_cam import prompt_cam
from echoclip_r.model.build import build_model, model_config
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.trained import TrainedModel
from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.picture.masks import device_mask
from echoclip_r.phantom.picture.ultrasound import render_clip
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.recipes import echoclip_r as whole_report
from echoclip_r.training.recipes import phantom_scale


class Trunk(nn.Module):
    """Two stages that halve the sides; features are the mean brightness of each half."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(nn.AvgPool2d(2), nn.AvgPool2d(2))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        maps = self.stages(image)[:, :1]
        half = maps.shape[-1] // 2
        return torch.stack([maps[..., :half].mean((1, 2, 3)), maps[..., half:].mean((1, 2, 3))], 1)


class Clip(nn.Module):
    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.visual = nn.Module()
        self.visual.trunk = trunk
        self.visual.preprocess_cfg = {"size": 32, "mean": (0, 0, 0), "std": (1, 1, 1)}

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.visual.trunk(image)
        return features


def known_model(trunk: nn.Module | None = None) -> Any:
    """A model whose prompts are "left" and "right"."""
    directions = {"left": [1.0, 0.0], "right": [0.0, 1.0]}

    def embed_texts(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([directions[text] for text in texts], np.float32)

    return SimpleNamespace(
        model=Clip(trunk or Trunk()),
        image_size_px=32,
        spec=ModelSpec(towers="known"),
        device=torch.device("cpu"),
        embed_texts=embed_texts,
        name="known",
    )


FRAMES = np.full((3, 32, 32, 3), 100, np.uint8)


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    """The small tower with random weights."""
    config = phantom_scale(whole_report())
    codec = TextCodec.load(config.model.tokenizer, context_length=config.model.context_length)
    torch.manual_seed(0)
    made = build_model(model_config(config.model, codec), name=config.model.towers).eval()
    return TrainedModel(
        model=made,
        spec=config.model,
        text=codec,
        name="random",
        fingerprint="0" * 64,
        device=torch.device("cpu"),
    )


def test_heat_is_where_the_prompt_is() -> None:
    """For "left" all heat lies on the left half, for "right" on the right one."""
    for prompt, side in (("left", slice(0, 4)), ("right", slice(4, 8))):
        heat = prompt_cam(known_model(), FRAMES, [prompt], method="elementwise", stage=1)
        assert heat.shape == (3, 8, 8)
        assert heat[..., side].sum() == pytest.approx(heat.sum(), rel=1e-5)
        assert heat.sum() > 0


def test_against_turns_the_heat() -> None:
    """What speaks for both prompts alike speaks for neither over the other."""
    both = prompt_cam(known_model(), FRAMES, ["left"], against=["left"], method="elementwise")
    assert not both.any()
    heat = prompt_cam(known_model(), FRAMES, ["right"], against=["left"], method="elementwise")
    assert heat[..., :8].sum() == 0
    assert heat[..., 8:].sum() > 0


def test_equals_grad_cam_written_out(model: TrainedModel) -> None:
    """On the small tower: the gradient of the cosine, averaged, times the maps, cut at 0."""
    frames = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)
    target = torch.from_numpy(model.embed_texts(["A pacemaker lead is seen."])[0])
    trunk = model.model.visual.trunk
    image = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    prepared = model.model.visual.preprocess_cfg
    mean, spread = (torch.tensor(prepared[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    maps = trunk.stages[:2]((image - mean) / spread).detach().requires_grad_()
    # The rest of the tower is what the trunk does without its first two stages.
    rest = copy.deepcopy(model.model.visual)
    rest.trunk.stages = rest.trunk.stages[2:]
    embedded = rest(maps)
    cosine = nn.functional.cosine_similarity(embedded, target[None])
    (slopes,) = torch.autograd.grad(cosine.sum(), maps)
    for method, weights in (
        ("gradcam", slopes.mean((2, 3), keepdim=True)),
        ("elementwise", slopes),
    ):
        expected = torch.relu((weights * maps.detach()).sum(1)).numpy()
        found = prompt_cam(model, frames, ["A pacemaker lead is seen."], method=method, stage=1)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_default_stage_is_fine_enough(model: TrainedModel) -> None:
    """At least 7 x 7 cells, and 14 x 14 where each cell keeps its gradient."""
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    assert prompt_cam(model, frames, ["a"]).shape == (1, 8, 8)
    assert prompt_cam(model, frames, ["a"], method="elementwise").shape == (1, 16, 16)


def test_weights_get_no_gradient(model: TrainedModel) -> None:
    """Explaining leaves the model as it was, without hooks or gradients."""
    frames = np.full((1, 64, 64, 3), 9, np.uint8)
    before = model.embed_frames(frames)
    prompt_cam(model, frames, ["a"])
    assert all(weight.grad is None for weight in model.model.parameters())
    assert not any(stage._forward_hooks for stage in model.model.visual.trunk.stages)
    assert (model.embed_frames(frames) == before).all()


def test_convnext_has_stages_of_its_own() -> None:
    """A ConvNeXt of open_clip's kind is explained at its last stage, 7 x 7."""
    import timm

    trunk = timm.create_model("convnext_atto", num_classes=2)
    size = known_model(trunk)
    size.image_size_px = 224
    size.model.visual.preprocess_cfg["size"] = 224
    frames = np.random.default_rng(0).integers(0, 255, (1, 224, 224, 3)).astype(np.uint8)
    assert prompt_cam(size, frames, ["left"]).shape == (1, 7, 7)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"frames": FRAMES[:, :16]}, ValueError, "the model reads"),
        ({"method": "lime"}, ValueError, "'gradcam' or 'elementwise'"),
        ({"prompts": []}, ValueError, "at least one prompt"),
        ({"stage": 2}, ValueError, "stages 0 to 1"),
        ({"model": known_model(nn.Flatten())}, EvaluationError, "no stages of maps"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Each rule is named."""
    given = {"model": known_model(), "frames": FRAMES, "prompts": ["left"]} | change
    model, frames, prompts = (given.pop(name) for name in ("model", "frames", "prompts"))
    with pytest.raises(error, match=message):
        prompt_cam(model, frames, prompts, **given)


def test_device_mask_lies_on_the_device() -> None:
    """Most pixels of a lead's mask change when the lead is left out, few others do."""
    from dataclasses import replace

    study = next(
        study
        for number in range(60)
        for study in sample_patient(number, seed=0)
        if study.pacer_lead and study.image_quality > 0.6
    )
    mask = device_mask(study, "pacer_lead", num_frames=2, size_px=112, seed=1)
    seen = render_clip(study, 2, 112, 1).astype(int)
    bare = render_clip(replace(study, pacer_lead=False), 2, 112, 1)
    changed = np.abs(seen - bare) > 25
    assert changed[mask].mean() > 0.6
    assert changed[~mask].mean() < 0.03
    assert 0.002 < mask.mean() < 0.05
    with pytest.raises(ValueError, match="no pacer_lead"):
        device_mask(
            replace(study, pacer_lead=False), "pacer_lead", num_frames=1, size_px=64, seed=0
        )
    with pytest.raises(ValueError, match="give one of pacer_lead"):
        device_mask(study, "mitraclip", num_frames=1, size_px=64, seed=0)


def test_command_draws_a_clip(
    model: TrainedModel, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a file to a moving and a still picture."""
    from echoclip_r.model.checkpoint import save_checkpoint

    save_checkpoint(
        tmp_path / "best",
        model.model,
        spec=model.spec,
        model_config=model_config(model.spec, model.text),
        codec=model.text,
        facts={},
    )
    for name in ("heat.gif", "heat.png"):
        out = tmp_path / name
        options = [
            "--video",
            str(archive / "clip-00.avi"),
            "--prompt",
            "A lead.",
            "--out",
            str(out),
        ]
        assert main(["explain", str(tmp_path / "best"), *options, "--frames", "4"]) == 0
        assert "mean cosine" in capsys.readouterr().out
        with Image.open(out) as image:
            assert image.width == 96 + (640 if name == "heat.gif" else 320 * 4)
