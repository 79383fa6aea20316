"""`echotok mine`: a table folder and a review sheet from reports."""

from __future__ import annotations

import shutil
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from echotok.cli.console import mining_bar
from echotok.errors import InputError

if TYPE_CHECKING:
    pass

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
        help="public word lists, of the language or the field: one word a line, what follows a "
        "space or tab is not read. They train the fallback beside the words of the reports, for "
        "the words that new reports bring",
    )
    parser.add_argument(
        "--base",
        metavar="TABLE_DIR",
        help="grow this table: rows are appended, every id and the fallback stay; --vocab-size "
        "counts its tokens too, and --out may be the same folder",
    )
    parser.add_argument(
        "--steps", action="store_true", help="say on stderr how long each step took"
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
    from echotok.cli.console import progress, tell
    from echotok.corpora import read_reports
    from echotok.leftovers import describe_leftovers
    from echotok.mining import (
        UNITS,
        Options,
        PrivateFinder,
        ReportStore,
        grow,
        mine,
        review_rows,
        write_held_back,
        write_sheet,
    )
    from echotok.mining.release import read_allowed
    from echotok.mining.session import kept_state, read_base, read_public_words
    from echotok.table.checks import validate_table
    from echotok.table.writing import append_phrases, write_table

    if arguments.k < 1 or (arguments.k < 2 and not arguments.allow_rare):
        arguments.parser.error(
            "--k below 2 takes what a single patient's report says into the table; if that is "
            "meant, add --allow-rare"
        )
    if arguments.words and arguments.base is not None:
        arguments.parser.error("--words trains a new fallback, and --base keeps the old one")
    out = Path(arguments.out)
    base = None if arguments.base is None else read_base(Path(arguments.base))
    if arguments.base is not None and out.resolve() == Path(arguments.base).resolve():
        pass  # the same folder grows in place
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already and not empty; name another folder")
    units = UNITS if base is None else base.table.units
    options = Options(
        vocab_size=arguments.vocab_size,
        k=arguments.k,
        units=units,
        name=arguments.name or out.resolve().name,
        locale=arguments.locale,
        num_merges=arguments.merges,
        words=read_public_words(arguments.words, units),
    )
    private = Path(arguments.private or f"{out.resolve()}.private.csv")
    if out.resolve() in (private.resolve(), *private.resolve().parents):
        arguments.parser.error("--private names people: keep it outside of TABLE_DIR")
    allowed = None if arguments.allow is None else read_allowed(Path(arguments.allow), units)
    store = ReportStore(
        units=options.units, find_private=PrivateFinder(allowed=allowed.lines if allowed else ())
    )
    begin = time.monotonic()
    with progress("reading") as advance:
        for report in read_reports(
            arguments.reports,
            column=arguments.text_column,
            patient_column=arguments.patient_column,
            warn=lambda text: tell(f"echotok: {text}"),
        ):
            store.add(report.text, patient=report.patient)
            advance(1)
    for told_of in describe_leftovers(store.leftovers, store.num_reports):
        tell(f"echotok: {told_of}")
    if arguments.steps:
        tell(f"step: {time.monotonic() - begin:.1f} s reading")
    state = Path(f"{out.resolve()}.mining-state.json")
    with (
        kept_state(state, options, store) as (trials, keep),
        mining_bar(steps=arguments.steps) as told,
    ):
        if base is not None:
            mined = grow(store, options, base, report=told)
        else:
            mined = mine(store, options, report=told, trials=trials, checkpoint=keep)
    if base is None:
        write_table(mined.table, out, mined.fallback)
    else:
        if out.resolve() != Path(arguments.base).resolve():
            shutil.copytree(arguments.base, out, dirs_exist_ok=True)
        append_phrases(mined.table, out)
    write_sheet(review_rows(store, mined), out / "review.tsv")
    validate_table(out)
    if allowed is not None:
        tell(f"echotok: {allowed.tell(store.released())}")
    held = store.held_back(k=options.k)
    if held:
        write_held_back(held, private)
        tell(
            f"echotok: {len(held):,} texts that may name a person, a date or a place were held "
            f"back; they are listed in {private}: keep it as you keep the reports"
        )
    added = len(mined.table.phrases) - (0 if base is None else len(base.table.phrases))
    new = "" if base is None else f"{added:,} new of "
    tell(
        f"wrote {out}: {new}{len(mined.table.phrases):,} phrases, {mined.vocab_size:,} tokens, "
        f"{mined.num_tokens / store.num_reports:.1f} tokens a report of {store.num_reports:,}. "
        f"Read {out / 'review.tsv'}, then: echotok build {out} --out {options.name}.json"
    )
    return 0
