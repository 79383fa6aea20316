r"""A tokenizer as the `tokenizer.json` of Hugging Face tokenizers.

That format knows regular expressions whose match is replaced by a fixed text, a split, and BPE. It
can say all that echotok does with a table without slots: normalize, find the longest phrase at
each piece, write numbers as number tokens, mark unusual spaces, encode the rest by BPE. It cannot
say what a phrase with slots needs, to write the phrase before values that stand inside of it; nor
which of two ways to encode `end-diastolic` takes fewer tokens, which a fallback with `joins` asks.
Where a tokenizer has either, some texts get other ids, and `compare` counts them.

How it works: white space other than single spaces never stands in normalized text, so that these
characters are free to mark what was found. In order of the passes:

    piece\n  ...  unit\t         each piece ends in a line feed, each unit in a tab
    phrase\x1c\t  value\x1f\t  number\x1e\t
    \x0c\x0c\t  \x0c\r\t         the marks `join` and `space`
    \x1e55\t\x1d-62\t            a number's tokens: one that starts it, one that continues it

A word keeps its line feed, which is the end of a word for BPE. Every other unit is an entry of the
vocabulary as it stands, which the option `ignore_merges` finds without merging.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import regex

from echotok.bpe import END, HALVES, byte_alphabet
from echotok.clip_merges import clip_merges
from echotok.table.values import NUMBER_TOKENS, NumberCode
from echotok.text import VARIANTS, is_number, replace_surrogates, split_pieces
from echotok.tokenizer import Tokenizer

__all__ = ["Difference", "compare", "inexact_parts", "synthetic_reports", "to_tokenizer_json"]

_PHRASE, _VALUE, _NUMBER, _CONTINUES, _HYPHENS = "\x1c", "\x1f", "\x1e", "\x1d", "\x0b"
_MARKS = {"join": "\x0c\x0c", "space": "\x0c\r"}
_BEGINS = r"(?<=\t)"  # a unit or token
# Written out: Oniguruma takes "\xa0" in a pattern for a byte. All that `str.split` splits at.
_SPACES = "".join(map(chr, (*range(9, 14), *range(0x1C, 0x21), 0x85, 0xA0, 0x1680)))
_SPACES = f"[{_SPACES}\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"


def inexact_parts(tokenizer: Tokenizer) -> list[str]:
    """What of a tokenizer the format cannot say, in words; nothing where the export is exact."""
    num_slotted = sum(phrase.num_slots > 0 for phrase in tokenizer.table.live)
    found = []
    if num_slotted:
        found.append(
            f"{num_slotted:,} of {len(tokenizer.table.live):,} phrases have slots and are left "
            "out: their texts are encoded as words and values"
        )
    if tokenizer.fallback.joins_parts:
        found.append(
            "the fallback joins words with the characters beside them where that takes fewer "
            "tokens; the export encodes them one by one (a table without slots is built without "
            "such joining)"
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How an export compares with its tokenizer.

    Attributes:
        num_texts: number of texts that were encoded by both.
        num_other_ids: number of these that got other ids.
        num_ids, num_exported_ids: number of ids in all, by the tokenizer and by its export.
    """

    num_texts: int
    num_other_ids: int
    num_ids: int
    num_exported_ids: int


def compare(tokenizer: Tokenizer, exported: dict[str, Any], texts: Iterable[str]) -> Difference:
    """Encode texts with a tokenizer and with its export, and count what differs.

    Args:
        tokenizer: the tokenizer.
        exported: what `to_tokenizer_json` made of it.
        texts: the texts. Lone surrogates, which HF tokenizers do not take, are U+FFFD for the
            export, so that such a text gets other ids.
    """
    import json

    from tokenizers import Tokenizer as HfTokenizer

    other = HfTokenizer.from_str(json.dumps(exported))
    num_texts = num_other = num_ids = num_exported = 0
    for text in texts:
        ours, theirs = tokenizer.encode(text).ids, other.encode(replace_surrogates(text)).ids
        num_texts += 1
        num_other += ours != theirs
        num_ids += len(ours)
        num_exported += len(theirs)
    return Difference(
        num_texts=num_texts,
        num_other_ids=num_other,
        num_ids=num_ids,
        num_exported_ids=num_exported,
    )


def synthetic_reports(tokenizer: Tokenizer, *, count: int, seed: int) -> list[str]:
    """Texts made from the table itself: phrases with values in their slots, words, numbers.

    Args:
        tokenizer: the tokenizer.
        count: number of texts, of eight sentences each.
        seed: seed of the choice.
    """
    chance = random.Random(seed)
    table = tokenizer.table
    members = {"severity": [value.text for value in table.severity_values]}
    for value in table.live_values:
        members.setdefault(value.slot, []).append(value.text)
    words = ("patient", "qzvwk", "end-diastolic", "e'", "x/y")

    def slot(name: str) -> str:
        if name == "number":
            return chance.choice(["55", "1.25", "60-65", ">15", "1340", "0.6 to 1.1", "-18.4"])
        return chance.choice(members[name])

    def sentence() -> str:
        parts = []
        for _ in range(chance.randint(1, 3)):
            if table.live and chance.random() < 0.8:
                text = chance.choice(table.live).text
                parts.append(re.sub(r"\{(\w+)\}", lambda found: slot(found[1]), text))
            else:
                parts.append(chance.choice([*words, slot("number"), slot("severity")]))
        return chance.choice([" ", ", "]).join(parts).capitalize() + "."

    return [" ".join(sentence() for _ in range(8)) for _ in range(count)]


# The file


def to_tokenizer_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of a `tokenizer.json`; exact where `inexact_parts` finds nothing.

    Its vocabulary has a row for each id, and no added tokens: a literal `<eos>` in a text is
    ordinary text (I7). Texts with lone surrogates are not taken by HF tokenizers at all.

    Args:
        tokenizer: the tokenizer.
    """
    matches = _Matches.of(tokenizer)
    steps = [
        *_normalizer(tokenizer.table.units),
        # A replacement of nothing at the very start would break the offsets of HF tokenizers.
        {"type": "Prepend", "prepend": "\t"},
        *_pieces_and_units(matches),
        *_marks(tokenizer.table.closings, sentences_part=_sentences_part(tokenizer)),
        _replace(rf"{_BEGINS} ", ""),
        *_numbers(tokenizer.table.numbers),
        _replace(_HYPHENS, "", literal=True),
    ]
    model, as_bytes = _model(tokenizer, matches)
    steps += [{"type": "ByteLevel"}, *as_bytes]
    names = {"<bos>": tokenizer.bos_id, "<eos>": tokenizer.eos_id}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": f"{_symbols(chr(9))}+"},
            "behavior": "Removed",
            "invert": False,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [_special("<bos>"), _sequence("A"), _special("<eos>")],
            "pair": [
                _special("<bos>"), _sequence("A"), _special("<eos>"), _sequence("B"),
                _special("<eos>"),
            ],
            "special_tokens": {
                name: {"id": name, "ids": [number], "tokens": [name]}
                for name, number in names.items()
            },
        },
        "decoder": None,
        "model": model,
    }  # fmt: skip


def _special(name: str) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": 0}}


def _sequence(name: str) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": 0}}


def _replace(pattern: str, content: str, *, literal: bool = False) -> dict[str, Any]:
    stands = {"String": pattern} if literal else {"Regex": _expanded(pattern)}
    return {"type": "Replace", "pattern": stands, "content": content}


def _normalizer(units: Sequence[str]) -> list[dict[str, Any]]:
    """`echotok.text.make_normalizer` in steps."""
    variants: dict[str, str] = {}
    for code, plain in VARIANTS.items():
        variants[plain] = variants.get(plain, "") + chr(code)
    fold = [
        {"type": "NFC"},
        *(_replace(f"[{found}]", plain) for plain, found in variants.items()),
        {"type": "Lowercase"},
    ]
    steps = [
        *fold,
        *fold,  # a small letter may compose where the capital one did not
        _replace(f"{_SPACES}+", " "),
        _replace(r"\A | \z", ""),
        *(_replace(f" {closer}", closer, literal=True) for closer in ")]};:!?%"),
        _replace(r" (?=[.,](?![0-9]))", ""),
    ]
    if units:
        names = "|".join(map(_quote, sorted(set(units), key=lambda unit: (-len(unit), unit))))
        steps.append(
            _replace(
                r"(?:\A|[^\p{L}\p{N}\p{M}])[\p{M}]*[0-9]+\K"
                rf"(?=(?:{names})(?![\p{{L}}\p{{N}}\p{{M}}]))",
                " ",
            )
        )
    return steps


@cache
def _classes() -> dict[str, str]:
    """The letters, numbers and marks as ranges: Oniguruma's own are of another Unicode version."""
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
    found = {}
    for name in "LNM":
        runs = (match.group() for match in regex.finditer(rf"\p{{{name}}}+", every))
        found[name] = "".join(run[0] + ("-" + run[-1]) * (len(run) > 1) for run in runs)
    return found


def _expanded(pattern: str) -> str:
    r"""A pattern with `\p{L}`, `\p{N}` and `\p{M}` written out, which stand inside of brackets."""
    for name, ranges in _classes().items():
        pattern = pattern.replace(rf"\p{{{name}}}", ranges)
    return pattern


_DIGITS = r"[0-9]+(?:[.,][0-9]+)*"
_RANGE = rf"(?:%?(?: ?- ?\.?| to [-+]?\.?){_DIGITS})?"
_COMPARED = rf"(?:[<>]=?|[≤≥~≈]) ?[-+]?\.?{_DIGITS}"
# As in `echotok.text`, and as a whole piece.
_NUMBER_IN_TEXT = rf"(?:{_COMPARED}|(?<![^ \t(\[])[-+±]?\.?{_DIGITS}|{_DIGITS}){_RANGE}"
_NUMBER_PIECE = rf" ?(?:{_COMPARED}|[-+±]?\.?{_DIGITS}){_RANGE}\n"
_CLITIC = r"'(?:s|t|re|ve|m|ll|d)"


def _pieces_and_units(matches: _Matches) -> list[dict[str, Any]]:
    """Mark the end of each piece, of each unit, and what is a phrase, a value or a number."""
    letter = r"[\p{L}\p{N}]"
    more = r"[\p{L}\p{N}\p{M}]"
    piece = (
        rf" ?(?:{_NUMBER_IN_TEXT}(?!{more})|{letter}{more}*|{_CLITIC}(?!{more})|[^ \t][\p{{M}}]*)\K"
    )
    word = rf" ?(?:{letter}{more}*|{_CLITIC})\n"
    other = r"[^ \p{L}\p{N}\n\t][\p{M}]*\n"
    match = "|".join(filter(None, (matches.pattern(_PHRASE + _VALUE), _NUMBER_PIECE)))
    unit = (
        rf"(?<match>{match}){{0}}"
        rf"(?:\g<match>|{word}| ?{other}(?:(?!\g<match>|{_CLITIC}\n){other})*)\K"
    )
    steps = [_replace(piece, "\n"), _replace(unit, "\t")]
    for kind in (_PHRASE, _VALUE):
        if pattern := matches.pattern(kind):
            steps.append(_replace(rf"{_BEGINS}(?:{pattern})\K(?=\t)", kind))
    steps.append(_replace(rf"{_BEGINS}{_NUMBER_PIECE}\K(?=\t)", _NUMBER))
    # A word of several pieces is one word.
    steps.append(_replace(r"\n(?=(?:[^\t\n]*\n)+\t)", ""))
    return steps


def _marks(closings: str, *, sentences_part: bool) -> list[dict[str, Any]]:
    """Mark where the space before a unit is not as `echotok.engine.spacing` expects it."""
    word = r"[\p{L}\p{N})'%]"
    # A value has the edge of a word, but one with its closing has that of the closing.
    closed = closings + "." * sentences_part
    ends_value = rf"[^\t{''.join(_quote(one) for one in closed if one not in word)}]"
    opens = "".join(_quote(one) for one in closings if one in "([{-/") or r"\t"
    after_word = rf"(?:(?<=\x1e\t)|(?<={ends_value}\n\x1f\t)|(?<={word}\n\t)|(?<={word}\n\x1c\t))"
    after_open = rf"(?:(?<=[(\[{{\-/]\n\t)|(?<=[(\[{{\-/]\n\x1c\t)|(?<=[{opens}]\n\x1f\t))"
    value = r"[^\t]*[\x1e\x1f]\t"
    tight = rf"(?!{value}) ?[.,;:!?)\]}}%'+°]"
    hyphen = rf"(?!{value}) ?[-/]"
    joined = rf"(?:{after_open}|(?={tight})|{after_word}(?={hyphen}))"
    return [
        # A hyphen that stands alone has a space on its right: it is no open hyphen.
        _replace(r"(?:\A\t ?|(?<=\t) )[-/]+\n\K(?=\t)", _HYPHENS),
        _replace(rf"(?<=[^\t]\t)(?= ){joined}", _MARKS["space"] + "\t"),
        _replace(rf"(?<=[^\t]\t)(?=[^ \t\x0c])(?!{joined})", _MARKS["join"] + "\t"),
    ]


def _numbers(code: NumberCode | None) -> list[dict[str, Any]]:
    """Part each number into its tokens, and mark whether one starts or continues a number."""
    others = rf"{_BEGINS}(?![^\t]*\x1e\t)[^\t]*\t|\n\x1e\t"
    if code is None:
        texts = {
            role: [text for found, text in NUMBER_TOKENS if found == role]
            for role in ("start", "continue", "separator")
        }
        digits = [text for text in texts["start"] if not set(" -") & set(text)]
        ends = [text for text in texts["continue"] if text[0] in "- %"]
        tokens = [
            rf"{_BEGINS}(?:{_one_of(texts['start'])})(?=\n\x1e)",
            rf"{_BEGINS}(?:[<>]=?|[≤≥~≈]) ?",
            rf"(?<![0-9,])(?:{_one_of(digits)})(?![0-9.,])",
            rf"(?<![0-9,])(?:{_one_of(text for text in digits if '.' not in text)})",
            rf"(?<=[0-9,])(?:{_one_of(ends)})(?=\n\x1e)",
            r"(?<=[0-9,])(?:\.[0-9]{1,2}|,|[0-9]{1,2})",
            rf"(?<=[0-9])(?:{_one_of(texts['separator'])})",
            r"(?<![0-9])[-+±.]",
        ]
        continues = r"(?<=[0-9,]\t)(?![\n\t])"
    else:
        rows = code.tokens
        tokens = [
            rf"{_BEGINS}(?:{_one_of(text for role, text in rows if role == 'start')})",
            rf"(?<![\t\n\x1e])(?:{_one_of(text for role, text in rows if role == 'continue')})",
        ]
        continues = r"(?<=[^\n\x1c\x1f\x1e\x0b\x0c\r\t]\t)(?![\n\t])"
    return [
        _replace(rf"(?:{others}|{'|'.join(tokens)})\K", "\t"),
        _replace("\n\x1e", "", literal=True),
        _replace(continues, _CONTINUES),
        _replace(rf"{_BEGINS}(?=[^\t\n\r\x0c\x1d]+\t)", _NUMBER),
    ]


def _model(tokenizer: Tokenizer, matches: _Matches) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The BPE, and the steps that write bytes outside of a compact base as two halves."""
    base, alphabet = tokenizer.fallback.base, byte_alphabet()
    end = _symbols("\n")
    halves = {}
    if base is not None:
        halves = {
            symbol: HALVES[byte >> 4] + HALVES[byte & 15]
            for byte, symbol in enumerate(alphabet)
            if symbol not in base and symbol not in _symbols("\n\t")
        }

    def written(text: str) -> str:
        return "".join(halves.get(symbol, symbol) for symbol in _symbols(text))

    entries: dict[str, int] = {}
    for text, number in matches.ids.items():
        entries[written(text)] = number
    vocabulary = tokenizer.get_vocab()
    for name, number in vocabulary.items():
        kind, text, role = tokenizer.kind(number), tokenizer.id_to_token(number), ""
        if kind == "special":
            role = text[1:-1]
            entries[written(_MARKS[role]) if role in _MARKS else name] = number
        elif kind == "bpe":
            entries[text.removesuffix(END) + end if text.endswith(END) else text] = number
    for number, (role, text) in enumerate(
        tokenizer.table.number_tokens, tokenizer.engine.layout.number
    ):
        lead = _CONTINUES if role in ("continue", "separator") else _NUMBER
        entries[written(lead + text)] = number
    named = set(entries.values())
    assert len(named) == len(entries), "each id has a text of its own"
    for number in range(tokenizer.vocab_size):
        if number not in named:
            entries[f"<row {number}>"] = number
    merges = [] if base is not None else [[symbol, end] for symbol in alphabet]
    pairs = clip_merges(tokenizer.clip_merges) if tokenizer.fallback.kind == "clip" else []
    for left, right in [*pairs, *tokenizer.fallback.merges]:
        if right == END or right.endswith(END):
            right = right.removesuffix(END) + end
        merges.append([left, right])
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": True,
        "vocab": dict(sorted(entries.items(), key=lambda entry: entry[1])),
        "merges": merges,
    }
    return model, [_replace(symbol, two, literal=True) for symbol, two in halves.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matches:
    """The phrases without slots and the values, as texts with the marks of pieces and kinds.

    Attributes:
        ids: the id of each.
    """

    ids: dict[str, int]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> _Matches:
        table, layout = tokenizer.table, tokenizer.engine.layout
        values = [
            (value.text, row) for row, value in enumerate(table.severity_values, layout.severity)
        ]
        values += [(value.text, layout.enum + value.id) for value in table.live_values]
        found: dict[str, tuple[str, int]] = {}
        for phrase in sorted(table.live, key=lambda phrase: phrase.id):
            if phrase.num_slots == 0:
                pieces = [" " * (item.spaced and at > 0) + item.text
                          for at, item in enumerate(phrase.items)]  # fmt: skip
                text = "".join(piece + "\n" for piece in pieces)
                found.setdefault(text, (_PHRASE, layout.phrase + phrase.id))
        for text, number in values:
            pieces = split_pieces(text)
            if len(pieces) == 1 and is_number(pieces[0]):
                continue  # a number's own tokens come first
            found.setdefault("".join(piece + "\n" for piece in pieces), (_VALUE, number))
        for text, (kind, number) in list(found.items()):
            for closing in table.closings:
                closed = (kind, layout.closed(number, closing))
                found.setdefault(f"{text}{closing}\n", closed)
        return cls(ids={text + kind: number for text, (kind, number) in found.items()})

    def pattern(self, kinds: str) -> str:
        """A regular expression for the longest text of some kinds, its mark left out."""
        texts = sorted(text[:-1] for text in self.ids if text[-1] in kinds)
        return f" ?{_trie(texts)}" if texts else ""


def _trie(texts: Sequence[str]) -> str:
    """A regular expression for the longest of several texts, by their common beginnings."""
    root: dict[str, Any] = {}
    for text in texts:
        node = root
        for character in text:
            node = node.setdefault(character, {})
        node[""] = {}

    def write(node: dict[str, Any]) -> str:
        run = ""
        while len(node) == 1 and "" not in node:
            ((character, node),) = node.items()
            run += _quote(character)
        ways = [_quote(key) + write(child) for key, child in node.items() if key]
        if not ways:
            return run
        return run + "(?:" + "|".join(ways) + ")" + "?" * ("" in node)

    return write(root)


def _one_of(texts: Iterable[str]) -> str:
    """A regular expression for the longest of several texts."""
    return "|".join(map(_quote, sorted(texts, key=lambda text: (-len(text), text))))


def _quote(text: str) -> str:
    """Text for a regular expression of Oniguruma, which knows fewer escapes than Python."""
    return re.sub(r"([\\.^$*+?{}\[\]()|\-])", r"\\\1", text)


def _symbols(text: str) -> str:
    """Text in the byte alphabet."""
    alphabet = byte_alphabet()
    return "".join(alphabet[byte] for byte in text.encode("utf-8"))


def _sentences_part(tokenizer: Tokenizer) -> bool:
    """Whether no phrase reaches over a full stop, as `echotok.engine.encoder` asks, too."""
    return not any(
        before.text == "." and after.spaced
        for phrase in tokenizer.table.live
        for before, after in pairwise(phrase.items)
    )
