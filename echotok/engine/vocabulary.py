"""One vocabulary from a table and a fallback: what each id stands for.

    echo        0 pad, 1 bos, 2 join, 3 space, 4-15 spare | bytes and merges | numbers | severity
                | enumerations | phrases | the last three with a stop, with a comma | ... | eos
    echo-clip   0-49405 CLIP's bytes and merges, 49406 bos (CLIP's start of text), 49407 unused,
                49408 pad, 49409 join, 49410 space, spare | numbers | severity | enumerations
                | phrases | the last three with a stop, with a comma | merges beyond CLIP's | ...
                | eos

Every region has a fixed capacity with spare rows, so growth changes neither the size nor an old id
(I5). Where a table declares its own number tokens or spellings of severity, these regions hold only
those. EOS is the highest id, because open_clip pools the text at each row's argmax.

A table may name characters that close a unit (`PhraseTable.closings`). A phrase, or a value that
is one token, has one id more for each of them: `mitral regurgitation` and `mitral regurgitation.`
are one row with two ids, in regions of equal size one behind the other.

`join` and `space` mark the rare places where the white space between two units is not what
`echotok.engine.spacing` expects there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from echotok.bpe import ByteBPE
from echotok.errors import ArtifactError
from echotok.table.phrases import PhraseTable

__all__ = ["NUM_SPECIAL", "Kind", "Layout", "Vocabulary", "begins_value", "check_ids"]

NUM_SPECIAL = 16
NUMBER_CAPACITY = 1152
SEVERITY_CAPACITY = 128

Kind = str
"""`special`, `phrase`, `value` or `bpe`."""


_VALUE_ROLES = ("start", "continue", "prefix", "separator")


def begins_value(role: str, before: str) -> bool:
    """Whether an id begins a value, or anything that is no value, and so ends the value before it.

    A start belongs to the value before it only behind a sign, comparison or range mark.

    Args:
        role: role of the id.
        before: role of the id before it.
    """
    if role in ("start", "prefix"):
        return before not in ("prefix", "separator")
    return role not in _VALUE_ROLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The first id of each region, and the special ids.

    Attributes:
        closings: the characters that close a unit, in the order of their regions.
        more: the first id of the merges beyond CLIP's.
    """

    pad: int
    bos: int
    join: int
    space: int
    bpe: int
    number: int
    severity: int
    enum: int
    phrase: int
    closings: str
    num_closable: int
    more: int
    vocab_size: int

    @property
    def eos(self) -> int:
        """The highest id."""
        return self.vocab_size - 1

    def closed(self, number: int, closing: str) -> int:
        """The id of a phrase or value together with the character that closes it."""
        return number + (1 + self.closings.index(closing)) * self.num_closable

    def opened(self, number: int) -> tuple[int, str]:
        """The id of a phrase or value without its closing, and the closing; "" where none."""
        turn, at = divmod(number - self.severity, self.num_closable)
        if turn < 1 or turn > len(self.closings):
            return number, ""
        return self.severity + at, self.closings[turn - 1]

    @classmethod
    def of(cls, table: PhraseTable, *, clip: bool, num_bpe: int, num_more: int = 0) -> Layout:
        """Lay out a table's vocabulary.

        Args:
            table: table whose capacities are used.
            clip: whether CLIP's ids keep their places.
            num_bpe: number of tokens of the fallback: bytes and merges.
            num_more: number of merges beyond CLIP's.
        """
        special = num_bpe + 2 if clip else 0
        bpe = 0 if clip else NUM_SPECIAL
        number = (special if clip else num_bpe) + NUM_SPECIAL
        severity = number + (NUMBER_CAPACITY if table.numbers is None else len(table.number_tokens))
        enum = severity + (SEVERITY_CAPACITY if table.severity is None else len(table.severity))
        phrase = enum + table.value_capacity
        num_closable = phrase + table.phrase_capacity - severity
        more = severity + num_closable * (1 + len(table.closings))
        # A multiple of 64 keeps the embedding and its gradient well aligned on a GPU.
        vocab_size = -(-(more + num_more + 1) // 64) * 64
        return cls(
            pad=special,
            bos=num_bpe if clip else 1,
            join=special + (1 if clip else 2),
            space=special + (2 if clip else 3),
            bpe=bpe,
            number=number,
            severity=severity,
            enum=enum,
            phrase=phrase,
            closings=table.closings,
            num_closable=num_closable,
            more=more,
            vocab_size=vocab_size,
        )


def check_ids(table: PhraseTable, layout: Layout) -> None:
    """Refuse a table two of whose rows have one id.

    Raises:
        ArtifactError: an id has two meanings.
    """
    for rows, begin in ((table.values, layout.enum), (table.phrases, layout.phrase)):
        if len({row.id for row in rows}) < len(rows):
            twice = next(
                number for number, times in Counter(row.id for row in rows).items() if times > 1
            )
            raise ArtifactError(
                f"id {begin + twice} has two meanings; the ids of the artifact overlap"
            )


class Vocabulary:
    """The meaning of each id, as parallel lists that an id indexes.

    Attributes:
        kinds: the kind of each id; "" where the row is spare.
        texts: the text that each id stands for: a phrase with its `{slots}`, a value's text, a BPE
            token in the byte alphabet, or the name of a special id.
        slots: the slot type of a value token; "" for other ids.
        roles: `whole`, `start`, `continue`, `prefix` or `separator` for a value token; the name of
            a special id; "" for other ids.
    """

    def __init__(self, layout: Layout, table: PhraseTable, bpe: ByteBPE) -> None:
        size = layout.vocab_size
        self.kinds: list[Kind] = [""] * size
        self.texts: list[str] = [""] * size
        self.roles: list[str] = [""] * size
        self.slots: list[str] = [""] * size
        for name in ("pad", "bos", "join", "space", "eos"):
            self._set(getattr(layout, name), "special", f"<{name}>", name)
        for begin, texts in ((layout.bpe, bpe.tokens), (layout.more, bpe.more_tokens)):
            end = begin + len(texts)
            self.kinds[begin:end], self.texts[begin:end] = ["bpe"] * len(texts), texts
        for number, (role, text) in enumerate(table.number_tokens, layout.number):
            self._set(number, "value", text, role, "number")
        for row, value in enumerate(table.severity_values, layout.severity):
            self._set(row, "value", value.text, "whole", value.slot)
        for value in table.values:
            self._set(layout.enum + value.id, "value", value.text, "whole", value.slot)
        for phrase in table.phrases:
            self._set(layout.phrase + phrase.id, "phrase", phrase.text)
        for number in range(layout.severity, layout.severity + layout.num_closable):
            if kind := self.kinds[number]:
                for closing in layout.closings:
                    closed = layout.closed(number, closing)
                    text = self.texts[number] + closing
                    self._set(closed, kind, text, self.roles[number], self.slots[number])

    def ids_of(self, text: str) -> tuple[int, ...]:
        """The ids that stand for a text, in order."""
        return self._ids_of.get(text, ())

    @cached_property
    def _ids_of(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for number, (kind, text) in enumerate(zip(self.kinds, self.texts, strict=True)):
            if kind:
                found[text] = (*found.get(text, ()), number)
        return found

    def added_since(self, old: Vocabulary) -> list[int]:
        """The ids that have a meaning here and none in `old`.

        Args:
            old: a vocabulary of the same layout, each of whose ids means the same here.

        Returns:
            The ids in order.
        """
        pairs = zip(old.kinds, self.kinds, strict=True)
        return [number for number, (before, now) in enumerate(pairs) if now and not before]

    def first_changed(self, old: Vocabulary) -> int | None:
        """The lowest id of `old` that means something else here; None where there is none.

        Args:
            old: a vocabulary of the same layout.
        """
        befores = zip(old.kinds, old.texts, old.roles, strict=True)
        nows = zip(self.kinds, self.texts, self.roles, strict=True)
        for number, (before, now) in enumerate(zip(befores, nows, strict=True)):
            if before[0] and before != now:
                return number
        return None

    def _set(self, number: int, kind: Kind, text: str, role: str = "", slot: str = "") -> None:
        self.kinds[number], self.texts[number] = kind, text
        self.roles[number], self.slots[number] = role, slot
