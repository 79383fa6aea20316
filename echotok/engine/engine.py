"""Everything that turns text into ids and back: layout, vocabulary, normalizer, encoder, decoder.

An `Engine` is made from a table and a fallback, and knows nothing of files, names or fingerprints;
`echotok.tokenizer` adds these. An `Encoding` works with an engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from echotok.bpe import ByteBPE
from echotok.clip_merges import clip_merges as read_clip_merges
from echotok.engine.decoder import Decoder
from echotok.engine.encoder import Chunk, Encoder
from echotok.engine.vocabulary import Layout, Vocabulary
from echotok.table.fallback import Fallback
from echotok.table.phrases import PhraseTable
from echotok.text import make_normalizer

__all__ = ["Engine", "Trace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One pass over a text, from which everything in an `Encoding` follows.

    Attributes:
        text: the original text.
        normalized: the text that `normalize` made of it.
        chunks: the encoded stretches of the normalized text, in order.
    """

    text: str
    normalized: str
    chunks: Sequence[Chunk]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Encodes and decodes. It is immutable; its memos are safe to share between threads.

    Attributes:
        layout: the place of each region of ids.
        vocabulary: the meaning of each id.
        normalize: function from a text to the text that encoding preserves (I1).
        encoder: turns normalized text into ids.
        decoder: turns ids into normalized text.
    """

    layout: Layout
    vocabulary: Vocabulary
    normalize: Callable[[str], str]
    encoder: Encoder
    decoder: Decoder

    @classmethod
    def of(
        cls, table: PhraseTable, fallback: Fallback, *, clip_merges: str | Path | None = None
    ) -> Engine:
        """Make the engine of a table.

        Args:
            table: a checked table.
            fallback: what encodes the text that no phrase covers.
            clip_merges: path of CLIP's merges; None finds them in the installed open_clip_torch.

        Raises:
            ValueError: the fallback has more merges than the table has room for.
            ArtifactError: two rows of the table have one id.
            MergesError: CLIP's merges are needed and not found.
        """
        clip = fallback.kind == "clip"
        merges: Sequence[tuple[str, str]] = fallback.merges
        more: Sequence[tuple[str, str]] = ()
        num_merges = table.num_merges
        if clip:
            merges, more = read_clip_merges(clip_merges), merges
            num_merges = len(merges)
        if len(merges) > num_merges:
            raise ValueError(f"there are {len(merges)} merges, and room for {num_merges}")
        num_bpe = fallback.num_base_tokens + num_merges
        layout = Layout.of(table, clip=clip, num_bpe=num_bpe, num_more=len(more))
        bpe = ByteBPE(
            merges, offset=layout.bpe, base=fallback.base, more=more, more_offset=layout.more
        )
        vocabulary = Vocabulary(layout, table, bpe)
        return cls(
            layout=layout,
            vocabulary=vocabulary,
            normalize=make_normalizer(table.units),
            encoder=Encoder(table, layout, bpe, joins_parts=fallback.joins_parts),
            decoder=Decoder(table, layout, vocabulary),
        )

    def trace(self, text: str) -> Trace:
        """Normalize and encode a text, and keep all from which its offsets and units follow."""
        normalized = self.normalize(text)
        return Trace(
            text=text, normalized=normalized, chunks=tuple(self.encoder.chunks(normalized))
        )
