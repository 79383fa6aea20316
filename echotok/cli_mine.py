"""`echotok mine`: a table folder and a review sheet from reports."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from echotok.errors import InputError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of `echotok mine`.

    Args:
        parser: of the sub-command.
    """
    parser.description = (
        "Propose a phrase table for the reports of a place: TABLE_DIR for echotok build, with a "
        "review sheet. Only what k patients share is taken, and what may name a person is not."
    )
    parser.add_argument(
        "reports",
        nargs="+",
        metavar="REPORTS",
        help="CSV, TSV, JSON Lines or Parquet files, or folders of *.txt",
    )
    parser.add_argument(
        "--text-column", metavar="NAME", help="column of the report (default text or report)"
    )
    parser.add_argument(
        "--patient-column",
        metavar="NAME",
        help="column of the patient; without it every report counts as a patient of its own",
    )
    parser.add_argument(
        "--k",
        type=int,
        default=5,
        metavar="K",
        help="patients that must hold a phrase, a value or a word of the fallback (default 5)",
    )
    parser.add_argument(
        "--allow-rare",
        action="store_true",
        help="needed for --k below 2: the table may then hold what a single patient's report says",
    )
    parser.add_argument(
        "--vocab-size",
        type=int,
        default=2000,
        metavar="N",
        help="phrases, values and fallback together, spare rows not counted (default 2000)",
    )
    parser.add_argument(
        "--merges",
        type=int,
        metavar="M",
        help="merges of the fallback (default: tried out on a fifth of the patients)",
    )
    parser.add_argument("--name", help="name of the table (default that of the folder)")
    parser.add_argument("--locale", default="en", help="language of the reports (default en)")
    parser.add_argument("--out", required=True, metavar="TABLE_DIR", help="the folder to write")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: Namespace) -> int:
    """Run `echotok mine`.

    Args:
        arguments: as `add_arguments` declares them.

    Returns:
        0.

    Raises:
        InputError: reports cannot be read, or the folder is taken.
    """
    from echotok.cli_commands import tell
    from echotok.cli_stats import progress
    from echotok.corpora import read_reports
    from echotok.mining import Options, ReportStore, mine, review_rows, write_sheet
    from echotok.table_files import validate_table, write_table

    if arguments.k < 1 or (arguments.k < 2 and not arguments.allow_rare):
        arguments.parser.error(
            "--k below 2 takes what a single patient's report says into the table; if that is "
            "meant, add --allow-rare"
        )
    out = Path(arguments.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already and not empty; name another folder")
    options = Options(
        vocab_size=arguments.vocab_size,
        k=arguments.k,
        name=arguments.name or out.resolve().name,
        locale=arguments.locale,
        num_merges=arguments.merges,
    )
    store = ReportStore(units=options.units)
    with progress("reading") as advance:
        for report in read_reports(
            arguments.reports,
            column=arguments.text_column,
            patient_column=arguments.patient_column,
        ):
            store.add(report.text, patient=report.patient)
            advance(1)
    with _bar() as told:
        mined = mine(store, options, report=told)
    write_table(mined.table, out, mined.fallback)
    write_sheet(review_rows(store, mined), out / "review.tsv")
    validate_table(out)
    tell(
        f"wrote {out}: {len(mined.table.phrases):,} phrases, {mined.vocab_size:,} tokens in all, "
        f"{mined.num_tokens / store.num_reports:.1f} tokens a report of {store.num_reports:,}. "
        f"Read {out / 'review.tsv'}, then: echotok build {out} --out {options.name}.json"
    )
    return 0


@contextmanager
def _bar() -> Iterator[Callable[[str, float], None] | None]:
    """A progress bar while a person watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("mining", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)
