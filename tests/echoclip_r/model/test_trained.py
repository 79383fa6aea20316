"""A model with its weights and its tokenizer: unit embeddings of frames and of texts."""

from __future__ import annotations

import numpy as np
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from echoclip_r.model.build import build_model, model_config, preprocess_config
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.trained import TrainedModel
from echoclip_r.text.codec import TextCodec

REPORTS = [
    "The left ventricular ejection fraction is 55-60%. There is mild mitral regurgitation.",
    "Severe aortic stenosis.",
    "",
    *[
        f"The ejection fraction is {number}%. Trivial tricuspid regurgitation."
        for number in range(9)
    ],
]
TINY_R = ModelSpec(towers="echoclip-r-tiny", tokenizer="echo")


def trained(spec: ModelSpec) -> TrainedModel:
    torch.manual_seed(0)
    codec = TextCodec.load(spec.tokenizer, context_length=spec.context_length)
    model = build_model(model_config(spec, codec), name=spec.towers)
    return TrainedModel(
        model=model.eval(),
        spec=spec,
        text=codec,
        name="test",
        fingerprint="0",
        device=torch.device("cpu"),
    )


def test_frames_of_any_size_are_prepared_as_open_clip_does() -> None:
    """Its own transform on each frame gives the same embeddings."""
    model = trained(TINY_R)
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
    model = trained(TINY_R)
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
