"""How far a run is that many machines share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from echoclip_r.cli.main import main
from echoclip_r.jobs.status import Unit, status_of


def test_the_rate_is_that_of_the_last_quarter_of_an_hour() -> None:
    """Also where the run began an hour ago; what is not finished belongs to parts."""
    times = [1_000.0, 3_700.0, 4_000.0, None, None]
    units = [Unit(num_clips=90, finished_s=time) for time in times]
    status = status_of(units, num_parts=2, now_s=4_500.0)
    assert (status.units_done, status.clips_done, status.num_clips) == (3, 270, 450)
    assert status.clips_per_s == 180 / 900
    assert status.seconds_left == 900
    assert status.parts_left == (1, 2)
    assert "about 0:15:00 left" in status.lines()[1]


def test_a_run_that_stands_still_is_asked_about() -> None:
    status = status_of([Unit(num_clips=5, finished_s=1.0), Unit(num_clips=5, finished_s=None)])
    assert status.seconds_left is None
    assert "is anything at work?" in status.lines()[1]


def test_prepare_tells_its_state_from_what_parts_have_written(
    archive: Path, tmp_path: Path, capsys: Any
) -> None:
    """Without making a shard; a run of other options is refused."""
    out = tmp_path / "out"
    manifest = str(archive / "manifest.csv")
    shape = ["--size", "32", "--frames", "4", "--clips-per-shard", "2", "--min-free-gb", "0"]
    command = ["prepare", manifest, "--out", str(out), "--workers", "0", *shape]
    assert main([*command, "--status"]) == 1
    assert "no run has begun there" in capsys.readouterr().err
    assert main([*command, "--part", "2/3"]) == 0
    made = sorted(path.name for path in out.glob("*.tar"))
    capsys.readouterr()
    assert main([*command, "--status", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["shards_done"] == len(made) and found["parts_left"] == [1, 3]
    assert found["num_clips"] == 12 and found["clips_per_s"] is not None
    assert main([*command, "--status", "3"]) == 0
    assert "2 parts are not finished: 1, 3" in capsys.readouterr().out
    assert sorted(path.name for path in out.glob("*.tar")) == made
    other = [*command[:-3], "3", "--min-free-gb", "0", "--status"]
    assert main(other) == 1
    assert "its run has clips_per_shard 2, and not 3" in capsys.readouterr().err
