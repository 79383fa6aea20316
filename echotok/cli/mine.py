"""`echotok mine`: a table folder and a review sheet from reports."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from echotok.cli.options import add_column, whole_number

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of `echotok mine`.

    Args:
        parser: of the sub-command.
    """
    parser.description = (
        "Propose a phrase table for the reports of a place: TABLE_DIR for echotok build, with a "
        "review sheet. Only what k patients share is taken, and what may name a person is not. "
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
        help="column of the patient; without it every report counts as a patient of its own",
    )
    parser.add_argument(
        "--k",
        type=whole_number(1),
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
        type=whole_number(1),
        default=2000,
        metavar="N",
        help="phrases, values and fallback together, spare rows not counted (default 2000)",
    )
    parser.add_argument(
        "--merges",
        type=whole_number(0),
        metavar="M",
        help="merges of the fallback (default: tried out on a fifth of the patients)",
    )
    parser.add_argument(
        "--private",
        metavar="FILE",
        help="where to list what may name a person and is held back, never inside of TABLE_DIR "
        "(default TABLE_DIR.private.csv, beside it)",
    )
    parser.add_argument(
        "--allow",
        metavar="FILE",
        help="texts to release from being held back: lines of the private file as they stand, or "
        "the text alone, one a line",
    )
    parser.add_argument(
        "--words",
        nargs="+",
        default=[],
        metavar="FILE",
        help="public word lists, of the language or the field: one word on each line, what follows "
        "a space or tab is not read. They train the fallback beside the words of the reports, for "
        "the words that new reports bring",
    )
    parser.add_argument(
        "--base",
        metavar="TABLE_DIR",
        help="grow this table: rows are appended, every id and the fallback stay; --vocab-size "
        "counts its tokens too, and --out may be the same folder",
    )
    parser.add_argument("--name", help="name of the table (default that of the folder)")
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

    with progress() as told:
        result = mine_reports(
            arguments.reports,
            arguments.out,
            column=arguments.column,
            patient_column=arguments.patient_column,
            k=arguments.k,
            allow_rare=arguments.allow_rare,
            vocab_size=arguments.vocab_size,
            num_merges=arguments.merges,
            private=arguments.private,
            allow=arguments.allow,
            words=arguments.words,
            base=arguments.base,
            name=arguments.name,
            locale=arguments.locale,
            progress=told,
            warn=lambda text: tell(f"echotok: {text}"),
        )
    if result.num_held_back:
        tell(
            f"echotok: {result.num_held_back:,} texts that may name a person, a date or a place "
            f"were held back; they are listed in {result.private}: keep it as you keep the reports"
        )
    new = "" if arguments.base is None else f"{result.num_new:,} new of "
    tell(
        f"wrote {arguments.out}: {new}{len(result.table.phrases):,} phrases, "
        f"{result.vocab_size:,} tokens, {result.tokens_per_report:.1f} tokens a report of "
        f"{result.num_reports:,}. Read {result.review}, then: echotok build {arguments.out} "
        f"--out {result.table.name}.json"
    )


def _stopped(arguments: Namespace) -> str:
    from echotok.mining.session import state_path

    if state_path(Path(arguments.out)).is_file():
        return (
            "the sizes of the fallback that were tried are kept; give the same command again to "
            "go on"
        )
    return "nothing is kept of this run; give the same command again to begin anew"
