"""`echotok findings`: what reports say, as a table."""

from __future__ import annotations

import csv
import json
import math
import sys
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from echotok.cli.console import progress, tell, write_styled
from echotok.cli.options import add_reports, whole_number
from echotok.errors import InputError
from echotok.text_files import whole_file

if TYPE_CHECKING:
    from echotok.corpora import Report
    from echotok.findings.rules import FindingsRules
    from echotok.findings.table import Read

__all__ = ["add_arguments", "run"]

_ENDINGS = (".csv", ".jsonl", ".parquet")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of `echotok findings`."""
    parser.description = (
        "Read what reports say: print one row for each mention of a finding, with its value, its "
        "status and its place in the report. docs/findings.md says what the columns mean."
    )
    add_reports(parser)
    parser.add_argument(
        "--id-column",
        metavar="NAME",
        help="the column or key that names a report; without it, reports are numbered from 1",
    )
    parser.add_argument(
        "--rules",
        action="append",
        default=[],
        metavar="FILE",
        help="a rules file of your own, laid over those that ship with echotok; may be repeated",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="a .csv, .jsonl or .parquet file to write (default: CSV to stdout)",
    )
    parser.add_argument(
        "--wide",
        action="store_true",
        help="one row for each report and one column for each finding, with the report's answer",
    )
    parser.add_argument(
        "--workers", type=whole_number(1), default=1, metavar="N", help="processes (default 1)"
    )
    parser.add_argument(
        "--explain",
        nargs="?",
        type=whole_number(1),
        const=1,
        metavar="N",
        help="show, for the N-th report (default the first), which rule and which words made each "
        "row, and write no table",
    )
    parser.add_argument(
        "--html",
        metavar="FILE",
        help="with --explain: write a self-contained page there instead; it holds the report",
    )
    parser.set_defaults(run=run, parser=parser)


def run(arguments: Namespace) -> int:
    """Read the reports and write the table; the summary goes to stderr."""
    from echotok.findings.rule_files import read_findings_rules

    if arguments.html is not None and arguments.explain is None:
        arguments.parser.error("--html shows one report: give --explain, too")
    if arguments.out is not None and not arguments.out.lower().endswith(_ENDINGS):
        arguments.parser.error(f"--out must end in {', '.join(_ENDINGS)}")
    rules = read_findings_rules(*arguments.rules)
    reports = _reports(arguments)
    if arguments.explain is not None:
        return _explain(reports, rules, number=arguments.explain, page=arguments.html)
    summary = _Summary(rules)
    columns = ["report", *rules.findings, "contradictory"] if arguments.wide else _long_columns()
    with _writer(arguments.out, columns) as writer, progress() as told:
        for name, read in _read(reports, arguments, rules):
            told("reading findings", count=1)
            rows = summary.add(name, read, wide=arguments.wide)
            writer.write(rows)
    summary.tell(arguments.out)
    return 0


def _reports(arguments: Namespace) -> Iterator[Report]:
    from echotok.corpora import read_reports

    inputs = arguments.inputs or ["-"]
    for path in inputs:
        if path != "-" and not Path(path).exists():
            raise InputError(
                f"no such file or folder: {path if len(path) < 256 else 'an input'}; to read a "
                "text itself, pipe it to stdin"
            )
    return read_reports(
        inputs,
        column=arguments.column,
        lines=arguments.lines,
        id_column=arguments.id_column,
        keep_blank=True,
        delimiter=arguments.delimiter,
        encoding=arguments.encoding,
        warn=tell,
    )


def _read(
    reports: Iterable[Report], arguments: Namespace, rules: FindingsRules
) -> Iterator[tuple[object, Read]]:
    """Each report's name and what was read from it."""
    from echotok.findings.table import read_many

    names: deque[object] = deque()

    def texts() -> Iterator[str]:
        for number, report in enumerate(reports, 1):
            # Plain text has no columns, and a row without a report may have no id.
            names.append(number if report.id is None else report.id)
            yield report.text

    for read in read_many(texts(), rules, workers=arguments.workers):
        yield names.popleft(), read


def _long_columns() -> list[str]:
    from echotok.findings.table import COLUMNS

    return list(COLUMNS)


def _explain(
    reports: Iterable[Report], rules: FindingsRules, *, number: int, page: str | None
) -> int:
    from echotok.findings.reading import Reader
    from echotok.findings.view import explain, explain_page

    for at, report in enumerate(reports, 1):
        if at == number:
            rows = Reader(rules).read(report.text, words=True)
            if page is None:
                write_styled(explain(report.text, rows, rules))
                return 0
            Path(page).write_text(explain_page(report.text, rows, rules), encoding="utf-8")
            tell(f"wrote {page}; it holds the report's text: keep it as you keep reports")
            return 0
    raise InputError(f"--explain {number}: the inputs hold fewer reports than that")


class _Summary:
    """Counts for the closing lines, and the rows to write."""

    def __init__(self, rules: FindingsRules) -> None:
        self._rules = rules
        self._reports = self._findings = self._empty = 0
        self._units = self._used = self._contradictory = self._implausible = 0

    def add(self, name: object, read: Read, *, wide: bool) -> list[list[object]]:
        """Count a report; returns its rows."""
        from echotok.findings.table import answers, as_number, to_cells

        said = answers(read.rows, self._rules)
        contradictory = [finding for finding, one in said.items() if one.disagree]
        self._reports += 1
        self._findings += len(read.rows)
        self._empty += not read.rows
        self._units += read.units
        self._used += read.used
        self._contradictory += len(contradictory)
        self._implausible += sum(not row.plausible for row in read.rows)
        if not wide:
            return [to_cells(name, row) for row in read.rows]
        cells: list[object] = [name]
        for one in said.values():
            number = as_number(one)
            cells.append(one.value if isinstance(one.value, str) else number)
        return [[*cells, " ".join(contradictory)]]

    def tell(self, out: str | None) -> None:
        """Say what was read."""
        coverage = self._used / self._units if self._units else 0.0
        tell(
            f"echotok: {self._reports:,} reports, {self._findings:,} findings"
            + (f", {self._empty:,} reports without any" if self._empty else "")
        )
        tell(
            f"echotok: coverage {coverage:.1%}: of {self._units:,} clinical phrases and values, "
            f"{self._used:,} became part of a finding"
        )
        tell(
            f"echotok: {self._contradictory:,} answers rest on mentions that contradict each "
            f"other; {self._implausible:,} numbers are outside of their plausible range"
        )
        if out is not None:
            tell(f"echotok: wrote {out}")


# Files


class _Writer(Protocol):
    def write(self, rows: Sequence[Sequence[object]]) -> None: ...


@contextmanager
def _writer(out: str | None, columns: Sequence[str]) -> Iterator[_Writer]:
    """A writer of rows; a file appears under its name when it is whole."""
    if out is None:
        table = _Csv(sys.stdout, columns)
        yield table
        table.write([])
        return
    suffix = Path(out).suffix.lower()
    with whole_file(out) as partial:
        if suffix == ".parquet":
            parquet = _Parquet(partial, columns)
            yield parquet
            parquet.close()
        else:
            with partial.open("w", encoding="utf-8", newline="") as stream:
                json_lines = suffix == ".jsonl"
                lines = _JsonLines(stream, columns) if json_lines else _Csv(stream, columns)
                yield lines
                lines.write([])


def _blank(cell: object) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


class _Csv:
    def __init__(self, stream: Any, columns: Sequence[str]) -> None:
        self._rows = csv.writer(stream, lineterminator="\n")
        self._header: Sequence[str] = columns

    def write(self, rows: Sequence[Sequence[object]]) -> None:
        if self._header:  # not before the input is known to be readable
            self._rows.writerow(self._header)
            self._header = ()
        for row in rows:
            self._rows.writerow([_text(cell) if type(cell) is not str else cell for cell in row])


def _text(cell: object) -> object:
    if _blank(cell):
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return f"{cell:g}" if isinstance(cell, float) and abs(cell) < 1e6 else cell


class _JsonLines:
    def __init__(self, stream: Any, columns: Sequence[str]) -> None:
        self._stream, self._columns = stream, columns

    def write(self, rows: Sequence[Sequence[object]]) -> None:
        for row in rows:
            cells = (None if _blank(cell) else cell for cell in row)
            record = dict(zip(self._columns, cells, strict=True))
            self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")


class _Parquet:
    """Rows in groups, so that memory stays bounded."""

    _GROUP = 50_000

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise InputError(
                "writing .parquet needs pyarrow: pip install pyarrow, or write .csv or .jsonl"
            ) from error
        self._arrow, self._columns, self._path = pyarrow, list(columns), path
        self._schema: Any = None
        self._file: Any = None
        self._rows: list[Sequence[object]] = []

    def write(self, rows: Sequence[Sequence[object]]) -> None:
        self._rows += rows
        if len(self._rows) >= self._GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        arrow = self._arrow
        if self._file is None:
            self._schema = arrow.schema([(name, self._type(name)) for name in self._columns])
            self._file = arrow.parquet.ParquetWriter(self._path, self._schema)
        columns = {
            name: [None if _blank(row[at]) else self._fit(name, row[at]) for row in self._rows]
            for at, name in enumerate(self._columns)
        }
        self._file.write_table(arrow.table(columns, schema=self._schema))
        self._rows = []

    def _type(self, name: str) -> Any:
        arrow = self._arrow
        kinds = {"start": arrow.int64(), "end": arrow.int64(), "sentence": arrow.int64()}
        words = ("report", "name", "class", "unit", "status", "structure", "section", "written",
                 "contradictory", *self._classes())  # fmt: skip
        if name in words:
            return arrow.string()
        return arrow.bool_() if name == "plausible" else kinds.get(name, arrow.float64())

    def _classes(self) -> tuple[str, ...]:
        return tuple(
            name
            for at, name in enumerate(self._columns)
            if any(isinstance(row[at], str) for row in self._rows)
        )

    def _fit(self, name: str, cell: object) -> object:
        return str(cell) if self._schema.field(name).type == self._arrow.string() else cell
