"""Where the sentences of a report begin and end: the one rule for training, search and findings.

A stop ends a sentence unless it belongs to an abbreviation, an initial, a number or a list mark.
The end of a line ends one, too, unless the line is wrapped: the next one goes on in lower case
behind a long line, or the line ends with a word or mark that cannot end anything (`no evidence of`,
`and`, a comma). `tests/echotok/sentence_cases.py` is the rule as a table of examples.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

__all__ = [
    "ABBREVIATIONS",
    "DANGLING",
    "HEADING",
    "LIST_MARK",
    "Run",
    "goes_on",
    "is_inner",
    "number_sentences",
    "sentence_runs",
    "split_sentences",
    "unify_lines",
]


class Run(NamedTuple):
    """A stretch of a report up to the end of a sentence; it may be blank.

    Attributes:
        start, end: its characters in the report, without the stop or line break that ends it.
        behind: where the next run begins.
        begins_line: no other run of the same line stands before it.
    """

    start: int
    end: int
    behind: int
    begins_line: bool


LIST_MARK = re.compile(r"\s*(?:[-*\u2022\u00b7\u2013>]+\s+|\(?\d{1,2}[.)]\s+|\(?[a-z]\)\s+)+")
"""What an item of a list begins with."""

_CLOSERS = r"[)\]\"'\u201d\u2019]*"
_STOP = re.compile(
    # One class in front of all, for which a text is searched fast; what it found is told behind it.
    r"[?.!\n\u3002\uff01\uff1f](?:"
    # The marks of Chinese and Japanese, which no space follows.
    r"(?<=[\u3002\uff01\uff1f])" + _CLOSERS + "|"
    # A question mark in front of a single last word is a doubt about it: "? thrombus."
    r"(?<=\S\?)(?![^\S\n]*\w{1,10}[^\S\n]*(?:[.\n]|$))" + _CLOSERS
    + r"|(?<=[.!])[.!]*" + _CLOSERS + r"(?=\s|$)"
    # Without a space: "normal.Left atrium", "normal.LA", "normal.2. Left atrium".
    + r"|(?<=\.)(?=[A-Z][a-z])|(?<=[a-z]{3}\.)(?=[A-Z])|(?<=[a-z)%]\.)(?=\d+[.)]\s)"
    + r"|(?<=\n)[^\S\n]*)"
)  # fmt: skip
_LINE_BREAK = re.compile(r"[\r\x0b\x0c\x85\u2028\u2029](?:(?<=\r)\n)?")
HEADING = re.compile(r"\s*(?:\d{1,2}[.)]\s*)?([A-Za-z][A-Za-z0-9 ,/&()'-]{0,60}?)\s*:(?!\d)")
"""What stands before a colon, as in `Mitral valve: normal`."""


def _words(line: str) -> list[str]:
    return line.split()


_DANGLING_WORDS = _words(
    "the a an of and or nor no not with without to from at by in on for is are was were be been"
    " than that which approximately about estimated significant consistent evidence left right"
    " mitral tricuspid pulmonary pulmonic ventricular atrial systolic diastolic pericardial"
    " regional any there has have hemodynamically haemodynamically"
)
DANGLING = frozenset([*_DANGLING_WORDS, "as"])
"""Words that may be the last of a line that goes on in the next one ("as" only as "such as")."""
_DANGLING = re.compile(rf"(?:[,/&(-]|\b(?:{'|'.join(_DANGLING_WORDS)}|such as))$", re.IGNORECASE)
_HEAD = 16
"""Characters before a stop that say whether it belongs to an abbreviation."""
_WRAPPED = 40
"""A line as long as this may go on in the next one."""

_LAST_WORD = re.compile(r"[^\W\d_]+(?:\.[^\W\d_]+)*$")
_LONE_MARK = re.compile(r"\s*\(?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4})")
_TITLE = re.compile(r"\b(?:dr|drs|prof|mr|mrs|ms)\.", re.IGNORECASE)
# By what may stand behind them: anything, a number or a small letter, or no capital.
_INNER = frozenset(
    _words(
        "approx prof vs viz incl i.e e.g c.f cf al ref refs figs dr drs mrs jr sr sgt capt z.n v.a"
        " z.b d.h st.p"
    )
)
_BEFORE_NUMBER = frozenset(
    _words("no nos nr fig eq pp vol ch ver jan feb mar apr jun jul aug sep sept oct nov dec")
)
_NOT_BEFORE_CAPITAL = frozenset(
    _words(
        "ca est avg resp calc diam dil temp dept sq cont max min etc inc ltd co corp dis hx fx dx"
        " rx sx pt wt ht a.m p.m s.p ao inf ant lat post sup lt rt vel grad insuff regurg pulm"
        " syst diast mon tue tues wed thu thurs fri"
    )
)
_OTHER = frozenset(_words("st mm mod sev conc gr"))
_OPENERS = frozenset(
    _words(
        "mod sev conc gr est avg ao inf ant lat post sup lt rt vel grad insuff regurg pulm syst"
        " diast"
    )
)
"""Abbreviations behind which the sentence that they begin goes on: `Sev. AS`."""
_GERMAN = re.compile(r"(?:^|[\s(])(?:z\. ?n|v\. ?a|z\. ?b|d\. ?h|st\. ?p)$", re.IGNORECASE)
_DATE = re.compile(r"(?:^|\s)[0-3]?\d\Z")
_MONTH_YEAR = re.compile(
    r"(?:jan|feb|m(?:a|\u00e4)r|apr|ma[iy]|jun|jul|aug|sep|o[kc]t|nov|de[cz])\w{0,7}\.? \d{4}",
    re.IGNORECASE,
)
_NO_WORD = frozenset("0123456789%)]")
_BEFORE_NAME = ("Mr", "Ms", "Mt", "Ste")
"""Titles as they are written; `MR.` and `mr.` are a finding."""
ABBREVIATIONS = (
    _INNER | _BEFORE_NUMBER | _NOT_BEFORE_CAPITAL | _OTHER | {name.lower() for name in _BEFORE_NAME}
)
"""Words in small letters whose stop may end no sentence; so may that of a single letter, and of a
word with a stop inside."""


def sentence_runs(text: str) -> Iterator[Run]:
    """The stretches of a text between the ends of its sentences, in order; they cover all of it.

    Linear in the length of the text.
    """
    if not text.isascii() or "\r" in text or "\x0b" in text or "\x0c" in text:
        text = unify_lines(text)
    start, begins, line_start = 0, True, 0
    for match in _STOP.finditer(text):
        at, behind = match.span()
        if at < start:
            continue
        if text[at] == "\n":
            if text[max(start, line_start) : at].strip() and goes_on(text, line_start, at, behind):
                line_start = behind
                continue
            yield Run(start, at, behind, begins)
            start = line_start = behind
            begins = True
        elif (
            text[at] != "."
            or (at - start > _HEAD and _is_plain(text[at - _HEAD : at]))
            or not is_inner(text, start, at)
        ):
            yield Run(start, at, behind, begins)
            start, begins = behind, False
    if start < len(text):
        yield Run(start, len(text), len(text), begins)


def split_sentences(text: str) -> list[str]:
    r"""The sentences of a text as they are written, each with its stop and list mark.

    Example:
        >>> split_sentences("Seen by Dr. Who. LV: normal\nMR: severe; EF 55.5 %.")
        ['Seen by Dr. Who.', 'LV: normal', 'MR: severe; EF 55.5 %.']
    """
    sentences = (text[run.start : run.behind].strip() for run in sentence_runs(text))
    return [sentence for sentence in sentences if sentence]


def number_sentences(text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
    """The number, from 0, of the sentence that each stretch of a text belongs to.

    A stretch that reaches over the end of a sentence belongs to the one that it begins in.

    Args:
        text: the original text.
        spans: start and end of each stretch, in order.

    Example:
        >>> number_sentences("1. Mild MR. No AS", [(0, 2), (3, 11), (12, 17)])
        [0, 0, 1]
    """
    begins = [run.start for run in sentence_runs(text)]
    places = [bisect_right(begins, start) for start, _ in spans]
    numbers: list[int] = []
    number = 0
    for place, before in zip(places, [*places[:1], *places], strict=False):
        number += place != before
        numbers.append(number)
    return numbers


def unify_lines(text: str) -> str:
    """A text whose other line breaks are one of the same length, so that all places stay true."""
    return _LINE_BREAK.sub(lambda found: "\n".rjust(len(found[0])), text)


def is_inner(text: str, start: int, at: int) -> bool:
    """Whether the full stop at `at` ends a word or the number of a list, and no sentence.

    Args:
        text: the report.
        start: where the sentence begins.
        at: index of the stop.
    """
    short = at - start <= _HEAD
    head = text[start if short else at - _HEAD : at]
    if (
        text[at - 1].isdigit()
        and _DATE.search(head)
        and _MONTH_YEAR.match(text[at + 1 : at + 20].lstrip(" "))
    ):
        return True  # "3. April 2020"
    if not short and text[at - 1] in _NO_WORD:
        return False
    word, before, kind = _abbreviation(head)
    if not kind and not short:
        return False
    follows = text[at + 1 : at + 40].lstrip(" \t")
    if not follows or follows[0] == "\n":
        return False  # nothing that an abbreviation could belong to stands in the line
    if short and _LONE_MARK.fullmatch(head):
        return True
    if not kind:
        return False
    lower, first = word.lower(), follows[0]
    if kind == "inner" or (short and not before.strip() and lower in _OPENERS):
        return True
    if kind == "before number":
        return first.isdigit() or (word.istitle() and first.islower())
    if kind == "not before capital":
        return not first.isupper()
    if lower == "st":  # St. Jude, but "depressed ST. No effusion"
        return word != "ST" and first.isalpha()
    if lower == "mm":
        return follows[:2].lower() in ("hg", "of")
    if word in _BEFORE_NAME:
        return first.isupper() and follows[1:2].islower()
    if len(word) == 1:  # an initial, or "Z. n. Stent"
        return _GERMAN.search(head) is not None or (
            first.isalpha() and (follows[1:2] == "." or _TITLE.search(before) is not None)
        )
    return "." in word and not first.isupper()


@lru_cache(maxsize=1 << 14)
def _is_plain(head: str) -> bool:
    """Whether a stop ends a sentence whatever follows, by the `_HEAD` characters before it.

    For most stops `is_inner` need not be asked.
    """
    last = head[-1]
    return not last.isdigit() and (last in _NO_WORD or not _abbreviation(head)[2])


@lru_cache(maxsize=1 << 14)
def _abbreviation(head: str) -> tuple[str, str, str]:
    """The last word before a stop, what stands before it, and its kind; "" is none."""
    found = _LAST_WORD.search(head)
    if found is None:
        return "", "", ""
    word = found[0]
    lower = word.lower()
    if lower in _INNER:
        kind = "inner"
    elif lower in _BEFORE_NUMBER:
        kind = "before number"
    elif lower in _NOT_BEFORE_CAPITAL:
        kind = "not before capital"
    elif lower in _OTHER or word in _BEFORE_NAME or len(word) == 1 or "." in word:
        kind = "other"
    else:
        kind = ""
    return word, head[: found.start()], kind


def goes_on(text: str, line_start: int, at: int, behind: int) -> bool:
    """Whether the line that ends at `at` is wrapped, and the next one goes on with it.

    Args:
        text: the report.
        line_start: where the line begins.
        at: index of its line break.
        behind: where the text of the next line begins.
    """
    line = text[max(line_start, at - 80) : at].rstrip()
    following = text[behind : behind + 80]
    if not following.strip() or following[0] == "\n":
        return False
    next_line = following.split("\n")[0]
    if LIST_MARK.match(next_line) or HEADING.match(next_line):
        return False
    if line.endswith((".", "!", "?", ":", ";")):
        return False
    if _DANGLING.search(line):
        return not line.endswith(("-", " no", ":no")) or not next_line[:1].isupper()
    return next_line[:1].islower() and len(line) >= _WRAPPED
