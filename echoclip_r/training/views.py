"""What a training item shows of a clip and its report: one frame, and one or several texts.

Each view is an object with its own settings. A new one is a class here, named in `TEXT_VIEWS` or
`FRAME_VIEWS`, that a recipe puts into its configuration.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from echoclip_r.model.settings import check, rule
from echoclip_r.text.claims import default_claims
from echoclip_r.text.edits import edit_somehow

if TYPE_CHECKING:
    from echoclip_r.text.codec import TextCodec

__all__ = [
    "FRAME_VIEWS",
    "TEXT_VIEWS",
    "FrameView",
    "RandomFrame",
    "Reading",
    "SentenceRun",
    "Statement",
    "TextView",
    "TokenSpan",
    "Twins",
    "WholeReport",
]


class Reading(NamedTuple):
    """What a view reads of a report.

    Attributes:
        ids: the row that the text tower gets, with BOS and EOS.
        identity: the ids that say which text it is; items with the same are each other's answers.
        states: what the text claims (num_findings,), as in `echoclip_r.text.claims`; None for a
            text that is compared as a whole.
    """

    ids: list[int]
    identity: list[int]
    states: NDArray[np.float32] | None = None


class FrameView(Protocol):
    """Which frame of a clip is shown."""

    def pick(self, num_frames: int, draw: random.Random) -> int:
        """The number of the frame, from 0."""
        ...


class TextView(ABC):
    """Which text of a report is read; most are one part of it, compared as a whole."""

    __slots__ = ()

    def __post_init__(self) -> None:
        check(self)

    @property
    def needs_sentences(self) -> bool:
        """Whether it must know where sentences end, as open_clip's own tokenizer does not."""
        return False

    @property
    def states_findings(self) -> bool:
        """Whether it says what its texts claim."""
        return False

    @property
    def num_texts(self) -> int:
        """How many texts it shows."""
        return 1

    @abstractmethod
    def read(self, report: str, codec: TextCodec, draw: random.Random) -> tuple[Reading, ...]:
        """The ids of each of its texts of a report, by chance where it draws."""

    def is_cut(self, report: str, codec: TextCodec) -> bool:
        """Whether it should show all of a report that does not fit the context."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomFrame:
    """One frame of the clip, each as likely as the others."""

    def pick(self, num_frames: int, draw: random.Random) -> int:
        """See `FrameView.pick`."""
        return draw.randrange(num_frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSpan(TextView):
    """As many ids in a row as fit the context, from a random place: the base model's way."""

    def read(self, report: str, codec: TextCodec, draw: random.Random) -> tuple[Reading, ...]:
        """See `TextView.read`."""
        span = codec.token_span(report, draw)
        return (Reading(span, span),)


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeReport(TextView):
    """The report from its beginning, cut between units where it does not fit."""

    drop_sentences: float = field(default=0.0, metadata=rule(least=0, most=0.9))
    """Some sentences are left out: a share that is drawn anew each time, from 0 to this. Equal
    reports stay equal, whichever of their sentences are left out."""

    @property
    def needs_sentences(self) -> bool:
        """Only to leave some out."""
        return self.drop_sentences > 0

    def read(self, report: str, codec: TextCodec, draw: random.Random) -> tuple[Reading, ...]:
        """See `TextView.read`."""
        whole = codec.whole(report)
        if not self.drop_sentences:
            return (Reading(whole, whole),)
        drop = draw.random() * self.drop_sentences
        return (Reading(codec.thinned(report, draw, drop=drop), whole),)

    def is_cut(self, report: str, codec: TextCodec) -> bool:
        """See `TextView.is_cut`."""
        return codec.is_cut(report)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceRun(TextView):
    """Some sentences in a row, from a random place of the report."""

    max_sentences: int = field(default=4, metadata=rule(least=1))
    """The longest run; its length is drawn from 1 to this."""

    @property
    def needs_sentences(self) -> bool:
        """It is made of them."""
        return True

    def read(self, report: str, codec: TextCodec, draw: random.Random) -> tuple[Reading, ...]:
        """See `TextView.read`."""
        run = codec.sentence_run(report, draw, max_sentences=self.max_sentences)
        return (Reading(run, run),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement(TextView):
    """A finding as a prompt says it: some sentences of the report that claim it, at times changed.

    The finding is drawn first, so that a rare one is as likely as a common one in its report. What
    was changed is no longer true of the clip itself, and may be of another one in the batch.
    """

    edited: float = field(default=0.5, metadata=rule(least=0, most=1))
    """The share of statements in which one finding has another number, grade or side, or is
    denied."""
    longest: int = field(default=1, metadata=rule(least=1))
    """The most sentences of a statement; their number is drawn from 1 to this."""

    @property
    def states_findings(self) -> bool:
        """It does."""
        return True

    def read(self, report: str, codec: TextCodec, draw: random.Random) -> tuple[Reading, ...]:
        """See `TextView.read`; the text of a report that claims nothing is empty."""
        claims = default_claims()
        claimed = claims.of_report(report)
        if not claimed.by_finding:
            return (_stated("", codec, claims.nothing),)
        column, (start, end) = claimed.draw(draw, max_sentences=self.longest)
        text = report[start:end]
        if draw.random() < self.edited:
            changed = edit_somehow(text, column, claims, draw)
            if changed is not None:
                return (_stated(changed.text, codec, changed.values),)
        return (_stated(text, codec, claims.read(text)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins(TextView):
    """Some sentences of the report, and the same with one finding changed.

    The two differ in nothing else, so whoever prefers one of them has to look at the finding. Where
    nothing can be changed both are the same, and ask nothing.
    """

    longest_twin: int = field(default=40, metadata=rule(least=1))
    """The most sentences of a twin; their number is drawn from 1 to this, so that the whole report
    is common."""

    @property
    def states_findings(self) -> bool:
        """It does."""
        return True

    @property
    def num_texts(self) -> int:
        """The text as it is, and the changed one."""
        return 2

    def read(self, report: str, codec: TextCodec, draw: random.Random) -> tuple[Reading, ...]:
        """See `TextView.read`; the texts of a report that claims nothing are empty."""
        claims = default_claims()
        claimed = claims.of_report(report)
        if not claimed.by_finding:
            return (_stated("", codec, claims.nothing),) * 2
        column, (start, end) = claimed.draw(draw, max_sentences=self.longest_twin)
        text = report[start:end]
        said = _stated(text, codec, claims.read(text))
        changed = edit_somehow(text, column, claims, draw)
        if changed is None:
            return said, said
        return said, _stated(changed.text, codec, changed.values)


def _stated(text: str, codec: TextCodec, states: NDArray[np.float32]) -> Reading:
    ids = codec.passing(text)
    return Reading(ids, ids, states)


FRAME_VIEWS: Mapping[str, type] = MappingProxyType({"random-frame": RandomFrame})
TEXT_VIEWS: Mapping[str, type] = MappingProxyType(
    {
        "token-span": TokenSpan,
        "whole-report": WholeReport,
        "sentence-run": SentenceRun,
        "statement": Statement,
        "twins": Twins,
    }
)
