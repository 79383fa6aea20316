"""The model: text rows that are trimmed, frames of any size, open_clip's own forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from echoclip_r.model.build import build_model, model_config, preprocess_config
from echoclip_r.model.text_tower import encode_text
from echoclip_r.model.trained import TrainedModel
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.config import TrainConfig
from echoclip_r.training.recipes import echoclip, phantom_scale
from echoclip_r.training.recipes import echoclip_r as whole_report

REPORTS = [
    "The left ventricular ejection fraction is 55-60%. There is mild mitral regurgitation. "
    "No pericardial effusion. A strange sentence that no table holds, at all.",
    "Severe aortic stenosis.",
    "",
    *[
        f"The ejection fraction is {number}%. Trivial tricuspid regurgitation."
        for number in range(9)
    ],
]


def make(config: TrainConfig) -> tuple[Any, TextCodec]:
    torch.manual_seed(0)
    codec = TextCodec.load(config.tokenizer, context_length=config.context_length)
    return build_model(model_config(config, codec), name=config.model), codec


@pytest.fixture(scope="module", params=["echo", "echo-clip"])
def phrases(request: pytest.FixtureRequest) -> tuple[Any, TextCodec]:
    return make(phantom_scale(whole_report(tokenizer=request.param)))


@pytest.mark.parametrize("rows", [3, len(REPORTS)])
def test_trimmed_rows_give_open_clips_embeddings(phrases: tuple[Any, TextCodec], rows: int) -> None:
    """Embeddings and gradients are those of `encode_text` at full length, to 1e-5."""
    model, codec = phrases
    ids = codec.encode(REPORTS[:rows]).ids
    assert ids.shape[1] < codec.context_length
    full = torch.full((rows, codec.context_length), codec.pad_id)
    full[:, : ids.shape[1]] = ids
    weights = torch.randn(rows, model.text_projection.shape[1])
    found = {}
    for name, embedded in (
        ("ours", encode_text(model, ids)),
        ("open_clip", model.encode_text(full)),
    ):
        model.zero_grad()
        (embedded * weights).sum().backward()
        gradients = {
            key: parameter.grad
            for key, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        found[name] = (embedded.detach(), gradients)
    torch.testing.assert_close(found["ours"][0], found["open_clip"][0], atol=1e-5, rtol=1e-5)
    ours, theirs = found["ours"][1], found["open_clip"][1]
    assert ours.keys() == theirs.keys()
    for key, gradient in ours.items():
        error = (gradient - theirs[key]).abs().max() / theirs[key].abs().max()
        assert error < 1e-5, key


def test_rows_of_full_length_go_to_open_clip_itself() -> None:
    """The base model's path is open_clip's, bit for bit."""
    model, codec = make(phantom_scale(echoclip()))
    ids = codec.encode(REPORTS).ids
    assert torch.equal(encode_text(model, ids), model.encode_text(ids))


def test_gradient_checkpointing_gives_the_same(phrases: tuple[Any, TextCodec]) -> None:
    """It trades memory for time and nothing else."""
    model, codec = phrases
    ids = codec.encode(REPORTS).ids
    plain = encode_text(model, ids)
    model.set_grad_checkpointing(True)
    try:
        again = encode_text(model, ids)
        again.sum().backward()
    finally:
        model.set_grad_checkpointing(False)
    torch.testing.assert_close(again, plain)


def test_the_vocabulary_comes_from_the_tokenizer(phrases: tuple[Any, TextCodec]) -> None:
    """One embedding row an id, spare rows included; open_clip pools at EOS."""
    model, codec = phrases
    assert model.token_embedding.weight.shape[0] == codec.vocab_size
    assert model.text_pool_type == "argmax"
    assert codec.eos_id == codec.vocab_size - 1


def test_an_unknown_or_unfit_model_is_refused() -> None:
    """With the names of those that there are."""
    config = replace(echoclip(), model="convnext_bass")
    with pytest.raises(ValueError, match="no model 'convnext_bass'; this package's are echoclip"):
        make(config)
    with pytest.raises(ValueError, match="text tower of its own kind"):
        make(replace(echoclip(), model="ViT-B-32-SigLIP2-256"))


def trained(config: TrainConfig) -> TrainedModel:
    model, codec = make(config)
    return TrainedModel(
        model=model.eval(),
        config=config,
        text=codec,
        name="test",
        fingerprint="0",
        device=torch.device("cpu"),
    )


def test_frames_of_any_size_are_prepared_as_open_clip_does() -> None:
    """Its own transform on each frame gives the same embeddings."""
    model = trained(phantom_scale(whole_report()))
    draw = np.random.default_rng(0)
    frames = [
        draw.integers(0, 255, (*size, 3)).astype(np.uint8)
        for size in ((64, 64), (80, 120), (50, 40))
    ]
    transform = image_transform_v2(PreprocessCfg(**preprocess_config(model.model)), is_train=False)
    for part in (frames, frames[:1]):
        images = torch.stack([transform(Image.fromarray(frame)) for frame in part])
        with torch.inference_mode():
            expected = model.model.encode_image(images, normalize=True).numpy()
        np.testing.assert_allclose(model.embed_frames(part), expected, atol=1e-5)


def test_embeddings_are_unit_rows() -> None:
    """Of frames and of texts, whatever the size of the batches; none for none."""
    model = trained(phantom_scale(whole_report()))
    frames = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3)).astype(np.uint8)
    for embedded, again in (
        (model.embed_frames(frames), model.embed_frames(frames, batch_size=2)),
        (model.embed_texts(REPORTS), model.embed_texts(REPORTS, batch_size=2)),
    ):
        np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(embedded, again, atol=1e-5)
        assert embedded.dtype == np.float32
        assert embedded.shape[1] == model.embed_dim
    assert model.embed_texts([]).shape == (0, 128)
    assert model.embed_frames(frames[:0]).shape == (0, 128)


def test_a_frames_features_do_not_depend_on_its_batch() -> None:
    """A clip's embedding is the same whatever else is embedded with it."""
    model, _ = make(phantom_scale(whole_report()))
    model.eval()
    image = torch.randn(6, 3, 64, 64)
    alone = torch.cat([model.encode_image(one[None]) for one in image])
    torch.testing.assert_close(model.encode_image(image), alone, atol=1e-5, rtol=1e-4)


def test_open_clip_knows_the_models_once_registered() -> None:
    """By name, as any of its own."""
    assert {"echoclip", "echoclip-r", "echoclip-tiny", "echoclip-r-tiny"} <= set(
        open_clip.list_models()
    )
