"""A run as a folder that open_clip loads: weights, configuration, tokenizer and model card.

    open_clip_model.safetensors     the weights, byte for byte those of the checkpoint
    open_clip_config.json           towers, preprocessing, and which tokenizer
    tokenizer.json, tokenizer_config.json, echotok_tokenizer.py
                                    a phrase tokenizer, as `open_clip.get_tokenizer` finds it
    echoclip_r.json, tasks-1.toml   what this package says of the model besides
    README.md                       the model card

The folder is a checkpoint of this package, too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from echoclip_r.errors import CheckpointError
from echoclip_r.model.checkpoint import load_codec
from echoclip_r.model.description import (
    DESCRIPTION,
    MODEL,
    WEIGHTS,
    Description,
    find_checkpoint,
    read_description,
)
from echoclip_r.model.model_card import model_card
from echoclip_r.storage import sha256_of, whole_folder, writing
from echotok.adapters.open_clip import save_tokenizer

__all__ = ["export_run", "needs_our_towers"]

CARD = "README.md"


def export_run(run: Path | str, out: Path | str, *, evaluation: Path | str | None = None) -> Path:
    """Write a run, or a checkpoint of it, as a folder that open_clip loads.

    Args:
        run: a run, of which the best checkpoint is taken, else the last; or a checkpoint.
        out: the folder to write; it must not be there, or be empty.
        evaluation: the folder that `evaluate` wrote, whose figures of this model go into the
            model card; None looks for one inside of the run's folder.

    Returns:
        The checkpoint that was taken.

    Raises:
        CheckpointError: there is no checkpoint, it or its evaluation is damaged, it reads with a
            program of others, or `out` cannot be written.
        ArtifactError: its tokenizer is damaged.
    """
    run, out = Path(run), Path(out)
    folder = find_checkpoint(run)
    description = read_description(folder)
    codec = load_codec(description)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out}: something is there already; give a new folder with --out")
    if codec.published is not None:
        raise CheckpointError(
            f"{folder}: it reads texts with the published template tokenizer, which may not be "
            f"passed on and which open_clip cannot load. Its {WEIGHTS} and {MODEL} are in "
            "open_clip's form already; give open_clip's model the ids of "
            "echotok.adapters.published.PublishedTokenizer"
        )
    _check_weights(description)
    config = json.loads((folder / MODEL).read_text(encoding="utf-8"))
    # What is published names no file of the machine that made it.
    spec = replace(
        description.spec,
        tokenizer=None if codec.tokenizer is None else codec.name,
        pretrained=_name_only(description.spec.pretrained),
    )
    facts = {**description.facts, "model": spec.to_dict(), "format": 2}
    facts["training"] = None if description.training is None else dict(description.training)
    facts.pop("config", None)
    card = model_card(
        description,
        codec=codec,
        run=run,
        evaluation=None if evaluation is None else Path(evaluation),
        our_towers=needs_our_towers(description.model_config),
    )
    with (
        writing(out, "the folder for open_clip", error=CheckpointError),
        whole_folder(out) as partial,
    ):
        shutil.copyfile(folder / WEIGHTS, partial / WEIGHTS)
        if codec.tokenizer is not None:
            config["model_cfg"]["text_cfg"] |= save_tokenizer(codec.tokenizer, partial)
        _save_json(partial / MODEL, config)
        _save_json(partial / DESCRIPTION, facts)
        for name in facts.get("tasks", ()):
            if (folder / str(name)).is_file():
                shutil.copyfile(folder / str(name), partial / str(name))
        (partial / CARD).write_text(card, encoding="utf-8")
    return folder


def needs_our_towers(model_config: Mapping[str, Any]) -> bool:
    """Whether open_clip knows the image tower only after this package has told it of it."""
    return str(model_config["vision_cfg"].get("timm_model_name", "")).startswith("echoclip_r_")


def _check_weights(description: Description) -> None:
    """Refuse weights that are not those that the checkpoint was written with."""
    path, stated = description.folder / WEIGHTS, description.facts.get("weights_sha256")
    try:
        is_whole = sha256_of(path) == stated
    except OSError as error:
        raise CheckpointError(
            f"{path}: the weights cannot be read ({error.strerror}); copy the checkpoint again"
        ) from error
    if not is_whole:
        raise CheckpointError(
            f"{path}: the weights are damaged, or of another checkpoint: their sha256 is not the "
            f"one that {DESCRIPTION} states; copy the checkpoint again"
        )


def _name_only(pretrained: str | None) -> str | None:
    if pretrained is None or not any(sign in pretrained for sign in "/\\"):
        return pretrained
    return Path(pretrained).name


def _save_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
