"""Several processes: the loss and the gradients of one."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from echoclip_r.data.shards import read_index
from echoclip_r.model.build import build_model, model_config
from echoclip_r.model.checkpoint import load_checkpoint, load_state
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.batches import Batch, TrainData
from echoclip_r.training.config import with_settings
from echoclip_r.training.log import read_log
from echoclip_r.training.loss import TotalLoss
from echoclip_r.training.recipes import (
    RECIPES,
    echoclip_r_findings,
    echoclip_r_span,
    phantom_scale,
)
from echoclip_r.training.run import train
from echoclip_r.training.step import Towers, backward

_PROCESS = """
import sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from echoclip_r.training.config import with_settings
from echoclip_r.training.recipes import RECIPES, phantom_scale
from echoclip_r.training.loss import Answers, TotalLoss
from echoclip_r.model.build import build_model, model_config
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.batches import Batch
from echoclip_r.training.processes import distributed_process
from echoclip_r.training.step import Towers, backward

folder = Path(sys.argv[1])
with distributed_process("cpu") as process:
    whole = load_file(folder / "batch.safetensors")
    part = {k: v.chunk(process.world_size)[process.rank] for k, v in whole.items()}
    for case in sys.argv[2:]:
        recipe, *settings = case.split(",")
        config = with_settings(phantom_scale(RECIPES[recipe]()), settings)
        batch = Batch(
            frames=part["frames"],
            gains=part["gains"],
            texts=tuple(part[f"text{n}"] for n in range(len(config.views_of_texts))),
            answers=Answers(
                text_ids=tuple(part[f"ids{n}"] for n in range(len(config.views_of_texts))),
                states=tuple(part[f"states{n}"] for n in range(len(config.views_of_texts))),
                said=part["said"],
            ),
            num_truncated=0,
            bad=(),
        )
        codec = TextCodec.load(config.model.tokenizer, context_length=config.model.context_length)
        torch.manual_seed(process.rank)  # DDP hands the first process's weights to all
        model = build_model(model_config(config.model, codec), name=config.model.towers)
        if process.is_first:
            model.load_state_dict(load_file(folder / "weights.safetensors"))
        if config.accumulate > 1:
            model.visual.trunk.norm = torch.nn.Identity()
        towers = DistributedDataParallel(Towers(model), broadcast_buffers=False)
        loss = TotalLoss(config.losses, rank=process.rank, world_size=process.world_size)
        value = backward(towers, batch, loss, accumulate=config.accumulate, precision="fp32")
        distributed.all_reduce(value)
        found = {n: p.grad.contiguous() for n, p in model.named_parameters() if p.grad is not None}
        found["loss"] = value / process.world_size
        save_file(found, folder / f"{case}-{process.rank}.safetensors")
"""


def torchrun(arguments: list[str], *, num_processes: int = 2) -> subprocess.CompletedProcess[str]:
    """Run under torchrun on this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*command, f"--nproc-per-node={num_processes}", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
    )


@pytest.fixture(scope="module")
def batch_and_model(training_shards: Path) -> tuple[Batch, Any, dict[str, torch.Tensor]]:
    """Eight clips, some of which share their report with a clip of the other half.

    Their second text is a statement, or, to a recipe of runs, any other part of the report.
    """
    config = replace(phantom_scale(echoclip_r_findings()), batch_size=8, warmup_steps=1)
    codec = TextCodec.load(config.model.tokenizer, context_length=config.model.context_length)
    data = TrainData(read_index(training_shards), config=config, codec=codec, size_px=64)
    batch = next(data.batches(0))

    def repeat(tensor: torch.Tensor) -> torch.Tensor:
        return tensor[[0, 1, 2, 3, 0, 5, 2, 1]].contiguous()

    batch = replace(
        batch,
        texts=tuple(map(repeat, batch.texts)),
        answers=batch.answers.map(repeat),
    )
    torch.manual_seed(0)
    model = build_model(model_config(config.model, codec), name=config.model.towers)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return batch, model, weights


CASES = [
    "echoclip-r-span,batch_size=8,accumulate=1,multi_positive=true",
    "echoclip-r-span,batch_size=8,accumulate=2,multi_positive=true",
    "echoclip-r-span,batch_size=8,accumulate=1,multi_positive=false",
    "echoclip-r-findings,batch_size=8,accumulate=1",
    "echoclip-r-findings,batch_size=8,accumulate=2",
]


@pytest.fixture(scope="module")
def two_processes(
    tmp_path_factory: pytest.TempPathFactory,
    batch_and_model: tuple[Batch, Any, dict[str, torch.Tensor]],
) -> Path:
    """What two processes found in each case, half of the batch in each."""
    folder = tmp_path_factory.mktemp("two")
    batch, _, weights = batch_and_model
    save_file(weights, folder / "weights.safetensors")
    answers = batch.answers
    tensors = {"frames": batch.frames, "gains": batch.gains, "said": answers.said}
    for number, text in enumerate(batch.texts):
        tensors |= {
            f"text{number}": text,
            f"ids{number}": answers.text_ids[number],
            f"states{number}": answers.states[number],
        }
    save_file(tensors, folder / "batch.safetensors")
    script = folder / "process.py"
    script.write_text(_PROCESS)
    done = torchrun([str(script), str(folder), *CASES])
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_loss_and_gradients_of_one(
    two_processes: Path, batch_and_model: tuple[Batch, Any, dict[str, torch.Tensor]], case: str
) -> None:
    """To 1e-5 in float32, also in parts, and with a right answer in the other process (I13)."""
    batch, model, _ = batch_and_model
    recipe, *settings = case.split(",")
    config = with_settings(phantom_scale(RECIPES[recipe]()), settings)
    model = copy.deepcopy(model)
    if config.accumulate > 1:  # the tiny tower's batch norm takes a part for a batch of its own
        model.visual.trunk.norm = torch.nn.Identity()
    value = backward(Towers(model), batch, TotalLoss(config.losses), precision="fp32")
    for rank in range(2):
        found = load_file(two_processes / f"{case}-{rank}.safetensors")
        assert abs(found.pop("loss") - value) < 1e-5
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                error = (found[name] - parameter.grad).abs().max()
                assert error <= 1e-5 * max(1.0, parameter.grad.abs().max()), name


def test_a_run_of_two_processes(
    training_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One log, one set of checkpoints, the generators of both; one process can go on."""
    out = tmp_path / "run"
    settings = ["batch_size=8", "epochs=2", "warmup_steps=2", "validate_every_epochs=1"]
    settings += ["checkpoint_every_steps=5"]
    command = ["-m", "echoclip_r", "train", "--recipe", "echoclip-r-span", "--scale", "phantom"]
    command += ["--shards", str(training_shards), "--out", str(out), "--device", "cpu"]
    command += [word for setting in settings for word in ("--set", setting)]
    done = torchrun(command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("10 steps in") == 1
    lines = read_log(out)
    assert [line["step"] for line in lines if "loss" in line] == [10]
    last = next(line["loss"] for line in lines if "loss" in line)
    assert len([line for line in lines if "validation" in line]) == 2
    assert load_checkpoint(out).embed_texts(["No effusion."]).shape == (1, 128)
    tensors, state = load_state(out / "checkpoints" / "step-00000010")
    assert {"generator.0.cpu", "generator.1.cpu"} <= tensors.keys()
    assert state["world_size"] == 2
    config = with_settings(phantom_scale(echoclip_r_span()), settings)
    shutil.rmtree(out / "checkpoints" / "step-00000010")
    alone = train(config, training_shards, out, device="cpu")
    assert "begun with 2 processes and goes on with 1" in capsys.readouterr().err
    assert alone.loss == pytest.approx(last, abs=1e-4)
    # And again with as many as at the beginning.
    assert load_state(out / "checkpoints" / "step-00000010")[1]["world_size"] == 2
