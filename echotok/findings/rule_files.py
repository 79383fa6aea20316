"""Rules of findings from TOML files, one laid over the other, with every problem named."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from echotok.errors import InputError
from echotok.findings.lexicon import compile_rules
from echotok.findings.rules import _SECTIONS, CUE_KINDS, FindingRule, FindingsRules, Structure

__all__ = ["read_findings_rules"]


_SHIPPED = ("echo",)


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
    used: list[tuple[str, str]] = []  # name and text of each file
    for given in ("echo", *laid):
        if isinstance(given, Mapping):
            source, text, content = "given rules", "", given
        else:
            source = str(given)
            text, content = _content(source)
        if content.get("alone") is True:
            merged, used = {}, []
        used.append((source, text))
        try:
            _lay(merged, content)
        except ValueError as error:
            raise _located(str(error), used[-1:]) from error
    try:
        rules = FindingsRules(
            name=str(merged.get("name", "")),
            version=str(merged.get("version", "")),
            sources=tuple(source for source, _ in used),
            capitals=frozenset(_texts(merged["capitals"], "capitals")),
            slots={key: _texts(value, f"[slots] {key}") for key, value in merged["slots"].items()},
            grades=_numbers(merged["grades"], "[grades]"),
            units={
                key: _numbers(value, f"[units] {key}") for key, value in merged["units"].items()
            },
            sections={
                key: _texts(value, f"[sections] {key}") for key, value in merged["sections"].items()
            },
            cues={key: _texts(value, f"[cues] {key}") for key, value in merged["cues"].items()},
            structures={
                name: _entry(Structure, entry) for name, entry in merged["structure"].items()
            },
            findings={
                name: _entry(FindingRule, entry) for name, entry in merged["finding"].items()
            },
        )
        _check(rules)
        # Compiling parses every phrase, so that a wrong one is named here and not at a report.
        compile_rules(rules)
    except ValueError as error:
        raise _located(str(error), used) from error
    return rules


def _content(source: str) -> tuple[str, dict[str, Any]]:
    """The text of a rules file, and what it says."""
    if source in _SHIPPED:
        return "", _shipped(source)
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{source}: the findings rules cannot be read ({error}); give a TOML file, or 'echo' "
            "for the rules that ship with echotok"
        ) from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # "Expected '=' after a key (at line 3, column 8)"
        told = re.search(r"\(at line (\d+)", str(error))
        line = int(told[1]) if told else text.count("\n") + 1
        raise InputError(
            f"{source}:{line}: the findings rules cannot be read, since this is not TOML: {error}"
        ) from error


_COUNTED = re.compile(r"\[\[(\w+)\]\] number (\d+)")
_ENTRY = re.compile(r"\[\[(\w+)\]\] '([^']*)'")
_TABLE = re.compile(r"\[(\w+)\](?: '?(\w+))?")
_KEY = re.compile(r"(?:key '|: (?!key|there|phrase))(\w+)")
_PHRASE = re.compile(r"phrase '([^']*)'")


def _located(message: str, files: list[tuple[str, str]]) -> InputError:
    """The error with the place that its words name, looked for in the last file first."""
    for exact in (True, False):
        for source, text in reversed(files):
            if line := _line(message, text, exact=exact):
                return InputError(f"{source}:{line}: {message}")
    return InputError(f"findings rules {', '.join(source for source, _ in files)}: {message}")


def _line(message: str, text: str, *, exact: bool) -> int:
    """The line of a rules file that a message speaks of, or that of its entry, or 0."""
    if (counted := _COUNTED.match(message)) is not None:
        heads = [
            number
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip().startswith(f"[[{counted[1]}]]")
        ]
        return heads[int(counted[2]) - 1] if len(heads) >= int(counted[2]) else 0
    entry, table = _ENTRY.match(message), _TABLE.match(message)
    phrase = _PHRASE.search(message)
    key = _KEY.search(message, entry.end() if entry is not None else 0)
    keys = [key[1]] if key is not None else []
    if entry is None and table is not None and table[2]:
        keys = [table[2]]
    best = first = block = 0
    header, named = "", entry is None
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare.startswith("["):
            inner = bare.strip("[] ")
            if entry is None or not inner.startswith(f"{entry[1]}."):
                header, block, named = inner, number, entry is None
            if entry is None and table is None and inner in keys:
                return number
        if entry is not None:
            if header != entry[1]:
                continue
            named = (
                named
                or re.fullmatch(rf"name\s*=\s*[\"']{re.escape(entry[2])}[\"'].*", bare) is not None
            )
            if not named:
                continue
        elif table is not None and header != table[1]:
            continue
        first = first or block or number
        if (phrase is not None and phrase[1] in line) or any(
            re.match(rf"[\"']?{re.escape(one)}[\"']?\s*=", bare) for one in keys
        ):
            return number
        best = best or first
    return 0 if exact or (entry is None and table is None) else best


_TABLES = ("slots", "grades", "units", "sections", "cues")


_LISTS = ("structure", "finding")


def _lay(merged: dict[str, Any], content: Mapping[str, Any]) -> None:
    """Lay a file over what is there."""
    known = ("name", "version", "alone", "capitals", *_TABLES, *_LISTS)
    for key, value in content.items():
        if key not in known:
            raise ValueError(f"key {key!r} is not known; there are {', '.join(known)}")
        if key in _TABLES and not isinstance(value, dict):
            raise ValueError(f"key {key!r}: write [{key}], in single brackets, with a key a line")
        if key in _LISTS and not (
            isinstance(value, list) and all(isinstance(one, dict) for one in value)
        ):
            raise ValueError(f"key {key!r}: write [[{key}]], in double brackets")
    if not isinstance(content.get("capitals", []), list):
        raise ValueError("key 'capitals' must be a list of texts")
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
                raise ValueError(f"[[{key}]] number {number} has no name")
            if name in seen:
                raise ValueError(f"[[{key}]] {name!r} is there twice; make it one entry")
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
