"""The command line as a whole, its inputs, and `encode` and `decode`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import REPORTS, Result, Run, lines_of, needs_clip, shell

import echotok
from echotok.cli import commands as cli_commands
from echotok.cli.main import make_parser
from echotok.engine.core import engine_in_use


@pytest.fixture
def table_file(tmp_path: Path) -> Path:
    """The same reports in a CSV file."""
    path = tmp_path / "reports.csv"
    rows = ['"' + text.replace('"', '""') + '"' for text in REPORTS]
    path.write_text("id,finding\n" + "".join(f"{n},{row}\n" for n, row in enumerate(rows)))
    return path


# The whole


def sub_parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in make_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def without_help(parser: argparse.ArgumentParser) -> list[str]:
    return [
        str(action.option_strings or action.dest) for action in parser._actions if not action.help
    ]


def test_every_option_has_help() -> None:
    """Each command says what it does, and each of its options and arguments too."""
    names = [name for name, _ in sub_parsers()]
    assert names == [
        "encode",
        "decode",
        "show",
        "stats",
        "findings",
        "mine",
        "review",
        "build",
        "export",
        "validate",
        "sample",
    ]
    for name, parser in sub_parsers():
        assert parser.description, name
        assert without_help(parser) == []
    assert [action.help for action in make_parser()._actions if action.option_strings]


def test_a_missing_help_would_be_found() -> None:
    """The check above can fail."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--silent")
    assert without_help(parser) == ["['--silent']"]


@pytest.mark.parametrize(
    "command",
    [
        "encode",
        "decode",
        "show",
        "stats",
        "findings",
        "mine",
        "review",
        "build",
        "export",
        "validate",
        "sample",
    ],
)
def test_help_and_bad_usage(run: Run, command: str) -> None:
    """`--help` goes to stdout with code 0; an unknown option goes to stderr with code 2."""
    helped = run(command, "--help")
    assert helped.code == 0
    assert helped.out.startswith(f"usage: echotok {command}")
    wrong = run(command, "--no-such-option")
    assert wrong.code == 2
    assert wrong.out == ""
    assert "usage:" in wrong.err


def test_no_command_is_bad_usage(run: Run) -> None:
    """Without a command the usage goes to stderr with code 2."""
    result = run()
    assert result.code == 2
    assert "COMMAND" in result.err


def test_version(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--version` prints the package's, and the engine that encodes."""
    line = f"echotok {echotok.__version__} ({engine_in_use()})\n"
    assert run("--version") == Result(0, line, "")
    monkeypatch.setenv("ECHOTOK_ENGINE", "python")
    line = f"echotok {echotok.__version__} (Python engine, as ECHOTOK_ENGINE asks for)\n"
    assert run("--version") == Result(0, line, "")


def test_help_imports_little() -> None:
    """`--help` needs neither rich nor numpy, so that it comes at once."""
    code = (
        "import sys; from echotok.cli.main import main; main(['--help'])\n"
        "print(sorted({'rich', 'numpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_dash_m(jsonl: Path) -> None:
    """`python -m echotok` is the command line, with its exit codes."""
    result = shell("encode", jsonl)
    assert (result.code, result.out) == (0, lines_of(REPORTS))
    assert "1 of 4 reports are missing (blank, null or NaN); each is taken as an" in result.err
    assert shell("encode", "--column").code == 2


def test_interrupt(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C gives one line and code 130."""

    def stop(_: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_commands, "validate", stop)
    assert run("validate", "anywhere") == Result(
        130, "", "echotok: interrupted; nothing of this run is kept\n"
    )


def test_broken_pipe(tmp_path: Path) -> None:
    """When the reader leaves, the command ends without a word."""
    path = tmp_path / "many.txt"
    path.write_text("Mild mitral regurgitation.\n" * 50_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "echotok", "encode", "--lines", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stdout, process.stderr:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


# Inputs


def test_stdin(run: Run) -> None:
    """Without files, and as `-`, stdin is one report; with `--lines` each line is one."""
    raw = "Mild MR.\n\nNo AS. \U0001f600\n"
    whole = lines_of([raw])
    assert run("encode", stdin=raw.encode()) == Result(0, whole, "")
    assert run("encode", "-", stdin=raw.encode()).out == whole
    assert run("encode", "--lines", stdin=raw.encode()).out == lines_of(
        ["Mild MR.", "No AS. \U0001f600"]
    )


def test_files_and_folders(run: Run, tmp_path: Path) -> None:
    """A text file is a report, and a folder is all of its text files in order."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("Mild MR.")
    (tmp_path / "in" / "deep" / "b.txt").write_text("No AS.")
    (tmp_path / "in" / "notes.md").write_text("not a report")
    assert run("encode", tmp_path / "in").out == lines_of(["Mild MR.", "No AS."])
    both = run("encode", "--json", tmp_path / "in" / "a.txt", tmp_path / "in" / "deep")
    assert [json.loads(line)["source"] for line in both.out.splitlines()] == [
        str(tmp_path / "in" / "a.txt"),
        str(tmp_path / "in" / "deep" / "b.txt"),
    ]


def test_columns(run: Run, jsonl: Path, table_file: Path) -> None:
    """`--column` picks a column of a CSV file or a key of a JSON Lines file."""
    assert run("encode", jsonl).out == lines_of(REPORTS)
    assert run("encode", jsonl, "--column", "other").out == lines_of(["No AS."] * 4)
    assert run("encode", table_file, "--column", "finding").out == lines_of(REPORTS)


@pytest.mark.parametrize("command", ["encode", "show", "stats"])
def test_wrong_column(run: Run, jsonl: Path, table_file: Path, command: str) -> None:
    """A column that is not there is an error that lists those that are, and quotes no report."""
    result = run(command, table_file, "--column", "nope")
    assert result.code == 1
    assert result.err == f"echotok: {table_file} has no column 'nope'; it has: id, finding\n"
    result = run(command, table_file)
    assert "no column text or report" in result.err
    assert "--column" in result.err
    result = run(command, jsonl, "--column", "nope")
    assert "has no column 'nope' in line 1; it has: text, other" in result.err


@pytest.mark.parametrize("command", ["encode", "show", "stats"])
def test_a_column_of_plain_text_is_bad_usage(run: Run, tmp_path: Path, command: str) -> None:
    """`--column` where no input has columns would be ignored, so it is refused."""
    (tmp_path / "a.txt").write_text("x")
    for arguments in ([], [str(tmp_path / "a.txt")]):
        result = run(command, *arguments, "--column", "text")
        assert result.code == 2
        assert "no input is such a file (stdin is plain text)" in result.err


def test_not_utf8(run: Run, tmp_path: Path) -> None:
    """Text in another encoding is refused with byte and line, not guessed at."""
    path = tmp_path / "latin.txt"
    path.write_bytes(b"fine\ngradient 5 \xb5m, Mr Example")
    result = run("encode", path)
    assert result.code == 1
    assert f"{path} is not UTF-8 at byte 16 (line 2)" in result.err
    assert "iconv" in result.err
    assert "Example" not in result.err
    assert "stdin is not UTF-8 at byte 0" in run("encode", stdin=b"\xff").err


def test_empty_inputs(run: Run, tmp_path: Path) -> None:
    """An empty text is a report of BOS and EOS; an empty JSON Lines file holds no report."""
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "a.jsonl").write_text("")
    assert run("encode", tmp_path / "a.txt").out == lines_of([""])
    assert run("encode", tmp_path / "a.jsonl") == Result(0, "", "")
    assert run("show", tmp_path / "a.jsonl").code == 0
    result = run("stats", tmp_path / "a.jsonl")
    assert result.code == 1
    assert result.err == ("echotok: the inputs hold no report: there is nothing to measure\n")
    assert run("stats", tmp_path / "a.txt").code == 0


def test_missing_files(run: Run, tmp_path: Path) -> None:
    """A missing file is named before anything is read; a text given for one is not repeated."""
    assert run("encode", tmp_path / "no.txt", "-", stdin=b"x") == Result(
        1,
        "",
        f"echotok: no such file or folder: {tmp_path / 'no.txt'}; to encode a text itself, pipe "
        "it to stdin\n",
    )
    for text in ("Mr Example has mild MR", "Example" * 100, "Example\0"):
        result = run("encode", "-", text)
        assert result.code == 1
        if "\0" not in text:
            assert "input 2" in result.err
            assert "Example" not in result.err


def test_unreadable_file(run: Run, tmp_path: Path) -> None:
    """What the system refuses is named with the system's reason, without a traceback."""
    result = run("decode", tmp_path)
    assert result == Result(1, "", f"echotok: cannot read {tmp_path}: Is a directory\n")
    result = run("show", "--html", tmp_path / "no" / "page.html", stdin=b"x")
    assert result.err == f"echotok: {tmp_path / 'no' / 'page.html'}: No such file or directory\n"


def test_a_folder_without_texts(run: Run, tmp_path: Path) -> None:
    """A folder without text files is an error, not an empty corpus."""
    assert "holds no *.txt file" in run("encode", tmp_path).err


# encode and decode


@pytest.mark.parametrize("name", ["echo", pytest.param("echo-clip", marks=needs_clip)])
def test_encode_then_decode(run: Run, jsonl: Path, name: str) -> None:
    """Ids go through a pipe and come back as the normalized text, a line a report."""
    tok = echotok.load(name)
    expected = "".join(tok.normalize(text) + "\n" for text in REPORTS)
    encoded = run("encode", "--tokenizer", name, jsonl)
    assert encoded.out == lines_of(REPORTS, name)
    assert run("decode", "--tokenizer", name, stdin=encoded.out.encode()).out == expected
    as_json = run("encode", "--json", "--tokenizer", name, jsonl)
    assert run("decode", "--tokenizer", name, stdin=as_json.out.encode()).out == expected


def test_encode_json(run: Run, jsonl: Path) -> None:
    """`--json` gives an object a report with what `Encoding` says."""
    records = [json.loads(line) for line in run("encode", "--json", jsonl).out.splitlines()]
    assert len(records) == len(REPORTS)
    for number, (record, text) in enumerate(zip(records, REPORTS, strict=True), 1):
        encoding = echotok.load("echo").encode(text)
        assert record == {
            "source": f"{jsonl}:{number}",
            "ids": encoding.ids,
            "tokens": encoding.tokens,
            "offsets": [list(span) if span else None for span in encoding.offsets],
            "kinds": encoding.kinds,
            "num_dropped": 0,
        }


def test_context_length(run: Run, jsonl: Path) -> None:
    """`--context-length` cuts between units and says how much was lost."""
    result = run("encode", "--json", "--context-length", "6", jsonl)
    tok = echotok.load("echo")
    cut = [tok.encode(text).truncate(6) for text in REPORTS]
    records = [json.loads(line) for line in result.out.splitlines()]
    assert [record["ids"] for record in records] == [encoding.ids for encoding in cut]
    assert [record["num_dropped"] for record in records] == [e.num_dropped for e in cut]
    dropped = sum(encoding.num_dropped for encoding in cut)
    number = sum(encoding.num_dropped > 0 for encoding in cut)
    assert number > 1
    told = result.err.splitlines()
    assert (
        told[-1] == f"echotok: {number} of 4 reports were cut to 6 ids; {dropped} ids were dropped"
    )
    assert len(told) == 2  # the other one is of the report that is missing
    assert "cut to" not in run("encode", "--context-length", "10000", jsonl).err


def test_a_cut_inside_a_unit_is_said(run: Run) -> None:
    """A single unit that is longer than the context is cut, and counted as such."""
    result = run("encode", "--context-length", "4", stdin="\U0001f600".encode() * 9)
    assert len(result.out.split()) == 4
    assert "1 of 1 reports were cut to 4 ids, 1 inside a unit;" in result.err


@pytest.mark.parametrize("length", ["2", "-1", "x", "", "7.5", "\u0665", "9" * 5000])
def test_bad_context_length(run: Run, length: str) -> None:
    """A context length below three, or no whole number, is bad usage."""
    result = run("encode", f"--context-length={length}")
    assert result.code == 2
    assert "is not a whole number of at least 3" in result.err


def test_refuse_control(run: Run, tmp_path: Path) -> None:
    """`--refuse-control` stops at a literal special token, naming the report; else it is text."""
    path = tmp_path / "a.txt"
    path.write_text("Mr Example\nan <EOS> in text")
    assert run("encode", "--lines", path).code == 0
    result = run("encode", "--lines", "--refuse-control", path)
    assert result.code == 1
    assert f"{path}:2: the text holds the literal '<eos>' at offset 3" in result.err
    assert "Example" not in result.err
    assert len(result.out.splitlines()) == 1


def test_a_line_of_ten_megabytes(run: Run) -> None:
    """A very long line is a report like any other."""
    sentence = "Mild mitral regurgitation, the LVEF is 55%. "
    raw = (sentence * (10_000_000 // len(sentence) + 1)).encode()
    assert len(raw) > 10_000_000
    result = run("encode", "--lines", stdin=raw)
    assert (result.code, result.err) == (0, "")
    assert result.out.count("\n") == 1
    single = len(lines_of([sentence]).split()) - 2
    assert len(result.out.split()) == 2 + single * (len(raw) // len(sentence))


def test_lone_surrogates(run: Run, tmp_path: Path) -> None:
    """JSON can hold half a character; every command takes it and none breaks off."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a \\ud800 b"}\n')
    encoded = run("encode", path)
    assert run("decode", stdin=encoded.out.encode()).out == "a \\ud800 b\n"
    assert "\ufffd" in run("show", path).out
    assert run("show", "--html", tmp_path / "p.html", path).code == 0
    assert run("stats", path).code == 0


def test_decode_takes_several_forms(run: Run, tmp_path: Path) -> None:
    """Ids, a JSON list and a JSON object mean the same, and an empty line stays a line."""
    tok = echotok.load("echo")
    ids = tok.encode("Mild MR.").ids
    path = tmp_path / "ids.txt"
    path.write_text(
        f"{' '.join(map(str, ids))}\n\n  {json.dumps(ids)}\n{json.dumps({'ids': ids})}\n"
    )
    assert run("decode", path).out == "mild mr.\n\nmild mr.\nmild mr.\n"
    assert run("decode", path, "-", stdin=b"1\n").out.endswith("mild mr.\n\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 99999999", "id 99999999 at position 1 is out of range"),
        ("1 -5", "id -5 at position 1 is out of range"),
        ("Mr Example", "the line is neither ids nor JSON"),
        ("1" * 5000, "the line is neither ids nor JSON"),
        ("[" * 100_000, "the line is neither ids nor JSON"),
        ('{"ids": [1, "Example"]}', "position 1 holds a str, not an id"),
        ('{"ids": [true]}', "position 0 holds a bool, not an id"),
        ('{"text": "Mr Example"}', "the JSON object has no list 'ids'"),
    ],
)
def test_decode_errors(run: Run, line: str, message: str) -> None:
    """What is not an id of this tokenizer is named by line and position, not quoted."""
    result = run("decode", stdin=f"1\n{line}\n".encode())
    assert result.code == 1
    assert result.out == "\n"
    assert f"echotok: stdin: line 2: {message}" in result.err
    assert "Example" not in result.err


def test_decode_of_other_bytes(run: Run) -> None:
    """Bytes that are no text are an error like any other."""
    assert "stdin: line 1: the line is neither" in run("decode", stdin=b"\xff\xfe1\n").err
    assert "stdin: line 1: the line is neither" in run("decode", stdin=b"[\xff]\n").err


# The tokenizer


def test_tokenizers(run: Run, tmp_path: Path, small_tok: echotok.Tokenizer) -> None:
    """`--tokenizer` takes the path of an artifact; an unknown one is an error that lists ours."""
    path = tmp_path / "small.json"
    small_tok.save(path)
    expected = " ".join(map(str, small_tok.encode("Mild MR").ids)) + "\n"
    assert run("encode", "--tokenizer", path, stdin=b"Mild MR").out == expected
    result = run("encode", "--tokenizer", "nope", stdin=b"x")
    assert result.code == 1
    assert "no tokenizer 'nope': echotok ships echo, echo-clip" in result.err
    (tmp_path / "bad.json").write_text("{}")
    assert "is not a tokenizer artifact" in run("stats", "--tokenizer", tmp_path / "bad.json").err


@needs_clip
def test_clip_merges(run: Run, tmp_path: Path, jsonl: Path) -> None:
    """`--clip-merges` takes the published file from anywhere, and no other file."""
    import open_clip

    found = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    copy = tmp_path / "merges.gz"
    copy.write_bytes(found.read_bytes())
    assert run("encode", "--tokenizer", "echo-clip", "--clip-merges", copy, jsonl).code == 0
    assert "CLIP BPE" in run("show", "--clip-merges", copy, jsonl).out
    copy.write_bytes(b"other")
    for command in ("show", "stats"):
        result = run(command, "--clip-merges", copy, jsonl)
        assert result.code == 1
        assert "is not the published merges file" in result.err


def test_without_clip(run: Run, jsonl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CLIP's merges `show` and `stats` work and leave CLIP's figures out."""

    def missing(path: object = None) -> None:
        raise echotok.MergesError("not here")

    monkeypatch.setattr("echotok.clip_merges.clip_merges", missing)
    monkeypatch.setattr("echotok.coverage.clip_merges", missing)
    assert "CLIP" not in run("show", jsonl).out
    text = run("stats", jsonl).out
    assert "not counted: install open_clip_torch" in text
    assert "longest report" in text
    figures = json.loads(run("stats", "--json", jsonl).out)
    assert figures["clip_tokens"] is None
    assert figures["ratio"] is None
    assert figures["worst"]["clip_tokens"] is None
