"""What may name a person, a date, a record or a place: found in a report, and held back.

Whatever is found is cut out before anything is counted: no phrase, value or merge ever holds it,
however frequent it is. It goes to a private file; a person reads that file and may release texts.

Found are structures (dates, times, phone numbers, e-mail, addresses, long numbers, numbers behind
words such as MRN), names behind a title, in a field of a form or before a degree, and common given
names and surnames. A word that is mostly a name in these places is held back in all others. Case
counts where a report uses it; a report all in capitals is read with more suspicion. A name ends
where its line ends. A common name that is a word of medicine too (max, ANA, a month, `Austin Flint
murmur`) needs another name beside it, a title, a field or a degree.

This is a net, not a proof: k patients is the rule that protects (a rare name never comes near a
table), and the net is there for the frequent ones, such as a reader who signs every report.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import regex

from echotok.text import fold

__all__ = ["REASONS", "PrivateFinder", "Span", "is_month", "known"]

REASONS = ("name", "date", "number", "contact", "address")
"""The reasons for holding a text back, one of which a `Span` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of normalized text that is held back.

    Attributes:
        start, end: indexes of the first character and of the one behind the last.
        reason: one of `REASONS`.
    """

    start: int
    end: int
    reason: str


@cache
def known(name: str) -> frozenset[str]:
    """The list of this name in `known_names.toml`."""
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


# No part of them may look on without an end from each word of a long chain: it would take the
# square of its length.
_STRUCTURES: tuple[tuple[str, regex.Pattern[str]], ...] = (
    (
        "contact",
        regex.compile(
            r"(?<![\p{L}\p{N}._%+-])[\p{L}\p{N}._%+-]++ ?@ ?[\p{L}\p{N}.-]+\.[\p{L}]{2,}"
        ),
    ),
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
            r"(?<![\p{L}\p{N}])(?=[\p{L}0-9-]{0,64}[\p{L}])(?=(?:[\p{L}-]{0,32}[0-9]){4})"
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
            r"|[\p{L}-]{3,40}(?:stra\u00dfe|strasse|str\.|weg|allee|platz) [0-9]{1,4}[\p{L}]?"
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
_INITIALS = regex.compile(r"(?: \p{L}\.?)*[ .,]*")
_LINE_END = regex.compile(r"[.,]?\n")
# As the lists of names write what German keyboards have; other letters lose their marks.
_UMLAUTS = str.maketrans({"\u00e4": "ae", "\u00f6": "oe", "\u00fc": "ue", "\u00df": "ss"})
# What stands behind a word that names a measurement or a label, but never behind a person's name.
_VALUE = regex.compile(r"'?s?[ \t]?[:=<>~\u2264\u2265\u2248]?[ \t]?[0-9]|[ \t]?[:=]")
_ADJACENT = (" ", ", ", ",")
# What may stand in a line or a sentence beside a name that signs it.
_SIGNATURE = regex.compile(
    rf"(?:^|(?<=[\n\t]|\. |\) ))[ /s.*_-]*({_NAME}(?:(?:[ ,]{{1,2}}|\. ){_NAME}){{1,4}})"
    r"(?=[., ]*(?:[\n\t(|\u2013-]|$|\. |,? ?[0-9]{1,4}[/.:-]))"
)
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
_SEPARATOR = regex.compile(r"\s?[:=]?\s?(?:(?:dr|prof|mr|mrs|ms)(?![\p{L}\p{N}]))?\.?\s?")
_MOST_WORDS = 4
_LONGEST_ABBREVIATION = 4
# Only a line of at least this length is wrapped, so that a name may go on in the next line.
_LEAST_WRAPPED = 50


# Where a line, or a column of one (a tab, many spaces), ends in a report as it was written.
_BREAK = regex.compile(r"\s*[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]\s*|\s*\t\s*|\s{3,}")


def _plain(word: str) -> str:
    """A word in small letters as the lists of names write it: `garcia` for `garc\u00eda`."""
    if word.isascii():
        return word
    letters = unicodedata.normalize("NFC", word).translate(_UMLAUTS)
    return "".join(
        one for one in unicodedata.normalize("NFD", letters) if one.isalpha() or one in "'-"
    )


def is_month(word: str) -> bool:
    """Whether a normalized word is the name of a month, which by itself is not a date.

    Args:
        word: the word.
    """
    return _MONTH_NAME.fullmatch(word) is not None


@cache
def _clinical_words() -> frozenset[str]:
    """The words of the table that comes with echotok: none is a name, except eponyms."""
    from echotok.tokenizer import load

    table = load("echo").table
    texts = [phrase.text for phrase in table.live]
    texts += [value.text for value in (*table.severity_values, *table.live_values)]
    words = {word[1] for text in texts for word in _WORDS.finditer(text)}
    return frozenset(words) - known("eponyms") - known("given_names") - known("surnames")


def _is_clinical(word: str) -> bool:
    bare = word.removesuffix("'s")
    return bare in _clinical_words() or bare in known("eponym_nouns")


class PrivateFinder:
    """Finds what may name a person in one part of a report.

    Args:
        allowed: normalized texts that a person has released, as `ReportStore.held_back` gives them.
            The store releases them, since only the store knows which pieces stand in one run.
    """

    def __init__(self, *, allowed: Collection[str] = ()) -> None:
        self.allowed = frozenset(allowed)

    def __call__(self, raw: str, normalized: str) -> list[Span]:
        """The spans of the normalized text that are held back; they may overlap.

        Args:
            raw: the part of the report as it was written, with its capitals and lines.
            normalized: the same part, normalized.
        """
        return [*_structures(raw, normalized), *_names(raw, normalized)]


def _with_breaks(raw: str, normalized: str) -> str:
    """The normalized text with a line break or tab for the space where a line or column ends."""
    breaks = list(_BREAK.finditer(raw))
    if not breaks:
        return normalized
    # The k-th visible character of the one is the k-th of the other.
    visible = [at for at, character in enumerate(normalized) if character != " "]
    characters = list(normalized)
    count = begin = 0
    for found in breaks:
        count += len("".join(fold(raw[begin : found.start()])[0].split()))
        begin = found.end()
        if 0 < count < len(visible) and characters[visible[count] - 1].isspace():
            column = set(found.group()) <= set(" \t\u00a0")
            characters[visible[count] - 1] = "\t" if column else "\n"
    return "".join(characters)


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
    written: dict[str, set[str]] = {}
    for form in _CAPITAL.findall(raw):
        written.setdefault(_plain(form.replace("\u2019", "'").lower()), set()).add(form)
    # A report all in capitals, or all in small letters, says nothing by its case.
    says_case = raw != raw.upper() and raw != raw.lower()
    lined = _with_breaks(raw, normalized)

    def is_capital(word: str) -> bool:
        word = _plain(word)
        return not says_case or word in written or word.removesuffix("'s") in written

    def is_name(word: str) -> bool:
        return word.removesuffix("'s") not in known("no_names") and is_capital(word)

    def is_abbreviation(word: str) -> bool:
        forms = written.get(word, ())
        short = 1 < len(word) <= _LONGEST_ABBREVIATION
        return says_case and short and bool(forms) and all(form.isupper() for form in forms)

    for pattern in (_TITLE, _FIELD):
        for match in pattern.finditer(normalized):
            if match.group() in ("mr", "ms") and not _MISTER.search(raw):
                continue  # mitral regurgitation and stenosis
            separator = _SEPARATOR.match(lined, match.end())
            at = separator.end() if separator else match.end()
            if "\n" in lined[match.end() : at] and not _is_name_line(
                lined, at, is_name, whole=pattern is _FIELD
            ):
                continue  # a field that was left empty
            if pattern is _FIELD and _names_a_method(lined, at):
                continue  # performed by Simpson's method
            yield from _following(lined, at, is_name)
    for match in _DEGREE.finditer(normalized):
        if match.group() == " do" and not (says_case and _DO.search(raw)):
            continue
        before = _BEFORE_DEGREE.search(lined, 0, match.start())
        if before is None:
            continue
        for word in reversed(list(_WORDS.finditer(before.group()))):
            if not is_name(word[1]) and len(word[1]) > 1:
                break
            start = before.start() + word.start()
            yield Span(start=start, end=start + len(word[1]), reason="name")
    yield from _common_names(lined, is_name, is_capital, is_abbreviation, says_case=says_case)
    yield from _signatures(lined, is_name)


def _signatures(lined: str, is_name: Callable[[str], bool]) -> Iterator[Span]:
    """Names that stand alone, such as JOHN Q. PUBLIC, where capitals say nothing."""
    for match in _SIGNATURE.finditer(lined):
        words = [word for word in _WORDS.finditer(lined, *match.span(1)) if len(word[1]) > 1]
        names = [word for word in words if _plain(word[1]) not in known("particles")]
        if not 1 < len(names) <= _MOST_WORDS:
            continue
        plain = [_plain(word[1]) for word in names]
        is_person = any(
            _is_given(word) and (not _is_word_too(word) or known("surnames") & {*plain} - {word})
            for word in plain
        )
        if is_person and all(
            is_name(word[1])
            and (one in known("surnames") or not _is_clinical(one))
            and one not in known("eponym_nouns")
            for word, one in zip(names, plain, strict=True)
        ):
            for word in words:
                if names[0].start() <= word.start() <= names[-1].start():
                    yield Span(start=word.start(), end=word.end(1), reason="name")


def _is_given(word: str) -> bool:
    """Whether a plain word is a given name, or joined of them: jean-paul."""
    return all(one in known("given_names") for one in word.removesuffix("'s").split("-"))


def _common_names(
    lined: str,
    is_name: Callable[[str], bool],
    is_capital: Callable[[str], bool],
    is_abbreviation: Callable[[str], bool],
    *,
    says_case: bool,
) -> Iterator[Span]:
    """Given names and surnames of the lists, where nothing says that they are words of medicine."""
    words = [(_plain(word[1]), word.start(), word.end(1)) for word in _WORDS.finditer(lined)]

    def beside(at: int, other: int) -> str:
        """The word beside another, "" where a stop or the end of the line is between them."""
        if not 0 <= other < len(words):
            return ""
        low, high = sorted((at, other))
        return words[other][0] if lined[words[low][2] : words[high][1]] in _ADJACENT else ""

    def is_listed(word: str) -> bool:
        bare = word.removesuffix("'s")
        listed = _is_given(bare) or bare in known("surnames")
        return listed and bare not in known("eponyms") and is_name(word)

    def behind(at: int) -> tuple[int, str]:
        """The word behind a given name, after initials and particles; "" for none."""
        other = at + 1
        while other + 1 < len(words):
            gaps = (*_ADJACENT, ". ", ".") if len(words[other][0]) == 1 else _ADJACENT
            passed = len(words[other][0]) == 1 or words[other][0] in known("particles")
            if not (passed and lined[words[other][2] : words[other + 1][1]] in gaps):
                break
            other += 1
        name = beside(at, at + 1) and words[other][0]
        return other, name

    for at, (own, start, end) in enumerate(words):
        bare = own.removesuffix("'s")
        if not is_listed(own):
            continue
        given = _is_given(bare)
        before, (last, after) = beside(at, at - 1), behind(at)
        # Another name on either side makes a person, whatever the word means by itself.
        person = any(is_listed(word) and not _is_word_too(word) for word in (before, after))
        turned = (
            given
            and lined[words[at - 1][2] : start] in _ADJACENT[1:]
            and is_name(before)
            and not (_is_clinical(before) or is_abbreviation(before))
            and (
                not _is_word_too(bare)
                or (_is_alone(lined, words[at - 1][1], end) and not is_abbreviation(own))
            )
        )
        follows = (
            given
            and says_case
            and is_capital(after)
            and after not in known("no_names")
            and not _is_value(lined, words[last][2])
        )
        unknown = follows and not (_is_clinical(after) or is_abbreviation(after))
        if not person and not turned:
            if _is_eponym(beside, at, is_capital, says_case=says_case):
                continue
            if _is_word_too(bare) and not (
                unknown and (after in known("surnames") or after not in known("eponyms"))
            ):
                continue
            if is_abbreviation(own) and (_is_word_too(bare) or not unknown):
                continue
        yield Span(start=start, end=end, reason="name")
        # A surname behind a given name, or before it and a comma, may be any word that is no term.
        if unknown:
            yield Span(start=words[last][1], end=words[last][2], reason="name")
        if turned:
            yield Span(start=words[at - 1][1], end=words[at - 1][2], reason="name")


def _line_from(lined: str, at: int) -> str:
    end = lined.find("\n", at)
    return lined[at:] if end < 0 else lined[at:end]


def _is_alone(lined: str, start: int, end: int) -> bool:
    """Whether a line holds these words alone, and initials."""
    before = lined[lined.rfind("\n", 0, start) + 1 : start]
    return not before.strip() and _INITIALS.fullmatch(_line_from(lined, end)) is not None


def _is_word_too(word: str) -> bool:
    return word.removesuffix("'s") in known("words_too")


def _is_value(lined: str, at: int) -> bool:
    return _VALUE.match(lined, at) is not None


def _is_eponym(
    beside: Callable[[int, int], str],
    at: int,
    is_capital: Callable[[str], bool],
    *,
    says_case: bool,
) -> bool:
    """Whether a sign, disease, operation or device is named: `David procedure`."""
    after = beside(at, at + 1)
    if after and after not in known("eponym_nouns"):
        if after in known("given_names"):
            return False
        after = beside(at + 1, at + 2)
    return after in known("eponym_nouns") and not (says_case and is_capital(after))


def _is_name_line(lined: str, at: int, is_name: Callable[[str], bool], *, whole: bool) -> bool:
    """Whether a line begins with a name, or holds nothing but one."""
    line = _line_from(lined, at)
    words = list(_WORDS.finditer(line))
    if not words:
        return False
    first = words[0][1]
    if _is_clinical(first) or _is_value(lined, at + words[0].end(1)):
        return False
    if not whole:
        return True
    text = _DEGREE.sub("", line)
    words = list(_WORDS.finditer(text))
    rest = _WORDS.sub("", text)
    return (
        len(words) <= _MOST_WORDS + 1
        and not rest.strip(" ,.")
        and all(is_name(word[1]) and not _is_clinical(word[1]) for word in words)
    )


def _names_a_method(lined: str, at: int) -> bool:
    own = _WORDS.match(lined, at)
    if own is None or own[1].removesuffix("'s") not in known("eponyms"):
        return False
    after = _WORDS.match(lined, own.end(1) + 1)
    return (
        lined[own.end(1) :][:1] == " "
        and after is not None
        and _is_clinical(after[1])
        and after[1] not in known("no_names")  # "by Ross and others", "by Ross was"
    )


def _following(lined: str, at: int, is_name: Callable[[str], bool]) -> Iterator[Span]:
    found: list[Span] = []
    whole = 0  # initials alone are no name
    for _ in range(_MOST_WORDS):
        word = _WORDS.match(lined, at)
        if word is None or (len(word[1]) > 1 and not is_name(word[1])):
            break
        if whole and len(word[1]) > 1 and (_is_clinical(word[1]) or _is_value(lined, word.end(1))):
            break  # no comma or stop parts the name from what comes next
        if whole and _DEGREE.match(lined, word.start()):
            break
        if len(word[1]) > 1 or word[2]:
            found.append(Span(start=word.start(), end=word.end(1), reason="name"))
            whole += len(word[1]) > 1
        gap = _GAP.match(lined, word.end(1))
        if gap is not None and len(word[1]) > 2 and gap.group() == ". ":
            break
        if gap is None:
            gap = _LINE_END.match(lined, word.end(1))
            if gap is None or whole > 1 or not _is_wrapped(lined, gap.end()):
                break
        at = gap.end()
    if whole:
        yield from found


def _is_wrapped(lined: str, at: int) -> bool:
    """Whether the word at the beginning of a line had no room in the line before it."""
    before = lined.rfind("\n", 0, at - 1) + 1
    word = _WORDS.match(lined, at)
    if word is None or _is_clinical(word[1]) or _is_value(lined, word.end(1)):
        return False
    length = at - 1 - before
    widest = max(map(len, lined.split("\n")))
    return length >= _LEAST_WRAPPED and length + 1 + len(word[1]) > widest
