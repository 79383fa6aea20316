"""Checkpoints: loading, the tokenizer's rule, and going on after a kill."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file

import echotok
from echoclip_r.errors import CheckpointError
from echoclip_r.model.channels import shown
from echoclip_r.model.checkpoint import load_checkpoint, load_state, save_checkpoint
from echoclip_r.model.description import last_checkpoint, read_description
from echoclip_r.model.spec import ModelSpec
from echoclip_r.training.log import read_log

SETTINGS = ["batch_size=8", "epochs=4", "warmup_steps=2", "checkpoint_every_steps=3"]
NUM_STEPS = 20
WEIGHTS = "open_clip_model.safetensors"


# One thread: how many a library takes, by load or by what a process did before, changes how sums
# round.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def command(recipe: str, shards: Path, out: Path, *settings: str) -> list[str]:
    """A run of twenty steps, as a user gives it."""
    words = [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    return [
        *(sys.executable, "-m", "echoclip_r", "train", "--recipe", recipe, "--scale", "phantom"),
        *("--shards", str(shards), "--out", str(out), "--device", "cpu", *words),
    ]


def unbroken(recipe: str, shards: Path, out: Path) -> Path:
    """A run that nothing stops; not to be written to."""
    given = command(recipe, shards, out)
    subprocess.run(given, env=ENVIRONMENT, check=True, capture_output=True, timeout=200)
    return out


@pytest.fixture(scope="module")
def run(training_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of whole reports."""
    return unbroken("echoclip-r", training_shards, tmp_path_factory.mktemp("runs") / "unbroken")


@pytest.fixture(scope="module")
def findings_run(training_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the recipe with several texts, several losses and cine pictures."""
    out = tmp_path_factory.mktemp("runs") / "findings"
    return unbroken("echoclip-r-findings", training_shards, out)


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A copy of the run's best checkpoint, to be spoilt."""
    return Path(shutil.copytree(run / "best", tmp_path / "best"))


def test_a_checkpoint_loads_by_run_or_folder(run: Path) -> None:
    """A run gives its best, else its last."""
    best = load_checkpoint(run)
    assert best.fingerprint == load_checkpoint(run / "best").fingerprint
    last = load_checkpoint(run / "checkpoints" / f"step-{NUM_STEPS:08d}")
    assert best.spec == ModelSpec(towers="echoclip-r-tiny", tokenizer="echo")
    assert best.name == "echoclip-r (unbroken)"
    assert best.text.fingerprint == echotok.load("echo").fingerprint
    assert last.name == best.name
    assert not best.model.training


@pytest.mark.parametrize("which", ["run", "findings_run"])
def test_plain_open_clip_loads_it_and_embeds_alike(
    which: str, request: pytest.FixtureRequest
) -> None:
    """From the folder alone: configuration, preprocessing and weights have open_clip's names."""
    run: Path = request.getfixturevalue(which)
    ours = load_checkpoint(run)
    theirs, _, transform = open_clip.create_model_and_transforms(f"local-dir:{run / 'best'}")
    theirs.eval()
    frames = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3)).astype(np.uint8)
    from PIL import Image

    pictures = shown(frames, ours.spec.channels)
    images = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])
    texts = ["The ejection fraction is 55%.", "There is mild mitral regurgitation."]
    ids = torch.full((2, theirs.context_length), ours.text.pad_id)
    rows = ours.text.encode(texts).ids
    ids[:, : rows.shape[1]] = rows
    with torch.inference_mode():
        image = theirs.encode_image(images, normalize=True).numpy()
        text = theirs.encode_text(ids, normalize=True).numpy()
    np.testing.assert_allclose(ours.embed_frames(frames), image, atol=1e-6)
    np.testing.assert_allclose(ours.embed_texts(texts), text, atol=1e-6)


def test_only_the_last_checkpoints_are_kept(run: Path) -> None:
    """Two, whole, and nothing half-written beside them."""
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "step-00000018",
        "step-00000020",
    ]
    assert sorted(path.name for path in run.iterdir()) == [
        "best",
        "checkpoints",
        "config.json",
        "config.toml",
        "log.jsonl",
        "splits.json",
    ]


def test_a_checkpoint_holds_no_pickle(run: Path) -> None:
    """Weights and state are safetensors, the rest is JSON."""
    for path in (run / "checkpoints" / "step-00000020").iterdir():
        assert path.suffix in (".safetensors", ".json")


def test_a_grown_tokenizer_is_accepted_and_said(
    run: Path, grown_echo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Old texts keep their embeddings; the new phrase is one token more (I6)."""
    old, new = load_checkpoint(run), load_checkpoint(run, tokenizer=grown_echo)
    assert "4 rows of the tokenizer are new" in caplog.text
    texts = ["The ejection fraction is 55%.", "Something no table holds."]
    np.testing.assert_array_equal(old.embed_texts(texts), new.embed_texts(texts))
    phrase = ["Wombat valve with severe stenosis"]
    assert new.text.encode(phrase).ids.shape[1] < old.text.encode(phrase).ids.shape[1]
    assert np.isfinite(new.embed_texts(phrase)).all()
    assert old.fingerprint != new.fingerprint


def test_another_tokenizer_is_refused(run: Path) -> None:
    """Asked for by name."""
    with pytest.raises(CheckpointError, match="is not an append-only growth of"):
        load_checkpoint(run, tokenizer="echo-clip")


def _swap_tokenizer(folder: Path) -> None:
    echotok.load("echo-clip").save(folder / "tokenizer.json")


def _cut_weights(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-9])


def _change_format(folder: Path) -> None:
    path = folder / "echoclip_r.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))


def _drop_format(folder: Path) -> None:
    path = folder / "echoclip_r.json"
    content = json.loads(path.read_text())
    del content["format"]
    path.write_text(json.dumps(content))


def _later_model(folder: Path) -> None:
    path = folder / "echoclip_r.json"
    content = json.loads(path.read_text())
    content["model"]["num_frames"] = 16
    path.write_text(json.dumps(content))


def _break_json(folder: Path) -> None:
    (folder / "echoclip_r.json").write_text("{")


def _remove(folder: Path) -> None:
    (folder / "echoclip_r.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_swap_tokenizer, "trained with tokenizer echo .* is echo-clip .* Put the right tokenizer"),
        (_cut_weights, "the weights cannot be loaded"),
        (_change_format, "of format 99, and this version of echoclip_r reads formats 1 to 2; ins"),
        (_drop_format, "the checkpoint cannot be read .KeyError"),
        (_later_model, "the model has num_frames, which this version of echoclip_r does not know"),
        (_break_json, "the checkpoint cannot be read"),
        (_remove, "no checkpoint there; give the folder of a run"),
    ],
)
def test_what_does_not_fit_is_refused(
    copied: Path, spoil: Callable[[Path], None], message: str
) -> None:
    """With what is wrong, and what to do."""
    spoil(copied)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(copied)


def test_a_full_disk_leaves_the_checkpoint_that_was_there(
    run: Path, small_disk: Callable[[int], Path]
) -> None:
    """The error says so in plain words, though safetensors has one of its own for it."""
    best = run / "best"
    num_bytes = sum(path.stat().st_size for path in best.iterdir())
    out = small_disk(num_bytes * 3 // 2) / "run"
    shutil.copytree(best, out / "best")
    description = read_description(best)
    with pytest.raises(
        CheckpointError,
        match=r"the disk is full, so the checkpoint was .* same command goes on from the last$",
    ):
        save_checkpoint(
            out / "best",
            load_checkpoint(run).model,
            spec=description.spec,
            training=description.training,
            model_config=description.model_config,
            codec=load_checkpoint(run).text,
            facts={"step": -1},
        )
    assert read_description(out / "best").facts == description.facts
    assert [path.name for path in out.iterdir()] == ["best"]


def test_weights_alone_are_nothing_to_go_on_from(run: Path) -> None:
    """`best` is for embedding."""
    with pytest.raises(CheckpointError, match="`best` holds weights alone"):
        load_state(run / "best")


@pytest.mark.parametrize(
    ("which", "recipe", "workers"),
    [
        ("run", "echoclip-r", 0),
        ("run", "echoclip-r", 1),
        ("findings_run", "echoclip-r-findings", 1),
    ],
)
def test_a_killed_run_goes_on_to_the_weights_of_an_unbroken_one(
    which: str,
    recipe: str,
    workers: int,
    request: pytest.FixtureRequest,
    training_shards: Path,
    tmp_path: Path,
) -> None:
    """SIGKILL at a random step, then the same command: the same weights, state and log (I13)."""
    run: Path = request.getfixturevalue(which)
    out = tmp_path / "killed"
    given = command(recipe, training_shards, out, f"workers={workers}", "log_every_steps=1")
    stop = random.randrange(2, NUM_STEPS - 1)
    process = subprocess.Popen(given, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 200
        while not any(line["step"] >= stop for line in read_log(out) if "loss" in line):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    killed_at = last_checkpoint(out)
    assert killed_at is None or int(killed_at.name[5:]) < NUM_STEPS
    subprocess.run(given, env=ENVIRONMENT, check=True, capture_output=True, timeout=200)
    for name in (f"checkpoints/step-{NUM_STEPS:08d}", "best"):
        ours, theirs = load_file(out / name / WEIGHTS), load_file(run / name / WEIGHTS)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs), f"{name}, {stop}"
    ours, theirs = load_state(last_checkpoint(out)), load_state(last_checkpoint(run))  # type: ignore[arg-type, assignment]
    assert all(torch.equal(ours[0][key], theirs[0][key]) for key in theirs[0])
    losses = [(line["step"], line["loss"]) for line in read_log(out) if "loss" in line]
    assert [step for step, _ in losses] == list(range(1, NUM_STEPS + 1))
    for line in read_log(run):
        if "loss" in line:
            assert (line["step"], line["loss"]) in losses
