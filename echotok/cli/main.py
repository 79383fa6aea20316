"""The command line `echotok`, with a sub-command for each thing that it does.

Results go to stdout, messages to stderr. Exit codes: 0 done, 1 an error that says what to do (or a
broken rule in `validate`, or a report that does not decode exactly in `stats`), 2 wrong usage, 130
interrupted, 141 when the reader of a pipe has left.

The modules that a command needs are imported when it runs, so that `--help` comes at once.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from echotok.cli import commands as cli_commands
from echotok.cli import findings as cli_findings
from echotok.cli import mine as cli_mine
from echotok.cli import review as cli_review
from echotok.cli.options import (
    add_clip_merges,
    add_column,
    add_context_length,
    add_json,
    add_reports,
    add_table_dir,
    add_tokenizer,
    whole_number,
)
from echotok.cli.running import (
    CommandParser,
    add_common_options,
    add_version,
    run_command,
)
from echotok.errors import EchotokError, OptionError

__all__ = ["main", "make_parser"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments behind the program's name; None takes the process's own.

    Returns:
        The exit code.
    """
    return run_command(
        make_parser(), argv, errors=(EchotokError,), usage_errors=(OptionError,), extra="build"
    )


# The arguments


def make_parser() -> ArgumentParser:
    """The parser of all sub-commands."""
    parser = CommandParser(
        prog="echotok",
        description="Write whole clinical reports in few tokens, with nothing lost.",
    )
    add_version(parser)
    add_common_options(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, about, add_arguments in (
        ("encode", "turn reports into ids, one line for each report", _encode_arguments),
        ("decode", "turn lines of ids back into normalized text", _decode_arguments),
        ("show", "show reports with their tokens marked", _show_arguments),
        ("stats", "measure compression and coverage of a corpus", _stats_arguments),
        ("findings", "turn reports into a table of what they say", cli_findings.add_arguments),
        ("mine", "propose a phrase table for your reports", cli_mine.add_arguments),
        ("review", "keep, drop or rename the phrases of a table", cli_review.add_arguments),
        ("build", "make a tokenizer from a phrase table", _build_arguments),
        ("export", "write a tokenizer in the format of another library", _export_arguments),
        ("validate", "check a phrase table", _validate_arguments),
        ("sample", "write reports of simulated patients, to try the others on", _sample_arguments),
    ):
        command = commands.add_parser(name, help=about)
        add_arguments(command)
        add_common_options(command)
    return parser


def _encode_arguments(parser: ArgumentParser) -> None:
    parser.description = "Encode reports: print one line of ids for each report."
    add_reports(parser)
    add_tokenizer(parser)
    add_context_length(parser)
    add_json(
        parser,
        "print one JSON object for each report: source, ids, tokens, offsets, kinds, num_dropped",
    )
    parser.add_argument(
        "--refuse-control",
        action="store_true",
        help="stop at a report that holds a literal <eos>, {number} or the like, instead of "
        "taking it as text",
    )
    parser.set_defaults(run=cli_commands.encode)


def _decode_arguments(parser: ArgumentParser) -> None:
    parser.description = "Decode ids: print one line of normalized text for each line of ids."
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="FILE",
        help="lines of ids, or JSON lines with 'ids', as encode writes them; with '-' or no file, "
        "they are read from stdin",
    )
    add_tokenizer(parser)
    parser.set_defaults(run=cli_commands.decode)


def _show_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Show reports with their tokens marked: [phrase], <value>, BPE\u00b7pieces. A terminal "
        "gets colours and a file does not; NO_COLOR=1 and FORCE_COLOR=1 override this."
    )
    add_reports(parser)
    add_tokenizer(parser)
    add_context_length(parser)
    parser.add_argument(
        "--html",
        metavar="FILE",
        help="write a self-contained page to this file instead ('-' is stdout); the page holds "
        "the text of the reports",
    )
    parser.add_argument(
        "--limit", type=whole_number(1), metavar="N", help="show the first N reports only"
    )
    parser.set_defaults(run=cli_commands.show)


def _stats_arguments(parser: ArgumentParser) -> None:
    parser.description = "Measure what a tokenizer does to a corpus, beside CLIP's BPE."
    add_reports(parser)
    add_tokenizer(
        parser,
        more="; or one of others: a folder or tokenizer.json of Hugging Face, or an encoding of "
        "tiktoken such as tiktoken:cl100k_base",
    )
    add_json(parser, "print the figures as one JSON object")
    parser.add_argument(
        "--min-reports",
        type=whole_number(1),
        default=5,
        metavar="N",
        help="show an uncovered stretch of text only when at least N reports hold it, since rare "
        "text may be a patient's own (default 5)",
    )
    parser.add_argument(
        "--top",
        type=whole_number(0),
        default=20,
        metavar="N",
        help="number of uncovered stretches of text to show (default 20)",
    )
    parser.add_argument(
        "--workers",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="largest number of processes (default 1); they are started only where they pay (for "
        "more than some four seconds of work, and not more than there are processors), and let go "
        "where one process is faster",
    )
    parser.set_defaults(run=cli_commands.stats)


def _build_arguments(parser: ArgumentParser) -> None:
    parser.description = "Make a tokenizer from a phrase table's folder."
    add_table_dir(parser)
    parser.add_argument("--out", metavar="ARTIFACT", help="the file to write")
    parser.add_argument(
        "--hf",
        metavar="FOLDER",
        help="write a folder that EchotokTokenizer and AutoTokenizer of Hugging Face transformers "
        "load; in place of --out, or beside it",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a file that is there, also by a tokenizer with other ids; without it, only a "
        "growth may be written over an artifact: models that were trained with it go on reading it",
    )
    parser.add_argument(
        "--fallback",
        choices=("domain", "clip"),
        default="domain",
        help="what encodes the text that no phrase covers: a BPE trained here, or CLIP's "
        "(default domain)",
    )
    parser.add_argument(
        "--corpus",
        nargs="+",
        default=[],
        metavar="FILE",
        help="reports whose words train the domain fallback: files or folders, as for encode",
    )
    add_column(parser)
    parser.add_argument(
        "--review",
        metavar="FILE",
        help="the decisions of a person on the phrases (keep, drop, rename), as echotok review "
        "gathers them; TABLE_DIR stays as it is",
    )
    parser.add_argument(
        "--write-table",
        metavar="NEW_DIR",
        help="with --review: write the reviewed table, too, to this folder",
    )
    parser.add_argument(
        "--base",
        metavar="ARTIFACT",
        help="grow this earlier artifact of the table: its fallback and every old id stay the same",
    )
    parser.add_argument(
        "--min-documents",
        type=whole_number(1),
        default=5,
        metavar="N",
        help="a word of the corpus counts only when at least N reports hold it (default 5)",
    )
    parser.add_argument(
        "--name",
        help="name of the tokenizer (default: the table's name, with -clip for CLIP's fallback)",
    )
    add_clip_merges(parser)
    parser.set_defaults(run=cli_commands.build)


def _export_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Write a tokenizer in the format of another library. The tokenizer.json of Hugging Face "
        "tokenizers gives the same ids where the table has no slots; where it has, the difference "
        "is measured and printed."
    )
    add_tokenizer(parser)
    parser.add_argument(
        "--format", choices=("huggingface",), default="huggingface", help="(default huggingface)"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--measure",
        nargs="+",
        default=[],
        metavar="FILE",
        help="reports on which the difference is measured: files or folders, as for encode "
        "(default: 200 texts that are made from the table's own phrases)",
    )
    add_column(parser)
    parser.set_defaults(run=cli_commands.export)


def _validate_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Check a phrase table; print one line for each broken rule, as file:line: rule: message."
    )
    add_table_dir(parser)
    parser.set_defaults(run=cli_commands.validate)


def _sample_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Write a CSV file of 79 echo reports, of 40 simulated patients, to try the other commands "
        "on: study_id, patient_id, date, report. They were written by this project's phantom; no "
        "patient stands behind them."
    )
    parser.add_argument(
        "--out", metavar="FILE", help="the file to write (default: the table goes to stdout)"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.set_defaults(run=cli_commands.sample)
