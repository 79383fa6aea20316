"""`train`: a run from its first step, or the one where it stopped, to its last.

Each process puts model, data and optimizer together once, as a `Run`, and then makes the steps.
The first process also validates, logs and writes the checkpoints.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from echoclip_r.data.shards import check_kind, read_index, read_reports
from echoclip_r.errors import CheckpointError, OptionError, TrainingError
from echoclip_r.model.build import (
    build_model,
    freeze_towers,
    image_size_px,
    load_open_clip_weights,
    model_config,
)
from echoclip_r.model.checkpoint import load_state, read_word_counts, save_checkpoint
from echoclip_r.model.description import (
    last_checkpoint,
    list_checkpoints,
    read_description,
    tasks_of,
)
from echoclip_r.model.number_rows import (
    pack_number_rows,
    share_number_rows,
    unpack_number_rows,
)
from echoclip_r.model.precision import device_name, needs_scaler, resolve_precision
from echoclip_r.model.pretrained import load_pretrained, trained_folder
from echoclip_r.model.task_files import read_task_files
from echoclip_r.model.vector_tower import reads_vectors, set_center
from echoclip_r.model.wording import rank_own_wording
from echoclip_r.places import is_remote, place
from echoclip_r.storage import lock, write_text, writing
from echoclip_r.text.claims import remark_on_silence
from echoclip_r.text.codec import TextCodec
from echoclip_r.text.word_counts import WordCounts, count_words
from echoclip_r.training.batches import Batch, TrainData
from echoclip_r.training.config import TrainConfig
from echoclip_r.training.log import RunLog
from echoclip_r.training.loss import TotalLoss
from echoclip_r.training.mirror import mirrored
from echoclip_r.training.optimizer import learning_rate, make_optimizer, update
from echoclip_r.training.processes import Process, distributed_process
from echoclip_r.training.resume import (
    check_folder,
    check_patients,
    config_of,
    resumed_config,
    set_aside,
    set_aside_later,
    start_of,
)
from echoclip_r.training.run_file import RunFile, write_run_file
from echoclip_r.training.state import Progress, TrainResult, pack_state, unpack_state
from echoclip_r.training.step import Towers, backward
from echoclip_r.training.stopping import Interrupted, StopSignals
from echoclip_r.training.validation import ValidationSet

__all__ = ["Run", "train"]


def train(
    config: TrainConfig,
    shards_dir: Path | str,
    out: Path | str,
    *,
    checkpoint: str | None = None,
    tasks: Sequence[str] = (),
    device: str | None = None,
    boards: Sequence[str] = (),
) -> TrainResult:
    """Train a model, or go on with a run in `out` as if it had never stopped.

    INT (Ctrl-C) and TERM let the step end and write a checkpoint; the same call goes on from it.

    Args:
        config: from a recipe, see `echoclip_r.training.recipes`.
        shards_dir: from `echoclip_r.data.preparation.prepare`.
        out: the folder of the run.
        checkpoint: the one in `out` to go on from, such as `step-00001000`; later ones are set
            aside. None takes the last.
        tasks: task files that an evaluation of the model takes unless it is told others: paths,
            which are copied into each checkpoint, or names of those in the package. Where none
            is given, a run keeps those that it was begun with.
        device: see `echoclip_r.model.precision.pick_device`.
        boards: where figures are shown, too: `tensorboard`, `wandb`.

    Raises:
        TrainingError: `out` holds another run, or another process trains there; the run cannot go
            on; the loss is not a number.
        Interrupted: a signal stopped the run.
        ShardError: the shards cannot be read, are too few, or a patient is in two splits.
        CheckpointError: a checkpoint or pretrained weights cannot be read or written.
        ArtifactError: the tokenizer cannot be loaded.
        OptionError: two settings do not go together, or one does not fit the shards.
    """
    home = place(out)
    if is_remote(home) and "wandb" in boards:
        raise OptionError(f"{home}: --wandb writes into a folder of this machine alone")
    with (
        distributed_process(device) as process,
        StopSignals(one_process=process.world_size == 1) as stop,
        _folder_of_its_own(home, process, checkpoint) as (folder, saved),
    ):
        run = Run(
            config,
            place(shards_dir),
            folder,
            process,
            checkpoint=checkpoint,
            tasks=tasks,
            home=home,
            saved=saved,
        )
        log = RunLog(
            run.out if process.is_first else None,
            num_steps=run.data.num_steps,
            first_step=run.progress.step,
            boards=boards,
        )
        try:
            return replace(run.go(log, stop), out=home)
        finally:
            log.close()


@contextmanager
def _folder_of_its_own(
    out: Path, process: Process, checkpoint: str | None
) -> Iterator[tuple[Path, Callable[[], None]]]:
    """The run's folder, in which no other run writes, and what is to be called for each checkpoint.

    The first process holds the folder for all; where it is in a store, nothing keeps others out.
    """
    if is_remote(out):
        with mirrored(out, checkpoint=checkpoint, is_first=process.is_first) as mirror:
            yield mirror
    elif not process.is_first:
        yield out, lambda: None
    else:
        with lock(out, what="the checkpoints of a run", error=TrainingError):
            check_folder(out)
            yield out, lambda: None


class Run:
    """A run in one process.

    Args:
        config: of the run.
        shards_dir: where the shards lie.
        out: the folder of the run.
        process: this process among those of the run.
        checkpoint: the one to go on from, None for the last.
        tasks: task files that its checkpoints name.
        home: where the folder is for others; by default it is itself.
        saved: what is called when a checkpoint has been written.
    """

    def __init__(
        self,
        config: TrainConfig,
        shards_dir: Path,
        out: Path,
        process: Process,
        *,
        checkpoint: str | None = None,
        tasks: Sequence[str] = (),
        home: Path | None = None,
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        self.home, self._saved = home or out, saved
        start = start_of(out, config, named=checkpoint)
        asked, lanes = config, process.world_size
        self.index = read_index(shards_dir)
        if start is not None:
            config, lanes = resumed_config(start, config, self.index)
        self.config, self.out, self.process = config, out, process
        self.tasks = read_task_files(tasks or (() if start is None else tasks_of(start)))
        self.notes: list[str] = []
        if start is not None and asked.workers != config.workers:
            self.notes.append(
                f"{config.workers} workers are used and not {asked.workers}: the run was begun "
                f"with {config.num_readers} readers, which decide the order of its clips"
            )
        if lanes != process.world_size:
            self.notes.append(
                f"the run was begun with {lanes} processes and goes on with {process.world_size}: "
                "each batch holds the same clips"
            )
        if process.is_first:
            check_patients(self.index, out)
        spec = config.model
        self.codec = TextCodec.load(spec.tokenizer, context_length=spec.context_length)
        self.word_counts = self._count_words(start) if process.is_first else None
        if process.is_first and start is None:
            self.notes += self._remarks_on_reports()
        self.model_config = model_config(spec, self.codec)
        self.precision = resolve_precision(spec.precision, process.device)
        torch.manual_seed(config.seed)  # the same weights in every process
        weights = start if spec.pretrained is None else start or trained_folder(spec.pretrained)
        self.model = build_model(
            self.model_config,
            name=spec.towers,
            preprocess=None if weights is None else read_description(weights).preprocess,
            grad_checkpointing=config.grad_checkpointing,
        )
        check_kind(self.index.dimensions, reads_vectors(self.model), self.index.folder)
        if self.index.center is not None:
            set_center(self.model, self.index.center)
            if spec.channels != "color":
                raise OptionError(
                    f"channels is {spec.channels}, and embeddings of another encoder have no "
                    "channels; leave it at color (--set channels=color)"
                )
        self.vocabulary = None
        if start is None and spec.pretrained is not None:
            self.vocabulary = load_pretrained(self.model, spec, self.codec)
        if config.smooth_numbers:
            assert self.codec.tokenizer is not None  # which the config has checked
            share_number_rows(self.model, self.codec.tokenizer, fresh=spec.pretrained is None)
        freeze_towers(self.model, spec)
        size_px = image_size_px(self.model)
        self.data = TrainData(
            self.index,
            config=config,
            codec=self.codec,
            size_px=size_px,
            rank=process.rank,
            world_size=process.world_size,
            lanes=lanes,
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
        self.wording = None
        if self.vocabulary is not None and process.is_first and self.codec.tokenizer is not None:
            self.wording = rank_own_wording(self.model, self.codec.tokenizer)
        self.optimizer = make_optimizer(self.model, config)
        self.scaler = (
            torch.amp.GradScaler(process.device.type) if needs_scaler(self.precision) else None
        )
        self.loss = TotalLoss(config.losses, rank=process.rank, world_size=process.world_size)
        # From here on the generator only serves dropout, which differs between processes.
        torch.manual_seed(config.seed + 1_000_003 * (process.rank + 1))
        self.progress = Progress()
        if start is not None:
            self._restore(start, named=checkpoint)
        self.first_step = self.saved_step = self.progress.step
        self._prune_next = True
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

    def go(self, log: RunLog, stop: StopSignals) -> TrainResult:
        """Make the steps that are left.

        Args:
            log: where figures and messages go.
            stop: whether a signal asked the run to stop.

        Raises:
            TrainingError: the loss or a weight is no longer a number.
            Interrupted: a signal stopped the run; a checkpoint holds its last step.
        """
        progress, per_epoch = self.progress, self.data.steps_per_epoch
        self._say_what_is_trained(log)
        stop.wait()
        self.towers.train()
        self._validate(log, stop)  # where a signal came between a step and its validation
        batches = self.data.batches(progress.step, pin_memory=self.process.device.type == "cuda")
        began = logged = time.perf_counter()
        earlier, logged_step = progress.seconds, progress.step
        for batch in batches:
            lr = learning_rate(progress.step, config=self.config, num_steps=self.data.num_steps)
            asked = self._step(batch, lr, stop)
            if self._prune_next:
                self._prune()
            log.step()
            log.bad_clips(batch.bad)
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
                    ),
                    next_validation=self._next_validation(),
                )
                logged, logged_step = now, progress.step
            if not asked or at_end:
                self._validate(log, stop)
                asked = asked or (stop.asked and self.process.world_size == 1)
            if progress.step % self.config.checkpoint_every_steps == 0 or at_end or asked:
                self._save()
            if asked and not at_end:
                raise Interrupted("a signal")
        self._prune()
        if self.process.is_first:
            self._saved()
        return TrainResult(
            out=self.out,
            num_steps=progress.step,
            loss=progress.loss,
            best=progress.best,
            num_bad=log.num_bad,
            truncated=progress.truncated,
            seconds=progress.seconds,
        )

    def _step(self, batch: Batch, lr: float, stop: StopSignals) -> bool:
        """One step of the optimizer, unless the loss is not a number.

        Returns:
            Whether any process was asked to stop; the same in all of them.
        """
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
        asked = stop.asked
        if self.process.world_size > 1:
            both = torch.stack([value, torch.full_like(value, float(asked))])
            distributed.all_reduce(both)
            value, asked = both[0] / self.process.world_size, bool(both[1] > 0)
        if not math.isfinite(loss := float(value)):  # the same in all processes
            self._stop(f"the loss of step {progress.step + 1:,} is {loss}", lr)
        progress.loss = loss
        update(self.model, self.optimizer, lr=lr, config=self.config, scaler=self.scaler)
        progress.step += 1
        progress.num_texts += len(batch.frames) * self.process.world_size
        progress.num_truncated += batch.num_truncated * self.process.world_size
        return asked

    def _validates_at(self, step: int) -> bool:
        """Whether the validation split is looked at after a step."""
        epoch, rest = divmod(step, self.data.steps_per_epoch)
        at_end = step == self.data.num_steps
        return rest == 0 and (epoch % self.config.validate_every_epochs == 0 or at_end)

    def _next_validation(self) -> int | None:
        """The step of the next validation, None where there is none."""
        per_epoch = self.data.steps_per_epoch
        if self.validation is None or self.progress.step >= self.data.num_steps:
            return None
        every = per_epoch * self.config.validate_every_epochs
        return min(-(-(self.progress.step + 1) // every) * every, self.data.num_steps)

    def _validate(self, log: RunLog, stop: StopSignals) -> None:
        """Retrieval on the validation split, by the first process; keeps the best weights."""
        progress = self.progress
        if progress.validated >= progress.step or not self._validates_at(progress.step):
            return
        if self.validation is None:
            progress.validated = progress.step
            return
        alone = self.process.world_size == 1  # the others wait in their next step
        epoch = progress.step // self.data.steps_per_epoch
        try:
            found = self.validation.run(
                self.model,
                precision=self.precision,
                device=self.process.device,
                stop=lambda: alone and stop.asked,
            )
        except ValueError as error:
            progress.validated = progress.step
            log.say(f"epoch {epoch}: no validation, because {error}")
            return
        finally:
            self.towers.train()
        if found is None:
            return
        progress.validated = progress.step
        log.bad_clips(self.validation.bad)
        best = progress.best
        is_best = best is None or found.mcmrr < best.mcmrr
        log.validation(found, step=progress.step, epoch=epoch, best=is_best)
        if is_best:
            progress.best = found
            self._write(self.out / "best")

    def _save(self) -> None:
        """Write a checkpoint to go on from; the oldest is deleted once the next step went well."""
        # Every process gives its part.
        tensors = pack_state(self.optimizer, self.process) | pack_number_rows(self.model)
        if broken := self._not_finite(tensors):
            lr = learning_rate(
                self.progress.step - 1, config=self.config, num_steps=self.data.num_steps
            )
            self._stop(f"{broken} is not finite after step {self.progress.step:,}", lr)
        self.saved_step = self.progress.step
        self._prune_next = True
        if not self.process.is_first:
            return
        state = {
            **self.progress.to_state(),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "world_size": self.data.lanes,  # which decides the order of the clips
            "index_sha256": self.index.sha256,
            "tokenizer_sha256": self.codec.fingerprint,
        }
        self._write(self.out / "checkpoints" / f"step-{self.progress.step:08d}", tensors, state)
        self._saved()

    def _prune(self) -> None:
        """Delete the oldest checkpoints.

        Not before a loss has been computed from the newest: until then it may be one that a run
        cannot go on from, and the one before it is the last good one.
        """
        self._prune_next = False
        if self.process.is_first:
            for old in list_checkpoints(self.out)[: -self.config.keep_checkpoints]:
                shutil.rmtree(old)

    def _not_finite(self, tensors: Mapping[str, torch.Tensor]) -> str | None:
        """The first weight or optimizer state that is not finite."""
        named: list[tuple[str, torch.Tensor]] = list(self.model.named_parameters())
        for name, tensor in [*named, *tensors.items()]:
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                return name
        return None

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
            tasks=self.tasks,
            word_counts=self.word_counts,
        )

    def _count_words(self, start: Path | None) -> WordCounts:
        """Which words the training reports hold: counted once, and kept in each checkpoint."""
        known = None if start is None else read_word_counts(start)
        return known or count_words(read_reports(self.index, "train"), self.codec)

    def _remarks_on_reports(self) -> list[str]:
        if not any(view.states_findings for view in self.config.texts):
            return []
        remark = remark_on_silence(report for _, report in read_reports(self.index, "train"))
        return [] if remark is None else [remark]

    def _restore(self, folder: Path, *, named: str | None) -> None:
        load_open_clip_weights(self.model, folder)
        tensors, state = load_state(folder)
        unpack_number_rows(self.model, tensors)
        unpack_state(tensors, self.optimizer, self.process)
        if self.scaler is not None and state["scaler"] is not None:
            self.scaler.load_state_dict(state["scaler"])
        if broken := self._not_finite(tensors):
            earlier = [path.name for path in list_checkpoints(self.out) if path.name < folder.name]
            advice = (
                f"go on from an earlier one with --resume {earlier[-1]}"
                if earlier
                else f"begin a new run in another --out, or move {folder} away to begin here"
            )
            raise TrainingError(
                f"{folder}: no run can go on from it, because {broken} is not finite; {advice}"
            )
        self.progress = Progress.from_state(state)
        if self.progress.step > self.data.num_steps:
            raise TrainingError(
                f"{folder}: the run has made {self.progress.step:,} steps, and epochs "
                f"{self.config.epochs} are {self.data.num_steps:,}; set more epochs, or go on from "
                "an earlier checkpoint (--resume NAME)"
            )
        before = config_of(read_description(folder)).epochs
        if before != self.config.epochs:
            self.notes.append(
                f"epochs was {before} and is {self.config.epochs}: from here on the learning rate "
                "follows the new cosine, so the result is not that of a run begun with it"
            )
        if named is not None and Path(named).name == folder.name:
            self.progress.began_at = folder.name
            if self.process.is_first and (names := set_aside_later(self.out, folder)):
                self.notes.append(
                    f"{', '.join(names)}: set aside in {self.out / 'checkpoints' / 'set-aside'}, "
                    "which may be deleted"
                )
                if "best" in names:
                    self.progress.best = None

    def _stop(self, what: str, lr: float) -> None:
        """End the run where a number is none; the last checkpoint that is good stays the last."""
        if self.process.world_size > 1:
            distributed.barrier()  # all have read the folder's checkpoints
        bad = ""
        step = self.progress.step
        newest = last_checkpoint(self.out) if self.process.is_first else None
        if newest is not None and step > self.first_step and self.saved_step == step:
            bad = f" {newest.name}, from which no step could be made, is now {set_aside(newest)}."
        good = last_checkpoint(self.out)
        if good is None:
            go_on = "There is no checkpoint before it: the same command begins anew"
        else:
            go_on = f"The last good checkpoint is {good}: the same command goes on from it"
        lower = min(self.config.lr / 10, 1e-3)
        cure = (
            f"a lower learning rate (--set lr={lower:.2g}), --set grad_clip_norm=1, or "
            "--set precision=fp32 (bf16 in place of fp16)"
            if step
            else "--set precision=fp32, or other --pretrained weights, since no learning rate has "
            "come in yet"
        )
        again = "" if good is None else "; an earlier checkpoint is taken with --resume NAME"
        scale = float(self.model.logit_scale.detach().exp())
        raise TrainingError(
            f"{self.out}: {what} (lr {lr:.2g}, logit scale {scale:.1f}, precision "
            f"{self.precision}).{bad} {go_on}. As it is it would end here again, so add one of: "
            f"{cure}{again}"
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
            "tasks": list(self.tasks.names),
        }
        with writing(self.out, "the run's settings", error=CheckpointError):
            write_text(self.out / "config.json", json.dumps(content, indent=1) + "\n")
            run = RunFile(
                config=self.config,
                shards=self.index.folder.resolve(),
                tasks=tuple(
                    name.replace(str(self.out.resolve()), str(self.home.resolve()))
                    for name in self.tasks.save(self.out.resolve())
                ),
            )
            write_run_file(self.out / "config.toml", run)
        if self.vocabulary is not None:
            self.vocabulary.save(self.out / "vocabulary.csv")

    def _say_what_is_trained(self, log: RunLog) -> None:
        number = sum(parameter.numel() for parameter in self.model.parameters())
        log.say(
            f"{self.config.recipe}: {self.config.model.towers} ({number / 1e6:.1f} M weights), "
            f"tokenizer "
            f"{self.codec.name}, {self.index.num_clips('train'):,} clips, "
            f"{self.data.num_steps:,} steps of {self.config.batch_size:,} on "
            f"{self.process.world_size} x {device_name(self.process.device)}, {self.precision}"
        )
        for note in self.notes:
            log.say(note)
        if self.progress.step == self.data.num_steps:
            log.say(
                f"the run has made all of its {self.data.num_steps:,} steps. For more of them set "
                f"more epochs (--set epochs={2 * self.config.epochs}); another run begins with "
                f"these weights by --pretrained {self.home} and another --out"
            )
        elif self.progress.step:
            log.say(f"going on after step {self.progress.step:,}")
        if self.config.num_readers > 1 and not self.progress.step:
            log.say(
                f"the clips are read by {self.config.num_readers} readers, which decides their "
                "order: the run goes on with this number of workers, or one that divides it"
            )
        if self.vocabulary is not None:
            log.say(f"token embedding: {self.vocabulary} (vocabulary.csv has each row)")
        if self.wording is not None:
            log.say(f"before any training {self.wording}")
        if self.process.is_first and self.validation is None:
            log.say("no validation split, so there will be no `best`")
