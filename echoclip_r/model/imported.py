"""The weights of others as a run of ours: any checkpoint of open_clip whose tokenizer is at hand.

    a file                  open_clip_pytorch_model.bin, model.safetensors, epoch_32.pt, ...
    local-dir:FOLDER        a folder with open_clip_config.json and weights (or just FOLDER)
    hf-hub:OWNER/NAME       the same on the Hub, where there is a network
    TAG with `towers`       a name that open_clip has for that model, e.g. laion400m_s13b_b51k

A folder that `echoclip_r.model.export` wrote becomes the run that it was.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.factory import _find_checkpoint_in_dir, load_state_dict
from open_clip.pretrained import download_pretrained_from_hf

from echoclip_r.errors import CheckpointError, OptionError
from echoclip_r.model.build import build_model, fit_frames, model_config, normalize_frames
from echoclip_r.model.checkpoint import load_checkpoint, save_checkpoint
from echoclip_r.model.description import DESCRIPTION, MODEL, read_description, tasks_of
from echoclip_r.model.pretrained import find_weights
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.task_files import read_task_files
from echoclip_r.storage import read_json, sha256_of
from echoclip_r.text.codec import PUBLISHED, TextCodec, is_published
from echoclip_r.text.readers import ClipReader

__all__ = ["Imported", "import_weights"]

_log = logging.getLogger(__name__)

_HUB, _LOCAL = "hf-hub:", "local-dir:"
_PREFIXES = ("module.", "_orig_mod.")  # what DDP and torch.compile put before each name
_MAX_NAMED = 3
_PUBLISHED_FOLDER = f"--tokenizer {PUBLISHED}FOLDER"
_ANOTHER_TOKENIZER = (
    "Give the tokenizer that they were trained with: --tokenizer echo, echo-clip or the path of an "
    f"artifact of echotok; for the published EchoCLIP-R {_PUBLISHED_FOLDER}, your own copy of its "
    "template tokenizer, which echotok may not bring"
)
# The published weights have these names on the Hub, and in a cache or copy of it.
_BASE, _RETRIEVAL = "echo-clip", "echo-clip-r"
_OWNER = "mkaichristensen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of the weights.

    Attributes:
        folder: the checkpoint that was written, OUT/best.
        towers: the open_clip model that they are of, or the source where open_clip has none such.
        tokenizer: the tokenizer that they are read with.
        num_weights: numbers in all tensors.
        source: where they are from, as the checkpoint says it: no path.
    """

    folder: Path
    towers: str
    tokenizer: str
    num_weights: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A file of weights, with the configuration beside it.

    Attributes:
        name: for people.
        weights: the file.
        content: `open_clip_config.json`, or None where there is none.
    """

    name: str
    weights: Path
    content: Mapping[str, Any] | None


def import_weights(
    source: str, out: Path | str, *, towers: str | None = None, tokenizer: str | None = None
) -> Imported:
    """Make a run of a checkpoint.

    Args:
        source: see the head of this module.
        out: the run's folder; it must not be there, or be empty.
        towers: the open_clip model that the weights are of; None reads it from the configuration
            beside them, or finds it from their shapes.
        tokenizer: what the text tower was trained with: None for CLIP's own, else as
            `TextCodec.load` takes it; `published:FOLDER` for the published EchoCLIP-R.

    Raises:
        CheckpointError: the weights cannot be found or read, are of another architecture, or do
            not go with the tokenizer.
        OptionError: open_clip knows no such model.
        ArtifactError: the tokenizer cannot be loaded.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out}: something is there already; give a new folder with --out")
    folder = _folder(source)
    if folder is not None and (folder / DESCRIPTION).is_file():
        if towers is not None or tokenizer is not None:
            raise OptionError(
                f"{folder}: it says itself which model and tokenizer it has; leave --model and "
                "--tokenizer out"
            )
        return _import_ours(folder, out)
    _check_names(source, folder, tokenizer)
    found = _find(source, folder, towers)
    state = _read_state(found.weights)
    rows, context_length = _text_shapes(state, found)
    codec = TextCodec.load(tokenizer, context_length=context_length)
    _check_pair(found, rows, codec, given=tokenizer)
    name, config = _config_of(found, state, towers, codec)
    spec = ModelSpec(
        towers=name,
        tokenizer=_name_in_spec(codec),
        context_length=context_length,
    )
    model = _build(config, name, found)
    _fill(model, state, found, name)
    save_checkpoint(
        out / "best",
        model,
        spec=spec,
        model_config=config,
        codec=codec,
        facts={
            "step": 0,
            "imported": {"source": found.name, "file_sha256": sha256_of(found.weights)},
        },
    )
    return Imported(
        folder=out / "best",
        towers=name,
        tokenizer=codec.name,
        num_weights=sum(tensor.numel() for tensor in model.state_dict().values()),
        source=found.name,
    )


def _import_ours(folder: Path, out: Path) -> Imported:
    """An exported run comes back as it was."""
    description = read_description(folder)
    loaded = load_checkpoint(folder, device="cpu")  # which checks weights and tokenizer, too
    config = model_config_without_folder(description.model_config)
    kept = ("step", "epoch", "loss", "best_validation", "data_sha256", "imported")
    save_checkpoint(
        out / "best",
        loaded.model,
        spec=description.spec,
        model_config=config,
        codec=loaded.text,
        facts={name: description.facts[name] for name in kept if name in description.facts},
        training=description.training,
        tasks=read_task_files(tasks_of(folder)),
    )
    return Imported(
        folder=out / "best",
        towers=description.spec.towers,
        tokenizer=loaded.text.name,
        num_weights=sum(tensor.numel() for tensor in loaded.model.state_dict().values()),
        source=folder.name,
    )


def model_config_without_folder(config: Mapping[str, Any]) -> dict[str, Any]:
    """A model's configuration without what says where open_clip finds its tokenizer."""
    text = {
        name: value
        for name, value in config["text_cfg"].items()
        if name not in ("hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs")
    }
    return {**config, "text_cfg": text}


# Where the weights are


def _folder(source: str) -> Path | None:
    if source.startswith(_HUB):
        return None
    named = source.removeprefix(_LOCAL)
    if not named:
        raise CheckpointError("the source is empty; give a file of weights, or local-dir:FOLDER")
    path = Path(named)
    if source.startswith(_LOCAL) and not path.is_dir():
        raise CheckpointError(f"{path}: there is no such folder")
    return path if path.is_dir() else None


def _find(source: str, folder: Path | None, towers: str | None) -> _Source:
    if source.startswith(_HUB):
        return _download(source.removeprefix(_HUB))
    if folder is not None:
        weights = _find_checkpoint_in_dir(folder)
        if weights is None:
            raise CheckpointError(
                f"{folder}: it holds no weights (a file that ends in .safetensors, .bin or .pth); "
                "give the file itself"
            )
        return _Source(name=folder.name, weights=Path(weights), content=_config_in(folder))
    path = Path(source)
    if path.is_file():
        return _Source(name=path.name, weights=path, content=_config_in(path.parent))
    if towers is not None:
        return _Source(
            name=f"{towers} {source}", weights=find_weights(source, towers), content=None
        )
    raise CheckpointError(
        f"{source}: there is no such file or folder. Give a file of weights, local-dir:FOLDER, "
        "hf-hub:OWNER/NAME, or a name that open_clip has for a model together with --model NAME"
    )


def _config_in(folder: Path) -> Mapping[str, Any] | None:
    path = folder / MODEL
    if not path.is_file():
        return None
    content = read_json(path)
    parts = content.get("model_cfg") if content is not None else None
    if (
        not isinstance(parts, dict)
        or "embed_dim" not in parts
        or not isinstance(parts.get("vision_cfg"), dict)
        or not isinstance(parts.get("text_cfg"), dict)
    ):
        raise CheckpointError(
            f"{path}: it does not describe a model of open_clip (model_cfg with embed_dim, "
            "vision_cfg and text_cfg); copy it again, or move it away and give --model NAME"
        )
    return content


def _download(name: str) -> _Source:
    try:
        config = Path(download_pretrained_from_hf(name, filename=MODEL))
        weights = Path(download_pretrained_from_hf(name))
    except Exception as error:  # no network, no hub, no such model: whatever the client raises
        raise CheckpointError(
            f"{_HUB}{name}: it cannot be downloaded ({type(error).__name__}); is the name right, "
            "and is there a network? Else fetch open_clip_config.json and the weights where there "
            "is one, put them into a folder, and give local-dir:FOLDER"
        ) from error
    return _Source(name=f"{_HUB}{name}", weights=weights, content=_config_in(config.parent))


# What they are


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors by open_clip's names, whatever a trainer put before them."""
    try:
        state: dict[str, Any] = dict(load_state_dict(str(path)))
    except Exception as error:  # whatever torch, pickle or safetensors raise for a broken file
        reason = (str(error).splitlines() or [""])[0]
        raise CheckpointError(
            f"{path}: the weights cannot be read ({type(error).__name__}: {reason}). Is it a file "
            "of weights (.safetensors, .bin, .pt), and whole? A file with Python objects besides "
            "tensors is refused, since it could run code: save its state_dict alone"
        ) from error
    for prefix in _PREFIXES * 2:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    if "positional_embedding" not in state and "text.positional_embedding" in state:
        # The same tower, which newer models of open_clip keep in a module of its own.
        state = {name.removeprefix("text."): tensor for name, tensor in state.items()}
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if broken := [name for name, value in tensors.items() if not _is_finite(value)]:
        raise CheckpointError(
            f"{path}: {len(broken)} tensors hold NaN or infinity, the first {min(broken)}; it "
            "embeds nothing. Take an earlier checkpoint of that training"
        )
    return tensors


def _is_finite(tensor: torch.Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def _text_shapes(state: Mapping[str, torch.Tensor], found: _Source) -> tuple[int, int]:
    """Rows of the token embedding, and the context's length."""
    embedding, positions = state.get("token_embedding.weight"), state.get("positional_embedding")
    if embedding is None or positions is None or not embedding.ndim == positions.ndim == 2:
        raise CheckpointError(
            f"{found.weights}: it has no token_embedding.weight and positional_embedding, so it "
            "does not hold a CLIP model of open_clip with its own text tower; models with a text "
            "tower of transformers, and towers alone, cannot be imported"
        )
    return int(embedding.shape[0]), int(positions.shape[0])


def _check_names(source: str, folder: Path | None, tokenizer: str | None) -> None:
    """Refuse what the names of the published weights tell, where their shapes may not."""
    if source.startswith(_HUB):
        names = {source.removeprefix(f"{_HUB}{_OWNER}/")}
    else:
        path = (folder or Path(source).parent).absolute()
        cached = f"models--{_OWNER}--"  # so a cache of the Hub names its folders
        names = {path.name, *(p.removeprefix(cached) for p in path.parts if p.startswith(cached))}
    if _RETRIEVAL in names and tokenizer is None:
        raise CheckpointError(
            f"{source}: the published EchoCLIP-R was trained with a template tokenizer of its "
            "authors, and not with CLIP's: with CLIP's ids each word would be another one, and "
            f"every figure would be wrong. Give {_PUBLISHED_FOLDER}, your own copy of that "
            "tokenizer (template_tokenizer.py and the files beside it), which echotok may not "
            f"bring. The base model, which measures ejection fractions, is {_HUB}{_OWNER}/{_BASE}. "
            "Where these are other weights, rename the folder"
        )
    if _BASE in names and _RETRIEVAL not in names and is_published(tokenizer):
        raise CheckpointError(
            f"{source}: the published base model EchoCLIP reads CLIP's own tokenizer; leave "
            "--tokenizer out. The template tokenizer belongs to EchoCLIP-R, "
            f"{_HUB}{_OWNER}/{_RETRIEVAL}. Where these are other weights, rename the folder"
        )


def _check_pair(found: _Source, rows: int, codec: TextCodec, *, given: str | None) -> None:
    """Refuse weights and a tokenizer that do not belong together."""
    text = {} if found.content is None else found.content["model_cfg"]["text_cfg"]
    theirs = text.get("hf_tokenizer_name")
    if codec.published is not None and not theirs and rows == ClipReader().vocab_size:
        _log.warning(
            "%s: its token embedding has CLIP's %d rows, of which the template tokenizer uses %d. "
            "Their number does not tell which of the two they were trained with: take it that %s "
            "is right only if their makers say so",
            found.weights,
            rows,
            codec.vocab_size,
            given,
        )
        return
    if rows != codec.vocab_size:
        what = f"CLIP's own tokenizer has {codec.vocab_size:,}"
        if given is not None:
            what = f"tokenizer {given} gives ids below {codec.vocab_size:,}"
        raise CheckpointError(
            f"{found.weights}: its token embedding has {rows:,} rows, and {what}. These weights "
            "were trained with another tokenizer: each id would mean another word than the one "
            f"that was learned, and every figure would be wrong. {_ANOTHER_TOKENIZER}"
        )
    if theirs and (given is None or codec.published is not None):
        raise CheckpointError(
            f"{found.weights}: its open_clip_config.json names the tokenizer {theirs!r}, which is "
            f"not {_whose(codec)}. {_ANOTHER_TOKENIZER}"
        )


def _whose(codec: TextCodec) -> str:
    return "CLIP's own" if codec.published is None else "the published template tokenizer"


def _name_in_spec(codec: TextCodec) -> str | None:
    if codec.published is not None:
        return f"{PUBLISHED}{codec.published.folder}"
    return None if codec.tokenizer is None else codec.name


def _config_of(
    found: _Source, state: Mapping[str, torch.Tensor], towers: str | None, codec: TextCodec
) -> tuple[str, dict[str, Any]]:
    """Name and configuration of the model that the weights are of."""
    rows = int(state["token_embedding.weight"].shape[0])
    if found.content is None:
        name = towers or _recognized(state, found)
        spec = ModelSpec(towers=name, context_length=codec.context_length)
        config = model_config(spec, codec)
        config["text_cfg"]["vocab_size"] = rows
        return name, config
    config = model_config_without_folder(found.content["model_cfg"])
    config.pop("custom_text", None)
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}
    text = {**config["text_cfg"], "context_length": codec.context_length}
    config |= {"vision_cfg": vision, "text_cfg": text}
    if "hf_model_name" in text or "multimodal_cfg" in config:
        raise CheckpointError(
            f"{found.weights}: its text tower is one of transformers, or it also writes captions; "
            "only a CLIP model with open_clip's own text tower can be imported"
        )
    text["vocab_size"] = rows
    return towers or _name_of(config) or found.name, config


def _build(config: Mapping[str, Any], name: str, found: _Source) -> Any:
    """The model with random weights, which takes frames as its configuration says."""
    try:
        model = build_model(
            config, name=name, preprocess=(found.content or {}).get("preprocess_cfg")
        )
        normalize_frames(fit_frames([np.zeros((9, 8, 3), np.uint8)], model), model)
    except OptionError:
        raise
    except Exception as error:  # whatever a number or a name makes open_clip, timm and torch raise
        reason = (str(error).splitlines() or [""])[0]
        raise CheckpointError(
            f"{found.weights.parent / MODEL}: open_clip cannot build the model that it describes "
            f"({type(error).__name__}: {reason}); copy it again, or move it away and give --model "
            "NAME"
        ) from error
    return model


def _name_of(config: Mapping[str, Any]) -> str | None:
    """The model of open_clip that a configuration describes, whatever its vocabulary."""

    def kernel(one: Mapping[str, Any]) -> dict[str, Any]:
        vision = {key: value for key, value in one["vision_cfg"].items() if "drop" not in key}
        vision.pop("timm_model_pretrained", None)
        text = {key: one["text_cfg"].get(key) for key in ("width", "heads", "layers")}
        return {
            "embed_dim": one["embed_dim"],
            "vision": vision,
            "text": text,
            "quick_gelu": bool(one.get("quick_gelu")),
        }

    wanted = kernel(config)
    for name in open_clip.list_models():
        known = open_clip.get_model_config(name)
        if "text_cfg" in known and kernel(known) == wanted:
            return str(name)
    return None


def _recognized(state: Mapping[str, torch.Tensor], found: _Source) -> str:
    """The one model of open_clip whose tensors have these names and shapes."""
    fitting = sorted(_fitting(state))
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise CheckpointError(
            f"{found.weights}: no model of open_clip has tensors of these names and shapes. Put "
            "the open_clip_config.json of the weights beside the file, or give --model NAME"
        )
    raise CheckpointError(
        f"{found.weights}: the tensors fit several models of open_clip, which differ in the size "
        f"of frames or in how they compute: {', '.join(fitting)}. Say which with --model NAME, or "
        "put the open_clip_config.json of the weights beside the file"
    )


def _fitting(state: Mapping[str, torch.Tensor]) -> Iterator[str]:
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    projection = shapes.get("text_projection", shapes.get("text_projection.weight", (0,)))
    width = shapes["token_embedding.weight"][1]
    blocks = {name.split(".")[2] for name in shapes if name.startswith("transformer.resblocks.")}
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        text = config.get("text_cfg", {})
        if (
            name.startswith("echoclip")  # ours are variants of others
            or "hf_model_name" in text
            or "multimodal_cfg" in config
            or config["embed_dim"] not in projection
            or (text.get("width", 512), text.get("layers", 12)) != (width, len(blocks))
        ):
            continue
        config.pop("custom_text", None)
        config["vision_cfg"]["timm_model_pretrained"] = False
        text["vocab_size"], text["context_length"] = (
            shapes["token_embedding.weight"][0],
            shapes["positional_embedding"][0],
        )
        known = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_bias"}
        try:
            with torch.device("meta"):
                model = open_clip.CLIP(**{key: config[key] for key in known & config.keys()})
        except Exception as error:  # a tower that this version of timm has not
            _log.debug("%s cannot be built (%s)", name, type(error).__name__)
            continue
        theirs = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
        if theirs == shapes | {"logit_scale": theirs["logit_scale"]}:
            yield str(name)


def _fill(model: Any, state: dict[str, torch.Tensor], found: _Source, name: str) -> None:
    """Fill a model with the tensors, all of them and no other."""
    wanted = model.state_dict()
    if "logit_scale" in state and state["logit_scale"].numel() == 1:
        state["logit_scale"] = state["logit_scale"].reshape(wanted["logit_scale"].shape)
    faults = [f"{key} is missing" for key in wanted if key not in state]
    faults += [f"{key} is one too many" for key in state if key not in wanted]
    faults += [
        f"{key} is {tuple(state[key].shape)} and not {tuple(tensor.shape)}"
        for key, tensor in wanted.items()
        if key in state and state[key].shape != tensor.shape
    ]
    if faults:
        more = f", and {len(faults) - _MAX_NAMED} more" if len(faults) > _MAX_NAMED else ""
        raise CheckpointError(
            f"{found.weights}: the weights are not of model {name}: "
            f"{'; '.join(faults[:_MAX_NAMED])}{more}. Give the model that they are of with --model "
            "NAME, or put their own open_clip_config.json beside them"
        )
    model.load_state_dict(state)
