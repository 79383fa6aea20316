"""What a tokenizer does to a corpus: compression, coverage, losslessness, and what to add next.

Compression is never reported without coverage and losslessness (I11). The costly stretches are
shown only when enough reports hold them (I9).
"""

from __future__ import annotations

import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, count, islice, pairwise
from typing import NamedTuple

from echotok.bpe import ByteBPE
from echotok.clip_merges import clip_merges, count_clip_tokens
from echotok.cpus import end_with_parent, num_cpus
from echotok.engine.encoding import Encoding
from echotok.errors import MergesError
from echotok.leftovers import find_leftovers
from echotok.peers import Peer, comes_back
from echotok.text import split_pieces
from echotok.tokenizer import Tokenizer

__all__ = ["CONTEXT_LENGTHS", "CorpusStats", "Stretch", "measure", "summarize"]

CONTEXT_LENGTHS = (64, 77, 128)
_BATCH = 64
# Seconds of work that this process does alone, before it starts workers: each of them may have to
# import echotok and build the tokenizer anew, so a corpus that is measured by then needs none.
_ALONE = 2.0
# When there are more candidates than this, those that only one report holds are dropped.
_MAX_CANDIDATES = 400_000
_MAX_KNOWN = 20_000  # sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stretch of text for which a new phrase would save tokens.

    Attributes:
        template: normalized text, with each value written as its `{slot}`.
        num_reports: number of reports that hold it.
        tokens_saved: number of tokens that a phrase for it would save in the whole corpus.
    """

    template: str
    num_reports: int
    tokens_saved: int


@dataclass(slots=True, kw_only=True)
class CorpusStats:
    """The figures of a corpus. Lengths count BOS and EOS too.

    Attributes:
        lengths: number of tokens of each report.
        clip_lengths: number of tokens of each report in CLIP's standard tokenizer; empty where
            CLIP's merges are not known.
        num_phrase, num_value, num_bpe: number of visible characters that phrases, values and BPE
            encode.
        num_lossy: number of reports that do not decode to their normalized text (must be 0 for a
            tokenizer of ours); None where a tokenizer of others cannot decode.
        num_exact: number of reports that a tokenizer of others decodes to the very same text.
        leftovers: for each kind of leftover of another program (such as HTML), the number of
            reports that hold it.
    """

    lengths: list[int] = field(default_factory=list)
    clip_lengths: list[int] = field(default_factory=list)
    num_phrase: int = 0
    num_value: int = 0
    num_bpe: int = 0
    num_lossy: int | None = 0
    num_exact: int = 0
    leftovers: Counter[str] = field(default_factory=Counter)
    _saved: Counter[str] = field(default_factory=Counter)
    _reports: Counter[str] = field(default_factory=Counter)

    def add(self, other: CorpusStats) -> None:
        """Add the figures of another part of the corpus."""
        self.lengths += other.lengths
        self.clip_lengths += other.clip_lengths
        self.num_phrase += other.num_phrase
        self.num_value += other.num_value
        self.num_bpe += other.num_bpe
        if self.num_lossy is not None:
            self.num_lossy = None if other.num_lossy is None else self.num_lossy + other.num_lossy
        self.num_exact += other.num_exact
        self.leftovers.update(other.leftovers)
        self._saved.update(other._saved)
        self._reports.update(other._reports)
        if len(self._reports) > _MAX_CANDIDATES:
            self._reports = Counter({t: n for t, n in self._reports.items() if n > 1})
            self._saved = Counter({t: self._saved[t] for t in self._reports})

    @property
    def num_reports(self) -> int:
        """How many reports were measured."""
        return len(self.lengths)

    @property
    def ratio(self) -> float | None:
        """CLIP's tokens divided by this tokenizer's, both summed over the corpus."""
        if not self.clip_lengths or not self.lengths:
            return None
        return sum(self.clip_lengths) / sum(self.lengths)

    @property
    def worst_ratio(self) -> float | None:
        """The largest quotient, of all reports, of this tokenizer's tokens and CLIP's."""
        pairs = zip(self.lengths, self.clip_lengths, strict=False)
        return max((own / clip for own, clip in pairs), default=None)

    def shares(self) -> dict[str, float]:
        """Shares of the visible characters in phrases, values and BPE."""
        total = max(1, self.num_phrase + self.num_value + self.num_bpe)
        return {
            "phrase": self.num_phrase / total,
            "value": self.num_value / total,
            "bpe": self.num_bpe / total,
        }

    def fitting(self) -> dict[int, float]:
        """For each of CONTEXT_LENGTHS the share of reports that fit into it whole."""
        total = max(1, len(self.lengths))
        return {size: sum(n <= size for n in self.lengths) / total for size in CONTEXT_LENGTHS}

    def stretches(self, *, min_reports: int, limit: int = 20) -> list[Stretch]:
        """The uncovered stretches that cost the most tokens, the most costly first.

        Args:
            min_reports: leave out stretches that fewer reports hold: rare text may be a patient's
                own (I9).
            limit: largest number to return; a stretch that lies inside another is left out.
        """
        chosen: list[Stretch] = []
        for template, saved in sorted(self._saved.items(), key=lambda item: (-item[1], item[0])):
            if self._reports[template] < min_reports:
                continue
            if any(template in other.template or other.template in template for other in chosen):
                continue
            chosen.append(
                Stretch(
                    template=template,
                    num_reports=self._reports[template],
                    tokens_saved=saved,
                )
            )
            if len(chosen) == limit:
                break
        return chosen


def summarize(lengths: list[int]) -> dict[str, float]:
    """Mean, median and 95th percentile of a list of lengths."""
    if not lengths:
        return {"mean": 0.0, "median": 0.0, "p95": 0.0}
    ordered = sorted(lengths)
    return {
        "mean": statistics.fmean(ordered),
        "median": float(statistics.median(ordered)),
        "p95": float(ordered[min(len(ordered) - 1, -(-len(ordered) * 95 // 100) - 1)]),
    }


class _Measurer:
    """Measures batches of reports; travels to worker processes."""

    def __init__(self, tokenizer: Tokenizer | Peer, merges_path: str | None, *, clip: bool) -> None:
        self.tokenizer = tokenizer
        self.clip = ByteBPE(clip_merges(merges_path)) if clip else None
        self.known: _Known = {}

    def __call__(self, texts: list[str]) -> CorpusStats:
        stats = CorpusStats()
        for text in texts:
            if self.clip is not None:
                stats.clip_lengths.append(count_clip_tokens(text, self.clip))
            stats.leftovers.update(find_leftovers(text))
            if isinstance(self.tokenizer, Peer):
                _add_peer(stats, text, self.tokenizer)
            else:
                _add_own(stats, text, self.tokenizer, self.known)
        return stats


def _add_own(stats: CorpusStats, text: str, tokenizer: Tokenizer, known: _Known) -> None:
    encoding = tokenizer.encode(text)
    stats.lengths.append(len(encoding))
    normalized = tokenizer.normalize(text)
    if tokenizer.decode(encoding.ids) != normalized:
        assert stats.num_lossy is not None, "ours can decode"
        stats.num_lossy += 1
    _add_units(stats, encoding, normalized, known)


def _add_peer(stats: CorpusStats, text: str, peer: Peer) -> None:
    ids = peer.encode(text)
    stats.lengths.append(len(ids))
    if peer.decode is None or stats.num_lossy is None:
        stats.num_lossy = None
        return
    decoded = peer.decode(ids)
    stats.num_exact += decoded == text
    stats.num_lossy += not comes_back(text, decoded)


def measure(
    texts: Iterable[str],
    tokenizer: Tokenizer | Peer,
    *,
    workers: int = 1,
    merges_path: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> CorpusStats:
    """Measure a corpus, which is read as a stream.

    Args:
        texts: the reports.
        tokenizer: the tokenizer to measure. One of others gets no coverage and no stretches, and is
            lossless where its text comes back but for letter case, white space and typography.
        workers: largest number of processes. They are started where they pay: not more than the
            machine has processors, and not for a corpus that one process measures within some four
            seconds; and they are let go where one process is faster.
        merges_path: path of CLIP's merges; None looks into open_clip_torch, and leaves CLIP out
            when that is not installed.
        progress: called with the number of reports done since the last call.

    Raises:
        MergesError: `merges_path` was given and is not CLIP's merges file.
    """
    try:
        clip_merges(merges_path)
        clip = True
    except MergesError:
        if merges_path is not None:
            raise
        clip = False
    measurer = _Measurer(tokenizer, merges_path, clip=clip)
    stats = CorpusStats()
    for part in _map(measurer, _batches(texts), workers):
        stats.add(part)
        if progress is not None:
            progress(part.num_reports)
    return stats


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    stream = iter(texts)
    while batch := list(islice(stream, _BATCH)):
        yield batch


def _map(measurer: _Measurer, batches: Iterator[list[str]], workers: int) -> Iterator[CorpusStats]:
    workers = min(workers, num_cpus())  # more would only take turns
    num_alone, begun = 0, time.monotonic()
    for batch in batches:
        yield measurer(batch)
        num_alone += 1
        if workers > 1 and time.monotonic() - begun > _ALONE:
            break
    else:
        return
    seconds_alone = time.monotonic() - begun
    # Read ahead: workers pay only where as much is left as was done alone.
    ahead = list(islice(batches, num_alone))
    batches = chain(ahead, batches)
    if len(ahead) == num_alone:
        yield from _map_in_pool(measurer, batches, workers, num_alone, seconds_alone)
    yield from map(measurer, batches)


def _map_in_pool(
    measurer: _Measurer,
    batches: Iterator[list[str]],
    workers: int,
    num_alone: int,
    seconds_alone: float,
) -> Iterator[CorpusStats]:
    """Measure in workers for as long as they take less than one process did for as many batches.

    On a machine that is busy with other work they may not; the other batches are left to the
    caller then.
    """
    pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=(measurer,))
    try:
        # A window of batches in flight, so that a stream is never read into memory whole.
        window = [pool.submit(_work, batch) for batch in islice(batches, 4 * workers)]
        pays, since = True, None
        for num_back in count():
            if not window:
                break
            stats = window.pop(0).result()
            if num_back % num_alone == 0:
                now = time.monotonic()
                pays = pays and (since is None or now - since < seconds_alone)
                since = now
            yield stats
            if pays:
                window += [pool.submit(_work, batch) for batch in islice(batches, 1)]
    finally:
        # Waited for: an interpreter that ends while the pool's own thread still closes its pipes
        # would write into one that is closed already.
        pool.shutdown(wait=True, cancel_futures=True)


_measurer: _Measurer | None = None
"""The measurer of this worker process: sent once, not with each batch."""


def _begin(measurer: _Measurer) -> None:
    global _measurer
    _measurer = measurer
    end_with_parent()
    # Workers leave an interrupt to the parent, which then drops what is queued.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(texts: list[str]) -> CorpusStats:
    assert _measurer is not None, "_begin runs first in each worker"
    return _measurer(texts)


class _Sentence(NamedTuple):
    """What one sentence adds: visible characters by kind, and its costly stretches."""

    num_phrase: int
    num_value: int
    num_bpe: int
    candidates: tuple[tuple[str, int], ...]


_Known = dict[tuple[int, ...], _Sentence]
"""Sentences by their ids, from which all that they add follows."""


def _add_units(stats: CorpusStats, encoding: Encoding, normalized: str, known: _Known) -> None:
    """Count characters by kind, and gather the stretches that cost more than a phrase would."""
    sentences, ids = encoding.sentences, encoding.ids
    begins, bounds = [1, *encoding.unit_ends], [0, *encoding.piece_ends]
    pieces: list[str] = []
    seen: set[str] = set()
    start = 0
    for end in range(1, len(sentences) + 1):
        if end < len(sentences) and sentences[end] == sentences[start]:
            continue
        key = tuple(ids[begins[start] : begins[end]])
        found = known.get(key)
        if found is None:
            pieces = pieces or split_pieces(normalized)
            texts = ["".join(pieces[low:high]) for low, high in pairwise(bounds[start : end + 1])]
            found = _read_sentence(encoding, texts, begins[start : end + 1])
            if len(known) >= _MAX_KNOWN:
                known.clear()
            known[key] = found
        stats.num_phrase += found.num_phrase
        stats.num_value += found.num_value
        stats.num_bpe += found.num_bpe
        for template, saved in found.candidates:
            stats._saved[template] += saved
            if template not in seen:
                stats._reports[template] += 1
                seen.add(template)
        start = end


def _read_sentence(encoding: Encoding, texts: list[str], begins: list[int]) -> _Sentence:
    """What the units of a sentence add.

    Args:
        encoding: encoding of a report.
        texts: normalized text of each of the sentence's units.
        begins: where the ids of each begin, and where those of the last end.
    """
    kinds, tokens = encoding.kinds, encoding.tokens
    units: list[tuple[str, int, str]] = []  # template, tokens, kind
    num_phrase = num_value = num_bpe = 0
    for text, (at, behind) in zip(texts, pairwise(begins), strict=True):
        low = at + (kinds[at] == "special")
        kind = kinds[low]
        visible = len(text) - text.count(" ")
        if kind == "phrase":
            written = "".join(tokens[low + 1 : behind])
            values = len(written) - written.count(" ")
            num_value += values
            num_phrase += visible - values
            template = " " * text.startswith(" ") + tokens[low]
        elif kind == "value":
            num_value += visible
            template = " " * text.startswith(" ") + "{" + encoding.slot_types[low] + "}"
        else:
            num_bpe += visible
            template = text
        units.append((template, behind - at, kind))
    return _Sentence(num_phrase, num_value, num_bpe, tuple(_candidates(units)))


def _candidates(sentence: list[tuple[str, int, str]]) -> Iterator[tuple[str, int]]:
    """A whole sentence, and its runs of units outside of phrases, with what a phrase would save."""
    yield from _candidate(sentence)
    run: list[tuple[str, int, str]] = []
    for unit in [*sentence, ("", 0, "phrase")]:
        if unit[2] != "phrase":
            run.append(unit)
            continue
        if len(run) < len(sentence):
            yield from _candidate(run)
        run = []


def _candidate(units: list[tuple[str, int, str]]) -> Iterator[tuple[str, int]]:
    template = "".join(text for text, _, _ in units).removeprefix(" ")
    saved = sum(tokens for _, tokens, _ in units) - 1 - template.count("{")
    if (saved > 0 and any(kind == "bpe" for _, _, kind in units)) or (len(units) > 1 and saved > 0):
        yield template, saved
