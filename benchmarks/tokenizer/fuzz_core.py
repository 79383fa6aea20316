"""Random and adversarial text through both engines, with the sanitizers on.

    python benchmarks/tokenizer/fuzz_core.py --seconds 600 --seed 0
    python benchmarks/tokenizer/fuzz_core.py --installed --characters 100_000_000

builds the core with the address and undefined-behaviour sanitizers of GCC or Clang into a folder
of its own, and holds ids, units, spans and sentences of the core to those of the Python engine: on
the shipped tokenizers, on random tables, one by one and in batches. A memory error ends the run
with the sanitizer's report, a difference with the text that shows it. `--installed` takes the core
as it is, without the sanitizers. `--coverage` lets libFuzzer (clang with its compiler-rt) look for
texts that reach other code of the core, from the reports on, with the sanitizers on; what it found
is kept in runs/fuzz, where the next run goes on, and at the end both engines are held to the same
on each of these texts.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "echotok")]

FLAGS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
BATCH = 50
RESULTS = ("ids", "ends", "units", "unit_spans", "spans", "sentences")
EVERY = 1_000_000
"""Characters between two lines that say how far it is."""
# What decides where a sentence ends.
STOPS = [
    ". ", ".\n", "\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\n\n", "! ", "? ", "?",
    "...", ".)", '."', ".\u201d ", "Dr. ", "approx. ", "e.g. ", "St. Jude", "ST. ", "Mr. Doe",
    "mr. ", "mod. ", "no. 5", "No. A", "1. ", "(2) ", "a) ", "iv. ", "A. B. ", "50.Mild",
    "normal.LA", "fig. 3", "mm. of", "Mitral valve: ", "no evidence of\n", "and\n", "such as\n",
    "-\n", ",\n", "x" * 45 + "\n", "\t\n", "thrombus", "\u0661. ", "\u00e9. ", "\u017ft. ",
    "\n- ", "\n\u2022 ",
]  # fmt: skip


def _build(folder: Path) -> Path:
    """Compile the core with the sanitizers on."""
    library = folder / ("_core" + sysconfig.get_config_var("EXT_SUFFIX"))
    source = ROOT / "echotok" / "engine" / "_core.c"
    command = [os.environ.get("CC", "cc"), "-std=c11", "-g", "-O1", *FLAGS, "-shared", "-fPIC"]
    command += ["-I", sysconfig.get_path("include"), str(source), "-o", str(library)]
    subprocess.run(command, check=True)
    return library


def _preload() -> str:
    """The runtime of the sanitizer, which has to be loaded before Python."""
    compiler = os.environ.get("CC", "cc")
    name = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    )
    return name.stdout.strip()


def _load(library: Path) -> None:
    """Put this build in the place of the installed one."""
    name = "echotok.engine._core"
    spec = importlib.util.spec_from_file_location(name, library)
    assert spec is not None and spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


class Source:
    """Endless texts: fragments, mutated reports, ASCII, any Unicode."""

    def __init__(self, seed: int) -> None:
        from strategies import ADVERSARIAL, FRAGMENTS

        from echotok.corpora import read_reports

        self.rng = random.Random(seed)
        folder = ROOT / "benchmarks" / "reports"
        self.reports = [report.text for report in read_reports(sorted(folder.iterdir()))]
        self.fragments = [*ADVERSARIAL, *FRAGMENTS, *STOPS]
        self.words = sorted({word for report in self.reports for word in report.split()})

    def text(self) -> str:
        """One text."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.35:
            return "".join(rng.choices(self.fragments, k=rng.randrange(400)))
        if kind < 0.6:
            glue = ["", " ", " ", " ", ". ", "\n", ", "]
            words = rng.choices([*self.words, *self.fragments], k=rng.randrange(300))
            return "".join(word + rng.choice(glue) for word in words)
        if kind < 0.65:
            words = rng.choices([*self.words[::7], *STOPS], k=rng.randrange(300))
            return "".join(word + rng.choice(["", " ", ". "]) for word in words)
        if kind < 0.85:
            return self._mutated(rng.choice(self.reports))
        if kind < 0.93:
            return "".join(map(chr, rng.choices(range(128), k=rng.randrange(600))))
        if kind < 0.96:
            return rng.choice(self.fragments) * rng.randrange(2000)
        tops = rng.choice([0x100, 0x250, 0x3000, 0x110000])
        return "".join(map(chr, (rng.randrange(tops) for _ in range(rng.randrange(200)))))

    def _mutated(self, text: str) -> str:
        rng = self.rng
        for _ in range(rng.randrange(1, 30)):
            at = rng.randrange(len(text) + 1)
            change = rng.random()
            if change < 0.4:
                text = text[:at] + rng.choice(self.fragments) + text[at:]
            elif change < 0.8:
                text = text[:at] + text[at + rng.randrange(1, 8) :]
            else:
                other = rng.choice(self.reports)
                cut = rng.randrange(len(other))
                text = text[:at] + other[cut : cut + rng.randrange(200)] + text[at:]
        return text

    def tokenizer(self) -> Any:
        """A tokenizer of a random table."""
        from echotok import Tokenizer
        from echotok.table.fallback import Fallback
        from echotok.table.phrases import Phrase, PhraseTable, parse_phrase
        from echotok.table.values import EnumValue

        rng = self.rng
        words = [*self.words, "a", "b", "c", "5", ".", ",", "-", "{number}", "{severity}", "{kind}"]
        phrases: list[Phrase] = []
        for _ in range(200):
            text = " ".join(rng.choices(words, k=rng.randrange(1, 6))).lower()
            try:
                items = parse_phrase(text, slots=("number", "severity", "kind"), units=("mm",))
            except ValueError:
                continue
            phrases.append(Phrase(id=len(phrases), text=text, items=items, section="s"))
        values = [("a", "a b", "a b c", "mild", "5", "2d")[n] for n in range(rng.randrange(1, 7))]
        table = PhraseTable(
            name="random",
            version="1.0.0",
            locale="en",
            licence="none",
            provenance="random",
            units=rng.choice([(), ("mm",), ("mm", "mmhg", "m/s", "cm\xb2")]),
            slots={"kind": "a kind"},
            values=tuple(
                EnumValue(id=number, slot="kind", text=text) for number, text in enumerate(values)
            ),
            phrases=tuple(phrases),
            phrase_capacity=256,
            value_capacity=8,
            num_merges=500,
            closings=rng.choice(["", ".", ".,:"]),
        )
        base = rng.choice([None, "abcdefghilmnorstuvwxyz.-"])
        pairs = {
            (word[:1], word[1] + ("</w>" if base is None and len(word) == 2 else ""))
            for word in self.words
            if len(word) > 1 and word.isascii() and word.isalpha() and word.islower()
        }
        merges = tuple(sorted(pairs, key=lambda pair: rng.random())[:500])
        return Tokenizer.from_table(table, Fallback(kind="domain", merges=merges, base=base))


def _check(tokenizer: Any, text: str) -> None:
    from echotok.engine.engine import Trace

    engine = tokenizer._engine
    ours, oracle = engine.core.encode(text), Trace(engine, text)
    for name in RESULTS:
        if getattr(ours, name) != getattr(oracle, name):
            sys.exit(f"{tokenizer.name}: the {name} of the two engines differ on {text!r}")


def _check_batch(tokenizer: Any, texts: list[str], context_length: int) -> None:
    python = replace(tokenizer._engine, core=None)
    ids, sizes, dropped, inside = (
        memoryview(part)
        for part in tokenizer._engine.core.encode_many(tuple(texts), context_length)
    )
    from echotok.engine.encoding import Encoding

    expected = [Encoding(python, text) for text in texts]
    if context_length:
        expected = [encoding.truncate(context_length) for encoding in expected]
    same = (
        ids.cast("i").tolist() == [number for encoding in expected for number in encoding.ids]
        and sizes.cast("i").tolist() == [len(encoding.ids) for encoding in expected]
        and dropped.cast("i").tolist() == [encoding.num_dropped for encoding in expected]
        and list(inside) == [encoding.cut_inside_unit for encoding in expected]
    )
    if not same:
        sys.exit(f"{tokenizer.name}: batches differ at {context_length} on {texts!r}")


def _run(library: Path | None, seconds: float, most: int, seed: int) -> None:
    if library is not None:
        _load(library)
    from echotok import load

    source = Source(seed)
    shipped = [load("echo"), load("echo-clip")]
    small = source.tokenizer()
    begin = time.monotonic()
    characters = texts = batches = tables = said = 0
    recent: list[str] = []
    while time.monotonic() - begin < seconds and characters < most:
        text = source.text()
        for tokenizer in (*shipped, small):
            _check(tokenizer, text)
        characters += len(text)
        texts += 1
        if characters >= said + EVERY:
            said = characters
            used, passed = time.process_time(), time.monotonic() - begin
            print(
                f"{characters:,} characters the same so far, {passed:,.0f} s, {used:,.0f} of them "
                "on the processor",
                flush=True,
            )
        recent.append(text)
        if len(recent) == BATCH:
            for tokenizer in (*shipped, small):
                _check_batch(tokenizer, recent, source.rng.choice([0, 3, 4, 16, 77, 512]))
            recent = []
            batches += 1
            small = source.tokenizer()
            tables += 1
    how = "with the sanitizers on" if library is not None else "without sanitizers"
    print(
        f"{characters:,} characters in {texts:,} texts, seed {seed}, {how}: the same by both "
        f"engines, for two shipped tokenizers and {tables:,} random tables; {batches:,} batches "
        "of each were the same, too"
    )


def make_check() -> Callable[[str], None]:
    """For `fuzz_coverage.c`: a function that has the core say all that it says of one text.

    The oracle is left out: beside it libFuzzer makes few texts a second.
    """
    name = "echotok.engine._core"
    sys.modules[name] = importlib.import_module("_fuzzed_core")
    cores = [tokenizer._engine.core for tokenizer in _tokenizers_of_coverage()]

    def check(text: str) -> None:
        for core in cores:
            trace = core.encode(text)
            for name in RESULTS:
                getattr(trace, name)
        cores[-1].encode_many((text, text[1:], text), 16)

    return check


def _tokenizers_of_coverage() -> list[Any]:
    from echotok import load

    return [load("echo"), load("echo-clip"), Source(1).tokenizer()]


def _compare_corpus(corpus: Path) -> None:
    """Hold both engines to the same on each text that reached other code of the core."""
    tokenizers = _tokenizers_of_coverage()
    files = sorted(corpus.iterdir())
    for file in files:
        text = file.read_bytes().decode("utf-8", "surrogateescape")
        for tokenizer in tokenizers:
            _check(tokenizer, text)
            _check_batch(tokenizer, [text, text[1:], text], 16)
    print(f"{len(files):,} texts of the corpus: the same by both engines")


def _fuzz_coverage(seconds: float, seed: int) -> int:
    """Build the core with libFuzzer and run it."""
    corpus = ROOT / "runs" / "fuzz"
    corpus.mkdir(parents=True, exist_ok=True)
    source = Source(seed)
    for number, text in enumerate([*source.fragments, *source.reports]):
        (corpus / f"seed{number}").write_bytes(text.encode("utf-8", "surrogatepass")[:400])
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "fuzz_coverage")
        library = sysconfig.get_config_var("LIBDIR")
        command = [os.environ.get("CC", "clang"), "-std=c11", "-g", "-O1", "-fsanitize=fuzzer"]
        command += [*FLAGS, "-I", sysconfig.get_path("include")]
        command += [str(Path(__file__).with_name("fuzz_coverage.c"))]
        command += [str(ROOT / "echotok" / "engine" / "_core.c"), "-L", library]
        command += [f"-lpython{sys.version_info[0]}.{sys.version_info[1]}"]
        subprocess.run([*command, f"-Wl,-rpath,{library}", "-o", str(program)], check=True)
        places = [str(ROOT), str(ROOT / "tests" / "echotok"), *filter(None, sys.path)]
        environment = {
            **os.environ,
            "FUZZ_PATH": os.pathsep.join(places),
            "PYTHONHOME": sys.base_prefix,
            "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": "detect_leaks=0",
        }
        options = [f"-max_total_time={int(seconds / 2)}", f"-seed={seed + 1}", "-max_len=400"]
        options += ["-timeout=120", "-print_final_stats=1", f"-artifact_prefix={folder}/"]
        code = 0
        # Bytes at random are seldom ASCII, and what is not goes to the Python engine, which is
        # slow: half of the time is for ASCII alone.
        for ascii_only in (1, 0):
            command = [str(program), *options, f"-only_ascii={ascii_only}", str(corpus)]
            code = code or subprocess.run(command, env=environment, check=False).returncode
        for found in Path(folder).glob("*-*"):
            (corpus.parent / found.name).write_bytes(found.read_bytes())
            print(f"what failed is kept: {corpus.parent / found.name}")
    if code == 0:
        _compare_corpus(corpus)
    return code


def main() -> None:
    """Build the core, and start this file again under the sanitizers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, help="default: 600, or as many as it takes")
    parser.add_argument("--characters", type=int, help="stop behind as many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--installed", action="store_true", help="the installed core, as it is")
    parser.add_argument("--coverage", action="store_true", help="guided by coverage, with clang")
    parser.add_argument("--library", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    seconds = options.seconds or (float("inf") if options.characters else 600.0)
    most = options.characters or sys.maxsize
    if options.installed or options.library is not None:
        _run(options.library, seconds, most, options.seed)
        return
    if options.coverage:
        sys.exit(_fuzz_coverage(options.seconds or 600.0, options.seed))
    with tempfile.TemporaryDirectory() as folder:
        library = _build(Path(folder))
        environment = {
            **os.environ,
            "LD_PRELOAD": _preload(),
            "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": "detect_leaks=0",
        }
        command = [sys.executable, __file__, "--library", str(library)]
        command += ["--seconds", str(seconds), "--seed", str(options.seed)]
        command += ["--characters", str(most)]
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
