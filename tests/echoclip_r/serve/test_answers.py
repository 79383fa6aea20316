"""What is found: by text, report, clip, study and filter, and what each answer says."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re

import numpy as np
import pytest

from echoclip_r.serve.audit import Audit
from tests.echoclip_r.serve.conftest import HOSTILE_ID, SAME, Archive, Running

JSON = {"Accept": "application/json"}


def test_a_text_finds_clips_in_order_and_says_why(server: Running) -> None:
    """Percentiles fall with the rank, and findings stand beside those of the query."""
    answer = server.ask(text="Severe mitral regurgitation. EF 55%.", top=5)
    hits = answer["models"][0]["hits"]
    assert answer["status"] == 200
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4, 5]
    assert all(one["cosine"] >= two["cosine"] for one, two in itertools.pairwise(hits))
    assert all(0 <= hit["percentile"] < 100 for hit in hits)
    verdicts = {row["name"]: row["verdict"] for hit in hits for row in hit["findings"]}
    assert verdicts["mitral_regurgitation"] in ("agree", "differ", "query")


def test_a_report_finds_itself_among_the_reports(server: Running, searched: Archive) -> None:
    """With a cosine of 1, and all of its findings agree."""
    own = searched.rows[0]["report"]
    hit = server.ask(text=own, target="reports", top=5)["models"][0]["hits"][0]
    assert hit["report"] == own
    assert hit["cosine"] == pytest.approx(1, abs=1e-4)
    assert {row["verdict"] for row in hit["findings"]} == {"agree"}


def test_identical_reports_are_one_hit(server: Running) -> None:
    """Letter case does not make another report; the page names the others."""
    found = server.ask(text=SAME, target="reports", top=5)
    best, *others = found["models"][0]["hits"]
    assert best["num_same"] == 4
    assert all(hit["report"].lower() != SAME.lower() for hit in others)
    page = server.client.get(f"/answer/{found['answer']}").text
    assert "4 studies have this report word for word" in page


def test_a_clip_is_masked_shown_and_finds_itself(server: Running, searched: Archive) -> None:
    """The file's own clip is the best hit, and its pictures are there before and after masking."""
    files = {"clip": (searched.clip.name, searched.clip.read_bytes())}
    found = server.ask(files=files, top=5)
    assert found["status"] == 200, found
    best = found["models"][0]["hits"][0]
    assert best["study_id"] == searched.rows[0]["study_id"]
    assert best["cosine"] > 0.98
    for picture in ("before", "after"):
        answer = server.client.get(f"/brought/{found['answer']}/{picture}.webp")
        assert answer.content[8:12] == b"WEBP"


def test_a_study_finds_others_and_no_other_study_of_its_patient(server: Running) -> None:
    """The patient's own are on the timeline instead."""
    index = server.service.engines[0].index
    row = next(row for row in range(len(index)) if len(index.rows_of_patient(row)) > 1)
    key, patient = index.cell("key", row), index.cell("patient_id", row)
    found = server.ask(study=key, top=10)
    assert patient not in {hit["patient_id"] for hit in found["models"][0]["hits"]}
    page = server.client.get(f"/answer/{found['answer']}").text
    assert "own studies are left out" in page
    assert page.count("this study") >= 1


def test_filters_keep_what_fits_and_say_how_they_were_read(server: Running) -> None:
    """Findings, columns, and both beside a text."""
    every = server.ask(text="Mitral regurgitation.", top=50)["models"][0]
    found = server.ask(where="EF 40-100 %; date >= 2000", top=50)["models"][0]
    assert found["conditions"] == ["ejection fraction 40 to 100 %", "date >= 2000"]
    assert found["hits"][0]["cosine"] is None
    dates = [hit["date"] for hit in found["hits"]]
    assert dates == sorted(dates, reverse=True)
    both = server.ask(text="Mitral regurgitation.", where="EF 40-100 %", top=50)["models"][0]
    assert 0 < both["num_compared"] < every["num_compared"]
    engine = server.service.engines[0]
    values = np.asarray(engine.index["ejection_fraction"])
    assert both["num_compared"] == int(((values >= 40) & (values <= 100)).sum())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "nothing is asked"),
        ({"text": "?! --"}, "it holds no word"),
        ({"where": "wombat >= 3"}, "neither a column nor a finding"),
        ({"where": "EF > 200"}, "none of the"),
        ({"where": "x" * 600}, "the filter has 600 characters"),
        ({"study": "test-99999999"}, "no such clip"),
        ({"text": "a " * 60_000}, "at most 100,000"),
    ],
)
def test_a_question_that_says_nothing_is_told_so(
    server: Running, fields: dict[str, str], said: str
) -> None:
    """In a sentence, for machines and on a page that keeps what was typed."""
    found = server.ask(**fields)
    assert found["status"] == 422
    assert said in found["error"]
    page = server.client.post("/search", data={"top": "20", **fields})
    assert page.status_code == 422
    assert "Nothing was searched." in page.text
    assert "<option selected>20</option>" in page.text


def test_words_that_the_model_never_read_are_told(server: Running) -> None:
    """The answer is there, with a remark."""
    notes = server.ask(text="zygomorphic wombat quux")["models"][0]["notes"]
    assert any("words that the model hardly knows" in note for note in notes)


def test_an_answer_leaves_as_csv_json_and_one_page(server: Running) -> None:
    """Ids alone in the table, in which no cell is a formula; the page asks nothing of a network."""
    name = server.ask(text="Mild mitral regurgitation.", top=50)["answer"]
    table = server.client.get(f"/answer/{name}/0.csv")
    assert "attachment" in table.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    assert HOSTILE_ID in {row["study_id"] for row in rows}
    assert "report" not in rows[0]
    page = server.client.get(f"/answer/{name}/0.html").text
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert server.client.get(f"/answer/{name}/0.json").json()["hits"]


def test_a_heatmap_comes_on_request(server: Running) -> None:
    """For a hit of the answer, and no other clip."""
    found = server.ask(text="A pacemaker lead is seen.", top=5)
    keys = [hit["key"] for hit in found["models"][0]["hits"]]
    heat = server.client.get(f"/heat/{found['answer']}/0/{keys[0]}")
    assert heat.headers["content-type"] == "image/webp"
    assert server.client.get(f"/heat/{found['answer']}/0/test-99999999").status_code == 404


def test_a_report_is_coloured_as_it_is_typed(server: Running) -> None:
    """The runs are the whole text, and a phrase is one of them."""
    text = "Mild mitral regurgitation is present.  \n<b>x</b> é"
    parts = server.client.post("/colour", data={"text": text}).json()
    assert "".join(part for part, _ in parts) == text
    assert {kind for _, kind in parts} & {"phrase", "value"}


def test_pictures_are_given_only_of_clips_that_were_shown(server: Running) -> None:
    """What is on no page is in no audit, and so nobody gets it."""
    index = server.service.engines[0].index
    found = server.ask(text="Mild mitral regurgitation.", top=5)
    shown = found["models"][0]["hits"][0]["key"]
    for file in ("still.webp", "loop.webp"):
        assert server.client.get(f"/clip/{shown}/{file}").content[8:12] == b"WEBP"
    hidden = [
        key for key in map(str, (index.cell("key", row) for row in range(len(index))))
        if not server.service.is_shown(key)
    ]  # fmt: skip
    if hidden:
        assert server.client.get(f"/clip/{hidden[0]}/still.webp").status_code == 404
    assert server.client.get("/clip/test-99999999/still.webp").status_code == 404


def test_each_question_is_in_the_audit_and_none_of_its_words(server: Running) -> None:
    """Who, when, by what, and the studies that were shown."""
    found = server.ask(text="A wombat with severe mitral regurgitation.", top=5)
    lines = (server.folder / "audit.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    assert last["action"] == "text"
    assert last["studies"] == [hit["study_id"] for hit in found["models"][0]["hits"]]
    assert {"time", "user", "model"} <= last.keys()
    assert "wombat" not in "\n".join(lines)
    assert (server.folder / "audit.jsonl").stat().st_mode & 0o077 == 0


def test_what_cannot_be_noted_is_not_shown(server: Running, tmp_path) -> None:
    """A full disk or a lost folder stops the search."""
    before = server.service.audit
    server.service.audit = Audit(tmp_path / "gone" / "audit.jsonl")
    try:
        found = server.ask(text="Mild mitral regurgitation.")
    finally:
        server.service.audit = before
    assert found["status"] == 422
    assert "nothing is shown" in found["error"]


def test_a_clip_that_holds_nothing_of_the_words_is_told(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture without a colour would look like a fault."""
    asked = server.ask(text="Mild MR.")
    key = asked["models"][0]["hits"][0]["key"]
    monkeypatch.setattr(
        "echoclip_r.explain.prompt_cam.prompt_cam",
        lambda _model, frames, _texts: np.zeros((len(frames), 4, 4), np.float32),
    )
    answer = server.client.get(
        f"/heat/{asked['answer']}/0/{key}", headers={"Accept": "application/json"}
    )
    assert answer.status_code == 400
    assert "no place in this clip" in answer.json()["error"]
