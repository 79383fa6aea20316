"""`config.toml`: a run's settings, written by the run, and taken by `train --config`.

The keys are those of `TrainConfig.to_dict`, and `shards` and `tasks` beside them. A file that a
person writes holds what differs from its recipe:

    recipe = "echoclip-r"
    scale = "paper"          # or "phantom"
    shards = "shards"
    tasks = ["phantom"]
    batch_size = 256
    [model]
    pretrained = "laion400m_s13b_b51k"

TOML has no word for nothing: `"none"` stands for it, as on the command line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import tomli_w

from echoclip_r.errors import TrainingError
from echoclip_r.places import place
from echoclip_r.storage import write_text
from echoclip_r.training.config import TrainConfig, config_from_dict
from echoclip_r.training.recipes import RECIPES, phantom_scale
from echotok.spelling import did_you_mean

__all__ = ["RunFile", "read_run_file", "write_run_file"]

_BESIDE = ("scale", "shards", "tasks")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    """What a run is made of.

    Attributes:
        config: its settings.
        shards: its data, or None where the file does not say.
        tasks: task files, as `echoclip_r.training.run.train` takes them.
    """

    config: TrainConfig
    shards: Path | None
    tasks: tuple[str, ...]


def write_run_file(path: Path, run: RunFile) -> None:
    """Write a run's settings.

    Raises:
        OSError: the file cannot be written.
    """
    content = _nones_out(run.config.to_dict())
    beside: dict[str, Any] = {"tasks": list(run.tasks)}
    if run.shards is not None:
        beside["shards"] = str(run.shards)
    head = "# Written by a run; `echoclip-r train --config FILE --out DIR` makes the same again.\n"
    write_text(path, head + tomli_w.dumps(beside | content))


def read_run_file(path: Path) -> RunFile:
    """Read a file that a run or a person wrote.

    Raises:
        TrainingError: it cannot be read, or a setting is unknown or out of range.
    """
    try:
        content = _nones_in(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(
            f"{path}: it cannot be read as TOML ({error}); a run's config.toml is an example"
        ) from error
    beside = {name: content.pop(name) for name in _BESIDE if name in content}
    known = [one.name for one in fields(TrainConfig)]
    for name in content:
        if name not in known:
            hint = did_you_mean(name, [*known, *_BESIDE]) or f"; known are {', '.join(known)}"
            raise TrainingError(f"{path}: there is no setting {name!r}{hint}")
    try:
        config = config_from_dict(_merged(_base(content, beside.get("scale")), content))
    except (ValueError, TypeError, KeyError) as error:
        raise TrainingError(f"{path}: {error}") from error
    tasks = beside.get("tasks", [])
    if isinstance(tasks, str):
        tasks = [tasks]
    shards = beside.get("shards")
    return RunFile(
        config=config, shards=None if shards is None else place(str(shards)), tasks=tuple(tasks)
    )


def _base(content: Mapping[str, Any], scale: str | None) -> dict[str, Any]:
    """What the recipe says."""
    recipe = str(content.get("recipe"))
    if recipe not in RECIPES:
        if {one.name for one in fields(TrainConfig)} <= content.keys():
            return {}  # a configuration of someone's own, with all that there is to say
        raise ValueError(f"recipe is {content.get('recipe')!r}; it takes {', '.join(RECIPES)}")
    if scale not in (None, "paper", "phantom"):
        raise ValueError(f"scale is {scale!r}; it takes paper or phantom")
    model = content.get("model", {})
    options = {"pretrained": model.get("pretrained")}
    if recipe != "echoclip":
        options["tokenizer"] = model.get("tokenizer")
    config = RECIPES[recipe](**options)
    return (phantom_scale(config) if scale == "phantom" else config).to_dict()


def _merged(base: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` over `base`; tables are merged key by key, lists are taken whole."""
    merged = dict(base)
    for name, value in content.items():
        before = merged.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            merged[name] = _merged(before, value)
        else:
            merged[name] = value
    return merged


def _nones_out(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _nones_out(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nones_out(one) for one in value]
    return "none" if value is None else value


def _nones_in(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _nones_in(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_nones_in(one) for one in value]
    return None if value == "none" else value
