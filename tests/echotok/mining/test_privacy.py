"""What is held back as a name, what is a word of medicine, and what a person may release."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest

from echotok.mining.options import UNITS, Options
from echotok.mining.pipeline import mine
from echotok.mining.privacy import PrivateFinder
from echotok.mining.release import read_allowed
from echotok.mining.store import ReportStore
from echotok.text import make_normalizer

_NORMALIZE = make_normalizer(UNITS)
_WIDE = "These findings were discussed by telephone with"


def _held(text: str) -> set[str]:
    normalized = _NORMALIZE(text)
    return {normalized[span.start : span.end] for span in PrivateFinder()(text, normalized)}


def _whole(text: str) -> set[tuple[str, str]]:
    """What is held back, without what lies inside of something longer."""
    normalized = _NORMALIZE(text)
    spans = PrivateFinder()(text, normalized)
    return {
        (span.reason, normalized[span.start : span.end])
        for span in spans
        if not any(
            other.start <= span.start
            and span.end <= other.end
            and other.end - other.start > span.end - span.start
            for other in spans
        )
    }


@pytest.mark.parametrize(
    ("text", "reason", "held"),
    [
        (
            "See https://marvin.example/view?id=7 for images.",
            "contact",
            "https://marvin.example/view?id=7",
        ),
        ("See www.marvin.example/x now", "contact", "www.marvin.example/x"),
        ("mail w.poldark+echo@marvin.example today", "contact", "w.poldark+echo@marvin.example"),
        ("w_poldark @ marvin.example", "contact", "w_poldark @ marvin.example"),
        ("Call (555) 010-2345 today", "contact", "(555) 010-2345"),
        ("Call 555-010-2345.", "contact", "555-010-2345"),
        ("Call +1 555.010.2345", "contact", "+1 555.010.2345"),
        ("Call 010-2345 now", "contact", "010-2345"),
        ("Call +49 30 12345 67", "contact", "+49 30 12345 67"),
        ("Phone: 4-1234", "contact", "phone: 4-1234"),
        ("ext. 5512", "contact", "ext. 5512"),
        ("pager no. 40-112", "contact", "pager no. 40-112"),
        ("fax # (30) 123/4567", "contact", "fax # (30) 123/4567"),
        ("SSN 123-45-6789 noted", "number", "ssn 123-45-6789"),
        ("noted 123-45-6789 here", "number", "123-45-6789"),
        ("seen 3/14/2019 and", "date", "3/14/2019"),
        ("seen 3-14-19 and", "date", "3-14-19"),
        ("seen 14.03.2019 and", "date", "14.03.2019"),
        ("seen 2019-03-14 and", "date", "2019-03-14"),
        ("since 03/2019 he", "date", "03/2019"),
        ("on 14 March 2019", "date", "14 march 2019"),
        ("on 14th of March", "date", "14th of march"),
        ("on Mar 14, 2019", "date", "mar 14, 2019"),
        ("March 2019", "date", "march 2019"),
        ("Sept. of 2019", "date", "sept. of 2019"),
        ("in 2019 he", "date", "2019"),
        ("am 3. Dezember 2019", "date", "3. dezember 2019"),
        ("at 12:31 PM", "date", "12:31 pm"),
        ("at 7:05 a.m.", "date", "7:05 a.m."),
        ("at 23:59:59", "date", "23:59:59"),
        ("MRN: 48-55-31", "number", "mrn: 48-55-31"),
        ("Accession number AB-1234", "number", "accession number ab-1234"),
        ("Study ID: X12", "number", "study id: x12"),
        ("case no. 77", "number", "case no. 77"),
        ("Patient # 4411", "number", "patient # 4411"),
        ("DOB: 4/11/1951", "number", "dob: 4/11/1951"),
        ("Fallnummer: 77881", "number", "fallnummer: 77881"),
        ("Fall-Nr. 7788", "number", "fall-nr. 7788"),
        ("id: ab-77", "number", "id: ab-77"),
        ("Nr: 4711", "number", "nr: 4711"),
        ("record 123456 seen", "number", "123456"),
        ("A1B2C3D4 seen", "number", "a1b2c3d4"),
        ("AB-12-34-X seen", "number", "ab-12-34-x"),
        ("1200 Main Street, Suite 5", "address", "1200 main street, suite 5"),
        ("12 N. Oak Blvd", "address", "12 n. oak blvd"),
        ("P.O. Box 77", "address", "p.o. box 77"),
        ("Room 12B", "address", "room 12b"),
        ("apt. 4", "address", "apt. 4"),
        ("Zimmer 7", "address", "zimmer 7"),
        ("Hauptstrasse 12", "address", "hauptstrasse 12"),
        ("Lindenallee 4a", "address", "lindenallee 4a"),
        ("1200 North Oak Dr in town", "address", "1200 north oak dr"),
        ("88 Elm Court", "address", "88 elm court"),
    ],
)
def test_a_structure_is_held_back_whole(text: str, reason: str, held: str) -> None:
    """Web and mail addresses, telephones, dates, times, numbers of records, and streets."""
    assert _whole(text) == {(reason, held)}


@pytest.mark.parametrize(
    "text",
    [
        "LVEF 55%",
        "5.2 x 3.1 cm",
        "gradient 12/8 mmHg",
        "E/A 0.8",
        "120/80 mmHg",
        "1-2+ MR",
        "rate 72 bpm 100mm",
        "2-3 mm",
        "3/4 view of the 12 segments",
        "in case of dyspnea 12 segments",
        "patient 2 days",
        "study 4 chamber",
        "exam 10 mmHg",
        "phone call 3",
        "at 1:1 ratio",
        "1.2.3",
        "M-mode 2D 3D TTE",
        "25-30 mmHg",
        "T1-T2 A2C A4C S1S2",
        "1:2",
        "450 ml 1000 ml/min",
        "PHT 1200 ms",
        "0.12345",
        "room for 2 clips",
        "march",
    ],
)
def test_measurements_are_no_structure(text: str) -> None:
    """Values, ranges, ratios and views look like none of them."""
    assert _held(text) == set()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", " \r\n \r\n", ",\n", "\t"])
@pytest.mark.parametrize("next_line", ["LVEF 55%", "Aorta: 3 cm", "Mild MR is seen"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Sonographer: Wrenna Poldark", {"wrenna", "poldark"}),
        ("SONOGRAPHER: WRENNA POLDARK", {"wrenna", "poldark"}),
        ("Sonographer: Poldark", {"poldark"}),
        ("Seen by Dr. Poldark", {"poldark"}),
        ("Signed by Wrenna A. Poldark", {"wrenna", "a", "poldark"}),
        ("Referring physician: POLDARK, WRENNA", {"poldark", "wrenna"}),
        ("Wrenna Poldark, MD", {"wrenna", "poldark"}),
    ],
)
def test_a_name_ends_with_its_line(name: str, words: set[str], next_line: str, end: str) -> None:
    """The name is held back, and nothing of the next line, in capitals too."""
    assert _held(name + end + next_line) == words
    assert _held((name + end + next_line).upper()) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Sonographer:\nLVEF 55%", set()),
        ("Sonographer:\nReader: Wrenna Poldark", {"wrenna", "poldark"}),
        ("Referring physician:\nPOLDARK, WRENNA\nLVEF 55%", {"poldark", "wrenna"}),
        ("REFERRING PHYSICIAN:\nPOLDARK, WRENNA\nLVEF 55%", {"poldark", "wrenna"}),
        (
            "These findings were discussed by telephone with Dr. Wrenna\nPoldark at noon.",
            {"wrenna", "poldark"},
        ),
        ("Seen with Dr.\nPoldark today", {"poldark"}),
    ],
)
def test_a_name_on_the_next_line_is_found(text: str, words: set[str]) -> None:
    """A field may be filled in the next line, and a wrapped line may part a name."""
    assert _held(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "AV Max PG 20 mmHg",
        "AV MAX PG 20 MMHG",
        "LVOT Max Velocity 1.2 m/s",
        "Austin Flint murmur is heard",
        "AUSTIN FLINT MURMUR IS HEARD",
        "ANA positive. CRP normal",
        "ANA POSITIVE",
        "Crystal deposition is seen",
        "Follow-up in Jan or June",
        "Mark the site. Grant number. Chase the result",
        "Marfan syndrome, Barlow valve, Ross procedure, Bentall graft",
        "Swan-Ganz catheter, Swan catheter, Medtronic Hall valve",
        "Carpentier-Edwards ring; Edwards prosthesis; St. Jude valve; Amplatz device",
        "Wilkins score 8, Simpson biplane, Doppler",
        "David procedure was done; Nelson syndrome; Graham Steell murmur",
        "LVEF was confirmed by Doppler and performed by Simpson's method",
    ],
)
def test_words_of_medicine_are_no_names(text: str) -> None:
    """Eponyms, devices, short capitals and months without another sign of a person stay."""
    assert _held(text) == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Max Poldark read this.", {"max", "poldark"}),
        ("Read by Max Mueller", {"max", "mueller"}),
        ("Jan Smith came.", {"jan", "smith"}),
        ("ANA GARCIA WAS SEEN", {"ana", "garcia"}),
        ("Dr. Max\nAorta normal", {"max"}),
        ("Dr. Ross did a Ross procedure", {"ross"}),
        ("Crystal Poldark, RDCS", {"crystal", "poldark"}),
        ("Technologist: AUSTIN", {"austin"}),
        ("David Miller was seen", {"david", "miller"}),
        ("JOHN MILLER\nLVEF", {"john", "miller"}),
        ("Jane Smith\nProcedure: TTE", {"jane", "smith"}),
    ],
)
def test_the_same_words_are_names_beside_a_sign_of_a_person(text: str, words: set[str]) -> None:
    """A title, a field, a degree or another name makes a person of any of them."""
    assert _held(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # Last name first, as a signature, without a field or a degree.
        ("Poldark, Mary A.", {"mary", "poldark"}),
        ("POLDARK, MARY", {"mary", "poldark"}),
        ("Wilson, Mary", {"mary", "wilson"}),
        ("Mitral, Mary came", {"mary"}),
        ("EF, Mary came", {"mary"}),
        ("Images, Max gradient 3", set()),
        ("Poldark, Crystal B.\nAorta normal", {"crystal", "b", "poldark"}),
        ("Poldark, Jan", {"jan", "poldark"}),
        ("The site, Jan of it", set()),
        ("CRP, MARY was seen", set()),
        ("Antibodies, ANA", set()),
        # Small letters say nothing in a report without capitals, and much in another one.
        ("sonographer: wrenna poldark\nlvef 55%", {"wrenna", "poldark"}),
        ("Sent by ambulance today", set()),
        ("Sent by Wrenna today", {"wrenna"}),
        # Mitral regurgitation and stenosis.
        ("MR mild, MS moderate", set()),
        ("mr mild and Mr. Poldark came", {"poldark"}),
        # A degree, and the verb.
        ("Wrenna Poldark DO", {"wrenna", "poldark"}),
        ("Wrenna Poldark do agree", set()),
        ("WE DO", set()),
        ("the MD was told", set()),
        ("W. A. Poldark, MD", {"w", "a", "poldark"}),
        ("seen by the team with Poldark, MD", {"poldark"}),
        # Behind a given name that is a word too: a term, a value, a small letter.
        ("Max Vegetation size", set()),
        ("Max Foo 20 mmHg", set()),
        ("Max Quenby was here", {"max", "quenby"}),
        ("Grace The aorta", set()),
        ("John Quenby was here", {"john", "quenby"}),
        ("John quenby was here", {"john"}),
        ("John Aorta normal", {"john"}),
        ("John TAVR done", {"john"}),
        ("John QXZ done", {"john"}),
        ("Max Barlow height", set()),
        ("Garcia was seen", {"garcia"}),
        ("garcia was here, Quenby too", set()),
        ("Chen Aortic", {"chen"}),
        # A comma without a space, and letters with marks.
        ("POLDARK,MARY", {"mary", "poldark"}),
        ("Poldark,Mary A.", {"mary", "poldark"}),
        ("EF 55,Mary came", {"mary"}),
        ("Mild, Mary came", {"mary"}),
        ("Read by JOS\u00c9 GARC\u00cdA.", {"jos\u00e9", "garc\u00eda"}),
        ("Jos\u00e9 Garc\u00eda was here", {"jos\u00e9", "garc\u00eda"}),
        ("GARC\u00cdA, JOS\u00c9", {"jos\u00e9", "garc\u00eda"}),
        ("Seen at Jos\u00e9's bedside", {"jos\u00e9's"}),
        ("Mueller, J\u00fcrgen", {"mueller", "j\u00fcrgen"}),
        ("Mu\u0308ller, Ju\u0308rgen", {"m\u00fcller", "j\u00fcrgen"}),
        ("\u0130brahim Quenby was here", {"i\u0307brahim", "quenby"}),
        ("M\u00e9ni\u00e8re disease, garc\u00eda", set()),
        # What stands before a given name is no surname by itself.
        ("Yesterday Mary came", {"mary"}),
        ("quite tired, Mary left", {"mary"}),
        ("In the urine: Oxalate, Crystal", set()),
        ("ANA MAX 20", set()),
        ("Seen at Mary's bedside", {"mary's"}),
        ("Mary came. mary's arm", {"mary", "mary's"}),
        # Where a name ends: at a term, a value or a degree; the first word may be any of them.
        ("Dr. Poldark Aorta normal", {"poldark"}),
        ("Dr. Poldark Quenby 5 mm", {"poldark"}),
        ("Reader: Poldark FACC", {"poldark"}),
        ("Dr. Wall was here", {"wall"}),
        ("Dr. Ross aorta normal", {"ross"}),
        ("Reader: Fase came", {"fase"}),
        ("Seen with Dr. Poldark. Quenby came", {"poldark"}),
        # A line that had no room for the next word, and one that had.
        (f"{_WIDE} Dr. Wrenna\nPoldark at noon", {"wrenna", "poldark"}),
        (f"{_WIDE} Dr. Wrenna Poldark\nQuenby at noon", {"wrenna", "poldark"}),
        (f"{_WIDE} Dr. Poldark\n5 mm", {"poldark"}),
        (f"{_WIDE} Dr. Poldark\nAorta normal", {"poldark"}),
        (f"{_WIDE} Dr. Poldark\nQuenby 5 mm", {"poldark"}),
        (f"{_WIDE} Dr. Poldark\nQuenby at noon\n{_WIDE}, and the room had space", {"poldark"}),
        # An operation, and a person beside one.
        ("Mary. Foo procedure", {"mary"}),
        ("John max procedure", {"john"}),
        ("John Procedure", {"john"}),
        ("Performed by Ross/aorta", {"ross"}),
        ("Performed by Ross 5", {"ross"}),
        ("Performed by Ross Quenby", {"ross", "quenby"}),
        ("Performed by Ross and others", {"ross"}),
        ("Read by Ross today", {"ross"}),
        ("Performed by Ross\nAorta normal", {"ross"}),
        # Nothing that a name could be, at either end of the text too.
        ("Signed by The team", set()),
        ("SEVERE MR MODERATE TR", set()),
        ("IMAGES DO SHOW IT", set()),
        ("MD", set()),
        ("Reader: 55", set()),
        ("\nSonographer: Wrenna Poldark\n", {"wrenna", "poldark"}),
        ("seen (Dr. Poldark\n) today", {"poldark"}),
        # The line behind an empty field, or behind a title, holds something else.
        ("Reader:\n55 %", set()),
        ("Seen with Dr.\nAorta normal", set()),
        ("Seen with Dr.\nQuenby: 5 mm", set()),
        ("Reader:\nQuenby Poldark Foo Bar Baz Qux", set()),
        ("Reader:\nQuenby Poldark: Foo", set()),
        ("Reader:\nQuenby was here", set()),
        ("Reader:\nQuenby Aorta", set()),
        # What each condition is for: without it one of these reads otherwise.
        ("Dr. A. was here", set()),
        ("Dr. W Poldark came", {"poldark"}),
        ("Performed by Poldark aorta normal", {"poldark"}),
        (f"{_WIDE} Dr. W.\nAorta normal", set()),
        (f"{_WIDE} Dr. W.\nQuenby 5 mm", set()),
        ("Yesterday, Mueller came", {"mueller"}),
        ("Garcia Quenby was here", {"garcia"}),
        ("John Cardiologist said", {"john"}),
        ("John von. Quenby was here", {"john"}),
        ("Poldark, Mary came", {"mary", "poldark"}),
        ("Seen at 12 Stra\u00dfen Court", {"12 stra\u00dfen court"}),
        ("Seen at 12 \u0130stan Court", {"12 i\u0307stan court"}),
        ("Seen at 12 \u1e9eelm Court", {"12 \u00dfelm court"}),
        # Addresses whose words say it by their capitals alone.
        ("Lives at 12 Oak Court now", {"12 oak court"}),
        ("12 oak court", set()),
    ],
)
def test_what_its_place_and_its_letters_make_a_name(text: str, words: set[str]) -> None:
    """A comma, a degree, a capital letter or a term beside a word decide."""
    assert _held(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("JOHN SMITH", {"john", "smith"}),
        ("LVEF 55%\nJOHN QUENBY\nEND", {"john", "quenby"}),
        ("lvef normal\njohn quenby", {"john", "quenby"}),
        ("LVEF is 55%.\nJOHN QUENBY", {"john", "quenby"}),
        ("LVEF is 55%.\nJOHN A. QUENBY", {"john", "quenby"}),
        ("MARY ANN QUENBY", {"mary", "ann", "quenby"}),
        ("QUENBY JOHN", {"john", "quenby"}),
        ("LVEF IS 55%. JOHN QUENBY.", {"john", "quenby"}),
        ("/S/ JOHN QUENBY", {"john", "quenby"}),
        ("(SIGNED) JOHN QUENBY", {"john", "quenby"}),
        ("JOHN QUENBY (CARDIOLOGY)", {"john", "quenby"}),
        ("JOHN QUENBY - CARDIOLOGY", {"john", "quenby"}),
        ("TTE\tJOHN QUENBY\tLVEF", {"john", "quenby"}),
        ("JOSE DE LA QUENBY", {"jose", "de", "la", "quenby"}),
        ("JEAN-PAUL QUENBY", {"jean-paul", "quenby"}),
        ("JOHN QUENBY, DO", {"john", "quenby"}),
        ("VON JOHN QUENBY", {"john", "quenby"}),
        ("JAN MUELLER", {"jan", "mueller"}),
        # No name, or more than one.
        ("JOHN LVEF 55%", {"john"}),
        ("JOHN NORMAL AORTA", {"john"}),
        ("JOHN WAS SEEN", {"john"}),
        ("JOHN PROCEDURE", set()),
        ("JOHN", {"john"}),
        ("THE TEAM OF JOHN AND FOO BAR BAZ", {"john"}),
        ("JOHN FOO BAR BAZ QUX", {"john"}),
        ("CRYSTAL DEPOSITION", set()),
        ("ANA POSITIVE", set()),
        ("MAX GRADIENT", set()),
        ("JAN QUENBY", set()),
        ("BRUCE PROTOCOL", set()),
        ("QUENBY FOO", set()),
        ("SEVERE MR. NO AS", set()),
        # Initials and particles before a surname; the rest of a line stays.
        ("John A. Quenby was here", {"john", "quenby"}),
        ("John A.B. Quenby was here", {"john", "quenby"}),
        ("John von der Quenby was here", {"john", "quenby"}),
        ("John A. Aorta normal", {"john"}),
        ("John A. was here", {"john"}),
        ("John von was here", {"john"}),
        ("John A", {"john"}),
        ("John. A. Quenby was here", {"john"}),
        ("Read of JOHN QUENBY in it", {"john", "quenby"}),
        ("Read of JANE Qxz in it", {"jane", "qxz"}),
        ("Jean-Paul Quenby was here", {"jean-paul", "quenby"}),
        ("Kelly-Descemet punch", set()),
        ("ANA Titer", set()),
    ],
)
def test_a_signature_is_held_back_whole(text: str, words: set[str]) -> None:
    """A line or a sentence that is nothing but a name, where its case says nothing."""
    assert _held(text) == words


_LONG = {
    "numbers and hyphens": "-".join(["12"] * 4000),
    "words and hyphens": "-".join(["ab"] * 4000),
    "letters, digits and hyphens": "-".join(["a1"] * 4000),
    "stops before an @": "a." * 4000 + "@",
    "many @": "a@" * 4000,
    "many words": "12 " + "oak " * 4000,
    "names": "John " * 4000,
    "initials": "John " + "A. " * 4000,
    "particles": "John " + "von " * 4000,
    "lines of names": "JOHN QUENBY\n" * 2000,
    "titles": "Dr. " * 4000,
    "signs before a name": "/s* " * 4000 + "john quenby",
}


@pytest.mark.parametrize("kind", _LONG)
def test_a_long_run_takes_time_in_proportion(kind: str) -> None:
    """Four times the length takes about four times as long, and not sixteen."""

    def seconds(text: str) -> float:
        normalized = _NORMALIZE(text)
        times = []
        for _ in range(3):
            begin = time.process_time()
            PrivateFinder()(text, normalized)
            times.append(time.process_time() - begin)
        return min(times)

    text = _LONG[kind]
    seconds(text[:100])
    whole = seconds(text)
    assert whole < 10 * seconds(text[: len(text) // 4]) or whole < 0.2


_LAYOUTS = [
    "Sonographer: Wrenna Poldark\nLVEF NN%",
    "SONOGRAPHER: POLDARK, WRENNA\r\nLVEF NN%",
    "Read by:\nWrenna Poldark, MD\nLVEF NN%",
    "Wrenna Poldark\nMD\nLVEF NN%",
    "Dr. Wrenna Poldark | LVEF NN%",
    "Tech:\tWrenna Poldark\tLVEF NN%",
    "Seen with Prof. Dr. W. Poldark.\nLVEF NN%",
    "e-signed by Wrenna Poldark on 3/14/2019 at 12:31 PM\nLVEF NN%",
    "cc: Mrs. Wrenna Poldark-Quenby\nLVEF NN%",
    "MRN: 48-NN-31-77 DOB: 4/11/1951\nLVEF NN%",
    "Call +49 30 1234567 or w.poldark@marvin.example\nLVEF NN%",
    "gez. Dr. med. W. Poldark\nLVEF NN%",
    "Poldark, Mary\nLVEF NN%",
    "POLDARK, MARY\nLVEF NN%",
    "MARY POLDARK\nLVEF NN%",
    "Mary van der Poldark\nLVEF NN%",
]


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_no_layout_lets_an_identity_out(layout: str) -> None:
    """Nothing of the identity is in the table, and what stands in the next line is."""
    store = ReportStore(units=UNITS, find_private=PrivateFinder())
    # The bare name, as a signature, where the layout tells the whole of it.
    signature = "Wrenna Poldark" if "wrenna poldark" in layout.lower() else "End of report."
    for number in range(120):
        line = layout.replace("NN", str(40 + number % 30))
        store.add(f"{line}\nNo pericardial effusion is seen.\n{signature}")
    mined = mine(store, Options(vocab_size=300))
    texts = [phrase.text for phrase in mined.table.phrases]
    written = " ".join([*texts, *map("".join, mined.fallback.merges)])
    for secret in ("wrenna", "poldark", "quenby", "2019", "1951", "marvin", "1234567"):
        assert secret not in written
    assert any("lvef" in text for text in texts)


def _released(tmp_path: Path, lines: list[str]) -> tuple[ReportStore, str, set[str]]:
    path = tmp_path / "allow.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    allowed = read_allowed(path, UNITS)
    store = ReportStore(units=UNITS, find_private=PrivateFinder(allowed=allowed.lines))
    for number in range(40):
        store.add(f"Signed by Wrenna Poldark. LVEF {number + 30}%. Seen on March 5, 2019.")
        store.add("Referring physician: POLDARK, WRENNA. Discussed with Dr. Quenby.")
    told = allowed.tell(store.released())
    return store, told, {held.text for held in store.held_back(k=5)}


def test_lines_of_the_private_file_release_their_texts(tmp_path: Path) -> None:
    """Every line of the private file, as it stands, is released, and the table may hold it."""
    store, _, held = _released(tmp_path, [])
    assert {"wrenna poldark", "march 5, 2019", "quenby"} <= held
    private = tmp_path / "private.csv"
    from echotok.mining.sheet import write_held_back

    write_held_back(store.held_back(k=5), private)
    lines = private.read_text(encoding="utf-8").splitlines()
    store, told, left = _released(tmp_path, lines)
    assert left == set()
    assert f"released {len(lines) - 1} texts of" in told
    assert "nothing that is held back" not in told
    texts = {phrase.text for phrase in mine(store, Options(vocab_size=300)).table.phrases}
    assert any("wrenna poldark" in text for text in texts)
    # The text alone, and as a spreadsheet writes it with semicolons, or fills it up.
    with private.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    assert _released(tmp_path, [row[0] for row in rows])[2] == set()
    assert _released(tmp_path, [f'"{row[0]}"' for row in rows])[2] == set()
    short = [f'"{row[0]}",{row[1]},,' for row in rows]
    assert _released(tmp_path, short)[2] == set()
    assert _released(tmp_path, [";".join(row) for row in rows])[2] == set()


def test_a_line_that_releases_nothing_is_named_by_its_number(tmp_path: Path) -> None:
    """What matches nothing is said without its text."""
    _, told, left = _released(tmp_path, ["text,reason,documents,patients", "quenby", "", "gone"])
    assert "released 1 text of" in told
    assert "line 4 of it matches nothing that is held back" in told
    assert "gone" not in told
    told = _released(tmp_path, ["quenby", *(f"gone{n}" for n in range(13))])[1]
    assert "lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more of it match nothing" in told
    assert "quenby" not in left
    assert left
