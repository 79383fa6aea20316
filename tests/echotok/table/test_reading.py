"""Reading a table folder: each broken rule is told with its file and line (I14)."""

from __future__ import annotations

from pathlib import Path

import pytest

import echotok
from echotok.building import build
from echotok.errors import (
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
        ("2,{severity} {number},1.0.0,,", "bad-phrase", "only slots; delete the row"),
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
