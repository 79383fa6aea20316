"""The index of an archive: what it holds, what it is made again for, and the nearest in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from echoclip_r.data.shards import read_clips
from echoclip_r.errors import EchoclipError
from echoclip_r.search.nearest import find_nearest
from echoclip_r.serve.engine import Question
from echoclip_r.serve.index import build_index, open_index
from echoclip_r.serve.server import ServeConfig, make_service
from echotok.cli.main import main as echotok_main
from tests.echoclip_r.serve.conftest import (
    HOSTS,
    Access,
    Archive,
    Running,
    open_service,
    run_server,
)


@settings(max_examples=60, deadline=None)
@example(seed=0, k=1, share=0.03125)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 12), share=st.floats(0, 1))
def test_the_nearest_are_those_of_a_plain_search(seed: int, k: int, share: float) -> None:
    """One of each group, the best; whatever part of the rows a filter leaves."""
    generator = np.random.default_rng(seed)
    vectors = generator.integers(-2, 3, (60, 4)).astype(np.float32)
    query = generator.normal(size=4).astype(np.float32)
    groups = generator.integers(-1, 15, 60)
    keep = generator.random(60) < share
    found = find_nearest(vectors, query, k=k, groups=groups, keep=keep)
    cosines = vectors @ query
    best: dict[int, int] = {}
    for row in sorted(np.flatnonzero(keep), key=lambda row: (-cosines[row], row)):
        best.setdefault(int(groups[row]) if groups[row] >= 0 else -1 - int(row), int(row))
    expected = list(best.values())[:k]
    assert np.allclose(cosines[found.rows], cosines[expected], atol=1e-5)
    assert len({*groups[found.rows][groups[found.rows] >= 0]}) == (groups[found.rows] >= 0).sum()
    assert found.num_compared == keep.sum()
    if found.num_compared == 1:  # one alone stands nowhere among others
        assert np.isnan(found.percentiles).all()
        return
    for row, percentile in zip(found.rows, found.percentiles, strict=True):
        lower = 100 * np.mean(cosines[keep] < cosines[row] - 1e-6)
        upper = 100 * np.mean(cosines[keep] < cosines[row] + 1e-6)
        assert lower - 1e-9 <= percentile <= upper + 1e-9


def test_the_index_holds_what_the_shards_hold(server: Running, searched: Archive) -> None:
    """Each clip's ids, report and frames, at its place in its shard."""
    engine = server.service.engines[0]
    index = engine.index
    num = 0
    for split in ("train", "validation", "test"):
        for clip in read_clips(searched.shards, split=split):
            row = index.row_of(clip.key)
            assert row is not None
            assert index.cell("study_id", row) == clip.record["study_id"]
            assert index.report(int(index.text_of[row])).lower() == clip.report.lower()
            assert np.array_equal(engine.frames(clip.key)[-1], clip.decode(-1))
            num += 1
    assert len(index) == num
    row = next(row for row in range(num) if len(index.rows_of_patient(row)) > 1)
    mine = {index.cell("patient_id", other) for other in index.rows_of_patient(row)}
    assert mine == {index.cell("patient_id", row)}


def test_an_index_of_other_shards_is_made_again_and_a_stopped_one_goes_on(
    searched: Archive, kept: Path, tmp_path: Path
) -> None:
    """What is embedded already is only read."""
    folder = shutil.copytree(kept, tmp_path / "kept")
    config = ServeConfig(checkpoints=[searched.run], shards=searched.shards, embeddings=folder)
    service = make_service(config)
    source = service._sources[0]
    (source.folder / "index.json").unlink()
    (source.folder / "vectors.npy").unlink()
    assert not service.open()
    parts = {path: path.stat().st_mtime_ns for path in source.folder.glob("*/*.parquet")}
    lost = next(iter(parts))
    lost.unlink()
    steps: list[str] = []
    index = build_index(
        source.folder, source.model.get(), searched.shards, source.rules,
        step=lambda what, done, total: steps.append(f"{what} {done}/{total}"),
    )  # fmt: skip
    again = {path: path.stat().st_mtime_ns for path in source.folder.glob("*/*.parquet")}
    assert {path for path in parts if again[path] != parts[path]} == {lost}
    num = len(index)
    assert steps[0] == f"embedding clips 0/{num}"
    assert f"embedding clips {num}/{num}" in steps
    assert service.open()
    (source.folder / "clips.arrow").write_bytes(b"damaged")
    args = (source.folder, source.model.fingerprint, searched.shards, source.rules, None)
    assert open_index(*args) is None


def test_findings_may_come_from_a_table(
    searched: Archive, kept: Path, server: Running, tmp_path: Path
) -> None:
    """Long or wide, as `echotok findings` writes it: the same as what is read here."""
    reports = pd.DataFrame(searched.rows)[["study_id", "report"]].drop_duplicates("study_id")
    reports.to_csv(tmp_path / "reports.csv", index=False)
    expected = server.service.engines[0].index.findings.values
    for form in ([], ["--wide"]):
        table = tmp_path / f"findings{len(form)}.parquet"
        command = ["findings", str(tmp_path / "reports.csv"), "--column", "report"]
        command += ["--id-column", "study_id", "--out", str(table), *form]
        assert echotok_main(command) == 0
        folder = shutil.copytree(kept, tmp_path / f"kept{len(form)}")
        config = ServeConfig(
            checkpoints=[searched.run], shards=searched.shards, embeddings=folder, findings=table
        )
        service = make_service(config)
        service.build()
        assert service.failure == ""
        found = service.engines[0].index.findings
        known = [n for n, name in enumerate(found.names) if name not in found.classes]
        assert np.array_equal(found.values[:, known], expected[:, known], equal_nan=True)
    reports.assign(study_id="other").to_csv(tmp_path / "reports.csv", index=False)
    assert echotok_main(command) == 0
    service = make_service(config)
    service.build()
    assert "names none of the archive's studies" in service.failure


def test_two_models_answer_side_by_side(searched: Archive, kept: Path, tmp_path: Path) -> None:
    """Each with its own hits; one alone where that is asked."""
    service = open_service(searched, kept, tmp_path, models=2)
    with run_server(service, Access(hosts=HOSTS), tmp_path) as running:
        both = running.ask(text="Mild MR.", models="all")
        assert len(both["models"]) == 2
        page = running.client.get(f"/answer/{both['answer']}").text
        assert page.count('class="found"') == 2
        assert "side by side" in page
        assert len(running.ask(text="Mild MR.", models="1")["models"]) == 1
        assert running.client.get(f"/answer/{both['answer']}/1.csv").status_code == 200


def test_a_question_of_a_clip_that_is_gone_is_told(server: Running) -> None:
    """The archive may have been made again."""
    with pytest.raises(EchoclipError, match="no such clip"):
        server.service.engines[0].ask(Question(kind="study", key="train-12345678"))
