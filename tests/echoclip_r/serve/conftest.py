"""A small phantom archive, a tiny run on it, and a server that runs in a thread of the tests."""

from __future__ import annotations

import csv
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from echoclip_r.data.preparation import prepare
from echoclip_r.phantom.archive import write_archive
from echoclip_r.serve.access import Access
from echoclip_r.serve.audit import Audit
from echoclip_r.serve.marks import Marks
from echoclip_r.serve.server import ServeConfig, make_server, make_service
from echoclip_r.serve.service import Service

HOSTILE = (
    'EF 55%. Severe mitral regurgitation. <script>alert("x")</script><img src=http://x.test/a>\x07'
)
HOSTILE_ID = '<b onclick="alert(1)">S&1'
SAME = "Normal study. The LVEF is 61%. No pericardial effusion."
HOSTS = frozenset({"127.0.0.1", "localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An archive: `clip` is a file of one of its clips."""

    run: Path
    shards: Path
    clip: Path
    rows: list[dict[str, str]]


@dataclass(slots=True, kw_only=True)
class Running:
    """A server: its address, what it holds, and the folder that it writes to."""

    url: str
    service: Service
    folder: Path
    client: httpx.Client

    def ask(self, **fields: Any) -> dict[str, Any]:
        """Ask a question as a program does."""
        files = fields.pop("files", None)
        answer = self.client.post(
            "/search", data=fields, files=files, headers={"Accept": "application/json"}
        )
        return {"status": answer.status_code, **answer.json()}


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Phantom clips with a hostile report and some that are the same, and a run of a few steps."""
    from echoclip_r.training.recipes import echoclip_r, phantom_scale
    from echoclip_r.training.run import train

    folder = tmp_path_factory.mktemp("searched")
    made = write_archive(folder / "archive", 16, seed=3, workers=1, size_px=64, num_frames=6)
    with made.manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, patient in enumerate(dict.fromkeys(row["patient_id"] for row in rows)):
        split = ("train", "train", "train", "validation", "test")[number % 5]
        for row in rows:
            row["split"] = split if row["patient_id"] == patient else row["split"]
    rows[1] |= {"report": HOSTILE, "study_id": HOSTILE_ID}
    for row in rows[4:7]:
        row["report"] = SAME
    rows[7]["report"] = SAME.upper()
    manifest = folder / "archive" / "manifest.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    shards = folder / "shards"
    prepare(
        manifest, shards, size_px=64, frames_per_clip=6, workers=0, clips_per_shard=8,
        keep_unsure=True,
    )  # fmt: skip
    config = replace(
        phantom_scale(echoclip_r(tokenizer="echo")), epochs=1, warmup_steps=1, batch_size=8
    )
    train(config, shards, folder / "run", device="cpu", tasks=("phantom",))
    return Archive(
        run=folder / "run", shards=shards, clip=manifest.parent / rows[0]["video"], rows=rows
    )


@pytest.fixture(scope="session")
def kept(searched: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the archive is embedded already; not to be written to."""
    folder = tmp_path_factory.mktemp("kept")
    config = ServeConfig(checkpoints=[searched.run], shards=searched.shards, embeddings=folder)
    make_service(config).build()
    return folder


@contextmanager
def run_server(
    service: Service, access: Access, folder: Path, *, port: int = 0
) -> Iterator[Running]:
    """Serve in a thread."""
    server = make_server(service, access)
    with socket.create_server(("127.0.0.1", port)) as listening:
        at = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            url = f"http://127.0.0.1:{at}"
            with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
                yield Running(url=url, service=service, folder=folder, client=client)
        finally:
            server.should_exit = True
            thread.join()
            service.reader.close()


def open_service(
    searched: Archive, kept: Path, folder: Path, *, models: int = 1, loaded: bool = True
) -> Service:
    """A service over what is embedded, whose audit and marks lie in a folder."""
    config = ServeConfig(
        checkpoints=[searched.run] * models, shards=searched.shards, embeddings=kept
    )
    service = make_service(config)
    service.audit = Audit(folder / "audit.jsonl")
    service.marks = Marks(folder / "marks.sqlite")
    assert service.open()
    if loaded:
        service.load_models()
    return service


@pytest.fixture(scope="session")
def server(
    searched: Archive, kept: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """One server for all tests that do not stop it."""
    folder = tmp_path_factory.mktemp("server")
    access = Access(hosts=HOSTS, max_body=4 << 20)
    with run_server(open_service(searched, kept, folder), access, folder) as running:
        yield running
