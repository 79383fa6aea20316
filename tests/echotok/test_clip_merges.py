"""CLIP's merges: where they are looked for, and what is said when they are not there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import echotok
from echotok.bpe_training import train_merges
from echotok.clip_merges import CLIP_MERGES_SHA256, clip_merges
from echotok.errors import (
    EchotokError,
    MergesError,
)


def test_merges_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without open_clip_torch the error lists every remedy, and `echo` still loads."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(MergesError) as caught:
        echotok.load("echo-clip")
    for remedy in (
        "pip install open_clip_torch",
        "clip_merges=PATH (--clip-merges PATH)",
        "use the self-contained tokenizer 'echo'",
    ):
        assert remedy in str(caught.value)
    assert echotok.load("echo").name == "echo"


def test_merges_missing_inside_open_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open_clip that came without the file names the path that was tried."""
    (tmp_path / "open_clip").mkdir()
    (tmp_path / "open_clip" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "open_clip", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MergesError) as caught:
        clip_merges()
    assert str(tmp_path / "open_clip" / "bpe_simple_vocab_16e6.txt.gz") in str(caught.value)
    assert "open_clip" not in sys.modules


def test_merges_path_not_there(tmp_path: Path) -> None:
    """A path that leads nowhere is named."""
    path = tmp_path / "merges.gz"
    with pytest.raises(MergesError) as caught:
        echotok.load("echo-clip", clip_merges=path)
    assert f"cannot read CLIP's merges at {path} (No such file or directory)" in str(caught.value)
    assert "pass the path to bpe_simple_vocab_16e6.txt.gz" in str(caught.value)


def test_wrong_merges_file(tmp_path: Path) -> None:
    """Another file is refused by its hash, before it is unpacked."""
    path = tmp_path / "merges.gz"
    path.write_bytes(b"not even gzip")
    with pytest.raises(MergesError) as caught:
        echotok.load("echo-clip", clip_merges=path)
    assert f"{path} is not the published merges file: its sha256 is" in str(caught.value)
    assert f"expected {CLIP_MERGES_SHA256}; reinstall open_clip_torch" in str(caught.value)


def test_training_without_hf_tokenizers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training the domain fallback without its package says what to install."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(EchotokError) as caught:
        train_merges(echotok.building.Counter({"mild": 3}), 4)
    assert "pip install 'echotok[build]'" in str(caught.value)
    assert "--fallback clip" in str(caught.value)
