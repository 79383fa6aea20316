"""Which tokenizer of others a name stands for, and what is read to find that out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import echotok
from echotok import peers


def test_an_artifact_as_echotok_writes_it_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Laid out anew it is, and is known all the same."""
    echotok.load("echo").save(tmp_path / "ours.json")
    content = json.loads((tmp_path / "ours.json").read_text(encoding="utf-8"))
    anew = {name: content[name] for name in sorted(content, reverse=True)}
    (tmp_path / "anew.json").write_text(json.dumps(anew), encoding="utf-8")
    parsed: list[str] = []
    read = peers._json_object
    monkeypatch.setattr(peers, "_json_object", lambda path: parsed.append(path.name) or read(path))
    assert peers.find_peer(str(tmp_path / "ours.json")) is None
    assert peers.find_peer(str(tmp_path / "anew.json")) is None
    assert parsed == ["anew.json"]
