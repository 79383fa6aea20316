"""Raw text -> normalized text -> pieces, and the way back to offsets in the original.

`normalize` is one pure pass, blind to phrases and slots (I1). It folds

- letter case and Unicode composition (NFC; no compatibility folding: 10² is not 102),
- white space (every run becomes one space; none at the ends),
- typographic variants of dashes and quotes,
- the space before closing punctuation and `%`,
- the space between a number and a declared unit (`55mmHg` -> `55 mmhg`);

and nothing else. It is idempotent. Visible characters (all but white space) are changed only by the
first and third point, and none is dropped or moved: the k-th visible character of the result stems
from the k-th visible character of the folded text. `Offsets` rests on that.

A *piece* is a number (with its sign, comparison and range), a run of letters and digits, or a
single other character; a space belongs to the piece that follows it, so that
`"".join(split_pieces(text)) == text` for normalized text.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import accumulate, groupby

import regex

__all__ = [
    "VARIANTS",
    "Offsets",
    "fold",
    "is_number",
    "make_normalizer",
    "replace_surrogates",
    "split_pieces",
    "split_stops",
]

VARIANTS = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63", "-"),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
    }
)
"""What `str.translate` takes to write typographic dashes and quotes as plain ones."""

# regex's \s leaves out U+001C-U+001F, which str.split takes for white space.
_SPACE = r"\s\x1c-\x1f"
# What NFC may compose or reorder: a Hangul syllable from its parts, the Kirat Rai vowels of Unicode
# 16, a character with its marks. No piece ends inside of such a cluster. A test compares this with
# the composition data of unicodedata.
_CLUSTER = regex.compile(
    r"[\u1100-\u115f\uac00-\ud7a3][\u1160-\u11ff\p{M}]+|[\U00016D63-\U00016D6A]{2,}\p{M}*"
    rf"|[^{_SPACE}]\p{{M}}+|[^\x00-\x7f]"
)

# One value: an optional comparison or sign, digits with inner points or commas, an optional second
# number behind a dash or "to". A sign counts only where a value can begin, so that `a2-5` and
# `55-60` are not negative; the lookahead keeps `2d` and `cm2` whole words.
_DIGITS = r"[0-9]+(?:[.,][0-9]+)*"
_FREE = r"(?<![^ (\[])"
_NUMBER = (
    rf"(?:(?:[<>]=?|[≤≥~≈]) ?[-+]?\.?{_DIGITS}|{_FREE}[-+±]?\.?{_DIGITS}|{_DIGITS})"
    rf"(?:%?(?: ?- ?\.?| to [-+]?\.?){_DIGITS})?"
)
_PIECE_ASCII = re.compile(
    rf" ?(?:{_NUMBER}(?![a-z0-9])|[a-z0-9]+|'(?:s|t|re|ve|m|ll|d)(?![a-z0-9])|[^ ])"
)
_PIECE_UNICODE = regex.compile(
    rf" ?(?:{_NUMBER}(?![\p{{L}}\p{{N}}\p{{M}}])|[\p{{L}}\p{{N}}][\p{{L}}\p{{N}}\p{{M}}]*"
    r"|'(?:s|t|re|ve|m|ll|d)(?![\p{L}\p{N}\p{M}])|[^ ]\p{M}*)"
)
_WHOLE_NUMBER = re.compile(rf" ?{_NUMBER}")

_WORD = re.compile(r"\S+")  # re's \s is what str.isspace takes for white space

_SPACED_CLOSERS = (" )", " ]", " }", " ;", " :", " !", " ?", " %")
# `was .5 cm` keeps its space: a point or comma before a digit closes nothing.
_SPACED_STOP = re.compile(r" ([.,])(?![0-9])")


_LONG_CLUSTER = 64  # characters


@lru_cache(maxsize=4096)
def _canonical(cluster: str) -> str:
    """Fold one cluster (a character and what may compose with it) to its fixed point."""
    before = cluster
    while True:
        ordered = _in_order(before) if len(before) > _LONG_CLUSTER else before
        after = unicodedata.normalize("NFC", ordered).translate(VARIANTS).lower()
        if after == before:
            return after
        before = after


def _in_order(cluster: str) -> str:
    """Put marks into canonical order, which NFC does by insertion: quadratic for a long run."""
    decomposed = [one for character in cluster for one in unicodedata.normalize("NFD", character)]
    ordered: list[str] = []
    for _, run in groupby(decomposed, key=lambda one: unicodedata.combining(one) > 0):
        ordered += sorted(run, key=unicodedata.combining)  # those with none are all equal
    return "".join(ordered)


def fold(text: str) -> tuple[str, list[tuple[int, int, int, int]]]:
    """Fold case, composition, dashes and quotes; leave white space as it is.

    Args:
        text: any Unicode text.

    Returns:
        The folded text, and an edit `(start, end, original_start, original_end)` for every cluster
        that is longer than one character in the folded or the original text. All other characters
        correspond one to one.

    Example:
        >>> fold("E\u2032 = 5")
        ("e' = 5", [])
    """
    if text.isascii():
        return text.lower(), []
    edits: list[tuple[int, int, int, int]] = []
    parts: list[str] = []
    position = length = 0
    for match in _CLUSTER.finditer(text):
        start, end = match.span()
        parts.append(text[position:start].lower())
        length += start - position
        folded = _canonical(match.group())
        parts.append(folded)
        if end - start > 1 or len(folded) > 1:
            edits.append((length, length + len(folded), start, end))
        length += len(folded)
        position = end
    parts.append(text[position:].lower())
    return "".join(parts), edits


@lru_cache(maxsize=64)
def make_normalizer(units: tuple[str, ...]) -> Callable[[str], str]:
    """Make the `normalize` function for a list of units.

    Args:
        units: unit spellings, normalized (`mmhg`, `cm2`, `ml/m2`); `%` is always closing
            punctuation and needs no entry.

    Returns:
        A pure function from any text to its normalized form.

    Example:
        >>> make_normalizer(("mmhg",))("RVSP  is 35mmHg .")
        'rvsp is 35 mmhg.'
    """
    longest_first = sorted(set(units), key=lambda unit: (-len(unit), unit))
    if not longest_first:
        return lambda text: _space(fold(text)[0])
    names = "|".join(re.escape(unit) for unit in longest_first)
    # The first group ends a number that is not part of a word such as "a2". Its last digits are
    # enough: to take in what stands before them, as in "1,2,3", would begin again at each comma.
    # The lookbehind is asked at digits alone, since it walks over all marks before them.
    glued = rf"(?=[0-9])(?<![\p{{L}}\p{{N}}]\p{{M}}*)([0-9]+)({names})(?![\p{{L}}\p{{N}}\p{{M}}])"
    glued_unicode = cache(lambda: regex.compile(glued))  # takes long, and is needed rarely
    glued_ascii = re.compile(rf"(?<![a-z0-9])([0-9]+)({names})(?![a-z0-9])")
    digit_letter = re.compile(r"[0-9](?:[^\x00-\x7f]|[" + "".join(_firsts(longest_first)) + "])")

    def normalize(text: str) -> str:
        spaced = _space(fold(text)[0])
        if digit_letter.search(spaced) is None:
            return spaced
        return (glued_ascii if spaced.isascii() else glued_unicode()).sub(r"\1 \2", spaced)

    return normalize


def _firsts(units: Sequence[str]) -> list[str]:
    return sorted({re.escape(unit[0]) for unit in units})


def _space(folded: str) -> str:
    """Fold white space, and drop the space before closing punctuation."""
    text = " ".join(folded.split())
    for spaced in _SPACED_CLOSERS:
        if spaced in text:
            text = text.replace(spaced, spaced[1])
    if " ." in text or " ," in text:
        text = _SPACED_STOP.sub(r"\1", text)
    return text


def replace_surrogates(text: str) -> str:
    """A text with U+FFFD for each lone surrogate, which libraries written in Rust do not take."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def split_pieces(normalized: str) -> list[str]:
    """Split normalized text into pieces, each with the space before it.

    Example:
        >>> split_pieces("lvef 55-60%, e/e' 12.")
        ['lvef', ' 55-60', '%', ',', ' e', '/', 'e', "'", ' 12', '.']
    """
    pattern = _PIECE_ASCII if normalized.isascii() else _PIECE_UNICODE
    return pattern.findall(normalized)


def split_stops(normalized: str) -> list[str]:
    """Split normalized text behind each full stop that a space follows; the space is left out.

    Encoding and mining both work on these stretches: no unit reaches over such a place unless a
    phrase does. The stop of a list number ends a stretch too; `echotok.sentences` finds
    what a reader takes for a sentence.

    Example:
        >>> split_stops("1. mild mr. no as.")
        ['1.', 'mild mr.', 'no as.']
    """
    *stopped, last = normalized.split(". ")
    return [*(stretch + "." for stretch in stopped), last]


@lru_cache(maxsize=1 << 16)
def is_number(piece: str) -> bool:
    """Whether a piece of `split_pieces` is a number value."""
    return piece[-1] in "0123456789" and _WHOLE_NUMBER.fullmatch(piece) is not None


class Offsets:
    """Where the visible characters of normalized text stand in the original text.

    Both texts are kept as runs of visible characters, some three hundred in a report, and places
    are looked up among these runs.

    Args:
        text: the original text.
        normalized: `normalize(text)`.

    Example:
        >>> Offsets("Mild  LVH .", "mild lvh.").span(5, 9)
        (6, 11)
    """

    def __init__(self, text: str, normalized: str) -> None:
        # Each run by the number of its first visible character; what it stems from begins at
        # `_starts`; where characters correspond one to one `_ends` is None, else it is one end for
        # all of them.
        self._numbers: list[int] = []
        self._starts: list[int] = []
        self._ends: list[int | None] = []
        folded, edits = fold(text)
        number = position = original = 0
        for start, end, original_start, original_end in [*edits, (len(folded), 0, 0, 0)]:
            shift = original - position
            for word in _WORD.finditer(folded, position, start):
                low, high = word.span()
                self._numbers.append(number)
                self._starts.append(low + shift)
                self._ends.append(None)
                number += high - low
            if end:
                self._numbers.append(number)
                self._starts.append(original_start)
                self._ends.append(original_end)
                number += end - start
            position, original = end, original_end
        sizes = map(len, normalized.split(" "))
        self._spaces = [end + count for count, end in enumerate(accumulate(sizes))]

    def span(self, begin: int, end: int) -> tuple[int, int]:
        """Start and end in the original of `normalized[begin:end]`.

        Args:
            begin: index of a visible character.
            end: index behind a visible character, at least `begin`. An empty stretch has an empty
                span at the start of its character.
        """
        number = begin - bisect_left(self._spaces, begin)
        run = bisect_right(self._numbers, number) - 1
        start = self._starts[run]
        if self._ends[run] is None:
            start += number - self._numbers[run]
        if begin >= end:
            return start, start
        number = end - 1 - bisect_left(self._spaces, end - 1)
        run = bisect_right(self._numbers, number) - 1
        behind = self._ends[run]
        if behind is None:
            behind = self._starts[run] + number - self._numbers[run] + 1
        return start, behind
