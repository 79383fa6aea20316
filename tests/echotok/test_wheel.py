"""What a user installs: the wheel, built from the sdist, outside of the checkout."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

import pytest
from conftest import ROOT
from guides import README, blocks, commands
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from echotok.table.reading import read_clip_fallback, read_fallback

REPORT = "Mild to moderate mitral regurgitation. LVEF is 55 - 60 %. Qzvwk\u2019s sign."
# -I -S: neither the directory, the environment nor site-packages is on the path; what follows is.
ISOLATED = [sys.executable, "-I", "-S", "-c"]


def run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with what is installed; nothing is downloaded."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run(build, cwd=folder)
    (path,) = folder.glob("echotok-*.whl")
    assert list(folder.glob("echotok-*.tar.gz"))
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel alone, installed into a folder."""
    target = tmp_path_factory.mktemp("installed")
    options = ["--no-index", "--no-deps", "--quiet", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(wheel)]
    run(pip, cwd=target)
    return target


def dependencies(name: str) -> set[str]:
    """A distribution and all that it needs, by name."""
    found = {name}
    for requirement in requires(name) or ():
        if ";" not in requirement:
            bare = requirement.split("(")[0].strip()
            for mark in "<>=!~[ ":
                bare = bare.split(mark)[0]
            found |= dependencies(bare)
    return found


def link(names: set[str], folder: Path) -> Path:
    """A folder that holds these distributions of our environment and no other."""
    for name in names:
        for file in distribution(name).files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (folder / top).exists():
                (folder / top).symlink_to(distribution(name).locate_file(top))
    return folder


@pytest.fixture(scope="module")
def needed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dependencies that the wheel names, and theirs."""
    names = dependencies("echotok") - {"echotok"}
    return link(names, tmp_path_factory.mktemp("needed"))


def python(code: str, *path: Path, cwd: Path) -> str:
    """What an interpreter prints that sees the standard library and these folders alone."""
    head = f"import sys; sys.path += {[str(folder) for folder in path]}\n"
    return run([*ISOLATED, head + code], cwd=cwd)


def test_the_wheel_holds_what_it_needs(wheel: Path) -> None:
    """Artifacts, tables, marker of types and licence are inside; tests and corpora are not."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        sizes = {one.filename: one.compress_size for one in archive.infolist()}
    for name in (
        "echotok/__init__.py",
        "echotok/py.typed",
        "echotok/adapters/open_clip.py",
        "echotok/artifacts/echo.json",
        "echotok/artifacts/echo-clip.json",
        "echotok/data/sample_reports.csv",
        "echotok/phrase_tables/echo/table.toml",
        "echotok/phrase_tables/echo/values.csv",
    ):
        assert name in names
    tables = {path.name for path in (ROOT / "phrase_tables" / "echo").iterdir()}
    assert {name.rpartition("/")[2] for name in names if "/phrase_tables/echo/" in name} == (
        tables - {"merges.txt", "clip_merges.txt"}  # the artifacts hold them
    )
    folders = {name.split("/")[2] for name in names if name.startswith("echotok/phrase_tables/")}
    assert folders == {"README.md", "echo"}  # what was mined for a benchmark stays here
    # The tokenizer stays small by itself; the companion with its pages comes on top.
    assert sum(size for name, size in sizes.items() if name.startswith("echotok/")) < 0.6e6
    assert wheel.stat().st_size < 1.25e6
    assert any(name.endswith("/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"echotok", "echoclip_r"}
    assert not [name for name in names if "tests" in name or name.endswith((".jsonl", ".gz"))]


def test_every_source_file_is_in_the_wheel(wheel: Path) -> None:
    """No file that the package ships with is forgotten by the build."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = ROOT / "echotok"
    files = {
        file.relative_to(ROOT).as_posix()
        for file in package.rglob("*")
        if file.is_file()
        and "__pycache__" not in file.parts
        and file.suffix not in (".partial", ".c", ".so")  # the core is compiled anew
    }
    assert files <= names


def test_the_wheel_works_alone(installed: Path, needed: Path, tmp_path: Path) -> None:
    """With its dependencies and nothing else, `echo` loads, encodes, decodes, saves and pads."""
    code = f"""
import echotok
print(echotok.__file__)
tok = echotok.load("echo")
report = {REPORT!r}
encoding = tok.encode(report)
assert tok.decode(encoding.ids) == tok.normalize(report)
print(tok.decode(encoding.ids))
assert encoding.offsets[1] is not None
tok.save("copy.json")
assert echotok.load("copy.json").encode(report).ids == encoding.ids
assert tok.encode_batch([report, ""], context_length=77).ids.shape == (2, 77)
print(len(echotok.read_table(echotok.__path__[0] + "/phrase_tables/echo").phrases) > 0)
"""
    file, text, table = python(code, installed, needed, cwd=tmp_path).splitlines()
    assert Path(file).is_relative_to(installed)
    assert text == "mild to moderate mitral regurgitation. lvef is 55 - 60%. qzvwk's sign."
    assert table == "True"


def test_the_wheel_gives_the_ids_of_the_checkout(
    installed: Path, needed: Path, tmp_path: Path
) -> None:
    """Installed or not, one tokenizer."""
    import echotok

    code = f"import echotok; print(echotok.load('echo').encode({REPORT!r}).ids)"
    expected = str(echotok.load("echo").encode(REPORT).ids)
    assert python(code, installed, needed, cwd=tmp_path).strip() == expected


def test_a_table_grows_from_the_installed_one(
    installed: Path, needed: Path, tmp_path: Path
) -> None:
    """The wheel holds the merges of `echo` once, and its table folder reads as the checkout's."""
    code = """
from hashlib import sha256
from echotok.table.reading import read_clip_fallback, read_fallback
for read in (read_fallback, read_clip_fallback):
    print(sha256(repr(read(FOLDER)).encode()).hexdigest())
"""
    folder = installed / "echotok" / "phrase_tables" / "echo"
    assert not list(folder.glob("*merges.txt"))
    theirs = python(f"FOLDER = {str(folder)!r}\n{code}", installed, needed, cwd=tmp_path)
    ours = [
        sha256(repr(read(ROOT / "phrase_tables" / "echo")).encode()).hexdigest()
        for read in (read_fallback, read_clip_fallback)
    ]
    assert theirs.split() == ours


def test_echo_clip_without_open_clip_says_what_to_do(
    installed: Path, needed: Path, tmp_path: Path
) -> None:
    """Where open_clip_torch is not installed, `echo-clip` names the remedies."""
    code = """
import echotok
try:
    echotok.load("echo-clip")
except echotok.MergesError as error:
    print(error)
"""
    message = python(code, installed, needed, cwd=tmp_path)
    assert "pip install open_clip_torch" in message
    assert "use the self-contained tokenizer 'echo'" in message


def test_echo_clip_with_open_clip_loads(installed: Path, needed: Path, tmp_path: Path) -> None:
    """Where it is installed, its merges are found without importing it or torch."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        pytest.skip("open_clip_torch is not installed")
    more = tmp_path / "more"
    more.mkdir()
    (more / "open_clip").symlink_to(Path(spec.origin).parent)
    code = f"""
import echotok, sys
tok = echotok.load("echo-clip")
print(tok.decode(tok.encode({REPORT!r}).ids))
print("open_clip" in sys.modules)
"""
    text, imported = python(code, installed, needed, more, cwd=tmp_path).splitlines()
    assert text == "mild to moderate mitral regurgitation. lvef is 55 - 60%. qzvwk's sign."
    assert imported == "False"


def test_the_first_commands_of_the_readme_run(
    installed: Path, needed: Path, tmp_path: Path
) -> None:
    """Right after `pip install echotok`, in an empty folder, with its dependencies alone."""
    (start, *_) = [commands(block) for block in blocks(README) if "sample" in block.text]
    assert len(start) > 4
    for command in start:
        words, _, output = command.partition(" > ")
        code = (
            f"sys.argv = {shlex.split(words)}\nfrom echotok.cli.main import main\nsys.exit(main())"
        )
        printed = python(code, installed, needed, cwd=tmp_path)
        if output:
            (tmp_path / output).write_text(printed, encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {
        "reports.csv", "findings.csv", "ids.txt", "normalized.txt",
    }  # fmt: skip
    assert len((tmp_path / "normalized.txt").read_text(encoding="utf-8").splitlines()) == 79


VERSION = "from echotok.engine.core import engine_in_use; print(engine_in_use())"


def test_the_wheel_has_the_core_where_a_compiler_is(
    installed: Path, needed: Path, tmp_path: Path
) -> None:
    """The core is compiled with the wheel, and encodes."""
    if shutil.which(os.environ.get("CC", "cc")) is None:
        pytest.skip("no compiled core: there is no C compiler")
    assert python(VERSION, installed, needed, cwd=tmp_path) == "compiled core\n"


def test_without_a_compiler_the_wheel_is_pure_python(needed: Path, tmp_path: Path) -> None:
    """The build succeeds and says so; what it installs says so too, and gives the same ids."""
    import echotok

    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    done = subprocess.run(
        [*build, str(ROOT)],
        cwd=tmp_path,
        env={**os.environ, "CC": str(tmp_path / "no-compiler")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "without its compiled core" in done.stdout + done.stderr
    (path,) = tmp_path.glob("echotok-*-py3-none-any.whl")
    pure = tmp_path / "pure"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(pure)
    assert not [*pure.rglob("_core*.so"), *pure.rglob("_core*.pyd")]
    code = f"{VERSION}; import echotok; print(echotok.load('echo').encode({REPORT!r}).ids)"
    engine, ids = python(code, pure, needed, cwd=tmp_path).splitlines()
    assert engine == "Python engine: the compiled core was not built, which takes a C compiler"
    assert ids == str(echotok.load("echo").encode(REPORT).ids)


def test_the_isolation_can_fail(needed: Path, tmp_path: Path) -> None:
    """Without the installed wheel there is no echotok: the checkout is out of sight."""
    code = "import importlib.util; print(importlib.util.find_spec('echotok'))"
    assert python(code, needed, cwd=tmp_path).strip() == "None"
    assert python("import numpy, regex, rich; print('found')", needed, cwd=tmp_path) == "found\n"


def test_the_command_is_installed(installed: Path, needed: Path, tmp_path: Path) -> None:
    """The `echotok` command's entry point is there and shows its help."""
    code = """
from importlib.metadata import entry_points
(command,) = entry_points(group="console_scripts", name="echotok")
sys.argv = ["echotok", "--help"]
command.load()()
"""
    output = python(code, installed, needed, cwd=tmp_path)
    for command in ("encode", "decode", "show", "stats", "build", "validate"):
        assert command in output


def test_the_light_environment_needs_no_torch() -> None:
    """`make setup` installs the extras `build` and `dev`: nothing of them brings gigabytes."""
    seen: set[tuple[str, str]] = set()
    new = {("echotok", "build"), ("echotok", "dev")}
    while new:
        name, extra = one = new.pop()
        seen.add(one)
        with suppress(PackageNotFoundError):  # it is for other systems
            for line in requires(name) or ():
                needed = Requirement(line)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    bare = canonicalize_name(needed.name)
                    new |= {(bare, more) for more in ("", *needed.extras)} - seen
    names = {name for name, _ in seen}
    assert {"tokenizers", "transformers", "pytest"} <= names, "or this looked at nothing"
    assert not {"torch", "torchvision", "open-clip-torch"} & names
