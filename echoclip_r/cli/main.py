"""`echoclip-r`: from an archive's files to training shards, and phantom archives.

Results go to stdout, messages and progress to stderr. Exit status: 0 done, 1 it cannot be done
(with the reason), 2 wrong usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from echoclip_r.cli import data as cli_data
from echoclip_r.cli import evaluate as cli_evaluation
from echoclip_r.cli import search as cli_retrieval
from echoclip_r.cli import train as cli_train
from echoclip_r.errors import EchoclipError

__all__ = ["build_parser", "main"]

_log = logging.getLogger(__name__)

# Each has `add_commands(commands)`: it adds sub-parsers whose default `run` takes the arguments,
# prints the result on stdout and raises EchoclipError (or ValueError: an option out of range).
# What a command needs (torch, av, pandas, scipy) it imports when it runs: --help is instant.
_COMMAND_MODULES = (cli_data, cli_train, cli_retrieval, cli_evaluation)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` as in `sys.argv[1:]`. Returns the exit status."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if arguments.verbose else logging.WARNING,
        format="echoclip-r: %(message)s",
    )
    try:
        arguments.run(arguments)
    except EchoclipError as error:
        print(f"echoclip-r: {error}", file=sys.stderr)
        return 1
    except ValueError as error:  # an option out of range; the functions themselves know the ranges
        _log.info("it was found here:", exc_info=error)
        parser.error(str(error))
    except KeyboardInterrupt:
        print("echoclip-r: stopped; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="echoclip-r",
        description="From an echo archive's files to training shards, and phantom archives.",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="tell more on stderr")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in _COMMAND_MODULES:
        module.add_commands(commands)
    return parser
