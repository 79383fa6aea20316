"""The compiled core, where it was built: the tables of a Python engine, flattened for `_core.c`.

`ECHOTOK_ENGINE=python` in the environment turns it off; ids, units and spans are the same.
"""

from __future__ import annotations

import importlib
import os
import weakref
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from echotok import sentences
from echotok.bpe import ByteBPE
from echotok.engine.encoder import Encoder
from echotok.table.match import BARE_VALUE
from echotok.table.phrases import PhraseTable

if TYPE_CHECKING:
    from types import ModuleType

    from echotok.engine.spans import Span
    from echotok.engine.vocabulary import Layout

__all__ = ["Core", "CoreTrace", "CoreWords", "compile_core", "engine_in_use", "row_padder"]

_BARE_VALUE = (1 << 31) - 1
_CLOSING_PUNCTUATION = frozenset(")]};:!?%.,")


class CoreTrace(Protocol):
    """One pass of the core over a text; see `echotok.engine.engine.Trace`."""

    text: str
    ids: list[int]
    ends: tuple[list[int], list[int]]
    units: list[int | None]
    unit_spans: list[Span]
    spans: list[Span | None]
    sentences: list[int]


class Core(Protocol):
    """The tables of one tokenizer, compiled."""

    def encode(self, text: str) -> CoreTrace:
        """The trace of a text."""

    def encode_word(self, word: bytes) -> tuple[int, ...] | None:
        """The ids of one BPE word; None for a long one."""

    def encode_many(
        self, texts: tuple[str, ...], context_length: int
    ) -> tuple[bytearray, bytearray, bytearray, bytearray]:
        """Ids, sizes and dropped ids (int32) of many texts, and whether each was cut in a unit."""


class CoreWords:
    """The BPE of a core, for the Python encoder of the stretches that are not for the core.

    Args:
        get_bpe: makes the Python BPE, for the words that are too long for the core.
    """

    def __init__(self, get_bpe: Callable[[], ByteBPE]) -> None:
        self._get_bpe = get_bpe
        # Not its owner: it is the core that holds the encoder, and this.
        self._core: Callable[[], Core | None] = lambda: None

    def use(self, core: Core) -> None:
        """Take the BPE of this core from now on."""
        self._core = weakref.ref(core)

    def encode_word(self, word: str) -> tuple[int, ...]:
        """Encode one word, as `ByteBPE.encode_word` does."""
        core = self._core()
        ids = None if core is None else core.encode_word(word.encode("utf-8", "surrogatepass"))
        return self._get_bpe().encode_word(word) if ids is None else ids


@cache
def _module() -> ModuleType | None:
    try:
        return importlib.import_module("echotok.engine._core")
    except ImportError:
        return None


def engine_in_use() -> str:
    """Which engine encodes, as one phrase for `echotok --version`."""
    if _is_off():
        return "Python engine, as ECHOTOK_ENGINE asks for"
    if _module() is None:
        return "Python engine: the compiled core was not built, which takes a C compiler"
    return "compiled core"


def row_padder() -> Callable[[Any, Any, Any, int, int], None] | None:
    """The core's `pad_rows(ids, row_ends, out, width, pad_id)`; None where there is no core.

    It writes packed rows (int32 ids, and the int64 index behind each row) into `out`, int64 of
    shape `(rows, width)`.
    """
    module = None if _is_off() else _module()
    padder: Callable[[Any, Any, Any, int, int], None] | None = getattr(module, "pad_rows", None)
    return padder


def _is_off() -> bool:
    return os.environ.get("ECHOTOK_ENGINE", "").lower() == "python"


def compile_core(
    table: PhraseTable,
    layout: Layout,
    encoder: Encoder,
    *,
    merges: Sequence[str],
    more: Sequence[str],
    base: str | None,
    encode_hard: Callable[[str, bool], tuple[Any, list[int], list[int], list[int]]],
    span_hard: Callable[[Any, int, int], list[Span]],
) -> Core | None:
    """Build the core of a tokenizer; None where there is none, or the table is not one for it.

    Args:
        table: the phrase table.
        layout: the place of each region of its ids.
        encoder: the Python encoder, whose tables are taken; its BPE is left alone.
        merges: the merges as lines `left right`.
        more: those that come after them, with ids of their own.
        base: the bytes of a compact base; None for all of them.
        encode_hard: encodes a stretch that the core does not, as `Engine.trace_stretch` does.
        span_hard: the spans of what `encode_hard` gave first, given where the stretch begins, and
            whether they are those of its units or of its ids.
    """
    module = None if _is_off() else _module()
    if module is None or not _is_for_core(table):
        return None
    symbols = ByteBPE((), base=base)
    spec = {
        **_flatten_matcher(encoder),
        **{name: getattr(layout, name) for name in _NUMBERS_OF_LAYOUT},
        "sentences_part": int(encoder.sentences_part),
        "compact": int(symbols.compact),
        "joins_parts": int(encoder.joins_parts),
        "own_numbers": int(table.numbers is not None),
        "alphabet": symbols.alphabet,
        "symbols": symbols.tokens,
        "merges": list(merges),
        "first_merge": layout.bpe + len(symbols.tokens),
        "more": list(more),
        "first_more": layout.more,
        "number_tokens": table.number_tokens,
        "phrase_edges": _phrase_edges(table, encoder),
        "closings": layout.closings,
        "units": sorted((unit for unit in set(table.units) if unit.isascii()), key=len),
        "abbreviations": sorted(sentences.ABBREVIATIONS),
        "dangling": sorted(sentences.DANGLING),
        "unify_lines": sentences.unify_lines,
        "is_inner": sentences.is_inner,
        "goes_on": sentences.goes_on,
        "encode_hard": encode_hard,
        "span_hard": span_hard,
    }
    try:
        core: Core = module.Core(spec)
    except ValueError:
        return None  # more than the core has room for, such as a very long token
    return core


_NUMBERS_OF_LAYOUT = (
    "vocab_size",
    "bpe",
    "bos",
    "eos",
    "join",
    "space",
    "severity",
    "num_closable",
    "number",
    "phrase",
)


def _is_for_core(table: PhraseTable) -> bool:
    """Whether the table's units and closings are such as the core knows."""
    units = all(
        "a" <= unit[:1] <= "z"
        and len(unit) <= 30
        and not any(one.isspace() or one in _CLOSING_PUNCTUATION for one in unit)
        for unit in table.units
        if unit.isascii()
    )
    closings = all(one.isascii() and not one.isalnum() and one != " " for one in table.closings)
    return units and closings and all(unit for unit in table.units)


def _phrase_edges(table: PhraseTable, encoder: Encoder) -> bytes:
    edges = [0, 0] * table.phrase_capacity
    for number, (_, left, right) in encoder.phrase_units.items():
        edges[2 * number], edges[2 * number + 1] = left, right
    return array("i", edges).tobytes()


def _flatten_matcher(encoder: Encoder) -> dict[str, Any]:
    """The tries of the matcher as columns of int32; node 0 is the root."""
    matcher = encoder.matcher
    pieces: dict[str, int] = {}
    slot_types = {name: row for row, name in enumerate(("number", *matcher.enums))}
    # Lists, since an array takes longer to grow.
    nodes: list[int] = []
    slots: list[int] = []
    steps: list[int] = []
    rows: dict[int, int] = {id(matcher.root): 0}
    queue = [matcher.root]

    def row_of(node: Any) -> int:
        row = rows.get(id(node))
        if row is None:
            row = rows[id(node)] = len(queue)
            queue.append(node)
        return row

    def piece_of(text: str) -> int:
        return pieces.setdefault(text.removeprefix(" "), len(pieces) + 1)

    roots: dict[str, int] = {}
    at = 0
    while at < len(queue):
        node = queue[at]
        end = -1 if node.end is None else _BARE_VALUE if node.end == BARE_VALUE else node.end
        nodes.extend((end, -1, len(slots) // 3, len(node.slots)))
        for (slot, spaced), child in node.slots.items():
            slots.extend((slot_types[slot], 2 if spaced is None else int(spaced), row_of(child)))
        for text, child in node.next.items():
            piece, row = piece_of(text), row_of(child)
            if at == 0:
                roots[text.removeprefix(" ")] = row
            else:
                steps.extend((at, piece, int(text[0] == " "), row))
        at += 1

    # The tries of the enumerations follow; a value is already its id in the vocabulary.
    enum_roots = [0]
    for slot, trie in matcher.enums.items():
        enum_roots.append(len(nodes) // 4)
        tries = [trie]
        known = {id(trie): len(nodes) // 4}
        for branches in tries:
            value = branches.get("")
            number = encoder.value_ids(slot, value, "")[0] if isinstance(value, int) else -1
            row = known[id(branches)]
            nodes.extend((-1, number, 0, 0))
            for text, branch in branches.items():
                if isinstance(branch, dict):
                    if id(branch) not in known:
                        known[id(branch)] = enum_roots[-1] + len(tries)
                        tries.append(branch)
                    steps.extend((row, piece_of(text), int(text[0] == " "), known[id(branch)]))

    types = [0]
    lists: dict[tuple[str, ...], int] = {}
    entries: list[int] = []
    for text in pieces:
        found = matcher.types.get(text, ())
        if found and found not in lists:
            lists[found] = len(types)
            types.extend((len(found), *(slot_types[slot] for slot in found)))
        entries.extend((roots.get(text, 0), lists[found] if found else 0))
    columns = {"nodes": nodes, "slots": slots, "steps": steps, "types": types}
    columns |= {"entries": entries, "enum_roots": enum_roots}
    return {
        "pieces": list(pieces),
        **{name: array("i", column).tobytes() for name, column in columns.items()},
    }
