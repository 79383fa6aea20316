"""EchoCLIP-R: contrastive training and retrieval for echo studies.

    prepare        manifest of an archive -> shards       read_manifest  check a manifest
    train          shards -> a run's folder               TrainConfig    what decides a run
    load_model     a run -> a model                       embed          shards -> embeddings
    evaluate       models -> figures and a report         embed_reports  reports -> embeddings
    find_reports, find_videos                             prompt_cam     where a model looks

A name is imported when it is first used, since torch, pandas and av take seconds; they come with
`pip install "echotok[echoclip-r]"`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from echoclip_r.errors import (
    CheckpointError,
    EchoclipError,
    EvaluationError,
    ExtraError,
    ManifestError,
    MediaError,
    OptionError,
    ShardError,
    TrainingError,
)

if TYPE_CHECKING:
    from echoclip_r.data.manifest import read_manifest
    from echoclip_r.data.preparation import prepare
    from echoclip_r.embedding.embedder import embed
    from echoclip_r.embedding.reports import embed_reports
    from echoclip_r.evaluation.runner import evaluate
    from echoclip_r.explain.prompt_cam import prompt_cam
    from echoclip_r.model.checkpoint import load_checkpoint as load_model
    from echoclip_r.search.answers import find_reports, find_videos
    from echoclip_r.training.config import TrainConfig
    from echoclip_r.training.run import train
    from echotok import __version__

__all__ = [
    "CheckpointError",
    "EchoclipError",
    "EvaluationError",
    "ExtraError",
    "ManifestError",
    "MediaError",
    "OptionError",
    "ShardError",
    "TrainConfig",
    "TrainingError",
    "__version__",
    "embed",
    "embed_reports",
    "evaluate",
    "find_reports",
    "find_videos",
    "load_model",
    "prepare",
    "prompt_cam",
    "read_manifest",
    "train",
]

_LAZY = {
    "TrainConfig": ("echoclip_r.training.config", "TrainConfig"),
    "__version__": ("echotok", "__version__"),
    "embed": ("echoclip_r.embedding.embedder", "embed"),
    "embed_reports": ("echoclip_r.embedding.reports", "embed_reports"),
    "evaluate": ("echoclip_r.evaluation.runner", "evaluate"),
    "find_reports": ("echoclip_r.search.answers", "find_reports"),
    "find_videos": ("echoclip_r.search.answers", "find_videos"),
    "load_model": ("echoclip_r.model.checkpoint", "load_checkpoint"),
    "prepare": ("echoclip_r.data.preparation", "prepare"),
    "prompt_cam": ("echoclip_r.explain.prompt_cam", "prompt_cam"),
    "read_manifest": ("echoclip_r.data.manifest", "read_manifest"),
    "train": ("echoclip_r.training.run", "train"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    try:
        value = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "echotok", "echoclip_r"):
            raise
        raise ExtraError(
            f"echoclip_r.{name} needs the Python package {missing}, which is not installed; "
            'pip install "echotok[echoclip-r]" installs everything that echoclip_r needs'
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
