"""A configuration of an evaluation is whole, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from echoclip_r.errors import OptionError
from echoclip_r.evaluation.config import EvaluateConfig


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"checkpoints": []}, "at least one checkpoint"),
        ({"checkpoints": "run"}, "a list of at least one checkpoint"),
        ({"split": "train"}, "split is 'train'; give 'test' or 'validation'"),
        ({"unit": "frame"}, "unit is 'frame'; give 'study' or 'clip'"),
        ({"names": ["a", "b"]}, "1 checkpoints and 2 names"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"workers": -1}, "workers is -1; it must be at least 0"),
    ],
)
def test_a_bad_configuration_is_refused_when_it_is_made(
    changed: dict[str, Any], message: str
) -> None:
    """Each rule is named, before anything is read."""
    with pytest.raises(OptionError, match=message):
        EvaluateConfig(**{"checkpoints": ["c"], "data": "d", "out": "o", **changed})
