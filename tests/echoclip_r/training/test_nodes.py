"""Training over machines: two agents of torchrun, each with processes of its own, on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from echoclip_r.training.log import read_log

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc on this system"),
    pytest.mark.timeout(1800),  # nine processes import torch, on a machine that others may use
]

_SETTINGS = ("batch_size=8", "epochs=12", "warmup_steps=2", "validate_every_epochs=12")
_LOGGED = ("log_every_steps=1", "checkpoint_every_steps=5")
_STEPS = 60
# Else the agent that is left keeps the address of the first rendezvous for itself, and a new one
# waits for it in vain (torch 2.15); docs/scale.md has it in its command.
_ANEW = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


def command(shards: Path, out: Path) -> list[str]:
    """`train` as every process of a run is given it."""
    settings = [word for setting in (*_SETTINGS, *_LOGGED) for word in ("--set", setting)]
    return [
        *("-m", "echoclip_r", "train", "--recipe", "echoclip-r-span", "--scale", "phantom"),
        *("--shards", str(shards), "--out", str(out), "--device", "cpu", *settings),
    ]


class Node:
    """A machine of the run: an agent, and all processes that come of it."""

    def __init__(self, port: int, arguments: list[str], said: Path) -> None:
        self._said = said
        with said.open("a") as file:
            self.agent = subprocess.Popen(
                [
                    *(sys.executable, "-m", "torch.distributed.run", "--nnodes=2"),
                    *("--nproc-per-node=1", "--max-restarts=5", "--rdzv-backend=c10d"),
                    *(f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=run"),
                    *("--local-addr=127.0.0.1", *arguments),
                ],
                env=os.environ | {"OMP_NUM_THREADS": "1", **_ANEW},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8", errors="replace")

    def lose(self) -> None:
        """End all at once, as a machine that loses its power."""
        for pid in [*_below(self.agent.pid), self.agent.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.agent.wait()


def _below(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [child, *_below(child)]
    return found


@contextmanager
def nodes(arguments: list[str], folder: Path) -> Iterator[list[Node]]:
    """A list in which the nodes of a run are; what of it still runs at the end is ended."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started: list[Node] = []

    def start() -> None:
        started.append(Node(port, arguments, folder / f"node-{len(started)}.log"))

    start()
    # The first one's agent holds the rendezvous; the other would, if it were there before.
    wait_for(lambda: _listens(port), started[0])
    start()
    try:
        yield started
    finally:
        for node in started:
            if node.agent.poll() is None:
                node.lose()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def wait_for(ready: object, node: Node) -> None:
    assert callable(ready)
    while not ready():
        assert node.agent.poll() is None, node.said
        time.sleep(0.2)


def losses(out: Path) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in read_log(out) if "loss" in line}


def test_two_nodes_have_the_losses_of_one_and_a_lost_one_comes_back(
    training_shards: Path, tmp_path: Path
) -> None:
    """Every step to 1e-5, those before a node was lost and those after it came back.

    The run waits for it, and goes on from the last checkpoint.
    """
    one, two = tmp_path / "one", tmp_path / "two"
    alone = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node=2", *command(training_shards, one)),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert alone.returncode == 0, alone.stderr
    arguments = command(training_shards, two)
    with nodes(arguments, tmp_path) as running:
        first, second = running
        wait_for((two / "checkpoints" / "step-00000010").exists, first)
        second.lose()
        lost_at = max(losses(two))
        assert lost_at < _STEPS
        port = int(str(first.agent.args).partition("127.0.0.1:")[2].partition("'")[0])
        running.append(Node(port, arguments, tmp_path / "node-again.log"))
        for node in (first, running[-1]):
            assert node.agent.wait() == 0, node.said
    begun = losses(one)
    assert [*begun] == [*range(1, _STEPS + 1)]
    assert losses(two) == pytest.approx(begun, abs=1e-5)
    said = first.said + running[-1].said
    assert "going on after step" in said
    # No process began anew: rank 0 went on from a checkpoint each time but the first.
    assert said.count("60 steps in") == 1
