"""Settings: read, checked, written and read back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from echoclip_r.model.spec import ModelSpec
from echoclip_r.training.augment import Augmentation
from echoclip_r.training.config import config_from_dict, with_settings
from echoclip_r.training.loss import Contrastive, Preference, SharedFindings
from echoclip_r.training.recipes import (
    RECIPES,
    echoclip,
    echoclip_r_findings,
    echoclip_r_span,
    phantom_scale,
)
from echoclip_r.training.recipes import echoclip_r as whole_report
from echoclip_r.training.views import SentenceRun, Statement, WholeReport


def test_a_config_comes_back_from_json() -> None:
    """What a checkpoint keeps is the config itself."""
    for recipe in RECIPES.values():
        config = phantom_scale(recipe())
        written = json.loads(json.dumps(config.to_dict()))
        assert config_from_dict(written) == config
        assert json.loads(json.dumps(config_from_dict(written).to_dict())) == written


def test_settings_are_read_by_the_fields_kind() -> None:
    """Numbers, words, none, and whole numbers for decimal fields."""
    config = with_settings(
        echoclip(),
        ["lr=1e-4", "epochs=3", "grad_clip_norm=1", "precision=bf16", "multi_positive=false"],
    )
    assert (config.lr, config.epochs, config.grad_clip_norm) == (1e-4, 3, 1.0)
    assert (config.model.precision, config.losses[0].multi_positive) == ("bf16", False)
    assert with_settings(config, ["grad_clip_norm=none"]).grad_clip_norm is None
    assert with_settings(config, ["pretrained=1"]).model.pretrained == "1"


def test_settings_reach_the_part_in_which_they_stand() -> None:
    """Model, views, losses and augmentation, by one flat name each."""
    config = with_settings(
        echoclip_r_span(),
        [
            "model=convnext_base",
            "context_length=128",
            "drop_sentences=.5",
            "max_sentences=2",
            "sentence_weight=.3",
            "multi_positive=false",
            "max_gain=0",
            "freeze_image=true",
        ],
    )
    assert config.model == ModelSpec(
        towers="convnext_base", tokenizer="echo", context_length=128, freeze_image=True
    )
    assert config.texts == (WholeReport(drop_sentences=0.5), SentenceRun(max_sentences=2))
    assert config.losses == (
        Contrastive(text=0, weight=0.7, multi_positive=False),
        Contrastive(text=1, weight=0.3, multi_positive=False),
    )
    assert config.augmentation == Augmentation(max_gain=0.0)


def test_the_share_of_statements_is_set_as_that_of_runs_is() -> None:
    """The loss on the whole report keeps the rest."""
    config = with_settings(
        echoclip_r_findings(), ["sentence_weight=.25", "edited=.1", "findings_scale=9"]
    )
    assert {view.edited for view in config.texts if isinstance(view, Statement)} == {0.1}
    assert config.losses == (
        Contrastive(text=0, weight=0.75),
        Preference(text=1, weight=0.125),
        SharedFindings(text=3, num_texts=4, weight=0.125, findings_scale=9.0),
    )


def test_settings_that_go_together_may_come_in_any_order() -> None:
    """Only the config that they all make is checked."""
    for settings in (
        ["tokenizer=none", "drop_sentences=0"],
        ["drop_sentences=0", "tokenizer=none"],
    ):
        config = with_settings(phantom_scale(whole_report()), settings)
        assert config.model.tokenizer is None
        assert config.texts == (WholeReport(),)


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
        ("text=whole", "the name one of recipe"),
        ("weight=1", "the name one of recipe"),
        (
            "drop_sentences=0.5",
            r"a setting of WholeReport, and recipe echoclip reads TokenSpan\(\); leave it out",
        ),
        ("sentence_weight=0.5", "a setting of SentenceRun, and recipe echoclip reads TokenSpan"),
        ("max_gain=2", "max_gain is 2.0; it must be 0 to 0.9"),
        ("grad_clip_norm=-1", "above 0 or none"),
        ("learning_rate=1", "the name one of recipe, batch_size"),
        ("batchsize=8", r"max_rotation_deg; did you mean 'batch_size'\?"),
        ("epochs", "write name=value"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_rule(setting: str, message: str) -> None:
    """The message says which field, and what it takes."""
    with pytest.raises(ValueError, match=message):
        with_settings(echoclip(), [setting])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sentence_weight=1.5", "sentence_weight is 1.5; it must be 0 to 1"),
        ("sentence_weight=all", "sentence_weight takes a number"),
        ("max_sentences=0", "max_sentences is 0; it must be 1 or more"),
        ("drop_sentences=1", "drop_sentences is 1.0; it must be 0 to 0.9"),
        ("tokenizer=none", r"reads SentenceRun\(max_sentences=4\), which needs a phrase tokenizer"),
    ],
)
def test_a_wrong_setting_of_a_view_is_refused(setting: str, message: str) -> None:
    """By the view that it belongs to."""
    with pytest.raises(ValueError, match=message):
        with_settings(echoclip_r_span(), [setting])


def _of_later(content: dict[str, Any], where: str) -> dict[str, Any]:
    part = {
        "config": content,
        "model": content["model"],
        "augmentation": content["augmentation"],
        "view": content["texts"][0],
        "loss": content["losses"][0],
    }[where]
    part["warp_drive"] = 1
    return content


@pytest.mark.parametrize("where", ["config", "model", "augmentation", "view", "loss"])
def test_a_config_of_a_later_version_is_refused(where: str) -> None:
    """A setting that is not known may decide the result, in whichever part it stands."""
    with pytest.raises(ValueError, match="has warp_drive, which this version"):
        config_from_dict(_of_later(echoclip().to_dict(), where))


def test_a_view_of_a_later_version_is_refused() -> None:
    """By its kind, with those that are known."""
    content = echoclip().to_dict()
    content["texts"][0]["kind"] = "paragraph"
    with pytest.raises(ValueError, match=r"a 'paragraph', and this version .* knows token-span"):
        config_from_dict(content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": "3"}, "epochs is '3'; it takes a whole number"),
        ({"model": "echoclip"}, "model is 'echoclip'; it takes a ModelSpec"),
        (
            {"texts": "whole"},
            "texts is 'whole'; it takes TokenSpan or WholeReport or SentenceRun or Statement",
        ),
        ({"texts": ()}, "in a tuple if several"),
        ({"losses": (Contrastive(text=1),)}, "compares the frames with text 1, and .* reads 1"),
        ({"losses": (SharedFindings(text=0),)}, r"TokenSpan\(\) does not say it; give it"),
        ({"losses": (SharedFindings(text=0, num_texts=2),)}, "with text 1, and the recipe reads 1"),
        ({"smooth_numbers": True}, "smooth_numbers needs a phrase tokenizer"),
        ({"frame": 3}, "it takes RandomFrame"),
        ({"augmentation": None}, "it takes an Augmentation"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(changes: dict[str, Any], message: str) -> None:
    """Not only on the command line."""
    with pytest.raises(ValueError, match=message):
        replace(echoclip(), **changes)
