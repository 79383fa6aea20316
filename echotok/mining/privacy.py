"""What may name a person, a date, a record or a place: found in a report, and held back.

Whatever is found is cut out before anything is counted: no phrase, value or merge ever holds it,
however frequent it is. It goes to a private file for a person to look at, who may release it.

Seen are structures (dates, times, phone numbers, e-mail, addresses, long numbers, numbers behind
words such as MRN), names behind a title, in a field of a form or before a degree, and common given
names and surnames. A word that is mostly a name in these places is held back in all others. Case
counts where a report uses it; a report all in capitals is read with more suspicion.

This is a net, not a proof: k patients is the rule that protects (a rare name never comes near a
table), and the net is there for the frequent ones, such as a reader who signs every report.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import regex

__all__ = ["REASONS", "PrivateFinder", "Span", "is_month", "known"]

REASONS = ("name", "date", "number", "contact", "address")
"""Why something is held back, by the code in `Span`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of normalized text that is held back.

    Attributes:
        start, end: characters.
        reason: one of `REASONS`.
    """

    start: int
    end: int
    reason: str


@cache
def known(name: str) -> frozenset[str]:
    """A list of `known_names.toml`: `given_names`, `surnames`, `eponyms` or `no_names`."""
    text = (files("echotok.mining") / "known_names.toml").read_text(encoding="utf-8")
    return frozenset(tomllib.loads(text)[name].split())


_MONTH = (
    r"(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|m\u00e4rz|maerz|apr(?:il)?|may|mai|june?|"
    r"juni|july?|juli|aug(?:ust)?|sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)"
)
_MONTH_NAME = regex.compile(_MONTH)
_DAY = r"[0-3]?[0-9](?:st|nd|rd|th)?"
_WORD_START, _WORD_END = r"(?<![\p{L}\p{N}])", r"(?![\p{L}\p{N}])"


def _compile(pattern: str) -> regex.Pattern[str]:
    return regex.compile(_WORD_START + "(?:" + pattern + ")" + _WORD_END)


_STRUCTURES: tuple[tuple[str, regex.Pattern[str]], ...] = (
    ("contact", regex.compile(r"[\p{L}\p{N}._%+-]+ ?@ ?[\p{L}\p{N}.-]+\.[\p{L}]{2,}")),
    ("contact", regex.compile(r"(?:https?://|www\.)[^ ]+")),
    (
        "contact",
        regex.compile(
            r"(?<![0-9.])(?:\+?[0-9]{1,3}[ .-]?)?\(?[0-9]{3}\)?[ .-]{1,2}[0-9]{3}[ .-][0-9]{4}"
            r"(?![0-9])"
            r"|(?<![0-9.-])[0-9]{3}-[0-9]{4}(?![0-9])|\+[0-9]{2}[ 0-9/()-]{6,}[0-9]"
        ),
    ),
    (
        "contact",
        _compile(
            r"(?:tel(?:ephone|efon)?|phone|fax|pager|beeper|mobile|cell|ext(?:ension)?)"
            r"(?: (?:number|no))?[ .:#]*(?=[(+0-9])[0-9 ()/.+-]{3,}[0-9]"
        ),
    ),
    ("number", regex.compile(r"(?<![0-9-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![0-9])")),
    (
        "date",
        regex.compile(
            r"(?<![0-9/.,-])(?:(?:19|20)[0-9]{2}[-/.][0-9]{1,2}[-/.][0-9]{1,2}"
            r"|[0-9]{1,2}([-/.])[0-9]{1,2}\1 ?(?:[0-9]{4}|[0-9]{2})|[01]?[0-9]/(?:19|20)[0-9]{2})"
            r"(?![0-9]|[-/.][0-9])"
        ),
    ),
    (
        "date",
        _compile(
            rf"{_DAY}\.?[ -](?:of )?{_MONTH}\.?(?:[ ,-]+(?:19|20)?[0-9]{{2}})?"
            rf"|{_MONTH}\.? {_DAY}(?:,? (?:19|20)[0-9]{{2}})?"
            rf"|{_MONTH}\.?,? (?:of )?(?:19|20)[0-9]{{2}}|(?:19|20)[0-9]{{2}}"
        ),
    ),
    ("date", _compile(r"[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9])?(?: ?[ap]\.?m\.?)?")),
    (
        "number",
        regex.compile(
            _WORD_START
            + r"(?:mrn|med(?:ical)? rec(?:ord)?|mr ?#|acc(?:ession)?|account|acct|chart|case|"
            r"record|patient|pat|study|exam|order|visit|encounter|specimen|ssn|social security|"
            r"dob|date of birth|geb(?:oren|urtsdatum)?|fall|patienten)"
            r"(?:[ .-]?(?:number|no|num|id|nr|nummer))?[ .:#-]*"
            r"(?<=[:#.] ?|(?:number|no|num|id|nr|mrn|ssn|dob|nummer) )"
            r"(?=[\p{L}-]{0,4}[0-9])[\p{L}0-9/.-]*[0-9]"
        ),
    ),
    (
        "number",
        regex.compile(r"(?<![\p{L}\p{N}])(?:id|nr)[ ]?[:#] ?[\p{L}]{0,4}-?[0-9][\p{L}0-9-]*"),
    ),
    ("number", regex.compile(r"(?<![0-9.,])[0-9]{5,}(?![0-9]|[.,][0-9])")),
    (
        "number",
        regex.compile(
            r"(?<![\p{L}\p{N}])(?=[\p{L}0-9-]*[\p{L}])(?=(?:[\p{L}-]*[0-9]){4})"
            r"(?![0-9]+-?(?:mm|cm|ml|mg|mcg|hz|bpm|year)s?\b)[\p{L}0-9]+(?:-[\p{L}0-9]+)*"
        ),
    ),
    (
        "address",
        _compile(
            r"[0-9]{1,5} (?:[nsew]\.? )?(?:[\p{L}]{2,}\.? ){1,3}(?:street|avenue|ave|road|"
            r"boulevard|blvd|lane|parkway|pkwy|highway|hwy)"
            r"(?:,? (?:suite|apt|floor|unit) ?#?[\p{N}]+)?"
            r"|p\.? ?o\.? box [0-9]+|(?:suite|apt\.?|apartment|room|zimmer) ?#? ?[0-9]{1,5}[\p{L}]?"
            r"|[\p{L}-]{3,}(?:stra\u00dfe|strasse|str\.|weg|allee|platz) [0-9]{1,4}[\p{L}]?"
        ),
    ),
)
_CAPITAL_ADDRESS = regex.compile(
    r"\b[0-9]{1,5} (?:[NSEW]\.? )?(?:\p{Lu}\p{L}+ ){1,3}"
    r"(?:St|Dr|Rd|Ct|Pl|Way|Place|Drive|Court|Square)\b"
)

_NAME = r"\p{L}[\p{L}\p{M}'-]*"
_WORDS = regex.compile(rf"({_NAME})(\.?)")
_GAP = regex.compile(r"[ ,]{1,2}|\. ")
_TITLE = _compile(
    r"(?:dr|drs|mr|mrs|ms|miss|prof|professor|doctor|herr|herrn|frau|mme|monsieur|se\u00f1or|"
    r"se\u00f1ora|sister|father|rev)(?:\.? ?(?:dr|med|prof|habil))*"
)
_MISTER = regex.compile(r"\bM[rs]\b")
_FIELD = _compile(
    r"(?:(?:referring|ordering|reading|attending|requesting|primary care|interpreting|performing|"
    r"consulting|admitting|supervising|responsible|treating) (?:physician|doctor|md|cardiologist|"
    r"radiologist|provider|surgeon|clinician)s?|(?:patient|pt|last|first|full|maiden)(?:'s)? name|"
    r"patient|name|physician|cardiologist|radiologist|sonographer|technologist|technician|tech|"
    r"attending|resident|fellow|surgeon|assistant|anesthesiologist|operator|provider|reader|cc|attn|"
    r"author|signature|next of kin|contact|patientenname|untersucher|befunder|unterschrift)"
    r"(?= ?[:=])|(?:(?:electronically |digitally |e-)?(?:signed|authenticated|verified|approved|"
    r"reviewed|interpreted|read|reported|dictated|transcribed|performed|scanned|validated|"
    r"confirmed|finalized|attested)(?: electronically| and signed)? by|gez\.?|"
    r"befundet (?:durch|von)|unterzeichnet von|referred by|sent by|seen by|called to|"
    r"discussed with|spoken to|on behalf of)"
)
_DEGREE = regex.compile(
    r",? ?(?<![\p{L}]|p\.)(?:m\.? ?d\.?|d\.? ?o\.?|ph\.? ?d\.?|r\.? ?n\.?|r\.?d\.?c\.?s\.?|"
    r"rvt|rdms|facc|fase|fscai|mbbs|mbchb|frcp|frcr|frcpc|pa-c|dnp|crna|esq)(?![\p{L}\p{N}])"
)
# "do" is a verb, unless a comma or capitals make it a degree.
_DO = regex.compile(r"\bD\.?O\b")
_BEFORE_DEGREE = regex.compile(rf"((?:{_NAME}\.?,? ){{0,3}}{_NAME}\.?)$")
_CAPITAL = regex.compile(r"\b\p{Lu}[\p{L}\p{M}'\u2019-]*")
_SEPARATOR = regex.compile(r" ?[:=]? ?(?:dr|prof|mr|mrs|ms)?\.? ?")
_MOST_WORDS = 4


def is_month(word: str) -> bool:
    """Whether a normalized word is the name of a month, which alone is no date.

    Args:
        word: the word.
    """
    return _MONTH_NAME.fullmatch(word) is not None


class PrivateFinder:
    """Finds what may name a person in one part of a report.

    Args:
        allowed: normalized texts that a person has released: a whole span, or a single word.
    """

    def __init__(self, *, allowed: Collection[str] = ()) -> None:
        self.allowed = frozenset(allowed)

    def __call__(self, raw: str, normalized: str) -> list[Span]:
        """What is held back, as spans of the normalized text; they may overlap.

        Args:
            raw: the part as it was written: its capitals count.
            normalized: the same, normalized.
        """
        found = list(_structures(raw, normalized))
        found += _names(raw, normalized)
        if not self.allowed:
            return found
        return [span for span in found if normalized[span.start : span.end] not in self.allowed]


def _structures(raw: str, normalized: str) -> Iterator[Span]:
    for reason, pattern in _STRUCTURES:
        for match in pattern.finditer(normalized):
            yield Span(start=match.start(), end=match.end(), reason=reason)
    for match in _CAPITAL_ADDRESS.finditer(raw):
        text = " ".join(match.group().lower().split())
        start = normalized.find(text)
        if start >= 0:
            yield Span(start=start, end=start + len(text), reason="address")


def _names(raw: str, normalized: str) -> Iterator[Span]:
    capitals = {word.replace("\u2019", "'").lower() for word in _CAPITAL.findall(raw)}
    # A report all in capitals, or all in small letters, says nothing by its case.
    says_case = raw != raw.upper() and raw != raw.lower()

    def is_name(word: str) -> bool:
        bare = word.removesuffix("'s")
        if bare in known("no_names"):
            return False
        return not says_case or word in capitals or bare in capitals

    for pattern in (_TITLE, _FIELD):
        for match in pattern.finditer(normalized):
            if match.group() in ("mr", "ms") and not _MISTER.search(raw):
                continue  # mitral regurgitation and stenosis
            separator = _SEPARATOR.match(normalized, match.end())
            at = separator.end() if separator else match.end()
            if at > match.end():
                yield from _following(normalized, at, is_name)
    for match in _DEGREE.finditer(normalized):
        if match.group() == " do" and not (says_case and _DO.search(raw)):
            continue
        before = _BEFORE_DEGREE.search(normalized, 0, match.start())
        if before is None:
            continue
        for word in reversed(list(_WORDS.finditer(before.group()))):
            if not is_name(word[1]) and len(word[1]) > 1:
                break
            start = before.start() + word.start()
            yield Span(start=start, end=start + len(word[1]), reason="name")
    words = [(word[1], word.start(), word.end(1)) for word in _WORDS.finditer(normalized)]
    for at, (own, start, end) in enumerate(words):
        bare = own.removesuffix("'s")
        given = bare in known("given_names") and bare not in known("eponyms")
        if not (
            given or (bare in known("surnames") and bare not in known("eponyms"))
        ) or not is_name(own):
            continue
        yield Span(start=start, end=end, reason="name")
        # A surname behind or before a given name may be any word.
        neighbours = words[at + 1 : at + 2] if given else ()
        for other, low, high in neighbours:
            apart = normalized[end:low]
            if (
                apart in (" ", ", ")
                and says_case
                and other in capitals
                and other not in known("no_names")
            ):
                yield Span(start=low, end=high, reason="name")


def _following(normalized: str, at: int, is_name: Callable[[str], bool]) -> Iterator[Span]:
    found: list[Span] = []
    whole = False  # initials alone are no name
    for _ in range(_MOST_WORDS):
        word = _WORDS.match(normalized, at)
        if word is None or (len(word[1]) > 1 and not is_name(word[1])):
            break
        if len(word[1]) > 1 or word[2]:
            found.append(Span(start=word.start(), end=word.end(1), reason="name"))
            whole |= len(word[1]) > 1
        gap = _GAP.match(normalized, word.end(1))
        if gap is None or (len(word[1]) > 2 and gap.group() == ". "):
            break
        at = gap.end()
    if whole:
        yield from found
