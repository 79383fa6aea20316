"""Rules of findings: data that a clinician can read, checked when it is read.

A rules file is TOML. The package ships `echo`; a file of one's own is laid over it, key by key: an
entry of the same name is overridden, its lists and tables are added to, other entries are new.

    name, version           of the whole
    capitals                abbreviations that are words, too (`AS`): how they are written decides
    [slots]                 name = [words]: `{name}` in a phrase stands for any of them
    [grades]                word = rank, beside those of the tokenizer's `severity` scale
    [units]                 dimension = { spelling = factor to the dimension's own unit }
    [sections]              history, conclusion, body: the headings that begin such a section
    [cues]                  kind = [phrases]; `CUE_KINDS` says what each kind does
    [[structure]]           name, words: what a statement may be about
    [[finding]]             see `FindingRule`

A phrase is written as in a phrase table, and may hold `[optional words]` and `(one|or|other)`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CUE_KINDS", "FindingRule", "FindingsRules", "Structure", "expand_phrase"]

_ANSWERS = ("conclusion", "first", "last", "worst")
_SECTIONS = ("history", "conclusion", "body")

CUE_KINDS: Mapping[str, str] = {
    "deny_before": "what follows is not there: no, without, free of",
    "deny_behind": "what stands before is not there: is absent, has been removed",
    "deny_field": "denies as the answer of a field alone: none, nil, 0",
    "affirm_behind": "what stands before is there: yes, present",
    "not_a_denial": "looks like a denial and is none: no change in, not only",
    "doubt_before": "what follows is possible: may be, suggestive of",
    "doubt_behind": "what stands before is possible: cannot be excluded",
    "past_before": "what follows was so before: previously, on the prior study",
    "past_behind": "what stands before was so before: in the past",
    "past_noun": "a thing seen before, of which the sentence says how it is now: previously noted",
    "comparison": "names an earlier study without saying what it showed: compared with",
    "past_when": "behind a comparison, what was so then: when",
    "unseen_before": "what follows could not be told: unable to assess",
    "unseen_behind": "what stands before could not be told: not well visualized",
    "change": "what stands before has become so: no MR progression denies no MR",
    "now": "what follows is so today, whatever was before: now, currently",
    "this_study": "a sentence of a history or an indication is of now: during the study",
    "others": "what follows is said of the rest only: no other, otherwise",
    "at_least": "the grade or number that follows is the least: at least",
    "at_most": "the grade or number that follows is the most: no more than",
    "normal": "a predicate: normal, within normal limits, preserved",
    "high": "a predicate: increased, elevated",
    "low": "a predicate: reduced, impaired",
    "verb": "ties a subject to what is said of it: is, appears, shows",
    "seen": "says that something is there and nothing of how it is: is seen, are noted",
    "stop": "ends what a cue reaches over: but, however, although",
    "with": "leads on to something else: with, and there is",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What a statement may be about.

    Attributes:
        name: e.g. `left_ventricle`.
        words: phrases that name it.
        parts: structures that the words stand for together (`both atria`); empty for itself.
    """

    name: str
    words: tuple[str, ...]
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRule:
    """One finding, and how it is said.

    Attributes:
        name: e.g. `mitral_regurgitation`.
        title: for people.
        family: findings that are summed up together.
        kind: `grade` (on the ordered scale), `sign` (there or not), `number`, or `class`.
        structure: what it is a finding of; `states`, `quantities` and `whole` need it.
        terms: phrases that name it by themselves.
        states: words that say it of its structure: dilated, regurgitation.
        quantities: words that say it of its structure by a predicate: size (is normal, increased);
            of a number, words that name it of its structure: mean gradient.
        named_quantities: the same with the structure in the phrase itself.
        denied: phrases that say it is not there: competent.
        whole: a structure that is said to be normal does not have it.
        visual: a structure that could not be seen leaves it open.
        abnormal: the predicates that mean it: `high`, `low` or `either`.
        state_values: states that have a value of their own: akinetic = 2.
        says: phrase -> value, for phrases that have a value of their own.
        unit: of a number, as it is given out.
        dimension: entry of `[units]` by which other units are converted; "" for none.
        range: plausible numbers, lowest and highest.
        tolerance: how far two values may be apart and still agree.
        ungraded: value of a grade that is not said; None leaves it open.
        unsaid: value of a report that says nothing of it; None for unknown.
        answer: which mention is a report's answer: `conclusion` (before the body, then the later),
            `first`, `last`, or `worst` (the highest value).
        bare: a number behind the term counts without its unit.
    """

    name: str
    title: str
    family: str
    kind: Literal["grade", "sign", "number", "class"] = "grade"
    structure: str = ""
    terms: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    quantities: tuple[str, ...] = ()
    named_quantities: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    whole: bool = False
    visual: bool = False
    abnormal: Literal["high", "low", "either"] = "high"
    state_values: Mapping[str, float | str] = field(default_factory=dict)
    says: Mapping[str, float | str] = field(default_factory=dict)
    unit: str = ""
    dimension: str = ""
    range: tuple[float, float] | None = None
    tolerance: float = 0.5
    ungraded: float | None = None
    unsaid: float | None = None
    answer: Literal["conclusion", "first", "last", "worst"] = "conclusion"
    bare: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FindingsRules:
    """Checked rules.

    Attributes:
        sources: the files they came from, the first laid under the later ones.
        findings: by name, in the order of the files.
        structures: by name.
        capitals, slots, grades, units, sections, cues: as in the module's head.
    """

    name: str
    version: str
    sources: tuple[str, ...]
    capitals: frozenset[str]
    slots: Mapping[str, tuple[str, ...]]
    grades: Mapping[str, float]
    units: Mapping[str, Mapping[str, float]]
    sections: Mapping[str, tuple[str, ...]]
    cues: Mapping[str, tuple[str, ...]]
    structures: Mapping[str, Structure]
    findings: Mapping[str, FindingRule]


_CHOICE = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]")


def expand_phrase(text: str) -> Iterator[str]:
    """Every plain phrase of one with `[optional]` parts and `(a|b)` choices.

    Example:
        >>> sorted(expand_phrase("[the] (lv|left ventricle)"))
        ['left ventricle', 'lv', 'the left ventricle', 'the lv']
    """
    match = _CHOICE.search(text)
    if match is None:
        if any(character in text for character in "()[]|"):
            raise ValueError(f"phrase {text!r}: a bracket is not closed, or one is inside another")
        yield " ".join(text.split())
        return
    options = ("", *match[2].split("|")) if match[1] is None else tuple(match[1].split("|"))
    for option, rest in itertools.product(options, expand_phrase(text[match.end() :])):
        gap = " " if text[match.end() : match.end() + 1] == " " else ""
        yield " ".join(f"{text[: match.start()]}{option}{gap}{rest}".split())
