"""Recipes and their settings."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest

import echoclip_r
from echoclip_r.model.build import register
from echoclip_r.training.config import TrainConfig, config_from_dict, with_settings
from echoclip_r.training.recipes import RECIPES, echoclip, echoclip_r_span, phantom_scale
from echoclip_r.training.recipes import echoclip_r as whole_report


def test_recipes_have_the_papers_settings() -> None:
    """Batch 1,024, lr 5e-5, 2,000 warm-up steps and 50 epochs, in all three."""
    for recipe in RECIPES.values():
        config = recipe()
        assert (config.batch_size, config.lr, config.warmup_steps, config.epochs) == (
            1024,
            5e-5,
            2000,
            50,
        )
    assert (echoclip().tokenizer, echoclip().text) == (None, "token-span")
    assert (whole_report().tokenizer, whole_report().text) == ("echo", "whole")
    assert whole_report(pretrained="x").tokenizer == "echo-clip"
    assert whole_report(tokenizer="mine.json", pretrained="x").tokenizer == "mine.json"
    assert echoclip_r_span().text == "whole-and-sentences"


def test_a_config_comes_back_from_json() -> None:
    """What a checkpoint keeps is the config itself."""
    for recipe in RECIPES.values():
        config = phantom_scale(recipe())
        assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_settings_are_read_by_the_fields_kind() -> None:
    """Numbers, words, none, and whole numbers for decimal fields."""
    config = with_settings(
        echoclip(),
        ["lr=1e-4", "epochs=3", "grad_clip_norm=1", "precision=bf16", "multi_positive=false"],
    )
    assert (config.lr, config.epochs, config.grad_clip_norm) == (1e-4, 3, 1.0)
    assert (config.precision, config.multi_positive) == ("bf16", False)
    assert with_settings(config, ["grad_clip_norm=none"]).grad_clip_norm is None
    assert with_settings(config, ["pretrained=1"]).pretrained == "1"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs=0", "epochs is 0; it must be 1 or more"),
        ("epochs=1.5", "epochs takes a whole number"),
        ("epochs=none", "epochs takes a whole number"),
        ("lr=0", "lr is 0.0; it must be above 0"),
        ("lr=fast", "lr takes a number"),
        ("lr=nan", "lr takes a number"),
        ("multi_positive=2", "multi_positive takes true or false"),
        ("context_length=2", "BOS, one id and EOS"),
        ("precision=fp8", "one of auto, fp32, bf16, fp16"),
        ("text=half", "one of token-span, whole"),
        ("text=whole-and-sentences", "does not know where sentences end"),
        ("drop_sentences=0.5", "for whole reports through a phrase tokenizer"),
        ("sentence_weight=1.5", "it must be 0 to 1"),
        ("grad_clip_norm=-1", "above 0 or none"),
        ("learning_rate=1", "the name one of recipe, model"),
        ("epochs", "write name=value"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_rule(setting: str, message: str) -> None:
    """The message says which field, and what it takes."""
    with pytest.raises(ValueError, match=message):
        with_settings(echoclip(), [setting])


def test_a_config_of_a_later_version_is_refused() -> None:
    """A field that is not known may decide the result."""
    with pytest.raises(ValueError, match="has warp_drive, which this version"):
        config_from_dict(echoclip().to_dict() | {"warp_drive": 1})


def test_a_value_of_the_wrong_type_is_refused() -> None:
    """Not only on the command line."""
    with pytest.raises(ValueError, match="epochs is '3'; it takes a whole number"):
        TrainConfig(recipe="x", model="x", text="whole", tokenizer=None, epochs="3")  # type: ignore[arg-type]


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
