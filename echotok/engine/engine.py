"""Everything that turns text into ids and back: layout, vocabulary, normalizer, encoder, decoder.

An `Engine` is made from a table and a fallback, and knows nothing of files, names or fingerprints;
`echotok.tokenizer` adds these. An `Encoding` works with an engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from echotok.bpe import ByteBPE
from echotok.clip_merges import clip_merge_lines
from echotok.engine.core import Core, CoreTrace, CoreWords, compile_core
from echotok.engine.decoder import Decoder
from echotok.engine.encoder import Encoder
from echotok.engine.spans import Places, Span, find_spans, find_unit_spans, number_units
from echotok.engine.vocabulary import Layout, Vocabulary, check_ids
from echotok.sentences import number_sentences
from echotok.table.fallback import Fallback
from echotok.table.phrases import PhraseTable
from echotok.text import make_normalizer

__all__ = ["Engine", "Trace"]


class Trace:
    """One pass of the Python engine over a text, from which all in an `Encoding` follows.

    The compiled core makes traces of its own (`echotok.engine.core.CoreTrace`).

    Attributes:
        text: the original text.
        ids: BOS, the ids of the text, EOS.
    """

    def __init__(self, engine: Engine, text: str, *, goes_on: bool = False) -> None:
        self.text = text
        self._engine = engine
        self._normalized = engine.normalize(text)
        self._chunks = tuple(engine.encoder.chunks(self._normalized, goes_on=goes_on))
        self.ids = [engine.layout.bos]
        for chunk in self._chunks:
            self.ids += chunk.ids
        self.ids.append(engine.layout.eos)

    @property
    def ends(self) -> tuple[list[int], list[int]]:
        """For each unit the index behind its last id, and behind its last piece."""
        unit_ends: list[int] = []
        piece_ends: list[int] = []
        ids, pieces = 1, 0
        for chunk in self._chunks:
            unit_ends += [ids + end for end in chunk.unit_ends]
            piece_ends += [pieces + end for end in chunk.piece_ends]
            ids, pieces = unit_ends[-1], piece_ends[-1]
        return unit_ends, piece_ends

    @cached_property
    def _places(self) -> Places:
        return Places(self.text, self._normalized)

    @cached_property
    def unit_spans(self) -> list[Span]:
        """The span of each unit."""
        return find_unit_spans(self._places, self.ends[1])

    @property
    def units(self) -> list[int | None]:
        """The number of each id's unit; None for BOS and EOS."""
        return number_units(self.ends[0])

    @property
    def sentences(self) -> list[int]:
        """The number of each unit's sentence, from 0."""
        return number_sentences(self.text, self.unit_spans)

    @property
    def spans(self) -> list[Span | None]:
        """The span of each id; None for BOS and EOS."""
        unit_ends, piece_ends = self.ends
        return find_spans(
            self._places,
            self.ids,
            unit_spans=self.unit_spans,
            unit_ends=unit_ends,
            piece_ends=piece_ends,
            encoder=self._engine.encoder,
            vocabulary=self._engine.vocabulary,
        )


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Encodes and decodes. It is immutable; its memos are safe to share between threads.

    Attributes:
        table: the phrase table.
        layout: the place of each region of ids.
        normalize: function from a text to the text that encoding preserves (I1).
        encoder: turns normalized text into ids.
        get_vocabulary: makes `vocabulary` where it is first asked for.
        core: the compiled core; None where the Python engine does all.
    """

    table: PhraseTable
    layout: Layout
    normalize: Callable[[str], str]
    encoder: Encoder
    get_vocabulary: Callable[[], Vocabulary]
    core: Core | None = None

    @classmethod
    def of(
        cls,
        table: PhraseTable,
        fallback: Fallback,
        *,
        lines: Sequence[str] | None = None,
        clip_merges: str | Path | None = None,
    ) -> Engine:
        """Make the engine of a table.

        Args:
            table: a checked table.
            fallback: what encodes the text that no phrase covers.
            lines: the merges of the fallback as lines `left right`, where they are at hand; they
                are taken in place of its pairs.
            clip_merges: path of CLIP's merges; None finds them in the installed open_clip_torch.

        Raises:
            ValueError: the fallback has more merges than the table has room for, or a line of
                merges is not a pair.
            ArtifactError: two rows of the table have one id.
            MergesError: CLIP's merges are needed and not found.
        """
        clip = fallback.kind == "clip"
        merges = list(map(" ".join, fallback.merges)) if lines is None else lines
        more: Sequence[str] = ()
        num_merges = table.num_merges
        if clip:
            merges, more = clip_merge_lines(clip_merges), merges
            num_merges = len(merges)
        if len(merges) > num_merges:
            raise ValueError(f"there are {len(merges)} merges, and room for {num_merges}")
        num_bpe = fallback.num_base_tokens + num_merges
        layout = Layout.of(table, clip=clip, num_bpe=num_bpe, num_more=len(more))
        check_ids(table, layout)

        @cache
        def bpe() -> ByteBPE:
            return ByteBPE.of_lines(
                merges, offset=layout.bpe, base=fallback.base, more=more, more_offset=layout.more
            )

        python = cls(
            table=table,
            layout=layout,
            normalize=make_normalizer(table.units),
            encoder=Encoder(table, layout, bpe, joins_parts=fallback.joins_parts),
            get_vocabulary=cache(lambda: Vocabulary(layout, table, bpe())),
        )
        words = CoreWords(bpe)
        for_core = replace(python, encoder=python.encoder.with_bpe(words))
        core = compile_core(
            table,
            layout,
            python.encoder,
            merges=merges,
            more=more,
            base=fallback.base,
            encode_hard=for_core.trace_stretch,
            span_hard=span_stretch,
        )
        if core is None:
            bpe()  # says what is wrong with the merges
            return python
        words.use(core)
        return replace(python, core=core)

    @property
    def vocabulary(self) -> Vocabulary:
        """The meaning of each id."""
        return self.get_vocabulary()

    @cached_property
    def decoder(self) -> Decoder:
        """Turns ids into normalized text."""
        return Decoder(self.table, self.layout, self.vocabulary)

    def trace(self, text: str) -> Trace | CoreTrace:
        """Normalize and encode a text, and keep all from which its offsets and units follow."""
        if self.core is not None:
            try:
                return self.core.encode(text)
            except OverflowError:
                pass  # a text of a quarter of a billion characters
        return Trace(self, text)

    def trace_stretch(
        self, text: str, goes_on: bool
    ) -> tuple[Trace, list[int], list[int], list[int]]:
        """Encode a stretch that is not for the core.

        Args:
            text: the stretch.
            goes_on: whether a full stop and a space stand before it.

        Returns:
            Its trace and ids, and for each unit the index behind its last id and its last piece.
        """
        trace = Trace(self, text, goes_on=goes_on)
        unit_ends, piece_ends = trace.ends
        return trace, trace.ids[1:-1], [end - 1 for end in unit_ends], piece_ends


def span_stretch(trace: Trace, start: int, of_units: int) -> list[Span]:
    """The spans of a stretch.

    Args:
        trace: trace of the stretch.
        start: where it begins in the original text.
        of_units: 1 for the spans of its units, 0 for those of its ids.
    """
    found = trace.unit_spans if of_units else trace.spans[1:-1]
    return [(span[0] + start, span[1] + start) for span in found if span is not None]
