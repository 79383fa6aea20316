"""`echoclip-r`: from an archive's files to training shards, models, their evaluation and search.

Results go to stdout, messages and progress to stderr. Exit codes are those of `echotok`: 0 done, 1
an error that says what to do, 2 wrong usage, 130 stopped by Ctrl-C, 141 when the reader of a pipe
has left.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from echoclip_r.cli import data as cli_data
from echoclip_r.cli import evaluate as cli_evaluate
from echoclip_r.cli import exchange as cli_exchange
from echoclip_r.cli import search as cli_search
from echoclip_r.cli import serve as cli_serve
from echoclip_r.cli import train as cli_train
from echoclip_r.errors import EchoclipError, OptionError
from echotok import errors as echotok_errors
from echotok.cli.running import (
    CommandParser,
    add_common_options,
    add_version,
    run_command,
)

__all__ = ["build_parser", "main"]

# Each has `add_commands(commands)`: it adds sub-parsers whose default `run` takes the arguments and
# prints the result on stdout, and whose `stopped` says what to type after Ctrl-C.
# What a command needs (torch, av, pandas, scipy) it imports when it runs: --help is instant.
_COMMAND_MODULES = (cli_data, cli_train, cli_search, cli_serve, cli_evaluate, cli_exchange)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, with `argv` as in `sys.argv[1:]`, and return the exit code."""
    return run_command(
        build_parser(),
        argv,
        errors=(EchoclipError, echotok_errors.EchotokError),
        usage_errors=(OptionError, echotok_errors.OptionError),
        extra="echoclip-r",
    )


def build_parser() -> ArgumentParser:
    """The parser of all commands."""
    parser = CommandParser(
        prog="echoclip-r",
        description="Turn an echo archive's files into training shards; train, evaluate and search "
        "with models; exchange models with open_clip; and make archives of simulated patients.",
    )
    add_version(parser)
    add_common_options(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in _COMMAND_MODULES:
        module.add_commands(commands)
    for command in commands.choices.values():
        add_common_options(command)
    return parser
