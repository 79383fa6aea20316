"""A run in parts, as on many machines: the bytes of one, and what is missing is named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from echoclip_r.cli.main import main
from echoclip_r.data.preparation import prepare
from echoclip_r.errors import ShardError
from echoclip_r.jobs.parts import Part

SMALL = {"size_px": 32, "frames_per_clip": 4, "clips_per_shard": 2, "min_free_bytes": 0}
COMMAND = ["--size", "32", "--frames", "4", "--clips-per-shard", "2", "--min-free-gb", "0"]


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def shell(archive: Path, out: Path, *options: str) -> list[str]:
    command = [sys.executable, "-m", "echoclip_r", "prepare", str(archive / "manifest.csv")]
    return [*command, "--out", str(out), *COMMAND, "--workers", "0", *options]


@pytest.fixture(scope="module")
def whole(archive, tmp_path_factory):
    """The archive prepared at once: six shards."""
    out = tmp_path_factory.mktemp("whole") / "out"
    prepare(archive / "manifest.csv", out, workers=0, **SMALL)
    assert len(list(out.glob("*.tar"))) == 6
    return out


@pytest.mark.parametrize("count", [1, 4, 9])
def test_parts_in_any_order_give_the_bytes_of_one_run(archive, whole, tmp_path, count):
    """Every file of the folder, also where there are more parts than shards."""
    out = tmp_path / "out"
    made = 0
    for number in reversed(range(1, count + 1)):
        part = Part(number=number, count=count)
        result = prepare(archive / "manifest.csv", out, workers=0, part=part, **SMALL)
        made += result.num_clips
        assert result.num_resumed == 0
        assert not (out / "index.json").exists()
    assert made == 12
    result = prepare(archive / "manifest.csv", out, workers=0, finish=True, **SMALL)
    assert (result.num_clips, result.num_resumed) == (12, 12)
    assert contents(out) == contents(whole)


def test_parts_at_once_one_twice_and_one_killed(archive, whole, tmp_path):
    """As an array of jobs: what died is named, run again, and the rest is not made again."""
    out = tmp_path / "out"
    environment = os.environ | {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "3"}
    environment |= {"SLURM_ARRAY_TASK_COUNT": "3"}
    command = shell(archive, out, "--part")

    def start(number: int) -> subprocess.Popen[str]:
        task = environment | {"SLURM_ARRAY_TASK_ID": str(number)}
        return subprocess.Popen(command, env=task, stdout=subprocess.PIPE, text=True)

    killed = start(3)
    deadline = time.monotonic() + 120
    while not (out / "state").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    while not list(out.glob("state/*.at")) and time.monotonic() < deadline:
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    for part in [start(1), start(1), start(2)]:
        said, _ = part.communicate(timeout=120)
        assert part.returncode == 0
        assert "4 clips in 2 shards" in said
        assert "run the command with --finish 3" in said
    left = subprocess.run(shell(archive, out, "--finish", "3"), capture_output=True, text=True)
    assert left.returncode == 1
    assert "of 6 shards are missing" in left.stderr
    assert "Run part 3 of 3 again: finished shards are kept" in left.stderr
    again = start(3)
    assert "4 clips in 2 shards" in again.communicate(timeout=120)[0]
    subprocess.run(shell(archive, out, "--finish"), check=True, capture_output=True)
    assert contents(out) == contents(whole)


def test_a_part_of_another_plan_is_refused(archive, whole, tmp_path):
    """The first part freezes it; neither options nor rows may differ, and nothing is deleted."""
    out = tmp_path / "out"
    part = Part(number=1, count=2)
    prepare(archive / "manifest.csv", out, workers=0, part=part, **SMALL)
    before = contents(out)
    other = SMALL | {"clips_per_shard": 3}
    with pytest.raises(ShardError, match=r"another run \(clips_per_shard 2, now 3\)"):
        prepare(archive / "manifest.csv", out, workers=0, part=part, overwrite=True, **other)
    changed = archive / "changed.csv"
    changed.write_text((archive / "manifest.csv").read_text().replace("50%", "51%"))
    for options in ({"part": part}, {"finish": True}):
        with pytest.raises(ShardError, match="the manifest's rows, its reports or the salt have"):
            prepare(changed, out, workers=0, **options, **SMALL)
    del before[".lock"]  # which --finish has removed
    assert contents(out) == before


def test_what_is_missing_is_named(archive, whole, tmp_path):
    """Shards, and the parts where it is said among how many; a clip that has changed, too."""
    out, folder = tmp_path / "out", tmp_path / "archive"
    shutil.copytree(archive, folder)
    prepare(folder / "manifest.csv", out, workers=0, part=Part(number=2, count=2), **SMALL)
    with pytest.raises(ShardError, match=r"3 of 6 shards are missing, .*: train-000000\.tar, .*"):
        prepare(folder / "manifest.csv", out, workers=0, finish=True, **SMALL)
    # Parts of another number may make the rest: what is there is kept.
    for number in (1, 2, 3):
        prepare(folder / "manifest.csv", out, workers=0, part=Part(number=number, count=3), **SMALL)
    prepare(folder / "manifest.csv", out, workers=0, finish=True, **SMALL)
    os.utime(folder / "clip-00.avi", (1, 1))
    with pytest.raises(ShardError, match=r"1 of 6 shards are missing, or their clips have changed"):
        prepare(folder / "manifest.csv", out, workers=0, finish=True, **SMALL)


def test_a_run_without_parts_keeps_out_of_theirs(archive, tmp_path, monkeypatch):
    """And a part out of that of another; both are told."""
    out = tmp_path / "out"
    code = (
        "import sys, time; from pathlib import Path; from echoclip_r.storage import lock\n"
        "with lock(Path(sys.argv[1]), what='x', error=ValueError, shared=True):\n"
        "    print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        for options in ({}, {"finish": True}):
            with pytest.raises(ShardError, match="another run is writing shards there"):
                prepare(archive / "manifest.csv", out, workers=0, **options, **SMALL)
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--part", "3"], "'3' is no part"),
        (["--part"], "no batch system has numbered this process"),
        (["--part", "1/2", "--finish"], "not allowed with argument --part"),
        (["--part", "1/2", "--overwrite"], "would delete what other parts have made"),
        (["--finish", "0"], "'0' is not a whole number"),
    ],
)
def test_options_that_do_not_fit(archive, tmp_path, capsys, options, said):
    """Usage errors, before anything is written."""
    assert main(shell(archive, tmp_path / "out", *options)[3:]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_part_says_what_it_did_as_json(archive, tmp_path, capsys):
    """With its number."""
    assert main(shell(archive, tmp_path / "out", "--part", "2/4", "--json")[3:]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["part"], figures["num_parts"]) == (2, 4)
    assert figures["num_clips"] == 4
