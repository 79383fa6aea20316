"""Which rule and which words made each row: for a terminal, and as one page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from echotok.findings.reading import Finding
from echotok.findings.rules import FindingsRules
from echotok.view.templates import render
from echotok.view.tree import visible

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["explain", "explain_page", "runs", "said"]

Label = TypeVar("Label")

_STYLES = {
    "present": "bold green",
    "absent": "bold red",
    "possible": "bold yellow",
    "prior": "bold blue",
    "not_assessed": "bold magenta",
}


def said(row: Finding) -> str:
    """A row's value for people.

    Example:
        >>> from echotok.findings.reading import findings
        >>> said(findings("LVEF 55-60%")[0])
        '57.5 % (55 to 60)'
    """
    value = row.value
    text = "" if value is None else value if isinstance(value, str) else f"{value:g}"
    text = f"{text} {row.unit}".strip()
    if row.low is not None and row.high is not None:
        text += f" ({row.low:g} to {row.high:g})"
    elif row.low is not None:
        text += f" ({row.low:g} or more)"
    elif row.high is not None:
        text += f" ({row.high:g} or less)"
    if not row.plausible:
        text += " (outside of the plausible range)"
    return text


def explain(report: str, rows: Sequence[Finding], rules: FindingsRules) -> Iterator[Text]:
    """The report with its findings in colour, and a line a row.

    Args:
        report: the text.
        rows: its findings, read with their words.
        rules: what they were read by.
    """
    from rich.text import Text

    marked = Text()
    for start, end, status in _by_status(report, rows):
        marked.append(visible(report[start:end]), style=_STYLES.get(status, ""))
    yield marked
    for row in rows:
        rule = rules.findings[row.name]
        words = "; ".join(
            f"{role} {visible(report[start:end])!r}" for role, start, end in row.words
        )
        yield Text.assemble(
            (f"{row.status:<13}", _STYLES[row.status]),
            f"{rule.title}: {said(row)}".rstrip(": "),
            (f"  [{row.name}, characters {row.start}-{row.end}: {words}]", "dim"),
        )


def runs(
    length: int, spans: Iterable[tuple[int, int, Label]]
) -> Iterator[tuple[int, int, Label | None]]:
    """A text in runs of one label, None for what no span holds.

    Args:
        length: length of the text.
        spans: start, end and label of each; a later one goes over those before it.
    """
    held: list[Label | None] = [None] * length
    for begin, end, label in spans:
        held[begin:end] = [label] * (end - begin)
    start = 0
    for at in range(1, length + 1):
        if at == length or held[at] != held[start]:
            yield start, at, held[start]
            start = at


def _by_status(report: str, rows: Sequence[Finding]) -> Iterator[tuple[int, int, str]]:
    """The report in runs of one status, "" for what no finding holds."""
    spans = ((row.start, row.end, row.status) for row in rows)
    for start, end, status in runs(len(report), spans):
        yield start, end, status or ""


def explain_page(report: str, rows: Sequence[Finding], rules: FindingsRules) -> str:
    """The same as one self-contained page: no script, no network; all text is escaped."""
    return render(
        "echotok.findings",
        "page.html",
        rules=f"{', '.join(rules.sources)} {rules.version}",
        stretches=[(report[start:end], status) for start, end, status in _by_status(report, rows)],
        rows=[
            {
                "status": row.status,
                "name": row.name,
                "title": rules.findings[row.name].title,
                "value": said(row),
                "words": [(role, report[a:b]) for role, a, b in row.words],
            }
            for row in rows
        ],
    )
