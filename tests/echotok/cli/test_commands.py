"""The sub-commands `show`, `stats`, `build` and `validate`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import REPORTS, Result, Run, needs_clip, shell

import echotok
from echotok.cli.console import progress

# show


def test_show(run: Run, jsonl: Path, tmp_path: Path, small_tok: echotok.Tokenizer) -> None:
    """`show` prints the legend and each report marked, without colour when it is piped."""
    small_tok.save(tmp_path / "small.json")
    result = run("show", "--tokenizer", tmp_path / "small.json", jsonl)
    assert result.code == 0
    assert result.out.startswith("[phrase]  <value>  BPE\u00b7pieces")
    assert "\x1b" not in result.out
    assert "[<Mild>  mitral regurgitation] ." in result.out
    for number in range(1, 5):
        assert f"{jsonl}:{number}  " in result.out


def test_show_keeps_long_lines(run: Run) -> None:
    """A pipe gets each line of a report as one line."""
    result = run("show", stdin=b"word " * 500)
    assert len(result.out.splitlines()) == 3


def test_show_limit(run: Run, jsonl: Path) -> None:
    """`--limit` shows the first reports and leaves the rest."""
    result = run("show", "--limit", "2", jsonl)
    assert f"{jsonl}:2  " in result.out
    assert f"{jsonl}:3  " not in result.out


def test_show_cut(run: Run, jsonl: Path) -> None:
    """`--context-length` shows what would not fit."""
    result = run("show", "--context-length", "5", jsonl)
    assert "more did not fit" in result.out
    assert "3 of 4 reports were cut to 5 ids" in result.err


def test_show_in_colour(jsonl: Path) -> None:
    """FORCE_COLOR gives colours to a pipe (`less -R`)."""
    told = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    told |= {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "echotok", "show", str(jsonl)]
    done = subprocess.run(command, capture_output=True, text=True, env=told, check=True)
    assert "\x1b[1;36m" in done.stdout


def test_show_html(run: Run, jsonl: Path, tmp_path: Path) -> None:
    """`--html` writes one page to a file, with a word of care, or to stdout."""
    path = tmp_path / "page.html"
    result = run("show", "--html", path, jsonl)
    assert (result.code, result.out) == (0, "")
    told = result.err.splitlines()
    assert told[-1] == f"wrote {path}; it holds the reports' text: keep it as safe as the reports"
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<section>") == 4
    assert "\U0001f600" in page
    assert run("show", "--html", "-", jsonl).out == page


def test_markup_in_a_report_stays_text(run: Run, tmp_path: Path) -> None:
    """A report that holds a script is shown, not run; so is a terminal's escape sequence."""
    raw = b"<script>alert(1)</script> [red]x[/red] \x1b[31m"
    assert run("show", "--html", "-", stdin=raw).out.count("<script>") == 1
    shown = run("show", stdin=raw).out
    assert "\x1b" not in shown
    assert "red" in shown


# stats


@needs_clip
def test_stats_text(run: Run, jsonl: Path) -> None:
    """The text names every figure that was asked of it."""
    result = run("stats", jsonl)
    left_out = "1 of 4 reports are missing (blank, null or NaN); they were left out"
    assert result.code == 0
    assert left_out in result.err
    for words in (
        "echo (table echo",
        "reports             3",
        "CLIP BPE",
        "mean",
        "median",
        "95th percentile",
        "ratio",
        f"worst report        {jsonl}:",
        "phrases",
        "values",
        "BPE",
        "64 ids: 100.0% (3),  77 ids: 100.0% (3),  128 ids: 100.0% (3)",
        "nothing: 3 of 3 decode exactly",
        "Most costly uncovered stretches, in 5 reports or more\n(none)",
        "a text that few reports hold may be a patient's own",
        "--min-reports N",
    ):
        assert words in result.out


@needs_clip
def test_stats_json(run: Run, jsonl: Path) -> None:
    """`--json` gives the same figures, and they are those of the library."""
    from echotok.coverage import measure, summarize

    tok = echotok.load("echo")
    figures = json.loads(run("stats", "--json", jsonl).out)
    stats = measure([report for report in REPORTS if report.strip()], tok)
    assert figures["tokenizer"] == {
        "name": "echo",
        "fingerprint": tok.fingerprint,
        "vocab_size": tok.vocab_size,
        "table": tok.table.name,
        "table_version": tok.table.version,
    }
    assert figures["num_reports"] == 3
    assert figures["num_lossy"] == 0
    tokens = {**summarize(stats.lengths), "max": max(stats.lengths), "total": sum(stats.lengths)}
    assert figures["tokens"] == tokens
    assert figures["clip_tokens"]["total"] == sum(stats.clip_lengths)
    assert figures["ratio"] == pytest.approx(stats.ratio)
    assert figures["worst"]["share_of_clip"] == pytest.approx(stats.worst_ratio)
    at = int(figures["worst"]["source"].rpartition(":")[2]) - 1
    assert figures["worst"]["tokens"] == stats.lengths[at]
    assert figures["character_shares"] == pytest.approx(stats.shares())
    assert figures["fitting"] == {"64": 1.0, "77": 1.0, "128": 1.0}
    assert figures["min_reports"] == 5
    assert figures["stretches"] == []


def test_stretches(run: Run, tmp_path: Path) -> None:
    """A stretch is shown from `--min-reports` reports on, `--top` of them, dearest first."""
    path = tmp_path / "a.txt"
    path.write_text("Qwerty uiop asdf.\n" * 6 + "Zxcvb nm.\n" * 5 + "Mr Xylophon Example.\n" * 2)
    five = run("stats", "--lines", path).out
    assert "qwerty uiop asdf." in five
    assert five.index("qwerty uiop") < five.index("zxcvb nm")
    assert "xylophon" not in five
    one = run("stats", "--lines", "--top", "1", path).out
    assert "zxcvb" not in one
    low = run("stats", "--lines", "--min-reports", "1", path).out
    assert "mr xylophon example" in low
    assert "in 1 report or more" in low
    assert "Rarer ones" not in low
    figures = json.loads(run("stats", "--lines", "--json", "--min-reports", "2", path).out)
    assert figures["stretches"][0]["num_reports"] == 6
    assert all(stretch["tokens_saved"] > 0 for stretch in figures["stretches"])
    none = json.loads(run("stats", "--lines", "--json", "--top", "0", path).out)
    assert none["stretches"] == []


def test_workers(tmp_path: Path) -> None:
    """Two processes give the figures of one, in the same order."""
    path = tmp_path / "many.txt"
    texts = [f"Mild mitral regurgitation, gradient {n} mmHg, case {n * 7}.\n" for n in range(300)]
    path.write_text("".join(texts))
    one = shell("stats", "--json", "--lines", path)
    assert one.code == 0
    assert shell("stats", "--json", "--lines", "--workers", "2", path) == one
    assert shell("stats", "--workers", "0", path).code == 2


def test_a_loss_is_an_error(run: Run, jsonl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a report ever failed to come back, `stats` would say so and end with code 1."""
    monkeypatch.setattr(echotok.Tokenizer, "decode", lambda self, ids: "something else")
    result = run("stats", jsonl)
    assert result.code == 1
    assert "3 reports do not decode to their normalized text" in result.out


def test_progress_only_for_a_person(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar goes to stderr when it is a terminal, and nowhere else."""
    with progress() as told:
        told("measuring", count=1)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with progress() as told:
        told("measuring", count=1234)
        told("choosing phrases", 0.5)
    out, err = capsys.readouterr()
    assert out == ""
    assert "measuring" in err
    assert "1,234 reports" in err
    assert "choosing phrases" in err


# build and validate


def test_build(run: Run, small_table: Path, tmp_path: Path, small_tok: echotok.Tokenizer) -> None:
    """`build` writes an artifact that loads, and says what is in it."""
    out = tmp_path / "out.json"
    result = run("build", small_table, "--out", out)
    assert (result.code, result.out) == (0, "")
    tok = echotok.load(out)
    assert tok.fingerprint == small_tok.fingerprint
    assert result.err == (
        f"wrote {out}: small, 4 phrases, {tok.vocab_size:,} ids, fingerprint "
        f"{tok.fingerprint[:12]}\n"
    )


def test_build_with_a_corpus(run: Run, small_table: Path, tmp_path: Path) -> None:
    """The corpus trains the BPE with words of enough documents, from the column that was named."""
    corpus = tmp_path / "corpus.jsonl"
    rows = [{"body": "quadricuspid"}] * 3
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out.json"

    def cost(*options: str) -> int:
        arguments = ("--corpus", str(corpus), "--column", "body", *options)
        result = run("build", small_table, "--out", out, "--force", *arguments)
        assert result.code == 0
        return len(echotok.load(out).encode("quadricuspid"))

    assert cost("--min-documents", "3") < cost() == cost("--min-documents", "4")
    assert run("build", small_table, "--out", out, "--corpus", corpus).code == 1
    assert "no such file or folder" in run("build", small_table, "--out", out, "--corpus", "no").err


@needs_clip
def test_build_over_clip(run: Run, small_table: Path, tmp_path: Path) -> None:
    """`--fallback clip` keeps CLIP's ids, and `--name` names the tokenizer."""
    out = tmp_path / "out.json"
    assert run("build", small_table, "--fallback", "clip", "--out", out).code == 0
    assert echotok.load(out).name == "small-clip"
    assert echotok.load(out).bos_id == 49406
    assert run("build", small_table, "--fallback", "clip", "--name", "ours", "--out", out).code == 0
    assert echotok.load(out).name == "ours"
    (tmp_path / "merges.gz").write_bytes(b"other")
    merges = ("--clip-merges", tmp_path / "merges.gz")
    result = run("build", small_table, "--fallback", "clip", *merges, "--out", out)
    assert result.code == 1
    assert "is not the published merges file" in result.err


def test_build_usage(run: Run, small_table: Path, tmp_path: Path) -> None:
    """Options that would be ignored, and a missing `--out`, are bad usage."""
    out = str(tmp_path / "out.json")
    (tmp_path / "c.txt").write_text("x")
    corpus = ("--corpus", str(tmp_path / "c.txt"))
    assert run("build", small_table).code == 2
    assert run("build", small_table, "--out", out, "--fallback", "clip", *corpus).code == 2
    result = run("build", small_table, "--out", out, "--column", "text", *corpus)
    assert result.code == 2
    assert "--column is for tables" in result.err
    assert run("build", small_table, "--out", out, "--fallback", "none").code == 2
    assert run("build", small_table, "--out", out, "--min-documents", "0").code == 2
    assert not Path(out).exists()


def test_build_refuses_a_broken_table(run: Run, small_table: Path, tmp_path: Path) -> None:
    """A table with a broken rule gives no artifact, and the rule with file and line."""
    with (small_table / "all.csv").open("a") as file:
        file.write("1,severe aortic stenosis,1.1.0,,\n")
    result = run("build", small_table, "--out", tmp_path / "out.json")
    assert result.code == 1
    assert f"{small_table / 'all.csv'}:7: reused-id: id 1 is already used" in result.err
    assert not (tmp_path / "out.json").exists()
    missing = run("build", tmp_path / "nowhere", "--out", tmp_path / "out.json")
    assert "table.toml: missing-file" in missing.err


def test_build_to_nowhere(run: Run, small_table: Path, tmp_path: Path) -> None:
    """An output path that cannot be written is named, without a traceback."""
    result = run("build", small_table, "--out", tmp_path / "no" / "out.json")
    assert result.code == 1
    assert "No such file or directory" in result.err
    assert "Traceback" not in result.err


def test_validate(run: Run, small_table: Path) -> None:
    """A good table gives one line of figures; the shipped table is a good one."""
    assert run("validate", small_table) == Result(
        0, f"{small_table}: 4 live phrases, 1 retired, 2 values, version 1.1.0\n", ""
    )
    shipped = Path(__file__).parents[3] / "phrase_tables" / "echo"
    assert run("validate", shipped).code == 0


def test_validate_lists_every_problem(run: Run, small_table: Path, tmp_path: Path) -> None:
    """Every broken rule is a line of its own with file and line, and the code is 1."""
    table = small_table / "all.csv"
    with table.open("a") as file:
        file.write("1,severe aortic stenosis,1.1.0,,\n5,{nope} stenosis,1.1.0,,\n")
    result = run("validate", small_table)
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0].startswith(f"{table}:7: reused-id: id 1 is already used at all.csv:3")
    assert lines[1].startswith(f"{table}:8: bad-phrase: unknown slot {{nope}}")
    assert len(lines) == 2
    assert result.err == f"echotok: 2 problem(s) in {small_table}\n"
    assert run("validate", tmp_path / "nowhere").code == 1
