"""`echotok mine`: what a mined table holds, what it never holds, and that it is repeatable."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from command_line import Run
from hypothesis import given
from hypothesis import strategies as st
from mining_reports import FREQUENT, RARE, write_reports
from strategies import texts

import echotok
from echotok.building import build
from echotok.corpora import read_reports
from echotok.errors import InputError, OptionError
from echotok.mining import endings
from echotok.mining import store as store_module
from echotok.mining.endings import find_open_words
from echotok.mining.options import UNITS, Options
from echotok.mining.pipeline import mine
from echotok.mining.preparation import prepare, select_phrases
from echotok.mining.privacy import PrivateFinder
from echotok.mining.runs import mine_runs
from echotok.mining.segments import Segments
from echotok.mining.session import mine_reports
from echotok.mining.store import ReportStore
from echotok.mining.views import make_views
from echotok.table.values import NumberCode
from echotok.text import is_number, make_normalizer, split_pieces

K = 5
SIZE = 420


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reports(tmp_path_factory.mktemp("mining") / "reports.csv")


@pytest.fixture(scope="module")
def folder(reports: Path) -> Path:
    """A table mined through the command line, in a process of its own."""
    out = reports.parent / "table"
    done = _mine(reports, out)
    assert done.returncode == 0, done.stderr
    (reports.parent / "said.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    return out


def _mine(reports: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "echotok", "mine", str(reports), "--out", str(out)]
    command += ["--column", "report", "--patient-column", "patient"]
    command += ["--vocab-size", str(SIZE), *more]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")


@pytest.fixture(scope="module")
def mined(folder: Path) -> echotok.Tokenizer:
    return build(folder)


def test_table_is_complete_and_counts_what_it_was_asked_for(
    folder: Path, mined: echotok.Tokenizer
) -> None:
    """The folder validates, builds, and its tokens with a meaning are at most the size asked."""
    assert echotok.validate_table(folder).phrases
    used = len(mined.assigned_ids)
    assert used <= SIZE
    assert mined.vocab_size > used  # spare rows come on top


def test_template_sentence_is_one_phrase_with_slots(mined: echotok.Tokenizer) -> None:
    """A sentence that varies in a grade and a number is one row with two slots."""
    phrases = {phrase.text for phrase in mined.table.live}
    wanted = (
        "the left ventricle is {severity} dilated, with an end-diastolic diameter of {number} cm."
    )
    assert wanted in phrases


def test_every_phrase_is_held_by_k_patients(reports: Path, mined: echotok.Tokenizer) -> None:
    """Counted by brute force: each phrase stands in reports of k patients or more."""
    assert _fewest_holders(reports, mined) >= K


def test_a_draw_of_the_sentences_is_mined(reports: Path, mined: echotok.Tokenizer) -> None:
    """It is said; k patients hold each phrase, and tokens are about those of a whole table."""
    out = reports.parent / "drawn"
    done = _mine(reports, out, "--max-distinct", "250")
    assert done.returncode == 0, done.stderr
    assert "682 distinct sentences: about 250 of them are mined" in done.stderr
    drawn = build(out)
    assert _fewest_holders(reports, drawn) >= K
    assert _planted_words(_written(out) + done.stdout + done.stderr) <= {"march"}
    texts = [report.text for report in read_reports([reports], column="report")]
    tokens, whole = (sum(len(tok.encode(text).ids) for text in texts) for tok in (drawn, mined))
    assert tokens < 1.03 * whole


def test_a_draw_of_too_few_is_named(reports: Path, tmp_path: Path) -> None:
    """Where nothing is shared in it, the way out is to draw more."""
    done = _mine(reports, tmp_path / "table", "--max-distinct", "1", "--k", "121")
    assert done.returncode == 1
    assert "or a larger --max-distinct" in done.stderr


def _fewest_holders(reports: Path, mined: echotok.Tokenizer) -> int:
    """Of the patients whose reports hold a phrase, counted up to k."""
    holders: dict[int, set[str]] = defaultdict(set)
    alone = {phrase.id: echotok.table.match.Matcher([phrase], ()) for phrase in mined.table.live}
    for report in read_reports([reports], column="report", patient_column="patient"):
        assert report.patient is not None
        pieces = split_pieces(mined.normalize(report.text))
        for number, matcher in alone.items():
            if report.patient in holders[number] or len(holders[number]) >= K:
                continue
            found = (matcher.longest(pieces, at) for at in range(len(pieces)))
            if any(match is not None and match.phrase == number for match in found):
                holders[number].add(report.patient)
    return min(len(holders[phrase.id]) for phrase in mined.table.live)


def test_tokens_are_those_of_the_encoder() -> None:
    """What mining counts on its arrays is what the tokenizer gives, report by report."""
    store = ReportStore(units=UNITS)
    lines = ["Mild leak is seen. The valve is 3.5 cm.", "Severe leak is seen. No valve is seen."]
    for number in range(30):
        store.add(lines[number % 2])
    mined = mine(store, Options(vocab_size=200))
    tokenizer = mined.tokenizer()
    counted = sum(len(tokenizer.encode(lines[number % 2])) - 2 for number in range(30))
    assert counted == mined.num_tokens


@given(texts)
def test_nothing_is_lost_by_a_compact_layout(mined: echotok.Tokenizer, text: str) -> None:
    """Any text comes back normalized, and its ids again from that (I1)."""
    encoding = mined.encode(text)
    decoded = mined.decode(encoding.ids)
    assert decoded == mined.normalize(text)
    assert mined.encode(decoded).ids == encoding.ids


@given(texts)
def test_spans_of_a_compact_layout_are_true(mined: echotok.Tokenizer, text: str) -> None:
    """Units are ordered and cover all that is visible; bytes of a character share its span (I2)."""
    encoding = mined.encode(text)
    covered = 0
    for start, end in encoding.unit_offsets:
        assert covered <= start < end <= len(text)
        assert not text[covered:start].strip()
        covered = end
    assert not text[covered:].strip()
    for unit, span in zip(encoding.units, encoding.offsets, strict=True):
        if unit is not None:
            low, high = encoding.unit_offsets[unit]
            assert span is not None
            assert low <= span[0] <= span[1] <= high


@given(texts, st.integers(3, 12))
def test_cut_rows_of_a_compact_layout_decode(
    mined: echotok.Tokenizer, text: str, length: int
) -> None:
    """A row cut between units decodes to the text's beginning; one cut anywhere decodes (I8)."""
    whole = mined.encode(text)
    cut = whole.truncate(length)
    assert len(cut) <= length
    assert cut.num_dropped == len(whole) - len(cut)
    normalized = mined.normalize(text)
    if not cut.cut_inside_unit:
        assert normalized.startswith(mined.decode(cut.ids))
    # Cut through a unit, only this unit reads otherwise: a phrase shows its slots, a letter U+FFFD.
    torn = whole.ids[:length]
    kept = max([1, *(end for end in whole.unit_ends if end <= length)])
    before = mined.decode(torn[:kept])
    assert normalized.startswith(before)
    assert mined.decode(torn).startswith(before)


@given(st.lists(st.sampled_from(["55-60", ".5", "12", "%-", " to ", "<= ", "1,234.05", "-"])))
def test_a_number_code_writes_every_number(parts: list[str]) -> None:
    """Any piece that is a number is written with the tokens, whichever a table has."""
    code = NumberCode(starts=("12", "55-60"), continues=("5-", ".05", " to "))
    for piece in split_pieces(make_normalizer(())("".join(parts))):
        if is_number(piece):
            value = piece.removeprefix(" ")
            assert "".join(code.tokens[row][1] for row in code.split(value)) == value


def test_the_same_reports_give_the_same_table(reports: Path, folder: Path, tmp_path: Path) -> None:
    """A second run, in another process, writes the same files byte for byte (I13)."""
    again = tmp_path / "table"
    assert _mine(reports, again).returncode == 0
    assert _contents(again) == _contents(folder)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_format_gives_the_same_table(reports: Path, folder: Path, tmp_path: Path) -> None:
    """JSON Lines and Parquet say the same as CSV."""
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    with reports.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    lines = tmp_path / "reports.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    table = tmp_path / "reports.parquet"
    parquet.write_table(arrow.Table.from_pylist(rows), table)
    for source in (lines, table):
        out = tmp_path / source.suffix[1:]
        assert _mine(source, out, "--name", "table").returncode == 0
        assert _contents(out) == _contents(folder)


# Privacy


def test_planted_identities_reach_nothing(reports: Path, folder: Path) -> None:
    """No name, date, number, contact or address, frequent or rare, is in a file or a message."""
    said = (reports.parent / "said.txt").read_text(encoding="utf-8")
    assert _planted_words(_written(folder) + said) <= {"march"}


def _written(folder: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.iterdir()))


def _planted_words(text: str) -> set[str]:
    words = {word for _, planted in (*FREQUENT, *RARE) for word in planted}
    return {word for word in words if word in text.lower()}


def test_the_month_of_a_date_stands_alone(mined: echotok.Tokenizer) -> None:
    """The name of a month is a word; with a day, a year or any other word it is in no phrase."""
    with_month = {phrase.text for phrase in mined.table.live if "march" in phrase.text}
    assert with_month <= {"march"}
    store = ReportStore(units=UNITS, find_private=PrivateFinder())
    for number in range(40):
        store.add(f"Compared with the study of March {number % 9 + 1}, 2019, no change is seen.")
    phrases = {phrase.text for phrase in mine(store, Options(vocab_size=200)).table.live}
    assert {text for text in phrases if "march" in text} == {"march"}
    assert "compared with the study of" in phrases


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("I do not see a leak.", set()),
        ("Read by Jane Miller DO.", {"jane", "miller"}),
        ("Jane Miller, do", {"jane", "miller"}),
    ],
)
def test_do_is_a_degree_only_where_it_is_written_as_one(text: str, held: set[str]) -> None:
    """The verb makes no name of the word before it."""
    normalized = make_normalizer(UNITS)(text)
    spans = PrivateFinder()(text, normalized)
    assert {normalized[span.start : span.end] for span in spans} == held


def test_open_ends_are_told_from_the_corpus() -> None:
    """Articles and prepositions leave a phrase open; a noun that ends sentences does not."""
    store = ReportStore(units=UNITS)
    lines = [
        "The wall of the valve is thick.",
        "Size of the valve: normal.",
        "No leak of the wall.",
    ]
    for number in range(300):
        store.add(lines[number % 3])
    words = find_open_words(store.segments(k=K))
    texts = ["wall of the valve", "wall of the", "of the wall", "size of", ", no leak", "of"]
    assert [words.leave_open(text) for text in texts] == [False, True, True, True, True, False]


def test_a_phrase_that_closes_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two phrases that save about the same, the one that ends its expression is taken."""
    store = ReportStore(units=UNITS)
    nouns = ("valve", "wall", "rim", "clot")
    for number in range(50):
        store.add(f"Here is a {nouns[number % 4]}.")
        if number < 40:
            store.add("No leak.")
    part = prepare(store.segments(k=K), Options(vocab_size=400), NumberCode(), least=0)

    def best() -> str:
        (run,) = select_phrases(part, [], 1).chosen.tolist()
        return part.runs.texts[run]

    assert best() == "no leak."
    monkeypatch.setattr(endings, "_OPEN_WORTH", 1.0)
    assert best() == "here is a"


def test_public_words_train_the_fallback(reports: Path, folder: Path, tmp_path: Path) -> None:
    """Words that no report holds take fewer tokens, and every other promise stays."""
    words = tmp_path / "words.txt"
    words.write_text(
        "".join(f"{head}cardiographic 12\n" for head in ("bal", "photo", "electro", "xero")),
        encoding="utf-8",
    )
    out = tmp_path / "table"
    assert _mine(reports, out, "--words", str(words), "--merges", "120").returncode == 0
    plain = tmp_path / "plain"
    assert _mine(reports, plain, "--merges", "120").returncode == 0
    with_words, without = (len(build(path).encode("ocardiographic").ids) for path in (out, plain))
    assert with_words < without
    assert "or is one of 4 public words" in echotok.read_table(out).provenance
    assert "public" not in echotok.read_table(plain).provenance
    grown = _mine(reports, out, "--base", str(out), "--words", str(words))
    assert grown.returncode == 2
    assert "--base keeps the old one" in grown.stderr
    words.write_text("short\n" + "a" * 10_000_000, encoding="utf-8")
    done = _mine(reports, tmp_path / "bad", "--words", str(words))
    assert done.returncode == 1
    assert "words.txt:2: 10,000,000 letters are not one word" in done.stderr
    words.write_bytes(b"\xffab")
    done = _mine(reports, tmp_path / "bad", "--words", str(words))
    assert done.returncode == 1
    assert "is not UTF-8 at byte 0" in done.stderr


def test_no_merge_spells_a_planted_name(mined: echotok.Tokenizer) -> None:
    """No token of the fallback is a planted name or most of one."""
    names = [word for _, planted in (*FREQUENT, *RARE) for word in planted if word.isalpha()]
    tokens = {mined.id_to_token(n).removesuffix("</w>") for n in mined.assigned_ids}
    assert {name for name in names if name in tokens or name[:-1] in tokens} == {"march"} & tokens


def test_frequent_identities_are_listed_in_private(reports: Path, folder: Path) -> None:
    """What is held back though many hold it stands in a file beside the table, with the reason."""
    private = folder.with_name("table.private.csv")
    with private.open(encoding="utf-8", newline="") as stream:
        reasons = {row["text"]: row["reason"] for row in csv.DictReader(stream)}
    assert {"ottilie brackwater", "quenby"} <= {t for t, r in reasons.items() if r == "name"}
    assert set(reasons.values()) == {"name", "date", "number", "contact", "address"}
    assert private.stat().st_mode & 0o077 == 0
    assert not [text for text in reasons if "poldark" in text]  # each held by few: no candidate


def test_eponyms_and_devices_are_no_persons(mined: echotok.Tokenizer) -> None:
    """Doppler, Simpson, Bernoulli, McConnell, Impella and Carpentier stay in phrases."""
    phrases = " ".join(phrase.text for phrase in mined.table.live)
    for word in ("doppler", "simpson's", "bernoulli", "mcconnell", "impella", "carpentier"):
        assert word in phrases


def test_mr_is_mitral_regurgitation() -> None:
    """`MR.` at the end of a sentence makes no person of the next word; `Mr. Quill` does."""
    finder, normalize = PrivateFinder(), make_normalizer(())
    for text, names in (("Mild MR. Mitral valve thick.", []), ("Mr. Quill came.", ["quill"])):
        normalized = normalize(text)
        assert [normalized[s.start : s.end] for s in finder(text, normalized)] == names


def test_a_person_may_release_a_text(reports: Path, tmp_path: Path) -> None:
    """What `--allow` names is no longer held back."""
    allow = tmp_path / "allow.txt"
    allow.write_text("quenby\n", encoding="utf-8")
    out = tmp_path / "table"
    assert _mine(reports, out, "--allow", str(allow)).returncode == 0
    assert "quenby" in (out / "review.tsv").read_text(encoding="utf-8")


def test_private_file_is_kept_out_of_the_table(run: Run, reports: Path, tmp_path: Path) -> None:
    """The file that names people is refused inside of the folder that is passed on."""
    out = tmp_path / "table"
    result = run("mine", reports, "--out", out, "--private", out / "names.csv")
    assert result.code == 2
    assert "outside" in result.err


def test_k_below_two_needs_a_word(run: Run, reports: Path, tmp_path: Path) -> None:
    """`--k 1` alone is bad usage; with --allow-rare it is obeyed."""
    result = run("mine", reports, "--out", tmp_path / "table", "--k", "1")
    assert result.code == 2
    assert "--allow-rare" in result.err


# Growth and interruption


def test_growth_only_appends(folder: Path, mined: echotok.Tokenizer, tmp_path: Path) -> None:
    """A grown table has the old files as heads of the new, a later version, and every old id."""
    grown = tmp_path / "grown"
    new = tmp_path / "new.csv"
    with new.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient", "report"])
        writer.writerows([n, "A chiari network is seen in the right atrium."] for n in range(30))
    size = str(SIZE + 40)
    done = _mine(new, grown, "--base", str(folder), "--vocab-size", size)
    assert done.returncode == 0, done.stderr
    for name, content in _contents(folder).items():
        if name.endswith(".csv") or name == "merges.txt":
            assert (grown / name).read_bytes().startswith(content)
    after = build(grown)
    added = after.added_since(mined)
    assert "a chiari network is seen in the right atrium." in {after.id_to_token(n) for n in added}
    assert after.table.version == "1.1.0"


def test_growth_leaves_the_retired_alone(folder: Path, reports: Path, tmp_path: Path) -> None:
    """A phrase that a reviewer retired keeps its row, and is not proposed again."""
    base = tmp_path / "base"
    base.mkdir()
    for name, content in _contents(folder).items():
        (base / name).write_bytes(content)
    sentences = base / "sentences.csv"
    rows = list(csv.reader(sentences.read_text(encoding="utf-8").splitlines()))
    retired = rows[1][1]
    rows[1][3] = "1.0.0"
    with sentences.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
    done = _mine(reports, base, "--base", str(base), "--vocab-size", str(SIZE + 20))
    assert done.returncode == 0, done.stderr
    table = echotok.read_table(base)
    assert [phrase.retired for phrase in table.phrases if phrase.text == retired] == ["1.0.0"]


def test_a_stopped_run_ends_with_the_same_table(
    reports: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """Stopped after one trial and started again, it writes the same; its notes hold no text."""
    from echotok.mining import pipeline

    out = tmp_path / "table"
    arguments = ["mine", reports, "--out", out, "--column", "report"]
    arguments += ["--patient-column", "patient", "--vocab-size", str(SIZE)]
    real, calls = pipeline._mine_part, []

    def stop_at_second(*given: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "_mine_part", stop_at_second)
    assert run(*arguments).code == 130
    state = tmp_path / "table.mining-state.json"
    notes = json.loads(state.read_text(encoding="utf-8"))
    assert set(notes) == {"key", "trials"}
    assert len(notes["trials"]) == 1
    monkeypatch.setattr(pipeline, "_mine_part", real)
    assert run(*arguments).code == 0
    assert not state.exists()
    assert _contents(out) == _contents(folder)


def test_a_stopped_run_is_known_again_in_another_process(tmp_path: Path) -> None:
    """What names a run does not depend on the order that a set of words has in a process."""
    reports, words = tmp_path / "reports.csv", tmp_path / "words.txt"
    rows = [f'{n % 20},"Mild mitral regurgitation. Gradient {n} mmHg."\n' for n in range(60)]
    reports.write_text("patient,report\n" + "".join(rows), encoding="utf-8")
    words.write_text("\n".join(f"word{chr(97 + n)}" for n in range(20)), encoding="utf-8")
    code = (
        "import sys\n"
        "from echotok.mining import pipeline\n"
        "from echotok.mining.session import mine_reports\n"
        "def stop(tried): raise KeyboardInterrupt\n"
        "real = pipeline._mine_part\n"
        "calls = []\n"
        "def second(*given):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 2: raise KeyboardInterrupt\n"
        "    return real(*given)\n"
        "pipeline._mine_part = second\n"
        "try: mine_reports(sys.argv[1], sys.argv[3], patient_column='patient', "
        "words=[sys.argv[2]], vocab_size=400)\n"
        "except KeyboardInterrupt: pass\n"
    )
    keys = set()
    for seed in ("1", "2"):
        command = [sys.executable, "-c", code, str(reports), str(words), str(tmp_path / "table")]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        state = json.loads((tmp_path / "table.mining-state.json").read_text(encoding="utf-8"))
        assert state["trials"]
        keys.add(state["key"])
    assert len(keys) == 1


def test_a_run_that_is_killed_while_it_writes_can_be_given_again(
    reports: Path, folder: Path, tmp_path: Path
) -> None:
    """The folder is empty, what was tried is kept, and nothing half lies about in the end."""
    out = tmp_path / "table"
    code = (
        "import os, sys\n"
        "from echotok.mining import session\n"
        "def die(rows, path):\n"
        "    path.write_text('half', encoding='utf-8')\n"
        "    os.kill(os.getpid(), 9)\n"
        "session.write_sheet = die\n"
        "session.mine_reports(sys.argv[1], sys.argv[2], column='report', "
        f"patient_column='patient', vocab_size={SIZE})\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(reports), str(out)], check=False)
    assert killed.returncode == -9
    assert list(out.iterdir()) == []
    state = json.loads((tmp_path / "table.mining-state.json").read_text(encoding="utf-8"))
    assert state["trials"]
    assert (tmp_path / ".table.partial" / "review.tsv").read_text(encoding="utf-8") == "half"
    mine_reports(reports, out, column="report", patient_column="patient", vocab_size=SIZE)
    assert _contents(out) == _contents(folder)
    left = {path.name for path in tmp_path.iterdir()} - {"table", "table.private.csv"}
    assert left == set()


def test_mining_is_one_call(reports: Path, folder: Path, tmp_path: Path) -> None:
    """`mine_reports` writes what the command writes, and says what it wrote; it tells its steps."""
    out, steps, counted = tmp_path / "table", [], 0

    def told(step: str, share: float | None = None, *, count: int = 0) -> None:
        nonlocal counted
        counted += count
        assert share is None or 0 <= share <= 1
        if step not in steps:
            steps.append(step)

    result = mine_reports(
        reports, out, column="report", patient_column="patient", vocab_size=SIZE, progress=told
    )
    assert _contents(out) == _contents(folder)
    assert steps[0] == "reading"
    assert len(steps) > 2
    assert counted == result.num_reports
    assert result.table == echotok.read_table(out)
    assert (result.out, result.review) == (out, out / "review.tsv")
    assert result.num_new == len(result.table.phrases)
    assert result.private == tmp_path / "table.private.csv"
    with result.private.open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == result.num_held_back
    tok = build(out)
    texts = [report.text for report in read_reports([reports], column="report")]
    # Mining counts on its own arrays, which hide what is held back; the tokenizer spells it.
    assert result.tokens_per_report == pytest.approx(
        sum(len(tok.encode(text).ids) - 2 for text in texts) / len(texts), rel=0.02
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 1}, "allow_rare=True"),
        ({"k": 0, "allow_rare": True}, "k is 0"),
        ({"max_distinct": 0}, "max_distinct is 0"),
        ({"words": ["w.txt"], "base": "t"}, "--base keeps the old one"),
        ({"private": "OUT/names.csv"}, "keep the file outside"),
        ({"private": "nowhere/names.csv"}, "there is no such folder"),
    ],
)
def test_options_that_cannot_be(
    reports: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    """They are refused before anything is read, and no folder is left behind."""
    if "private" in options:
        options = {"private": tmp_path / str(options["private"])}
    with pytest.raises(OptionError, match=message):
        mine_reports(reports, tmp_path / "OUT", column="report", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "OUT").exists()


def test_an_error_of_reading_leaves_no_folder(reports: Path, tmp_path: Path) -> None:
    """The folder is made first, to know that it can be, and goes again if nothing comes of it."""
    with pytest.raises(echotok.InputError, match="has no column 'nope'"):
        mine_reports(reports, tmp_path / "out", column="nope")
    assert list(tmp_path.iterdir()) == []


# The parts


def test_the_rarest_segments_are_drawn_by_lot() -> None:
    """About as many as are asked for; sums stay, the shared stay, and order changes nothing."""
    rng = random.Random(0)
    sentences = [f"w{at % 10} x{at % 50} y{at}." for at in range(4000)]
    given = [(rng.choice(sentences[:200]), rng.choice(sentences)) for _ in range(5000)]
    stores = [ReportStore(units=UNITS), ReportStore(units=UNITS)]
    for store, pairs in zip(stores, (given, given[::-1]), strict=True):
        for number, pair in enumerate(pairs):
            of_patient = number if pairs is given else len(pairs) - 1 - number
            store.add(" ".join(pair), patient=of_patient % 97)
    whole = stores[0].segments(k=3)
    drawn, again = (store.segments(k=3, max_distinct=1000) for store in stores)
    assert len(whole.weights) > 2500
    assert len(drawn.weights) == pytest.approx(1000, rel=0.08)
    assert drawn.weights.sum() == pytest.approx(whole.weights.sum(), rel=0.05)
    of_whole = {
        stores[0].texts[number]: (weight, set(_holders(whole, at)))
        for at, (number, weight) in enumerate(zip(whole.numbers, whole.weights, strict=True))
    }
    kept = {stores[0].texts[number]: at for at, number in enumerate(drawn.numbers)}
    shared = {text for text, (_, holders) in of_whole.items() if len(holders) == 3}
    assert shared <= kept.keys()
    bar = min(drawn.weights[at] for text, at in kept.items() if text not in shared)
    assert bar > 1
    for text, at in kept.items():
        times, holders = of_whole[text]
        assert drawn.weights[at] == (times if text in shared else max(times, bar))
        assert set(_holders(drawn, at)) == holders
    words = [
        Counter({word: int(weight) for word, weight in _word_weights(one)})
        for one in (whole, drawn)
    ]
    assert all(words[1][f"w{at}"] == pytest.approx(words[0][f"w{at}"], rel=0.1) for at in range(10))
    assert [stores[0].texts[number] for number in drawn.numbers] == [
        stores[1].texts[number] for number in again.numbers
    ]
    assert np.array_equal(drawn.weights, again.weights)


@pytest.mark.parametrize(("most", "num_shared"), [(400, 100), (100, 75)])
def test_a_flood_of_rare_sentences_washes_nothing_out(most: int, num_shared: int) -> None:
    """What k patients share is drawn only where it fills three quarters by itself."""
    store = ReportStore(units=UNITS)
    for patient in range(6):
        store.add(" ".join(f"shared w{at}." for at in range(100)), patient=patient)
    store.add(" ".join(f"flood w{at}." for at in range(50_000)), patient=6)
    drawn = store.segments(k=5, max_distinct=most)
    texts = [store.texts[number] for number in drawn.numbers]
    found = sum(text.startswith("shared") for text in texts)
    assert found == num_shared if most == 400 else found == pytest.approx(num_shared, abs=15)
    assert len(texts) - found == pytest.approx(most - num_shared, rel=0.25)
    flood = drawn.weights[[text.startswith("flood") for text in texts]]
    assert flood.sum() == pytest.approx(50_000, rel=0.25)


def _holders(segments: Segments, at: int) -> list[int]:
    low, high = segments.holder_starts[at : at + 2]
    return segments.holders[low:high].tolist()


def _word_weights(segments: Segments) -> Iterator[tuple[str, float]]:
    weight = segments.weights[segments.segment_of_node()]
    real = segments.pieces >= 0
    sums = np.bincount(segments.pieces[real], weight[real])
    yield from zip(segments.vocabulary, sums.tolist(), strict=True)


@pytest.mark.parametrize("longest", [3, 5])
@pytest.mark.parametrize("unfit", ["", "c", "a b", "b c a"])
@pytest.mark.parametrize("seed", range(10))
def test_runs_are_those_of_brute_force(seed: int, unfit: str, longest: int) -> None:
    """Runs equal a naive count: k patients hold them, and no longer one stands for them."""
    rng = random.Random(seed)
    store = ReportStore(units=())
    patients = []
    for _ in range(12):
        words = [rng.choice("abc") for _ in range(rng.randrange(1, 7))]
        # Some of what always stands together, as templates do.
        words += ["d", "c", "a", "b", "c", "a", "e"] if rng.random() < 0.5 else []
        patient = rng.randrange(6)
        patients.append((patient, words))
        store.add(" ".join(words), patient=patient)
    segments = store.segments(k=3)
    view = make_views(segments, (), NumberCode().split)[0]

    def fits(text: str, length: int) -> bool:
        return not unfit or unfit not in text

    runs = mine_runs(segments, view, k=3, longest=longest, fits=fits)
    found = [
        (text, count)
        for text, count in zip(runs.texts, np.bincount(runs.run).tolist(), strict=True)
    ]
    assert dict(found) == _naive_runs(patients, k=3, longest=longest, unfit=unfit)


def _naive_runs(
    patients: list[tuple[int, list[str]]], *, k: int, longest: int, unfit: str
) -> dict[str, int]:
    """The runs and in how many places of distinct texts each stands."""
    holders: dict[tuple[str, ...], set[int]] = defaultdict(set)
    # The same words are one segment, however many reports hold them.
    places: dict[tuple[str, ...], set[tuple[tuple[str, ...], int]]] = defaultdict(set)
    for patient, words in patients:
        for low in range(len(words)):
            for high in range(low + 1, min(low + longest, len(words)) + 1):
                holders[tuple(words[low:high])].add(patient)
                places[tuple(words[low:high])].add((tuple(words), low))
    usable = {
        run
        for run, who in holders.items()
        if len(who) >= k and not (unfit and unfit in " ".join(run))
    }

    def stands_for(longer: tuple[str, ...], run: tuple[str, ...]) -> bool:
        return any(
            {(text, low + shift) for text, low in places[longer]} == places[run]
            for shift in range(len(longer) - len(run) + 1)
            if longer[shift : shift + len(run)] == run
        )

    return {
        " ".join(run): len(places[run])
        for run in usable
        if len(run) == 1
        or not any(len(longer) > len(run) and stands_for(longer, run) for longer in usable)
    }


_REST = (
    "no regional wall motion abnormality of the left ventricle is seen and the pericardium is "
    "normal without any effusion"
)


@pytest.mark.parametrize(
    "frame",
    [
        "LVEF NN%, {}.",
        "LVEF>NN%, {}.",
        "LVEF>=NN%, {}.",
        "EF\u2265NN%, {}.",
        "EF~NN%, {}.",
        "EF\u2248NN%, {}.",
        "TAPSE<NNmm, {}.",
        "(EF>NN%) {}.",
        "E/e'>NN, {}.",
        "[**Name**] {}.",
        "[**First Name (STitle) NN**] {}.",
        "___ {}.",
        "<DATE>, {}.",
        "XXXX {}.",
        "{{name}} {}.",
        "{{{{NAME}}}}: {}.",
        "{} by {{doctor}}.",
        "{} in LVEF>NN%.",
        "The mass is gone, EF>NN% now, and {}.",
    ],
)
def test_a_sentence_is_kept_beside_what_no_table_can_hold(frame: str) -> None:
    """What always stands before, behind or around a template sentence never costs the sentence."""
    store = ReportStore(units=UNITS, find_private=PrivateFinder())
    for number in range(150):
        store.add(frame.format(_REST).replace("NN", str(40 + number % 30)))
    mined = mine(store, Options(vocab_size=300))
    assert any(_REST in phrase.text for phrase in mined.table.live)
    assert mined.num_tokens / store.num_reports <= 8


def test_a_template_that_is_not_quite_always_there_is_kept() -> None:
    """At 97 % of the reports the sentence is a row, as it is at 100 %."""
    for others in (0, 1, 4):
        store = ReportStore(units=UNITS, find_private=PrivateFinder())
        for number in range(150):
            head = "LVEF>NN%, " if number >= others else "Now "
            store.add(f"{head}{_REST}.".replace("NN", str(40 + number % 30)))
        mined = mine(store, Options(vocab_size=300))
        assert any(_REST in phrase.text for phrase in mined.table.live)


def test_a_sentence_longer_than_a_phrase_may_be_is_cut_into_phrases() -> None:
    """Seventy words that always stand together are a few phrases, not seventy tokens."""
    store = ReportStore(units=UNITS, find_private=PrivateFinder())
    words = " ".join(f"word{chr(97 + one)}{chr(97 + two)}" for one in range(7) for two in range(10))
    for _ in range(50):
        store.add(words)
    mined = mine(store, Options(vocab_size=400))
    assert mined.num_tokens / store.num_reports <= 14


def test_mining_needs_no_heavy_package() -> None:
    """Importing mining imports neither torch nor pandas nor pyarrow."""
    code = (
        "import sys, echotok.mining.session; "
        "print(*[m for m in ('torch', 'pandas', 'pyarrow', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        ([], "the inputs hold no report"),
        (["Mild MR."] * 4, "no word is shared by 5 patients: 4 reports of 4 patients"),
        ([f"word{chr(97 + n)}x" for n in range(8)], "no word is shared by 5 patients"),
    ],
)
def test_reports_that_share_nothing_are_refused(reports: list[str], message: str) -> None:
    """Too few reports, or reports of which each stands alone, give a reason and no table."""
    store = ReportStore(units=UNITS, find_private=PrivateFinder())
    for report in reports:
        store.add(report)
    with pytest.raises(echotok.InputError, match=message):
        mine(store, Options(vocab_size=SIZE, k=K))


def test_five_reports_are_enough() -> None:
    """What k patients share becomes a phrase, however few they are."""
    store = ReportStore(units=UNITS, find_private=PrivateFinder())
    for _ in range(K):
        store.add("Mild MR.")
    mined = mine(store, Options(vocab_size=SIZE, k=K))
    assert "mild mr." in {phrase.text for phrase in mined.table.phrases}


def test_processes_that_read_the_reports_give_the_same_table(
    reports: Path, folder: Path, tmp_path: Path
) -> None:
    """Byte for byte, with what is held back."""
    out = tmp_path / "table"
    done = _mine(reports, out, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(folder)
    assert Path(f"{out}.private.csv").read_bytes() == Path(f"{folder}.private.csv").read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_store_that_others_fill_is_that_of_one_process(
    reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many reports and parts are given out at a time."""
    given = [(report.text, report.patient) for report in read_reports([reports], column="report")]
    one = ReportStore(units=UNITS, find_private=PrivateFinder())
    for text, patient in given:
        one.add(text, patient=patient)
    monkeypatch.setattr(store_module, "_AT_ONCE", 7)
    monkeypatch.setattr(store_module, "_BATCH", 3)
    other = ReportStore(units=UNITS, find_private=PrivateFinder())
    with ThreadPoolExecutor(3) as executor:
        assert len([*other.add_all(given, executor=executor)]) == len(given)
    assert other.digest() == one.digest()
    assert other.leftovers == one.leftovers


def test_processes_that_end_while_they_read_are_said() -> None:
    """With what to do, and no traceback."""

    class Broken(Executor):
        def submit(self, *_: object, **__: object) -> Future[object]:
            raise BrokenExecutor

    store = ReportStore(units=UNITS)
    with pytest.raises(InputError, match="have ended; is there enough memory"):
        [*store.add_all([("No effusion.", None)], executor=Broken())]
