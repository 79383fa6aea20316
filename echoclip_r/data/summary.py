"""One page about a manifest: what is in it, what is wrong with it, how long its reports are.

The page counts and never quotes: it shows no report text, no patient id and no study id (I9).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from echoclip_r.data.manifest import Manifest
from echoclip_r.data.reasons import kinds_of
from echoclip_r.data.splits import SPLITS
from echoclip_r.jobs.progress import Progress
from echotok.view.templates import render

__all__ = ["Histogram", "Section", "Summary", "summarize"]

CONTEXT_LENGTH = 77
_MAX_NAMED_REJECTS = 10
_MAX_BINS = 12
_EXACT = 2.0**52
_BLOCKS = "▁▂▃▄▅▆▇█"
_LONG_REPORT_WORDS = 1_000


class _Tokenizer(Protocol):
    @property
    def name(self) -> str: ...
    def encode(self, text: str) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How often values fall between edges.

    Attributes:
        edges: ends of the bins, one more than counts, rising.
        counts: number of values in each bin.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Histogram:
        """Bins of equal width; a bin a value where there are few whole ones.

        There is one bin alone where the values differ too little or too much for several.

        Args:
            values: numbers, at least one.

        Example:
            >>> print(Histogram.of(np.array([0.0, 1.0, 1.0, 3.0])))
            ▅█▁▅
        """
        low, high = float(values.min()), float(values.max())
        num_bins = _MAX_BINS
        is_exact = max(-low, high) < _EXACT  # else 0.5 more is the same number
        if is_exact and (values == values.round()).all() and high - low < _MAX_BINS:
            low, high = low - 0.5, high + 0.5
            num_bins = round(high - low)
        with np.errstate(over="ignore", invalid="ignore"):
            if not (np.diff(np.linspace(low, high, num_bins + 1)) > 0).all():
                return cls(edges=(low, high), counts=(len(values),))
        counts, edges = np.histogram(values, num_bins, (low, high))
        return cls(edges=tuple(map(float, edges)), counts=tuple(map(int, counts)))

    def __str__(self) -> str:
        """A row of blocks; a bin that holds anything is higher than one that is empty."""
        top = max(self.counts)
        return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // top)] for count in self.counts)

    @property
    def bars(self) -> list[tuple[int, float, str]]:
        """Number, height from 0 to 1, and words of each bin."""
        top = max(self.counts)
        return [
            (number, count / top, f"{low:.4g} to {high:.4g}: {count:,}")
            for number, (count, low, high) in enumerate(
                zip(self.counts, self.edges, self.edges[1:], strict=False)
            )
        ]


Cell = str | Histogram


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
    rows: tuple[tuple[Cell, ...], ...]
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
            table = [section.header, *(tuple(map(str, row)) for row in section.rows)]
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
                lines.append(
                    "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
                )
            lines += ["", section.note] if section.note else []
        return "\n".join(lines) + "\n"

    def as_html(self) -> str:
        """The page as one HTML file that needs no other."""
        return render(
            "echoclip_r.data",
            "summary.html",
            title=self.title,
            sections=self.sections,
            is_text=lambda cell: isinstance(cell, str),
        )


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
        *_labels(manifest, figures),
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
    rows: list[tuple[Cell, ...]] = []
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
                Histogram.of(array.astype(np.float64)),
            )
        )
        if unit == "words":
            long = figures["num_long_reports"] = int((array > _LONG_REPORT_WORDS).sum())
            notes.append(f"{long:,} reports have more than {_LONG_REPORT_WORDS:,} words.")
        elif tokenizer is not None:
            beyond = figures["num_beyond_context"] = int((array > CONTEXT_LENGTH).sum())
            fingerprint = getattr(tokenizer, "fingerprint", "")
            which = f"{tokenizer.name}, {fingerprint[:12]}" if fingerprint else tokenizer.name
            notes.append(
                f"Tokens are those of the tokenizer {which}, with the first and the last of a row; "
                "name the one that you train with by --tokenizer. "
                f"{beyond:,} reports are longer than {CONTEXT_LENGTH} tokens and will be cut."
            )
    return Section(
        title="Report lengths",
        header=("", "reports", "mean ± sd", "min", "median", "max", "from min to max"),
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
        (f"view {_printable(view) or '(blank)'}", f"{count:,}")
        for view, count in figures["views"].items()
    ]
    return Section(
        title="Studies",
        header=("", "value"),
        rows=tuple(rows),
        note="Clips are masked to their sector; lettering inside of it stays. Look at them with "
        "`echoclip-r preview`, and leave clips out by a column `exclude` (yes).",
    )


def _printable(cell: str) -> str:
    """A cell on one line, without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else " " for sign in cell).strip()


def _labels(manifest: Manifest, figures: dict[str, Any]) -> tuple[Section, Section, Section]:
    """Yes-or-no labels by count, numbers by histogram, and columns that are not used."""
    figures["labels"] = {}
    binaries: list[tuple[Cell, ...]] = []
    numbers: list[tuple[Cell, ...]] = []
    for name in manifest.labels:
        column = manifest.frame[name].dropna()
        found: dict[str, Any] = {"n": len(column)}
        figures["labels"][name] = found
        if not len(column):
            numbers.append((name, "0", "", "", "", ""))
            continue
        found |= {
            "mean": float(column.mean()),
            "min": float(column.min()),
            "max": float(column.max()),
        }
        if column.isin((0, 1)).all():
            yes = manifest.frame[manifest.frame[name] == 1]
            found["yes"], found["no"] = len(yes), len(column) - len(yes)
            found["yes_by_split"] = {split: int((yes["split"] == split).sum()) for split in SPLITS}
            counts = [len(column), found["yes"], found["no"], yes["study_id"].nunique()]
            counts += found["yes_by_split"].values()
            binaries.append((name, *(f"{count:,}" for count in counts)))
        else:
            histogram = Histogram.of(column.to_numpy(np.float64))
            found["histogram"] = asdict(histogram)
            spread = (column.mean(), column.min(), column.max())
            numbers.append(
                (name, f"{len(column):,}", *(f"{value:.4g}" for value in spread), histogram)
            )
    figures["ignored_columns"] = dict(manifest.ignored)
    return (
        Section(
            title="Labels: yes or no",
            header=("", "clips", "yes", "no", "studies with yes", *(f"yes: {s}" for s in SPLITS)),
            rows=tuple(binaries),
            note="A label with fewer than ten clips of yes, or of no, in a split tells nothing "
            "there.",
        ),
        Section(
            title="Labels: numbers",
            header=("", "clips", "mean", "min", "max", "from min to max"),
            rows=tuple(numbers),
        ),
        Section(
            title="Columns that are not used",
            header=("", "why"),
            rows=tuple(manifest.ignored.items()),
        ),
    )


def _rejects(manifest: Manifest, figures: dict[str, Any]) -> Section:
    figures["num_rejects"] = len(manifest.rejects)
    rows = []
    for kind in kinds_of(manifest.rejects):
        named = ", ".join(map(str, kind.rows[:_MAX_NAMED_REJECTS]))
        more = ", ..." if len(kind.rows) > _MAX_NAMED_REJECTS else ""
        reason = f"{kind.column or 'row'}: {kind.reason}"
        rows.append((reason, f"{len(kind.rows):,}", named + more))
    return Section(title="Rows left out", header=("", "rows", "which"), rows=tuple(rows))
