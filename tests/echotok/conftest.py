"""Both shipped tokenizers, for every test that asks for `tok`."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from command_line import REPORTS, Result, Run
from hypothesis import HealthCheck, settings

import echotok
from echotok.building import build
from echotok.cli.main import main

ROOT = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("ECHOTOK_CORPUS", ROOT.parent / "shared" / "data"))

# One examples budget for all: the machine may be slow, the properties are what counts.
settings.register_profile(
    "echotok",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    # CI repeats the same examples, so that a change is what fails it; everyone else explores.
    derandomize="CI" in os.environ,
)
settings.load_profile("echotok")


@pytest.fixture(scope="session", params=["echo", "echo-clip"])
def tok(request: pytest.FixtureRequest) -> echotok.Tokenizer:
    """Each of the two tokenizers that ship."""
    try:
        return echotok.load(request.param)
    except echotok.MergesError:
        pytest.skip("CLIP's merges are not installed")


@pytest.fixture(scope="session")
def corpus_files() -> list[Path]:
    """The report corpora beside the checkout (never part of it); skips where there are none."""
    files = sorted(CORPUS.glob("*.jsonl"))
    if not files:
        pytest.skip("no corpora: set ECHOTOK_CORPUS to a folder of JSON Lines files")
    return files


@pytest.fixture
def small_table(tmp_path: Path) -> Path:
    """A table of five phrases, one of them retired, that a test may change."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "table.toml").write_text(
        'name = "small"\nversion = "1.1.0"\nlocale = "en"\nlicence = "Apache-2.0"\n'
        'provenance = "written for the tests"\nunits = ["mmhg"]\n'
        '[slots]\nside = "left or right"\n'
        "[capacity]\nphrases = 16\nvalues = 8\nmerges = 200\n",
        encoding="utf-8",
    )
    (folder / "values.csv").write_text(
        "id,slot,value,rank,since,retired,note\n0,side,left,,1.0.0,,\n1,side,right,,1.0.0,,\n",
        encoding="utf-8",
    )
    (folder / "all.csv").write_text(
        "id,phrase,since,retired,note\n"
        "0,{severity} mitral regurgitation,1.0.0,,\n"
        "1,the ejection fraction is {number}%,1.0.0,,\n"
        "2,{severity} dilation of the {side} atrium,1.0.0,,\n"
        "3,normal study,1.0.0,1.1.0,too vague\n"
        "4,blood pressure is {number}/{number},1.1.0,,\n",
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def small_tok(small_table: Path) -> echotok.Tokenizer:
    """The tokenizer of `small_table`, its BPE trained on nothing but the table."""
    return build(small_table)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process, with bytes on stdin."""

    def call(*arguments: str | Path, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    """A JSON Lines file of four reports under two keys."""
    path = tmp_path / "reports.jsonl"
    lines = [json.dumps({"text": text, "other": "No AS."}) for text in REPORTS]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return path
