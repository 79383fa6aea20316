"""The manifest: what is read, what is left out and why, and what is refused."""

import gzip
import re
from datetime import date

import pandas as pd
import pytest

from echoclip_r.data.cells import TableFormat
from echoclip_r.data.manifest import read_manifest
from echoclip_r.data.splits import assign_split
from echoclip_r.data.summary import summarize
from echoclip_r.errors import ManifestError

HEADER = "study_id,patient_id,video,report"


def write(folder, lines, *, name="manifest.csv", header=HEADER, videos=("a.avi", "b.avi")):
    for video in videos:
        (folder / video).touch()
    path = folder / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def only_reject(manifest):
    assert len(manifest.rejects) == 1
    return manifest.rejects[0]


def test_a_good_row_is_kept_as_it_stands(tmp_path):
    """Ids keep their zeros and "NA" stays an id; the video is found beside the manifest."""
    path = write(
        tmp_path,
        ['007,NA,a.avi,"Normal, EF 60%."'],
        header="study_id,patient_id,video,report",
    )
    frame = read_manifest(path).frame
    assert frame.loc[0, ["row", "study_id", "patient_id", "video", "report"]].tolist() == [
        2,
        "007",
        "NA",
        "a.avi",
        "Normal, EF 60%.",
    ]
    assert frame["path"].tolist() == [str(tmp_path / "a.avi")]


def test_a_spreadsheets_byte_order_mark_and_blank_rows_do_no_harm(tmp_path):
    """Excel writes both; the row numbers still are the spreadsheet's."""
    (tmp_path / "a.avi").touch()
    path = tmp_path / "manifest.csv"
    path.write_bytes(f"\ufeff{HEADER}\r\n,,,\r\nS1,P1,a.avi,Normal.\r\n,,,\r\n".encode())
    manifest = read_manifest(path)
    assert manifest.frame["row"].tolist() == [3]
    assert manifest.num_rows == 1


def test_reports_can_lie_in_text_files(tmp_path):
    """A cell that ends in .txt is a path; a missing or a non-UTF-8 file costs its row only."""
    (tmp_path / "good.txt").write_text("Severe MR.\n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("Träge Kontraktion".encode("latin-1"))
    path = write(
        tmp_path,
        ["S1,P1,a.avi,good.txt", "S2,P2,b.avi,gone.txt", "S3,P3,b.avi,latin.txt"],
    )
    manifest = read_manifest(path)
    assert manifest.frame["report"].tolist() == ["Severe MR."]
    missing, latin = manifest.rejects
    assert (missing.row, missing.study_id, missing.column, missing.file) == (
        3,
        "S2",
        "report",
        "gone.txt",
    )
    assert "cannot be read: No such file" in missing.reason
    assert latin.row == 4
    assert "the report is not UTF-8 at byte 2 (line 1)" in latin.reason


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("S2,P2,gone.avi,Normal.,,,", "video", "there is no such file or folder"),
        ("S2,P2,,Normal.,,,", "video", "the cell is empty"),
        ("S2,,b.avi,Normal.,,,", "patient_id", "the cell is empty"),
        (",P2,b.avi,Normal.,,,", "study_id", "the cell is empty"),
        ("S2,P2,b.avi,,,,", "report", "the cell is empty"),
        ('S2,P2,b.avi," -- . ",,,', "report", "the report holds no word"),
        ("S2,P2,b.avi,Normal.,dev,,", "split", "not a split; write train, validation or test"),
        ("S2,P2,b.avi,Normal.,,,31/12/2020", "date", "the date cannot be read; write it as 2024"),
        ("S2,P2,b.avi,Normal.,,,2020-02-30", "date", "the date cannot be read"),
        ("S2,P2,b.avi,Normal.,,,0202-02-20", "date", "no study is from the year 202; write the"),
        ("S2,P2,b.avi,Normal, with a comma.,,,", "", "8 cells where the header has 7"),
        ("S2,P2,b.avi,Normal.", "", "4 cells where the header has 7"),
    ],
)
def test_a_bad_row_is_named_and_nothing_else_is_lost(tmp_path, line, column, reason):
    """Each fault is told with its row and column, and the rows around it are kept."""
    path = write(
        tmp_path,
        [
            "S1,P1,a.avi,Normal.,train,A4C,2020-01-02",
            line,
            "S3,P3,b.avi,Mild MR.,,,2021-05-06T10:00",
        ],
        header=f"{HEADER},split,view,date",
    )
    manifest = read_manifest(path)
    assert manifest.frame["study_id"].tolist() == ["S1", "S3"]
    assert manifest.frame["date"].tolist() == ["2020-01-02", "2021-05-06"]
    reject = only_reject(manifest)
    assert (reject.row, reject.column) == (3, column)
    assert reason in reject.reason


def test_a_byte_that_is_not_utf8_costs_its_row(tmp_path):
    """The column and the byte are named, and how to convert; the text is not quoted."""
    path = write(tmp_path, ["S1,P1,a.avi,Normal.", "S2,P2,b.avi,Ventrikel tr\u00e4ge."])
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    reject = only_reject(read_manifest(path))
    assert (reject.row, reject.column) == (3, "report")
    assert reject.reason.startswith("not UTF-8 (byte 0xe4 at character 12)")
    assert "iconv -f WINDOWS-1252 -t UTF-8" in reject.reason
    assert "Ventrikel" not in reject.reason


def test_a_report_of_5000_words_is_kept_and_counted(tmp_path):
    """Length is no fault; the page says how many there are."""
    path = write(tmp_path, [f"S1,P1,a.avi,{'word ' * 5000}", "S2,P2,b.avi,Normal."])
    manifest = read_manifest(path)
    assert not manifest.rejects
    summary = summarize(manifest)
    assert summary.figures["words"]["max"] == 5000
    assert summary.figures["num_long_reports"] == 1
    assert "1 reports have more than 1,000 words" in summary.as_text()


def test_the_same_study_and_video_twice_is_used_once(tmp_path):
    """Also when the path is spelled in another way; the first row stays."""
    path = write(tmp_path, ["S1,P1,a.avi,One.", "S1,P1,./a.avi,Two.", "S1,P1,b.avi,One."])
    manifest = read_manifest(path)
    assert manifest.frame["row"].tolist() == [2, 4]
    reject = only_reject(manifest)
    assert (reject.row, reject.column) == (3, "video")
    assert reject.reason == "the same study and video as row 2, which is used"


@pytest.mark.parametrize(
    ("lines", "column", "noun"),
    [
        (["S1,P1,a.avi,One.", "S1,P2,b.avi,Two."], "patient_id", "study"),
        (["S1,P1,a.avi,One.", "S2,P2,a.avi,Two."], "video", "video"),
    ],
)
def test_what_two_patients_claim_is_given_to_neither(tmp_path, lines, column, noun):
    """Either could put one patient into two splits, so both rows name each other."""
    path = write(tmp_path, [*lines, "S9,P9,c.avi,Three."], videos=("a.avi", "b.avi", "c.avi"))
    manifest = read_manifest(path)
    assert manifest.frame["study_id"].tolist() == ["S9"]
    assert [(reject.row, reject.column) for reject in manifest.rejects] == [
        (2, column),
        (3, column),
    ]
    assert f"the {noun} is of another patient in row 3" in manifest.rejects[0].reason
    assert f"the {noun} is of another patient in row 2" in manifest.rejects[1].reason


def test_a_patient_in_two_splits_is_refused(tmp_path):
    """The error names the two rows, not the patient."""
    lines = ["S1,P-secret,a.avi,One.,train", "S2,P-secret,b.avi,Two.,test"]
    path = write(tmp_path, lines, header=f"{HEADER},split")
    with pytest.raises(
        ManifestError,
        match=r"column 'split': the patient of row 2 is in train, but in row 3 in test "
        r"\(1 such patients\); a split is by patient",
    ) as error:
        read_manifest(path)
    assert "P-secret" not in str(error.value)


def test_splits_are_made_by_patient_and_stay(tmp_path):
    """A patient's split depends on id and seed alone; a blank cell follows the patient's others."""
    names = [f"{number}.avi" for number in range(600)]
    lines = [f"S{n},P{n // 2},{name},Normal.," for n, name in enumerate(names)]
    lines[0] += "test"
    path = write(tmp_path, lines, header=f"{HEADER},split", videos=names)
    manifest = read_manifest(path, seed=3)
    frame = manifest.frame
    assert (frame.groupby("patient_id")["split"].nunique() == 1).all()
    assert frame["split"].tolist()[:2] == ["test", "test"]
    expected = [assign_split(patient, seed=3) for patient in frame["patient_id"][2:]]
    assert frame["split"].tolist()[2:] == expected
    assert manifest.num_split_by_hash == 598


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("study_id,patient_id,video", "row 1 has no column 'report'; it has 'study_id', 'patient"),
        ("Study ID,patient_id,video,report", "no column 'study_id'; .*rename 'Study ID' to 'study"),
        ("study_id,patient_id,video,report,report", "the same name in columns 4 and 5"),
        ("S1,P1,a.avi,Secret finding.", "names none of the columns study_id, .*is it a header"),
    ],
)
def test_wrong_columns_are_refused_with_the_remedy(tmp_path, header, message):
    """The message says what stands there, unless that may be a patient's data."""
    path = write(tmp_path, ["S1,P1,a.avi,Normal."], header=header)
    with pytest.raises(ManifestError, match=message) as error:
        read_manifest(path)
    assert str(path) in str(error.value)
    assert "Secret" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", b"", "the file is empty"),
        ("m.csv", HEADER.encode(), "no row below the header"),
        ("m.csv", HEADER.encode("utf-16"), "no row below the header"),
        ("m.csv", HEADER.encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8"),
        ("m.csv", f"{HEADER},Gr\u00f6\u00dfe".encode("latin-1"), "the header, is not UTF-8"),
        ("m.csv", f'{HEADER}\nS1,P1,a.avi,"Open'.encode(), "starts in line 2 cannot be parsed"),
        ("m.xlsx", b"PK", ".xlsx is not a known format; use .csv or .parquet"),
        ("m.parquet", b"PAR1", "not a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, content, message):
    """The error names the file and what to do."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestError, match=re.escape(message)) as error:
        read_manifest(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


def test_a_missing_manifest_is_named(tmp_path):
    """A typing error in the path gives no traceback of the csv module."""
    with pytest.raises(ManifestError, match=r"nowhere\.csv: there is no such file"):
        read_manifest(tmp_path / "nowhere.csv")


def test_parquet_and_csv_give_the_same_manifest(tmp_path):
    """Dates, numbers, nulls and yes/no mean the same in both."""
    lines = ["S1,P1,a.avi,Normal.,2020-01-02,60.5,1", "S2,P2,b.avi,Mild MR.,,,0"]
    path = write(tmp_path, lines, header=f"{HEADER},date,ef,pacer")
    table = pd.DataFrame(
        {
            "study_id": ["S1", "S2"],
            "patient_id": ["P1", "P2"],
            "video": ["a.avi", "b.avi"],
            "report": ["Normal.", "Mild MR."],
            "date": [date(2020, 1, 2), None],
            "ef": [60.5, None],
            "pacer": [True, False],
        }
    )
    table.to_parquet(tmp_path / "manifest.parquet")
    from_csv, from_parquet = read_manifest(path), read_manifest(tmp_path / "manifest.parquet")
    pd.testing.assert_frame_equal(from_csv.frame, from_parquet.frame)
    assert from_parquet.labels == ("ef", "pacer")


def test_floating_point_ids_are_refused(tmp_path):
    """A null among integers makes pandas write 1.0 for 1, and long ids lose digits."""
    table = pd.DataFrame({"study_id": [1.0], "patient_id": ["P"], "video": ["a"], "report": ["x"]})
    table.to_parquet(tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match="column 'study_id' holds floating-point numbers"):
        read_manifest(tmp_path / "m.parquet")


def test_labels_are_the_columns_that_hold_only_numbers(tmp_path):
    """Blank spellings are missing values; text and identifiers are not taken, and it is said."""
    path = write(
        tmp_path,
        ["S1,P1,a.avi,Normal.,55,yes,Smith,81234567,n/a", "S2,P2,b.avi,Mild.,NA,no,,81234568,"],
        header=f"{HEADER},ef,pacer,reader,mrn_number,empty",
    )
    manifest = read_manifest(path)
    assert manifest.labels == ("ef", "pacer")
    assert manifest.frame["ef"].isna().tolist() == [False, True]
    assert manifest.frame["pacer"].tolist() == [1.0, 0.0]
    assert manifest.ignored == {
        "reader": "row 2 does not hold a number",
        "mrn_number": "it looks like an identifier; if it is a label, ask for it by name "
        "(--labels)",
        "empty": "every cell is blank",
    }


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("55%", 55),
        ("55 %", 55),
        ("55.5%", 55.5),
        ("-1 %", -1),
        ("55,5", 55.5),
        ("0,55", 0.55),
        ("62,5 %", 62.5),
        ("1,2345", 1.2345),
        ("TRUE", 1),
        ("no", 0),
        ("Y", 1),
        ("1.0", 1),
        ("absent", 0),
        ("trace", 0),
        ("MILD", 1),
        ("mild  to moderate", 1.5),
        ("moderate", 2),
        ("moderate-severe", 2.5),
        ("Severe", 3),
    ],
)
def test_a_label_as_people_write_it(tmp_path, cell, number):
    """Percent signs, decimal commas, yes and no, and grades in words."""
    path = write(tmp_path, [f'S1,P1,a.avi,Normal.,"{cell}"'], header=f"{HEADER},label")
    assert read_manifest(path).frame["label"].tolist() == [number]


@pytest.mark.parametrize("cell", ["1,234", "1,2,3", "55-60", "55 mmHg", ">55", "inf", "low", "%"])
def test_a_label_that_may_mean_two_things_is_not_guessed(tmp_path, cell):
    """1,234 may be a thousand; a range, a comparison and a unit are no number."""
    path = write(
        tmp_path,
        [f"S{n},P{n},{n}.avi,Normal.,{n}" for n in range(3)] + [f'S4,P4,a.avi,Normal.,"{cell}"'],
        header=f"{HEADER},label",
    )
    manifest = read_manifest(path, check_files=False)
    assert manifest.labels == ()
    assert manifest.ignored["label"] == (
        "row 5 does not hold a number (1 of 4 rows do not); if it is a label, ask for it by name "
        "(--labels), and these rows alone are left out"
    )


def test_a_named_label_must_be_a_number_in_every_row(tmp_path):
    """Its faulty row is rejected; columns that were not named are left alone."""
    path = write(
        tmp_path,
        ["S1,P1,a.avi,Normal.,55,1", "S2,P2,b.avi,Mild.,normal,0"],
        header=f"{HEADER},ef,pacer",
    )
    manifest = read_manifest(path, labels=["ef"])
    assert manifest.labels == ("ef",)
    reject = only_reject(manifest)
    assert (reject.row, reject.column) == (3, "ef")
    assert reject.reason == "the label is not a number; write one, or leave the cell blank"
    with pytest.raises(ManifestError, match="row 1 has no column 'lvef'"):
        read_manifest(path, labels=["lvef"])
    with pytest.raises(ManifestError, match="column 'video' has a fixed meaning"):
        read_manifest(path, labels=["video"])


@pytest.mark.parametrize(
    ("header", "row", "start"),
    [
        (HEADER.replace(",", ";"), "S1;P1;a.avi;Normal, no MR.", ""),
        (HEADER.replace(",", "\t"), "S1\tP1\ta.avi\tNormal, no MR.", ""),
        (HEADER.replace(",", "|"), "S1|P1|a.avi|Normal, no MR.", ""),
        (HEADER.replace(",", ";"), "S1;P1;a.avi;Normal, no MR.", "sep=;\n"),
        (HEADER.replace(",", ", "), 'S1, P1, a.avi, "Normal, no MR."', ""),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_manifest_may_be_parted_and_encoded_otherwise(tmp_path, header, row, start, encoding):
    """The same files as in echotok are read, packed with gzip too."""
    raw = f"{start}{header}\n{row}\n".encode(encoding)
    for name, content in (("m.csv", raw), ("m.csv.gz", gzip.compress(raw))):
        (tmp_path / name).write_bytes(content)
        manifest = read_manifest(tmp_path / name, check_files=False)
        assert list(manifest.frame["report"]) == ["Normal, no MR."]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("clips\\a.avi", ""),
        ("clips/a", "but one with the ending .avi; write the name with its ending"),
        ("clips/A.AVI", "differs in capital letters; write the name as the folder has it"),
        ("clips\\A.avi", "differs in capital letters"),
        ("clips/a.mp4", "with the ending .avi; write the ending that it has"),
        ("D:\\clips\\a.avi", "a path of a Windows machine"),
        ("\\\\server\\clips\\a.avi", "a path of a Windows machine"),
        ("clips/b.avi", "there is no such file or folder; is the archive mounted?"),
    ],
)
def test_a_video_that_is_written_otherwise(tmp_path, written, reason):
    """A Windows path is resolved; another case or ending is said, and following it helps."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.avi").write_bytes(b"x")
    (tmp_path / "m.csv").write_text(f"{HEADER}\nS1,P1,{written},Normal.\n")
    manifest = read_manifest(tmp_path / "m.csv")
    if not reason:
        assert list(manifest.frame["path"]) == [str(tmp_path / "clips" / "a.avi")]
        return
    assert reason in manifest.rejects[0].reason


@pytest.mark.parametrize("report", ["nan", "NULL", "-", "<NA>"])
def test_a_report_that_is_missing_is_a_reject(tmp_path, report):
    """What programs write for nothing is no report."""
    (tmp_path / "m.csv").write_text(f"{HEADER}\nS1,P1,a.avi,{report}\nS2,P2,b.avi,Normal.\n")
    manifest = read_manifest(tmp_path / "m.csv", check_files=False)
    assert [(reject.row, reject.column) for reject in manifest.rejects] == [(2, "report")]


def test_columns_may_be_called_otherwise(archive, tmp_path):
    """A mapped column takes the place of one of our name; what is missing is named with a hint."""
    text = (archive / "manifest.csv").read_text()
    text = text.replace("video,report", "path,text", 1).replace("view", "report", 1)
    path = tmp_path / "m.csv"
    path.write_text(text)
    form = TableFormat(columns={"video": "path", "report": "text"})
    manifest = read_manifest(path, form=form, check_files=False)
    plain = read_manifest(archive / "manifest.csv")
    assert list(manifest.frame["report"]) == list(plain.frame["report"])
    assert list(manifest.frame["video"]) == list(plain.frame["video"])
    with pytest.raises(
        ManifestError, match=r"no column 'texd', which is to be 'report'.*report=text"
    ):
        read_manifest(path, form=TableFormat(columns={"video": "path", "report": "texd"}))
    with pytest.raises(ManifestError, match=r"say which column it is: --columns video=NAME"):
        read_manifest(path)


@pytest.mark.parametrize(("encoding", "name"), [("cp1252", "m.csv"), ("utf-16-le", "m.csv.gz")])
def test_encoding_and_delimiter_may_be_said(archive, tmp_path, encoding, name):
    """Where neither can be told from the file."""
    text = (archive / "manifest.csv").read_text().replace(",", "^").replace("The", "Größe")
    raw = text.encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    form = TableFormat(delimiter="^", encoding=encoding)
    manifest = read_manifest(tmp_path / name, form=form, check_files=False)
    assert not manifest.rejects
    assert manifest.frame["report"][0].startswith("Größe ejection")
