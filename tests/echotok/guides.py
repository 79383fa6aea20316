"""The commands and Python blocks of README.md and docs/*.md, for the tests that run them."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDES = (README, ROOT / "CONTRIBUTING.md", ROOT / "phrase_tables" / "README.md",
          *sorted((ROOT / "docs").glob("*.md")))  # fmt: skip
# Files of docs that tell of the past, or are written by a command.
GUIDES = tuple(path for path in GUIDES if path.name not in ("log.md", "architecture.md"))
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_INLINE = re.compile(r"(?<!`)`((?:echotok|echoclip-r|make|python) [^`\n]+)`(?!`)")
PROGRAMS = ("echotok", "echoclip-r", "python", "torchrun", "make", "pip", "git")


class Block(NamedTuple):
    """A fenced block: its file and line, the language behind the fence ("" for none), its text."""

    where: str
    language: str
    text: str


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [
        Block(f"{path.name}:{text[: found.start()].count(chr(10)) + 1}", found[1], found[2])
        for found in _BLOCK.finditer(text)
    ]


def commands(block: Block) -> list[str]:
    """The commands of a block of shell lines, each on one line and without its remark.

    A block with any other line is none: it has no commands.
    """
    if block.language not in ("", "bash", "sh"):
        return []
    lines = block.text.replace("\\\n", " ").splitlines()
    found = [" ".join(re.sub(r"(^|\s)#.*", "", line).split()) for line in lines]
    # `[--option VALUE]` in a line says that it may be left out.
    found = [re.sub(r"\[(--[^\]]*)\]", r"\1", line) for line in found]
    found = [line for line in found if line]
    return found if all(line.split()[0] in PROGRAMS for line in found) else []


def inline(path: Path) -> list[str]:
    """Commands in running text and in tables, whose arguments may be missing."""
    text = _BLOCK.sub("", path.read_text(encoding="utf-8"))
    return [found[1] for found in _INLINE.finditer(text)]


def words_of(command: str, program: str) -> list[str] | None:
    """The arguments of one of our two programs, up to a pipe; None where another one is called."""
    words = shlex.split(command)
    ends = [at for at, word in enumerate(words) if word in ("|", ">", "&&")]
    words = words[: ends[0]] if ends else words
    module = program.replace("-", "_")
    if words[0] == program:
        return words[1:]
    if "-m" in words and words[words.index("-m") + 1] == module:
        return words[words.index("-m") + 2 :]
    return None


def parser_of(parser: ArgumentParser, words: list[str]) -> ArgumentParser:
    """The parser of the sub-command, and of the one below it, that the words name."""
    for word in words:
        choices = [
            action.choices
            for action in parser._actions
            if isinstance(action.choices, dict) and word in action.choices
        ]
        if not choices:
            break
        parser = choices[0][word]
    return parser


def unknown_options(parser: ArgumentParser, words: list[str]) -> Iterator[str]:
    """The options among the words that the program does not have, spelt in full."""
    known = {*parser._option_string_actions, *parser_of(parser, words)._option_string_actions}
    for word in words:
        option = word.partition("=")[0]
        if re.match(r"--?[a-z]", option) and option not in known:
            yield option


def check_commands(path: Path, parser: ArgumentParser, program: str) -> None:
    """Parse every command of one of our two programs in a guide.

    Blocks are parsed whole; commands in running text may lack arguments, not have wrong ones.
    """
    for block in blocks(path):
        for command in commands(block):
            words = words_of(command, program)
            if words is not None:
                assert not [*unknown_options(parser, words)], f"{block.where}: {command}"
                parser.parse_args(words)
    for command in inline(path):
        words = words_of(command, program)
        if words is None or not words or words[0].isupper():
            continue
        assert words[0].startswith("-") or parser_of(parser, words[:1]) is not parser, command
        assert not [*unknown_options(parser, words)], f"{path.name}: {command}"
