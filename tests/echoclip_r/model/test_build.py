"""From a spec to open_clip's CLIP."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

import echoclip_r
from echoclip_r.model.build import (
    build_model,
    frame_size_px,
    freeze_towers,
    image_size_px,
    model_config,
    register,
)
from echoclip_r.model.spec import ModelSpec
from echoclip_r.text.codec import TextCodec

TINY = ModelSpec(towers="echoclip-tiny")
TINY_R = ModelSpec(towers="echoclip-r-tiny", tokenizer="echo")


def make(spec: ModelSpec) -> tuple[Any, TextCodec]:
    torch.manual_seed(0)
    codec = TextCodec.load(spec.tokenizer, context_length=spec.context_length)
    return build_model(model_config(spec, codec), name=spec.towers), codec


@pytest.mark.parametrize("tokenizer", ["echo", "echo-clip"])
def test_the_vocabulary_comes_from_the_tokenizer(tokenizer: str) -> None:
    """One embedding row an id, spare rows included; open_clip pools at EOS."""
    model, codec = make(replace(TINY_R, tokenizer=tokenizer))
    assert model.token_embedding.weight.shape[0] == codec.vocab_size
    assert model.text_pool_type == "argmax"
    assert codec.eos_id == codec.vocab_size - 1


def test_an_unknown_or_unfit_model_is_refused() -> None:
    """With the names of those that there are."""
    for refused in (make, lambda spec: frame_size_px(spec.towers)):
        with pytest.raises(ValueError, match="no model 'convnext_bass'; this package's are echocl"):
            refused(replace(TINY, towers="convnext_bass"))
    with pytest.raises(ValueError, match="text tower of its own kind"):
        make(replace(TINY, towers="ViT-B-32-SigLIP2-256"))


def test_the_size_of_frames_is_known_without_the_model() -> None:
    """It is the one that the model says itself."""
    assert frame_size_px("echoclip-r") == 224
    assert frame_size_px("echoclip-tiny") == image_size_px(make(TINY)[0]) == 64


@pytest.mark.parametrize("frozen", ["image", "text", "none"])
def test_frozen_towers_get_no_gradient(frozen: str) -> None:
    """All else of the model does, the temperature with it."""
    model, _ = make(TINY)
    freeze_towers(
        model, replace(TINY, freeze_image=frozen == "image", freeze_text=frozen == "text")
    )
    still = {name for name, p in model.named_parameters() if not p.requires_grad}
    image = {name for name, _ in model.visual.named_parameters(prefix="visual")}
    text = {name for name, _ in model.named_parameters()} - image - {"logit_scale"}
    assert still == {"image": image, "text": text, "none": set()}[frozen]


def test_a_frames_features_do_not_depend_on_its_batch() -> None:
    """A clip's embedding is the same whatever else is embedded with it."""
    model, _ = make(TINY_R)
    model.eval()
    image = torch.randn(6, 3, 64, 64)
    alone = torch.cat([model.encode_image(one[None]) for one in image])
    torch.testing.assert_close(model.encode_image(image), alone, atol=1e-5, rtol=1e-4)


def test_open_clip_knows_the_models_once_registered() -> None:
    """By name, as any of its own."""
    assert {"echoclip", "echoclip-r", "echoclip-tiny", "echoclip-r-tiny"} <= set(
        open_clip.list_models()
    )


def test_the_full_size_models_have_the_towers_of_convnext_base() -> None:
    """The configurations that open_clip is given differ from its own in the vocabulary alone."""
    register()
    base = open_clip.get_model_config("convnext_base")
    ours = open_clip.get_model_config("echoclip-r")
    assert open_clip.get_model_config("echoclip") == base
    assert ours["vision_cfg"] == base["vision_cfg"]
    for name in ("width", "heads", "layers", "context_length"):
        assert ours["text_cfg"][name] == base["text_cfg"][name]
    shipped = Path(echoclip_r.__file__).parent / "model" / "configs"
    assert {path.stem for path in shipped.glob("*.json")} == {
        "echoclip",
        "echoclip-r",
        "echoclip-tiny",
        "echoclip-r-tiny",
    }
