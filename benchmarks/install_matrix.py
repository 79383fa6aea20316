"""What `pip install echotok` costs: time, disk and packages, on each Python at hand.

    make bench-install                        benchmarks/results/install.md
    python -m benchmarks.install_matrix --tests 3.13    and echotok's own tests there

Each line is a new environment in a temporary folder, into which pip installs the wheel that the
same Python built, without its cache. The ids of the sample reports must be those of this checkout.
It goes on where it stopped; --afresh measures all of it again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import echotok
from benchmarks.common import ROOT, facts, write_results
from echotok.sample import sample_reports

_VERSIONS = ("3.11", "3.12", "3.13", "3.14")
# These bring torch, or gigabytes.
_SLOW_EXTRAS = ("echoclip-r", "boards", "dev")
_TEST_TOOLS = ("hypothesis", "pyspellchecker", "pytest", "pytest-benchmark", "pytest-timeout",
               "pytest-xdist", "tokenizers", "build", "hatchling", "setuptools")  # fmt: skip
_HEAVY = ("pandas", "pyarrow", "torch")
_IDS = """
import hashlib, json, sys
import echotok
from echotok.engine.core import engine_in_use
from echotok.sample import sample_reports
tokenizer = echotok.load("echo")
ids = [tokenizer.encode(text).ids for text in sample_reports()]
heavy = sorted({"pandas", "pyarrow", "torch", "open_clip", "transformers"} & set(sys.modules))
print(json.dumps({"sha256": hashlib.sha256(json.dumps(ids).encode()).hexdigest(),
                  "engine": engine_in_use(), "heavy": heavy}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An environment.

    Attributes:
        python: version of the interpreter.
        what: what pip was asked for.
        install_s: seconds that pip took, downloads included.
        size_mb: what was added on disk.
        packages: name and version of each package.
        import_s: median seconds of `import echotok`, the interpreter's own start taken off.
        engine: which engine runs.
        same_ids: whether the sample reports get the ids of this checkout.
    """

    python: str
    what: str
    install_s: float
    size_mb: float
    packages: tuple[str, ...]
    import_s: float
    engine: str
    same_ids: bool


def interpreters() -> Iterator[tuple[str, str]]:
    """Version and path of each Python that is on the path, pyenv's among them."""
    environment = dict(os.environ)
    if pyenv := shutil.which("pyenv"):
        done = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True)
        environment["PYENV_VERSION"] = ":".join(done.stdout.split())
    for version in _VERSIONS:
        found = shutil.which(f"python{version}")
        if found is None:
            continue
        code = "import platform, sys; print(platform.python_version(), sys.executable)"
        done = subprocess.run([found, "-c", code], capture_output=True, text=True, env=environment)
        if done.returncode == 0:
            number, path = done.stdout.strip().split(" ", 1)
            yield number, path


def run(*command: object, cwd: Path) -> str:
    """What a command prints; its errors end the benchmark."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, cwd=cwd, env=environment
    )
    if done.returncode:
        raise SystemExit(
            f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )
    return done.stdout


def environment(python: str, folder: Path) -> Path:
    """A new one, without pip; its interpreter."""
    run(python, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    return folder / "bin" / "python"


def pip(python: str, inside: Path, *words: object) -> str:
    """Pip of a Python, at work in another environment."""
    quiet = ["--disable-pip-version-check", "--no-input"]
    return run(python, "-m", "pip", "--python", inside, *quiet, *words, cwd=inside.parent)


def measure(python: str, wheel: Path, folder: Path, extra: str | None, ids: str) -> Line:
    """Install the wheel, with an extra, into a new environment."""
    inside = environment(python, folder)
    before = _size(folder)
    what = f"{wheel}[{extra}]" if extra else str(wheel)
    start = time.perf_counter()
    pip(python, inside, "install", "--quiet", "--no-cache-dir", what)
    seconds = time.perf_counter() - start
    listed = json.loads(pip(python, inside, "list", "--format", "json"))
    size = _size(folder) - before
    told = json.loads(run(inside, "-W", "error", "-c", _IDS, cwd=folder))
    assert told["heavy"] == [], told
    return Line(
        python=run(inside, "-c", "import platform; print(platform.python_version())", cwd=folder)[
            :-1
        ],
        what=_what(extra),
        install_s=seconds,
        size_mb=size / 1e6,
        packages=tuple(f"{one['name']} {one['version']}" for one in listed),
        import_s=_import_s(inside, folder),
        engine=told["engine"],
        same_ids=told["sha256"] == ids,
    )


def _what(extra: str | None) -> str:
    return "echotok" if extra is None else f"echotok[{extra}]"


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _import_s(inside: Path, folder: Path) -> float:
    def seconds(code: str) -> float:
        start = time.perf_counter()
        run(inside, "-c", code, cwd=folder)
        return time.perf_counter() - start

    rounds = [(seconds("import echotok"), seconds("pass")) for _ in range(7)]
    return statistics.median(full - bare for full, bare in rounds)


def run_tests(python: str, folder: Path) -> str:
    """The last line of echotok's own tests, in a copy of the checkout, without heavy packages."""
    inside = environment(python, folder / "environment")
    copy = folder / "checkout"
    files = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    constraints = copy / "constraints.txt"
    pip(python, inside, "install", "--quiet", "--constraint", constraints, "-e", copy, *_TEST_TOOLS)
    for name in _HEAVY:
        run(
            inside,
            "-c",
            f"import importlib.util as u; assert u.find_spec({name!r}) is None",
            cwd=copy,
        )
    pytest = [inside, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run([*map(str, pytest), "tests/echotok", "echotok"], cwd=copy,
                          capture_output=True, text=True)  # fmt: skip
    if done.returncode:
        print(done.stdout[-20000:], file=sys.stderr)
    return done.stdout.strip().splitlines()[-1].strip("= ")


def markdown(lines: list[Line], tests: dict[str, str], about: dict[str, object]) -> str:
    """The page."""
    rows = [
        f'| {one.python} | `pip install "{one.what}"` | {one.install_s:.0f} s | '
        f"{one.size_mb:.0f} MB | {len(one.packages)} | {1000 * one.import_s:.0f} ms | "
        f"{one.engine} | {'yes' if one.same_ids else 'NO'} |"
        for one in lines
    ]
    plain = next(one for one in lines if one.what == "echotok")
    tested = [f"- Python {python}: {last}" for python, last in tests.items()]
    return "\n".join(
        [
            "# What an installation costs",
            "",
            f"`{about['command']}`, {about['date']}; {about['machine']}, load {about['load']} "
            f"of other work; wheel of {about['wheel_mb']:.2f} MB; pip without its cache, so "
            "downloads count. The size is what lies on disk afterwards, bytecode included. "
            f"Sample reports: {len(sample_reports())}.",
            "",
            "| Python | command | time | disk | packages | `import echotok` | engine | same ids |",
            "|---|---|---:|---:|---:|---:|---|---|",
            *rows,
            "",
            f"Packages of `pip install echotok`: {', '.join(plain.packages)}.",
            "",
            f"Not measured: the extras {', '.join(_SLOW_EXTRAS[:2])}, which bring torch or much "
            "else.",
            *(
                ["", "echotok's own tests, without torch, pandas and pyarrow:", "", *tested]
                if tested
                else []
            ),
            "",
        ]
    )


def _write(lines: list[Line], tests: dict[str, str], about: dict[str, object]) -> None:
    about["load"] = f"{os.getloadavg()[1]:.0f}"
    results = {"facts": about, "lines": [asdict(one) for one in lines], "tests": tests}
    write_results("install", results, markdown(lines, tests, about))


def main() -> int:
    """Measure; 1 where an environment gives other ids or a test fails."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--tests", default="", metavar="3.12,3.13", help="run echotok's own tests on these, too"
    )
    parser.add_argument("--extras", default=None, metavar="A,B", help="extras (default: the quick)")
    parser.add_argument("--afresh", action="store_true", help="measure again what was measured")
    arguments = parser.parse_args()
    tokenizer = echotok.load("echo")
    ids = [tokenizer.encode(text).ids for text in sample_reports()]
    expected = hashlib.sha256(json.dumps(ids).encode()).hexdigest()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [one for one in project["optional-dependencies"] if one not in _SLOW_EXTRAS]
    if arguments.extras is not None:
        extras = arguments.extras.split(",")
    kept = ROOT / "runs" / "results" / "install.json"
    before = json.loads(kept.read_text()) if kept.is_file() and not arguments.afresh else {}
    lines = [Line(**one) for one in before.get("lines", [])]
    tests: dict[str, str] = before.get("tests", {})
    done = {(one.python, one.what) for one in lines}
    found = list(interpreters())
    about = facts("make bench-install", [], date=time.strftime("%Y-%m-%d"))
    for version, python in found:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            words = ["--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
            run(python, "-m", "pip", *words, "--wheel-dir", folder, ROOT, cwd=folder)
            (wheel,) = folder.glob("*.whl")
            about["wheel_mb"] = wheel.stat().st_size / 1e6
            newest = version == found[-1][0]
            for number, extra in enumerate([None, *(extras if newest else [])]):
                if (version, _what(extra)) not in done:
                    lines.append(measure(python, wheel, folder / str(number), extra, expected))
                    _write(lines, tests, about)
    for version, python in reversed(found):
        if version.rpartition(".")[0] in arguments.tests.split(",") and version not in tests:
            with tempfile.TemporaryDirectory() as name:
                tests[version] = run_tests(python, Path(name))
            _write(lines, tests, about)
    failed = [last for last in tests.values() if "failed" in last or "error" in last]
    return int(bool(failed) or not all(one.same_ids for one in lines))


if __name__ == "__main__":
    sys.exit(main())
