"""What a run tells: a progress line, `log.jsonl`, `rejects.csv`; TensorBoard, W&B where asked."""

from __future__ import annotations

import csv
import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from echoclip_r.data.shards import BadClip
from echoclip_r.jobs.progress import Progress
from echoclip_r.storage import json_text, write_text
from echoclip_r.training.boards import Board, make_board
from echoclip_r.training.validation import Validation

__all__ = ["RunLog", "read_log"]

_log = logging.getLogger("echoclip_r")

LOG, REJECTS = "log.jsonl", "rejects.csv"


class RunLog:
    """The log of a run's first process; the others hold a silent one.

    Args:
        out: the folder of the run, or None to tell nothing.
        num_steps: steps of the whole run.
        first_step: the step after which it goes on; later lines of an earlier try are dropped.
        boards: `tensorboard` writes its files to `out/tensorboard`; `wandb` (Weights & Biases)
            writes to `out/wandb` and sends nothing, unless WANDB_MODE says so.

    Raises:
        TrainingError: a board is asked for and not installed, or there is none of that name.
    """

    def __init__(
        self, out: Path | None, *, num_steps: int, first_step: int, boards: Sequence[str] = ()
    ) -> None:
        self._out = out
        self._boards: list[Board] = []
        self._bad: set[str] = set()
        self._line = Progress(
            num_steps,
            unit="steps",
            what="train",
            done=first_step,
            shown=out is not None and _log.isEnabledFor(logging.WARNING),
        )
        if out is None:
            return
        kept = [line for line in read_log(out) if line["step"] <= first_step]
        write_text(out / LOG, "".join(json_text(line) + "\n" for line in kept))
        if first_step and (out / REJECTS).exists():
            with (out / REJECTS).open(encoding="utf-8", newline="") as file:
                self._bad = {row["key"] for row in csv.DictReader(file)}
        else:
            (out / REJECTS).unlink(missing_ok=True)
        self._boards = [make_board(name, out, first_step=first_step) for name in boards]

    @property
    def num_bad(self) -> int:
        """Clips that could not be used so far."""
        return len(self._bad)

    def step(self, num: int = 1) -> None:
        """Move the progress line on."""
        self._line.advance(num)

    def figures(self, figures: Mapping[str, float], *, next_validation: int | None = None) -> None:
        """Write a line of figures: loss, lr, logit_scale, frames_per_s and others.

        Args:
            figures: by name.
            next_validation: the step of the next validation, None where there is none.
        """
        then = "" if next_validation is None else f", validation at step {next_validation:,}"
        self._line.note(
            f"loss {figures['loss']:.3f}, lr {figures['lr']:.1e}, scale "
            f"{figures['logit_scale']:.1f}, {figures['frames_per_s']:.0f} frames/s{then}"
        )
        self._write(dict(figures))

    def validation(self, validation: Validation, *, step: int, epoch: int, best: bool) -> None:
        """Write a line on the retrieval among the validation clips."""
        figures = validation.to_dict()
        self.say(
            f"epoch {epoch}: validation MCMRR {validation.mcmrr:.1f} of {validation.num_clips:,}, "
            f"R@10 {100 * validation.recall_at_10:.1f} %{', the best so far' if best else ''}"
        )
        self._write({"step": step, "epoch": epoch, "validation": figures, "best": best})

    def bad_clips(self, clips: Iterable[BadClip]) -> None:
        """Name clips that cannot be used, each once (I12)."""
        for clip in clips:
            if self._out is None or clip.key in self._bad:
                continue
            self._bad.add(clip.key)
            self.say(f"{clip.key} is left out: {clip.reason}")
            new = not (self._out / REJECTS).exists()
            with (self._out / REJECTS).open("a", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerows([["key", "reason"], clip] if new else [clip])

    def say(self, message: str) -> None:
        """Write a line for people, on stderr, unless `-q` asks for quiet."""
        if self._out is not None and _log.isEnabledFor(logging.WARNING):
            print(message, file=sys.stderr)

    def close(self) -> None:
        """End the progress line."""
        self._line.close()
        for board in self._boards:
            board.close()

    def _write(self, figures: dict[str, Any]) -> None:
        if self._out is None:
            return
        with (self._out / LOG).open("a", encoding="utf-8") as file:
            file.write(json_text(figures) + "\n")
        plain = figures | figures.get("validation", {})
        scalars = {
            name: float(value)
            for name, value in plain.items()
            if name not in ("step", "epoch", "best", "validation")
        }
        for board in self._boards:
            board.write(scalars, step=figures["step"])


def read_log(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; a last one that a kill cut is left out."""
    lines: list[dict[str, Any]] = []
    path = run / LOG
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
    return lines
