"""Columns of many reports, one report's answer, and the offsets of rows."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import echotok
from echotok.findings.reading import Reader, findings
from echotok.findings.rule_files import read_findings_rules
from echotok.findings.table import answers, as_number
from echotok.findings.view import explain_page

RULES = read_findings_rules()


def answer_of(report: str, name: str) -> tuple[object, str, bool]:
    said = answers(findings(report), RULES)[name]
    return said.value, said.status, said.disagree


@pytest.mark.parametrize(
    ("report", "name", "expected"),
    [
        ("Moderate MR.\n\nConclusion: Mild MR.", "mitral_regurgitation", (1.0, "present", True)),
        (
            "Conclusion: Mild MR.\n\nFindings: Severe MR.",
            "mitral_regurgitation",
            (1.0, "present", True),
        ),
        ("Mild MR. Later: severe MR.", "mitral_regurgitation", (3.0, "present", True)),
        ("Mild MR. Mild MR.", "mitral_regurgitation", (1.0, "present", False)),
        ("Possible vegetation. A vegetation is seen.", "vegetation", (1.0, "present", False)),
        ("A vegetation is seen. Possible vegetation.", "vegetation", (1.0, "present", False)),
        ("Possible vegetation.", "vegetation", (None, "possible", False)),
        ("No vegetation. A vegetation is seen.", "vegetation", (1.0, "present", True)),
        ("Previously severe MR.", "mitral_regurgitation", (None, "prior", False)),
        ("LVEF 55%. LVEF 57%.", "ejection_fraction", (57.0, "present", False)),
        ("LVEF 55%. LVEF 30%.", "ejection_fraction", (30.0, "present", True)),
        ("LVEF 55%. LVEF 550%.", "ejection_fraction", (55.0, "present", True)),
        (
            "Mitral regurgitation is present. Severe MR. MR.",
            "mitral_regurgitation",
            (3.0, "present", False),
        ),
        (
            "The LV is moderately dilated. Conclusion: Dilated LV.",
            "lv_dilation",
            (2.0, "present", False),
        ),
        ("Severe MR. Conclusion: No MR.", "mitral_regurgitation", (0.0, "absent", True)),
        ("Conclusion: MR. Findings: Moderate MR.", "mitral_regurgitation", (2.0, "present", False)),
        (
            "Conclusion: possible PFO. Findings: no PFO.",
            "patent_foramen_ovale",
            (0.0, "absent", False),
        ),
        ("Conclusion: mild AS. Severe AS.", "aortic_stenosis", (3.0, "present", True)),
        ("LV not dilated. The LV is dilated.", "lv_dilation", (1.0, "present", True)),
        (
            "RVSP could not be estimated.",
            "pulmonary_artery_pressure",
            (None, "not_assessed", False),
        ),
        ("Previously LVEF 30%. LVEF 50%.", "ejection_fraction", (50.0, "present", False)),
        ("Normal.", "impella", (0.0, "unsaid", False)),
        ("Normal.", "mitral_regurgitation", (None, "unsaid", False)),
        (
            "The apex is akinetic. No other wall motion abnormality.",
            "wall_motion",
            (1.0, "present", False),
        ),
    ],
)
def test_answer_of_a_report(report: str, name: str, expected: tuple[object, str, bool]) -> None:
    """Conclusion before body, later before earlier, certain before possible; strife is told."""
    assert answer_of(report, name) == expected


@pytest.mark.parametrize(
    "report", ["EF 55-60%", "EF 60-55%", "EF between 60 and 55%", "EF 60 to 55 %"]
)
def test_a_range_has_its_lower_end_first(report: str) -> None:
    [row] = echotok.findings(report)
    assert (row.value, row.low, row.high) == (57.5, 55.0, 60.0)


def test_what_is_there_without_a_grade_counts_as_one() -> None:
    """A label needs a number; the row keeps that none was said."""
    said = answers(findings("Mitral regurgitation is present."), RULES)["mitral_regurgitation"]
    assert said.value is None and as_number(said) == 1.0


def test_table_has_a_row_a_mention_and_numbers_reports_from_one() -> None:
    """Columns are of one length; ids are taken where they are given."""
    reports = ["LVEF 55%. No MR.", "", "LVEF 155%."]
    table = echotok.findings_table(reports, RULES)
    assert table.columns["report"].tolist() == [1, 1, 3]
    assert table.columns["plausible"].tolist() == [True, True, False]
    assert (table.num_reports, table.num_implausible, len(table)) == (3, 1, 3)
    named = echotok.findings_table(reports, RULES, ids=["a", "b", "c"])
    assert named.columns["report"].tolist() == ["a", "a", "c"]
    assert table.to_arrow().num_rows == len(table.to_pandas()) == 3


def test_table_for_polars() -> None:
    """The same rows as for the other two, numbers that are not said as missing values."""
    pytest.importorskip("polars", reason="no polars: pip install polars")
    table = echotok.findings_table(["LVEF 55%. MR is present."], RULES)
    frame = table.to_polars()
    assert frame.columns == list(table.columns)
    assert frame["name"].to_list() == ["ejection_fraction", "mitral_regurgitation"]
    assert frame["value"].to_list() == [55.0, None]
    assert table.to_arrow().to_pydict()["value"] == [55.0, None]


def test_corpus_tells_what_a_comma_means() -> None:
    """`1,250` is read as the plain decimals of the other reports are written."""
    table = echotok.findings_table(["Aortic valve area 1,250 cm2.", "LVIDd 4,7 cm, LA 3,9 cm."])
    assert table.columns["value"].tolist()[0] == 1.25


def test_workers_give_the_same_rows() -> None:
    """Two processes read what one reads, in order."""
    reports = [f"LVEF {number}%. No MR." for number in range(20, 60)] * 5
    one, two = (echotok.findings_table(reports, RULES, workers=n) for n in (1, 2))
    assert one.to_pandas().equals(two.to_pandas())


def test_package_can_be_called_before_and_after_its_modules_are_imported() -> None:
    """The function of the issue's name is the package itself."""
    [row] = echotok.findings("Mild MR.")
    assert (row.name, row.value) == ("mitral_regurgitation", 1.0)


def test_offsets_index_the_original() -> None:
    """White space, case and composed characters do not shift a row."""
    report = unicodedata.normalize("NFD", "Café.\r\n  SEVERE   MR ; LVEF   55 – 60 % .")
    said = {row.name: report[row.start : row.end] for row in findings(report)}
    assert said["mitral_regurgitation"] == "SEVERE   MR"
    assert said["ejection_fraction"] == "LVEF   55 – 60 %"


WORDS = st.sampled_from(
    [
        "no",
        "not",
        "without",
        "mild",
        "severe",
        "MR",
        "AS",
        "LVEF",
        "left",
        "ventricle",
        "dilated",
        "is",
        ",",
        ".",
        ";",
        ":",
        "\n",
        "55",
        "%",
        "1,250",
        "cm",
        "or",
        "and",
        "but",
        "previously",
        "possible",
        "cannot",
        "be",
        "excluded",
        "(",
        ")",
        "-",
        "/",
        "none",
        "é",
        "́",
        "🫀",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, max_size=25).map(" ".join) | st.text(max_size=60))
def test_any_text_is_read(report: str) -> None:
    """No text gives an error, and each row stands in it."""
    for row in findings(report):
        assert 0 <= row.start < row.end <= len(report)


NUMERALS = st.sampled_from(
    ["0", "1", "3", "9", "12", "17", "30", "45", "50", "55", "62", "450", "999", "1250", "2015",
     "2031", "4.7", "4,7", "0.55", "0,8", ".55", "45,5", "1,250", "1.250", "1.250,5", "12,345,678",
     "050", "007"]
)  # fmt: skip
NUMBERS = st.one_of(
    NUMERALS,
    st.builds("{}{}{}".format, NUMERALS, st.sampled_from(["-", "/", "x"]), NUMERALS),
    st.builds(
        "{}{}{}".format,
        NUMERALS,
        st.sampled_from(["-", " – ", " to ", "% to ", " +/- ", "±", " and ", "/"]),
        NUMERALS,
    ),
    st.builds("{}{}".format, st.sampled_from([">", "< ", "≥", "~", "-", "+"]), NUMERALS),
    st.builds("{}{}".format, NUMERALS, st.sampled_from(["+", "mm", " cm", "mmHg", "d", "²", "é"])),
    st.builds("{}{}".format, st.sampled_from(["A", "e'", "é", "("]), NUMERALS),
)
AROUND = st.sampled_from(
    ["LVEF is {}%.", "LVEF {} %, previously {}%.", "LVIDd {} cm, LVIDs {} cm", "RVSP {} mm Hg.",
     "MR {}", "Grade {} diastolic dysfunction.", "EF between {} and {} percent", "AVA {} cm2;",
     "The LA measures {} x {} mm.", "EF improved from {}% to {}%.", "In {} the LVEF was {}%.",
     "No MR, LVEF {}.", "Left ventricle: {} mm", "IVC collapses {}%.", "EF {}\n", "{} mmHg RVSP",
     "Pacemaker lead: {}", "PAP (mmHg): {}", "TR gradient {} mmHg plus RAP {}", "is dilated, {} mm"]
)  # fmt: skip


@st.composite
def reports_alike(draw: st.DrawFn) -> list[str]:
    """Three reports that differ in their numbers alone."""
    template = " ".join(draw(st.lists(AROUND, min_size=1, max_size=4)))
    count = template.count("{}")
    numbers = st.lists(NUMBERS, min_size=count, max_size=count)
    return [template.format(*draw(numbers)) for _ in range(3)]


REMEMBERS, FORGETS = Reader(RULES), Reader(RULES, remember=False)


@settings(max_examples=300, deadline=None)
@given(reports_alike(), st.booleans())
def test_remembered_sentences_say_the_same_of_other_numbers(
    reports: list[str], words: bool
) -> None:
    """A reader that knows sentences gives the rows of one that reads each anew."""
    for report in reports:
        units, used = REMEMBERS.units - FORGETS.units, REMEMBERS.used - FORGETS.used
        assert REMEMBERS.read(report, words=words) == FORGETS.read(report, words=words)
        assert (REMEMBERS.units - FORGETS.units, REMEMBERS.used - FORGETS.used) == (units, used)


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS | NUMBERS, max_size=25).map(" ".join) | st.text(max_size=60))
def test_remembered_sentences_say_the_same_in_any_text(report: str) -> None:
    """The same of texts without rhyme or reason, whose context differs from case to case."""
    assert REMEMBERS.read(report) == FORGETS.read(report)


def test_memory_is_bounded() -> None:
    """A stream of sentences that are never the same does not fill the memory."""
    reader = Reader(RULES, remember=True)
    sizes = []
    for number in range(12):
        for at in range(5000):
            word = f"{chr(97 + number)}{at}x"
            reader.read(f"Wort {word}.")
        sizes.append(reader.remembered)
    assert max(sizes) <= 50_000 and sizes[-1] < 12 * 5000


def test_page_escapes_the_report() -> None:
    """What a report says is never markup."""
    report = "<script>alert(1)</script> Severe MR."
    page = explain_page(report, Reader(RULES).read(report, words=True), RULES)
    assert "<script" not in page and "&lt;script&gt;" in page and "mitral_regurgitation" in page
