"""Files of other people: what is read, what is refused, and that the advice of a refusal works."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from command_line import Run

from echotok.corpora import read_reports
from echotok.errors import InputError
from echotok.leftovers import describe_leftovers, find_leftovers
from echotok.text_files import CellReader, whole_file, write_whole

_TEXTS = ["Mild MR, Gr\u00f6\u00dfe 3 cm.", "Severe AS; no effusion."]
_TABLE = 'id,report\n1,"' + _TEXTS[0] + '"\n2,"' + _TEXTS[1] + '"\n'


def _read(path: Path, **options: object) -> list[str]:
    return [report.text for report in read_reports([path], **options)]  # type: ignore[arg-type]


def _refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        _read(path)
    assert "effusion" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        _TABLE.encode("utf-8-sig"),
        _TABLE.encode("utf-16"),
        b"\xfe\xff" + _TABLE.encode("utf-16-be"),
        _TABLE.encode("utf-32"),
        gzip.compress(_TABLE.encode(), mtime=0),
        gzip.compress(_TABLE.encode("utf-16"), mtime=0),
        _TABLE.replace("\n", "\r\n").encode(),
    ],
)
@pytest.mark.parametrize("name", ["r.csv", "r.CSV", "r.csv.gz"])
def test_encodings_that_say_themselves_are_read(tmp_path: Path, raw: bytes, name: str) -> None:
    """UTF-8 with a mark, UTF-16 and UTF-32 with theirs, and gzip, whatever the file is called."""
    path = tmp_path / name
    path.write_bytes(raw)
    assert _read(path) == _TEXTS


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("id;report", '1;"{0}"\n2;"{1}"'),
        ("id\treport", "1\t{0}\n2\t{1}"),
        ("id|report", "1|{0}\n2|{1}"),
        ("sep=;\nid;report", '1;"{0}"\n2;"{1}"'),
        ("sep=,\nid,report", '1,"{0}"\n2,"{1}"'),
        ("id, report", '1, "{0}"\n2, "{1}"'),
        ('"ID";"Report"', '"1";"{0}"\n"2";"{1}"'),
        ("id;report;", '1;"{0}";\n2;"{1}";'),
        ("id~report", "1~{0}\n2~{1}"),
        ("id^report", "1^{0}\n2^{1}"),
        ("id\x1freport", "1\x1f{0}\n2\x1f{1}"),
        ("id\u00a6report", "1\u00a6{0}\n2\u00a6{1}"),
    ],
)
def test_the_delimiter_is_told_from_the_header(tmp_path: Path, header: str, rows: str) -> None:
    """Semicolons, tabs, bars, `sep=` and a space behind the comma, in a .csv file."""
    path = tmp_path / "r.csv"
    path.write_text(f"{header}\n{rows.format(*_TEXTS)}\n", encoding="utf-8")
    assert _read(path) == _TEXTS


def test_a_header_that_is_one_cell_asks_for_the_delimiter(tmp_path: Path, run: Run) -> None:
    """The option that the message names reads the table."""
    path = tmp_path / "r.csv"
    path.write_text("id:report\n1:Normal\n", encoding="utf-8")
    assert _refused(path).endswith(
        "1 cells that do not look like names (is the header row missing, or does something else "
        "than a comma part the cells? --delimiter says what)"
    )
    assert _read(path, delimiter=":") == ["Normal"]
    path.write_text("report: normal valves\nNo effusion\n", encoding="utf-8")
    assert "is the header row missing" in _refused(path)


def test_unknown_columns_of_any_delimiter_are_listed(tmp_path: Path) -> None:
    """The names that stand there are told, and one of them works with --column."""
    path = tmp_path / "r.csv"
    path.write_text("id;befund\n1;Normal; mild\n".replace("; mild", ""), encoding="utf-8")
    assert _refused(path).endswith("name one of its columns with --column: id, befund")
    assert _read(path, column="befund") == ["Normal"]


@pytest.mark.parametrize("order", ["LE", "BE"])
def test_utf_16_without_its_mark_is_named_and_the_advice_works(tmp_path: Path, order: str) -> None:
    """The command of the message gives a file that is read."""
    if shutil.which("iconv") is None:
        pytest.skip("iconv is not installed")
    path, new = tmp_path / "r.csv", tmp_path / "new.csv"
    path.write_bytes(_TABLE.encode(f"utf-16-{order}"))
    assert f"iconv -f UTF-16{order} -t UTF-8 OLD > NEW" in _refused(path)
    command = ["iconv", "-f", f"UTF-16{order}", "-t", "UTF-8", str(path)]
    new.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    assert _read(new) == _TEXTS


def test_windows_1252_is_named_and_the_advice_works(tmp_path: Path) -> None:
    """The command of the message gives a file that is read."""
    if shutil.which("iconv") is None:
        pytest.skip("iconv is not installed")
    path, new = tmp_path / "r.csv", tmp_path / "new.csv"
    path.write_bytes(_TABLE.encode("cp1252") + b"3,AV \x97\x97\x97\x97 normal\n")
    assert "iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW" in _refused(path)
    command = ["iconv", "-f", "WINDOWS-1252", "-t", "UTF-8", str(path)]
    new.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    assert _read(new) == [*_TEXTS, "AV " + "\u2014" * 4 + " normal"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("\u5de6\u5ba4\u5c04\u8840\u5206\u6570\u6b63\u5e38", "gbk"),
        ("\u5fc3\u30a8\u30b3\u30fc", "euc_jp"),
        ("\u0444\u0440\u0430\u043a\u0446\u0438\u044f", "cp1251"),
        ("\u0444\u0440\u0430\u043a\u0446\u0438\u044f", "koi8_r"),
        ("\u03ba\u03b1\u03c1\u03b4\u03b9\u03ac", "cp1253"),
    ],
)
def test_another_script_is_not_told_to_be_western(tmp_path: Path, text: str, encoding: str) -> None:
    """Advice that would spoil the text is not given; with the right name the file is read."""
    path = tmp_path / "r.csv"
    path.write_bytes(f"id,report\n1,{text}\n".encode(encoding))
    said = _refused(path)
    assert "is not UTF-8 at byte" in said
    assert "who exported the file knows its encoding" in said
    assert "-f WINDOWS-1252" not in said
    assert _read(path, encoding=encoding) == [text]


@pytest.mark.parametrize(
    ("name", "raw", "what"),
    [
        ("r.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Office file"),
        ("r.csv.bz2", b"BZh9", "is a bzip2 file, not plain text; unpack it with bunzip2"),
        ("r.csv.xz", b"\xfd7zXZ\x00", "is an xz file, not plain text; unpack it with unxz"),
        ("r.feather", b"ARROW1\x00\x00", "is an Arrow file"),
        ("r.docx", b"PK\x03\x04", "is a ZIP archive that is damaged"),
    ],
)
@pytest.mark.parametrize("options", [["--column", "report"], ["--delimiter", ";"], []])
def test_what_a_file_is_comes_before_its_columns(
    run: Run, tmp_path: Path, name: str, raw: bytes, what: str, options: list[str]
) -> None:
    """Whoever names a column of a workbook is told that it is one."""
    path = tmp_path / name
    path.write_bytes(raw + bytes(range(1, 60)))
    done = run("stats", path, *options)
    assert done.code == 1
    assert what in done.err


def _zip(member: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(member, "x")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (_zip("xl/workbook.xml"), "is an Excel workbook (.xlsx), not plain text; open it in"),
        (_zip("word/document.xml"), "is a Word document (.docx), not plain text; save it as"),
        (_zip("content.xml"), "is an OpenDocument file (.ods or .odt)"),
        (_zip("a.csv"), "is a ZIP archive, not plain text; unpack it"),
        (b"%PDF-1.7 x", "is a PDF document, not plain text; export its text"),
        (b"{\\rtf1 x}", "is an RTF document, not plain text; save it as plain text in UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1x", "is an old Office file (.xls or .doc)"),
        (b"PAR1xx", "is a Parquet file, not plain text; give it a name that ends in .parquet"),
        (_TABLE.encode("utf-16").decode("cp1252", "replace").encode(), "is UTF-16 text that was"),
        (b"report\nNormal\x00 effusion\n", "holds a NUL character in line 2"),
        (b"report\n" + b"Normal.\n" * 20_000 + b"\x00\n", "holds a NUL character in line 20002"),
        (gzip.compress(_TABLE.encode(), mtime=0)[:-12], "the gzip stream is damaged or cut off"),
        ("report\nGr\u00f6\u00dfe \u00f6".encode()[:-1], "ends in the middle of a UTF-8 character"),
        (_TABLE.encode("utf-16")[:-1], "begins with the mark of UTF-16 but is not UTF-16 at"),
    ],
)
@pytest.mark.parametrize("name", ["r.csv", "r.txt"])
def test_what_is_no_text_is_refused_by_its_name(
    tmp_path: Path, name: str, raw: bytes, message: str
) -> None:
    """The message says what the file is and what to do, and nothing of its text."""
    path = tmp_path / name
    path.write_bytes(raw)
    assert message in _refused(path)


@pytest.mark.parametrize("blank", ["", " ", "nan", "NaN", "NULL", "None", "-", "\u00a0", "<NA>"])
def test_blank_cells_change_no_figure(run: Run, tmp_path: Path, blank: str) -> None:
    """A column half of blank cells gives the figures of the reports alone, and says the count."""
    full, half = tmp_path / "full.csv", tmp_path / "half.csv"
    rows = [f'{n},"{_TEXTS[n % 2]}"' for n in range(10)]
    full.write_text("\n".join(["id,report", *rows]), encoding="utf-8")
    blanks = [f"{n},{blank}" for n in range(10)]
    half.write_text("\n".join(["id,report", *rows, *blanks, ",", ",,,"]), encoding="utf-8")
    told = "10 of 20 reports are missing (blank, null or NaN)"
    result = run("stats", "--json", half)
    assert (
        json.loads(result.out)["tokens"] == json.loads(run("stats", "--json", full).out)["tokens"]
    )
    assert told in result.err
    # A line of ids stays where its report is.
    lines = run("encode", half)
    assert len(lines.out.splitlines()) == 20
    assert f"{told}; each is taken as an empty text" in lines.err


def test_null_in_json_lines_and_parquet_is_left_out(tmp_path: Path) -> None:
    """null and NaN are no reports and stop nothing."""
    lines = tmp_path / "r.jsonl"
    lines.write_text('{"text": "a"}\n{"text": null}\n{"text": NaN}\n{"text": ""}\n{"text": "b"}\n')
    assert _read(lines) == ["a", "b"]
    assert len(_read(lines, keep_blank=True)) == 5
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"report": ["a", None, "b"]}), tmp_path / "r.parquet")
    assert _read(tmp_path / "r.parquet") == ["a", "b"]


def test_trailing_rows_of_a_spreadsheet_do_not_stop_patients(tmp_path: Path) -> None:
    """Rows of commas alone have no patient and need none."""
    path = tmp_path / "r.csv"
    path.write_text("patient,report\np1,Normal\np2,\n,\n,\n", encoding="utf-8")
    assert _read(path, patient_column="patient") == ["Normal"]


def test_folders_read_every_spelling_of_txt_and_tell_the_rest(tmp_path: Path) -> None:
    """*.TXT, *.text and *.Txt are reports; what is left out is counted."""
    for name in ("a.txt", "b.TXT", "c.text", "d.Txt", "e.txt.gz", "f.docx", "g"):
        raw = name.encode()
        (tmp_path / name).write_bytes(gzip.compress(raw, mtime=0) if name.endswith("gz") else raw)
    (tmp_path / "h.txt").write_text("\n")
    told: list[str] = []
    texts = [report.text for report in read_reports([tmp_path], warn=told.append)]
    assert texts == ["a.txt", "b.TXT", "c.text", "d.Txt", "e.txt.gz"]
    assert told[0].endswith("of a folder are read; left out: 1 .docx, 1 no ending")
    assert "1 of 6 reports are missing" in told[1]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("<p>Mild MR.</p><br/>", ["HTML"]),
        ("Mild&nbsp;MR", ["HTML"]),
        ("EF <55% and >40%, A<b", []),
        ("Mild MR\\par \\b0 normal", ["RTF"]),
        ("C:\\param and 1\\2", []),
        ("peri\u00adcardium", ["soft hyphens"]),
        ("mild\u200bMR", ["zero-width characters"]),
        ("EF \uff15\uff15%", ["full-width letters or digits"]),
        ("Mild \ufffd", ["characters that were lost in a conversion"]),
        ("Gr\u00f6\u00dfe 10\u00b2 \u00b5m, 3 \u2013 4", []),
    ],
)
def test_leftovers_are_known(text: str, kinds: list[str]) -> None:
    """What other programs leave is told from what reports say."""
    assert find_leftovers(text) == kinds
    for told in describe_leftovers(dict.fromkeys(kinds, 3), 10):
        assert told.startswith("3 of 10 reports hold ")


def test_stats_and_mine_say_what_keeps_phrases_from_matching(run: Run, tmp_path: Path) -> None:
    """Both say how many reports hold which leftovers."""
    path = tmp_path / "r.csv"
    rows = [f"{n},<p>Mild mitral\u00ad regurgitation.</p>" for n in range(20)]
    path.write_text("\n".join(["id,report", *rows]), encoding="utf-8")
    said = run("stats", path)
    mined = run("mine", path, "--vocab-size", "300", "--out", tmp_path / "t")
    for told in (said.out + said.err, mined.err):
        assert "20 of 20 reports hold HTML" in told
        assert "20 of 20 reports hold soft hyphens" in told


def test_files_that_two_write_at_once(tmp_path: Path) -> None:
    """Each has a name of its own until it is whole; the last one stays, and nothing else."""
    path = tmp_path / "table.csv"
    with whole_file(path) as first, whole_file(path) as second:
        first.write_text("of the first\n")
        second.write_text("of the second\n")
        assert not path.exists()
    assert path.read_text() == "of the first\n"
    with pytest.raises(ValueError), whole_file(path) as third:
        third.write_text("half")
        raise ValueError
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_text() == "of the first\n"


def test_what_cannot_be_written_is_named_as_it_was_given(tmp_path: Path) -> None:
    """A folder of that name, a folder that is none, a name that is too long; nothing is left."""
    (tmp_path / "folder").mkdir()
    for name, told in (
        ("folder", "folder"),
        ("nowhere/table.csv", "nowhere"),
        (f"{'a' * 250}.csv", f"{'a' * 250}.csv"),
    ):
        with pytest.raises(OSError) as caught:
            write_whole(tmp_path / name, "text")
        assert caught.value.filename == str(tmp_path / told)
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_long_cells_of_two_tables_are_read_in_turns() -> None:
    """The limit of the csv module stays as it is, between the rows, too."""
    limit = csv.field_size_limit()
    long = "x" * (limit + 1)
    tables = [CellReader([f"a,{long}\n"] * 3, delimiter=",", spaced=False) for _ in range(2)]
    for row in zip(*tables, strict=False):
        assert row == (["a", long], ["a", long])
        assert csv.field_size_limit() == limit
        if tables[0].line_num == 2:
            break
    with pytest.raises(csv.Error, match="larger than field limit"):
        next(csv.reader([long]))
    assert next(tables[1]) == ["a", long]
    with pytest.raises(csv.Error, match="larger than field limit"):
        next(CellReader([long], delimiter=",", spaced=False, longest=100))
    assert csv.field_size_limit() == limit
