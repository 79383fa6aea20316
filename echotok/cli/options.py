"""Options that several sub-commands have, each declared once: name, default and help."""

from __future__ import annotations

import argparse
import codecs
from argparse import ArgumentParser
from collections.abc import Callable

__all__ = [
    "add_clip_merges",
    "add_column",
    "add_context_length",
    "add_json",
    "add_reports",
    "add_table_dir",
    "add_tokenizer",
    "whole_number",
]


def whole_number(low: int) -> Callable[[str], int]:
    """A type for argparse: a whole number that is at least `low`."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < low:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {low}")
        return int(text)

    return parse


def add_reports(parser: ArgumentParser) -> None:
    """Add the inputs, files or stdin, and how reports are found in them."""
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="FILE",
        help="files, or folders of *.txt; with '-' or no file, stdin is read",
    )
    add_column(parser)
    parser.add_argument(
        "--lines", action="store_true", help="take each line of a plain text input as a report"
    )


def add_column(parser: ArgumentParser) -> None:
    """Add `--column`, which names the reports' column in a table, and how files are written."""
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="the reports' column in a CSV, TSV or Parquet file, or their key in a JSON Lines file "
        "(default: text, report or report_text, whichever is there)",
    )
    parser.add_argument(
        "--delimiter",
        type=_delimiter,
        metavar="CHAR",
        help="what stands between the cells of a CSV or TSV file: a character, or comma, "
        "semicolon, tab or pipe (default: found in the header)",
    )
    parser.add_argument(
        "--encoding",
        type=_encoding,
        metavar="NAME",
        help="encoding of text files and tables, such as windows-1252 or utf-16-le (default: "
        "UTF-8, or what a byte-order mark says)",
    )
    parser.set_defaults(parser=parser)


_CHARACTERS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " "}


def _delimiter(text: str) -> str:
    character = _CHARACTERS.get(text.lower(), text)
    if len(character) != 1 or character in '"\r\n\0' or character.isalnum():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a delimiter; give one character, or comma, semicolon, tab or pipe"
        )
    return character


def _encoding(text: str) -> str:
    try:
        "".encode(text)
        return codecs.lookup(text).name
    except (LookupError, ValueError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an encoding of text that Python knows; such are utf-8, utf-16-le, "
            "windows-1252, latin-1, mac-roman"
        ) from None


def add_tokenizer(parser: ArgumentParser, *, more: str = "") -> None:
    """Add `--tokenizer`, and the path of the merges that a tokenizer over CLIP needs.

    Args:
        parser: parser of the sub-command.
        more: what this sub-command takes beside ours, for the help text.
    """
    parser.add_argument(
        "--tokenizer",
        default="echo",
        metavar="NAME",
        help=f"echo, echo-clip, or the path of an artifact{more} (default echo)",
    )
    add_clip_merges(parser)


def add_clip_merges(parser: ArgumentParser) -> None:
    """Add `--clip-merges`."""
    parser.add_argument(
        "--clip-merges",
        metavar="PATH",
        help="path of CLIP's bpe_simple_vocab_16e6.txt.gz, where open_clip_torch is not installed",
    )


def add_context_length(parser: ArgumentParser) -> None:
    """Add `--context-length`."""
    parser.add_argument(
        "--context-length",
        type=whole_number(3),
        metavar="N",
        help="cut reports to at most N ids, between units, and say how many were cut",
    )


def add_json(parser: ArgumentParser, what: str) -> None:
    """Add `--json`.

    Args:
        parser: parser of the sub-command.
        what: help text, which says what is printed as JSON.
    """
    parser.add_argument("--json", action="store_true", help=what)


def add_table_dir(parser: ArgumentParser) -> None:
    """Add the folder of a phrase table."""
    parser.add_argument("table_dir", metavar="TABLE_DIR", help="the folder with table.toml")
