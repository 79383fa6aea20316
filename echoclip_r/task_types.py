"""The kinds of entry of a task file, in memory; `echoclip_r.tasks` says what each key means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Binary", "Event", "Finding", "Label", "Prompt", "Regression", "Tasks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Where the truth of a task is found.

    Attributes:
        columns: names of label columns; the first that a manifest has is taken.
        finding: name of a finding that is read from reports where no column is there, or "".
        at_least: what makes a yes, or None.
        below: the other way to say it, or None.
    """

    columns: tuple[str, ...] = ()
    finding: str = ""
    at_least: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt for a number: `{value}` stands for it.

    Attributes:
        text: with `{value}`.
        low, high: it is worded for these values and those between.
    """

    text: str
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """Predict a number.

    Attributes:
        values: the candidates, every integer of a range.
        prompts: at least one for each value.
        human_range: mean absolute difference between people, lowest and highest; or None.
    """

    name: str
    title: str
    unit: str
    label: Label
    values: range
    prompts: tuple[Prompt, ...]
    human_range: tuple[float, float] | None = None

    def candidates(self) -> list[tuple[int, str]]:
        """Every value with each of its wordings, by value.

        Example:
            >>> from echoclip_r.tasks import read_tasks
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
    """Tell whether something is there.

    Attributes:
        family: tasks that share a figure.
        prompts: say that it is there; empty where `scored_by` is given.
        against: say that all is normal; the mean cosine with them is subtracted for the contrast
            score. Empty for no such score.
        scored_by: name of the regression whose prediction is the score, the lower the likelier
            where the label has `below`; or "".
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
    """What may change a heart between two studies: `columns` as in `Label`."""

    name: str
    title: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a report may say, and in which phrases.

    Attributes:
        family: findings that are summed up together.
        phrases: phrase with `{severity}` or `{number}` -> that slot's name, or the phrase's value.
        tolerance: how far two values may be apart and still agree.
        unsaid: value of a report that says nothing of it, or None for unknown.
    """

    name: str
    title: str
    family: str
    phrases: Mapping[str, float | str]
    tolerance: float = 0.5
    unsaid: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """All that is asked.

    Attributes:
        sources: the files that it came from, the first laid under the later ones.
    """

    regressions: tuple[Regression, ...] = ()
    binaries: tuple[Binary, ...] = ()
    events: tuple[Event, ...] = ()
    findings: tuple[Finding, ...] = ()
    sources: tuple[str, ...] = ()

    def regression(self, name: str) -> Regression:
        """The regression of this name.

        Raises:
            KeyError: there is none.
        """
        return {task.name: task for task in self.regressions}[name]

    def binary(self, name: str) -> Binary:
        """The binary task of this name.

        Raises:
            KeyError: there is none.
        """
        return {task.name: task for task in self.binaries}[name]
