"""The results of an evaluation, for each task, model and data set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from echoclip_r.evaluation.figures import Section
from echoclip_r.metrics.bootstrap import Estimate
from echoclip_r.metrics.scores import Scores

__all__ = [
    "Comparison",
    "Evaluation",
    "Judgement",
    "Outcome",
    "Skipped",
    "file_names",
    "where_text",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """The result that a task's module gives for a model on a data set.

    Attributes:
        scores: the figures.
        items: a table with one row for each item or pair; where the rows are items of the data set,
            the table has their index.
        about: facts other than the figures, ready for JSON.
    """

    scores: Scores
    items: pd.DataFrame
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """One task, by one model, on one data set.

    Attributes:
        section: the part of the report that it belongs to.
        task: the task's name.
        title: the task's name for people.
        family: name shared by tasks that are drawn in one picture, or "".
        model: the model's name.
        dataset: `internal` or `external`.
        scores, items, about: see `Judgement`.
    """

    section: Section
    task: str
    title: str
    family: str
    model: str
    dataset: str
    scores: Scores
    items: pd.DataFrame
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A task that was not run, and why."""

    section: Section
    task: str
    title: str
    dataset: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How much more a figure is for one model than for another, on the same items."""

    task: str
    title: str
    dataset: str
    figure: str
    first: str
    second: str
    difference: Estimate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """All results of an evaluation.

    Attributes:
        outcomes: the outcome of each task, ordered by model, data set and task.
        skipped: the tasks that were not run, each named once.
        comparisons: the differences between every two models.
        facts: models, data sets and options, ready for JSON.
    """

    outcomes: tuple[Outcome, ...]
    skipped: tuple[Skipped, ...]
    comparisons: tuple[Comparison, ...]
    facts: Mapping[str, Any]

    @property
    def remarks(self) -> list[str]:
        """What was left out or could not be matched, each said once."""
        said = list(self.facts.get("remarks", ()))
        said += [
            f"{one.title}{where_text(one.dataset)}: {remark}"
            for one in self.outcomes
            for remark in one.about.get("remarks", ())
        ]
        return list(dict.fromkeys(said))


def where_text(dataset: str) -> str:
    """The name of a data set, to stand behind a title; "" for the internal one."""
    return "" if dataset == "internal" else f" ({dataset})"


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A name of letters and digits for each name, such that no two share a file.

    Example:
        >>> file_names(["ef-scatter-a b", "ef-scatter-A-b"])
        {'ef-scatter-a b': 'ef-scatter-a-b', 'ef-scatter-A-b': 'ef-scatter-A-b-2'}
    """
    found: dict[str, str] = {}
    taken = set()
    for name in names:
        plain = made = re.sub(r"[^a-zA-Z0-9.]+", "-", name).strip("-")
        number = 1
        while made.casefold() in taken:  # some file systems do not tell A from a
            number += 1
            made = f"{plain}-{number}"
        taken.add(made.casefold())
        found[name] = made
    return found
