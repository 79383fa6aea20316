"""Raw text -> normalized text -> pieces, and the way back to offsets in the original.

`normalize` is one pure pass, blind to phrases and slots (I1). It folds

- letter case and Unicode composition (NFC; no compatibility folding: 10² is not 102),
- white space (every run becomes one space; none at the ends),
- typographic variants of dashes and quotes,
- the space before closing punctuation and `%`,
- the space between a number and a declared unit (`55mmHg` -> `55 mmhg`);

nothing else. It is idempotent, and it never changes, drops or reorders a character that is not
white space other than by the first and third point: the k-th visible character of the result stems
from the k-th visible character of the folded text. `offsets` rests on that.

A *piece* is a number (with its sign, comparison and range), a run of letters and digits, or a
single other character; a space belongs to the piece that follows it, so that
`"".join(split_pieces(text)) == text` for normalized text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache

import regex

__all__ = ["fold", "is_number", "make_normalizer", "offsets", "split_pieces"]

_VARIANTS = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63", "-"),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
    }
)

# regex's \s leaves out U+001C-U+001F, which str.split takes for white space.
_SPACE = r"\s\x1c-\x1f"
# What NFC may compose or reorder: a Hangul syllable from its parts, the Kirat Rai vowels of
# Unicode 16, a character with its marks. No piece ends inside of one. A test compares this with the
# composition data of unicodedata.
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

_SPACED_CLOSERS = (" )", " ]", " }", " ;", " :", " !", " ?", " %")
# `was .5 cm` keeps its space: a point or comma before a digit closes nothing.
_SPACED_STOP = re.compile(r" ([.,])(?![0-9])")


@lru_cache(maxsize=4096)
def _canonical(cluster: str) -> str:
    """Fold one cluster (a character and what may compose with it) to its fixed point."""
    before = cluster
    while True:
        after = unicodedata.normalize("NFC", before).translate(_VARIANTS).lower()
        if after == before:
            return after
        before = after


def fold(text: str) -> tuple[str, list[tuple[int, int, int, int]]]:
    """Fold case, composition, dashes and quotes; leave white space as it is.

    Args:
        text: any Unicode text.

    Returns:
        The folded text, and an edit `(start, end, original_start, original_end)` for every cluster
        of which either side is longer than one character. All other characters correspond one to
        one.

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
    # The first group is a number that is not part of a word such as "a2".
    glued = regex.compile(
        rf"(?<![\p{{L}}\p{{N}}]\p{{M}}*)({_DIGITS})({names})(?![\p{{L}}\p{{N}}\p{{M}}])"
    )
    glued_ascii = re.compile(rf"(?<![a-z0-9])({_DIGITS})({names})(?![a-z0-9])")
    digit_letter = re.compile(r"[0-9](?:[^\x00-\x7f]|[" + "".join(_firsts(longest_first)) + "])")

    def normalize(text: str) -> str:
        spaced = _space(fold(text)[0])
        if digit_letter.search(spaced) is None:
            return spaced
        return (glued_ascii if spaced.isascii() else glued).sub(r"\1 \2", spaced)

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


def split_pieces(normalized: str) -> list[str]:
    """Split normalized text into pieces, each with the space before it.

    Example:
        >>> split_pieces("lvef 55-60%, e/e' 12.")
        ['lvef', ' 55-60', '%', ',', ' e', '/', 'e', "'", ' 12', '.']
    """
    pattern = _PIECE_ASCII if normalized.isascii() else _PIECE_UNICODE
    return pattern.findall(normalized)


@lru_cache(maxsize=1 << 16)
def is_number(piece: str) -> bool:
    """Whether a piece of `split_pieces` is a number value."""
    return piece[-1] in "0123456789" and _WHOLE_NUMBER.fullmatch(piece) is not None


def offsets(text: str, normalized: str) -> tuple[list[int], list[int]]:
    """Map the characters of normalized text to spans of the original.

    Args:
        text: the original.
        normalized: `normalize(text)`.

    Returns:
        Two lists of `len(normalized)`: start and end in `text` of the character that each visible
        character stems from. A space gets the span of the next visible character, which means
        nothing.
    """
    folded, edits = fold(text)
    spans: list[tuple[int, int]] = []  # of each visible character of `folded`
    position = original = 0
    for start, end, original_start, original_end in [*edits, (len(folded),) * 2 + (len(text),) * 2]:
        shift = original - position
        spans += [
            (at + shift, at + shift + 1)
            for at in range(position, start)
            if not folded[at].isspace()
        ]
        spans += [(original_start, original_end)] * (end - start)
        position, original = end, original_end
    starts: list[int] = []
    ends: list[int] = []
    visible = iter(spans)
    current = (0, 0)
    pending = 0
    for character in normalized:
        if character == " ":
            pending += 1
            continue
        current = next(visible)
        starts += [current[0]] * (pending + 1)
        ends += [current[1]] * (pending + 1)
        pending = 0
    return starts, ends
