"""Search in both directions."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from echoclip_r.data.report_table import report_table
from echoclip_r.data.shards import read_clips
from echoclip_r.embedding.embedder import embed, embed_texts, embed_video
from echoclip_r.embedding.reports import embed_reports
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


def test_no_clip_to_look_through_is_an_error(
    untrained: TrainedModel, training_shards: Path
) -> None:
    """As of reports, and not an answer without a hit."""
    pool = embed(untrained, training_shards, split="test")
    empty = replace(
        pool, clips=pool.clips[:0], frames=pool.frames[:0], frame_clip=pool.frame_clip[:0]
    )
    with pytest.raises(EchoclipError, match="no clip to search; are these the right shards"):
        find_videos(untrained, Item(name="t", report="Mild MR."), empty)


@pytest.mark.parametrize("text", ["", "  \n\t ", "...", "?!", "—", "\u200b", "nan"])
def test_a_query_that_says_nothing_is_an_error(
    untrained: TrainedModel, training_shards: Path, text: str
) -> None:
    """In both directions: it would give hits that mean nothing."""
    query = Item(name="query", report=text)
    pool = embed(untrained, training_shards, split="test")
    with pytest.raises(EchoclipError, match="is empty: it holds no word"):
        find_videos(untrained, query, pool)
    with pytest.raises(EchoclipError, match="is empty: it holds no word"):
        find_reports(untrained, query, REPORTS)


def test_a_query_without_frames_or_text_is_an_error(untrained: TrainedModel) -> None:
    """Nothing can be looked for by a name alone, nor by a clip of no frame."""
    with pytest.raises(EchoclipError, match="neither frames nor a report"):
        find_reports(untrained, Item(name="q"), REPORTS)
    with pytest.raises(EchoclipError, match="has no frame"):
        find_reports(untrained, Item(name="q", frames=np.zeros((0, 64, 64, 3), np.uint8)), REPORTS)


def test_blank_rows_are_never_hits(untrained: TrainedModel, caplog: Any) -> None:
    """They are left out with their embeddings, counted and said."""
    blank: list[Any] = ["", "  ", None, float("nan"), "-", "n/a"]
    reports = [(f"blank {n}", text) for n, text in enumerate(blank)]
    reports[1:1] = [("S-1", "Severe AS.")]
    reports += [("S-2", "Mild MR.")]
    pool = embeddings((1, 0), (0.8, 0.6), *[(1, 0)] * 5, (0, 1))
    answer = find_reports(
        untrained,
        Item(name="clip"),
        reports,
        k=9,
        embeddings=pool,
        query_embedding=embeddings((1, 0))[0],
    )
    assert [(hit.item.name, hit.cosine) for hit in answer.hits] == [
        ("S-1", pytest.approx(0.8)),
        ("S-2", pytest.approx(0)),
    ]
    assert answer.pool_size == 2
    note = "6 of 8 reports are missing (blank, null or NaN); they were left out"
    assert answer.notes == (
        note,
        "2 different reports are all that there are, fewer than the 9 asked for",
    )
    assert note in caplog.text
    with pytest.raises(EchoclipError, match="there is no report to search"):
        find_reports(untrained, Item(name="q", report="Mild MR."), [("a", ""), ("b", " ")])


def test_one_text_is_one_hit_with_the_studies_that_hold_it(untrained: TrainedModel) -> None:
    """Whatever its letter case and white space; a study with it twice is named once."""
    reports = [
        ("S-1", "Mild MR. No effusion."),
        ("S-2", "MILD MR.\nNo  effusion ."),
        ("S-9", "Severe AS."),
        ("S-3", "mild mr. no effusion."),
        ("S-1", "Mild MR. No effusion."),
    ]
    answer = find_reports(untrained, Item(name="q", report="Mild MR. No effusion."), reports)
    assert [hit.num_same for hit in answer.hits] == [4, 1]
    assert answer.hits[0].studies == ("S-1", "S-2", "S-3")
    assert answer.hits[0].right, "it is the very text that was looked for"
    assert answer.hits[1].right is None, "a text has no wrong answer"
    assert answer.hits[0].cosine == pytest.approx(1, abs=1e-5)
    assert [hit.percentile for hit in answer.hits] == [50, 0]


def test_a_corpus_of_one(untrained: TrainedModel, training_shards: Path) -> None:
    """One report, or one clip, is found, and that there are no more is said."""
    query = Item(name="q", report="Mild MR.")
    answer = find_reports(untrained, query, [("S-1", "Severe AS.")], k=10)
    assert [(hit.rank, hit.item.name) for hit in answer.hits] == [(1, "S-1")]
    assert math.isnan(answer.hits[0].percentile), "there is no other to be higher than"
    assert answer.notes == ("1 different report is all that there is, fewer than the 10 asked for",)
    pool = embed(untrained, training_shards, split="test")
    first = replace(
        pool,
        clips=pool.clips.iloc[:1],
        frames=pool.frames[pool.frame_clip == 0],
        frame_clip=pool.frame_clip[pool.frame_clip == 0],
    )
    found = find_videos(untrained, query, first, k=10)
    assert (len(found.hits), found.pool_size, found.of_clips) == (1, 1, True)


def test_the_same_clip_twice_is_one_hit(untrained: TrainedModel, training_shards: Path) -> None:
    """A clip that lies in the archive under two studies fills one place, and names both."""
    pool = embed(untrained, training_shards, split="test")
    twice = pool.clips.iloc[[0, 1, 2, 3, 4, 5, 2]].reset_index(drop=True)
    twice.loc[6, "study_id"] = "COPY"
    both = replace(
        pool,
        clips=twice,
        frames=np.concatenate([pool.frames, pool.frames[pool.frame_clip == 2] + 1e-8]),
        frame_clip=np.concatenate([pool.frame_clip, [6, 6]]),
    )
    answer = find_videos(untrained, Item(name="q", report="Mild MR."), both, k=9)
    assert len(answer.hits) == 6
    [same] = [hit for hit in answer.hits if hit.num_same == 2]
    assert set(same.studies) == {pool.clips["study_id"].iloc[2], "COPY"}


def test_clips_and_reports_are_looked_for_by_either(
    untrained: TrainedModel, training_shards: Path, frames: NDArray[np.uint8]
) -> None:
    """A clip finds clips like it; a text finds reports like it."""
    pool = embed(untrained, training_shards, split="test")
    key = str(pool.clips["key"].iloc[3])
    own = read_pictures(training_shards, [key])[key]
    answer = find_videos(untrained, Item(name="clip", frames=own), pool, k=1)
    assert answer.hits[0].item.name == pool.clips["study_id"].iloc[3]
    assert answer.hits[0].cosine == pytest.approx(1, abs=1e-4)
    found = find_reports(untrained, Item(name="q", report=REPORTS[3][1]), REPORTS, k=1)
    assert found.hits[0].item.report == REPORTS[3][1]


def test_only_rows_that_fit_are_searched(untrained: TrainedModel, training_shards: Path) -> None:
    """By the clips' columns and labels; how many fit, and how many are blank, is said."""
    pool = embed(untrained, training_shards, split="train")
    query = Item(name="q", report="Mild MR.")
    answer = find_videos(untrained, query, pool, k=99, where="ef >= 32 and ef < 34")
    ef = dict(zip(pool.clips["study_id"], pool.clips["ef"], strict=True))
    assert {ef[hit.item.name] for hit in answer.hits} == {32, 33}
    assert "of 44 clips fit 'ef >= 32 and ef < 34'" in answer.notes[0]
    with pytest.raises(EchoclipError, match="did you mean 'ef'"):
        find_videos(untrained, query, pool, where="eff > 3")
    table, _ = report_table(REPORTS)
    table = replace(table, columns=pd.DataFrame({"ef": ["60", "35", "", "50"]}))
    found = find_reports(untrained, query, table, where="ef < 55")
    assert {hit.item.name for hit in found.hits} == {"r.csv:2", "r.csv:4"}
    assert found.notes[0] == "2 of 4 reports fit 'ef < 55'; 1 were left out since a cell is blank"
    embedded = embed_reports(untrained, table)
    again = find_reports(untrained, query, embedded, where="ef < 55")
    assert [hit.item.name for hit in again.hits] == [hit.item.name for hit in found.hits]
    with pytest.raises(EchoclipError, match="there is no such column"):
        find_reports(untrained, query, REPORTS, where="ef < 55")


def test_broken_embeddings_are_refused(untrained: TrainedModel, training_shards: Path) -> None:
    """NaN in pool or query, too few rows, or rows of another width."""
    query = Item(name="q", report="Mild MR.")
    one = embeddings((1, 0))[0]
    nan = embeddings((1, 0), (float("nan"), 0), (0, 1), (0, 1))
    with pytest.raises(EchoclipError, match="1 of 4 embeddings of reports hold NaN"):
        find_reports(untrained, query, REPORTS, embeddings=nan, query_embedding=one)
    good = embeddings(*[(1, 0)] * 4)
    with pytest.raises(EchoclipError, match="embeddings of the query hold NaN"):
        find_reports(untrained, query, REPORTS, embeddings=good, query_embedding=nan[1])
    with pytest.raises(EchoclipError, match="3 embeddings for 4 reports"):
        find_reports(untrained, query, REPORTS, embeddings=good[:3], query_embedding=one)
    with pytest.raises(EchoclipError, match="of the pool have 2 numbers each"):
        find_reports(untrained, query, REPORTS, embeddings=good)
    pool = embed(untrained, training_shards, split="test")
    frames = pool.frames.copy()
    frames[3] = np.nan
    with pytest.raises(EchoclipError, match="embeddings of clips hold NaN"):
        find_videos(untrained, query, replace(pool, frames=frames))


def test_a_text_that_is_too_long_is_said_to_be_cut(untrained: TrainedModel) -> None:
    """The model reads its beginning alone (I8)."""
    query = Item(name="q", report="The wombat sat. " * 400)
    answer = find_reports(untrained, query, REPORTS)
    assert "it was looked for by its beginning" in answer.notes[0]


def test_a_clip_without_a_report_is_found_all_the_same(
    untrained: TrainedModel, training_shards: Path
) -> None:
    """It is a clip; there is only nothing to compare."""
    pool = embed(untrained, training_shards, split="test")
    clips = pool.clips.assign(report=["", None, float("nan"), " ", "Mild MR.", "mild  MR."])
    answer = find_videos(
        untrained, Item(name="q", report="Mild MR."), replace(pool, clips=clips), k=6
    )
    assert len(answer.hits) == 6
    assert [hit.item.report for hit in answer.hits].count(None) == 4
    assert [hit.right for hit in answer.hits].count(True) == 2
