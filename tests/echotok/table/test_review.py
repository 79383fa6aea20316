"""Reviews: a sheet of decisions, however a spreadsheet wrote it, and what it does to a table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import echotok
from echotok.building import build, reviewed_table
from echotok.errors import InputError, TableError
from echotok.table.phrases import normalize_phrase
from echotok.table.reading import read_table
from echotok.table.review import Decision, apply_review, read_review, write_review
from echotok.table.writing import write_changed

HEAD = "phrase,decision,new_phrase,note\n"


@pytest.fixture
def mined(tmp_path: Path) -> Path:
    """A table as it is mined: one version, which nothing knows yet."""
    folder = tmp_path / "mined"
    folder.mkdir()
    (folder / "table.toml").write_text(
        'name = "mined"\nversion = "1.0.0"\nlocale = "en"\nlicence = "unspecified"\n'
        'provenance = "written for the tests"\nunits = ["mmhg"]\n'
        "[capacity]\nphrases = 8\nvalues = 8\nmerges = 0\n",
        encoding="utf-8",
    )
    (folder / "merges.txt").write_text("", encoding="utf-8")
    (folder / "sentences.csv").write_text(
        "id,phrase,since,retired,note\n"
        "0,no pericardial effusion.,1.0.0,,\n"
        "1,there is {severity} mr.,1.0.0,,\n"
        "3,seen by brackwater.,1.0.0,,\n",
        encoding="utf-8",
    )
    (folder / "terms.csv").write_text(
        'id,phrase,since,retired,note\n2,"2/6 murmur, late",1.0.0,,\n4,\u2265 moderate \U0001f600,'
        "1.0.0,,\n",
        encoding="utf-8",
    )
    (folder / "review.tsv").write_text(
        "id\tsection\tphrase\tdocuments\tpatients\ttokens_saved\tmid_phrase\n"
        "0\tsentences\tno pericardial effusion.\t40\t30\t120\t\n"
        "1\tsentences\tthere is {severity} mr.\t20\t15\t50\t\n"
        "3\tsentences\tseen by brackwater.\t9\t9\t27\tyes\n",
        encoding="utf-8",
    )
    return folder


def sheet_of(folder: Path, *rows: str) -> Path:
    path = folder.parent / "decisions.csv"
    path.write_text(HEAD + "".join(row + "\n" for row in rows), encoding="utf-8")
    return path


def problems_of(folder: Path, *rows: str) -> list[tuple[int | None, str]]:
    with pytest.raises(TableError) as caught:
        build(folder, review=sheet_of(folder, *rows))
    return [(problem.line, problem.rule) for problem in caught.value.problems]


def test_a_table_that_nothing_knows_is_changed_in_place(mined: Path) -> None:
    """A dropped row leaves no trace of its text, a renamed one keeps its id, no other id moves."""
    said: list[str] = []
    tok = build(
        mined,
        review=sheet_of(
            mined,
            "seen by brackwater.,drop,,a name",
            'there is {severity} mr.,rename,"There is {Severity}  mitral regurgitation .",',
            "no pericardial effusion.,keep,,",
        ),
        tell=said.append,
    )
    assert {phrase.id: phrase.text for phrase in tok.table.phrases} == {
        0: "no pericardial effusion.",
        1: "there is {severity} mitral regurgitation.",
        2: "2/6 murmur, late",
        4: "\u2265 moderate \U0001f600",
    }
    assert tok.table.version == "1.0.0"
    assert said == [
        f"{mined.parent / 'decisions.csv'}: 1 kept, 1 dropped, 1 renamed, "
        "2 without a decision, which stay"
    ]
    assert len(tok.encode("There is mild mitral regurgitation.")) == 4
    assert {phrase.text for phrase in read_table(mined).phrases} >= {"seen by brackwater."}


def test_an_id_that_models_know_never_moves(mined: Path) -> None:
    """After a build a review retires and appends; doing it twice gives the same tokenizer."""
    old = build(mined)
    review = sheet_of(
        mined,
        "seen by brackwater.,drop,,",
        "there is {severity} mr.,rename,there is {severity} mitral regurgitation.,",
    )
    grown = build(mined, base=old, review=review)
    rows = {
        phrase.id: (phrase.text, phrase.since, phrase.retired) for phrase in grown.table.phrases
    }
    assert rows[3] == ("seen by brackwater.", "1.0.0", "1.1.0")
    assert rows[1] == ("there is {severity} mr.", "1.0.0", "1.1.0")
    assert rows[5] == ("there is {severity} mitral regurgitation.", "1.1.0", "")
    assert grown.table.version == "1.1.0"
    assert len(grown.added_since(old)) == 1
    assert grown.decode(old.encode("there is mild mr.").ids) == "there is mild mr."
    assert build(mined, base=grown, review=review).fingerprint == grown.fingerprint
    # A further decision on the same state of the folder.
    more = build(
        mined,
        base=grown,
        review=sheet_of(
            mined,
            "seen by brackwater.,drop,,",
            "there is {severity} mr.,rename,there is {severity} mitral regurgitation.,",
            "no pericardial effusion.,rename,no effusion.,",
        ),
    )
    assert more.table.version == "1.2.0"
    assert [(p.id, p.since) for p in more.table.phrases[-2:]] == [(5, "1.1.0"), (6, "1.2.0")]
    assert len(more.added_since(grown)) == 1


def test_rows_of_an_earlier_version_are_retired(small_table: Path) -> None:
    """Without any artifact the table's own versions tell what was released."""
    table = build(
        small_table,
        review=sheet_of(
            small_table,
            "the ejection fraction is {number}%,drop,,",
            "blood pressure is {number}/{number},rename,bp {number}/{number},",
        ),
    ).table
    rows = {phrase.id: (phrase.text, phrase.retired) for phrase in table.phrases}
    assert rows[1] == ("the ejection fraction is {number}%", "1.2.0")
    assert rows[4] == ("bp {number}/{number}", "")


def test_ids_of_a_shipped_table_are_for_ever(tmp_path: Path) -> None:
    """A review of our own table gives a growth of the tokenizer that ships."""
    from conftest import ROOT

    table = ROOT / "phrase_tables" / "echo"
    review = sheet_of(tmp_path / "x", "biplane,drop,,", "cm2,rename,square cm2,")
    echo = echotok.load("echo")
    grown = build(table, review=review)
    assert len(grown.table.live) == len(echo.table.live) - 1
    assert grown.added_since(echo)
    assert {p.text for p in grown.table.phrases if p.retired} == {"biplane", "cm2"}


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("no pericardial efusion.,drop,,", "unknown-phrase"),
        ("no pericardial effusion.,delete,,", "unknown-decision"),
        ("no pericardial effusion.,keep,something else,", "new-phrase"),
        ("no pericardial effusion.,,something else,", "new-phrase"),
        ("no pericardial effusion.,rename,,", "empty-phrase"),
        ('no pericardial effusion.,rename," ",', "empty-phrase"),
        ("no pericardial effusion.,rename,seen by brackwater.,", "duplicate"),
        ("no pericardial effusion.,rename,{organ} effusion,", "bad-phrase"),
        ("no pericardial effusion.,rename,{number}-{number} mm,", "bad-phrase"),
        ("no pericardial effusion.,rename,{number,", "bad-phrase"),
        ("no pericardial effusion.,rename,{number},", "bad-phrase"),
        (",drop,,", "no-phrase"),
    ],
)
def test_a_decision_that_cannot_be_followed(mined: Path, row: str, rule: str) -> None:
    """The row and the rule are named, and nothing is guessed."""
    assert problems_of(mined, "seen by brackwater.,,,", row) == [(3, rule)]


def test_errors_teach(mined: Path) -> None:
    """A slip is answered with the nearest phrase or decision, and with what to do."""
    review = sheet_of(
        mined,
        "no pericardial efusion.,drop,,",
        "Ottilie Quenby was here,keep,,",
        "seen by brackwater.,dorp,,",
    )
    with pytest.raises(TableError) as caught:
        build(mined, review=review)
    told = str(caught.value)
    assert "3 problem(s) in the review" in told
    assert (
        f"{review}:2: unknown-phrase: the table mined 1.0.0 has no such phrase; did you mean "
        in told
    )
    assert "'no pericardial effusion.'? Write it as it stands in the table" in told
    assert "did you mean 'drop'?" in told
    assert "Quenby" not in told


def test_two_decisions_on_one_phrase(mined: Path) -> None:
    """Also when they are spelt differently, or agree; an undecided row is no decision."""
    rows = ["seen by brackwater.,drop,,", " Seen  by Brackwater. ,keep,,"]
    assert problems_of(mined, *rows) == [(3, "decided-twice")]
    assert problems_of(mined, rows[0], rows[0]) == [(3, "decided-twice")]
    tok = build(
        mined, review=sheet_of(mined, "seen by brackwater.,,,", rows[0], "seen by brackwater.,,,")
    )
    assert "seen by brackwater." not in {phrase.text for phrase in tok.table.phrases}


def test_texts_are_unique_when_all_is_done(mined: Path) -> None:
    """A text that a dropped or renamed row leaves is free; one new text for two rows is not."""
    tok = build(
        mined,
        review=sheet_of(
            mined,
            "seen by brackwater.,drop,,",
            "no pericardial effusion.,rename,seen by brackwater.,",
            "there is {severity} mr.,rename,no pericardial effusion.,",
        ),
    )
    assert [p.text for p in tok.table.phrases[:2]] == [
        "seen by brackwater.",
        "no pericardial effusion.",
    ]
    assert problems_of(
        mined, "no pericardial effusion.,rename,one,", "seen by brackwater.,rename,ONE,"
    ) == [(2, "duplicate"), (3, "duplicate")]


def test_what_no_row_can_tell_alone(mined: Path) -> None:
    """All dropped; no room for new ids; a phrase that could never win; another table's review."""
    texts = ["no pericardial effusion.", "there is {severity} mr.", "seen by brackwater."]
    texts += ['"2/6 murmur, late"', "\u2265 moderate \U0001f600"]
    assert problems_of(mined, *(f"{text},drop,," for text in texts)) == [(None, "empty-table")]
    table = read_table(mined)
    renames = sheet_of(mined, *(f"{text},rename,new text {n}," for n, text in enumerate(texts)))
    with pytest.raises(TableError, match="full-table"):
        apply_review(table, read_review(renames), published=table)
    strange = [f"phrase {number} of another house,drop,," for number in range(1000)]
    assert problems_of(mined, *strange, f"{texts[0]},keep,,") == [(None, "unknown-phrase")]


def test_a_phrase_that_could_never_be_produced(small_table: Path) -> None:
    """The row that makes it so is named, whichever of the two would lose."""
    toml = small_table / "table.toml"
    toml.write_text(toml.read_text().replace("[slots]\n", '[slots]\nlaterality = "same"\n'))
    with (small_table / "values.csv").open("a") as stream:
        stream.write("2,laterality,left,,1.0.0,,\n3,laterality,right,,1.0.0,,\n")
    row = (
        "blood pressure is {number}/{number},rename,{severity} dilation of the {laterality} atrium,"
    )
    assert problems_of(small_table, row) == [(2, "shadowed")]


def test_a_retired_phrase(small_table: Path) -> None:
    """It may be dropped again, which is no news, but not kept."""
    table = reviewed_table(small_table, sheet_of(small_table, "normal study,drop,,"))
    assert table == read_table(small_table)
    assert problems_of(small_table, "normal study,keep,,") == [(2, "retired-phrase")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("head", ["", "sep={}"])
def test_as_a_spreadsheet_saves_it(
    mined: Path, encoding: str, delimiter: str, end: str, head: str
) -> None:
    """Marks, delimiters, line ends, spaces, capitals, further columns and another order."""
    cells = [
        ["Documents", "Decision ", "Phrase", "New Phrase"],
        ["12", " Drop", " Seen by Brackwater.", ""],
        ["", "", "", ""],
        ["3", "R", "'2/6 murmur, late", "'=late murmur"],
        ["3", "d", "\u2265 moderate \U0001f600 ", ""],
    ]
    lines = [delimiter.join(f'"{cell}"' for cell in row) for row in cells]
    if head:
        lines.insert(0, head.format(delimiter))
    path = mined.parent / "excel.csv"
    path.write_bytes((end.join(lines) + end).encode(encoding))
    assert [phrase.text for phrase in build(mined, review=path).table.live] == [
        "no pericardial effusion.",
        "there is {severity} mr.",
        "=late murmur",
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no column 'phrase'"),
        (b"id,phrase,since,retired,note\n", "no column 'decision'"),
        (b"phrase,descision\n", "did you mean 'descision'"),
        (b"phrase,decision,Decision\n", "two columns 'decision'"),
        (HEAD.encode() + b"no mass, no thrombus, no clot, here,drop,,\n", ":2: 7 cells"),
        (HEAD.encode() + b'"a,drop,,\n', "check the double quotes"),
        (HEAD.encode() + b"caf\xe9,drop,,\n", "not UTF-8 at byte 35 (line 2)"),
        (b"PK\x03\x04 a workbook", "ZIP archive"),
        (HEAD.encode() + b"x" * 200_000 + b",drop,,\n", "field larger than"),
    ],
)
def test_a_file_that_is_no_review(mined: Path, content: bytes, told: str) -> None:
    """It is said what it is, or where it breaks."""
    path = mined.parent / "other.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        build(mined, review=path)
    assert told in str(caught.value)


def test_a_large_file_takes_no_long_time(mined: Path) -> None:
    """Ten megabytes of another table's decisions end with one sentence."""
    path = mined.parent / "large.csv"
    path.write_text(HEAD + "a phrase of some length that nobody knows,keep,,\n" * 200_000)
    with pytest.raises(TableError) as caught:
        build(mined, review=path)
    assert len(str(caught.value)) < 1000


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=9).map(str.strip)


@given(st.lists(st.tuples(cells.filter(bool), cells, cells), max_size=5))
def test_a_written_sheet_reads_back(rows: list[tuple[str, str, str]]) -> None:
    """Any text, with what a spreadsheet would compute behind an apostrophe."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "review.csv"
        write_review(
            (
                Decision(line=0, phrase=phrase, decision="rename", new_phrase=new, note=note)
                for phrase, new, note in rows
            ),
            path,
            more={},
        )
        again = read_review(path)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            raw = list(csv.reader(stream))
    assert [(row.new_phrase, row.note) for row in again.rows] == [
        (new, note) for _, new, note in rows
    ]
    for row in raw[1:]:
        assert not any(cell[:1] in tuple("=+-@\t\r0123456789") for cell in row if cell)


@given(st.text(max_size=12), st.sampled_from(["{number}", "{Side}", "{ severity }", ""]))
def test_normal_form_of_a_phrase_is_stable(text: str, slot: str) -> None:
    """Normalizing twice changes nothing, and slots keep their names."""
    text = text.replace("{", "").replace("}", "")
    once = normalize_phrase(f"{text} {slot} x", units=("mmhg",))
    assert normalize_phrase(once, units=("mmhg",)) == once
    assert slot.replace(" ", "").lower() in once


def test_the_reviewed_table_in_a_folder(mined: Path) -> None:
    """Rows stay where they were; the texts that are gone are gone from every file."""
    (mined / "review.csv").write_text(HEAD + "seen by brackwater.,drop,,\n", encoding="utf-8")
    review = sheet_of(
        mined,
        "seen by brackwater.,drop,,",
        "there is {severity} mr.,rename,mr {severity},as we write it",
    )
    tok, table = build(mined, review=review), reviewed_table(mined, review)
    out = mined.parent / "sub" / "reviewed"
    write_changed(table, mined, out)
    assert read_table(out) == table
    assert table.phrases[1].note == "as we write it"
    assert build(out).fingerprint == tok.fingerprint
    for path in out.iterdir():
        assert "brackwater" not in path.read_text(encoding="utf-8")
    assert "1\tsentences\tmr {severity}\t20" in (out / "review.tsv").read_text(encoding="utf-8")
    write_changed(table, mined, out)  # the same command again
    with pytest.raises(TableError, match="was this review followed already"):
        build(out, review=review)
    assert sorted(path.name for path in out.parent.iterdir()) == ["reviewed"]
    with (out / "terms.csv").open("a", encoding="utf-8") as stream:
        stream.write("7,grown since,1.0.0,,\n")
    with pytest.raises(InputError, match="such as id 7"):
        write_changed(table, mined, out)
    with pytest.raises(InputError, match="the table itself"):
        write_changed(table, mined, mined)
    with pytest.raises(InputError, match="holds no table"):
        write_changed(table, mined, mined.parent)


@pytest.mark.parametrize("name", ["review.csv", "review (1).csv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_review_in_the_folder_is_no_section(mined: Path, name: str, encoding: str) -> None:
    """Also under the name that a browser gives to a second download."""
    before = read_table(mined)
    text = (HEAD + "no pericardial effusion.,drop,,\n").replace(",", ";")
    (mined / name).write_bytes(text.encode(encoding))
    assert read_table(mined) == before
    # A section of this name is one, also when its first phrase is the name of a column.
    (mined / name).write_text("id,phrase,since,retired,note\n6,decision,1.0.0,,\n")
    assert len(read_table(mined).phrases) == len(before.phrases) + 1
