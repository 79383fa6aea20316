"""The command line: results to stdout, messages to stderr, and the exit status."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from echoclip_r.cli.main import build_parser, main
from echoclip_r.training.recipes import RECIPES


@pytest.fixture
def run(capsys):
    """Run a command in this process: exit status, stdout, stderr."""

    def command(*argv):
        try:
            status = main([str(argument) for argument in argv])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


def prepare(archive, out, *others):
    fixed = ["--workers", "0", "--size", "32", "--frames", "3", "--min-free-gb", "0"]
    return ["prepare", archive / "manifest.csv", "--out", out, *fixed, *others]


def test_prepare_says_what_it_made(run, archive, tmp_path):
    """One line for people, and what a mask cannot do; what was ignored goes to stderr."""
    status, out, err = run(*prepare(archive, tmp_path / "out"))
    assert status == 0
    first, second = out.splitlines()
    assert first == f"12 clips (36 frames) of 6 studies in 2 shards: {tmp_path / 'out'}"
    assert second.startswith("Lettering inside of a sector stays in its frames")
    assert "clips were finished" not in err
    status, out, _ = run(*prepare(archive, tmp_path / "out"))
    assert "12 of the clips were finished by an earlier run" in out


def test_prepare_gives_json_to_machines(run, archive, tmp_path):
    """Nothing else is on stdout."""
    status, out, _ = run(*prepare(archive, tmp_path / "out", "--json"))
    assert status == 0
    assert json.loads(out) == {
        "out_dir": str(tmp_path / "out"),
        "num_clips": 12,
        "num_frames": 36,
        "num_studies": 6,
        "num_shards": 2,
        "num_rejects": 0,
        "num_remarks": 0,
        "num_unsure": 0,
        "num_given": 0,
        "num_settled": 0,
        "unused_rows_of_sectors": [],
        "reasons": [],
        "num_resumed": 0,
    }


def test_rejects_are_counted_and_pointed_to(run, tmp_path, helpers):
    """Exit status 0: the rest went through."""
    rows = helpers.archive_rows(3)
    for row in rows[:2]:
        helpers.write_video(tmp_path / row["video"], helpers.fan_frames(16))
    helpers.write_manifest(tmp_path / "manifest.csv", rows)
    status, out, _ = run(*prepare(tmp_path, tmp_path / "out"))
    assert status == 0
    assert f"1 rows were left out; {tmp_path / 'out' / 'rejects.csv'} says why" in out


def test_an_error_is_one_message_and_status_1(run, archive, tmp_path):
    """No traceback: the message itself says what to do."""
    status, out, err = run("prepare", tmp_path / "none.csv", "--out", tmp_path / "out")
    assert (status, out) == (1, "")
    assert err.startswith(f"echoclip-r: {tmp_path / 'none.csv'}: there is no such file")
    assert "Traceback" not in err
    run(*prepare(archive, tmp_path / "out"))
    status, _, err = run(*prepare(archive, tmp_path / "out", "--seed", "1"))
    assert status == 1
    assert "another run (seed 0, now 1)" in err
    status, _, _ = run(*prepare(archive, tmp_path / "out", "--seed", "1", "--overwrite"))
    assert status == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["prepare"], "the following arguments are required: manifest, --out"),
        (["prepare", "m.csv", "--out", "o", "--format", "gif"], "invalid choice: 'gif'"),
        (["prepare", "m.csv", "--out", "o", "--size", "7"], "size_px is 7; it must be 16 to 2048"),
        (
            ["prepare", "m.csv", "--out", "o", "--workers", "-1"],
            "--workers: '-1' is not a whole number of",
        ),
        (["summary", "m.csv", "--json", "--html"], "not allowed with argument --json"),
        (["preview", "m.csv", "--out", "o.png", "--num", "0"], "--num: '0' is not a whole number"),
        (["phantom", "--patients", "0", "--out", "o"], "--patients: '0' is not a whole number of"),
    ],
)
def test_wrong_usage_is_status_2(run, tmp_path, monkeypatch, argv, message):
    """Whether argparse or the function itself finds it."""
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*argv)
    assert (status, out) == (2, "")
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_hashed_ids_take_their_salt_from_a_file(run, archive, tmp_path):
    """Not from the command line, where every user of the machine can read it."""
    status, _, err = run(*prepare(archive, tmp_path / "out", "--hash-ids", tmp_path / "salt"))
    assert status == 1
    assert "the salt cannot be read (FileNotFoundError); make one with `openssl rand" in err
    (tmp_path / "salt").write_text("0123456789abcdef0123456789abcdef\n")
    status, _, _ = run(*prepare(archive, tmp_path / "out", "--hash-ids", tmp_path / "salt"))
    assert status == 0
    assert json.loads((tmp_path / "out" / "index.json").read_text())["options"]["hash_ids"]
    assert b"PATIENT-" not in (tmp_path / "out" / "train-000000.tar").read_bytes()


def test_named_labels_only(run, archive, tmp_path):
    """`--labels` takes names with commas between them; an empty list takes none."""
    status, _, err = run(*prepare(archive, tmp_path / "out", "--labels", "ef, lvef"))
    assert status == 1
    assert "row 1 has no column 'lvef'" in err
    run(*prepare(archive, tmp_path / "out", "--labels", ""))
    assert json.loads((tmp_path / "out" / "index.json").read_text())["options"]["labels"] == []


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ([], "Manifest manifest.csv\n===="),
        (["--markdown"], "# Manifest manifest.csv\n"),
        (["--html"], "<!DOCTYPE html>"),
    ],
)
def test_summary_prints_a_page(run, archive, form, start):
    """As text, Markdown or HTML, with token counts by the shipped tokenizer."""
    status, out, _ = run("summary", archive / "manifest.csv", *form)
    assert status == 0
    assert out.startswith(start)
    assert "echo tokens" in out
    assert "ejection fraction" not in out


def test_summary_without_a_tokenizer_and_as_json(run, archive, tmp_path, helpers):
    """A machine gets the figures; an unknown tokenizer is named with the way around."""
    status, out, _ = run("summary", archive / "manifest.csv", "--tokenizer", "none", "--json")
    assert status == 0
    assert json.loads(out)["splits"]["all"]["num_clips"] == 12
    assert "echo tokens" not in out
    status, _, err = run("summary", archive / "manifest.csv", "--tokenizer", "nope")
    assert status == 1
    assert "no tokenizer 'nope'" in err
    assert "`--tokenizer none` counts no tokens" in err


def test_summary_lists_rejects_on_request(run, tmp_path, helpers):
    """With row, column and reason, on stderr."""
    helpers.write_manifest(tmp_path / "m.csv", helpers.archive_rows(2))
    _, out, err = run("summary", tmp_path / "m.csv", "--tokenizer", "none", "--rejects")
    assert "row 2, video: there is no such file or folder" in err
    assert "row 3, video: there is no such file or folder" in err
    assert "Rows left out" in out


def test_preview_draws_a_sheet_of_a_manifest(run, archive, tmp_path):
    """So many clips as asked for, called by their row."""
    sheet = tmp_path / "sheet.png"
    status, out, _ = run("preview", archive / "manifest.csv", "--out", sheet, "--num", "4")
    assert status == 0
    assert out == f"4 clips, 0 of them unsure: {sheet}\n"
    with Image.open(sheet) as image:
        assert image.width > 600


def test_preview_draws_clips_and_names_what_it_cannot_read(run, archive, tmp_path):
    """A bad clip does not keep the others from the sheet; only bad ones are an error."""
    (tmp_path / "bad.avi").touch()
    good, bad = archive / "clip-00.avi", tmp_path / "bad.avi"
    status, out, _ = run("preview", good, bad, "--out", tmp_path / "sheet.png")
    assert status == 0
    assert "1 clips, 0 of them unsure" in out
    assert "bad.avi: the file is empty (0 bytes)" in out
    status, _, err = run("preview", bad, "--out", tmp_path / "other.png")
    assert status == 1
    assert "none of 1 clips can be read; the first: bad.avi: the file is empty" in err
    status, _, err = run("preview", good, "--out", tmp_path / "none" / "sheet.png")
    assert status == 1
    assert err == f"echoclip-r: {tmp_path / 'none' / 'sheet.png'}: No such file or directory\n"


def test_a_phantom_archive_goes_through_prepare(run, tmp_path):
    """The simulated archive is read by the same code as a real one."""
    status, out, _ = run("phantom", "--patients", "2", "--out", tmp_path / "p", "--size", "64")
    assert status == 0
    assert "2 simulated patients" in out
    status, out, _ = run(*prepare(tmp_path / "p", tmp_path / "shards", "--keep-unsure", "--json"))
    assert status == 0
    assert json.loads(out)["num_rejects"] == 0


def test_every_option_is_explained():
    """A command or option without a word of help is one that nobody finds."""
    commands = build_parser()._subparsers._group_actions[0]
    ours = ["prepare", "summary", "preview", "phantom", "embed", "retrieve"]
    assert set(ours) <= set(commands.choices)
    for command in commands.choices.values():
        assert command.description
        for option in command._actions:
            assert option.help, f"{command.prog} {option.dest}"


def test_every_recipe_can_be_asked_for():
    """The parser names the recipes itself, since reading them takes torch's seconds."""
    train = build_parser()._subparsers._group_actions[0].choices["train"]
    named = next(option for option in train._actions if option.dest == "recipe")
    assert list(named.choices) == list(RECIPES)
    assert all(f"{recipe}: " in named.help for recipe in RECIPES)


def test_help_is_instant():
    """No command's imports are made for the parser: torch, pandas and av take seconds."""
    code = (
        "import sys, echoclip_r.cli.main as cli; cli.build_parser();"
        "print([n for n in ('torch', 'pandas', 'av', 'scipy', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_python_m_runs_the_same_command():
    """Where the scripts' folder is not on the path."""
    command = [sys.executable, "-m", "echoclip_r", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: echoclip-r")
