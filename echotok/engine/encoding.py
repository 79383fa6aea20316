"""What encoding gives back for one text.

The ids are there at once; tokens, kinds, units, offsets and sentences are worked out when they are
asked for, since training reads only ids.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from echotok.engine.core import CoreTrace
from echotok.engine.engine import Engine, Trace
from echotok.engine.spans import Span, number_units
from echotok.engine.vocabulary import begins_value

__all__ = ["Encoding", "SlotValue", "check_context_length"]

T = TypeVar("T")

_OF_IDS = ("tokens", "kinds", "roles", "slot_types", "offsets")
_PICKLED = (
    "ids",
    "num_dropped",
    "cut_inside_unit",
    "_ends",
    "tokens",
    "kinds",
    "roles",
    "slot_types",
    "unit_offsets",
    "offsets",
    "sentences",
)


class SlotValue(NamedTuple):
    """One value of a text, and what it says something of.

    Attributes:
        phrase: the phrase whose slot the value fills, with its `{slots}`; None for a value that
            stands outside of phrases.
        slot: type of the slot, such as `number` or `severity`.
        value: the value as normalized text, such as `55-60` or `mild to moderate`.
        span: start and end of the value in the original text.
    """

    phrase: str | None
    slot: str
    value: str
    span: Span


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
        self.ids = trace.ids
        self.num_dropped = 0
        self.cut_inside_unit = False
        self._engine: Engine = engine
        self._trace: Trace | CoreTrace = trace

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
            name: [*getattr(self, name)[:keep], getattr(self, name)[-1]] for name in _OF_IDS
        }
        unit_ends, piece_ends = self._ends
        results["_ends"] = ([*unit_ends[: num_units - 1], keep], piece_ends[:num_units])
        results["unit_offsets"] = self.unit_offsets[:num_units]
        results["sentences"] = self.sentences[:num_units]
        return results

    def windows(self, context_length: int, *, stride: int = 0) -> list[Encoding]:
        """Cut into as many encodings as hold all of the text, each with BOS and EOS.

        Windows begin and end between units; only a unit that alone is too long is cut (its parts
        are windows of their own, with `cut_inside_unit`). Offsets, and the numbers of sentences,
        are those of the whole text.

        Args:
            context_length: largest number of ids of a window, at least 3.
            stride: largest number of ids that a window repeats from the one before it, in whole
                units; less than `context_length` minus 2.

        Raises:
            ValueError: `context_length` is below 3, or `stride` leaves no room for anything new.
        """
        return [
            self if low == 1 and high == len(self.ids) - 1 else self._window(low, high)
            for low, high in self._window_bounds(context_length, stride)
        ]

    def window_ids(self, context_length: int, *, stride: int = 0) -> list[list[int]]:
        """The ids of the `windows`, without their other results, which take longer."""
        begin, end = self.ids[0], self.ids[-1]
        return [
            [begin, *self.ids[low:high], end]
            for low, high in self._window_bounds(context_length, stride)
        ]

    def _window_bounds(self, context_length: int, stride: int) -> Iterator[tuple[int, int]]:
        """For each window the index of its first id, BOS left out, and the one behind its last."""
        check_context_length(context_length)
        room = context_length - 2
        if not 0 <= stride < room:
            raise ValueError(
                f"stride is {stride}; with a context length of {context_length} it is at least 0 "
                f"and at most {room - 1}, since each window has to hold something new"
            )
        if len(self.ids) <= context_length:
            yield 1, len(self.ids) - 1
            return
        begins = [1, *self.unit_ends]
        last = len(begins) - 1
        first = 0
        while first < last:
            end = bisect_right(begins, begins[first] + room) - 1
            if end == first:  # a unit that is too long by itself
                end += 1
                for low in range(begins[first], begins[end], room):
                    yield low, min(low + room, begins[end])
                first = end
                continue
            yield begins[first], begins[end]
            if end == last:
                return
            # As much of the old as may be repeated, and leaves room for the next unit.
            oldest = max(begins[end] - stride, begins[end + 1] - room)
            first = min(end, bisect_left(begins, oldest))

    def _window(self, low: int, high: int) -> Encoding:
        unit_ends, piece_ends = self._ends
        first = bisect_right(unit_ends, low)
        last = bisect_left(unit_ends, high) + 1
        pieces_before = piece_ends[first - 1] if first else 0
        window = Encoding.__new__(Encoding)
        window.ids = [self.ids[0], *self.ids[low:high], self.ids[-1]]
        window.num_dropped = self.num_dropped
        begins_unit = low == (unit_ends[first - 1] if first else 1)
        window.cut_inside_unit = (
            self.cut_inside_unit or not begins_unit or unit_ends[last - 1] != high
        )
        window.__dict__.update(
            {
                name: [values[0], *values[low:high], values[-1]]
                for name, values in ((name, getattr(self, name)) for name in _OF_IDS)
            },
            _ends=(
                [min(end, high) - low + 1 for end in unit_ends[first:last]],
                [end - pieces_before for end in piece_ends[first:last]],
            ),
            unit_offsets=self.unit_offsets[first:last],
            sentences=self.sentences[first:last],
        )
        return window

    @cached_property
    def _ends(self) -> tuple[list[int], list[int]]:
        """For each unit the index behind its last id, and behind its last piece."""
        unit_ends, piece_ends = self._trace.ends
        if not self.num_dropped:
            return unit_ends, piece_ends
        last = len(self.ids) - 1
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
        return [*map(self._engine.vocabulary.texts.__getitem__, self.ids)]

    @cached_property
    def kinds(self) -> list[str]:
        """`special`, `phrase`, `value` or `bpe` for each id (`join` and `space` are special)."""
        return [*map(self._engine.vocabulary.kinds.__getitem__, self.ids)]

    @cached_property
    def roles(self) -> list[str]:
        """The part that each id plays in its unit.

        For an id of a value it is `whole`, or `start`, `continue`, `prefix` or `separator` of a
        number that is written as several ids; for a special id it is the special's name; for all
        other ids it is empty.
        """
        return [*map(self._engine.vocabulary.roles.__getitem__, self.ids)]

    @cached_property
    def slot_types(self) -> list[str]:
        """The slot type of each id of a value, such as `number` or `severity`; "" for other ids."""
        return [*map(self._engine.vocabulary.slots.__getitem__, self.ids)]

    def slots(self) -> list[SlotValue]:
        """The values of the text, each with its phrase, the type of its slot, and its span.

        Example:
            >>> import echotok
            >>> for found in echotok.load("echo").encode("LVEF is 55-60%. Mild LVH.").slots():
            ...     print(found.slot, found.value, found.span)
            number 55-60 (8, 13)
            severity mild (16, 20)
        """
        found: list[SlotValue] = []
        at = 1
        for end in self.unit_ends:
            at += self.roles[at] in ("join", "space")
            phrase = None
            if self.kinds[at] == "phrase":
                phrase = self.tokens[at]
                at += 1
            while at < end and self.kinds[at] == "value":
                begin = at
                at += 1
                if self.roles[begin] != "whole":
                    while at < end and not begins_value(self.roles[at], self.roles[at - 1]):
                        at += 1
                first, last = self.offsets[begin], self.offsets[at - 1]
                assert first is not None and last is not None, "only BOS and EOS have none"
                found.append(
                    SlotValue(
                        phrase=phrase,
                        slot=self.slot_types[begin],
                        value="".join(self.tokens[begin:at]),
                        span=(first[0], last[1]),
                    )
                )
            at = end
        return found

    @cached_property
    def units(self) -> list[int | None]:
        """The number of the unit that each id belongs to; None for BOS and EOS.

        A unit is a phrase with its values, a value outside of a phrase, or one BPE word.
        """
        if "_trace" not in self.__dict__:  # it came by pickle, or is a window
            return number_units(self.unit_ends)
        return self._cut(self._trace.units)

    @cached_property
    def unit_offsets(self) -> list[Span]:
        """The span of each unit in the original text; disjoint and in order."""
        spans = self._trace.unit_spans
        return spans[: len(self.unit_ends)] if self.num_dropped else spans

    @cached_property
    def offsets(self) -> list[Span | None]:
        """The span of each id in the original text; None for BOS and EOS (I2).

        A phrase's id spans its whole unit, and the phrase's values lie inside of it. `join` and
        `space` have an empty span at the start of their unit. The bytes of one character share its
        span.
        """
        return self._cut(self._trace.spans)

    def _cut(self, of_ids: list[T | None]) -> list[T | None]:
        """What the trace says of all ids, for those that are kept."""
        return [*of_ids[: len(self.ids) - 1], None] if self.num_dropped else of_ids

    @cached_property
    def sentences(self) -> list[int]:
        """For each unit the number of its sentence, from 0; see `echotok.sentences`."""
        sentences = self._trace.sentences
        return sentences[: len(self.unit_ends)] if self.num_dropped else sentences


def check_context_length(context_length: int) -> None:
    """Refuse a length that has no room for BOS, one id and EOS.

    Raises:
        ValueError: it is below 3.
    """
    if context_length < 3:
        raise ValueError(f"context_length is {context_length}; BOS, one id and EOS need 3")
