"""`echotok mine`: a table folder and a review sheet from reports."""

from __future__ import annotations

import multiprocessing
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from echotok.cli.options import add_column, whole_number
from echotok.cpus import end_with_parent
from echotok.mining.options import MAX_DISTINCT

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of `echotok mine`.

    Args:
        parser: parser of the sub-command.
    """
    parser.description = (
        "Propose a phrase table for the reports of a place: a folder TABLE_DIR for echotok build, "
        "with a review sheet. Only text that k patients share is taken, and nothing that may name "
        "a person. "
        "A run that was stopped goes on when the same command is given again."
    )
    parser.add_argument(
        "reports",
        nargs="+",
        metavar="REPORTS",
        help="CSV, TSV, JSON Lines or Parquet files, or folders of *.txt",
    )
    add_column(parser)
    parser.add_argument(
        "--patient-column",
        metavar="NAME",
        help="column that names the patient; without it every report counts as its own patient",
    )
    parser.add_argument(
        "--k",
        type=whole_number(1),
        default=5,
        metavar="K",
        help="number of patients whose reports must hold a phrase, a value or a word of the "
        "fallback (default 5)",
    )
    parser.add_argument(
        "--allow-rare",
        action="store_true",
        help="needed for --k below 2: the table may then hold text of a single patient's report",
    )
    parser.add_argument(
        "--vocab-size",
        type=whole_number(1),
        default=2000,
        metavar="N",
        help="number of phrases, values and tokens of the fallback together, without spare rows "
        "(default 2000)",
    )
    parser.add_argument(
        "--merges",
        type=whole_number(0),
        metavar="M",
        help="number of merges of the fallback (default: the best of several numbers, tried out "
        "on a fifth of the patients)",
    )
    parser.add_argument(
        "--private",
        metavar="FILE",
        help="the file that lists the held-back texts, which may name a person; never inside of "
        "TABLE_DIR (default TABLE_DIR.private.csv, beside it)",
    )
    parser.add_argument(
        "--allow",
        metavar="FILE",
        help="the file of held-back texts that you release: lines of the private file as they "
        "stand, or the text alone, one on each line",
    )
    parser.add_argument(
        "--words",
        nargs="+",
        default=[],
        metavar="FILE",
        help="public word lists, of the language or the field: one word on each line; text behind "
        "a space or tab is not read. These words train the fallback together with the words of the "
        "reports, so that words of new reports cost fewer tokens",
    )
    parser.add_argument(
        "--join-sentences",
        action="store_true",
        help="let a row hold several sentences that follow each other in many reports: fewer "
        "tokens on templates, and a sentence then has other ids among its neighbours than alone",
    )
    parser.add_argument(
        "--max-distinct",
        type=whole_number(1),
        default=MAX_DISTINCT,
        metavar="N",
        help="number of distinct sentences that are mined at once, a gigabyte of memory for some "
        f"100,000 (default {MAX_DISTINCT:,}); of more, those that few patients hold are drawn by "
        "lot and count for the others",
    )
    parser.add_argument(
        "--base",
        metavar="TABLE_DIR",
        help="grow this table: rows are appended, every id and the fallback stay the same; "
        "--vocab-size counts its tokens too, and --out may be the same folder",
    )
    by = parser.add_mutually_exclusive_group()
    by.add_argument(
        "--workers",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="number of processes that read the reports (default 1); the table is the same",
    )
    by.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="let the workers of a Dask cluster read the reports; address of its scheduler, e.g. "
        "tcp://10.0.0.1:8786 (needs the extra cluster). The text of the reports is sent to them",
    )
    parser.add_argument("--name", help="name of the table (default: the name of the folder)")
    parser.add_argument("--locale", default="en", help="language of the reports (default en)")
    parser.add_argument("--out", required=True, metavar="TABLE_DIR", help="the folder to write")
    parser.set_defaults(run=run, stopped=_stopped)


def run(arguments: Namespace) -> None:
    """Run `echotok mine`.

    Args:
        arguments: as `add_arguments` declares them.
    """
    from echotok.cli.console import progress, tell
    from echotok.mining.session import mine_reports

    with _executor(arguments) as executor, progress() as told:
        result = mine_reports(
            arguments.reports,
            arguments.out,
            column=arguments.column,
            delimiter=arguments.delimiter,
            encoding=arguments.encoding,
            patient_column=arguments.patient_column,
            k=arguments.k,
            allow_rare=arguments.allow_rare,
            vocab_size=arguments.vocab_size,
            num_merges=arguments.merges,
            private=arguments.private,
            allow=arguments.allow,
            words=arguments.words,
            join_sentences=arguments.join_sentences,
            max_distinct=arguments.max_distinct,
            base=arguments.base,
            name=arguments.name,
            locale=arguments.locale,
            executor=executor,
            progress=told,
            warn=lambda text: tell(f"echotok: {text}"),
        )
    if result.num_held_back:
        tell(
            f"echotok: {result.num_held_back:,} texts that may name a person, a date or a place "
            f"were held back; they are listed in {result.private}: keep it as safe as the reports"
        )
    new = "" if arguments.base is None else f"{result.num_new:,} new of "
    tell(
        f"wrote {arguments.out}: {new}{len(result.table.phrases):,} phrases, "
        f"{result.vocab_size:,} tokens, a mean of {result.tokens_per_report:.1f} tokens in "
        f"{result.num_reports:,} reports. Read {result.review}, or decide on each phrase: echotok "
        f"review {arguments.out} --out review.html; then: echotok build {arguments.out} --out "
        f"{result.table.name}.json"
    )


@contextmanager
def _executor(arguments: Namespace) -> Iterator[Executor | None]:
    """What `--workers` or `--cluster` mean; None for this process."""
    if arguments.cluster is not None:
        from echotok.cluster import connected

        with connected(arguments.cluster, packages=("echotok",)) as executor:
            yield executor
    elif arguments.workers > 1:
        # No thread of ours is forked with it.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(arguments.workers, context, initializer=end_with_parent)
        with pool as executor:
            yield executor
    else:
        yield None


def _stopped(arguments: Namespace) -> str:
    from echotok.mining.session import state_path

    if state_path(Path(arguments.out)).is_file():
        return (
            "the results for the fallback's sizes so far are kept; give the same command again to "
            "continue"
        )
    return "nothing of this run is kept; give the same command again to start over"
