"""`train`: a run from its first step, or the one where it stopped, to its last.

Each process puts model, data and optimizer together once, as a `Run`, and then makes the steps.
The first process also validates, logs and writes the checkpoints.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from echoclip_r.data.shards import read_index
from echoclip_r.errors import OptionError, TrainingError
from echoclip_r.model.build import (
    build_model,
    freeze_towers,
    image_size_px,
    load_open_clip_weights,
    model_config,
)
from echoclip_r.model.checkpoint import list_checkpoints, load_state, save_checkpoint
from echoclip_r.model.precision import needs_scaler, resolve_precision
from echoclip_r.model.pretrained import load_pretrained
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.batches import Batch, TrainData
from echoclip_r.training.config import TrainConfig
from echoclip_r.training.log import RunLog
from echoclip_r.training.loss import TotalLoss
from echoclip_r.training.optimizer import learning_rate, make_optimizer, update
from echoclip_r.training.processes import Process, distributed_process
from echoclip_r.training.resume import check_patients, check_same_run, start_of
from echoclip_r.training.state import Progress, TrainResult, pack_state, unpack_state
from echoclip_r.training.step import Towers, backward
from echoclip_r.training.validation import ValidationSet

__all__ = ["Run", "train"]


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
        config: from a recipe, see `echoclip_r.training.recipes`.
        shards_dir: from `echoclip_r.data.preparation.prepare`.
        out: the folder of the run.
        resume: whether to go on from the last checkpoint in `out`, as if the run had never
            stopped; where there is none yet, the run begins.
        device: `cpu`, `cuda`, ...; None takes a GPU where there is one.
        tensorboard: whether to write TensorBoard's files, too.

    Raises:
        TrainingError: `out` holds another run; the run cannot go on; the loss is not a number.
        ShardError: the shards cannot be read, are too few, or a patient is in two splits.
        CheckpointError: a checkpoint or pretrained weights cannot be read or written.
        ArtifactError: the tokenizer cannot be loaded.
        OptionError: two settings do not go together, or one does not fit the shards.
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


class Run:
    """A run in one process.

    Args:
        config: of the run.
        shards_dir: where the shards lie.
        out: the folder of the run.
        process: this process among those of the run.
        resume: whether a run in `out` goes on.
    """

    def __init__(
        self, config: TrainConfig, shards_dir: Path, out: Path, process: Process, *, resume: bool
    ) -> None:
        self.config, self.out, self.process = config, out, process
        start = start_of(out, resume=resume)
        self.index = read_index(shards_dir)
        if start is not None:
            check_same_run(start, config, self.index, process)
        if process.is_first:
            check_patients(self.index, out)
        spec = config.model
        self.codec = TextCodec.load(spec.tokenizer, context_length=spec.context_length)
        self.model_config = model_config(spec, self.codec)
        self.precision = resolve_precision(spec.precision, process.device)
        torch.manual_seed(config.seed)  # the same weights in every process
        self.model = build_model(
            self.model_config, name=spec.towers, grad_checkpointing=config.grad_checkpointing
        )
        self.vocabulary = None
        if start is None and spec.pretrained is not None:
            self.vocabulary = load_pretrained(self.model, spec, self.codec)
        freeze_towers(self.model, spec)
        size_px = image_size_px(self.model)
        self.data = TrainData(
            self.index,
            config=config,
            codec=self.codec,
            size_px=size_px,
            rank=process.rank,
            world_size=process.world_size,
        )
        if config.warmup_steps >= self.data.num_steps:
            raise OptionError(
                f"warmup_steps is {config.warmup_steps:,} and the whole run has "
                f"{self.data.num_steps:,} steps ({self.index.num_clips('train'):,} clips, "
                f"batch_size {config.batch_size:,}, epochs {config.epochs}): set fewer "
                "warmup_steps (a tenth of the steps, say), or more epochs"
            )
        self.validation = None
        if process.is_first and self.index.num_clips("validation") > 1:
            self.validation = ValidationSet(
                self.index, config=config, codec=self.codec, size_px=size_px
            )
        self.model.to(device=process.device, memory_format=torch.channels_last)
        self.optimizer = make_optimizer(self.model, config)
        self.scaler = (
            torch.amp.GradScaler(process.device.type) if needs_scaler(self.precision) else None
        )
        self.loss = TotalLoss(config.losses, rank=process.rank, world_size=process.world_size)
        # From here on the generator only serves dropout, which differs between processes.
        torch.manual_seed(config.seed + 1_000_003 * (process.rank + 1))
        self.progress = Progress()
        if start is not None:
            self._restore(start)
        self.towers: nn.Module = Towers(self.model)
        if process.world_size > 1:
            self.towers = DistributedDataParallel(
                self.towers,
                device_ids=[process.device.index] if process.device.type == "cuda" else None,
                broadcast_buffers=False,
                gradient_as_bucket_view=True,
            )
        if process.is_first:
            self._describe()

    def go(self, log: RunLog) -> TrainResult:
        """Make the steps that are left.

        Args:
            log: where figures and messages go.
        """
        progress, per_epoch = self.progress, self.data.steps_per_epoch
        self._say_what_is_trained(log)
        self.towers.train()
        batches = self.data.batches(progress.step, pin_memory=self.process.device.type == "cuda")
        began = logged = time.perf_counter()
        earlier, logged_step = progress.seconds, progress.step
        for batch in batches:
            lr = learning_rate(progress.step, config=self.config, num_steps=self.data.num_steps)
            self._step(batch, lr)
            log.step()
            log.bad_clips(batch.bad)
            epoch, rest = divmod(progress.step, per_epoch)
            at_end = progress.step == self.data.num_steps
            progress.seconds = earlier + time.perf_counter() - began
            if progress.step % self.config.log_every_steps == 0 or at_end:
                now = time.perf_counter()
                done = (progress.step - logged_step) * self.config.batch_size
                log.figures(
                    progress.figures(
                        lr=lr,
                        logit_scale=float(self.model.logit_scale.detach().exp()),
                        frames_per_s=done / (now - logged),
                        steps_per_epoch=per_epoch,
                    )
                )
                logged, logged_step = now, progress.step
            if rest == 0 and (epoch % self.config.validate_every_epochs == 0 or at_end):
                self._validate(log, epoch=epoch)
            if progress.step % self.config.checkpoint_every_steps == 0 or at_end:
                self._save()
        return TrainResult(
            out=self.out,
            num_steps=progress.step,
            loss=progress.loss,
            best=progress.best,
            num_bad=log.num_bad,
            seconds=progress.seconds,
        )

    def _step(self, batch: Batch, lr: float) -> None:
        """One step of the optimizer, unless the loss is not a number."""
        progress = self.progress
        self.optimizer.zero_grad(set_to_none=True)
        value = backward(
            self.towers,
            batch.to(self.process.device),
            self.loss,
            precision=self.precision,
            accumulate=self.config.accumulate,
            scaler=self.scaler,
        )
        if self.process.world_size > 1:
            distributed.all_reduce(value)
            value /= self.process.world_size
        if not math.isfinite(loss := float(value)):  # the same in all processes
            self._stop(loss, lr)
        progress.loss = loss
        update(self.model, self.optimizer, lr=lr, config=self.config, scaler=self.scaler)
        progress.step += 1
        progress.num_texts += len(batch.frames) * self.process.world_size
        progress.num_truncated += batch.num_truncated * self.process.world_size

    def _validate(self, log: RunLog, *, epoch: int) -> None:
        """Retrieval on the validation split, by the first process; keeps the best weights."""
        if self.validation is None:
            return
        try:
            found = self.validation.run(
                self.model, precision=self.precision, device=self.process.device
            )
        except ValueError as error:
            log.say(f"epoch {epoch}: no validation, because {error}")
            return
        finally:
            self.towers.train()
        log.bad_clips(self.validation.bad)
        best = self.progress.best
        is_best = best is None or found.mcmrr < best.mcmrr
        log.validation(found, step=self.progress.step, epoch=epoch, best=is_best)
        if is_best:
            self.progress.best = found
            self._write(self.out / "best")

    def _save(self) -> None:
        """Write a checkpoint to go on from, and delete the oldest."""
        tensors = pack_state(self.optimizer, self.process)  # every process gives its part
        if not self.process.is_first:
            return
        state = {
            **self.progress.to_state(),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "world_size": self.process.world_size,
            "index_sha256": self.index.sha256,
            "tokenizer_sha256": self.codec.fingerprint,
        }
        self._write(self.out / "checkpoints" / f"step-{self.progress.step:08d}", tensors, state)
        for old in list_checkpoints(self.out)[: -self.config.keep_checkpoints]:
            shutil.rmtree(old)

    def _write(
        self,
        folder: Path,
        tensors: Mapping[str, torch.Tensor] | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        best = self.progress.best
        save_checkpoint(
            folder,
            self.model,
            spec=self.config.model,
            training=self.config.training_dict(),
            model_config=self.model_config,
            codec=self.codec,
            facts={
                "step": self.progress.step,
                "epoch": self.progress.step / self.data.steps_per_epoch,
                "loss": self.progress.loss,
                "best_validation": None if best is None else best.to_dict(),
                "data_sha256": self.index.sha256,
            },
            tensors=tensors,
            state=state,
        )

    def _restore(self, folder: Path) -> None:
        load_open_clip_weights(self.model, folder)
        tensors, state = load_state(folder)
        unpack_state(tensors, self.optimizer, self.process)
        if self.scaler is not None and state["scaler"] is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress.from_state(state)

    def _stop(self, loss: float, lr: float) -> None:
        """End the run at a loss that is not a number; the weights are those before the step."""
        self._save()
        scale = float(self.model.logit_scale.detach().exp())
        broken = [
            name
            for name, parameter in self.model.named_parameters()
            if not bool(torch.isfinite(parameter).all())
        ]
        weights = (
            f"{len(broken)} weights are not finite, the first {broken[0]}: a step before this one "
            "went wrong, so go on from an earlier checkpoint"
            if broken
            else "all weights are finite"
        )
        raise TrainingError(
            f"the loss of step {self.progress.step + 1:,} is {loss} (lr {lr:.2g}, logit scale "
            f"{scale:.1f}, precision {self.precision}); {weights}. The state before that step is "
            f"saved in {self.out / 'checkpoints'}. Go on with --resume and one of: a lower lr, "
            "--set grad_clip_norm=1, --set precision=fp32 (or bf16 in place of fp16)"
        )

    def _describe(self) -> None:
        """Write `config.json`, and where the rows of the embedding came from."""
        content = {
            "config": self.config.to_dict(),
            "model": self.model_config,
            "tokenizer": {"name": self.codec.name, "sha256": self.codec.fingerprint},
            "shards": str(self.index.folder),
            "data_sha256": self.index.sha256,
            "num_steps": self.data.num_steps,
            "world_size": self.process.world_size,
            "device": str(self.process.device),
            "precision": self.precision,
        }
        (self.out / "config.json").write_text(json.dumps(content, indent=1) + "\n")
        if self.vocabulary is not None:
            self.vocabulary.save(self.out / "vocabulary.csv")

    def _say_what_is_trained(self, log: RunLog) -> None:
        number = sum(parameter.numel() for parameter in self.model.parameters())
        log.say(
            f"{self.config.recipe}: {self.config.model.towers} ({number / 1e6:.1f} M weights), "
            f"tokenizer "
            f"{self.codec.name}, {self.index.num_clips('train'):,} clips, "
            f"{self.data.num_steps:,} steps of {self.config.batch_size:,} on "
            f"{self.process.world_size} x {self.process.device.type}, {self.precision}"
        )
        if self.progress.step:
            log.say(f"going on after step {self.progress.step:,}")
        if self.vocabulary is not None:
            log.say(f"token embedding: {self.vocabulary}")
        if self.process.is_first and self.validation is None:
            log.say("no validation split, so there will be no `best`")
