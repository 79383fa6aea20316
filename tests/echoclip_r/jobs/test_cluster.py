"""Work on a cluster of Dask: the bytes of one machine, whoever dies."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mining_reports import write_reports

from echoclip_r.cli.main import main
from echoclip_r.cli.options import executor_of
from echoclip_r.data.preparation import prepare
from echoclip_r.embedding import embedder
from echoclip_r.embedding.embeddings import load_embedded
from echotok import cluster
from echotok.cli.main import main as echotok_main
from echotok.errors import EchotokError, OptionError

distributed = pytest.importorskip("distributed", reason="no distributed: it is not installed")
import dask  # noqa: E402 - with distributed

SMALL = {"size_px": 32, "frames_per_clip": 4, "clips_per_shard": 2, "min_free_bytes": 0}
COMMAND = ["--size", "32", "--frames", "4", "--clips-per-shard", "2", "--min-free-gb", "0"]
# What its threads leave to the garbage collector when workers are killed is not ours.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def two_workers() -> Iterator[Any]:
    """A scheduler and two worker processes on loopback."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def local_cluster() -> Iterator[Any]:
    """A cluster for tests that leave it as it is: none kills its workers."""
    with two_workers() as running:
        yield running


@pytest.fixture(scope="module")
def whole(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    prepare(archive / "manifest.csv", out, workers=0, **SMALL)
    return out


def test_a_cluster_writes_the_bytes_of_one_machine(
    local_cluster: Any, archive: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command, with names of files relative to a folder in which the workers are not."""
    monkeypatch.chdir(tmp_path)
    manifest = os.path.relpath(archive / "manifest.csv")
    command = ["prepare", manifest, "--out", "out", *COMMAND]
    assert main([*command, "--cluster", local_cluster.scheduler_address]) == 0
    assert contents(tmp_path / "out") == contents(whole)


def test_a_worker_that_is_killed_costs_nothing(archive: Path, whole: Path, tmp_path: Path) -> None:
    """Its shard is made by another worker: no clip is lost, none is doubled."""
    out, killed = tmp_path / "out", []

    def kill(local_cluster: Any) -> None:
        deadline = time.monotonic() + 120
        while not list(out.glob("state/*.at")) and time.monotonic() < deadline:
            time.sleep(0.001)
        for worker in list(local_cluster.workers.values()):
            os.kill(worker.pid, signal.SIGKILL)
            killed.append(worker.pid)
            time.sleep(0.3)

    # A cluster of its own. On a busy machine a worker comes back after more than 15 seconds, which
    # Dask's LocalCluster takes for lost: it would go on with none, and the command wait for ever.
    patience = dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"})
    with patience, two_workers() as running:
        thread = threading.Thread(target=kill, args=(running,))
        thread.start()
        with cluster.connected(running.scheduler_address, packages=()) as executor:
            result = prepare(archive / "manifest.csv", out, executor=executor, **SMALL)
        thread.join()
    assert len(killed) == 2
    assert result.num_clips == 12
    made = contents(out)
    assert {name: made[name] for name in made if ".partial" not in name} == contents(whole)
    # What a worker was writing when it was killed is cleared away by the next run.
    prepare(archive / "manifest.csv", out, workers=0, finish=True, **SMALL)
    assert contents(out) == contents(whole)


def test_phantoms_are_made_on_a_cluster(local_cluster: Any, tmp_path: Path) -> None:
    """The same files as in this process."""
    command = ["phantom", "--patients", "6", "--size", "32", "--frames", "3"]
    assert main([*command, "--out", str(tmp_path / "one")]) == 0
    address = local_cluster.scheduler_address
    assert main([*command, "--out", str(tmp_path / "two"), "--cluster", address]) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.timeout(900)  # each worker imports torch, on a machine that others may use
def test_embeddings_are_made_on_a_cluster(
    local_cluster: Any, training_shards: Path, untrained_folder: Path, tmp_path: Path
) -> None:
    """The same, shard by shard, as in this process; a second call makes none again."""
    command = ["embed", str(untrained_folder), "--shards", str(training_shards)]
    command += ["--split", "train"]
    command += ["--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "one")]) == 0
    address = local_cluster.scheduler_address
    elsewhere = [*command, "--out", str(tmp_path / "two"), "--cluster", address]
    assert main(elsewhere) == 0
    one, two = (load_embedded(tmp_path / name)[0] for name in ("one", "two"))
    assert one.clips.equals(two.clips)
    np.testing.assert_allclose(one.frames, two.frames, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(one.frame_clip, two.frame_clip)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "two").glob("train-*")}
    assert times and main(elsewhere) == 0
    assert times == {path: path.stat().st_mtime_ns for path in times}


@pytest.mark.timeout(900)  # as above
def test_an_evaluation_is_embedded_on_a_cluster(
    local_cluster: Any, training_shards: Path, untrained_folder: Path, tmp_path: Path
) -> None:
    """With the figures of this process; every shard was embedded by a worker, none here."""
    command = ["evaluate", str(untrained_folder), "--shards", str(training_shards), "--draws", "20"]
    command += ["--device", "cpu", "--out"]
    assert main([*command, str(tmp_path / "one")]) == 0
    address = local_cluster.scheduler_address
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedder, "_embed_shard", None)
        assert main([*command, str(tmp_path / "two"), "--cluster", address]) == 0
    one, two = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two")
    )
    assert one["outcomes"] and numbers(two["outcomes"]) == pytest.approx(
        numbers(one["outcomes"]), abs=1e-6, nan_ok=True
    )


def numbers(content: Any) -> list[float]:
    """All numbers, in order."""
    if isinstance(content, dict):
        content = [*content.values()]
    if isinstance(content, list):
        return [number for part in content for number in numbers(part)]
    return [float(content)] if isinstance(content, int | float) else []


def test_a_worker_of_other_versions_is_refused(
    local_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shards would differ, and nobody would notice."""
    of_here = {"numpy": "0.0"}
    monkeypatch.setattr(cluster, "version", lambda name: of_here.get(name) or version(name))
    with (
        pytest.raises(
            EchotokError, match=r"the worker tcp:.* has numpy \d.*, and this process 0.0"
        ),
        executor_of(Namespace(cluster=local_cluster.scheduler_address)),
    ):
        raise AssertionError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cluster", "tcp://127.0.0.1:1"], "no scheduler of Dask answers there"),
        (["--cluster", "nowhere"], "answers there (missing port number in address 'nowhere')"),
        (["--cluster", "foo://x:1"], "answers there (unknown address scheme 'foo'"),
        (["--cluster", "tcp://127.0.0.1:1", "--workers", "2"], "--workers is for this machine"),
        (["--cluster", "tcp://127.0.0.1:1", "--part", "1/2"], "--cluster does all of the work"),
    ],
)
def test_a_cluster_that_is_not_there_is_said(
    archive: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    said: str,
) -> None:
    """With what to do; nothing is written."""
    monkeypatch.setattr(cluster, "_ANSWER_S", 2.0)
    command = ["prepare", str(archive / "manifest.csv"), "--out", str(tmp_path / "out")]
    assert main([*command, *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_cluster_without_workers_is_waited_for_and_then_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At once that it is, and at the end how a worker is started."""
    monkeypatch.setattr(cluster, "_WAIT_S", 2.0)
    with (
        distributed.LocalCluster(
            n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as empty,
        pytest.raises(OptionError, match="there is a scheduler and no worker; start some"),
        cluster.connected(empty.scheduler_address, packages=()),
    ):
        raise AssertionError
    assert "has no worker yet" in caplog.text


def test_a_scheduler_that_is_gone_is_said_in_plain_words() -> None:
    """Whatever Dask says of its connections: `run_jobs` then tells to give the command again."""

    class Gone:
        def get_executor(self, pure: bool) -> None:
            return None

        def nthreads(self) -> dict[str, int]:
            raise distributed.comm.CommClosedError("in <TCP (closed) ConnectionPool.ncores>")

    with pytest.raises(ConnectionError, match="the scheduler of the cluster is gone"):
        _ = cluster.ClusterExecutor(Gone()).num_workers


def test_a_cluster_that_has_lost_its_workers_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The work waits for others, and who watches knows for what."""
    threads = [{"a": 1}, {}, {}, {"b": 1}, {}]

    class Changing:
        def get_executor(self, pure: bool) -> None:
            return None

        def nthreads(self) -> dict[str, int]:
            return threads.pop(0)

    executor = cluster.ClusterExecutor(Changing())
    said = []
    for _ in range(5):
        caplog.clear()
        executor.num_workers  # noqa: B018 - asked, as `run_jobs` does again and again
        said.append([record.message for record in caplog.records])
    assert [len(lines) for lines in said] == [0, 1, 0, 0, 1]
    assert "no worker is left" in said[1][0]


def test_work_that_kills_its_workers_is_a_broken_executor() -> None:
    """What Dask raises when it gives work up becomes what `run_jobs` tries again."""
    theirs: Future[int] = Future()
    theirs.set_exception(distributed.KilledWorker("task", None, 3))
    ours: Future[int] = Future()
    cluster._pass_on(theirs, ours)
    assert type(ours.exception()) is BrokenExecutor
    gone: Future[int] = Future()
    gone.cancel()
    lost: Future[int] = Future()
    cluster._pass_on(gone, lost)
    assert isinstance(lost.exception(), ConnectionError)


def test_reports_are_mined_on_a_cluster(local_cluster: Any, tmp_path: Path) -> None:
    """`echotok mine` gives the table of one process, byte for byte."""
    reports = write_reports(tmp_path / "reports.csv", num_patients=40)
    command = ["mine", str(reports), "--column", "report", "--patient-column", "patient"]
    command += ["--vocab-size", "400", "--merges", "60", "--name", "house"]
    assert echotok_main([*command, "--out", str(tmp_path / "one")]) == 0
    elsewhere = [*command, "--cluster", local_cluster.scheduler_address]
    assert echotok_main([*elsewhere, "--out", str(tmp_path / "two")]) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
