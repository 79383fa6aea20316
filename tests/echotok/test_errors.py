"""I14: every error says which rule, where, and what to do; I9: none quotes a report."""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import pickle
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import echotok
from echotok import artifact
from echotok.bpe_training import train_merges
from echotok.building import build
from echotok.clip_merges import CLIP_MERGES_SHA256, clip_merges
from echotok.corpora import read_reports
from echotok.errors import (
    ArtifactError,
    EchotokError,
    IdError,
    InputError,
    MergesError,
    Problem,
    TableError,
)

TOML = """\
name = "small"
version = "1.1.0"
locale = "en"
licence = "Apache-2.0"
provenance = "written for this test"
units = ["mm", "mmhg"]
[capacity]
phrases = 16
values = 8
merges = 4
[slots]
kind = "a kind"
"""
HEADER = "id,phrase,since,retired,note\n"
VALUES_HEADER = "id,slot,value,rank,since,retired,note\n"
PHRASES = HEADER + "0,the left ventricle is normal.,1.0.0,,\n1,{severity} mr,1.0.0,,\n"
VALUES = VALUES_HEADER + "0,kind,soft,,1.0.0,,\n"


def make_table(
    folder: Path,
    *,
    toml: str | bytes = TOML,
    phrases: str | bytes = PHRASES,
    values: str | bytes = VALUES,
    **more: str | bytes,
) -> Path:
    files = {"table.toml": toml, "lv.csv": phrases, "values.csv": values}
    files |= {f"{stem}.csv": content for stem, content in more.items()}
    for name, content in files.items():
        raw = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(raw)
    return folder


def problems_of(folder: Path) -> tuple[Problem, ...]:
    with pytest.raises(TableError) as caught:
        echotok.validate_table(folder)
    assert caught.value.problems
    assert str(caught.value).startswith(f"{len(caught.value.problems)} problem(s)")
    for problem in caught.value.problems:
        assert str(problem) in str(caught.value)
    return caught.value.problems


def assert_problem(folder: Path, rule: str, where: str, message: str) -> None:
    """Exactly one problem, of this rule, at `file:line` (or `file`), with this message."""
    (problem,) = problems_of(folder)
    assert problem.rule == rule
    assert message in problem.message
    place = problem.file.name + (f":{problem.line}" if problem.line is not None else "")
    assert place == where
    assert str(problem).startswith(f"{problem.file}")


# Tables


def test_the_small_table_is_fine(tmp_path: Path) -> None:
    """What the cases below break one by one is a table that passes, with its blank rows."""
    table = echotok.validate_table(make_table(tmp_path, phrases=PHRASES + ",,,,\n"))
    assert [phrase.id for phrase in table.phrases] == [0, 1]
    assert table == echotok.read_table(tmp_path)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    """Spreadsheets write UTF-8 with a mark and CR LF; both are read."""
    raw = b"\xef\xbb\xbf" + PHRASES.replace("\n", "\r\n").encode()
    assert len(echotok.validate_table(make_table(tmp_path, phrases=raw)).phrases) == 2


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\x0c"])
def test_a_note_may_hold_any_character(tmp_path: Path, separator: str) -> None:
    """Only a line feed ends a row of a CSV; lines are counted as editors count them."""
    rows = PHRASES + f"2,a{{number}}b,1.0.0,,a{separator}note\n"
    assert_problem(make_table(tmp_path, phrases=rows), "bad-phrase", "lv.csv:4", "glued")


def test_missing_folder(tmp_path: Path) -> None:
    """A folder that is not there is named with what a table is."""
    message = "no such file; a table is a folder with table.toml and CSV files"
    assert_problem(tmp_path / "nowhere", "missing-file", "table.toml", message)


def test_a_file_is_no_table(tmp_path: Path) -> None:
    """Naming a file inside the folder, as people do, teaches the same."""
    folder = make_table(tmp_path)
    with pytest.raises(TableError, match="a table is a folder with"):
        echotok.validate_table(folder / "table.toml")


def test_empty_toml_says_what_is_missing(tmp_path: Path) -> None:
    """An empty table.toml is a list of missing settings, not an error without a reason."""
    rules = {problem.rule for problem in problems_of(make_table(tmp_path, toml=""))}
    assert rules == {"bad-setting"}


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("name = ", "see phrase_tables/README.md"),
        ("name = 'a'\nname = 'b'\n", "see phrase_tables/README.md"),
        (b"name = '\xff'\n", "see phrase_tables/README.md"),
    ],
)
def test_bad_toml(tmp_path: Path, toml: str | bytes, message: str) -> None:
    """TOML that cannot be read is named with its place and a hint."""
    assert_problem(make_table(tmp_path, toml=toml), "bad-toml", "table.toml", message)


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("name", "str"),
        ("locale", "str"),
        ("licence", "str"),
        ("provenance", "str"),
        ("units", "list"),
        ("phrases", "int"),
        ("values", "int"),
        ("merges", "int"),
    ],
)
@pytest.mark.parametrize("value", ["", "= true", "= 1.5"])
def test_bad_setting(tmp_path: Path, setting: str, kind: str, value: str) -> None:
    """A setting that is missing or of another type is named with the type it needs."""
    lines = [
        (f"{setting} {value}" if value else "") if line.startswith(f"{setting} =") else line
        for line in TOML.splitlines()
    ]
    folder = make_table(tmp_path, toml="\n".join(lines))
    assert_problem(folder, "bad-setting", "table.toml", f"`{setting}` must be given as {kind}")


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0-rc1", ""])
def test_bad_table_version(tmp_path: Path, version: str) -> None:
    """The table's version is three numbers."""
    folder = make_table(tmp_path, toml=TOML.replace("1.1.0", version))
    assert_problem(folder, "bad-setting", "table.toml", "`version` must look like 1.0.0")


@pytest.mark.parametrize("name", ["number", "severity", "Kind", "2d", '"a b"'])
def test_bad_slot_name(tmp_path: Path, name: str) -> None:
    """A slot's name is lower case and not a built-in one."""
    folder = make_table(tmp_path, toml=TOML + f'{name} = "x"\n')
    message = f"slot {name.strip(chr(34))!r}: use lower-case letters, and not a built-in name"
    assert_problem(folder, "bad-slot", "table.toml", message)


@pytest.mark.parametrize("unit", ["mmHg", "2m", "", "%"])
def test_bad_unit(tmp_path: Path, unit: str) -> None:
    """A unit is lower case and begins with a letter."""
    folder = make_table(tmp_path, toml=TOML.replace('"mmhg"', f'"{unit}"'))
    message = f"unit {unit!r}: a unit is lower case and begins with a letter"
    assert_problem(folder, "bad-unit", "table.toml", message)


def test_bad_unit_type(tmp_path: Path) -> None:
    """A unit that is no string is a problem, not a crash."""
    folder = make_table(tmp_path, toml=TOML.replace('"mmhg"', "5"))
    assert_problem(folder, "bad-unit", "table.toml", "unit 5")


def test_a_slot_without_values(tmp_path: Path) -> None:
    """A declared slot needs a value."""
    folder = make_table(tmp_path, values=VALUES_HEADER)
    message = "slot 'kind' is declared but has no value; add rows or drop it"
    assert_problem(folder, "bad-slot", "values.csv", message)


@pytest.mark.parametrize(
    ("row", "rule", "message"),
    [
        ("x,mild as,1.0.0,,", "bad-id", "the id must be a whole number; take the next free one"),
        (",mild as,1.0.0,,", "bad-id", "the id must be a whole number"),
        ("-1,mild as,1.0.0,,", "bad-id", "the id must be a whole number"),
        ("²,mild as,1.0.0,,", "bad-id", "the id must be a whole number"),
        ("1,mild as,1.0.0,,", "reused-id", "id 1 is already used at lv.csv:3; ids are never used"),
        ("16,mild as,1.0.0,,", "full-table", "the table is full: id 16 is beyond the capacity of"),
        ("16,mild as,1.0.0,,", "full-table", "changes the model's shape and needs a new table"),
        ("2,{severity} mr,1.0.0,,", "duplicate", "the same phrase stands at lv.csv:3; keep the"),
        ("2,mild as,1.0.0,", "bad-row", "4 cells where 5 are needed; quote commas"),
        ("2,mild, as,1.0.0,,", "bad-row", "6 cells where 5 are needed; quote commas"),
        ("2,mild as,,,", "bad-version", "`since` is empty; give the table version that adds"),
        ("2,mild as,1.0,,", "bad-version", "`since` must be a version such as 1.0.0"),
        ("2,mild as,1.0.0,yes,", "bad-version", "`retired` must be a version such as 1.0.0"),
        ("2,mild as,1.2.0,,", "bad-version", "`since` 1.2.0 is later than the table's version"),
        ("2,mild as,1.0.0,1.10.0,", "bad-version", "`retired` 1.10.0 is later than the table's"),
        ('2,"mild as,1.0.0,,', "bad-csv", "check the quotes"),
        ('2,"mild"as,1.0.0,,', "bad-csv", "check the quotes"),
        ("2,{size} lv,1.0.0,,", "bad-phrase", "unknown slot {size}; this table has kind, number"),
        ("2,{} lv,1.0.0,,", "bad-phrase", "unknown slot {}"),
        ("2,{severity lv,1.0.0,,", "bad-phrase", "unbalanced brace; a slot is written {name}"),
        ("2,a } lv,1.0.0,,", "bad-phrase", "unbalanced brace"),
        ("2,Mild as,1.0.0,,", "bad-phrase", "not in normalized form; write it as 'mild as'"),
        ("2,mild  as,1.0.0,,", "bad-phrase", "write it as 'mild as'"),
        ("2,mild as .,1.0.0,,", "bad-phrase", "write it as 'mild as.'"),
        ("2,mild\u2013as,1.0.0,,", "bad-phrase", "write it as 'mild-as'"),
        ("2,e\u2032 low,1.0.0,,", "bad-phrase", 'write it as "e\' low"'),
        ("2,cafe\u0301 as,1.0.0,,", "bad-phrase", "write it as 'caf\u00e9 as'"),
        ("2,as {number}mm,1.0.0,,", "bad-phrase", "write it as 'as {...} mm'"),
        ("2,ef {number} %,1.0.0,,", "bad-phrase", "write it as 'ef {...}%'"),
        ("2,ef {number}-{number},1.0.0,,", "bad-phrase", "belongs to ONE {number}"),
        ("2,ef {number} to {number},1.0.0,,", "bad-phrase", "belongs to ONE {number}"),
        ("2,ef >{number},1.0.0,,", "bad-phrase", "a slot is glued to its neighbour"),
        ("2,ef -{number},1.0.0,,", "bad-phrase", "a slot is glued to its neighbour"),
        ("2,ef .{number},1.0.0,,", "bad-phrase", "a slot is glued to its neighbour"),
        ("2,ef {number}.5,1.0.0,,", "bad-phrase", "a slot is glued to its neighbour"),
        ("2,a{number},1.0.0,,", "bad-phrase", "letters must be parted from a slot by a space"),
        ("2,{severity}ly as,1.0.0,,", "bad-phrase", "letters must be parted from a slot"),
        ("2,{severity}{kind},1.0.0,,", "bad-phrase", "a slot is glued to its neighbour"),
        ("2,,1.0.0,,", "bad-phrase", "empty phrase; delete the row, or fill `retired`"),
        ("2,{severity} {number},1.0.0,,", "bad-phrase", "nothing but slots; values outside of"),
    ],
)
def test_bad_phrase_row(tmp_path: Path, row: str, rule: str, message: str) -> None:
    """Each broken rule of a phrase's row is reported alone, with its file and line."""
    folder = make_table(tmp_path, phrases=PHRASES + row + "\n")
    assert_problem(folder, rule, "lv.csv:4", message)


@pytest.mark.parametrize(
    ("row", "rule", "message"),
    [
        ("x,kind,hard,,1.0.0,,", "bad-id", "the id must be a whole number"),
        ("0,kind,hard,,1.0.0,,", "reused-id", "id 0 is already used at values.csv:2"),
        ("8,kind,hard,,1.0.0,,", "full-table", "id 8 is beyond the capacity of 8"),
        ("1,size,hard,,1.0.0,,", "bad-slot", "slot 'size' is not declared under [slots]"),
        ("1,number,hard,,1.0.0,,", "bad-slot", "slot 'number' is not declared"),
        ("1,kind,soft,,1.0.0,,", "duplicate", "the same value stands at line 2"),
        ("1,kind,Hard,,1.0.0,,", "bad-value", "not in normalized form; write it as 'hard'"),
        ("1,kind,{number},,1.0.0,,", "bad-value", "unknown slot {number}"),
        ("1,kind,a {,,1.0.0,,", "bad-value", "unbalanced brace"),
        ("1,kind,,,1.0.0,,", "bad-value", "empty"),
        ("1,kind,hard,high,1.0.0,,", "bad-value", "`rank` must be a number or empty"),
        ("1,kind,hard,1.0.0,,", "bad-row", "6 cells where 7 are needed"),
        ("1,kind,hard,,,,", "bad-version", "`since` is empty"),
        ("1,kind,hard,,1.0,,", "bad-version", "`since` must be a version such as 1.0.0"),
        ("1,kind,hard,,1.0.0,2.0.0,", "bad-version", "`retired` 2.0.0 is later than the table's"),
        ('1,"kind,hard,,1.0.0,,', "bad-csv", "check the quotes"),
    ],
)
def test_bad_value_row(tmp_path: Path, row: str, rule: str, message: str) -> None:
    """Each broken rule of a value's row is reported alone, with its file and line."""
    folder = make_table(tmp_path, values=VALUES + row + "\n")
    assert_problem(folder, rule, "values.csv:3", message)


def test_bad_header(tmp_path: Path) -> None:
    """A CSV with other columns is told which it must have."""
    folder = make_table(tmp_path, more="id,text\n0,a\n")
    message = "the header must be id,phrase,since,retired,note, not id,text"
    assert_problem(folder, "bad-header", "more.csv:1", message)


def test_bad_values_header(tmp_path: Path) -> None:
    """The same for the values; that the slot then has no value is said too."""
    problems = problems_of(make_table(tmp_path, values="id,slot\n"))
    assert [problem.rule for problem in problems] == ["bad-header", "bad-slot"]
    assert "the header must be id,slot,value,rank,since,retired,note" in problems[0].message


def test_an_empty_file_has_no_header(tmp_path: Path) -> None:
    """A CSV without a line is told its header."""
    folder = make_table(tmp_path, more="")
    assert_problem(folder, "bad-header", "more.csv:1", "the header must be id,phrase,since")


def test_reused_id_and_duplicate_in_another_file(tmp_path: Path) -> None:
    """Ids and phrases are unique over all sections, and the other place is named."""
    folder = make_table(tmp_path, more=HEADER + "1,{severity} mr,1.0.0,,\n")
    problems = problems_of(folder)
    assert [problem.rule for problem in problems] == ["reused-id", "duplicate"]
    assert {f"{problem.file.name}:{problem.line}" for problem in problems} == {"more.csv:2"}
    assert all("lv.csv:3" in problem.message for problem in problems)


def test_not_utf8(tmp_path: Path) -> None:
    """A file in another encoding is named with the byte."""
    raw = PHRASES.encode() + "2,naïve as,1.0.0,,\n".encode("latin-1")
    message = f"not UTF-8 at byte {len(PHRASES) + 4}; save the file as UTF-8"
    folder = make_table(tmp_path, more=raw)
    assert_problem(folder, "not-utf-8", "more.csv", message)


def test_empty_table(tmp_path: Path) -> None:
    """A table without a phrase is none."""
    folder = make_table(tmp_path, phrases=HEADER)
    assert_problem(folder, "empty-table", tmp_path.name, "no phrase in any CSV file")


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    """One look shows all there is to mend, in the order of files and lines."""
    rows = PHRASES + "x,Mild,2.0.0,,\n2,{size},1.0.0,,\n"
    problems = problems_of(make_table(tmp_path, phrases=rows, more=HEADER + "3,a {,1.0.0,,\n"))
    assert [(problem.rule, problem.line) for problem in problems] == [
        ("bad-id", 4),
        ("bad-version", 4),
        ("bad-phrase", 4),
        ("bad-phrase", 5),
        ("bad-phrase", 2),
    ]


def test_a_tombstone_keeps_its_id_and_frees_its_text(tmp_path: Path) -> None:
    """A retired phrase's text may come back under a new id; its own id stays taken."""
    tombstone = "2,mild as,1.0.0,1.1.0,\n"
    folder = make_table(tmp_path, phrases=PHRASES + tombstone + "3,mild as,1.1.0,,\n")
    assert [phrase.id for phrase in echotok.validate_table(folder).live] == [0, 1, 3]
    make_table(tmp_path, phrases=PHRASES + tombstone + "2,mild as,1.1.0,,\n")
    assert_problem(folder, "reused-id", "lv.csv:5", "id 2 is already used at lv.csv:4")


def test_shadowed_by_a_phrase(tmp_path: Path) -> None:
    """A phrase that another always beats is named with the winner."""
    folder = make_table(
        tmp_path, phrases=PHRASES + "2,{kind} mr,1.0.0,,\n", values=VALUES.replace("soft", "mild")
    )
    message = "never produced: phrase 1 ('{severity} mr') always wins; retire or reword one"
    assert_problem(folder, "shadowed", "lv.csv:4", message)
    assert len(echotok.read_table(folder).phrases) == 3, "read_table does not look for shadows"


def test_shadowed_by_a_value(tmp_path: Path) -> None:
    """A phrase that is but one value's spelling in more slots is beaten by that value."""
    folder = make_table(
        tmp_path,
        toml=TOML + 'pair = "two kinds"\n',
        values=VALUES + "1,pair,soft and soft,,1.0.0,,\n",
        phrases=PHRASES + "2,{kind} and {kind},1.0.0,,\n",
    )
    assert_problem(folder, "shadowed", "lv.csv:4", "never produced: a bare value always wins")


def test_building_from_a_bad_table(tmp_path: Path) -> None:
    """`build` refuses what `validate` refuses."""
    with pytest.raises(TableError, match="bad-id"):
        build(make_table(tmp_path, phrases=PHRASES + "x,mild as,1.0.0,,\n"), fallback="domain")


# Artifacts


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return artifact.read(Path(echotok.__file__).parent / "artifacts" / "echo.json")


def save(content: dict[str, Any], path: Path, *, sign: bool) -> Path:
    if sign:
        content["sha256"] = artifact.fingerprint(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_unknown_tokenizer() -> None:
    """An unknown name is told what ships and how to make one."""
    with pytest.raises(ArtifactError) as caught:
        echotok.load("echoo")
    assert str(caught.value) == (
        "no tokenizer 'echoo': echotok ships echo, echo-clip, and there is no such file; make one "
        "with `echotok build TABLE_DIR --out ARTIFACT`"
    )


def test_a_folder_is_no_artifact(tmp_path: Path) -> None:
    """A folder is named as unreadable."""
    with pytest.raises(ArtifactError, match=r"cannot read .*: Is a directory"):
        echotok.load(tmp_path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"format": ', "is damaged: not JSON at line 1; build it again"),
        (b"", "is damaged: not JSON at line 1"),
        (b'{"format": "\xff"}', "is damaged: not JSON at its bytes"),
        (b"[]", "is not a tokenizer artifact (no 'echotok-tokenizer' at its head); make one"),
        (b'{"format": "gpt2"}', "is not a tokenizer artifact"),
    ],
)
def test_damaged_or_foreign_file(tmp_path: Path, raw: bytes, message: str) -> None:
    """What is no artifact is refused with its path and a remedy."""
    path = tmp_path / "tokenizer.json"
    path.write_bytes(raw)
    with pytest.raises(ArtifactError) as caught:
        echotok.load(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_half_a_file(tmp_path: Path) -> None:
    """A truncated copy is damaged, at the line where it ends."""
    tok = echotok.load("echo")
    path = tmp_path / "tokenizer.json"
    tok.save(path)
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(half)
    with pytest.raises(ArtifactError, match=rf"not JSON at line {half.count(10) + 1}"):
        echotok.load(path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_wrong_format_version(tmp_path: Path, content: dict[str, Any], version: object) -> None:
    """A file of another format version says which one it is and which one is read."""
    path = save(content | {"format_version": version}, tmp_path / "tokenizer.json", sign=True)
    with pytest.raises(ArtifactError) as caught:
        echotok.load(path)
    assert f"has format version {version!r}; this echotok reads version 1" in str(caught.value)
    assert "Install the echotok that wrote it, or build it again" in str(caught.value)


def _rename(content: dict[str, Any]) -> None:
    content["name"] = "other"


def _reword(content: dict[str, Any]) -> None:
    content["phrases"][0][1] = "the left ventricle is dilated."


def _drop_phrase(content: dict[str, Any]) -> None:
    content["phrases"].pop()


def _swap_merges(content: dict[str, Any]) -> None:
    merges = content["fallback"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]


def _empty_probe(content: dict[str, Any]) -> None:
    content["probe"]["ids"] = []


def _add_key(content: dict[str, Any]) -> None:
    content["comment"] = "harmless?"


def _no_hash(content: dict[str, Any]) -> None:
    del content["sha256"]


@pytest.mark.parametrize(
    "edit", [_rename, _reword, _drop_phrase, _swap_merges, _empty_probe, _add_key, _no_hash]
)
def test_edited_artifact(
    tmp_path: Path, content: dict[str, Any], edit: Callable[[dict[str, Any]], None]
) -> None:
    """Any edit of the file is noticed by its hash."""
    edited = copy.deepcopy(content)
    edit(edited)
    path = save(edited, tmp_path / "tokenizer.json", sign=False)
    with pytest.raises(ArtifactError) as caught:
        echotok.load(path)
    assert "was damaged or edited: its sha256 is" in str(caught.value)
    assert "Edit the table folder, not the artifact, and build it again" in str(caught.value)


def test_probe_mismatch(tmp_path: Path, content: dict[str, Any]) -> None:
    """A file whose probe encodes otherwise was written by another engine, and is refused."""
    edited = copy.deepcopy(content)
    edited["probe"]["ids"][5] += 1
    path = save(edited, tmp_path / "tokenizer.json", sign=True)
    with pytest.raises(ArtifactError) as caught:
        echotok.load(path)
    assert "encodes the artifact's probe text to other ids" in str(caught.value)
    assert "install that version, or build the artifact (and its models) again" in str(caught.value)


def _without_table(content: dict[str, Any]) -> None:
    del content["table"]


def _without_capacity(content: dict[str, Any]) -> None:
    del content["table"]["phrase_capacity"]


def _without_merges(content: dict[str, Any]) -> None:
    del content["fallback"]["merges"]


def _unknown_fallback(content: dict[str, Any]) -> None:
    content["fallback"] = {"kind": "words"}


def _other_clip(content: dict[str, Any]) -> None:
    content["fallback"] = {"kind": "clip", "sha256": "0" * 64}


def _number_for_merge(content: dict[str, Any]) -> None:
    content["fallback"]["merges"][0] = 5


def _one_part_merge(content: dict[str, Any]) -> None:
    content["fallback"]["merges"][0] = "th"


def _number_for_phrase(content: dict[str, Any]) -> None:
    content["phrases"][0][1] = 5


def _short_row(content: dict[str, Any]) -> None:
    content["phrases"][0].pop()


def _unknown_slot(content: dict[str, Any]) -> None:
    content["phrases"][0][1] = "{nothing} here"


def _two_rows_of_an_id(content: dict[str, Any]) -> None:
    content["phrases"][1][0] = content["phrases"][0][0]


def _id_beyond_the_capacity(content: dict[str, Any]) -> None:
    content["phrases"][0][0] = 10**6


def _negative_id(content: dict[str, Any]) -> None:
    content["phrases"][0][0] = -1


@pytest.mark.parametrize(
    "edit",
    [
        _without_table,
        _without_capacity,
        _without_merges,
        _unknown_fallback,
        _other_clip,
        _number_for_merge,
        _one_part_merge,
        _number_for_phrase,
        _short_row,
        _unknown_slot,
        _two_rows_of_an_id,
        _id_beyond_the_capacity,
        _negative_id,
    ],
)
def test_signed_but_malformed_artifact(
    tmp_path: Path, content: dict[str, Any], edit: Callable[[dict[str, Any]], None]
) -> None:
    """A file that another program wrote and signed, but wrongly, gets an error of ours."""
    edited = copy.deepcopy(content)
    edit(edited)
    del edited["probe"]
    path = save(edited, tmp_path / "tokenizer.json", sign=True)
    with pytest.raises(ArtifactError, match=r"the artifact does not hold what|ids overlap"):
        echotok.load(path)


# CLIP's merges


def test_merges_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without open_clip_torch the error lists every remedy, and `echo` still loads."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(MergesError) as caught:
        echotok.load("echo-clip")
    for remedy in (
        "pip install open_clip_torch",
        "clip_merges=PATH (--clip-merges PATH)",
        "use the self-contained tokenizer 'echo'",
    ):
        assert remedy in str(caught.value)
    assert echotok.load("echo").name == "echo"


def test_merges_missing_inside_open_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open_clip that came without the file names the path that was tried."""
    (tmp_path / "open_clip").mkdir()
    (tmp_path / "open_clip" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "open_clip", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MergesError) as caught:
        clip_merges()
    assert str(tmp_path / "open_clip" / "bpe_simple_vocab_16e6.txt.gz") in str(caught.value)
    assert "open_clip" not in sys.modules


def test_merges_path_not_there(tmp_path: Path) -> None:
    """A path that leads nowhere is named."""
    path = tmp_path / "merges.gz"
    with pytest.raises(MergesError) as caught:
        echotok.load("echo-clip", clip_merges=path)
    assert f"cannot read CLIP's merges at {path} (No such file or directory)" in str(caught.value)
    assert "pass the path to bpe_simple_vocab_16e6.txt.gz" in str(caught.value)


def test_wrong_merges_file(tmp_path: Path) -> None:
    """Another file is refused by its hash, before it is unpacked."""
    path = tmp_path / "merges.gz"
    path.write_bytes(b"not even gzip")
    with pytest.raises(MergesError) as caught:
        echotok.load("echo-clip", clip_merges=path)
    assert f"{path} is not the published merges file: its sha256 is" in str(caught.value)
    assert f"expected {CLIP_MERGES_SHA256}; reinstall open_clip_torch" in str(caught.value)


def test_training_without_hf_tokenizers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training the domain fallback without its package says what to install."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(EchotokError) as caught:
        train_merges(echotok.building.Counter({"mild": 3}), 4)
    assert "pip install 'echotok[build]'" in str(caught.value)
    assert "--fallback clip" in str(caught.value)


# Ids and arguments


@pytest.mark.parametrize("number", [-1, 10**9])
def test_id_out_of_range(tok: echotok.Tokenizer, number: int) -> None:
    """An id beyond the vocabulary is named with its position and the range."""
    with pytest.raises(IdError) as caught:
        tok.decode([tok.bos_id, number])
    assert str(caught.value) == (
        f"id {number} at position 1 is out of range: {tok.name} has ids 0 to "
        f"{tok.vocab_size - 1}; were these ids made by another tokenizer?"
    )
    for look_up in (tok.token, tok.kind):
        with pytest.raises(IdError, match=f"id {number} is out of range"):
            look_up(number)


def test_the_first_id_past_the_end(tok: echotok.Tokenizer) -> None:
    """`vocab_size` itself is out of range."""
    with pytest.raises(IdError, match="out of range"):
        tok.decode([tok.vocab_size])


def test_spare_id(tok: echotok.Tokenizer) -> None:
    """A row without a meaning yet is refused, and CLIP's unused end of text is one of them."""
    spare = tok.vocab_size - 2
    with pytest.raises(IdError) as caught:
        tok.decode(np.array([tok.bos_id, spare]))
    assert str(caught.value) == (
        f"id {spare} at position 1 is a spare row of {tok.name} without a meaning yet; were these "
        "ids made by a later version of the table?"
    )
    with pytest.raises(IdError, match=f"id {spare} is a spare row"):
        tok.kind(spare)
    if tok.name == "echo-clip":
        with pytest.raises(IdError, match="id 49407 at position 0 is a spare row"):
            tok.decode([49407])


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        ([1.0], "float"),
        (["1"], "str"),
        ("12", "str"),
        ([None], "NoneType"),
        (np.array([1.5]), "float64"),
        (np.zeros((2, 3), dtype=np.int64), "ndarray"),
        ([[1, 2]], "list"),
    ],
)
def test_what_is_not_an_id(tok: echotok.Tokenizer, ids: Any, kind: str) -> None:
    """What is no integer is named by its type; a batch is no sequence of ids either."""
    with pytest.raises(IdError) as caught:
        tok.decode(ids)
    assert str(caught.value) == f"position 0 holds a {kind}, not an id; pass integers"


@pytest.mark.parametrize(
    "literal", ["<eos>", "<bos>", "<pad>", "<join>", "<space>", "{number}", "{severity}"]
)
def test_refused_control_text(tok: echotok.Tokenizer, literal: str) -> None:
    """With `refuse_control` the literal spelling of a token is refused at its offset."""
    text = f"Mild MR {literal.upper()}."
    with pytest.raises(InputError) as caught:
        tok.encode(text, refuse_control=True)
    assert f"holds the literal {literal!r} at offset 8 and refuse_control is set" in str(
        caught.value
    )
    assert "remove it from the text, or encode it as ordinary text" in str(caught.value)
    assert "MR" not in str(caught.value).replace("refuse_control", "")


def test_only_control_text_is_refused(tok: echotok.Tokenizer) -> None:
    """Braces and brackets that spell no token are ordinary text under `refuse_control` too."""
    text = "<eof> {eos} <EO S> { number } E/e' < 8"
    assert tok.encode(text, refuse_control=True).ids == tok.encode(text).ids


def test_refused_slot_of_the_table(tok: echotok.Tokenizer) -> None:
    """The table's own slots are control text too."""
    for slot in tok.table.slots:
        with pytest.raises(InputError, match=f"the literal '{{{slot}}}' at offset 0"):
            tok.encode("{" + slot + "}", refuse_control=True)


def test_offset_of_control_text_is_of_the_original(tok: echotok.Tokenizer) -> None:
    """Characters that lower-casing makes longer do not move the offset."""
    text = "\u0130\u0130\u0130 <eos>"
    with pytest.raises(InputError, match="at offset 4 "):
        tok.encode(text, refuse_control=True)


@pytest.mark.parametrize("context_length", [2, 1, 0, -5])
def test_context_length_too_small(tok: echotok.Tokenizer, context_length: int) -> None:
    """BOS, one id and EOS need three columns, for a batch and for `truncate`."""
    message = f"context_length is {context_length}; BOS, one id and EOS need 3"
    with pytest.raises(ValueError, match=message):
        tok.encode_batch(["Mild MR."], context_length=context_length)
    with pytest.raises(ValueError, match=message):
        tok.encode("Mild MR.").truncate(context_length)


def test_a_string_is_no_batch(tok: echotok.Tokenizer) -> None:
    """One string for a list would be taken letter by letter; it is refused."""
    with pytest.raises(TypeError, match="encode_batch takes a list of texts; encode takes one"):
        tok.encode_batch("Mild MR.")


# Corpora

SECRET = "Zanzibar Quagmire"


def corpus_error(path: Path | str, **options: Any) -> str:
    """The error's text, after looking that neither it nor its causes quote a report."""
    with pytest.raises(InputError) as caught:
        list(read_reports([path], **options))
    whole = "".join(traceback.format_exception(caught.value))
    assert "Zanzibar" not in whole
    assert "Quagmire" not in whole
    return str(caught.value)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_missing_report_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    path = tmp_path / "reports.csv"
    assert corpus_error(path) == f"cannot read {path}: No such file or directory"
    path = tmp_path / "report.txt"
    assert corpus_error(path) == f"cannot read {path}: No such file or directory"


def test_folder_without_reports(tmp_path: Path) -> None:
    """A folder without *.txt files says what it looked for."""
    message = f"{tmp_path} holds no *.txt file; name the files, or another folder"
    assert corpus_error(tmp_path) == message


@pytest.mark.parametrize("name", ["reports.csv", "reports.jsonl", "report.txt"])
def test_report_not_utf8(tmp_path: Path, name: str) -> None:
    """A file in another encoding is named with byte and line, far into the file too."""
    head = '{"text": "a"}\n' if name.endswith("jsonl") else "text\n"
    good = (head + '{"text": "b"}\n' * 5000).encode()
    path = write(tmp_path / name, good + f"{SECRET} ÄÖ".encode("latin-1"))
    message = corpus_error(path)
    byte, line = len(good) + len(SECRET) + 1, good.count(b"\n") + 1
    assert f"{path} is not UTF-8 at byte {byte} (line {line}); convert it first" in message
    assert "iconv -f WINDOWS-1252 -t UTF-8" in message


def test_stdin_not_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for stdin."""
    raw = f"{SECRET}\nÄ".encode("latin-1")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="ascii"))
    assert f"stdin is not UTF-8 at byte {len(SECRET) + 1} (line 2)" in corpus_error("-")


def test_wrong_column(tmp_path: Path) -> None:
    """A column that is not there is named with those that are."""
    path = write(tmp_path / "reports.csv", f"id,findings\n1,{SECRET}\n")
    assert corpus_error(path, column="impression") == (
        f"{path} has no column 'impression'; it has: id, findings"
    )
    assert corpus_error(path) == (
        f"{path} has no column text or report; name one of its columns with --column: id, findings"
    )


def test_a_table_without_header_is_not_quoted(tmp_path: Path) -> None:
    """Where the first row is a report, the error does not show it (I9)."""
    path = write(tmp_path / "reports.csv", f"1,Patient {SECRET} has mild MR.\n2,Normal.\n")
    for message in (corpus_error(path), corpus_error(path, column="text")):
        assert str(path) in message
        assert "is the header row missing?" in message


def test_wrong_json_key(tmp_path: Path) -> None:
    """A key that one line lacks is named with the line."""
    path = write(tmp_path / "reports.jsonl", f'{{"text": "a"}}\n{{"note": "{SECRET}"}}\n')
    assert "has no column text or report in line 2" in corpus_error(path)
    assert f"{path} has no column 'text' in line 2; it has: note" in corpus_error(
        path, column="text"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f'{{"text": "{SECRET}"', "line 2 is not JSON at column"),
        (SECRET, "line 2 is not JSON at column 1; JSON Lines has one object a line"),
        (f'["{SECRET}"]', "line 2 is not a JSON object"),
        (f'"{SECRET}"', "line 2 is not a JSON object"),
        (f'{{"text": ["{SECRET}"]}}', "line 2: 'text' is not a string"),
        ('{"text": null}', "line 2: 'text' is not a string"),
    ],
)
def test_malformed_json_line(tmp_path: Path, line: str, message: str) -> None:
    """A malformed line is named by its number, never by its text."""
    path = write(tmp_path / "reports.jsonl", f'{{"text": "a"}}\n{line}\n')
    assert f"{path}: {message}" in corpus_error(path)


def test_short_csv_row(tmp_path: Path) -> None:
    """A row that does not reach the column is named by row and line."""
    path = write(tmp_path / "reports.csv", f'id,text\n1,"a\nb"\n{SECRET}\n')
    assert corpus_error(path) == (
        f"{path}: row 2 (line 4) has 1 cells, the header has 2; quote reports that hold commas or "
        "line breaks"
    )


def test_unquoted_commas_in_a_report(tmp_path: Path) -> None:
    """A row with more cells than the header would lose the rest of its report; it is refused."""
    path = write(tmp_path / "reports.csv", f"id,text\n1,Mild MR, {SECRET}, no TR\n")
    assert "row 1 (line 2) has 4 cells, the header has 2; quote reports" in corpus_error(path)


def test_an_open_quote_does_not_swallow_the_file(tmp_path: Path) -> None:
    """A quote that is never closed is an error, not one long report."""
    path = write(tmp_path / "reports.csv", f'text\n"{SECRET}\nb\nc\n')
    assert "check the quotes" in corpus_error(path)


# All of them


@pytest.mark.parametrize(
    "error",
    [
        EchotokError("a"),
        ArtifactError("a"),
        MergesError("a"),
        InputError("a"),
        IdError("a"),
        TableError([Problem(rule="bad-id", file=Path("t/lv.csv"), line=3, message="a")]),
        TableError([Problem(rule="empty-table", file=Path("t"), line=None, message="a")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pickle(error: EchotokError) -> None:
    """An error raised in a worker process arrives whole."""
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error)
    assert str(copied) == str(error)
    assert getattr(copied, "problems", ()) == getattr(error, "problems", ())
    assert isinstance(copied, EchotokError)


def test_errors_are_also_what_python_calls_them() -> None:
    """Bad input and bad ids can be caught as ValueError; missing merges as an ArtifactError."""
    assert issubclass(InputError, ValueError)
    assert issubclass(IdError, ValueError)
    assert issubclass(MergesError, ArtifactError)


def test_no_repr_shows_a_report(tok: echotok.Tokenizer) -> None:
    """What a log or a traceback may print of our objects holds no report text (I9)."""
    encoding = tok.encode(f"Patient {SECRET}: mild MR.")
    for value in (encoding, encoding.truncate(5), tok):
        assert "anzibar" not in repr(value)
        assert "anzibar" not in str(value)
