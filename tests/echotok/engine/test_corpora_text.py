"""Other people's reports, which never are part of the checkout: nothing lost, spans true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

import echotok
from echotok import Tokenizer
from echotok.building import build
from echotok.corpora import read_reports

TABLE = ROOT / "phrase_tables" / "echo"
SPAN_STEP = 20  # working out spans is slower than encoding: one report in so many


@pytest.fixture(scope="module")
def reports(corpus_files: list[Path]) -> list[echotok.corpora.Report]:
    """All reports of all corpora, and our own."""
    own = [ROOT / "benchmarks" / "reports"] if (ROOT / "benchmarks" / "reports").is_dir() else []
    return [*read_reports(corpus_files, column="text"), *read_reports(own)]


# A failure names the report, never its text (I9).


def test_nothing_is_lost(tok: Tokenizer, reports: list[echotok.corpora.Report]) -> None:
    """Each report decodes to its normalized text, a fixed point; different texts differ in ids."""
    lossy, moved = [], []
    texts: set[str] = set()
    encodings: set[tuple[int, ...]] = set()
    for report in reports:
        normalized = tok.normalize(report.text)
        ids = tok.encode(report.text).ids
        if tok.decode(ids) != normalized:
            lossy.append(report.source)
        if tok.normalize(normalized) != normalized or tok.encode(normalized).ids != ids:
            moved.append(report.source)
        texts.add(normalized)
        encodings.add(tuple(ids))
    assert lossy == []
    assert moved == []
    assert len(encodings) == len(texts)


def _spans_are_true(tok: Tokenizer, text: str) -> bool:
    encoding = tok.encode(text)
    covered = 0
    for start, end in encoding.unit_offsets:
        if not covered <= start < end <= len(text) or text[covered:start].strip():
            return False
        covered = end
    if text[covered:].strip():
        return False
    ids_of: list[list[int]] = [[] for _ in encoding.unit_offsets]
    for number, unit, span in zip(encoding.ids, encoding.units, encoding.offsets, strict=True):
        if unit is None:
            if span is not None:
                return False
            continue
        low, high = encoding.unit_offsets[unit]
        if span is None or not low <= span[0] <= span[1] <= high:
            return False
        ids_of[unit].append(number)
    return all(
        tok.decode(ids) == tok.normalize(text[start:end])
        for ids, (start, end) in zip(ids_of, encoding.unit_offsets, strict=True)
    )


def test_spans_are_true(tok: Tokenizer, reports: list[echotok.corpora.Report]) -> None:
    """Units cover every visible character once, and each spells the text under it (a sample)."""
    sample = reports[::SPAN_STEP]
    assert [report.source for report in sample if not _spans_are_true(tok, report.text)] == []


def test_truncated_reports_are_whole_units(
    tok: Tokenizer, reports: list[echotok.corpora.Report]
) -> None:
    """A row of 77 holds the beginning of its report, ends in EOS and counts what is missing."""
    sample = reports[::SPAN_STEP]
    batch = tok.encode_batch([report.text for report in sample], context_length=77)
    wrong = []
    for row, report in enumerate(sample):
        ids = batch.ids[row, : batch.lengths[row]]
        whole = tok.encode(report.text).ids
        ok = len(whole) == batch.lengths[row] + batch.num_dropped[row]
        ok &= ids[-1] == tok.eos_id and not batch.cut_inside_unit[row]
        ok &= tok.normalize(report.text).startswith(tok.decode(ids))
        if not ok:
            wrong.append(report.source)
    assert wrong == []


# What ships is what the table builds


def _texts(files: list[Path]) -> Iterator[str]:
    for report in read_reports(sorted(files, key=lambda file: file.name), column="text"):
        yield report.text


def _shipped(name: str) -> bytes:
    return (Path(echotok.__file__).parent / "artifacts" / f"{name}.json").read_bytes()


def test_echo_is_what_its_table_builds(corpus_files: list[Path], tmp_path: Path) -> None:
    """`echo`, built again from table and corpora, is the shipped file byte for byte."""
    pytest.importorskip("tokenizers")
    build(TABLE, corpus=_texts(corpus_files)).save(tmp_path / "echo.json")
    assert (tmp_path / "echo.json").read_bytes() == _shipped("echo")


def test_echo_clip_is_what_its_table_builds(tmp_path: Path) -> None:
    """`echo-clip` needs no corpus: the table and CLIP's merges give the shipped file."""
    try:
        built = build(TABLE, fallback="clip")
    except echotok.MergesError:
        pytest.skip("CLIP's merges are not installed")
    built.save(tmp_path / "echo-clip.json")
    assert (tmp_path / "echo-clip.json").read_bytes() == _shipped("echo-clip")
