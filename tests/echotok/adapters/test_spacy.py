"""The spaCy component, through spaCy's own pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

import echotok

spacy = pytest.importorskip("spacy")
from echotok.adapters.spacy import KEY  # noqa: E402

TEXTS = [
    "LVEF is 55-60%. Mild mitral regurgitation. No pericardial effusion.",
    "",
    "Severe  AS;\n mean gradient 45mmHg. \U0001f600 Na\u00efve Ko\u0308rper <eos>",
]


@pytest.fixture(scope="module")
def nlp():
    """A blank English pipeline with the component."""
    nlp = spacy.blank("en")
    nlp.add_pipe(KEY)
    return nlp


def said(doc) -> list:
    return [
        (span.start_char, span.end_char, span.label_, span._.phrase, span._.slot_values,
         span._.findings)
        for span in doc.spans[KEY]
    ]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_spans_hold_phrases_values_and_findings(nlp, text: str) -> None:
    """Every value of the text is in one span, at its place; every finding is in the document."""
    doc = nlp(text)
    encoding = echotok.load("echo").encode(text)
    spans = list(doc.spans[KEY])
    values = [value for span in spans for value in span._.slot_values]
    assert [(v["slot"], v["value"], (v["start"], v["end"])) for v in values] == [
        (found.slot, found.value, found.span) for found in encoding.slots()
    ]
    phrases = [
        token for token, kind in zip(encoding.tokens, encoding.kinds, strict=True)
        if kind == "phrase"
    ]  # fmt: skip
    assert [span._.phrase for span in spans if span._.phrase is not None] == phrases
    rows = [row._asdict() for row in echotok.findings(text)]
    assert [row | {"words": ()} for row in doc._.findings] == rows
    for span in spans:
        for row in span._.findings:
            assert row["start"] < span.end_char
            assert span.start_char < row["end"]


def test_processes_and_saved_documents_agree(nlp, tmp_path: Path) -> None:
    """Two processes, a saved pipeline and a saved document give the same spans."""
    expected = [said(nlp(text)) for text in TEXTS]
    assert [said(doc) for doc in nlp.pipe(TEXTS, n_process=2, batch_size=1)] == expected
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    assert said(loaded(TEXTS[0])) == expected[0]
    again = spacy.tokens.Doc(nlp.vocab).from_bytes(nlp(TEXTS[0]).to_bytes())
    assert said(again) == expected[0]


def test_a_pipeline_names_its_tokenizer(tmp_path: Path) -> None:
    """Another tokenizer is named in the configuration, by name or path; an unknown one is told."""
    echotok.load("echo").save(tmp_path / "mine.json")
    nlp = spacy.blank("en")
    nlp.add_pipe(KEY, config={"tokenizer": str(tmp_path / "mine.json")})
    assert nlp("Mild LVH.").spans[KEY]
    with pytest.raises(echotok.ArtifactError, match="no tokenizer 'ecko'"):
        spacy.blank("en").add_pipe(KEY, config={"tokenizer": "ecko"})
