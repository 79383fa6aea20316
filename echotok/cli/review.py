"""`echotok review`: a page or a sheet on which a person decides on the phrases of a table."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from echotok.cli.options import add_table_dir

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of `echotok review`.

    Args:
        parser: parser of the sub-command.
    """
    parser.description = (
        "Review a phrase table: write a page for a browser, or a sheet for a spreadsheet, with one "
        "row for each phrase. Keep, drop or rename; then echotok build TABLE_DIR --review "
        "review.csv follows the decisions."
    )
    add_table_dir(parser)
    parser.add_argument(
        "--out",
        metavar="PAGE",
        help="write a self-contained page ('-' is stdout), which is worked with keys and saves "
        "review.csv",
    )
    parser.add_argument(
        "--sheet",
        metavar="FILE",
        help="write the sheet itself, to fill in by hand: a CSV file with the columns phrase, "
        "decision (keep, drop, rename or empty), new_phrase, note",
    )
    parser.add_argument(
        "--review",
        metavar="FILE",
        help="go on with the decisions in this file; phrases that it does not have are undecided",
    )
    parser.set_defaults(run=run, parser=parser)


def run(arguments: Namespace) -> None:
    """Run `echotok review`.

    Args:
        arguments: as `add_arguments` declares them.
    """
    from echotok.cli.console import tell
    from echotok.errors import InputError
    from echotok.table.checks import validate_table
    from echotok.table.review import apply_review, read_mined_sheet, read_review, write_review
    from echotok.text_files import write_whole
    from echotok.view.review import arrange, to_review_page

    if arguments.out is None and arguments.sheet is None:
        arguments.parser.error("give --out PAGE for a browser, or --sheet FILE for a spreadsheet")
    for path in (arguments.out, arguments.sheet):
        if path is not None and Path(path).is_dir():
            raise InputError(f"{path} is a folder; name a file, such as {Path(path) / 'review'}")
    table = validate_table(arguments.table_dir)
    if not table.live:
        raise InputError(f"{arguments.table_dir}: every phrase is retired; there is none to review")
    review = None
    if arguments.review is not None:
        given = read_review(arguments.review)
        review = given.of(table)
        if left := len(given.rows) - len(review.rows):
            if not review.rows:
                raise InputError(
                    f"{arguments.review}: none of its {left:,} phrases is in "
                    f"{arguments.table_dir}; it is the review of another table"
                )
            tell(f"echotok: {left:,} phrases of {arguments.review} are not in the table: left out")
        apply_review(table, review)  # what cannot be followed is said now, not after an evening
    groups = arrange(table, read_mined_sheet(arguments.table_dir)[1], review)
    num_phrases = sum(len(group.rows) for group in groups)
    about = f"{num_phrases:,} phrases in {len(groups):,} groups of the same start"
    if arguments.sheet is not None:
        sheet = Path(arguments.sheet)
        same = arguments.review is not None and sheet.resolve() == Path(arguments.review).resolve()
        if sheet.exists() and not same:
            raise InputError(
                f"{sheet} is there already, and may hold decisions; name another file, or go on "
                f"with its decisions: --review {sheet}"
            )
        rows = [row for group in groups for row in group.rows]
        write_review(
            (row.decision for row in rows),
            sheet,
            more={
                name: {row.phrase.text: row.counts[name] for row in rows if name in row.counts}
                for name in next(iter(rows)).counts
            },
        )
        tell(f"wrote {sheet}: {about}; fill the column decision with keep, drop or rename")
    if arguments.out is not None:
        page = to_review_page(table, groups)
        if arguments.out == "-":
            sys.stdout.write(page)
        else:
            write_whole(arguments.out, page)
            tell(
                f"wrote {arguments.out}: {about}; open it in a browser, decide, and save review.csv"
            )
    tell(
        f"then: echotok build {arguments.table_dir} --review "
        f"{arguments.sheet or 'review.csv'} --out {table.name}.json"
    )
