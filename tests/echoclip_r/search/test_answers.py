"""Search in both directions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from echoclip_r.data.shards import read_clips
from echoclip_r.embedding.embedder import embed, embed_texts, embed_video
from echoclip_r.errors import EchoclipError
from echoclip_r.model.trained import TrainedModel
from echoclip_r.search.answers import Item, find_reports, find_videos, read_pictures

REPORTS = [
    ("r.csv:1", "The LVEF is 60%. No pericardial effusion."),
    ("r.csv:2", "There is a pacemaker lead. The LVEF is 35%."),
    ("r.csv:3", "The LVEF is 60%. No pericardial effusion."),
    ("r.csv:4", "Severe mitral regurgitation."),
]


def test_the_real_clip_is_embedded_and_searched_for(
    untrained: TrainedModel, frames: NDArray[np.uint8]
) -> None:
    """Ten frames of a DICOM file; its embedding is the mean of theirs, unit again."""
    assert frames.shape == (10, 64, 64, 3)
    mean = untrained.embed_frames(frames).astype(float).mean(axis=0)
    embedding = embed_video(untrained, frames)
    assert embedding == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    answer = find_reports(untrained, Item(name="real", frames=frames), REPORTS, k=2)
    assert [hit.rank for hit in answer.hits] == [1, 2]
    texts = [text for _, text in REPORTS]
    cosines = embed_texts(untrained, texts) @ embedding
    assert answer.hits[0].cosine == pytest.approx(cosines.max(), abs=1e-6)
    assert answer.hits[0].item.report == texts[int(np.argmax(cosines))]
    assert answer.right_rank is None


def embeddings(*rows: tuple[float, float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def test_equal_reports_count_once_and_the_right_one_is_marked(untrained: TrainedModel) -> None:
    """The pool is of different texts; the rank of the clip's own report counts ties against it."""
    pool = embeddings((0.6, 0.8), (1, 0), (0.6, 0.8), (0, 1))
    query = Item(name="clip", report=REPORTS[0][1])
    answer = find_reports(
        untrained, query, REPORTS, k=9, embeddings=pool, query_embedding=embeddings((0, 1))[0]
    )
    assert answer.pool_size == 3
    assert [hit.item.name for hit in answer.hits] == ["r.csv:4", "r.csv:1", "r.csv:2"]
    assert [hit.right for hit in answer.hits] == [False, True, False]
    assert [hit.num_same for hit in answer.hits] == [1, 2, 1]
    assert answer.right_rank == 2
    pool[3] = (0.6, 0.8)
    tied = find_reports(
        untrained, query, REPORTS, embeddings=pool, query_embedding=embeddings((0, 1))[0]
    )
    assert tied.right_rank == 2
    assert tied.hits[0].right, "of equal ones the first comes first"


def test_reports_that_normalize_alike_count_once(untrained: TrainedModel) -> None:
    """One text in four ways is one candidate, and each of them is the right one."""
    ways = [
        "EF 55%. No effusion.",
        "EF 55%. NO EFFUSION.",
        "EF 55%.\nNo  effusion .",
        " ef 55 %. no effusion.",
    ]
    reports = [("other", "Severe AS."), *((f"way {n}", text) for n, text in enumerate(ways))]
    pool = embeddings((0, 1), *[(1, 0)] * 4)
    for text in ways:
        answer = find_reports(
            untrained,
            Item(name="clip", report=text),
            reports,
            embeddings=pool,
            query_embedding=embeddings((1, 0))[0],
        )
        assert (answer.pool_size, answer.right_rank) == (2, 1)
        assert [hit.num_same for hit in answer.hits] == [4, 1]
        assert [hit.right for hit in answer.hits] == [True, False]
        assert answer.hits[0].item.name == "way 0"


def test_a_clip_whose_report_normalizes_alike_is_the_right_one(
    untrained: TrainedModel, training_shards: Path
) -> None:
    """A report in capitals still knows its own clips."""
    pool = embed(untrained, training_shards, split="test")
    report = str(pool.clips["report"].iloc[0])
    same = int((pool.clips["report"] == report).sum())
    answer = find_videos(untrained, Item(name="t", report=f" {report.upper()}\n"), pool, k=99)
    assert sum(bool(hit.right) for hit in answer.hits) == same > 0


def test_clips_are_found_for_a_report_with_their_pictures(
    untrained: TrainedModel, training_shards: Path
) -> None:
    """The best of all clips by cosine, their frames read from the shards."""
    pool = embed(untrained, training_shards, split="train")
    query = Item(name="text", report="The left atrium is severely dilated.")
    answer = find_videos(untrained, query, pool, k=3, shards_dir=training_shards)
    cosines = pool.clip_embeddings() @ embed_texts(untrained, ["" + (query.report or "")])[0]
    best = np.argsort(-cosines, kind="stable")[:3]
    rows = pool.clips.iloc[best]
    assert [hit.item.report for hit in answer.hits] == rows["report"].tolist()
    assert [hit.item.name for hit in answer.hits] == rows["study_id"].tolist()
    clips = {clip.key: clip for clip in read_clips(training_shards, split="train")}
    for hit, key in zip(answer.hits, rows["key"], strict=True):
        assert hit.item.frames is not None
        assert (hit.item.frames[1] == clips[key].decode(1)).all()
    assert find_videos(untrained, query, pool, k=99).pool_size == 44
    assert read_pictures(training_shards, []) == {}


def test_nothing_to_look_through_is_an_error(
    untrained: TrainedModel, frames: NDArray[np.uint8]
) -> None:
    """No report, or none asked for."""
    with pytest.raises(EchoclipError, match="no report to search; is it the right file"):
        find_reports(untrained, Item(name="clip", frames=frames), [])
    with pytest.raises(ValueError, match="k is 0; it must be at least 1"):
        find_reports(untrained, Item(name="clip", frames=frames), REPORTS, k=0)
