"""Search: the reports, or the clips, that fit a clip or a text best.

    a video file -> masked as `prepare` does it -> its embedding -> the nearest reports or clips
    a text       ->                                its embedding -> the nearest reports or clips

Reports that normalize to the same text are one hit, and so are clips with the same embedding. An
`Answer` is what every view of it draws: the terminal, a page, a picture, JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.data.report_table import ReportTable, report_table
from echoclip_r.data.shards import read_index, read_shard
from echoclip_r.embedding.embedder import embed_texts, embed_video
from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.embedding.reports import (
    EmbeddedReports,
    embed_reports,
    select_reports,
    text_key,
    with_embeddings,
)
from echoclip_r.errors import EchoclipError, OptionError
from echoclip_r.metrics.finite import check_embeddings
from echoclip_r.search.nearest import Compared, compare_all
from echoclip_r.search.where import select_rows
from echoclip_r.text.equality import normalize_report
from echoclip_r.text.word_counts import KnownWords
from echotok.corpora import holds_text

if TYPE_CHECKING:
    from echoclip_r.data.clips import Frames
    from echoclip_r.model.trained import TrainedModel

__all__ = ["Answer", "Hit", "Item", "check_query", "find_reports", "find_videos", "read_pictures"]

Floats = NDArray[np.float32]

_SAME_CLIP = 1e-5
"""How far the embeddings of one clip may be apart that was embedded in different batches."""


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
        percentile: percentage of all that was looked through whose cosine is lower.
        num_same: number of reports that normalize to the same text, or of clips with the same
            embedding, this one included.
        studies: the names of these, each once, in the order of the pool; empty means the item's.
        right: whether it normalizes to the same text as the query's own report; None where that
            report is not known.
    """

    rank: int
    cosine: float
    item: Item
    percentile: float = float("nan")
    num_same: int = 1
    studies: tuple[str, ...] = ()
    right: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """The best of a pool for a query.

    Attributes:
        query: the clip or report that was looked for.
        hits: the best of the pool, in order.
        pool_size: number of different texts (after normalization), or of clips, in the pool.
        right_rank: rank of the clip's own report, with ties counted against it; None if
            it is not known.
        median_cosine: the median of the pool's cosines with the query.
        of_clips: whether the pool is of clips; else of reports.
        notes: sentences on what was left out, or cut.
    """

    query: Item
    hits: tuple[Hit, ...]
    pool_size: int
    right_rank: int | None = None
    median_cosine: float = float("nan")
    of_clips: bool = False
    notes: tuple[str, ...] = ()


def find_reports(
    model: TrainedModel,
    query: Item,
    reports: EmbeddedReports | ReportTable | Sequence[tuple[str, str]],
    *,
    k: int = 5,
    where: str | None = None,
    embeddings: Floats | None = None,
    query_embedding: Floats | None = None,
) -> Answer:
    """The reports of a pool that fit a clip, or a text, best.

    Args:
        model: the model that embeds query and reports.
        query: the clip, with frames; its own report, if known, is marked among the hits. Without
            frames its report is what is looked for.
        reports: embedded reports from `embed_reports`, a table from `read_report_table`, or name
            and text of each report. Reports that normalize to the same text are one hit; those
            without a word are left out, which the answer says.
        k: number of reports to return, at least 1.
        where: keep only the rows that fit this expression, see `echoclip_r.search.where`.
        embeddings: embeddings (N, D) of the reports, where these are names and texts; None embeds
            them here.
        query_embedding: embedding of the query (D,); None embeds it here.

    Raises:
        EchoclipError: the pool is empty, or the query is.
        OptionError: `k` is below 1, or `where` cannot be used.
        EvaluationError: an embedding holds NaN or infinity.
    """
    _check_k(k)
    _check_item(query, embedded=query_embedding is not None)
    pool, table = _as_table(reports, embeddings)
    notes = list(table.notes)
    if where is not None:
        chosen = select_rows(where, table.columns)
        notes.append(_where_note(where, chosen.mask, chosen.num_unknown, "reports"))
        table = table.take(chosen.mask)
        pool = None if pool is None else select_reports(pool, chosen.mask)
    vector = _query_vector(model, query, query_embedding, notes)
    if pool is None:
        pool = embed_reports(model, table)
    _check_width(pool.texts, vector)
    compared = compare_all(pool.texts, vector)
    cosines = compared.cosines
    right = None
    if query.report is not None:
        right = next(iter(np.flatnonzero(pool.keys == text_key(query.report)).tolist()), None)
    # Of a text that is looked for by itself, no other report is wrong.
    judged = query.report is not None and (query.frames is not None or query_embedding is not None)
    hits = []
    best = list(islice(compared.in_order(), k))
    percentiles = compared.percentiles(cosines[best])
    for rank, text in enumerate(best, 1):
        same = np.flatnonzero(pool.text_of == text)
        hits.append(
            Hit(
                rank=rank,
                cosine=float(cosines[text]),
                item=Item(name=table.names[same[0]], report=table.reports[same[0]]),
                percentile=float(percentiles[rank - 1]),
                num_same=len(same),
                studies=tuple(dict.fromkeys(table.names[row] for row in same)),
                right=True if text == right else False if judged else None,
            )
        )
    if len(cosines) < k:
        notes.append(_fewer(len(cosines), k, "different report"))
    return Answer(
        query=query,
        hits=tuple(hits),
        pool_size=len(cosines),
        right_rank=int((cosines >= cosines[right]).sum()) if judged and right is not None else None,
        median_cosine=float(np.median(cosines)),
        notes=tuple(notes),
    )


def find_videos(
    model: TrainedModel,
    query: Item,
    pool: Embedded,
    *,
    k: int = 5,
    where: str | None = None,
    shards_dir: Path | None = None,
    query_embedding: Floats | None = None,
) -> Answer:
    """The clips of a pool that fit a report, or a clip, best.

    Args:
        model: the model that embeds the query; it must be the one that embedded the pool.
        query: the report, with a text; or a clip with frames, for which clips like it are found.
        pool: the embedded clips; clips with the same embedding are one hit.
        k: number of clips to return, at least 1.
        where: keep only the clips that fit this expression, see `echoclip_r.search.where`.
        shards_dir: the shards that hold the clips' frames; None returns no frames.
        query_embedding: embedding of the query (D,); None embeds it here.

    Raises:
        EchoclipError: the pool is empty, or the query is.
        OptionError: `k` is below 1, or `where` cannot be used.
        ShardError: the shards cannot be read.
        EvaluationError: an embedding holds NaN or infinity.
    """
    _check_k(k)
    _check_item(query, embedded=query_embedding is not None)
    clips = pool.clips
    keep = None
    if clips.empty:
        raise EchoclipError("there is no clip to search; are these the right shards and split?")
    vectors = pool.clip_embeddings()
    notes: list[str] = []
    if where is not None:
        chosen = select_rows(where, clips.drop(columns="report"))
        notes.append(_where_note(where, chosen.mask, chosen.num_unknown, "clips"))
        keep = chosen.mask
    check_embeddings(vectors, "clips")
    vector = _query_vector(model, query, query_embedding, notes)
    _check_width(vectors, vector)
    own = None if query.report is None else normalize_report(query.report)
    compared = compare_all(vectors, vector, keep=keep)
    found = _different(compared, vectors, k)
    cosines = np.array([cosine for cosine, _ in found], np.float32)
    percentiles = compared.percentiles(cosines)
    rows = [clips.iloc[same[0]] for _, same in found]
    pictures = {} if shards_dir is None else read_pictures(shards_dir, [row["key"] for row in rows])
    hits = []
    for rank, ((cosine, same), row) in enumerate(zip(found, rows, strict=True), 1):
        report = row["report"] if holds_text(row["report"]) else None
        item = Item(name=_clip_name(row), report=report, frames=pictures.get(row["key"]))
        is_right = None not in (own, report) and normalize_report(str(report)) == own
        hits.append(
            Hit(
                rank=rank,
                cosine=cosine,
                item=item,
                percentile=float(percentiles[rank - 1]),
                num_same=len(same),
                studies=tuple(dict.fromkeys(_clip_name(clips.iloc[one]) for one in same)),
                right=is_right or None,
            )
        )
    if len(hits) < k:
        notes.append(_fewer(len(hits), k, "different clip"))
    return Answer(
        query=query,
        hits=tuple(hits),
        pool_size=len(compared.cosines),
        of_clips=True,
        median_cosine=float(np.median(compared.cosines)),
        notes=tuple(notes),
    )


def check_query(text: str) -> None:
    """Refuse a text that says nothing.

    Raises:
        OptionError: it holds no word.
    """
    if not holds_text(text):
        raise OptionError(
            "the text to look for is empty: it holds no word; give what a report would say, such "
            "as 'severe mitral regurgitation'"
        )


def read_pictures(shards_dir: Path | str, keys: Sequence[str]) -> dict[str, Frames]:
    """The frames of some clips of a folder of shards, by key; only their shards are read.

    Raises:
        ShardError: the shards cannot be read.
    """
    wanted = set(keys)
    found: dict[str, Frames] = {}
    index = read_index(shards_dir)
    if index.dimensions is not None:
        return found  # vectors of another encoder are nothing to look at
    splits = {key.rpartition("-")[0] for key in keys}
    for split, shards in index.shards.items():
        for shard in shards if split in splits else ():
            if not wanted:
                return found
            for clip in read_shard(shard):
                if clip.key in wanted:
                    wanted.discard(clip.key)
                    frames = [clip.decode(number) for number in range(len(clip.frames_encoded))]
                    found[clip.key] = np.stack(frames)
    return found


def _check_k(k: int) -> None:
    if k < 1:
        raise OptionError(f"k is {k}; it must be at least 1")


def _check_item(query: Item, *, embedded: bool) -> None:
    """Refuse a query that has nothing to be looked for by."""
    if embedded:
        return
    if query.frames is None:
        if query.report is None:
            raise EchoclipError("the query has neither frames nor a report; give one of them")
        check_query(query.report)
    elif not len(query.frames):
        raise EchoclipError("the query has no frame; give a clip with at least one")


def _query_vector(
    model: TrainedModel, query: Item, embedding: Floats | None, notes: list[str]
) -> Floats:
    if embedding is not None:
        check_embeddings(np.atleast_2d(embedding), "the query")
        return embedding
    if query.frames is not None:
        return embed_video(model, query.frames)
    text = str(query.report)
    if model.text.is_cut(text):
        notes.append(
            f"the text is longer than the {model.context_length} tokens that the model reads; it "
            "was looked for by its beginning"
        )
    if remark := KnownWords(model.text, model.word_counts).look_up(text):
        notes.append(f"the text that was looked for: {remark}")
    return np.asarray(embed_texts(model, [text])[0])


def _check_width(vectors: Floats, vector: Floats) -> None:
    if vectors.shape[1:] != vector.shape:
        raise EchoclipError(
            f"the embeddings of the pool have {vectors.shape[1]} numbers each, that of the query "
            f"{vector.size}; take the model that embedded the pool"
        )


def _as_table(
    reports: EmbeddedReports | ReportTable | Sequence[tuple[str, str]], embeddings: Floats | None
) -> tuple[EmbeddedReports | None, ReportTable]:
    """The reports as a table, and with their embeddings where these are there already."""
    if isinstance(reports, EmbeddedReports):
        return reports, reports.table
    places: list[int] = []
    if isinstance(reports, ReportTable):
        table = reports
    else:
        table, places = report_table(reports)
    if not len(table):
        raise EchoclipError("there is no report to search; is it the right file and column?")
    if embeddings is None:
        return None, table
    if len(embeddings) != len(reports):
        raise EchoclipError(
            f"{len(embeddings)} embeddings for {len(reports)} reports; give one for each"
        )
    return with_embeddings(table, embeddings[places] if places else embeddings), table


def _different(compared: Compared, vectors: Floats, k: int) -> list[tuple[float, list[int]]]:
    """The best clips, in order: the cosine of each, and the rows of those of the same embedding."""
    found: list[tuple[float, list[int]]] = []
    for place in compared.in_order():
        cosine, row = float(compared.cosines[place]), compared.row(place)
        for best, same in reversed(found):
            near = best - cosine <= _SAME_CLIP
            if near and np.abs(vectors[same[0]] - vectors[row]).max() <= _SAME_CLIP:
                same.append(row)
                break
        else:
            if len(found) < k:
                found.append((cosine, [row]))
            elif found[-1][0] - cosine > _SAME_CLIP:
                break
    return found


def _clip_name(row: pd.Series) -> str:
    return ", ".join(filter(None, (row["study_id"], row["view"], row["date"])))


def _fewer(num: int, k: int, what: str) -> str:
    there = f"{what} is all that there is" if num == 1 else f"{what}s are all that there are"
    return f"{num:,} {there}, fewer than the {k:,} asked for"


def _where_note(where: str, mask: NDArray[np.bool_], num_unknown: int, what: str) -> str:
    blank = f"; {num_unknown:,} were left out since a cell is blank" if num_unknown else ""
    return f"{int(mask.sum()):,} of {len(mask):,} {what} fit {where!r}{blank}"
