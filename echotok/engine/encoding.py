"""What encoding gives back: `Encoding` for one text, `Batch` for many.

Ids come at once; tokens, kinds, units, offsets and sentences are worked out when asked for, since
training reads only ids.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from echotok.engine.spans import token_spans
from echotok.text import offsets as character_offsets
from echotok.text import split_pieces

if TYPE_CHECKING:
    from echotok.tokenizer import Tokenizer

__all__ = ["Encoding", "Span"]

Span = tuple[int, int]

_ENDS_SENTENCE = (".", "!", "?")
_LIST_NUMBER = re.compile(r"[(]?[0-9]{1,3}[.)]")
# A new line is a new sentence when it looks like one: a list mark, a capital or a blank line.
_NEW_LINE = re.compile(r"\s*\n\s*(?:\n|[-*\u2022]|[0-9]{1,3}[.)]|[^\W\da-z_])")


class Encoding:
    """One encoded text.

    Attributes:
        ids: BOS, the text's ids, EOS.
        num_dropped: ids that truncation dropped.
        cut_inside_unit: whether truncation had to cut through a unit, which happens only when the
            first unit alone is too long.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        text: str,
        ids: list[int],
        *,
        num_dropped: int = 0,
        cut_inside_unit: bool = False,
    ) -> None:
        self.ids = ids
        self.num_dropped = num_dropped
        self.cut_inside_unit = cut_inside_unit
        self._tokenizer = tokenizer
        self._text = text

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        # Never the text: it is a patient's (I9).
        return f"Encoding(num_ids={len(self.ids)}, num_dropped={self.num_dropped})"

    def truncate(self, context_length: int) -> Encoding:
        """Cut between units so that BOS, the kept units and EOS fit (I8).

        Args:
            context_length: at least 3.

        Returns:
            An encoding of at most `context_length` ids; `num_dropped` tells what is missing.
        """
        if context_length < 3:
            raise ValueError(f"context_length is {context_length}; BOS, one id and EOS need 3")
        if len(self.ids) <= context_length:
            return self
        fitting = bisect_right(self.unit_ends, context_length - 1)
        keep = self.unit_ends[fitting - 1] if fitting else context_length - 1
        return Encoding(
            self._tokenizer,
            self._text,
            [*self.ids[:keep], self.ids[-1]],
            num_dropped=self.num_dropped + len(self.ids) - 1 - keep,
            cut_inside_unit=not fitting,
        )

    @cached_property
    def _ends(self) -> tuple[list[int], list[int]]:
        """For each unit the index behind its last id, and behind its last piece."""
        unit_ends: list[int] = []
        piece_ends: list[int] = []
        ids, pieces = 1, 0
        last = len(self.ids) - 1
        for chunk in self._tokenizer.encoder.chunks(self._tokenizer.normalize(self._text)):
            unit_ends += [ids + end for end in chunk.unit_ends]
            piece_ends += [pieces + end for end in chunk.piece_ends]
            ids, pieces = unit_ends[-1], piece_ends[-1]
            if ids >= last:
                break
        kept = bisect_left(unit_ends, last) + 1 if unit_ends else 0
        return [*unit_ends[: kept - 1], last] if kept else [], piece_ends[:kept]

    @property
    def unit_ends(self) -> list[int]:
        """For each unit the index behind its last id."""
        return self._ends[0]

    @property
    def piece_ends(self) -> list[int]:
        """For each unit the index behind its last piece (`echotok.text.split_pieces`)."""
        return self._ends[1]

    @cached_property
    def tokens(self) -> list[str]:
        """The text of each id: a phrase with its `{slots}`, a value, a BPE token, `<bos>`."""
        return [self._tokenizer.token(number) for number in self.ids]

    @cached_property
    def kinds(self) -> list[str]:
        """`special`, `phrase`, `value` or `bpe` for each id (`join` and `space` are special)."""
        return [self._tokenizer.kind(number) for number in self.ids]

    @cached_property
    def units(self) -> list[int | None]:
        """The unit that each id belongs to, None for BOS and EOS.

        A unit is a phrase with its values, a value outside of a phrase, or one BPE word.
        """
        units: list[int | None] = [None]
        for unit, end in enumerate(self.unit_ends):
            units += [unit] * (end - len(units))
        return [*units, None]

    @cached_property
    def offsets(self) -> list[Span | None]:
        """For each id its span in the original text, None for BOS and EOS (I2).

        A phrase id spans its whole unit, its values lie inside; `join` and `space` have an empty
        span at the start of their unit; bytes of one character share its span.
        """
        return token_spans(self._tokenizer, self._text, self)

    @cached_property
    def unit_offsets(self) -> list[Span]:
        """The span of each unit in the original text; disjoint and in order."""
        pieces = split_pieces(normalized := self._tokenizer.normalize(self._text))
        starts, ends = character_offsets(self._text, normalized)
        bounds = [0, *accumulate(map(len, pieces))]
        spans = []
        first = 0
        for last in self.piece_ends:
            begin = bounds[first] + (pieces[first][0] == " ")
            spans.append((starts[begin], ends[bounds[last] - 1]))
            first = last
        return spans

    @cached_property
    def sentences(self) -> list[int]:
        """For each unit the number of its sentence, from 0.

        A sentence ends at a unit that ends in `.`, `!` or `?` with white space behind it (a list
        number such as `1.` ends none), and where a new line begins with a list mark, a capital
        letter or a blank line.
        """
        numbers: list[int] = []
        sentence = 0
        begin = 0
        for unit, (start, _) in enumerate(self.unit_offsets):
            if unit:
                previous = self.unit_offsets[unit - 1][1]
                so_far = self._text[begin:previous]
                stop = so_far.endswith(_ENDS_SENTENCE) and start > previous
                if (stop and not _LIST_NUMBER.fullmatch(so_far.strip())) or _NEW_LINE.match(
                    self._text, previous
                ):
                    sentence += 1
                    begin = start
            numbers.append(sentence)
        return numbers
