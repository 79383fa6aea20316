"""The command line: `echotok encode | decode | show | stats | mine | build | validate`.

Results go to stdout, messages to stderr. Exit codes: 0 done, 1 an error that says what to do (or a
broken rule in `validate`, a lossy report in `stats`), 2 bad usage, 130 interrupted, 141 when the
reader of a pipe has left.

What a command needs is imported when it runs, so that `--help` comes at once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

from echotok.cli import commands as cli_commands
from echotok.cli import mine as cli_mine
from echotok.cli.console import tell
from echotok.errors import EchotokError

__all__ = ["main", "make_parser"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments behind the program's name; None takes the process's own.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Not the terminal's encoding: a pipe of ours is read back as UTF-8. A lone surrogate
            # has no UTF-8, so it is written as \udXXX.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        arguments = make_parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse: --help, --version, bad usage
        return stop.code if isinstance(stop.code, int) else 2
    except EchotokError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader (`head`, say) has seen enough; Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except OSError as error:
        return _fail(f"{error.filename or 'output'}: {error.strerror or error}")
    except KeyboardInterrupt:
        return _fail("interrupted", code=130)


def _fail(message: str, *, code: int = 1) -> int:
    tell(f"echotok: {message}")
    return code


# The arguments


def make_parser() -> argparse.ArgumentParser:
    """The parser of all sub-commands."""
    from echotok import __version__

    parser = argparse.ArgumentParser(
        prog="echotok", description="Whole clinical reports in few tokens, nothing lost."
    )
    parser.add_argument(
        "--version", action="version", version=f"echotok {__version__}", help="print it and exit"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _encode_arguments(commands.add_parser("encode", help="reports to ids, a line a report"))
    _decode_arguments(commands.add_parser("decode", help="lines of ids to normalized text"))
    _show_arguments(commands.add_parser("show", help="a report with its tokens marked"))
    _stats_arguments(commands.add_parser("stats", help="compression and coverage of a corpus"))
    cli_mine.add_arguments(commands.add_parser("mine", help="reports to a proposed phrase table"))
    _build_arguments(commands.add_parser("build", help="a phrase table to a tokenizer"))
    _validate_arguments(commands.add_parser("validate", help="check a phrase table"))
    return parser


def _encode_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Encode reports: one line of ids a report."
    _input_arguments(parser)
    _tokenizer_arguments(parser)
    _context_argument(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a report: source, ids, tokens, offsets, kinds, num_dropped",
    )
    parser.add_argument(
        "--refuse-control",
        action="store_true",
        help="stop at a report that holds a literal <eos>, {number} or the like, instead of "
        "taking it as text",
    )
    parser.set_defaults(run=cli_commands.encode)


def _decode_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Decode ids: one line of normalized text a line of ids."
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="FILE",
        help="lines of ids, or JSON lines with 'ids', as encode writes them; '-' or nothing is "
        "stdin",
    )
    _tokenizer_arguments(parser)
    parser.set_defaults(run=cli_commands.decode)


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show reports with their tokens marked: [phrase], <value>, BPE\u00b7pieces. Colours follow "
        "the terminal; NO_COLOR=1 and FORCE_COLOR=1 overrule it."
    )
    _input_arguments(parser)
    _tokenizer_arguments(parser)
    _context_argument(parser)
    parser.add_argument(
        "--html",
        metavar="FILE",
        help="write a self-contained page there instead ('-' is stdout); it holds the reports",
    )
    parser.add_argument(
        "--limit", type=_at_least(1), metavar="N", help="show the first N reports only"
    )
    parser.set_defaults(run=cli_commands.show)


def _stats_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Measure what a tokenizer does to a corpus, beside CLIP's BPE."
    _input_arguments(parser)
    _tokenizer_arguments(parser)
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object")
    parser.add_argument(
        "--min-reports",
        type=_at_least(1),
        default=5,
        metavar="N",
        help="show an uncovered stretch only when N reports hold it, since rare text may be a "
        "patient's own (default 5)",
    )
    parser.add_argument(
        "--top",
        type=_at_least(0),
        default=20,
        metavar="N",
        help="how many uncovered stretches to show (default 20)",
    )
    parser.add_argument(
        "--workers", type=_at_least(1), default=1, metavar="N", help="processes (default 1)"
    )
    parser.set_defaults(run=cli_commands.stats)


def _build_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Make a tokenizer from a phrase table's folder."
    parser.add_argument("table_dir", metavar="TABLE_DIR", help="the folder with table.toml")
    parser.add_argument("--out", required=True, metavar="ARTIFACT", help="the file to write")
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
        help="reports whose words train the domain fallback; as the inputs of encode",
    )
    parser.add_argument(
        "--corpus-column", metavar="NAME", help="column of the corpus, as --column of encode"
    )
    parser.add_argument(
        "--base",
        metavar="ARTIFACT",
        help="grow this earlier artifact of the table: its fallback and every old id stay",
    )
    parser.add_argument(
        "--min-documents",
        type=_at_least(1),
        default=5,
        metavar="N",
        help="a word of the corpus counts only when N reports hold it (default 5)",
    )
    parser.add_argument(
        "--name", help="name of the tokenizer (default the table's, with -clip for that fallback)"
    )
    _merges_argument(parser)
    parser.set_defaults(run=cli_commands.build, parser=parser)


def _validate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Check a phrase table; one line a broken rule: file:line: rule: message."
    parser.add_argument("table_dir", metavar="TABLE_DIR", help="the folder with table.toml")
    parser.set_defaults(run=cli_commands.validate)


def _input_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="FILE",
        help="files, or folders of *.txt; '-' or nothing is stdin",
    )
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="column of a CSV or TSV, or key of a JSON Lines file (default text, report or "
        "report_text)",
    )
    parser.add_argument(
        "--lines", action="store_true", help="each line of a plain text input is a report"
    )
    parser.set_defaults(parser=parser)


def _tokenizer_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tokenizer",
        default="echo",
        metavar="NAME",
        help="echo, echo-clip, or the path of an artifact (default echo)",
    )
    _merges_argument(parser)


def _merges_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clip-merges",
        metavar="PATH",
        help="CLIP's bpe_simple_vocab_16e6.txt.gz, where open_clip_torch is not installed",
    )


def _context_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--context-length",
        type=_at_least(3),
        metavar="N",
        help="cut reports between units to at most N ids, and say so",
    )


def _at_least(low: int) -> Callable[[str], int]:
    """A type for argparse: a whole number from `low` on."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < low:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} on")
        return int(text)

    return parse
