"""Marks of a sentence -> mentions: which finding, of which structure, with which grade or number.

A finding is named by a term (`pericardial effusion`), or by a word that says it of a structure
(`the mitral valve ... regurgitation`, `dilated left atrium`), or by a quantity and a predicate
(`left ventricular size is normal`). A grade belongs to what it stands before, else to what stands
before it; of a list, the members without a grade of their own share one (`mild MR and TR`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from echotok.findings.lexicon import Lexicon, Mark, Term
from echotok.findings.rules import FindingsRules

__all__ = ["Mention", "find_mentions", "is_separator"]

_SEPARATORS = frozenset((",", ";", "and", "or", "stop", "with"))
_CHAIN = frozenset((",", "and", "or", "("))
_PREDICATES = frozenset(("normal", "high", "low"))
_LINKS = frozenset((
    "of", "in", "the", "at", "both", "a", "an", "across", "for", "involving", "within", "on",
    "through", "over", "affecting", "about",
))  # fmt: skip
_APART = frozenset(("behind", "above", "below", "near", "beside", "next", "adjacent"))
_PRONOUNS = frozenset((
    "it", "its", "this", "they", "these", "both", "which", "there", "and", "cavity",
    "chamber", "chambers", "valve", "leaflet", "leaflets", "cusp", "cusps", "wall", "walls",
    "ventricle", "atrium", "function", "size", "systole", "diastole",
))  # fmt: skip
_NOT_COUNTED = frozenset((
    "chamber", "chambers", "view", "views", "year", "years", "beats", "cusps", "leaflets",
    "leads", "vessel", "vessels", "valves", "d", "month", "months", "days", "segments",
    "segment",
))  # fmt: skip
_REFERENCE = frozenset(
    (
        "nl", "normal", "ref", "reference", "range", "nml", "n", "norm"
    )
)  # fmt: skip
_CHANGES = frozenset((
    "improved", "increased", "decreased", "risen", "rose", "dropped", "fallen", "fell",
    "changed", "declined", "recovered", "worsened", "reduced", "progressed", "grown",
))  # fmt: skip
_REACH = 14
"""Pieces between a measurement's name and its number."""
_TO = re.compile(r"(.*?)%? to (.*)")


@dataclass(slots=True, kw_only=True)
class Mention:
    """A finding that a sentence speaks of, before its status is known.

    Attributes:
        name: of the finding.
        structure: that it is said of, or "".
        anchor: the mark that a cue must reach.
        also: another such mark (a quantity's predicate), or -1.
        marks: all that it is made of.
        denied: its own words say that it is not there.
        value: what its words say by themselves, or None.
        grade, grade_low, grade_high: the grade beside it.
        grade_mark: where that stands, or -1.
        number, unit, spread: as written.
        number_mark: where the number stands, or -1.
        prior: its own words say that it was so before.
        unseen: it is there only to say that its structure could not be seen.
    """

    name: str
    structure: str
    anchor: int
    also: int = -1
    marks: list[int] = field(default_factory=list)
    denied: bool = False
    value: float | str | None = None
    grade: float | None = None
    grade_low: float | None = None
    grade_high: float | None = None
    grade_mark: int = -1
    number: str = ""
    unit: str = ""
    spread: str = ""
    number_mark: int = -1
    prior: bool = False
    unseen: bool = False


def is_separator(mark: Mark) -> bool:
    """Whether a mark parts what a sentence lists."""
    return bool(mark.cues & _SEPARATORS)


def find_mentions(
    marks: Sequence[Mark],
    pieces: Sequence[str],
    lexicon: Lexicon,
    rules: FindingsRules,
    context: tuple[tuple[str, ...], ...],
) -> tuple[list[Mention], bool]:
    """The mentions of a sentence, in order, and whether the context was asked for any of them.

    Args:
        marks: of the sentence.
        pieces: of the sentence.
        lexicon: what the marks mean.
        rules: what the lexicon was made from.
        context: structures that a word without one is said of, the nearest first: those of the
            sentences before, and of the heading.
    """
    finder = _Finder(marks, pieces, lexicon, rules, context)
    return finder.run(), finder.asked


class _Finder:
    def __init__(
        self,
        marks: Sequence[Mark],
        pieces: Sequence[str],
        lexicon: Lexicon,
        rules: FindingsRules,
        context: tuple[tuple[str, ...], ...],
    ) -> None:
        self.marks, self.pieces, self.lexicon, self.rules = marks, pieces, lexicon, rules
        self.context, self.asked = context, False
        self.groups = self._groups()
        self.mentions: list[Mention] = []

    def run(self) -> list[Mention]:
        used: set[int] = set()  # predicates
        for at, mark in enumerate(self.marks):
            for term in mark.terms:
                self._term(at, mark, term)
            if mark.state:
                self._state(at, mark.state)
            if mark.measure:
                self._measure(at, mark)
            if mark.quantity or mark.named:
                predicate = self._predicate(at)
                if predicate >= 0:
                    used.add(predicate)
                    self._quantity(at, mark, predicate)
        for at, mark in enumerate(self.marks):
            if "normal" in mark.cues and at not in used:
                self._whole(at)
        self._grade()
        self.mentions.sort(key=lambda mention: (min(mention.marks), mention.anchor))
        return self.mentions

    # Structures

    def _groups(self) -> list[list[int]]:
        """Marks of structures, those of one list together."""
        groups: list[list[int]] = []
        open_group = False
        for at, mark in enumerate(self.marks):
            if mark.structures:
                own = at + 1 < len(self.marks) and bool(self.marks[at + 1].state)
                if open_group and own and self.marks[groups[-1][0] - 1].state:
                    open_group = False  # "dilation of the LV, left atrial enlargement"
                if open_group:
                    groups[-1].append(at)
                else:
                    groups.append([at])
                open_group = True
            elif (
                mark.state
                or mark.terms
                or mark.quantity
                or not (mark.cues & _CHAIN or mark.grade is not None)
            ):
                open_group = False
        return groups

    def _same_segment(self, first: int, last: int) -> bool:
        return not any(is_separator(mark) for mark in self.marks[first + 1 : last])

    def _following(self, at: int, *, near: bool) -> list[int]:
        """The list of structures that a word at `at` stands before."""
        for group in self.groups:
            if group[0] > at:
                if not near:
                    gap = {
                        piece.strip()
                        for piece in self.pieces[self.marks[at].end : self.marks[group[0]].first]
                    }
                    return [] if gap & _APART else group
                if group[0] != at + 1:
                    return []
                gap = {
                    piece.strip()
                    for piece in self.pieces[self.marks[at].end : self.marks[group[0]].first]
                }
                if gap and gap <= _LINKS and gap & _LINKS - {"the", "a", "an", "both"}:
                    return group
                if not gap or gap <= {"the", "both"}:
                    before = any(
                        index < at and self._same_segment(index, at)
                        for g in self.groups
                        for index in g
                    )
                    return [] if before else group
                return []
        return []

    def _said_of(self, at: int, known: Container[str]) -> list[tuple[int, str]]:
        """`(mark, structure)` that a word at `at` is said of; mark -1 for the context's."""

        def among(group: Sequence[int]) -> list[tuple[int, str]]:
            return [
                (index, name)
                for index in group
                for name in self.marks[index].structures
                if name in known
            ]

        if found := among(self._following(at, near=True)):
            return found
        listed = at >= 2 and bool(self.marks[at - 1].cues & {"and", "or"})
        for group in reversed([group for group in self.groups if group[0] <= at]):
            if found := among([index for index in group if index <= at]):
                return found
            if all(name in self.lexicon.bystanders for name in self.marks[group[-1]].structures):
                return []
        if found := among(self._following(at, near=False)):
            return found
        if self._own_subject(at) or (listed and self.marks[at - 2].structures):
            return []  # "no valvular abnormalities or thrombus" goes on with something else
        self.asked = True
        for names in self.context:
            if found := [(-1, name) for name in names if name in known]:
                return found
        return []

    def _own_subject(self, at: int) -> bool:
        """Whether a word is said of something else, which no rule knows: `the sinus is wide`."""
        for index in range(at - 1, -1, -1):
            mark = self.marks[index]
            if "verb" in mark.cues:
                words = {piece.strip() for piece in self.pieces[: mark.first]}
                return (
                    bool(words) and not words & _PRONOUNS and "there" not in self.pieces[mark.first]
                )
        return False

    # Mentions

    def _term(self, at: int, mark: Mark, term: Term) -> None:
        rule = self.rules.findings[term.name]
        mention = Mention(
            name=term.name,
            structure=rule.structure,
            anchor=at,
            marks=[at],
            denied=term.denied,
            value=term.value,
        )
        if mark.grade is not None:
            mention.grade, mention.grade_mark = mark.grade, at
            mention.grade_low, mention.grade_high = mark.grade_low, mark.grade_high
        self.mentions.append(mention)
        if at >= 2 and self.marks[at - 1].cues & {"and", "or"} and self.marks[at - 2].structures:
            # "pericardial or pleural effusion"
            table = self.lexicon.states.get(self._piece(mark.end - 1), {})
            self.mentions += [
                Mention(name=other.name, structure=name, anchor=at, marks=[at - 2, at])
                for name in self.marks[at - 2].structures
                for other in table.get(name, ())
                if not other.denied and other.name != term.name
            ]
        if rule.kind == "number":
            if mark.number:
                mention.number, mention.number_mark = mark.number, at
                self._unit_behind(mention, at)
            else:
                self._number(mention, at)
        elif term.value is None:
            mention.number = mark.number

    def _measure(self, at: int, mark: Mark) -> None:
        """`mean gradient 5 mmHg`: of the structure spoken of, else of the first that has one."""
        table = self.lexicon.measures[mark.measure]
        said_of = [structure for _, structure in self._said_of(at, table)]
        behind = itertools.takewhile(lambda one: not one.number, self.marks[at + 1 :])
        named = {structure for one in behind for structure in one.structures}
        before = any(one.structures for one in self.marks[:at])
        if (named and named.isdisjoint(table)) or (before and not said_of):
            return  # of something that no rule measures
        if not said_of:
            structures = (
                self.rules.findings[term.name].structure
                for one in reversed(self.marks[:at])
                for term in one.terms
            )
            said_of = [next((one for one in structures if one in table), next(iter(table)))]
        for name in table[said_of[0]]:
            mention = Mention(name=name, structure=said_of[0], anchor=at, marks=[at])
            self.mentions.append(mention)
            self._number(mention, at)

    def _measures(self, mark: Mark) -> bool:
        return bool(mark.measure) or any(
            self.rules.findings[term.name].kind == "number" for term in mark.terms
        )

    def _state(self, at: int, word: str) -> None:
        table = self.lexicon.states[word]
        for index, structure in self._said_of(at, table):
            for term in table[structure]:
                self.mentions.append(
                    Mention(
                        name=term.name,
                        structure=structure,
                        anchor=at,
                        marks=[at] if index < 0 or abs(index - at) > 8 else [index, at],
                        denied=term.denied,
                        value=None if term.denied else term.value,
                    )
                )

    def _predicate(self, at: int) -> int:
        """The predicate of a quantity, or -1: in its segment, before it, or behind its list."""
        marks = self.marks
        for index in range(at + 1, len(marks)):
            mark = marks[index]
            if mark.cues & _PREDICATES:
                # "size is normal", and not "size, normal function"
                return index
            if mark.cues & _SEPARATORS or mark.terms or mark.state or mark.number:
                break
            if mark.quantity or mark.named:
                break
        index = at - 1
        while index >= 0:
            mark = marks[index]
            if mark.cues & _PREDICATES:
                return index
            if not (
                mark.structures
                or mark.quantity
                or mark.grade is not None
                or mark.cues & {"and", "or", ","}
            ):
                break
            index -= 1
        for index in range(at + 1, len(marks)):
            mark = marks[index]
            if mark.cues & _PREDICATES:
                return index
            if mark.cues & {";", "stop", "with"} or mark.terms or mark.state or mark.number:
                break
        return -1

    def _quantity(self, at: int, mark: Mark, predicate: int) -> None:
        table = self.lexicon.quantities.get(mark.quantity, {})
        cues = self.marks[predicate].cues
        # "Wall thickness" is the left ventricle's, unless another one is spoken of.
        said_of = self._said_of(at, table) if table else []
        for index, structure in said_of or ([(-1, "")] if mark.named else []):
            for name in table[structure] if said_of else mark.named:
                rule = self.rules.findings[name]
                normal = "normal" in cues
                if not normal and rule.abnormal not in ("either", *cues):
                    continue
                self.mentions.append(
                    Mention(
                        name=name,
                        structure=structure or rule.structure,
                        anchor=predicate,
                        also=at,
                        marks=[one for one in (index, at, predicate) if one >= 0],
                        denied=normal,
                    )
                )

    def _whole(self, at: int) -> None:
        """A structure that is said to be normal, and nothing more of it."""
        marks = self.marks
        group = self._following(at, near=True)
        if not group:
            earlier = [group for group in self.groups if group[0] < at]
            if not earlier:
                return
            group = earlier[-1]
            between = marks[group[-1] + 1 : at]
            if not all(mark.cues & {"verb", ":", "-"} for mark in between):
                return
        last = max(at, group[-1])
        behind = marks[last + 1 : last + 2]
        if any(mark.quantity or mark.state or mark.terms for mark in behind):
            return
        for index in group:
            for structure in marks[index].structures:
                for name in self.lexicon.whole.get(structure, ()):
                    self.mentions.append(
                        Mention(
                            name=name,
                            structure=structure,
                            anchor=at,
                            also=index,
                            marks=[index, at],
                            denied=True,
                        )
                    )

    # Grades

    def _grade(self) -> None:
        marks = self.marks
        anchors: dict[int, list[Mention]] = {}
        for mention in self.mentions:
            for index in mention.marks:
                anchors.setdefault(index, []).append(mention)
        for at, mark in enumerate(marks):
            if mark.grade is None or mark.terms:
                continue
            changed = mark.grade_low is not None and self._changed(mark)
            said = mark
            if changed:  # "progressed from mild to moderate"
                said = mark._replace(grade=mark.grade_high, grade_low=None, grade_high=None)
            if not self._grade_ahead(at, said, anchors):
                self._grade_behind(at, said, anchors)
            if changed:
                before = mark._replace(grade=mark.grade_low, grade_low=None, grade_high=None)
                for mention in [one for one in self.mentions if one.grade_mark == at]:
                    self._again(mention, at, before, prior=True)
        self._share()

    def _changed(self, mark: Mark) -> bool:
        words = [piece.strip() for piece in self.pieces[: mark.first]]
        return words[-1:] == ["from"] and not _CHANGES.isdisjoint(words)

    def _grade_ahead(self, at: int, mark: Mark, anchors: dict[int, list[Mention]]) -> bool:
        for index in range(at + 1, len(self.marks)):
            other = self.marks[index]
            if index in anchors:
                taken = False
                for mention in anchors[index]:
                    # A grade before a structure is for the first that is said of it.
                    between = self.marks[index + 1 : mention.anchor]
                    if index != mention.anchor and any(one.state or one.terms for one in between):
                        continue
                    if mention.anchor < at:
                        continue
                    _give(mention, at, mark)
                    taken = True
                return taken
            if other.cues & _SEPARATORS or other.cues & {"verb", "seen", ":", "-", "(", ")"}:
                return False
            if other.number:
                return False
        return False

    def _grade_behind(self, at: int, mark: Mark, anchors: dict[int, list[Mention]]) -> None:
        past = now = False
        for index in range(at - 1, -1, -1):
            other = self.marks[index]
            now = now or "now" in other.cues
            if not now and other.cues & {"past_before", "past_noun"}:
                past = True
            if index in anchors:
                for mention in [one for one in anchors[index] if one.anchor == index]:
                    if past:
                        self._again(mention, at, mark, prior=True)
                    elif now and mention.grade is not None:
                        self._again(mention, at, mark, prior=False)
                    elif mention.grade is None:
                        _give(mention, at, mark)
                        self._share_back(index, at, mark)
                return
            if now and self._piece(other.first) == "which":
                continue  # "MR, which was moderate, is now mild"
            if "and" in other.cues and self._elided(index):
                continue  # "the effusion has grown and is now large"
            if ("," in other.cues and (index == at - 1 or past or now)) or other.cues & {
                "verb", ":", "-", "(", "?", "seen", "at_least", "at_most", "past_before",
                "past_noun", "deny_before", "now", "comparison",
            }:  # fmt: skip
                continue
            if other.grade is not None and not other.cues & _SEPARATORS:
                continue
            if other.cues & (_SEPARATORS | {")"}) and not past:
                return
            if other.terms or other.state:
                return

    def _again(self, mention: Mention, at: int, mark: Mark, *, prior: bool) -> None:
        """`MR is mild, previously moderate`: the second grade is a mention of its own."""
        other = Mention(
            name=mention.name, structure=mention.structure, anchor=at, marks=[at], prior=prior
        )
        _give(other, at, mark)
        self.mentions.append(other)

    def _share_back(self, index: int, at: int, mark: Mark) -> None:
        """`MR and TR are mild`: all of the list have the grade behind it."""
        family = {
            self.rules.findings[one.name].family for one in self.mentions if one.anchor == index
        }
        verb = any("verb" in one.cues for one in self.marks[index + 1 : at])
        if not verb:
            return
        while index >= 2 and self.marks[index - 1].cues & {"and", "or", ","}:
            index -= 2
            found = [one for one in self.mentions if one.anchor == index and one.grade is None]
            if not found or self.rules.findings[found[0].name].family not in family:
                return
            for one in found:
                _give(one, at, mark)

    def _share(self) -> None:
        """`mild mitral and tricuspid regurgitation`, `mild MR and TR`: the first one's grade."""
        ordered = sorted(self.mentions, key=lambda one: (min(one.marks), one.anchor))
        for before, after in itertools.pairwise(ordered):
            if after.grade is not None or before.grade is None or after.denied or before.prior:
                continue
            if before.grade_mark > min(before.marks, default=0) and before.grade_mark != min(
                before.marks
            ):
                continue  # a grade behind its finding is shared by _share_back
            rules = self.rules.findings
            if rules[before.name].family != rules[after.name].family:
                continue
            if rules[after.name].kind != "grade":
                continue
            same_word = before.anchor == after.anchor and before.structure != after.structure
            last, first = max(before.anchor, *before.marks), min(after.marks)
            listed = (
                first - last == 2
                and bool(self.marks[last + 1].cues & {"and", "or"})
                and not self.marks[last + 1].cues & {"stop", "with"}
            )
            if same_word or listed:
                mark = self.marks[before.grade_mark]
                after.grade, after.grade_low, after.grade_high = (
                    mark.grade,
                    mark.grade_low,
                    mark.grade_high,
                )
                after.grade_mark = before.grade_mark

    # Numbers

    def _number(self, mention: Mention, at: int) -> None:
        """The number of a measurement: behind its name, else right before it."""
        marks, rule = self.marks, self.rules.findings[mention.name]
        table = self.rules.units.get(rule.dimension, {})
        front, commas, bare, past = "", 0, -1, False
        previous = at
        for index in range(at + 1, len(marks)):
            mark = marks[index]
            if mark.first - marks[previous].end > _REACH or (
                mark.first - marks[at].end > _REACH and not mark.number
            ):
                break
            if past and mark.number:
                self._number_was(mention, index)
                if mention.number:
                    return
                past, previous = False, index  # "previously 30%, now 55%"
                continue
            if mark.cues & {"past_before", "past_noun"} or (
                "past_when" in mark.cues and any("comparison" in one.cues for one in marks[:index])
            ):
                past = True
                continue
            if mention.number and self._piece(mark.first) in ("was", "were", "from"):
                past = True
                continue
            if mention.number and "now" in mark.cues:
                if self._number_now(mention, index):
                    return
                continue
            if mark.cues & {";", "stop"} or self._measures(mark):
                break
            if "," in mark.cues:
                commas += 1
                verb = index + 1 < len(marks) and "verb" in marks[index + 1].cues
                if commas > (2 if mention.number or verb else 1):
                    break
                continue
            if mention.number:
                if self._piece(mark.first - 1) == "from" and mark.number:
                    self._number_was(mention, index)
                    return
                if "and" in mark.cues and self._elided(index):
                    # "was 60 mmHg a year ago and is 40 mmHg now"
                    for later in range(index + 2, min(index + 5, len(marks))):
                        if marks[later].number:
                            self._number_too(mention, later, prior=False)
                            return
                if mark.cues & {"and", "or", "with"} or mark.terms or mark.state:
                    break
                continue
            if (mark.terms or mark.state) and commas:
                break
            if mark.cues & {"and", "or"} and bare < 0 and commas:
                break
            if mark.unit and not mark.number and not marks[index - 1].number:
                if mark.unit in table:
                    front = mark.unit
                continue
            if not mark.number or self._no_measure(index):
                continue
            unit = self._unit_at(index)
            if unit and unit not in table:
                if bare < 0 and not table:
                    continue
                continue
            if unit or front or rule.dimension == "":
                if unit or front or bare < 0:
                    self._take(mention, index, unit or front)
                    previous = index
                    continue
            elif bare < 0 and rule.bare:
                bare = index
            previous = index
            if bare >= 0 and not table:
                break
        if mention.number:
            return
        if bare >= 0:
            self._take(mention, bare, front)
            self._behind_bare(mention, bare)
            return
        # "55% ejection fraction", "a 45 mmHg RVSP"
        for back in (2, 1):
            index = at - back
            if index >= 0 and marks[index].number and index + back == at:
                unit = self._unit_at(index)
                gap = marks[at].first - marks[at - 1].end
                if unit in table and unit and gap <= 2 and not self._owned(index):
                    self._take(mention, index, unit)
                    return

    def _behind_bare(self, mention: Mention, at: int) -> None:
        """`EF 55, previously 30`."""
        past = False
        for index in range(at + 1, min(at + 6, len(self.marks))):
            mark = self.marks[index]
            if mark.cues & {"past_before", "past_noun"} or self._piece(mark.first) == "was":
                past = True
            elif (
                ("now" in mark.cues and self._number_now(mention, index))
                or mark.terms
                or mark.state
                or mark.cues & {";", "stop"}
            ):
                return
            elif past and mark.number:
                self._number_was(mention, index)
                return

    def _owned(self, index: int) -> bool:
        return any(one.number_mark == index for one in self.mentions)

    def _piece(self, at: int) -> str:
        return self.pieces[at].strip() if 0 <= at < len(self.pieces) else ""

    def _unit_at(self, index: int) -> str:
        """The unit behind a number, or ""."""
        marks = self.marks
        if index + 1 < len(marks):
            mark = marks[index + 1]
            if mark.unit and mark.first == marks[index].end:
                return mark.unit
            # "45 +/- 5 mm"
            if "+/-" in mark.cues and index + 2 < len(marks) and marks[index + 2].number:
                return self._unit_at(index + 2)
        return ""

    def _unit_behind(self, mention: Mention, at: int) -> None:
        marks = self.marks
        if at + 1 < len(marks) and marks[at + 1].unit and marks[at + 1].first == marks[at].end:
            mention.unit = marks[at + 1].unit
            mention.marks.append(at + 1)

    def _no_measure(self, index: int) -> bool:
        """Whether a number counts something else: `4 chamber`, `(nl 4.2-5.9)`, a date."""
        mark = self.marks[index]
        behind, before = self._piece(mark.end), self._piece(mark.first - 1)
        if before in _REFERENCE or (before == "-" and self._piece(mark.first - 2) in ("a", "e")):
            return True
        if behind in _NOT_COUNTED and not self._unit_at(index):
            return True
        if behind == "-" and self._piece(mark.end + 1) in _NOT_COUNTED:
            return True
        if behind == "/" or before == "/":
            return (
                self._piece(mark.end + 1)[:1].isdigit()
                or self._piece(mark.first - 2)[-1:].isdigit()
            )
        return False

    def _take(self, mention: Mention, index: int, unit: str) -> None:
        marks = self.marks
        mention.number, mention.number_mark, mention.unit = marks[index].number, index, unit
        mention.marks.append(index)
        behind = index + 1
        if behind < len(marks) and "+/-" in marks[behind].cues and behind + 1 < len(marks):
            mention.spread = marks[behind + 1].number
            mention.marks.append(behind + 1)
            if parts := _TO.fullmatch(mention.spread):  # "from 30 +/- 5 % to 45 %"
                mention.spread = parts[1]
                if self._piece(marks[index].first - 1) == "from":
                    self._number_too(mention, behind + 1, parts[2], prior=False)
                    mention.prior = True
            behind += 2
        elif behind < len(marks) and marks[behind].number.startswith("±"):
            mention.spread = marks[behind].number[1:]
            mention.marks.append(behind)
            behind += 1
        if (
            behind < len(marks)
            and marks[behind].unit
            and not marks[behind].number
            and marks[behind].first == marks[behind - 1].end
        ):
            mention.marks.append(behind)
        if "to" in mention.number and self._piece(marks[index].first - 1) == "from":
            changed = any(piece.strip() in _CHANGES for piece in self.pieces[: marks[index].first])
            if changed and (parts := _TO.fullmatch(mention.number)):
                mention.number = parts[2]
                self._number_was(mention, index, parts[1])
        elif self._piece(marks[index].first - 1) == "from":
            # "from 30 mmHg to 45 mmHg"
            for later in range(index + 1, min(index + 4, len(marks))):
                if marks[later].number and self._piece(marks[later].first - 1) == "to":
                    self._number_was(mention, index, mention.number)
                    mention.number, mention.number_mark = marks[later].number, later
                    mention.marks.append(later)
                    break

    def _number_now(self, mention: Mention, at: int) -> bool:
        """`was 45 %, is now 55 %`: the first number was so before."""
        for index in range(at + 1, min(at + 4, len(self.marks))):
            if self.marks[index].number:
                mention.prior = True
                self._number_too(mention, index, prior=False)
                return True
            if not self.marks[index].cues & {"verb", ":", "("}:
                return False
        return False

    def _elided(self, at: int) -> bool:
        """Whether a verb without a subject of its own follows: `and is now large`."""
        marks = self.marks
        return (
            at + 1 < len(marks)
            and "verb" in marks[at + 1].cues
            and marks[at + 1].first == marks[at].end
        )

    def _number_was(self, mention: Mention, index: int, number: str = "") -> None:
        """A second number of the same measurement, from before."""
        self._number_too(mention, index, number, prior=True)

    def _number_too(self, mention: Mention, index: int, number: str = "", *, prior: bool) -> None:
        self.mentions.append(
            Mention(
                name=mention.name,
                structure=mention.structure,
                anchor=index,
                marks=[index],
                number=number or self.marks[index].number,
                unit=self._unit_at(index) or mention.unit,
                number_mark=index,
                prior=prior,
            )
        )


def _give(mention: Mention, at: int, mark: Mark) -> None:
    if mention.grade is None:
        mention.grade, mention.grade_mark = mark.grade, at
        mention.grade_low, mention.grade_high = mark.grade_low, mark.grade_high
