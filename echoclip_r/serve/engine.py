"""One model over one archive: a question in, the answer's hits out, each with why it was found.

    text, clip, study -> embedding -> the nearest of those that the filter leaves -> hits
    filter alone                   -> the newest of those that it leaves          -> hits

Studies whose reports normalize alike are one hit. What the query and a hit say is compared finding
by finding, where the query has words.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from echoclip_r.embedding.embedder import embed_texts, embed_video
from echoclip_r.errors import EchoclipError, OptionError
from echoclip_r.model.study_pooling import MeanPooling
from echoclip_r.search.answers import Answer, Hit, Item, check_query
from echoclip_r.search.comparison import (
    Comparison,
    Match,
    Verdict,
    compare,
    conclusion,
    make_grid,
    match_sentences,
    stretches,
)
from echoclip_r.search.nearest import Nearest, find_nearest
from echoclip_r.serve.filters import choose
from echoclip_r.serve.frames import read_frames
from echoclip_r.serve.index import ArchiveIndex
from echoclip_r.serve.models import LazyModel
from echoclip_r.text.word_counts import KnownWords
from echotok.view.tree import Node, View, layout

if TYPE_CHECKING:
    from echoclip_r.data.clips import Frames
    from echotok.findings.rules import FindingsRules

__all__ = ["Engine", "Found", "FoundHit", "Kind", "Part", "Question", "StudyView", "Visit"]

Kind = Literal["text", "clip", "study", "filter"]
Target = Literal["clips", "reports"]
Floats = NDArray[np.float32]

_MOST_OTHERS = 8
_MOST_REMEMBERED = 1000
_MAX_HEAT_FRAMES = 12
_BLACK = 16
"""A picture's compression leaves traces of this much where it is masked."""
_SHOWN_FRAMES = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """What is looked for.

    Attributes:
        kind: what it is asked by.
        text: free text or a report.
        where: filter, or "".
        target: whether clips are looked through, or reports.
        key: of a study in the archive, its first clip.
        name: name of a clip that was brought.
        frames: its masked frames by their size.
    """

    kind: Kind
    text: str = ""
    where: str = ""
    target: Target = "clips"
    key: str = ""
    name: str = ""
    frames: Mapping[int, Frames] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run of a report: its kind of token (`phrase`, `value`, `bpe`, "") and verdict or None."""

    text: str
    kind: str
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A study on a patient's timeline; `facts` are findings in short."""

    key: str
    date: str
    study_id: str
    is_this: bool
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """A study of the archive: `keys` are those of its clips."""

    key: str
    study_id: str
    patient_id: str
    split: str
    view: str
    date: str
    report: str
    keys: tuple[str, ...]
    timeline: tuple[Visit, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundHit:
    """One thing found.

    Attributes:
        rank: from 1.
        cosine, percentile: with the query, and its place among all; None where nothing is compared,
            or nothing else.
        study: the best study of those with this report.
        num_same: number of studies with the same report that the filter leaves.
        others: keys and ids of some of these.
        parts: the report in runs.
        compared: what query and report say; None where either has no words.
        sentences: how many sentences of the report stand in the query.
    """

    rank: int
    cosine: float | None
    percentile: float | None
    study: StudyView
    num_same: int
    others: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    compared: Comparison | None
    sentences: Mapping[Match, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """A model's answer.

    Attributes:
        model: name of the model.
        fingerprint: of the model.
        hits: in order.
        num_compared: how many clips, or different reports, were compared.
        nearest: how the cosines lie; None for a filter alone.
        conditions: how the filter was understood.
        notes: sentences on what was cut, left out or not known.
        said: of a query without words, what most of the hits' reports say.
    """

    model: str
    fingerprint: str
    hits: tuple[FoundHit, ...]
    num_compared: int
    nearest: Nearest | None
    conditions: tuple[str, ...]
    notes: tuple[str, ...]
    said: tuple[tuple[str, int], ...] = ()


class Engine:
    """Answers questions.

    Args:
        model: model of the archive's embeddings.
        index: the archive.
        rules: findings.
    """

    def __init__(self, model: LazyModel, index: ArchiveIndex, rules: FindingsRules) -> None:
        self.model, self.index, self.rules = model, index, rules
        self._computing = threading.Lock()
        # The same reports are found again and again.
        self._kinds = lru_cache(maxsize=_MOST_REMEMBERED)(self._read_kinds)

    @cached_property
    def _known(self) -> KnownWords:
        model = self.model.get()
        return KnownWords(model.text, model.word_counts)

    def ask(self, question: Question, *, k: int = 10) -> Found:
        """Answer a question.

        Raises:
            OptionError: the text says nothing, the filter cannot be read, or nothing fits it.
            EchoclipError: the question cannot be asked of this model or archive.
        """
        index = self.index
        notes: list[str] = []
        own, row = question.text, None
        if question.kind == "text":
            check_query(question.text)
        if question.kind == "study":
            row = self._row(question.key)
            own = index.report(int(index.text_of[row]))
        keep, conditions = self._filter(question, row, notes)
        if question.kind == "filter":
            if keep is None:
                raise OptionError(
                    "nothing is asked: write a text, bring a clip, or name findings to filter by"
                )
            rows, nearest, num = self._newest(keep, k), None, int(keep.sum())
        else:
            vector = self._vector(question, row, notes)
            rows, nearest = self._nearest(vector, question.target, keep, k)
            num = nearest.num_compared
        hits = [self._hit(rank, at, nearest, keep, own) for rank, at in enumerate(rows.tolist(), 1)]
        if len(hits) < k:
            notes.append(f"{len(hits):,} different reports are all that there are")
        return Found(
            model=self.model.name,
            fingerprint=self.model.fingerprint,
            hits=tuple(hits),
            num_compared=num,
            nearest=nearest,
            conditions=conditions,
            notes=tuple(notes),
            said=() if own else self._said(hits),
        )

    def study(self, key: str) -> StudyView:
        """A study by the key of one of its clips.

        Raises:
            EchoclipError: there is none.
        """
        return self._study(self._row(key))

    def parts(self, report: str, verdicts: Mapping[str, Verdict] | None = None) -> tuple[Part, ...]:
        """A report in runs of one kind of token and one verdict."""
        found: list[Verdict | None] = []
        for text, verdict in stretches(report, verdicts or {}, self.rules):
            found += [verdict] * len(text)
        parts: list[Part] = []
        start = 0
        for (kind, verdict), letters in groupby(zip(self._kinds(report), found, strict=True)):
            end = start + len(list(letters))
            parts.append(Part(text=report[start:end], kind=kind, verdict=verdict))
            start = end
        return tuple(parts)

    def _read_kinds(self, report: str) -> tuple[str, ...]:
        """For each letter of a report the kind of its token, or ""."""
        kinds = [""] * len(report)
        encoding = self.model.tokenizer.encode(report)
        _mark(layout(View(source="", text=report, encoding=encoding)), kinds)
        return tuple(kinds)

    def frames(self, key: str, *, first: bool = False) -> Frames:
        """Frames of a clip of the archive.

        Raises:
            EchoclipError: there is no such clip, or its shard has changed.
        """
        return read_frames(self.index.place(self._row(key)), first=first)

    def heat(self, key: str, text: str) -> Frames:
        """A clip with the places in it that raise the cosine with a text, by PromptCAM.

        Args:
            key: the clip.
            text: the text; "" takes the conclusion of the clip's own report.

        Raises:
            EchoclipError: there is nothing to look for, nothing raises the cosine, or the model has
                no maps to explain.
        """
        # matplotlib is needed for this alone.
        from echoclip_r.explain.drawing import heatmaps, overlay
        from echoclip_r.explain.prompt_cam import prompt_cam

        row = self._row(key)
        text = text or conclusion(self.index.report(int(self.index.text_of[row])), self.rules)
        check_query(text)
        frames = self.frames(key)
        places = np.linspace(0, len(frames) - 1, min(len(frames), _MAX_HEAT_FRAMES)).round()
        frames = frames[places.astype(int)]
        model = self.model.get()
        if frames.shape[1] != model.image_size_px:
            raise EchoclipError(
                f"the archive's frames have {frames.shape[1]} px and the model reads "
                f"{model.image_size_px}; a heatmap needs the same"
            )
        with self._computing:
            cells = prompt_cam(model, frames, [text])
        heat, inside = heatmaps(cells, frames.shape[1]), _lit(frames)
        if not heat[:, inside].any():  # the clip would stand there without a colour
            raise EchoclipError("no place in this clip raises its similarity with the words")
        return overlay(frames, heat, inside=inside)

    def as_answer(self, question: Question, found: Found) -> Answer:
        """The answer as `echoclip_r.search` draws it, with the clips' frames."""
        row = self._row(question.key) if question.kind == "study" else None
        shown: Frames | None = None
        if question.frames:
            shown = question.frames[max(question.frames)]
        elif row is not None:
            shown = read_frames(self.index.place(row))
        own = question.text if row is None else self.index.report(int(self.index.text_of[row]))
        hits = []
        for hit in found.hits:
            item = Item(
                name=", ".join(filter(None, (hit.study.study_id, hit.study.view, hit.study.date))),
                report=hit.study.report or None,
                frames=self.frames(hit.study.key)[:_SHOWN_FRAMES],
            )
            nan = float("nan")
            hits.append(
                Hit(
                    rank=hit.rank,
                    cosine=nan if hit.cosine is None else hit.cosine,
                    item=item,
                    percentile=nan if hit.percentile is None else hit.percentile,
                    num_same=hit.num_same,
                    studies=(hit.study.study_id, *(name for _, name in hit.others)),
                )
            )
        query = Item(name=title_of(question), report=own or None, frames=shown)
        return Answer(
            query=query,
            hits=tuple(hits),
            pool_size=found.num_compared,
            of_clips=question.target == "clips",
            notes=(*found.conditions, *found.notes),
        )

    def _row(self, key: str) -> int:
        row = self.index.row_of(key)
        if row is None:
            raise EchoclipError("there is no such clip in the archive; it may have been made again")
        return row

    def _filter(
        self, question: Question, row: int | None, notes: list[str]
    ) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
        keep: NDArray[np.bool_] | None = None
        conditions: tuple[str, ...] = ()
        if question.where.strip():
            chosen = choose(question.where, self.index, self.rules)
            keep, conditions = chosen.keep, chosen.said
            if chosen.num_unknown:
                notes.append(
                    f"{chosen.num_unknown:,} clips are left out since nothing is said of a finding "
                    "of the filter, or a cell is blank"
                )
        if row is not None:
            own = self.index.rows_of_patient(row)
            keep = np.ones(len(self.index), bool) if keep is None else keep.copy()
            keep[own] = False
            if not keep.any():
                raise OptionError("the filter leaves only clips of the same patient")
            notes.append(f"the {len(own):,} clips of the patient's own studies are left out")
        return keep, conditions

    def _vector(self, question: Question, row: int | None, notes: list[str]) -> Floats:
        if row is not None:
            vectors = self.index.vectors[self.index.rows_of_study(row)]
            owner = np.zeros(len(vectors), np.int64)
            return np.asarray(MeanPooling().pool(vectors, owner, num_owners=1)[0])
        model = self.model.get()
        with self._computing:
            if question.kind == "clip":
                return embed_video(model, question.frames[model.image_size_px])
            if model.text.is_cut(question.text):
                notes.append(
                    f"the text is longer than the {model.context_length} tokens that the "
                    "model reads; it was looked for by its beginning"
                )
            if remark := self._known.look_up(question.text):
                notes.append(f"words that the model hardly knows: {remark}")
            return np.asarray(embed_texts(model, [question.text])[0])

    def _nearest(
        self, vector: Floats, target: Target, keep: NDArray[np.bool_] | None, k: int
    ) -> tuple[NDArray[np.int64], Nearest]:
        """The best clip of each hit, and how all compare."""
        index = self.index
        if target == "clips":
            nearest = find_nearest(index.vectors, vector, k=k, groups=index.text_of, keep=keep)
            return nearest.rows, nearest
        if not len(index.texts):
            raise OptionError("the archive has no report; look among the clips")
        kept = None
        if keep is not None:
            texts = index.text_of[keep]
            kept = np.bincount(texts[texts >= 0], minlength=len(index.texts)) > 0
            if not kept.any():
                raise OptionError("none of the clips that the filter leaves has a report")
        nearest = find_nearest(index.texts, vector, k=k, keep=kept)
        rows = [int(self._with_text(int(text), keep)[0]) for text in nearest.rows]
        return np.array(rows, np.int64), nearest

    def _with_text(self, text: int, keep: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        fits = self.index.text_of == text
        return np.flatnonzero(fits if keep is None else fits & keep)

    def _newest(self, keep: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
        """The newest clips of different reports."""
        rows = np.flatnonzero(keep)
        dates = self.index["date"]
        # Of words of one form the order is that of the days.
        places = np.argsort(np.argsort(np.asarray(dates.cat.categories, np.str_)))
        codes = dates.cat.codes.to_numpy()[rows]
        order = rows[np.argsort(-np.append(places, -1)[codes], kind="stable")]
        texts = self.index.text_of[order]
        names = np.where(texts < 0, -1 - order, texts)
        _, first = np.unique(names, return_index=True)
        return np.asarray(order[np.sort(first)][:k], np.int64)

    def _hit(
        self,
        rank: int,
        row: int,
        nearest: Nearest | None,
        keep: NDArray[np.bool_] | None,
        own: str,
    ) -> FoundHit:
        index = self.index
        text = int(index.text_of[row])
        study = self._study(row)
        cosine = percentile = None
        if nearest is not None:
            cosine = float(nearest.cosines[rank - 1])
            if nearest.num_compared > 1:
                percentile = float(nearest.percentiles[rank - 1])
        same = self._with_text(text, keep) if text >= 0 else np.array([row])
        firsts: dict[int, int] = {}
        for one in same[: 50 * _MOST_OTHERS].tolist():
            firsts.setdefault(index.study_number(one), one)
        others = [one for one in firsts.values() if not index.same_study(one, row)]
        compared = compare(own, study.report, self.rules) if own and study.report else None
        sentences: Mapping[Match, int] = {}
        if own and study.report:
            sentences = Counter(match for _, match in match_sentences(study.report, own))
        return FoundHit(
            rank=rank,
            cosine=cosine,
            percentile=percentile,
            study=study,
            num_same=index.num_studies_of(same),
            others=tuple(
                (index.cell("key", one), index.cell("study_id", one))
                for one in others[:_MOST_OTHERS]
            ),
            parts=self.parts(study.report, None if compared is None else compared.verdicts),
            compared=compared,
            sentences=sentences,
        )

    def _study(self, row: int) -> StudyView:
        index = self.index
        rows = index.rows_of_study(row)
        return StudyView(
            key=index.cell("key", row),
            study_id=index.cell("study_id", row),
            patient_id=index.cell("patient_id", row),
            split=index.cell("split", row),
            view=index.cell("view", row),
            date=index.cell("date", row),
            report=index.report(int(index.text_of[row])),
            keys=tuple(index.cell("key", one) for one in [row, *(r for r in rows if r != row)]),
            timeline=tuple(self._timeline(row)),
        )

    def _timeline(self, row: int) -> list[Visit]:
        index = self.index
        firsts: dict[int, int] = {}
        for one in index.rows_of_patient(row):
            firsts.setdefault(index.study_number(one), one)
        visits = [
            Visit(
                key=index.cell("key", one),
                date=index.cell("date", one),
                study_id=index.cell("study_id", one),
                is_this=index.same_study(one, row),
                facts=index.findings.in_short(int(index.text_of[one])),
            )
            for one in firsts.values()
        ]
        return sorted(visits, key=lambda visit: visit.date)

    def _said(self, hits: Sequence[FoundHit]) -> tuple[tuple[str, int], ...]:
        """What at least half of the hits' reports say, with how many do."""
        items = [
            Hit(rank=hit.rank, cosine=0.0, item=Item(name="", report=hit.study.report or None))
            for hit in hits
        ]
        grid = make_grid(Answer(query=Item(name=""), hits=tuple(items), pool_size=1), self.rules)
        told = []
        for row in grid.rows:
            words = Counter(cell.text for cell in row.cells if cell.text)
            word, num = words.most_common(1)[0]
            if 2 * num >= len(hits):
                told.append((f"{row.title}: {word}", num))
        return tuple(told)


def title_of(question: Question) -> str:
    """What a question is called on a page; of a text, that it is one."""
    names = {
        "text": "A text",
        "clip": f"The clip {question.name}",
        "study": "A study of the archive",
        "filter": "Studies that fit the filter",
    }
    return names[question.kind]


def _lit(frames: Frames) -> NDArray[np.bool_]:
    """The sector of masked frames, (S, S): the largest part that is ever lit, its holes filled."""
    from scipy import ndimage

    lit = ndimage.binary_closing(frames.max(axis=(0, 3)) > _BLACK, iterations=2)
    parts, num = ndimage.label(lit)
    if not num:
        return np.ones(lit.shape, bool)
    largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return np.asarray(ndimage.binary_fill_holes(parts == largest), bool)


def _mark(nodes: Sequence[Node], kinds: list[str]) -> None:
    for node in nodes:
        if node.kind in ("phrase", "value", "bpe"):
            start, end = node.span
            kinds[start:end] = [node.kind] * (end - start)
            _mark(node.children, kinds)
