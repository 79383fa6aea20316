"""What a user gets for a slip: one line that says what to do, an exit code, and no traceback."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from echoclip_r.cli.main import main

TRAIN = ["train", "--recipe", "echoclip-r", "--scale", "phantom", "--device", "cpu"]


@pytest.fixture
def slip(capsys, tmp_path, monkeypatch):
    """Run a command in an empty folder: exit code and the lines on stderr; stdout stays empty.

    Where a model computes is said before anything else, and is left out here.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("Mild MR.")
    (tmp_path / "folder").mkdir()

    def command(*argv):
        status = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "Traceback" not in captured.err
        lines = captured.err.splitlines()
        return status, lines[bool(lines and lines[0].startswith("computing on ")) :]

    return command


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (
            ["--shards", "SHARDS", "--tokenizer", "typo"],
            1,
            "no tokenizer 'typo': echotok ships echo, echo-clip, and there is no such file; make "
            "one with `echotok build TABLE_DIR --out ARTIFACT`",
        ),
        (
            ["--shards", "SHARDS", "--set", "batch_size=few"],
            2,
            "setting batch_size=few: batch_size takes a whole number",
        ),
        (
            ["--shards", "SHARDS", "--set", "batch_size=1"],
            2,
            "batch_size is 1; it must be 2 or more",
        ),
        (
            ["--shards", "nowhere"],
            1,
            "nowhere: it holds no index.json, so it has no finished shards; make some with "
            "`echoclip-r prepare MANIFEST --out nowhere`",
        ),
        (
            ["--shards", "file.txt"],
            1,
            "file.txt: it holds no index.json, so it has no finished shards; make some with "
            "`echoclip-r prepare MANIFEST --out file.txt`",
        ),
        (
            ["--shards", "SHARDS", "--model", "typo"],
            2,
            "open_clip has no model 'typo'; this package's are echoclip, echoclip-r, "
            "echoclip-r-tiny, echoclip-tiny, and `open_clip.list_models()` names the others",
        ),
        (
            ["--shards", "SHARDS", "--pretrained", "folder"],
            1,
            "folder: it is a folder without a checkpoint; give the folder of a run, one of its "
            "checkpoints, or a file of weights",
        ),
    ],
)
def test_slips_of_train(slip, training_shards, argv, status, message):
    """A name that nothing has, a setting of another kind, shards that are none."""
    fit = ["--set", "batch_size=8", "--set", "epochs=4", "--set", "warmup_steps=2"]
    argv = [training_shards if argument == "SHARDS" else argument for argument in argv]
    assert slip(*TRAIN, *fit, *argv, "--out", "run") == (status, [f"echoclip-r: {message}"])
    assert not Path("run/checkpoints").exists()


def test_a_setting_that_is_not_there_is_answered_with_all_that_are(slip, training_shards):
    """In one line, which `--help` points to."""
    wrong = ["--set", "bath_size=3"]
    status, lines = slip(*TRAIN, "--shards", training_shards, "--out", "run", *wrong)
    assert (status, len(lines)) == (2, 1)
    start = "echoclip-r: setting 'bath_size=3': write name=value, the name one of "
    assert lines[0].startswith(start)
    assert "batch_size" in lines[0].removeprefix(start).split(", ")


def test_a_recipe_that_is_not_there(slip):
    """The last line names those that are."""
    status, lines = slip("train", "--recipe", "typo", "--shards", "s", "--out", "run")
    assert status == 2
    assert lines[-1].startswith(
        "echoclip-r train: error: argument --recipe: invalid choice: 'typo' (choose from "
    )
    assert "echoclip-r-span" in lines[-1]


def test_the_recipe_without_a_phrase_tokenizer(slip):
    """It takes none, which is said before anything is read."""
    argv = ["train", "--recipe", "echoclip", "--shards", "s", "--out", "run", "--tokenizer", "echo"]
    assert slip(*argv) == (
        2,
        ["echoclip-r: recipe echoclip reads open_clip's own tokenizer; leave --tokenizer out"],
    )


@pytest.mark.parametrize("name", ["nowhere", "folder", "file.txt"])
@pytest.mark.parametrize("command", ["evaluate", "embed"])
def test_a_folder_without_a_run(slip, training_shards, command, name):
    """Nothing there, an empty folder, or a file: the message names what to give."""
    assert slip(command, name, "--shards", training_shards, "--out", "out") == (
        1,
        [
            f"echoclip-r: {name}: no checkpoint there; give the folder of a run (the --out of "
            "`echoclip-r train`) or one of its checkpoints"
        ],
    )


def test_a_checkpoint_of_a_newer_format(slip, untrained_folder, training_shards, tmp_path):
    """The version that wrote it has to be installed."""
    shutil.copytree(untrained_folder, tmp_path / "newer")
    described = tmp_path / "newer" / "echoclip_r.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | {"format": 99}))
    status, lines = slip("embed", "newer", "--shards", training_shards, "--out", "out")
    assert (status, len(lines)) == (1, 1)
    assert "newer: the checkpoint is of format 99" in lines[0]
    assert "; install the version that wrote it, echotok " in lines[0]


@pytest.mark.parametrize("device", ["cuda", "typo"])
def test_a_device_that_is_not_there(slip, untrained_folder, training_shards, device):
    """For training and for a model alike."""
    import torch

    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    embed = ["embed", untrained_folder, "--shards", training_shards, "--out", "out"]
    train = ["train", "--recipe", "echoclip-r", "--shards", training_shards, "--out", "run"]
    for command in (embed, train):
        status, lines = slip(*command, "--device", device)
        assert (status, len(lines)) == (2, 1)
        assert f"device '{device}" in lines[0]
        assert "give cpu (--device cpu)" in lines[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "m.csv: there is no such file; a manifest is a .csv or .parquet file"),
        ("", "m.csv: the file is empty; its first row must name the columns"),
        (
            "study_id,patient_id,video,report\n",
            "m.csv: no row below the header; a manifest has one row per clip",
        ),
    ],
)
@pytest.mark.parametrize("command", [["prepare", "--out", "out"], ["summary"]])
def test_a_manifest_without_rows(slip, command, content, message):
    """None, an empty one, and one with a header alone."""
    if content is not None:
        Path("m.csv").write_text(content)
    name, *options = command
    assert slip(name, "m.csv", *options) == (1, [f"echoclip-r: {message}"])
    assert not Path("out").exists()


def test_a_folder_in_place_of_a_manifest(slip):
    """It is said to be one."""
    assert slip("summary", "folder") == (
        1,
        ["echoclip-r: folder: this is a folder; name the .csv or .parquet file in it"],
    )


def test_an_unknown_column(slip, archive, untrained_folder):
    """`--column` means the reports' column, as for `echotok`."""
    Path("reports.csv").write_text("finding,pid\nMild MR.,1\n")
    retrieve = ["retrieve", untrained_folder, "--video", archive / "clip-00.avi"]
    assert slip(*retrieve, "--reports", "reports.csv", "--column", "nope") == (
        1,
        ["echoclip-r: reports.csv has no column 'nope'; it has: finding, pid"],
    )


@pytest.mark.parametrize(
    "command",
    [
        ["prepare", "ARCHIVE/manifest.csv", "--size", "32"],
        ["phantom", "--patients", "1"],
        [*TRAIN, "--shards", "SHARDS", "--set", "batch_size=8", "--set", "warmup_steps=2"],
        ["embed", "MODEL", "--shards", "SHARDS"],
        ["evaluate", "MODEL", "--shards", "SHARDS", "--draws", "10"],
    ],
)
def test_an_out_that_cannot_be_written(slip, archive, training_shards, untrained_folder, command):
    """A place below a file, where no folder can be, is named."""
    places = {"ARCHIVE": archive, "SHARDS": training_shards, "MODEL": untrained_folder}
    argv = []
    for argument in command:
        first, *rest = argument.split("/")
        argv.append("/".join([str(places.get(first, first)), *rest]))
    status, lines = slip(*argv, "--out", "file.txt/out")
    assert (status, len(lines)) == (1, 1)
    assert lines[0].startswith("echoclip-r: file.txt/out")


@pytest.mark.parametrize("name", ["sheet.txt", "sheet"])
def test_a_picture_has_a_pictures_name(slip, archive, name):
    """It is found out before the work, not after it."""
    status, lines = slip("preview", archive / "manifest.csv", "--out", name)
    assert status == 2
    assert lines[-1] == (
        f"echoclip-r preview: error: argument --out: '{name}' does not end in .html, .png or .jpg"
    )


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("torch", [*TRAIN, "--shards", "s", "--out", "o"]),
        ("open_clip", ["embed", "run", "--shards", "s", "--out", "o"]),
        ("av", ["phantom", "--patients", "1", "--out", "o"]),
        ("pandas", ["summary", "m.csv"]),
        ("pyarrow", ["embed", "run", "--shards", "s", "--out", "o"]),
        ("scipy", ["prepare", "m.csv", "--out", "o"]),
    ],
)
def test_a_missing_package_says_what_to_install(tmp_path, missing, command):
    """The extra that brings it, in one line."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from echoclip_r.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        f"echoclip-r: this command needs the Python package {missing}, which is not installed; "
        'pip install "echotok[echoclip-r]" installs everything that echoclip-r needs\n',
    )


def test_a_value_error_of_our_own_shows_itself(monkeypatch, tmp_path):
    """It is a bug, and no slip of a user."""
    from echoclip_r.data import manifest

    def broken(*_args, **_options):
        raise ValueError("a bug")

    monkeypatch.setattr(manifest, "read_manifest", broken)
    with pytest.raises(ValueError, match="a bug"):
        main(["summary", str(tmp_path / "m.csv"), "--tokenizer", "none"])


# Ctrl-C


def test_ctrl_c_in_train_tells_what_there_is(capsys, monkeypatch, tmp_path, training_shards):
    """What is kept, and that the same command goes on or begins anew, which it does."""
    from echoclip_r.training import log

    argv = [*TRAIN, "--shards", str(training_shards), "--out", str(tmp_path / "run")]
    for setting in ("batch_size=8", "epochs=2", "warmup_steps=1", "checkpoint_every_steps=3"):
        argv += ["--set", setting]
    steps = []

    def stop_at(number):
        def step(self, num=1):
            steps.append(num)
            if len(steps) == number:
                raise KeyboardInterrupt

        return step

    monkeypatch.setattr(log.RunLog, "step", stop_at(2))
    assert main(argv) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"echoclip-r: interrupted; {tmp_path / 'run'} holds no checkpoint yet; give the same "
        "command again to start over"
    )
    steps.clear()
    monkeypatch.setattr(log.RunLog, "step", stop_at(5))
    assert main(argv) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"echoclip-r: interrupted; {tmp_path / 'run' / 'checkpoints' / 'step-00000003'} is kept; "
        "give the same command again to continue from it"
    )
    monkeypatch.setattr(log.RunLog, "step", stop_at(0))
    assert main(argv) == 0
    assert capsys.readouterr().out.startswith("10 steps in ")


def test_ctrl_c_elsewhere(capsys, monkeypatch, tmp_path):
    """A command that keeps finished parts says so, another one that it keeps nothing."""
    from echoclip_r.data import manifest, preparation

    def stop(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(preparation, "prepare", stop)
    assert main(["prepare", "m.csv", "--out", str(tmp_path / "shards")]) == 130
    assert capsys.readouterr().err == (
        f"echoclip-r: interrupted; finished parts in {tmp_path / 'shards'} are kept; give the "
        "same command again to continue\n"
    )
    monkeypatch.setattr(manifest, "read_manifest", stop)
    assert main(["summary", "m.csv", "--tokenizer", "none"]) == 130
    assert capsys.readouterr().err == (
        "echoclip-r: interrupted; nothing of this run is kept; give the same command again to "
        "start over\n"
    )


def test_a_reader_that_leaves(archive):
    """`| head` ends the command without a word."""
    process = subprocess.Popen(
        [sys.executable, "-m", "echoclip_r", "summary", str(archive / "manifest.csv")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
