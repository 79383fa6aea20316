"""The command itself, in a process of its own: from nothing to an answer, and a clean end."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from echoclip_r.cli.main import main
from echoclip_r.model.description import WEIGHTS, find_checkpoint
from tests.echoclip_r.serve.conftest import Archive


@pytest.mark.timeout(300)
def test_the_command_embeds_serves_and_ends(searched: Archive, tmp_path: Path) -> None:
    """It says where it listens and what it writes; its log holds no word of a question."""
    (tmp_path / "token").write_text("a-token-of-more-than-16")
    command = [sys.executable, "-m", "echoclip_r", "serve", str(searched.run), "--device", "cpu"]
    command += ["--shards", str(searched.shards), "--embeddings", str(tmp_path / "kept")]
    command += ["--port", "0", "--token", str(tmp_path / "token")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        said = ""
        while not (found := re.search(r"http://127[\d.:]+", said)):
            said += server.stderr.readline() or pytest.fail(said)
        headers = {"Authorization": "Bearer a-token-of-more-than-16", "Accept": "application/json"}
        with httpx.Client(
            base_url=found[0], headers=headers, timeout=60, trust_env=False
        ) as client:
            while not client.get("/progress").json()["ready"]:
                time.sleep(0.2)
            answer = client.post("/search", data={"text": "A wombat with mitral regurgitation."})
            assert answer.json()["models"][0]["hits"]
        server.send_signal(signal.SIGINT)
        said += server.stderr.read()
        assert server.wait(30) in (0, 130)
    assert "audit.jsonl" in said
    assert "wombat" not in said
    assert "Traceback" not in said
    assert (tmp_path / "kept" / "audit.jsonl").read_text().count("\n") == 1


def test_a_page_needs_no_torch() -> None:
    """It takes seconds to import, and so do the packages of models: the page comes before them."""
    code = "import echoclip_r.serve.server, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    slow = {"torch", "torchvision", "open_clip", "transformers", "timm", "scipy", "av", "pydicom"}
    assert slow & set(done.stdout.split()) == set()


def test_a_model_that_cannot_be_loaded_ends_the_server(
    searched: Archive, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason, though pages were served already."""
    run = shutil.copytree(searched.run, tmp_path / "run")
    weights = find_checkpoint(run) / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:1000])
    command = ["serve", str(run), "--shards", str(searched.shards), "--embeddings", str(kept)]
    assert main([*command, "--port", "0", "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    assert "listening at" in said
    assert WEIGHTS in said


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The packages of the server are not those of training."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "echoclip_r.serve.server", raising=False)
    assert main(["serve", "run", "--shards", "shards", "--device", "cpu"]) == 1
    assert 'pip install "echotok[echoclip-r,serve]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "give --token FILE"),
        (["--token", "nowhere"], "the token cannot be read"),
        (["--max-upload-mb", "0"], "whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_told_at_once(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a model is loaded."""
    try:
        code = main(["serve", "run", "--shards", "shards", "--device", "cpu", *words])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert said in capsys.readouterr().err
