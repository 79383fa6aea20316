"""Which rule and which words made each row: for a terminal, and as one page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from echotok.findings.reading import Finding
from echotok.findings.rules import FindingsRules

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

    from echotok.view.tree import visible

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


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Findings</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; background: #fff }
.report { white-space: pre-wrap; border: 1px solid #bbb; border-radius: 4px; padding: 1rem }
.present { background: #cdebcf } .absent { background: #f5cfcf } .possible { background: #f7ecb5 }
.prior { background: #cfdff5 } .not_assessed { background: #e6d3ee }
table { border-collapse: collapse; width: 100%; margin-top: 1rem } td, th { text-align: left;
  padding: .25rem .5rem; border-bottom: 1px solid #ddd; vertical-align: top }
</style></head><body><h1>Findings</h1>
<p>Rules {{ rules }}. The page holds the report's text: keep it as you keep reports.</p>
<div class="report">{% for text, status in stretches %}{% if status %}<span class="{{ status }}"
title="{{ status }}">{{ text }}</span>{% else %}{{ text }}{% endif %}{% endfor %}</div>
<table><thead><tr><th>Status</th><th>Finding</th><th>Value</th><th>By these words</th></tr></thead>
<tbody>{% for row in rows %}<tr><td class="{{ row.status }}">{{ row.status }}</td>
<td>{{ row.title }}<br><code>{{ row.name }}</code></td><td>{{ row.value }}</td>
<td>{% for role, text in row.words %}<b>{{ role }}</b> {{ text }}<br>{% endfor %}</td></tr>
{% endfor %}</tbody></table></body></html>
"""


def explain_page(report: str, rows: Sequence[Finding], rules: FindingsRules) -> str:
    """The same as one self-contained page: no script, no network; all text is escaped."""
    import jinja2

    from echotok.view.tree import visible

    template = jinja2.Environment(autoescape=True).from_string(_PAGE)
    return template.render(
        rules=f"{', '.join(rules.sources)} {rules.version}",
        stretches=[
            (visible(report[start:end]), status) for start, end, status in _by_status(report, rows)
        ],
        rows=[
            {
                "status": row.status,
                "name": row.name,
                "title": rules.findings[row.name].title,
                "value": said(row),
                "words": [(role, visible(report[a:b])) for role, a, b in row.words],
            }
            for row in rows
        ],
    )
