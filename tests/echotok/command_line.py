"""What the tests of the command line share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import echotok

REPORTS = [
    "Mild  mitral regurgitation . LVEF is 55-60%.",
    "No pericardial effusion. \U0001f600 RVSP 35mmHg",
    'Severe "aortic" stenosis,\nmean gradient 45 mmHg.',
    "",
]


class Result(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Result]


def shell(*arguments: str | Path, stdin: bytes = b"") -> Result:
    """Run the command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "echotok", *map(str, arguments)], input=stdin, capture_output=True
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def lines_of(texts: list[str], name: str = "echo") -> str:
    tok = echotok.load(name)
    return "".join(" ".join(map(str, tok.encode(text).ids)) + "\n" for text in texts)


def clip_available() -> bool:
    from echotok.clip_merges import clip_merges

    try:
        return bool(clip_merges())
    except echotok.MergesError:
        return False


needs_clip = pytest.mark.skipif(not clip_available(), reason="CLIP's merges are not installed")
