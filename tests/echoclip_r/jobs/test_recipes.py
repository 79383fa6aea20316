"""The files of docs/cluster do what docs/scale.md says, as far as one machine can tell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from echoclip_r.cli.main import build_parser, main
from echoclip_r.jobs.parts import Part, part_from

FOLDER = Path(__file__).parents[3] / "docs" / "cluster"


def test_the_script_for_slurm(archive: Path, tmp_path: Path) -> None:
    """Run with what Slurm sets; what is missing and its part are named, then run alone."""
    program = tmp_path / "echoclip-r"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m echoclip_r "$@" --min-free-gb 0\n')
    program.chmod(0o755)
    manifest, out = str(archive / "manifest.csv"), str(tmp_path / "out")
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "MANIFEST": manifest,
        "SHARDS": out,
        "PARTS": "2",
        "SLURM_CPUS_PER_TASK": "1",
    }

    def run(task: int) -> subprocess.CompletedProcess[str]:
        variables = environment | {"SLURM_ARRAY_TASK_ID": str(task)}
        command = ["bash", str(FOLDER / "slurm.sh")]
        return subprocess.run(command, env=variables, capture_output=True, text=True)

    assert run(2).returncode == 0
    finish = ["prepare", manifest, "--out", out, "--workers", "0", "--min-free-gb", "0"]
    assert main([*finish, "--finish", "2"]) == 1
    done = run(1)
    assert (done.returncode, done.stdout[:12]) == (0, "part 1 of 2:")
    assert main([*finish, "--finish", "2"]) == 0
    told = run(3)
    assert (told.returncode, "let the array run from 1 to 2" in told.stderr) == (2, True)
    del environment["SHARDS"]
    assert "SHARDS: is not set" in run(1).stderr
    script = (FOLDER / "slurm.sh").read_text()
    assert re.findall(r"--array=1-(\d+)%|PARTS:-(\d+)|--finish (\d+)", script) == [
        ("", "", "400"),
        ("400", "", ""),
        ("", "400", ""),
    ]


def test_the_job_for_kubernetes() -> None:
    """Its arguments are those of the command, and its indices are the parts."""
    yaml = pytest.importorskip("yaml", reason="needs the extra docs")
    job = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text())
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    arguments = build_parser().parse_args(container["args"])
    count = spec["completions"]
    assert spec["completionMode"] == "Indexed"
    for index in (0, count - 1):
        part = part_from(arguments.part, {"JOB_COMPLETION_INDEX": str(index)})
        assert part == Part(number=index + 1, count=count)
    assert str(arguments.workers) == container["resources"]["limits"]["cpu"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {str(arguments.manifest.parent), str(arguments.out.parent)} == mounts


def test_the_script_for_slurm_that_trains(tmp_path: Path) -> None:
    """What it gives to each machine is a command that is understood, with the first as host."""
    for name, does in (("scontrol", "printf 'n7\\nn8\\n'"), ("srun", 'printf "%s\\n" "$@"')):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "SHARDS": "/data/shards",
        "RUN": "/data/run",
        "SLURM_JOB_NODELIST": "n[7-8]",
        "SLURM_NNODES": "2",
        "SLURM_JOB_ID": "5",
    }
    command = ["bash", str(FOLDER / "train_slurm.sh")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    words = done.stdout.split()
    at = words.index("echoclip_r")
    assert words[words.index("--rdzv-endpoint") + 1] == "n7:29400"
    assert words[words.index("--nnodes") + 1] == "2"
    arguments = build_parser().parse_args(words[at + 1 :])
    assert (str(arguments.shards), str(arguments.out)) == ("/data/shards", "/data/run")
    del environment["RUN"]
    assert (
        "RUN: is not set"
        in subprocess.run(command, env=environment, capture_output=True, text=True).stderr
    )


def test_the_job_for_kubernetes_that_trains() -> None:
    """torchrun and the command understand it, and every pod finds the first one by its name."""
    yaml = pytest.importorskip("yaml", reason="needs the extra docs")
    from torch.distributed.run import get_args_parser

    service, job = yaml.safe_load_all((FOLDER / "train_kubernetes.yaml").read_text())
    spec, name = job["spec"], job["metadata"]["name"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    torchrun = get_args_parser().parse_args(container["args"])
    assert (torchrun.training_script, torchrun.module) == ("echoclip_r", True)
    assert spec["completions"] == spec["parallelism"] == int(torchrun.nnodes)
    assert torchrun.nproc_per_node == container["resources"]["limits"]["nvidia.com/gpu"]
    domain = service["metadata"]["name"]
    assert torchrun.rdzv_endpoint == f"{name}-0.{domain}:29400"
    assert pod["subdomain"] == domain
    assert service["spec"]["selector"] == {"job-name": name}
    assert container["env"] == [{"name": "TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "value": "1"}]
    arguments = build_parser().parse_args(torchrun.training_script_args)
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {str(arguments.shards.parent), str(arguments.out.parent), "/dev/shm"} == mounts
    claimed = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == claimed
