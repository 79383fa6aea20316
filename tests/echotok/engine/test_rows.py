"""Batches that are packed, that stream, and that several threads work on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from echotok import Batch, InputTypeError, PackedBatch, Tokenizer, load
from echotok.corpora import read_reports
from echotok.engine.core import row_padder


@pytest.fixture(scope="module")
def reports() -> list[str]:
    """1,500 texts: synthetic reports, in parts too, some not ASCII, one empty."""
    folder = ROOT / "benchmarks" / "reports"
    whole = [report.text for report in read_reports(sorted(folder.iterdir()))]
    lines = [line for report in whole for line in report.splitlines()]
    return ["", "LA 20 cm\xb2. Na\xefve.", "x" * 900, "\u5fc3. Mild MR.", *whole, *lines][:1500]


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads share small batches, too."""
    monkeypatch.setattr("echotok.engine.rows._SLICE", 4000)


def rows_of(packed: PackedBatch) -> list[list[int]]:
    return [row.tolist() for row in np.split(packed.ids, packed.row_ends)[:-1]]


@pytest.mark.parametrize("context_length", [None, 3, 4, 20])
@pytest.mark.parametrize("num_threads", [1, 3])
def test_packed_rows_are_those_of_encode(
    tok: Tokenizer, reports: list[str], context_length: int | None, num_threads: int
) -> None:
    """Packed, padded and streamed, by one thread or three: what `encode` and `truncate` give."""
    expected = [tok.encode(report) for report in reports]
    if context_length is not None:
        expected = [encoding.truncate(context_length) for encoding in expected]
    ids = [encoding.ids for encoding in expected]
    packed = tok.encode_batch(
        reports, context_length=context_length, pack=True, num_threads=num_threads
    )
    assert packed.ids.dtype == np.int32
    assert rows_of(packed) == ids
    assert packed.num_dropped.tolist() == [encoding.num_dropped for encoding in expected]
    assert packed.cut_inside_unit.tolist() == [encoding.cut_inside_unit for encoding in expected]
    padded = tok.encode_batch(reports, context_length=context_length, num_threads=num_threads)
    assert padded.ids.dtype == np.int64
    assert [row[:n].tolist() for row, n in zip(padded.ids, padded.lengths, strict=True)] == ids
    assert (padded.ids[padded.attention_mask == 0] == tok.pad_id).all()
    assert padded.num_truncated == packed.num_truncated
    stream = list(
        tok.encode_stream(reports, size=100, context_length=context_length, num_threads=num_threads)
    )
    assert len(reports) == 1500
    assert [len(batch) for batch in stream] == [100] * 15
    assert [row for batch in stream for row in rows_of(batch)] == ids
    assert all(batch.ids.flags.writeable for batch in stream)


def test_rows_are_padded_alike_with_and_without_the_core(
    tok: Tokenizer, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Padding in C is what NumPy gives, and rows that do not fit are refused, not written."""
    padder = row_padder()
    if padder is None:
        pytest.skip("no compiled core: it was not built")
    packed = tok.encode_batch(reports, pack=True)
    padded = [Batch.of(packed, pad_id=7, width=width).ids for width in (None, 9000)]
    monkeypatch.setattr("echotok.engine.batch.row_padder", lambda: None)
    for width, ids in zip((None, 9000), padded, strict=True):
        assert (Batch.of(packed, pad_id=7, width=width).ids == ids).all()
    ids, out = np.arange(6, dtype=np.int32), np.full(8, 9, dtype=np.int64)
    for ends, width in (([2, 7], 4), ([5, 6], 4), ([4, 2], 4), ([-1, 2], 4), ([2, 4, 6], 4)):
        with pytest.raises(ValueError, match="fit"):
            padder(ids, np.array(ends, dtype=np.int64), out, width, 0)
    padder(ids, np.array([2, 6], dtype=np.int64), out, 4, 8)
    assert out.tolist() == [0, 1, 8, 8, 2, 3, 4, 5]


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_stream_reads_no_further_than_it_must(tok: Tokenizer, num_threads: int) -> None:
    """Of endless reports only those are held that the threads work on."""
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield f"LVEF is {read % 100}%."

    stream = tok.encode_stream(endless(), size=10, num_threads=num_threads)
    for number, batch in zip(range(20), stream, strict=False):
        assert len(batch) == 10
        assert read <= 10 * (number + num_threads + 3)


def test_no_reports(tok: Tokenizer) -> None:
    """An empty batch has no rows."""
    packed = tok.encode_batch([], pack=True)
    assert packed.ids.shape == packed.row_ends.shape == (0,)
    assert list(tok.encode_stream([])) == []


def test_arrow_columns(tok: Tokenizer, reports: list[str]) -> None:
    """Arrow arrays, chunked or not, are read as they are; a missing value is named by its row."""
    arrow = pytest.importorskip("pyarrow")
    expected = tok.encode_batch(reports, pack=True).ids.tolist()
    plain = arrow.array(reports)
    for column in (plain, arrow.chunked_array([plain[:7], plain[7:]]), plain.cast("large_string")):
        assert tok.encode_batch(column, pack=True).ids.tolist() == expected
    with pytest.raises(InputTypeError, match="row 1 of the batch must be a str, not None"):
        tok.encode_batch(arrow.array(["Mild MR.", None]))


def test_what_a_batch_refuses(tok: Tokenizer) -> None:
    """Numbers that are too small, and a row that is no text, behind many that are."""
    with pytest.raises(ValueError, match="num_threads is 0; encoding takes at least 1"):
        tok.encode_batch(["Mild MR."], num_threads=0)
    with pytest.raises(ValueError, match="size is 0; a batch holds at least 1 report"):
        tok.encode_stream(["Mild MR."], size=0)
    rows = ["Mild MR."] * 900 + [5]
    with pytest.raises(InputTypeError, match="row 900 of the batch must be a str, not int"):
        tok.encode_batch(rows, num_threads=3)  # type: ignore[list-item]


@pytest.mark.parametrize("num_threads", [1, 4])
def test_what_stands_before_a_bad_row_is_given(tok: Tokenizer, num_threads: int) -> None:
    """The batches before a row that is no text come first, however many threads read ahead."""
    rows = [f"LVEF is {number}%." for number in range(35)]
    given = []
    with pytest.raises(InputTypeError, match="row 35 of the batch must be a str, not None"):
        for batch in tok.encode_stream([*rows, None], size=10, num_threads=num_threads):  # type: ignore[list-item]
            given += rows_of(batch)
    assert given == [tok.encode(row).ids for row in rows[:30]]


def test_the_python_engine_gives_the_same_batches(
    tok: Tokenizer, reports: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ECHOTOK_ENGINE=python: the same rows, dropped ids and cuts."""
    tok.save(tmp_path / "copy.json")
    monkeypatch.setenv("ECHOTOK_ENGINE", "python")
    oracle = load(tmp_path / "copy.json")
    assert oracle._engine.core is None
    for context_length in (None, 4):
        ours = tok.encode_batch(reports, context_length=context_length, pack=True)
        theirs = oracle.encode_batch(reports, context_length=context_length, pack=True)
        for name in PackedBatch.__slots__:
            assert (getattr(ours, name) == getattr(theirs, name)).all()
            assert getattr(ours, name).dtype == getattr(theirs, name).dtype
