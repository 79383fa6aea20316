"""Search: the reports that fit a clip, the clips that fit a report.

    a video file -> masked as `prepare` does it -> its embedding -> the nearest reports
    a report     ->                                its embedding -> the nearest clips

An `Answer` is what every view of it draws: the terminal, a page, a picture, JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from echoclip_r.data.clips import Frames
from echoclip_r.data.shards import read_index, read_shard
from echoclip_r.embedding.embedder import embed_texts, embed_video
from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.errors import EchoclipError, OptionError
from echoclip_r.text.equality import normalize_report, report_ids
from echotok.sentences import split_sentences

if TYPE_CHECKING:
    from echoclip_r.model.trained import TrainedModel

__all__ = [
    "Answer",
    "Hit",
    "Item",
    "find_reports",
    "find_videos",
    "read_pictures",
    "shared_sentences",
]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Item:
    """A clip, a report, or a study with both.

    Attributes:
        name: name to show for it, such as a file, a row or a study.
        report: text of the report, or None.
        frames: masked frames, uint8 RGB (T, S, S, 3), or None.
    """

    name: str
    report: str | None = None
    frames: Frames | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hit:
    """One thing found.

    Attributes:
        rank: its place among all that was looked through, from 1.
        cosine: its cosine with the query.
        item: the report or clip itself.
        num_same: number of texts in the pool that normalize to the same text, this one included.
        right: whether it normalizes to the same text as the query's own report; None where that
            report is not known.
    """

    rank: int
    cosine: float
    item: Item
    num_same: int = 1
    right: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """The best of a pool for a query.

    Attributes:
        query: the clip or report that was looked for.
        hits: the best of the pool, in order.
        pool_size: number of different texts (after normalization), or of clips, in the pool.
        right_rank: rank of the query's own report (or clip), with ties counted against it; None if
            it is not known.
    """

    query: Item
    hits: tuple[Hit, ...]
    pool_size: int
    right_rank: int | None = None


def find_reports(
    model: TrainedModel,
    query: Item,
    reports: Sequence[tuple[str, str]],
    *,
    k: int = 5,
    embeddings: Floats | None = None,
    query_embedding: Floats | None = None,
) -> Answer:
    """The reports of a pool that fit a clip best.

    Args:
        model: the model that embeds clip and reports.
        query: the clip, with frames; its own report, if known, is marked among the hits.
        reports: name and text of each report; texts that normalize to the same text count once.
        k: number of reports to return, at least 1.
        embeddings: embeddings of the reports (N, D); None embeds them here.
        query_embedding: embedding of the clip (D,); None embeds it here.

    Raises:
        EchoclipError: the pool is empty.
        OptionError: `k` is below 1.
    """
    _check_k(k)
    if query_embedding is None:
        assert query.frames is not None, "a clip is looked for by its frames"
        query_embedding = embed_video(model, query.frames)
    if not reports:
        raise EchoclipError("there is no report to search; is it the right file and column?")
    texts = [text for _, text in reports]
    (ids,) = report_ids(texts)
    _, first, counts = np.unique(ids, return_index=True, return_counts=True)
    different = [texts[place] for place in first]
    pool = embed_texts(model, different) if embeddings is None else embeddings[first]
    cosines = pool @ query_embedding
    own = None if query.report is None else normalize_report(query.report)
    right = [own is not None and normalize_report(text) == own for text in different]
    hits = tuple(
        Hit(
            rank=rank,
            cosine=float(cosines[place]),
            item=Item(name=reports[first[place]][0], report=different[place]),
            num_same=int(counts[place]),
            right=None if own is None else right[place],
        )
        for rank, place in enumerate(_best(cosines, k), 1)
    )
    right_rank = int((cosines >= cosines[right.index(True)]).sum()) if any(right) else None
    return Answer(query=query, hits=hits, pool_size=len(different), right_rank=right_rank)


def find_videos(
    model: TrainedModel,
    report: Item,
    pool: Embedded,
    *,
    k: int = 5,
    shards_dir: Path | None = None,
) -> Answer:
    """The clips of a pool that fit a report best.

    Args:
        model: the model that embeds the report; it must be the one that embedded the pool.
        report: the report, with a text.
        pool: the embedded clips.
        k: number of clips to return, at least 1.
        shards_dir: the shards that hold the clips' frames; None returns no frames.

    Raises:
        OptionError: `k` is below 1.
        ShardError: the shards cannot be read.
    """
    _check_k(k)
    assert report.report is not None, "clips are looked for by a text"
    own = normalize_report(report.report)
    cosines = pool.clip_embeddings() @ embed_texts(model, [report.report])[0]
    places = _best(cosines, k)
    rows = [pool.clips.iloc[place] for place in places]
    pictures = {} if shards_dir is None else read_pictures(shards_dir, [row["key"] for row in rows])
    hits = []
    for rank, (place, row) in enumerate(zip(places, rows, strict=True), 1):
        name = ", ".join(filter(None, (row["study_id"], row["view"], row["date"])))
        item = Item(name=name, report=row["report"], frames=pictures.get(row["key"]))
        right = True if normalize_report(row["report"]) == own else None
        hits.append(Hit(rank=rank, cosine=float(cosines[place]), item=item, right=right))
    return Answer(query=report, hits=tuple(hits), pool_size=len(cosines))


def read_pictures(shards_dir: Path | str, keys: Sequence[str]) -> dict[str, Frames]:
    """The frames of some clips of a folder of shards, by key; only their shards are read.

    Raises:
        ShardError: the shards cannot be read.
    """
    wanted = set(keys)
    found: dict[str, Frames] = {}
    splits = {key.rpartition("-")[0] for key in keys}
    for split, shards in read_index(shards_dir).shards.items():
        for shard in shards if split in splits else ():
            if not wanted:
                return found
            for clip in read_shard(shard):
                if clip.key in wanted:
                    wanted.discard(clip.key)
                    frames = [clip.decode(number) for number in range(len(clip.frames_encoded))]
                    found[clip.key] = np.stack(frames)
    return found


def shared_sentences(report: str, other: str | None) -> list[tuple[str, bool]]:
    """The sentences of a report, each with whether the other report has it too.

    What `normalize_report` folds, such as letter case and white space, does not count.

    Example:
        >>> shared_sentences("No effusion. EF 55%.", "EF 60%. No  Effusion.")
        [('No effusion.', True), ('EF 55%.', False)]
    """
    known = set() if other is None else {normalize_report(part) for part in split_sentences(other)}
    return [(part, normalize_report(part) in known) for part in split_sentences(report)]


def _best(cosines: Floats, k: int) -> list[int]:
    """Places of the highest, in order; of equal ones the first."""
    k = min(k, len(cosines))
    cut = np.partition(cosines, len(cosines) - k)[len(cosines) - k]
    places = np.flatnonzero(cosines >= cut)
    return [int(place) for place in places[np.argsort(-cosines[places], kind="stable")][:k]]


def _check_k(k: int) -> None:
    if k < 1:
        raise OptionError(f"k is {k}; it must be at least 1")
