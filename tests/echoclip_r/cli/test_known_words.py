"""Prompts and queries in words that a run has hardly read, in every command that takes some."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from echoclip_r.cli.main import main
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.training.config import changed
from echoclip_r.training.recipes import RECIPES, phantom_scale
from echoclip_r.training.run import train

OFTEN = "The left atrium is severely dilated."
NEVER = "The xylophone is severely dilated."
SAID = "1 of 5 words was read in the training reports of fewer than 5 patients ('xylophone')"


@pytest.fixture(scope="module", params=["echoclip-r", "echoclip"])
def run(
    request: pytest.FixtureRequest, training_shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run with our tokenizer, and one with CLIP's."""
    config = changed(
        phantom_scale(RECIPES[request.param]()), batch_size=22, epochs=1, warmup_steps=1
    )
    out = tmp_path_factory.mktemp("words") / request.param
    train(config, training_shards, out, device="cpu")
    return out


@pytest.fixture
def old_run(run: Path, tmp_path: Path) -> Path:
    """The same run as an earlier version left it."""
    old = tmp_path / "old"
    shutil.copytree(run / "best", old)
    (old / "word_counts.json").unlink()
    return old


def test_a_run_counts_what_its_training_reports_hold(run: Path) -> None:
    """Each study once, in every checkpoint, without a word of a report in the file."""
    for folder in (run / "best", *(run / "checkpoints").iterdir()):
        counts = load_checkpoint(folder, device="cpu").word_counts
        assert counts is not None
        assert counts.num_reports == 44
        text = (folder / "word_counts.json").read_text(encoding="utf-8")
        assert "atrium" not in text
        assert "lead" not in text


def explain(run: Path, video: Path, out: Path, *prompts: str) -> None:
    words = [word for prompt in prompts for word in ("--prompt", prompt)]
    options = ["--video", str(video), "--out", str(out), "--frames", "2", "--device", "cpu"]
    assert main(["explain", str(run), *options, *words]) == 0


def test_explain_says_it_once_a_prompt(
    run: Path, old_run: Path, archive: Path, tmp_path: Path, capsys: Any
) -> None:
    """On stderr; of what was read often nothing, and of an old run what its tokenizer can tell."""
    video, out = archive / "clip-03.avi", tmp_path / "heat.png"
    explain(run, video, out, OFTEN, NEVER, NEVER)
    said = capsys.readouterr().err
    assert said.count("prompt '") == 1
    assert f"prompt {NEVER!r}: {SAID}; " in said
    explain(old_run, video, out, OFTEN, "Xylophone wombat.")
    said = capsys.readouterr().err
    has_phrases = (old_run / "tokenizer.json").exists()
    assert said.count("prompt '") == has_phrases
    assert ("stand in no phrase of the tokenizer" in said) == has_phrases


def retrieve(run: Path, table: Path, text: str, *more: object) -> list[str]:
    return ["retrieve", str(run), "--text", text, "--reports", str(table), *map(str, more)]


def test_retrieve_says_it_in_its_answer(run: Path, tmp_path: Path, capsys: Any) -> None:
    """In the notes of the terminal, of JSON and of the page."""
    table = tmp_path / "reports.csv"
    table.write_text(f"study_id,report\nS1,{OFTEN}\nS2,No effusion.\n", encoding="utf-8")
    page = tmp_path / "page.html"
    assert main(retrieve(run, table, NEVER, "--json", "--html", page)) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert any(note.startswith(f"the text that was looked for: {SAID}") for note in notes)
    assert "The text that was looked for: 1 of 5 words" in page.read_text(encoding="utf-8")
    assert main(retrieve(run, table, NEVER)) == 0
    assert "1 of 5 words" in " ".join(capsys.readouterr().out.split())
    assert main(retrieve(run, table, OFTEN, "--json")) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert not any("looked for" in note for note in notes)


def test_evaluate_says_it_beside_the_figures(
    run: Path, training_shards: Path, tmp_path: Path, capsys: Any, caplog: Any
) -> None:
    """The first in the log, all in metrics.json, and each with its task in the report."""
    tasks = tmp_path / "tasks.toml"
    entry = (
        '[[binary]]\nname = "{0}"\ntitle = "{0}"\nfamily = "F"\nprompts = ["{1}"]\nagainst = []\n'
    )
    label = '[binary.label]\ncolumns = ["ef"]\nat_least = 35\n'
    tasks.write_text(
        entry.format("Strange", NEVER) + label + entry.format("Usual", OFTEN) + label,
        encoding="utf-8",
    )
    out = tmp_path / "out"
    options = ["--shards", training_shards, "--out", out, "--tasks", tasks, "--draws", "10"]
    options += ["--split", "validation"]
    assert main(["evaluate", str(run), *map(str, options), "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    assert caplog.text.count(": prompt ") == 3
    assert OFTEN not in caplog.text
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    (facts,) = metrics["facts"]["models"].values()
    rare = {one["prompt"]: one for one in facts["rare_prompts"]}
    assert rare[NEVER]["unknown"] == ["xylophone"]
    assert rare[NEVER]["says"].startswith(SAID)
    assert OFTEN not in rare
    num_unknown = sum(bool(one["unknown"]) for one in rare.values())
    assert f"and so of {num_unknown - 3} more prompts; metrics.json names" in caplog.text
    about = {one["task"]: one for one in metrics["outcomes"]}
    assert any(SAID in remark for remark in about["Strange"]["remarks"])
    assert about["Usual"]["remarks"] == []
    assert "Strange: 1 of 1 prompts hold words that" in captured.out
    assert "1 of 1 prompts hold words that" in (out / "report.html").read_text("utf-8")
