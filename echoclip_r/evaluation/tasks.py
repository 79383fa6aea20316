"""The questions to a model, as data: tasks with their prompts and labels, events, findings.

A task file is TOML. The package ships two: `default`, in the general wording of guidelines, and
`phantom`, which gives the same tasks the wording of the phantom's one laboratory. Your own file is
laid over `default`: an entry of the same name is overridden key by key (the phrases of a finding
are added to those that are there), and other entries are added.

    [[regression]]  name, title, unit, label, values = [first, last], prompts; human_range
    [[binary]]      name, title, family, label, and prompts or scored_by = a regression's name;
                    against, in place of normal_study
    normal_study    prompts that say that all is normal, at the head of the file
    [[event]]       name, title, columns: 1 on a patient's first study after the event
    [[finding]]     name of a rule of echotok.findings, which says the rest; phrases = { phrase =
                    value } of your own; title, family, tolerance, unsaid

`label` says where the truth is: `columns`, of which the first that the manifest has is taken, else
`finding`, a name that is looked for in the report; `at_least` or `below` make it a yes or
no. `range = [lowest, highest]` are the values that there can be: others, such as -1 or 999 for
"missing", are left out and counted; without it a number's range is that of its `values`. A prompt
of a regression holds `{value}`, and may be a table `{ text, from, to }` where it is worded for some
values only.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.labels import Finding, make_finding
from echoclip_r.places import place
from echotok.spelling import did_you_mean

__all__ = ["Binary", "Event", "Label", "Prompt", "Regression", "Tasks", "read_tasks"]

_SHIPPED = ("default", "phantom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Where the truth of a task is found.

    Attributes:
        columns: names of label columns; the first that a manifest has is taken.
        finding: name of a finding that is read from reports where no column is there, or "".
        at_least: a value of this or more is a yes; None where the truth is a number.
        below: a value below this is a yes; None where `at_least` is given, or for a number.
        range: the lowest and the highest value that there can be.
    """

    columns: tuple[str, ...] = ()
    finding: str = ""
    at_least: float | None = None
    below: float | None = None
    range: tuple[float, float] = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt for a number: `{value}` stands for it.

    Attributes:
        text: the wording, with `{value}` in it.
        low, high: the lowest and the highest value that it is worded for.
    """

    text: str
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """A task in which a number is predicted.

    Attributes:
        values: the candidates: all whole numbers of a range.
        prompts: the wordings; each value has at least one.
        human_range: the lowest and the highest published mean absolute difference between human
            readers, in the unit of the values; or None.
    """

    name: str
    title: str
    unit: str
    label: Label
    values: range
    prompts: tuple[Prompt, ...]
    human_range: tuple[float, float] | None = None

    def candidates(self) -> list[tuple[int, str]]:
        """Every value with each of its wordings, in order of the values.

        Example:
            >>> from echoclip_r.evaluation.tasks import read_tasks
            >>> task = read_tasks().regression("ejection_fraction")
            >>> len(task.candidates()), task.candidates()[0]
            (303, (0, 'The left ventricular ejection fraction is 0%.'))
        """
        return [
            (value, prompt.text.replace("{value}", str(value)))
            for value in self.values
            for prompt in self.prompts
            if prompt.low <= value <= prompt.high
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """A task in which the model tells whether a finding is there.

    Attributes:
        family: name shared by tasks whose ROC curves are drawn together.
        prompts: texts that say that the finding is there; empty where `scored_by` is given.
        against: texts that say that all is normal; for the contrast score the mean cosine with
            them is subtracted. Without such texts there is no contrast score.
        scored_by: name of the regression whose prediction is the score, or "". Where the label
            has `below`, a lower prediction makes a yes more likely.
    """

    name: str
    title: str
    family: str
    label: Label
    prompts: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    scored_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event that may change a heart between two studies.

    Attributes:
        columns: names of label columns that become 1 with a patient's first study after the event.
    """

    name: str
    title: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """All questions to a model.

    Attributes:
        sources: the task files, each laid over those before it.
    """

    regressions: tuple[Regression, ...] = ()
    binaries: tuple[Binary, ...] = ()
    events: tuple[Event, ...] = ()
    findings: tuple[Finding, ...] = ()
    sources: tuple[str, ...] = ()

    def regression(self, name: str) -> Regression:
        """The regression of this name.

        Raises:
            KeyError: there is no such regression.
        """
        return {task.name: task for task in self.regressions}[name]

    def binary(self, name: str) -> Binary:
        """The binary task of this name.

        Raises:
            KeyError: there is no such task.
        """
        return {task.name: task for task in self.binaries}[name]


def read_tasks(*sources: str | Path) -> Tasks:
    """Read task files; the first is laid over `default`, and each other over those before it.

    Args:
        sources: paths of TOML files; `phantom` and `default` name those that ship with the package.

    Raises:
        EvaluationError: a file cannot be read, or breaks a rule; the message says where.

    Example:
        >>> [task.name for task in read_tasks("phantom").regressions]
        ['ejection_fraction', 'pulmonary_artery_pressure']
    """
    names = [str(source) for source in sources if str(source) != "default"]
    entries: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in _READERS}
    normal: list[str] = []
    for source in ("default", *names):
        found, said = _read_file(source)
        normal = normal if said is None else said
        for kind, named in found.items():
            for name, entry in named.items():
                before = entries[kind].get(name, {})
                entries[kind][name] = before | entry
                if "phrases" in before and "phrases" in entry:
                    entries[kind][name]["phrases"] = before["phrases"] | entry["phrases"]
    made: dict[str, list[Any]] = {}
    for kind, named in entries.items():
        made[kind] = []
        for name, entry in named.items():
            if kind == "binary" and "prompts" in entry:
                entry.setdefault("against", normal)
            try:
                made[kind].append(_READERS[kind](entry))
            except (KeyError, TypeError, ValueError) as error:
                reason = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
                raise EvaluationError(
                    f"{', '.join(names) or 'default'}: [[{kind}]] {name!r}: {reason}"
                ) from error
    numbers = {task.name: task.label.range for task in made["regression"]}
    tasks = Tasks(
        regressions=tuple(made["regression"]),
        binaries=tuple(_ranged(task, numbers) for task in made["binary"]),
        events=tuple(made["event"]),
        findings=tuple(made["finding"]),
        sources=("default", *names),
    )
    _check_names(tasks, names)
    return tasks


def _read_file(source: str) -> tuple[dict[str, dict[str, dict[str, Any]]], list[str] | None]:
    """Entries by kind and name, and the prompts of a normal study where there are any."""
    try:
        if source in _SHIPPED:
            file = resources.files("echoclip_r.evaluation") / "task_files" / f"{source}.toml"
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        else:
            content = tomllib.loads(place(source).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EvaluationError(
            f"{source}: the task file cannot be read ({error}); give a TOML file, or one of "
            f"{', '.join(_SHIPPED)}{did_you_mean(source, _SHIPPED)}"
        ) from error
    normal = content.pop("normal_study", None)
    if normal is not None and (
        not isinstance(normal, list) or not all(isinstance(text, str) for text in normal)
    ):
        raise EvaluationError(f"{source}: normal_study must be a list of texts")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for kind, entries in content.items():
        if kind not in _READERS:
            raise EvaluationError(
                f"{source}: {kind!r} is not known; a task file has {', '.join(_READERS)}, each "
                "as [[double brackets]]"
            )
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise EvaluationError(f"{source}: write [[{kind}]], in double brackets")
        for number, entry in enumerate(entries, 1):
            if not isinstance(entry.get("name"), str):
                raise EvaluationError(f"{source}: [[{kind}]] number {number} has no name")
            if entry["name"] in found.setdefault(kind, {}):
                raise EvaluationError(f"{source}: [[{kind}]] {entry['name']!r} is there twice")
            found[kind][entry["name"]] = entry
    return found, normal


def _check_names(tasks: Tasks, names: Sequence[str]) -> None:
    """Every name that an entry refers to must be there."""
    findings = {finding.name for finding in tasks.findings}
    regressions = {task.name for task in tasks.regressions}
    where = ", ".join(names) or "default"
    labels = {task.name: task.label for task in tasks.regressions}
    labels |= {task.name: task.label for task in tasks.binaries}
    for name, label in labels.items():
        if label.finding and label.finding not in findings:
            raise EvaluationError(
                f"{where}: task {name!r} takes its label from the finding {label.finding!r}, and "
                "there is no such [[finding]]"
            )
    for binary in tasks.binaries:
        if binary.scored_by and binary.scored_by not in regressions:
            raise EvaluationError(
                f"{where}: task {binary.name!r} is scored by {binary.scored_by!r}, and there is no "
                "such [[regression]]"
            )


def _check_keys(entry: Mapping[str, Any], kind: type[Any]) -> None:
    """An entry has the keys of its kind, and all that have no default."""
    known = {one.name for one in fields(kind)}
    if unknown := sorted(set(entry) - known):
        raise ValueError(f"key {unknown[0]!r} is not known; there are {', '.join(sorted(known))}")
    for one in fields(kind):
        needed = one.default is MISSING and one.default_factory is MISSING
        if needed and one.name not in entry:
            raise ValueError(f"key {one.name!r} is missing")


def _texts(entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    texts = entry.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{key} must be a list of texts")
    return tuple(texts)


def _label(entry: Mapping[str, Any], span: tuple[float, float] | None = None) -> Label:
    """An entry's label; `span` is its range where it states none."""
    label = entry["label"]
    _check_keys(label, Label)
    match label.get("range", span or _ANY):
        case [float() | int() as low, float() | int() as high] if low < high:
            ends = (float(low), float(high))
        case _:
            raise ValueError("the label's range must be two numbers, the lowest and the highest")
    made = Label(**{**label, "columns": _texts(label, "columns"), "range": ends})
    if not (made.columns or made.finding):
        raise ValueError("label names neither columns nor a finding")
    return made


def _ranged(task: Binary, numbers: Mapping[str, tuple[float, float]]) -> Binary:
    """A yes or no that states no range has that of the number it is scored by; none is below 0."""
    label = task.label
    if label.range != _ANY:
        return task
    span = numbers.get(task.scored_by, (0.0, math.inf) if (label.at_least or 0) > 0 else _ANY)
    return replace(task, label=replace(label, range=span))


_ANY = (-math.inf, math.inf)


def _regression(entry: Mapping[str, Any]) -> Regression:
    _check_keys(entry, Regression)
    match entry["values"]:
        case [int(low), int(high)] if low <= high:
            values = range(low, high + 1)
        case _:
            raise ValueError("values must be two whole numbers, the first and the last")
    prompts = []
    for prompt in entry["prompts"]:
        table: dict[str, Any] = {"text": prompt} if isinstance(prompt, str) else dict(prompt)
        text, start, end = table.pop("text", ""), table.pop("from", low), table.pop("to", high)
        if table or "{value}" not in text:
            raise ValueError("a prompt is a text with {value}, or a table of text, from and to")
        prompts.append(Prompt(text=text, low=start, high=end))
    for value in values:
        if not any(prompt.low <= value <= prompt.high for prompt in prompts):
            raise ValueError(f"no prompt is worded for the value {value}")
    label = _label(entry, (float(low), float(high)))
    if label.at_least is not None or label.below is not None:
        raise ValueError("a regression predicts a number; leave out at_least and below")
    span = entry.get("human_range")
    return Regression(
        name=entry["name"],
        title=entry["title"],
        unit=entry["unit"],
        label=label,
        values=values,
        prompts=tuple(prompts),
        human_range=None if span is None else (float(span[0]), float(span[1])),
    )


def _binary(entry: Mapping[str, Any]) -> Binary:
    _check_keys(entry, Binary)
    label = _label(entry)
    if (label.at_least is None) == (label.below is None):
        raise ValueError("label needs either at_least or below, so that it is a yes or no")
    prompts = _texts(entry, "prompts")
    if bool(prompts) == bool(entry.get("scored_by")):
        raise ValueError("give either prompts or scored_by")
    against = _texts(entry, "against")
    return Binary(**{**entry, "label": label, "prompts": prompts, "against": against})


def _event(entry: Mapping[str, Any]) -> Event:
    _check_keys(entry, Event)
    return Event(**{**entry, "columns": _texts(entry, "columns")})


def _finding(entry: Mapping[str, Any]) -> Finding:
    _check_keys(entry, Finding)
    for phrase, value in entry.get("phrases", {}).items():
        if isinstance(value, str) and (value not in ("{severity}", "{number}")):
            raise ValueError(f"phrase {phrase!r} has the value {value!r}; give a number or a slot")
        if isinstance(value, str) and phrase.count(value) != 1:
            raise ValueError(f"phrase {phrase!r} must hold the slot {value} exactly once")
    return make_finding(entry)


_READERS = {
    "regression": _regression,
    "binary": _binary,
    "event": _event,
    "finding": _finding,
}
