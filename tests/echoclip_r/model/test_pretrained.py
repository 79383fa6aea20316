"""The weights of others, in our models and as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import echotok
from echoclip_r.errors import CheckpointError
from echoclip_r.model.build import build_model, model_config
from echoclip_r.model.pretrained import load_pretrained, load_published
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.text_tower import encode_text
from echoclip_r.text.codec import TextCodec

TINY = ModelSpec(towers="echoclip-tiny")


@pytest.fixture(scope="module")
def clip_weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A model of the standard vocabulary as someone has it in a file, and itself."""
    torch.manual_seed(1)
    model = build_model(model_config(TINY, TextCodec(None)), name=TINY.towers)
    path = tmp_path_factory.mktemp("weights") / "clip.safetensors"
    save_file(model.state_dict(), path)
    return path, model


def test_a_model_with_phrases_embeds_other_words_as_clip_does(
    clip_weights: tuple[Path, Any],
) -> None:
    """A text without phrase or value has CLIP's embedding after the transfer."""
    path, clip_model = clip_weights
    spec = ModelSpec(towers="echoclip-r-tiny", tokenizer="echo-clip", pretrained=str(path))
    codec = TextCodec.load(spec.tokenizer, context_length=77)
    model = build_model(model_config(spec, codec), name=spec.towers)
    report = load_pretrained(model, spec, codec)
    assert report is not None
    text = "a zebra drinks orange juice"
    assert codec.tokenizer is not None
    assert set(codec.tokenizer.encode(text).kinds) == {"special", "bpe"}
    ours = encode_text(model, codec.encode([text]).ids)
    theirs = clip_model.encode_text(TextCodec(None).encode([text]).ids)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    image = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.encode_image(image), clip_model.encode_image(image))


def test_the_base_model_takes_weights_as_they_are(clip_weights: tuple[Path, Any]) -> None:
    """And a longer context gets open_clip's interpolated positions."""
    path, clip_model = clip_weights
    spec = replace(TINY, pretrained=str(path))
    model = build_model(model_config(spec, TextCodec(None)), name=spec.towers)
    assert load_pretrained(model, spec, TextCodec(None)) is None
    assert torch.equal(model.token_embedding.weight, clip_model.token_embedding.weight)
    longer = TextCodec(None, context_length=154)
    model = build_model(model_config(spec, longer), name=spec.towers)
    load_pretrained(model, spec, longer)
    assert model.positional_embedding.shape[0] == 154


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        (
            "laion5b",
            "nor the folder of a run, nor a name that open_clip has for convnext_base",
        ),
        ("README", "cannot be read"),
        ("other", "do not fit model echoclip-tiny"),
        ("headless", "no token_embedding.weight"),
        ("ours", "49,408: which row means what is not known"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    pretrained: str, message: str, tmp_path: Path, clip_weights: tuple[Path, Any]
) -> None:
    """With what is there, and what to do."""
    spec, tokenizer = TINY, None
    if pretrained == "laion5b":
        spec = replace(spec, towers="echoclip")
    else:
        path = tmp_path / "weights.safetensors"
        state = dict(clip_weights[1].state_dict())
        if pretrained == "README":
            path.write_text("not weights")
        elif pretrained == "other":
            cut = state["token_embedding.weight"][:, :9].clone()
            save_file({"token_embedding.weight": cut}, path)
        elif pretrained == "headless":
            save_file({"visual": torch.zeros(3)}, path)
        else:
            tokenizer = echotok.load("echo")
            save_file(state | {"token_embedding.weight": torch.zeros(100, 128)}, path)
        pretrained = str(path)
    spec = replace(spec, pretrained=pretrained)
    codec = TextCodec(tokenizer, context_length=77)
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(clip_weights[1], spec, codec)


def test_a_published_model_is_a_spec_and_nothing_of_ours(tmp_path: Path) -> None:
    """A plain open_clip model with its own tokenizer embeds as open_clip embeds with it."""
    torch.manual_seed(2)
    theirs, _, transform = open_clip.create_model_and_transforms("ViT-S-32")
    theirs.eval()
    path = tmp_path / "theirs.safetensors"
    save_file(theirs.state_dict(), path)
    spec = ModelSpec(towers="ViT-S-32", pretrained=str(path), precision="fp32")
    ours = load_published(spec)
    assert ours.name == "ViT-S-32 (theirs)"
    assert ours.image_size_px == 224
    frames = np.random.default_rng(0).integers(0, 255, (2, 96, 128, 3)).astype(np.uint8)
    images = torch.stack([transform(Image.fromarray(frame)) for frame in frames])
    texts = ["Severe aortic stenosis.", "a zebra drinks orange juice"]
    with torch.inference_mode():
        image = theirs.encode_image(images, normalize=True).numpy()
        text = theirs.encode_text(open_clip.tokenize(texts), normalize=True).numpy()
    np.testing.assert_allclose(ours.embed_frames(frames), image, atol=1e-5)
    np.testing.assert_allclose(ours.embed_texts(texts), text, atol=1e-5)


def test_published_weights_have_a_fingerprint_of_their_own(
    clip_weights: tuple[Path, Any], tmp_path: Path
) -> None:
    """It tells other weights and other tokenizers apart, wherever the file lies."""
    path, model = clip_weights
    spec = replace(TINY, pretrained=str(path))
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(path.read_bytes())
    other = tmp_path / "other.safetensors"
    state = dict(model.state_dict())
    save_file(state | {"logit_scale": state["logit_scale"] + 1}, other)
    found = [load_published(replace(spec, pretrained=str(p))).fingerprint for p in (path, moved)]
    assert found[0] == found[1]
    found.append(load_published(replace(spec, pretrained=str(other))).fingerprint)
    found.append(load_published(replace(spec, tokenizer="echo-clip")).fingerprint)
    assert len(set(found)) == 3


def test_a_spec_without_weights_is_not_published() -> None:
    """Random weights are refused, with what to set."""
    with pytest.raises(ValueError, match="names no weights, and random ones embed nothing"):
        load_published(TINY)
