"""A training run that is killed at random times goes on to the weights of an unbroken one (I13).

A small run is made once without a break. Then it is made again while INT, TERM and KILL end it in
turn, at times drawn from its start on: while it starts, in a step, in a validation, while a
checkpoint is written. Each time the same command is given again, until the run is through; when
kills are left over, another run is begun. Weights, optimizer, generators, the best weights and the
losses of the log are then compared with those of the unbroken run, bit for bit.

Run: .venv/bin/python benchmarks/models/killed_run.py
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.common import ROOT, facts, write_results
from benchmarks.models import phantom_steps as steps
from echoclip_r.model.checkpoint import load_state
from echoclip_r.model.description import WEIGHTS, last_checkpoint
from echoclip_r.training.log import read_log

PACKAGES = ["open_clip_torch", "torch"]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
SETTINGS = {
    "batch_size": 8,
    "epochs": 40,
    "warmup_steps": 10,
    "checkpoint_every_steps": 7,
    "validate_every_epochs": 1,
    "log_every_steps": 1,
    "keep_checkpoints": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill: after which step it came, what the process returned, and what it had kept."""

    signal: str
    seconds: float
    after_step: int
    returned: int
    kept_step: int


def main() -> None:
    """Kill, compare, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--recipe", default="echoclip-r-span")
    parser.add_argument("--workers", type=int, default=0, help="of the run that is killed")
    parser.add_argument("--seed", type=int, default=0, help="of signals and times")
    arguments = parser.parse_args()
    start, load = time.time(), round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = steps.Data(seed=0, num_train=60, num_test=10, num_validation=20)
        steps.make_shards(folder, data, workers=2)
        found = measure(
            folder / "shards",
            folder,
            num_kills=arguments.kills,
            recipe=arguments.recipe,
            workers=arguments.workers,
            seed=arguments.seed,
        )
    command = ".venv/bin/python benchmarks/models/killed_run.py"
    if arguments.workers:
        command += f" --workers {arguments.workers}"
    results = facts(
        command,
        PACKAGES,
        seed=arguments.seed,
        load_average=[load, round(os.getloadavg()[0], 1)],
        seconds=round(time.time() - start),
        **found,
    )
    write_results("killed_run", results, markdown(results))
    if not found["equal"]:
        sys.exit(f"a run that was killed came to something else: {found['differences']}")


def measure(
    shards: Path, folder: Path, *, num_kills: int, recipe: str, workers: int, seed: int
) -> dict[str, Any]:
    """Kills until there are enough, and whether each run that was killed equals the unbroken one.

    Args:
        shards: to train on.
        folder: the runs are made there.
        num_kills: in all.
        recipe: of the runs.
        workers: readers of the runs.
        seed: of signals and times.
    """
    settings = SETTINGS | {"workers": workers}
    began = time.perf_counter()
    finish(command(shards, folder / "unbroken", recipe, settings))
    unbroken_s = time.perf_counter() - began
    draw = random.Random(seed)
    kills: list[Kill] = []
    differences: list[str] = []
    num_runs = 0
    while len(kills) < num_kills:
        out = folder / f"killed-{num_runs}"
        num_runs += 1
        made = command(shards, out, recipe, settings)
        while len(kills) < num_kills:
            kill = start_and_kill(
                made,
                out,
                SIGNALS[len(kills) % len(SIGNALS)],
                seconds=draw.uniform(0, 0.5 * unbroken_s),
            )
            if kill is None:  # it was through before
                break
            kills.append(kill)
            print(f"{len(kills)} of {num_kills}: {kill}", file=sys.stderr, flush=True)
        finish(made)
        found = [f"{out.name}: {what}" for what in compare(out, folder / "unbroken")]
        print(f"{out.name}: {found or 'equal'}", file=sys.stderr, flush=True)
        differences += found
    return {
        "recipe": recipe,
        "workers": workers,
        "unbroken_s": round(unbroken_s, 1),
        "num_steps": read_log(folder / "unbroken")[-1]["step"],
        "num_kills": len(kills),
        "num_runs": num_runs,
        "by_signal": dict(Counter(kill.signal for kill in kills)),
        "while_starting": sum(kill.after_step == 0 for kill in kills),
        "equal": not differences,
        "differences": differences,
        "kills": [asdict(kill) for kill in kills],
    }


def command(shards: Path, out: Path, recipe: str, settings: dict[str, Any]) -> list[str]:
    """The command, the same each time."""
    made = [sys.executable, "-m", "echoclip_r", "train", "--recipe", recipe, "--scale", "phantom"]
    made += ["--shards", str(shards), "--out", str(out), "--device", "cpu"]
    return made + [word for item in settings.items() for word in ("--set", "{}={}".format(*item))]


def finish(made: list[str]) -> None:
    """Run a command to its end."""
    done = subprocess.run(made, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the run ended with {done.returncode}:\n{done.stderr[-2000:]}")


def start_and_kill(
    made: list[str], out: Path, number: signal.Signals, *, seconds: float
) -> Kill | None:
    """Start a run and end it by a signal; None where it was through before.

    INT goes to the whole group, as Ctrl-C on a terminal does, TERM and KILL to the process.
    """
    process = subprocess.Popen(
        made,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        step = _step(out)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
    else:
        step = -1
    _, said = process.communicate(timeout=120)
    if step < 0 or process.returncode == 0:
        if process.returncode:
            raise SystemExit(f"the run failed:\n{said[-2000:]}")
        return None
    if process.returncode in (1, 2):
        raise SystemExit(f"{number.name} after {seconds:.1f} s was answered by:\n{said[-2000:]}")
    last = last_checkpoint(out)
    return Kill(
        signal=number.name,
        seconds=round(seconds, 2),
        after_step=step,
        returned=process.returncode,
        kept_step=0 if last is None else int(last.name.removeprefix("step-")),
    )


def compare(ours: Path, theirs: Path) -> list[str]:
    """What differs between two finished runs."""
    found: list[str] = []
    last, other = last_checkpoint(ours), last_checkpoint(theirs)
    assert last is not None and other is not None
    pairs = {
        "weights": (load_file(last / WEIGHTS), load_file(other / WEIGHTS)),
        "best weights": (load_file(ours / "best" / WEIGHTS), load_file(theirs / "best" / WEIGHTS)),
        "state": (load_state(last)[0], load_state(other)[0]),
    }
    for what, (one, two) in pairs.items():
        same = one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in two)
        found += [] if same else [what]
    if _figures(ours) != _figures(theirs):
        found.append("the log's losses and validations")
    return found


def _figures(run: Path) -> list[tuple[Any, ...]]:
    names = ("step", "loss", "lr", "validation", "best")
    return [tuple(line.get(name) for name in names) for line in read_log(run)]


def _step(out: Path) -> int:
    """The last step in the log of a run."""
    return max((int(line["step"]) for line in read_log(out)), default=0)


def _environment() -> dict[str, str]:
    threads = {"OMP_NUM_THREADS": "1"}  # as many each time, so that sums round alike
    return os.environ | threads | {"PYTHONPATH": str(ROOT)}


def markdown(results: dict[str, Any]) -> str:
    """The page."""
    signals = ", ".join(f"{count} {name}" for name, count in results["by_signal"].items())
    verdict = "equal, bit for bit" if results["equal"] else "NOT equal"
    lines = [
        "# A run that is killed goes on to the weights of an unbroken one",
        "",
        f"{results['num_kills']} kills ({signals}; {results['while_starting']} before the first "
        f"step of the run) at random times over {results['num_runs']} runs of "
        f"{results['num_steps']} steps (`{results['recipe']}`, {results['workers']} workers), each "
        "gone on by the same command.",
        f"Weights, best weights, optimizer, generators and log: **{verdict}**.",
        "",
        "| signal | after s | after step | process returned | checkpoint kept |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kill in results["kills"]:
        kept = kill["kept_step"] or "none"
        lines.append(
            f"| {kill['signal']} | {kill['seconds']} | {kill['after_step']} | {kill['returned']} "
            f"| {kept} |"
        )
    return "\n".join([*lines, "", f"`{results['command']}`, seed {results['seed']}", ""])


if __name__ == "__main__":
    main()
