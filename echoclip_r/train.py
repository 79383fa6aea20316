"""Training: shards and a `TrainConfig` to a run's folder.

    RUN/config.json     what was asked for, the data's sha256, versions
    RUN/log.jsonl       loss, lr, logit_scale, frames_per_s; retrieval on the validation split
    RUN/rejects.csv     clips that could not be used, and why
    RUN/vocabulary.csv  where each row of the token embedding came from (pretrained runs)
    RUN/best, RUN/checkpoints/step-*    see `echoclip_r.checkpoint`

One process, or several under `torchrun`: each computes its part of every batch, and the features
of all meet in the loss.
"""

from __future__ import annotations

from pathlib import Path

from echoclip_r.config import TrainConfig
from echoclip_r.train_device import distributed_process
from echoclip_r.train_log import RunLog
from echoclip_r.train_progress import TrainResult
from echoclip_r.train_run import Run
from echoclip_r.train_step import learning_rate

__all__ = ["TrainResult", "learning_rate", "train"]


def train(
    config: TrainConfig,
    shards_dir: Path | str,
    out: Path | str,
    *,
    resume: bool = False,
    device: str | None = None,
    tensorboard: bool = False,
) -> TrainResult:
    """Train a model.

    Args:
        config: from a recipe, see `echoclip_r.config`.
        shards_dir: from `echoclip_r.shards.prepare`.
        out: the run's folder.
        resume: go on from the last checkpoint in `out`, as if nothing had happened, or begin.
        device: `cpu`, `cuda`, ...; None takes a GPU where there is one.
        tensorboard: also write TensorBoard's files.

    Raises:
        TrainingError: `out` holds another run; the run cannot go on; the loss is not a number.
        ShardError: the shards cannot be read, are too few, or a patient is in two splits.
        CheckpointError: a checkpoint or pretrained weights cannot be read or written.
        ArtifactError: the tokenizer cannot be loaded.
        ValueError: the config asks for what cannot be.
    """
    with distributed_process(device) as process:
        run = Run(config, Path(shards_dir), Path(out), process, resume=resume)
        log = RunLog(
            run.out if process.is_first else None,
            num_steps=run.data.num_steps,
            first_step=run.progress.step,
            tensorboard=tensorboard,
        )
        try:
            return run.go(log)
        finally:
            log.close()
