"""What both command lines of this distribution share: how a command is run, and how it may end.

Exit codes: 0 done, 1 an error that says what to do, 2 wrong usage, 130 interrupted, 141 when the
reader of a pipe has left. Any other exception, above all a `ValueError`, is a bug of ours and shows
its traceback.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from argparse import SUPPRESS, Action, ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

__all__ = ["CommandParser", "add_common_options", "add_version", "run_command"]

_LOGGERS = ("echotok", "echoclip_r")
# Options that name a file or folder to write.
_OUTPUTS = ("out", "html", "private", "page", "sheet", "write_table")


class CommandParser(ArgumentParser):
    """A parser that says which option or command a misspelt one was probably meant to be."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in argparse; an option that a sub-command does not know is an error of its own."""
        self._given = [str(word) for word in (sys.argv[1:] if args is None else args)]
        known, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return known, left

    def error(self, message: str) -> NoReturn:
        """Say what is wrong on stderr, with the nearest known name, and end with exit code 2."""
        from echotok.spelling import did_you_mean

        known = [option for option in self._option_string_actions if option.startswith("--")]
        # Only options are repeated: anything else might be the text of a report.
        words = [word.partition("=")[0] for word in self._given if word.startswith("--")]
        unknown = [word for word in words if not any(name.startswith(word) for name in known)]
        told = f"unknown option {unknown[0]}{did_you_mean(unknown[0], known)}" if unknown else ""
        if message.startswith("unrecognized arguments: "):
            message = told or f"there is an option or argument too many, {self.prog} --help"
        elif (
            re.match("the following arguments are required|one of the arguments", message) and told
        ):
            message += f"; {told}"
        elif found := re.search(r"invalid choice: '([^']{1,60})' \(choose from (.*)\)", message):
            known = [name.strip(" '") for name in found[2].split(",")]
            message += did_you_mean(found[1], known)
        super().error(message)


class _PrintCompletion(Action):
    """`--print-completion SHELL`: print what a shell needs to complete this command."""

    def __call__(self, parser: ArgumentParser, *values: Any) -> None:
        try:
            import shtab
        except ModuleNotFoundError:
            parser.error(
                "--print-completion needs the Python package shtab: pip install "
                '"echotok[completion]"'
            )
        _complete_files(parser)
        print(shtab.complete(parser, shell=values[1]))
        parser.exit()


# The extras that serve one option of a command, by the package that is missing without them.
_EXTRA_OF = {"transformers": "transformers"}
# Metavars of options that take a file or folder; a shell completes names of files for them.
_FILES = (
    "FILE",
    "ARTIFACT",
    "REPORTS",
    "PATH",
    "TABLE_DIR",
    "DIR",
    "CSV",
    "PNG",
    "RUN",
    "MANIFEST",
)


def _complete_files(parser: ArgumentParser) -> None:
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for command in action.choices.values():
                _complete_files(command)
        elif action.metavar in _FILES:
            files = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
            action.complete = files  # type: ignore[attr-defined]


class _PrintVersion(Action):
    """Prints the version, and which engine encodes reports here."""

    def __call__(self, parser: ArgumentParser, *_: object) -> None:
        from echotok import __version__
        from echotok.engine.core import engine_in_use

        print(f"{parser.prog} {__version__} ({engine_in_use()})")
        parser.exit()


def add_version(parser: ArgumentParser) -> None:
    """Add `--version` and `--print-completion` to the parser of a whole command line.

    Args:
        parser: parser whose `prog` is the command's name.
    """
    parser.add_argument(
        "--version",
        action=_PrintVersion,
        nargs=0,
        help="print the version and the engine that encodes, and exit",
    )
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=("bash", "zsh", "tcsh"),
        metavar="SHELL",
        help="print completion for bash, zsh or tcsh, and exit; for bash: "
        f'eval "$({parser.prog} --print-completion bash)"',
    )
    parser.set_defaults(verbosity=0)


def add_common_options(parser: ArgumentParser) -> None:
    """Add `-v` and `-q`, which may stand before or behind the name of a sub-command.

    Args:
        parser: parser of the whole command line, or of one sub-command.
    """
    how_much = parser.add_mutually_exclusive_group()
    # SUPPRESS: a sub-command's parser must not overwrite what stood before its name.
    how_much.add_argument(
        "-v",
        "--verbose",
        action="store_const",
        const=1,
        default=SUPPRESS,
        dest="verbosity",
        help="say more on stderr, such as how long each step took",
    )
    how_much.add_argument(
        "-q",
        "--quiet",
        action="store_const",
        const=-1,
        default=SUPPRESS,
        dest="verbosity",
        help="say only errors on stderr, and draw no progress bar",
    )


def run_command(
    parser: ArgumentParser,
    argv: Sequence[str] | None,
    *,
    errors: tuple[type[Exception], ...],
    usage_errors: tuple[type[Exception], ...],
    extra: str,
) -> int:
    """Parse the arguments, run the command that they name, and turn its end into an exit code.

    Args:
        parser: parser whose sub-commands set `run`, a function of the parsed arguments that may
            return an exit code. They may also set `stopped`, a function of the parsed arguments
            that says what to type after Ctrl-C.
        argv: the arguments behind the program's name; None takes the process's own.
        errors: exceptions whose message tells a user what to do; they end with exit code 1.
        usage_errors: those of `errors` that say that an option has a value which it cannot have;
            they end with exit code 2.
        extra: name of the extra of this distribution that installs what the commands import.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Not the terminal's encoding: a pipe of ours is read back as UTF-8. A lone surrogate
            # has no UTF-8, so it is written as \udXXX.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    name = parser.prog
    arguments = Namespace()
    try:
        arguments = parser.parse_args(argv)
        writes_file = any(
            isinstance(vars(arguments).get(option), (str, Path)) and vars(arguments)[option] != "-"
            for option in _OUTPUTS
        )
        with _verbosity(arguments.verbosity, name), _outliving(stdout=writes_file) as has_left:
            code: int | None = arguments.run(arguments)
            sys.stdout.flush()
        return 128 + 13 if has_left() and not code else code or 0
    except SystemExit as stop:  # argparse: --help, --version, bad usage
        return stop.code if isinstance(stop.code, int) else 2
    except errors as error:
        return _fail(name, str(error), code=2 if isinstance(error, usage_errors) else 1)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "echotok", "echoclip_r") or missing in sys.stdlib_module_names:
            raise
        return _fail(
            name,
            f"this command needs the Python package {missing}, which is not installed; "
            f'pip install "echotok[{_EXTRA_OF.get(missing, extra)}]" installs '
            + ("it" if missing in _EXTRA_OF else f"everything that {name} needs"),
        )
    except BrokenPipeError:
        # The reader (`head`, say) has seen enough; Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except ConnectionError as error:  # of a store of files, or of a cluster
        return _fail(name, f"{error}; what is whole is kept: give the same command again")
    except OSError as error:
        return _fail(name, f"{error.filename or 'output'}: {error.strerror or error}")
    except KeyboardInterrupt:
        what_now = getattr(arguments, "stopped", None)
        told = "nothing of this run is kept" if what_now is None else what_now(arguments)
        return _fail(name, f"interrupted; {told}", code=130)


class _Outliving:
    """A stream that goes silent, in place of an error, once the reader of its pipe has left."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.has_left = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        if not self.has_left:
            try:
                return self.stream.write(text)
            except BrokenPipeError:
                self._leave()
        return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except BrokenPipeError:
            self._leave()

    def _leave(self) -> None:
        self.has_left = True
        # What is still buffered has to go somewhere when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


@contextmanager
def _outliving(*, stdout: bool) -> Iterator[Callable[[], bool]]:
    """Go on when nobody reads: what is said on stderr, and beside a file, is not worth the file.

    Args:
        stdout: whether the command also writes a file. Other commands end when their reader does.

    Yields:
        A function that says whether the reader of stdout has left.
    """
    out, err = sys.stdout, sys.stderr
    told = _Outliving(out)
    if stdout:
        sys.stdout = cast(TextIO, told)
    sys.stderr = cast(TextIO, _Outliving(err))
    try:
        yield lambda: told.has_left
    finally:
        sys.stdout, sys.stderr = out, err


def _fail(name: str, message: str, *, code: int = 1) -> int:
    with suppress(BrokenPipeError):
        print(f"{name}: {message}", file=sys.stderr, flush=True)
    return code


@contextmanager
def _verbosity(verbosity: int, name: str) -> Iterator[None]:
    """Set the level of our loggers, which the notes and bars of `console` follow too."""
    level = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}[verbosity]
    logging.basicConfig(stream=sys.stderr, format=f"{name}: %(message)s")
    loggers = [logging.getLogger(logger) for logger in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.setLevel(old)
