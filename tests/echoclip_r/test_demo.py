"""The demo end to end, made tiny, and the steps that it shares with the phantom benchmark."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image

from benchmarks.models import phantom_steps as steps
from echoclip_r.model.trained import TrainedModel

ROOT = Path(__file__).parents[2]
REPORT = "There is mild mitral regurgitation. " * 40


def run(*words: object) -> str:
    """One demo: what it printed."""
    command = [sys.executable, "-m", "benchmarks.demo", *map(str, words)]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.timeout(600)
def test_the_demo_runs_and_a_second_time_does_nothing_again(tmp_path: Path) -> None:
    """Table, curves, sheet and page; the models are trained once."""
    out = tmp_path / "demo"
    said = run("--quick", "--only", "models", "--out", out)
    assert "30 held-out phantom studies" in said
    for words in (
        "echoclip (the first 77",
        "echoclip (every 77-token",
        "echoclip-r-findings (whole",
        "chan",
    ):
        assert words in said
    assert "examples_ybr_color.dcm, a real clip" in said
    assert "no clinical evidence" in said
    figures = json.loads((out / "results.json").read_text())
    assert list(figures) == ["echoclip", "echoclip-r-findings"]
    for one in figures.values():
        assert one["num_studies"] == 30
        for found in one["retrieval"].values():
            assert found["mcmrr"]["low"] <= found["mcmrr"]["value"] <= found["mcmrr"]["high"]
            # A report or two may be there twice.
            assert 14 <= found["mcmrr"]["chance"] <= 15.5
        assert one["ef"]["mae"]["chance"] > 0
    assert (
        figures["echoclip-r-findings"]["tokens_a_report"] * 3
        < figures["echoclip"]["tokens_a_report"]
    )
    for name in ("curves.png", "retrieval.png"):
        with Image.open(out / name) as image:
            assert image.width > 1000
    page = (out / "index.html").read_text()
    assert page.count("<section>") == 5
    assert page.count("http") == page.count("http-equiv")
    assert "echoclip and echoclip-r-findings learned from 130 simulated echo studies" in page
    assert page.count('<svg class="plot"') == 3
    assert "var(--series-0)" in page
    weights = sorted(out.glob("*/best/*.safetensors"))
    assert len(weights) == 2
    before = [path.stat().st_mtime_ns for path in weights]
    again = run("--quick", "--only", "models", "--out", out)
    assert [path.stat().st_mtime_ns for path in weights] == before
    assert json.loads((out / "results.json").read_text()) == figures
    assert (
        again.split("30 held-out phantom studies")[1]
        == said.split("30 held-out phantom studies")[1]
    )


def test_the_tokenizer_half_shows_ones_own_file(tmp_path: Path) -> None:
    """Coloured, counted, lossless, and without the models."""
    (tmp_path / "mine.csv").write_text("finding\nMild mitral regurgitation.\n", encoding="utf-8")
    said = run(tmp_path / "mine.csv", "--column", "finding", "--out", tmp_path / "out")
    assert "ids -> decoded: the same text" in said
    assert "mitral regurgitation" in said
    assert (tmp_path / "out" / "tokens.html").exists()
    assert "phantom" not in said


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file or folder"),
        ("", "holds no reports"),
        ("a,b\n1,2\n", "has no column text or report"),
        ("report\n", "no report"),
    ],
)
def test_the_tokenizer_half_says_what_is_wrong_with_a_file(
    tmp_path: Path, content: str | None, told: str
) -> None:
    """One sentence for a slip, and no traceback."""
    path = tmp_path / "mine.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.demo", str(path), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_splits_are_whole_patients(tmp_path: Path) -> None:
    """Test first, then validation, and paths that still lead to the clips."""
    rows = [
        {"study_id": f"P{p}-S{s}", "patient_id": f"P{p}", "video": f"clips/{p}{s}.avi", "split": ""}
        for p in range(40)
        for s in range(1 + p % 3)
    ]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    data = steps.Data(seed=0, num_train=50, num_test=10, num_validation=5)
    steps._write_manifest(tmp_path / "a.csv", tmp_path / "b.csv", data)
    with (tmp_path / "b.csv").open(newline="") as file:
        split = list(csv.DictReader(file))
    of = {row["patient_id"]: row["split"] for row in split}
    assert all(row["split"] == of[row["patient_id"]] for row in split)
    counts = {name: sum(row["split"] == name for row in split) for name in set(of.values())}
    assert counts["test"] >= 11
    assert counts["validation"] >= 5
    assert counts["train"] == len(rows) - counts["test"] - counts["validation"]
    assert split[0]["video"] == "archive/clips/00.avi"


def test_the_base_model_may_average_all_windows_of_a_report(other_model: TrainedModel) -> None:
    """Every id is in one window; a short report is one window; the result is of unit length."""
    found = steps.embed_windows(other_model, [REPORT, "Mild AS."])
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert found[1] == pytest.approx(other_model.embed_texts(["Mild AS."])[0], abs=1e-5)
    whole = steps.TextCodec(None, context_length=10_000)
    ids = whole.whole(REPORT)[1:-1]
    assert len(ids) > 150
    clip = SimpleTokenizer()
    windows = [clip.decode(ids[at : at + 75]) for at in range(0, len(ids), 75)]
    mean = other_model.embed_texts(windows).sum(axis=0)
    assert found[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-4)
    assert steps.token_counts(other_model, [REPORT]).tolist() == [len(ids) + 2]
