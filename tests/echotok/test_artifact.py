"""Artifacts that are damaged, edited or malformed are refused, and the error says what to do."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import echotok
from echotok import artifact
from echotok.errors import (
    ArtifactError,
)


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return artifact.read(Path(echotok.__file__).parent / "artifacts" / "echo.json")


def save(content: dict[str, Any], path: Path, *, sign: bool) -> Path:
    if sign:
        content["sha256"] = artifact.fingerprint(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_unknown_tokenizer() -> None:
    """An unknown name is told what ships and how to make one."""
    with pytest.raises(ArtifactError) as caught:
        echotok.load("echoo")
    assert str(caught.value) == (
        "no tokenizer 'echoo': echotok ships echo, echo-clip, and there is no such file; make one "
        "with `echotok build TABLE_DIR --out ARTIFACT`"
    )


def test_a_folder_is_no_artifact(tmp_path: Path) -> None:
    """A folder is named as unreadable."""
    with pytest.raises(ArtifactError, match=r"cannot read .*: Is a directory"):
        echotok.load(tmp_path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"format": ', "is damaged: not JSON at line 1; build it again"),
        (b"", "is damaged: not JSON at line 1"),
        (b'{"format": "\xff"}', "is damaged: not JSON at its bytes"),
        (b"[]", "is not a tokenizer artifact (no 'echotok-tokenizer' at its head); make one"),
        (b'{"format": "gpt2"}', "is not a tokenizer artifact"),
    ],
)
def test_damaged_or_foreign_file(tmp_path: Path, raw: bytes, message: str) -> None:
    """What is no artifact is refused with its path and a remedy."""
    path = tmp_path / "tokenizer.json"
    path.write_bytes(raw)
    with pytest.raises(ArtifactError) as caught:
        echotok.load(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_half_a_file(tmp_path: Path) -> None:
    """A truncated copy is damaged, at the line where it ends."""
    tok = echotok.load("echo")
    path = tmp_path / "tokenizer.json"
    tok.save(path)
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(half)
    with pytest.raises(ArtifactError, match=rf"not JSON at line {half.count(10) + 1}"):
        echotok.load(path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_wrong_format_version(tmp_path: Path, content: dict[str, Any], version: object) -> None:
    """A file of another format version says which one it is and which one is read."""
    path = save(content | {"format_version": version}, tmp_path / "tokenizer.json", sign=True)
    with pytest.raises(ArtifactError) as caught:
        echotok.load(path)
    assert f"has format version {version!r}; this echotok reads version 1" in str(caught.value)
    assert "Install the echotok that wrote it, or build it again" in str(caught.value)


def _rename(content: dict[str, Any]) -> None:
    content["name"] = "other"


def _reword(content: dict[str, Any]) -> None:
    content["phrases"][0][1] = "the left ventricle is dilated."


def _drop_phrase(content: dict[str, Any]) -> None:
    content["phrases"].pop()


def _swap_merges(content: dict[str, Any]) -> None:
    merges = content["fallback"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]


def _empty_probe(content: dict[str, Any]) -> None:
    content["probe"]["ids"] = []


def _add_key(content: dict[str, Any]) -> None:
    content["comment"] = "harmless?"


def _no_hash(content: dict[str, Any]) -> None:
    del content["sha256"]


@pytest.mark.parametrize(
    "edit", [_rename, _reword, _drop_phrase, _swap_merges, _empty_probe, _add_key, _no_hash]
)
def test_edited_artifact(
    tmp_path: Path, content: dict[str, Any], edit: Callable[[dict[str, Any]], None]
) -> None:
    """Any edit of the file is noticed by its hash."""
    edited = copy.deepcopy(content)
    edit(edited)
    path = save(edited, tmp_path / "tokenizer.json", sign=False)
    with pytest.raises(ArtifactError) as caught:
        echotok.load(path)
    assert "was damaged or edited: its sha256 is" in str(caught.value)
    assert "Edit the table folder, not the artifact, and build it again" in str(caught.value)


def test_probe_mismatch(tmp_path: Path, content: dict[str, Any]) -> None:
    """A file whose probe encodes otherwise was written by another engine, and is refused."""
    edited = copy.deepcopy(content)
    edited["probe"]["ids"][5] += 1
    path = save(edited, tmp_path / "tokenizer.json", sign=True)
    with pytest.raises(ArtifactError) as caught:
        echotok.load(path)
    assert "encodes the artifact's probe text to other ids" in str(caught.value)
    assert "install that version, or build the artifact (and its models) again" in str(caught.value)


def _without_table(content: dict[str, Any]) -> None:
    del content["table"]


def _without_capacity(content: dict[str, Any]) -> None:
    del content["table"]["phrase_capacity"]


def _without_merges(content: dict[str, Any]) -> None:
    del content["fallback"]["merges"]


def _unknown_fallback(content: dict[str, Any]) -> None:
    content["fallback"] = {"kind": "words"}


def _other_clip(content: dict[str, Any]) -> None:
    content["fallback"] = {"kind": "clip", "sha256": "0" * 64}


def _number_for_merge(content: dict[str, Any]) -> None:
    content["fallback"]["merges"][0] = 5


def _one_part_merge(content: dict[str, Any]) -> None:
    content["fallback"]["merges"][0] = "th"


def _number_for_phrase(content: dict[str, Any]) -> None:
    content["phrases"][0][1] = 5


def _short_row(content: dict[str, Any]) -> None:
    content["phrases"][0].pop()


def _unknown_slot(content: dict[str, Any]) -> None:
    content["phrases"][0][1] = "{nothing} here"


def _two_rows_of_an_id(content: dict[str, Any]) -> None:
    content["phrases"][1][0] = content["phrases"][0][0]


def _id_beyond_the_capacity(content: dict[str, Any]) -> None:
    content["phrases"][0][0] = 10**6


def _negative_id(content: dict[str, Any]) -> None:
    content["phrases"][0][0] = -1


@pytest.mark.parametrize(
    "edit",
    [
        _without_table,
        _without_capacity,
        _without_merges,
        _unknown_fallback,
        _other_clip,
        _number_for_merge,
        _one_part_merge,
        _number_for_phrase,
        _short_row,
        _unknown_slot,
        _two_rows_of_an_id,
        _id_beyond_the_capacity,
        _negative_id,
    ],
)
def test_signed_but_malformed_artifact(
    tmp_path: Path, content: dict[str, Any], edit: Callable[[dict[str, Any]], None]
) -> None:
    """A file that another program wrote and signed, but wrongly, gets an error of ours."""
    edited = copy.deepcopy(content)
    edit(edited)
    del edited["probe"]
    path = save(edited, tmp_path / "tokenizer.json", sign=True)
    with pytest.raises(
        ArtifactError, match=r"the artifact does not hold all that|ids of the artifact overlap"
    ):
        echotok.load(path)
