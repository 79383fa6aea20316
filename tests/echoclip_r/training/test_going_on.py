"""Ways on: after a stop, from a finished run, after a divergence, from a named checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from echoclip_r.errors import CheckpointError, OptionError, ShardError, TrainingError
from echoclip_r.model.checkpoint import load_checkpoint, load_state
from echoclip_r.model.description import (
    find_checkpoint,
    list_checkpoints,
    read_description,
    tasks_of,
)
from echoclip_r.model.precision import pick_device
from echoclip_r.storage import lock
from echoclip_r.training.config import TrainConfig, changed
from echoclip_r.training.log import read_log
from echoclip_r.training.recipes import RECIPES, phantom_scale
from echoclip_r.training.resume import config_of
from echoclip_r.training.run import train
from echoclip_r.training.run_file import read_run_file
from echoclip_r.training.stopping import Interrupted

WEIGHTS = "open_clip_model.safetensors"


def config(recipe: str = "echoclip-r", **changes: Any) -> TrainConfig:
    """Two epochs of five steps of eight, a checkpoint every second step."""
    made = RECIPES[recipe](pretrained=changes.pop("pretrained", None))
    settings: dict[str, Any] = {
        "batch_size": 8,
        "epochs": 2,
        "warmup_steps": 2,
        "checkpoint_every_steps": 2,
        "keep_checkpoints": 3,
        "log_every_steps": 1,
    }
    return changed(phantom_scale(made), **settings | changes)


@pytest.fixture(scope="module")
def finished(training_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of ten steps with checkpoints 6, 8 and 10; not to be written to."""
    return train(
        config(), training_shards, tmp_path_factory.mktemp("runs") / "run", device="cpu"
    ).out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(finished, tmp_path / "copied"))


def names(run: Path) -> list[str]:
    return [folder.name for folder in list_checkpoints(run)]


def same_weights(one: Path, two: Path) -> bool:
    ours, theirs = load_file(one / WEIGHTS), load_file(two / WEIGHTS)
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


# A finished run


def test_the_same_command_on_a_finished_run_names_ways_on_that_work(
    copied: Path, training_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It makes no step, and says two things to type: more epochs, and weights for another run."""
    train(config(), training_shards, copied, device="cpu")
    said = capsys.readouterr().err
    assert "has made all of its 10 steps" in said
    assert "--set epochs=4" in said
    assert f"--pretrained {copied} and another --out" in said
    longer = train(config(epochs=4), training_shards, copied, device="cpu")
    assert longer.num_steps == 20
    assert "epochs was 2 and is 4" in capsys.readouterr().err
    other = train(config(pretrained=str(copied)), training_shards, tmp_path / "new", device="cpu")
    assert other.num_steps == 10


def test_fewer_epochs_than_were_made_are_refused(copied: Path, training_shards: Path) -> None:
    """And the advice, an earlier checkpoint, is taken."""
    with pytest.raises(TrainingError, match="has made 10 steps, and epochs 1 are 5") as caught:
        train(config(epochs=1), training_shards, copied, device="cpu")
    assert "set more epochs, or go on from an earlier checkpoint" in str(caught.value)


@pytest.mark.parametrize("recipe", ["echoclip", "echoclip-r", "echoclip-r-span"])
def test_every_recipe_starts_from_a_run_of_its_own(
    recipe: str, training_shards: Path, tmp_path: Path
) -> None:
    """By the folder of the run, of a checkpoint, or its file of weights: the first step's loss."""
    settings = {"epochs": 1, "checkpoint_every_steps": 5}
    first = train(config(recipe, **settings), training_shards, tmp_path / "a", device="cpu").out
    losses = set()
    for number, start in enumerate((first, first / "best", first / "best" / WEIGHTS)):
        out = tmp_path / f"b{number}"
        train(config(recipe, pretrained=str(start), **settings), training_shards, out, device="cpu")
        losses.add(read_log(out)[0]["loss"])
    assert len(losses) == 1
    assert losses != {read_log(first)[0]["loss"]}
    assert load_checkpoint(out).text.fingerprint == load_checkpoint(first).text.fingerprint


def test_a_run_of_clips_vocabulary_starts_one_with_phrases(
    finished: Path, training_shards: Path, tmp_path: Path
) -> None:
    """Its rows are CLIP's, so they are carried over; the other way round is a message."""
    base = train(config("echoclip", epochs=1), training_shards, tmp_path / "base", device="cpu").out
    chosen = config(pretrained=str(base), epochs=1)
    out = train(chosen, training_shards, tmp_path / "r", device="cpu").out
    assert load_checkpoint(out).text.name == "echo-clip"
    assert "copied" in (out / "vocabulary.csv").read_text()
    chosen = config("echoclip", pretrained=str(finished))
    with pytest.raises(
        CheckpointError, match="take a recipe of phrases, such as --recipe echoclip-r"
    ):
        train(chosen, training_shards, tmp_path / "no", device="cpu")


def test_a_grown_tokenizer_goes_on_from_a_run_and_another_is_refused(
    finished: Path, training_shards: Path, tmp_path: Path, grown_echo: Path
) -> None:
    """Leaving the tokenizer out, as the message says, takes that of the weights."""
    start = config(pretrained=str(finished), epochs=1)
    grown = changed(start, tokenizer=str(grown_echo))
    out = train(grown, training_shards, tmp_path / "grown", device="cpu").out
    assert "wombat" in (out / "vocabulary.csv").read_text()
    other = changed(start, tokenizer="echo-clip")
    with pytest.raises(CheckpointError, match="Leave --tokenizer out to take that of the weights"):
        train(other, training_shards, tmp_path / "other", device="cpu")
    train(start, training_shards, tmp_path / "other", device="cpu")


def test_weights_of_another_model_are_told_with_its_name(
    finished: Path, training_shards: Path, tmp_path: Path
) -> None:
    """The published scale does not take the phantom's."""
    chosen = config(pretrained=str(finished), model="convnext_base", warmup_steps=1)
    with pytest.raises(CheckpointError, match="do not fit convnext_base; give --model echoclip-r-"):
        train(chosen, training_shards, tmp_path / "run", device="cpu")


# A run that diverged


def test_a_divergence_leaves_the_last_good_checkpoint_and_goes_on_from_it(
    training_shards: Path, tmp_path: Path
) -> None:
    """Also where one only is kept; the checkpoint without a next step is set aside."""
    out = tmp_path / "run"
    good = config(keep_checkpoints=1, checkpoint_every_steps=1)
    with pytest.raises(Interrupted):
        _train_and_signal(good, training_shards, out, after_step=3, number=signal.SIGTERM)
    *_, kept = names(out)  # the one before it stays until a step was made from this one
    wild = changed(good, lr=1e30)
    with pytest.raises(TrainingError, match=r"is (nan|not finite)") as caught:
        train(wild, training_shards, out, device="cpu")
    assert f"The last good checkpoint is {out / 'checkpoints' / kept}" in str(caught.value)
    assert names(out) == [kept]
    assert train(good, training_shards, out, device="cpu").num_steps == 10


def test_a_checkpoint_that_is_not_finite_names_the_one_before(
    copied: Path, training_shards: Path
) -> None:
    """As earlier versions left them; --resume with that name works, and the same command, too."""
    path = copied / "checkpoints" / "step-00000008" / WEIGHTS
    shutil.rmtree(copied / "checkpoints" / "step-00000010")
    weights = load_file(path)
    weights["text_projection"][0, 0] = torch.nan
    save_file(weights, path)
    with pytest.raises(TrainingError, match=r"text_projection is not .* --resume step-00000006"):
        train(config(), training_shards, copied, device="cpu")
    train(config(), training_shards, copied, checkpoint="step-00000006", device="cpu")
    assert names(copied)[-1] == "step-00000010"


def test_a_loss_that_is_no_number_at_once_speaks_of_weights_and_precision(
    finished: Path, training_shards: Path, tmp_path: Path
) -> None:
    """No learning rate has come in before the first step."""
    spoilt = Path(shutil.copytree(finished, tmp_path / "spoilt"))
    shutil.rmtree(spoilt / "best")
    weights = load_file(spoilt / "checkpoints" / "step-00000010" / WEIGHTS)
    weights["text_projection"][:] = torch.nan
    save_file(weights, spoilt / "checkpoints" / "step-00000010" / WEIGHTS)
    with pytest.raises(TrainingError, match="the loss of step 1 is nan") as caught:
        train(config(pretrained=str(spoilt)), training_shards, tmp_path / "run", device="cpu")
    assert "or other --pretrained weights, since no learning rate" in str(caught.value)
    train(config(pretrained=str(finished)), training_shards, tmp_path / "run", device="cpu")


# A named checkpoint


def test_a_named_checkpoint_is_gone_on_from_and_later_ones_are_set_aside(
    finished: Path, copied: Path, training_shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result is that of the unbroken run; nothing is deleted, and it is said."""
    train(config(), training_shards, copied, checkpoint="step-00000006", device="cpu")
    aside = copied / "checkpoints" / "set-aside"
    assert "step-00000008, step-00000010" in capsys.readouterr().err
    assert {"step-00000008", "step-00000010"} <= {path.name for path in aside.iterdir()}
    last = Path("checkpoints") / "step-00000010"
    assert same_weights(copied / last, finished / last)
    assert load_state(copied / last)[1]["began_at"] == "step-00000006"
    # Given again it goes on from its own last step, with other settings from the named one.
    again = train(config(), training_shards, copied, checkpoint="step-00000006", device="cpu")
    assert again.num_steps == 10
    lower = config(lr=1e-5)
    train(lower, training_shards, copied, checkpoint="step-00000006", device="cpu")
    assert not same_weights(copied / last, finished / last)


def test_a_checkpoint_that_is_not_there_is_answered_with_those_that_are(
    finished: Path, training_shards: Path
) -> None:
    """Nothing is set aside for it."""
    with pytest.raises(
        TrainingError, match=r"no checkpoint step-7 .* step-00000006, step-00000008, step-00000010"
    ):
        train(config(), training_shards, finished, checkpoint="step-7", device="cpu")


# Stopped


def _train_and_signal(
    chosen: TrainConfig, shards: Path, out: Path, *, after_step: int, number: signal.Signals
) -> None:
    """Train here, and get a signal once the log has a step."""

    def send() -> None:
        while not any(line["step"] >= after_step for line in read_log(out)):
            time.sleep(0.002)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    train(chosen, shards, out, device="cpu")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_end_and_saves_it(
    number: signal.Signals, finished: Path, training_shards: Path, tmp_path: Path
) -> None:
    """No regular checkpoint is due; the same call goes on to the same weights and log."""
    out = tmp_path / "run"
    rarely = config(checkpoint_every_steps=1000)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted):
        _train_and_signal(rarely, training_shards, out, after_step=2, number=number)
    assert signal.getsignal(number) is before
    (kept,) = names(out)
    assert 2 <= int(kept.removeprefix("step-")) < 10
    train(rarely, training_shards, out, device="cpu")
    last = Path("checkpoints") / "step-00000010"
    assert same_weights(out / last, finished / last)
    assert same_weights(out / "best", finished / "best")
    figures = [
        [(line["step"], line.get("loss")) for line in read_log(run)] for run in (out, finished)
    ]
    assert figures[0] == figures[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_killed_goes_on_when_it_is_given_again(
    number: signal.Signals, training_shards: Path, tmp_path: Path
) -> None:
    """It says what is kept and what to type, and that is true."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "echoclip_r", "train", "--recipe", "echoclip-r", "--scale"]
    command += ["phantom", "--shards", str(training_shards), "--out", str(out), "--device", "cpu"]
    for setting in ("batch_size=8", "epochs=8", "warmup_steps=2", "log_every_steps=1"):
        command += ["--set", setting]
    command += ["--set", "checkpoint_every_steps=4", "--set", "workers=1"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    while not any(line["step"] >= 6 for line in read_log(out)):
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, number)  # the readers get it, too, as from a terminal
    _, said = process.communicate(timeout=60)
    kept = list_checkpoints(out)[-1]
    if number != signal.SIGKILL:
        assert process.returncode == 130
        told = f"interrupted; {kept} is kept; give the same command again to continue from it"
        assert said.splitlines()[-1] == f"echoclip-r: {told}"
        assert int(kept.name.removeprefix("step-")) >= 6
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    assert done.stdout.startswith("40 steps in")
    assert f"going on after step {int(kept.name.removeprefix('step-'))}" in done.stderr


# Its folder and its data


def test_two_runs_do_not_write_in_one_folder(training_shards: Path, tmp_path: Path) -> None:
    """The second is told; after the first it goes on."""
    out = tmp_path / "run"
    with (
        lock(out, what="anything", error=TrainingError),
        pytest.raises(TrainingError, match="another run is writing the checkpoints of a run there"),
    ):
        train(config(), training_shards, out, device="cpu")
    assert train(config(epochs=1), training_shards, out, device="cpu").num_steps == 5


def test_a_folder_of_other_things_is_left_alone(training_shards: Path, tmp_path: Path) -> None:
    """Shards above all; a new folder, as the message says, is taken."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        TrainingError, match=r"other files \(notes.txt\) and no run of ours; choose"
    ):
        train(config(), training_shards, tmp_path, device="cpu")
    with pytest.raises(TrainingError, match="other files"):
        train(config(), training_shards, training_shards, device="cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]
    train(config(epochs=1), training_shards, tmp_path / "new", device="cpu")


def test_too_few_clips(training_shards: Path, tmp_path: Path, archive: Path) -> None:
    """The batch size that is named fits; one clip or none is nothing to learn from."""
    with pytest.raises(ShardError, match=r"fewer than a batch of 64; .* batch_size=44, or less"):
        train(config(batch_size=64, epochs=8), training_shards, tmp_path / "run", device="cpu")
    chosen = config(batch_size=44, epochs=3)
    assert train(chosen, training_shards, tmp_path / "run", device="cpu").num_steps == 3
    for number in (0, 1):
        shards = Path(shutil.copytree(training_shards, tmp_path / f"shards-{number}"))
        index = json.loads((shards / "index.json").read_text())
        train_shards = [entry for entry in index["shards"] if entry["split"] == "train"]
        for entry in train_shards[number:]:
            index["shards"].remove(entry)
        for entry in train_shards[:number]:
            entry["num_clips"] = 1
        (shards / "index.json").write_text(json.dumps(index))
        with pytest.raises(ShardError, match=f"has {number} clips, and a model learns by telling"):
            train(config(), shards, tmp_path / f"few-{number}", device="cpu")


def test_readers_stay_and_workers_may_change(
    training_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of two readers goes on with none, one or more workers to the same weights."""
    whole = config(workers=2)
    unbroken = train(whole, training_shards, tmp_path / "unbroken", device="cpu").out
    last = Path("checkpoints") / "step-00000010"
    for workers in (0, 1, 3):
        out = Path(shutil.copytree(unbroken, tmp_path / f"workers-{workers}"))
        for name in ("step-00000008", "step-00000010"):
            shutil.rmtree(out / "checkpoints" / name)
        train(config(workers=workers), training_shards, out, device="cpu")
        assert same_weights(out / last, unbroken / last)
        assert config_of(read_description(out / last)).num_readers == 2
    assert "2 workers are used and not 3" in capsys.readouterr().err


# What a run remembers


def test_a_run_remembers_its_task_files(training_shards: Path, tmp_path: Path) -> None:
    """A name stays a name, a file is copied; a run that goes on keeps them."""
    mine = tmp_path / "mine.toml"
    mine.write_text("# nothing of my own\n")
    out = tmp_path / "run"
    chosen = config(epochs=1)
    train(chosen, training_shards, out, tasks=["phantom", str(mine)], device="cpu")
    mine.unlink()
    for folder in (out, find_checkpoint(out), list_checkpoints(out)[0]):
        name, path = tasks_of(folder)
        assert name == "phantom"
        assert Path(path).read_text() == "# nothing of my own\n"
    train(config(epochs=2), training_shards, out, device="cpu")
    assert tasks_of(list_checkpoints(out)[-1])[0] == "phantom"
    assert read_run_file(out / "config.toml").tasks == ("phantom", str(out / "tasks-2.toml"))
    with pytest.raises(CheckpointError, match="the task file cannot be read"):
        train(chosen, training_shards, tmp_path / "b", tasks=["none.toml"], device="cpu")


def test_a_run_without_task_files_says_none(finished: Path) -> None:
    """So that an evaluation takes its default."""
    assert tasks_of(finished) == ()


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_config_toml_gives_the_run_again(
    recipe: str, training_shards: Path, tmp_path: Path
) -> None:
    """All settings, None among them, and the data."""
    chosen = config(recipe, epochs=1, min_crop=0.7)
    out = train(chosen, training_shards, tmp_path / "run", device="cpu").out
    found = read_run_file(out / "config.toml")
    assert found.config == chosen
    assert found.shards == training_shards


def test_a_file_by_hand_says_what_differs_from_its_recipe(tmp_path: Path) -> None:
    """With the scale; a slip is answered with the nearest name."""
    path = tmp_path / "run.toml"
    path.write_text(
        'recipe = "echoclip-r-span"\nscale = "phantom"\nlr = 1e-4\ngrad_clip_norm = 1\n'
        '[model]\ntokenizer = "echo-clip"\n'
    )
    base = phantom_scale(RECIPES["echoclip-r-span"](tokenizer="echo-clip"))
    assert read_run_file(path).config == changed(base, lr=1e-4, grad_clip_norm=1)
    for text, message in (
        (
            'recipe = "echoclip-r"\nbatchsize = 4',
            "no setting 'batchsize'; did you mean 'batch_size'",
        ),
        ('recipe = "typo"', "recipe is 'typo'; it takes echoclip, echoclip-r"),
        ('recipe = "echoclip-r"\nlr = -1', "lr is -1; it must be above 0"),
        ("recipe =", "cannot be read as TOML"),
    ):
        path.write_text(text)
        with pytest.raises(TrainingError, match=message):
            read_run_file(path)


def test_one_default_device_and_a_message_for_one_that_is_not_here() -> None:
    """A GPU where there is one."""
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(OptionError, match="leave --device out to take the best one there is"):
        pick_device("cuda:99")
