"""The compression benchmark with corpora and tokenizers of a user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import needs_clip

import echotok
from benchmarks.common import RESULTS
from benchmarks.tokenizer.compression import main

TOKENIZERS = """
def encode(text):
    return text.split()

def decode(words):
    return " ".join(words)

def lossy(words):
    return " ".join(words).replace("e", "")

def fails(text):
    raise ValueError(text)

def gives_text(text):
    return text

def padded(text):
    return [[0] * 77]

def masked(text):
    ids = [7] * len(text.split())
    return {"input_ids": [ids + [0] * 9], "attention_mask": [[1] * len(ids) + [0] * 9]}

class Characters:
    def encode(self, text):
        return Ids([ord(character) for character in text])

    def decode(self, ids):
        return "".join(map(chr, ids))

class Ids:
    def __init__(self, ids):
        self.ids = ids

class Named:
    def __init__(self, name):
        self.name = name

    def encode(self, text):
        return list(text.encode())

inner = Named("a name")
"""
TEXTS = echotok.sample_reports()[:6]
WORDS = sum(len(text.split()) for text in TEXTS) / 6
CHARACTERS = sum(map(len, TEXTS)) / 6


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table of reports and a module of tokenizers, where the command runs."""
    lines = [json.dumps({"id": number, "said": text}) + "\n" for number, text in enumerate(TEXTS)]
    (tmp_path / "reports.jsonl").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "tokenizers_of_mine.py").write_text(TOKENIZERS, encoding="utf-8")
    (tmp_path / "notes").mkdir()
    for number, text in enumerate(TEXTS):
        (tmp_path / "notes" / f"{number}.txt").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def figures(*arguments: str) -> dict[tuple[str, str], dict[str, float]]:
    assert main([*arguments, "--out", "out.json", "--force"]) == 0
    rows = json.loads(Path("out.json").read_text(encoding="utf-8"))
    return {(row["corpus"], row["tokenizer"]): row for row in rows}


@needs_clip
def test_own_beside_the_peers(capsys: pytest.CaptureFixture[str]) -> None:
    """Two corpora, three tokenizers: each pair is a line, the peers stand beside."""
    pytest.importorskip("tokenizers")
    found = figures(
        "--corpus", "table=reports.jsonl:said",
        "--corpus", "folder=notes",
        "--tokenizer", "words=tokenizers_of_mine:encode:decode",
        "--tokenizer", "characters=tokenizers_of_mine.py:Characters",
        "--tokenizer", "masked=tokenizers_of_mine:masked",
        "--tokenizer", "object=tokenizers_of_mine:inner",
    )  # fmt: skip
    assert {corpus for corpus, _ in found} == {"table", "folder"}
    assert {name for _, name in found} == {
        "echo",
        "echo-clip",
        "HF CLIP BPE + phrases as added tokens",
        "words",
        "characters",
        "masked",
        "object",
    }
    for corpus in ("table", "folder"):
        assert found[corpus, "words"]["mean"] == pytest.approx(WORDS)
        assert found[corpus, "masked"]["mean"] == pytest.approx(WORDS)
        assert found[corpus, "characters"]["mean"] == pytest.approx(CHARACTERS)
        assert found[corpus, "echo"]["num_lossy"] == 0
        assert found[corpus, "echo"]["covered"] > 0.2
        assert found[corpus, "words"]["num_lossy"] == 0
        assert found[corpus, "masked"]["num_lossy"] is None
        assert found[corpus, "characters"]["ratio"] < 1 < found[corpus, "echo"]["ratio"]
    assert "| folder | 6 | words | " in capsys.readouterr().out


def test_a_loss_and_a_padding_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A tokenizer that drops letters, and one whose lengths are all the same, are named."""
    corpus = ["--corpus", "ours=notes"]
    main([*corpus, "--tokenizer", "drops=tokenizers_of_mine:encode:lossy",
          "--tokenizer", "pads=tokenizers_of_mine:padded"])  # fmt: skip
    told = capsys.readouterr().out
    assert "- drops on ours: 6 of 6 reports do not come back." in told
    assert "- pads on ours: each report has 77 ids; does this tokenizer pad or cut" in told


def test_nothing_is_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file without --out, none replaced without --force; the published figures stay."""
    before = {path: path.read_bytes() for path in RESULTS.iterdir()}
    there = {*here.rglob("*")}
    command = ["--corpus", "ours=notes", "--tokenizer", "w=tokenizers_of_mine:encode"]
    assert main(command) == 0
    assert {path for path in here.rglob("*") if "__pycache__" not in str(path)} <= there
    (here / "out.md").write_text("mine", encoding="utf-8")
    assert main([*command, "--out", "out.md"]) == 1
    assert (here / "out.md").read_text(encoding="utf-8") == "mine"
    assert "is there already" in capsys.readouterr().err
    assert main([*command, "--out", "out.md", "--force"]) == 0
    assert "| ours | 6 | w |" in (here / "out.md").read_text(encoding="utf-8")
    assert {path: path.read_bytes() for path in RESULTS.iterdir()} == before


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--tokenizer=a=tokenizers_of_mine:encod", "did you mean 'encode'?"),
        ("--tokenizer=a=no_such_module:encode", "no Python module 'no_such_module'"),
        ("--tokenizer=a=tokenizers_of_mine", "not module:callable"),
        ("--tokenizer=tokenizers_of_mine:encode", "write name=module:callable"),
        ("--tokenizer=a=tokenizers_of_mine:fails", "ends with a ValueError"),
        ("--tokenizer=a=tokenizers_of_mine:gives_text", "gives a str for a text"),
        ("--tokenizer=a=tokenizers_of_mine:Named", "not made without arguments"),
        ("--tokenizer=a=nowhere.py:encode", "there is no file nowhere.py"),
        ("--tokenizer=echo=tokenizers_of_mine:encode", "two tokenizers are called echo"),
        ("--corpus=reports.jsonl", "write name=path"),
        ("--corpus=a=nowhere.csv", "there is no file or folder nowhere.csv"),
        ("--corpus=a=reports.jsonl:sayd", "did you mean 'said'?"),
        ("--corpus=a=reports.jsonl", "name one of its columns"),
        ("--corpus=a=reports.jsonl:", "the name of a column is missing"),
        ("--out=nowhere/out.md", "nowhere is no folder"),
    ],
)
def test_slips(option: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is one line that says what to do."""
    assert main(["--corpus=ours=notes", option]) == 1
    done = capsys.readouterr()
    assert told in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert done.out == ""


def test_a_report_is_not_shown_where_a_callable_fails(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tokenizer that fails with the text in its message gives none of it away (I9)."""
    (here / "late.py").write_text(
        "def encode(text):\n    if 'Normal' not in text:\n        raise ValueError(text)\n"
        "    return [1]\n",
        encoding="utf-8",
    )
    (here / "secret.txt").write_text("Zanzibar quagmire", encoding="utf-8")
    assert main(["--corpus", "ours=secret.txt", "--tokenizer", "late=late.py:encode"]) == 1
    told = capsys.readouterr()
    assert "ends with a ValueError" in told.err
    assert "Zanzibar" not in told.err + told.out


def test_help_helps(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` shows examples, and what a callable gives."""
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    for words in (
        "--corpus ours=reports.csv:report",
        "--tokenizer mine=my_package.tokens:encode",
        "takes a text and gives a sequence of ids",
        "no file is written unless --out names one",
    ):
        assert words in told
