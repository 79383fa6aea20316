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
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from echotok.errors import InputError

__all__ = [
    "CUE_KINDS",
    "FindingRule",
    "FindingsRules",
    "Structure",
    "expand_phrase",
    "read_findings_rules",
]

_SHIPPED = ("echo",)
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
        quantities: words that say it of its structure by a predicate: size (is normal, increased).
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


def read_findings_rules(*sources: str | Path | Mapping[str, Any]) -> FindingsRules:
    """Read rules files, each laid over those before it, the first over `echo`.

    Args:
        sources: paths, `echo` for what ships with the package, or the content of a file as a
            program has it. A file with `alone = true` is laid over nothing.

    Raises:
        InputError: a file cannot be read, or breaks a rule; the message says where and what to do.

    Example:
        >>> rules = read_findings_rules("echo")
        >>> rules.findings["mitral_regurgitation"].structure
        'mitral_valve'
    """
    laid = tuple(source for source in sources if str(source) != "echo")
    return _read(laid) if laid else _read_shipped()


@cache
def _read_shipped() -> FindingsRules:
    return _read(())


@cache
def _shipped(name: str) -> dict[str, Any]:
    file = resources.files("echotok.findings") / "rules" / f"{name}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _read(laid: tuple[str | Path | Mapping[str, Any], ...]) -> FindingsRules:
    merged: dict[str, Any] = {}
    used: list[str] = []
    for given in ("echo", *laid):
        content = given if isinstance(given, Mapping) else _content(str(given))
        source = "given rules" if isinstance(given, Mapping) else str(given)
        if content.get("alone") is True:
            merged, used = {}, []
        _lay(merged, content, source)
        used.append(source)
    where = ", ".join(used)
    try:
        rules = FindingsRules(
            name=str(merged.get("name", "")),
            version=str(merged.get("version", "")),
            sources=tuple(used),
            capitals=frozenset(_texts(merged["capitals"], "capitals")),
            slots={key: _texts(value, key) for key, value in merged["slots"].items()},
            grades=_numbers(merged["grades"], "[grades]"),
            units={
                key: _numbers(value, f"[units] {key}") for key, value in merged["units"].items()
            },
            sections={key: _texts(value, key) for key, value in merged["sections"].items()},
            cues={key: _texts(value, key) for key, value in merged["cues"].items()},
            structures={
                name: _entry(Structure, entry) for name, entry in merged["structure"].items()
            },
            findings={
                name: _entry(FindingRule, entry) for name, entry in merged["finding"].items()
            },
        )
        _check(rules)
        # Compiling parses every phrase, so that a wrong one is named here and not at a report.
        from echotok.findings.lexicon import compile_rules

        compile_rules(rules)
    except ValueError as error:
        raise InputError(f"findings rules {where}: {error}") from error
    return rules


def _content(source: str) -> dict[str, Any]:
    try:
        if source in _SHIPPED:
            return _shipped(source)
        return tomllib.loads(Path(source).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"{source}: the findings rules cannot be read ({error}); give a TOML file, or 'echo' "
            "for the rules that ship with echotok"
        ) from error


_TABLES = ("slots", "grades", "units", "sections", "cues")
_LISTS = ("structure", "finding")


def _lay(merged: dict[str, Any], content: Mapping[str, Any], source: str) -> None:
    """Lay a file over what is there."""
    known = ("name", "version", "alone", "capitals", *_TABLES, *_LISTS)
    for key, value in content.items():
        if key not in known:
            raise InputError(f"{source}: key {key!r} is not known; there are {', '.join(known)}")
        if key in _TABLES and not isinstance(value, dict):
            raise InputError(f"{source}: write [{key}], in single brackets, with a key a line")
        if key in _LISTS and not (
            isinstance(value, list) and all(isinstance(one, dict) for one in value)
        ):
            raise InputError(f"{source}: write [[{key}]], in double brackets")
    merged["name"] = content.get("name", merged.get("name", ""))
    merged["version"] = content.get("version", merged.get("version", ""))
    merged["capitals"] = [*merged.get("capitals", []), *content.get("capitals", [])]
    for key in _TABLES:
        _merge(merged.setdefault(key, {}), content.get(key, {}))
    for key in _LISTS:
        named = merged.setdefault(key, {})
        seen = set()
        for number, entry in enumerate(content.get(key, []), 1):
            name = entry.get("name")
            if not isinstance(name, str) or not name:
                raise InputError(f"{source}: [[{key}]] number {number} has no name")
            if name in seen:
                raise InputError(f"{source}: [[{key}]] {name!r} is there twice; make it one entry")
            seen.add(name)
            _merge(named.setdefault(name, {}), entry)


def _merge(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, list) and isinstance(under.get(key), list) and key != "range":
            under[key] = [*under[key], *(one for one in value if one not in under[key])]
        elif isinstance(value, dict) and isinstance(under.get(key), dict):
            under[key] = {**under[key], **value}
        else:
            under[key] = dict(value) if isinstance(value, dict) else value


def _texts(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise ValueError(f"{key} must be a list of texts")
    return tuple(value)


def _numbers(value: object, key: str) -> dict[str, float]:
    if not isinstance(value, dict) or not all(
        isinstance(number, int | float) and not isinstance(number, bool)
        for number in value.values()
    ):
        raise ValueError(f"{key}: each entry is a word and its number")
    return {str(word): float(number) for word, number in value.items()}


def _entry(kind: type[Any], entry: Mapping[str, Any]) -> Any:
    """Make a Structure or a FindingRule from its entry, naming what is wrong."""
    label = f"[[{'structure' if kind is Structure else 'finding'}]] {entry['name']!r}"
    known = {one.name: one for one in fields(kind)}
    made: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in known:
            raise ValueError(f"{label}: key {key!r} is not known; there are {', '.join(known)}")
        made[key] = _field(str(known[key].type), value, f"{label}: {key}")
    for name, one in known.items():
        if name not in made and one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"{label}: key {name!r} is missing")
    return kind(**made)


def _field(kind: str, value: object, where: str) -> object:
    if kind.startswith("tuple[str"):
        return _texts(value, where)
    if kind.startswith("tuple[float"):
        if (
            not isinstance(value, list)
            or len(value) != 2
            or not all(isinstance(one, int | float) for one in value)
            or not value[0] < value[1]
        ):
            raise ValueError(f"{where} must be two numbers, the lower first")
        return (float(value[0]), float(value[1]))
    if kind.startswith("Mapping"):
        if not isinstance(value, dict) or not all(
            isinstance(one, int | float | str) and not isinstance(one, bool)
            for one in value.values()
        ):
            raise ValueError(f"{where}: each phrase has a number or a text")
        return {str(k): v if isinstance(v, str) else float(v) for k, v in value.items()}
    if kind.startswith("Literal"):
        legal = re.findall(r'"(\w+)"', kind) or re.findall(r"'(\w+)'", kind)
        if value not in legal:
            raise ValueError(f"{where} is {value!r}; give one of {', '.join(legal)}")
        return value
    if kind == "bool":
        if not isinstance(value, bool):
            raise ValueError(f"{where} must be true or false")
        return value
    if kind.startswith("float"):
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"{where} must be a number")
        return float(value)
    if not isinstance(value, str):
        raise ValueError(f"{where} must be a text")
    return value


def _check(rules: FindingsRules) -> None:
    for kind in rules.cues:
        if kind not in CUE_KINDS:
            raise ValueError(f"[cues] {kind!r} is not known; there are {', '.join(CUE_KINDS)}")
    for kind in rules.sections:
        if kind not in _SECTIONS:
            raise ValueError(f"[sections] {kind!r} is not known; there are {', '.join(_SECTIONS)}")
    for structure in rules.structures.values():
        for part in structure.parts:
            if part not in rules.structures:
                raise ValueError(
                    f"[[structure]] {structure.name!r}: parts names {part!r}, and there is no "
                    "such [[structure]]"
                )
    for finding in rules.findings.values():
        label = f"[[finding]] {finding.name!r}"
        of_structure = (
            finding.states
            or finding.state_values
            or finding.quantities
            or finding.whole
            or finding.visual
        )
        if finding.structure and finding.structure not in rules.structures:
            raise ValueError(f"{label}: there is no [[structure]] {finding.structure!r}")
        if of_structure and not finding.structure:
            raise ValueError(f"{label}: states, quantities, whole and visual need a structure")
        if finding.dimension and finding.dimension not in rules.units:
            raise ValueError(f"{label}: there is no dimension {finding.dimension!r} in [units]")
        if finding.dimension and finding.unit not in rules.units[finding.dimension]:
            raise ValueError(
                f"{label}: unit {finding.unit!r} is no spelling of {finding.dimension}"
            )
        if not (finding.terms or of_structure or finding.says or finding.named_quantities):
            raise ValueError(f"{label}: no phrase says it; give terms, states or says")


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
