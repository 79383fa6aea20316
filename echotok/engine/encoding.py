"""What encoding gives back for one text.

The ids are there at once; tokens, kinds, units, offsets and sentences are worked out when they are
asked for, since training reads only ids.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import Any

from echotok.engine.engine import Engine, Trace
from echotok.engine.spans import Span, find_spans
from echotok.sentences import number_sentences

__all__ = ["Encoding", "check_context_length"]

_PICKLED = (
    "ids",
    "num_dropped",
    "cut_inside_unit",
    "_ends",
    "tokens",
    "kinds",
    "roles",
    "slots",
    "unit_offsets",
    "offsets",
    "sentences",
)


class Encoding:
    """One encoded text.

    A pickled encoding carries only these results: neither the text nor the engine that encoded it.

    Attributes:
        ids: BOS, the text's ids, EOS.
        num_dropped: number of ids that truncation dropped.
        cut_inside_unit: whether truncation had to cut through a unit, which happens only when the
            first unit alone is too long.
    """

    def __init__(self, engine: Engine, text: str) -> None:
        trace = engine.trace(text)
        self.ids = [engine.layout.bos]
        for chunk in trace.chunks:
            self.ids += chunk.ids
        self.ids.append(engine.layout.eos)
        self.num_dropped = 0
        self.cut_inside_unit = False
        self._engine: Engine = engine
        self._trace: Trace = trace

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        # Never the text: it is a patient's (I9).
        return f"Encoding(num_ids={len(self.ids)}, num_dropped={self.num_dropped})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # What was worked out before pickling stands where a cached property keeps its value.
        self.__dict__.update(state)

    def truncate(self, context_length: int) -> Encoding:
        """Cut between units so that BOS, the kept units and EOS fit (I8).

        Args:
            context_length: largest number of ids, at least 3.

        Returns:
            An encoding of at most `context_length` ids; its `num_dropped` counts the ids left out.

        Raises:
            ValueError: `context_length` is below 3.
        """
        check_context_length(context_length)
        if len(self.ids) <= context_length:
            return self
        fitting = bisect_right(self.unit_ends, context_length - 1)
        keep = self.unit_ends[fitting - 1] if fitting else context_length - 1
        cut = Encoding.__new__(Encoding)
        if "_engine" in self.__dict__:
            cut._engine, cut._trace = self._engine, self._trace
        else:
            cut.__dict__.update(self._cut_results(keep, max(fitting, 1)))
        cut.ids = [*self.ids[:keep], self.ids[-1]]
        cut.num_dropped = self.num_dropped + len(self.ids) - 1 - keep
        cut.cut_inside_unit = not fitting
        return cut

    def _cut_results(self, keep: int, num_units: int) -> dict[str, Any]:
        """The results of the first ids and units, for an encoding that came by pickle."""
        results: dict[str, Any] = {
            name: [*getattr(self, name)[:keep], getattr(self, name)[-1]]
            for name in ("tokens", "kinds", "roles", "slots", "offsets")
        }
        unit_ends, piece_ends = self._ends
        results["_ends"] = ([*unit_ends[: num_units - 1], keep], piece_ends[:num_units])
        results["unit_offsets"] = self.unit_offsets[:num_units]
        results["sentences"] = self.sentences[:num_units]
        return results

    @cached_property
    def _ends(self) -> tuple[list[int], list[int]]:
        """For each unit the index behind its last id, and behind its last piece."""
        unit_ends: list[int] = []
        piece_ends: list[int] = []
        ids, pieces = 1, 0
        last = len(self.ids) - 1
        for chunk in self._trace.chunks:
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
        return [self._engine.vocabulary.texts[number] for number in self.ids]

    @cached_property
    def kinds(self) -> list[str]:
        """`special`, `phrase`, `value` or `bpe` for each id (`join` and `space` are special)."""
        return [self._engine.vocabulary.kinds[number] for number in self.ids]

    @cached_property
    def roles(self) -> list[str]:
        """The part that each id plays in its unit.

        For an id of a value it is `whole`, or `start`, `continue`, `prefix` or `separator` of a
        number that is written as several ids; for a special id it is the special's name; for all
        other ids it is empty.
        """
        return [self._engine.vocabulary.roles[number] for number in self.ids]

    @cached_property
    def slots(self) -> list[str]:
        """The slot type of each id of a value, such as `number` or `severity`; "" for other ids."""
        return [self._engine.vocabulary.slots[number] for number in self.ids]

    @cached_property
    def units(self) -> list[int | None]:
        """The number of the unit that each id belongs to; None for BOS and EOS.

        A unit is a phrase with its values, a value outside of a phrase, or one BPE word.
        """
        units: list[int | None] = [None]
        for unit, end in enumerate(self.unit_ends):
            units += [unit] * (end - len(units))
        return [*units, None]

    @cached_property
    def _spans(self) -> tuple[list[Span], list[Span | None]]:
        """The spans of units and of ids."""
        unit_ends, piece_ends = self._ends
        return find_spans(
            self._engine, self._trace, self.ids, unit_ends=unit_ends, piece_ends=piece_ends
        )

    @cached_property
    def unit_offsets(self) -> list[Span]:
        """The span of each unit in the original text; disjoint and in order."""
        return self._spans[0]

    @cached_property
    def offsets(self) -> list[Span | None]:
        """The span of each id in the original text; None for BOS and EOS (I2).

        A phrase's id spans its whole unit, and the phrase's values lie inside of it. `join` and
        `space` have an empty span at the start of their unit. The bytes of one character share its
        span.
        """
        return self._spans[1]

    @cached_property
    def sentences(self) -> list[int]:
        """For each unit the number of its sentence, from 0; see `echotok.sentences`."""
        return number_sentences(self._trace.text, self.unit_offsets)


def check_context_length(context_length: int) -> None:
    """Refuse a length that has no room for BOS, one id and EOS.

    Raises:
        ValueError: it is below 3.
    """
    if context_length < 3:
        raise ValueError(f"context_length is {context_length}; BOS, one id and EOS need 3")
