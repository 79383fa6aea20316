"""What a model is, said without how it was trained."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from echoclip_r.model.spec import ModelSpec


def test_a_spec_comes_back_from_json() -> None:
    """With every field, whoever's weights it has."""
    for spec in (
        ModelSpec(towers="echoclip-r", tokenizer="echo"),
        ModelSpec(towers="convnext_base", pretrained="laion400m_s13b_b51k"),
        ModelSpec(
            towers="echoclip-r", tokenizer="echo-clip", pretrained="clip.pt", freeze_image=True
        ),
    ):
        assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"context_length": 2}, "context_length is 2; it must be 3 or more: BOS, one id and EOS"),
        ({"context_length": 77.5}, "context_length is 77.5; it takes a whole number"),
        ({"precision": "fp8"}, "precision is 'fp8'; it must be one of auto, fp32, bf16, fp16"),
        ({"towers": None}, "model is None; it takes text"),
        ({"freeze_text": 1}, "freeze_text is 1; it takes true or false"),
    ],
)
def test_a_wrong_value_is_refused_with_the_rule(changes: dict[str, object], message: str) -> None:
    """The message says which setting, and what it takes."""
    with pytest.raises(ValueError, match=message):
        replace(ModelSpec(towers="echoclip"), **changes)  # type: ignore[arg-type]


def test_a_spec_of_a_later_version_is_refused() -> None:
    """A field that is not known may decide what the model computes."""
    content = ModelSpec(towers="echoclip").to_dict() | {"num_frames": 16}
    with pytest.raises(ValueError, match="the model has num_frames, which this version"):
        ModelSpec.from_dict(content)


def test_models_know_nothing_of_training() -> None:
    """Loading a model imports no module of `echoclip_r.training`."""
    code = """
import sys
import echoclip_r.model.checkpoint, echoclip_r.model.pretrained
print([name for name in sys.modules if name.startswith("echoclip_r.training")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
