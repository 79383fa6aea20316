"""Whether a model knows the words of its tasks' prompts.

A prompt in words that a model has not read is answered by chance, whatever the clips show: the
figures of such a task say something of its prompts, and this is said beside them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from echoclip_r.evaluation.outcomes import Outcome
from echoclip_r.evaluation.tasks import Binary, Prompt, Regression, Tasks
from echoclip_r.text.word_counts import KnownWords, Remark

__all__ = ["add_remarks", "as_json", "look_up_prompts", "say_remarks"]

_log = logging.getLogger(__name__)
_MOST_PROMPTS = 3


def look_up_prompts(tasks: Tasks, known: KnownWords) -> dict[str, Remark]:
    """The prompts whose words a model hardly knows, each with what there is to say.

    Of a prompt for a number every value has the same words: it is looked up once, with `{value}`.
    """
    found: dict[str, Remark] = {}
    questions: list[Regression | Binary] = [*tasks.regressions, *tasks.binaries]
    prompts = [prompt for task in questions for prompt in _prompts(task, tasks)]
    prompts += [text for task in tasks.binaries for text in task.against]
    for prompt in dict.fromkeys(prompts):
        text = prompt if isinstance(prompt, str) else _filled(prompt)
        if remark := known.look_up(text):
            found[_wording(prompt)] = remark
    return found


def say_remarks(model: str, remarks: Mapping[str, Remark]) -> None:
    """Log the first prompts with unknown words, and how many others there are."""
    others = []
    num_unknown = 0
    for wording, remark in remarks.items():
        if remark.unknown or remark.needs_stop:
            num_unknown += 1
            if num_unknown <= _MOST_PROMPTS:
                _log.warning("%s: prompt %r: %s", model, wording, remark)
        else:
            others.append(remark)
    if num_unknown > _MOST_PROMPTS:
        _log.warning(
            "%s: and so of %d more prompts; metrics.json names them",
            model,
            num_unknown - _MOST_PROMPTS,
        )
    if others:
        _log.warning(
            "%s: most words of %d prompts are words that it %s; metrics.json names them",
            model,
            len(others),
            "read in other phrases" if others[0].is_counted else "has no phrase for",
        )


def add_remarks(
    outcomes: Iterable[Outcome], tasks: Tasks, remarks: Mapping[str, Remark]
) -> list[Outcome]:
    """The outcomes of a model, those of tasks with such prompts of their own with a remark on it.

    The prompts of a normal study are those of all tasks, and `metrics.json` names them once.
    """
    questions: list[Regression | Binary] = [*tasks.regressions, *tasks.binaries]
    by_task = {task.name: task for task in questions}
    said = []
    for one in outcomes:
        task = by_task.get(one.task) if one.section in ("regression", "binary") else None
        wordings = [] if task is None else list(map(_wording, _prompts(task, tasks)))
        rare = [wording for wording in wordings if wording in remarks]
        if rare:
            remark = (
                f"{len(rare)} of {len(wordings)} prompts hold words that {one.model} has hardly "
                f"read, such as {rare[0]!r}: {remarks[rare[0]]}"
            )
            one = replace(
                one, about={**one.about, "remarks": [*one.about.get("remarks", ()), remark]}
            )
        said.append(one)
    return said


def as_json(remarks: Mapping[str, Remark]) -> list[dict[str, Any]]:
    """The remarks for `metrics.json`."""
    return [{"prompt": wording, **remark.to_dict()} for wording, remark in remarks.items()]


def _prompts(task: Regression | Binary, tasks: Tasks) -> Sequence[Prompt | str]:
    """The wordings of what a task asks for."""
    if isinstance(task, Regression):
        return task.prompts
    if task.scored_by:
        return tasks.regression(task.scored_by).prompts
    return task.prompts


def _wording(prompt: Prompt | str) -> str:
    return prompt if isinstance(prompt, str) else prompt.text


def _filled(prompt: Prompt) -> str:
    """The prompt with a value from the middle of those that it is worded for."""
    return prompt.text.replace("{value}", str((prompt.low + prompt.high) // 2))
