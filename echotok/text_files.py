"""Text files as other people's programs write them: read where that is safe, else refused.

UTF-8 is read and, where the file begins with a byte-order mark, UTF-16 and UTF-32, each also inside
of gzip. A file that is not such text (a workbook, a document, UTF-16 without its mark) is refused;
the error says what the file is and what to do. A table's delimiter is told from the names in its
header.

Errors name the file, byte and line; they never quote what is there (I9).
"""

from __future__ import annotations

import codecs
import csv
import errno
import gzip
import io
import os
import re
import secrets
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self, cast

from echotok.errors import InputError

__all__ = [
    "CellReader",
    "Dialect",
    "decode",
    "find_dialect",
    "open_lines",
    "partial_path",
    "read_text",
    "whole_file",
    "write_whole",
]

_HEAD = 65_536
_GZIP = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_AS_CSV = "open it in the program that made it and save it as CSV UTF-8"
_AS_TEXT = "save it as plain text in UTF-8"
_MAGIC = (
    (
        b"%PDF",
        "a PDF document",
        "export its text, for example with pdftotext -layout OLD.pdf NEW.txt",
    ),
    (b"{\\rtf", "an RTF document", _AS_TEXT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (.xls or .doc)", _AS_CSV),
    (b"PAR1", "a Parquet file", "give it a name that ends in .parquet"),
    (b"ARROW1\x00", "an Arrow file (.feather)", "export the table as CSV or Parquet"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"BZh", "a bzip2 file", "unpack it with bunzip2"),
    (b"\xfd7zXZ\x00", "an xz file", "unpack it with unxz"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it with unzstd"),
    (b"\x89PNG", "a picture (PNG)", "echotok needs the text that the picture shows"),
    (b"\xff\xd8\xff", "a picture (JPEG)", "echotok needs the text that the picture shows"),
)
_ZIPPED = (
    ("xl/", "an Excel workbook (.xlsx)", _AS_CSV),
    ("word/", "a Word document (.docx)", _AS_TEXT),
    ("ppt/", "a PowerPoint document (.pptx)", _AS_TEXT),
    ("content.xml", "an OpenDocument file (.ods or .odt)", _AS_CSV),
)
_CONVERT = (
    "convert it first, for example with iconv -f {encoding} -t UTF-8 OLD > NEW; echotok's "
    "commands read reports in it with --encoding {encoding}"
)
_DELIMITERS = ",;\t|"
_RARE_DELIMITERS = "~^\x1f\x01\u00a6\u00a7"  # taken only where they give a wanted name
# So many letters in a row that are no ASCII are hardly Western: Chinese or Cyrillic, for example.
_NOT_WESTERN = re.compile(rb"[\xa1-\xff]{4}")
_COLUMN_NAME = re.compile(r"[^\W\d][\w .-]{0,30}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a table separates its cells.

    Attributes:
        delimiter: one character.
        declared: whether the first line is not the header but names the delimiter (`sep=;`).
        spaced: whether a space stands behind each delimiter, as in `id, report`.
    """

    delimiter: str
    declared: bool = False
    spaced: bool = False


def find_dialect(
    first_line: str, *, names: Collection[str], default: str, delimiter: str | None = None
) -> Dialect:
    """Find the delimiter of a table: the one that yields most of the wanted columns.

    Args:
        first_line: first line of the file.
        names: names of the wanted columns.
        default: the delimiter to take when the header does not tell it.
        delimiter: the delimiter where it is known.
    """
    line = first_line.strip("\r\n")
    if found := re.fullmatch(r"\"?sep=(.)\"?", line.lstrip("\ufeff"), re.IGNORECASE):
        return Dialect(delimiter=delimiter or found[1], declared=True)
    wanted = {name.casefold() for name in names}

    def rank(delimiter: str) -> tuple[int, int, bool]:
        cells = _names(line, delimiter)
        known = sum(name.casefold() in wanted for name in cells)
        named = all(_COLUMN_NAME.fullmatch(name) for name in cells if name)
        return known, len(cells) if named else 0, delimiter == default

    if delimiter is None:
        best = max(_DELIMITERS, key=rank)
        if not rank(best)[0]:
            best = max([best, *(one for one in _RARE_DELIMITERS if rank(one)[0])], key=rank)
        delimiter = best if rank(best)[0] or rank(best)[1] > 1 else default
    spaced = re.search(re.escape(delimiter) + r" +\S", line) is not None
    return Dialect(delimiter=delimiter, spaced=spaced)


class CellReader:
    """Rows of a table with cells of any length, as `csv.reader` gives them.

    The csv module's limit belongs to the process: it is as it was whenever others run, also between
    two rows of a file that is read along with another.

    Args:
        lines: of the table.
        delimiter: between cells.
        spaced: whether spaces behind a delimiter are no part of a cell.
        longest: most characters of a cell.
    """

    def __init__(
        self, lines: Iterable[str], *, delimiter: str, spaced: bool, longest: int = 2**31 - 1
    ) -> None:
        self._rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced, strict=True)
        self._longest = longest

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> list[str]:
        limit = csv.field_size_limit(self._longest)
        try:
            return next(self._rows)
        finally:
            csv.field_size_limit(limit)

    @property
    def line_num(self) -> int:
        """Number of lines read."""
        return self._rows.line_num


def _names(line: str, delimiter: str) -> list[str]:
    cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    return [cell.strip() for cell in cells]


def read_text(path: Path, *, encoding: str | None = None) -> str:
    """The text of a whole file.

    Args:
        path: the file.
        encoding: the file's encoding where it is known, as Python names it.

    Raises:
        InputError: the file cannot be read, or is not text.
    """
    try:
        return decode(path.read_bytes(), str(path), encoding=encoding)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def decode(raw: bytes, name: str, *, encoding: str | None = None) -> str:
    """The text that the bytes of a file hold.

    Args:
        raw: all bytes of the file.
        name: name of the file, for messages.
        encoding: their encoding where it is known; a byte-order mark tells more than this.

    Raises:
        InputError: the bytes are not text, or are in an encoding that cannot be told from them.
    """
    if raw.startswith(_GZIP):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(_cut_gzip(name)) from error
    encoding = _encoding(raw[:_HEAD], name, io.BytesIO(raw), encoding)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(_not_in(encoding, error, raw, name)) from None
    if "\x00" in text:
        raise InputError(_holds_nul(name, text.count("\n", 0, text.index("\x00")) + 1))
    return text


@contextmanager
def open_lines(
    path: Path, *, errors: str = "strict", encoding: str | None = None
) -> Iterator[Iterator[str]]:
    """Open a text file, as a stream of lines with their ends.

    Args:
        path: the file.
        errors: what to do with bytes that are not UTF-8, as in `open`.
        encoding: the file's encoding where it is known, as Python names it.

    Raises:
        InputError: the file cannot be read, or is not text; raised also while lines are read.
    """
    known = encoding
    try:
        with path.open("rb") as file:
            stream = cast(BinaryIO, file)
            if file.peek(2)[:2] == _GZIP:
                stream = cast(BinaryIO, gzip.GzipFile(fileobj=file))
            head = stream.read(_HEAD)
            stream.seek(0)
            encoding = _encoding(head, str(path), stream, known)
            stream.seek(0)
            if encoding != "utf-8-sig":
                errors = "strict"
            with io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="") as text:
                yield _without_nul(text, path)
    except UnicodeDecodeError as error:
        # A stream's decoder counts from its last block: ask the whole file instead.
        read_text(path, encoding=known)
        raise InputError(f"{path} is not UTF-8") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(_cut_gzip(str(path))) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _without_nul(lines: Iterator[str], path: Path) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if "\x00" in line:
            raise InputError(_holds_nul(str(path), number))
        yield line


def _encoding(head: bytes, name: str, stream: BinaryIO, known: str | None) -> str:
    """The encoding that the beginning of a file tells, else the known one, or why it is no text."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            # UTF-16 that was converted as if it were an 8-bit encoding keeps its mark, spoilt.
            return encoding
    if head.startswith(b"PK\x03\x04"):
        raise InputError(f"{name} is {_zipped(stream)}")
    for magic, what, remedy in _MAGIC:
        if head.startswith(magic):
            raise InputError(f"{name} is {what}, not plain text; {remedy}")
    if known is not None:
        # There is no mark, which these two would wait for.
        unmarked = {"utf-8": "utf-8-sig", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
        return unmarked.get(codecs.lookup(known).name, known)
    if b"\x00" in head:
        raise InputError(_without_mark(head, name))
    return "utf-8-sig"


def _zipped(stream: BinaryIO) -> str:
    try:
        members = zipfile.ZipFile(stream).namelist()
    except (zipfile.BadZipFile, OSError):
        return "a ZIP archive that is damaged; copy it again"
    for begin, what, remedy in _ZIPPED:
        if any(member.startswith(begin) for member in members):
            return f"{what}, not plain text; {remedy}"
    return "a ZIP archive, not plain text; unpack it"


def _without_mark(head: bytes, name: str) -> str:
    if head.startswith(("\u00ff\u00fe".encode(), "\u00fe\u00ff".encode())):
        return (
            f"{name} is UTF-16 text that was converted as if it were in another encoding, and is "
            "full of NUL characters; give the file as it was before the conversion: with its "
            "byte-order mark echotok can read it"
        )
    even, odd = head[::2].count(0), head[1::2].count(0)
    for encoding, many, few in (("UTF-16LE", odd, even), ("UTF-16BE", even, odd)):
        if many > len(head) // 5 and few < many // 10:
            return (
                f"{name} looks like UTF-16 without a byte-order mark; "
                f"{_CONVERT.format(encoding=encoding)}"
            )
    return _holds_nul(name, head.count(b"\n", 0, head.index(0)) + 1)


def _holds_nul(name: str, line: int) -> str:
    return (
        f"{name} holds a NUL character in line {line}, which text never does: it is a binary file, "
        "or was converted from the wrong encoding; export it again as UTF-8"
    )


def _cut_gzip(name: str) -> str:
    return f"{name}: the gzip stream is damaged or cut off; copy the file again"


def _not_in(encoding: str, error: UnicodeDecodeError, raw: bytes, name: str) -> str:
    if encoding not in ("utf-8-sig", "utf-16", "utf-32"):
        line = raw.count(b"\n", 0, error.start) + 1
        return (
            f"{name} is not {encoding.upper()} at byte {error.start:,} (line {line}); leave "
            "--encoding out to learn more, or give another one"
        )
    if encoding != "utf-8-sig":
        return (
            f"{name} begins with the mark of {encoding.upper()} but is not {encoding.upper()} at "
            f"byte {error.start:,}; was it copied whole?"
        )
    at = error.start
    if raw.startswith(codecs.BOM_UTF8):  # the decoder counts behind the mark
        at += len(codecs.BOM_UTF8)
    line = raw.count(b"\n", 0, at) + 1
    if error.reason == "unexpected end of data" and not raw[:at].isascii():
        return f"{name} ends in the middle of a UTF-8 character (line {line}); was it copied whole?"
    where = f"{name} is not UTF-8 at byte {at} (line {line})"
    try:
        raw.decode("cp1252")
        is_western = _NOT_WESTERN.search(raw) is None
    except UnicodeDecodeError:
        is_western = False
    if not is_western:
        return (
            f"{where}, nor is it WINDOWS-1252; convert it first with iconv -f ENCODING -t UTF-8 "
            "OLD > NEW; who exported the file knows its encoding"
        )
    return f"{where}; {_CONVERT.format(encoding='WINDOWS-1252')} (Western Windows)"


def write_whole(path: Path | str, text: str, *, encoding: str = "utf-8") -> None:
    """Write a text file, with its line ends as they are; no half file stays when it is interrupted.

    Args:
        path: the file, which is replaced.
        text: what it holds.
        encoding: how it is written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding=encoding, newline="\n")


def partial_path(path: Path) -> Path:
    """A name beside a file or folder, under which it is written until it is whole; a new one each.

    It begins with a dot and ends in `.partial`.
    """
    # Not the process's id: in containers every one may be the same.
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial")


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """A path to write a file at, which becomes `path` when the block ends without an error.

    Each call has a path of its own: two processes that write the same file are in nobody's way, and
    the last one's stays.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    partial = partial_path(path)
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.filename == str(partial):  # said of the file, not of a name that nobody chose
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):  # it is renamed, or was never there
            partial.unlink()
