"""The process in which a program of others tokenizes, with the program's folder as its own.

    stdin:   {"folder", "packages"}   then   {"call": "template_tokenize", "items": [...]}, ...
    stdout:  {"missing": [...]}       then   {"answers": [...]}  or  {"error": ..., "item": ...}

One JSON text a line. It needs the standard library alone, besides what the program needs; what
the program prints goes nowhere, since reports may be in it, and so do the words of its errors.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

PROGRAM = "template_tokenizer"
CALLS = ("template_tokenize", "template_detokenize")


class _Unusable:
    """What stands for a part of a package that is not installed: it may be named, not called."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> _Unusable:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unusable(f"{self._name}.{name}")

    def __mro_entries__(self, bases: Sequence[object]) -> tuple[type, ...]:
        return ()

    def __call__(self, *arguments: object, **named: object) -> object:
        package = self._name.partition(".")[0]
        raise ModuleNotFoundError(f"{self._name} is called, and is not installed", name=package)


class _Missing(ModuleType):
    """What stands for a package that is not installed."""

    __path__: list[str] = []  # noqa: RUF012  a package, in which nothing lies

    def __getattr__(self, name: str) -> _Unusable:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unusable(f"{self.__name__}.{name}")


class MissingPackages:
    """Finds a stand-in for some packages, so that a program which only names them can be loaded.

    Attributes:
        names: the packages.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The stand-in of a module; None where it is of another package."""
        if name.partition(".")[0] not in self.names:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """An empty module whose parts may be named."""
        return _Missing(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: it has no code."""


def load_program(folder: Path) -> tuple[dict[str, Callable[[Any], Any]], list[str]]:
    """Import the program, with stand-ins for the packages that are not installed.

    Returns:
        Its two functions, and the packages that stand-ins were made for.

    Raises:
        Exception: whatever the program raises; ModuleNotFoundError where it calls a package that
            is not installed; AttributeError where it has not both functions.
    """
    sys.path.insert(0, str(folder))
    missing = MissingPackages()
    sys.meta_path.append(missing)
    while True:
        before = set(sys.modules)
        try:
            module = importlib.import_module(PROGRAM)
            return {name: getattr(module, name) for name in CALLS}, missing.names
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if not package or package == PROGRAM or package in missing.names:
                raise
            missing.names.append(package)
            for name in set(sys.modules) - before:  # the program's own are read again
                if _is_in(sys.modules[name], folder):
                    del sys.modules[name]


def _is_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().parent == folder


def answer(function: Callable[[Any], Any], items: Sequence[Any], folder: Path) -> dict[str, Any]:
    """A program's answers to some items, or which item it failed on and at which of its lines."""
    answers = []
    for number, item in enumerate(items):
        try:
            answers.append(_plain(function(item)))
        except Exception as error:  # whatever a program of others raises
            return {"error": _where(error, folder), "item": number}
    return {"answers": answers}


def _plain(value: Any) -> Any:
    """A list that JSON can say, of what may be an array or a tensor."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def _where(error: Exception, folder: Path) -> str:
    """An error without its words, which may be those of a report."""
    lines = [
        f" at {Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve().parent == folder
    ]
    return type(error).__name__ + (lines[-1] if lines else "")


def _requests(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        yield json.loads(line)


def main() -> None:
    """Load the program, and answer until the other side is gone."""
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  open as long as we run
    folder = Path.cwd().resolve()

    def say(content: dict[str, Any]) -> None:
        out.write(json.dumps(content) + "\n")
        out.flush()

    try:
        calls, missing = load_program(folder)
    except Exception as error:
        package = error.name if isinstance(error, ModuleNotFoundError) else None
        # No report has been read yet, so its words may be said.
        say({"error": _where(error, folder), "says": str(error), "package": package})
        return
    say({"missing": missing})
    for request in _requests(sys.stdin):
        say(answer(calls[request["call"]], request["items"], folder))


if __name__ == "__main__":
    main()
