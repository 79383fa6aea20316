"""Rules -> one matcher over the pieces of a sentence, and what each of its phrases means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from echotok.findings.rules import FindingRule, FindingsRules, expand_phrase
from echotok.table.match import BARE_VALUE, Matcher
from echotok.table.phrases import Phrase, parse_phrase
from echotok.table.values import SEVERITY, EnumValue
from echotok.text import make_normalizer

__all__ = ["NUMERAL", "Lexicon", "Mark", "Term", "compile_rules"]


class Term(NamedTuple):
    """A finding that a phrase names by itself.

    Attributes:
        name: of the finding.
        value: what the phrase says, or None where a grade or number beside it does.
        denied: the phrase says that it is not there.
    """

    name: str
    value: float | str | None = None
    denied: bool = False


class Mark(NamedTuple):
    """A run of pieces that means something.

    Attributes:
        first, end: pieces, from and up to.
        cues: kinds of `CUE_KINDS`, and separators: `and`, `or`, `,`, `;`, `:`, `(`, `)`, `-`, `?`.
        terms: findings that it names.
        structures: names of structures, or ().
        states: the words as a state of a structure, or "".
        quantity: the words as a quantity of a structure, or "".
        named: findings of which it names the quantity, structure and all.
        measure: the words as a measurement of a structure, or "".
        grade: rank of a grade word, or None; `grade_low` and `grade_high` of a range.
        number: the written number, or "".
        unit: the written unit, or "".
        past: a verb of the past: was, were.
        doubtful: a word of the language, too, unless it is written in capitals.
    """

    first: int
    end: int
    cues: frozenset[str] = frozenset()
    terms: tuple[Term, ...] = ()
    structures: tuple[str, ...] = ()
    state: str = ""
    quantity: str = ""
    named: tuple[str, ...] = ()
    measure: str = ""
    grade: float | None = None
    grade_low: float | None = None
    grade_high: float | None = None
    number: str = ""
    unit: str = ""
    past: bool = False
    doubtful: bool = False


_SEPARATORS = {
    ",": ",", ";": ";", ":": ":", "(": "(", ")": ")", "[": "(", "]": ")", "-": "-", "=": ":",
    "?": "?", "±": "+/-",
    "/": "or", "&": "and", "+": "and", "and": "and", "or": "or", "plus": "and",
    "nor": "or", "and/or": "or", "\u2022": ";", "*": ";", "|": ";",
}  # fmt: skip
_SEPARATOR_CUES = {
    space + word: frozenset((kind,)) for word, kind in _SEPARATORS.items() for space in ("", " ")
}
_PLUS_MINUS = frozenset(("+/-",))
_STOP = frozenset(("stop",))
_ITEMS = frozenset(map(str, range(1, 21)))
_DIGITS = frozenset("0123456789")
_RANGE = re.compile(r" to |-|/")
NUMERAL = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
_EMPTY = Mark(first=0, end=0)


class Lexicon:
    """What the phrases of the rules mean.

    Args:
        rules: the rules.

    Attributes:
        normalize: how a text is normalized before it is split into pieces.
        numerals: those that some phrase or word of the rules spells out (`grade 1`, `>50%`).

    Raises:
        ValueError: a phrase is not written as phrases are; the message names its place.
    """

    def __init__(self, rules: FindingsRules) -> None:
        units = sorted({unit for table in rules.units.values() for unit in table})
        self.normalize = make_normalizer(
            tuple(unit for unit in units if " " not in unit and unit[0].isalpha())
        )
        self._capitals = rules.capitals
        self._slots = {name: tuple(words) for name, words in rules.slots.items()}
        self._grades = _grades(rules)
        self._values = [
            EnumValue(id=row, slot=name, text=self.normalize(word))
            for name, words in self._slots.items()
            for row, word in enumerate(words)
        ]
        self._marks: list[Mark] = []
        self._phrases: dict[str, int] = {}
        self._parsed: list[Phrase] = []
        for unit in units:
            self._add(unit, "[units]", unit=unit)
        for kind, cues in rules.cues.items():
            for cue in cues:
                self._add(cue, f"[cues] {kind}", cue=kind)
        for structure in rules.structures.values():
            for word in structure.words:
                self._add(
                    word,
                    f"[[structure]] {structure.name!r}",
                    structures=structure.parts or (structure.name,),
                )
        # words -> structure -> the findings that they say together.
        self.states: dict[str, dict[str, tuple[Term, ...]]] = {}
        self.quantities: dict[str, dict[str, tuple[str, ...]]] = {}
        self.measures: dict[str, dict[str, tuple[str, ...]]] = {}
        self.whole: dict[str, tuple[str, ...]] = {}
        self.visual: dict[str, tuple[str, ...]] = {}
        for finding in rules.findings.values():
            self._add_finding(finding)
        # Of a structure that no finding is said of, nothing is said: `the coronary sinus is wide`.
        spoken_of = {finding.structure for finding in rules.findings.values()}
        self.bystanders = frozenset(
            structure.name
            for structure in rules.structures.values()
            if not structure.parts and structure.name not in spoken_of
        )
        # "tr" is a trace before a valve's leak, and the tricuspid valve's own leak elsewhere.
        self._either = {
            self._phrases[grade.text]: row
            for row, grade in enumerate(self._grades)
            if grade.text in self._phrases
        }
        self._matcher = Matcher(self._parsed, self._values, severity=self._grades)
        self._starts = self._matcher.starts()
        words = (*self._phrases, *(value.text for value in (*self._grades, *self._values)))
        self.numerals = frozenset(numeral for word in words for numeral in NUMERAL.findall(word))

    def _add_finding(self, finding: FindingRule) -> None:
        where, name, of = f"[[finding]] {finding.name!r}", finding.name, finding.structure
        for term in finding.terms:
            self._add(term, where, term=Term(name))
        for term, said_value in finding.says.items():
            self._add(term, where, term=Term(name, said_value, said_value == 0))
        for phrase in finding.named_quantities:
            self._add(phrase, where, named=name)
        for phrases, denied in (
            ((*finding.states, *finding.state_values), False),
            (finding.denied, True),
        ):
            for phrase in phrases:
                value: float | str | None = 0.0 if denied else finding.state_values.get(phrase)
                if not of:
                    self._add(phrase, where, term=Term(name, 0.0, True))
                    continue
                for word in self._add(phrase, where, state=True):
                    said = self.states.setdefault(word, {})
                    said[of] = (*said.get(of, ()), Term(name, value, denied))
        measured = finding.kind == "number"
        for phrase in finding.quantities:
            for word in self._add(phrase, where, quantity=not measured, measure=measured):
                names = (self.measures if measured else self.quantities).setdefault(word, {})
                names[of] = (*names.get(of, ()), name)
        if finding.whole:
            self.whole[of] = (*self.whole.get(of, ()), name)
        if finding.visual:
            self.visual[of] = (*self.visual.get(of, ()), name)

    def _add(
        self,
        text: str,
        where: str,
        *,
        cue: str = "",
        unit: str = "",
        term: Term | None = None,
        structures: tuple[str, ...] = (),
        state: bool = False,
        quantity: bool = False,
        measure: bool = False,
        named: str = "",
    ) -> list[str]:
        """Give the phrases of `text` one meaning more; returns them, expanded."""
        texts = []
        for phrase in _expanded(text, where):
            at = self._phrases.get(phrase)
            if at is None:
                at = self._phrases[phrase] = len(self._marks)
                self._marks.append(_EMPTY)
                self._parsed.append(self._parse(phrase, at, where))
            mark = self._marks[at]
            self._marks[at] = mark._replace(
                cues=mark.cues | {cue} if cue else mark.cues,
                unit=unit or mark.unit,
                past=phrase in ("was", "were"),
                doubtful=phrase in self._capitals,
                terms=mark.terms if term is None or term in mark.terms else (*mark.terms, term),
                structures=(*mark.structures, *(s for s in structures if s not in mark.structures)),
                state=phrase if state else mark.state,
                quantity=phrase if quantity else mark.quantity,
                measure=phrase if measure else mark.measure,
                named=(*mark.named, named) if named and named not in mark.named else mark.named,
            )
            texts.append(phrase)
        return texts

    def _parse(self, phrase: str, number: int, where: str) -> Phrase:
        slots = ("number", "severity", *self._slots)
        try:
            # Units are left out: a phrase may spell one as its author likes.
            items = parse_phrase(phrase, slots=slots)
        except ValueError as error:
            raise ValueError(f"{where}: phrase {phrase!r}: {error}") from error
        return Phrase(id=number, text=phrase, items=items, section=where)

    def marks(self, pieces: list[str]) -> list[Mark]:
        """What the pieces of a normalized sentence mean, in order."""
        found: list[Mark] = []
        at, size, longest, starts = 0, len(pieces), self._matcher.longest, self._starts
        while at < size:
            # Most pieces of a report begin nothing, or something that goes on in another way.
            piece = pieces[at]
            match, followers = None, starts.get(piece, ())
            if (
                followers is None
                or (followers and at + 1 < size and pieces[at + 1] in followers)
                or piece[-1] in _DIGITS
            ):
                match = longest(pieces, at)
            if match is None:
                cues = _SEPARATOR_CUES.get(piece)
                if cues is not None and "".join(pieces[at : at + 3]).strip() == "+/-":
                    found.append(Mark(first=at, end=at + 3, cues=_PLUS_MINUS))
                    at += 3
                    continue
                if cues is not None:
                    found.append(Mark(first=at, end=at + 1, cues=cues))
                at += 1
                continue
            if match.phrase == BARE_VALUE:
                slot, _, _, value = match.values[0]
                if slot == "number" and _is_item(pieces, at):
                    found.append(Mark(first=at, end=at + 2, cues=_STOP))
                elif slot == "number":
                    found.append(Mark(first=at, end=match.end, number=pieces[at].strip()))
                elif slot == "severity":
                    low, rank, high = self._rank(value)
                    found.append(
                        Mark(first=at, end=match.end, grade=rank, grade_low=low, grade_high=high)
                    )
                # A bare word of a slot means nothing by itself.
                at = match.end
                continue
            if match.phrase in self._either and match.end < size:
                after = longest(pieces, match.end)
                if (
                    after is not None
                    and after.phrase != BARE_VALUE
                    and self._marks[after.phrase].terms
                ):
                    rank = self._rank(self._either[match.phrase])[1]
                    found.append(Mark(at, match.end, grade=rank))
                    at = match.end
                    continue
            mark = Mark(at, match.end, *self._marks[match.phrase][2:])
            for slot, first, last, value in match.values:
                if slot == "severity":
                    low, rank, high = self._rank(value)
                    mark = mark._replace(grade=rank, grade_low=low, grade_high=high)
                elif slot == "number":
                    mark = mark._replace(number="".join(pieces[first:last]).strip())
            if mark.unit and (mark.terms or mark.structures or mark.cues):
                # "190 ms" is a time; "no MS" is a stenosis.
                if found and found[-1].number and found[-1].end == at:
                    mark = Mark(at, match.end, unit=mark.unit)
                else:
                    mark = mark._replace(unit="")
            found.append(mark)
            at = match.end
        return found

    def _rank(self, value: int) -> tuple[float | None, float, float | None]:
        grade = self._grades[value]
        rank = grade.rank
        assert rank is not None, "every grade has a rank"
        if rank % 1 and _RANGE.search(grade.text):
            return rank - 0.5, rank, rank + 0.5
        return None, rank, None


def _is_item(pieces: list[str], at: int) -> bool:
    """Whether a number begins an item of a list within a line: `1) no MR 2) mild TR`."""
    return (
        pieces[at].strip() in _ITEMS
        and pieces[at + 1 : at + 2] == [")"]
        and not any(piece.strip() == "(" for piece in pieces[:at])
    )


def _grades(rules: FindingsRules) -> list[EnumValue]:
    """The tokenizer's severity scale with the rules' own words laid over it."""
    ranks = {value.text: float(value.rank or 0) for value in SEVERITY} | dict(rules.grades)
    return [
        EnumValue(id=row, slot="severity", text=text, rank=rank)
        for row, (text, rank) in enumerate(ranks.items())
    ]


def _expanded(text: str, where: str) -> Iterator[str]:
    try:
        yield from dict.fromkeys(expand_phrase(text))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


@lru_cache(maxsize=8)
def compile_rules(rules: FindingsRules) -> Lexicon:
    """The lexicon of rules, made once."""
    return Lexicon(rules)
