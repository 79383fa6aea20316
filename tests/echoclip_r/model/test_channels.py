"""Cine pictures: three frames of a clip as the channels of one, wherever frames are embedded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from echoclip_r.data.shards import read_clips, read_index
from echoclip_r.embedding.embedder import embed
from echoclip_r.errors import OptionError
from echoclip_r.explain.prompt_cam import prompt_cam
from echoclip_r.model.build import build_model, model_config
from echoclip_r.model.channels import cine, cine_frames, shown
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.trained import TrainedModel
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.batches import TrainData
from echoclip_r.training.config import changed
from echoclip_r.training.recipes import echoclip_r, phantom_scale
from echoclip_r.training.validation import ValidationSet

CINE = ModelSpec(towers="echoclip-r-tiny", tokenizer="echo", channels="cine")


def trained(spec: ModelSpec) -> TrainedModel:
    torch.manual_seed(0)
    codec = TextCodec.load(spec.tokenizer, context_length=77)
    return TrainedModel(
        model=build_model(model_config(spec, codec), name=spec.towers).eval(),
        spec=spec,
        text=codec,
        name="test",
        fingerprint=spec.channels,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize("num_frames", range(1, 13))
def test_every_frame_has_its_picture(num_frames: int) -> None:
    """Three frames spread over the loop; where there are three or more, no two are the same."""
    for number in range(num_frames):
        three = cine_frames(number, num_frames)
        assert three[0] == number
        assert all(0 <= one < num_frames for one in three)
        assert len(set(three)) == min(num_frames, 3)


def test_a_channel_is_the_brightness_of_its_frame() -> None:
    """As Pillow makes it from colours, in the order of time."""
    frames = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3)).astype(np.uint8)
    pictures = shown(frames, "cine")
    assert len(pictures) == 5
    for number, picture in enumerate(pictures):
        for channel, frame in enumerate(cine_frames(number, 5)):
            grey = np.asarray(Image.fromarray(frames[frame]).convert("L"))
            np.testing.assert_array_equal(picture[..., channel], grey)
    for plain, frame in zip(shown(frames, "color"), frames, strict=True):
        assert plain is frame or np.array_equal(plain, frame)


def test_frames_of_several_sizes_make_a_picture_of_the_first() -> None:
    """Shards of others may hold such clips; one alone shall not end a training."""
    frames = [np.full((side, 8, 3), side, np.uint8) for side in (8, 12, 6)]
    for frame, picture in zip(frames, shown(frames, "cine"), strict=True):
        assert picture.shape == frame.shape
    np.testing.assert_array_equal(shown(frames, "cine")[0][0, 0], [8, 12, 6])
    assert shown([], "cine") == []


def test_training_shows_what_embedding_shows(training_shards: Path) -> None:
    """Without augmentation a training item is one of its clip's cine pictures; so is validation."""
    config = changed(
        phantom_scale(echoclip_r()),
        channels="cine",
        batch_size=4,
        min_crop=1.0,
        max_gain=0.0,
        max_shift_px=0,
        max_rotation_deg=0.0,
        drop_sentences=0.0,
    )
    codec = TextCodec.load(config.model.tokenizer, context_length=77)
    index = read_index(training_shards)
    possible = {
        picture.tobytes()
        for clip in read_clips(training_shards, split="train")
        for picture in shown([clip.decode(n) for n in range(len(clip.frames_encoded))], "cine")
    }
    batch = next(iter(TrainData(index, config=config, codec=codec, size_px=64)))
    assert all(frame.numpy().tobytes() in possible for frame in batch.frames)
    plain = next(
        iter(TrainData(index, config=changed(config, channels="color"), codec=codec, size_px=64))
    )
    assert not torch.equal(plain.frames, batch.frames)
    held_out = ValidationSet(index, config=config, codec=codec, size_px=64)
    first = next(iter(read_clips(training_shards, split="validation")))
    num = len(first.frames_encoded)
    expected = cine([first.picture(one) for one in cine_frames(num // 2, num)])
    np.testing.assert_array_equal(held_out._frames[0].numpy(), np.asarray(expected))


def test_a_clip_is_embedded_by_its_own_frames(training_shards: Path, tmp_path: Path) -> None:
    """Clips that share a batch share no picture, and heat is that of the pictures."""
    model = trained(CINE)
    embedded = embed(model, training_shards, split="validation", out=tmp_path / "e")
    for number, clip in enumerate(read_clips(training_shards, split="validation")):
        frames = np.stack([clip.decode(n) for n in range(len(clip.frames_encoded))])
        np.testing.assert_allclose(
            embedded.frames[embedded.frame_clip == number], model.embed_frames(frames), atol=1e-5
        )
    heat = prompt_cam(model, frames, ["Severe aortic stenosis."])
    pictures = np.stack(shown(frames, "cine"))
    plain = prompt_cam(
        trained(ModelSpec(towers=CINE.towers, tokenizer="echo")),
        pictures,
        ["Severe aortic stenosis."],
    )
    np.testing.assert_allclose(heat, plain, atol=1e-6)


def test_other_channels_are_refused() -> None:
    """With those that there are."""
    with pytest.raises(OptionError, match="channels is 'gray'; it must be one of color, cine"):
        ModelSpec(towers="echoclip-r-tiny", channels="gray")
