"""Files in an object store: a real S3 server on loopback, and a way to it that can be cut."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from echoclip_r.cli.main import main
from echoclip_r.data.preparation import prepare
from echoclip_r.data.shards import read_index
from echoclip_r.errors import CheckpointError, OptionError, ShardError
from echoclip_r.places import (
    is_remote,
    local_file,
    local_folder,
    place,
    sizes,
    tree,
    upload,
    within,
)
from echoclip_r.storage import read_json, write_text

SMALL: dict[str, Any] = {
    "size_px": 32,
    "frames_per_clip": 4,
    "clips_per_shard": 3,
    "min_free_bytes": 0,
}
COMMAND = ["--size", "32", "--frames", "4", "--clips-per-shard", "3", "--min-free-gb", "0"]
_BESIDE = Path(__file__).parents[2] / ".venv-s3" / "bin" / "moto_server"
# How long the server is away: longer by hand (ECHOTOK_STORE_AWAY_S=30).
AWAY_S = float(os.environ.get("ECHOTOK_STORE_AWAY_S", "4"))
# What a cut connection leaves to the garbage collector is not ours.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Way:
    """Passes connections on to a server, until it is cut."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listening: socket.socket | None = None
        self._pairs: list[socket.socket] = []
        self.port = 0
        self.mend()

    def mend(self) -> None:
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def cut(self) -> None:
        assert self._listening is not None
        for one in (self._listening, *self._pairs):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._pairs.clear()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                ours = listening.accept()[0]
                theirs = socket.create_connection(self._to)
                self._pairs += [ours, theirs]
                for source, target in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while found := source.recv(1 << 16):
            target.sendall(found)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    """The way to an S3 server with the bucket `echo`, for which the environment is set."""
    pytest.importorskip("obstore", reason="no obstore: it is not installed")
    pytest.importorskip("upath", reason="no universal_pathlib: it is not installed")
    program = shutil.which("moto_server") or (str(_BESIDE) if _BESIDE.exists() else None)
    if program is None:
        pytest.skip("no moto_server: `make s3-server` installs it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(300):
        with suppress(OSError):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/echo", method="PUT")
            urllib.request.urlopen(request, timeout=5).close()
            break
        time.sleep(0.1)
    way = Way(port)
    given = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{way.port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        # Worker processes have the environment of the server that forks them, and that one may
        # have been started by another test.
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        yield way
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    way.cut()
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def stored(way: Way, archive: Path) -> str:
    """The small archive in the store."""
    for path in archive.iterdir():
        if path.is_file():
            upload(path, place(f"s3://echo/archive/{path.name}"))
    return "s3://echo/archive/manifest.csv"


@pytest.fixture(scope="module")
def whole(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its shards, made from disk to disk."""
    out = tmp_path_factory.mktemp("whole") / "out"
    prepare(archive / "manifest.csv", out, workers=0, **SMALL)
    return out


def assert_same(remote: str, local: Path) -> None:
    folder = place(remote)
    names = {path.name for path in local.iterdir() if path.is_file()}
    assert {*sizes(folder)} == names
    for name in names:
        assert (folder / name).read_bytes() == (local / name).read_bytes(), name


# Names


def test_a_name_without_a_scheme_is_a_path_of_this_machine() -> None:
    assert place("a/b.csv") == Path("a/b.csv")
    assert place("file:///a/b.csv") == Path("/a/b.csv")
    assert not is_remote(place("C:/a"))


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "echoclip_r.object_store", raising=False)
    with pytest.raises(OptionError, match=r'pip install "echotok\[cloud\]"'):
        place("s3://bucket/shards")


def test_an_unknown_kind_of_store_is_refused() -> None:
    pytest.importorskip("upath", reason="no universal_pathlib: it is not installed")
    pytest.importorskip("obstore", reason="no obstore: it is not installed")
    with pytest.raises(OptionError, match="there is no access to"):
        place("nosuch://bucket/shards")


@pytest.mark.parametrize(
    "command",
    [
        ["phantom", "--patients", "1", "--out", "s3://bucket/new"],
        ["export", "s3://bucket/run", "--out", "new"],
        ["serve", "run", "--shards", "s3://bucket/shards"],
    ],
)
def test_what_works_on_this_machine_alone_refuses_a_store(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """And makes no folder that is called `s3:`."""
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    assert "on this machine alone" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("clips/a.avi", "s3://echo/archive/clips/a.avi"),
        ("../b/./a.avi", "s3://echo/b/a.avi"),
        ("s3://other/a.avi", "s3://other/a.avi"),
        ("/mnt/a.avi", "/mnt/a.avi"),
    ],
)
def test_a_manifest_in_a_store_names_files_beside_it_or_elsewhere(
    way: Way, name: str, where: str
) -> None:
    assert within(place("s3://echo/archive"), name) == where


# Files


def test_a_file_is_read_back_whole_and_by_parts(way: Way) -> None:
    path = place("s3://echo/files/long.bin")
    content = os.urandom(9_000_001)
    path.write_bytes(content)
    with path.open("rb") as file:
        assert file.read(5_000_000) == content[:5_000_000]
        file.seek(17)
        assert file.read() == content[17:]
    assert path.read_bytes() == content
    with local_file(path) as copy:
        assert copy.name == "long.bin" and copy.read_bytes() == content
    assert not copy.exists()
    assert local_folder(place("s3://echo/files")) == local_folder(place("s3://echo/files/"))


def test_what_is_not_there_is_not_found(way: Way) -> None:
    assert sizes(place("s3://echo/nowhere")) == {}
    assert read_json(place("s3://echo/nowhere/run.json")) is None
    with pytest.raises(FileNotFoundError):
        place("s3://echo/nowhere/a").open("rb")


# From a manifest to an evaluation


def test_shards_in_a_store_have_the_bytes_of_those_on_a_disk(
    stored: str, whole: Path, capsys: Any
) -> None:
    """Made by worker processes that read clips in the store; a second call makes none again."""
    assert main(["prepare", stored, "--out", "s3://echo/shards", *COMMAND]) == 0
    assert_same("s3://echo/shards", whole)
    before = {name: place(f"s3://echo/shards/{name}").stat().st_mtime for name in sizes(whole)}
    capsys.readouterr()
    assert main(["prepare", stored, "--out", "s3://echo/shards", "--json", *COMMAND]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["num_resumed"] == result["num_clips"]
    tars = [name for name in before if name.endswith(".tar")]
    assert {name: before[name] for name in tars} == {
        name: place(f"s3://echo/shards/{name}").stat().st_mtime for name in tars
    }


def test_parts_meet_in_a_store(stored: str, whole: Path, capsys: Any) -> None:
    command = ["prepare", stored, "--out", "s3://echo/parts", "--workers", "0", *COMMAND]
    assert main([*command, "--part", "2/2"]) == 0
    assert main([*command, "--finish", "2"]) == 1
    assert "Run part 1 of 2 again" in capsys.readouterr().err
    assert main([*command, "--part", "1/2"]) == 0
    assert main([*command, "--finish", "2"]) == 0
    assert_same("s3://echo/parts", whole)


@pytest.mark.timeout(1800)  # three runs and an evaluation, on a machine that others may use
def test_a_run_in_a_store_goes_on_is_embedded_searched_and_evaluated(
    stored: str, tmp_path: Path, archive: Path, capsys: Any
) -> None:
    """Its weights are those of a run on a disk that never stopped."""
    shards, run, steady = "s3://echo/run-shards", "s3://echo/runs/first", tmp_path / "first"
    sized = ["--size", "64", *COMMAND[2:]]
    assert main(["prepare", stored, "--out", shards, "--workers", "0", *sized]) == 0
    assert (
        main(
            [
                *("prepare", str(archive / "manifest.csv"), "--out", str(tmp_path / "shards")),
                *("--workers", "0", *sized),
            ]
        )
        == 0
    )
    settings = ("batch_size=4", "warmup_steps=1", "checkpoint_every_steps=1", "workers=1")
    command = ["train", "--recipe", "echoclip-r", "--scale", "phantom", "--device", "cpu"]
    for setting in (*settings, "epochs=4"):
        command += ["--set", setting]
    assert main([*command, "--shards", str(tmp_path / "shards"), "--out", str(steady)]) == 0
    stopping = f"""
import os, sys
from echoclip_r.cli.main import main
from echoclip_r.training import mirror
push = mirror._Mirror.push
def once(self):
    push(self)
    if any(name.startswith("checkpoints/step-00000002/") for name in self._known):
        os._exit(9)
mirror._Mirror.push = once
if __name__ == "__main__":
    main({[*command, "--shards", shards, "--out", run]!r})
"""
    script = tmp_path / "stopped.py"
    script.write_text(stopping)
    assert subprocess.run([sys.executable, str(script)], check=False).returncode == 9
    assert main([*command, "--shards", shards, "--out", run]) == 0
    names = {path.relative_to(steady).as_posix() for path in steady.rglob("*") if path.is_file()}
    assert {*tree(place(run))} == names
    for name in names:
        if name.endswith((".safetensors", "tokenizer.json")):
            assert (place(run) / name).read_bytes() == (steady / name).read_bytes(), name
    capsys.readouterr()

    device, kept = ["--device", "cpu"], "s3://echo/embeddings"
    split = ["--split", "train"]
    assert main(["embed", run, "--shards", shards, "--out", kept, *split, *device]) == 0
    before = tree(place(kept))
    assert main(["embed", str(steady), "--shards", shards, "--out", kept, *split, *device]) == 0
    assert tree(place(kept)) == before  # of the same weights, so nothing is made again
    capsys.readouterr()
    query = ["retrieve", run, "--text", "Mild mitral regurgitation.", *device, "--json"]
    assert main([*query, "--embeddings", kept]) == 0
    from_store = json.loads(capsys.readouterr().out)
    disk = ["--shards", str(tmp_path / "shards"), *split]
    assert main([*query, *disk]) == 0
    from_disk = json.loads(capsys.readouterr().out)
    assert [hit["name"] for hit in from_store["hits"]] == [hit["name"] for hit in from_disk["hits"]]
    judged = ["--draws", "20", *device, "--json"]
    assert main(["evaluate", run, "--shards", shards, "--out", "s3://echo/judged", *judged]) == 0
    assert json.loads(capsys.readouterr().out)["outcomes"]
    assert "report.html" in sizes(place("s3://echo/judged"))


def test_an_upload_that_breaks_off_leaves_no_checkpoint_that_counts(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from echoclip_r.model.description import DESCRIPTION, last_checkpoint
    from echoclip_r.training import mirror

    home = place("s3://echo/runs/broken")

    def write(folder: Path, step: int) -> None:
        made = folder / "checkpoints" / f"step-{step:08d}"
        made.mkdir(parents=True)
        for name in (DESCRIPTION, "z.safetensors"):
            (made / name).write_text(str(step))
        (folder / "config.json").write_text("{}")

    with mirror.mirrored(home) as (folder, push):
        write(folder, 1)
        push()
        write(folder, 2)
        shutil.rmtree(folder / "checkpoints" / "step-00000001")

        def breaks(source: Path, target: Path) -> None:
            if target.name == DESCRIPTION:
                raise ConnectionError("gone")
            upload(source, target)

        monkeypatch.setattr(mirror, "upload", breaks)
        with pytest.raises(CheckpointError, match="the store does not answer"):
            push()
    monkeypatch.undo()
    names = tree(home)
    assert "checkpoints/step-00000002/z.safetensors" in names
    assert last_checkpoint(home) is None or last_checkpoint(home).name == "step-00000001"  # type: ignore[union-attr]


# A server that does not answer


@contextmanager
def away_once(way: Way, file: str) -> Iterator[None]:
    """Let the server be away for a while as soon as there is a file of this name."""
    done = threading.Event()

    def away() -> None:
        folder, _, pattern = file.rpartition("/")
        while not any(name.startswith(pattern) for name in sizes(place(folder))):
            if done.wait(0.02):
                return
        way.cut()
        cut.append(file)
        time.sleep(AWAY_S)
        way.mend()

    cut: list[str] = []
    watcher = threading.Thread(target=away)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    assert cut, f"there was no {file}"


@pytest.mark.timeout(900)
def test_a_server_that_is_away_for_a_while_costs_no_clip(
    way: Way, stored: str, whole: Path
) -> None:
    with away_once(way, "s3://echo/cut/train-"):
        prepare(stored, "s3://echo/cut", workers=0, **SMALL)
    assert_same("s3://echo/cut", whole)


@pytest.mark.timeout(1800)  # two runs, on a machine that others may use
def test_a_run_that_streams_from_a_server_that_is_away_for_a_while_is_the_same(
    way: Way, stored: str, archive: Path, tmp_path: Path
) -> None:
    """Its weights are those of a run on a disk, and so are the embeddings of its clips."""
    shards, run, kept = "s3://echo/away-shards", "s3://echo/runs/away", "s3://echo/away-embeddings"
    sized = ["--workers", "0", "--size", "64", *COMMAND[2:]]
    assert main(["prepare", stored, "--out", shards, *sized]) == 0
    disk, steady = tmp_path / "shards", tmp_path / "steady"
    assert main(["prepare", str(archive / "manifest.csv"), "--out", str(disk), *sized]) == 0
    command = ["train", "--recipe", "echoclip-r", "--scale", "phantom", "--device", "cpu"]
    # Without a cache each epoch reads the shards anew.
    for setting in ("batch_size=4", "warmup_steps=1", "checkpoint_every_steps=1", "epochs=4"):
        command += ["--set", setting]
    command += ["--set", "cache_mb=0"]
    assert main([*command, "--shards", str(disk), "--out", str(steady)]) == 0
    with away_once(way, f"{run}/checkpoints/step-00000002/"):
        assert main([*command, "--shards", shards, "--out", run]) == 0
    last = sorted((steady / "checkpoints").iterdir())[-1]
    for name in sizes(last):
        if name.endswith(".safetensors"):
            there = place(run) / "checkpoints" / last.name / name
            assert there.read_bytes() == (last / name).read_bytes(), name

    embed = ["embed", str(steady), "--split", "train", "--device", "cpu"]
    assert main([*embed, "--shards", str(disk), "--out", str(tmp_path / "kept")]) == 0
    with away_once(way, f"{kept}/train-"):
        assert main([*embed, "--shards", shards, "--out", kept]) == 0
    for path in (tmp_path / "kept").glob("train-*.parquet"):
        assert (place(kept) / path.name).read_bytes() == path.read_bytes()


def test_a_server_that_stays_away_ends_the_command_with_what_to_do(
    way: Way, stored: str, whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from echoclip_r import object_store

    impatient = {"max_retries": 1, "retry_timeout": timedelta(seconds=2)}
    monkeypatch.setattr(object_store, "_RETRY", impatient)
    kept = type(place("s3://echo/x").fs)  # type: ignore[attr-defined]
    kept.clear_instance_cache()
    try:
        way.cut()
        with pytest.raises(ConnectionError):
            prepare(stored, "s3://echo/away", workers=0, **SMALL)
        with pytest.raises(ShardError, match="the store does not answer"):
            read_index("s3://echo/shards")
        assert main(["prepare", stored, "--out", "s3://echo/away", *COMMAND]) == 1
        assert "give the same command again" in capsys.readouterr().err
        with pytest.raises(ConnectionError):
            write_text(place("s3://echo/away/x"), "text")
    finally:
        way.mend()
        kept.clear_instance_cache()
    monkeypatch.undo()
    prepare(stored, "s3://echo/away", workers=0, **SMALL)
    assert_same("s3://echo/away", whole)
