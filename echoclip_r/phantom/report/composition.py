"""From a plan of statements to a text of the right length in one style."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from echoclip_r.phantom.report.statements import Rank, Statement
from echoclip_r.phantom.report.wording import Wording, fields_of, free_remarks

__all__ = ["Sentence", "choose", "choose_normal", "lay_out", "severity"]

_PIECE = re.compile(r"[^\W\d_]+|\d|[^\w\s]+")
_TARGETS = (422, 470)  # tokens, drawn evenly for each report
_NORMAL_TARGET = 445
_MAX_TOKENS = 482
_FAVOURITE = 0.85
# In a report that is one keystroke, nothing differs from patient to patient but these.
_CONSTANT_FIELDS = frozenset({"ef", "rap"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A statement in words.

    Attributes:
        section: where in the report it stands.
        text: ready to print.
    """

    section: str
    text: str


def severity(grade: str, wording: Wording) -> dict[str, str]:
    """The fields that a grade fills: `grade`, `gradely` and `size`, as far as they have a word."""
    return {name: table[grade] for name, table in wording.words.items() if grade in table}


def choose(
    plan: Sequence[Statement],
    reader: int,
    wording: Wording,
    fields: Mapping[str, str],
    *,
    rng: np.random.Generator,
) -> list[Sentence]:
    """Put into words what is needed, and as much else as the length allows.

    Args:
        plan: the statements, in order.
        reader: number of the reader, whose favourite sentences are mostly taken.
        wording: the style.
        fields: measurements and lists.
        rng: chooses sentences, free remarks, and what is left away.

    Returns:
        Sentences in the order of `plan`, with one to three free remarks among them.
    """
    candidates = [(statement, _say(statement, reader, wording, fields, rng)) for statement in plan]
    places = ["remarks", "remarks" if rng.random() < 0.6 else "study", "remarks"]
    # The second and the third remark compete with other sentences for the room.
    remarks = free_remarks(wording.remark, number=int(rng.integers(1, 4)), rng=rng)
    for place, text in zip(places, remarks, strict=False):
        rank: Rank = "spare" if text is not remarks[0] else "needed"
        remark = Statement(section=place, topic="remark", rank=rank)
        candidates.append((remark, _capitalize(text)))
    luck = rng.random(len(candidates))
    scores = {"needed": -2.0, "usual": 0.0, "spare": 0.6}
    order = np.argsort([scores[one.rank] + p for (one, _), p in zip(candidates, luck, strict=True)])
    return _take(candidates, order.tolist(), wording, target=int(rng.integers(*_TARGETS)))


def choose_normal(
    plan: Sequence[Statement], reader: int, wording: Wording, fields: Mapping[str, str]
) -> list[Sentence]:
    """Put a normal report into words that depend on the reader and the ejection fraction alone."""
    candidates = []
    for statement in plan:
        options = wording.sentences[statement.topic][statement.case]
        constant = [option for option in options if fields_of(option) <= _CONSTANT_FIELDS]
        if constant and statement.topic not in ("indication", "quality", "contrast", "diastolic"):
            text = constant[_hash(reader, statement) % len(constant)]
            candidates.append((statement, _capitalize(text.format(**fields))))
    spare = [_hash(reader, one) * (one.rank == "spare") for one, _ in candidates]
    order = np.argsort(spare, kind="stable").tolist()
    return _take(candidates, order, wording, target=_NORMAL_TARGET)


def lay_out(said: Sequence[Sentence], wording: Wording, sections: Iterable[str]) -> str:
    """Join sentences to sections, under headings where the style has them."""
    paragraphs = []
    for section in sections:
        sentences = [one.text for one in said if one.section == section]
        if sentences:
            heading = wording.heading.format(name=wording.sections.get(section, ""))
            paragraphs.append(heading + wording.separator.join(sentences))
    return wording.paragraph.join(paragraphs)


def _say(
    statement: Statement,
    reader: int,
    wording: Wording,
    fields: Mapping[str, str],
    rng: np.random.Generator,
) -> str:
    options = wording.sentences[statement.topic][statement.case]
    index = _hash(reader, statement)
    if rng.random() > _FAVOURITE:
        index = int(rng.integers(len(options)))
    text = options[index % len(options)]
    return _capitalize(text.format(**fields, **severity(statement.grade, wording)))


def _hash(reader: int, statement: Statement) -> int:
    # Not hash(): that of a text differs from process to process.
    return zlib.crc32(f"{reader}:{statement.topic}:{statement.case}".encode()) >> 4


def _take(
    candidates: Sequence[tuple[Statement, str]],
    order: Sequence[int],
    wording: Wording,
    *,
    target: int,
) -> list[Sentence]:
    """Take candidates by `order` until the target is reached; those needed in any case."""
    taken: set[int] = set()
    sections: set[str] = set()
    total = 0.0
    for index in order:
        statement, text = candidates[index]
        cost = _count_tokens(text, wording)
        if statement.section not in sections:
            heading = wording.heading.format(name=wording.sections.get(statement.section, ""))
            cost += _count_tokens(heading, wording)
        fits = total < target and total + cost <= _MAX_TOKENS
        if statement.rank == "needed" or fits:
            taken.add(index)
            sections.add(statement.section)
            total += cost
    return [
        Sentence(section=statement.section, text=text)
        for index, (statement, text) in enumerate(candidates)
        if index in taken
    ]


def _count_tokens(text: str, wording: Wording) -> float:
    """About how many CLIP tokens a text has."""
    return wording.tokens_per_piece * len(_PIECE.findall(text))


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]
