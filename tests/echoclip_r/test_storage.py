"""Files and folders that appear whole: when killed, on a full disk, with two writers at once."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echoclip_r.errors import EchoclipError, ShardError, TrainingError
from echoclip_r.storage import (
    claim,
    json_text,
    lock,
    whole_file,
    whole_folder,
    write_text,
    writing,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def enter(context: Any) -> None:
    with context:
        pass


def raise_in(context: Any, error: Exception) -> None:
    with context:
        raise error


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another Python process with `code`; `ready()` there lets `wait_for` go on here."""
    code = "import sys, time\nfrom pathlib import Path\nfrom echoclip_r.storage import *\n" + code
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def wait_for(process: subprocess.Popen[str], said: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == said


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert process.stdout is not None
    process.stdout.close()


# Whole files and folders


def write_file(path: Path, content: str) -> None:
    write_text(path, content)


def write_folder(path: Path, content: str) -> None:
    with whole_folder(path) as partial:
        (partial / "below").mkdir()
        (partial / "below" / "file").write_text(content)


def read_back(path: Path) -> str:
    return (path / "below" / "file" if path.is_dir() else path).read_text()


KINDS = [pytest.param(write_file, id="file"), pytest.param(write_folder, id="folder")]
IN_THE_MIDDLE = {
    write_file: "with whole_file(path) as partial:\n  partial.write_text('half')\n  wait()",
    write_folder: "with whole_folder(path) as partial:\n  (partial / 'a').touch()\n  wait()",
}


@pytest.mark.parametrize("write", KINDS)
def test_what_is_written_replaces_what_was_there(
    tmp_path: Path, write: Callable[[Path, str], None]
) -> None:
    """And nothing else is left beside it."""
    for content in ("old", "new"):
        write(tmp_path / "it", content)
        assert read_back(tmp_path / "it") == content
        assert names(tmp_path) == ["it"]


@pytest.mark.parametrize("write", KINDS)
def test_a_writer_killed_in_the_middle_spoils_nothing(
    tmp_path: Path, write: Callable[[Path, str], None]
) -> None:
    """The old one stays, no pattern for finished files finds the half, and the next one goes on."""
    write(tmp_path / "it.tar", "old")
    process = start(
        "path = Path(sys.argv[1])\n"
        "def wait():\n  print('half', flush=True)\n  time.sleep(600)\n" + IN_THE_MIDDLE[write],
        tmp_path / "it.tar",
    )
    wait_for(process, "half")
    assert len(names(tmp_path)) == 2
    kill(process)
    assert read_back(tmp_path / "it.tar") == "old"
    assert [path.name for path in tmp_path.glob("*.tar")] == ["it.tar"]
    write(tmp_path / "it.tar", "new")
    assert read_back(tmp_path / "it.tar") == "new"


@pytest.mark.parametrize("write", KINDS)
def test_an_error_in_the_middle_leaves_the_old_one(
    tmp_path: Path, write: Callable[[Path, str], None]
) -> None:
    """Whatever the error is, also a Ctrl-C."""
    write(tmp_path / "it", "old")
    whole = whole_file if write is write_file else whole_folder
    with pytest.raises(KeyboardInterrupt), whole(tmp_path / "it"):
        raise KeyboardInterrupt
    assert read_back(tmp_path / "it") == "old"
    assert names(tmp_path) == ["it"]


def test_two_writers_at_once_give_one_of_both_whole(tmp_path: Path) -> None:
    """A reader never meets half a file, nor a mixture."""
    code = """
for _ in range(60):
    write_text(Path(sys.argv[1]), sys.argv[2] * 300_000)
"""
    writers = [start(code, tmp_path / "it", letter) for letter in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        with contextlib.suppress(FileNotFoundError):
            seen.add((tmp_path / "it").read_text())
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert seen <= {"a" * 300_000, "b" * 300_000}
    assert len(seen) == 2
    assert names(tmp_path) == ["it"]


@pytest.mark.parametrize("write", KINDS)
def test_a_really_full_disk_is_named_and_holds_no_half(
    small_disk: Callable[[int], Path], write: Callable[[Path, str], None]
) -> None:
    """The old one stays, and with space again it is replaced."""
    disk = small_disk(64_000)
    write(disk / "it", "old")
    free = os.statvfs(disk).f_bfree
    with (
        pytest.raises(
            TrainingError,
            match=r"the disk is full, so the log was not written and no half of it is left\. "
            r"Free some space\. Pass --resume\.$",
        ),
        writing(disk, "the log", error=TrainingError, go_on="Pass --resume."),
    ):
        write(disk / "it", "new" * 50_000)
    assert read_back(disk / "it") == "old"
    assert names(disk) == ["it"]
    assert os.statvfs(disk).f_bfree == free
    write(disk / "it", "new")
    assert read_back(disk / "it") == "new"


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk is full, so it was not written"),
        (PermissionError(errno.EACCES, "Permission denied"), r"it cannot be written \(Permission"),
        (OSError("of a library"), r"it cannot be written \(of a library\); check that the folder"),
    ],
)
def test_errors_of_writing_are_the_callers(tmp_path: Path, cause: OSError, message: str) -> None:
    """With the true reason; an error of another kind goes through as it is."""
    with pytest.raises(ShardError, match=message) as found:
        raise_in(writing(tmp_path, "it", error=ShardError), cause)
    assert found.value.__cause__ is cause
    with pytest.raises(ZeroDivisionError):
        raise_in(writing(tmp_path, "it", error=ShardError), ZeroDivisionError())


# Locks


def test_a_folder_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    """The second is told; a kill frees the folder, and nothing stays behind after a good end."""
    holder = start(
        "with lock(Path(sys.argv[1]), what='shards', error=ValueError):\n"
        "  print('held', flush=True)\n  time.sleep(600)",
        tmp_path / "out",
    )
    wait_for(holder, "held")
    with pytest.raises(ShardError, match="out: another run is writing shards there; wait for it"):
        enter(lock(tmp_path / "out", what="shards", error=ShardError))
    kill(holder)
    with lock(tmp_path / "out", what="shards", error=ShardError):
        assert names(tmp_path / "out") == [".lock"]
    assert names(tmp_path / "out") == []


def test_no_two_processes_ever_hold_a_lock_together(tmp_path: Path) -> None:
    """Four processes count up one number 40 times each, without one being lost."""
    code = """
folder, done = Path(sys.argv[1]), 0
while done < 40:
    try:
        with lock(folder, what="numbers", error=RuntimeError):
            number = int((folder / "number").read_text())
            time.sleep(0.0005)
            (folder / "number").write_text(str(number + 1))
            done += 1
    except RuntimeError:
        time.sleep(0.0005)
"""
    (tmp_path / "number").write_text("0")
    for process in [start(code, tmp_path) for _ in range(4)]:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert (tmp_path / "number").read_text() == "160"


def test_those_who_share_a_folder_keep_out_those_who_do_not(tmp_path: Path) -> None:
    """And the other way round; a part that was killed keeps nobody out."""
    out = tmp_path / "out"
    part = start(
        "with lock(Path(sys.argv[1]), what='shards', error=ValueError, shared=True):\n"
        "  print('held', flush=True)\n  time.sleep(600)",
        out,
    )
    wait_for(part, "held")
    for _ in range(2):
        with lock(out, what="shards", error=ShardError, shared=True):
            pass
        with pytest.raises(ShardError, match="another run is writing shards there"):
            enter(lock(out, what="shards", error=ShardError))
    kill(part)
    with (
        lock(out, what="shards", error=ShardError),
        pytest.raises(ShardError, match="another run is writing shards there"),
    ):
        enter(lock(out, what="shards", error=ShardError, shared=True))
    assert names(out) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in its place, for instance."""
    (tmp_path / "file").touch()
    with pytest.raises(ShardError, match="file: the folder cannot be written"):
        enter(lock(tmp_path / "file", what="shards", error=ShardError))


# Claims

RUN = {"format": 1, "size_px": 64}


def claimed(folder: Path, run: dict[str, Any] = RUN, **options: Any) -> Any:
    return claim(
        folder / "state" / "run.json",
        run,
        folder=folder,
        what="things",
        error=ShardError,
        **options,
    )


def test_a_new_folder_is_claimed_and_the_same_run_goes_on(tmp_path: Path) -> None:
    """What a killed run left unfinished is deleted, what it finished is kept."""
    out = tmp_path / "deep" / "out"
    with claimed(out):
        (out / "finished.tar").touch()
        (out / ".half.tar.1.partial").touch()
        (out / "state" / ".half.json.1.partial").touch()
        (out / "state" / ".folder.1.partial").mkdir()
    with claimed(out):
        assert names(out) == [".lock", "finished.tar", "state"]
        assert names(out / "state") == ["run.json"]
    assert json.loads((out / "state" / "run.json").read_text()) == RUN


def test_parts_of_a_run_claim_a_folder_together(tmp_path: Path) -> None:
    """None deletes what another may be writing, nor anything of another run."""
    with claimed(tmp_path, shared=True), claimed(tmp_path, shared=True):
        (tmp_path / ".half.tar.1.partial").touch()
        (tmp_path / "finished.tar").touch()
        enter(claimed(tmp_path, shared=True))
        with pytest.raises(ShardError, match=r"another run \(size_px 64, now 32\); choose another"):
            enter(
                claimed(
                    tmp_path, RUN | {"size_px": 32}, shared=True, overwrite=True, replace=lambda: 0
                )
            )
        assert (tmp_path / ".half.tar.1.partial").exists()
    enter(claimed(tmp_path))
    assert names(tmp_path) == ["finished.tar", "state"]
    (tmp_path / "state" / "run.json").unlink()
    with pytest.raises(ShardError, match=r"it holds other files \(finished\.tar\) and no things"):
        enter(claimed(tmp_path, shared=True))


def test_of_parts_that_differ_one_wins_whenever_they_begin(tmp_path: Path) -> None:
    """Eight begin at once with four plans: those of one plan go on, the others are refused."""
    code = """
print("ready", flush=True)
folder, size = Path(sys.argv[1]), int(sys.argv[2])
while not (folder.parent / "go").exists():
    pass
try:
    run, record = {"size_px": size}, folder / "s" / "run.json"
    with claim(record, run, folder=folder, what="x", error=ValueError, shared=True):
        print(size, flush=True)
        (folder / f"{size}.tar").touch()
except ValueError as error:
    print("refused" if "another run" in str(error) else error, flush=True)
"""
    parts = [start(code, tmp_path / "out", number // 2) for number in range(8)]
    for part in parts:
        wait_for(part, "ready")
    (tmp_path / "go").touch()
    said = sorted(part.communicate(timeout=60)[0].strip() for part in parts)
    assert said[0] == said[1] != "refused"
    assert said[2:] == ["refused"] * 6
    assert json.loads((tmp_path / "out" / "s" / "run.json").read_text()) == {
        "size_px": int(said[0])
    }


def test_a_folder_in_use_is_not_claimed(tmp_path: Path) -> None:
    """Nor is anything in it deleted."""
    with claimed(tmp_path):
        (tmp_path / ".half.tar.1.partial").touch()
        with pytest.raises(ShardError, match="another run is writing things there"):
            enter(claimed(tmp_path))
        assert (tmp_path / ".half.tar.1.partial").exists()


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    """With what differs and what can be done, which depends on whether it can be replaced."""
    with claimed(tmp_path):
        (tmp_path / "thing").touch()
    other = RUN | {"size_px": 32}
    with (
        pytest.raises(
            EchoclipError,
            match=r"it holds things of another run \(size_px 64, now 32\); choose another "
            "folder, or give the same options to continue that run$",
        ),
        claimed(tmp_path, other),
    ):
        raise AssertionError

    def replace() -> None:
        (tmp_path / "thing").unlink()

    with pytest.raises(ShardError, match=r"pass overwrite=True \(--overwrite\) to replace them"):
        enter(claimed(tmp_path, other, replace=replace))
    assert (tmp_path / "thing").exists()
    with claimed(tmp_path, other, replace=replace, overwrite=True):
        assert not (tmp_path / "thing").exists()
    enter(claimed(tmp_path, other))


def test_a_damaged_record_is_another_run(tmp_path: Path) -> None:
    """Since nobody knows what the folder's files were made from."""
    enter(claimed(tmp_path))
    (tmp_path / "state" / "run.json").write_text("{")
    with pytest.raises(ShardError, match=r"of another run \(format None, now 1; size_px None, n"):
        enter(claimed(tmp_path))


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    """Nothing is mixed into somebody's home, not even when overwriting is asked for."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ShardError, match=r"it holds other files \(thesis\.tex\) and no things of"):
        enter(claimed(tmp_path, replace=(tmp_path / "thesis.tex").unlink, overwrite=True))
    assert names(tmp_path) == ["thesis.tex"]


def test_a_claim_killed_at_any_time_can_be_made_again(tmp_path: Path) -> None:
    """Twenty kills at other times, then a run that goes through."""
    code = """
folder = Path(sys.argv[1])
print("begun", flush=True)
while True:
    with claim(folder / "run.json", {"format": 1}, folder=folder, what="things", error=ValueError):
        with whole_file(folder / "thing") as partial:
            partial.write_text("whole")
"""
    for number in range(20):
        process = start(code, tmp_path / "out")
        wait_for(process, "begun")
        time.sleep(0.001 * number)
        kill(process)
    folder = tmp_path / "out"
    enter(claim(folder / "run.json", {"format": 1}, folder=folder, what="x", error=ShardError))
    assert set(names(folder)) <= {"run.json", "thing"}
    assert not (folder / "thing").exists() or (folder / "thing").read_text() == "whole"


def test_a_child_that_outlives_a_killed_run_does_not_keep_its_folder(tmp_path):
    """A forked reader has inherited the lock's file; the folder is free once its run is killed."""
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from echoclip_r.errors import TrainingError\n"
        "from echoclip_r.storage import lock\n"
        "with lock(Path(sys.argv[1]), what='a run', error=TrainingError):\n"
        "    if not os.fork():\n"
        "        print(os.getpid(), flush=True)\n"  # it has begun: only then is the run killed
        "    time.sleep(60)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert run.stdout is not None
    child = int(run.stdout.readline())
    try:
        with (
            pytest.raises(ShardError, match="another run"),
            lock(tmp_path, what="shards", error=ShardError),
        ):
            pass
        run.kill()
        run.wait()
        os.kill(child, 0)  # it lives
        with lock(tmp_path, what="shards", error=ShardError):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        run.stdout.close()


def test_json_holds_no_number_that_json_does_not_know() -> None:
    """NaN and infinity are null at every depth, and what is written can be read by others."""
    figures = {"loss": math.nan, "runs": [{"auc": -math.inf}, (1.5, math.inf)], "n": 3}
    strict = json.loads(
        json_text(figures), parse_constant=lambda name: pytest.fail(f"{name} in JSON")
    )
    assert strict == {"loss": None, "runs": [{"auc": None}, [1.5, None]], "n": 3}
