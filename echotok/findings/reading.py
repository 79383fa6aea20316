"""What a report says, as rows: one a mention."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from echotok.findings.lexicon import NUMERAL, Mark, compile_rules
from echotok.findings.mentions import Mention, find_mentions
from echotok.findings.rule_files import read_findings_rules
from echotok.findings.rules import FindingsRules
from echotok.findings.scope import Status, Verdict, judge
from echotok.findings.sentences import Sentences
from echotok.findings.values import Decimals, count_decimals, read_quantity
from echotok.text import Offsets, split_pieces

__all__ = ["Finding", "Reader", "findings", "reader_of"]


class Finding(NamedTuple):
    """One mention of a finding.

    Attributes:
        name: of its rule, e.g. `mitral_regurgitation`.
        value: grade on the ordered scale, 1 or 0 of a sign, number, or class; None where it is
            not said. What is absent is 0.
        unit: of a number, the rule's; "" otherwise.
        low, high: ends of a range or comparison, None where it is open or none is said. What is
            there without a grade (`dilated`) is of the rule's `ungraded` or more.
        status: `present`, `absent`, `possible`, `prior` or `not_assessed`.
        structure: what it is said of, e.g. `mitral_valve`, or "".
        start, end: characters of the original report.
        sentence: index of its sentence in the report.
        section: `history`, `conclusion`, `body`, or "" where no heading says.
        written: the number and unit as they stand in the report, normalized; "" for others.
        plausible: False for a number outside of the rule's range.
        words: `(role, start, end)` of what made the row, where that was asked for: `name`,
            `grade`, `number` or the kind of a cue.
    """

    name: str
    value: float | str | None
    unit: str
    low: float | None
    high: float | None
    status: Status
    structure: str
    start: int
    end: int
    sentence: int
    section: str = ""
    written: str = ""
    plausible: bool = True
    words: tuple[tuple[str, int, int], ...] = ()


def findings(report: str, rules: FindingsRules | None = None) -> tuple[Finding, ...]:
    """What a report says.

    Args:
        report: any text.
        rules: what to look for; None for those that ship with the package.

    Returns:
        A row a mention, in the order of the text.

    Example:
        >>> [row] = findings("Mild to moderate MR.")
        >>> row.name, row.value, row.low, row.high, row.status
        ('mitral_regurgitation', 1.5, 1.0, 2.0, 'present')
    """
    return reader_of(rules or read_findings_rules()).read(report)


@lru_cache(maxsize=8)
def reader_of(rules: FindingsRules) -> Reader:
    """The reader of rules, made once: it remembers sentences."""
    return Reader(rules)


class _Said(NamedTuple):
    """What a sentence says, by offsets within itself."""

    rows: tuple[tuple[Any, ...], ...]  # plain, so that the garbage collector lets go of them
    subjects: tuple[tuple[str, ...], ...]
    units: int
    used: int


class _Parsed(NamedTuple):
    """A sentence but for the values of its numbers.

    Attributes:
        asked: another context might have given other mentions.
        units: indices of the marks that are clinical phrases or values.
    """

    mentions: Sequence[Mention]
    verdicts: Sequence[Verdict]
    marks: Sequence[Mark]
    places: _Places
    subjects: tuple[tuple[str, ...], ...]
    asked: bool
    units: tuple[int, ...]


# A comma or point with three digits behind it may part thousands.
_DIGIT = re.compile("[0-9]")
_OPEN_NUMBER = re.compile(r"\d[.,]\d{3}(?!\d)")
_PLAIN_BEFORE = re.compile(
    r"\b(?:SAME|WELL|SUCH|FAR|SOON|LONG|MUCH|DEFINED|REGARDED|DESCRIBED|REPORTED|CLASSIFIED|GRADED"
    r"|ESTIMATED|MEASURED|INTERPRETED|TWICE|ACT|ACTS|ACTING|PRESENTS?|PRESENTED)\s+$",
    re.IGNORECASE,
)
_PLAIN_BEHIND = re.compile(
    r"\s+(?:WELL|COMPARED|OPPOSED|THOUGH|IF|FOLLOWS|FAR|SOON|LONG|MUCH|MANY|AN?|THE|IT|THERE|WE"
    r"|THIS|THESE|THAT|PREVIOUSLY|BEFORE|ABOVE|BELOW|DESCRIBED|DETAILED|MENTIONED|OUTLINED"
    r"|(?:IS|ARE|WAS|WERE)\s+THE)\b",
    re.IGNORECASE,
)
_PERHAPS_BEHIND = re.compile(
    r"\s+(?:FOR|PER|IN|PRIOR|NOTED|SEEN|EXPECTED|MEASURED|ASSESSED|DEMONSTRATED|EVIDENCED|SHOWN"
    r"|DETERMINED|CALCULATED|ESTIMATED|REPORTED|DISCUSSED|INDICATED|NEEDED|TOLERATED)\b",
    re.IGNORECASE,
)
# "NORMAL AS IS RV": the same is said of the noun behind, which "AS IS VALVULAR" does not have.
_SAME_OF = re.compile(r"\s+(?:IS|ARE|WAS|WERE)\s+(?!\w+(?:AR|AL|IC)\W*$)", re.IGNORECASE)
_BOTH = re.compile(r"BOTH\s+", re.IGNORECASE)
# The spaces of word processors and web pages, as plain ones.
_SPACES = dict.fromkeys((0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " ")
_REMEMBERED = 50_000
_LONGEST_REMEMBERED = 1000
"""Characters of a sentence."""

_Context = tuple[tuple[str, ...], ...]
_Made = TypeVar("_Made")


class _Memory(Generic[_Made]):
    """What was made of sentences; most of them say the same in every context.

    Attributes:
        free: what is said in any context, by sentence and options.
        bound: what hangs on the context, which then is part of the key.
    """

    def __init__(self) -> None:
        self.free: dict[tuple[object, ...], _Made] = {}
        self.bound: dict[tuple[object, ...], _Made] = {}

    def __len__(self) -> int:
        return len(self.free) + len(self.bound)

    def get(self, key: tuple[object, ...], context: _Context) -> _Made | None:
        found = self.free.get(key)
        return found if found is not None else self.bound.get((*key, context))

    def put(self, key: tuple[object, ...], context: _Context, made: _Made, *, free: bool) -> None:
        if len(self) >= _REMEMBERED:
            self.free.clear()
            self.bound.clear()
        if free:
            self.free[key] = made
        else:
            self.bound[(*key, context)] = made


class Reader:
    """Reads reports by rules, and remembers sentences, which templates repeat.

    A sentence that differs from one read before in its numbers alone is not parsed again.

    Args:
        rules: the rules.
        remember: False reads every sentence anew: the same rows, more slowly.

    Attributes:
        units, used: how many marked phrases and values there were in all that was read, and how
            many of them became part of a finding.
    """

    def __init__(self, rules: FindingsRules, *, remember: bool = True) -> None:
        self.rules = rules
        self.lexicon = compile_rules(rules)
        self._sentences = Sentences(rules, self.lexicon)
        self._remember = remember
        self._known = _Memory[_Said]()
        self._shapes = _Memory[_Parsed]()
        self.units = self.used = 0

    @property
    def remembered(self) -> int:
        """How many sentences are remembered; at most some ten thousands."""
        return len(self._known) + len(self._shapes)

    def read(
        self, report: str, *, decimals: Decimals | None = None, words: bool = False
    ) -> tuple[Finding, ...]:
        """The findings of a report.

        Args:
            report: any text.
            decimals: of the corpus, for numbers that the report itself leaves open.
            words: say which words made each row.
        """
        if not report.isascii():
            report = report.translate(_SPACES)  # one for one, so that places stay
        decimal_mark = ""
        if _OPEN_NUMBER.search(report):
            decimal_mark = count_decimals((report,)).mark
            if not decimal_mark and decimals is not None:
                decimal_mark = decimals.mark
        rows: list[Finding] = []
        subjects: _Context = ()
        age = 0
        free, bound = self._known.free, self._known.bound
        new = tuple.__new__  # without a call of Python's for every row of every report
        for number, (start, end, section, heading, fresh) in enumerate(
            self._sentences.split(report)
        ):
            if fresh or age > 2:
                subjects = ()
            context = (*subjects, heading) if heading else subjects
            text = report[start:end]
            prior = section == "history"
            key = (text, prior, decimal_mark, words)
            said = free.get(key) or bound.get((*key, context))
            if said is None:
                said = self._say(text, context, prior=prior, decimal_mark=decimal_mark, words=words)
            self.units += said.units
            self.used += said.used
            if said.subjects:
                subjects, age = said.subjects, 0
            age += 1
            for row in said.rows:
                # By position: this is done for every row of every report.
                (name, value, unit, low, high, status, structure, first, last, _, _, written,
                 plausible, by) = row  # fmt: skip
                rows.append(
                    new(
                        Finding,
                        (
                            name, value, unit, low, high, status, structure, first + start,
                            last + start, number, section, written, plausible,
                            _moved(by, start) if by else (),
                        ),
                    )
                )  # fmt: skip
        return tuple(rows)

    def _say(
        self, text: str, context: _Context, *, prior: bool, decimal_mark: str, words: bool
    ) -> _Said:
        """What a sentence says that is not known yet."""
        if not self._remember or len(text) > _LONGEST_REMEMBERED:
            parsed = self._parse(text, context, prior=prior)
            return self._rows(parsed, {}, decimal_mark=decimal_mark, words=words)
        shape, numerals = _shape(text, self.lexicon.numerals)
        known = self._shapes.get((shape, prior), context) if numerals else None
        if known is None:
            known = self._parse(shape, context, prior=prior)
            if numerals:
                self._shapes.put((shape, prior), context, known, free=not known.asked)
        said = self._rows(known, numerals, decimal_mark=decimal_mark, words=words)
        self._known.put((text, prior, decimal_mark, words), context, said, free=not known.asked)
        return said

    def _parse(self, text: str, context: _Context, *, prior: bool) -> _Parsed:
        normalized = self.lexicon.normalize(text)
        pieces = split_pieces(normalized)
        marks = _joined(self.lexicon.marks(pieces), pieces)
        places = _Places(text, normalized, pieces, marks)
        if any(mark.doubtful for mark in marks):
            marks = [
                mark
                for index, mark in enumerate(marks)
                if not mark.doubtful or _abbreviates(text, index, marks, places)
            ]
            places = _Places(text, normalized, pieces, marks)
        if not any(_names_something(mark) for mark in marks):
            return _Parsed((), (), marks, places, (), False, _units(marks))
        mentions, asked = find_mentions(marks, pieces, self.lexicon, self.rules, context)
        mentions += self._unseen(marks, mentions)
        size = len(pieces) - (pieces[-1].strip() in (".", "!"))
        return _Parsed(
            mentions,
            judge(marks, mentions, size=size, prior=prior) if mentions else (),
            marks,
            places,
            tuple(mark.structures for mark in reversed(marks) if mark.structures),
            asked,
            _units(marks),
        )

    def _rows(
        self, parsed: _Parsed, numerals: Mapping[str, str], *, decimal_mark: str, words: bool
    ) -> _Said:
        """The rows of a sentence whose own numerals stand in place of those of its shape."""
        rows: list[Finding] = []
        used: set[int] = set()
        for mention, verdict in zip(parsed.mentions, parsed.verdicts, strict=True):
            row = self._row(mention, verdict, parsed, numerals, decimal_mark)
            if row is not None and not _repeats(row, rows):
                if words:
                    row = row._replace(words=parsed.places.words(mention, verdict))
                rows.append(row)
                used |= {*mention.marks, mention.grade_mark}
        rows.sort(key=lambda row: (row.start, row.end))
        units = parsed.units
        return _Said(
            tuple(map(tuple, rows)),
            parsed.subjects,
            len(units),
            sum(index in used for index in units),
        )

    def _unseen(self, marks: Sequence[Mark], mentions: Sequence[Mention]) -> list[Mention]:
        """Findings of a structure that could not be seen."""
        taken = {
            index
            for mention in mentions
            if self.rules.findings[mention.name].kind != "number"
            for index in mention.marks
        }
        if not any(mark.cues & {"unseen_before", "unseen_behind"} for mark in marks):
            return []
        return [
            Mention(name=name, structure=structure, anchor=at, marks=[at], unseen=True)
            for at, mark in enumerate(marks)
            if mark.structures and at not in taken
            for structure in mark.structures
            for name in self.lexicon.visual.get(structure, ())
        ] + [
            Mention(name=name, structure="", anchor=at, marks=[at], unseen=True)
            for at, mark in enumerate(marks)
            if mark.named and at not in taken and not mark.terms
            for name in mark.named
        ]

    def _row(
        self,
        mention: Mention,
        verdict: Verdict,
        parsed: _Parsed,
        numerals: Mapping[str, str],
        decimal_mark: str,
    ) -> Finding | None:
        rule, marks = self.rules.findings[mention.name], parsed.marks
        status = verdict.status
        if mention.unseen and status != "not_assessed":
            return None
        if verdict.others and status == "absent":
            return None
        value: float | str | None = mention.value
        low = high = None
        unit = written = ""
        plausible = True
        said = _restored(mention.number, numerals)
        if rule.kind == "number":
            if said and status != "not_assessed":
                number = mention.number_mark
                quantity = read_quantity(
                    said,
                    mention.unit,
                    rule,
                    self.rules.units,
                    decimal_mark=decimal_mark,
                    spread=_restored(mention.spread, numerals),
                    lower=number > 0 and "at_least" in marks[number - 1].cues,
                    upper=number > 0 and "at_most" in marks[number - 1].cues,
                )
                if quantity is None:
                    return None
                value, low, high, unit, _, plausible = quantity
                written = " ".join(one for one in (said, quantity.written_unit) if one)
                if status == "absent":
                    status = "present"
            elif status in ("absent", "not_assessed"):
                status, value = "not_assessed", None
            else:
                return None
        elif status == "not_assessed":
            value = None
        elif verdict.denied:
            value = 0.0 if rule.kind != "class" else None
        elif value is None and said.isdigit():
            value = float(said)
        elif value is None:
            low, high = mention.grade_low, mention.grade_high
            if rule.kind == "sign":
                value, low, high = 1.0, None, None
            else:
                value = mention.grade
                if value is None and rule.ungraded is not None and high is None:
                    value = low = rule.ungraded  # so much or more
                before = mention.grade_mark - 1
                if mention.grade is not None and before >= 0:
                    if "at_least" in marks[before].cues:
                        low, high = mention.grade, None
                    elif "at_most" in marks[before].cues:
                        low, high = None, mention.grade
        elif rule.kind == "sign" and value == 0:
            value = 1.0 if not mention.denied else 0.0
        start, end = parsed.places.span({*mention.marks, *_beside(mention)})
        return Finding(
            mention.name, value, unit, low, high, status, mention.structure, start, end,
            0, "", written, plausible,
        )  # fmt: skip


def _shape(text: str, spelled_out: frozenset[str]) -> tuple[str, Mapping[str, str]]:
    """A sentence with other numerals of the same length in place of its own.

    What a sentence says does not hang on its numerals, but for those that the rules spell out
    (`grade 1`), for single digits (`0` denies, `2+` is a grade), and for those within a word.

    Returns:
        The shape, and what each numeral that was put into it stands for.
    """
    matches = list(NUMERAL.finditer(text))
    own: list[re.Match[str]] = []
    kept: set[str] = set()
    for match in matches:
        numeral, before, after = (
            match[0],
            text[match.start() - 1 : match.start()],
            text[match.end() : match.end() + 1],
        )
        if (
            len(numeral) == 1
            or numeral in spelled_out
            or before.isalnum()
            or after == "+"
            # "4.7d" is no number, but "4", a point, and a word.
            or (not numeral.isdigit() and (after.isalnum() or not after.isascii()))
        ):
            kept.add(numeral)
        else:
            own.append(match)
    if not own:
        return text, {}
    parts: list[str] = []
    stands_for: dict[str, str] = {}
    at = 0
    digits = iter("987654321")
    for match in own:
        for digit in digits:
            numeral = _DIGIT.sub(digit, match[0])
            if numeral not in spelled_out and numeral not in kept:
                break
        else:
            return text, {}  # a list of more numbers than there are digits
        stands_for[numeral] = match[0]
        parts += (text[at : match.start()], numeral)
        at = match.end()
    return "".join((*parts, text[at:])), stands_for


def _restored(number: str, numerals: Mapping[str, str]) -> str:
    """A number of a shape as it stands in the sentence."""
    if not number or not numerals:
        return number
    return NUMERAL.sub(lambda match: numerals.get(match[0], match[0]), number)


def _abbreviates(text: str, at: int, marks: Sequence[Mark], places: _Places) -> bool:
    """Whether a word such as "as" is an abbreviation here: in capitals, or alone in small ones."""
    start, end = places.span([at])
    written = text[start:end]
    if not written.islower() and not text.isupper():
        return written.isupper()
    before = marks[at - 1] if at and marks[at - 1].end == marks[at].first else None
    if _is_plain_word(text, start, end, before) or _says_the_same(text, at, marks, places):
        return False
    if written.isupper():
        return True
    if text[start - 1 : start].isalpha():
        return False
    after = marks[at + 1] if at + 1 < len(marks) and marks[at + 1].first == marks[at].end else None
    if start and before is None:
        return False
    if not text[end:].strip(" \t.)"):
        return True
    # "enlarged as compared", "2 m/s as": no abbreviation stands right behind what it would repeat.
    says = before is not None and (
        before.number or before.unit or "normal" in before.cues or _names_something(before)
    )
    return after is not None and not says


def _is_plain_word(text: str, start: int, end: int, before: Mark | None) -> bool:
    """Whether "as" is the plain word where its letters say nothing: `as well as`, `SAME AS PRIOR`.

    Behind a grade or a denial (`NO AS SEEN`) only the surest of the words around it count.
    """
    if text[start:end].upper() != "AS":
        return False
    if _PLAIN_BEFORE.search(text, 0, start) or _PLAIN_BEHIND.match(text, end):
        return True
    said = before is not None and (before.grade is not None or "deny_before" in before.cues)
    return not said and _PERHAPS_BEHIND.match(text, end) is not None


def _says_the_same(text: str, at: int, marks: Sequence[Mark], places: _Places) -> bool:
    """Whether "as" hands on what was said to the noun behind its verb: `LV IS NORMAL AS IS RV`."""
    start, end = places.span([at])
    verb = _SAME_OF.match(text, end)
    if text[start:end].upper() != "AS" or not at or verb is None:
        return False
    both = _BOTH.match(text, verb.end())
    begins = {verb.end(), verb.end() if both is None else both.end()}
    for one in range(at + 1, len(marks)):
        first = places.span([one])[0]
        if first > max(begins):
            break
        if first in begins and (marks[one].terms or marks[one].structures):
            return marks[one].grade is None
    return False


def _moved(words: tuple[tuple[str, int, int], ...], by: int) -> tuple[tuple[str, int, int], ...]:
    return tuple((role, start + by, end + by) for role, start, end in words)


def _names_something(mark: Mark) -> bool:
    """Whether a mark may be part of a mention's name."""
    return bool(
        mark.terms or mark.structures or mark.state or mark.quantity or mark.named or mark.measure
    )


def _units(marks: Sequence[Mark]) -> tuple[int, ...]:
    """Which marks are clinical phrases and values."""
    return tuple(
        index
        for index, mark in enumerate(marks)
        if _names_something(mark) or mark.number or mark.grade is not None
    )


def _beside(mention: Mention) -> tuple[int, ...]:
    """The grade's mark, where it stands near."""
    at = mention.grade_mark
    near = at >= 0 and min(abs(at - index) for index in mention.marks) <= 3
    return (at,) if near else ()


def _repeats(row: Finding, rows: list[Finding]) -> bool:
    """Whether a row says what another one of the sentence says by the same words."""
    for at, other in enumerate(rows):
        if (
            other.name == row.name
            and other.status == row.status
            and other.structure == row.structure
            and other.start < row.end
            and row.start < other.end
            and (
                other.value == row.value or None in (other.value, row.value) or other.end == row.end
            )
        ):
            if other.value is None and row.value is not None:
                rows[at] = row
            return True
    return False


def _joined(marks: list[Mark], pieces: Sequence[str]) -> list[Mark]:
    """`mild or moderate` and `between 55 and 60` are one mark each."""
    if len(marks) < 3:
        return marks
    found: list[Mark] = []
    for mark in marks:
        if len(found) >= 2:
            one, link = found[-2], found[-1]
            if (
                mark.grade is not None
                and one.grade is not None
                and not (mark.terms or one.terms)
                and link.cues & {"or", "-"}
                and one.end == link.first
                and link.end == mark.first
            ):
                low, high = sorted((one.grade, mark.grade))
                found[-2:] = [
                    mark._replace(
                        first=one.first,
                        grade=(low + high) / 2,
                        grade_low=low,
                        grade_high=high,
                    )
                ]
                continue
            # "between 45% and 50%"
            if (
                link.unit
                and "and" in mark.cues
                and one.number
                and one.first
                and pieces[one.first - 1].strip() == "between"
            ):
                found[-1] = mark._replace(first=link.first)
                continue
            if (
                mark.number
                and one.number
                and "and" in link.cues
                and one.first
                and pieces[one.first - 1].strip() == "between"
                and one.end == link.first
                and link.end == mark.first
            ):
                joined = f"{one.number} to {mark.number}"
                found[-2:] = [mark._replace(first=one.first, number=joined)]
                continue
        found.append(mark)
    return found


class _Places:
    """Marks -> characters of the sentence as it was written."""

    def __init__(
        self, text: str, normalized: str, pieces: Sequence[str], marks: Sequence[Mark]
    ) -> None:
        same = text.isascii() and text.lower() == normalized
        self._offsets = None if same else Offsets(text, normalized)
        self.bounds = [0, *itertools.accumulate(map(len, pieces))]
        self._pieces, self._marks = pieces, marks

    def span(self, indices: Collection[int]) -> tuple[int, int]:
        """From the first to the last of some marks."""
        marks = self._marks
        if len(indices) == 1:
            [index] = indices
            first, last = marks[index].first, marks[index].end
        else:
            first = min([marks[index].first for index in indices])
            last = max([marks[index].end for index in indices])
        start = self.bounds[first] + (self._pieces[first][0] == " ")
        end = self.bounds[last]
        return (start, end) if self._offsets is None else self._offsets.span(start, end)

    def words(self, mention: Mention, verdict: Verdict) -> tuple[tuple[str, int, int], ...]:
        """What made a row, by role."""
        roles = {index: "name" for index in mention.marks}
        if mention.number_mark >= 0:
            roles |= {i: "number" for i in mention.marks if i >= mention.number_mark}
        if mention.grade_mark >= 0 and mention.grade_mark not in roles:
            roles[mention.grade_mark] = "grade"
        for index in verdict.cues:
            kinds = [kind for kind in self._marks[index].cues if "_" in kind or kind == "others"]
            roles.setdefault(index, min(kinds, default="cue"))
        return tuple((role, *self.span([index])) for index, role in sorted(roles.items()))
