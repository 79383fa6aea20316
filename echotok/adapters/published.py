"""The template tokenizer of the published EchoCLIP-R, run from the user's own copy of it.

    folder/template_tokenizer.py   template_tokenize(report) -> ids
                                   template_detokenize(ids) -> phrases and values
    folder/utils.py, ...           what it imports and opens, by names relative to the folder

Its licence lets an academic user run it, and lets nobody pass it on, so nothing of it is here: the
program runs as it is, in a process of its own whose working directory is the folder
(`echotok.adapters.published_worker`). It runs with your rights, as any program that you start:
give a folder that you trust. What it drops of a report is found by comparing what it gives back
with the report, and told by positions.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from echotok.adapters import published_worker
from echotok.errors import ArtifactError, IdError, InputError

__all__ = ["Losses", "PublishedTokenizer"]

_PROGRAM = f"{published_worker.PROGRAM}.py"
_TOKENIZE, _DETOKENIZE = published_worker.CALLS
_SECONDS_TO_LOAD, _SECONDS_A_TEXT = 300.0, 60.0
_BATCH = 256
# What lies beside a program and is none of it.
_NO_PROGRAM = {".avi", ".gif", ".ipynb", ".jpeg", ".jpg", ".md", ".mp4", ".pdf", ".png", ".pyc"}
_MOST_BYTES = 1 << 26
_GET = "get the folder again, and give it whole"

_SLOT = re.compile(r"<[^<>]*>")
_WORD = re.compile(r"[^\W_]+")
_VALUE = r"([^\W_]+(?:[.,/-][^\W_]+)*)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What of a text the program's ids stand for, and what they do not.

    Only letters and digits count; an id whose words stand nowhere in the text covers none of it.

    Attributes:
        num_characters: letters and digits in the text.
        num_kept: those that an id stands for.
        dropped: (start, end) of each run of words that no id stands for, in characters.
        num_ids: ids without BOS, EOS and padding.
        num_unplaced: phrases among them whose words do not stand in the text in this order.
        is_full: whether the row has no room left, so that the program may have cut the text.
    """

    num_characters: int
    num_kept: int
    dropped: tuple[tuple[int, int], ...]
    num_ids: int
    num_unplaced: int
    is_full: bool


class PublishedTokenizer:
    """The tokenizer that the weights of the published EchoCLIP-R were trained with.

    It may be called from several threads, and be sent to other processes: each has a program of
    its own. `close` ends the program; the next call starts it again.

    Args:
        folder: the user's copy of the program and its files.
        files: sha256 of the files by name, as `files` gave them before: another copy is refused.

    Attributes:
        folder: the folder, absolute.
        files: sha256 of each file in it, pictures, videos and the like left out.
        fingerprint: sha256 over these.
        context_length: ids of a row.
        bos_id, eos_id, pad_id: as the program gives them for an empty text.
        vocab_size: one more than EOS, which is the highest id, since open_clip's text tower is
            read there.
        missing: packages that the program imports and that are not installed; it has not used
            them so far.

    Raises:
        ArtifactError: there is no such program, it cannot be loaded, it does not give rows of
            this kind, or its files are not those of `files`.
    """

    name = "published"

    def __init__(self, folder: Path | str, *, files: Mapping[str, str] | None = None) -> None:
        self.folder = Path(folder).absolute()
        self.files = _checked(self.folder, files)
        listed = "\n".join(f"{name} {digest}" for name, digest in sorted(self.files.items()))
        self.fingerprint = hashlib.sha256(listed.encode()).hexdigest()
        self._program: _Program | None = None
        self._starting = threading.Lock()
        self._pid = os.getpid()
        self.missing = tuple(self._running().missing)
        row = self._ask(_TOKENIZE, [""])[0]
        if not _is_ids(row) or len(row) < 3 or len({*row[2:]}) != 1 or row[1] <= row[0]:
            raise ArtifactError(
                f"{self.folder}: {_TOKENIZE}('') does not give BOS, EOS and padding, of which EOS "
                "is the highest id; it is another program than the published one"
            )
        self.context_length = len(row)
        self.bos_id, self.eos_id, self.pad_id = row[0], row[1], row[2]
        self.vocab_size = self.eos_id + 1

    def __repr__(self) -> str:
        return f"PublishedTokenizer({str(self.folder)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (_again, (self.folder, self.files))

    def encode(self, text: str) -> list[int]:
        """The row that the weights were trained with: BOS, ids, EOS, padding to `context_length`.

        Raises:
            InputError: the program fails on the text.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The rows of several texts, as `encode` gives them.

        Raises:
            InputError: the program fails on a text; its number is named.
        """
        rows = self._ask(_TOKENIZE, texts)
        for number, row in enumerate(rows):
            if not self._is_row(row):
                raise InputError(
                    f"text {number}: {self.folder / _PROGRAM} gives a row that is not BOS, ids, "
                    f"EOS and padding of {self.context_length} together; no text tower reads it"
                )
        return rows

    def decode(self, ids: Sequence[int]) -> list[str]:
        """What the program says that ids stand for, without BOS, EOS and padding.

        Raises:
            IdError: the program has no such id.
        """
        inner = [int(number) for number in ids if number not in self._special]
        if not inner:
            return []
        try:
            found = self._ask(_DETOKENIZE, [inner])[0]
        except InputError as error:
            raise IdError(
                f"{self.folder / _PROGRAM} cannot say what these ids are: {error}"
            ) from None
        return [str(piece) for piece in ([found] if isinstance(found, str) else found)]

    def losses(self, text: str) -> Losses:
        """What of a text its ids stand for; `Losses` holds positions and no text.

        Raises:
            InputError: the program fails on the text.
        """
        row = self.encode(text)
        kept, num_unplaced = _covered(text, self.decode(row))
        words = list(_WORD.finditer(text))
        return Losses(
            num_characters=sum(len(word[0]) for word in words),
            num_kept=sum(kept[at] for word in words for at in range(*word.span())),
            dropped=tuple(_runs(words, kept)),
            num_ids=row.index(self.eos_id) - 1,
            num_unplaced=num_unplaced,
            is_full=row[-1] == self.eos_id,
        )

    def close(self) -> None:
        """End the program."""
        program, self._program = self._program, None
        if program is not None:
            program.stop()

    @property
    def _special(self) -> set[int]:
        return {self.bos_id, self.eos_id, self.pad_id}

    def _is_row(self, row: Any) -> bool:
        if not _is_ids(row) or len(row) != self.context_length or self.eos_id not in row:
            return False
        end = row.index(self.eos_id)
        behind = {*row[end + 1 :]} <= {self.pad_id}
        return row[0] == self.bos_id and max(row[:end]) < self.eos_id and behind

    def _running(self) -> _Program:
        if self._pid != os.getpid():  # forked: the program answers the other process
            self._program, self._starting, self._pid = None, threading.Lock(), os.getpid()
        with self._starting:
            if self._program is None or not self._program.is_running:
                self._program = _Program(self.folder)
            return self._program

    def _ask(self, call: str, items: Sequence[Any]) -> list[Any]:
        answers: list[Any] = []
        for start in range(0, len(items), _BATCH):
            answers += self._running().ask(call, items[start : start + _BATCH], start)
        return answers


def _again(folder: Path, files: Mapping[str, str]) -> PublishedTokenizer:
    return PublishedTokenizer(folder, files=files)


# The files


def _checked(folder: Path, files: Mapping[str, str] | None) -> dict[str, str]:
    """The sha256 of a folder's files; of those of `files` alone where these are given."""
    if not folder.is_dir():
        raise ArtifactError(
            f"{folder}: there is no such folder; give the folder of your own copy of the published "
            f"tokenizer ({_PROGRAM} and the files beside it), which echotok may not bring"
        )
    if not (folder / _PROGRAM).is_file():
        raise ArtifactError(f"{folder}: it holds no {_PROGRAM}; {_GET}")
    names = files or sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file()
        and not path.name.startswith(".")
        and path.suffix.lower() not in _NO_PROGRAM
        and path.stat().st_size <= _MOST_BYTES
    )
    found = {name: _sha256(folder / name) for name in names}
    if files is not None and found != files:
        changed = [
            f"{name} is {'another' if found[name] else 'gone'}"
            for name in files
            if found[name] != files[name]
        ]
        raise ArtifactError(
            f"{folder}: it is no longer the tokenizer that was in use before ({', '.join(changed)})"
            ". Put the files back: others may give other ids than the weights were trained with"
        )
    return found


def _sha256(path: Path) -> str:
    """In hex; empty where there is no such file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


# The program


class _Program:
    """The program at work, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = threading.Lock()
        # -P: the folder of this package, where modules have names of libraries, stays off the path.
        command = [sys.executable, "-P", str(Path(published_worker.__file__).absolute())]
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="ascii",
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )
        self.stop = weakref.finalize(self, _stop, self._process, os.getpid())
        content = self._line(_SECONDS_TO_LOAD)
        if content is None or "error" in content:
            self.stop()
            raise ArtifactError(f"{folder / _PROGRAM}: {_why(content)}")
        self.missing: list[str] = content["missing"]

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def ask(self, call: str, items: Sequence[Any], start: int) -> list[Any]:
        """The program's answers; `start` is the number of the first item, for messages."""
        assert self._process.stdin is not None
        with self._turn:
            content = None
            try:
                self._process.stdin.write(json.dumps({"call": call, "items": list(items)}) + "\n")
                self._process.stdin.flush()
                content = self._line(_SECONDS_A_TEXT * max(len(items), 1))
            except OSError:
                pass  # it has ended, which is said below
            if content is None:
                self.stop()
        if content is None:
            raise InputError(
                f"texts {start} to {start + len(items) - 1}: {self._folder / _PROGRAM} has ended, "
                f"or has not answered for {_SECONDS_A_TEXT:.0f} seconds a text; leave out the text "
                "that it fails on"
            )
        if "error" in content:
            raise InputError(
                f"text {start + content['item']}: {self._folder / _PROGRAM} fails on it "
                f"({content['error']})"
            )
        answers: list[Any] = content["answers"]
        return answers

    def _line(self, seconds: float) -> dict[str, Any] | None:
        """What the process says next; None where it has ended, or is stopped after some time."""
        assert self._process.stdout is not None
        timer = threading.Timer(seconds, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
            timer.join()  # a process with threads is not to be forked
        content: dict[str, Any] | None = json.loads(line) if line.endswith("\n") else None
        return content


def _stop(process: subprocess.Popen[str], pid: int) -> None:
    if pid != os.getpid():
        return  # the process belongs to the one that this one was forked from
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _why(content: Mapping[str, Any] | None) -> str:
    if content is None:
        return f"it ends, or hangs, while it is loaded; {_GET}"
    if content["package"]:
        return (
            f"it needs the Python package {content['package']}, which is not installed here "
            f"({content['says']}): install it beside echotok"
        )
    if content["error"].startswith("AttributeError") and _TOKENIZE in content["says"]:
        return f"it has no function {_TOKENIZE}; it is another program than the published one"
    return f"it cannot be loaded ({content['error']}: {content['says']}); {_GET}"


# What was kept


def _is_ids(row: Any) -> bool:
    return isinstance(row, list) and all(type(number) is int and number >= 0 for number in row)


def _covered(text: str, pieces: Sequence[str]) -> tuple[bytearray, int]:
    """Of each character whether a piece stands for it, and how many phrases stand nowhere."""
    kept = bytearray(len(text))
    num_unplaced = 0
    cursor = 0
    for phrase, values in _phrases(pieces):
        pattern = _pattern(phrase)
        found = None if pattern is None else _place(pattern, text, kept, cursor)
        if found is None:
            num_unplaced += 1
            continue
        cursor = found.end()
        kept[found.start() : found.end()] = b"\1" * (found.end() - found.start())
        slots = [found.span(number) for number in range(1, len(found.groups()) + 1)]
        said = "".join(text[begin:end] for begin, end in slots)
        if _letters(said) != _letters("".join(values)):  # what its ids say is another value
            for begin, end in slots:
                kept[begin:end] = bytes(end - begin)
    return kept, num_unplaced


def _phrases(pieces: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each phrase with the values behind it; values before all phrases are left out."""
    starts = [at for at, piece in enumerate(pieces) if _SLOT.fullmatch(piece.strip()) is None]
    for start, end in pairwise([*starts, len(pieces)]):
        yield pieces[start], list(pieces[start + 1 : end])


def _pattern(phrase: str) -> re.Pattern[str] | None:
    """What finds a phrase's words in a text, each value as a group; None where it has no word."""
    parts = [
        r"[\W_]*".join(re.escape(word) for word in _WORD.findall(part))
        for part in _SLOT.split(phrase)
    ]
    if not any(parts):
        return None
    rows: list[str] = []
    for number, part in enumerate(parts):
        rows += [_VALUE] * (number > 0) + [part] * bool(part)
    return re.compile(r"(?<![^\W_])" + r"[\W_]*".join(rows) + r"(?![^\W_])", re.IGNORECASE)


def _place(
    pattern: re.Pattern[str], text: str, kept: bytearray, cursor: int
) -> re.Match[str] | None:
    """Where a phrase stands that no other stands for: behind the last one, else anywhere."""
    for start in (cursor, 0):
        for found in pattern.finditer(text, start):
            if not any(kept[found.start() : found.end()]):
                return found
    return None


def _letters(text: str) -> str:
    return "".join(_WORD.findall(text)).casefold()


def _runs(words: Sequence[re.Match[str]], kept: bytearray) -> Iterator[tuple[int, int]]:
    """The runs of words that are not kept, as spans."""
    start = end = None
    for word in words:
        begin, behind = word.span()
        if all(kept[begin:behind]):
            if start is not None and end is not None:
                yield start, end
            start = None
            continue
        start, end = begin if start is None else start, behind
    if start is not None and end is not None:
        yield start, end
