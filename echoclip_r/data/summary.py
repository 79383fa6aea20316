"""One page about a manifest: what is in it, what is wrong with it, how long its reports are.

The page counts and never quotes: it shows no report text, no patient id and no study id (I9).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from echoclip_r.data.manifest import Manifest
from echoclip_r.data.splits import SPLITS
from echoclip_r.jobs.progress import Progress
from echotok.view.templates import render

__all__ = ["Section", "Summary", "summarize"]

CONTEXT_LENGTH = 77
_MAX_NAMED_REJECTS = 10
_LONG_REPORT_WORDS = 1_000


class _Tokenizer(Protocol):
    @property
    def name(self) -> str: ...
    def encode(self, text: str) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table of the page.

    Attributes:
        title: subject of the table.
        header: column names.
        rows: rows of cells, each with as many cells as the header.
        note: a sentence below the table, or "".
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        """Raises: ValueError for a row of another width than the header."""
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"section {self.title!r}: a row's width is not the header's")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A manifest's page, to be written as text, Markdown or HTML.

    Attributes:
        title: the heading.
        sections: the tables in order.
        figures: the same numbers for programs, ready for JSON.
    """

    title: str
    sections: tuple[Section, ...]
    figures: dict[str, Any]

    def as_text(self) -> str:
        """The page for a terminal: columns aligned by spaces."""
        lines = [self.title, "=" * len(self.title)]
        for section in self.sections:
            lines += ["", section.title, "-" * len(section.title)]
            table = [section.header, *section.rows]
            widths = [max(map(len, column)) for column in zip(*table, strict=True)]
            for row in table:
                first, *others = (
                    cell.ljust(width) if place == 0 else cell.rjust(width)
                    for place, (cell, width) in enumerate(zip(row, widths, strict=True))
                )
                lines.append("  ".join([first, *others]).rstrip())
            lines += [section.note] if section.note else []
        return "\n".join(lines) + "\n"

    def as_markdown(self) -> str:
        """The page as Markdown tables."""
        lines = [f"# {self.title}"]
        for section in self.sections:
            lines += ["", f"## {section.title}", ""]
            rule = ("---", *["---:"] * (len(section.header) - 1))
            for row in (section.header, rule, *section.rows):
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
            lines += ["", section.note] if section.note else []
        return "\n".join(lines) + "\n"

    def as_html(self) -> str:
        """The page as one HTML file that needs no other."""
        return render("echoclip_r.data", "summary.html", title=self.title, sections=self.sections)


def summarize(manifest: Manifest, *, tokenizer: _Tokenizer | None = None) -> Summary:
    """Count what a manifest holds.

    Args:
        manifest: manifest from `read_manifest`.
        tokenizer: tokenizer that counts the tokens of reports, e.g. `echotok.load("echo")`; None
            leaves these counts out.

    Returns:
        Counts by split, report lengths (each study's report once), duplicates, dates, views,
        labels, ignored columns and rejects.
    """
    frame = manifest.frame
    reports = frame.drop_duplicates(["study_id", "report"])["report"].tolist()
    figures: dict[str, Any] = {"num_rows": manifest.num_rows, "num_clips": len(frame)}
    sections = [
        _counts(manifest, figures),
        _lengths(reports, tokenizer, figures),
        _duplicates(manifest, reports, figures),
        _labels(manifest, figures),
        _rejects(manifest, figures),
    ]
    return Summary(
        title=f"Manifest {manifest.path.name}",
        sections=tuple(section for section in sections if section.rows),
        figures=figures,
    )


def _counts(manifest: Manifest, figures: dict[str, Any]) -> Section:
    figures["splits"] = {}
    rows = []
    for name in ("all", *SPLITS):
        part = manifest.frame if name == "all" else manifest.frame[manifest.frame["split"] == name]
        counts = {
            "num_patients": part["patient_id"].nunique(),
            "num_studies": part["study_id"].nunique(),
            "num_clips": len(part),
        }
        figures["splits"][name] = counts
        rows.append((name, *(f"{count:,}" for count in counts.values())))
    empty = [name for name in SPLITS if not figures["splits"][name]["num_clips"]]
    by_hash = manifest.num_split_by_hash
    stated = len(manifest.frame) - by_hash
    note = f"Splits stated by the manifest: {stated:,} clips; made by patient: {by_hash:,}."
    if empty:
        note += (
            f" No clip is in {' or '.join(empty)}: there are too few patients, or the manifest's "
            "column says so."
        )
    return Section(
        title="Splits", header=("", "patients", "studies", "clips"), rows=tuple(rows), note=note
    )


def _lengths(
    reports: Sequence[str], tokenizer: _Tokenizer | None, figures: dict[str, Any]
) -> Section:
    lengths = {"words": [len(report.split()) for report in reports]}
    if tokenizer is not None:
        known: dict[str, int] = {}  # archives repeat reports, and tokenizing is what takes time
        with Progress(len(reports), unit="reports", what="tokens") as bar:
            for report in reports:
                if report not in known:
                    known[report] = len(tokenizer.encode(report).ids)
                bar.advance()
        lengths[f"{tokenizer.name} tokens"] = [known[report] for report in reports]
    rows = []
    notes = []
    for unit, values in lengths.items():
        if not values:
            continue
        array = np.array(values)
        figures[unit.replace(" ", "_").replace("-", "_")] = {
            "n": len(array),
            "mean": round(float(array.mean()), 1),
            "sd": round(float(array.std()), 1),
            "median": float(np.median(array)),
            "max": int(array.max()),
        }
        rows.append(
            (
                unit,
                f"{len(array):,}",
                f"{array.mean():.1f} ± {array.std():.1f}",
                f"{array.min():,}",
                f"{np.median(array):,.0f}",
                f"{array.max():,}",
            )
        )
        if unit == "words":
            long = figures["num_long_reports"] = int((array > _LONG_REPORT_WORDS).sum())
            notes.append(f"{long:,} reports have more than {_LONG_REPORT_WORDS:,} words.")
        else:
            beyond = figures["num_beyond_context"] = int((array > CONTEXT_LENGTH).sum())
            notes.append(f"{beyond:,} are longer than {CONTEXT_LENGTH} tokens and will be cut.")
    return Section(
        title="Report lengths",
        header=("", "reports", "mean ± sd", "min", "median", "max"),
        rows=tuple(rows),
        note=" ".join(notes),
    )


def _duplicates(manifest: Manifest, reports: Sequence[str], figures: dict[str, Any]) -> Section:
    frame = manifest.frame
    times = Counter(reports)
    repeated = sum(times[report] for report in times if times[report] > 1)
    dates = sorted(day for day in frame["date"] if day)
    per_study = frame.groupby("study_id").size() if len(frame) else None
    figures |= {
        "num_repeated_reports": repeated,
        "num_studies_with_several_reports": int(
            (frame.groupby("study_id")["report"].nunique() > 1).sum()
        ),
        "first_date": dates[0] if dates else None,
        "last_date": dates[-1] if dates else None,
        "views": dict(Counter(frame["view"]).most_common(10)),
    }
    share = repeated / len(reports) if reports else 0.0
    rows = [
        ("reports that another study has word for word", f"{repeated:,} ({share:.1%})"),
        (
            "studies with more than one report text",
            f"{figures['num_studies_with_several_reports']:,}",
        ),
        ("dates", f"{dates[0]} to {dates[-1]}" if dates else "none"),
        ("clips without a date", f"{len(frame) - len(dates):,}"),
        (
            "clips a study, most",
            f"{per_study.max():,}" if per_study is not None else "0",
        ),
    ]
    rows += [
        (f"view {view or '(blank)'}", f"{count:,}") for view, count in figures["views"].items()
    ]
    return Section(
        title="Studies",
        header=("", "value"),
        rows=tuple(rows),
        note="Clips are masked to their sector; lettering inside of it stays. Look at them with "
        "`echoclip-r preview`, and leave clips out by a column `exclude` (yes).",
    )


def _labels(manifest: Manifest, figures: dict[str, Any]) -> Section:
    figures["labels"] = {}
    rows = []
    for name in manifest.labels:
        column = manifest.frame[name].dropna()
        figures["labels"][name] = {"n": len(column)}
        if len(column):
            figures["labels"][name] |= {
                "mean": float(column.mean()),
                "min": float(column.min()),
                "max": float(column.max()),
            }
            spread = tuple(f"{value:.4g}" for value in (column.mean(), column.min(), column.max()))
        else:
            spread = ("", "", "")
        rows.append((name, f"{len(column):,}", *spread))
    figures["ignored_columns"] = dict(manifest.ignored)
    rows += [(f"{name}: not used", "", "", "", "") for name in manifest.ignored]
    note = " ".join(f"{name}: {why}." for name, why in manifest.ignored.items())
    return Section(
        title="Labels", header=("", "clips", "mean", "min", "max"), rows=tuple(rows), note=note
    )


def _rejects(manifest: Manifest, figures: dict[str, Any]) -> Section:
    figures["num_rejects"] = len(manifest.rejects)
    kinds: dict[tuple[str, str], list[int]] = {}
    reasons: dict[tuple[str, str], set[str]] = {}
    for reject in manifest.rejects:
        # Reasons that differ only in a row or byte are one kind on a page.
        plain = "".join("#" if character.isdigit() else character for character in reject.reason)
        kinds.setdefault((reject.column, plain), []).append(reject.row)
        reasons.setdefault((reject.column, plain), set()).add(reject.reason)
    rows = []
    for kind, found in sorted(kinds.items(), key=lambda item: -len(item[1])):
        # The first of them is shown as it is, since an advice without its digits does not work.
        column, reason = kind[0], min(reasons[kind])
        named = ", ".join(map(str, found[:_MAX_NAMED_REJECTS]))
        more = ", ..." if len(found) > _MAX_NAMED_REJECTS else ""
        rows.append((f"{column or 'row'}: {reason}", f"{len(found):,}", named + more))
    return Section(title="Rows left out", header=("", "rows", "which"), rows=tuple(rows))
